//! What a call gives, and whether it may stand there.

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable};
use num_bigint::BigUint;

use super::Function::{self, *};
use super::dates::Unit;
use super::{literal_i64, literal_text, numbers, rounded_scale};
use crate::lineage::bare;
use crate::refusal::{Refusal, RefusalKind};
use crate::shape::{Scope, Shape, scaled};
use incamera_types::limits::MAX_TEXT_BYTES;

/// The most bytes of a pattern: what a pattern becomes must fit into the engine.
const MAX_PATTERN_BYTES: usize = 200;
/// The most buckets.
const MAX_BUCKETS: i64 = 100_000;

type Checked = Result<Shape, Refusal>;

fn refuse(what: impl Into<String>, why: &str, instead: &str) -> Refusal {
    Refusal::new(RefusalKind::Expression, what, why, instead)
}

/// The literal that an expression is, a cast of one included.
pub(crate) fn constant(expr: &Expr) -> Option<ScalarValue> {
    match bare(expr) {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => constant(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        Expr::Negative(inner) => constant(inner)?.arithmetic_negate().ok(),
        _ => None,
    }
}

/// The arguments of a call, and what they are.
struct Call<'a> {
    function: Function,
    args: &'a [Expr],
    shapes: Vec<Shape>,
    /// The digits after the point of the decimal that it gives, if it gives one.
    digits: Option<u32>,
}

impl Scope<'_> {
    /// Checks a call.
    pub(crate) fn call(&self, call: &ScalarFunction, whole: &Expr) -> Checked {
        let Some(function) = Function::of(&call.func) else {
            return Err(refuse(
                format!("{}()", call.func.name()),
                "it is not on the list of functions",
                FUNCTIONS,
            ));
        };
        let shapes = call.args.iter().map(|arg| self.shape(arg));
        let call = Call {
            function,
            shapes: shapes.collect::<Result<_, _>>()?,
            args: &call.args,
            digits: whole.get_type(self.schema).ok().and_then(|ty| match ty {
                DataType::Decimal128(_, digits) => u32::try_from(digits).ok(),
                _ => None,
            }),
        };
        let shape = match function {
            Divide | Modulo | Abs | Round | Floor | Ceil | WidthBucket => call.number()?,
            DateTrunc | DatePart | Later | DaysLater | DaysBetween => call.time()?,
            Coalesce | NullIf | Least | Greatest => self.choice(&call)?,
            _ => call.text()?,
        };
        self.fits(whole, shape)
    }

    fn choice(&self, call: &Call<'_>) -> Checked {
        let name = call.function.name();
        let mut shapes = call.shapes.iter().cloned();
        let first = shapes.next().unwrap_or(Shape::Null);
        let all = shapes.try_fold(first.clone(), |all, next| self.either(all, next, name))?;
        // One value alone passes as it is, and a pseudonym is none to choose.
        let all = self.either(all, Shape::Null, name)?;
        Ok(if call.function == NullIf {
            self.either(first, Shape::Null, name)?
        } else {
            all
        })
    }

    /// Checks a LIKE.
    pub(crate) fn like(&self, like: &Like) -> Checked {
        match self.shape(&like.expr)? {
            Shape::Text | Shape::Null => {}
            other => {
                return Err(refuse(
                    format!("LIKE on {}", other.word()),
                    "patterns are for texts",
                    "compare it with = < > or BETWEEN",
                ));
            }
        }
        let pattern = constant(&like.pattern);
        let pattern = pattern.as_ref().and_then(literal_text);
        let short = pattern.is_some_and(|pattern| pattern.len() <= MAX_PATTERN_BYTES);
        if !short || like.escape_char.is_some_and(|escape| escape != '\\') {
            return Err(refuse(
                "LIKE with such a pattern",
                "a pattern is a literal or a parameter of at most 200 bytes, in which \\ takes the next character as it is",
                "write LIKE '%word%', or starts_with(text, 'word')",
            )
            .or_at_text("like"));
        }
        self.runs(&Expr::Like(Like {
            expr: Box::new(Expr::Literal(
                ScalarValue::LargeUtf8(Some("x".into())),
                None,
            )),
            ..like.clone()
        }))?;
        Ok(Shape::Bool)
    }

    /// Whether the engine takes a pattern at all: that hangs on the pattern alone.
    fn runs(&self, expr: &Expr) -> Result<(), Refusal> {
        use datafusion::logical_expr::execution_props::ExecutionProps;
        use datafusion::physical_expr::create_physical_expr;
        let schema = datafusion::common::DFSchema::empty();
        let props = ExecutionProps::new();
        let physical = create_physical_expr(expr, &schema, &props, &Default::default());
        let row = RecordBatch::new_empty(std::sync::Arc::new(arrow::datatypes::Schema::empty()));
        let ran = physical.and_then(|physical| physical.evaluate(&row));
        ran.map(drop).map_err(|_| {
            refuse(
                "LIKE with such a pattern",
                "the engine does not take it",
                "write a shorter one",
            )
            .or_at_text("like")
        })
    }
}

impl Call<'_> {
    fn shape(&self, at: usize) -> Shape {
        self.shapes.get(at).cloned().unwrap_or(Shape::Null)
    }

    fn constant(&self, at: usize) -> Option<ScalarValue> {
        self.args.get(at).and_then(constant)
    }

    fn wrong(&self, at: usize) -> Refusal {
        let (name, word) = (self.function.name(), self.shape(at).word());
        refuse(
            format!("`{name}` on {word}"),
            "it is for values of another type",
            "see the list of functions in docs/sql.md",
        )
        .or_at_text(name)
    }

    fn literal(&self) -> Refusal {
        let name = self.function.name();
        refuse(
            format!("`{name}` with such values"),
            "what bounds its result must be a literal, within its limits",
            "see the list of functions in docs/sql.md",
        )
        .or_at_text(name)
    }

    /// The magnitude and the digits of a number; nothing of null.
    fn bound(&self, at: usize) -> Result<Option<(BigUint, u32)>, Refusal> {
        match self.shape(at) {
            Shape::Number { most, scale } => Ok(Some((most, scale))),
            Shape::Null => Ok(None),
            _ => Err(self.wrong(at)),
        }
    }

    fn number(&self) -> Checked {
        let (first, second) = (
            self.bound(0)?,
            if self.args.len() > 1 {
                self.bound(1)?
            } else {
                None
            },
        );
        let Some((most, scale)) = first else {
            return Ok(Shape::Null);
        };
        let whole = BigUint::from(1u8);
        Ok(match self.function {
            Divide => {
                let Some((_, b)) = second else {
                    return Ok(Shape::Null);
                };
                self.quotient(most, scale, b)
            }
            Modulo => {
                let Some((other, b)) = second else {
                    return Ok(Shape::Null);
                };
                let top = scale.max(b);
                let most = scaled(most, top - scale).min(scaled(other, top - b));
                Shape::Number { most, scale: top }
            }
            Floor | Ceil => {
                let most = scaled(whole, 0) + most / scaled(BigUint::from(1u8), scale);
                Shape::Number { most, scale: 0 }
            }
            Round => {
                let digits = match self.args.len() {
                    1 => Some(0),
                    _ => literal_i64(self.constant(1).as_ref()),
                };
                let digits = digits.filter(|digits| (-18..=18).contains(digits));
                let digits = digits.ok_or_else(|| self.literal())?;
                let gives = rounded_scale(digits, scale);
                // What is cut off rounds up to one of the last digit that stays.
                let stays = u32::try_from((-digits).max(0)).unwrap_or(0);
                let most = most / scaled(BigUint::from(1u8), scale - gives) + scaled(whole, stays);
                Shape::Number { most, scale: gives }
            }
            WidthBucket => self.buckets()?,
            _ => Shape::Number { most, scale },
        })
    }

    /// A quotient is largest by the smallest divisor: a literal, or one of its last digit.
    fn quotient(&self, most: BigUint, scale: u32, b: u32) -> Shape {
        let literal = self.constant(1).as_ref().and_then(numbers::literal);
        let (least, b) = literal.map_or((1, b), |(number, b)| (number.unsigned_abs().max(1), b));
        let gives = self.digits.unwrap_or(0);
        let most = scaled(most, (gives + b).saturating_sub(scale)) / BigUint::from(least);
        Shape::Number { most, scale: gives }
    }

    fn buckets(&self) -> Checked {
        let ends = [1, 2].map(|at| self.constant(at).as_ref().and_then(numbers::literal));
        let count = literal_i64(self.constant(3).as_ref());
        let ([Some((low, a)), Some((high, b))], Some(count)) = (ends, count) else {
            return Err(self.literal());
        };
        let top = a.max(b);
        let same = |number: i128, scale: u32| number.checked_mul(10i128.checked_pow(top - scale)?);
        let rises = same(low, a)
            .zip(same(high, b))
            .is_some_and(|(low, high)| low < high);
        if !rises || !(1..=MAX_BUCKETS).contains(&count) || top > 18 {
            return Err(self.literal());
        }
        let most = BigUint::from(count.unsigned_abs()) + 1u8;
        Ok(Shape::Number { most, scale: 0 })
    }

    fn time(&self) -> Checked {
        let at = usize::from(matches!(self.function, DateTrunc | DatePart));
        let time = match self.shape(at) {
            time @ (Shape::Date | Shape::Time | Shape::Null) => time,
            _ => return Err(self.wrong(at)),
        };
        match self.function {
            Later => {
                let literals = (1..4).all(|at| literal_i64(self.constant(at).as_ref()).is_some());
                let whole = literal_i64(self.constant(3).as_ref()) == Some(0);
                match (literals, whole || time != Shape::Date) {
                    (true, true) => Ok(time),
                    (true, false) => Err(refuse(
                        "a day plus hours",
                        "a day has no hours",
                        "add whole days, or add hours to a timestamp",
                    )),
                    _ => Err(self.literal()),
                }
            }
            DaysLater | DaysBetween => {
                let second = self.shape(1);
                let number = matches!(second, Shape::Number { scale: 0, .. });
                let fits = match self.function {
                    DaysLater => number,
                    _ => second == Shape::Date,
                };
                match (&time, fits || second == Shape::Null) {
                    (Shape::Date | Shape::Null, true) if self.function == DaysLater => {
                        Ok(Shape::Date)
                    }
                    (Shape::Date | Shape::Null, true) => Ok(whole_number(DAYS)),
                    _ => Err(self.wrong(0)),
                }
            }
            _ => self.unit(time),
        }
    }

    fn unit(&self, time: Shape) -> Checked {
        let name = self.constant(0);
        let unit = name.as_ref().and_then(literal_text).and_then(Unit::named);
        let fits = |unit: &Unit| {
            (unit.of_days() || time != Shape::Date) && (unit.starts() || self.function == DatePart)
        };
        if unit.filter(fits).is_none() {
            let name = self.function.name();
            return Err(refuse(
                format!("`{name}` with such a unit"),
                "it is not on the list of units",
                "name year, quarter, month, week or day; dow, isodow or doy with date_part; hour or minute of a timestamp",
            )
            .or_at_text(name));
        }
        Ok(match self.function {
            DateTrunc => time,
            _ => whole_number(9_999),
        })
    }

    fn text(&self) -> Checked {
        let text = |at: usize| matches!(self.shape(at), Shape::Text | Shape::Null);
        let all = matches!(self.function, Join | Concat);
        let most = if all { self.args.len() } else { 1 };
        if let Some(at) = (0..most).find(|at| !text(*at)) {
            return Err(self.wrong(at));
        }
        let rest = (1..self.args.len()).map(|at| self.constant(at));
        let rest: Vec<_> = rest.collect();
        let texts = || {
            rest.iter()
                .all(|one| one.as_ref().and_then(literal_text).is_some())
        };
        let numbers = || rest.iter().map(|one| literal_i64(one.as_ref()));
        let sound = match self.function {
            Join | Concat => true,
            Substr => {
                let numbers: Vec<_> = numbers().collect();
                let length = numbers.get(1).copied().unwrap_or(Some(0));
                numbers.iter().all(Option::is_some) && length.is_some_and(|length| length >= 0)
            }
            Left | Right => numbers().all(|number| number.is_some_and(|number| number >= 0)),
            _ => texts(),
        };
        if !sound {
            return Err(self.literal());
        }
        Ok(match self.function {
            StartsWith | EndsWith | Contains => Shape::Bool,
            Length => whole_number(MAX_TEXT_BYTES as u64),
            _ => Shape::Text,
        })
    }
}

/// The days of the years 1 to 9999.
const DAYS: u64 = 3_652_059;

fn whole_number(most: u64) -> Shape {
    Shape::Number {
        most: most.into(),
        scale: 0,
    }
}

pub(crate) const FUNCTIONS: &str = "see the list of functions in docs/sql.md: of numbers, dates, texts, and coalesce, nullif, least, greatest";
