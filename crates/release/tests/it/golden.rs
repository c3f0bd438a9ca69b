//! Committed messages of one whole release, of version 1: agreement, signatures, request,
//! reservations, grants, evidence and receipt must hold for ever.
//!
//! `cargo test -p incamera-release -- --ignored write_golden_files` made them; a format that
//! changes gets a new version and files of its own beside these, which stay as they are. The
//! keys in `keys/` protect nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use incamera_agreement::{SignedAgreement, files};
use incamera_keys::hpke::RoomPublicKey;
use incamera_keys::{ReceiveKey, SigningKey, sign_message};
use incamera_release::{
    Address, AllReserved, Receiver, Record, issue, open_answer, seal_answer, verify_release,
    verify_request,
};
use incamera_seal::peek_manifest;
use incamera_types::UnixTime;
use incamera_wire::v1::{
    Answer, Grant, Group, LogEntry, Measure, Receipt, ReleaseFile, RequestEnvelope, Reservation,
    Signed,
};
use incamera_wire::{Format, decode, encode};
use prost::Message;

use crate::world::{NOW, World, name};

const AGREEMENT: &str = "spring.toml";
const OWNERS: [&str; 2] = ["mailer", "shop"];
const DATASETS: [&str; 3] = ["customers", "mailing", "purchases"];

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/golden").join(name)
}

fn write(name: &str, bytes: impl AsRef<[u8]>) {
    let path = golden(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn read<M: Message + Default>(name: &str) -> M {
    let bytes = fs::read(golden(name)).unwrap();
    decode(&bytes, bytes.len()).unwrap()
}

fn key(name: &str) -> SigningKey {
    let text = fs::read_to_string(golden(&format!("keys/{name}"))).unwrap();
    SigningKey::from_openssh(&text, None).unwrap()
}

fn agreement() -> SignedAgreement {
    files::read_signed(&golden(AGREEMENT)).unwrap()
}

fn answer() -> Answer {
    Answer {
        query: "lift".into(),
        keys: vec!["campaign_group".into()],
        measures: vec![Measure {
            name: "people".into(),
            scale: 0,
            sigma: 3.5,
            clamp_low: "0".into(),
            clamp_high: "1".into(),
            ..Measure::default()
        }],
        groups: vec![Group {
            key: vec!["mailed".into()],
            withheld: false,
            values: vec![-7],
        }],
        simulated: true,
        ..Answer::default()
    }
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_golden_files() {
    let mut world = World::new();
    let session = world.granted();
    let (request, evidence) = (session.request.clone(), session.evidence.clone());
    write("request-1", encode(request.signed()));
    for (at, owner) in OWNERS.iter().enumerate() {
        write(
            &format!("reservation-1.{owner}"),
            encode(&session.reservations[at]),
        );
        write(&format!("grant-1.{owner}"), encode(&session.grants[at]));
    }
    for (dataset, manifest) in &world.manifests {
        write(&format!("manifest-1.{dataset}"), encode(manifest.signed()));
    }
    let opened = world.open(session).unwrap();
    let record = Record {
        request: &request,
        grants: &opened,
        manifests: &world.manifests,
        evidence: &evidence,
    };
    let file = issue(&record, &answer(), &world.receipt_key, &mut world.rng).unwrap();
    write("release-1", encode(&file));
    write_agreement(&world);
    write_digests();
}

/// The key that the shop's sealed answer opens with: that of the golden files of `keys`.
fn receive_key() -> ReceiveKey {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(folder.join("../keys/tests/golden/receive_key-1"));
    ReceiveKey::from_text(&text.unwrap()).unwrap()
}

fn address() -> Address {
    let report = verify_release(&read("release-1"), &agreement()).unwrap();
    Address {
        agreement: report.agreement,
        request: report.request_digest,
        receiver: Receiver::Party(name("shop")),
    }
}

/// Of the golden release, which stays as it is.
#[test]
#[ignore = "writes a golden file anew: only for a format that has no version yet"]
fn write_golden_sealed_answer() {
    let (release, key) = (read("release-1"), receive_key());
    let rng = &mut World::new().rng;
    let sealed = seal_answer(&release, key.public(), &address(), rng).unwrap();
    write("sealed-answer-1", encode(&sealed));
}

#[test]
fn a_sealed_answer_opens() {
    let sealed = read("sealed-answer-1");
    let (release, report) = open_answer(&sealed, &receive_key(), &address(), &agreement()).unwrap();
    assert_eq!(release, read("release-1"));
    assert_eq!(report.answer, answer());
}

fn write_agreement(world: &World) {
    let bytes = world.agreement.bytes();
    write(AGREEMENT, bytes);
    for (party, key) in &world.signs {
        let signature = incamera_agreement::sign(bytes, key).unwrap();
        write(&format!("{AGREEMENT}.{party}.sig"), signature.to_armor());
    }
    let keep = |name: &str, key: &SigningKey| {
        write(
            &format!("keys/{name}"),
            key.to_openssh(name).unwrap().as_bytes(),
        );
    };
    keep(
        "ana",
        &world.analysts["mailer/ana"
            .parse::<incamera_types::AnalystRef>()
            .as_ref()
            .unwrap()],
    );
    keep("receipt", &world.receipt_key);
    for owner in OWNERS {
        keep(owner, &world.owners[owner].signer);
    }
}

/// Every digest that these messages hang together by, as it came out of this program.
fn digests() -> String {
    let agreement = agreement();
    let report = verify_release(&read("release-1"), &agreement).unwrap();
    let reserved = reserved(&agreement);
    let mut lines = BTreeMap::from([
        ("agreement id".to_owned(), agreement.id.to_string()),
        ("agreement digest".to_owned(), agreement.digest.to_string()),
        (
            "request digest".to_owned(),
            report.request_digest.to_string(),
        ),
        (
            "reservations digest".to_owned(),
            reserved.digest().to_string(),
        ),
        (
            "commitments digest".to_owned(),
            reserved.commitments_digest().to_string(),
        ),
        (
            "room key digest".to_owned(),
            reserved.room_key().to_string(),
        ),
    ]);
    for grant in &report.grants {
        lines.insert(
            format!("grant digest {}", grant.owner),
            grant.grant.to_string(),
        );
        lines.insert(
            format!("evidence digest {}", grant.owner),
            grant.evidence.to_string(),
        );
    }
    for dataset in DATASETS {
        let manifest = peek_manifest(&read(&format!("manifest-1.{dataset}"))).unwrap();
        lines.insert(
            format!("manifest digest {dataset}"),
            manifest.digest().to_string(),
        );
    }
    let lines = lines
        .into_iter()
        .map(|(what, digest)| format!("{digest}  {what}\n"));
    lines.collect()
}

fn write_digests() {
    write("digests.txt", digests());
}

fn receipt() -> Receipt {
    let file: ReleaseFile = read("release-1");
    let body = file.receipt.unwrap().body;
    decode(&body, body.len()).unwrap()
}

fn reserved(agreement: &SignedAgreement) -> AllReserved {
    let active = agreement.at(NOW).unwrap();
    let request = verify_request(&read("request-1"), &active, NOW).unwrap();
    let keys = receipt().evidence[0].keys.clone().unwrap();
    let room_key = RoomPublicKey::from_bytes(&keys.hpke_key).unwrap().digest();
    let all = OWNERS.map(|owner| read::<Signed>(&format!("reservation-1.{owner}")));
    AllReserved::check(&request, room_key, &all, NOW, 30).unwrap()
}

#[test]
fn the_release_of_version_1_is_verified() {
    let report = verify_release(&read("release-1"), &agreement()).unwrap();
    assert_eq!(report.answer, answer());
    assert_eq!(report.analyst, name("mailer/ana"));
    assert_eq!(report.reason, "a test");
    assert!(report.simulated);
    let data: Vec<_> = report
        .data
        .iter()
        .map(|(data, at, _)| (data.as_str(), *at))
        .collect();
    assert_eq!(data, DATASETS.map(|dataset| (dataset, 1)));
    let grants: Vec<_> = report
        .grants
        .iter()
        .map(|grant| grant.owner.as_str())
        .collect();
    assert_eq!(grants, OWNERS);
}

#[test]
fn the_request_and_reservations_of_version_1_are_verified() {
    let agreement = agreement();
    let active = agreement.at(NOW).unwrap();
    let request = verify_request(&read("request-1"), &active, NOW).unwrap();
    assert_eq!(request.query().name.as_str(), "lift");
    assert_eq!(request.expires(), UnixTime(NOW.0 + 3600));
    let reserved = reserved(&agreement);
    for owner in OWNERS {
        assert!(reserved.commitment(&name(owner)).is_some());
    }
}

/// The labels and the order of fields of every digest.
#[test]
fn digests_of_version_1_stay_what_they_are() {
    assert_eq!(
        digests(),
        fs::read_to_string(golden("digests.txt")).unwrap()
    );
}

/// Body and signature: Ed25519 signatures of the same bytes are the same.
fn same_again<M: Message + Default>(signed: &Signed, format: Format, signer: &str) {
    let body: M = decode(&signed.body, signed.body.len()).unwrap();
    assert_eq!(
        sign_message(&key(signer), format, &body).unwrap(),
        *signed,
        "{format}"
    );
}

#[test]
fn messages_of_version_1_are_written_the_same_again() {
    same_again::<RequestEnvelope>(&read("request-1"), Format::Request, "ana");
    for owner in OWNERS {
        let reservation = read(&format!("reservation-1.{owner}"));
        same_again::<Reservation>(&reservation, Format::Reservation, owner);
        let grant = read(&format!("grant-1.{owner}"));
        same_again::<Grant>(&grant, Format::Grant, owner);
        let grant: Grant = decode(&grant.body, grant.body.len()).unwrap();
        let entry = grant.log.unwrap().entry;
        let read: LogEntry = decode(&entry, entry.len()).unwrap();
        assert_eq!(
            (read.format.as_str(), encode(&read)),
            (Format::LogEntry.as_str(), entry)
        );
    }
    let file: ReleaseFile = read("release-1");
    assert_eq!(encode(&file), fs::read(golden("release-1")).unwrap());
    assert_eq!(encode(&answer()), file.answer);
    same_again::<Receipt>(&file.receipt.unwrap(), Format::Receipt, "receipt");
}

/// A message of a version that is not known yet says what it is and what would read it.
#[test]
fn versions_to_come_are_refused() {
    let agreement = agreement();
    let active = agreement.at(NOW).unwrap();
    let newer = |signed: Signed| Signed {
        format: signed.format.replace("/1", "/2"),
        ..signed
    };
    let request = newer(read("request-1"));
    let file: ReleaseFile = read("release-1");
    let keys = receipt().evidence[0].keys.clone().unwrap();
    let room_key = RoomPublicKey::from_bytes(&keys.hpke_key).unwrap().digest();
    let good = verify_request(&read("request-1"), &active, NOW).unwrap();
    let all = OWNERS.map(|owner| newer(read::<Signed>(&format!("reservation-1.{owner}"))));
    let release = ReleaseFile {
        format: "incamera-release/2".into(),
        ..file.clone()
    };
    let refusals = [
        (
            "incamera-request/2",
            causes(&verify_request(&request, &active, NOW).unwrap_err()),
        ),
        (
            "incamera-reservation/2",
            causes(&AllReserved::check(&good, room_key, &all, NOW, 30).unwrap_err()),
        ),
        (
            "incamera-release/2",
            causes(&verify_release(&release, &agreement).unwrap_err()),
        ),
    ];
    for (format, text) in refusals {
        assert!(text.contains(format), "{format}: {text}");
        assert!(
            text.contains("a newer version of incamera"),
            "{format}: {text}"
        );
    }
    // A receipt and its grants come inside a release file, whose version says it all; still
    // neither counts under another version.
    let mut receipt = file.clone();
    receipt.receipt = receipt.receipt.map(newer);
    assert!(verify_release(&receipt, &agreement).is_err());
}

/// An error with all its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
