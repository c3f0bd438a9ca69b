//! The room's disk, agreement and program are the operator's to change.

use std::path::{Path, PathBuf};

use super::{Case, answer, charges, contents, forget, refused, run};
use crate::world::{AGREEMENT, Data, PROGRAM, World};

pub const CASES: &[Case] = &[
    ("a changed part", changed_part),
    ("a part that is gone", lost_part),
    ("a changed manifest", changed_manifest),
    ("an emptied disk", emptied_disk),
    ("an old version", old_version),
    (
        "a room under another agreement",
        room_under_another_agreement,
    ),
    ("another program in the room", other_measurement),
    ("a room with too little memory", too_small),
];

fn parts(world: &World, dataset: &str) -> Vec<PathBuf> {
    let all = contents(Path::new(
        &world.path(&format!("room/storage/{dataset}/parts")),
    ));
    all.into_iter().map(|(path, _)| path).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

/// `harm` is noticed and named, costs nothing, and one push of the owner mends it: the repeat
/// is free and the answer the same.
fn harmed_then_mended(world: &World, owner: &str, code: i32, says: &[&str], harm: impl FnOnce()) {
    let first = answer(&world.query(&[]));
    let before = charges(world);
    harm();
    refused(&world.query(&[]), code, says);
    assert_eq!(charges(world), before, "a refusal was charged");
    world.push_one(owner);
    assert_eq!(
        answer(&world.query(&[])),
        first,
        "another answer after mending"
    );
    assert_eq!(charges(world), before, "the repeat was charged");
}

fn changed_part(world: &World) {
    for (owner, dataset, at) in [("shop", "purchases", 700), ("mailer", "mailing", 5)] {
        let part = parts(world, dataset).pop().unwrap();
        let id = part.file_stem().unwrap().to_str().unwrap().to_owned();
        let says = [dataset, id.as_str(), "changed or cut off", "data push"];
        harmed_then_mended(world, owner, 1, &says, || flip(&part, at));
    }
}

fn lost_part(world: &World) {
    let part = parts(world, "customers").pop().unwrap();
    let id = part.file_stem().unwrap().to_str().unwrap().to_owned();
    let says = ["customers", id.as_str(), "data push"];
    harmed_then_mended(world, "shop", 1, &says, || {
        std::fs::remove_file(&part).unwrap()
    });
}

fn changed_manifest(world: &World) {
    let path = PathBuf::from(world.path("room/storage/purchases/manifest"));
    let length = std::fs::read(&path).unwrap().len();
    for at in [3, length / 2, length - 1] {
        let says = ["purchases", "not its owner's", "push"];
        harmed_then_mended(world, "shop", 1, &says, || flip(&path, at));
    }
    let says = ["purchases", "push"];
    harmed_then_mended(world, "shop", 1, &says, || {
        std::fs::write(&path, b"").unwrap()
    });
}

fn emptied_disk(world: &World) {
    let first = answer(&world.query(&[]));
    let before = charges(world);
    std::fs::remove_dir_all(world.path("room/storage")).unwrap();
    refused(
        &world.query(&[]),
        1,
        &["the room has no data set", "`incamera data push`"],
    );
    world.push();
    assert_eq!(answer(&world.query(&[])), first);
    assert_eq!(charges(world), before);
}

/// The operator puts an older version back: the owner's broker knows a newer one.
fn old_version(world: &World) {
    let storage = PathBuf::from(world.path("room/storage/purchases"));
    let old = contents(&storage);
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    answer(&world.query(&[]));
    harmed_then_mended(world, "shop", 3, &["purchases", "newest", "push"], || {
        std::fs::remove_dir_all(&storage).unwrap();
        for (path, bytes) in &old {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    });
}

fn room_under_another_agreement(world: &World) {
    let before = charges(world);
    world.agree("other-campaign", |text| text);
    world.stage.stop("room");
    world.write_room("other-campaign");
    world.start_room();
    let mailer = world.path("mailer");
    let file = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    for outcome in [
        world.query(&[]),
        run(
            world,
            &["data", "push", "--party", &mailer, "--agreement", &file],
        ),
    ] {
        refused(
            &outcome,
            4,
            &[
                "evidence does not hold",
                "another agreement",
                "newest version",
            ],
        );
    }
    // Data sealed under one agreement are not taken under another.
    let sealed = PathBuf::from(world.path("mailer/sealed"));
    let mut entries = std::fs::read_dir(&sealed).unwrap();
    let first = entries.next().unwrap().unwrap().path();
    let id = run(
        world,
        &[
            "agreement",
            "check",
            &world.path("mailer/agreements/other-campaign.toml"),
        ],
    )
    .text("/id");
    let other = sealed.join(&id[..16]);
    std::fs::rename(&first, &other).unwrap();
    let file = world.path("mailer/agreements/other-campaign.toml");
    let outcome = run(
        world,
        &["data", "push", "--party", &mailer, "--agreement", &file],
    );
    std::fs::rename(&other, &first).unwrap();
    refused(&outcome, 3, &["agreement", "seal"]);
    world.stage.stop("room");
    world.write_room(AGREEMENT);
    world.start_room();
    forget(world, "other-campaign");
    assert_eq!(charges(world), before);
    answer(&world.query(&[]));
}

/// The same program with one byte more is another program: its evidence is not accepted.
fn other_measurement(world: &World) {
    let before = charges(world);
    let changed = world.root().join("changed-program");
    let mut bytes = std::fs::read(PROGRAM).unwrap();
    bytes.push(0);
    std::fs::write(&changed, bytes).unwrap();
    std::fs::set_permissions(&changed, std::fs::metadata(PROGRAM).unwrap().permissions()).unwrap();
    world.stage.stop("room");
    let stage = incamera_testkit::stage::Stage::new(changed);
    let (config, log) = (world.path("room/room.toml"), world.root().join("room.log"));
    stage
        .start(
            "room",
            &["room", "serve", "--config", &config],
            &[],
            &log,
            world.room.listens,
        )
        .unwrap();
    for outcome in [
        world.query(&[]),
        run(world, &["data", "push", "--party", &world.path("shop")]),
    ] {
        refused(
            &outcome,
            4,
            &["evidence does not hold", "`incamera room measure`"],
        );
    }
    stage.stop_all();
    world.start_room();
    assert_eq!(charges(world), before);
    answer(&world.query(&[]));
}

/// Said before an owner is asked, from what the agreement and the manifests state.
fn too_small(world: &World) {
    let before = charges(world);
    world.configure("room/room.toml", "memory_bytes = 1_000_000");
    world.stage.stop("room");
    world.start_room();
    let says = ["may need", "MiB", "`memory_bytes`", "nothing was spent"];
    let unspent = ["from=2026-03-02", "until=2026-05-30"];
    for more in [&unspent[..], &[]] {
        refused(&world.query(more), 3, &says);
    }
    assert_eq!(charges(world), before);
    world.stage.stop("room");
    world.write_room(AGREEMENT);
    world.start_room();
    answer(&world.query(&[]));
}

/// Its owner could otherwise tell by the time that a query takes how often a row of its own is
/// met.
#[test]
fn i7_public_rows_beyond_those_agreed_cost_nothing() {
    let world = World::agreed_as(|text| {
        let calendar = "[datasets.calendar]\nowner = \"mailer\"\npublic = true\n[datasets.calendar.columns]\nday = { type = \"date\" }\n\n[datasets.mailing]\n";
        text.replacen("[datasets.mailing]\n", calendar, 1)
            .replacen(
                "\"mailing.mailed\",",
                "\"mailing.mailed\", \"calendar.day\",",
                1,
            )
            .replacen("mailing = 1 }", "mailing = 1, calendar = 2 }", 1)
            .replacen(
                "GROUP BY 1",
                "LEFT JOIN calendar ON calendar.day = purchases.day\nGROUP BY 1",
                1,
            )
    });
    world.prepare(&Data::small());
    let calendar = |days: &str| {
        std::fs::write(world.path("data/calendar.csv"), format!("day\n{days}")).unwrap();
        world.seal_one("mailer", "calendar");
        world.push_one("mailer");
    };
    let before = charges(&world);
    for (days, says) in [
        ("2026-04-01\n2026-04-01\n", "several rows of the same `day`"),
        (
            "2026-04-01\n2026-04-02\n2026-04-03\n",
            "more than the 2 rows",
        ),
    ] {
        calendar(days);
        refused(
            &world.query(&[]),
            3,
            &["`calendar`", says, "nothing was spent"],
        );
    }
    assert_eq!(charges(&world), before);
    calendar("2026-04-01\n2026-04-02\n");
    answer(&world.query(&[]));
    assert_ne!(charges(&world), before);
}
