//! What a caller learns of what went wrong.

use incamera_net::status::{Problem, ProblemKind};
use proptest::prelude::*;
use tonic::{Code, Status};

use crate::support::{Running, key, refused, register};

#[tokio::test]
async fn a_problem_arrives_whole() {
    let server = Running::start(&key(1)).await;
    let mut client = server.client(&key(1), None).await;
    let status = register(&mut client, b"refuse".to_vec()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let problem = Problem::from_status(&status);
    assert_eq!(problem, refused());
    assert_eq!(problem.exit_code(), 3);
}

#[tokio::test]
async fn an_internal_fault_tells_the_caller_nothing() {
    let server = Running::start(&key(1)).await;
    let mut client = server.client(&key(1), None).await;
    let status = register(&mut client, b"internal".to_vec())
        .await
        .unwrap_err();
    assert!(!format!("{status:?}").contains("detail of the fault"));
    let problem = Problem::from_status(&status);
    assert_eq!(problem.kind(), ProblemKind::Internal);
    assert_eq!(problem.exit_code(), 1);
}

#[test]
fn exit_codes_are_the_documented_ones() {
    use ProblemKind::*;
    let codes = [
        (Refused, 3),
        (Attestation, 4),
        (Budget, 5),
        (Expired, 3),
        (NotFound, 1),
        (Invalid, 2),
        (Conflict, 1),
        (Unavailable, 1),
        (Internal, 1),
    ];
    assert_eq!(codes.len(), ProblemKind::ALL.len());
    for (kind, code) in codes {
        assert_eq!(kind.exit_code(), code, "{kind}");
    }
}

#[test]
fn foreign_statuses_are_understood() {
    let of = |code| Problem::from_status(&Status::new(code, "")).kind();
    assert_eq!(of(Code::Unavailable), ProblemKind::Unavailable);
    assert_eq!(of(Code::PermissionDenied), ProblemKind::Refused);
    assert_eq!(of(Code::DataLoss), ProblemKind::Internal);
    // A code alone is never taken for a verdict on evidence or budgets.
    assert_eq!(of(Code::ResourceExhausted), ProblemKind::Internal);
    assert_eq!(of(Code::FailedPrecondition), ProblemKind::Internal);
    let unknown = Problem::from_status(&Status::unimplemented(""));
    assert!(unknown.hint_text().unwrap().contains("version"));
    assert!(!unknown.message().is_empty());
}

#[test]
fn texts_of_others_are_cleaned_and_cut() {
    let status = Status::from(Problem::new(
        ProblemKind::Invalid,
        "x",
        format!("\u{1b}[31mred\n{}", "a".repeat(5000)),
    ));
    let problem = Problem::from_status(&status);
    assert!(!problem.message().contains(char::is_control));
    assert_eq!(problem.message().chars().count(), 1000);
    let raw = Status::new(Code::Internal, "\u{1b}[31m\r");
    assert!(
        !Problem::from_status(&raw)
            .message()
            .contains(char::is_control)
    );
}

proptest! {
    #[test]
    fn problems_round_trip(at in 0..ProblemKind::ALL.len(), code in "[a-z-]{1,30}",
                           message in "[ -~]{1,100}", hint in proptest::option::of("[ -~]{1,100}")) {
        let mut problem = Problem::new(ProblemKind::ALL[at], &code, message);
        if let Some(hint) = hint {
            problem = problem.hint(hint);
        }
        let status = Status::from(problem.clone());
        prop_assert_eq!(Problem::from(status), problem);
    }

    #[test]
    fn any_details_are_survived(details: Vec<u8>) {
        let status = Status::with_details(Code::Internal, "text", details.into());
        let problem = Problem::from_status(&status);
        prop_assert_eq!(problem.message(), "text");
    }
}
