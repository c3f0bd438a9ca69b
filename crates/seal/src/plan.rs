//! Which columns stand in the file of a consent class, and which purposes open them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use incamera_types::{
    ColumnName, ColumnSpec, ColumnType, ConsentClass, DatasetSpec, Pseudonym, PurposeSet,
};

/// One key of a file: a column's or, without a name, the footer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlan {
    pub(crate) column: Option<ColumnName>,
    pub(crate) purposes: PurposeSet,
}

/// The keys of a file of `class`: the footer's first, then one a column in the agreement's
/// order. Nothing if no purpose opens any column.
///
/// A column that no purpose of the class opens is left out of the file: nobody could ever
/// read it there, and what is not stored cannot leak.
pub(crate) fn class_keys(spec: &DatasetSpec, class: &ConsentClass) -> Vec<KeyPlan> {
    let footer = spec.footer_purposes(class);
    if footer.is_empty() {
        return Vec::new();
    }
    let columns = spec.stored_columns().map(|column| KeyPlan {
        column: Some(column.name.clone()),
        purposes: spec.openable(column, class),
    });
    let footer = KeyPlan {
        column: None,
        purposes: footer,
    };
    std::iter::once(footer)
        .chain(columns.filter(|key| !key.purposes.is_empty()))
        .collect()
}

/// [`class_keys`] of a file that lacks the columns `absent`; none unless these are columns that
/// some purpose of the class opens, in the agreement's order, and no pseudonym.
pub(crate) fn part_keys(
    spec: &DatasetSpec,
    class: &ConsentClass,
    absent: &[ColumnName],
) -> Option<Vec<KeyPlan>> {
    let lacks = |column: &&ColumnSpec| absent.contains(&column.name);
    let lacking = spec.stored_columns().filter(lacks);
    let may = |column: &&ColumnSpec| {
        !spec.is_person(&column.name) && !spec.openable(column, class).is_empty()
    };
    if !lacking.filter(may).map(|column| &column.name).eq(absent) {
        return None;
    }
    if absent.is_empty() {
        return Some(class_keys(spec, class));
    }
    let columns = spec.columns.iter().filter(|column| !lacks(column));
    let had = DatasetSpec {
        columns: columns.cloned().collect(),
        ..spec.clone()
    };
    Some(class_keys(&had, class))
}

/// A declaration as it opens where some purposes are revoked.
pub(crate) fn without(mut spec: DatasetSpec, revoked: &PurposeSet) -> DatasetSpec {
    for column in &mut spec.columns {
        let left = column.purposes.iter().filter(|one| !revoked.contains(one));
        column.purposes = left.cloned().collect();
    }
    spec
}

/// The Arrow type of a stored column; `purposes` columns are not stored.
pub(crate) fn arrow_type(ty: ColumnType) -> Option<DataType> {
    Some(match ty {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::Int => DataType::Int64,
        ColumnType::Decimal { precision, scale } => {
            DataType::Decimal128(precision, i8::try_from(scale).ok()?)
        }
        ColumnType::Text => DataType::Utf8,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ColumnType::Pseudonym | ColumnType::Person => {
            DataType::FixedSizeBinary(i32::try_from(Pseudonym::BYTES).ok()?)
        }
        _ => return None,
    })
}

/// The Arrow schema of stored columns; a column without an Arrow type is left out.
pub(crate) fn arrow_schema<'a>(
    columns: impl Iterator<Item = (&'a ColumnName, ColumnType, bool)>,
) -> SchemaRef {
    let fields: Vec<Field> = columns
        .filter_map(|(name, ty, nullable)| {
            Some(Field::new(name.as_str(), arrow_type(ty)?, nullable))
        })
        .collect();
    Arc::new(Schema::new(fields))
}
