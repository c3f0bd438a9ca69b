//! I6: only `Released` values can leave the room; a `RawAggregate` cannot, and becomes one
//! only with every owner's verified grant.
//!
//! The types say so: this file is a proof that does not compile where it fails. That
//! `OpenedGrants` is made by `open_grants` alone is shown in `crates/release`.

use std::fmt;

use incamera_query::{OtherRequest, RawAggregate, Released, release};
use incamera_release::OpenedGrants;
use incamera_testkit::wiretap::Mark;
use incamera_wire::decode;
use incamera_wire::v1::ReleaseFile;

use super::marks::found;
use super::story::{CONTROL, Story};

/// Fails to compile if a type implements a trait: then two implementations of
/// `Lacks` fit, and the marker cannot be inferred.
macro_rules! lacks {
    ($type:ty: $($bound:path),+ $(,)?) => {$({
        trait Lacks<Marker> {
            fn holds() {}
        }
        impl<T: ?Sized> Lacks<()> for T {}
        struct Has;
        impl<T: ?Sized + $bound> Lacks<Has> for T {}
        <$type as Lacks<_>>::holds();
    })+};
}

#[test]
fn i6_an_exact_answer_can_be_neither_shown_nor_sent() {
    lacks!(
        RawAggregate: serde::Serialize, prost::Message, fmt::Debug, fmt::Display, fmt::LowerHex,
        ToString, Clone, PartialEq, PartialOrd, std::hash::Hash, AsRef<[u8]>, Into<Vec<u8>>,
        Into<String>, std::ops::Deref, IntoIterator, std::error::Error,
    );
}

#[test]
fn i6_there_is_no_release_without_grants() {
    let _: fn(RawAggregate, &OpenedGrants) -> Result<Released, OtherRequest> = release;
    lacks!(Released: Default, From<RawAggregate>, From<incamera_wire::v1::Answer>);
    lacks!(OpenedGrants: Default, Clone);
    lacks!(RawAggregate: Into<Released>, Into<incamera_wire::v1::Answer>);
}

/// Inside TLS, and on the room's disk, an answer is ciphertext. A salt is 32 random bytes that
/// stand in the answer's file and nowhere else.
#[test]
fn i6_an_answer_leaves_the_room_sealed() {
    let story = Story::get();
    let mut salts = Vec::new();
    for path in ["answer.release", "again.release", "json.release"] {
        let bytes = story.files.file(path);
        let file: ReleaseFile = decode(bytes, bytes.len()).unwrap();
        salts.push(file.salt);
    }
    // What the shop fetched is there, opened.
    let fetched = story.files.below(&["shop/received"]);
    let mut fetched = fetched
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|end| end == "release"));
    let bytes = fetched.next().expect("the shop has its answer").1;
    assert!(salts.iter().any(|salt| holds(bytes, salt)));

    let reason = Mark::text("the reason", CONTROL);
    assert!(
        story
            .decrypted
            .iter()
            .any(|heard| !found(&reason, &heard.bodies).is_empty())
    );
    for salt in &salts {
        for heard in &story.decrypted {
            assert!(!holds(&heard.bodies, salt), "{}", heard.connection);
            assert!(!holds(&heard.stream, salt), "{}", heard.connection);
        }
        for (path, bytes) in story.files.below(&["room", "room.log"]) {
            assert!(!holds(bytes, salt), "{}", path.display());
        }
    }
    // Both receivers' copies lie there all the same.
    let kept = story.files.below(&["room/storage/.answers"]);
    assert_eq!(kept.len(), 2, "one request, two receivers");
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
