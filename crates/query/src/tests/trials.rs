//! Two randomised experiments split between two parties: the agreements of docs/trials.md over
//! the real rows, with noise drawn anew from many seeds.
//!
//! Read from `../shared/data` beside the checkout; without it these tests say that they skip.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, Decimal128Array, Int64Array, StringArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::DataType;
use incamera_types::{Pseudonym, QueryName, RequestDigest, Transcript};

use super::*;
use crate::{Comparison, Table, prove, table};

/// The columns of a file, as texts.
type File = BTreeMap<String, Vec<String>>;

fn file(path: &str) -> Option<File> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(path);
    let found = read(&path);
    if found.is_none() {
        eprintln!("SKIPPED: no ../shared/data beside the checkout");
    }
    found
}

fn read(path: &PathBuf) -> Option<File> {
    let open = || std::fs::File::open(path).ok();
    let format = Format::default().with_header(true);
    let (schema, _) = format.infer_schema(open()?, Some(0)).unwrap();
    let texts = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    let schema = Schema::new(schema.fields().iter().map(texts).collect::<Vec<_>>());
    let mut columns = File::new();
    let reader = ReaderBuilder::new(Arc::new(schema)).with_format(format);
    for batch in reader.build(open()?).unwrap() {
        let batch = batch.unwrap();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let texts = column.as_string::<i32>().iter();
            let texts = texts.map(|text| text.unwrap_or("").to_owned());
            columns
                .entry(field.name().clone())
                .or_default()
                .extend(texts);
        }
    }
    Some(columns)
}

/// The agreement of an example, between parties of these names, for this purpose.
fn example(text: &str, [one, other]: [&str; 2], purpose: &str) -> Agreement {
    let (head, _) = DATASETS.split_once("[datasets.customers]").unwrap();
    let head = head.replace("parties.shop", &format!("parties.{one}"));
    let head = head.replace("parties.mailer", &format!("parties.{other}"));
    let head = head.replace("measurement =", &format!("{purpose} ="));
    Agreement::parse(format!("{head}\n{text}").as_bytes()).unwrap_or_else(|error| {
        let problems: Vec<_> = error.problems().map(ToString::to_string).collect();
        panic!("{}", problems.join("\n"))
    })
}

const PARTITIONS: u32 = 4;

/// Answers, each with noise of its own. They are fixed: so is what the tests find.
const SEEDS: u8 = 8;

/// Rows of one data set: the person's column and others, cut into slices.
fn rows(file: &File, id: &str, columns: &[(&'static str, Of)]) -> Vec<RecordBatch> {
    let mut people_of: Vec<(Person, usize)> = file[id]
        .iter()
        .enumerate()
        .map(|(row, id)| {
            let digest: RequestDigest = Transcript::new("patient").field(id).finish();
            (digest.as_bytes()[..16].try_into().unwrap(), row)
        })
        .collect();
    people_of.sort_unstable();
    let slice = |slice: u32| {
        let inside = people_of
            .iter()
            .filter(|(person, _)| Pseudonym::from_bytes(*person).partition(PARTITIONS) == slice);
        let inside: Vec<_> = inside.collect();
        let mut built = vec![("person", people(inside.iter().map(|(person, _)| *person)))];
        for (name, of) in columns {
            let texts = inside.iter().map(|(_, row)| file[*name][*row].as_str());
            built.push((*name, of(&mut texts.into_iter())));
        }
        batch(built)
    };
    (0..PARTITIONS).map(slice).collect()
}

/// A column of texts as its type.
type Of = fn(&mut dyn Iterator<Item = &str>) -> ArrayRef;

fn whole(texts: &mut dyn Iterator<Item = &str>) -> ArrayRef {
    let numbers = texts.map(|text| Some(text.parse::<i64>().unwrap()));
    Arc::new(numbers.collect::<Int64Array>())
}

fn text(texts: &mut dyn Iterator<Item = &str>) -> ArrayRef {
    Arc::new(texts.map(Some).collect::<StringArray>())
}

fn cents(texts: &mut dyn Iterator<Item = &str>) -> ArrayRef {
    let cents = texts.map(|text| Some((text.parse::<f64>().unwrap() * 100.0).round() as i128));
    let cents = cents.collect::<Decimal128Array>();
    Arc::new(cents.with_precision_and_scale(10, 2).unwrap())
}

fn memory(datasets: Vec<(&str, Vec<RecordBatch>)>) -> Memory {
    let mut memory = Memory {
        partitions: PARTITIONS,
        ..Memory::default()
    };
    for (name, slices) in datasets {
        for (slice, rows) in (0..).zip(slices) {
            memory
                .parts
                .insert((dataset(name), slice), vec![vec![rows]]);
        }
    }
    memory
}

/// Exact totals, and tables with the noise of each seed.
fn run(agreement: &Agreement, name: &str, memory: &Memory, seeds: u8) -> (Vec<i128>, Vec<Table>) {
    let query = &agreement.queries[&name.parse::<QueryName>().unwrap()];
    let checked = prove(agreement, query).unwrap();
    let raw = |key| {
        let parts = memory.parts.clone();
        let memory = Memory {
            partitions: PARTITIONS,
            parts,
        };
        try_raw(&checked, Arc::new(memory), key).unwrap()
    };
    let tables = (0..seeds).map(|seed| {
        let answer = answer(raw(seed), seed);
        table(&answer, agreement, query, &Params::new()).unwrap()
    });
    let tables = tables.collect();
    (exact(&raw(0)), tables)
}

/// How many of all ranges of noise hold what the rows say, and how often each comparison is
/// clear.
fn held(tables: &[Table], truths: &[f64]) -> (f64, Vec<f64>) {
    let all = tables.len() as f64;
    let holds = |found: &Comparison, truth: f64| {
        (found.low.unwrap()..=found.high.unwrap()).contains(&truth)
    };
    let mut inside = 0.0;
    let mut clear = vec![0.0; truths.len()];
    for table in tables {
        assert_eq!(table.comparisons.len(), truths.len());
        for ((found, truth), clear) in table.comparisons.iter().zip(truths).zip(&mut clear) {
            inside += f64::from(u8::from(holds(found, *truth)));
            *clear += f64::from(u8::from(found.verdict.starts_with("clearly"))) / all;
        }
    }
    (inside / (all * truths.len() as f64), clear)
}

/// Hillstrom's figures, from many analyses of his data: 18.276, 15.140 and 10.617 % came, 1.2531,
/// 0.8837 and 0.5726 % bought, and 1.4226, 1.0772 and 0.6528 USD were spent a customer.
#[test]
fn hillstrom_is_as_published() {
    let Some(file) = file("hillstrom/hillstrom.csv") else {
        return;
    };
    let text_of = include_str!("../../../../docs/examples/hillstrom.toml");
    let agreement = example(text_of, ["shop", "mailer"], "measurement");
    let id = "customer_id";
    let memory = memory(vec![
        ("mailing", rows(&file, id, &[("segment", text)])),
        (
            "customers",
            rows(
                &file,
                id,
                &[("visit", whole), ("conversion", whole), ("spend", cents)],
            ),
        ),
    ]);
    let (exact, tables) = run(&agreement, "response", &memory, SEEDS);
    assert_eq!(
        exact,
        [21_307, 3_894, 267, 21_387, 3_238, 189, 21_306, 2_262, 122]
    );
    let truths = [7.66, 4.52, 0.6805, 0.3111, 72.14, 42.61];
    let (inside, clear) = held(&tables, &truths);
    assert!(inside > 0.8, "{inside}");
    assert!(clear.iter().all(|share| *share > 0.7), "{clear:?}");
    let (exact, tables) = run(&agreement, "spend", &memory, SEEDS);
    // Cents, each less the middle of 0 to 499.
    let spent = |group: usize| exact[group * 4 + 2] + 24_950 * exact[group * 4 + 1];
    assert_eq!([0, 1, 2].map(spent), [3_031_169, 2_303_811, 1_390_833]);
    let (inside, clear) = held(&tables, &[0.7698, 0.4244]);
    assert!(inside > 0.8, "{inside}");
    assert!(clear.iter().all(|share| *share > 0.7), "{clear:?}");
}

/// The trial found each of the three better than zidovudine alone.
#[test]
fn actg_175_concludes_as_published() {
    let Some(file) = file("actg175/actg175.csv") else {
        return;
    };
    let text = include_str!("../../../../docs/examples/actg175.toml");
    let agreement = example(text, ["hospital", "laboratory"], "trial");
    let id = "pidnum";
    let memory = memory(vec![
        (
            "trial",
            rows(&file, id, &[("arms", whole), ("str2", whole)]),
        ),
        (
            "outcomes",
            rows(&file, id, &[("cens", whole), ("cd420", whole)]),
        ),
    ]);
    let (exact, tables) = run(&agreement, "endpoint", &memory, SEEDS);
    assert_eq!(exact, [532, 181, 522, 103, 524, 109, 561, 128]);
    let rate = |n: f64, x: f64| x / n * 100.0;
    let zidovudine = rate(532.0, 181.0);
    let truths = [(522.0, 103.0), (524.0, 109.0), (561.0, 128.0)];
    let (inside, clear) = held(&tables, &truths.map(|(n, x)| rate(n, x) - zidovudine));
    assert!(inside > 0.8, "{inside}");
    assert!(clear.iter().all(|share| *share > 0.9), "{clear:?}");
    let (exact, tables) = run(&agreement, "strata", &memory, SEEDS);
    assert_eq!(exact[..4], [309, 122, 223, 59]);
    let odds = |arm: usize| {
        let (mut above, mut below) = (0.0, 0.0);
        for stratum in 0..2 {
            let cell = |arm: usize, at: usize| exact[arm * 4 + stratum * 2 + at] as f64;
            let (n, x, m, y) = (cell(arm, 0), cell(arm, 1), cell(0, 0), cell(0, 1));
            above += x * (m - y) / (n + m);
            below += (n - x) * y / (n + m);
        }
        above / below
    };
    let (inside, clear) = held(&tables, &[odds(1), odds(2), odds(3)]);
    assert!(inside > 0.8, "{inside}");
    assert!(clear.iter().all(|share| *share > 0.7), "{clear:?}");
    let (exact, tables) = run(&agreement, "cells", &memory, SEEDS);
    let mean = |arm: usize| 400.0 + exact[arm * 4 + 2] as f64 / exact[arm * 4 + 1] as f64;
    // The published means are of values that are not brought to 800.
    for (arm, published) in [(0, 336.14), (1, 403.17), (2, 372.04), (3, 374.32)] {
        assert!((0.0..2.0).contains(&(published - mean(arm))), "{arm}");
    }
    let (inside, clear) = held(&tables, &[1, 2, 3].map(|arm| mean(arm) - mean(0)));
    assert!(inside > 0.8, "{inside}");
    assert!(clear.iter().all(|share| *share > 0.9), "{clear:?}");
}
