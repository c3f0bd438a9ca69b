//! A made-up campaign: a mailer's randomised mailing list, a shop's customers and purchases.
//!
//! | file            | owner  | columns                                                             |
//! |-----------------|--------|---------------------------------------------------------------------|
//! | `mailing.csv`   | mailer | `email`, `mailed` (true or false, by the toss of a coin)            |
//! | `customers.csv` | shop   | `email`, `consent` (purposes with `;` between them, or nothing)     |
//! | `purchases.csv` | shop   | `email`, `day`, `amount` (two digits after the point), `category`   |
//!
//! About 95 % of the people are on the mailing list and 95 % are customers, independently, so
//! that about 90 % are both. Purchases are skewed: from none to 200 a person, 10 on average,
//! over a year; in the campaign's window (2026-03-01 to 2026-05-31) people who were mailed buy more often by
//! `lift_percent`. A few rows have their e-mail in mixed case and with spaces around it, a few
//! stand twice, a few have none. Everything hangs on the seed.

mod generate;
mod truth;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use incamera_types::Date;

use generate::{CATEGORIES, Data};
pub use truth::{Clamps, GroupTruth, LiftTruth, TruthError, lift_truth};

/// The names of the files.
const MAILING: &str = "mailing.csv";
const CUSTOMERS: &str = "customers.csv";
const PURCHASES: &str = "purchases.csv";

/// The first day of the year of purchases: 2025-11-01, in days since 1970-01-01.
const FIRST_DAY: i32 = 20_393;
/// Days of purchases.
const DAYS: u16 = 365;
/// The campaign's window within them: 2026-03-01 to 2026-05-31.
const WINDOW: (u16, u16) = (120, 211);
/// The bounds that the demo's agreement has: 500 a purchase, 400 a person.
const CLAMPS: Clamps = Clamps {
    amount: (0, 50_000),
    spend: (0, 40_000),
};
/// Every so manieth row has its e-mail in mixed case, with spaces around it.
const UNTIDY_EVERY: u32 = 997;

/// What to make up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Decides everything.
    pub seed: u64,
    /// People there are.
    pub people: u32,
    /// People in a hundred who are on the mailing list.
    pub on_list_percent: u32,
    /// People in a hundred who are customers.
    pub customers_percent: u32,
    /// Customers in a hundred who refuse `measurement`.
    pub refuse_percent: u32,
    /// Additional purchases in a hundred, in the window, of people who were mailed; and half
    /// as many in a hundred of those who would have bought nothing in it buy something.
    pub lift_percent: u32,
    /// People whose row stands twice, in the mailing list and among the customers.
    pub duplicates: u32,
    /// Rows of each file without an e-mail.
    pub empty_ids: u32,
}

impl Default for Campaign {
    fn default() -> Self {
        Self {
            seed: 1,
            people: 100_000,
            on_list_percent: 95,
            customers_percent: 95,
            refuse_percent: 10,
            lift_percent: 12,
            duplicates: 25,
            empty_ids: 10,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The mailer's list.
    pub mailing: PathBuf,
    /// The shop's customers.
    pub customers: PathBuf,
    /// The shop's purchases.
    pub purchases: PathBuf,
}

impl Files {
    /// The files of a folder.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self {
            mailing: folder.join(MAILING),
            customers: folder.join(CUSTOMERS),
            purchases: folder.join(PURCHASES),
        }
    }
}

/// Rows written, those without an e-mail included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Of the mailing list.
    pub mailing: u64,
    /// Of the customers.
    pub customers: u64,
    /// Of the purchases.
    pub purchases: u64,
}

impl Campaign {
    /// The demo's campaign, with this many people and this seed.
    #[must_use]
    pub fn new(people: u32, seed: u64) -> Self {
        Self {
            seed,
            people,
            ..Self::default()
        }
    }

    /// The campaign's first and last day.
    #[must_use]
    pub fn window() -> (Date, Date) {
        (day(WINDOW.0), day(WINDOW.1))
    }

    /// Writes the three files into one folder.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, folder: &Path) -> io::Result<Rows> {
        std::fs::create_dir_all(folder)?;
        let (data, files) = (Data::generate(self), Files::of(folder));
        Ok(Rows {
            mailing: write_file(&files.mailing, |out| self.write_mailing(&data, out))?,
            customers: write_file(&files.customers, |out| self.write_customers(&data, out))?,
            purchases: write_file(&files.purchases, |out| self.write_purchases(&data, out))?,
        })
    }

    /// An e-mail that stands once in `customers.csv`, exactly so, and once in `mailing.csv`,
    /// and in no purchase: its person was mailed and consents to everything. Generates the
    /// data again. Empty if there are too few people for one of that sort.
    #[must_use]
    pub fn known_email(&self) -> String {
        let marked = Data::generate(self).marked(self.duplicates);
        marked.map(email).unwrap_or_default()
    }

    /// What is true of the files in a folder, within the campaign's window and the bounds of
    /// the demo's agreement.
    ///
    /// # Errors
    /// [`TruthError`].
    pub fn truth(&self, folder: &Path) -> Result<LiftTruth, TruthError> {
        let (from, until) = Self::window();
        lift_truth(&Files::of(folder), from, until, CLAMPS)
    }

    fn write_mailing(&self, data: &Data, out: &mut impl Write) -> io::Result<u64> {
        writeln!(out, "email,mailed")?;
        let mut rows = 0;
        let listed = data.people.iter().filter(|person| person.on_list);
        let again = data.repeated(self.duplicates, |person| person.on_list);
        for person in listed.chain(again) {
            writeln!(out, "{},{}", written(person.number, rows), person.mailed)?;
            rows += 1;
        }
        for number in 0..self.empty_ids {
            writeln!(out, ",{}", number % 2 == 0)?;
        }
        Ok(u64::from(rows + self.empty_ids))
    }

    fn write_customers(&self, data: &Data, out: &mut impl Write) -> io::Result<u64> {
        writeln!(out, "email,consent")?;
        let mut rows = 0;
        let customers = data.people.iter().filter(|person| person.customer);
        let again = data.repeated(self.duplicates, |person| person.customer);
        for person in customers.chain(again) {
            writeln!(out, "{},{}", written(person.number, rows), person.consent())?;
            rows += 1;
        }
        for _ in 0..self.empty_ids {
            writeln!(out, ",ads;measurement")?;
        }
        Ok(u64::from(rows + self.empty_ids))
    }

    fn write_purchases(&self, data: &Data, out: &mut impl Write) -> io::Result<u64> {
        writeln!(out, "email,day,amount,category")?;
        let days: Vec<String> = (0..DAYS).map(|number| day(number).to_string()).collect();
        let mut rows = 0;
        for purchase in &data.purchases {
            let email = written(purchase.person, rows);
            let day = days
                .get(usize::from(purchase.day))
                .map_or("", String::as_str);
            let (whole, part) = (purchase.cents / 100, purchase.cents % 100);
            let category = CATEGORIES
                .get(usize::from(purchase.category))
                .unwrap_or(&"");
            writeln!(out, "{email},{day},{whole}.{part:02},{category}")?;
            rows += 1;
        }
        for _ in 0..self.empty_ids {
            writeln!(out, ",{},9.99,food", day(WINDOW.0))?;
        }
        Ok(u64::from(rows + self.empty_ids))
    }
}

fn day(number: u16) -> Date {
    Date::from_days(FIRST_DAY + i32::from(number))
}

/// A person's e-mail in its tidy form.
#[must_use]
pub fn email(number: u32) -> String {
    format!("person{number:06}@mail.example")
}

/// The e-mail as it stands in a row, which is now and then untidy.
fn written(number: u32, row: u32) -> String {
    if is_untidy(row) {
        return format!(" Person{number:06}@Mail.Example ");
    }
    email(number)
}

fn is_untidy(row: u32) -> bool {
    row % UNTIDY_EVERY == UNTIDY_EVERY - 1
}

fn write_file(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<u64>,
) -> io::Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let rows = fill(&mut out)?;
    out.flush()?;
    Ok(rows)
}
