//! A disk that takes no more, at each place that a run writes to: it says so, nothing that was
//! there is lost, and with room again the same command comes to the same bytes.

use sha2::{Digest as _, Sha256};

use super::*;
use crate::full_disk::cramped_program;

/// A run of the shop on a disk of so many blocks of 512 bytes, which is full before its end.
pub fn refused(world: &World, blocks: u32, more: &[&str]) -> String {
    let program = cramped_program(world.root(), blocks);
    let more = [&["--everyone-consented"], more].concat();
    let (code, document) =
        Running::start_of(&program, world, ["shop", "cramped", "data/shop.csv"], &more).end();
    let text = document.to_string();
    assert_eq!(code, 1, "{document:#}");
    let lower = text.to_lowercase();
    assert!(lower.contains("file too large"), "{document:#}");
    assert!(lower.contains("make room on the disk"), "{document:#}");
    assert!(!text.contains("@mail.example"), "{document:#}");
    text
}

fn runs(world: &World, party: &str) -> usize {
    let history = fs::read_to_string(slot(world, party).join("history"));
    history.unwrap_or_default().matches("\"run\":{").count()
}

/// Before anybody is dialled: no run is used up, and nothing spilled stays.
#[test]
fn a_disk_that_is_full_at_intake_uses_up_no_run() {
    let world = world();
    let wanted = reference(&world);
    let before = runs(&world, "shop");
    let said = refused(&world, 64, &["--arena", "64", "--wait", "1"]);
    assert!(said.contains("the ids were not sorted"), "{said}");
    assert_eq!(runs(&world, "shop"), before);
    let left = fs::read_dir(slot(&world, "shop")).unwrap().count();
    assert_eq!(left, 2, "history and lock alone stay");
    let shop = Running::start(&world, "shop", &[]);
    Running::start(&world, "mailer", &[]).good();
    shop.good();
    assert!(take_away(&world) == wanted);
}

/// Amid the run: the peer is told, and both go on where their journals end.
#[test]
fn a_disk_that_is_full_amid_a_run_loses_nothing_of_it() {
    let world = world();
    // Few own ids and many of the peer: of all files the journal is the largest.
    write_ids(&world, "shop", 0..500);
    let wanted = reference(&world);
    let before = runs(&world, "shop");
    let mailer = Running::start(&world, "mailer", &[]);
    let said = refused(&world, 120, &[]);
    assert!(said.contains("cannot be gone on with"), "{said}");
    assert!(journal_bytes(&world, "shop") > 20_000);
    let (code, told) = mailer.end();
    assert_eq!(code, 1, "{told:#}");
    assert!(
        told.to_string().contains("goes on where it was"),
        "{told:#}"
    );
    let mailer = Running::start(&world, "mailer", &[]);
    let shop = Running::start(&world, "shop", &[]).good();
    assert_eq!(number(&shop, "/crosswalk_rows"), 500);
    assert!(
        number(&shop, "/points_multiplied/raised") < 4_000,
        "{shop:#}"
    );
    repeated_at_most_a_window(&mailer.good());
    assert!(take_away(&world) == wanted);
    assert_eq!(runs(&world, "shop"), before + 1);
}

/// At the very end: all is in the journal by then, so the crosswalk is written once there is room,
/// without another run, and the one that was there stays until then.
#[test]
fn a_disk_that_is_full_at_the_crosswalk_costs_no_run() {
    let world = world();
    // Ids that no compression makes small: of all files the crosswalk is the largest.
    let id = |person: u32| hex::encode(&Sha256::digest(person.to_be_bytes())[..10]);
    let line = |person| format!("{}@mail.example\n", id(person));
    let own = String::from("email\n") + &(0..1_500).map(line).collect::<String>();
    fs::write(world.path("data/shop.csv"), own).unwrap();
    write_ids(&world, "mailer", 0..10);
    let wanted = reference(&world);
    let (before, half) = (runs(&world, "shop"), wanted[0].len() * 4 / 5);
    let mailer = Running::start(&world, "mailer", &[]);
    let said = refused(&world, u32::try_from(half / 512).unwrap(), &[]);
    assert!(said.contains("the crosswalk was not written"), "{said}");
    mailer.good();
    let crosswalks = world.root().join("shop/crosswalks");
    assert_eq!(fs::read_dir(crosswalks).unwrap().count(), 0);
    let shop = Running::start(&world, "shop", &[]).good();
    assert_eq!(number(&shop, "/points_multiplied/blinded"), 0, "{shop:#}");
    assert!(take_away(&world) == wanted);
    assert_eq!(runs(&world, "shop"), before + 1);
}
