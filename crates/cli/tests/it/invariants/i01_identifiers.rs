//! I1: no raw identifier leaves its party, in clear, hashed or as an unblinded point; amounts
//! exist in clear only in the room's memory.

use incamera_testkit::wiretap::Mark;

use super::marks::{self, found, header};
use super::oracle::Oracle;
use super::story::{CONTROL, MAILER_ONLY, SHOP_ONLY, Story};
use super::support::Holdings;
use crate::world::{AGREEMENT, MARKED, MARKED_AMOUNT};

/// Everything that is not an owner's own file: with what it is.
pub fn everything_outside(story: &Story) -> Vec<(String, &[u8])> {
    let mut all = vec![("the sockets".to_owned(), story.raw.as_slice())];
    for heard in &story.decrypted {
        all.push((
            format!("the connection {}", heard.connection),
            &heard.stream,
        ));
        all.push((
            format!("the messages of {}", heard.connection),
            &heard.bodies,
        ));
    }
    for said in &story.said {
        all.push((
            format!("the output of `{}`", said.command),
            said.out.as_bytes(),
        ));
        all.push((
            format!("the errors of `{}`", said.command),
            said.errors.as_bytes(),
        ));
    }
    // Parties' folders and the files that they were given are looked at by themselves.
    let files = story.files.outside(&["data", "shop", "mailer"]).into_iter();
    all.extend(files.map(|(path, bytes)| (format!("the file {}", path.display()), bytes)));
    all
}

/// The forms of an id: in clear, hashed, and as the unblinded point of the matching.
pub fn id_mark(oracle: &Oracle, id: &str) -> Mark {
    marks::id(id).and_bytes(oracle.point(id).as_bytes())
}

fn oracle(story: &Story) -> Oracle {
    let folder = story.files.restore(&["shop", "mailer"]);
    let holdings = Holdings(folder.path());
    let oracle = Oracle::new(holdings.matching_slot());
    // That H is the protocol's own shows in the pseudonym of the marked person.
    let both = oracle
        .secret(&holdings.ring("shop"))
        .multiply(&oracle.secret(&holdings.ring("mailer")));
    let point = super::oracle::raise(&oracle.point(MARKED), &both).unwrap();
    let pseudonym = holdings.crosswalk("shop").lookup(MARKED).unwrap();
    assert_eq!(pseudonym.as_bytes(), &oracle.pseudonym(&point));
    oracle
}

#[test]
fn i1_no_identifier_leaves_its_party() {
    let story = Story::get();
    let oracle = oracle(story);
    for id in [MARKED, SHOP_ONLY, MAILER_ONLY] {
        let mark = id_mark(&oracle, id);
        for (place, bytes) in everything_outside(story) {
            assert!(
                found(&mark, bytes).is_empty(),
                "{id} is in {place}: {:?}",
                found(&mark, bytes)
            );
        }
    }
    // Nor does it reach the other party's disk.
    for (id, folder) in [(SHOP_ONLY, "mailer"), (MAILER_ONLY, "shop")] {
        let mark = id_mark(&oracle, id);
        for (path, bytes) in story.files.below(&[folder]) {
            assert!(
                found(&mark, bytes).is_empty(),
                "{id} is in {}",
                path.display()
            );
        }
    }
}

#[test]
fn i1_no_amount_leaves_the_rooms_memory() {
    let story = Story::get();
    let mark = marks::amount(MARKED_AMOUNT);
    for (place, bytes) in everything_outside(story) {
        assert!(
            found(&mark, bytes).is_empty(),
            "in {place}: {:?}",
            found(&mark, bytes)
        );
    }
    // A ledger has runs of zeros, in which a fixed-point number could stand by chance.
    let text = Mark::text("amount", MARKED_AMOUNT);
    for (path, bytes) in story.files.below(&["shop", "mailer"]) {
        let ledger = path.to_string_lossy().contains(".sqlite");
        let found = found(if ledger { &text } else { &mark }, bytes);
        assert!(found.is_empty(), "in {}: {found:?}", path.display());
    }
}

#[test]
fn i1_nothing_is_left_in_temporary_folders() {
    let story = Story::get();
    let left = story.files.below(&["tmp", "cwd"]);
    assert!(
        left.is_empty(),
        "{:?}",
        left.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
}

/// What the searches would find if it were there.
#[test]
fn i1_the_search_finds_what_is_there() {
    let story = Story::get();
    let shop_files = story.files.file("data/purchases.csv");
    assert_eq!(found(&marks::id(MARKED), shop_files), ["clear"]);
    assert_eq!(found(&marks::id(SHOP_ONLY), shop_files), ["clear"]);
    assert_eq!(found(&marks::amount(MARKED_AMOUNT), shop_files), ["clear"]);
    assert_eq!(
        found(
            &marks::id(MAILER_ONLY),
            story.files.file("data/mailing.csv")
        ),
        ["clear"]
    );
    // A crosswalk holds ids, in its owner's folder: compressed, and found all the same.
    let crosswalks = story.files.below(&["shop/crosswalks"]);
    assert!(
        crosswalks
            .iter()
            .any(|(_, bytes)| !found(&marks::id(SHOP_ONLY), bytes).is_empty())
    );
    // The reason given is in the traffic, and only where TLS is opened.
    let heard = |mark: &Mark| {
        story
            .decrypted
            .iter()
            .any(|heard| !found(mark, &heard.stream).is_empty())
    };
    assert!(heard(&marks::id(CONTROL)));
    assert!(found(&marks::id(CONTROL), &story.raw).is_empty());
    assert!(heard(&header("incamera.services.v1")));
    // Logs were written, at debug.
    for log in ["shop.log", "mailer.log", "room.log"] {
        let text = String::from_utf8_lossy(story.files.file(log));
        assert!(text.contains("DEBUG") && text.contains("incamera"), "{log}");
    }
    assert!(!story.files.below(&["room/storage/purchases"]).is_empty());
    assert!(
        !story
            .files
            .file(&format!("room/{AGREEMENT}.toml"))
            .is_empty()
    );
}
