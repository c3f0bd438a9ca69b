//! What becomes of purposes and of sealed data from one version to the next.

use incamera_agreement::{Agreement, PurposeChange, Remedy, diff, impact};

use crate::{HOUSE, LIFT, parse};

/// Version 2 of the lift after edits.
fn second(edits: &[(&str, &str)]) -> Agreement {
    let digest = parse(LIFT).digest;
    let lines = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
    let mut text = LIFT.replacen("version = 1", &lines, 1);
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    parse(&text)
}

const ADS: &str = "ads = { label = \"Choosing audiences\" }";
/// Every column that names `ads` names `looks`.
const LOOKS: (&str, &str) = ("\"ads\"", "\"looks\"");

fn renamed() -> Agreement {
    let looks = "looks = { label = \"Choosing audiences\", replaces = [\"ads\"] }";
    second(&[
        LOOKS,
        (ADS, looks),
        ("[\"looks\"] }\n\n", "[\"looks\"] }\n\n"),
    ])
}

/// The remedies of customers, mailing and purchases, and all reasons.
fn needs(new: &Agreement) -> ([Remedy; 3], String) {
    let impact = impact(&parse(LIFT), new);
    let names: Vec<_> = impact.iter().map(|of| of.dataset.as_str()).collect();
    assert_eq!(names, ["customers", "mailing", "purchases"]);
    for of in &impact {
        assert_eq!(
            of.reasons.is_empty(),
            of.remedy == Remedy::Nothing,
            "{of:?}"
        );
    }
    let reasons: Vec<_> = impact.iter().flat_map(|of| of.reasons.clone()).collect();
    (
        [impact[0].remedy, impact[1].remedy, impact[2].remedy],
        reasons.join("; "),
    )
}

fn told(new: &Agreement) -> String {
    diff(&parse(LIFT), new).of_purposes.join("\n")
}

#[test]
fn what_data_need_follows_from_what_changes() {
    use Remedy::{Nothing, Reencrypt, Rewrap, Seal};
    let category = "other = \"null\", purposes = [\"ads\"]";
    let day = "day = { type = \"date\", purposes = [\"measurement\"] }";
    let safety = ("[purposes]", "[purposes]\nsafety = { label = \"Fraud\" }");
    type Case<'a> = (&'a [(&'a str, &'a str)], [Remedy; 3], &'a str);
    let cases: &[Case<'_>] = &[
        (&[("epsilon = 1.0", "epsilon = 2")], [Nothing; 3], ""),
        (&[("\"EUR\"", "\"USD\""), safety], [Nothing; 3], ""),
        (
            &[(
                "owner = \"mailer\"",
                "owner = \"mailer\"\nkeep_until = 2027-01-01",
            )],
            [Nothing; 3],
            "",
        ),
        (
            &[(
                category,
                "other = \"null\", purposes = [\"ads\", \"measurement\"]",
            )],
            [Nothing, Nothing, Rewrap],
            "column `category` is for `measurement` now",
        ),
        (
            &[(category, "other = \"null\", purposes = [\"measurement\"]")],
            [Nothing, Nothing, Reencrypt],
            "column `category` is no longer for `ads`; column `category` is for `measurement` now",
        ),
        (
            &[
                safety,
                (
                    category,
                    "other = \"null\", purposes = [\"ads\", \"safety\"]",
                ),
            ],
            [Nothing, Nothing, Rewrap],
            "column `category` is for `safety` now, and opens rows once people agree to it in `customers` and all is sealed by that",
        ),
        (
            &[
                safety,
                (
                    "mailed = { type = \"bool\", purposes = [",
                    "mailed = { type = \"bool\", purposes = [\"safety\", ",
                ),
            ],
            [Nothing, Seal, Nothing],
            "column `mailed` is for `safety` now, which its rows, sealed for ads and measurement, do not have",
        ),
        (
            &[(
                day,
                &format!("{day}\nhour = {{ type = \"int\", purposes = [\"ads\"] }}"),
            )],
            [Nothing, Nothing, Seal],
            "column `hour` is new",
        ),
        (
            &[("category = {", "kind = {")],
            [Nothing, Nothing, Seal],
            "column `kind` is new; column `category` is taken out",
        ),
        (
            &[(
                "category = { type = \"text\", values = [\"food\", \"home\"], other = \"null\", purposes = [\"ads\"] }\n",
                "",
            )],
            [Nothing, Nothing, Reencrypt],
            "column `category` is taken out",
        ),
        (
            &[("decimal(10,2)", "decimal(12,2)")],
            [Nothing, Nothing, Seal],
            "column `amount` has another type",
        ),
        (
            &[("max = 500", "max = 501")],
            [Nothing, Nothing, Seal],
            "column `amount` has other bounds",
        ),
        (
            &[("\"home\"]", "\"home\", \"toys\"]")],
            [Nothing, Nothing, Seal],
            "column `category` has another list of values",
        ),
        (
            &[("other = \"null\"", "other = \"food\"")],
            [Nothing, Nothing, Seal],
            "column `category` has another `nullable`; column `category` has another list of values",
        ),
        (
            &[("max_runs = 12", "max_runs = 12\nepoch = 2")],
            [Seal; 3],
            "pseudonyms are others: match again first",
        ),
        (
            &[("max_runs = 12", "max_runs = 12\nrules = 2")],
            [Seal; 3],
            "pseudonyms are others: match again first",
        ),
        (
            &[("max_runs = 12", "max_runs = 12\npartitions = 8")],
            [Seal; 3],
            "the number of partitions changes",
        ),
        (
            &[
                ("consent = { type = \"purposes\" }\n", ""),
                ("rows = { purchases", "rows = { customers = 1, purchases"),
            ],
            [Seal, Nothing, Seal],
            "its consents come from elsewhere",
        ),
    ];
    for (edits, expected, reason) in cases {
        let (found, reasons) = needs(&second(edits));
        assert_eq!((&found, edits), (expected, edits), "{reasons}");
        assert!(reasons.contains(reason), "{reason}\n{reasons}");
    }
}

#[test]
fn data_sets_come_and_go() {
    let new = second(&[(
        "[datasets.mailing]",
        "[datasets.more]\nowner = \"mailer\"\n[datasets.more.columns]\nperson = { type = \"pseudonym\", purposes = [\"ads\"] }\n[datasets.mailing]",
    )]);
    let remedy = |impact: Vec<incamera_agreement::DatasetImpact>| {
        let more = impact.into_iter().find(|of| of.dataset.as_str() == "more");
        more.map(|of| of.remedy)
    };
    assert_eq!(remedy(impact(&parse(LIFT), &new)), Some(Remedy::Seal));
    assert_eq!(remedy(impact(&new, &parse(LIFT))), Some(Remedy::Gone));
}

/// A branch in a column's list means other leaves once the tree changes, though the list stays.
#[test]
fn a_branch_that_gains_a_leaf_is_told_for_its_columns() {
    let new = parse(&HOUSE.replacen(
        "[datasets.things]",
        "profiles = { label = \"Profiles\", parent = \"marketing\" }\n[datasets.things]",
        1,
    ));
    let all = impact(&parse(HOUSE), &new);
    let things = all
        .iter()
        .find(|of| of.dataset.as_str() == "things")
        .unwrap();
    assert_eq!(things.remedy, Remedy::Seal);
    let reasons = things.reasons.join("; ");
    assert!(
        reasons.contains("column `yes` is for `profiles` now"),
        "{reasons}"
    );
    let weather = all
        .iter()
        .find(|of| of.dataset.as_str() == "weather")
        .unwrap();
    assert_eq!(weather.remedy, Remedy::Nothing);
}

#[test]
fn a_rename_keeps_consents_and_wants_parts_encrypted_anew() {
    let new = renamed();
    let (needs, reasons) = needs(&new);
    assert_eq!(
        needs,
        [Remedy::Reencrypt, Remedy::Nothing, Remedy::Reencrypt]
    );
    assert!(
        reasons.contains("`ads` of column `category` is `looks` now"),
        "{reasons}"
    );
    assert_eq!(
        told(&new),
        "purpose `ads` is renamed `looks`: who agreed to `ads` agreed to `looks`, and files may go on saying `ads`"
    );
    assert_eq!(new.consent_names().get("ads").unwrap().as_str(), "looks");
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
    let now = new.named_now(&names(&["ads", "measurement", "tv"]));
    assert_eq!(now, names(&["looks", "measurement", "tv"]));
    // A rename that changes the meaning says so.
    let looks = "looks = { label = \"Anything\", replaces = [\"ads\"] }";
    let other = told(&second(&[LOOKS, (ADS, looks)]));
    assert!(
        other.ends_with("; `looks` has `label` \"Anything\""),
        "{other}"
    );
}

#[test]
fn a_split_and_a_merge_keep_no_consents() {
    let split = second(&[
        LOOKS,
        (
            ADS,
            "looks = { label = \"x\", replaces = [\"ads\"] }\nprofiles = { label = \"y\", replaces = [\"ads\"] }",
        ),
    ]);
    let text = told(&split);
    assert!(
        text.starts_with(
            "purpose `ads` is split into `looks` and `profiles`: nobody agreed to these"
        ),
        "{text}"
    );
    assert!(!split.consent_names().contains_key("ads"));
    let (remedies, reasons) = needs(&split);
    assert_eq!(
        remedies,
        [Remedy::Reencrypt, Remedy::Nothing, Remedy::Reencrypt],
        "{reasons}"
    );
    let merged = parse(
        &String::from_utf8(renamed().bytes().to_vec())
            .unwrap()
            .replacen("replaces = [\"ads\"]", "replaces = [\"ads\", \"tv\"]", 1),
    );
    let before = parse(&LIFT.replacen(ADS, &format!("{ADS}\ntv = {{ label = \"z\" }}"), 1));
    let change = diff(&before, &merged).purposes;
    assert!(
        matches!(&change[..], [PurposeChange::Merged { from, into }] if from.len() == 2 && into.as_str() == "looks"),
        "{change:?}"
    );
    assert!(!merged.consent_names().contains_key("ads"));
}

#[test]
fn purposes_come_go_and_move() {
    let gone = told(&second(&[LOOKS, (ADS, "looks = { label = \"x\" }")]));
    assert!(
        gone.contains("purpose `ads` is taken out and nothing takes its place"),
        "{gone}"
    );
    assert!(
        gone.contains(
            "purpose `looks` is new: nobody has agreed to it yet; `looks` has `label` \"x\""
        ),
        "{gone}"
    );
    let branch = told(&second(&[(
        ADS,
        "ads = { label = \"Choosing audiences\" }\ntv = { label = \"t\", parent = \"ads\" }",
    )]));
    assert!(
        branch.contains("purpose `ads` is a branch now and stands for `tv`: nobody agreed"),
        "{branch}"
    );
    let moved = told(&second(&[
        (
            "Choosing audiences\"",
            "Choosing audiences\", parent = \"all\"",
        ),
        ("[purposes]", "[purposes]\nall = { label = \"a\" }"),
    ]));
    assert!(
        moved.contains("purpose `ads` moves from the top to below `all`"),
        "{moved}"
    );
}

/// Ids that are written otherwise in one matching epoch would be two people.
#[test]
fn other_rules_for_ids_need_another_epoch() {
    let claims = |old: &Agreement, matching: &str| {
        let new = second(&[("max_runs = 12", matching)]);
        new.false_successions(old, []).join("; ")
    };
    let old = parse(LIFT);
    let same_epoch = [
        "max_runs = 12\nrules = 2",
        "max_runs = 12\nrules = 2\nhashed = [\"email\"]",
    ];
    for matching in same_epoch {
        let text = claims(&old, matching);
        assert!(text.contains("write epoch = 2"), "{text}");
        let raised = format!("{matching}\nepoch = 2");
        assert_eq!(claims(&old, &raised), "");
    }
    assert_eq!(claims(&old, "max_runs = 13"), "");
    assert_eq!(claims(&old, "max_runs = 12\nrules = 1"), "");
    let published = second(&[("max_runs = 12", "max_runs = 12\nrules = 2\nepoch = 2")]);
    let text = claims(
        &published,
        "max_runs = 12\nrules = 2\nhashed = [\"email\"]\nepoch = 2",
    );
    assert!(text.contains("write epoch = 3"), "{text}");
    let told = diff(
        &old,
        &second(&[("max_runs = 12", "max_runs = 12\nrules = 2")]),
    );
    let cautions = told.lineage.join("; ");
    assert!(cautions.contains("two pseudonyms"), "{cautions}");
}

/// Ids that are matched under other keys in one matching epoch would be two people.
#[test]
fn matching_that_reveals_more_or_less_needs_another_epoch() {
    const NOTHING: &str = "reveals = \"nothing\"";
    let revealing = |more: &str| second(&[(NOTHING, &format!("reveals = \"own-matches\"{more}"))]);
    let old = parse(LIFT);
    let claims = |old: &Agreement, new: &Agreement| new.false_successions(old, []).join("; ");
    let text = claims(&old, &revealing(""));
    assert!(
        text.contains("matched otherwise") && text.contains("write epoch = 2"),
        "{text}"
    );
    let raised = revealing("\nepoch = 2");
    assert_eq!(claims(&old, &raised), "");
    let back = second(&[("max_runs = 12", "max_runs = 12\nepoch = 2")]);
    let text = claims(&raised, &back);
    assert!(text.contains("write epoch = 3"), "{text}");
    let told = diff(&old, &revealing(""));
    let cautions = told.lineage.join("; ");
    assert!(cautions.contains("two pseudonyms"), "{cautions}");
    let changed = told.fields.join("; ");
    assert!(
        changed.contains("`own-matches` (what a party learns"),
        "{changed}"
    );
    assert!(
        told.datasets
            .iter()
            .all(|impact| impact.remedy == Remedy::Seal)
    );
    let reasons = told.datasets.iter().flat_map(|impact| &impact.reasons);
    assert!(
        reasons
            .clone()
            .all(|reason| reason == "pseudonyms are others: match again first")
    );
    assert_eq!(reasons.count(), 3);
}

/// A purpose that stood already, or one that never did, takes over nobody's consent.
#[test]
fn i3_replaces_says_only_what_is_so() {
    let claims = |new: &Agreement| new.false_successions(&parse(LIFT), []).join("; ");
    assert_eq!(claims(&renamed()), "");
    let absorbed = second(&[
        (
            "purposes = [\"ads\", \"measurement\"]",
            "purposes = [\"measurement\"]",
        ),
        ("purposes = [\"ads\"]", "purposes = [\"measurement\"]"),
        (ADS, ""),
        ("campaigns\" }", "campaigns\", replaces = [\"ads\"] }"),
    ]);
    let text = claims(&absorbed);
    assert!(
        text.contains(
            "purpose `measurement` stood in version 1 already, so it cannot replace `ads`"
        ),
        "{text}"
    );
    let cautions = diff(&parse(LIFT), &absorbed).lineage;
    assert!(
        cautions[1].starts_with("CAUTION: purpose `measurement` stood"),
        "{cautions:?}"
    );
    let invented = second(&[
        LOOKS,
        (ADS, "looks = { label = \"x\", replaces = [\"adds\"] }"),
    ]);
    let text = claims(&invented);
    assert!(
        text.contains("said to replace `adds`, which is no purpose of version 1"),
        "{text}"
    );
    // What the version before said already stays said.
    let kept = parse(
        &String::from_utf8(renamed().bytes().to_vec())
            .unwrap()
            .replacen("epsilon = 1.0", "epsilon = 1.5", 1),
    );
    assert_eq!(kept.false_successions(&renamed(), []), Vec::<String>::new());
}

/// The version after `before`, with other purposes than the lift's, of which no column speaks.
fn after(before: &Agreement, purposes: &str) -> Agreement {
    let id = parse(LIFT).digest;
    let (version, digest) = (before.version + 1, before.digest);
    let lines = format!("version = {version}\nid = \"{id}\"\nfollows = \"{digest}\"");
    let text = LIFT.replacen("version = 1", &lines, 1);
    parse(
        &text
            .replace("[\"ads\", \"measurement\"]", "[\"measurement\"]")
            .replace("[\"ads\"]", "[\"measurement\"]")
            .replace(ADS, purposes),
    )
}

const LOOKS_FOR_ADS: &str = "looks = { label = \"x\", replaces = [\"ads\"] }";

/// Who agreed to a purpose agreed to its one successor, and to nothing that claims the name later.
#[test]
fn i3_a_purpose_is_replaced_once() {
    let second = after(&parse(LIFT), LOOKS_FOR_ADS);
    let third = |purposes: &str| after(&second, purposes);
    let claims = |new: &Agreement| new.false_successions(&second, []).join("; ");
    let selling = |replaces: &str| format!("selling = {{ label = \"y\", replaces = {replaces} }}");

    let twice = third(&format!(
        "looks = {{ label = \"x\" }}\n{}",
        selling("[\"ads\"]")
    ));
    let why = "purpose `selling` is said to replace `ads`, but purpose `ads` is now `looks` since version 2";
    assert!(claims(&twice).starts_with(why), "{}", claims(&twice));
    let cautions = diff(&second, &twice).lineage;
    assert!(
        cautions[1].starts_with(&format!("CAUTION: {why}")),
        "{cautions:?}"
    );
    // Also where both claim it, and where the successor went without one.
    let both = third(&format!("{LOOKS_FOR_ADS}\n{}", selling("[\"ads\"]")));
    assert!(claims(&both).starts_with(why), "{}", claims(&both));
    assert!(claims(&third(&selling("[\"ads\"]"))).starts_with(why));
    // Renamed once more: what replaces the successor replaces what that one replaced.
    for replaces in ["[\"looks\"]", "[\"ads\", \"looks\"]"] {
        assert_eq!(claims(&third(&selling(replaces))), "", "{replaces}");
    }
}

/// A split or merge does not become a rename by saying less of it later.
#[test]
fn i3_a_split_or_merge_stays_one() {
    let tv = "tv = { label = \"z\" }";
    let first = parse(&LIFT.replacen(ADS, &format!("{ADS}\n{tv}"), 1));
    let merged = after(
        &first,
        "x = { label = \"x\", replaces = [\"ads\", \"tv\"] }",
    );
    assert_eq!(merged.false_successions(&first, []), Vec::<String>::new());
    let less = after(&merged, "x = { label = \"x\", replaces = [\"ads\"] }");
    let claims = less.false_successions(&merged, []).join("; ");
    assert!(
        claims.contains("but purpose `ads` is merged with `tv` into `x`"),
        "{claims}"
    );

    let profiles = "profiles = { label = \"p\", replaces = [\"ads\"] }";
    let split = after(&parse(LIFT), &format!("{LOOKS_FOR_ADS}\n{profiles}"));
    let less = after(
        &split,
        &format!("{LOOKS_FOR_ADS}\nprofiles = {{ label = \"p\" }}"),
    );
    let claims = less.false_successions(&split, []).join("; ");
    assert!(
        claims.contains("is split into `looks` and `profiles`"),
        "{claims}"
    );
    let silent = "looks = { label = \"x\" }\nprofiles = { label = \"p\" }";
    assert!(
        after(&split, silent)
            .false_successions(&split, [])
            .is_empty()
    );
    assert!(
        after(&split, &format!("{LOOKS_FOR_ADS}\n{profiles}"))
            .false_successions(&split, [])
            .is_empty()
    );
}

/// Old consents and sealed data say the old name, so it never means something else.
#[test]
fn i3_a_name_that_is_gone_does_not_stand_again() {
    let again = "the name `ads` is used again: version";
    let first = parse(LIFT);
    let second = after(&first, LOOKS_FOR_ADS);
    let third = after(&second, &format!("{ADS}\nlooks = {{ label = \"x\" }}"));
    let cautions = diff(&second, &third).lineage;
    assert!(
        cautions[1].starts_with(&format!("CAUTION: {again} 2")),
        "{cautions:?}"
    );
    // The version before says nothing of it: those before that one do.
    let second = after(&first, "");
    let third = after(&second, ADS);
    assert!(third.false_successions(&second, []).is_empty());
    let claims = third.false_successions(&second, [&*first]);
    assert!(claims[0].starts_with(&format!("{again} 1")), "{claims:?}");
    // Nor as the new name of another.
    let tv = "tv = { label = \"z\" }";
    let second = after(&first, tv);
    let third = after(&second, "ads = { label = \"z\", replaces = [\"tv\"] }");
    let claims = third.false_successions(&second, [&*first]);
    assert!(claims[0].starts_with(again), "{claims:?}");
    // One that stands throughout is the same purpose.
    let fourth = after(&second, tv);
    assert!(fourth.false_successions(&second, [&*first]).is_empty());
}
