//! The unit of a number, such as `EUR`: where it stays what it was.
//!
//! A sum, a difference, a choice between numbers of one unit has that unit, and so has what is
//! multiplied or divided by a number without one that a column holds: a price times pieces is a
//! price. A factor that is written down may be a conversion; then nothing is said.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{AggregateFunction, Case, WindowFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::lineage::bare;
use crate::shape::Scope;

/// What is known of a number's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// Any: null or zero.
    Any,
    /// None, and it is no literal.
    Plain,
    /// A literal without a unit.
    Written,
    One(String),
    /// Several, or one to some power.
    Unclear,
}

impl Known {
    /// What an agreement says of a column.
    pub(crate) fn declared(unit: Option<&String>) -> Self {
        unit.cloned().map_or(Self::Plain, Self::One)
    }

    /// The unit, where there is one.
    pub(crate) fn unit(self) -> Option<String> {
        match self {
            Self::One(unit) => Some(unit),
            _ => None,
        }
    }
}

impl Scope<'_> {
    /// What is known of the unit of an aggregate over one person's rows.
    pub(crate) fn known_of(&self, function: &AggregateFunction) -> Known {
        let keeps = matches!(function.func.name(), "sum" | "min" | "max" | "avg");
        let arg = function.params.args.first().filter(|_| keeps);
        arg.map_or(Known::Plain, |arg| self.known(arg))
    }

    /// What is known of the unit of a function with OVER: that of the rows that it takes from,
    /// and of what stands in where there is no such row.
    pub(crate) fn known_over(&self, function: &WindowFunction) -> Known {
        let args = &function.params.args;
        match function.fun.name() {
            // Numbers that are written down, row by row, add up to a count.
            "sum" => match self.alike(args.iter().take(1)) {
                Known::Written => Known::Plain,
                known => known,
            },
            "min" | "max" | "avg" | "first_value" => self.alike(args.iter().take(1)),
            "lag" | "lead" => self.alike(args.iter().take(1).chain(args.get(2))),
            _ => Known::Plain,
        }
    }

    /// What is known of the unit of an expression.
    pub(crate) fn known(&self, expr: &Expr) -> Known {
        match bare(expr) {
            Expr::Column(column) => match self.field(column) {
                Ok(field) => field.counted_in.clone(),
                Err(_) => Known::Unclear,
            },
            Expr::Literal(value, _) => written(value),
            Expr::Cast(cast) => self.known(&cast.expr),
            Expr::Negative(inner) => self.known(inner),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.of_two(*op, left, right),
            Expr::Case(case) => self.chosen(case),
            Expr::ScalarFunction(call) => match call.func.name() {
                "coalesce" | "least" | "greatest" => self.alike(call.args.iter()),
                "abs" | "round" | "nullif" => call
                    .args
                    .first()
                    .map_or(Known::Unclear, |arg| self.known(arg)),
                "/" => match call.args.as_slice() {
                    [left, right] => self.of_two(Operator::Divide, left, right),
                    _ => Known::Unclear,
                },
                _ => Known::Plain,
            },
            _ => Known::Plain,
        }
    }

    fn of_two(&self, op: Operator, left: &Expr, right: &Expr) -> Known {
        match (op, self.known(left), self.known(right)) {
            (Operator::Plus | Operator::Minus, left, right) => same(left, right),
            (Operator::Multiply, Known::One(unit), Known::Plain)
            | (Operator::Multiply, Known::Plain, Known::One(unit))
            | (Operator::Divide, Known::One(unit), Known::Plain) => Known::One(unit),
            (Operator::Multiply | Operator::Divide, Known::One(_), _)
            | (Operator::Multiply | Operator::Divide, _, Known::One(_))
            | (_, Known::Unclear, _)
            | (_, _, Known::Unclear) => Known::Unclear,
            _ => Known::Plain,
        }
    }

    fn chosen(&self, case: &Case) -> Known {
        let then = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
        self.alike(then.chain(case.else_expr.as_deref()))
    }

    fn alike<'e>(&self, all: impl Iterator<Item = &'e Expr>) -> Known {
        all.fold(Known::Any, |known, expr| same(known, self.known(expr)))
    }
}

/// The unit of numbers that are added up or chosen from, or stand below each other. What is 1
/// less a share is a share.
pub(crate) fn same(one: Known, other: Known) -> Known {
    match (one, other) {
        (Known::Any, known) | (known, Known::Any) => known,
        (one, other) if one == other => one,
        (Known::Plain | Known::Written, Known::Plain | Known::Written) => Known::Plain,
        _ => Known::Unclear,
    }
}

fn written(value: &ScalarValue) -> Known {
    let zero = match value {
        ScalarValue::Int64(number) => number == &Some(0),
        ScalarValue::UInt64(number) => number == &Some(0),
        ScalarValue::Decimal128(number, ..) => number == &Some(0),
        _ => false,
    };
    if zero || value.is_null() {
        Known::Any
    } else {
        Known::Written
    }
}
