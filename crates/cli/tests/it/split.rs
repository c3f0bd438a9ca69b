//! `match split`: all rows are read once, and each part is matched from its own file, as it would
//! be from the whole.

use std::fs;
use std::path::Path;

use incamera_testkit::stage::{Outcome, Stage};

use crate::full_disk::cramped_program;
use crate::invariants::support::files_below;
use crate::parts::{PARTS, Rows, good, part_paths, rows, under_second, with_parts};
use crate::world::{Data, World};

/// What `match run` says of rows and of how they were read.
const SAID: [&str; 14] = [
    "id_kind",
    "rules",
    "form",
    "region",
    "partition",
    "rows_of_other_parts",
    "rows",
    "empty",
    "invalid",
    "consent_column",
    "everyone_consented",
    "rows_not_asked_for_consent",
    "without_consent",
    "duplicates",
];

/// The shop's customers with rows of every kind among them.
fn mixed(world: &World) -> String {
    let mut text = Data::small().customers;
    text += "nobody,ads\n,ads\n P3@Mail.example ,ads;measurement\np4@mail.example,\nnew@mail.example,ads\n";
    let path = world.path("data/mixed.csv");
    fs::write(&path, text).unwrap();
    path
}

fn split(world: &World, party: &str, data: &str, out: &str, more: &[&str]) -> Outcome {
    let split = ["match", "split", "--data", data, "--out", out];
    under_second(world, party, &[&split, more].concat())
}

/// One side's run of a part, from a file or from a split.
fn run(world: &World, party: &str, number: u32, from: [&str; 2]) -> Outcome {
    let named = format!("{number}/{PARTS}");
    let part = ["match", "run", "--partition", &named, "--wait", "60"];
    good(under_second(world, party, &[&part[..], &from].concat()))
}

/// Both sides match one part, the mailer from its whole file.
fn match_part(world: &World, number: u32, from: [&str; 2]) -> Outcome {
    let mailing = world.path("data/mailing.csv");
    std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run(world, "mailer", number, ["--data", &mailing]));
        let ours = run(world, "shop", number, from);
        theirs.join().unwrap();
        ours
    })
}

fn of_part(world: &World, number: u32) -> Rows {
    let ending = format!(".p{number}of{PARTS}.parquet");
    let paths = part_paths(world, "shop").into_iter();
    let mut paths = paths.filter(|path| path.display().to_string().ends_with(&ending));
    rows(&paths.next().unwrap())
}

/// Whatever stands in the rows: the crosswalk of each part, and what is said of the rows, are
/// those of a run over the whole file; sealing reads them as ever.
#[test]
fn parts_from_a_split_are_those_of_the_whole_file() {
    let (world, _) = with_parts();
    let (data, out) = (mixed(&world), world.path("split"));
    let done = good(split(&world, "shop", &data, &out, &[]));
    assert_eq!(done.number("/parts"), u64::from(PARTS));
    assert_eq!(
        ["rows", "empty", "invalid"].map(|name| done.number(&format!("/{name}"))),
        [245, 1, 1]
    );
    assert!(done.number("/smallest_part") > 40 && done.number("/largest_part") < 160);
    nothing_in_clear(Path::new(&out));

    let (mut distinct, mut without) = (0, 0);
    for number in 0..PARTS {
        let whole = match_part(&world, number, ["--data", &data]);
        let expected = of_part(&world, number);
        let path = part_paths(&world, "shop").swap_remove(number as usize);
        fs::rename(path, world.path(&format!("whole-{number}"))).unwrap();
        let parted = match_part(&world, number, ["--split", &out]);
        assert!(of_part(&world, number) == expected && !expected.is_empty());
        let said = |outcome: &Outcome| SAID.map(|name| outcome.document[name].clone());
        assert_eq!(said(&parted), said(&whole));
        assert_eq!(
            parted.document["invalid_first"],
            whole.document["invalid_first"]
        );
        assert_eq!(parted.number("/distinct"), whole.number("/distinct"));
        distinct += parted.number("/distinct");
        without += parted.number("/without_consent");
    }
    // p4, who agreed in one row and to nothing in another, is not matched.
    assert_eq!((distinct, without), (240, 1));
    let customers = world.path("data/customers.csv");
    let seal = ["data", "seal", "customers", "--data", &customers];
    good(under_second(&world, "shop", &seal));
}

#[track_caller]
fn nothing_in_clear(folder: &Path) {
    let files = files_below(folder);
    assert_eq!(files.len(), PARTS as usize, "{files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        assert!(bytes.len() > 1000);
        for text in ["mail.example", "customers", "consent"] {
            let found = bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes());
            assert!(!found, "{text} in {}", file.display());
        }
    }
}

#[track_caller]
fn refused(outcome: &Outcome, code: i32, words: &str) {
    assert_eq!(outcome.code, code, "{}", outcome.document);
    let text = outcome.document.to_string();
    assert!(text.contains(words), "{words}: {text}");
}

/// What is not this part's file, whole and of this agreement's version, is not read; nothing is
/// written over. No run is used up by any of it.
#[test]
fn only_whole_files_of_the_part_are_read() {
    let (world, _) = with_parts();
    let (data, out) = (world.path("data/customers.csv"), world.path("split"));
    let split = |out: &str, more: &[&str]| split(&world, "shop", &data, out, more);
    good(split(&out, &[]));
    refused(&split(&out, &[]), 2, "is there already");
    fs::write(world.path("a-file"), "").unwrap();
    refused(&split(&world.path("a-file"), &[]), 2, "is there already");
    refused(
        &split(&world.path("more"), &["--column", "phone"]),
        1,
        "has no column `phone`",
    );
    assert!(!Path::new(&world.path("more")).exists());

    let run = |party: &str, part: &str, split: &str, more: &[&str]| {
        let run = [
            "match",
            "run",
            "--partition",
            part,
            "--split",
            split,
            "--wait",
            "1",
        ];
        under_second(&world, party, &[&run, more].concat())
    };
    refused(&run("shop", "0/3", &out, &["--data", &data]), 2, "--data");
    refused(
        &run("shop", "0/3", &out, &["--everyone-consented"]),
        2,
        "--everyone-consented",
    );
    refused(
        &run("shop", "0/3", &world.path("data"), &[]),
        1,
        "`match split` made",
    );
    refused(&run("mailer", "0/3", &out, &[]), 1, "of another key ring");

    let copies = world.path("copies");
    fs::create_dir(&copies).unwrap();
    let file = |number: u32| format!("p{number}of3.ids");
    let of = |folder: &str, number| Path::new(folder).join(file(number));
    fs::copy(of(&out, 0), of(&copies, 1)).unwrap();
    refused(&run("shop", "1/3", &copies, &[]), 1, "it holds part 0/3");
    let bytes = fs::read(of(&out, 0)).unwrap();
    for (bytes, words) in [
        (&bytes[..bytes.len() - 20], "damaged or missing"),
        (&b"email\n"[..], "newer version"),
    ] {
        fs::write(of(&copies, 0), bytes).unwrap();
        refused(&run("shop", "0/3", &copies, &[]), 1, words);
    }
    assert!(part_paths(&world, "shop").is_empty());
}

/// A split that was killed leaves nothing that would be taken for whole, and the next one clears
/// it away; one that is under way is left to it; on a full disk nothing stays.
#[test]
fn a_split_that_did_not_end_is_begun_anew() {
    let (world, _) = with_parts();
    let (data, out) = (world.path("data/customers.csv"), world.path("split"));
    let half = format!("{out}.unfinished");
    fs::create_dir(&half).unwrap();
    fs::write(format!("{half}/p0of3.ids"), "half").unwrap();
    fs::write(format!("{half}/p9of12.ids"), "half").unwrap();
    let lock = fs::File::create(format!("{half}/lock")).unwrap();
    lock.lock().unwrap();
    let busy = split(&world, "shop", &data, &out, &[]);
    refused(&busy, 1, "another `match split`");
    assert!(Path::new(&half).join("p9of12.ids").exists());
    drop(lock);
    good(split(&world, "shop", &data, &out, &[]));
    nothing_in_clear(Path::new(&out));
    assert!(!Path::new(&half).exists());

    let cramped = Stage::new(cramped_program(world.root(), 4));
    let (full, shop) = (world.path("full"), world.path("shop"));
    let second = world.path("shop/agreements/second.toml");
    let words = [
        "match",
        "split",
        "--data",
        &data,
        "--out",
        &full,
        "--party",
        &shop,
        "--agreement",
        &second,
    ];
    let outcome = cramped.command(&words).unwrap();
    refused(&outcome, 1, "File too large");
    refused(&outcome, 1, "make room on the disk");
    assert!(!Path::new(&full).exists() && !Path::new(&format!("{full}.unfinished")).exists());
}

/// Where the agreement has no parts there is nothing to split, and no part of a split to match.
#[test]
fn without_parts_there_is_no_split() {
    let world = World::agreed();
    world.write_data(&Data::small());
    let (data, shop, out) = (
        world.path("data/customers.csv"),
        world.path("shop"),
        world.path("split"),
    );
    let split = ["match", "split", "--data", &data, "--out", &out];
    let run = ["match", "run", "--split", &out];
    for words in [&split[..], &run] {
        let outcome = world.stage.command(&[words, &["--party", &shop]].concat());
        refused(&outcome.unwrap(), 2, "parts");
    }
    assert!(!Path::new(&out).exists());
}
