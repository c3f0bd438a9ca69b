//! The seeds: `fuzz/seeds/NAME/*`, small and well formed, so that mutations reach far.
//!
//! `cargo test -p incamera-fuzzing -- --ignored write_seeds` made them, out of the golden files
//! of the other crates and of what stands here.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use incamera_agreement::Agreement;
use incamera_fuzzing::TARGETS;
use incamera_keys::SigningKey;
use incamera_tlog::{Hash, Tree, leaf_hash};
use incamera_types::Digest as _;
use incamera_wire::v1::{Grant, Receipt, ReleaseFile, SealedAnswer, Signed, Token};
use incamera_wire::{decode, encode};

use crate::{bound, matching};

pub fn root() -> PathBuf {
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

pub fn keep(name: &str, seed: &str, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(folder(name)).unwrap();
    fs::write(folder(name).join(seed), bytes).unwrap();
}

/// A file of the tree.
pub fn of(path: &str) -> Vec<u8> {
    fs::read(root().join("crates").join(path)).unwrap_or_else(|_| panic!("{path}"))
}

fn golden(name: &str) -> Vec<u8> {
    of(&format!("release/tests/golden/{name}"))
}

pub fn read<M: prost::Message + Default>(bytes: &[u8]) -> M {
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
    tokens();
    matching::write();
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
        "Europe/Berlin",
        "DE",
        "2026-05-31T18:30:00.000001Z",
        "7/256",
        "ifma",
    ];
    for (at, value) in values.iter().enumerate() {
        keep("values", &format!("{at:02}"), value);
    }
    keep("values", "digest", &golden("digests.txt")[..64]);
    keep("config", "party", of("party/tests/golden/party-1.toml"));
    keep("config", "public", of("party/tests/golden/public-1.toml"));
    keep("config", "room", of("room/tests/golden/room-1.toml"));
    let provider = "format = \"incamera-provider/1\"\nlisten = \"127.0.0.1:7443\"\nhealth = \"127.0.0.1:7444\"\nsessions = 4\n";
    keep("config", "provider", provider);
    keep("certificate", "openssh", golden("keys/ana"));
    keep(
        "certificate",
        "public",
        of("keys/tests/it/vectors/plain.pub"),
    );
    keep("certificate", "leaf", leaf());
    let spki = SigningKey::from_seed(&[7; 32]).public().to_spki();
    keep("certificate", "spki", spki);
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

/// The bytes that a token's text stands for.
fn base64_url(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).unwrap().trim();
    BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
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
    keep("wrap", "honest", honest_wrap());
    keep("messages", "bound-evidence", encode(&evidence[0]));
    let simulated = &evidence[0].evidence.as_ref().unwrap().body;
    keep("messages", "simulated-evidence", simulated);
    log();
    let numbers = [0u64, 2].map(u64::to_be_bytes).concat();
    keep("proof", "two", [numbers, vec![7; 96]].concat());
    keep(
        "proof",
        "entries",
        b"the entries of a log, three bytes each, twenty of them at most",
    );
}

/// The first wrap of a sealed data set for its purpose.
fn honest_wrap() -> Vec<u8> {
    let signed: Signed = read(&of("seal/tests/golden/sealed-1/manifest"));
    let manifest: incamera_wire::v1::Manifest = read(&signed.body);
    let keys = manifest.parts.into_iter().flat_map(|part| part.keys);
    let mut wraps = keys.flat_map(|key| key.wraps);
    let wrap = wraps.find(|wrap| wrap.purpose == "measurement");
    wrap.unwrap().wrapped
}

/// Proofs that hold: that the fourth entry is in a log of six, and that six go on from three.
fn log() {
    let tree = Tree::from_entries(["a", "b", "c", "d", "e", "f"]);
    let root = |size| tree.root(size).unwrap();
    let proof = |name: &str, numbers: [u64; 2], hashes: Vec<Hash>| {
        let hashes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        let numbers = numbers.map(u64::to_be_bytes).concat();
        keep("proof", name, [numbers, hashes].concat());
    };
    let inclusion = tree.inclusion_proof(3, 6).unwrap();
    let all = [vec![leaf_hash(b"d"), root(6)], inclusion].concat();
    proof("inclusion", [3, 6], all);
    let consistency = tree.consistency_proof(3, 6).unwrap();
    proof(
        "consistency",
        [3, 6],
        [vec![root(3), root(6)], consistency].concat(),
    );
}

fn tokens() {
    let file = base64_url(&golden("query-token-1"));
    keep("messages", "token-file", file);
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
    keep("messages", "token", encode(&claims));
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
    keep("source", "public-part", parts("public-1"));
}
