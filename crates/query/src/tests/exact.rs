//! What a run costs by exact accounting: what the accountant says of the mechanisms written
//! out by hand, and never more than the charge.

use incamera_dp::{DpError, Mechanism, Pld};
use incamera_types::{Epsilon, Params};

use super::{agreement, query};
use crate::check::{CheckedQuery, check};
use crate::measure::Draw;

const ROWS: (&str, &str) = ("rows", "{ purchases = 10 }");

fn checked(sql: &str, settings: &[(&str, &str)]) -> CheckedQuery {
    let agreement = agreement(sql, &[&[ROWS], settings].concat());
    check(&agreement, query(&agreement), &Params::default()).unwrap()
}

const PEOPLE: &str = "SELECT COUNT(DISTINCT person) AS people FROM purchases";

const BY_CATEGORY: &str = "SELECT category, COUNT(DISTINCT person) AS people
    FROM purchases GROUP BY category";

const CATEGORY: (&str, &str) = ("reads", "[\"purchases.person\", \"purchases.category\"]");

const AMOUNT: (&str, &str) = ("reads", "[\"purchases.person\", \"purchases.amount\"]");

/// Gaussian noise on numbers that change by this at most, in so many groups.
fn gaussian(checked: &CheckedQuery, at: usize, change: f64, groups: u64) -> Pld {
    let sigma = checked.measures()[at].sigma();
    Pld::of(&Mechanism::gaussian(sigma, change).unwrap()).self_compose(groups)
}

fn at_delta(checked: &CheckedQuery, all: &Pld) -> f64 {
    all.epsilon_at(checked.query.delta).unwrap().to_f64()
}

/// The same to half a percent, and less than the charge.
fn is(checked: &CheckedQuery, by_hand: &Pld) {
    let (accounted, wanted) = (checked.accounted(), at_delta(checked, by_hand));
    let ratio = accounted.to_f64() / wanted;
    assert!((0.995..1.005).contains(&ratio), "{accounted} {wanted}");
    assert!(accounted < checked.query.epsilon, "{accounted}");
}

#[test]
fn single_draws_cost_what_their_mechanisms_do() {
    let people = checked(PEOPLE, &[("reads", "[\"purchases.person\"]")]);
    is(&people, &gaussian(&people, 0, 1.0, 1));
    let spend = checked(
        "SELECT COUNT(DISTINCT person) AS people, SUM(amount) AS spend FROM purchases",
        &[AMOUNT, ("per_person", "{ groups = 1, spend = [0, 400] }")],
    );
    let count = gaussian(&spend, 0, 1.0, 1);
    is(&spend, &count.compose(&gaussian(&spend, 1, 40_000.0, 1)));
    let middle = checked(
        "SELECT COUNT(DISTINCT person) AS people, MEDIAN(amount) AS middle FROM purchases",
        &[
            AMOUNT,
            (
                "per_person",
                "{ groups = 1, middle = { value = [0, 100], rows = 1 } }",
            ),
        ],
    );
    let Draw::Quantile { plan, .. } = &middle.measures()[1].draw else {
        panic!("no quantile");
    };
    let count = gaussian(&middle, 0, 1.0, 1);
    is(&middle, &count.compose(&plan.loss().unwrap()));
}

#[test]
fn who_moves_changes_two_groups() {
    let settings = |groups| {
        [
            CATEGORY,
            ("groups", "{ category = [\"food\", \"home\", \"toys\"] }"),
            ("per_person", groups),
        ]
    };
    let one = checked(BY_CATEGORY, &settings("{ groups = 1 }"));
    is(&one, &gaussian(&one, 0, 1.0, 2));
    // In two of three groups: no more than three can change.
    let two = checked(BY_CATEGORY, &settings("{ groups = 2 }"));
    is(&two, &gaussian(&two, 0, 1.0, 3));
}

#[test]
fn draws_of_one_run_add_up() {
    let all = checked(
        "SELECT COUNT(DISTINCT person) AS people, AVG(amount) AS average FROM purchases",
        &[
            AMOUNT,
            (
                "per_person",
                "{ groups = 1, average = { value = [0, 100], rows = 2 } }",
            ),
        ],
    );
    // The sum is of values taken from their middle: from -2 x 50 to 2 x 50.
    let by_hand = gaussian(&all, 0, 1.0, 1)
        .compose(&gaussian(&all, 1, 2.0, 1))
        .compose(&gaussian(&all, 2, 20_000.0, 1));
    is(&all, &by_hand);
}

#[test]
fn a_threshold_takes_its_part_of_delta() {
    let groups = ("groups", "{ category = \"discovered\" }");
    let found = checked(BY_CATEGORY, &[CATEGORY, groups]);
    let threshold = found.threshold.as_ref().unwrap().delta();
    let left = found.query.delta.checked_sub(threshold).unwrap();
    let by_hand = gaussian(&found, 0, 1.0, 2).epsilon_at(left).unwrap();
    let ratio = found.accounted().to_f64() / by_hand.to_f64();
    assert!((0.995..1.005).contains(&ratio), "{ratio}");
    // At the threshold's own delta nothing is left for the noise.
    let none = found.composed().unwrap().epsilon_at(threshold);
    assert_eq!(none, Err(DpError::NoDeltaLeft));
}

/// Whatever is asked, and said wherever a person reads of the cost; without a delta, the
/// charge is exact already.
#[test]
fn no_more_than_the_charge_is_said() {
    let quantiles = "SELECT category, COUNT(DISTINCT person) AS people, MEDIAN(items) AS middle,
        MAX(items) AS most, STDDEV(amount) AS spread FROM purchases GROUP BY category";
    let reads =
        "[\"purchases.person\", \"purchases.category\", \"purchases.items\", \"purchases.amount\"]";
    let each = "{ value = [0, 100], rows = 3 }";
    let per_person = format!("{{ groups = 2, middle = {each}, most = {each}, spread = {each} }}");
    for (epsilon, delta) in [("0.1", "1e-8"), ("1", "1e-5"), ("8", "1e-10"), ("1", "0")] {
        let settings = [
            ROWS,
            ("reads", reads),
            ("groups", "{ category = [\"food\", \"home\", \"toys\"] }"),
            ("per_person", per_person.as_str()),
            ("epsilon", epsilon),
            ("delta", delta),
        ];
        let agreement = agreement(quantiles, &settings);
        let checked = check(&agreement, query(&agreement), &Params::default()).unwrap();
        let accounted = checked.accounted();
        let charged: Epsilon = epsilon.parse().unwrap();
        assert!(accounted <= charged && accounted > Epsilon::ZERO);
        assert_eq!(accounted == charged, delta == "0", "{epsilon} {delta}");
        let explained = checked.explain(&agreement);
        let revealed = checked.reveals(&agreement);
        assert_eq!([explained.accounted, revealed.accounted], [accounted; 2]);
        for text in [explained.to_string(), revealed.to_string()] {
            assert_eq!(text.contains("by exact accounting"), delta != "0", "{text}");
        }
    }
}
