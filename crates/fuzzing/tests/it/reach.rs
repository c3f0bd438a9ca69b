//! Each target's seeds come as far as they are meant to: one of an old layout fails here.

use std::collections::BTreeSet;

use incamera_fuzzing::{TARGETS, places_reached};

use crate::seeds::seeds;

/// Of each target the places that some seed of it reaches.
const PLACES: &[(&str, &[&str])] = &[
    ("agreement", &["agreement"]),
    ("ceremony_package", &["first", "made", "refreshed"]),
    (
        "certificate",
        &[
            "leaf",
            "openssh",
            "public",
            "receives",
            "receives, public",
            "spki",
        ],
    ),
    (
        "config",
        &[
            "party",
            "provider",
            "public",
            #[cfg(feature = "engine")]
            "room",
        ],
    ),
    ("evaluation", &["checked"]),
    ("evidence", &["workload"]),
    (
        "exchange",
        &[
            "finished",
            "finished by another link",
            "finished: own matches",
        ],
    ),
    ("grant", &["mailer", "shop"]),
    (
        "ids",
        &[
            "email", "email 1", "hashed", "mixed in", "phone", "phone 1", "phone DE", "plain",
            "plain 1", "sha256",
        ],
    ),
    (
        "key_metadata",
        &[
            "master key",
            "metadata",
            "reference",
            "reference in base64",
            "wrap",
        ],
    ),
    ("key_statement", &["body", "file"]),
    ("link", &["made", "stored"]),
    ("local", &["consents", "crosswalk", "crosswalk by rows"]),
    ("lookups", &["all found"]),
    ("match_history", &["bound", "whole"]),
    ("match_journal", &["sealed", "whole"]),
    ("match_part", &["sealed", "whole"]),
    ("match_spill", &["the end"]),
    ("match_theirs", &["sealed", "whole"]),
    (
        "messages",
        &[
            "Answer",
            "BoundEvidence",
            "CeremonyFrame",
            "CeremonyPackage",
            "EvaluateFrame",
            "LinkFrame",
            "LogEntry",
            "Manifest",
            "MatchMessage",
            "ProviderKeys",
            "ProviderKeysFile",
            "RequestEnvelope",
            "Reservation",
            "Signed",
            "SimulatedEvidence",
            "Token",
            "TokenFile",
            "VolePart",
        ],
    ),
    ("note", &["checkpoint", "note"]),
    (
        "pairs",
        &[
            "in part",
            "linked",
            "no day",
            "over",
            "said again",
            "without consent",
        ],
    ),
    ("parameters", &["all types", "lift"]),
    ("part", &["public", "sealed"]),
    ("proof", &["consistency", "inclusion"]),
    ("proposal", &["draft", "proposal"]),
    ("provided", &["all served", "one left out", "too few"]),
    (
        "provider_frames",
        &["entry", "hello", "labels", "package", "points", "proof"],
    ),
    ("query", &["buyers", "lift"]),
    ("release", &["file", "receipt"]),
    ("request", &["envelope", "signed"]),
    ("reservation", &["reserved"]),
    ("ring", &["age", "document", "token"]),
    ("sealed_answer", &["address", "opened"]),
    ("signature", &["armor", "binary"]),
    ("signed", &["body", "signed"]),
    ("source", &[".csv", ".parquet", "proposed", "typed .csv"]),
    ("token", &["claims", "known"]),
    ("url", &["url"]),
    (
        "values",
        &[
            "an id",
            "Partition",
            "Instructions",
            "AgreementDigest",
            "Measurement",
            "RegionCode",
            "AnalystRef",
            "PartyName",
            "ColumnRef",
            "ColumnType",
            "Date",
            "Moment",
            "Decimal",
            "ZoneName",
        ],
    ),
    ("vole", &["finished"]),
    ("vole_run", &["empty", "finished"]),
    ("wrap", &["opened"]),
];

fn reached(name: &str) -> BTreeSet<&'static str> {
    let (_, target) = TARGETS.iter().find(|(found, _)| *found == name).unwrap();
    drop(places_reached());
    for seed in seeds(name) {
        target(&seed);
    }
    places_reached()
}

#[test]
fn seeds_reach_deep() {
    let mut missing = Vec::new();
    for (name, _) in TARGETS {
        let reached = reached(name);
        let places = PLACES.iter().find(|(found, _)| found == name);
        let places = places.map_or(&["a place"][..], |(_, places)| places);
        let lacking = places.iter().filter(|place| !reached.contains(*place));
        missing.extend(lacking.map(|place| format!("{name}: {place}, only {reached:?}")));
    }
    assert!(missing.is_empty(), "no seed reaches {missing:#?}");
}
