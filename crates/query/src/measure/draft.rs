//! The aggregates as the SQL says them.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Case, Cast, Expr};
use incamera_types::{ColumnRef, Decimal};

use super::{ALLOWED, refuse};
use crate::lineage::{Field, Unit, bare};
use crate::refusal::Refusal;
use crate::shape::{Scope, Shape};

/// What an aggregate asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Function {
    /// COUNT(DISTINCT person).
    People,
    /// COUNT(*), COUNT(column).
    Rows,
    /// COUNT(DISTINCT column).
    Distinct,
    /// SUM.
    Sum,
    /// AVG.
    Average,
    /// VARIANCE and STDDEV.
    Spread {
        /// Whether it is divided by one less than the number of values.
        sample: bool,
        /// Whether it is the square root.
        root: bool,
    },
    /// MEDIAN, PERCENTILE_CONT: the value with this share of values below it.
    Quantile {
        /// Thousandths of the values.
        per_mille: u32,
    },
    /// MIN and MAX: a quantile so near the end as noise allows.
    Extreme {
        /// Whether it is MAX.
        most: bool,
    },
}

/// An aggregate as the SQL says it.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) function: Function,
    /// Whether it counts all people of the group.
    pub(crate) people: bool,
    /// What is added up; nothing where the row's presence is enough.
    pub(crate) value: Option<Expr>,
    pub(super) scale: u8,
    pub(super) unit: Option<String>,
    /// The stored column that is added up, where it is one as it is.
    pub(super) origin: Option<ColumnRef>,
}

/// Reads the aggregates, in the order in which the plan has them; `names` are what they are
/// called.
pub(crate) fn drafts(
    names: &[String],
    aggregate: &Aggregate,
    scope: &Scope<'_>,
) -> Result<Vec<Draft>, Refusal> {
    let mut drafts: Vec<Draft> = Vec::new();
    for (name, expr) in names.iter().zip(&aggregate.aggr_expr) {
        let Expr::AggregateFunction(function) = bare(expr) else {
            return Err(refuse(format!("`{name}`"), "it is no aggregate", ALLOWED));
        };
        let draft = Reader { name, scope }.draft(function);
        drafts.push(draft.map_err(|refusal| refusal.or_at_text(name))?);
    }
    match drafts.is_empty() {
        true => Err(refuse(
            "no aggregate",
            "there is nothing to answer",
            ALLOWED,
        )),
        false => Ok(drafts),
    }
}

/// What an aggregate without a name is called: `sum_amount`, `count_rows`.
pub(crate) fn unnamed(expr: &Expr) -> String {
    let Expr::AggregateFunction(function) = bare(expr) else {
        return String::new();
    };
    let arguments = function.params.args.iter();
    let columns = arguments.flat_map(Expr::column_refs);
    let column = columns.map(|column| column.name.as_str()).min();
    format!("{}_{}", function.func.name(), column.unwrap_or("rows"))
}

/// Noise is drawn by an aggregate's name: none may look like a part of another's.
pub(crate) fn plainly_named(names: &[String]) -> Result<(), Refusal> {
    match names.iter().find(|name| !plain(name)) {
        None => Ok(()),
        Some(odd) => Err(refuse(
            format!("an aggregate called `{odd}`"),
            "a name has letters, digits and underscores, 63 at most, and begins with no digit",
            "give it such a name with AS",
        )),
    }
}

/// Whether a name is one that people write without quotes.
fn plain(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let all = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    first && all && name.len() <= 63
}

struct Reader<'a> {
    name: &'a str,
    scope: &'a Scope<'a>,
}

impl Reader<'_> {
    fn draft(&self, function: &AggregateFunction) -> Result<Draft, Refusal> {
        let name = self.name;
        let params = &function.params;
        let function_name = function.func.name();
        let ordered = params.order_by.is_empty() || is_percentile(function_name);
        if !ordered || params.null_treatment.is_some() {
            return Err(refuse(
                format!("a clause inside the aggregate `{name}`"),
                "ORDER BY and NULL clauses are not on the list",
                "leave it out",
            ));
        }
        let filter = params.filter.as_deref();
        if let Some(condition) = filter {
            self.scope.condition(condition)?;
        }
        let function = function.func.name();
        let mut draft = match (function, params.distinct, params.args.as_slice()) {
            ("count", true, [arg]) => self.different(arg)?,
            ("count", false, [Expr::Literal(value, _)]) if !value.is_null() => {
                self.plain(Function::Rows, None)
            }
            ("count", false, [arg]) => self.count(arg)?,
            ("sum", false, [arg]) => self.numbers(Function::Sum, "SUM", arg)?,
            ("avg", false, [arg]) => self.numbers(Function::Average, "AVG", arg)?,
            ("median", false, [arg]) => {
                self.numbers(Function::Quantile { per_mille: 500 }, "MEDIAN", arg)?
            }
            ("min", _, [arg]) => self.numbers(Function::Extreme { most: false }, "MIN", arg)?,
            ("max", _, [arg]) => self.numbers(Function::Extreme { most: true }, "MAX", arg)?,
            (name, false, [arg, share]) if is_percentile(name) => {
                let per_mille = per_mille(share).ok_or_else(|| self.no_share())?;
                let mut orders = params.order_by.iter();
                let per_mille = match orders.all(|by| by.asc) {
                    true => per_mille,
                    false => 1000 - per_mille,
                };
                self.numbers(Function::Quantile { per_mille }, "PERCENTILE_CONT", arg)?
            }
            (function, false, [arg]) => match spread(function) {
                Some(spread) => self.numbers(spread, &function.to_uppercase(), arg)?,
                None => return Err(self.not_on_list()),
            },
            _ => return Err(self.not_on_list()),
        };
        if let Some(condition) = filter {
            draft.only_if(condition);
        }
        Ok(draft)
    }

    fn no_share(&self) -> Refusal {
        refuse(
            format!("the percentile `{}`", self.name),
            "its share is no number from 0 to 1 with at most three digits after the point",
            "write it down, such as APPROX_PERCENTILE_CONT(x, 0.95)",
        )
    }

    fn not_on_list(&self) -> Refusal {
        refuse(
            format!("the aggregate `{}`", self.name),
            "it is not on the list",
            ALLOWED,
        )
    }

    fn plain(&self, function: Function, value: Option<Expr>) -> Draft {
        Draft {
            name: self.name.to_owned(),
            function,
            people: false,
            value,
            scale: 0,
            unit: None,
            origin: None,
        }
    }

    fn column(&self, expr: &Expr) -> Option<&Field> {
        match bare(expr) {
            Expr::Column(column) => self.scope.field(column).ok(),
            _ => None,
        }
    }

    /// COUNT of a column: the rows that have a value in it.
    fn count(&self, arg: &Expr) -> Result<Draft, Refusal> {
        self.scope.shape(arg)?;
        Ok(self.plain(Function::Rows, Some(arg.clone().is_not_null())))
    }

    /// COUNT(DISTINCT ...) of people, or of values.
    fn different(&self, arg: &Expr) -> Result<Draft, Refusal> {
        let unit = self.column(arg).map(|field| field.unit);
        match unit {
            Some(Unit::Certain) => Ok(Draft {
                people: true,
                ..self.plain(Function::People, None)
            }),
            Some(Unit::Maybe) => Ok(self.plain(Function::People, Some(arg.clone().is_not_null()))),
            _ => match self.scope.shape(arg)? {
                Shape::Pseudonym(_) => Err(refuse(
                    format!("COUNT(DISTINCT ...) in `{}`", self.name),
                    "people are counted by the pseudonym that the data sets are joined on",
                    "write COUNT(DISTINCT person)",
                )),
                _ => Ok(self.plain(Function::Distinct, Some(arg.clone()))),
            },
        }
    }

    /// An aggregate of numbers.
    fn numbers(&self, function: Function, called: &str, arg: &Expr) -> Result<Draft, Refusal> {
        let arg = without_float(arg);
        let scale = match self.scope.shape(arg)? {
            Shape::Number { .. } => self.scale_of(arg),
            _ => None,
        };
        let scale = scale.ok_or_else(|| {
            refuse(
                format!("{called} in `{}`", self.name),
                "its argument is no number of at most 18 digits after the point",
                "use an int or decimal column",
            )
        })?;
        let origin = self.column(arg).and_then(|field| field.origin.clone());
        Ok(Draft {
            scale,
            unit: self.scope.known(arg).unit(),
            origin: origin.map(|(dataset, column)| ColumnRef { dataset, column }),
            ..self.plain(function, Some(arg.clone()))
        })
    }

    /// The digits after the point in which the engine adds up.
    fn scale_of(&self, arg: &Expr) -> Option<u8> {
        use arrow::datatypes::DataType;
        use datafusion::logical_expr::ExprSchemable;
        let scale = match arg.get_type(self.scope.schema).ok()? {
            DataType::Int64 => 0,
            DataType::Decimal128(_, scale) => u8::try_from(scale).ok()?,
            _ => return None,
        };
        (scale <= Decimal::MAX_SCALE).then_some(scale)
    }
}

fn is_percentile(function: &str) -> bool {
    matches!(function, "approx_percentile_cont" | "percentile_cont")
}

/// A share as thousandths.
fn per_mille(share: &Expr) -> Option<u32> {
    let Expr::Literal(value, _) = without_float(share) else {
        return None;
    };
    let number = match value {
        ScalarValue::Float64(Some(share)) => share * 1000.0,
        ScalarValue::Int64(Some(share @ 0..=1)) => f64::from(u32::try_from(*share).ok()?) * 1000.0,
        ScalarValue::Decimal128(Some(share), _, digits) => {
            Decimal::new(*share, u8::try_from(*digits).ok()?)?.to_f64() * 1000.0
        }
        _ => return None,
    };
    (0..=1000u32).find(|whole| (f64::from(*whole) - number).abs() < 1e-9)
}

fn spread(function: &str) -> Option<Function> {
    let (sample, root) = match function {
        "var" => (true, false),
        "var_pop" => (false, false),
        "stddev" => (true, true),
        "stddev_pop" => (false, true),
        _ => return None,
    };
    Some(Function::Spread { sample, root })
}

/// The argument without the cast that the planner puts around it: values are added up as the
/// whole numbers that they are.
fn without_float(expr: &Expr) -> &Expr {
    match bare(expr) {
        Expr::Cast(Cast { expr: inner, field })
            if *field.data_type() == arrow::datatypes::DataType::Float64 =>
        {
            without_float(inner)
        }
        other => other,
    }
}

impl Draft {
    /// FILTER (WHERE condition): rows that do not meet it count as rows without a value.
    fn only_if(&mut self, condition: &Expr) {
        let truth = Expr::Literal(ScalarValue::Boolean(Some(true)), None);
        let then = self.value.take().unwrap_or(truth);
        self.people = false;
        self.value = Some(Expr::Case(Case {
            expr: None,
            when_then_expr: vec![(Box::new(condition.clone()), Box::new(then))],
            else_expr: None,
        }));
    }
}
