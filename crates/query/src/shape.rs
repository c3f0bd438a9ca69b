//! What an expression is made of and how large its numbers can grow: the allow-list of
//! expressions, and the proof that each is total.
//!
//! # Claim
//! An expression that passes cannot fail on any row, and never wraps around (I7): every
//! number is bounded from the columns' declared ranges, which the scan enforces, and must fit
//! the type in which the engine computes it. Days and moments lie in the years 1 to 9999,
//! which the scan enforces too: moments beyond could not be made days. Casts that can lose
//! something, floats and functions that are not on the [list](crate::functions) are refused.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Between, BinaryExpr, Case, InList};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, Operator};
use incamera_types::limits::MAX_TEXT_BYTES;
use incamera_types::{ColumnSpec, ColumnType, IdKind};
use num_bigint::BigUint;

use crate::clamp::{DAY_US, FIRST_DAY, LAST_DAY};
use crate::lineage::Field;
use crate::refusal::{Refusal, RefusalKind};
use crate::said::pseudonym;
use crate::words::in_sql;

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Bool,
    Text,
    Date,
    Time,
    /// A join key of this kind of id; of none where it is a person's own.
    Pseudonym(Option<IdKind>),
    /// `most` is the largest magnitude, in units of 10^-scale.
    Number {
        most: BigUint,
        scale: u32,
    },
}

impl Shape {
    /// A column's shape: its numbers lie in the declared range, or in that of the type.
    pub(crate) fn of(column: &ColumnSpec) -> Self {
        match column.ty {
            ColumnType::Bool => Self::Bool,
            ColumnType::Date => Self::Date,
            ColumnType::Timestamp => Self::Time,
            ColumnType::Pseudonym => Self::Pseudonym(column.id_kind.clone()),
            ColumnType::Person => Self::Pseudonym(None),
            ColumnType::Int | ColumnType::Decimal { .. } => {
                let (low, high) = crate::clamp::range(column);
                Self::Number {
                    most: low.unsigned_abs().max(high.unsigned_abs()).into(),
                    scale: column.ty.scale().into(),
                }
            }
            _ => Self::Text,
        }
    }

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Text => "text",
            Self::Date => "a date",
            Self::Time => "a timestamp",
            Self::Pseudonym(_) => "a pseudonym",
            Self::Number { .. } => "a number",
        }
    }

    fn comparable(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => true,
            (Self::Pseudonym(a), Self::Pseudonym(b)) => a == b,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

/// The columns that an expression stands on.
pub(crate) struct Scope<'a> {
    pub(crate) schema: &'a DFSchema,
    pub(crate) fields: &'a [Field],
}

type Checked = Result<Shape, Refusal>;

fn refuse(what: impl Into<String>, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Expression, what, why, instead)
}

impl Scope<'_> {
    /// The field that a column names.
    pub(crate) fn field(&self, column: &datafusion::common::Column) -> Result<&Field, Refusal> {
        let at = self.schema.maybe_index_of_column(column);
        at.and_then(|at| self.fields.get(at)).ok_or_else(|| {
            let what = format!("column `{}`", column.name);
            Refusal::new(
                RefusalKind::Syntax,
                what,
                "it is not known here",
                "name a column of the data sets in FROM",
            )
            .at_column(column)
        })
    }

    /// Checks an expression and everything in it.
    pub(crate) fn shape(&self, expr: &Expr) -> Checked {
        match expr {
            Expr::Column(column) => Ok(self.field(column)?.shape.clone()),
            Expr::Alias(alias) => self.shape(&alias.expr),
            Expr::Literal(value, _) => literal(value),
            Expr::BinaryExpr(binary) => self.binary(binary, expr),
            Expr::Not(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsNotUnknown(inner) => self.condition(inner),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => self.shape(inner).map(|_| Shape::Bool),
            Expr::Negative(inner) => {
                let shape = self.number(inner, "-")?;
                self.fits(expr, shape)
            }
            Expr::Between(between) => self.between(between),
            Expr::InList(list) => self.in_list(list),
            Expr::Case(case) => self.case(case, expr),
            Expr::Cast(cast) => self.cast(cast),
            Expr::ScalarFunction(call) => self.call(call, expr),
            Expr::Like(like) => self.like(like),
            other => Err(not_allowed(other)),
        }
    }

    /// Checks an expression that must be true or false.
    pub(crate) fn condition(&self, expr: &Expr) -> Checked {
        match self.shape(expr)? {
            Shape::Bool | Shape::Null => Ok(Shape::Bool),
            other => Err(refuse(
                format!("a condition that is {}", other.word()),
                "a condition is true or false",
                "compare it with something",
            )),
        }
    }

    fn number(&self, expr: &Expr, operator: &str) -> Checked {
        match self.shape(expr)? {
            shape @ (Shape::Number { .. } | Shape::Null) => Ok(shape),
            other => Err(refuse(
                format!("`{operator}` on {}", other.word()),
                "arithmetic is for numbers",
                "compare dates and texts with parameters or literals",
            )),
        }
    }

    fn binary(&self, binary: &BinaryExpr, whole: &Expr) -> Checked {
        use Operator::{And, Eq, Gt, GtEq, Lt, LtEq, Minus, Multiply, NotEq, Or, Plus};
        match binary.op {
            And | Or => {
                self.condition(&binary.left)?;
                self.condition(&binary.right)
            }
            Eq | NotEq | Lt | LtEq | Gt | GtEq => {
                self.compare(&binary.left, &binary.right, binary.op == Eq)
            }
            Plus | Minus | Multiply => {
                let operator = binary.op.to_string();
                let left = self.number(&binary.left, &operator)?;
                let right = self.number(&binary.right, &operator)?;
                self.fits(whole, arithmetic(binary.op, left, right))
            }
            other => Err(refuse(
                format!("`{other}`"),
                "it is not on the list of operators",
                OPERATORS,
            )
            .or_at_text(&other.to_string())),
        }
    }

    fn compare(&self, left: &Expr, right: &Expr, equality: bool) -> Checked {
        let (a, b) = (self.shape(left)?, self.shape(right)?);
        let pseudonyms = matches!(a, Shape::Pseudonym(_)) || matches!(b, Shape::Pseudonym(_));
        if pseudonyms
            && !(equality && matches!((&a, &b), (Shape::Pseudonym(_), Shape::Pseudonym(_))))
        {
            return Err(pseudonym("a comparison with a pseudonym"));
        }
        if !a.comparable(&b) {
            return Err(refuse(
                format!("a comparison of {} with {}", a.word(), b.word()),
                if pseudonyms {
                    "they stand for different kinds of id"
                } else {
                    "they are of different types"
                },
                "compare values of one type",
            ));
        }
        Ok(Shape::Bool)
    }

    fn between(&self, between: &Between) -> Checked {
        self.compare(&between.expr, &between.low, false)?;
        self.compare(&between.expr, &between.high, false)
    }

    fn in_list(&self, list: &InList) -> Checked {
        for item in &list.list {
            self.compare(&list.expr, item, false)?;
        }
        Ok(Shape::Bool)
    }

    fn case(&self, case: &Case, whole: &Expr) -> Checked {
        for (when, _) in &case.when_then_expr {
            match &case.expr {
                Some(operand) => self.compare(operand, when, false)?,
                None => self.condition(when)?,
            };
        }
        let results = case
            .when_then_expr
            .iter()
            .map(|(_, then)| then)
            .chain(&case.else_expr);
        let mut all = Shape::Null;
        for result in results {
            all = self.either(all, self.shape(result)?, "CASE")?;
        }
        self.fits(whole, all)
    }

    /// What is one of two things, by this name.
    pub(crate) fn either(&self, a: Shape, b: Shape, what: &str) -> Checked {
        match (a, b) {
            (Shape::Pseudonym(_), _) | (_, Shape::Pseudonym(_)) => Err(refuse(
                format!("a {what} that gives a pseudonym"),
                "it would no longer be known whose it is",
                "count it outside, or test it for NULL",
            )),
            (Shape::Null, other) | (other, Shape::Null) => Ok(other),
            (
                Shape::Number { most: a, scale },
                Shape::Number {
                    most: b,
                    scale: other,
                },
            ) => {
                let top = scale.max(other);
                let most = scaled(a, top - scale).max(scaled(b, top - other));
                Ok(Shape::Number { most, scale: top })
            }
            (a, b) if a == b => Ok(a),
            (a, b) => Err(refuse(
                format!("a {what} that gives {} or {}", a.word(), b.word()),
                "its results are of different types",
                "give all of them one type",
            )),
        }
    }

    /// Whether a number fits the type in which the engine computes `expr`.
    pub(crate) fn fits(&self, expr: &Expr, shape: Shape) -> Checked {
        let Shape::Number { most, scale } = &shape else {
            return Ok(shape);
        };
        let ty = expr.get_type(self.schema).map_err(|_| overflow())?;
        if holds(&ty, most, *scale) {
            Ok(shape)
        } else {
            Err(overflow())
        }
    }

    fn cast(&self, cast: &Cast) -> Checked {
        let to = cast.field.data_type();
        if let Expr::Literal(value, _) = cast.expr.as_ref() {
            return value
                .cast_to(to)
                .map_err(|_| bad_cast(to))
                .and_then(|value| literal(&value));
        }
        let shape = self.shape(&cast.expr)?;
        match (&shape, to) {
            (Shape::Null, _) => Ok(Shape::Null),
            (Shape::Bool, DataType::Boolean)
            | (Shape::Text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
            | (Shape::Date, DataType::Date32)
            | (Shape::Time, DataType::Timestamp(TimeUnit::Microsecond, _)) => Ok(shape),
            (Shape::Time, DataType::Date32) => Ok(Shape::Date),
            (Shape::Date, DataType::Timestamp(TimeUnit::Microsecond, _)) => Ok(Shape::Time),
            (Shape::Bool | Shape::Date | Shape::Number { .. }, DataType::LargeUtf8) => {
                Ok(Shape::Text)
            }
            (Shape::Number { most, scale }, DataType::Int64) if *scale == 0 => {
                if holds(to, most, 0) {
                    Ok(shape)
                } else {
                    Err(overflow())
                }
            }
            (Shape::Number { most, scale }, DataType::Decimal128(_, digits)) => {
                let wider = u32::try_from(*digits)
                    .ok()
                    .and_then(|digits| digits.checked_sub(*scale));
                let wider = wider.ok_or_else(|| bad_cast(to))?;
                let shape = Shape::Number {
                    most: scaled(most.clone(), wider),
                    scale: scale + wider,
                };
                match &shape {
                    Shape::Number { most, scale } if holds(to, most, *scale) => Ok(shape),
                    _ => Err(overflow()),
                }
            }
            (Shape::Pseudonym(_), _) => Err(pseudonym("a pseudonym as something else")),
            (Shape::Number { .. }, DataType::Date32 | DataType::Timestamp(..)) => {
                Err(no_day(&cast.expr))
            }
            _ => Err(bad_cast(to)),
        }
    }
}

const OPERATORS: &str = "use = <> < <= > >= AND OR NOT BETWEEN IN LIKE IS NULL CASE + - * / % || and the functions of docs/sql.md";

fn not_allowed(expr: &Expr) -> Refusal {
    let (what, why, instead) = match expr {
        Expr::ScalarSubquery(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_) => (
            "a sub-query in an expression".to_owned(),
            "it could carry one person's rows into another's",
            "join the data set on the pseudonym, or write EXISTS (... WHERE b.person = a.person) or person IN (...) as a condition of WHERE joined to others by AND",
        ),
        Expr::WindowFunction(_) => (
            "a window function".to_owned(),
            "it stands where conditions and values of a row stand",
            "give it a name in a sub-query of FROM, with PARTITION BY person",
        ),
        Expr::AggregateFunction(function) => (
            format!("{} inside an expression", function.func.name()),
            "noise is added to the aggregates themselves",
            "SELECT the plain aggregate, and declare ratios in the agreement",
        ),
        Expr::Placeholder(placeholder) => (
            format!("parameter `{}`", placeholder.id),
            "the agreement does not declare it",
            "add it to the query's `params`",
        ),
        Expr::SimilarTo(_) => (
            "SIMILAR TO".to_owned(),
            "it is not on the list of operators",
            "write LIKE, or compare with the texts that you want, by IN (...)",
        ),
        Expr::TryCast(_) => (
            "TRY_CAST".to_owned(),
            "it is not on the list of expressions",
            "compare values of one type, and write literals in the column's own type",
        ),
        other => (
            format!("{} `{other}`", other.variant_name()),
            "it is not on the list of expressions",
            OPERATORS,
        ),
    };
    let first = what.split(' ').next().unwrap_or_default().to_owned();
    refuse(what, why, instead).or_at_text(&first)
}

pub(crate) fn overflow() -> Refusal {
    Refusal::new(
        RefusalKind::Numbers,
        "a number that could grow too large",
        "an overflow would be an answer about a row",
        "declare smaller `min` and `max` for the columns, or use fewer digits",
    )
}

/// A number where a day belongs: days without quotation marks are read as differences.
fn no_day(number: &Expr) -> Refusal {
    let mut first = String::new();
    let look = |part: &Expr| {
        if let (true, Expr::Literal(value, _)) = (first.is_empty(), part) {
            first = value.to_string();
        }
        Ok(TreeNodeRecursion::Continue)
    };
    // It points at a number where there is one.
    let _ = number.apply(look);
    Refusal::new(
        RefusalKind::Numbers,
        "a number as a day",
        "without quotation marks 2026-03-01 is 2026 less 3 less 1",
        "write DATE '2026-03-01', or TIMESTAMP '2026-03-01 10:00:00'",
    )
    .or_at_text(&first)
}

fn bad_cast(to: &DataType) -> Refusal {
    Refusal::new(
        RefusalKind::Numbers,
        format!("a cast to {}", in_sql(to)),
        "it could fail on some row, which would be an answer about that row",
        "compare values of one type, and write literals in the column's own type",
    )
}

pub(crate) fn scaled(most: BigUint, digits: u32) -> BigUint {
    most * BigUint::from(10u8).pow(digits)
}

fn arithmetic(operator: Operator, left: Shape, right: Shape) -> Shape {
    let (Shape::Number { most: a, scale: s }, Shape::Number { most: b, scale: t }) = (left, right)
    else {
        return Shape::Null;
    };
    if operator == Operator::Multiply {
        return Shape::Number {
            most: a * b,
            scale: s + t,
        };
    }
    let top = s.max(t);
    Shape::Number {
        most: scaled(a, top - s) + scaled(b, top - t),
        scale: top,
    }
}

/// Whether every number up to `most` (in units of 10^-scale) is held by the type as it is.
pub(crate) fn holds(ty: &DataType, most: &BigUint, scale: u32) -> bool {
    match ty {
        DataType::Int64 | DataType::UInt64 => {
            scale == 0 && most <= &BigUint::from(i64::MAX.unsigned_abs())
        }
        DataType::Decimal128(precision, digits) => {
            let Some(wider) = u32::try_from(*digits)
                .ok()
                .and_then(|digits| digits.checked_sub(scale))
            else {
                return false;
            };
            scaled(most.clone(), wider) < BigUint::from(10u8).pow(u32::from(*precision))
        }
        _ => false,
    }
}

/// Values in the SQL lie where the scan puts those of columns: bounds rest on it.
fn sound(sound: bool, shape: Shape) -> Checked {
    if sound {
        return Ok(shape);
    }
    Err(refuse(
        format!("{} that no column can hold", shape.word()),
        "days lie in the years 1 to 9999, and texts have so many bytes at most",
        "write another value",
    ))
}

fn literal(value: &ScalarValue) -> Checked {
    Ok(match value {
        value if value.is_null() => Shape::Null,
        ScalarValue::Boolean(_) => Shape::Bool,
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => {
            return sound(text.len() <= MAX_TEXT_BYTES, Shape::Text);
        }
        ScalarValue::Date32(Some(day)) => {
            return sound((FIRST_DAY..=LAST_DAY).contains(day), Shape::Date);
        }
        ScalarValue::TimestampMicrosecond(Some(moment), _) => {
            let day = moment.div_euclid(DAY_US);
            let known = i64::from(FIRST_DAY)..=i64::from(LAST_DAY);
            return sound(known.contains(&day), Shape::Time);
        }
        ScalarValue::Int64(Some(number)) => Shape::Number {
            most: number.unsigned_abs().into(),
            scale: 0,
        },
        ScalarValue::UInt64(Some(number)) => Shape::Number {
            most: (*number).into(),
            scale: 0,
        },
        ScalarValue::Decimal128(Some(number), _, digits) if *digits >= 0 => Shape::Number {
            most: number.unsigned_abs().into(),
            scale: u32::from(digits.unsigned_abs()),
        },
        other => {
            return Err(refuse(
                format!("a literal of type {}", in_sql(&other.data_type())),
                "values are true or false, whole numbers, decimals, texts, dates and timestamps",
                "write it as one of these",
            ));
        }
    })
}
