//! A committed failure, as it travels in a status.
//!
//! `cargo test -p incamera-net -- --ignored write_golden_files` made it; a new version gets a
//! file of its own beside this.

use std::fs;
use std::path::{Path, PathBuf};

use incamera_net::status::{Problem, ProblemKind};
use tonic::{Code, Status};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/problem-1")
}

fn problem() -> Problem {
    Problem::new(
        ProblemKind::Budget,
        "budget-exhausted",
        "the budget is spent",
    )
    .hint("wait for its renewal")
}

fn status(details: Vec<u8>) -> Status {
    Status::with_details(Code::Internal, "the budget is spent", details.into())
}

#[test]
#[ignore = "writes the golden file anew: only for a format that has no version yet"]
fn write_golden_files() {
    fs::write(golden(), Status::from(problem()).details()).unwrap();
}

#[test]
fn the_problem_of_version_1_is_read_and_written_the_same_again() {
    let bytes = fs::read(golden()).unwrap();
    assert_eq!(Problem::from_status(&status(bytes.clone())), problem());
    assert_eq!(Status::from(problem()).details(), bytes);
}

/// Of a version that is not known, only what every program understands counts.
#[test]
fn a_version_to_come_counts_as_a_foreign_status() {
    let bytes = fs::read(golden()).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let newer = text.replacen("incamera-problem/1", "incamera-problem/2", 1);
    let read = Problem::from_status(&status(newer.into_bytes()));
    assert_eq!(
        (read.kind(), read.code()),
        (ProblemKind::Internal, "grpc-13")
    );
    assert_eq!(read.message(), "the budget is spent");
}
