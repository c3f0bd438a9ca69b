//! The scalar functions and operators that SQL may use on a row, each a kernel of our own.
//!
//! # Claim
//! Every function is total (I7): whatever its arguments hold, it gives a value or null, never
//! an error, and the value keeps what the engine relies on: numbers within the bound that
//! [`Scope::shape`](crate::shape::Scope::shape) proves, days and moments in the years 1 to
//! 9999, texts of at most [`MAX_TEXT_BYTES`] bytes. A function of null is null, where the table
//! says nothing else. A result follows from the arguments alone: there is no clock, no chance
//! and no locale.
//!
//! # The list
//! | written | gives |
//! |---|---|
//! | `a / b` | whole numbers: the quotient cut towards zero; else a decimal with four digits more than `a` (at most 18), cut; null if `b` is zero |
//! | `a % b` | the remainder, with the sign of `a`; null if `b` is zero |
//! | `abs(x)` | the magnitude |
//! | `round(x)`, `round(x, digits)` | to so many digits, halves away from zero; a literal from -18 to 18 |
//! | `floor(x)`, `ceil(x)` | the whole number below, above |
//! | `width_bucket(x, low, high, n)` | 0 below `low`, 1 to `n`, `n + 1` from `high` on; literals |
//! | `date_trunc('month', t)` | the first day, or moment, of the year, quarter, month, week, day; of a moment also hour, minute |
//! | `date_part('year', t)`, `EXTRACT(year FROM t)` | year, quarter, month, week, day, dow, isodow, doy; of a moment also hour, minute |
//! | `t + INTERVAL '1 month'`, `t - INTERVAL ...` | the day or moment so much later or earlier; the end of a month stays in its month; beyond the years 1 to 9999 their first or last day |
//! | `d + 7`, `d - n` | so many days later or earlier, the same |
//! | `d - e` | the whole days between two days |
//! | `lower(s)`, `upper(s)` | by Unicode, without a locale |
//! | `trim(s)`, `ltrim`, `rtrim`, `trim(BOTH 'x' FROM s)` | without spaces, or without these characters (a literal) |
//! | `substr(s, from, length)`, `SUBSTRING(s FROM 1 FOR 2)`, `left(s, n)`, `right(s, n)` | a piece, counted in characters; literals |
//! | `starts_with(s, 'x')`, `ends_with`, `contains` | whether it does; a literal |
//! | `length(s)` | how many characters |
//! | `s \|\| t`, `concat(s, ...)` | one after the other; for `concat` null is empty; null if longer than a text may be |
//! | `coalesce(a, ...)` | the first that is not null |
//! | `nullif(a, b)` | null if they are equal, otherwise `a` |
//! | `least(a, ...)`, `greatest(a, ...)` | of those that are not null |
//!
//! LIKE and ILIKE are the engine's, for literal patterns: `%` stands for any text, `_` for a
//! character, `\` before one takes it as it is.

mod choice;
mod dates;
mod numbers;
mod plan;
mod shapes;
mod texts;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DataFusionError, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use incamera_types::Decimal;
#[cfg(doc)]
use incamera_types::limits::MAX_TEXT_BYTES;

pub(crate) use plan::{Filling, Operators, Types, divisions, filled};
pub(crate) use shapes::constant;

type Result<T> = std::result::Result<T, DataFusionError>;

/// A function on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Function {
    Divide,
    Modulo,
    Abs,
    Round,
    Floor,
    Ceil,
    WidthBucket,
    DateTrunc,
    DatePart,
    /// A day or moment, and months, days and microseconds: all literals but the first.
    Later,
    /// A day, a number of days, and 1 or -1.
    DaysLater,
    DaysBetween,
    Lower,
    Upper,
    Trim,
    TrimStart,
    TrimEnd,
    Substr,
    Left,
    Right,
    StartsWith,
    EndsWith,
    Contains,
    Length,
    /// `||`
    Join,
    Concat,
    Coalesce,
    NullIf,
    Least,
    Greatest,
}

use Function::*;

/// The functions by the names that SQL calls them by. The first name of one is its own.
const NAMES: &[(&str, Function)] = &[
    ("abs", Abs),
    ("round", Round),
    ("floor", Floor),
    ("ceil", Ceil),
    ("ceiling", Ceil),
    ("mod", Modulo),
    ("width_bucket", WidthBucket),
    ("date_trunc", DateTrunc),
    ("date_part", DatePart),
    ("lower", Lower),
    ("upper", Upper),
    ("trim", Trim),
    ("btrim", Trim),
    ("ltrim", TrimStart),
    ("rtrim", TrimEnd),
    ("substr", Substr),
    ("left", Left),
    ("right", Right),
    ("starts_with", StartsWith),
    ("ends_with", EndsWith),
    ("contains", Contains),
    ("length", Length),
    ("char_length", Length),
    ("character_length", Length),
    ("concat", Concat),
    ("coalesce", Coalesce),
    ("nullif", NullIf),
    ("least", Least),
    ("greatest", Greatest),
];

/// The function that SQL calls so.
pub(crate) fn named(name: &str) -> Option<Arc<ScalarUDF>> {
    let mut names = NAMES.iter();
    let (_, function) = names.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(function.udf())
}

/// All names, each once.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

impl Function {
    /// The function that a plan calls, if it is on the list.
    pub(crate) fn of(udf: &ScalarUDF) -> Option<Self> {
        let udf: &Udf = udf.inner().downcast_ref()?;
        Some(udf.function)
    }

    pub(crate) fn call(self, args: Vec<Expr>) -> Expr {
        self.udf().call(args)
    }

    fn udf(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Udf {
            function: self,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    }

    /// As it is called, or as the operator is written that it stands for.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Divide => "/",
            Modulo => "%",
            Later => "+ INTERVAL",
            DaysLater => "+ days",
            DaysBetween => "-",
            Join => "||",
            named => {
                let mut names = NAMES.iter();
                let found = names.find(|(_, function)| *function == named);
                found.map_or("", |(name, _)| name)
            }
        }
    }

    /// The least and the most arguments.
    fn takes(self) -> (usize, usize) {
        match self {
            Round | Trim | TrimStart | TrimEnd => (1, 2),
            Substr => (2, 3),
            Divide | Modulo | DateTrunc | DatePart | DaysBetween | Left | Right | StartsWith
            | EndsWith | Contains | Join | NullIf => (2, 2),
            WidthBucket | Later => (4, 4),
            DaysLater => (3, 3),
            Concat | Coalesce | Least | Greatest => (1, 32),
            _ => (1, 1),
        }
    }

    /// The types to which arguments are brought.
    fn coerced(self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (least, most) = self.takes();
        if types.len() < least || types.len() > most {
            let wants = if least == most {
                format!("{least}")
            } else {
                format!("{least} to {most}")
            };
            return plan_err!("{} takes {wants} values", self.name());
        }
        let each = |to: fn(&DataType) -> DataType| Ok(types.iter().map(to).collect());
        match self {
            Divide | Modulo => same_numbers(types),
            Coalesce | NullIf | Least | Greatest => {
                let common = common(types);
                let Some(common) = common else {
                    return plan_err!("{} takes values of one type", self.name());
                };
                Ok(vec![common; types.len()])
            }
            // A null without a type is one of a day.
            DateTrunc | DatePart | Later | DaysBetween => each(dated),
            Abs | Round | Floor | Ceil | WidthBucket | DaysLater => each(number),
            _ => each(wide),
        }
    }

    /// The type of what it gives.
    fn gives(self, types: &[DataType], literals: &[Option<&ScalarValue>]) -> Result<DataType> {
        let first = types.first().cloned().unwrap_or(DataType::Null);
        let second = types.get(1).cloned().unwrap_or(DataType::Null);
        Ok(match self {
            // Released values are no rows': nothing here is run on them.
            _ if first.is_floating() || second.is_floating() => DataType::Float64,
            Divide | Modulo => match (&first, scale(&first), scale(&second)) {
                (DataType::Int64 | DataType::Null, ..) => DataType::Int64,
                (_, a, _) if self == Divide => decimal(quotient_scale(a)),
                (_, a, b) => decimal(a.max(b)),
            },
            Abs => first,
            Round => match (
                literal_i64(literals.get(1).copied().flatten()),
                scale(&first),
            ) {
                (_, 0) if first == DataType::Int64 => DataType::Int64,
                (digits, scale) => decimal(rounded_scale(digits.unwrap_or(0), scale)),
            },
            Floor | Ceil if first == DataType::Int64 => DataType::Int64,
            Floor | Ceil => decimal(0),
            WidthBucket | DatePart | DaysBetween | Length => DataType::Int64,
            DateTrunc => day_or_moment(&second),
            Later => day_or_moment(&first),
            DaysLater => DataType::Date32,
            StartsWith | EndsWith | Contains => DataType::Boolean,
            Coalesce | NullIf | Least | Greatest => first,
            _ => DataType::LargeUtf8,
        })
    }

    fn run(self, args: &Args<'_>) -> Option<ArrayRef> {
        match self {
            Divide | Modulo | Abs | Round | Floor | Ceil | WidthBucket => numbers::run(self, args),
            DateTrunc | DatePart | Later | DaysLater | DaysBetween => dates::run(self, args),
            Coalesce | NullIf | Least | Greatest => choice::run(self, args),
            _ => texts::run(self, args),
        }
    }
}

/// A function as the engine calls it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Udf {
    function: Function,
    signature: Signature,
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerced(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.gives(types, &[])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone());
        let types: Vec<_> = types.collect();
        let gives = self.function.gives(&types, args.scalar_arguments)?;
        Ok(Arc::new(Field::new(self.name(), gives, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let args = Args {
            values: &args.args,
            gives: args.return_field.data_type(),
            rows,
        };
        // Nothing here fails on a value: only types that the check does not let through.
        let found = self.function.run(&args);
        let found = found.filter(|array| array.len() == rows);
        found.map(ColumnarValue::Array).ok_or_else(|| {
            DataFusionError::Plan(format!("{} on other types", self.function.name()))
        })
    }
}

/// What a function is called with.
struct Args<'a> {
    values: &'a [ColumnarValue],
    gives: &'a DataType,
    rows: usize,
}

impl Args<'_> {
    /// The values at this place, a row each.
    fn array(&self, at: usize) -> Option<ArrayRef> {
        self.values.get(at)?.to_array(self.rows).ok()
    }

    /// The literal at this place.
    fn literal(&self, at: usize) -> Option<&ScalarValue> {
        match self.values.get(at)? {
            ColumnarValue::Scalar(value) => Some(value),
            ColumnarValue::Array(_) => None,
        }
    }

    fn int(&self, at: usize) -> Option<i64> {
        literal_i64(self.literal(at))
    }

    fn text(&self, at: usize) -> Option<&str> {
        literal_text(self.literal(at)?)
    }
}

fn literal_i64(value: Option<&ScalarValue>) -> Option<i64> {
    match value? {
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

fn literal_text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => Some(text),
        _ => None,
    }
}

/// Digits of the widest decimal.
const MOST_DIGITS: u8 = 38;

fn decimal(scale: u32) -> DataType {
    DataType::Decimal128(MOST_DIGITS, i8::try_from(scale).unwrap_or(i8::MAX))
}

/// The digits after the point of a number's type.
fn scale(ty: &DataType) -> u32 {
    match ty {
        DataType::Decimal128(_, scale) => u32::try_from(*scale).unwrap_or(0),
        _ => 0,
    }
}

/// The digits after the point of a quotient.
fn quotient_scale(of: u32) -> u32 {
    (of + 4).min(u32::from(Decimal::MAX_SCALE)).max(of)
}

/// The digits after the point that rounding leaves.
fn rounded_scale(digits: i64, scale: u32) -> u32 {
    u32::try_from(digits.max(0)).map_or(scale, |digits| digits.min(scale))
}

fn day_or_moment(ty: &DataType) -> DataType {
    match ty {
        DataType::Timestamp(..) => ty.clone(),
        _ => DataType::Date32,
    }
}

fn is_text(ty: &DataType) -> bool {
    matches!(
        ty,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

/// Texts with wide offsets; all else as it is.
fn wide(ty: &DataType) -> DataType {
    match ty {
        ty if is_text(ty) || ty.is_null() => DataType::LargeUtf8,
        other => other.clone(),
    }
}

/// Days for nulls without a type; all else as it is.
fn dated(ty: &DataType) -> DataType {
    match ty {
        DataType::Null => DataType::Date32,
        other => other.clone(),
    }
}

/// Numbers as the kernels take them; all else as it is.
fn number(ty: &DataType) -> DataType {
    match ty {
        DataType::UInt64 | DataType::Null => DataType::Int64,
        other => other.clone(),
    }
}

/// A whole number as a decimal.
const INT_DIGITS: u8 = 19;

/// Two numbers of one kind: whole, or decimals, each with its own digits after the point.
fn same_numbers(types: &[DataType]) -> Result<Vec<DataType>> {
    let types: Vec<_> = types.iter().map(number).collect();
    let decimals = types
        .iter()
        .any(|ty| matches!(ty, DataType::Decimal128(..)));
    let to = |ty: DataType| match ty {
        DataType::Int64 if decimals => DataType::Decimal128(INT_DIGITS, 0),
        other => other,
    };
    Ok(types.into_iter().map(to).collect())
}

/// The one type of these, nulls left out.
fn common(types: &[DataType]) -> Option<DataType> {
    let types = types.iter().filter(|ty| !ty.is_null());
    let mut types = types.map(|ty| if is_text(ty) { wide(ty) } else { number(ty) });
    let first = types.next().unwrap_or(DataType::Null);
    types.try_fold(first, |one, other| match (&one, &other) {
        (one, other) if one == other => Some(one.clone()),
        (one, other)
            if one.is_numeric()
                && other.is_numeric()
                && (one.is_floating() || other.is_floating()) =>
        {
            Some(DataType::Float64)
        }
        (
            DataType::Int64 | DataType::Decimal128(..),
            DataType::Int64 | DataType::Decimal128(..),
        ) => Some(decimal(scale(&one).max(scale(&other)))),
        _ => None,
    })
}

/// Moments as the engine has them.
fn is_moment(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(TimeUnit::Microsecond, _))
}
