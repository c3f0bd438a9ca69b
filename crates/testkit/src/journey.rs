//! The Complete Journey: a year of a grocer's receipts and who was sent which campaign, with
//! the exact answers, by plain loops.
//!
//! The files lie in `../shared/data/completejourney` beside a checkout, or nowhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit};
use incamera_types::Date;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Campaigns with their first and last day.
pub const CAMPAIGNS: [(i64, &str, &str); 3] = [
    (8, "2017-05-08", "2017-06-25"),
    (13, "2017-08-08", "2017-09-24"),
    (18, "2017-10-30", "2017-12-24"),
];

/// What the templates say of campaigns 5, 7, 8 and 9 in the second quarter, as the page on real
/// data fills them in: people, purchases (of `linear` in units of 1e-8) and revenue (in cents; of
/// `linear` in units of 1e-6). Counted over the files by another program, in another language.
pub const LAST_TOUCH: [[i128; 3]; 4] = [
    [162, 1_509, 5_203_209],
    [185, 1_092, 3_553_134],
    [1_055, 11_092, 31_678_872],
    [168, 1_249, 4_229_691],
];
/// See [`LAST_TOUCH`].
pub const LINEAR: [[i128; 3]; 4] = [
    [166, 176_094_999_930, 59_943_272_943],
    [194, 166_044_999_846, 52_507_823_682],
    [1_056, 1_043_678_333_187, 301_522_773_696],
    [168, 87_641_666_631, 30_337_470_794],
];
/// Households that were sent the campaign, and what they were sent.
pub const REACH: [[i128; 2]; 3] = [[1_076, 1_076], [1_077, 1_077], [1_133, 1_133]];
/// Households that were sent 1, 2, 3 to 5, 6 or more campaigns, and what they were sent.
pub const FREQUENCY: [[i128; 2]; 4] = [[277, 277], [234, 468], [582, 2_283], [466, 3_561]];

/// One article on a receipt.
#[derive(Clone, Copy, Debug)]
pub struct Purchase {
    /// Who bought.
    pub household: i64,
    /// When, in days since 1970.
    pub day: i32,
    /// When, in microseconds since 1970 by the clocks of the tills.
    pub moment: i64,
    /// For how much.
    pub cents: i128,
}

/// The files.
#[derive(Clone, Debug)]
pub struct Journey {
    /// The shop's rows.
    pub purchases: Vec<Purchase>,
    /// The mailer's rows: household and campaign.
    pub mailing: BTreeSet<(i64, i64)>,
    /// When each campaign began, in microseconds since 1970.
    pub starts: BTreeMap<i64, i64>,
}

/// People, buyers and cents of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Households in the population.
    pub people: i128,
    /// Those that bought in the window.
    pub buyers: i128,
    /// What they spent in it, each household cut to the bound.
    pub cents: i128,
}

/// Where the file lies in a checkout with the data beside it.
#[must_use]
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/completejourney")
        .join(name)
}

fn batches(name: &str) -> Option<Vec<RecordBatch>> {
    let file = File::open(file(name)).ok()?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).ok()?;
    reader.build().ok()?.collect::<Result<_, _>>().ok()
}

fn integers(batch: &RecordBatch, name: &str) -> Option<Vec<i64>> {
    let column = cast(batch.column_by_name(name)?, &DataType::Int64).ok()?;
    Some(column.as_primitive::<Int64Type>().values().to_vec())
}

/// Moments in microseconds.
fn moments(batch: &RecordBatch, name: &str) -> Option<Vec<i64>> {
    let column = batch.column_by_name(name)?;
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let column = cast(&cast(column, &micros).ok()?, &DataType::Int64).ok()?;
    Some(column.as_primitive::<Int64Type>().values().to_vec())
}

impl Journey {
    /// Reads all files; none where they are not there.
    #[must_use]
    pub fn read() -> Option<Self> {
        let mut purchases = Vec::new();
        for batch in batches("transactions.parquet")? {
            let moments = moments(&batch, "transaction_timestamp")?;
            let days = batch.column_by_name("transaction_timestamp")?;
            let days = cast(days, &DataType::Date32).ok()?;
            let days = days.as_primitive::<Date32Type>().values().to_vec();
            let amounts = batch.column_by_name("sales_value")?;
            let amounts = amounts.as_primitive_opt::<Float64Type>()?.values();
            let households = integers(&batch, "household_id")?;
            let when = days.into_iter().zip(moments);
            let rows = households.into_iter().zip(when).zip(amounts.iter());
            purchases.extend(rows.map(|((household, (day, moment)), amount)| Purchase {
                household,
                day,
                moment,
                cents: (amount * 100.0).round() as i128,
            }));
        }
        let mut mailing = BTreeSet::new();
        for batch in batches("campaigns.parquet")? {
            let households = integers(&batch, "household_id")?;
            mailing.extend(households.into_iter().zip(integers(&batch, "campaign_id")?));
        }
        let mut starts = BTreeMap::new();
        for batch in batches("campaign_descriptions.parquet")? {
            let campaigns = integers(&batch, "campaign_id")?;
            starts.extend(campaigns.into_iter().zip(moments(&batch, "start_date")?));
        }
        Some(Self {
            purchases,
            mailing,
            starts,
        })
    }

    /// The households that were sent the campaign, then the others; spend a household is cut
    /// to `most` cents.
    #[must_use]
    pub fn exact(&self, campaign: i64, from: Date, until: Date, most: i128) -> [Group; 2] {
        let window = from.days()..=until.days();
        let mut spend: BTreeMap<i64, Option<i128>> = BTreeMap::new();
        for purchase in &self.purchases {
            let sum = spend.entry(purchase.household).or_default();
            if window.contains(&purchase.day) {
                *sum = Some(sum.unwrap_or_default() + purchase.cents);
            }
        }
        let mut groups = [Group::default(); 2];
        let [mailed, others] = &mut groups;
        for (household, sum) in spend {
            let sent = self.mailing.contains(&(household, campaign));
            let group = if sent { &mut *mailed } else { &mut *others };
            group.people += 1;
            group.buyers += i128::from(sum.is_some());
            group.cents += sum.unwrap_or_default().clamp(0, most);
        }
        groups
    }
}
