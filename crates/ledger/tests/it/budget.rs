use incamera_ledger::{CeilingKind, LedgerError, MAX_OPEN_PER_ANALYST, Opener};
use incamera_types::{AgreementId, PrivacyLoss};
use proptest::prelude::*;

use crate::fixture::{Fixture, LIFETIME_S, NOW, Want, d, rho};

fn exhausted(result: Result<impl std::fmt::Debug, LedgerError>) -> (CeilingKind, PrivacyLoss) {
    match result.unwrap_err() {
        LedgerError::BudgetExhausted { ceiling, left, .. } => (ceiling, left),
        other => panic!("{other:?}"),
    }
}

#[test]
fn i4_the_agreements_ceiling_stops() {
    let mut owner = Fixture::new();
    let want = Want {
        cost: 300,
        ..Want::default()
    };
    owner.spend(want).unwrap();
    let more = owner.reserve(Want {
        request: 11,
        ..want
    });
    assert_eq!(exhausted(more), (CeilingKind::Agreement, rho(200)));
    owner
        .spend(Want {
            request: 12,
            cost: 200,
            ..want
        })
        .unwrap();
    assert_eq!(owner.spent(), rho(500));
    assert_eq!(owner.ledger.spent(&d::<AgreementId>(1)).unwrap(), rho(500));
    let one_more = owner.reserve(Want {
        request: 13,
        cost: 1,
        ..want
    });
    assert_eq!(exhausted(one_more), (CeilingKind::Agreement, rho(0)));
}

/// The budget is the population's: a new agreement does not renew it.
#[test]
fn i4_the_populations_ceiling_stops_across_agreements() {
    let mut owner = Fixture::new();
    for agreement in [1, 2] {
        let want = Want {
            agreement,
            request: agreement,
            cost: 500,
            ..Want::default()
        };
        owner.spend(want).unwrap();
    }
    let third = owner.reserve(Want {
        agreement: 3,
        cost: 10,
        ..Want::default()
    });
    assert_eq!(exhausted(third), (CeilingKind::Population, rho(0)));
}

/// Either part of a loss can exhaust a ceiling.
#[test]
fn i4_delta_counts_too() {
    let mut owner = Fixture::new();
    owner.ceilings.agreement.delta0 = rho(90).delta0;
    let (ceiling, _) = exhausted(owner.reserve(Want::default()));
    assert_eq!(ceiling, CeilingKind::Agreement);
}

#[test]
fn held_amounts_count_until_they_expire() {
    let mut owner = Fixture::new();
    let want = Want {
        cost: 400,
        ..Want::default()
    };
    owner.reserve(want).unwrap();
    let other = Want {
        request: 11,
        ..want
    };
    exhausted(owner.reserve(other));
    assert_eq!(owner.spent(), rho(0));
    let at = NOW.plus(LIFETIME_S);
    owner.reserve(Want { at, ..other }).unwrap();
}

/// A retry for the same room key replaces what it held.
#[test]
fn a_retry_does_not_hold_twice() {
    let mut owner = Fixture::new();
    let want = Want {
        cost: 400,
        ..Want::default()
    };
    let first = owner.reserve(want).unwrap();
    let second = owner.reserve(want).unwrap();
    assert_eq!(first.commitment(), second.commitment());
    assert_eq!(owner.ledger.held().unwrap(), rho(400));
}

#[test]
fn i8_the_same_request_is_charged_once() {
    let mut owner = Fixture::new();
    let want = Want {
        cost: 500,
        ..Want::default()
    };
    let (charged, _) = owner.spend(want).unwrap();
    assert_eq!(charged.loss(), rho(500));
    // Nothing is left, and the repeat passes all the same, for another room key.
    let repeat = owner.reserve(Want { room: 21, ..want }).unwrap();
    assert!(repeat.repeat());
    let (again, _) = owner.commit(&repeat, 80).unwrap();
    assert_eq!(again.loss(), rho(0));
    assert_eq!(again.seed().expose(), charged.seed().expose());
    assert_eq!(owner.spent(), rho(500));
}

/// Another owner that changes its seed makes a new charge of what would be a repeat.
#[test]
fn i8_a_repeat_under_other_commitments_is_charged_anew() {
    let mut owner = Fixture::new();
    let want = Want {
        cost: 300,
        ..Want::default()
    };
    owner.spend(want).unwrap();
    let repeat = owner.reserve(want).unwrap();
    assert!(repeat.repeat());
    assert_eq!(
        exhausted(owner.commit(&repeat, 81)),
        (CeilingKind::Agreement, rho(200))
    );
    assert_eq!(owner.spent(), rho(300));
    owner.ceilings.agreement = rho(600);
    let repeat = owner.reserve(want).unwrap();
    let (charged, _) = owner.commit(&repeat, 81).unwrap();
    assert_eq!(charged.loss(), rho(300));
    assert_eq!(owner.spent(), rho(600));
}

#[test]
fn i4_an_expired_reservation_commits_nothing() {
    let mut owner = Fixture::new();
    let held = owner.reserve(Want::default()).unwrap();
    let late = owner.commit_at(&held, 80, NOW.plus(LIFETIME_S));
    assert!(matches!(late, Err(LedgerError::NoReservation)));
    assert_eq!(owner.spent(), rho(0));
    assert_eq!(owner.ledger.log_size(&d(1)).unwrap(), 0);
    owner
        .commit_at(&held, 80, NOW.plus(LIFETIME_S - 1))
        .unwrap();
}

#[test]
fn open_reservations_are_limited() {
    let mut owner = Fixture::new();
    let open = |owner: &mut Fixture, request, analyst| {
        owner.reserve(Want {
            request,
            cost: 1,
            analyst,
            ..Want::default()
        })
    };
    let limit_of = |result: Result<_, LedgerError>| match result.map(drop).unwrap_err() {
        LedgerError::TooManyReservations { opener, .. } => opener,
        other => panic!("{other:?}"),
    };
    let analysts = ["mailer/ana", "mailer/bea", "mailer/cal", "mailer/dan"];
    let mut request = 0;
    for analyst in analysts {
        for _ in 0..MAX_OPEN_PER_ANALYST {
            request += 1;
            open(&mut owner, request, analyst).unwrap();
        }
        let full = limit_of(open(&mut owner, 100, analyst));
        assert_eq!(full, Opener::Analyst);
    }
    assert_eq!(
        limit_of(open(&mut owner, 100, "mailer/eve")),
        Opener::Counterparty
    );
    open(&mut owner, 100, "shop/ana").unwrap();
}

/// Who finishes what they opened may go on.
#[test]
fn a_committed_reservation_is_no_longer_open() {
    let mut owner = Fixture::new();
    for request in 0..=u8::try_from(MAX_OPEN_PER_ANALYST).unwrap() {
        let want = Want {
            request,
            cost: 1,
            ..Want::default()
        };
        owner.spend(want).unwrap();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve {
        request: u8,
        room: u8,
        cost: u64,
        agreement: u8,
    },
    Commit {
        nth: prop::sample::Index,
        commitments: u8,
    },
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..4, 0u8..3, 1u64..300, 1u8..4)
            .prop_map(|(request, room, cost, agreement)| Step::Reserve {
                // one request digest stands for one agreement and one cost
                request: request * 4 + agreement,
                room,
                cost: cost / 100 * 100 + u64::from(request) + 1,
                agreement,
            }),
        4 => (any::<prop::sample::Index>(), 80u8..82)
            .prop_map(|(nth, commitments)| Step::Commit { nth, commitments }),
        1 => (0u64..200).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the order of calls: spent plus held stays within both ceilings, what was
    /// spent never shrinks, and no call that fails spends.
    #[test]
    fn i5_spent_and_held_stay_within_the_ceilings(steps in steps()) {
        let mut owner = Fixture::new();
        let mut now = NOW;
        let mut helds = Vec::new();
        let mut spent_before = rho(0);
        for step in steps {
            let mut failed = false;
            match step {
                Step::Wait(seconds) => now = now.plus(seconds),
                Step::Reserve { request, room, cost, agreement } => {
                    let want = Want { request, room, cost, agreement, at: now, ..Want::default() };
                    helds.extend(owner.reserve(want));
                }
                Step::Commit { nth, commitments } if !helds.is_empty() => {
                    let held = &helds[nth.index(helds.len())];
                    failed = owner.commit_at(held, commitments, now).is_err();
                }
                Step::Commit { .. } => {}
            }
            let spent = owner.spent();
            let used = spent.checked_add(owner.ledger.held().unwrap()).unwrap();
            prop_assert!(used.within(&owner.ceilings.population));
            prop_assert!(spent_before.within(&spent));
            prop_assert!(!failed || spent == spent_before);
            for agreement in 1..4 {
                let here = owner.ledger.spent(&d(agreement)).unwrap();
                prop_assert!(here.within(&owner.ceilings.agreement));
            }
            spent_before = spent;
        }
    }
}

/// One signed request sent again and again, while another owner changes its seed: it is
/// charged once. The analyst's next signature is charged anew.
#[test]
fn i8_a_signed_request_is_charged_once() {
    let mut owner = Fixture::new();
    owner.envelope = Some(1);
    let held = owner.reserve(Want::default()).unwrap();
    owner.commit(&held, 80).unwrap();
    let before = owner.ledger.log_size(&d(1)).unwrap();
    for commitments in [81, 82] {
        let refused = owner.commit(&held, commitments);
        assert!(matches!(refused, Err(LedgerError::ChargedBefore)));
    }
    assert_eq!(owner.spent(), rho(100));
    assert_eq!(owner.ledger.log_size(&d(1)).unwrap(), before);
    owner.commit(&held, 80).unwrap();
    assert_eq!(owner.spent(), rho(100), "a repeat is free");
    owner.envelope = Some(2);
    owner.commit(&held, 81).unwrap();
    assert_eq!(owner.spent(), rho(200));
}
