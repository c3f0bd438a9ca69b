//! What clamps hide in an owner's own rows, against people whose sums are known.

use arrow::array::{Date32Array, Decimal128Array, Int64Array, StringArray};
use incamera_types::{Date, Value};

use super::*;
use crate::ClippedError;

/// Person, day, cents, items, category.
type Row = (u8, &'static str, i128, i64, &'static str);

fn rows(rows: &[Row]) -> RecordBatch {
    let amounts = Decimal128Array::from_iter_values(rows.iter().map(|row| row.2));
    let days = rows.iter().map(|row| row.1.parse::<Date>().unwrap().days());
    batch(vec![
        ("person", people(rows.iter().map(|row| person(row.0)))),
        ("day", Arc::new(Date32Array::from_iter_values(days))),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        (
            "items",
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))),
        ),
        (
            "category",
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.4))),
        ),
    ])
}

fn clipped(
    agreement: &Agreement,
    of: &str,
    rows: &[RecordBatch],
) -> Result<crate::Clipped, ClippedError> {
    let query = query(agreement);
    let day = |text: &str| Value::Date(text.parse().unwrap());
    let mut params = Params::new();
    for (name, value) in [("from", "2026-03-01"), ("until", "2026-03-31")] {
        let name = name.parse().unwrap();
        if query.params.contains_key(&name) {
            params.insert(name, day(value));
        }
    }
    let checked = crate::check(agreement, query, &params).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(checked.clipped(&dataset(of), rows))
}

/// The lift: purchases joined on the right of a LEFT JOIN, with a window.
fn lift(per_person: &str) -> Agreement {
    agreement(
        "SELECT CASE WHEN mailing.mailed THEN 'yes' ELSE 'no' END AS g,
                COUNT(DISTINCT customers.person) AS people, SUM(purchases.amount) AS spend, SUM(purchases.items) AS items
         FROM customers JOIN mailing ON mailing.person = customers.person
         LEFT JOIN purchases ON purchases.person = customers.person AND purchases.day BETWEEN $from AND $until
         WHERE mailing.campaign = 'x'
         GROUP BY 1",
        &[
            ("reads", "[\"customers.person\", \"mailing.person\", \"mailing.mailed\", \"mailing.campaign\", \"purchases.person\", \"purchases.day\", \"purchases.amount\", \"purchases.items\"]"),
            ("params", "{ from = { type = \"date\" }, until = { type = \"date\" } }"),
            ("rows", "{ purchases = 3, mailing = 1 }"),
            ("groups", "{ g = [\"yes\", \"no\"] }"),
            ("per_person", per_person),
        ],
    )
}

/// Person 1 is above 400 over two rows, person 2 at it, person 3 below; person 4's is outside
/// the window but for 1.00; person 5 has four rows, one too many.
const LIFT: &[Row] = &[
    (1, "2026-03-01", 30_000, 2, ""),
    (1, "2026-03-31", 15_050, 3, ""),
    (2, "2026-03-02", 40_000, 1, ""),
    (3, "2026-03-02", 39_999, 1, ""),
    (4, "2026-02-28", 50_000, 9, ""),
    (4, "2026-03-09", 100, 1, ""),
    (4, "2026-04-01", 50_000, 9, ""),
    (5, "2026-03-03", 10, 1, ""),
    (5, "2026-03-03", 10, 1, ""),
    (5, "2026-03-03", 10, 1, ""),
    (5, "2026-03-03", 10, 1, ""),
];

#[test]
fn known_people_are_counted() {
    let agreement = lift("{ groups = 1, spend = [0, 400], items = [2, 4] }");
    // In two batches, a person in both.
    let batches = [rows(&LIFT[..1]), rows(&LIFT[1..])];
    let found = clipped(&agreement, "purchases", &batches).unwrap();
    let [spend, items] = &found.sums[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (spend.name.as_str(), spend.unit.as_deref()),
        ("spend", Some("EUR"))
    );
    assert_eq!(
        (spend.low.as_str(), spend.high.as_str()),
        ("0.00", "400.00")
    );
    assert_eq!((spend.people, spend.above, spend.below), (5, 1, 0));
    // 450.50 + 400 + 399.99 + 1 + 0.40, of which 50.50 is cut off.
    assert_eq!(
        (spend.amount.as_str(), spend.hidden.as_str()),
        ("1251.89", "50.50")
    );
    assert!((spend.share_of_people - 0.2).abs() < 1e-12);
    assert!((spend.share_of_amount - 50.5 / 1251.89).abs() < 1e-12);
    // 5, 1, 1, 1, 4 between 2 and 4: one above by 1, three below by 1.
    assert_eq!((items.people, items.above, items.below), (5, 1, 3));
    assert_eq!((items.amount.as_str(), items.hidden.as_str()), ("12", "4"));
    assert_eq!((found.rows_a_person, found.people_above_rows), (Some(3), 1));
}

/// The cut counts the rows that pass: who has too many only outside the window loses none.
#[test]
fn rows_that_do_not_pass_are_not_too_many() {
    let agreement = lift("{ groups = 1, spend = [0, 400], items = [2, 4] }");
    let above = |days: [&'static str; 4]| {
        let rows = rows(&days.map(|day| (1, day, 10, 1, "")));
        let found = clipped(&agreement, "purchases", &[rows]).unwrap();
        found.people_above_rows
    };
    assert_eq!(above(["2026-03-01"; 4]), 1);
    let outside = ["2026-03-01", "2026-03-01", "2026-03-01", "2026-04-01"];
    assert_eq!(above(outside), 0);
}

#[test]
fn what_was_applied_is_said() {
    let agreement = lift("{ groups = 1, spend = [0, 400], items = [2, 4] }");
    let found = clipped(&agreement, "purchases", &[rows(LIFT)]).unwrap();
    assert_eq!(found.applied.len(), 1, "{found:?}");
    assert!(
        found.applied[0].contains("purchases.day BETWEEN")
            && found.applied[0].contains("2026-03-31"),
        "{found:?}"
    );
    let left_out = found.left_out.join("; ");
    assert!(left_out.contains("mailing.campaign = "), "{left_out}");
    assert!(left_out.contains("customers.person"), "{left_out}");
    assert_eq!(found.groups_unknown, ["g"]);
    assert!(found.groups.is_empty());
}

/// Groups of the data set's own columns are told apart, and clamps hold in each.
#[test]
fn own_groups_are_known() {
    let agreement = agreement(
        "SELECT category AS c, COUNT(DISTINCT person) AS people, SUM(amount) AS spend
         FROM (SELECT person, category, amount FROM purchases WHERE items < 5) p GROUP BY category",
        &[
            (
                "reads",
                "[\"purchases.person\", \"purchases.category\", \"purchases.amount\", \"purchases.items\"]",
            ),
            ("rows", "{ purchases = 10 }"),
            ("groups", "{ c = [\"a\", \"b\"] }"),
            ("per_person", "{ groups = 2, spend = [0, 10] }"),
        ],
    );
    let found = clipped(
        &agreement,
        "purchases",
        &[rows(&[
            (1, "2026-03-01", 800, 1, "a"),
            (1, "2026-03-01", 900, 1, "b"),
            (2, "2026-03-01", 800, 1, "a"),
            (2, "2026-03-01", 700, 1, "a"),
            (2, "2026-03-01", 9_900, 1, "elsewhere"),
            (3, "2026-03-01", 9_900, 5, "a"),
        ])],
    )
    .unwrap();
    let spend = &found.sums[0];
    assert_eq!((spend.people, spend.above), (3, 1), "{found:?}");
    assert_eq!(
        (spend.amount.as_str(), spend.hidden.as_str()),
        ("32.00", "5.00")
    );
    assert_eq!(
        (found.groups.as_slice(), found.left_out.len()),
        (&["c".to_owned()][..], 0)
    );
}

#[test]
fn nothing_added_up_is_said() {
    let agreement = lift("{ groups = 1, spend = [0, 400], items = [2, 4] }");
    for other in ["customers", "mailing"] {
        let error = clipped(&agreement, other, &[]).unwrap_err();
        assert_eq!(
            error,
            ClippedError::NothingAddedUp {
                dataset: dataset(other)
            }
        );
    }
    // No row is no error.
    let found = clipped(&agreement, "purchases", &[rows(&[])]).unwrap();
    assert_eq!((found.sums[0].people, found.sums[0].above), (0, 0));
}

/// Where rows are made of a person's rows before they are added up, the file alone does not
/// tell: that is said, and no figure is given.
#[test]
fn rows_made_of_rows_are_not_counted_at_home() {
    let sql = "SELECT COUNT(DISTINCT person) AS people, SUM(spend) AS spend FROM
        (SELECT person, MAX(amount) AS spend FROM purchases GROUP BY person) t";
    let settings = [
        ("reads", "[\"purchases.person\", \"purchases.amount\"]"),
        ("rows", "{ purchases = 10 }"),
        ("per_person", "{ groups = 1, spend = [0, 400] }"),
    ];
    let agreement = agreement(sql, &settings);
    let error = clipped(&agreement, "purchases", &[rows(&[])]).unwrap_err();
    let dataset = dataset("purchases");
    assert_eq!(error, ClippedError::Nested { dataset });
}
