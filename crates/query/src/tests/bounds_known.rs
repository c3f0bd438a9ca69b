//! What is known of numbers besides their noise: averages lie within the bounds of their values,
//! quantiles at ranks of which the range is told.

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Float64Type;
use incamera_wire::v1 as wire;

use super::*;
use crate::table::{Cell, Table};
use crate::{Marks, csv, frame, prove, table};

const AVERAGES: &str = "SELECT COUNT(DISTINCT person) AS people, AVG(items) AS mean,
  ROUND(AVG(items), 1) AS tidy, 2 * AVG(items) AS twice FROM purchases";

fn asked(sql: &str, reads: &str, per_person: &str) -> Agreement {
    let settings = [
        ("reads", reads),
        ("rows", "{ purchases = 10 }"),
        ("per_person", per_person),
    ];
    let agreement = agreement(sql, &settings);
    prove(&agreement, query(&agreement)).unwrap_or_else(|refusal| panic!("{refusal}"));
    agreement
}

/// An answer with these released values, and with the noise that the query has.
fn answered(agreement: &Agreement, values: &[(&str, i64)]) -> (wire::Answer, Table) {
    let checked = prove(agreement, query(agreement)).unwrap();
    let nobody = Memory {
        partitions: 1,
        parts: BTreeMap::new(),
    };
    let mut found = answer(try_raw(&checked, Arc::new(nobody), 1).unwrap(), 1);
    let at = |name: &str| values.iter().find(|(of, _)| *of == name);
    let group = &mut found.groups[0];
    group.values = found
        .measures
        .iter()
        .map(|measure| {
            at(&measure.name)
                .unwrap_or_else(|| panic!("{}", measure.name))
                .1
        })
        .collect();
    let shown = table(&found, agreement, query(agreement), &Params::new()).unwrap();
    (found, shown)
}

fn named<'t>(table: &'t Table, name: &str) -> &'t Cell {
    let mut cells = table.rows[0].cells.iter();
    cells.find(|cell| cell.name == name).unwrap()
}

/// `mean` with so many people, of whom each has a value so far above 50.
fn averages(people: i64, above: i64) -> Table {
    let reads = "[\"purchases.person\", \"purchases.items\"]";
    let per_person = "{ groups = 1, mean = { value = [0, 100] } }";
    let agreement = asked(AVERAGES, reads, per_person);
    let values = [
        ("people", people),
        ("mean.count", people),
        ("mean.sum", people * above),
    ];
    answered(&agreement, &values).1
}

#[test]
fn averages_end_where_their_values_do() {
    // Inside with its whole range; as it was released.
    let inside = averages(10_000, 10);
    let mean = named(&inside, "mean");
    assert_eq!(mean.value, Some(60.0));
    let (low, high) = mean.low.zip(mean.high).unwrap();
    assert!(
        low > 50.0 && low < 60.0 && high > 60.0 && high < 70.0,
        "{mean:?}"
    );
    // Noise puts few people's average above the bound: the lower end stays as it was.
    let few = averages(500, 55);
    let mean = named(&few, "mean");
    assert_eq!((mean.value, mean.high), (Some(100.0), Some(100.0)));
    assert!(
        mean.low.is_some_and(|low| low > 0.0 && low < 100.0),
        "{mean:?}"
    );
    assert!(mean.text.starts_with("100.0 (9"), "{mean:?}");
    let tidy = named(&few, "tidy");
    assert_eq!((tidy.value, tidy.high), (Some(100.0), Some(100.0)));
    // What is computed with it goes by what was released.
    assert_eq!(named(&few, "twice").value, Some(210.0));
    // A range that lies outside altogether: its half width stays.
    let outside = averages(10_000, 60);
    let (mean, uncut) = (named(&outside, "mean"), named(&outside, "twice"));
    let half = uncut
        .high
        .zip(uncut.low)
        .map(|(high, low)| (high - low) / 4.0)
        .unwrap();
    assert_eq!((mean.value, mean.high), (Some(100.0), Some(100.0)));
    assert!(
        mean.low.is_some_and(|low| (100.0 - half - low).abs() < 0.1),
        "{mean:?} {half}"
    );
    let below = averages(10_000, -60);
    let mean = named(&below, "mean");
    assert_eq!((mean.value, mean.low), (Some(0.0), Some(0.0)));
    assert!(
        mean.high.is_some_and(|high| high > 0.0 && high < 10.0),
        "{mean:?}"
    );
    let note = "no average lies outside of these";
    assert!(inside.notes.iter().any(|said| said.contains(note)));
}

const QUANTILES: &str = "SELECT COUNT(DISTINCT person) AS people, MEDIAN(amount) AS middle,
  APPROX_PERCENTILE_CONT(amount, 0.99) AS upper, MAX(amount) AS most FROM purchases";

fn quantiles(sql: &str, more: &str, values: &[(&str, i64)]) -> (wire::Answer, Table) {
    let each = "{ value = [0, 500] }";
    let per_person =
        format!("{{ groups = 1, middle = {each}, upper = {each}, most = {each}{more} }}");
    let reads = "[\"purchases.person\", \"purchases.amount\"]";
    answered(&asked(sql, reads, &per_person), values)
}

fn of_people(people: i64) -> (wire::Answer, Table) {
    let amounts = [("middle", 30_153), ("upper", 49_000), ("most", 50_000)];
    quantiles(
        QUANTILES,
        "",
        &[&[("people", people)], &amounts[..]].concat(),
    )
}

fn rank(cell: &Cell) -> (f64, f64) {
    let rank = cell.rank.unwrap();
    (rank.low, rank.high)
}

/// The ranks that a quantile may be off are told in percent of the noisy count, and a range that
/// says little is warned of: the median's by its width, another's where it reaches an end.
#[test]
fn ranks_are_in_percent_of_the_noisy_count() {
    let (answer, many) = of_people(100_000);
    let ranks = |name: &str| {
        let mut measures = answer.measures.iter();
        measures.find(|measure| measure.name == name).unwrap().ranks
    };
    let (middle, off) = (named(&many, "middle"), ranks("middle") / 1_000.0);
    let (low, high) = rank(middle);
    assert!((low - (50.0 - off)).abs() < 1e-9 && (high - (50.0 + off)).abs() < 1e-9);
    assert!(off > 0.0 && off < 1.0, "{off}");
    assert!(
        middle.text.starts_with("301.53 EUR, rank 50 % (49."),
        "{middle:?}"
    );
    assert!(middle.text.ends_with(" %)"), "{middle:?}");
    assert_eq!(many.quantiles, ["middle", "upper", "most"]);
    let warned = |table: &Table| {
        let mut notes = table.notes.iter();
        let found = notes.find(|note| note.starts_with("WARNING, hardly known: the rank of "));
        found.cloned().unwrap_or_default()
    };
    assert_eq!(warned(&many), "");
    // As many as that the median's range is a little wider than 20 points.
    let people = (ranks("middle") / 0.101) as i64;
    let (_, few) = of_people(people);
    let (low, high) = rank(named(&few, "middle"));
    assert!(
        low > 39.0 && high < 61.0 && high - low > 20.0,
        "{low} {high}"
    );
    for name in ["middle", "upper"] {
        let text = &named(&few, name).text;
        assert!(text.ends_with("%): hardly known"), "{text}");
        assert!(warned(&few).contains(name), "{}", warned(&few));
    }
    // A little narrower, and there is no more than what reaches the end.
    let (_, more) = of_people((ranks("middle") / 0.099) as i64);
    assert!(!warned(&more).contains("middle") && warned(&more).contains("upper"));
    // Of an end that was asked for, a range may reach it.
    assert_eq!(rank(named(&more, "most")).1, 100.0);
    assert!(!warned(&more).contains("most"), "{}", warned(&more));
    // Nobody: nothing is known.
    assert_eq!(rank(named(&of_people(0).1, "middle")), (0.0, 100.0));
}

/// Where a query counts the values themselves, percentages are of that count.
#[test]
fn ranks_are_of_the_values_where_these_are_counted() {
    let counted = QUANTILES.replace(" FROM", ", AVG(amount) AS mean FROM");
    let more = ", mean = { value = [0, 500] }";
    let values = [
        ("people", 100_000),
        ("middle", 30_153),
        ("upper", 49_000),
        ("most", 50_000),
        ("mean.count", 10_000),
        ("mean.sum", 0),
    ];
    let (answer, table) = quantiles(&counted, more, &values);
    let (low, _) = rank(named(&table, "middle"));
    let off = answer.measures[1].ranks / 100.0;
    assert!((low - (50.0 - off)).abs() < 1e-9, "{low} {off}");
    let note = |part: &str| table.notes.iter().any(|note| note.contains(part));
    assert!(note("in percent of the noisy count of its values"));
    // Values of another expression are others.
    let other = QUANTILES.replace(" FROM", ", AVG(2 * amount) AS mean FROM");
    let (answer, table) = quantiles(&other, more, &values);
    let (low, _) = rank(named(&table, "middle"));
    let off = answer.measures[1].ranks / 1_000.0;
    assert!((low - (50.0 - off)).abs() < 1e-9, "{low} {off}");
}

#[test]
fn ranges_of_ranks_stand_in_files() {
    let (answer, table) = of_people(100_000);
    let frame = frame(&answer, &table).unwrap();
    let number = |name: &str| {
        let column = frame
            .column_by_name(name)
            .unwrap_or_else(|| panic!("{name}"));
        let numbers = column.as_primitive::<Float64Type>();
        numbers.is_valid(0).then(|| numbers.value(0))
    };
    let middle = named(&table, "middle");
    assert_eq!(number("middle"), Some(301.53));
    assert_eq!(number("middle_low"), None);
    let ends = number("middle_rank_low").zip(number("middle_rank_high"));
    assert_eq!(ends, Some(rank(middle)));
    assert!(frame.column_by_name("people_rank_low").is_none());
    // An amount is written as it is.
    let text = String::from_utf8(csv(&frame, Marks::default()).unwrap()).unwrap();
    assert!(text.contains(",301.53,"), "{text}");
    let json = serde_json::to_value(middle).unwrap();
    assert_eq!(json["value"], 301.53);
    assert!(json["rank"]["low"].is_number() && json["rank"]["high"].is_number());
}
