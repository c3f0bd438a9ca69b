//! I7: what an analyst is told when there is no answer is the same over any rows.
//!
//! `crates/query` has the same of each function of a plan; here one owner's file, and then
//! its sealed data, are made as hostile as they can be, and the analyst sees the same things.

use std::path::Path;

use incamera_matching::ids;
use incamera_seal::{Consent, Consents, Inherited, MatchingRuns, SealJob, Source, seal_dataset};
use incamera_testkit::stage::Outcome;
use incamera_types::{DatasetSpec, IdKind};
use serde_json::Value;

use super::analyst::now;
use super::support::Holdings;
use crate::world::{Data, MARKED, World};

/// What an analyst sees of an outcome, numbers aside: the exit code, the shape of the document
/// and what was said.
fn seen(outcome: &Outcome) -> (i32, Value, String) {
    (
        outcome.code,
        shape(&outcome.document),
        outcome.errors.clone(),
    )
}

/// What the client words by the noisy numbers that it received.
const WORDED: [&str; 3] = ["notes", "text", "verdict"];

/// A document without its numbers, texts that hold numbers, and what follows from them.
fn shape(value: &Value) -> Value {
    match value {
        Value::Number(_) => Value::Null,
        Value::String(text) if text.bytes().any(|byte| byte.is_ascii_digit()) => Value::Null,
        Value::Array(all) => all.iter().map(shape).collect(),
        Value::Object(all) => all
            .iter()
            .filter(|(key, _)| !WORDED.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect(),
        other => other.clone(),
    }
}

/// Rows that a file may hold and a program may stumble over.
fn hostile_rows() -> String {
    let mut rows = String::new();
    for (day, amount) in [
        ("0001-01-01", "99999999.99"),
        ("9999-12-31", "-99999999.99"),
        ("2026-04-01", "0.00"),
        ("2026-05-31", "-0.01"),
        ("1970-01-01", "00000000.01"),
    ] {
        rows += &format!("{MARKED},{day},{amount},\n");
    }
    // More rows than the agreement counts of one person.
    for n in 0..1_200 {
        rows += &format!("{MARKED},2026-04-{:02},99999999.99,toys\n", 1 + n % 28);
    }
    rows
}

/// Seals the shop's purchases as a shop would that keeps no bounds: the limits on amounts, which
/// its own program keeps at home, are left out. The room cannot tell.
fn seal_without_bounds(world: &World, csv: &str) {
    let holdings = Holdings(world.root());
    let agreement = holdings.agreement();
    let spec = unbounded(
        &agreement.datasets[&"purchases".parse::<incamera_types::DatasetName>().unwrap()],
    );
    let source = world.root().join("data/unbounded.csv");
    std::fs::write(&source, csv).unwrap();
    let before = holdings.manifest("shop", "purchases");
    let crosswalk = holdings.crosswalk("shop");
    let email: IdKind = "email".parse().unwrap();
    let writing = agreement.matching.id_writing(&email);
    let normaliser = ids::Normaliser::of(&email, &writing).unwrap();
    let people = |id: &str| crosswalk.lookup(&normaliser.normalised(id)?);
    let kept = super::support::files_below(&holdings.path("shop/consents"));
    let mut kept = kept.iter().filter_map(|file| Consents::read(file).ok());
    let consents = kept.next().unwrap();
    let job = SealJob {
        spec: &spec,
        agreement_id: agreement.id,
        agreement_digest: agreement.digest,
        version: before.version() + 1,
        previous: Some(before.digest()),
        append_to: None,
        key_epoch: 1,
        inherits: Inherited::default(),
        matching_epoch: agreement.matching.epoch,
        matching_runs: MatchingRuns::new(),
        last_day: None,
        partitions: agreement.matching.partitions,
        purposes: &agreement.leaf_purposes(),
        branches: &std::collections::BTreeMap::new(),
        renamed: &std::collections::BTreeMap::new(),
        source: &Source::of(&source).unwrap(),
        id_column: None,
        people: &people,
        kinds: &incamera_seal::no_kinds,
        consent: Consent::ByPerson(&consents),
        out: &holdings.sealed("shop", "purchases"),
        limits: incamera_seal::SealLimits::default(),
        progress: &mut |_| {},
    };
    let (mut ring, key) = (holdings.ring("shop"), holdings.key("shop/service_key"));
    let report = seal_dataset(job, &mut ring, &key, now(), &mut rand::rng()).unwrap();
    assert!(report.clamped.is_empty());
}

fn unbounded(spec: &DatasetSpec) -> DatasetSpec {
    let mut spec = spec.clone();
    for column in &mut spec.columns {
        (column.min, column.max) = (None, None);
    }
    spec
}

#[test]
fn i7_what_an_analyst_sees_does_not_depend_on_a_row() {
    // With the template's 50, noise alone withholds a group of a hundred people now and then.
    let all = |text: String| text.replacen("min_people = 50", "min_people = 1", 1);
    let world = World::agreed_as(all);
    world.prepare(&Data::small());
    let good = seen(&world.query(&[]));
    assert_eq!(good.0, 0, "{}", good.2);
    let wrong_purpose = seen(&world.query(&["--purpose", "ads"]));
    assert_eq!(wrong_purpose.0, 3);

    let hostile = format!("{}{}", Data::small().purchases, hostile_rows());
    std::fs::write(world.path("data/purchases.csv"), &hostile).unwrap();
    world.seal_one("shop", "purchases");
    world.push_one("shop");
    assert_eq!(seen(&world.query(&[])), good, "clamped at home");

    seal_without_bounds(&world, &hostile);
    world.push_one("shop");
    let outcome = world.query(&[]);
    assert_eq!(seen(&outcome), good, "not clamped at all");
    assert_eq!(seen(&world.query(&["--purpose", "ads"])), wrong_purpose);
    // One person moves a sum by no more than the agreement's bound and the noise.
    let spend = shown_spend(&world);
    assert!(
        spend.iter().all(|spend| spend.abs() < 5_000_000),
        "{spend:?}"
    );

    // Refused alike as well: the part is damaged, whoever's row it holds.
    let refusals: Vec<_> = parts(&world, "purchases")
        .iter()
        .map(|part| damaged(&world, part))
        .collect();
    assert!(refusals.len() > 1 && refusals[0].0 != 0);
    assert!(
        refusals.iter().all(|refusal| refusal == &refusals[0]),
        "{refusals:?}"
    );
}

/// The spend of each group in the newest answer, in cents.
fn shown_spend(world: &World) -> Vec<i64> {
    use incamera_wire::v1::{Answer, ReleaseFile};
    let bytes = std::fs::read(world.path("answer.release")).unwrap();
    let release: ReleaseFile = incamera_wire::decode(&bytes, usize::MAX).unwrap();
    let answer: Answer = incamera_wire::decode(&release.answer, usize::MAX).unwrap();
    let at = answer
        .measures
        .iter()
        .position(|measure| measure.name == "spend")
        .unwrap();
    answer
        .groups
        .iter()
        .filter_map(|group| group.values.get(at))
        .copied()
        .collect()
}

fn parts(world: &World, dataset: &str) -> Vec<std::path::PathBuf> {
    super::support::files_below(&world.root().join(format!("room/storage/{dataset}/parts")))
}

/// What an analyst sees when one byte of a part is flipped.
fn damaged(world: &World, part: &Path) -> (i32, Value, String) {
    let whole = std::fs::read(part).unwrap();
    let mut bytes = whole.clone();
    bytes[whole.len() / 2] ^= 1;
    std::fs::write(part, bytes).unwrap();
    let outcome = world.query(&[]);
    std::fs::write(part, whole).unwrap();
    seen(&outcome)
}
