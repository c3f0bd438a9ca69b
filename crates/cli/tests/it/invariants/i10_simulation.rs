//! I10: a simulated TEE says so, everywhere; a production build does not contain it.
//!
//! `crates/attest` (`production.rs`) shows that a build without the feature refuses the kind.

use std::path::Path;
use std::process::Command;

use incamera_attest::TeeKind;
use incamera_testkit::stage::StageError;
use incamera_wire::decode;
use incamera_wire::v1::{Answer, Grant, LogEntry, Receipt, ReleaseFile};
use serde_json::Value;

use super::story::{Said, Story};
use crate::world::{AGREEMENT, World};

const SAYS: &str = "SIMULATED TEE";

fn one<'a>(story: &'a Story, command: &str) -> &'a Said {
    story
        .said_by(command)
        .into_iter()
        .find(|said| said.code == Some(0))
        .unwrap()
}

#[test]
fn i10_evidence_and_agreement_say_so() {
    let story = Story::get();
    let evidence = story.evidence.evidence.as_ref().unwrap();
    assert_eq!(evidence.kind.parse(), Ok(TeeKind::Simulated));
    let agreement = String::from_utf8_lossy(
        story
            .files
            .file(&format!("shop/agreements/{AGREEMENT}.toml")),
    );
    assert!(agreement.contains("tee = \"simulated\""));
    assert!(
        one(story, "agreement show")
            .out
            .to_uppercase()
            .contains("SIMULATED")
    );
    for log in ["room.log"] {
        assert!(
            String::from_utf8_lossy(story.files.file(log)).contains(SAYS),
            "{log}"
        );
    }
}

#[test]
fn i10_receipt_log_and_answer_say_so() {
    let story = Story::get();
    let file: ReleaseFile = decode(story.files.file("answer.release"), usize::MAX).unwrap();
    let answer: Answer = decode(&file.answer, usize::MAX).unwrap();
    assert!(answer.simulated);
    let receipt: Receipt = decode(&file.receipt.unwrap().body, usize::MAX).unwrap();
    assert!(receipt.simulated);
    assert_eq!(receipt.grants.len(), 2);
    for signed in &receipt.grants {
        let grant: Grant = decode(&signed.body, usize::MAX).unwrap();
        let entry: LogEntry = decode(&grant.log.unwrap().entry, usize::MAX).unwrap();
        assert!(entry.simulated);
    }
    for bound in &receipt.evidence {
        assert_eq!(bound.evidence.as_ref().unwrap().kind, "simulated");
    }
}

#[test]
fn i10_what_people_and_programs_read_says_so() {
    let story = Story::get();
    let question = one(story, "query run");
    assert!(
        question.out.to_uppercase().contains(SAYS),
        "{}",
        question.out
    );
    assert!(question.errors.contains(SAYS), "{}", question.errors);
    assert!(
        one(story, "verify").out.to_uppercase().contains(SAYS),
        "{}",
        one(story, "verify").out
    );
    assert!(one(story, "data push").errors.contains(SAYS));
    let documents = story
        .said
        .iter()
        .filter(|said| said.command.ends_with("--json"));
    let simulated = documents.map(|said| {
        let document: Value = serde_json::from_str(&said.out).unwrap();
        document.get("simulated").cloned()
    });
    let simulated: Vec<_> = simulated.collect();
    assert_eq!(simulated.len(), 2, "the answer and what `verify` says");
    assert!(
        simulated
            .iter()
            .all(|simulated| simulated == &Some(Value::Bool(true)))
    );
}

/// No room simulates unless its own configuration says so. Of owners the same is shown with
/// their other rules (I4).
#[test]
fn i10_no_room_simulates_unasked() {
    let world = World::agreed();
    let (config, log) = (world.path("room/room.toml"), world.root().join("room.log"));
    let text = std::fs::read_to_string(&config).unwrap();
    let without = text.replace("insecure_simulated_tee = true", "");
    assert_ne!(text, without);
    std::fs::write(&config, without).unwrap();
    let arguments = ["room", "serve", "--config", &config];
    let started = world
        .stage
        .start("room", &arguments, &[], &log, world.room.listens);
    assert!(
        matches!(started, Err(StageError::Silent { .. })),
        "{started:?}"
    );
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("insecure_simulated_tee"), "{said}");
}

/// What cargo would build without default features: no simulated TEE, no test kit.
#[test]
fn i10_a_production_build_does_not_contain_it() {
    let tree = |more: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--locked", "--package", "incamera-cli"])
            .args(["--edges", "normal", "--format", "{lib} {f}"])
            .args(more)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            // Or the features of the whole workspace would be listed.
            .env_remove("CARGO_RESOLVER_FEATURE_UNIFICATION")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let holds = |tree: &str| {
        ["simulated", "incamera_testkit", "failpoints"].map(|word| tree.contains(word))
    };
    assert_eq!(holds(&tree(&[])), [true; 3], "the default build has it all");
    for more in [&[][..], &["--features", "pkcs11"]] {
        let production = tree(&[&["--no-default-features"], more].concat());
        assert!(production.contains("incamera_attest"));
        assert_eq!(production.contains("cryptoki"), !more.is_empty());
        assert_eq!(holds(&production), [false; 3]);
    }
}
