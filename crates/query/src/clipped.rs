//! What a query's clamps hide in one owner's own rows: counted at home, exactly, for nobody
//! else.
//!
//! # How
//! The checked plan is cut down to what can be known from one data set: its scan, with every
//! condition that reads its columns alone. Each clamped sum is then added up person by person
//! by the same [`Fold`] that the room uses, under neighbouring clamps; differences of the totals
//! are the figures: `sum(clamp(s, low, high + 1)) - sum(clamp(s, low, high))` is how many people
//! lie above `high`, in whole units.
//! # What it is not
//! The answer's people: joins with others' data, and conditions on their columns, are left out,
//! and named. Rows above the cap of a person, of those that pass, are not cut, because which ones go is drawn by
//! everybody's seeds; how many people have too many is told instead.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, JoinType};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, Join, LogicalPlan, LogicalPlanBuilder, Projection, TableScan,
};
use datafusion::physical_plan::execute_stream;
use futures::StreamExt;
use incamera_agreement::GroupKey;
use incamera_dp::NoiseKey;
use incamera_types::DatasetName;
use serde::Serialize;

use crate::check::{CheckedQuery, UNIT, key_name, value_name};
use crate::fold::{Fold, Odd, Rules, Totals};
use crate::lineage::bare;
use crate::measure::{Kind, Measure};
use crate::run::{QueryError, session};
use crate::tables::PSEUDONYM_BYTES;

/// Why there are no figures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClippedError {
    /// The query does not add up a column of the data set.
    #[error("the query adds up no column of data set `{dataset}`, so nothing of it is clamped")]
    NothingAddedUp {
        /// The data set.
        dataset: DatasetName,
    },
    /// A query that makes rows of its own of people's rows before it adds up.
    #[error(
        "the query makes rows of its own of each person's, by an aggregate, DISTINCT, OVER or UNION ALL in a sub-query: what its clamps hide is not told by data set `{dataset}` alone"
    )]
    Nested {
        /// The data set.
        dataset: DatasetName,
    },
    /// The rows could not be added up.
    #[error("the rows of the file could not be added up")]
    Engine,
}

impl From<DataFusionError> for ClippedError {
    fn from(_: DataFusionError) -> Self {
        Self::Engine
    }
}

impl From<QueryError> for ClippedError {
    fn from(_: QueryError) -> Self {
        Self::Engine
    }
}

impl From<Odd> for ClippedError {
    fn from(_: Odd) -> Self {
        Self::Engine
    }
}

/// What the clamps of a query hide in an owner's rows of one data set. Exact: for the owner's
/// eyes alone.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Clipped {
    /// The clamped sums over columns of the data set.
    pub sums: Vec<ClippedSum>,
    /// The conditions that were applied: they read this data set alone.
    pub applied: Vec<String>,
    /// The conditions that were not: they read what this owner's file does not hold.
    pub left_out: Vec<String>,
    /// The groups that people were counted in, each once.
    pub groups: Vec<String>,
    /// The groups that are not known here: a person counts as in one of them.
    pub groups_unknown: Vec<String>,
    /// The most rows of a person that an answer counts.
    pub rows_a_person: Option<u64>,
    /// People with more rows than that which pass the conditions applied: which of them count
    /// is drawn by lot.
    pub people_above_rows: u64,
}

/// A clamped sum.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClippedSum {
    /// The measure.
    pub name: String,
    /// Its unit, such as `EUR`.
    pub unit: Option<String>,
    /// The least that one person adds.
    pub low: String,
    /// The most that one person adds.
    pub high: String,
    /// People with a row that counts (once a group).
    pub people: u64,
    /// People whose sum lies above the most.
    pub above: u64,
    /// People whose sum lies below the least.
    pub below: u64,
    /// What all people add up to, signs left out.
    pub amount: String,
    /// How much of it the clamp takes away.
    pub hidden: String,
    /// `above + below`, as a fraction of the people.
    pub share_of_people: f64,
    /// `hidden`, as a fraction of the amount.
    pub share_of_amount: f64,
}

const PSEUDONYM: DataType = DataType::FixedSizeBinary(PSEUDONYM_BYTES);

/// Figures of one sum, in order of these clamps.
const CLAMPS: usize = 7;

fn clamps(low: i128, high: i128) -> [(i128, i128); CLAMPS] {
    let (min, max) = (i128::MIN, i128::MAX);
    [
        (low, high),
        (low, high.saturating_add(1)),
        (low.saturating_sub(1), high),
        (low, max),
        (min, high),
        (0, max),
        (min, 0),
    ]
}

impl CheckedQuery {
    /// What the query's clamps hide in these rows of one data set of its owner's.
    ///
    /// `rows` have the data set's columns that the query reads, by name, the pseudonym's
    /// included.
    ///
    /// # Errors
    /// [`ClippedError`]. Says nothing about a row.
    pub async fn clipped(
        &self,
        dataset: &DatasetName,
        rows: &[RecordBatch],
    ) -> Result<Clipped, ClippedError> {
        let mut cut = Cut::new(self, dataset);
        let plan = cut.plan(rows)?;
        let state = session(Arc::new(UnboundedMemoryPool::default()))?;
        let plan = state.optimize(&plan)?;
        let planner = state.query_planner();
        let physical = planner.create_physical_plan(&plan, &state).await?;
        let mut batches = execute_stream(physical, state.task_ctx())?;
        let measures = cut.measures();
        let rules = Rules {
            groups: &cut.groups,
            measures: &measures,
            groups_a_person: usize::MAX,
            // Nobody is drawn by lot: the key decides nothing.
            key: &NoiseKey::from_bytes([0; 32]),
        };
        let mut fold = Fold::new(rules);
        let mut counts = Counts::new();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            count(&batch, &mut counts)?;
            fold.push(&batch)?;
        }
        let totals = fold.finish();
        let totals = by_measure(&totals, measures.len());
        cut.figures(&totals, &counts)
    }
}

/// The totals of all groups together.
fn by_measure(totals: &Totals, width: usize) -> Vec<i128> {
    let mut sums = vec![0i128; width];
    for (_, group) in totals.iter() {
        for (at, sum) in sums.iter_mut().enumerate() {
            *sum = sum.saturating_add(group.of(at));
        }
    }
    sums
}

/// A query, cut down to one data set.
struct Cut<'a> {
    checked: &'a CheckedQuery,
    dataset: &'a DatasetName,
    sums: Vec<&'a Measure>,
    groups: Vec<GroupKey>,
    groups_unknown: Vec<String>,
    applied: Vec<String>,
    left_out: Vec<String>,
}

impl<'a> Cut<'a> {
    fn new(checked: &'a CheckedQuery, dataset: &'a DatasetName) -> Self {
        Self {
            checked,
            dataset,
            sums: Vec::new(),
            groups: Vec::new(),
            groups_unknown: Vec::new(),
            applied: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The plan over the rows: person, known group keys, and each sum's value, once a clamp.
    fn plan(&mut self, rows: &[RecordBatch]) -> Result<LogicalPlan, ClippedError> {
        let LogicalPlan::Projection(top) = &self.checked.plan else {
            return Err(ClippedError::Engine);
        };
        let kept = self.below(&top.input)?.ok_or_else(|| self.nothing())?;
        self.complete(rows)?;
        let mut columns = vec![self.person(&kept)?.alias(UNIT)];
        columns.extend(self.keys(top, &kept));
        let values = self.values(top, &kept);
        if values.is_empty() {
            return Err(self.nothing());
        }
        // The count of people stands first, and needs no value.
        columns.extend(values.into_iter().enumerate().flat_map(|(at, value)| {
            (0..CLAMPS).map(move |n| value.clone().alias(value_name(1 + at * CLAMPS + n)))
        }));
        let plan = LogicalPlanBuilder::from(kept).project(columns)?.build()?;
        Ok(over(plan, rows)?)
    }

    /// Every column that the query reads is there.
    fn complete(&self, rows: &[RecordBatch]) -> Result<(), ClippedError> {
        let reads = self.checked.query.reads.iter();
        let mut own = reads.filter(|read| &read.dataset == self.dataset);
        let there = |column: &str| {
            let mut batches = rows.iter();
            batches.all(|batch| batch.column_by_name(column).is_some())
        };
        match own.all(|read| there(read.column.as_str())) {
            true => Ok(()),
            false => Err(ClippedError::Engine),
        }
    }

    fn nothing(&self) -> ClippedError {
        ClippedError::NothingAddedUp {
            dataset: self.dataset.clone(),
        }
    }

    /// The part of a plan that gives rows of the data set; nothing if it is not in it.
    fn below(&mut self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>, ClippedError> {
        Ok(match plan {
            LogicalPlan::TableScan(scan) => {
                (scan.table_name.table() == self.dataset.as_str()).then(|| plan.clone())
            }
            LogicalPlan::SubqueryAlias(alias) => match self.below(&alias.input)? {
                Some(kept) => Some(
                    LogicalPlanBuilder::from(kept)
                        .alias(alias.alias.clone())?
                        .build()?,
                ),
                None => None,
            },
            LogicalPlan::Projection(projection) => match self.below(&projection.input)? {
                Some(kept) => {
                    let known = projection.expr.iter().filter(|expr| knows(&kept, expr));
                    let known: Vec<Expr> = known.cloned().collect();
                    Some(LogicalPlanBuilder::from(kept).project(known)?.build()?)
                }
                None => None,
            },
            LogicalPlan::Filter(filter) => match self.below(&filter.input)? {
                Some(kept) => Some(self.apply(kept, split_conjunction(&filter.predicate))?),
                None => None,
            },
            LogicalPlan::Join(join) => self.join(join)?,
            _ => {
                return Err(ClippedError::Nested {
                    dataset: self.dataset.clone(),
                });
            }
        })
    }

    /// The side of a join that has the data set, with the conditions that drop its rows.
    fn join(&mut self, join: &Join) -> Result<Option<LogicalPlan>, ClippedError> {
        let left = self.below(&join.left)?;
        let on_left = left.is_some();
        let kept = match left {
            Some(kept) => Some(kept),
            None => self.below(&join.right)?,
        };
        match kept {
            // No row of the left side of a LEFT JOIN is dropped.
            Some(kept) if !(on_left && join.join_type == JoinType::Left) => {
                let on = join.on.iter();
                let equal = on.map(|(left, right)| left.clone().eq(right.clone()));
                let all: Vec<Expr> = equal.chain(join.filter.clone()).collect();
                let each = all.iter().flat_map(split_conjunction).collect();
                self.apply(kept, each).map(Some)
            }
            kept => Ok(kept),
        }
    }

    /// Applies the conditions that the rows can tell, and notes the others.
    fn apply(
        &mut self,
        kept: LogicalPlan,
        conditions: Vec<&Expr>,
    ) -> Result<LogicalPlan, ClippedError> {
        let mut builder = LogicalPlanBuilder::from(kept);
        for condition in conditions {
            let said = condition.human_display().to_string();
            if knows(builder.plan(), condition) {
                builder = builder.filter(condition.clone())?;
                self.applied.push(said);
            } else {
                self.left_out.push(said);
            }
        }
        Ok(builder.build()?)
    }

    /// The column with the person of a row: the first pseudonym. A plan that was checked has
    /// no column of that type but those.
    fn person(&self, kept: &LogicalPlan) -> Result<Expr, ClippedError> {
        let mut fields = kept.schema().iter();
        let person = fields.find(|(_, field)| *field.data_type() == PSEUDONYM);
        let (table, field) = person.ok_or_else(|| self.nothing())?;
        Ok(Expr::Column((table, field).into()))
    }

    /// The group keys that the rows can tell.
    fn keys(&mut self, top: &Projection, kept: &LogicalPlan) -> Vec<Expr> {
        let mut keys = Vec::new();
        for (at, group) in self.checked.query.groups.iter().enumerate() {
            match named(top, &key_name(at)).filter(|key| knows(kept, key)) {
                Some(key) => {
                    keys.push(key.clone().alias(key_name(self.groups.len())));
                    self.groups.push(group.clone());
                }
                None => self.groups_unknown.push(group.name.clone()),
            }
        }
        keys
    }

    /// What the sums over columns of the data set add up.
    fn values(&mut self, top: &Projection, kept: &LogicalPlan) -> Vec<Expr> {
        let mut values = Vec::new();
        for measure in &self.checked.measures {
            let value = named(top, &value_name(measure.input));
            let value = value.filter(|value| {
                measure.kind == Kind::Sum && knows(kept, value) && !value.column_refs().is_empty()
            });
            if let Some(value) = value {
                values.push(value.clone());
                self.sums.push(measure);
            }
        }
        values
    }

    /// The measures to add up: people, then each sum under each of the clamps.
    fn measures(&self) -> Vec<Measure> {
        let people = self.sums.first().map(|sum| Measure {
            kind: Kind::People,
            low: 0,
            high: 1,
            ..(*sum).clone()
        });
        let sums = self.sums.iter().flat_map(|sum| {
            clamps(sum.low, sum.high).map(|(low, high)| Measure {
                low,
                high,
                ..(*sum).clone()
            })
        });
        let measures = people.into_iter().chain(sums).enumerate();
        let numbered = measures.map(|(input, measure)| Measure { input, ..measure });
        numbered.collect()
    }

    fn figures(self, totals: &[i128], counts: &Counts) -> Result<Clipped, ClippedError> {
        let (people, totals) = totals.split_first().ok_or(ClippedError::Engine)?;
        let people = unsigned(*people);
        let sums = self.sums.iter().zip(totals.chunks(CLAMPS));
        let sums = sums.map(|(measure, totals)| sum(measure, people, totals));
        let cap = self.checked.query.rows.get(self.dataset).copied();
        Ok(Clipped {
            sums: sums.collect::<Option<_>>().ok_or(ClippedError::Engine)?,
            applied: self.applied,
            left_out: self.left_out,
            groups: self.groups.into_iter().map(|group| group.name).collect(),
            groups_unknown: self.groups_unknown,
            rows_a_person: cap,
            people_above_rows: cap.map_or(0, |cap| {
                counts.values().filter(|count| **count > cap).count() as u64
            }),
        })
    }
}

fn unsigned(number: i128) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn sum(measure: &Measure, people: u64, totals: &[i128]) -> Option<ClippedSum> {
    let [
        kept,
        more,
        less,
        unlimited_up,
        unlimited_down,
        positive,
        negative,
    ] = totals
    else {
        return None;
    };
    let (above, below) = (unsigned(more - kept), unsigned(kept - less));
    let hidden = (unlimited_up - kept).saturating_add(kept - unlimited_down);
    let amount = positive.saturating_sub(*negative);
    Some(ClippedSum {
        name: measure.name.clone(),
        unit: measure.unit.clone(),
        low: measure.text(measure.low),
        high: measure.text(measure.high),
        people,
        above,
        below,
        amount: measure.text(amount),
        hidden: measure.text(hidden),
        share_of_people: share(i128::from(above.saturating_add(below)), i128::from(people)),
        share_of_amount: share(hidden, amount),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a share is for reading")]
fn share(part: i128, whole: i128) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// Whether an expression can be told from the rows of a plan.
fn knows(plan: &LogicalPlan, expr: &Expr) -> bool {
    let columns = expr.column_refs();
    columns
        .iter()
        .all(|column| plan.schema().has_column(column))
}

/// What the bounded plan calls by this name.
fn named<'p>(top: &'p Projection, name: &str) -> Option<&'p Expr> {
    let called = |expr: &&Expr| matches!(expr, Expr::Alias(alias) if alias.name == name);
    top.expr.iter().find(called).map(bare)
}

/// The plan with the rows in the place of its one table.
fn over(plan: LogicalPlan, rows: &[RecordBatch]) -> Result<LogicalPlan, DataFusionError> {
    let bind = |node: LogicalPlan| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let schema = scan.source.schema();
        let batches = rows.iter().map(|batch| shaped(batch, &schema));
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        let table = MemTable::try_new(schema, vec![batches])?;
        let source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
            source,
            ..scan
        })))
    };
    Ok(plan.transform_up(bind)?.data)
}

/// The batch with all columns of the data set. Those that the query does not read need not be
/// there.
fn shaped(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let column = |field: &FieldRef| match batch.column_by_name(field.name()) {
        Some(found) => cast(found, field.data_type()),
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(column);
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// How many rows of each person pass.
type Counts = HashMap<Vec<u8>, u64>;

/// Counts the rows of a batch, whose first column is the person.
fn count(batch: &RecordBatch, counts: &mut Counts) -> Result<(), ClippedError> {
    let people = batch.columns().first();
    let people = people.and_then(|people| people.as_fixed_size_binary_opt());
    for person in people.ok_or(ClippedError::Engine)?.iter().flatten() {
        match counts.get_mut(person) {
            Some(count) => *count += 1,
            None => drop(counts.insert(person.to_vec(), 1)),
        }
    }
    Ok(())
}
