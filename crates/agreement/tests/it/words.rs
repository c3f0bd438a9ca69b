//! What people read: the explanation, the differences, the template.

use std::collections::BTreeMap;

use incamera_agreement::{
    AdMeasurement, Agreement, PartyInputs, Standing, concerns, diff, explain, explain_with, runs,
    shown, template_ad_measurement,
};
use incamera_attest::TeeKind;
use incamera_keys::SigningKey;
use incamera_types::{Date, Digest, Measurement, PartyName};

use crate::{HOUSE, LIFT, parse};

/// The text with each run of white space made one space.
pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_explanation_says_what_a_lawyer_asks() {
    let page = explain(&parse(LIFT));
    let text = flat(&page);
    for part in [
        "Agreement spring-campaign, version 1",
        "shop: data about some 100,000 people",
        "lets these people ask, each with a key: ana",
        "measurement: Measuring campaigns",
        "amount: decimal(10,2) in EUR, clamped to 0.00 .. 500.00, for measurement",
        "each row is used only as its person agreed in customers",
        "holds no consents",
        "lift, for the purpose measurement (Measuring campaigns)",
        "may be asked by mailer/ana",
        "the answer goes to mailer and shop",
        "one person adds 0 to 400 to spend of a group",
        "at most 1,000 rows a person of purchases counts, of those that the SQL's conditions on it let through",
        "fewer than 50 people",
        "shows a row for each campaign_group: mailed and not mailed",
        "shifts the odds by a factor of 3.14 at most, save with a probability of 1e-8",
        "until the end of 2027-03-31",
        "What each layer protects",
        "the code in the room DOES see the data in clear while a query runs",
        "pseudonymous, not anonymous",
        "a room computes each answer",
        "does not say who runs the machine at https://",
        "the end stops keys and deletes nothing: sealed data stay",
        "mailer states no consents",
        "which analyst asked, the reason given, and when",
        "from (date) and until (date) freely, in each run",
        "learns nothing but how many ids the other sent",
        "all of it, if it is used, shifts the odds by a factor of",
        "a single run shifts the odds by a factor of 3.14 at most",
    ] {
        assert!(text.contains(part), "{part}\n\n{page}");
    }
    for line in page.lines().filter(|line| !line.starts_with("      ")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(page.contains("LEFT JOIN purchases"), "{page}");
}

/// What each party learns, could claim and could be made to believe is said, and only then.
#[test]
fn the_explanation_says_what_own_matches_show() {
    let words = [
        "learns which of its own ids the other has too, and how many",
        "id by id and without noise, which of its own people the other has",
        "learns of each whether the other has it",
        "can compute every pseudonym of the other's rows",
        "claim any of these people",
        "which of the other's rows, known to it by nothing else, stay, go and come from run to run",
        "if few ids are appended, when its own people among them came to the other",
        "can make the other believe in matches that are none",
    ];
    let revealing = LIFT.replacen("reveals = \"nothing\"", "reveals = \"own-matches\"", 1);
    let (more, less) = (explain(&parse(&revealing)), explain(&parse(LIFT)));
    for part in words {
        assert!(flat(&more).contains(part), "{part}\n\n{more}");
        assert!(!flat(&less).contains(part), "{part}\n\n{less}");
    }
    assert!(!flat(&more).contains("learns nothing but"), "{more}");
}

/// What parts show is told; other methods have none, and nobody has too many.
#[test]
fn matching_part_by_part_is_told_and_bounded() {
    let with = |method: &str, parts: u32| {
        let text = LIFT.replacen("\"commutative\"", &format!("\"{method}\""), 1);
        text.replacen(
            "max_runs",
            &format!("match_partitions = {parts}\nmax_runs"),
            1,
        )
    };
    let page = flat(&explain(&parse(&with("commutative", 256))));
    assert!(page.contains("split by a hash into 256 parts"), "{page}");
    assert!(!flat(&explain(&parse(&with("commutative", 1)))).contains("by a hash"));
    let revealing = with("commutative", 256).replacen("\"nothing\"", "\"own-matches\"", 1);
    let error = Agreement::parse(revealing.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("part by part"), "{error}");
    for (method, parts) in [("vole", 256), ("commutative", 4097), ("commutative", 0)] {
        let error = Agreement::parse(with(method, parts).as_bytes()).unwrap_err();
        assert!(error.to_string().contains("match_partitions"), "{error}");
    }
}

#[test]
fn matching_by_vole_is_told_with_what_each_run_asks() {
    let vole = |more: &str| {
        let text = format!("\"vole\"{more}");
        flat(&explain(&parse(&LIFT.replacen(
            "\"commutative\"",
            &text,
            1,
        ))))
    };
    let page = vole("");
    for part in [
        "matching (vole, by email)",
        "at most 500,000 evaluated a run, whatever a party does: about 188,660 ids that it declares; 12 runs",
        "each run gives everybody a new pseudonym",
        "all data of both owners are sealed again after it",
        "long enough against any party (security malicious)",
    ] {
        assert!(page.contains(part), "{part}\n\n{page}");
    }
    assert!(!page.contains("the keys of matching last"), "{page}");
    let page = vole("\nsecurity = \"semi-honest\"");
    assert!(
        page.contains("parties that keep to the protocol (security semi-honest)"),
        "{page}"
    );
    let text = LIFT.replacen("\"commutative\"", "\"vole\"", 1);
    let text = text.replacen("reveals = \"nothing\"", "reveals = \"own-matches\"", 1);
    let page = flat(&explain(&parse(&text)));
    assert!(
        page.contains("the party last by name makes the key of a run"),
        "{page}"
    );
    assert!(!page.contains("the keys of matching last"), "{page}");
}

#[test]
fn i10_a_simulated_tee_is_told_loudly_and_only_then() {
    let page = explain(&parse(LIFT));
    assert!(page.contains("!!! SIMULATED TEE !!!"), "{page}");
    assert!(page.matches("SIMULATED TEE").count() >= 3, "{page}");
    let page = explain(&parse(&LIFT.replace("simulated", "sev-snp")));
    assert!(!page.to_lowercase().contains("simulated"), "{page}");
}

#[test]
fn runs_are_left_only_where_it_is_known() {
    let agreement = parse(LIFT);
    let query = &agreement.queries["lift"];
    let shop: PartyName = "shop".parse().unwrap();
    let cost = agreement.cost(query);
    let all = runs(&cost, &agreement.ceiling(&shop).unwrap());
    assert!(
        all > 8,
        "zCDP composes better than adding up epsilon: {all}"
    );
    let fresh = flat(&explain(&agreement));
    for owner in ["shop", "mailer"] {
        let unknown =
            format!("room for {all} runs of lift in all, ask {owner} how many are left; a single");
        assert_eq!(fresh.matches(&unknown).count(), 1, "{fresh}");
    }
    assert!(!fresh.contains("spent so far"), "{fresh}");
    assert!(
        fresh.contains(&format!("Why {all} runs and not 8")),
        "{fresh}"
    );
    let mut standing = Standing::default();
    let twice = cost.checked_add(cost).unwrap();
    standing.spent.insert(shop, twice);
    let later = flat(&explain_with(&agreement, &standing));
    let left = format!("room for {all} runs of lift in all, {} left", all - 2);
    assert_eq!(later.matches(&left).count(), 1, "{later}");
    assert_eq!(later.matches("ask mailer how many are left").count(), 1);
    assert_eq!(later.matches("ask shop how many").count(), 0, "{later}");
    let epsilon = shown(&twice, &agreement.budgets["shop"]);
    assert!(
        later.contains(&format!("spent so far: epsilon {epsilon} of 8,")),
        "{later}"
    );
    // Two runs of epsilon 1 are less than 2 in the budget's way of adding up, and some.
    let number: f64 = epsilon.parse().unwrap();
    assert!(number > 0.5 && number < 2.0, "{epsilon}");
}

#[test]
fn how_it_stands_is_under_the_title() {
    let agreement = parse(LIFT);
    let at = |signed, day: &str| {
        let mut standing = Standing::default();
        standing.signed = Some(signed);
        standing.now = Some(day.parse::<Date>().unwrap().end());
        let page = explain_with(&agreement, &standing);
        let head = page.split("let chosen questions").next().unwrap();
        flat(head)
    };
    let unsigned = agreement.clone().verify(&BTreeMap::new()).unwrap_err();
    let head = at(Ok(()), "2027-03-31");
    assert!(
        head.contains("State: signed by mailer and shop; in force until the end of 2027-03-31"),
        "{head}"
    );
    assert!(
        !head.contains("EXPIRED") && !head.contains("NO RUN"),
        "{head}"
    );
    let head = at(Err(unsigned), "2027-03-31");
    assert!(
        head.contains("NOT IN FORCE: signed by nobody; waits for the signature of mailer and shop"),
        "{head}"
    );
    let head = at(Ok(()), "2027-04-01");
    assert!(
        head.contains("EXPIRED: it ended with 2027-03-31") && !head.contains("State: signed"),
        "{head}"
    );
}

#[test]
fn a_budget_without_room_is_a_concern() {
    assert_eq!(concerns(&parse(LIFT), None), Vec::<String>::new());
    let agreement = parse(&LIFT.replacen("epsilon = 1.0", "epsilon = 12", 1));
    let concerns = concerns(&agreement, None);
    assert_eq!(concerns.len(), 2, "{concerns:?}");
    let page = flat(&explain(&agreement));
    let text =
        "NO RUN FITS: a run of lift costs shop epsilon 12, delta 1e-8, and its budget is epsilon 8";
    assert!(concerns[1].contains(text) && page.contains(text), "{page}");
}

#[test]
fn a_data_set_past_its_last_day_is_a_concern() {
    let house = parse(HOUSE);
    let at = |day: &str| concerns(&house, Some(day.parse::<Date>().unwrap().end()));
    assert_eq!(at("2027-12-31"), Vec::<String>::new());
    let [concern] = &at("2028-01-01")[..] else {
        panic!("one data set is over");
    };
    assert!(
        concern.starts_with("NO LONGER KEPT: the last day of data set things was 2027-12-31"),
        "{concern}"
    );
}

#[test]
fn other_agreements_are_explained_too() {
    let page = flat(&explain(&parse(HOUSE)));
    for part in [
        "follows the version with digest ba7816bf",
        "(stands for ads and measurement)",
        "weather of house: public",
        "the public weather has at most 400 rows in all; with more, nothing runs",
        "for whom it vouches",
        "microcode at version 219 or later",
        "house: no ceiling in this agreement",
        "made by the owner with its own key",
        "one of red, blue, else (any other becomes else)",
        "<https://w3id.org/dpv#Advertising>",
        "replaces fraud of earlier versions; who agreed to that agreed to this",
        "replaces promotion of earlier versions; nobody has agreed to this by having agreed to that",
        "kept until the end of 2027-12-31 (UTC); after that no key",
        "seen: timestamp, by clocks of Europe/Berlin where the file names no offset, for safety",
    ] {
        assert!(page.contains(part), "{part}\n\n{page}");
    }
}

/// Version 2 of the lift after an edit.
fn edited(from: &str, to: &str) -> Agreement {
    assert!(LIFT.contains(from), "{from}");
    let digest = parse(LIFT).digest;
    let lines = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
    parse(
        &LIFT
            .replacen(from, to, 1)
            .replacen("version = 1", &lines, 1),
    )
}

#[test]
fn differences_are_told_in_words() {
    let old = parse(LIFT);
    for (from, to, expected) in [
        (
            "epsilon = 1.0",
            "epsilon = 2",
            "query `lift`: `epsilon` rises from 1 to 2",
        ),
        (
            "delta = 1e-8",
            "delta = 1e-9",
            "query `lift`: `delta` falls from 1e-8 to 1e-9",
        ),
        (
            "2027-03-31",
            "2028-03-31",
            "the agreement: `expires` changes from `2027-03-31` to `2028-03-31`",
        ),
        (
            "[\"mailer\", \"shop\"]",
            "[\"mailer\"]",
            "query `lift`: `receivers` loses `shop`",
        ),
        (
            "purposes = [\"ads\"]",
            "purposes = [\"ads\", \"measurement\"]",
            "column `purchases.category`: `purposes` gains `measurement`",
        ),
        (
            "spend = [0, 400]",
            "spend = [0, 500]",
            "query `lift`: `per_person.spend` changes from [0, 400] to [0, 500]",
        ),
        (
            "9f1c\"]",
            "9f1d\"]",
            "the accepted kind of TEE `simulated`: `measurements` loses `9f1c9f1c",
        ),
        (
            "max_runs = 12",
            "max_runs = 12\nepoch = 2",
            "matching gains `epoch`: 2",
        ),
        (
            "min = 0, max = 500",
            "min = 0",
            "column `purchases.amount` loses `max`: 500",
        ),
        (
            "consent = { type = \"purposes\" }\n",
            "",
            "column `customers.consent` is taken out",
        ),
        (
            "[datasets.mailing.columns]",
            "[datasets.mailing.columns]\nday = { type = \"date\", purposes = [\"ads\"] }",
            "column `mailing.day` is new: purposes [ads]; type `date`",
        ),
        (
            "[purposes]",
            "[purposes]\nsafety = { label = \"Fraud\" }",
            "purpose `safety` is new: nobody has agreed to it yet; `safety` has `label` \"Fraud\"",
        ),
        (
            "  AND purchases.day BETWEEN $from AND $until\n",
            "",
            "query `lift`: `sql` loses `AND purchases.day BETWEEN $from AND $until`",
        ),
        (
            "[budgets.mailer]\nepsilon = 8.0\ndelta = 1e-6\n",
            "",
            "the budget of party `mailer` is taken out",
        ),
        (
            "SELECT CASE",
            "  SELECT CASE",
            "query `lift`: `sql` changes in its layout only",
        ),
        (
            "people = 90_000",
            "people = 9_0000",
            "only comments, layout or the spelling of values change",
        ),
        (
            "# accepted",
            "# approved",
            "only comments, layout or the spelling of values change",
        ),
    ] {
        // Some edits need a second one to stay an agreement.
        let to = if from.starts_with("consent") {
            "x = { type = \"purposes\" }\n"
        } else {
            to
        };
        let sentences: Vec<String> = diff(&old, &edited(from, to)).sentences().cloned().collect();
        assert!(
            sentences[0].starts_with("version 2 follows version 1"),
            "{sentences:?}"
        );
        assert!(
            sentences
                .iter()
                .any(|sentence| sentence.starts_with(expected)),
            "{expected}\n{sentences:#?}"
        );
        let most = if from.starts_with("consent") { 3 } else { 2 };
        assert_eq!(sentences.len(), most, "{sentences:#?}");
    }
    assert!(diff(&old, &old).is_empty());
}

#[test]
fn another_lineage_is_told_first() {
    let sentences: Vec<String> = diff(&parse(LIFT), &parse(HOUSE))
        .sentences()
        .cloned()
        .collect();
    assert!(sentences[0].starts_with("CAUTION"), "{sentences:#?}");
    assert!(
        sentences.iter().any(|s| s == "party `shop` is taken out"),
        "{sentences:#?}"
    );
    assert!(
        sentences
            .iter()
            .any(|s| s.starts_with("query `counts` is new")),
        "{sentences:#?}"
    );
}

fn filled_in() -> AdMeasurement {
    let key = |seed| Some(SigningKey::from_seed(&[seed; 32]).public());
    let party = |seed, port| PartyInputs {
        name: None,
        signs: key(seed),
        service: key(seed + 1),
        receives: None,
        url: Some(format!("https://127.0.0.1:{port}").parse().unwrap()),
        people: Some(100_000),
    };
    AdMeasurement {
        name: Some("spring".to_owned()),
        expires: Some("2027-03-31".parse().unwrap()),
        shop: party(1, 7441),
        mailer: party(3, 7442),
        providers: Vec::new(),
        analyst: None,
        analyst_key: key(5),
        room_url: Some("https://127.0.0.1:7443".parse().unwrap()),
        tee: Some(TeeKind::Simulated),
        measurement: Some(Measurement::from_bytes([7; 32])),
        ids: None,
        data: Vec::new(),
    }
}

#[test]
fn the_template_is_an_agreement_once_it_is_filled_in() {
    let text = template_ad_measurement(&filled_in());
    assert!(!text.contains("FILL IN:") && !text.contains('@'), "{text}");
    let agreement = parse(&text);
    assert!(
        agreement.warnings().is_empty(),
        "{:?}",
        agreement.warnings()
    );
    let example = parse(LIFT);
    let (query, same) = (&agreement.queries["lift"], &example.queries["lift"]);
    assert_eq!((&query.sql, &query.reads), (&same.sql, &same.reads));
    assert_eq!(
        (query.epsilon, &query.weights),
        (same.epsilon, &same.weights)
    );
}

#[test]
fn other_names_reach_every_place_of_the_template() {
    let mut inputs = filled_in();
    inputs.shop.name = Some("store".parse().unwrap());
    inputs.mailer.name = Some("post".parse().unwrap());
    inputs.analyst = Some("bo".parse().unwrap());
    inputs.ids = Some("plain".parse().unwrap());
    let agreement = parse(&template_ad_measurement(&inputs));
    assert_eq!(agreement.queries["lift"].analysts[0].to_string(), "post/bo");
    assert_eq!(agreement.matching.ids[0].as_str(), "plain");
    assert_eq!(agreement.parties.len(), 2);
}

#[test]
fn each_blank_of_the_template_is_pointed_at() {
    let text = template_ad_measurement(&AdMeasurement::default());
    let error = Agreement::parse(text.as_bytes()).unwrap_err();
    let problems: Vec<_> = error.problems().collect();
    assert_eq!(
        problems.len(),
        text.matches("\"FILL IN:").count(),
        "{problems:#?}"
    );
    assert_eq!(problems.len(), 13);
    for problem in problems {
        assert!(
            problem.what.ends_with("is still to be filled in"),
            "{problem}"
        );
        assert!(problem.help.starts_with("write "), "{problem}");
        assert!(
            text[problem.span.clone()].starts_with("\"FILL IN"),
            "{problem}"
        );
    }
}

/// The agreement that matches through three providers.
const PROVIDERS: &str = include_str!("../agreements/providers.toml");

#[test]
fn providers_are_told_with_what_they_can_do_together() {
    let told = |text: &str| flat(&explain(&parse(text)));
    let page = told(PROVIDERS);
    for part in [
        "matching (provider, by email and cookie): alpha, beta and gamma hold a key in shares",
        "at most 500,000 ids a run, 12 runs, 5,000 ids a second",
        "any 2 of these 3 providers together know the key",
        "one alone learns how many ids came, when and from whom",
        "providers cannot see of which kind an id is",
        // 2 kinds x 3 x 500,000 x 12 / 2
        "can have 18,000,000 ids evaluated in all, not 12,000,000",
        "valid for 90 days",
        "links from cookie to email: a party that knows which cookie belongs to which email",
        "May tell links, and look them up: mailer, press and shop",
        "agreed to every purpose of this agreement (ads and measurement), it is not over, and 2 providers say so alike",
        "whose they are, for which purpose, until which week",
        "nobody checks whether a link is true",
    ] {
        assert!(page.contains(part), "{part}\n\n{page}");
    }
    let one = PROVIDERS
        .replace("[\"alpha\", \"beta\", \"gamma\"]", "[\"alpha\"]")
        .replace("threshold = 2", "threshold = 1");
    let page = told(&one);
    assert!(page.contains("this one provider knows the key"), "{page}");
    assert!(!page.contains("counts for itself"), "{page}");
    assert!(page.contains("and the provider say so alike"), "{page}");
    let four = PROVIDERS.replace("\"gamma\"]", "\"gamma\", \"delta\"]");
    let page = told(&four);
    assert!(page.contains("and 3 providers say so alike"), "{page}");
    let without = PROVIDERS.replace("links = [{ from = \"cookie\", to = \"email\" }]\n", "");
    let page = told(&without);
    assert!(!page.contains("links from"), "{page}");
}

/// Links to pseudonyms that nobody's rows have serve nothing.
#[test]
fn links_that_lead_nowhere_are_doubted() {
    let doubted = |text: &str| incamera_agreement::doubts(&parse(text)).join("\n");
    assert!(
        !doubted(PROVIDERS).contains("links"),
        "{}",
        doubted(PROVIDERS)
    );
    let back = PROVIDERS.replace(
        "{ from = \"cookie\", to = \"email\" }",
        "{ from = \"email\", to = \"cookie\" }",
    );
    let told = doubted(&back);
    assert!(
        told.contains("no data set has a column of pseudonyms of cookie"),
        "{told}"
    );
}

/// The key of an epoch stays with its holders: other holders are of another epoch.
#[test]
fn other_providers_need_another_epoch() {
    let old = parse(PROVIDERS);
    let claims = |from: &str, to: &str| {
        assert!(PROVIDERS.contains(from), "{from}");
        let new = parse(&PROVIDERS.replacen(from, to, 1));
        new.false_successions(&old, []).join("; ")
    };
    for (from, to) in [
        ("\"gamma\"]", "\"delta\"]"),
        ("threshold = 2", "threshold = 3"),
        ("key_days = 90", "key_days = 91"),
    ] {
        let told = claims(from, to);
        assert!(told.contains("write epoch = 2"), "{from}: {told}");
    }
    for (from, to) in [
        (
            "[\"alpha\", \"beta\", \"gamma\"]",
            "[\"gamma\", \"alpha\", \"beta\"]",
        ),
        ("rate = 5_000", "rate = 6_000"),
        ("key_days = 90", "key_days = 91\nepoch = 2"),
    ] {
        assert_eq!(claims(from, to), "", "{to}");
    }
}
