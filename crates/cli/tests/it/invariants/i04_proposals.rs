//! I4 for proposed queries, by the built programs: proposed, approved, asked, taken back.

use std::fs;
use std::path::Path;

use incamera_agreement::{ApprovedProposal, files};
use incamera_keys::sign_message;
use incamera_net::status::ProblemKind;
use incamera_release::Request;
use incamera_testkit::stage::Outcome;
use incamera_wire::v1::{Grant, LogEntry, Receipt, ReleaseFile, RequestEnvelope, Signed};
use incamera_wire::{Format, decode};
use tokio::runtime::Runtime;

use super::analyst::{Analyst, HostileRoom, ask, now, refused};
use crate::help;
use crate::world::{AGREEMENT, Data, World};

const SECTION: &str = r#"
[proposals]
analysts = ["mailer/ana"]
purposes = ["measurement"]
epsilon = 1.0
delta = 1e-8
min_people = 20
"#;

const DRAFT: &str = r#"
# How many of the mailed people bought.
[queries.reach]
purpose = "measurement"
analysts = ["mailer/ana"]
receivers = ["mailer"]
reads = ["customers.person", "purchases.person", "mailing.person", "mailing.mailed"]
sql = '''
SELECT CASE WHEN mailing.mailed THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
       COUNT(DISTINCT customers.person) AS people,
       COUNT(DISTINCT purchases.person) AS buyers
FROM customers
JOIN mailing ON mailing.person = customers.person
LEFT JOIN purchases ON purchases.person = customers.person
GROUP BY 1
'''
rows = { purchases = 100, mailing = 1 }
groups = { campaign_group = ["mailed", "not mailed"] }
per_person = { groups = 1 }
epsilon = 1.0
delta = 1e-8
min_people = 20
"#;

fn agreed() -> World {
    World::agreed_as(|text| text + SECTION)
}

/// Every command of the proposal's people, in one world.
struct People<'a> {
    world: &'a World,
    agreement: String,
    key: String,
}

impl<'a> People<'a> {
    fn of(world: &'a World) -> Self {
        Self {
            world,
            agreement: world.path(&format!("mailer/agreements/{AGREEMENT}.toml")),
            key: world.path("mailer/analysts/ana"),
        }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.world.stage.command(arguments).unwrap()
    }

    /// Proposes a draft of this text as `NAME.proposal` in the world's folder.
    fn propose(&self, draft: &str, name: &str) -> Outcome {
        let (file, out) = (self.world.path("draft.toml"), self.file(name));
        fs::write(&file, draft).unwrap();
        let (agreement, key) = (self.agreement.as_str(), self.key.as_str());
        self.run(&[
            "query",
            "propose",
            &file,
            "--agreement",
            agreement,
            "--as",
            "mailer/ana",
            "--key",
            key,
            "--out",
            &out,
        ])
    }

    fn file(&self, name: &str) -> String {
        self.world.path(&format!("{name}.proposal"))
    }

    fn approve(&self, party: &str, name: &str, more: &[&str]) -> Outcome {
        let (file, folder) = (self.file(name), self.world.path(party));
        let all = [&["query", "approve", &file, "--party", &folder], more].concat();
        self.run(&all)
    }

    fn ask(&self, name: &str, more: &[&str]) -> Outcome {
        let (file, out) = (self.file(name), self.world.path("asked.release"));
        let _ = fs::remove_file(&out);
        let (agreement, key) = (self.agreement.as_str(), self.key.as_str());
        let all = [
            &[
                "query",
                "run",
                "reach",
                "--proposal",
                &file,
                "--agreement",
                agreement,
                "--as",
                "mailer/ana",
                "--key",
                key,
                "--out",
                &out,
                "--yes",
            ],
            more,
        ];
        self.run(&all.concat())
    }
}

/// It ended with this exit code, and said these words.
#[track_caller]
fn says(outcome: &Outcome, code: i32, words: &str) {
    let all = format!("{} | {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(
        outcome.code, code,
        "{all} {} {}",
        outcome.errors, outcome.document
    );
    assert!(all.contains(words), "`{words}`: {all}");
    assert!(
        code == 0 || !outcome.text("/error/hint").is_empty(),
        "no hint: {all}"
    );
}

/// The log entries of the owners in a kept release.
fn entries(world: &World) -> Vec<LogEntry> {
    let file = fs::read(world.path("asked.release")).unwrap();
    let file: ReleaseFile = decode(&file, usize::MAX).unwrap();
    let receipt: Receipt = decode(&file.receipt.unwrap().body, usize::MAX).unwrap();
    let entry = |signed: &Signed| {
        let grant: Grant = decode(&signed.body, usize::MAX).unwrap();
        decode(&grant.log.unwrap().entry, usize::MAX).unwrap()
    };
    receipt.grants.iter().map(entry).collect()
}

#[test]
fn i4_a_proposed_query_runs_once_every_owner_has_approved_it_and_until_one_takes_it_back() {
    let world = agreed();
    world.prepare(&Data::small());
    let people = People::of(&world);
    let proposed = people.propose(DRAFT, "reach");
    assert_eq!(proposed.code, 0, "{}", proposed.failure());
    assert_eq!(proposed.text("/owners"), r#"["mailer","shop"]"#);
    assert!(
        proposed.document["reveals"].is_object() && proposed.document["explanation"].is_object()
    );
    looked_at(&people);

    says(
        &people.ask("reach", &[]),
        3,
        "not approved by `mailer` and `shop`",
    );
    says(
        &people.approve("shop", "reach", &[]),
        2,
        "nobody is at a terminal",
    );
    let approved = people.approve("shop", "reach", &["--yes"]);
    assert_eq!(approved.code, 0, "{}", approved.failure());
    says(&people.ask("reach", &[]), 3, "not approved by `mailer`");
    says(&people.approve("mailer", "reach", &["--yes"]), 0, "");
    assert_eq!(world.spent("shop"), 0);

    let answer = people.ask("reach", &[]);
    assert_eq!(answer.code, 0, "{} {}", answer.failure(), answer.errors);
    assert!(
        answer.text("/table").contains("not mailed"),
        "{}",
        answer.document
    );
    let digest = proposed.text("/digest");
    for entry in entries(&world) {
        assert_eq!(hex::encode(&entry.proposal), digest);
        assert_eq!(
            (entry.query.as_str(), entry.analyst.as_str()),
            ("reach", "mailer/ana")
        );
    }
    let verified = world.done(&[
        "verify",
        &world.path("asked.release"),
        "--agreement",
        &people.agreement,
    ]);
    assert_eq!(verified.text("/proposal"), digest);
    let spent = world.spent("shop");
    assert!(spent > 0 && world.spent("mailer") == spent);
    let csv = world.path("reach.csv");
    let again = people.ask("reach", &["--csv", &csv]);
    assert_eq!(again.text("/answer"), answer.text("/answer"));
    let csv = fs::read_to_string(csv).unwrap();
    assert!(csv.starts_with("campaign_group,"), "{csv}");
    assert_eq!(world.spent("shop"), spent, "a repeat was charged");
    received(&people, &answer);

    Runtime::new().unwrap().block_on(not_by_hand(&world));
    taken_back(&people, &answer);
    says(&changed(&people), 3, "is not signed by `mailer/ana`");
    assert_eq!(world.spent("shop"), spent);
}

/// Explained, judged and practised before anybody has approved it, and asked of nobody.
fn looked_at(people: &People<'_>) {
    let file = people.file("reach");
    let under = ["--proposal", &file, "--agreement", &people.agreement];
    for verb in [
        &["explain"][..],
        &["check"],
        &["run", "--practice", "--people", "500"],
    ] {
        let all = [&["query", verb[0], "reach"], &verb[1..], &under].concat();
        says(&people.run(&all), 0, "");
    }
    let all = [
        &[
            "query",
            "explain",
            "lift",
            "from=2026-03-01",
            "until=2026-05-31",
        ][..],
        &under,
    ];
    says(&people.run(&all.concat()), 2, "proposes no query `lift`");
    let shop = people.world.path("shop");
    let data = people.world.path("data/purchases.csv");
    let clipped = [
        "data",
        "clipped",
        "purchases",
        "--data",
        &data,
        "--party",
        &shop,
    ];
    let of = ["--query", "reach", "--proposal", &file];
    let counts_people = people.run(&[&clipped[..], &of].concat());
    says(&counts_people, 2, "`reach` clips nothing of the file");
    let listed = people.run(&["query", "approve", "--party", &shop]);
    assert_eq!(listed.text("/proposals"), "[]");
}

/// Whom the proposal names as receiver fetches its answer as that of any query.
fn received(people: &People<'_>, answer: &Outcome) {
    let (folder, out) = (people.world.path("mailer"), people.world.path("received"));
    fs::create_dir(&out).unwrap();
    let under = ["--party", &folder, "--agreement", &people.agreement];
    let outcome = people.run(&[&["query", "receive", "--out", &out], &under[..]].concat());
    says(&outcome, 0, "");
    let digest = answer.text("/request_digest");
    assert_eq!(outcome.text("/answers/0/request_digest"), digest);
    assert_eq!(outcome.text("/answers/0/answer"), answer.text("/answer"));
}

/// A request that an analyst's own program makes, without an owner's approval: the room refuses
/// it, and so does every broker if a hostile room passes it on.
async fn not_by_hand(world: &World) {
    let analyst = Analyst::ana(world);
    let agreement = analyst.agreement.agreement();
    let file = world.path("reach.proposal");
    let path = Path::new(&file);
    let proposal = agreement.proposal(&fs::read(path).unwrap()).unwrap();
    let signature = files::read_signature(&files::proposed_path(path))
        .unwrap()
        .unwrap();
    let approvals = files::read_signatures(path, agreement).unwrap();
    let approved: ApprovedProposal = proposal
        .signed(&signature)
        .unwrap()
        .approved(&approvals, now())
        .unwrap();
    let request = Request::proposed(
        &approved,
        Default::default(),
        &analyst.manifests,
        analyst.measurement,
    );
    let request = request.unwrap();
    let signed = analyst.sign(&request);
    let without = |at: usize| {
        let mut envelope: RequestEnvelope = decode(&signed.body, usize::MAX).unwrap();
        envelope.proposed.as_mut().unwrap().approvals.remove(at);
        sign_message(&analyst.key, Format::Request, &envelope).unwrap()
    };
    let room = HostileRoom::of(&analyst);
    for (at, owner) in ["mailer", "shop"].iter().enumerate() {
        let why = format!("not approved by `{owner}`");
        let asked = ask(world.room.listens, without(at), analyst.key.duplicate()).await;
        refused(asked, ProblemKind::Refused, &why);
        for broker in ["mailer", "shop"] {
            let reserved = room.reserve(broker, without(at), request.digest()).await;
            refused(reserved, ProblemKind::Refused, &why);
        }
    }
    // With all of them, the same broker reserves.
    room.reserve("shop", signed, request.digest())
        .await
        .unwrap();
}

/// The analyst keeps the approval, and it helps no more.
fn taken_back(people: &People<'_>, answer: &Outcome) {
    let shop = people.world.path("shop");
    let listed = people.run(&["query", "approve", "--party", &shop]);
    assert_eq!(
        listed.text("/proposals/0/state"),
        "approved",
        "{}",
        listed.document
    );
    says(&people.approve("shop", "reach", &["--withdraw"]), 0, "");
    let listed = people.run(&["query", "approve", "--party", &shop]);
    assert_eq!(listed.text("/proposals/0/state"), "not approved");
    assert!(Path::new(&format!("{}.shop.sig", people.file("reach"))).exists());
    says(
        &people.ask("reach", &[]),
        3,
        "`shop`: this party has not approved this proposal",
    );
    says(
        &people.approve("shop", "reach", &["--withdraw"]),
        2,
        "has no approval",
    );
    says(&people.approve("shop", "reach", &["--yes"]), 0, "");
    let again = people.ask("reach", &[]);
    assert_eq!(
        again.text("/answer"),
        answer.text("/answer"),
        "{}",
        again.failure()
    );
}

/// Another text than the one that was signed.
fn changed(people: &People<'_>) -> Outcome {
    let file = people.file("reach");
    let text = fs::read_to_string(&file).unwrap();
    let other = text.replace(
        "COUNT(DISTINCT purchases.person) AS buyers",
        "COUNT(DISTINCT mailing.person) AS buyers",
    );
    assert_ne!(text, other);
    fs::write(&file, other).unwrap();
    let outcome = people.ask("reach", &[]);
    fs::write(&file, text).unwrap();
    outcome
}

/// No service runs: what is wrong is found out before anybody is asked.
#[test]
fn what_cannot_be_proposed_or_approved_is_refused_with_the_reason() {
    let world = agreed();
    let people = People::of(&world);
    let edited = |from: &str, to: &str| {
        assert!(DRAFT.contains(from), "{from}");
        people.propose(&DRAFT.replacen(from, to, 1), "edited")
    };
    for (from, to, code, words) in [
        (
            "epsilon = 1.0",
            "epsilon = 1.1",
            3,
            "a run costs epsilon 1.1, and may cost 1",
        ),
        ("min_people = 20", "min_people = 19", 3, "from 19 people on"),
        (
            "purpose = \"measurement\"",
            "purpose = \"ads\"",
            1,
            "is not for the purpose `ads`",
        ),
        (
            "[queries.reach]",
            "[queries.lift]",
            1,
            "the agreement has a query `lift`",
        ),
        (
            "reads = [\"customers.person\", ",
            "reads = [",
            3,
            "query `reach` was refused",
        ),
        ("COUNT(DISTINCT customers.person)", "COUNT(*)", 0, ""),
        ("epsilon = 1.0", "epsilon = ", 1, "line"),
    ] {
        if code == 0 {
            continue;
        }
        says(&edited(from, to), code, words);
        assert!(!Path::new(&people.file("edited")).exists(), "{to}");
    }
    says(&people.propose(DRAFT, "reach"), 0, "");
    says(&people.propose(DRAFT, "reach"), 1, "nothing was proposed");
    let draft = world.path("draft.toml");
    let other = [
        "--as",
        "mailer/ana",
        "--key",
        &world.path("shop/signing_key"),
    ];
    let all = [
        &["query", "propose", &draft, "--agreement", &people.agreement],
        &other[..],
    ];
    says(
        &people.run(&all.concat()),
        3,
        "the key given is not that of `mailer/ana`",
    );

    // Not the analyst's, not this text, not this owner's data, not this version.
    let (file, signature) = (
        people.file("reach"),
        format!("{}.sig", people.file("reach")),
    );
    let good = fs::read(&signature).unwrap();
    fs::remove_file(&signature).unwrap();
    says(
        &people.approve("shop", "reach", &["--yes"]),
        3,
        "is not signed by `mailer/ana`",
    );
    fs::write(&signature, "no signature").unwrap();
    says(
        &people.approve("shop", "reach", &["--yes"]),
        1,
        "is not an SSH signature",
    );
    fs::write(&signature, &good).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("min_people = 20", "min_people = 21")).unwrap();
    says(
        &people.approve("shop", "reach", &["--yes"]),
        3,
        "is not signed by `mailer/ana`",
    );
    fs::write(&file, text.replace("agreement = \"", "agreement = \"00")).unwrap();
    says(
        &people.approve("shop", "reach", &["--yes"]),
        1,
        "is not a valid proposal",
    );
    fs::write(&file, &text).unwrap();
    let alone = DRAFT
        .replace(
            "\"mailing.person\", \"mailing.mailed\"",
            "\"purchases.day\"",
        )
        .replace(
            "CASE WHEN mailing.mailed THEN 'mailed' ELSE 'not mailed' END",
            "CASE WHEN purchases.day < DATE '2026-04-15' THEN 'mailed' ELSE 'not mailed' END",
        )
        .replace(
            "JOIN mailing ON mailing.person = customers.person\nLEFT ",
            "",
        )
        .replace(", mailing = 1", "");
    says(&people.propose(&alone, "alone"), 0, "");
    says(
        &people.approve("mailer", "alone", &["--yes"]),
        3,
        "it reads no data of `mailer`",
    );
    says(&people.approve("shop", "alone", &["--yes"]), 0, "");
    says(
        &people.run(&[
            "query",
            "approve",
            "/nowhere.proposal",
            "--party",
            &world.path("shop"),
        ]),
        1,
        "the proposal was not read",
    );
}

/// What a proposal is, whose signatures lie beside it, and whose are missing.
#[test]
fn a_proposal_is_verified_by_the_signatures_beside_it() {
    let world = agreed();
    let people = People::of(&world);
    says(&people.propose(DRAFT, "reach"), 0, "");
    let file = people.file("reach");
    let under = ["--agreement", &people.agreement];
    let verify = |more: &[&str]| people.run(&[&["verify", &file], more].concat());
    let stands = |approved: &str, missing: &str| {
        let outcome = verify(&under);
        says(&outcome, 0, "");
        assert_eq!(outcome.text("/kind"), "proposal");
        assert_eq!(outcome.text("/analyst"), "mailer/ana");
        assert_eq!(outcome.text("/approved_by"), approved);
        assert_eq!(outcome.text("/not_approved_by"), missing);
    };
    says(&verify(&[]), 2, "which agreement");
    let csv = world.path("reach.csv");
    says(
        &verify(&[&under[..], &["--csv", &csv]].concat()),
        2,
        "holds no answer",
    );
    stands("[]", r#"["mailer","shop"]"#);
    says(&people.approve("shop", "reach", &["--yes"]), 0, "");
    stands(r#"["shop"]"#, r#"["mailer"]"#);
    says(&people.approve("mailer", "reach", &["--yes"]), 0, "");
    stands(r#"["mailer","shop"]"#, "[]");

    // An approval by another key, or of another text, is none.
    let shops = format!("{file}.shop.sig");
    let good = fs::read(&shops).unwrap();
    fs::copy(format!("{file}.mailer.sig"), &shops).unwrap();
    says(&verify(&under), 1, "is no approval of this text by `shop`");
    fs::copy(format!("{file}.sig"), &shops).unwrap();
    says(&verify(&under), 1, "is no approval of this text by `shop`");
    fs::write(&shops, good).unwrap();
    let signature = fs::read(format!("{file}.sig")).unwrap();
    fs::copy(format!("{file}.shop.sig"), format!("{file}.sig")).unwrap();
    says(&verify(&under), 3, "is not signed by `mailer/ana`");
    fs::remove_file(format!("{file}.sig")).unwrap();
    says(&verify(&under), 3, "is not signed by `mailer/ana`");
    fs::write(format!("{file}.sig"), signature).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}# incamera-agreement/1\n")).unwrap();
    says(&verify(&under), 3, "is not signed by `mailer/ana`");
    fs::write(&file, text).unwrap();
    stands(r#"["mailer","shop"]"#, "[]");
}

/// The agreement has no section for it: nothing is proposed.
#[test]
fn without_the_section_nothing_is_proposed() {
    let world = World::agreed();
    let people = People::of(&world);
    says(
        &people.propose(DRAFT, "reach"),
        3,
        "lets nobody propose queries",
    );
}

/// The words come before the question, also for people.
#[test]
fn who_approves_reads_what_it_asks_costs_and_reveals() {
    let world = agreed();
    let people = People::of(&world);
    says(&people.propose(DRAFT, "reach"), 0, "");
    let (file, shop) = (people.file("reach"), world.path("shop"));
    let said = help::run(&["query", "approve", &file, "--party", &shop]);
    assert_eq!(said.status.code(), Some(2));
    let text = help::stdout(&said);
    for words in [
        "Proposal reach, under agreement spring-campaign version 1",
        "proposed by mailer/ana",
        "COUNT(DISTINCT purchases.person) AS buyers",
        "What it costs, and how good the answer will be",
        "a room as it comes may use 4096 MiB: it has enough",
        "What it reveals at worst",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!Path::new(&format!("{file}.shop.sig")).exists());
}
