//! Receipts: anyone checks them offline, and no part can be exchanged.

use incamera_keys::{SigningKey, open_signed, sign_message};
use incamera_release::{OpenedGrants, ReceiptError, Request, RequestRefusal, verify_release};
use incamera_types::PrivacyLoss;
use incamera_wire::v1::{Answer, Receipt, ReleaseFile};
use incamera_wire::{Format, encode};

use crate::world::{NOW, World, measurement, name, params, signed};

pub struct Done {
    pub world: World,
    opened: OpenedGrants,
    pub file: ReleaseFile,
}

fn answer() -> Answer {
    Answer {
        query: "lift".into(),
        simulated: true,
        ..Answer::default()
    }
}

pub fn done() -> Done {
    let mut world = World::new();
    let (opened, file) = run(&mut world);
    Done {
        world,
        opened,
        file,
    }
}

fn run(world: &mut World) -> (OpenedGrants, ReleaseFile) {
    let session = world.granted();
    world.issue(session, &answer())
}

pub fn receipt(done: &Done) -> Receipt {
    let signed = done.file.receipt.as_ref().unwrap();
    open_signed(
        signed,
        Format::Receipt,
        &done.world.receipt_key.public(),
        1 << 24,
    )
    .unwrap()
}

/// The receipt with a change, signed again by the room: what a dishonest room can do.
fn changed(change: impl FnOnce(&mut Done, &mut Receipt)) -> ReceiptError {
    let mut done = done();
    let mut receipt = receipt(&done);
    change(&mut done, &mut receipt);
    let signed = sign_message(&done.world.receipt_key, Format::Receipt, &receipt).unwrap();
    done.file.receipt = Some(signed);
    verify_release(&done.file, &done.world.agreement).unwrap_err()
}

fn inconsistent(what: &'static str) -> ReceiptError {
    ReceiptError::Inconsistent { what }
}

#[test]
fn i10_a_receipt_says_all_and_that_it_is_simulated() {
    let done = done();
    let report = verify_release(&done.file, &done.world.agreement).unwrap();
    assert!(report.simulated);
    assert_eq!(report.agreement, done.world.agreement.digest);
    assert_eq!(report.request_digest, done.opened.request());
    assert_eq!(report.request, done.world.request());
    assert_eq!(report.analyst, name("mailer/ana"));
    assert_eq!(report.reason, "a test");
    assert_eq!(report.measurement, measurement(1));
    assert_eq!(report.answer, answer());
    let data: Vec<(&str, u64)> = report
        .data
        .iter()
        .map(|(name, at, _)| (name.as_str(), *at))
        .collect();
    assert_eq!(data, [("customers", 1), ("mailing", 1), ("purchases", 1)]);
    let owners: Vec<&str> = report
        .grants
        .iter()
        .map(|grant| grant.owner.as_str())
        .collect();
    assert_eq!(owners, ["mailer", "shop"]);
    assert!(
        report
            .grants
            .iter()
            .all(|grant| grant.charge == done.world.cost())
    );
    assert!(report.grants.iter().all(|grant| grant.granted_at == NOW));
}

/// A repeat's receipt says that nothing was charged.
#[test]
fn i8_the_receipt_of_a_repeat_shows_no_charge() {
    let mut done = done();
    let (_, again) = run(&mut done.world);
    let report = verify_release(&again, &done.world.agreement).unwrap();
    assert!(
        report
            .grants
            .iter()
            .all(|grant| grant.charge == PrivacyLoss::default())
    );
    assert_eq!(report.grants[0].log_index, 1);
}

#[test]
fn the_answer_cannot_be_exchanged() {
    let mut done = done();
    let mut other = answer();
    other.keys.push("forged".into());
    let genuine = std::mem::replace(&mut done.file.answer, encode(&other));
    let refused = verify_release(&done.file, &done.world.agreement).unwrap_err();
    assert_eq!(refused, ReceiptError::Answer);
    done.file.answer = genuine;
    done.file.salt[0] ^= 1;
    let refused = verify_release(&done.file, &done.world.agreement).unwrap_err();
    assert_eq!(refused, ReceiptError::Answer);
}

/// The key that signs must be the one that the evidence binds.
#[test]
fn the_receipt_key_is_bound_in_the_evidence() {
    let mut done = done();
    let stranger = SigningKey::generate(&mut done.world.rng);
    let mut receipt = receipt(&done);
    done.file.receipt = Some(sign_message(&stranger, Format::Receipt, &receipt).unwrap());
    let refused = verify_release(&done.file, &done.world.agreement).unwrap_err();
    assert_eq!(refused, ReceiptError::Signature);
    // Naming the stranger's key beside genuine evidence does not help.
    for bound in &mut receipt.evidence {
        bound.keys.as_mut().unwrap().receipt_key = stranger.public().as_bytes().to_vec();
    }
    done.file.receipt = Some(sign_message(&stranger, Format::Receipt, &receipt).unwrap());
    let refused = verify_release(&done.file, &done.world.agreement).unwrap_err();
    assert!(matches!(refused, ReceiptError::Evidence { .. }));
}

#[test]
fn no_part_of_a_receipt_can_be_exchanged() {
    let agreement = changed(|_, receipt| receipt.agreement_digest[0] ^= 1);
    assert!(matches!(agreement, ReceiptError::OtherAgreement { .. }));
    let id = changed(|_, receipt| receipt.agreement_id[0] ^= 1);
    assert_eq!(id, inconsistent("agreement id"));
    let digest = changed(|_, receipt| receipt.request_digest[0] ^= 1);
    assert_eq!(digest, inconsistent("request digest"));
    let data = changed(|_, receipt| receipt.data[0].manifest[0] ^= 1);
    assert_eq!(data, inconsistent("list of data versions"));
    let fewer = changed(|_, receipt| drop(receipt.data.pop()));
    assert_eq!(fewer, inconsistent("list of data versions"));
    let result = changed(|_, receipt| receipt.result_commitment[0] ^= 1);
    assert_eq!(result, ReceiptError::Answer);
    let one = changed(|_, receipt| {
        receipt.grants.pop();
        receipt.evidence.pop();
    });
    assert_eq!(one, inconsistent("list of grants"));
    let none = changed(|_, receipt| receipt.grants.clear());
    assert_eq!(none, inconsistent("list of grants"));
    let order = changed(|_, receipt| receipt.grants.reverse());
    assert_eq!(order, inconsistent("list of grants"));
    let evidence = changed(|_, receipt| drop(receipt.evidence.pop()));
    assert_eq!(evidence, inconsistent("list of evidence"));
    let challenge = changed(|_, receipt| receipt.evidence[0].challenge[0] ^= 1);
    assert!(matches!(challenge, ReceiptError::Evidence { .. }));
    let grant = changed(|_, receipt| receipt.grants[0].body[40] ^= 1);
    assert!(matches!(grant, ReceiptError::Grant { .. }), "{grant:?}");
}

/// I10: a simulated room cannot sign its way out of saying so.
#[test]
fn i10_simulation_cannot_be_left_out_of_a_receipt() {
    let hidden = changed(|_, receipt| receipt.simulated = false);
    assert_eq!(hidden, inconsistent("word on simulation"));
}

/// The request of somebody else, or one that nobody signed.
#[test]
fn the_request_is_the_analysts_own() {
    let unsigned = changed(|_, receipt| receipt.request.as_mut().unwrap().body[20] ^= 1);
    assert!(matches!(
        unsigned,
        ReceiptError::Request(RequestRefusal::Signed(_) | RequestRefusal::UnknownAnalyst)
    ));
    let other = changed(|done, receipt| {
        let agreement = done.world.agreement.agreement().clone();
        let digests = done.world.digests();
        let params = params("2026-04-01");
        let other = Request::new(&agreement, &name("lift"), params, &digests, measurement(1));
        receipt.request = Some(done.world.sign(&other.unwrap()));
    });
    assert_eq!(other, inconsistent("request digest"));
}

/// Grants of another run of the same request do not fit the evidence's room key.
#[test]
fn grants_of_another_run_do_not_fit() {
    let mixed = changed(|done, receipt| {
        let session = done.world.granted();
        receipt.grants = session.grants;
    });
    assert!(matches!(mixed, ReceiptError::Grant { .. }), "{mixed:?}");
}

#[test]
fn a_receipt_is_checked_under_its_own_agreement() {
    let done = done();
    let text = String::from_utf8(done.world.agreement.bytes().to_vec()).unwrap();
    let other = signed(&text.replace("spring", "summer"), &done.world.signs);
    let refused = verify_release(&done.file, &other).unwrap_err();
    let found = done.world.agreement.digest;
    assert_eq!(refused, ReceiptError::OtherAgreement { found });
}

#[test]
fn other_files_are_refused() {
    let mut done = done();
    done.file.format = "incamera-release/2".into();
    let refused = verify_release(&done.file, &done.world.agreement).unwrap_err();
    assert!(matches!(refused, ReceiptError::Format(_)));
    done.file = ReleaseFile {
        format: "incamera-release/1".into(),
        ..ReleaseFile::default()
    };
    let refused = verify_release(&done.file, &done.world.agreement).unwrap_err();
    assert!(matches!(refused, ReceiptError::Format(_)));
}

/// Each owner states in its signed grant what it had spent by then, so that whoever holds the
/// answer can say what is left.
#[test]
fn grants_say_what_is_spent() {
    let mut world = World::new();
    let mut last = None;
    for _ in 0..2 {
        let (_, file) = run(&mut world);
        let report = verify_release(&file, &world.agreement).unwrap();
        for grant in &report.grants {
            let spent = grant.spent.unwrap();
            let cost = world.agreement.cost(&world.agreement.queries["lift"]);
            assert_eq!(spent, cost, "the charge counts, and a repeat adds nothing");
        }
        last = Some(report.grants.len());
    }
    assert_eq!(last, Some(2));
}
