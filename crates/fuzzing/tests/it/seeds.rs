//! The seeds: `fuzz/seeds/NAME/*`, small and well formed, so that mutations reach far.
//!
//! `cargo test -p incamera-fuzzing -- --ignored write_seeds` made them, out of the golden files
//! of the other crates and of what stands here.

use std::fs;
use std::path::{Path, PathBuf};

use incamera_agreement::Agreement;
use incamera_fuzzing::TARGETS;
use incamera_keys::SigningKey;
use incamera_types::Digest as _;
use incamera_wire::v1::{Grant, Receipt, ReleaseFile, SealedAnswer, Signed, Token};
use incamera_wire::{decode, encode};

use crate::bound;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn folder(name: &str) -> PathBuf {
    root().join("fuzz/seeds").join(name)
}

/// The seeds of a function, in order of name.
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder(name)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// They are a help, not a data set.
#[test]
fn seeds_are_small() {
    for (name, _) in TARGETS {
        for seed in seeds(name) {
            assert!(seed.len() <= 16 << 10, "{name}: {} bytes", seed.len());
        }
    }
}

fn keep(name: &str, seed: &str, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(folder(name)).unwrap();
    fs::write(folder(name).join(seed), bytes).unwrap();
}

/// A file of the tree.
fn of(path: &str) -> Vec<u8> {
    fs::read(root().join("crates").join(path)).unwrap_or_else(|_| panic!("{path}"))
}

fn golden(name: &str) -> Vec<u8> {
    of(&format!("release/tests/golden/{name}"))
}

fn read<M: prost::Message + Default>(bytes: &[u8]) -> M {
    decode(bytes, bytes.len()).unwrap()
}

fn body(name: &str) -> Vec<u8> {
    read::<Signed>(&golden(name)).body
}

#[test]
#[ignore = "writes the seeds anew"]
fn write_seeds() {
    texts();
    messages();
    files();
    vole();
    exchange();
    tokens();
    resumed();
    providers();
    for (seed, bytes) in bound::seeds() {
        keep("parameters", seed, bytes);
    }
}

fn texts() {
    keep(
        "agreement",
        "lift",
        of("agreement/tests/agreements/lift.toml"),
    );
    keep(
        "agreement",
        "version2",
        of("agreement/tests/agreements/version2.toml"),
    );
    keep("agreement", "release", golden("spring.toml"));
    keep(
        "proposal",
        "golden",
        of("agreement/tests/golden/proposal-1.proposal"),
    );
    keep(
        "proposal",
        "draft",
        of("agreement/tests/proposals/reach.toml"),
    );
    keep("signature", "armor", golden("spring.toml.shop.sig"));
    keep(
        "signature",
        "binary",
        read::<Signed>(&golden("request-1")).signature,
    );
    let log = read::<Grant>(&body("grant-1.shop")).log.unwrap();
    let checkpoint = log.checkpoint;
    let text = checkpoint.split_once("\n\n").unwrap().0;
    keep("note", "checkpoint", format!("{text}\n"));
    keep("note", "note", checkpoint);
    for (at, url) in [
        "https://shop.example:7443",
        "https://127.0.0.1:1",
        "https://[::1]:65535",
    ]
    .iter()
    .enumerate()
    {
        keep("url", &at.to_string(), url);
    }
    let values = [
        "2027-03-31",
        "-0001-01-01",
        "1234.50",
        "-170141183460469231731.687303715884105728",
        "true",
        "-42",
        "mailer/ana",
        "customers.person",
        "decimal(10,2)",
        "1e-8",
        "Ana@Mail.Example",
        "+49 (0)30 1234-567",
        "a text\u{2003}with spaces",
    ];
    for (at, value) in values.iter().enumerate() {
        keep("values", &format!("{at:02}"), value);
    }
    keep("values", "digest", &golden("digests.txt")[..64]);
    keep("config", "party", of("party/tests/golden/party-1.toml"));
    keep("config", "public", of("party/tests/golden/public-1.toml"));
    keep("config", "room", of("room/tests/golden/room-1.toml"));
    keep("certificate", "openssh", golden("keys/ana"));
    keep(
        "certificate",
        "public",
        of("keys/tests/it/vectors/plain.pub"),
    );
    keep("certificate", "leaf", leaf());
    let receives = String::from_utf8(of("keys/tests/golden/receive_key-1")).unwrap();
    let public = incamera_keys::ReceiveKey::from_text(&receives).unwrap();
    keep(
        "certificate",
        "receives-public",
        public.public().to_string(),
    );
    keep("certificate", "receives", receives);
    sql();
}

/// A certificate as our services make them.
fn leaf() -> Vec<u8> {
    let key = SigningKey::from_seed(&[7; 32]).to_pkcs8();
    let key = rcgen::KeyPair::try_from(key.as_slice()).unwrap();
    let hosts = vec!["shop.example".to_owned()];
    let params = rcgen::CertificateParams::new(hosts).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn sql() {
    let text = String::from_utf8(golden("spring.toml")).unwrap();
    let queries = text.split("'''").skip(1).step_by(2);
    for (at, query) in queries.enumerate() {
        keep("query", &format!("golden-{at}"), query.trim());
    }
    let more = [
        "SELECT COUNT(DISTINCT person) AS people FROM customers",
        "SELECT COUNT(DISTINCT c.person) AS people, SUM(CAST(p.amount AS BIGINT) / 2) AS spend \
         FROM customers c LEFT JOIN purchases p ON p.person = c.person WHERE p.day > $from",
        "WITH x AS (SELECT person, day FROM purchases) SELECT COUNT(*) AS n FROM x \
         JOIN customers USING (person) GROUP BY CASE WHEN day IS NULL THEN 'a' ELSE 'b' END",
        "SELECT * FROM purchases UNION ALL SELECT 1 ORDER BY 1 LIMIT 3",
    ];
    for (at, query) in more.iter().enumerate() {
        keep("query", &format!("more-{at}"), query);
    }
}

fn messages() {
    let release: ReleaseFile = read(&golden("release-1"));
    let receipt = release.receipt.clone().unwrap().body;
    let evidence = read::<Receipt>(&receipt).evidence;
    keep("release", "file", golden("release-1"));
    keep("release", "receipt", &receipt);
    let padded = [golden("release-1"), vec![0x80, 0, 0]].concat();
    keep("sealed_answer", "padded", padded);
    let mut sealed: SealedAnswer = read(&golden("sealed-answer-1"));
    sealed.ciphertext.truncate(64); // Whole, it is too large for a seed.
    keep("sealed_answer", "short", encode(&sealed));
    keep("request", "signed", golden("request-1"));
    keep("request", "envelope", body("request-1"));
    for owner in ["mailer", "shop"] {
        keep(
            "reservation",
            owner,
            body(&format!("reservation-1.{owner}")),
        );
        keep("grant", owner, body(&format!("grant-1.{owner}")));
    }
    keep("evidence", "bound", encode(&evidence[0]));
    for name in [
        "manifest-1.purchases",
        "manifest-1.mailing",
        "request-1",
        "grant-1.shop",
    ] {
        keep("signed", name, golden(name));
    }
    keep("signed", "body", body("manifest-1.customers"));
    for name in ["manifest-1.mailing", "request-1", "reservation-1.shop"] {
        keep("messages", name, golden(name));
        keep("messages", &format!("{name}.body"), body(name));
    }
    keep("messages", "answer", release.answer);
    keep(
        "messages",
        "entry",
        read::<Grant>(&body("grant-1.shop")).log.unwrap().entry,
    );
    let manifest: incamera_wire::v1::Manifest = read(&body("manifest-1.mailing"));
    keep("wrap", "one", &manifest.parts[0].keys[0].wraps[0].wrapped);
    let numbers = [0u64, 2].map(u64::to_be_bytes).concat();
    keep("proof", "two", [numbers, vec![7; 96]].concat());
    keep(
        "proof",
        "entries",
        b"the entries of a log, three bytes each, twenty of them at most",
    );
}

fn tokens() {
    keep("token", "golden", golden("query-token-1"));
    let agreement = Agreement::parse(&golden("spring.toml")).unwrap();
    let claims = Token {
        agreement_digest: agreement.digest.as_bytes().to_vec(),
        analyst: "mailer/ana".into(),
        key: Vec::new(), // The function has a key of its own.
        queries: vec!["buyers".into(), "lift".into()],
        reason: "a dashboard".into(),
        nonce: vec![1; 16],
        expires: 1_800_000_600,
    };
    keep("token", "claims", encode(&claims));
    let other = Token {
        queries: vec!["buyers".into()],
        ..claims.clone()
    };
    keep("token", "other", encode(&other));
    let over = Token {
        expires: 1_800_000_000,
        ..claims
    };
    keep("token", "over", encode(&over));
}

fn files() {
    let sealed = |path: &str| of(&format!("seal/tests/golden/{path}"));
    let parts = |name: &str| {
        let folder = root()
            .join("crates/seal/tests/golden")
            .join(name)
            .join("parts");
        let part = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
        fs::read(part.path()).unwrap()
    };
    keep("part", "sealed", parts("sealed-1"));
    keep("part", "public", parts("public-1"));
    // Nothing is changed; one byte of a block; the length of one.
    keep("match_spill", "nothing", b"");
    keep("match_spill", "byte", [0, 0, 60, 1, 0]);
    keep("match_spill", "length", [1, 0, 23, 4, 0, 0, 0, 9]);
    keep("local", "crosswalk", sealed("crosswalk-1.parquet"));
    keep("local", "crosswalk-2", sealed("crosswalk-2.parquet"));
    keep("local", "consents", sealed("consents-1.parquet"));
    keep("ring", "age", sealed("ring-1.age"));
    keep("ring", "token", sealed("token-ring-1.json"));
    let keys = [
        "passphrase_file = \"passphrase.txt\"",
        "ring_identity = \"identity.txt\"",
        "ring_ssh_key = \"ring_key\"",
        "[keys.token]\nmodule = \"libsofthsm2.so\"\nlabel = \"shop\"\npin_file = \"pin\"",
        "[keys.token]\nmodule = \"m\"\nserial = \"1\"\npin_file_env = \"PIN\"",
    ];
    let party = String::from_utf8(of("party/tests/golden/party-1.toml")).unwrap();
    let (head, tail) = party
        .split_once("passphrase_file = \"passphrase.txt\"")
        .unwrap();
    for (at, lock) in keys.iter().enumerate() {
        keep(
            "config",
            &format!("keys-{at}"),
            format!("{head}{lock}{tail}"),
        );
    }
    let id = "11".repeat(32);
    let slot = r#""epoch":1,"id_kind":"email","method":"commutative","reveals":"nothing""#;
    let document = format!(
        r#"{{"format":"incamera-ring/1","work_factor":1,"seed_key":"{id}","purpose_keys":[{{"slot":{{"agreement_id":"{id}","dataset":"purchases","key_epoch":1,"purpose":"ads"}},"key":"{id}"}}],"matching_secrets":[{{"slot":{{"agreement_id":"{id}",{slot}}},"runs":1,"key":"{id}"}}]}}"#
    );
    keep("ring", "document", document);
    keep(
        "source",
        "purchases",
        "email,day,amount,category\na@x,2026-03-01,10.50,food\nb@x,2026-03-02,\"20\",\"a, \"\"b\"\"\"\n",
    );
    keep(
        "source",
        "customers",
        "email,consent\r\na@x,ads;measurement\r\nb@x,\r\n",
    );
    keep("source", "mailing", "mailed,email\ntrue,a@x\nfalse,b@x\n");
    keep("source", "parquet", sealed("crosswalk-1.parquet"));
}

/// The beginning of a run, the same with a changed byte, and a part of somebody's own. A whole
/// run takes seconds in a build for tests: from here the fuzzer finds its way by itself.
fn vole() {
    keep("vole", "first", [0, 0]);
    keep("vole", "changed", [3, 2, 20, 5, 1, 1]);
    let part = incamera_wire::v1::VolePart {
        direction: 0,
        step: 1,
        offset: 0,
        content: vec![7; 40],
    };
    let part = incamera_wire::encode(&part);
    let length = u16::try_from(part.len()).unwrap().to_be_bytes();
    keep("vole", "short", [&[0, 4][..], &length, &part].concat());
}

/// What the peer sends in a vector of crate `matching`, each message after its length; before
/// it, how the run is set up. `goes-on` loses its link behind the
/// peer's points, and has them sent again.
fn exchange() {
    for (name, how) in [
        ("run-mailer", 0),
        ("own-mailer", 1),
        ("bad-order", 0),
        ("bad-proof", 2),
        ("bad-run-changed-point", 4),
    ] {
        let mut bytes = vec![how];
        framed(name)
            .iter()
            .for_each(|message| bytes.extend(message));
        keep("exchange", name, bytes);
    }
    let whole = framed("run-mailer");
    let mut bytes = vec![0];
    whole[..3].iter().for_each(|message| bytes.extend(message));
    bytes.extend([0x80, 0]);
    whole.iter().for_each(|message| bytes.extend(message));
    keep("exchange", "goes-on", bytes);
}

/// Journals and histories: whole ones, with a byte changed, cut, and any that are bound rightly.
fn resumed() {
    for target in ["match_journal", "match_history"] {
        keep(target, "nothing", [0]);
        keep(target, "byte", [0, 0, 1, 60, 1, 0]);
        keep(target, "cut", [0, 1, 1, 80, 0]);
    }
    let mut header = vec![1];
    // Input, order, seed, nonce, run, greeting, the peer's key and that there is one, the mode.
    header.extend((1..8_u8).flat_map(|field| [field; 32]));
    header.extend([1, 0]);
    header.extend([4_u64, 5, 1, 2].map(u64::to_be_bytes).concat());
    let places = |kind: u8, first: u64, values: usize| {
        [&[kind][..], &first.to_be_bytes(), &vec![7; 16 * values]].concat()
    };
    for (name, own) in [("records", 4), ("beyond", 9)] {
        let mut records = vec![1];
        let all = [places(3, 0, 5), places(2, 0, own), vec![4], vec![5]];
        for record in std::iter::once(header.clone()).chain(all) {
            records.extend(after_length(record));
        }
        keep("match_journal", name, records);
    }
    let run = "11".repeat(32);
    let entries = [
        r#"{"begins":{"format":"incamera-match-history/1","before":2}}"#.to_owned(),
        format!(
            r#"{{"run":{{"run":"{run}","at":1,"own":4,"append":false,"peer":5,"peer_append":true}}}}"#
        ),
        format!(r#"{{"points":{{"run":"{run}","prints":["00112233"]}}}}"#),
    ];
    keep(
        "match_history",
        "entries",
        ["\u{1}", &entries.join("\n")].concat(),
    );
}

/// Two bytes of length, and the bytes.
fn after_length(bytes: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], &bytes].concat()
}

fn providers() {
    let signed = incamera_fuzzing::signed_statement();
    let file: incamera_wire::v1::ProviderKeysFile = read(&signed);
    keep("key_statement", "body", file.body);
    keep("key_statement", "file", signed);
    // Which step, of what, and which byte of the package is another one.
    for how in [0, 2, 4, 6] {
        keep("ceremony_package", &format!("byte-{how}"), [how, 0, 70, 1]);
    }
    let name = b"incamera-ceremony/1\0";
    let raw = [&[3][..], name, &[9; 32], &[0, 2, 0, 2, 0, 1], &[5; 32]].concat();
    keep("ceremony_package", "any", raw);
    provider_frames();
    keep("evaluation", "byte", [0, 0, 70, 1]);
    keep("evaluation", "nothing", [0]);
    keep("evaluation", "any", [&[1][..], &[3; 160]].concat());
    let days = 20_100_i32.to_be_bytes();
    keep("link", "nothing", [0]);
    keep("link", "value", [&[0][..], &days, &[0, 20, 1]].concat());
    let plain = [&[6; 16][..], &20_000_i32.to_be_bytes(), &[0; 48]].concat();
    keep("link", "made", [&[1][..], &days, &plain].concat());
}

/// What a provider is asked: a byte that says which frame, and the frame.
fn provider_frames() {
    use incamera_net::services::{
        CeremonyFrame, CeremonyPackages, EvaluateFrame, LinkEntries, LinkFrame, LinkLabels,
        ceremony_frame::Step, evaluate_frame::Frame, link_frame,
    };
    use incamera_wire::v1::{
        EvaluateHello, EvaluatedBatch, LinkEntry, MatchPoints, MatchProof, Signed,
    };
    let evaluate = |name: &str, frame| {
        let frame = incamera_wire::encode(&EvaluateFrame { frame: Some(frame) });
        keep("provider_frames", name, [&[0][..], &frame].concat());
    };
    let hello = EvaluateHello {
        format: "incamera-evaluate/1".into(),
        agreement_digest: vec![1; 32],
        party: "shop".into(),
        id_kind: "email".into(),
        epoch: 1,
        number: 2,
        providers: ["alpha", "beta"].map(str::to_owned).into(),
        nonce: vec![2; 32],
        size: 3,
    };
    let points = MatchPoints {
        first: 4,
        points: vec![5; 96],
    };
    let (challenge, response) = (vec![6; 32], vec![7; 32]);
    let proof = MatchProof {
        first: 4,
        count: 3,
        challenge,
        response,
    };
    evaluate("hello", Frame::Hello(hello));
    evaluate("points", Frame::Points(points.clone()));
    let (points, proof) = (Some(points), Some(proof));
    evaluate(
        "evaluated",
        Frame::Evaluated(EvaluatedBatch { points, proof }),
    );
    let package = incamera_wire::v1::CeremonyPackage {
        ceremony: vec![8; 32],
        round: 1,
        sender: "alpha".into(),
        receiver: String::new(),
        content: vec![9; 64],
    };
    let key = incamera_keys::SigningKey::from_seed(&[2; 32]);
    let format = incamera_wire::Format::Ceremony;
    let packages: Vec<Signed> = vec![incamera_keys::sign_message(&key, format, &package).unwrap()];
    let frame = CeremonyFrame {
        agreement_digest: vec![1; 32],
        refresh: true,
        step: Some(Step::First(CeremonyPackages { packages })),
    };
    let frame = incamera_wire::encode(&frame);
    keep("provider_frames", "packages", [&[1][..], &frame].concat());
    let links = |name: &str, frame| {
        let frame = incamera_wire::encode(&LinkFrame { frame: Some(frame) });
        keep("provider_frames", name, [&[2][..], &frame].concat());
    };
    let entry = LinkEntry {
        label: vec![1; 32],
        purpose: "ads".into(),
        source: String::new(),
        expires: 20_000,
        value: vec![2; 96],
    };
    let entries = vec![entry];
    links(
        "labels",
        link_frame::Frame::Labels(LinkLabels {
            labels: vec![3; 64],
        }),
    );
    links(
        "entries",
        link_frame::Frame::Entries(LinkEntries { entries }),
    );
}

/// The messages of a vector, each after its length.
fn framed(name: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8(of(&format!("matching/vectors/v2/{name}.txt"))).unwrap();
    let sent = text.lines().filter_map(|line| line.strip_prefix("< "));
    let frame = |message: Vec<u8>| {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        [&length[..], &message].concat()
    };
    sent.map(unhex).map(frame).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}
