//! Agreements: changed, unsigned, over, superseded.

use std::path::PathBuf;

use incamera_testkit::stage::Outcome;
use incamera_types::AgreementDigest;

use super::{
    Case, answer, charges, contents, forget, refused, run, with_edit, with_file, without_service,
};
use crate::world::{AGREEMENT, World};

/// A change of an agreement's text.
type Edit = fn(&str) -> String;

pub const CASES: &[Case] = &[
    ("a changed agreement", changed_agreement),
    ("an agreement that cannot be read", unreadable_agreement),
    ("a missing signature", missing_signature),
    ("an expired agreement", expired_agreement),
    ("a draft that nobody signed", unsigned_draft),
    ("an agreement that speaks for us", foreign_agreement),
    ("an agreement that allows nothing", useless_agreement),
    ("a starting file that cannot be made", no_starting_file),
];

/// What cannot be undone in a world.
pub const LAST: &[Case] = &[("a version that is no longer in force", newer_version)];

/// Another agreement digest than the one that was signed.
fn changed_agreement(world: &World) {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let edits: [Edit; 2] = [
        |text| format!("{text}\n# one more line\n"),
        |text| text.replacen("epsilon = 1.0 ", "epsilon = 9.0 ", 1),
    ];
    for edit in edits {
        let before = charges(world);
        with_edit(&file, edit, || {
            for outcome in in_force(world) {
                refused(
                    &outcome,
                    3,
                    &[
                        "not in force",
                        "not over this file",
                        "`incamera agreement sign`",
                    ],
                );
            }
        });
        assert_eq!(charges(world), before);
    }
}

/// `check` and `show` say that an agreement is over, or that no run fits its budget.
fn useless_agreement(world: &World) {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let text = std::fs::read_to_string(&file).unwrap();
    let last_day = text.lines().find(|line| line.starts_with("expires"));
    let last_day = last_day.unwrap().to_owned();
    let over = |text: &str| text.replacen(&last_day, "expires = 2026-01-01", 1);
    let dear = |text: &str| text.replacen("epsilon = 1.0 ", "epsilon = 12.0 ", 1);
    let edits: [(&dyn Fn(&str) -> String, &str); 2] = [
        (&over, "EXPIRED: it ended with 2026-01-01 (UTC)"),
        (&dear, "NO RUN FITS: a run of lift costs mailer epsilon 12"),
    ];
    let said = || {
        let checked = run(world, &["agreement", "check", &file]);
        let shown = run(world, &["agreement", "show", &file]);
        assert_eq!((checked.code, shown.code), (0, 0), "{}", checked.failure());
        let text = shown.text("/text");
        let head = text.split("let chosen questions").next().unwrap();
        let head = head.split_whitespace().collect::<Vec<_>>().join(" ");
        [checked.text("/warnings"), checked.errors, head]
    };
    for (edit, says) in edits {
        assert!(said().iter().all(|said| !said.contains(says)), "{says}");
        with_edit(&file, edit, || {
            for said in said() {
                assert!(said.contains(says), "{says}: {said}");
            }
        });
    }
}

/// What `agreement new` is given, and what it leaves to fill in.
fn no_starting_file(world: &World) {
    let new = |more: &[&str]| {
        run(
            world,
            &[&["agreement", "new", "--for", "ad-measurement"], more].concat(),
        )
    };
    refused(
        &new(&["--with", "nothere"]),
        1,
        &["`nothere` was not read", "`incamera init`"],
    );
    let says = ["`foo` is no URL of a room", "https://room.example:7443"];
    refused(&new(&["--room-url", "foo"]), 2, &says);
    refused(
        &new(&["--out", &world.path("no/folder/a.toml")]),
        1,
        &["can be written"],
    );
    // What says FILL IN is counted, and the file's own advice about it is not.
    let (shop, mailer) = (world.path("shop"), world.path("mailer"));
    let room = [
        "--room-url",
        "https://127.0.0.1:9",
        "--insecure-simulated-tee",
    ];
    let blanks = |file: &str, parties: &[&str]| {
        let out = world.path(file);
        let made = new(&[parties, &room, &["--out", &out]].concat());
        assert_eq!(made.code, 0, "{}", made.failure());
        let text = std::fs::read_to_string(&out).unwrap();
        let marked = text
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains("FILL IN"));
        assert_eq!(made.number("/blanks"), marked.count() as u64, "{text}");
        made.number("/blanks")
    };
    let both = ["--with", shop.as_str(), "--with", mailer.as_str()];
    assert_eq!(blanks("whole.toml", &both), 0);
    assert!(blanks("half.toml", &both[2..]) > 0);
    // Nobody takes another's place unseen.
    let (press, alpha) = (world.path("press"), world.path("alpha"));
    world.done(&["init", &press, "--name", "press"]);
    world.done(&["init", &alpha, "--name", "alpha", "--provider"]);
    let twice = new(&["--with", &shop, "--with", &mailer, "--with", &shop]);
    refused(
        &twice,
        2,
        &["`shop` is given twice", "`incamera init --name`"],
    );
    let third = new(&["--with", &shop, "--with", &mailer, "--with", &press]);
    refused(
        &third,
        2,
        &["`shop` and `press` would both be the shop", "--analyst"],
    );
    // A provider is no owner, declares nobody, and ids are matched through it.
    let public = std::fs::read_to_string(world.path("alpha/public.toml")).unwrap();
    assert!(
        !public.contains("people") && public.contains("provider = true"),
        "{public}"
    );
    let with_provider = [&both[..], &["--with", &alpha]].concat();
    assert_eq!(blanks("provided.toml", &with_provider), 0);
    let text = std::fs::read_to_string(world.path("provided.toml")).unwrap();
    for words in [
        "method = \"provider\"",
        "providers = [\"alpha\"]",
        "threshold = 1 ",
        "owner = \"shop\"",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(
        run(world, &["agreement", "check", &world.path("provided.toml")]).code,
        0
    );
    let people = [
        "init",
        &world.path("beta"),
        "--name",
        "beta",
        "--provider",
        "--people",
        "9",
    ];
    refused(&run(world, &people), 2, &["cannot be used with"]);
}

/// Everything that needs an agreement in force, as the mailer's people run it.
fn in_force(world: &World) -> Vec<Outcome> {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let (mailer, mailing) = (world.path("mailer"), world.path("data/mailing.csv"));
    vec![
        world.query(&[]),
        run(world, &["data", "push", "--party", &mailer]),
        run(
            world,
            &[
                "match", "run", "--party", &mailer, "--data", &mailing, "--wait", "1",
            ],
        ),
        run(world, &["verify", &file]),
    ]
}

/// Once all have signed version 2, version 1 opens nothing more; what was sealed and spent
/// under version 1 lives on.
fn newer_version(world: &World) {
    let first = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    world.second_at_parties(|text| text.replacen("min_people = 50", "min_people = 60", 1));
    let second = world.path("mailer/agreements/second.toml");
    let changes = run(world, &["agreement", "diff", &first, &second]);
    let changes = changes.text("/changes");
    assert!(
        changes.contains("version 2 follows version 1") && changes.contains("60"),
        "{changes}"
    );
    let before = charges(world);
    let outcome = world.query(&[]);
    refused(
        &outcome,
        3,
        &[
            "version 2 of this agreement is in force",
            "use the newest version: where version 1 is still the newest",
            "put version 2 and its .sig files into `agreements/`",
        ],
    );
    assert_eq!(charges(world), before);
    without_service(world, "room", || {
        world.write_room("second");
        world.start_room();
        answer(&world.query_under("second", &[]));
        world.stage.stop("room");
        world.write_room(AGREEMENT);
    });
    assert!(
        charges(world) > before,
        "the new version's question was not charged beside the old"
    );
    unfollowed(world, &first, &second);
    // The newer version goes, at all parties: the older does not come back.
    forget(world, "second");
    let before = charges(world);
    for _ in 0..2 {
        refused(
            &world.query(&[]),
            3,
            &[
                "version 2 of this agreement is in force",
                "missing or damaged",
                "put it back",
            ],
        );
        for party in ["shop", "mailer"] {
            world.stage.stop(party);
            world.start_party(party, &[]);
        }
    }
    assert_eq!(charges(world), before);
}

/// A version counts where the one before it is known.
fn unfollowed(world: &World, first: &str, second: &str) {
    let mailer = world.path("mailer");
    with_file(first, None, || {
        let arguments = ["data", "push", "--party", &mailer, "--agreement", second];
        refused(
            &run(world, &arguments),
            3,
            &[
                "does not count for `mailer`",
                "the version before it",
                ".sig files",
            ],
        );
    });
}

/// The shop writes an agreement that gives the mailer a key of the shop's, and signs for it.
/// All signatures hold; the mailer's people send nothing under it.
fn foreign_agreement(world: &World) {
    let puppet = world.path("puppet");
    let (listens, url) = (
        world.mailer.listens.to_string(),
        format!("https://{}", world.mailer.public),
    );
    world.done(&[
        "init",
        &puppet,
        "--name",
        "mailer",
        "--listen",
        &listens,
        "--url",
        &url,
        "--people",
        "240",
        "--analyst",
        "ana",
    ]);
    let line = |folder: &str| {
        let text = std::fs::read_to_string(world.path(&format!("{folder}/public.toml"))).unwrap();
        let line = text.lines().find(|line| line.starts_with("service"));
        line.unwrap().to_owned()
    };
    let (theirs, ours) = (line("puppet"), line("mailer"));
    let public = world.path("puppet/public.toml");
    for service in [theirs.clone(), ours] {
        let text = std::fs::read_to_string(&public).unwrap();
        std::fs::write(&public, text.replacen(&theirs, &service, 1)).unwrap();
        let file = forged(world, &puppet);
        let mailer = world.path("mailer");
        let mailing = world.path("data/mailing.csv");
        for verb in [&["data", "push"][..], &["match", "run", "--data", &mailing]] {
            let under = ["--party", &mailer, "--agreement", &file];
            refused(
                &run(world, &[verb, &under].concat()),
                3,
                &[
                    "does not count for `mailer`",
                    "other keys than its own",
                    "nothing was done",
                ],
            );
        }
        std::fs::remove_file(&file).unwrap();
    }
}

/// An agreement of the shop and a puppet, signed by both, in a folder of nobody's.
fn forged(world: &World, puppet: &str) -> String {
    let (shop, file) = (world.path("shop"), world.path("forged.toml"));
    let url = format!("https://{}", world.room.public);
    world.done(&[
        "agreement",
        "new",
        "--for",
        "ad-measurement",
        "--with",
        &shop,
        "--with",
        puppet,
        "--room-url",
        &url,
        "--insecure-simulated-tee",
        "--out",
        &file,
    ]);
    for party in [shop.as_str(), puppet] {
        world.done(&["agreement", "sign", &file, "--party", party]);
    }
    assert_eq!(run(world, &["verify", &file]).code, 0);
    file
}

fn unreadable_agreement(world: &World) {
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let edits: [(Edit, &str); 3] = [
        (|text| text.replacen("[room]", "[room", 1), "line "),
        (
            |text| text.replacen("min_people", "min_poeple", 1),
            "min_poeple",
        ),
        (
            |text| text.replacen("incamera-agreement/1", "incamera-agreement/9", 1),
            "reads incamera-agreement/1 and not this format",
        ),
    ];
    for (edit, says) in edits {
        with_edit(&file, edit, || {
            for verb in ["check", "show"] {
                let outcome = run(world, &["agreement", verb, &file]);
                refused(
                    &outcome,
                    1,
                    &["is not a valid agreement", "line ", "column ", says],
                );
            }
            refused(&world.query(&[]), 1, &["is not a valid agreement", says]);
        });
    }
}

/// A draft in which the register says nothing of consent would open everybody's rows, and what
/// is sealed by it would fit the agreement that is in force: nothing is sealed by a draft.
fn unsigned_draft(world: &World) {
    let signed = world.path(&format!("shop/agreements/{AGREEMENT}.toml"));
    let text = std::fs::read_to_string(&signed).unwrap();
    let consent = |line: &&str| line.contains("\"purposes\"") && !line.contains("[[");
    let column = text.lines().find(consent).unwrap().to_owned();
    let digest = AgreementDigest::of_file(text.as_bytes());
    let version = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"\n");
    let draft = text.replacen("version = 1\n", &version, 1);
    let draft = draft.replacen(&format!("{column}\n"), "", 1);
    let draft = draft.replacen("rows = { ", "rows = { customers = 1, ", 1);
    let file = world.path("data/draft.toml");
    std::fs::write(&file, draft).unwrap();
    let sealed = PathBuf::from(world.path("shop/sealed"));
    let before = contents(&sealed);
    let (shop, data) = (world.path("shop"), world.path("data/purchases.csv"));
    let outcome = run(
        world,
        &[
            "data",
            "seal",
            "purchases",
            "--party",
            &shop,
            "--data",
            &data,
            "--agreement",
            &file,
        ],
    );
    refused(&outcome, 3, &["not in force", "`incamera agreement sign`"]);
    assert!(before == contents(&sealed), "something was sealed");
}

/// One missing signature opens nothing, wherever it is missing.
fn missing_signature(world: &World) {
    let before = charges(world);
    let ours = world.path(&format!("mailer/agreements/{AGREEMENT}.toml.shop.sig"));
    with_file(&ours, None, || {
        for outcome in in_force(world) {
            refused(
                &outcome,
                3,
                &[
                    "not in force",
                    "no signature of `shop`",
                    "`incamera agreement sign`",
                ],
            );
        }
    });
    with_file(&ours, Some(b"no signature at all"), || {
        for outcome in in_force(world) {
            refused(
                &outcome,
                1,
                &["not in force", "is not an SSH signature", ".sig file"],
            );
        }
    });
    let theirs = world.path(&format!("shop/agreements/{AGREEMENT}.toml.mailer.sig"));
    with_file(&theirs, None, || {
        let outcome = world.query(&[]);
        refused(
            &outcome,
            3,
            &["lacks a valid signature of `mailer`", ".sig files"],
        );
    });
    assert_eq!(charges(world), before, "an unsigned agreement was charged");
    without_service(world, "room", || {
        with_file(
            &world.path(&format!("room/{AGREEMENT}.toml.shop.sig")),
            None,
            || {
                let config = world.path("room/room.toml");
                let outcome = run(world, &["room", "serve", "--config", &config]);
                assert_ne!(outcome.code, 0);
                let text = outcome.failure();
                assert!(text.contains("no signature of `shop`"), "{text}");
            },
        );
    });
}

fn expired_agreement(world: &World) {
    world.agree("over", |text| {
        let day = text
            .lines()
            .find(|line| line.starts_with("expires = "))
            .unwrap()
            .to_owned();
        text.replacen(&day, "expires = 2026-01-31", 1)
    });
    let file = world.path("mailer/agreements/over.toml");
    let (mailer, mailing) = (world.path("mailer"), world.path("data/mailing.csv"));
    let before = charges(world);
    for outcome in [
        world.query_under("over", &[]),
        run(
            world,
            &["data", "push", "--party", &mailer, "--agreement", &file],
        ),
        run(
            world,
            &[
                "match",
                "run",
                "--party",
                &mailer,
                "--agreement",
                &file,
                "--data",
                &mailing,
            ],
        ),
        run(world, &["verify", &file]),
    ] {
        refused(
            &outcome,
            3,
            &[
                "not in force",
                "expired at the end of 2026-01-31",
                "later `expires`",
            ],
        );
    }
    assert_eq!(charges(world), before);
    forget(world, "over");
}
