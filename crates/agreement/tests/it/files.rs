//! One checker for all agreements in files: the first line says what becomes of each.

use std::path::PathBuf;

use incamera_agreement::{Agreement, AgreementError, AnalystKey, ConsentSource, PersonBounds};
use incamera_types::{AgreementDigest, AgreementId, ColumnType, Digest, OtherText, PartyName};

use crate::{HOUSE, LIFT, parse};

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agreements");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect()
}

/// What is wrong with the outcome, `None` if it is what the first line says.
fn check(text: &str) -> Option<String> {
    let expected = text.lines().next().unwrap();
    let outcome = Agreement::parse(text.as_bytes());
    if expected == "# accepted" {
        return outcome.err().map(|error| all(&error));
    }
    let (place, message) = expected
        .strip_prefix("# refused ")
        .unwrap()
        .split_once(' ')
        .unwrap();
    let Err(error) = outcome else {
        return Some("accepted".to_owned());
    };
    let found = error.problems().any(|problem| {
        let at = format!("{}:{}", problem.line, problem.column);
        at == place && problem.what.contains(message) && !problem.help.is_empty()
    });
    (!found).then(|| all(&error))
}

fn all(error: &AgreementError) -> String {
    let problems: Vec<_> = error.problems().map(ToString::to_string).collect();
    problems.join("\n  ")
}

#[test]
fn each_file_meets_its_first_line() {
    let (mut failed, mut good, mut bad) = (Vec::new(), 0, 0);
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        if text.starts_with("# accepted") {
            good += 1;
        } else {
            bad += 1;
        }
        if let Some(outcome) = check(&text) {
            let name = path.file_name().unwrap().display();
            failed.push(format!(
                "{name}: {}\n  {outcome}",
                text.lines().next().unwrap()
            ));
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert!(
        good >= 2 && bad >= 80,
        "{good} good, {bad} bad: are the files there?"
    );
}

#[test]
fn messages_are_one_line_and_end_without_full_stop() {
    for path in files() {
        let bytes = std::fs::read(&path).unwrap();
        let Err(error) = Agreement::parse(&bytes) else {
            continue;
        };
        for problem in error.problems() {
            let text = problem.to_string();
            assert!(
                !text.contains('\n') && !text.ends_with('.'),
                "{}: {text}",
                path.display()
            );
            assert!(
                problem.span.end <= bytes.len(),
                "{}: {text}",
                path.display()
            );
        }
    }
}

#[test]
fn several_problems_are_told_at_once() {
    let text = LIFT
        .replace("min_people = 50", "min_people = 0")
        .replace("\"mailer/ana\"", "\"mailer/bob\"")
        .replace("version = 1", "versoin = 1");
    let error = Agreement::parse(text.as_bytes()).unwrap_err();
    let lines: Vec<_> = error.problems().map(|problem| problem.line).collect();
    assert!(lines.len() >= 4, "{}", all(&error));
    assert!(lines.is_sorted());
    assert!(error.to_string().ends_with("more problems)"), "{error}");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    let mut bytes = b"a = 1\nb = \"".to_vec();
    bytes.push(0xff);
    let error = Agreement::parse(&bytes).unwrap_err();
    assert_eq!((error.first().line, error.first().column), (2, 6));
    let long = vec![b'#'; incamera_types::limits::MAX_AGREEMENT_BYTES + 1];
    let error = Agreement::parse(&long).unwrap_err();
    assert!(error.first().what.contains("longer than"), "{error}");
}

/// Its owner could push as many rows as it likes, and so make a query as long as it likes.
#[test]
fn i7_a_public_data_set_needs_a_number_of_rows() {
    assert_eq!(parse(HOUSE).queries["counts"].rows["weather"], 400);
    let unsaid = HOUSE.replacen(", weather = 400", "", 1);
    let error = Agreement::parse(unsaid.as_bytes()).unwrap_err();
    assert_eq!(
        error.first().what,
        "`queries.counts.rows` does not say how many rows the public `weather` may have"
    );
    assert!(
        error.first().help.contains("rows = { weather = ... }"),
        "{error}"
    );
}

#[test]
fn the_terms_of_the_lift() {
    let agreement = parse(LIFT);
    assert!(
        agreement.warnings().is_empty(),
        "{:?}",
        agreement.warnings()
    );
    assert_eq!(agreement.digest, AgreementDigest::of_file(LIFT.as_bytes()));
    assert_eq!(agreement.id, AgreementId::from(agreement.digest));
    assert_eq!(
        (agreement.matching.partitions, agreement.matching.epoch.0),
        (4, 1)
    );
    let query = &agreement.queries["lift"];
    assert_eq!(
        &LIFT[query.sql_at..query.sql_at + query.sql.len()],
        query.sql
    );
    assert!(query.sql.starts_with("SELECT"));
    let owners: Vec<_> = agreement.owners_read(query).into_iter().collect();
    assert_eq!(
        owners,
        ["mailer", "shop"].map(|name| name.parse::<PartyName>().unwrap())
    );
    let rows: Vec<_> = query
        .rows
        .iter()
        .map(|(name, rows)| (name.as_str(), *rows))
        .collect();
    assert_eq!(
        rows,
        [("customers", 1), ("mailing", 1), ("purchases", 1000)]
    );
    assert_eq!((query.weight("spend"), query.weight("other")), (8, 1));
    assert_eq!(query.ratios[1].name, "spend_per_person");
    assert_eq!(
        query.groups[0].declared().unwrap(),
        ["mailed", "not mailed"]
    );
    let PersonBounds::Adds(low, high) = query.per_person.measures["spend"] else {
        panic!("a sum")
    };
    assert_eq!(
        (low.to_string(), high.to_string()),
        ("0".into(), "400".into())
    );
    let cost = agreement.cost(query);
    let rho = incamera_dp::rho_of(query.epsilon, query.delta, Default::default()).unwrap();
    assert_eq!((cost.rho, cost.delta0.units()), (rho, 0));
    assert!(cost.within(&agreement.ceiling(&owners[0]).unwrap()));
    let ana = agreement.analyst_key(&"mailer/ana".parse().unwrap());
    let key = incamera_keys::SigningKey::from_seed(&[5; 32]).public();
    assert_eq!(ana, Some(AnalystKey::Key(&key)));
    assert_eq!(agreement.analyst_key(&"shop/ana".parse().unwrap()), None);
}

#[test]
fn columns_keep_their_order_and_consents_their_source() {
    let agreement = parse(LIFT);
    let purchases = &agreement.datasets["purchases"];
    let names: Vec<_> = purchases
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["person", "day", "amount", "category"]);
    assert_eq!(purchases.columns[2].max.unwrap().to_string(), "500.00");
    assert_eq!(purchases.columns[3].other, OtherText::Null);
    assert!(
        purchases.columns[3].nullable,
        "what is not listed becomes null"
    );
    let source = agreement.consent_of(purchases);
    assert!(matches!(source, ConsentSource::Dataset(spec) if spec.name.as_str() == "customers"));
    let mailing = &agreement.datasets["mailing"];
    match agreement.consent_of(mailing) {
        ConsentSource::Everything(class) => assert_eq!(class.to_string(), "ads,measurement"),
        ConsentSource::Dataset(_) => panic!("the mailer has no consents"),
    }
}

#[test]
fn a_branch_means_its_leaves() {
    let agreement = parse(HOUSE);
    let things = &agreement.datasets["things"];
    let purposes = |name: &str| {
        things
            .column(&name.parse().unwrap())
            .unwrap()
            .purposes
            .to_string()
    };
    assert_eq!(purposes("yes"), "ads,measurement");
    assert_eq!(
        purposes("count"),
        "measurement,safety",
        "`not_for` takes ads away"
    );
    assert_eq!(
        agreement.leaf_purposes().to_string(),
        "ads,measurement,safety"
    );
    assert!(!agreement.purposes["marketing"].leaf);
    let rate = things.column(&"rate".parse().unwrap()).unwrap();
    assert_eq!(
        rate.ty,
        ColumnType::Decimal {
            precision: 4,
            scale: 3
        }
    );
    assert_eq!(rate.min.unwrap().to_string(), "-0.500");
    let PersonBounds::Adds(low, high) = agreement.queries["counts"].per_person.measures["total"]
    else {
        panic!("a sum")
    };
    assert_eq!(
        (low.to_string(), high.to_string()),
        ("-0.5".into(), "10.0".into())
    );
}

#[test]
fn not_for_takes_leaves_and_branches_away() {
    let of = |not_for: &str| {
        let text = HOUSE.replacen("not_for = [\"ads\"]", &format!("not_for = {not_for}"), 1);
        let agreement = parse(&text);
        let things = &agreement.datasets["things"];
        things
            .column(&"count".parse().unwrap())
            .unwrap()
            .purposes
            .to_string()
    };
    assert_eq!(of("[\"marketing\"]"), "safety");
    assert_eq!(of("[\"measurement\", \"ads\"]"), "safety");
    // What a column is not for, no query can read.
    let text = HOUSE.replacen("not_for = [\"ads\"]", "not_for = [\"safety\"]", 1);
    let error = Agreement::parse(text.as_bytes()).unwrap_err();
    assert!(
        error
            .first()
            .what
            .contains("`things.count` is not for the purpose `safety`"),
        "{error}"
    );
}

#[test]
fn consents_follow_a_rename_and_nothing_else() {
    let agreement = parse(HOUSE);
    let names = agreement.consent_names().into_iter();
    let names: Vec<_> = names
        .map(|(name, leaf)| format!("{name}->{leaf}"))
        .collect();
    assert_eq!(
        names,
        [
            "ads->ads",
            "fraud->safety",
            "measurement->measurement",
            "safety->safety"
        ],
        "`promotion` was split: nobody has agreed to a part of it"
    );
    let told = |gone: &str| {
        agreement
            .succession(&gone.parse().unwrap())
            .map(|s| s.to_string())
    };
    assert_eq!(
        told("fraud").unwrap(),
        "purpose `fraud` is now `safety` since version 2"
    );
    assert_eq!(
        told("promotion").unwrap(),
        "purpose `promotion` is split into `ads` and `measurement` since version 2"
    );
    assert_eq!((told("ads"), told("other")), (None, None));
    let merged = parse(&HOUSE.replacen("[\"fraud\"]", "[\"fraud\", \"abuse\"]", 1));
    assert!(
        !merged.consent_names().contains_key("fraud"),
        "merged: people are to be asked"
    );
}

#[test]
fn a_later_version_keeps_its_id() {
    let agreement = parse(HOUSE);
    assert_ne!(agreement.id.as_bytes(), agreement.digest.as_bytes());
    assert_eq!(
        agreement.follows.unwrap().as_bytes(),
        agreement.id.as_bytes()
    );
}

#[test]
fn a_query_that_can_never_run_is_a_warning() {
    let agreement = parse(&LIFT.replacen("epsilon = 8.0", "epsilon = 0.5", 1));
    let [warning] = agreement.warnings() else {
        panic!("{:?}", agreement.warnings())
    };
    assert!(
        warning.what.contains("party `shop`, so it can never run"),
        "{warning}"
    );
    assert!(LIFT[warning.span.clone()].starts_with("lift"), "{warning}");
    let agreement = parse(LIFT.split("[budgets.mailer]").next().unwrap());
    assert!(agreement.warnings()[0].what.contains("has no budget"));
}

#[test]
fn an_analyst_without_an_answer_is_a_warning() {
    let receivers = "receivers = [\"mailer\", \"shop\"]";
    let agreement = parse(&LIFT.replacen(receivers, "receivers = [\"shop\"]", 1));
    let [warning] = agreement.warnings() else {
        panic!("{:?}", agreement.warnings())
    };
    assert!(
        warning
            .what
            .contains("party `mailer` may ask query `lift`, and get no answer"),
        "{warning}"
    );
    assert!(LIFT[warning.span.clone()].starts_with("lift"), "{warning}");
}

/// What a query may say of its parameters, of one person's values and of groups that are found.
#[test]
fn domains_bounds_and_discovered_groups_are_read() {
    use incamera_agreement::{Domain, GroupValues};
    use incamera_types::Value;
    let file = include_str!("../agreements/more.toml");
    let agreement = Agreement::parse(file.as_bytes()).unwrap();
    let query = &agreement.queries["lift"];
    let param = |name: &str| &query.params[&name.parse::<incamera_types::ParamName>().unwrap()];
    let day = |text: &str| Value::Date(text.parse().unwrap());
    assert!(param("from").allows(&day("2026-01-01")) && param("from").allows(&day("2026-12-31")));
    assert!(!param("from").allows(&day("2025-12-31")) && !param("from").allows(&day("2027-01-01")));
    assert!(param("until").allows(&day("1999-01-01")));
    assert_eq!(param("until").domain, Domain::Any);
    let text = |text: &str| Value::Text(text.to_owned());
    assert!(param("kind").allows(&text("a")) && !param("kind").allows(&text("c")));
    let number = |text: &str| param("least").ty.parse(text).unwrap();
    assert!(param("least").allows(&number("0.5")) && !param("least").allows(&number("0.49")));
    assert!(!param("least").allows(&Value::Int(7)), "another type");
    assert_eq!(
        query.per_person.measures["buyers"],
        PersonBounds::Distinct(3)
    );
    let PersonBounds::Values { rows, .. } = query.per_person.measures["people"] else {
        panic!("values")
    };
    assert_eq!(rows, 4);
    assert_eq!(query.groups[0].values, GroupValues::Discovered);
    assert!(query.discovers());
    let cost = agreement.cost(query);
    assert_eq!(cost.delta0, incamera_dp::for_thresholds(query.delta));
    let ceiling = agreement
        .ceiling(&"shop".parse::<PartyName>().unwrap())
        .unwrap();
    assert!(cost.within(&ceiling) && ceiling.delta0 > cost.delta0);
    let words = incamera_agreement::explain(&agreement);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "from (date from 2026-01-01 to 2026-12-31)",
        "kind (text: a or b)",
        "a row for each campaign_group that enough people have",
        "at most 3 different values of one person count",
        "one person counts as 4 values at most",
    ] {
        assert!(words.contains(part), "{part}\n{words}");
    }
}
