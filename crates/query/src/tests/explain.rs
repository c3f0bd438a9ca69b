//! What `explain` foretells: the epsilon that a stated error needs, and what would drown.

use incamera_types::Epsilon;

use super::*;
use crate::explain::two_digits;
use crate::{Expected, Needed, NoEpsilon, prove};

const MANY: &str = "SELECT category, COUNT(DISTINCT person) AS people, SUM(items) AS pieces,
    AVG(amount) AS mean, VARIANCE(amount) AS spread, MEDIAN(amount) AS middle
    FROM purchases GROUP BY category";

/// Lines of a query that replace its own.
type Settings<'a> = [(&'static str, &'a str)];

/// A query at some epsilon.
struct Asked {
    agreement: Agreement,
    checked: CheckedQuery,
}

impl Asked {
    fn at(epsilon: Epsilon, settings: &Settings<'_>) -> Self {
        let each = "{ value = [0, 100], rows = 2 }";
        let per_person = format!(
            "{{ groups = 2, pieces = [0, 30], mean = {each}, spread = {each}, middle = {each} }}"
        );
        let epsilon = epsilon.to_string();
        let mut all = vec![
            (
                "reads",
                "[\"purchases.person\", \"purchases.category\", \"purchases.items\", \"purchases.amount\"]",
            ),
            ("rows", "{ purchases = 10 }"),
            ("groups", "{ category = [\"food\", \"home\", \"toys\"] }"),
            ("per_person", per_person.as_str()),
            ("epsilon", epsilon.as_str()),
        ];
        all.retain(|(name, _)| settings.iter().all(|(other, _)| other != name));
        all.extend(settings);
        let agreement = agreement(MANY, &all);
        let checked = prove(&agreement, query(&agreement)).unwrap();
        Self { agreement, checked }
    }

    fn one() -> Self {
        Self::at(Epsilon::from_units(1_000_000), &[])
    }

    fn foretold(&self, name: &str) -> Expected {
        let all = self.checked.explain(&self.agreement).measures;
        all.into_iter().find(|one| one.name == name).unwrap()
    }

    fn needs(&self, name: &str, half_width: f64) -> Result<Needed, NoEpsilon> {
        let params = Params::new();
        self.checked
            .epsilon_for(&self.agreement, &params, name, half_width)
    }

    fn text(&self) -> String {
        self.checked.explain(&self.agreement).to_string()
    }
}

/// A little less: a thousandth.
fn less(epsilon: Epsilon) -> Epsilon {
    Epsilon::from_units(epsilon.units() - epsilon.units() / 1_000)
}

/// At the epsilon that is told the stated error is reached, and at a thousandth less it is not:
/// by the whole check, noise in whole numbers and thresholds of discovered groups included.
#[test]
fn the_epsilon_that_an_error_needs_is_enough_and_no_less_is() {
    let discovered = [("groups", "{ category = \"discovered\" }")];
    // Each check is a whole one, and a search makes a dozen: these are few.
    let cases: [(&str, f64, &Settings<'_>); 6] = [
        ("people", 0.3, &[]),
        ("pieces", 1.7, &[]),
        ("mean", 0.3, &[]),
        ("middle", 0.9, &[]),
        ("people", 1.7, &discovered),
        ("spread", 0.3, &[("delta", "0")]),
    ];
    for (name, part, settings) in cases {
        let now = Asked::at(Epsilon::from_units(1_000_000), settings);
        let wanted = now.foretold(name).half_width * part;
        let needed = now.needs(name, wanted).unwrap();
        assert_eq!((needed.name.as_str(), needed.half_width), (name, wanted));
        let at = |epsilon| Asked::at(epsilon, settings).foretold(name).half_width;
        let (reached, missed) = (at(needed.epsilon), at(less(needed.epsilon)));
        let of = format!("{name} {wanted} {settings:?}: {reached}, {missed}");
        assert!(reached <= wanted, "{of}");
        assert!(missed > wanted, "{of}");
    }
    let one = Asked::one();
    let needed = one.needs("pieces", 250.0).unwrap();
    let explained = one.checked.explain(&one.agreement);
    let text = explained.with_needed(vec![needed]).to_string();
    assert!(text.contains("pieces +- 250 would need epsilon "), "{text}");
}

#[test]
fn no_epsilon_is_told_of_what_is_no_error() {
    let one = Asked::one();
    assert_eq!(
        one.needs("piece", 1.0).unwrap_err().to_string(),
        "the query has no aggregate `piece`; it has `people`, `pieces`, `mean`, `spread`, `middle`"
    );
    for size in [0.0, -3.0, f64::NAN, f64::INFINITY] {
        assert_eq!(one.needs("people", size), Err(NoEpsilon::Size), "{size}");
    }
}

/// A fifth of the value to expect is the most that an answer may be off without a warning.
#[test]
fn an_answer_that_would_drown_is_warned_of() {
    let one = Asked::one();
    for name in ["people", "mean"] {
        let of = one.foretold(name);
        // Widths and shares are in proportion.
        let edge = of.half_width * 0.2 / of.share.unwrap();
        let needed = one.needs(name, edge).unwrap().epsilon;
        let (dry, drowned) = (Asked::at(needed, &[]), Asked::at(less(needed), &[]));
        let (above, below) = (drowned.foretold(name), dry.foretold(name));
        assert!(above.drowns && above.share > Some(0.2), "{above:?}");
        assert!(!below.drowns && below.share <= Some(0.2), "{below:?}");
        let warning = format!("WARNING, this would drown:  {name} +- ");
        for (asked, warned) in [(&drowned, true), (&dry, false)] {
            let text = asked.text();
            assert_eq!(text.contains(&warning), warned, "{name}\n{text}");
        }
    }
    // A share of what: the declared people, in three groups, each adding 15 pieces.
    let group = one.checked.population as f64 / 3.0;
    for (name, value) in [("people", group), ("pieces", group * 15.0), ("mean", 50.0)] {
        let of = one.foretold(name);
        let share = of.half_width / value;
        assert!((of.share.unwrap() / share - 1.0).abs() < 1e-9, "{of:?}");
    }
}

/// How much it is a person is said of sums, whether or not they have a unit; of what share it is
/// of all that has one.
#[test]
fn each_error_is_told_with_its_share() {
    let one = Asked::one();
    let text = one.text();
    let line = |name: &str| {
        let start = format!("{name} +- ");
        let found = text.lines().find(|line| line.contains(&start));
        found.unwrap_or_else(|| panic!("{name}\n{text}")).to_owned()
    };
    let people = line("people");
    assert!(!people.contains(" a person"), "{text}");
    assert!(line("pieces").contains(" a person, "), "{text}");
    assert!(!line("mean").contains(" a person"), "{text}");
    // The share that the rule of the warning uses stands in each line, and of what it is.
    let group = one.checked.population as f64 / 3.0;
    for (name, value) in [("people", group), ("pieces", group * 15.0), ("mean", 50.0)] {
        let of = one.foretold(name);
        let said = format!(
            ", {} % of {}",
            two_digits(of.share.unwrap() * 100.0),
            two_digits(value)
        );
        assert!(line(name).contains(&said), "{said}\n{text}");
    }
    let rule = "before conditions, in 3 equal groups, each adding the middle of what it may; above 20 % (of ranks 10 %) an answer is said to drown";
    assert!(text.contains(rule), "{text}");
    let found = Asked::at(
        Epsilon::from_units(1_000_000),
        &[("groups", "{ category = \"discovered\" }")],
    );
    let said =
        "people, before conditions, in one group; each of the groups that are found has fewer, ";
    assert!(found.text().contains(said), "{}", found.text());
}

/// The range of ranks is warned of where the answer would warn of it: wider than 20 points.
#[test]
fn a_quantile_drowns_where_its_ranks_do() {
    let one = Asked::one();
    let of = one.foretold("middle");
    let edge = of.half_width * 0.1 / of.share.unwrap();
    let needed = one.needs("middle", edge).unwrap().epsilon;
    let at = |epsilon| Asked::at(epsilon, &[]).foretold("middle");
    let (below, above) = (at(needed), at(less(needed)));
    assert!(!below.drowns && below.share <= Some(0.1), "{below:?}");
    assert!(above.drowns && above.share > Some(0.1), "{above:?}");
}

#[test]
fn what_has_no_error_foretold_is_named() {
    let ratios = Asked::at(
        Epsilon::from_units(1_000_000),
        &[
            ("ratios", "{ each = \"pieces / people\" }"),
            (
                "compare",
                "{ ratio = \"each\", group = \"food\", against = \"home\" }",
            ),
        ],
    );
    let said = "no noise is foretold of each, lift of each: it hangs on the numbers";
    assert!(ratios.text().contains(said), "{}", ratios.text());
    assert!(!Asked::one().text().contains("no noise is foretold"));
    assert_eq!(
        ratios.needs("each", 1.0).unwrap_err().to_string(),
        "no error is foretold of `each`: it hangs on the numbers that it is made from; ask for that of `people`, `pieces`, `mean`, `spread`, `middle`"
    );
}
