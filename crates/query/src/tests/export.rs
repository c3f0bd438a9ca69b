//! Answers as files, hostile names included.

use std::collections::HashMap;

use arrow::array::AsArray as _;
use arrow::datatypes::Float64Type;
use incamera_wire::v1 as wire;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::table::{Cell, Comparison, Ends, Row, Table};
use crate::{Marks, Page, csv, frame, page, parquet};

/// Keys that a data set of somebody else's choosing may bring.
const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "=cmd|' /C calc'!A0",
    "+1+cmd",
    "-2+3+cmd",
    "@SUM(1+1)",
    "\t=1",
    "  =1",
    "＝1+1",
    "a \"quoted\" text, with a comma",
    "two\r\nlines",
    "\u{202e}gpj.exe",
    "شركة التسويق",
    "</style></title></svg>&amp;",
    "\u{1b}[2J\u{0}",
    "-5",
    "",
];

fn cell(name: &str, value: f64, half: f64, unit: &str) -> Cell {
    Cell {
        name: name.into(),
        value: Some(value),
        low: Some(value - half),
        high: Some(value + half),
        unit: unit.into(),
        rank: None,
        sampling: None,
        both: None,
        text: format!("{value:.0} {unit} +- {half:.0}"),
    }
}

fn open(name: &str) -> Cell {
    Cell {
        name: name.into(),
        text: "hidden by the noise: the range is open".into(),
        ..Cell::default()
    }
}

fn table(keys: &[&str]) -> Table {
    let row = |(at, key): (usize, &&str)| {
        let number = (at + 1) as f64;
        Row {
            key: vec![(*key).to_owned()],
            withheld: false,
            cells: vec![
                cell("people", 1_000.0 * number, 24.0, ""),
                cell("spend_per_person", 18.2 - number, 0.23, "EUR"),
            ],
        }
    };
    Table {
        columns: ["campaign_group", "people", "spend_per_person"]
            .map(str::to_owned)
            .into(),
        rows: keys.iter().enumerate().map(row).collect(),
        comparisons: Vec::new(),
        quantiles: Vec::new(),
        sampling: false,
        notes: vec!["ranges are of the noise alone, at 95 %".into()],
        accounted: incamera_types::Epsilon::ZERO,
        simulated: true,
    }
}

/// A table with one of everything: a group withheld, a number left open, a comparison.
fn whole() -> Table {
    let mut table = table(&["mailed", "not mailed", "neither", "small"]);
    table.rows[2].cells[1] = open("spend_per_person");
    table.rows[3].withheld = true;
    table.rows[3].cells.clear();
    table.comparisons = vec![Comparison {
        kind: "lift",
        of: "spend_per_person".into(),
        group: "mailed".into(),
        against: "not mailed".into(),
        strata: None,
        value: Some(12.4),
        low: Some(11.7),
        high: Some(13.1),
        sampling: None,
        both: None,
        unit: "%".into(),
        verdict: "clearly above zero",
        text: "+12.4 % (+11.7 .. +13.1): clearly above zero".into(),
    }];
    table
}

fn answer() -> wire::Answer {
    wire::Answer {
        query: "lift".into(),
        keys: vec!["campaign_group".into()],
        simulated: true,
        ..wire::Answer::default()
    }
}

const MARKS: Marks = Marks {
    simulated: true,
    practice: false,
};

fn about(marks: Marks) -> Page {
    Page {
        title: "lift".into(),
        marks,
        facts: vec![("purpose".into(), "measurement".into())],
    }
}

#[test]
fn the_page_is_as_reviewed() {
    insta::assert_snapshot!("page", page(&whole(), &about(MARKS)));
}

/// Writes pages for somebody to look at: `INCAMERA_PAGES=DIR cargo nextest run ... --run-ignored`.
#[test]
#[ignore = "for eyes"]
fn pages_to_look_at() {
    let folder = std::path::PathBuf::from(std::env::var("INCAMERA_PAGES").unwrap());
    std::fs::write(folder.join("whole.html"), page(&whole(), &about(MARKS))).unwrap();
    let practice = Marks {
        practice: true,
        simulated: false,
    };
    let hostile = page(&table(HOSTILE), &about(practice));
    std::fs::write(folder.join("hostile.html"), hostile).unwrap();
}

/// The elements of a page are the same whatever the texts are, and none is made by a text.
#[test]
fn no_text_makes_an_element() {
    let tags = |html: &str| -> Vec<String> {
        let after = html.split('<').skip(1);
        let name = |tag: &str| tag.split([' ', '>']).next().unwrap_or_default().to_owned();
        after.map(name).collect()
    };
    let plain: Vec<String> = (0..HOSTILE.len()).map(|at| format!("group {at}")).collect();
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    let (plain, hostile) = (table(&plain), table(HOSTILE));
    let expected = tags(&page(&plain, &about(MARKS)));
    let mut everywhere = hostile.clone();
    everywhere.notes = vec![HOSTILE.join("")];
    everywhere.columns = vec![HOSTILE[0].into(), HOSTILE[1].into(), HOSTILE[2].into()];
    for row in &mut everywhere.rows {
        for cell in &mut row.cells {
            (cell.text, cell.unit) = (HOSTILE[1].into(), HOSTILE[0].into());
        }
    }
    let title = Page {
        title: HOSTILE[14].into(),
        facts: vec![(HOSTILE[0].into(), HOSTILE[1].into())],
        ..about(MARKS)
    };
    let found = page(&everywhere, &title);
    assert_eq!(tags(&found), expected);
    assert!(
        !tags(&found)
            .iter()
            .any(|tag| tag == "script" || tag == "img")
    );
    for bad in [
        "onerror=alert(1)>",
        "\u{202e}",
        "\u{1b}",
        "\u{0}",
        "' onmouseover='",
    ] {
        assert!(!found.contains(bad), "{bad:?}");
    }
    assert!(
        found.contains("شركة التسويق"),
        "a name in another script stays"
    );
}

#[test]
fn a_page_loads_and_runs_nothing() {
    let html = page(&whole(), &about(MARKS));
    for bad in [
        "<script",
        "http:",
        "https:",
        "src=",
        "href=",
        "@import",
        "url(",
        "javascript:",
    ] {
        assert!(!html.contains(bad), "{bad}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn what_is_withheld_has_no_point() {
    let html = page(&whole(), &about(MARKS));
    // Four groups, one of them withheld, and a number of another left open.
    assert_eq!(html.matches("<circle").count(), 3 + 2);
    assert!(html.contains("small: withheld: too few people"));
    assert!(html.contains("SIMULATED TEE"));
}

/// A number without a range has no point that would look like a sharp one.
#[test]
fn what_has_no_range_is_not_drawn() {
    let mut table = whole();
    for row in &mut table.rows {
        for cell in row
            .cells
            .iter_mut()
            .skip(1)
            .filter(|cell| cell.value.is_some())
        {
            (cell.low, cell.high) = (None, None);
            cell.rank = Some(Ends {
                low: 10.0,
                high: 90.0,
            });
        }
    }
    let html = page(&table, &about(MARKS));
    assert_eq!(html.matches("<circle").count(), 3, "people alone");
    let said = "Not drawn, as no range of values is known: <bdi>spend per person</bdi>";
    assert!(html.contains(said), "{html}");
    assert!(!page(&whole(), &about(MARKS)).contains("Not drawn"));
}

/// A number stays in one line with its range; what is longer is broken.
#[test]
fn a_number_stands_in_one_line() {
    let mut table = whole();
    table.rows[0].cells[0].text = "x".repeat(49);
    let html = page(&table, &about(MARKS));
    assert_eq!(html.matches("<td class=\"number long\">").count(), 1);
    assert_eq!(html.matches("<td class=\"number\">").count(), 5);
    assert!(html.contains("td.number:not(.long) { white-space: nowrap; }"));
}

/// A long name is cut in the drawing only, and many groups are drawn in part and listed whole.
#[test]
fn much_is_drawn_in_part() {
    let long = "x".repeat(10_000);
    let html = page(&table(&[&long]), &about(MARKS));
    assert_eq!(html.matches(&long).count(), 3, "two titles and the table");
    let many: Vec<String> = (0..500).map(|at| at.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let html = page(&table(&many), &about(MARKS));
    assert_eq!(html.matches("<circle").count(), 2 * 40);
    assert_eq!(html.matches("<th scope=\"row\">").count(), 500);
    assert!(html.contains("the first 40 of 500 groups"));
}

/// Numbers at the ends of what a double holds leave no place on the page.
#[test]
fn odd_numbers_are_drawn_inside() {
    for (value, half) in [
        (0.0, 0.0),
        (1e300, 1.0),
        (-1e-300, 0.0),
        (f64::NAN, 1.0),
        (1.0, f64::INFINITY),
    ] {
        let mut table = table(&["a", "b"]);
        table.rows[0].cells[0] = cell("people", value, half, "");
        let html = page(&table, &about(MARKS));
        assert!(
            !html.contains("NaN\"") && !html.contains("inf\""),
            "{value} {half}"
        );
    }
}

#[test]
fn no_cell_of_csv_is_a_formula() {
    let table = table(HOSTILE);
    let bytes = csv(&frame(&answer(), &table).unwrap(), MARKS).unwrap();
    let mut reader = csv_reader(&bytes);
    let heads: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(heads[0], "campaign_group");
    assert_eq!(
        heads[1..5],
        ["withheld", "people", "people_low", "people_high"]
    );
    assert_eq!(heads.last().unwrap(), "warning");
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), HOSTILE.len());
    for (row, key) in rows.iter().zip(HOSTILE) {
        let found = &row[0];
        let number = found.parse::<f64>().is_ok();
        let first = found.trim_start().chars().next();
        assert!(
            number || !first.is_some_and(|first| "=+-@＝".contains(first)),
            "{found:?}"
        );
        assert_eq!(
            found.trim_start_matches('\''),
            key.trim_start_matches('\''),
            "{key:?}"
        );
        assert!(row[row.len() - 1].contains("SIMULATED TEE"));
    }
}

fn csv_reader(bytes: &[u8]) -> ::csv::Reader<&[u8]> {
    ::csv::ReaderBuilder::new().from_reader(bytes)
}

/// What was released without marks has no column for them.
#[test]
fn csv_says_no_more_than_it_must() {
    let bytes = csv(&frame(&answer(), &whole()).unwrap(), Marks::default()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    insta::assert_snapshot!("csv", text);
}

#[test]
fn parquet_reads_back_equal() {
    let batch = frame(&answer(), &whole()).unwrap();
    let said = HashMap::from([("incamera.release".to_owned(), "AAAA".to_owned())]);
    let practice = Marks {
        practice: true,
        ..MARKS
    };
    let bytes = parquet(&batch, practice, said).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).unwrap();
    let pairs = builder
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap();
    let value = |key: &str| {
        let pair = pairs.iter().find(|pair| pair.key == key);
        pair.and_then(|pair| pair.value.clone()).unwrap_or_default()
    };
    assert_eq!(value("incamera.release"), "AAAA");
    assert_eq!(value("incamera.practice"), "true");
    assert_eq!(value("incamera.simulated"), "true");
    assert!(value("incamera.notes").contains("95 %"));
    assert_eq!(builder.schema().metadata()["incamera.query"], "lift");
    let reader = builder.build().unwrap();
    let read: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].columns(), batch.columns());
    let spend = read[0].column_by_name("spend_per_person").unwrap();
    let spend = spend.as_primitive::<Float64Type>();
    assert!(
        arrow::array::Array::is_null(spend, 2),
        "what noise left open is null"
    );
}
