//! Questions, answers, and others who are not there.

use std::path::PathBuf;
use std::process::Command;

use incamera_seal::Consents;
use incamera_testkit::stage::Outcome;

use super::{
    Case, answer, charges, contents, forget, match_shop, query_with, refused, run, seal, unspoken,
    with_file, without_service,
};
use crate::world::{AGREEMENT, PROGRAM, WINDOW, World};

pub const CASES: &[Case] = &[
    ("a question that was not agreed", question_not_agreed),
    ("a wrong analyst", wrong_analyst),
    ("a changed release", changed_release),
    ("a peer that does not come", absent_peer),
    ("too many matching runs", too_many_runs),
    ("a party that is not there", absent_party),
    ("consents that changed", changed_consents),
    ("two machines that seal", two_machines),
    ("a port that is taken", taken_port),
    ("all is well afterwards", all_is_well),
];

fn question_not_agreed(world: &World) {
    let (ana, before) = ("mailer/ana", charges(world));
    let asked = |words: &[&str]| query_with(world, &[&["--as", ana], words].concat());
    let [from, until] = WINDOW;
    refused(
        &asked(&["gift", from, until]),
        2,
        &["no query `gift`", "`lift`"],
    );
    refused(
        &asked(&["lift", from, until, "day=2026-04-01"]),
        2,
        &["no parameter `day`", "`from`"],
    );
    refused(
        &asked(&["lift", from]),
        2,
        &["`until` is missing", "until=VALUE", "date"],
    );
    refused(
        &asked(&["lift", from, "until"]),
        2,
        &["is no parameter", "NAME=VALUE"],
    );
    let outcome = asked(&["lift", from, "until=31.5.2026-7731"]);
    refused(&outcome, 2, &["`until` has no valid value", "not a date"]);
    unspoken(world, &outcome, b"7731");
    let outcome = asked(&["lift", from, until, "--purpose", "ads"]);
    refused(
        &outcome,
        3,
        &[
            "serves the purpose `measurement` and no other",
            "leave `--purpose` out",
        ],
    );
    let explained = run(
        world,
        &[
            "query",
            "explain",
            "lift",
            "--agreement",
            &world.path(&format!("shop/agreements/{AGREEMENT}.toml")),
            from,
        ],
    );
    refused(&explained, 2, &["`until` is missing"]);
    assert_eq!(
        charges(world),
        before,
        "a question that was not agreed was charged"
    );
}

fn wrong_analyst(world: &World) {
    let before = charges(world);
    let [from, until] = WINDOW;
    let other = query_with(world, &["lift", from, until, "--as", "mailer/eve"]);
    refused(
        &other,
        3,
        &["knows no such analyst", "to name eve in a new version"],
    );
    let stranger = world.path("shop/signing_key");
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let run_as = |key: &str| {
        run(
            world,
            &[
                "query",
                "run",
                "lift",
                "--agreement",
                &file,
                "--as",
                "mailer/ana",
                "--key",
                key,
                "--yes",
                from,
                until,
            ],
        )
    };
    // Found out at home, before anybody is dialled.
    without_service(world, "room", || {
        refused(
            &run_as(&stranger),
            3,
            &[
                "not that of `mailer/ana`",
                "signature",
                "use the key that the agreement names",
            ],
        );
    });
    refused(
        &run_as(&world.path("absent")),
        1,
        &["absent", "was not read", "private key"],
    );
    refused(
        &run_as(&world.path("data/mailing.csv")),
        1,
        &["no OpenSSH private key", "ssh-keygen"],
    );
    assert_eq!(charges(world), before);
}

/// A receipt vouches for every byte of the answer.
fn changed_release(world: &World) {
    answer(&world.query(&[]));
    let (release, agreement) = (
        world.path("answer.release"),
        world.path(&format!("shop/agreements/{AGREEMENT}.toml")),
    );
    let verify = || run(world, &["verify", &release, "--agreement", &agreement]);
    assert_eq!(verify().code, 0);
    let bytes = std::fs::read(&release).unwrap();
    let (mut held, step) = (Vec::new(), (bytes.len() / 25).max(1));
    for at in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x01;
        with_file(&release, Some(&changed), || {
            let outcome = verify();
            if outcome.code == 0 {
                held.push(at);
            }
        });
    }
    assert!(
        held.is_empty(),
        "changed bytes {held:?} of {} were not noticed",
        bytes.len()
    );
    with_file(&release, Some(&bytes[..bytes.len() / 2]), || {
        assert_ne!(verify().code, 0)
    });
    let mut changed = bytes.clone();
    let last = bytes.len() - 1;
    changed[last] ^= 0x01;
    with_file(&release, Some(&changed), || {
        let says = [
            "the receipt does not hold",
            "ask whoever sent the file for it again",
        ];
        refused(&verify(), 1, &says);
    });
    refused(
        &run(world, &["verify", &release]),
        2,
        &["which agreement", "--agreement"],
    );
}

fn absent_peer(world: &World) {
    for (party, file) in [("shop", "customers"), ("mailer", "mailing")] {
        let data = world.path(&format!("data/{file}.csv"));
        let folder = world.path(party);
        let crosswalks = PathBuf::from(world.path(&format!("{party}/crosswalks")));
        let before = contents(&crosswalks);
        let outcome = run(
            world,
            &[
                "match", "run", "--party", &folder, "--data", &data, "--wait", "1",
            ],
        );
        refused(
            &outcome,
            1,
            &["did not come to match", "within 1 s", "--wait"],
        );
        assert!(
            before == contents(&crosswalks),
            "the crosswalk of {party} was changed"
        );
    }
}

/// Only runs for which both came are counted.
fn too_many_runs(world: &World) {
    world.agree("few-runs", |text| {
        text.replacen("max_runs = 12", "max_runs = 1", 1)
    });
    let side = |party: &str, file: &str, wait: &str| {
        let (folder, data) = (world.path(party), world.path(&format!("data/{file}.csv")));
        let agreement = world.path(&format!("{party}/agreements/few-runs.toml"));
        run(
            world,
            &[
                "match",
                "run",
                "--party",
                &folder,
                "--agreement",
                &agreement,
                "--data",
                &data,
                "--wait",
                wait,
            ],
        )
    };
    for _ in 0..2 {
        refused(
            &side("mailer", "mailing", "0"),
            1,
            &["did not come to match"],
        );
    }
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| side("mailer", "mailing", "60"));
        let ours = side("shop", "customers", "60");
        for outcome in [ours, theirs.join().unwrap()] {
            assert_eq!(outcome.code, 0, "{}", outcome.failure());
        }
    });
    for (party, file) in [("shop", "customers"), ("mailer", "mailing")] {
        let outcome = side(party, file, "0");
        refused(
            &outcome,
            3,
            &["no more matching runs", "allows 1 runs", "`max_runs`"],
        );
    }
    forget(world, "few-runs");
}

fn absent_party(world: &World) {
    let customers = world.path("data/customers.csv");
    let before = charges(world);
    // A window that was not asked for yet: it would be charged.
    let window = ["from=2026-03-02", "until=2026-05-30"];
    without_service(world, "shop", || {
        refused(&world.query(&window), 1, &["`shop`"]);
        assert_eq!(
            world.spent("mailer"),
            before.1,
            "the mailer was charged for no answer"
        );
        let status = run(world, &["status", "--party", &world.path("shop")]);
        refused(&status, 1, &["not reached", "`incamera party serve`"]);
        let pushed = run(world, &["data", "push", "--party", &world.path("shop")]);
        refused(
            &pushed,
            1,
            &["`shop` was not reached", "`incamera party serve`"],
        );
    });
    without_service(world, "mailer", || {
        refused(&world.query(&window), 1, &["`mailer`"]);
        assert_eq!(
            world.spent("shop"),
            before.0,
            "the shop was charged for no answer"
        );
    });
    // The shop's people meet the mailer's at the shop, whose name comes later.
    without_service(world, "shop", || {
        let outcome = match_shop(world, &customers);
        refused(
            &outcome,
            1,
            &[
                "`shop` was not reached",
                "is the service running",
                "`incamera party serve`",
            ],
        );
    });
    without_service(world, "room", || {
        for outcome in [
            world.query(&[]),
            run(world, &["data", "push", "--party", &world.path("shop")]),
        ] {
            refused(
                &outcome,
                1,
                &[
                    "the room was not reached",
                    "is the service running",
                    "`incamera room serve`",
                ],
            );
        }
    });
    assert_eq!(charges(world), before);
    answer(&world.query(&window));
}

/// Consents in the register may have changed: what was sealed by it before opens no more until
/// it is sealed again, and the owner is told which that is.
fn changed_consents(world: &World) {
    answer(&world.query(&[]));
    let before = charges(world);
    let (path, old) = kept_consents(world);
    let sealed = world.seal_one("shop", "customers");
    assert_eq!(sealed.text("/seal_again"), "[\"purchases\"]");
    with_file(path.to_str().unwrap(), Some(&old), || {
        let says = [
            "not those of the version of `customers`",
            "seal `customers` first",
        ];
        refused(&seal_purchases(world), 1, &says);
    });
    world.push_one("shop");
    refused(
        &world.query(&[]),
        3,
        &["consents", "`purchases`", "changed", "seals", "pushes"],
    );
    assert_eq!(charges(world), before, "a refusal was charged");
    let sealed = world.seal_one("shop", "purchases");
    assert_eq!(sealed.text("/seal_again"), "[]");
    world.push_one("shop");
    answer(&world.query(&[]));
    other_register(world);
}

/// The file of the shop's consents.
fn kept_consents(world: &World) -> (PathBuf, Vec<u8>) {
    let folder = PathBuf::from(world.path("shop/consents"));
    let parquet = |path: &PathBuf| path.extension().is_some_and(|end| end == "parquet");
    let mut files = contents(&folder).into_iter();
    files.find(|(path, _)| parquet(path)).unwrap()
}

fn seal_purchases(world: &World) -> Outcome {
    let file = world.path("data/purchases.csv");
    seal(world, "shop", "purchases", &file)
}

/// Consents kept of another data set than the agreement's register are not believed.
fn other_register(world: &World) {
    let (path, bytes) = kept_consents(world);
    let kept = Consents::read(&path).unwrap();
    let other = "customers_of_old".parse().unwrap();
    let (id, epoch, register) = (*kept.agreement_id(), kept.epoch(), kept.register());
    let other = Consents::new(id, epoch, other, register, []);
    other.write(&path).unwrap();
    let outcome = seal_purchases(world);
    std::fs::write(&path, bytes).unwrap();
    refused(
        &outcome,
        1,
        &["customers_of_old", "`customers`", "seal `customers` first"],
    );
}

/// Two machines of the shop seal the same data set, each from version N: only one of them is
/// version N + 1, and the other's next, N + 2, does not take its place unsaid.
fn two_machines(world: &World) {
    let sealed = PathBuf::from(world.path("shop/sealed"));
    let other_machine = contents(&sealed);
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    std::fs::remove_dir_all(&sealed).unwrap();
    for (path, bytes) in &other_machine {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let push = || run(world, &["data", "push", "--party", &world.path("shop")]);
    // A service that runs would say which version was pushed.
    let seal_alone = || {
        without_service(world, "shop", || {
            world.seal_one("shop", "purchases");
        });
    };
    seal_alone();
    refused(&push(), 3, &["`purchases`", "is known already", "seal"]);
    seal_alone();
    refused(
        &push(),
        3,
        &["`purchases`", "two machines", "from the other machine"],
    );
    // The other machine is lost: once more, and it is said that this takes its place.
    seal_alone();
    world.push_one("shop");
    answer(&world.query(&[]));
}

/// A service says that it listens once it does.
fn taken_port(world: &World) {
    let (party, room) = (world.path("shop"), world.path("room/room.toml"));
    let cannot = |serve: &[&str]| {
        let refused = Command::new(PROGRAM).args(serve).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot listen"), "{said}");
        assert!(said.contains("hint: stop the other process"), "{said}");
        assert!(!said.contains("listens on"), "{said}");
    };
    // A second service on the same folder is another matter: some other process has the port.
    without_service(world, "shop", || {
        let _taken = std::net::TcpListener::bind(world.shop.listens).unwrap();
        cannot(&["party", "serve", "--party", &party]);
    });
    cannot(&["room", "serve", "--config", &room]);
    for name in ["shop", "room"] {
        let log = std::fs::read_to_string(world.root().join(format!("{name}.log"))).unwrap();
        assert!(log.contains("listens on"), "{name} does not say so");
    }
}

/// After all of that: nothing was lost, and the runs that failed did not count as runs.
fn all_is_well(world: &World) {
    let first = answer(&world.query(&[]));
    let before = charges(world);
    assert_eq!(answer(&world.query(&[])), first);
    assert_eq!(charges(world), before);
    world.match_people();
    world.seal();
    world.push();
    answer(&world.query(&[]));
    assert_ne!(charges(world), before, "other data are another question");
}
