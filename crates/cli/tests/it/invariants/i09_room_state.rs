//! I9: whoever puts an older copy of the room's folder back, or an empty one, has to have the
//! data pushed again, and gets neither another answer nor a question for free.

use std::fs;

use incamera_wire::v1::ReleaseFile;

use super::support::{copy_folder, files_below};
use crate::world::World;

fn spent(world: &World) -> [u64; 2] {
    ["shop", "mailer"].map(|party| world.spent(party))
}

fn asked(world: &World) -> Vec<u8> {
    let path = world.path("answer.release");
    let _ = fs::remove_file(&path);
    let outcome = world.query(&[]);
    assert_eq!(outcome.code, 0, "{}", outcome.failure());
    let release: ReleaseFile = incamera_wire::decode(&fs::read(path).unwrap(), usize::MAX).unwrap();
    release.answer
}

/// Puts a copy (or nothing) in the place of the room's storage, with the room stopped.
fn swap_storage(world: &World, copy: Option<&str>) {
    world.stage.stop("room");
    let storage = world.root().join("room/storage");
    fs::remove_dir_all(&storage).unwrap();
    if let Some(copy) = copy {
        copy_folder(&world.root().join(copy), &storage);
    }
    world.start_room();
}

#[test]
fn i9_an_older_copy_of_the_rooms_folder_gains_nothing() {
    let world = World::ready();
    copy_folder(
        &world.root().join("room/storage"),
        &world.root().join("before"),
    );
    let first = asked(&world);
    let cost = spent(&world);

    // Back to before the question: the same answer, and no second charge.
    swap_storage(&world, Some("before"));
    assert_eq!(asked(&world), first);
    assert_eq!(spent(&world), cost);

    // The shop replaces its data. An older copy of them is refused by the shop, and costs
    // nobody anything.
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    let second = asked(&world);
    assert_ne!(second, first);
    let twice = spent(&world);
    swap_storage(&world, Some("before"));
    let outcome = world.query(&[]);
    assert_eq!(outcome.code, 3, "{}", outcome.failure());
    assert!(
        outcome
            .failure()
            .contains("another version of data set `purchases` than the newest"),
        "{}",
        outcome.failure()
    );
    assert_eq!(spent(&world), twice);

    // Nothing at all: the owners push again, and everything is as it was.
    swap_storage(&world, None);
    let outcome = world.query(&[]);
    assert_ne!(outcome.code, 0);
    assert!(outcome.failure().contains("push"), "{}", outcome.failure());
    world.push();
    assert_eq!(asked(&world), second);
    assert_eq!(spent(&world), twice);
}

/// The room writes its storage and nothing else; no key of it outlives its process.
#[test]
fn i9_the_room_keeps_ciphertext_alone() {
    let story = super::story::Story::get();
    let mut kinds: Vec<String> = Vec::new();
    for (path, bytes) in story.files.below(&["room"]) {
        let text = path.to_string_lossy().into_owned();
        if text.ends_with(".parquet") {
            assert!(
                bytes.starts_with(b"PARE") && bytes.ends_with(b"PARE"),
                "{text} is not encrypted"
            );
        } else if let Some(rest) = text.strip_prefix("room/storage/") {
            // What is sealed to receivers holds nothing of an answer: `i6_an_answer_leaves_…`.
            let sealed = rest.starts_with(".answers/") && rest.split('/').count() == 3;
            assert!(sealed || rest.ends_with("/manifest"), "{text}");
        } else {
            kinds.push(text);
        }
    }
    kinds.retain(|name| !name.ends_with(".toml") && !name.ends_with(".sig"));
    assert!(kinds.is_empty(), "{kinds:?}");
    let folder = story.files.restore(&["room"]);
    assert!(
        files_below(folder.path())
            .iter()
            .any(|path| path.ends_with("manifest"))
    );
}
