//! What a data set's columns are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    ColumnName, DatasetName, Date, Decimal, IdKind, NameError, PartyName, PurposeSet, ZoneName,
};

/// The largest precision of a decimal column: sums of it fit 128 bits.
pub const MAX_PRECISION: u8 = 18;

/// Why a text is not a column type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TypeError {
    /// Not one of the types.
    #[error("`{found}` is not a type")]
    Unknown {
        /// The text found.
        found: String,
    },
    /// Precision or scale out of range.
    #[error(
        "decimal(precision,scale) has a precision from 1 to {MAX_PRECISION} and a scale from 0 to the precision"
    )]
    Decimal,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum ColumnType {
    /// True or false.
    Bool,
    /// A 64-bit signed integer.
    Int,
    /// A fixed-point number.
    Decimal {
        /// Digits in all, 1 to 18.
        precision: u8,
        /// Digits after the point, 0 to `precision`.
        scale: u8,
    },
    /// UTF-8 text.
    Text,
    /// A calendar day.
    Date,
    /// A moment, microseconds UTC.
    Timestamp,
    /// A join key made by matching.
    Pseudonym,
    /// Its owner's own key of the row's person, where people have several kinds of id: it means
    /// nothing to others, and the room finds by pseudonyms beside it who is who.
    Person,
    /// The purposes that the row's person agreed to; decides the consent class, is not stored.
    Purposes,
}

impl ColumnType {
    /// Whether sums and bounds make sense.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Decimal { .. })
    }

    /// Whether its values are 16 bytes that stand for a person.
    #[must_use]
    pub fn is_key(&self) -> bool {
        matches!(self, Self::Pseudonym | Self::Person)
    }

    /// Digits after the point: 0 for anything but decimals.
    #[must_use]
    pub fn scale(&self) -> u8 {
        match self {
            Self::Decimal { scale, .. } => *scale,
            _ => 0,
        }
    }
}

impl FromStr for ColumnType {
    type Err = TypeError;
    fn from_str(text: &str) -> Result<Self, TypeError> {
        Ok(match text {
            "bool" => Self::Bool,
            "int" => Self::Int,
            "text" => Self::Text,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "pseudonym" => Self::Pseudonym,
            "person" => Self::Person,
            "purposes" => Self::Purposes,
            other => decimal_type(other)?,
        })
    }
}

fn decimal_type(text: &str) -> Result<ColumnType, TypeError> {
    let unknown = || TypeError::Unknown {
        found: text.to_owned(),
    };
    let inner = text
        .strip_prefix("decimal(")
        .and_then(|rest| rest.strip_suffix(')'))
        .ok_or_else(unknown)?;
    let (precision, scale) = inner.split_once(',').ok_or_else(unknown)?;
    let number = |part: &str| part.trim().parse::<u8>().map_err(|_| TypeError::Decimal);
    let (precision, scale) = (number(precision)?, number(scale)?);
    if !(1..=MAX_PRECISION).contains(&precision) || scale > precision {
        return Err(TypeError::Decimal);
    }
    Ok(ColumnType::Decimal { precision, scale })
}

impl TryFrom<String> for ColumnType {
    type Error = TypeError;
    fn try_from(text: String) -> Result<Self, TypeError> {
        text.parse()
    }
}
impl From<ColumnType> for String {
    fn from(ty: ColumnType) -> String {
        ty.to_string()
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Pseudonym => f.write_str("pseudonym"),
            Self::Person => f.write_str("person"),
            Self::Purposes => f.write_str("purposes"),
        }
    }
}

/// What becomes of a text that is not in the column's `values`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherText {
    /// The file is refused: the owner mends it or widens the list.
    #[default]
    Refuse,
    /// The value becomes null, and is counted for the owner.
    Null,
    /// The value becomes this one (which is in the list), and is counted for the owner.
    Becomes(String),
}

/// One column of a data set, as the agreement declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: ColumnName,
    /// Its type.
    pub ty: ColumnType,
    /// Whether a value may be missing.
    pub nullable: bool,
    /// The leaf purposes that the column serves; empty for a pseudonym column that names none.
    pub purposes: PurposeSet,
    /// A unit to show, such as `EUR`.
    pub unit: Option<String>,
    /// Smallest value of a number; smaller ones are clamped and counted.
    pub min: Option<Decimal>,
    /// Largest value of a number; larger ones are clamped and counted.
    pub max: Option<Decimal>,
    /// The allowed texts, where they are listed.
    pub values: Option<Vec<String>>,
    /// What becomes of a text that is not listed.
    pub other: OtherText,
    /// Of a pseudonym column: the kind of identifier it is made from.
    pub id_kind: Option<IdKind>,
    /// Of a timestamp column: the zone whose clocks a file without offsets was written by.
    pub time_zone: Option<ZoneName>,
}

/// One data set, as the agreement declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSpec {
    /// Its name.
    pub name: DatasetName,
    /// The party that it belongs to.
    pub owner: PartyName,
    /// Sealed for nobody and joinable on anything.
    pub public: bool,
    /// The last day on which its keys are released, to its end, UTC; without one, as long as
    /// the agreement lasts.
    pub keep_until: Option<Date>,
    /// Its columns, in the agreement's order.
    pub columns: Vec<ColumnSpec>,
}

impl DatasetSpec {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &ColumnName) -> Option<&ColumnSpec> {
        self.columns.iter().find(|column| &column.name == name)
    }

    fn of_type(&self, ty: ColumnType) -> impl Iterator<Item = &ColumnSpec> {
        self.columns.iter().filter(move |column| column.ty == ty)
    }

    /// The column that says whose row it is: its owner's own key of the person where there is
    /// one, or else the (first) pseudonym.
    #[must_use]
    pub fn person_column(&self) -> Option<&ColumnSpec> {
        let mut own = self.of_type(ColumnType::Person);
        own.next()
            .or_else(|| self.of_type(ColumnType::Pseudonym).next())
    }

    /// Whether a column says whose row it is.
    #[must_use]
    pub fn is_person(&self, column: &ColumnName) -> bool {
        self.person_column().is_some_and(|own| own.name == *column)
    }

    /// Beside an owner's own key of the person, the pseudonyms of each kind, by which people
    /// are linked.
    pub fn link_columns(&self) -> impl Iterator<Item = &ColumnSpec> {
        let own = self.of_type(ColumnType::Person).next().is_some();
        self.of_type(ColumnType::Pseudonym).filter(move |_| own)
    }

    /// The stored columns but the one that says whose row it is.
    pub fn value_columns(&self) -> impl Iterator<Item = &ColumnSpec> {
        let own = self.person_column().map(|own| &own.name);
        self.stored_columns()
            .filter(move |column| Some(&column.name) != own)
    }

    /// The column that decides the consent class, where there is one.
    #[must_use]
    pub fn purposes_column(&self) -> Option<&ColumnSpec> {
        self.columns
            .iter()
            .find(|column| column.ty == ColumnType::Purposes)
    }

    /// The columns that stand in the sealed parts: all but the `purposes` column.
    pub fn stored_columns(&self) -> impl Iterator<Item = &ColumnSpec> {
        self.columns
            .iter()
            .filter(|column| column.ty != ColumnType::Purposes)
    }

    /// The leaf purposes under which `column` of a row of `class` may be opened
    /// (invariant I3): *column purposes ∩ class consents*. Pseudonyms and the owner's own keys
    /// of people also open for any purpose for which some other column of the class does.
    #[must_use]
    pub fn openable(&self, column: &ColumnSpec, class: &PurposeSet) -> PurposeSet {
        let own = column.purposes.intersection(class);
        if column.ty.is_key() {
            own.union(&self.footer_purposes(class))
        } else {
            own
        }
    }

    /// The leaf purposes under which the footer of a file of `class` opens: any for which
    /// some column does.
    #[must_use]
    pub fn footer_purposes(&self, class: &PurposeSet) -> PurposeSet {
        self.stored_columns()
            .map(|column| column.purposes.intersection(class))
            .fold(PurposeSet::default(), |all, some| all.union(&some))
    }
}

/// A column of a data set, written `dataset.column`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ColumnRef {
    /// The data set.
    pub dataset: DatasetName,
    /// The column in it.
    pub column: ColumnName,
}

impl FromStr for ColumnRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (dataset, column) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self {
            dataset: dataset.parse()?,
            column: column.parse()?,
        })
    }
}
impl TryFrom<String> for ColumnRef {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl From<ColumnRef> for String {
    fn from(column: ColumnRef) -> String {
        column.to_string()
    }
}
impl fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.dataset, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> PurposeSet {
        names.iter().map(|n| n.parse().unwrap()).collect()
    }

    fn column(name: &str, ty: &str, purposes: &[&str]) -> ColumnSpec {
        ColumnSpec {
            name: name.parse().unwrap(),
            ty: ty.parse().unwrap(),
            nullable: false,
            purposes: set(purposes),
            unit: None,
            min: None,
            max: None,
            values: None,
            other: OtherText::Refuse,
            id_kind: None,
            time_zone: None,
        }
    }

    #[test]
    fn types_round_trip() {
        for text in [
            "bool",
            "int",
            "decimal(10,2)",
            "text",
            "date",
            "timestamp",
            "pseudonym",
            "person",
        ] {
            assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), text);
        }
        for bad in [
            "decimal(0,0)",
            "decimal(19,2)",
            "decimal(3,4)",
            "decimal(a,2)",
        ] {
            assert_eq!(bad.parse::<ColumnType>(), Err(TypeError::Decimal), "{bad}");
        }
        assert!("float".parse::<ColumnType>().is_err());
    }

    #[test]
    fn rows_are_of_the_owners_own_key_where_there_is_one() {
        let data = |columns: &[(&str, &str)]| DatasetSpec {
            name: "customers".parse().unwrap(),
            owner: "shop".parse().unwrap(),
            public: false,
            keep_until: None,
            columns: columns
                .iter()
                .map(|(name, ty)| column(name, ty, &[]))
                .collect(),
        };
        let names = |columns: Vec<&ColumnSpec>| -> Vec<String> {
            columns.iter().map(|c| c.name.to_string()).collect()
        };
        let linked = data(&[
            ("email", "pseudonym"),
            ("who", "person"),
            ("phone", "pseudonym"),
            ("consent", "purposes"),
        ]);
        assert_eq!(linked.person_column().unwrap().name.as_str(), "who");
        assert_eq!(names(linked.link_columns().collect()), ["email", "phone"]);
        assert_eq!(names(linked.value_columns().collect()), ["email", "phone"]);
        let plain = data(&[("who", "pseudonym"), ("amount", "int")]);
        assert_eq!(plain.person_column().unwrap().name.as_str(), "who");
        assert!(plain.is_person(&"who".parse().unwrap()));
        assert_eq!(names(plain.link_columns().collect()), [""; 0]);
        assert_eq!(names(plain.value_columns().collect()), ["amount"]);
    }

    #[test]
    fn pseudonym_opens_with_any_column_of_the_class() {
        let data = DatasetSpec {
            name: "purchases".parse().unwrap(),
            owner: "shop".parse().unwrap(),
            public: false,
            keep_until: None,
            columns: vec![
                column("person", "pseudonym", &[]),
                column("amount", "decimal(10,2)", &["measurement"]),
                column("category", "text", &["ads", "measurement"]),
            ],
        };
        let [person, amount, category] = &data.columns[..] else {
            panic!("three columns")
        };
        let ads = set(&["ads"]);
        assert_eq!(data.openable(person, &ads), ads);
        assert_eq!(data.openable(amount, &ads), set(&[]));
        assert_eq!(data.openable(category, &ads), ads);
        let safety = set(&["safety"]);
        assert!(data.openable(person, &safety).is_empty());
    }
}
