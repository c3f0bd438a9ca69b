//! I5: a crash may lose an answer, never a charge.

use std::panic::{AssertUnwindSafe, catch_unwind};

use incamera_ledger::Failpoint;

use crate::fixture::{Fixture, Want, d, rho};

fn crash_at(owner: &mut Fixture, at: Failpoint) {
    owner.ledger.on_failpoint(move |point| {
        assert_ne!(point, at, "crash");
    });
    let crashed = catch_unwind(AssertUnwindSafe(|| owner.spend(Want::default())));
    assert!(crashed.is_err());
    owner.reopen();
}

#[test]
fn i5_a_crash_after_the_charge_keeps_it() {
    let mut owner = Fixture::on_disk();
    crash_at(&mut owner, Failpoint::Charged);
    assert_eq!(owner.spent(), rho(100));
    assert_eq!(owner.ledger.log_size(&d(1)).unwrap(), 1);
    // The retry finds charge and seed, and is free.
    let repeat = owner.reserve(Want::default()).unwrap();
    assert!(repeat.repeat());
    let (charged, _) = owner.commit(&repeat, 80).unwrap();
    assert_eq!(charged.loss(), rho(0));
    assert_eq!(owner.spent(), rho(100));
}

#[test]
fn i5_a_crash_before_the_charge_grants_nothing() {
    let mut owner = Fixture::on_disk();
    crash_at(&mut owner, Failpoint::Charging);
    assert_eq!(owner.spent(), rho(0));
    assert_eq!(owner.ledger.log_size(&d(1)).unwrap(), 0);
    let held = owner.reserve(Want::default()).unwrap();
    assert!(!held.repeat());
}

#[test]
fn i5_a_crash_after_reserving_keeps_the_promise() {
    let mut owner = Fixture::on_disk();
    crash_at(&mut owner, Failpoint::Reserved);
    assert_eq!(owner.ledger.held().unwrap(), rho(100));
    let before = owner.reserve(Want::default()).unwrap().commitment();
    owner.reopen();
    assert_eq!(owner.reserve(Want::default()).unwrap().commitment(), before);
}
