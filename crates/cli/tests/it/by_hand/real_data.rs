//! docs/real-data.md, as a person would go through it; only where the data lie beside the checkout.

use incamera_testkit::journey::{FREQUENCY, LAST_TOUCH, LINEAR, REACH};
use serde_json::Value;

use super::person::Person;
use super::{repository, walk_through};

/// Households that were sent the campaign and that were not, then those of each that bought in
/// its window: counted over the files without any code of ours.
const EXACT: [(&str, [u64; 4]); 3] = [
    ("8", [1_076, 1_393, 1_057, 1_121]),
    ("13", [1_077, 1_392, 1_050, 1_118]),
    ("18", [1_133, 1_336, 1_104, 1_135]),
];

/// What both groups of campaign 8 spent in its window, before the clamp; the share is of this and
/// not of the answer, whose noise would decide the test.
const SPENT: [f64; 2] = [422_599.74, 196_257.38];

/// Six standard deviations of the noise, of which a range of 95 % is 1.96.
const FAR: f64 = 6.0 / 1.96;

#[test]
fn the_walk_on_real_data_works_as_written() {
    let data = repository().join("../shared/data/completejourney");
    if !data.join("transactions.parquet").is_file() {
        eprintln!("SKIPPED: no ../shared/data/completejourney beside the checkout");
        return;
    }
    let mut person = Person::new();
    let link = |from, to: &str| std::os::unix::fs::symlink(from, person.path(to)).unwrap();
    link(data, "journey");
    link(repository().join("docs/examples"), "examples");
    let text = std::fs::read_to_string(repository().join("docs/real-data.md")).unwrap();
    walk_through(&mut person, &text);
    let clipped = person.heard("incamera data clipped purchases");
    assert!(clipped.contains("3 of 2178 people"), "{clipped}");
    for (campaign, exact) in EXACT {
        let verified = answered(&person, campaign);
        let found = verified["answer"]["rows"].as_array().unwrap();
        assert_eq!(found.len(), 2);
        let counts = [[exact[0], exact[2]], [exact[1], exact[3]]];
        for ((row, exact), spent) in found.iter().zip(counts).zip(SPENT) {
            let cells = row["cells"].as_array().unwrap();
            for (cell, exact) in cells.iter().zip(exact) {
                near(cell, exact as f64, campaign);
            }
            if campaign == "8" {
                let share = half_width(&cells[2]) / spent;
                assert!(share < 0.2, "the range of spend is {share} of it");
            }
        }
    }
    let templates = [
        ("reach", rows(&REACH, &[0, 0])),
        ("frequency", rows(&FREQUENCY, &[0, 0])),
        ("last-touch", rows(&LAST_TOUCH, &[0, 0, 2])),
        ("linear", rows(&LINEAR, &[0, 8, 6])),
    ];
    for (name, exact) in templates {
        let found = answered(&person, name);
        let found = found["answer"]["rows"].as_array().unwrap();
        assert_eq!(found.len(), exact.len());
        for (row, exact) in found.iter().zip(exact) {
            let cells = row["cells"].as_array().unwrap();
            for (cell, exact) in cells.iter().zip(exact) {
                near(cell, exact, name);
            }
        }
    }
}

/// Numbers with so many digits after the point.
fn rows<const N: usize>(of: &[[i128; N]], digits: &[i32; N]) -> Vec<Vec<f64>> {
    let number = |(number, digits): (&i128, &i32)| *number as f64 / 10f64.powi(*digits);
    let row = |row: &[i128; N]| row.iter().zip(digits).map(number).collect();
    of.iter().map(row).collect()
}

fn answered(person: &Person, name: &str) -> Value {
    let release = format!("@/{name}.release");
    let agreement = "@/mailer/agreements/journey.toml";
    let verified = person.json(&["verify", &release, "--agreement", agreement]);
    verified.document
}

fn half_width(cell: &Value) -> f64 {
    (cell["high"].as_f64().unwrap() - cell["low"].as_f64().unwrap()) / 2.0
}

fn near(cell: &Value, exact: f64, of: &str) {
    let off = (cell["value"].as_f64().unwrap() - exact).abs();
    assert!(
        off < FAR * half_width(cell),
        "{of}: {cell} is far from {exact}"
    );
}
