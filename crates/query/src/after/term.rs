//! Expressions over one row of released values.

use std::cmp::Ordering;

use super::quantity::{Observed, Quantity, variance};
use crate::measure::{Function, Made};

/// A value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Datum {
    Null,
    Bool(bool),
    Text(String),
    Number(Quantity),
}

impl Datum {
    /// A number that is written as a text.
    pub(crate) fn of_number(text: &str) -> Self {
        number(text.parse().ok().map(Quantity::exact))
    }
}

/// An expression over a row of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    /// A group key.
    Key(usize),
    /// An aggregate.
    Aggregate(usize),
    Literal(Datum),
    Arithmetic(Box<Term>, Arithmetic, Box<Term>),
    Compare(Box<Term>, Compare, Box<Term>),
    And(Box<Term>, Box<Term>),
    Or(Box<Term>, Box<Term>),
    Not(Box<Term>),
    IsNull(Box<Term>),
    /// Whether it is just this truth value: never null.
    Is(Box<Term>, bool),
    /// The first result whose condition is true, or else the last.
    Case(Vec<(Term, Term)>, Box<Term>),
    Call(Call, Vec<Term>),
    /// A text as a number.
    ToNumber(Box<Term>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Plus,
    Minus,
    Times,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// To so many digits after the point: half away from zero.
    Round(i32),
    /// Towards zero, to so many digits.
    Trunc(i32),
    Floor,
    Ceil,
    Sqrt,
    Abs,
    Coalesce,
    NullIf,
}

impl Term {
    /// Whether it is a quantile, of which the rank has a range and not the value.
    pub(crate) fn ranked(&self, made: &[Made]) -> bool {
        match self {
            Self::Aggregate(at) => made.get(*at).is_some_and(Made::ranked),
            Self::Case(cases, otherwise) => {
                cases.iter().any(|(_, then)| then.ranked(made)) || otherwise.ranked(made)
            }
            Self::Call(call, arguments) => {
                *call != Call::Abs && arguments.iter().any(|argument| argument.ranked(made))
            }
            _ => false,
        }
    }

    /// Whether its value is chosen by a noisy one.
    pub(crate) fn chooses(&self) -> bool {
        match self {
            Self::Case(..) | Self::Call(Call::Coalesce | Call::NullIf, _) => true,
            Self::Arithmetic(a, _, b)
            | Self::Compare(a, _, b)
            | Self::And(a, b)
            | Self::Or(a, b) => a.chooses() || b.chooses(),
            Self::Not(inner) | Self::IsNull(inner) | Self::Is(inner, _) | Self::ToNumber(inner) => {
                inner.chooses()
            }
            Self::Call(_, arguments) => arguments.iter().any(Self::chooses),
            Self::Key(_) | Self::Aggregate(_) | Self::Literal(_) => false,
        }
    }
}

/// A row of the answer, as expressions see it.
pub(crate) struct Row<'a> {
    /// The group's key, each of its own type.
    pub(crate) key: &'a [Datum],
    /// The noisy total of each measure.
    pub(crate) totals: &'a [Observed],
    /// How aggregates are put together from them.
    pub(crate) made: &'a [Made],
}

impl Row<'_> {
    /// The value of an expression; null where it has none.
    pub(crate) fn eval(&self, term: &Term) -> Datum {
        match term {
            Term::Key(at) => self.key.get(*at).cloned().unwrap_or(Datum::Null),
            Term::Aggregate(at) => number(self.made.get(*at).and_then(|made| self.aggregate(made))),
            Term::Literal(value) => value.clone(),
            Term::Arithmetic(left, operator, right) => match (self.eval(left), self.eval(right)) {
                (Datum::Number(left), Datum::Number(right)) => number(match operator {
                    Arithmetic::Plus => left.plus(&right),
                    Arithmetic::Minus => left.minus(&right),
                    Arithmetic::Times => left.times(&right),
                    Arithmetic::Over => left.over(&right),
                }),
                _ => Datum::Null,
            },
            Term::Compare(left, operator, right) => {
                let order = order(&self.eval(left), &self.eval(right));
                truth(order.map(|order| operator.holds(order)))
            }
            Term::And(left, right) => match (self.truth(left), self.truth(right)) {
                (Some(false), _) | (_, Some(false)) => Datum::Bool(false),
                (Some(true), Some(true)) => Datum::Bool(true),
                _ => Datum::Null,
            },
            Term::Or(left, right) => match (self.truth(left), self.truth(right)) {
                (Some(true), _) | (_, Some(true)) => Datum::Bool(true),
                (Some(false), Some(false)) => Datum::Bool(false),
                _ => Datum::Null,
            },
            Term::Not(inner) => truth(self.truth(inner).map(|truth| !truth)),
            Term::IsNull(inner) => Datum::Bool(self.eval(inner) == Datum::Null),
            Term::Is(inner, wanted) => Datum::Bool(self.truth(inner) == Some(*wanted)),
            Term::Case(cases, otherwise) => {
                let mut cases = cases.iter();
                let found = cases.find(|(when, _)| self.truth(when) == Some(true));
                self.eval(found.map_or(otherwise, |(_, then)| then))
            }
            Term::Call(call, arguments) => self.call(*call, arguments),
            Term::ToNumber(inner) => match self.eval(inner) {
                Datum::Text(text) => Datum::of_number(&text),
                Datum::Bool(truth) => number(Some(Quantity::exact(u8::from(truth).into()))),
                other => other,
            },
        }
    }

    /// Whether a condition holds; nothing where that is not known.
    pub(crate) fn truth(&self, term: &Term) -> Option<bool> {
        match self.eval(term) {
            Datum::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    fn call(&self, call: Call, arguments: &[Term]) -> Datum {
        let mut values = arguments.iter().map(|argument| self.eval(argument));
        if call == Call::Coalesce {
            return values
                .find(|value| *value != Datum::Null)
                .unwrap_or(Datum::Null);
        }
        let first = values.next().unwrap_or(Datum::Null);
        if call == Call::NullIf {
            let other = values.next().unwrap_or(Datum::Null);
            return match order(&first, &other) {
                Some(Ordering::Equal) => Datum::Null,
                _ => first,
            };
        }
        let Datum::Number(value) = first else {
            return Datum::Null;
        };
        let totals = self.totals;
        number(match call {
            Call::Round(digits) => value.in_order(totals, |x| at_digits(x, digits, f64::round)),
            Call::Trunc(digits) => value.in_order(totals, |x| at_digits(x, digits, f64::trunc)),
            Call::Floor => value.in_order(totals, f64::floor),
            Call::Ceil => value.in_order(totals, f64::ceil),
            Call::Sqrt if value.value() < 0.0 => None,
            Call::Sqrt => value.in_order(totals, |x| x.max(0.0).sqrt()),
            Call::Abs => value.absolute(totals),
            Call::Coalesce | Call::NullIf => None,
        })
    }

    /// An aggregate, put together from its measures.
    fn aggregate(&self, made: &Made) -> Option<Quantity> {
        let at = made.first;
        match (made.function, made.each) {
            (Function::Average, Some(each)) => {
                let (count, sum) = (
                    Quantity::total(at, self.totals),
                    Quantity::total(at + 1, self.totals),
                );
                let centre = Quantity::exact(unscaled(each.centre, made.scale));
                let average = sum.plus(&centre.times(&count)?)?.over(&count)?;
                let average = average.in_unit(made.unit.clone());
                Some(average.bounded(each.ends(made.scale)))
            }
            (Function::Spread { sample, root }, _) => {
                let spread = variance([at, at + 1, at + 2], sample, self.totals)?;
                match root {
                    true => {
                        let root = spread.in_order(self.totals, f64::sqrt)?;
                        Some(root.in_unit(made.unit.clone()))
                    }
                    false => Some(spread),
                }
            }
            _ => Some(Quantity::total(at, self.totals)),
        }
    }
}

impl Compare {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

fn number(quantity: Option<Quantity>) -> Datum {
    quantity.map_or(Datum::Null, Datum::Number)
}

fn truth(known: Option<bool>) -> Datum {
    known.map_or(Datum::Null, Datum::Bool)
}

/// How two values of one type compare; nothing where one is null.
pub(crate) fn order(left: &Datum, right: &Datum) -> Option<Ordering> {
    match (left, right) {
        (Datum::Bool(left), Datum::Bool(right)) => Some(left.cmp(right)),
        (Datum::Text(left), Datum::Text(right)) => Some(left.cmp(right)),
        (Datum::Number(left), Datum::Number(right)) => left.value().partial_cmp(&right.value()),
        _ => None,
    }
}

/// `f` of the number in units of its last digit.
fn at_digits(value: f64, digits: i32, f: impl Fn(f64) -> f64) -> f64 {
    let unit = power_of_ten(digits.unsigned_abs());
    match digits < 0 {
        true => f(value / unit) * unit,
        false => f(value * unit) / unit,
    }
}

/// 10^n, exactly while it fits.
pub(crate) fn power_of_ten(n: u32) -> f64 {
    (0..n.min(300)).fold(1.0, |power, _| power * 10.0)
}

/// A whole number of 10^-scale.
#[expect(
    clippy::cast_precision_loss,
    reason = "released numbers are for showing"
)]
pub(crate) fn unscaled(number: i128, scale: u8) -> f64 {
    number as f64 / power_of_ten(scale.into())
}
