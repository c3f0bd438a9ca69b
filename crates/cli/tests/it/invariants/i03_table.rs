//! I3 against running services: what a column is tagged for and what a query declares, and the
//! same of rows, by what their people agreed to.

use std::collections::BTreeSet;
use std::slice;

use incamera_seal::{NoKey, unwrap_keys};
use incamera_testkit::stage::Outcome;
use incamera_types::ColumnName;

use super::support::{Holdings, purpose};
use crate::world::{AGREEMENT, Data, World};

/// As many people agreed to `ads` and `measurement`, to `safety`, and to everything.
const PEOPLE: usize = 150;

/// The register with tagged columns, and a query for each purpose over them.
fn agreed() -> World {
    World::agreed_as(|text| {
        let purposes = "ads = { label = \"Choosing audiences\" }\n";
        let more = "safety = { label = \"Fraud\" }\nresearch = { label = \"Research\" }\n";
        let person =
            "person = { type = \"pseudonym\", purposes = [\"ads\", \"measurement\"] }\nconsent";
        let all = "[\"ads\", \"measurement\", \"safety\", \"research\"]";
        let columns = format!(
            "person = {{ type = \"pseudonym\" }}\n\
             campaign = {{ type = \"bool\", purposes = [\"ads\", \"measurement\"] }}\n\
             risk = {{ type = \"bool\", purposes = [\"safety\"] }}\n\
             kind = {{ type = \"text\", values = [\"am\", \"s\", \"all\"], purposes = {all} }}\nconsent"
        );
        assert!(text.contains(purposes) && text.contains(person));
        let text = text.replacen(purposes, &format!("{purposes}{more}"), 1);
        let text = text.replacen(person, &columns, 1);
        let text = text.replacen("epsilon = 8.0", "epsilon = 30.0", 1);
        let queries = [
            query("campaign_ads", "ads", "campaign"),
            query("risk_safety", "safety", "risk"),
            query("kinds_ads", "ads", "kind"),
            query("kinds_research", "research", "kind"),
            query("kinds_safety", "safety", "kind"),
        ];
        text + &queries.concat()
    })
}

/// How many people there are, by a column of the register that is read for a purpose.
fn query(name: &str, purpose: &str, column: &str) -> String {
    let (sql, groups) = match column {
        "kind" => (
            "SELECT kind AS kind, COUNT(DISTINCT person) AS people FROM customers GROUP BY 1",
            "groups = { kind = [\"am\", \"s\", \"all\"] }\n",
        ),
        "risk" => (
            "SELECT COUNT(DISTINCT person) AS people FROM customers WHERE risk",
            "",
        ),
        _ => (
            "SELECT COUNT(DISTINCT person) AS people FROM customers WHERE campaign",
            "",
        ),
    };
    format!(
        "[queries.{name}]\npurpose = \"{purpose}\"\nanalysts = [\"mailer/ana\"]\n\
         receivers = [\"mailer\", \"shop\"]\nreads = [\"customers.person\", \"customers.{column}\"]\n\
         sql = '''{sql}'''\n{groups}per_person = {{ groups = 1 }}\nepsilon = 3.0\ndelta = 1e-8\nmin_people = 50\n\n"
    )
}

fn data() -> Data {
    let mut data = Data {
        customers: "email,consent,campaign,risk,kind\n".into(),
        purchases: "email,day,amount\n".into(),
        mailing: "email,mailed\n".into(),
    };
    let classes = [
        ("ads;measurement", "am"),
        ("safety", "s"),
        ("ads;measurement;safety;research", "all"),
    ];
    for (consent, kind) in classes {
        for person in 0..PEOPLE {
            let email = format!("{kind}{person}@mail.example");
            data.customers += &format!("{email},{consent},true,true,{kind}\n");
            data.mailing += &format!("{email},true\n");
        }
    }
    data
}

fn ask(world: &World, query: &str, more: &[&str]) -> Outcome {
    ask_under(world, AGREEMENT, query, more)
}

fn ask_under(world: &World, agreement: &str, query: &str, more: &[&str]) -> Outcome {
    let file = world.path(&format!("mailer/agreements/{agreement}.toml"));
    let key = world.path("mailer/analysts/ana");
    let out = world.path(&format!("{agreement}-{query}.release"));
    let mut arguments = vec!["query", "run", query, "--agreement", &file];
    arguments.extend(["--as", "mailer/ana", "--key", &key, "--out", &out, "--yes"]);
    arguments.extend(more);
    world.stage.command(&arguments).unwrap()
}

#[track_caller]
fn granted(outcome: &Outcome) -> String {
    assert_eq!(outcome.code, 0, "{} {}", outcome.failure(), outcome.errors);
    outcome.text("/table")
}

#[track_caller]
fn denied(outcome: &Outcome, says: &str) {
    assert_eq!(outcome.code, 3, "{}", outcome.document);
    assert!(outcome.failure().contains(says), "{}", outcome.document);
}

/// The people that the only row of an answer counts.
fn people(table: &str) -> f64 {
    numbers(table.lines().nth(1).unwrap()).next().unwrap()
}

fn numbers(line: &str) -> impl Iterator<Item = f64> {
    let words = line.split_whitespace();
    words.filter_map(|word| word.replace(',', "").parse().ok())
}

/// The people that an answer shows of each kind; none where the row is withheld.
fn kinds(table: &str) -> [Option<f64>; 3] {
    ["am", "s", "all"].map(|kind| {
        let row = |line: &&str| line.split_whitespace().next() == Some(kind);
        numbers(table.lines().find(row).unwrap()).next()
    })
}

/// As many as there are, give or take the noise.
fn about(shown: Option<f64>, expected: usize) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a count of hundreds")]
    let expected = expected as f64;
    shown.is_some_and(|shown| (shown - expected).abs() < 40.0)
}

/// | data tagged for  | query declares | result  |
/// |------------------|----------------|---------|
/// | ads, measurement | ads            | granted |
/// | ads, measurement | research       | denied  |
/// | safety           | ads            | denied  |
/// | safety           | safety         | granted |
fn columns(world: &World) {
    let both = 2 * PEOPLE; // `am` and `all` agreed to ads; `s` and `all` to safety
    let table = granted(&ask(world, "campaign_ads", &[]));
    assert!(about(Some(people(&table)), both), "{table}");
    let before = world.spent("shop");
    denied(
        &ask(world, "campaign_ads", &["--purpose", "research"]),
        "serves the purpose `ads` and no other",
    );
    denied(
        &ask(world, "risk_safety", &["--purpose", "ads"]),
        "serves the purpose `safety` and no other",
    );
    assert_eq!(world.spent("shop"), before);
    let table = granted(&ask(world, "risk_safety", &[]));
    assert!(about(Some(people(&table)), both), "{table}");
    // Not a policy alone: of what is denied there is no key, with nobody to refuse.
    let holdings = Holdings(world.root());
    let (manifest, ring) = (
        holdings.manifest("shop", "customers"),
        holdings.ring("shop"),
    );
    let opens = |column: &str, name: &str| {
        unwrap_keys(&manifest, &purpose(name), &[column.parse().unwrap()], &ring)
    };
    assert!(opens("campaign", "ads").is_ok() && opens("risk", "safety").is_ok());
    for (column, name) in [("campaign", "research"), ("risk", "ads")] {
        let error = opens(column, name).unwrap_err();
        assert!(matches!(error, NoKey::NotWrapped { .. }), "{error}");
    }
    unapproved(world);
}

/// Nor can parties approve a query that reads what is not tagged for its purpose.
fn unapproved(world: &World) {
    let good = std::fs::read_to_string(world.path(&format!("shop/agreements/{AGREEMENT}.toml")));
    let file = world.path("unapproved.toml");
    for (name, purpose, column) in [("q", "research", "campaign"), ("q", "ads", "risk")] {
        let text = good.as_ref().unwrap().clone() + &query(name, purpose, column);
        std::fs::write(&file, text).unwrap();
        let outcome = world.stage.command(&["agreement", "check", &file]).unwrap();
        assert_ne!(outcome.code, 0);
        let says = format!("`customers.{column}` is not for the purpose `{purpose}`");
        assert!(outcome.failure().contains(&says), "{}", outcome.document);
    }
}

/// The same of rows: those of people who did not agree are not there for the query.
fn rows(world: &World) {
    let shown = |query| kinds(&granted(&ask(world, query, &[])));
    let [am, s, all] = shown("kinds_ads");
    assert!(
        about(am, PEOPLE) && s.is_none() && about(all, PEOPLE),
        "{am:?} {s:?} {all:?}"
    );
    let [am, s, all] = shown("kinds_research");
    assert!(
        am.is_none() && s.is_none() && about(all, PEOPLE),
        "{am:?} {s:?} {all:?}"
    );
    let [am, s, all] = shown("kinds_safety");
    assert!(
        am.is_none() && about(s, PEOPLE) && about(all, PEOPLE),
        "{am:?} {s:?} {all:?}"
    );
}

/// Signs the next version of an agreement, and lets the room work under it.
fn next(world: &World, before: &str, name: &str, edit: impl FnOnce(String) -> String) {
    let file = world.path(&format!("mailer/agreements/{before}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let digest = |name: &str| {
        let file = world.path(&format!("mailer/agreements/{name}.toml"));
        world.done(&["agreement", "check", &file]).text("/digest")
    };
    let (id, follows) = (digest(AGREEMENT), digest(before));
    let version = if before == AGREEMENT { 2 } else { 3 };
    let lineage = |line: &&str| {
        !["version =", "id =", "follows ="]
            .iter()
            .any(|key| line.starts_with(key))
    };
    let rest: Vec<&str> = text.lines().filter(lineage).collect();
    let head = format!("[agreement]\nversion = {version}\nid = \"{id}\"\nfollows = \"{follows}\"");
    let text = rest.join("\n").replacen("[agreement]", &head, 1) + "\n";
    world.agree(name, |_| edit(text));
    world.stage.stop("room");
    world.write_room(name);
    world.start_room();
}

/// A data set's own last day, which the agreement outlives.
fn kept_no_longer(world: &World) {
    next(world, AGREEMENT, "second", |text| {
        let customers = "[datasets.customers]\nowner = \"shop\"";
        assert!(text.contains(customers));
        text.replacen(
            customers,
            &format!("{customers}\nkeep_until = 2020-02-29"),
            1,
        )
    });
    let before = world.spent("shop");
    denied(
        &ask_under(world, "second", "campaign_ads", &[]),
        "data set `customers` was kept until the end of 2020-02-29 (UTC)",
    );
    assert_eq!(world.spent("shop"), before);
    let status = world.done(&["status", "--party", &world.path("shop")]);
    let second = status.document.pointer("/agreements").and_then(|all| {
        let mut all = all.as_array()?.iter();
        all.find(|one| one["version"] == 2).cloned()
    });
    let data = &second.unwrap()["data"][0];
    assert_eq!(
        (&data["keep_until"], &data["kept"]),
        (&"2020-02-29".into(), &false.into())
    );
}

/// The next version lets `research` read the campaign, and calls `measurement` otherwise: what is
/// sealed already does not follow, and who asks for the old name is told the new one.
fn later(world: &World) {
    next(world, "second", "third", |text| {
        let text = text.replacen("keep_until = 2020-02-29\n", "", 1);
        let text = text.replace("\"measurement\"", "\"counting\"");
        let text = text.replacen(
            "measurement = { label = \"Measuring campaigns\" }",
            "counting = { label = \"Measuring campaigns\", replaces = [\"measurement\"] }",
            1,
        );
        let tagged = "campaign = { type = \"bool\", purposes = [\"ads\"";
        assert!(text.contains(tagged));
        let text = text.replacen(tagged, &format!("{tagged}, \"research\""), 1);
        text + &query("campaign_research", "research", "campaign")
    });
    denied(
        &ask_under(world, "third", "campaign_research", &[]),
        "the manifest does not fit the agreement: its list of columns is another",
    );
    denied(
        &ask_under(
            world,
            "third",
            "campaign_ads",
            &["--purpose", "measurement"],
        ),
        "purpose `measurement` is now `counting` since version 3",
    );
    let [second, third] =
        ["second", "third"].map(|name| world.path(&format!("mailer/agreements/{name}.toml")));
    let told = world.done(&["agreement", "diff", &second, &third]);
    assert_eq!(told.text("/purposes/0/change"), "renamed");
    assert_eq!(told.text("/datasets/0/dataset"), "customers");
    assert_eq!(told.text("/datasets/0/needs"), "re-encrypt");
    assert_eq!(told.text("/datasets/0/command"), "data retag");
    sealed_by_old_names(world);
}

/// The owner's file still says `measurement`: who agreed to that agreed to `counting`.
fn sealed_by_old_names(world: &World) {
    let (shop, data) = (world.path("shop"), world.path("data/customers.csv"));
    let third = world.path("shop/agreements/third.toml");
    let under = ["--party", &shop, "--agreement", &third];
    let mut seal = vec!["data", "seal", "customers", "--data", &data];
    seal.extend(under);
    let sealed = world.done(&seal);
    assert_eq!(sealed.number("/sealed"), 3 * PEOPLE as u64);
    let holdings = Holdings(world.root());
    let manifest = holdings.manifest("shop", "customers");
    let campaign: ColumnName = "campaign".parse().unwrap();
    let names = |class: &incamera_types::ConsentClass| class.to_string();
    let classes: BTreeSet<String> = manifest.parts().iter().map(|p| names(&p.class)).collect();
    assert_eq!(
        classes.into_iter().collect::<Vec<_>>(),
        ["ads,counting", "ads,counting,research,safety", "safety"]
    );
    let ring = holdings.ring("shop");
    let opens =
        |name: &str| unwrap_keys(&manifest, &purpose(name), slice::from_ref(&campaign), &ring);
    assert!(opens("counting").is_ok() && opens("measurement").is_err());
}

#[test]
fn i3_what_is_tagged_and_agreed_to_decides_what_a_query_opens() {
    let world = agreed();
    world.write_data(&data());
    world.start();
    world.match_people();
    world.seal_one("shop", "customers");
    world.push_one("shop");
    columns(&world);
    rows(&world);
    kept_no_longer(&world);
    later(&world);
}
