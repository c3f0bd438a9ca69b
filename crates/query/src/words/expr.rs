//! Expressions in words: SQL as people write it, without what the planner adds.

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{
    AggregateFunction, Between, Case, InList, Like, ScalarFunction, Sort, WindowFunction,
};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, Operator, WindowFrame, WindowFrameBound,
    WindowFrameUnits,
};
use incamera_types::{Date, Decimal, Moment};

use super::{Names, counts_rows};
use crate::functions::Function;
use crate::lineage::bare;

/// Words that grow longer are cut: expressions can hold each other many times over.
const MOST: usize = 4_000;

/// The columns that an expression stands on, in words.
pub(super) struct Words<'a> {
    schema: &'a DFSchema,
    columns: &'a [String],
}

impl<'a> Words<'a> {
    pub(super) fn new(schema: &'a DFSchema, columns: &'a [String]) -> Self {
        Self { schema, columns }
    }

    /// Conditions that must all be met.
    pub(super) fn all(&self, conditions: &[Expr]) -> String {
        let each = conditions.iter().flat_map(split_conjunction);
        let each: Vec<_> = each
            .map(|one| self.within(one, &Operator::And, false))
            .collect();
        each.join(" AND ")
    }

    pub(super) fn of(&self, expr: &Expr) -> String {
        let mut said = self.whole(expr);
        if let Some((at, _)) = said.char_indices().nth(MOST) {
            said.truncate(at);
            said.push_str(" ...");
        }
        said
    }

    /// A value that the plan makes: the name that the SQL gives it, or else what it is; and
    /// both.
    pub(super) fn named(&self, expr: &Expr, names: &Names) -> (String, String) {
        let said = self.of(bare(expr));
        let name = match expr {
            Expr::Alias(alias) => names.get(&alias.name).unwrap_or(&alias.name),
            other => match names.get(&other.schema_name().to_string()) {
                Some(name) => name,
                None => return (said.clone(), said),
            },
        };
        (name.clone(), format!("{name} = {said}"))
    }

    pub(super) fn is_pseudonym(&self, expr: &Expr) -> bool {
        let ty = expr.get_type(self.schema);
        matches!(ty, Ok(DataType::FixedSizeBinary(_)))
    }

    /// An expression without casts that change no more than how a value is held.
    pub(super) fn uncast<'e>(&self, expr: &'e Expr) -> &'e Expr {
        match expr {
            Expr::Cast(cast) if !self.changes(cast) => self.uncast(bare(&cast.expr)),
            other => other,
        }
    }

    fn changes(&self, cast: &Cast) -> bool {
        let from = cast.expr.get_type(self.schema);
        let from = from.map_or(0, |ty| kind(&ty));
        from != 0 && from != kind(cast.field.data_type())
    }

    fn whole(&self, expr: &Expr) -> String {
        match self.uncast(bare(expr)) {
            Expr::Column(column) => self.column(column),
            Expr::Literal(value, _) => literal(value),
            Expr::Placeholder(placeholder) => placeholder.id.clone(),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => format!(
                "{} {op} {}",
                self.within(left, op, false),
                self.within(right, op, true)
            ),
            Expr::Not(inner) => format!("NOT {}", self.atom(inner)),
            Expr::Negative(inner) => format!("-{}", self.atom(inner)),
            Expr::IsNull(inner) => format!("{} IS NULL", self.atom(inner)),
            Expr::IsNotNull(inner) => format!("{} IS NOT NULL", self.atom(inner)),
            Expr::IsTrue(inner) => format!("{} IS TRUE", self.atom(inner)),
            Expr::IsFalse(inner) => format!("{} IS FALSE", self.atom(inner)),
            Expr::IsUnknown(inner) => format!("{} IS UNKNOWN", self.atom(inner)),
            Expr::IsNotTrue(inner) => format!("{} IS NOT TRUE", self.atom(inner)),
            Expr::IsNotFalse(inner) => format!("{} IS NOT FALSE", self.atom(inner)),
            Expr::IsNotUnknown(inner) => format!("{} IS NOT UNKNOWN", self.atom(inner)),
            Expr::Between(between) => self.between(between),
            Expr::Like(like) => self.like(like),
            Expr::InList(list) => self.in_list(list),
            Expr::Case(case) => self.case(case),
            Expr::Cast(cast) => {
                let to = in_sql(cast.field.data_type());
                format!("CAST({} AS {to})", self.whole(&cast.expr))
            }
            Expr::ScalarFunction(call) => self.call(call),
            Expr::AggregateFunction(function) => self.aggregate(function),
            Expr::WindowFunction(function) => self.window(function),
            other => other.human_display().to_string(),
        }
    }

    fn column(&self, column: &Column) -> String {
        let at = self.schema.maybe_index_of_column(column);
        let said = at.and_then(|at| self.columns.get(at));
        said.cloned().unwrap_or_else(|| column.name.clone())
    }

    /// A side of an operator, in brackets if it binds less.
    fn within(&self, expr: &Expr, op: &Operator, right: bool) -> String {
        let inner = match self.uncast(bare(expr)) {
            Expr::BinaryExpr(inner) => inner.op.precedence(),
            Expr::Between(_) | Expr::Like(_) | Expr::InList(_) | Expr::Not(_) => {
                Operator::And.precedence() + 1
            }
            Expr::ScalarFunction(call) if infix(call) => Operator::Plus.precedence(),
            _ => u8::MAX,
        };
        let own = op.precedence();
        let joins = matches!(op, Operator::And | Operator::Or | Operator::Plus);
        match inner < own || (inner == own && right && !joins) {
            true => format!("({})", self.whole(expr)),
            false => self.whole(expr),
        }
    }

    /// What needs no brackets.
    fn atom(&self, expr: &Expr) -> String {
        let many = match self.uncast(bare(expr)) {
            Expr::BinaryExpr(_)
            | Expr::Between(_)
            | Expr::Like(_)
            | Expr::InList(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_) => true,
            Expr::ScalarFunction(call) => infix(call),
            _ => false,
        };
        match many {
            true => format!("({})", self.whole(expr)),
            false => self.whole(expr),
        }
    }

    fn between(&self, between: &Between) -> String {
        let not = if between.negated { "NOT " } else { "" };
        let sides = [&between.expr, &between.low, &between.high];
        let [value, low, high] = sides.map(|side| self.atom(side));
        format!("{value} {not}BETWEEN {low} AND {high}")
    }

    fn like(&self, like: &Like) -> String {
        let not = if like.negated { "NOT " } else { "" };
        let how = if like.case_insensitive {
            "ILIKE"
        } else {
            "LIKE"
        };
        format!(
            "{} {not}{how} {}",
            self.atom(&like.expr),
            self.atom(&like.pattern)
        )
    }

    fn in_list(&self, list: &InList) -> String {
        let not = if list.negated { "NOT " } else { "" };
        format!(
            "{} {not}IN ({})",
            self.atom(&list.expr),
            self.each(&list.list)
        )
    }

    fn each(&self, exprs: &[Expr]) -> String {
        let each: Vec<_> = exprs.iter().map(|one| self.whole(one)).collect();
        each.join(", ")
    }

    fn case(&self, case: &Case) -> String {
        let mut said = String::from("CASE");
        if let Some(of) = &case.expr {
            said += &format!(" {}", self.whole(of));
        }
        for (when, then) in &case.when_then_expr {
            said += &format!(" WHEN {} THEN {}", self.whole(when), self.whole(then));
        }
        if let Some(other) = &case.else_expr {
            said += &format!(" ELSE {}", self.whole(other));
        }
        said + " END"
    }

    fn call(&self, call: &ScalarFunction) -> String {
        let args = &call.args;
        match (Function::of(&call.func), args.as_slice()) {
            (Some(Function::DaysLater), [day, days, sign]) => {
                let less = matches!(sign, Expr::Literal(ScalarValue::Int64(Some(..0)), _));
                let sign = if less { '-' } else { '+' };
                format!("{} {sign} {}", self.atom(day), self.atom(days))
            }
            (Some(Function::Later), [moment, by @ ..]) => {
                format!("{}{}", self.atom(moment), interval(by))
            }
            (Some(function), [a, b]) if infix(call) => {
                format!("{} {} {}", self.atom(a), function.name(), self.atom(b))
            }
            _ => format!("{}({})", call.func.name().to_uppercase(), self.each(args)),
        }
    }

    fn aggregate(&self, function: &AggregateFunction) -> String {
        let params = &function.params;
        let args = match counts_rows(function) {
            true => "*".to_owned(),
            false => self.each(&params.args),
        };
        let distinct = if params.distinct { "DISTINCT " } else { "" };
        let filter = params.filter.as_ref();
        let filter = filter.map(|one| format!(" FILTER (WHERE {})", self.whole(one)));
        format!(
            "{}({distinct}{args}){}",
            function.func.name().to_uppercase(),
            filter.unwrap_or_default()
        )
    }

    fn window(&self, function: &WindowFunction) -> String {
        let params = &function.params;
        let name = function.fun.name();
        let args = match (name, params.args.as_slice()) {
            ("count", [Expr::Literal(..)]) => "*".to_owned(),
            _ => self.each(&params.args),
        };
        let filter = params.filter.as_ref();
        let filter = filter.map(|one| format!(" FILTER (WHERE {})", self.whole(one)));
        let mut said = format!(
            "{}({args}){} over the rows with the same {}",
            name.to_uppercase(),
            filter.unwrap_or_default(),
            self.each(&params.partition_by)
        );
        if !params.order_by.is_empty() {
            let by: Vec<_> = params.order_by.iter().map(|by| self.sort(by)).collect();
            said += &format!(", in order of {}", by.join(", "));
        }
        let by_place = ["row_number", "rank", "dense_rank", "lag", "lead"];
        if !by_place.contains(&name) {
            said += &frame(&params.window_frame);
        }
        said
    }

    fn sort(&self, by: &Sort) -> String {
        let down = if by.asc { "" } else { ", the last first" };
        format!("{}{down}", self.whole(&by.expr))
    }
}

/// Whether a call is written between its arguments.
fn infix(call: &ScalarFunction) -> bool {
    use Function::{DaysBetween, DaysLater, Divide, Join, Later, Modulo};
    let function = Function::of(&call.func);
    matches!(
        function,
        Some(DaysBetween | DaysLater | Divide | Join | Later | Modulo)
    )
}

/// Months, days and microseconds.
fn interval(by: &[Expr]) -> String {
    let units = ["months", "days", "microseconds"].into_iter();
    let number = |expr: &Expr| match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => *number,
        _ => 0,
    };
    let said = by
        .iter()
        .map(number)
        .zip(units)
        .filter(|(number, _)| *number != 0);
    let said = said.map(|(number, unit)| {
        let sign = if number < 0 { '-' } else { '+' };
        match (unit, number.unsigned_abs()) {
            ("microseconds", most) if most % 3_600_000_000 == 0 => {
                format!(" {sign} {} hours", most / 3_600_000_000)
            }
            ("microseconds", most) if most % 1_000_000 == 0 => {
                format!(" {sign} {} seconds", most / 1_000_000)
            }
            (unit, most) => format!(" {sign} {most} {unit}"),
        }
    });
    said.collect()
}

/// From which row to which, where that is not all of them.
fn frame(frame: &WindowFrame) -> String {
    use WindowFrameBound::{CurrentRow, Following, Preceding};
    let rows = frame.units == WindowFrameUnits::Rows;
    let all = |bound: &ScalarValue| bound.is_null();
    match (&frame.start_bound, &frame.end_bound) {
        (Preceding(a), Following(b)) if all(a) && all(b) => return String::new(),
        _ => {}
    }
    let unit = if rows { " rows" } else { "" };
    let end = |bound: &WindowFrameBound| match bound {
        Preceding(most) if all(most) => "the first".to_owned(),
        Following(most) if all(most) => "the last".to_owned(),
        CurrentRow if rows => "itself".to_owned(),
        CurrentRow => "itself and its equals".to_owned(),
        Preceding(most) => format!("{most}{unit} before it"),
        Following(most) => format!("{most}{unit} after it"),
    };
    format!(
        ", from {} to {}",
        end(&frame.start_bound),
        end(&frame.end_bound)
    )
}

/// Types between which nothing changes but how a value is held; 0 if it has none.
fn kind(ty: &DataType) -> u8 {
    match ty {
        DataType::Null => 0,
        DataType::Boolean => 1,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 2,
        DataType::Date32 => 3,
        DataType::Timestamp(..) => 4,
        ty if ty.is_numeric() => 5,
        _ => 6,
    }
}

/// A type as SQL writes it.
pub(crate) fn in_sql(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Int64 | DataType::UInt64 => "BIGINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => "bytes".into(),
        DataType::Interval(_) => "INTERVAL".into(),
        other => other.to_string(),
    }
}

fn literal(value: &ScalarValue) -> String {
    match value {
        value if value.is_null() => "NULL".into(),
        ScalarValue::Boolean(Some(true)) => "TRUE".into(),
        ScalarValue::Boolean(Some(false)) => "FALSE".into(),
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        ScalarValue::Date32(Some(day)) => Date::from_days(*day).to_string(),
        ScalarValue::TimestampMicrosecond(Some(moment), _) => {
            Moment::from_micros(*moment).map_or_else(|| value.to_string(), |at| at.to_string())
        }
        ScalarValue::Decimal128(Some(number), _, scale) => {
            let scale = u8::try_from(*scale).ok();
            let number = scale.and_then(|scale| Decimal::new(*number, scale));
            number.map_or_else(|| value.to_string(), |number| number.to_string())
        }
        other => other.to_string(),
    }
}
