//! Rows of data sets side by side, in blocks of whole people.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{AsArray, BooleanArray, Decimal128Array, Int64Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation, UnboundedMemoryPool};
use datafusion::physical_plan::displayable;
use incamera_seal::Bounds;
use incamera_types::{ColumnName, Pseudonym};
use proptest::prelude::*;

use super::*;
use crate::merge::{Merge, block_rows};
use crate::run::{bind, compute_within, session};
use crate::scan::Reading;
use crate::source::{Batches, SourceError};
use crate::{memory, prove};

/// A person by a number of any size, in order of numbers.
fn numbered(number: u32) -> Person {
    let mut person = [7; Pseudonym::BYTES];
    person[..4].copy_from_slice(&number.to_be_bytes());
    person
}

/// A lane of these people, each row with its number, cut into batches of so many rows.
fn lane(rows: &[u32], batch_rows: usize) -> Vec<RecordBatch> {
    let numbers: Vec<(u32, i64)> = rows.iter().copied().zip(0..).collect();
    let make = |rows: &[(u32, i64)]| {
        batch(vec![
            (
                "number",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
            ),
            ("person", people(rows.iter().map(|row| numbered(row.0)))),
        ])
    };
    numbers.chunks(batch_rows).map(make).collect()
}

fn batches(rows: Vec<RecordBatch>) -> Batches {
    Box::new(rows.into_iter().map(Ok))
}

fn numbers(rows: &[RecordBatch]) -> Vec<(Person, i64)> {
    let of = |batch: &RecordBatch| {
        let people = batch.column(1).as_fixed_size_binary().clone();
        let numbers = batch.column(0).as_primitive::<Int64Type>().clone();
        (0..batch.num_rows())
            .map(move |row| (people.value(row).try_into().unwrap(), numbers.value(row)))
            .collect::<Vec<_>>()
    };
    rows.iter().flat_map(of).collect()
}

fn sorted_people() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0u32..40, 0..120).prop_map(|mut rows| {
        rows.sort_unstable();
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every row is in one block, in order, and nobody's rows are in two.
    #[test]
    fn blocks_have_everything_and_whole_people(
        lanes in prop::collection::vec((sorted_people(), 1usize..9), 1..4),
        rows in 1u64..60,
    ) {
        let open = lanes.iter().map(|(rows, step)| (batches(lane(rows, *step)), 1));
        let mut merge = Merge::new(open, rows);
        let mut given: Vec<Vec<(Person, i64)>> = vec![Vec::new(); lanes.len()];
        let mut last: Option<Person> = None;
        while let Some(block) = merge.block(&|| false).unwrap() {
            let block: Vec<_> = block.iter().map(|rows| numbers(rows)).collect();
            let first = block.iter().flatten().map(|row| row.0).min();
            prop_assert!(first.is_some(), "a block without rows");
            prop_assert!(first > last, "people of one block only");
            last = block.iter().flatten().map(|row| row.0).max();
            for (all, more) in given.iter_mut().zip(block) {
                all.extend(more);
            }
        }
        for ((rows, _), given) in lanes.iter().zip(given) {
            let all: Vec<_> = rows.iter().map(|number| numbered(*number)).zip(0..).collect();
            prop_assert_eq!(given, all);
        }
    }
}

/// How many rows a block has hangs on one person at most, not on how many people follow.
#[test]
fn blocks_do_not_grow() {
    let most = |people: u32, each: u32| {
        let rows: Vec<u32> = (0..people)
            .flat_map(|person| vec![person; each as usize])
            .collect();
        let one: Vec<u32> = (0..people).collect();
        let lanes = [(lane(&rows, 64), 1), (lane(&one, 64), 1)];
        let mut merge = Merge::new(lanes.into_iter().map(|(rows, at)| (batches(rows), at)), 512);
        let mut most = 0;
        while let Some(block) = merge.block(&|| false).unwrap() {
            let given: usize = block.iter().flatten().map(RecordBatch::num_rows).sum();
            most = most.max(given + usize::try_from(merge.held()).unwrap());
        }
        most
    };
    let few: usize = most(1_000, 5);
    assert!((512 - 64..512 + 3 * 64).contains(&few), "{few}");
    assert_eq!(most(20_000, 5), few);
    let one = most(20, 5_000);
    assert!((5_000..5_512 + 3 * 64).contains(&one), "{one}");
}

/// Of what is wrong in several lanes one error is told, whichever comes first.
#[test]
fn i7_one_error_is_told_of_all_lanes() {
    let broken = |name: &str| SourceError::Unsealed {
        dataset: dataset(name),
    };
    let told = |one: (&str, usize), other: (&str, usize)| {
        let lane = |(name, after): (&str, usize)| -> (Batches, usize) {
            let rows = lane(&(0..200).collect::<Vec<_>>(), 10);
            let rows = rows.into_iter().take(after).map(Ok);
            (Box::new(rows.chain([Err(broken(name))])), 1)
        };
        let mut merge = Merge::new([lane(one), lane(other)].into_iter(), 16);
        while let Ok(Some(_)) = merge.block(&|| false) {}
        merge.drain(&|| false)
    };
    let expected = Err(broken("mailing").into());
    assert_eq!(told(("purchases", 1), ("mailing", 19)), expected);
    assert_eq!(told(("mailing", 1), ("purchases", 19)), expected);
    assert_eq!(told(("mailing", 19), ("purchases", 1)), expected);
}

/// Remembers the most that was ever reserved.
#[derive(Debug, Default)]
struct Peak {
    pool: UnboundedMemoryPool,
    most: AtomicUsize,
}

impl std::fmt::Display for Peak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("peak")
    }
}

impl MemoryPool for Peak {
    fn name(&self) -> &str {
        "peak"
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
        self.most.fetch_max(self.pool.reserved(), Ordering::Relaxed);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
    }

    fn try_grow(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
    ) -> Result<(), DataFusionError> {
        self.grow(reservation, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.pool.reserved()
    }
}

/// Rows as a part is read: some thousand at a time, in buffers of their own.
fn pages(rows: &RecordBatch) -> Vec<RecordBatch> {
    let all = u64::try_from(rows.num_rows()).unwrap();
    let pages = (0..all).step_by(8_192).map(|at| {
        let page = UInt64Array::from_iter_values(at..all.min(at + 8_192));
        take_record_batch(rows, &page).unwrap()
    });
    pages.collect()
}

/// So many people with ten purchases each, in the parts of two classes and two deliveries.
fn many(count: u32) -> Memory {
    let everybody = || (0..count).map(numbered);
    let purchases = |class: u32| {
        let own = (0..count).filter(move |number| number % 2 == class);
        let rows: Vec<Person> = own.flat_map(|number| [numbered(number); 5]).collect();
        let amounts = Decimal128Array::from(vec![100; rows.len()]);
        let amounts = amounts.with_precision_and_scale(10, 2).unwrap();
        let whole = vec![
            ("person", people(rows)),
            ("amount", Arc::new(amounts) as ArrayRef),
        ];
        pages(&batch(whole))
    };
    let mailed = BooleanArray::from(vec![true; count as usize]);
    let mailing = batch(vec![
        ("person", people(everybody())),
        ("mailed", Arc::new(mailed)),
    ]);
    let customers = batch(vec![("person", people(everybody()))]);
    // Each class twice: what was sealed first, and what was appended.
    let purchases = [0, 1, 0, 1].map(purchases).into();
    Memory {
        partitions: 1,
        parts: BTreeMap::from([
            ((dataset("purchases"), 0), purchases),
            ((dataset("mailing"), 0), vec![pages(&mailing)]),
            ((dataset("customers"), 0), vec![pages(&customers)]),
        ]),
    }
}

fn checked(sql: &str) -> CheckedQuery {
    let reads = "[\"customers.person\", \"purchases.person\", \"purchases.amount\", \"mailing.person\", \"mailing.mailed\"]";
    let settings = [
        ("reads", reads),
        ("rows", "{ purchases = 10, mailing = 1 }"),
        ("per_person", "{ groups = 1, spend = [0, 400] }"),
    ];
    let agreement = agreement(sql, &settings);
    prove(&agreement, query(&agreement)).unwrap()
}

const JOINED: &str = "SELECT COUNT(DISTINCT customers.person) AS people,
  SUM(CASE WHEN q.s > 0 AND p.n > 0 THEN p.amount END) AS spend
FROM customers JOIN mailing ON mailing.person = customers.person
LEFT JOIN (SELECT person, amount, ROW_NUMBER() OVER (PARTITION BY person ORDER BY amount) AS n FROM purchases) p
  ON p.person = customers.person
LEFT JOIN (SELECT person, SUM(amount) AS s FROM purchases GROUP BY person) q
  ON q.person = customers.person
WHERE mailing.mailed";

/// What the engine gathers, in joins, aggregates and sorts, is of a block of people: eight
/// times the rows need no more, and less than is foretold.
#[test]
fn memory_does_not_grow_with_rows() {
    let checked = checked(JOINED);
    let peak = |count: u32| {
        let pool = Arc::new(Peak::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let raw = runtime.unwrap().block_on(compute_within(
            &Arc::new(checked.clone()),
            Arc::new(many(count)),
            noise(&NoiseKey::from_bytes([1; 32])),
            1,
            Arc::clone(&pool) as Arc<dyn MemoryPool>,
        ));
        assert_eq!(
            exact(&raw.unwrap()),
            [count.into(), i128::from(count) * 10 * 100]
        );
        assert_eq!(pool.reserved(), 0);
        pool.most.load(Ordering::Relaxed)
    };
    let (some, more) = (peak(10_000), peak(80_000));
    assert!(some > 1 << 19, "{some}");
    assert!(more < some * 5 / 4, "{some} {more}");
    assert!((more as u64) < memory::of_plan(&checked), "{more}");
}

/// One stream from each table to the top: rows are not dealt out by hash, nor sorted by person.
#[test]
fn plans_deal_nothing_out() {
    let physical = |sql: &str| {
        let checked = checked(sql);
        let readings: Vec<_> = std::iter::repeat_n(checked.datasets.values(), 3)
            .flatten()
            .map(Reading::new)
            .collect();
        let plan = bind(&checked.optimized, &readings).unwrap();
        let state = session(Arc::new(UnboundedMemoryPool::default())).unwrap();
        let planner = state.query_planner();
        let plan = planner.create_physical_plan(&plan, &state);
        let plan = futures::executor::block_on(plan).unwrap();
        displayable(plan.as_ref()).indent(false).to_string()
    };
    let text = physical(JOINED);
    for name in [
        "Repartition",
        "CoalescePartitions",
        "SortPreservingMerge",
        "FinalPartitioned",
    ] {
        assert!(!text.contains(name), "{text}");
    }
    assert_eq!(text.matches("partition_sizes=1").count(), 4, "{text}");
    assert_eq!(block_rows(0, 8_192), block_rows(1_000, 8_192));
}

/// Counts batches of purchases, and waits at the third until it is told to go on.
struct Watched {
    memory: Memory,
    read: Arc<AtomicUsize>,
    wait: Arc<Barrier>,
}

impl PartSource for Watched {
    fn partitions(&self, dataset: &DatasetName) -> Result<u32, SourceError> {
        self.memory.partitions(dataset)
    }

    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        bounds: &Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        let parts = self.memory.open(dataset, partition, columns, bounds)?;
        let watched = |part: Batches| {
            let (read, wait) = (Arc::clone(&self.read), Arc::clone(&self.wait));
            Box::new(part.inspect(move |_| {
                if read.fetch_add(1, Ordering::SeqCst) == 2 {
                    wait.wait();
                    wait.wait();
                }
            })) as Batches
        };
        Ok(parts.into_iter().map(watched).collect())
    }
}

/// A dropped run stops soon, also where no row passes a condition, or meets another.
#[test]
fn a_dropped_run_stops_where_nothing_comes_out() {
    const BATCHES: usize = 60;
    let read = |condition: &str| {
        let people: Vec<u32> = (0..BATCHES as u32 * 8_192).map(|row| row / 5).collect();
        let all = lane(&people, 8_192).into_iter().map(|rows| {
            let amounts = Decimal128Array::from(vec![100; rows.num_rows()]);
            batch(vec![
                ("person", Arc::clone(rows.column(1))),
                (
                    "amount",
                    Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
                ),
            ])
        });
        let parts = [((dataset("purchases"), 0), vec![all.collect()])].into();
        let memory = Memory {
            partitions: 1,
            parts,
        };
        let (read, wait) = (Arc::default(), Arc::new(Barrier::new(2)));
        let source = Watched {
            memory,
            read: Arc::clone(&read),
            wait: Arc::clone(&wait),
        };
        // Nobody was mailed.
        let checked = Arc::new(checked(&format!(
            "SELECT COUNT(DISTINCT purchases.person) AS people, SUM(purchases.amount) AS spend
FROM purchases JOIN mailing ON mailing.person = purchases.person JOIN customers ON customers.person = mailing.person
WHERE mailing.mailed AND {condition}"
        )));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        let run = runtime.spawn(async move {
            let key = NoiseKey::from_bytes([1; 32]);
            let raw = compute_over(&checked, Arc::new(source), noise(&key), 1).await;
            raw.is_ok()
        });
        wait.wait();
        run.abort();
        assert!(
            runtime
                .block_on(run)
                .is_err_and(|error| error.is_cancelled())
        );
        wait.wait();
        // Waits for the thread that computes.
        drop(runtime);
        read.load(Ordering::SeqCst)
    };
    for condition in ["purchases.amount > 400", "purchases.amount > 0"] {
        let read = read(condition);
        assert!((3..BATCHES / 2).contains(&read), "{condition}: {read}");
    }
}
