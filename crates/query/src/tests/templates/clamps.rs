//! `query explain --bounds`.

use super::*;

fn spending(more: &[(&str, &str)]) -> (Agreement, CheckedQuery) {
    let sql = "SELECT COUNT(DISTINCT purchases.person) AS people, SUM(amount) AS spend, COUNT(*) AS bought,
        AVG(amount) AS mean, COUNT(DISTINCT category) AS kinds FROM purchases
        JOIN customers ON customers.person = purchases.person";
    let mut settings = vec![
        (
            "reads",
            "[\"customers.person\", \"purchases.person\", \"purchases.amount\", \"purchases.category\"]",
        ),
        ("rows", "{ purchases = 30 }"),
        (
            "per_person",
            "{ groups = 1, spend = [0, 400], bought = [0, 10], mean = { value = [-100, 100], rows = 5 }, kinds = { distinct = 2 } }",
        ),
    ];
    settings.extend(more);
    let agreement = agreement_of(&base(), sql, &settings);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    (agreement, checked)
}

/// Noise is in proportion to a clamp; the one that is agreed is marked, and is what `explain`
/// says without it.
#[test]
fn noise_follows_clamps() {
    let (agreement, checked) = spending(&[]);
    let clamps = checked.clamps(&agreement, &Params::new());
    let names: Vec<&str> = clamps.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["spend", "bought", "mean", "kinds"]);
    let of = |name: &str| clamps.iter().find(|of| of.name == name).unwrap();
    let words = |name: &str| {
        let choices = of(name).choices.iter();
        choices
            .map(|choice| choice.clamp.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        words("spend"),
        ["0 .. 100", "0 .. 200", "0 .. 400", "0 .. 800", "0 .. 1600"]
    );
    assert_eq!(
        words("bought"),
        ["0 .. 2", "0 .. 5", "0 .. 10", "0 .. 20", "0 .. 40"]
    );
    assert_eq!(words("mean")[2], "-100 .. 100, 5 a person");
    assert_eq!(
        words("kinds"),
        [
            "at most 1 values",
            "at most 2 values",
            "at most 4 values",
            "at most 8 values"
        ]
    );
    let expected = checked.explain(&agreement).measures;
    for clamps in &clamps {
        let agreed: Vec<_> = clamps
            .choices
            .iter()
            .filter(|choice| choice.agreed)
            .collect();
        let now = expected.iter().find(|one| one.name == clamps.name).unwrap();
        assert_eq!(agreed.len(), 1, "{clamps:?}");
        assert_eq!(agreed[0].half_width, now.half_width);
        let mut pairs = clamps.choices.iter().zip(clamps.choices.iter().skip(1));
        assert!(
            pairs.all(|(a, b)| a.half_width < b.half_width),
            "{clamps:?}"
        );
    }
    let widths: Vec<f64> = of("spend")
        .choices
        .iter()
        .map(|choice| choice.half_width)
        .collect();
    assert!((widths[4] / widths[0] - 16.0).abs() < 0.01, "{widths:?}");
    let explained = checked
        .explain(&agreement)
        .with_clamps(clamps.clone(), Vec::new());
    let text = explained.to_string();
    assert!(
        text.contains("noise of spend by its clamp") && text.contains("0 .. 400 "),
        "{text}"
    );
    assert!(
        !checked
            .explain(&agreement)
            .to_string()
            .contains("by its clamp")
    );
}

/// The section is accepted in the agreement that it is for, beside the query.
#[test]
fn the_bounds_to_ask_are_accepted() {
    let (agreement, checked) = spending(&[]);
    let asked = checked.bounds_to_ask(&agreement);
    assert_eq!(asked.len(), 1, "{asked:?}");
    let (name, section) = &asked[0];
    assert_eq!(name.as_str(), "bounds-amount");
    for line in [
        "sum_99 = { value = [0, 4000] }",
        "rows_99 = { value = [0, 300] }",
        "JOIN customers ON customers.person = each.person",
    ] {
        assert!(section.contains(line), "{section}");
    }
    let text = format!("{}\n{section}", String::from_utf8_lossy(agreement.bytes()));
    let whole = Agreement::parse(text.as_bytes()).unwrap();
    prove(&whole, &whole.queries[name]).unwrap();
    // From zero on also where the agreed clamp begins above it, or ends below.
    for (clamp, ends) in [("[100, 400]", "[0, 4000]"), ("[-400, -100]", "[-4000, 0]")] {
        let bounds = format!(
            "{{ groups = 1, spend = {clamp}, bought = [0, 10], mean = {{ value = [-100, 100], rows = 5 }}, kinds = {{ distinct = 2 }} }}"
        );
        let (agreement, checked) = spending(&[("per_person", &bounds)]);
        let (_, section) = &checked.bounds_to_ask(&agreement)[0];
        assert!(
            section.contains(&format!("sum_99 = {{ value = {ends} }}")),
            "{section}"
        );
    }
    // Beside that one it gets another name.
    let again = prove(&whole, query(&whole));
    let names: Vec<_> = again.unwrap().bounds_to_ask(&whole);
    assert_eq!(names[0].0.as_str(), "bounds-amount-2");
}

/// A query that adds up what a sub-query made: the amounts that it reads.
#[test]
fn sums_of_sub_queries_are_asked_by_their_columns() {
    let values: Vec<_> = "data=purchases amount=amount bands=10,50 registers=customers"
        .split_whitespace()
        .chain(ASKED)
        .collect();
    let filled = section(&base(), "histogram", &values);
    let (agreement, checked) = accepted(&base(), &filled);
    let asked = checked.bounds_to_ask(&agreement);
    assert_eq!(asked[0].0.as_str(), "bounds-amount");
    // Ten times the most of one row.
    assert!(
        asked[0].1.contains("sum_99 = { value = [0, 5000] }"),
        "{}",
        asked[0].1
    );
}
