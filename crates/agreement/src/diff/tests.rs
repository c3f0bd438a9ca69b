//! Each field of the model is changed in a file, and told in words.

use incamera_types::{ColumnSpec, DatasetSpec};

use super::diff;
use crate::Proposals;
use crate::model::{
    Agreement, Ceiling, Compare, GroupKey, Matching, Party, PerPerson, Purpose, Query, Ratio,
    RoomTerms, Terms,
};
use crate::providers::{IdLink, Providers};

const LIFT: &str = include_str!("../../tests/agreements/lift.toml");
const PROPOSALS: &str = include_str!("../../tests/agreements/proposals.toml");
const LINKED: &str = include_str!("../../tests/agreements/linked.toml");
const PROVIDERS: &str = include_str!("../../tests/agreements/providers.toml");
const HOUSE: &str = include_str!("../../tests/agreements/version2.toml");

/// The names of a struct's fields. A field that is missing here does not compile: name it, and
/// write a case of how its change is told.
macro_rules! fields {
    ($($model:ident { $($field:ident),* $(,)? })*) => {
        &[$({
            let _ = |of: &$model| {
                let $model { $($field: _),* } = of;
            };
            (stringify!($model), &[$(stringify!($field)),*] as &[&str])
        }),*]
    };
}

const FIELDS: &[(&str, &[&str])] = fields! {
    Terms {
        name, version, id, digest, follows, expires, parties, room, matching, purposes, datasets,
        queries, budgets, proposals,
    }
    Proposals { analysts, purposes, datasets, budget, min_people, until }
    Party { signs, service, receives, url, people, analysts }
    RoomTerms { url, policy }
    Matching { method, ids, rules, hashed, reveals, security, max_ids, max_runs, match_partitions, partitions, epoch, link, providers }
    Providers { names, threshold, key_days, rate, links }
    IdLink { from, to }
    Purpose { label, parent, iri, replaces, leaf }
    DatasetSpec { name, owner, public, keep_until, columns }
    ColumnSpec {
        name, ty, nullable, purposes, unit, min, max, values, other, id_kind, time_zone,
    }
    Query {
        name, purpose, analysts, receivers, reads, sql, sql_at, params, rows, per_person, groups,
        weights, epsilon, delta, min_people, ratios, compare, sampling, loss,
    }
    PerPerson { groups, measures }
    GroupKey { name, values }
    Ratio { name, numerator, denominator }
    Compare { kind, of, group, against, strata }
    Ceiling { budget, loss }
};

/// What no edit of its own changes: it follows from other fields, or is the lineage, which
/// `another_lineage_is_told_first` sees told.
const DERIVED: [&str; 10] = [
    "Terms.version",
    "Terms.id",
    "Terms.digest",
    "Terms.follows",
    "Purpose.leaf",
    "Query.sql_at",
    "Query.loss",
    "Ceiling.loss",
    "Terms.purposes", // each of `Purpose`
    "Matching.link",  // columns change with it: `linking_is_told_with_its_meaning`
];

struct Case {
    fields: &'static [&'static str],
    text: &'static str,
    from: &'static str,
    to: &'static str,
    /// How a sentence begins.
    told: &'static str,
}

const fn case(
    fields: &'static [&'static str],
    text: &'static str,
    from: &'static str,
    to: &'static str,
    told: &'static str,
) -> Case {
    Case {
        fields,
        text,
        from,
        to,
        told,
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case(&["Terms.name"], LIFT, "name = \"spring-campaign\"", "name = \"summer\"", "the agreement: `name` changes from `spring-campaign` to `summer` (what people call it)"),
    case(&["Terms.expires"], LIFT, "2027-03-31", "2028-03-31", "the agreement: `expires` changes from `2027-03-31` to `2028-03-31` (the last day"),
    case(&["Terms.parties"], HOUSE, "[room]\n", "[parties.guest]\nsigns = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR\"\nservice = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMqTrBcFGHBx1nuDx/8O/oEI6OxFMFdddyaHkzPb2r58\"\nurl = \"https://guest.example:7443\"\npeople = 5\n[room]\n", "party `guest` is new: people 5; "),
    case(&["Party.signs"], LIFT, "AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c", "AAAAC3NzaC1lZDI1NTE5AAAAINCYQ8zbfXcuWXU7Y3zoCoz4NUcIAHmdKUN2LyMg9Loy", "party `shop`: `signs` changes from `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI"),
    case(&["Party.service"], LIFT, "AAAAC3NzaC1lZDI1NTE5AAAAIIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU", "AAAAC3NzaC1lZDI1NTE5AAAAINCYQ8zbfXcuWXU7Y3zoCoz4NUcIAHmdKUN2LyMg9Loy", "party `shop`: `service` changes from `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIE5"),
    case(&["Party.receives"], LIFT, "url = \"https://shop.example:7443\"", concat!("receives = \"", include_str!("../../../keys/tests/golden/receive_key-1.pub"), "\"\nurl = \"https://shop.example:7443\""), "party `shop` gains `receives`: `SHA256:"),
    case(&["Party.url"], LIFT, "https://shop.example:7443", "https://shop.example:7445", "party `shop`: `url` changes from `https://shop.example:7443` to `https://shop.example:7445` (where its service listens)"),
    case(&["Party.people"], LIFT, "people = 90_000", "people = 80_000", "party `mailer`: `people` falls from 90000 to 80000 (how many people"),
    case(&["Party.analysts"], LIFT, "analysts = { ana", "analysts = { bob = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINCYQ8zbfXcuWXU7Y3zoCoz4NUcIAHmdKUN2LyMg9Loy\", ana", "analyst `mailer/bob` is new: `ssh-ed25519"),
    case(&["Party.analysts"], HOUSE, "analysts = \"vouched\"", "analysts = { anybody = \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINCYQ8zbfXcuWXU7Y3zoCoz4NUcIAHmdKUN2LyMg9Loy\" }", "party `house` loses `analysts`: `vouched` (who may ask in its name)"),
    case(&["Terms.room", "RoomTerms.url"], LIFT, "https://room.example:7443", "https://room.example:7444", "the room: `url` changes from"),
    case(&["RoomTerms.policy"], LIFT, "9f1c\"]", "9f1d\"]", "the accepted kind of TEE `simulated`: `measurements` loses `9f1c9f1c"),
    case(&["RoomTerms.policy"], HOUSE, "snp = 23", "snp = 22", "the accepted kind of TEE `sev-snp`: `min_tcb.snp` falls from 23 to 22 (the oldest firmware"),
    case(&["RoomTerms.policy"], HOUSE, "tee = \"tdx\"", "tee = \"sgx\"", "the accepted kind of TEE `sgx` is new: "),
    case(&["Terms.matching", "Matching.max_ids"], LIFT, "500_000", "600_000", "matching: `max_ids` rises from 500000 to 600000 (the most ids"),
    case(&["Matching.max_runs"], LIFT, "max_runs = 12", "max_runs = 13", "matching: `max_runs` rises from 12 to 13 ("),
    case(&["Matching.ids"], LIFT, "[\"email\"]", "[\"email\", \"phone\"]", "matching: `ids` gains `phone` (the kinds of id"),
    case(&["Matching.rules"], LIFT, "max_runs = 12", "max_runs = 12\nrules = 2", "matching gains `rules`: 2 (how ids are written"),
    case(&["Matching.security"], LIFT, "\"commutative\"", "\"vole\"\nsecurity = \"semi-honest\"", "matching gains `security`: `semi-honest` (against whom"),
    case(&["Matching.hashed"], LIFT, "max_runs = 12", "max_runs = 12\nrules = 2\nhashed = [\"email\"]", "matching gains `hashed`: [email] (the kinds of id"),
    case(&["Matching.epoch"], LIFT, "max_runs = 12", "max_runs = 12\nepoch = 2", "matching gains `epoch`: 2 (raised,"),
    case(&["Matching.match_partitions"], LIFT, "max_runs = 12", "max_runs = 12\nmatch_partitions = 8", "matching gains `match_partitions`: 8 (into how many parts"),
    case(&["Matching.partitions"], LIFT, "max_runs = 12", "max_runs = 12\npartitions = 8", "matching gains `partitions`: 8 (slices"),
    case(&["Matching.reveals"], LIFT, "reveals = \"nothing\"\n", "", "matching loses `reveals`: `nothing` (what a party learns"),
    case(&["Matching.method"], HOUSE, "method = \"none\"", "method = \"commutative\"\nids = [\"plain\"]\nmax_ids = 7\nmax_runs = 7", "matching: `method` changes from `none` to `commutative` (how ids become pseudonyms)"),
    case(&["Matching.providers", "Providers.names"], PROVIDERS, "\"gamma\"]", "\"gamma\", \"delta\"]", "matching: `providers` gains `delta` (the parties that hold"),
    case(&["Providers.threshold"], PROVIDERS, "threshold = 2", "threshold = 3", "matching: `threshold` rises from 2 to 3 (how many providers"),
    case(&["Providers.key_days"], PROVIDERS, "key_days = 90", "key_days = 30", "matching: `key_days` falls from 90 to 30 (for how many days"),
    case(&["Providers.rate"], PROVIDERS, "rate = 5_000", "rate = 7_000", "matching: `rate` rises from 5000 to 7000 (how many ids"),
    case(&["Providers.links", "IdLink.from", "IdLink.to"], PROVIDERS, "{ from = \"cookie\", to = \"email\" }", "{ from = \"email\", to = \"cookie\" }", "matching: `links.0.from` changes from `cookie` to `email` (between which kinds"),
    case(&["Purpose.label"], LIFT, "Measuring campaigns", "Measuring all", "purpose `measurement`: `label` changes from `Measuring campaigns` to `Measuring all` (what it means in words"),
    case(&["Purpose.parent"], HOUSE, "safety = { label = \"Fraud and abuse\",", "safety = { label = \"Fraud and abuse\", parent = \"marketing\",", "purpose `safety` moves from the top to below `marketing`"),
    case(&["Purpose.iri"], LIFT, "\"Choosing audiences\"", "\"Choosing audiences\", iri = \"https://w3id.org/dpv#Marketing\"", "purpose `ads` gains `iri`: `https://w3id.org/dpv#Marketing` (the term of a vocabulary"),
    case(&["Purpose.replaces"], HOUSE, "[\"fraud\"]", "[\"fraud\", \"abuse\"]", "purpose `safety`: `replaces` gains `abuse` (purposes of earlier versions"),
    case(&["Terms.datasets", "DatasetSpec.name"], LIFT, "[datasets.mailing]", "[datasets.more]\nowner = \"mailer\"\n[datasets.more.columns]\nperson = { type = \"pseudonym\", purposes = [\"ads\"] }\n[datasets.mailing]", "data set `more` is new: columns.person.purposes [ads]"),
    case(&["DatasetSpec.owner"], HOUSE, "owner = \"house\"\npublic", "owner = \"guest\"\npublic", "data set `weather`: `owner` changes from `house` to `guest` (the party that it belongs to)"),
    case(&["DatasetSpec.public"], LIFT, "[datasets.mailing]\nowner = \"mailer\"", "[datasets.mailing]\nowner = \"mailer\"\npublic = false", "data set `mailing` gains `public`: `false` (a public data set"),
    case(&["DatasetSpec.keep_until"], HOUSE, "2027-12-31", "2027-11-30", "data set `things`: `keep_until` changes from `2027-12-31` to `2027-11-30` (the last day"),
    case(&["DatasetSpec.columns", "ColumnSpec.name"], LIFT, "mailed = {", "day = { type = \"date\", purposes = [\"ads\"] }\nmailed = {", "column `mailing.day` is new: purposes [ads]; type `date`"),
    case(&["ColumnSpec.ty"], HOUSE, "seen = { type = \"timestamp\", time_zone = \"Europe/Berlin\"", "seen = { type = \"date\"", "column `things.seen`: `type` changes from `timestamp` to `date` (what its values are)"),
    case(&["ColumnSpec.nullable"], HOUSE, "nullable = true", "nullable = false", "column `things.yes`: `nullable` changes from `true` to `false` (whether"),
    case(&["ColumnSpec.purposes"], LIFT, "purposes = [\"ads\"] }", "purposes = [\"ads\", \"measurement\"] }", "column `purchases.category`: `purposes` gains `measurement` (what it is sealed for)"),
    case(&["ColumnSpec.purposes"], HOUSE, ", not_for = [\"ads\"]", "", "column `things.count` loses `not_for`: [ads] (what it is not sealed for"),
    case(&["ColumnSpec.unit"], LIFT, "\"EUR\"", "\"USD\"", "column `purchases.amount`: `unit` changes from `EUR` to `USD` (what its figures count)"),
    case(&["ColumnSpec.min"], LIFT, "min = 0", "min = 1", "column `purchases.amount`: `min` rises from 0 to 1 (values outside"),
    case(&["ColumnSpec.max"], LIFT, "min = 0, max = 500", "min = 0", "column `purchases.amount` loses `max`: 500 (values outside"),
    case(&["ColumnSpec.values"], LIFT, "[\"food\", \"home\"]", "[\"food\", \"home\", \"toys\"]", "column `purchases.category`: `values` gains `toys` (the texts"),
    case(&["ColumnSpec.other"], LIFT, "other = \"null\"", "other = \"food\"", "column `purchases.category`: `other` changes from `null` to `food` (what becomes"),
    case(&["ColumnSpec.id_kind"], HOUSE, "{ type = \"pseudonym\", id = \"plain\" }", "{ type = \"pseudonym\" }", "column `things.person` loses `id`: `plain` (the kind of id"),
    case(&["ColumnSpec.time_zone"], HOUSE, "Europe/Berlin", "Europe/Paris", "column `things.seen`: `time_zone` changes from `Europe/Berlin` to `Europe/Paris` (by whose clocks"),
    case(&["Terms.queries", "Query.name"], LIFT, "[queries.lift]", "[queries.rise]", "query `rise` is new: analysts [mailer/ana]"),
    case(&["Query.purpose"], HOUSE, "purpose = \"safety\"", "purpose = \"measurement\"", "query `counts`: `purpose` changes from `safety` to `measurement` (what its answer may be used for)"),
    case(&["Query.analysts"], HOUSE, "[\"house/anybody\"]", "[\"house/nobody\"]", "query `counts`: `analysts` loses `house/anybody` and gains `house/nobody` (who may ask it)"),
    case(&["Query.receivers"], LIFT, "[\"mailer\", \"shop\"]", "[\"mailer\"]", "query `lift`: `receivers` loses `shop` (who gets the answer)"),
    case(&["Query.reads"], LIFT, "\"purchases.day\", ", "", "query `lift`: `reads` loses `purchases.day` (the columns whose keys"),
    case(&["Query.sql"], LIFT, "  AND purchases.day BETWEEN $from AND $until\n", "", "query `lift`: `sql` loses `AND purchases.day BETWEEN $from AND $until` (what is asked)"),
    case(&["Query.params"], LIFT, "{ from = { type = \"date\" }", "{ from = { type = \"int\" }", "parameter `from` of query `lift`: `type` changes from `date` to `int` (what the analyst"),
    case(&["Query.rows"], LIFT, "mailing = 1 }", "mailing = 2 }", "query `lift`: `rows.mailing` rises from 1 to 2 (the most rows"),
    case(&["Query.per_person", "PerPerson.measures"], LIFT, "spend = [0, 400]", "spend = [0, 500]", "query `lift`: `per_person.spend` changes from [0, 400] to [0, 500] (what one person can add"),
    case(&["PerPerson.groups"], LIFT, "{ groups = 1, spend", "{ groups = 2, spend", "query `lift`: `per_person.groups` rises from 1 to 2 (in how many groups"),
    case(&["Query.groups", "GroupKey.values"], LIFT, "[\"mailed\", \"not mailed\"]", "[\"mailed\", \"not mailed\", \"late\"]", "query `lift`: `groups.campaign_group` gains `late` (the rows that the answer has"),
    case(&["GroupKey.values"], HOUSE, "per_person = { total = [-0.5, 10] }", "per_person = { groups = 1, total = [-0.5, 10] }\ngroups = { day = \"discovered\" }", "query `counts` gains `groups.day`: `discovered` (the rows that the answer has, always; discovered: those that enough people have"),
    case(&["GroupKey.values"], LIFT, "groups = { campaign_group = [\"mailed\", \"not mailed\"] }\nper_person = { groups = 1, spend = [0, 400] }\nweights = { people = 1, buyers = 1, spend = 8 }\nratios = { rate = \"buyers / people\", spend_per_person = \"spend / people\" }\ncompare = { ratio = \"spend_per_person\", group = \"mailed\", against = \"not mailed\" }", "groups = { campaign_group = \"discovered\" }\nper_person = { groups = 1, spend = [0, 400] }\nweights = { people = 1, buyers = 1, spend = 8 }\nratios = { rate = \"buyers / people\", spend_per_person = \"spend / people\" }", "query `lift`: `groups.campaign_group` changes from [mailed, not mailed] to `discovered` (the rows that the answer has, always; discovered: those that enough people have"),
    case(&["GroupKey.name"], LIFT, "groups = { campaign_group", "groups = { buyers", "query `lift` gains `groups.buyers`: [mailed, not mailed] (the rows"),
    case(&["Query.weights"], LIFT, "spend = 8", "spend = 4", "query `lift`: `weights.spend` falls from 8 to 4 (the measure's share"),
    case(&["Query.epsilon"], LIFT, "epsilon = 1.0", "epsilon = 2", "query `lift`: `epsilon` rises from 1 to 2 (what a run costs"),
    case(&["Query.delta"], LIFT, "delta = 1e-8", "delta = 1e-9", "query `lift`: `delta` falls from 1e-8 to 1e-9 (the probability"),
    case(&["Query.min_people"], LIFT, "min_people = 50", "min_people = 60", "query `lift`: `min_people` rises from 50 to 60 (the least noisy count"),
    case(&["Query.ratios", "Ratio.name"], LIFT, "ratios = { rate =", "ratios = { share =", "query `lift` gains `ratios.share`: `buyers / people` (a quotient"),
    case(&["Ratio.numerator", "Ratio.denominator"], LIFT, "buyers / people", "people / buyers", "query `lift`: `ratios.rate` changes from `buyers / people` to `people / buyers` (a quotient"),
    case(&["Query.compare", "Compare.group", "Compare.against"], LIFT, "group = \"mailed\", against = \"not mailed\"", "group = \"not mailed\", against = \"mailed\"", "query `lift`: `compare.against` changes from `not mailed` to `mailed` (the two groups"),
    case(&["Query.sampling"], LIFT, "weights = {", "sampling = true\nweights = {", "query `lift` gains `sampling`: `true` (whether people"),
    case(&["Compare.kind"], LIFT, "compare = { ratio", "compare = { kind = \"difference\", ratio", "query `lift` gains `compare.kind`: `difference` (the two groups"),
    case(&["Compare.strata"], LIFT, "groups = { campaign_group = [\"mailed\", \"not mailed\"] }\nper_person = { groups = 1, spend = [0, 400] }\nweights = { people = 1, buyers = 1, spend = 8 }\nratios = { rate = \"buyers / people\", spend_per_person = \"spend / people\" }\ncompare = { ratio = \"spend_per_person\"", "groups = { campaign_group = [\"mailed\", \"not mailed\"], day = [\"2026-03-01\"] }\nper_person = { groups = 1, spend = [0, 400] }\nweights = { people = 1, buyers = 1, spend = 8 }\nratios = { rate = \"buyers / people\", spend_per_person = \"spend / people\" }\ncompare = { kind = \"odds-ratio\", strata = \"day\", ratio = \"rate\"", "query `lift` gains `compare.strata`: `day` (the two groups"),
    case(&["Compare.of"], LIFT, "ratio = \"spend_per_person\"", "ratio = \"rate\"", "query `lift`: `compare.ratio` changes from `spend_per_person` to `rate` (the two groups"),
    case(&["Terms.budgets"], LIFT, "[budgets.mailer]\nepsilon = 8.0\ndelta = 1e-6\n", "", "the budget of party `mailer` is taken out"),
    case(&["Ceiling.budget"], LIFT, "epsilon = 8.0", "epsilon = 9", "the budget of party `shop`: `epsilon` rises from 8 to 9 (what all runs together"),
    case(&["Ceiling.budget"], LIFT, "delta = 1e-6", "delta = 1e-7", "the budget of party `shop`: `delta` falls from 1e-6 to 1e-7 (the probability"),
    case(&["Ceiling.budget"], LIFT, "renews = \"never\"\n", "", "the budget of party `shop` loses `renews`: `never` (whether"),
    case(&["Terms.proposals"], LIFT, "[budgets.shop]", "[proposals]\nanalysts = [\"mailer/ana\"]\npurposes = [\"ads\"]\nepsilon = 1\ndelta = 0\nmin_people = 9\n[budgets.shop]", "the right to propose queries is new: analysts [mailer/ana]; delta 0; epsilon 1; min_people 9; purposes [ads]"),
    case(&["Terms.proposals"], PROPOSALS, "\n[proposals]\nanalysts = [\"mailer/ana\", \"mailer/bob\"]\npurposes = [\"measurement\"]\ndatasets = [\"customers\", \"purchases\", \"mailing\"]\nepsilon = 0.5\ndelta = 1e-8\nmin_people = 50\nuntil = 2027-01-31\n", "\n", "the right to propose queries is taken out"),
    case(&["Proposals.analysts"], PROPOSALS, "[\"mailer/ana\", \"mailer/bob\"]", "[\"mailer/ana\"]", "the right to propose queries: `analysts` loses `mailer/bob` (who may propose"),
    case(&["Proposals.purposes"], PROPOSALS, "purposes = [\"measurement\"]\ndatasets", "purposes = [\"ads\"]\ndatasets", "the right to propose queries: `purposes` loses `measurement` and gains `ads` (what a proposed query may be for"),
    case(&["Proposals.datasets"], PROPOSALS, "\"purchases\", \"mailing\"]\nepsilon", "\"mailing\"]\nepsilon", "the right to propose queries: `datasets` loses `purchases` (what a proposed query may read"),
    case(&["Proposals.budget"], PROPOSALS, "epsilon = 0.5", "epsilon = 0.75", "the right to propose queries: `epsilon` rises from 0.5 to 0.75 (the most"),
    case(&["Proposals.budget"], PROPOSALS, "delta = 1e-8\nmin_people = 50\nuntil", "delta = 1e-9\nmin_people = 50\nuntil", "the right to propose queries: `delta` falls from 1e-8 to 1e-9 (the greatest"),
    case(&["Proposals.min_people"], PROPOSALS, "min_people = 50\nuntil", "min_people = 20\nuntil", "the right to propose queries: `min_people` falls from 50 to 20 (no proposed query"),
    case(&["Proposals.until"], PROPOSALS, "until = 2027-01-31", "until = 2027-02-28", "the right to propose queries: `until` changes from `2027-01-31` to `2027-02-28` (the last day"),
];

fn parse(text: &str) -> Agreement {
    Agreement::parse(text.as_bytes()).unwrap_or_else(|error| {
        let problems: Vec<_> = error.problems().map(ToString::to_string).collect();
        panic!("{}", problems.join("\n"))
    })
}

/// Both texts, with a guest where something is to belong to one.
fn edited(case: &Case) -> (Agreement, Agreement) {
    let two_owners = case.fields == ["Matching.method"];
    let mut text = case.text.to_owned();
    if case.to.contains("guest\"\npublic") || two_owners {
        let mut guests = CASES.iter();
        let guest = guests
            .find(|case| case.fields == ["Terms.parties"])
            .unwrap();
        text = text.replacen(guest.from, guest.to, 1);
    }
    assert!(text.contains(case.from), "{}", case.from);
    let mut after = text.replacen(case.from, case.to, 1);
    if two_owners {
        let guests = "[datasets.guests]\nowner = \"guest\"\n[datasets.guests.columns]\nperson = { type = \"pseudonym\", purposes = [\"ads\"] }\n[datasets.weather]";
        after = after.replacen("[datasets.weather]", guests, 1);
    }
    (parse(&text), parse(&after))
}

#[test]
fn each_field_has_a_case() {
    let mut named = 0;
    for (model, fields) in FIELDS {
        for field in *fields {
            let name = format!("{model}.{field}");
            let cases = CASES
                .iter()
                .filter(|case| case.fields.contains(&name.as_str()));
            let derived = DERIVED.contains(&name.as_str());
            assert!(cases.count() > 0 || derived, "no case changes {name}");
            named += 1;
        }
    }
    assert!(named > 70, "{named}");
}

#[test]
fn linking_is_told_with_its_meaning() {
    let told = diff(&parse(LIFT), &parse(LINKED));
    let told: Vec<&String> = told.sentences().collect();
    let gained = "matching gains `link`: `waterfall` (the rule by which people of two owners";
    let typed = "column `purchases.person`: `type` changes from `pseudonym` to `person`";
    for beginning in [gained, typed] {
        let found = told.iter().any(|told| told.starts_with(beginning));
        assert!(found, "{beginning}\n{told:#?}");
    }
}

#[test]
fn each_field_is_told_in_words_and_with_its_meaning() {
    for case in CASES {
        let (old, new) = edited(case);
        let told = diff(&old, &new);
        let sentences: Vec<&String> = told.sentences().collect();
        let found = sentences.iter().find(|told| told.starts_with(case.told));
        assert!(
            found.is_some(),
            "{:?}: {}\n{sentences:#?}",
            case.fields,
            case.told
        );
        // A place without a meaning is told without: none is left without one.
        for sentence in &told.fields {
            let whole = sentence.contains(" is new: ") || sentence.ends_with("is taken out");
            assert!(whole || sentence.ends_with(')'), "{sentence}");
        }
    }
}
