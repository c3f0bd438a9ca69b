//! Each function, run some. `INCAMERA_MUTATIONS=100000 cargo test -p incamera-fuzzing` runs
//! more; what fails shows its bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use incamera_fuzzing::TARGETS;

use crate::mutate::Mutator;
use crate::seeds::{root, seeds};

/// Nothing that is parsed takes longer, in a build for tests on a busy machine.
const SLOW: Duration = Duration::from_secs(10);

fn mutations(few: usize) -> usize {
    let asked = std::env::var("INCAMERA_MUTATIONS").ok();
    asked.map_or(few, |text| text.parse().unwrap())
}

fn feed(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(found, _)| *found == name).unwrap();
    let start = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| target(data)));
    let took = start.elapsed();
    assert!(done.is_ok(), "`{name}` panicked at {}", hex(data));
    assert!(took < SLOW, "`{name}` took {took:?} at {}", hex(data));
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn smoke(name: &str, few: usize) {
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "`{name}` has no seeds");
    seeds.iter().for_each(|seed| feed(name, seed));
    feed(name, b"");
    let mut mutator = Mutator::new(1, seeds);
    for _ in 0..mutations(few) {
        feed(name, &mutator.next());
    }
}

macro_rules! targets {
    ($($name:ident: $few:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            smoke(stringify!($name), $few);
        })*

        /// A function that nobody runs finds nothing.
        #[test]
        fn every_function_is_run() {
            let run = [$(stringify!($name)),*];
            let all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, run);
        }
    };
}

targets! {
    agreement: 300,
    ceremony_package: 100,
    certificate: 1_000,
    config: 1_000,
    evaluation: 100,
    evidence: 1_000,
    exchange: 300,
    grant: 300,
    ids: 1_000,
    key_metadata: 1_000,
    key_statement: 300,
    link: 1_000,
    local: 300,
    lookups: 1_000,
    match_history: 1_000,
    match_journal: 1_000,
    match_part: 300,
    match_spill: 1_000,
    match_theirs: 300,
    messages: 1_000,
    note: 2_000,
    pairs: 1_000,
    parameters: 1_000,
    part: 1_000,
    proof: 300,
    proposal: 300,
    provided: 100,
    provider_frames: 2_000,
    query: 100,
    release: 300,
    request: 1_000,
    reservation: 300,
    ring: 100,
    sealed_answer: 300,
    signature: 2_000,
    signed: 2_000,
    source: 300,
    token: 1_000,
    url: 1_000,
    values: 3_000,
    vole: 40,
    vole_run: 20,
    wrap: 300,
}

/// `fuzz/` is no part of this workspace: a target that it lacks would not be missed.
#[test]
fn every_function_has_a_target_of_the_fuzzer() {
    let fuzz = root().join("fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let path = format!("fuzz_targets/{name}.rs");
        let text = std::fs::read_to_string(fuzz.join(&path)).unwrap_or_default();
        assert!(
            text.contains(&format!("incamera_fuzzing::{name}(data)")),
            "{path}"
        );
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{name}");
    }
}
