//! Whose rows they are, once more: over the plan that runs.
//!
//! # Claim
//! The engine's optimizer writes a plan anew after [`lineage`](crate::lineage) has passed it. Each
//! row of what it wrote still belongs to one person and is made of that person's rows and of
//! public ones: the same rules, for the nodes alone. What expressions do was looked at before.
//!
//! A later engine that writes something else here is refused by this, before anything is asked.

use std::collections::BTreeMap;

use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, TableScan};
use incamera_types::{DatasetName, DatasetSpec};

use crate::lineage::{Unit, bare, equalities};
use crate::refusal::Refusal;
use crate::refused::{join_type, not_allowed, not_in, not_linked, public_left, unit_lost};

/// What is known of the rows of a node.
struct Rows {
    units: Vec<Unit>,
    /// Whether they belong to people.
    private: bool,
}

type Walked = Result<Rows, Refusal>;

/// Whether each row of a plan belongs to one person, who stands in its first column.
///
/// # Errors
/// [`Refusal`] of the node that loses it.
pub(crate) fn kept(
    plan: &LogicalPlan,
    datasets: &BTreeMap<DatasetName, DatasetSpec>,
) -> Result<(), Refusal> {
    match rows(plan, datasets)?.units.first() {
        Some(Unit::Certain) => Ok(()),
        _ => Err(unit_lost("rows without a certain pseudonym".into())),
    }
}

fn rows(plan: &LogicalPlan, datasets: &BTreeMap<DatasetName, DatasetSpec>) -> Walked {
    let below = |input| rows(input, datasets);
    match plan {
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() => table(scan, datasets),
        LogicalPlan::SubqueryAlias(alias) => below(&alias.input),
        LogicalPlan::Filter(filter) => below(&filter.input),
        LogicalPlan::Projection(made) => {
            let input = below(&made.input)?;
            Ok(input.passed(&made.input, &made.expr))
        }
        LogicalPlan::Join(join) => joined(join, below(&join.left)?, below(&join.right)?),
        LogicalPlan::Aggregate(made) => {
            let input = below(&made.input)?;
            let mut keys = input.passed(&made.input, &made.group_expr);
            keys.one_persons()?;
            let values = made.aggr_expr.iter().map(|_| Unit::No);
            keys.units.extend(values);
            Ok(keys)
        }
        LogicalPlan::Window(made) => {
            let mut input = below(&made.input)?;
            for expr in &made.window_expr {
                let Expr::WindowFunction(function) = bare(expr) else {
                    return Err(not_allowed(plan));
                };
                let among = input.passed(&made.input, &function.params.partition_by);
                among.one_persons()?;
            }
            let values = made.window_expr.iter().map(|_| Unit::No);
            input.units.extend(values);
            Ok(input)
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let rows = below(input)?;
            rows.one_persons().map(|()| rows)
        }
        LogicalPlan::Union(union) => {
            let sides = union.inputs.iter().map(|input| below(input));
            united(sides.collect::<Result<_, _>>()?)
        }
        // No rows at all are anybody's.
        LogicalPlan::EmptyRelation(none) if !none.produce_one_row => Ok(Rows {
            units: vec![Unit::Certain; none.schema.fields().len()],
            private: true,
        }),
        other => Err(not_allowed(other)),
    }
}

fn table(scan: &TableScan, datasets: &BTreeMap<DatasetName, DatasetSpec>) -> Walked {
    let spec = datasets.get(scan.table_name.table());
    let spec = spec.ok_or_else(|| unit_lost(format!("table `{}`", scan.table_name)))?;
    let person = spec.person_column().filter(|_| !spec.public);
    let fields = scan.projected_schema.fields().iter();
    let unit = |name: &str| match person {
        Some(column) if column.name.as_str() == name => Unit::Certain,
        _ => Unit::No,
    };
    Ok(Rows {
        units: fields.map(|field| unit(field.name())).collect(),
        private: !spec.public,
    })
}

fn joined(join: &Join, left: Rows, right: Rows) -> Walked {
    use JoinType::{Inner, Left, LeftAnti, LeftSemi};
    if !matches!(join.join_type, Inner | Left | LeftSemi | LeftAnti) {
        return Err(join_type(join.join_type));
    }
    if join.null_equality != NullEquality::NullEqualsNothing {
        return Err(not_linked());
    }
    let both = |(a, b): (&Expr, &Expr)| {
        let one = |expr: &Expr| {
            let side = (left.unit(&join.left, expr), right.unit(&join.right, expr));
            match side {
                (Some(unit), _) => (true, unit),
                (_, Some(unit)) => (false, unit),
                _ => (true, Unit::No),
            }
        };
        (one(a), one(b))
    };
    let mut pairs = equalities(join).map(both);
    let links = |((here, a), (there, b)): &((bool, Unit), (bool, Unit))| {
        here != there && *a != Unit::No && *b != Unit::No
    };
    match (left.private, right.private) {
        (true, true) if !pairs.any(|pair| links(&pair)) => return Err(not_linked()),
        (false, true) if join.join_type != Inner => return Err(public_left()),
        _ => {}
    }
    let certain = |((_, a), (_, b))| a == Unit::Certain && b == Unit::Certain;
    if join.null_aware && right.private && !equalities(join).map(both).all(certain) {
        return Err(not_in());
    }
    let private = left.private || right.private;
    let right = right.units.into_iter().map(|unit| match unit {
        Unit::Certain if join.join_type == Left => Unit::Maybe,
        unit => unit,
    });
    let keeps = matches!(join.join_type, LeftSemi | LeftAnti);
    let right = right.filter(|_| !keeps);
    Ok(Rows {
        units: left.units.into_iter().chain(right).collect(),
        private,
    })
}

fn united(sides: Vec<Rows>) -> Walked {
    let private = sides.iter().any(|side| side.private);
    let width = sides.first().map_or(0, |side| side.units.len());
    let at = |at| {
        let mut units = sides.iter().map(|side| side.units.get(at));
        match units.all(|unit| unit == Some(&Unit::Certain)) {
            true => Unit::Certain,
            false => Unit::No,
        }
    };
    let rows = Rows {
        units: (0..width).map(at).collect(),
        private,
    };
    match sides.iter().all(|side| side.private == private) {
        true => rows.one_persons().map(|()| rows),
        false => Err(unit_lost("a UNION of people's rows and others".into())),
    }
}

impl Rows {
    /// The unit of an expression over them: of a column as it is.
    fn unit(&self, plan: &LogicalPlan, expr: &Expr) -> Option<Unit> {
        let Expr::Column(column) = bare(expr) else {
            return None;
        };
        let at = plan.schema().maybe_index_of_column(column)?;
        self.units.get(at).copied()
    }

    /// Rows of these expressions.
    fn passed(&self, plan: &LogicalPlan, exprs: &[Expr]) -> Self {
        let unit = |expr| self.unit(plan, expr).unwrap_or(Unit::No);
        Self {
            units: exprs.iter().map(unit).collect(),
            private: self.private,
        }
    }

    /// What is made of those that are the same here is made of one person's.
    fn one_persons(&self) -> Result<(), Refusal> {
        match !self.private || self.units.contains(&Unit::Certain) {
            true => Ok(()),
            false => Err(unit_lost("rows of several people in one".into())),
        }
    }
}
