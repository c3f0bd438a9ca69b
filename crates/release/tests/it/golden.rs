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
    Address, AllReserved, Receiver, open_answer, seal_answer, verify_release, verify_request,
};
use incamera_seal::peek_manifest;
use incamera_types::UnixTime;
use incamera_wire::v1::{
    Answer, Grant, Group, LogEntry, Measure, Receipt, ReleaseFile, RequestEnvelope, Reservation,
    Signed,
};
use incamera_wire::{Format, decode, encode};
use prost::Message;

use crate::world::{NOW, TEMPLATE, World, name};

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
    write("request-1", encode(session.request.signed()));
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
    let (_, file) = world.issue(session, &answer());
    write("release-1", encode(&file));
    write_agreement(&world);
    write_digests();
}

/// What came into agreements and answers after the first files: each under an agreement of its
/// own about the same data.
const LATER: [&str; 2] = ["sampled", "discovered"];

/// The agreement of one of [`LATER`]: the query `lift` with a text and settings of its own.
fn later_agreement(of: &str) -> String {
    let (before, rest) = TEMPLATE.split_once("[queries.lift]").unwrap();
    let (_, after) = rest.split_once("[queries.buyers]").unwrap();
    let lift = match of {
        "sampled" => SAMPLED,
        _ => DISCOVERED,
    };
    format!("{before}[queries.lift]{lift}[queries.buyers]{after}")
}

const SAMPLED: &str = r#"
purpose = "measurement"
analysts = ["mailer/ana"]
receivers = ["mailer", "shop"]
reads = ["customers.person", "purchases.person", "purchases.day", "purchases.amount", "mailing.person", "mailing.mailed"]
sql = '''
SELECT CASE WHEN mailing.mailed THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
       COUNT(DISTINCT customers.person) AS people,
       COUNT(DISTINCT purchases.person) AS buyers,
       AVG(purchases.amount) AS mean,
       MEDIAN(purchases.amount) AS middle
FROM customers
JOIN mailing ON mailing.person = customers.person
LEFT JOIN purchases ON purchases.person = customers.person
  AND purchases.day BETWEEN $from AND $until
GROUP BY 1
'''
params = { from = { type = "date", min = 2026-01-01, max = 2026-12-31 }, until = { type = "date" } }
rows = { purchases = 10, mailing = 1 }
groups = { campaign_group = ["mailed", "not mailed"] }
per_person = { groups = 1, mean = { value = [0, 400], rows = 1 }, middle = { value = [0, 400], rows = 5 } }
ratios = { rate = "buyers / people" }
compare = [
  { ratio = "rate", group = "mailed", against = "not mailed" },
  { kind = "odds-ratio", ratio = "rate", group = "mailed", against = "not mailed" },
  { kind = "difference", average = "mean", group = "mailed", against = "not mailed" },
]
sampling = true
epsilon = 1.0
delta = 1e-8
min_people = 50

"#;

const DISCOVERED: &str = r#"
purpose = "measurement"
analysts = ["mailer/ana"]
receivers = ["mailer", "shop"]
reads = ["customers.person", "purchases.person", "purchases.day", "purchases.category", "mailing.person", "mailing.mailed"]
sql = '''
SELECT purchases.category AS category,
       COUNT(DISTINCT customers.person) AS people,
       COUNT(DISTINCT purchases.day) AS days
FROM customers
JOIN mailing ON mailing.person = customers.person
JOIN purchases ON purchases.person = customers.person
  AND purchases.day BETWEEN $from AND $until
WHERE mailing.mailed
GROUP BY 1
'''
params = { from = { type = "date" }, until = { type = "date" } }
rows = { purchases = 10, mailing = 1 }
groups = { category = "discovered" }
per_person = { groups = 2, days = { distinct = 3 } }
epsilon = 1.0
delta = 1e-8
min_people = 50

"#;

fn measure(name: &str, scale: u32, sigma: f64, high: &str) -> Measure {
    Measure {
        name: name.into(),
        scale,
        sigma,
        clamp_low: "0".into(),
        clamp_high: high.into(),
        ..Measure::default()
    }
}

fn group(key: &str, values: &[i64]) -> Group {
    Group {
        key: vec![key.into()],
        withheld: values.is_empty(),
        values: values.to_vec(),
    }
}

/// The answer of one of [`LATER`]: every field that came later is set in one of them.
fn later_answer(of: &str) -> Answer {
    let euros = |measure: Measure| Measure {
        unit: "EUR".into(),
        ..measure
    };
    let (keys, measures, groups, threshold) = match of {
        "sampled" => (
            "campaign_group",
            vec![
                measure("people", 0, 8.5, "1"),
                measure("buyers", 0, 8.5, "1"),
                measure("mean.count", 0, 12.0, "1"),
                Measure {
                    clamp_low: "-200.00".into(),
                    ..euros(measure("mean.sum", 2, 340_000.0, "200.00"))
                },
                measure("mean.squares", 4, 9.0e9, "40000.0000"),
                Measure {
                    quantile: 0.5,
                    ranks: 31.0,
                    ..euros(measure("middle", 2, 0.0, "400.00"))
                },
            ],
            vec![
                group(
                    "mailed",
                    &[41_930, 5_612, 5_598, -89_000_000, 1_900_000_000_000, 3_350],
                ),
                group(
                    "not mailed",
                    &[48_105, 5_730, 5_741, -95_000_000, 2_000_000_000_000, 3_175],
                ),
            ],
            0,
        ),
        _ => (
            "category",
            vec![
                measure("people", 0, 9.0, "1"),
                Measure {
                    noise: "laplace".into(),
                    half_width: 26.0,
                    ..measure("days", 0, 12.5, "3")
                },
            ],
            vec![group("food", &[612, 91]), group("home", &[188, -4])],
            73,
        ),
    };
    Answer {
        query: "lift".into(),
        keys: vec![keys.into()],
        measures,
        groups,
        simulated: true,
        threshold,
    }
}

/// The releases of [`LATER`], each with its agreement and all signatures.
#[test]
#[ignore = "writes golden files anew: only for what has none yet"]
fn write_golden_releases_of_later_fields() {
    for of in LATER {
        let mut world = World::sealed(&later_agreement(of));
        let session = world.granted();
        let (_, file) = world.issue(session, &later_answer(of));
        write(&format!("release-1-{of}"), encode(&file));
        write_signed(&format!("{of}.toml"), &world);
    }
}

/// Fields that came later are read as they were written, and written the same again.
#[test]
fn releases_with_later_fields_are_verified() {
    for of in LATER {
        let agreement = files::read_signed(&golden(&format!("{of}.toml"))).unwrap();
        let file: ReleaseFile = read(&format!("release-1-{of}"));
        let report = verify_release(&file, &agreement).unwrap();
        assert_eq!(report.answer, later_answer(of), "{of}");
        assert_eq!(encode(&later_answer(of)), file.answer, "{of}");
        assert_eq!(report.query.sampling, of == "sampled");
        assert_eq!(
            report.query.compare.len(),
            if of == "sampled" { 3 } else { 0 }
        );
        // Another number of any of them is another answer.
        let mut changed = later_answer(of);
        changed.measures[1].half_width += 1.0;
        let forged = ReleaseFile {
            answer: encode(&changed),
            ..file
        };
        assert!(verify_release(&forged, &agreement).is_err(), "{of}");
    }
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

/// The agreement with all signatures.
fn write_signed(name: &str, world: &World) {
    let bytes = world.agreement.bytes();
    write(name, bytes);
    for (party, key) in &world.signs {
        let signature = incamera_agreement::sign(bytes, key).unwrap();
        write(&format!("{name}.{party}.sig"), signature.to_armor());
    }
}

fn write_agreement(world: &World) {
    write_signed(AGREEMENT, world);
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
