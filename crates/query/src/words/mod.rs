//! What a plan makes of rows, in words: every condition, every join and every row that is made,
//! in order, down to the columns of the data sets.
//!
//! # Claim
//! The words are of the plan that is checked. Conditions that the scan answers are told apart
//! from later ones: the same rules of the engine move them there that move them in what runs.
//! Where nobody has given values, parameters stand as `$name`, and no value in their place.

mod expr;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, Join, JoinType, LogicalPlan, Projection, SubqueryAlias, TableScan, Union,
    Window,
};
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use incamera_types::and;

use crate::after::{Output, Term};
use crate::lineage::bare;
use expr::Words;
pub(crate) use expr::in_sql;

/// A plan to be told: its top aggregate, and what its columns are called.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    top: LogicalPlan,
    keys: Vec<String>,
    values: Vec<String>,
}

/// A plan in words.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What each reading of a data set asks of its rows; nothing where it takes all.
    pub(crate) readings: BTreeMap<String, Vec<Option<String>>>,
    /// What is made of them.
    pub(crate) steps: Vec<String>,
    /// The group keys, by name, ...
    pub(crate) keys: BTreeMap<String, String>,
    /// ... and the aggregates.
    pub(crate) values: Vec<(String, String)>,
}

impl Spoken {
    /// Of a plan with `values` as the names of its aggregates.
    pub(crate) fn new(plan: &LogicalPlan, outputs: &[Output], values: &[String]) -> Option<Self> {
        let top = top(plan)?;
        let LogicalPlan::Aggregate(aggregate) = top else {
            return None;
        };
        let name = |at| {
            let key = |output: &&Output| output.term == Term::Key(at);
            outputs.iter().find(key).map(|output| output.name.clone())
        };
        Some(Self {
            keys: (0..aggregate.group_expr.len())
                .map(|at| name(at).unwrap_or_default())
                .collect(),
            values: values.to_vec(),
            top: top.clone(),
        })
    }

    /// In words; nothing where the engine finds none.
    pub(crate) fn told(&self) -> Option<Told> {
        let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
            Arc::new(SimplifyExpressions::new()),
            Arc::new(ExtractEquijoinPredicate::new()),
            Arc::new(EliminateFilter::new()),
            Arc::new(EliminateCrossJoin::new()),
            Arc::new(EliminateOuterJoin::new()),
            Arc::new(PushDownFilter::new()),
        ];
        let plan = Optimizer::with_rules(rules)
            .optimize(self.top.clone(), &OptimizerContext::new(), |_, _| {})
            .ok()?;
        let Some(LogicalPlan::Aggregate(aggregate)) = top(&plan) else {
            return None;
        };
        let mut walk = Walk::default();
        walk.count(&aggregate.input);
        let rows = walk.rows(&aggregate.input, &Names::new());
        let words = Words::new(aggregate.input.schema(), &rows.columns);
        let keys = self.keys.iter().zip(&aggregate.group_expr);
        let keys = keys.map(|(name, key)| (name.clone(), words.of(bare(key))));
        let values = self.values.iter().zip(&aggregate.aggr_expr);
        let values = values.map(|(name, value)| (name.clone(), words.of(bare(value))));
        Some(Told {
            keys: keys.collect(),
            values: values.collect(),
            ..walk.told
        })
    }
}

/// The top aggregate.
fn top(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Aggregate(_) => Some(plan),
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => top(plan.inputs().first()?),
        _ => None,
    }
}

/// What the SQL calls columns that the engine names after what they are made of.
type Names = BTreeMap<String, String>;

/// Rows, in words.
struct Said {
    /// What they are called; empty for those that were made last.
    of: String,
    /// The columns.
    columns: Vec<String>,
}

impl Said {
    /// ` of` them, where they have a name.
    fn of(&self) -> String {
        match self.of.is_empty() {
            true => String::new(),
            false => format!(" of {}", self.of),
        }
    }

    fn them(&self) -> &str {
        match self.of.is_empty() {
            true => "them",
            false => &self.of,
        }
    }
}

#[derive(Default)]
struct Walk {
    told: Told,
    /// How often each data set is read.
    readings: BTreeMap<String, usize>,
    /// Rows that were given a number.
    numbered: usize,
}

impl Walk {
    fn count(&mut self, plan: &LogicalPlan) {
        if let LogicalPlan::TableScan(scan) = plan {
            *self
                .readings
                .entry(scan.table_name.table().into())
                .or_default() += 1;
        }
        plan.inputs()
            .into_iter()
            .for_each(|input| self.count(input));
    }

    fn step(&mut self, step: String) {
        self.told.steps.push(step);
    }

    /// Tells a plan; `names` are those that a projection above gives its columns.
    fn rows(&mut self, plan: &LogicalPlan, names: &Names) -> Said {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.called(alias),
            LogicalPlan::Projection(made) => self.projection(made, names),
            LogicalPlan::Filter(filter) => {
                let rows = self.rows(&filter.input, names);
                let asked = Words::new(filter.input.schema(), &rows.columns).of(&filter.predicate);
                self.step(format!("keep the rows{} with {asked}", rows.of()));
                rows
            }
            LogicalPlan::Aggregate(made) => self.aggregate(made, names),
            LogicalPlan::Distinct(_) => {
                let rows = self.below(plan);
                self.step(format!("keep equal rows{} of a person once", rows.of()));
                rows
            }
            LogicalPlan::Window(made) => self.window(made, names),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            _ => self.below(plan),
        }
    }

    /// Of a plan with one input, that; of others, no more than its columns.
    fn below(&mut self, plan: &LogicalPlan) -> Said {
        let inputs = plan.inputs();
        let mut said = inputs
            .into_iter()
            .map(|input| self.rows(input, &Names::new()));
        let one = said
            .next()
            .filter(|one| one.columns.len() == plan.schema().fields().len());
        one.unwrap_or_else(|| Said {
            of: String::new(),
            columns: fields(plan).collect(),
        })
    }

    fn scan(&mut self, scan: &TableScan) -> Said {
        let table = scan.table_name.table();
        let fields = scan.projected_schema.fields().iter();
        let columns: Vec<_> = fields
            .map(|field| format!("{table}.{}", field.name()))
            .collect();
        // Conditions may be on columns that are not handed on.
        let stored = scan.source.schema();
        let stored = DFSchema::try_from_qualified_schema(table, &stored);
        let all = stored.as_ref().map(|all| {
            let fields = all.fields().iter();
            fields
                .map(|field| format!("{table}.{}", field.name()))
                .collect::<Vec<_>>()
        });
        let filters = match (&stored, &all) {
            (Ok(stored), Ok(all)) if !scan.filters.is_empty() => {
                Some(Words::new(stored, all).all(&scan.filters))
            }
            _ => None,
        };
        let readings = self.told.readings.entry(table.to_owned()).or_default();
        readings.push(filters);
        let of = match self.readings.get(table) {
            Some(2..) => format!("reading {} of `{table}`", readings.len()),
            _ => format!("`{table}`"),
        };
        Said { of, columns }
    }

    fn called(&mut self, alias: &SubqueryAlias) -> Said {
        let rows = self.rows(&alias.input, &Names::new());
        let name = alias.alias.table();
        let once = |table: &TableScan| self.readings.get(table.table_name.table()) == Some(&1);
        let table = table(&alias.input);
        // The engine's own names say nothing.
        if name.starts_with("__")
            || table.is_some_and(|table| once(table) || table.table_name.table() == name)
        {
            return rows;
        }
        let inner = fields_of(alias);
        let other = rows
            .columns
            .iter()
            .zip(inner)
            .filter(|(said, name)| !says(said, name));
        let other: Vec<_> = other
            .map(|(said, field)| format!("{name}.{field} for {said}"))
            .collect();
        let other = match other.is_empty() {
            true => String::new(),
            false => format!(", with {}", other.join(", ")),
        };
        let which = match rows.of.is_empty() {
            true => "these rows".to_owned(),
            false => format!("the rows{}", rows.of()),
        };
        self.step(format!("call {which} `{name}`{other}"));
        Said {
            of: format!("`{name}`"),
            columns: fields_of(alias)
                .map(|field| format!("{name}.{field}"))
                .collect(),
        }
    }

    fn projection(&mut self, made: &Projection, names: &Names) -> Said {
        let nothing = Vec::new();
        let plain = Words::new(made.input.schema(), &nothing);
        let mut below = Names::new();
        for expr in &made.expr {
            let Expr::Column(column) = plain.uncast(bare(expr)) else {
                continue;
            };
            let outer = match expr {
                Expr::Alias(alias) => Some(&alias.name),
                _ => names.get(&column.name),
            };
            if let (None, Some(name)) = (&column.relation, outer) {
                below.insert(column.name.clone(), name.clone());
            }
        }
        let rows = self.rows(&made.input, &below);
        let words = Words::new(made.input.schema(), &rows.columns);
        let mut given = Vec::new();
        let column = |expr: &Expr| {
            let said = words.of(bare(expr));
            match (expr, words.uncast(bare(expr))) {
                (_, Expr::Column(_)) => said,
                (Expr::Alias(alias), _) => {
                    let name = names.get(&alias.name).unwrap_or(&alias.name);
                    given.push(format!("{name} = {said}"));
                    name.clone()
                }
                _ => said,
            }
        };
        let columns = made.expr.iter().map(column).collect();
        if !given.is_empty() {
            self.step(format!("give each row{} {}", rows.of(), given.join(", ")));
        }
        Said { columns, ..rows }
    }

    fn aggregate(&mut self, made: &Aggregate, names: &Names) -> Said {
        let rows = self.rows(&made.input, &Names::new());
        let words = Words::new(made.input.schema(), &rows.columns);
        let keys: Vec<_> = made
            .group_expr
            .iter()
            .map(|key| words.of(bare(key)))
            .collect();
        let named = |value: &Expr| words.named(value, names);
        let values: Vec<_> = made.aggr_expr.iter().map(named).collect();
        let each = match keys.is_empty() {
            true => "make one row".to_owned(),
            false => format!("make a row for each {}", and(&keys)),
        };
        let of = match rows.of.is_empty() {
            true => String::new(),
            false => format!("of {}, ", rows.of),
        };
        self.step(match values.is_empty() {
            true => format!("{of}keep each {} once", and(&keys)),
            false => {
                let values: Vec<_> = values.iter().map(|(_, said)| said.clone()).collect();
                format!("{of}{each}, with {}", values.join(", "))
            }
        });
        let values = values.into_iter().map(|(name, _)| name);
        Said {
            of: String::new(),
            columns: keys.into_iter().chain(values).collect(),
        }
    }

    fn window(&mut self, made: &Window, names: &Names) -> Said {
        let mut rows = self.rows(&made.input, names);
        let words = Words::new(made.input.schema(), &rows.columns);
        let named = made.window_expr.iter().map(|expr| words.named(expr, names));
        let (names, given): (Vec<_>, Vec<_>) = named.unzip();
        let of = rows.of();
        for said in given {
            self.step(format!("give each row{of} {said}"));
        }
        rows.columns.extend(names);
        rows
    }

    fn union(&mut self, union: &Union) -> Said {
        let names: Vec<_> = union
            .schema
            .fields()
            .iter()
            .map(|field| field.name())
            .collect();
        let mut sides = Vec::new();
        for input in &union.inputs {
            let rows = self.rows(input, &Names::new());
            let at = self.told.steps.len();
            let rows = self.numbered(rows, at);
            let other = rows
                .columns
                .iter()
                .zip(&names)
                .filter(|(said, name)| !says(said, name));
            let other: Vec<_> = other
                .map(|(said, name)| format!("{name} for {said}"))
                .collect();
            sides.push(match other.is_empty() {
                true => rows.of,
                false => format!("{} (with {})", rows.of, other.join(", ")),
            });
        }
        self.step(format!(
            "put one after the other the rows of {}",
            and(&sides)
        ));
        Said {
            of: String::new(),
            columns: names.into_iter().cloned().collect(),
        }
    }

    /// The rows by a name, which a step at this place gives them if they have none.
    fn numbered(&mut self, rows: Said, at: usize) -> Said {
        if !rows.of.is_empty() {
            return rows;
        }
        self.numbered += 1;
        let of = format!("({})", self.numbered);
        let at = at.min(self.told.steps.len());
        self.told.steps.insert(at, format!("call these rows {of}"));
        Said { of, ..rows }
    }

    fn join(&mut self, join: &Join) -> Said {
        let mut left = self.rows(&join.left, &Names::new());
        let at = self.told.steps.len();
        let right = self.rows(&join.right, &Names::new());
        if self.told.steps.len() > at {
            left = self.numbered(left, at);
        }
        let right = match right.of.is_empty() {
            true => Said {
                of: "these rows".into(),
                ..right
            },
            false => right,
        };
        let both: Vec<_> = left.columns.iter().chain(&right.columns).cloned().collect();
        let schema = join.left.schema().join(join.right.schema());
        let (persons, mut asked) = pairs(join, &left, &right);
        if let (Some(filter), Ok(schema)) = (&join.filter, schema) {
            asked.push(Words::new(&schema, &both).of(filter));
        }
        let (l, r) = (left.them(), right.them());
        let on = if persons { " on the person" } else { "" };
        let of_people = if persons { " of people" } else { "" };
        let asked = match asked.is_empty() {
            true => String::new(),
            false => format!(", where {}", asked.join(" AND ")),
        };
        self.step(match join.join_type {
            JoinType::Left => format!("join to {l} what there is of {r}{on}{asked}"),
            JoinType::LeftSemi => format!(
                "keep the rows{}{of_people} with rows in {r}{asked}",
                left.of()
            ),
            JoinType::LeftAnti => format!(
                "drop the rows{}{of_people} with rows in {r}{asked}",
                left.of()
            ),
            _ => format!("join {l} and {r}{on}{asked}"),
        });
        match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left,
            _ => Said {
                of: String::new(),
                columns: both,
            },
        }
    }
}

/// Whether a join sets the persons of both sides equal, and what else it does.
fn pairs(join: &Join, left: &Said, right: &Said) -> (bool, Vec<String>) {
    let left = Words::new(join.left.schema(), &left.columns);
    let right = Words::new(join.right.schema(), &right.columns);
    let (persons, others): (Vec<_>, Vec<_>) = join
        .on
        .iter()
        .partition(|(a, b)| left.is_pseudonym(a) && right.is_pseudonym(b));
    let alone = persons.len() == 1;
    let said = persons.into_iter().filter(|_| !alone).chain(others);
    let said = said.map(|(a, b)| format!("{} = {}", left.of(a), right.of(b)));
    (alone, said.collect())
}

/// The table that a plan reads, if it does no more.
fn table(plan: &LogicalPlan) -> Option<&TableScan> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(scan),
        _ => None,
    }
}

fn fields(plan: &LogicalPlan) -> impl Iterator<Item = String> {
    let fields = plan.schema().fields().iter();
    fields.map(|field| field.name().clone())
}

fn fields_of(alias: &SubqueryAlias) -> impl Iterator<Item = &String> {
    alias.schema.fields().iter().map(|field| field.name())
}

/// Whether the words for a column end with its name.
fn says(said: &str, name: &str) -> bool {
    let rest = said.strip_suffix(name);
    rest.is_some_and(|rest| rest.is_empty() || (rest.ends_with('.') && !rest.contains(' ')))
}

/// Whether it counts rows.
fn counts_rows(function: &AggregateFunction) -> bool {
    let params = &function.params;
    function.func.name() == "count"
        && !params.distinct
        && matches!(params.args.as_slice(), [Expr::Literal(value, _)] if !value.is_null())
}

/// What a plan that the engine has made ready asks of the rows of each reading, to compare.
#[cfg(test)]
pub(crate) fn readings(plan: &LogicalPlan) -> BTreeMap<String, Vec<Option<String>>> {
    fn scans(walk: &mut Walk, plan: &LogicalPlan) {
        if let LogicalPlan::TableScan(scan) = plan {
            walk.scan(scan);
        }
        plan.inputs()
            .into_iter()
            .for_each(|input| scans(walk, input));
    }
    let mut walk = Walk::default();
    scans(&mut walk, plan);
    walk.told.readings
}
