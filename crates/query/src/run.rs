//! Computing: the bounded plan over sealed parts, block of people by block.
//!
//! People never span partitions, so threads take stretches of them, one after the other, and
//! what they find adds up. A thread reads the data sets of a stretch side by side, in order of
//! person, and runs the plan over blocks of whole people ([`merge`](crate::merge)): whatever a
//! plan gathers, in a join or an aggregate, it gathers of a block. A dropped
//! [`compute`](crate::compute) stops all.
//!
//! Nothing spills to disk, and every error of the engine becomes one text (I7). All rows of
//! all data sets are read and checked, whatever the plan wanted of them and however it ended,
//! and of all errors in all stretches one is reported, the same whichever came first: so that
//! an owner who seals damage learns nothing from where its rows met another owner's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::provider_as_source;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::{FutureExt as _, StreamExt as _};
use incamera_dp::NoiseKey;
use incamera_types::{DatasetName, DatasetSpec, RequestDigest};

use crate::check::CheckedQuery;
use crate::cut::BATCH_ROWS;
use crate::fold::{Fold, Odd, Rules, Totals};
use crate::link::rows::{Linking, Moved};
use crate::link::{Link, Register};
use crate::memory;
use crate::merge::{self, Block, Merge};
use crate::released::OtherRequest;
use crate::scan::{Reading, Slice, Table};
use crate::source::{PartSource, SourceError};

/// What a run may use: from the room's configuration, never from rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory for one query, in bytes. [`RoomData::fits`](crate::RoomData::fits) compares it
    /// with what the query may need, before anything is spent; nothing else looks at it.
    pub memory_bytes: u64,
    /// Threads.
    pub threads: usize,
}

impl Default for Limits {
    /// Four gibibytes, and a thread for each core.
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory_bytes: 4 << 30,
            threads,
        }
    }
}

/// Why there is no answer. The texts are for analysts: they say nothing about a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Rows cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The grants are of another request than the one that was checked.
    #[error(transparent)]
    OtherRequest(#[from] OtherRequest),
    /// Everything else: one text for all causes.
    #[error(
        "the room could not compute the query; nothing was answered, and asking the same again is free"
    )]
    Engine,
}

impl From<Odd> for QueryError {
    fn from(_: Odd) -> Self {
        Self::Engine
    }
}

impl From<DataFusionError> for QueryError {
    /// Drops what the engine says. Errors of the source are taken from the source itself.
    fn from(_: DataFusionError) -> Self {
        Self::Engine
    }
}

/// The exact answer to one request: sums over clamped people. It cannot be shown, printed,
/// compared or sent; only [`release`](crate::release) takes it, and needs every owner's grant
/// for the same request (I6).
pub struct RawAggregate {
    pub(crate) totals: Totals,
    pub(crate) checked: Arc<CheckedQuery>,
    /// Whose noise it must get: another request's would show by how much two answers differ.
    pub(crate) request: RequestDigest,
}

/// A request, and the key of its noise.
#[derive(Clone, Copy)]
pub(crate) struct Noise<'a> {
    pub(crate) request: RequestDigest,
    pub(crate) key: &'a NoiseKey,
}

/// Computes a checked query over rows.
///
/// Without a limit of memory: whether it suffices was decided before, from public numbers,
/// so that no row decides it.
pub(crate) async fn compute_over(
    checked: &Arc<CheckedQuery>,
    source: Arc<dyn PartSource>,
    noise: Noise<'_>,
    threads: usize,
) -> Result<RawAggregate, QueryError> {
    let pool = Arc::new(UnboundedMemoryPool::default());
    compute_within(checked, source, noise, threads, pool).await
}

/// Computes with what the engine reserves drawn from `pool`.
pub(crate) async fn compute_within(
    checked: &Arc<CheckedQuery>,
    source: Arc<dyn PartSource>,
    noise: Noise<'_>,
    threads: usize,
    pool: Arc<dyn MemoryPool>,
) -> Result<RawAggregate, QueryError> {
    let key = Arc::new(NoiseKey::from_bytes(*noise.key.choice("cut")));
    let state = session_in(pool, memory::batch_rows(checked))?;
    let stretches = stretches(checked, source.as_ref())?;
    let threads = threads.clamp(1, stretches.list.len().max(1));
    let readings = readings(checked);
    let job = Arc::new(Job {
        checked: Arc::clone(checked),
        linking: Linking::new(readings.len()),
        readings,
        source,
        key,
        state,
        stretches,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    });
    let _guard = StopOnDrop(Arc::clone(&job));
    let handle = tokio::runtime::Handle::current();
    let start = |_| {
        let (job, handle) = (Arc::clone(&job), handle.clone());
        tokio::task::spawn_blocking(move || handle.block_on(job.work()))
    };
    let workers: Vec<_> = (0..threads).map(start).collect();
    let mut totals = Totals::default();
    let mut worst = None;
    for worker in workers {
        match worker.await.unwrap_or(Err(QueryError::Engine)) {
            Ok(part) => totals.add(part),
            Err(error) => worst = Some(worse(worst, error)),
        }
    }
    match worst {
        Some(error) => Err(error),
        None => Ok(RawAggregate {
            totals,
            checked: Arc::clone(checked),
            request: noise.request,
        }),
    }
}

/// The error to report of two: which was found first must not show.
pub(crate) fn worse(a: Option<QueryError>, b: QueryError) -> QueryError {
    match (a, b) {
        (Some(QueryError::Source(a)), QueryError::Source(b)) => {
            QueryError::Source(if a.to_string() <= b.to_string() { a } else { b })
        }
        (Some(QueryError::Source(a)), _) => QueryError::Source(a),
        (_, b) => b,
    }
}

/// A session without functions to register, disk to spill to, or statistics to trust.
pub(crate) fn session(pool: Arc<dyn MemoryPool>) -> Result<SessionState, QueryError> {
    session_in(pool, BATCH_ROWS)
}

/// The same, in which steps give each other batches of so many rows.
fn session_in(pool: Arc<dyn MemoryPool>, batch_rows: usize) -> Result<SessionState, QueryError> {
    let mut config = SessionConfig::new()
        .with_batch_size(batch_rows)
        .with_target_partitions(1)
        .with_collect_statistics(false);
    // A plan that narrows its own scans while it runs cannot be run again.
    let optimizer = &mut config.options_mut().optimizer;
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    // Nor one with a limit of its own, or of shapes that nobody has looked at.
    optimizer.enable_window_topn = false;
    optimizer.enable_piecewise_merge_join = false;
    optimizer.enable_unions_to_filter = false;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()?;
    Ok(SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .build())
}

/// Whether the engine can run a plan at all, and what it makes of it: asked before anything is
/// spent.
pub(crate) fn runs(plan: &LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let state = session(Arc::new(UnboundedMemoryPool::default()));
    let state = state.map_err(|_| DataFusionError::Plan("no session".into()))?;
    let empty = |node: LogicalPlan| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let table = EmptyTable::new(scan.source.schema());
        let source = provider_as_source(Arc::new(table));
        let scan = TableScan { source, ..scan };
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    };
    let plan = state.optimize(plan)?.transform_up(empty)?.data;
    nothing_fails(&plan)?;
    let planner = state.query_planner();
    let planned = planner.create_physical_plan(&plan, &state);
    futures::executor::block_on(planned).map(|_| plan)
}

/// Whether every expression without columns came to a value: the optimizer computes those, and
/// leaves what fails for a row to meet.
fn nothing_fails(plan: &LogicalPlan) -> Result<(), DataFusionError> {
    let mut failed = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                failed |= computes(part) && part.column_refs().is_empty();
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    match failed {
        true => Err(DataFusionError::Plan(
            "an expression of constants has no value".into(),
        )),
        false => Ok(()),
    }
}

/// Whether an expression computes something of a row.
fn computes(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::ScalarFunction(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::BinaryExpr(_)
            | Expr::Negative(_)
            | Expr::Case(_)
    )
}

/// Stretches of partitions.
struct Stretches {
    list: Vec<Range<u32>>,
    of: u32,
}

/// The most stretches: enough for all threads to end at about the same time.
const MAX_STRETCHES: u32 = 64;

/// How many threads have something to do.
pub(crate) fn most_threads(partitions: u32) -> usize {
    usize::try_from(partitions.clamp(1, MAX_STRETCHES)).unwrap_or(1)
}

/// Cuts the partitions into stretches. All private data sets are cut alike: that is in the
/// agreement.
fn stretches(checked: &CheckedQuery, source: &dyn PartSource) -> Result<Stretches, QueryError> {
    let mut of = None;
    for spec in checked.datasets.values().filter(|spec| !spec.public) {
        let partitions = source.partitions(&spec.name)?;
        if *of.get_or_insert(partitions) != partitions {
            return Err(SourceError::Unsealed {
                dataset: spec.name.clone(),
            }
            .into());
        }
    }
    let of = of.unwrap_or(1);
    let count = of.min(MAX_STRETCHES);
    let bound = |at: u32| {
        u32::try_from(u64::from(of) * u64::from(at) / u64::from(count.max(1))).unwrap_or(of)
    };
    Ok(Stretches {
        list: (0..count).map(|at| bound(at)..bound(at + 1)).collect(),
        of,
    })
}

/// The data sets, once for each time that the plan reads them. One that it does not come to is
/// read nevertheless: what is wrong with it must not show by what the others hold.
fn readings(checked: &CheckedQuery) -> Vec<DatasetSpec> {
    let times = |spec: &DatasetSpec| times_read(&checked.optimized, &spec.name).max(1);
    let specs = checked.datasets.values();
    specs
        .flat_map(|spec| std::iter::repeat_n(spec.clone(), times(spec)))
        .collect()
}

/// How often a plan reads a data set.
pub(crate) fn times_read(plan: &LogicalPlan, dataset: &DatasetName) -> usize {
    let own = match plan {
        LogicalPlan::TableScan(scan) => usize::from(scan.table_name.table() == dataset.as_str()),
        _ => 0,
    };
    let below = plan.inputs().into_iter();
    own + below.map(|input| times_read(input, dataset)).sum::<usize>()
}

struct Job {
    checked: Arc<CheckedQuery>,
    /// The data sets, as often as the plan reads them.
    readings: Vec<DatasetSpec>,
    /// Who is who, where that has to be found.
    linking: Linking,
    source: Arc<dyn PartSource>,
    key: Arc<NoiseKey>,
    state: SessionState,
    stretches: Stretches,
    next: AtomicUsize,
    stop: AtomicBool,
}

struct StopOnDrop(Arc<Job>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Job {
    /// Takes stretch after stretch, to the last one also after an error.
    async fn work(&self) -> Result<Totals, QueryError> {
        let mut run = Run::new(self);
        let planned = AssertUnwindSafe(run.plan()).catch_unwind().await;
        let mut worst = planned.unwrap_or(Err(QueryError::Engine)).err();
        while let Some(stretch) = self
            .stretches
            .list
            .get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = run.stretch(stretch).await {
                worst = Some(worse(worst, error));
            }
            if self.stopped() {
                break;
            }
        }
        worst.map_or_else(|| Ok(run.fold.finish()), Err)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What a thread's plan reads, with nothing read yet.
    fn slice(&self, reading: &Reading, partitions: &Range<u32>) -> Slice {
        let of = self.stretches.of;
        let partitions = if reading.spec.public {
            0..of
        } else {
            partitions.clone()
        };
        let (source, key) = (Arc::clone(&self.source), Arc::clone(&self.key));
        let slice = Slice::new(&self.checked, &reading.spec, source, key, (partitions, of));
        slice.wanted_by(reading)
    }

    /// The two registers by which people are linked, that of those who stay first.
    fn registers(&self, link: &Link) -> Option<[Slice; 2]> {
        let register = |register: &Register| {
            let spec = self.checked.datasets.get(&register.dataset)?;
            let slice = self.slice(&Reading::new(spec), &(0..self.stretches.of));
            Some(slice.of_register(&register.columns))
        };
        Some([register(&link.stays)?, register(&link.moves)?])
    }

    /// The rows of those of a plan's readings whose people get other keys; nothing for the rest.
    fn moved(&self, readings: &[Arc<Reading>]) -> Result<Vec<Option<Arc<Moved>>>, QueryError> {
        let Some(link) = &self.checked.link else {
            return Ok(vec![None; readings.len()]);
        };
        let registers = self.registers(link).ok_or(QueryError::Engine)?;
        let moved = |(at, reading): (usize, &Arc<Reading>)| {
            if !link.moves(&reading.spec) {
                return Ok(None);
            }
            let rows = self.slice(reading, &(0..self.stretches.of));
            let stop = || self.stopped();
            let moved = self.linking.moved(at, &rows, &registers, &stop);
            moved.map(Some)
        };
        readings.iter().enumerate().map(moved).collect()
    }
}

/// One thread's part of a job: a plan of its own, run over block after block.
struct Run<'a> {
    job: &'a Job,
    /// One for each time that the plan reads a data set.
    readings: Vec<Arc<Reading>>,
    plan: Option<Arc<dyn ExecutionPlan>>,
    context: Arc<TaskContext>,
    fold: Fold<'a>,
}

impl<'a> Run<'a> {
    fn new(job: &'a Job) -> Self {
        let rules = Rules {
            groups: &job.checked.query.groups,
            measures: &job.checked.measures,
            groups_a_person: usize::try_from(job.checked.query.per_person.groups)
                .unwrap_or(usize::MAX),
            key: &job.key,
        };
        Self {
            job,
            readings: job.readings.iter().map(Reading::new).collect(),
            plan: None,
            context: job.state.task_ctx(),
            fold: Fold::new(rules),
        }
    }

    /// Makes the plan, and reads the public data sets.
    async fn plan(&mut self) -> Result<(), QueryError> {
        let job = self.job;
        let planned = async {
            let plan = bind(&job.checked.optimized, &self.readings)?;
            let planner = job.state.query_planner();
            planner.create_physical_plan(&plan, &job.state).await
        };
        let planned = planned.await.map_err(QueryError::from);
        let mut worst = None;
        for reading in self.readings.iter().filter(|reading| reading.spec.public) {
            let rows = job.slice(reading, &(0..0)).rows();
            match rows.collect::<Result<Vec<_>, _>>() {
                Ok(rows) => reading.put(rows),
                Err(error) => worst = Some(worse(worst, error.into())),
            }
        }
        match (worst, planned) {
            (Some(error), _) | (None, Err(error)) => Err(error),
            (None, Ok(plan)) => {
                self.plan = Some(plan);
                Ok(())
            }
        }
    }

    /// Runs the plan over the rows of these partitions; without a plan only reads them.
    async fn stretch(&mut self, partitions: &Range<u32>) -> Result<(), QueryError> {
        let job = self.job;
        let private = self.readings.iter().filter(|reading| !reading.spec.public);
        let (mut wanted, mut idle): (Vec<_>, Vec<_>) = private
            .cloned()
            .partition(|reading| self.plan.is_some() && reading.is_wanted());
        let moved = job.moved(&wanted);
        if moved.is_err() {
            idle.append(&mut wanted);
        }
        let failed = moved.as_ref().err().cloned();
        let moved = moved.unwrap_or_default();
        let batch_rows = memory::batch_rows(&job.checked) as u64;
        let block_rows = merge::block_rows(public_rows(&self.readings), batch_rows);
        let merge = |readings: &[Arc<Reading>], moved: &[Option<Arc<Moved>>]| {
            let slices = readings
                .iter()
                .map(|reading| job.slice(reading, partitions));
            let slices: Vec<Slice> = slices.collect();
            let lanes = slices.iter().enumerate().map(|(at, slice)| {
                if let Some(Some(moved)) = moved.get(at) {
                    return moved.lane(partitions);
                }
                let (rows, unit) = slice.whole();
                (rows, unit.unwrap_or(usize::MAX))
            });
            let merge = Merge::new(lanes, block_rows);
            (merge, slices)
        };
        let (mut rows, slices) = merge(&wanted, &moved);
        let (mut unread, _) = merge(&idle, &[]);
        let blocks = self.blocks(&mut rows, &wanted, &slices);
        let blocks = AssertUnwindSafe(blocks).catch_unwind().await;
        let stop = || job.stopped();
        let drained = [rows.drain(&stop), unread.drain(&stop)];
        let errors = drained.into_iter().filter_map(Result::err);
        match errors.fold(failed, |worst, error| Some(worse(worst, error))) {
            Some(error) => Err(error),
            None => blocks.unwrap_or(Err(QueryError::Engine)),
        }
    }

    async fn blocks(
        &mut self,
        merge: &mut Merge,
        readings: &[Arc<Reading>],
        slices: &[Slice],
    ) -> Result<(), QueryError> {
        let Some(plan) = self.plan.clone() else {
            return Ok(());
        };
        let stop = || self.job.stopped();
        while let Some(block) = merge.block(&stop)? {
            put(block, readings, slices)?;
            let mut rows = execute_stream(
                reset_plan_states(Arc::clone(&plan))?,
                Arc::clone(&self.context),
            )?;
            while let Some(batch) = rows.next().await {
                self.fold.push(&batch?)?;
                if stop() {
                    return Err(QueryError::Engine);
                }
            }
            self.fold.settle();
        }
        Ok(())
    }
}

/// The rows of public data sets, which every block meets: of one that is read several times
/// once, as [`memory`](crate::memory) counts them.
pub(crate) fn public_rows(readings: &[Arc<Reading>]) -> u64 {
    let public = readings.iter().filter(|reading| reading.spec.public);
    let mut rows: BTreeMap<&DatasetName, u64> = BTreeMap::new();
    for reading in public {
        let most = rows.entry(&reading.spec.name).or_default();
        *most = reading.rows().max(*most);
    }
    rows.into_values().fold(0, u64::saturating_add)
}

/// Gives a plan the rows of a block, with the columns that it takes.
fn put(block: Block, readings: &[Arc<Reading>], slices: &[Slice]) -> Result<(), SourceError> {
    for ((rows, reading), slice) in block.into_iter().zip(readings).zip(slices) {
        let rows = rows.iter().map(|batch| slice.finish(batch));
        reading.put(rows.collect::<Result<_, _>>()?);
    }
    Ok(())
}

/// The plan over these readings: each time that it reads a data set has its own, in order of
/// the plan.
pub(crate) fn bind(
    plan: &LogicalPlan,
    readings: &[Arc<Reading>],
) -> Result<LogicalPlan, DataFusionError> {
    let mut taken = BTreeSet::new();
    let bind = |node: LogicalPlan| {
        let LogicalPlan::TableScan(scan) = node else {
            return Ok(Transformed::no(node));
        };
        let table = scan.table_name.table();
        let mut free = readings.iter().enumerate();
        let reading =
            free.find(|(at, reading)| reading.spec.name.as_str() == table && !taken.contains(at));
        let (at, reading) =
            reading.ok_or_else(|| DataFusionError::Plan("a table of no data set".into()))?;
        taken.insert(at);
        let source = provider_as_source(Arc::new(Table(Arc::clone(reading))));
        Ok(Transformed::yes(LogicalPlan::TableScan(TableScan {
            source,
            ..scan
        })))
    };
    Ok(plan.clone().transform_up(bind)?.data)
}
