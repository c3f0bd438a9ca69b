//! Messages of protobuf, and what services read out of them.

use incamera_attest::{Binding, verify};
use incamera_keys::{PublicKey, ReceiveKey, ReceivePublicKey, SigningKey, peek_signed};
use incamera_net::services;
use incamera_net::status::Problem;
use incamera_net::tls::leaf_key;
use incamera_seal::{Manifest, inspect, peek_manifest};
use incamera_tlog::{Hash, Tree, leaf_hash, verify_consistency, verify_inclusion};
use incamera_types::UnixTime;
use incamera_wire::v1::{self, Signed};
use incamera_wire::{Format, decode, encode};
use prost::Message;
use rustls::pki_types::CertificateDer;
use tonic::{Code, Status};

use crate::reach::reached;
use crate::world::{self, NOW};

/// What was read is written in one way, and read from that the same.
fn one_form<M: Message + Default>(data: &[u8], name: &'static str) {
    if let Ok(message) = decode::<M>(data, data.len()) {
        let written = encode(&message);
        let again: M = decode(&written, written.len()).unwrap();
        assert_eq!(encode(&again), written);
        // A message of another kind has other fields, which are no more there.
        if written == data {
            reached(name);
        }
    }
}

macro_rules! one_form_each {
    ($data:ident, $($module:ident::{$($message:ident),* $(,)?}),* $(,)?) => {
        $($(one_form::<$module::$message>($data, stringify!($message));)*)*
    };
}

/// Every message of the services and of the files, and the detail of a failure.
pub fn messages(data: &[u8]) {
    one_form_each!(
        data,
        services::{
            ChallengeRequest, ChallengeReply, ReserveRequest, ReserveReply, CommitRequest,
            CommitReply, RegisterManifestRequest, RegisterManifestReply, StatusRequest,
            StatusReply, MeetingFrame, AttestRequest, AttestReply, PushFrame, PushReply,
            ManifestsRequest, ManifestsReply, RunRequest, RunEvent, AnswersRequest, AnswersEvent,
            EvaluateFrame, KeysRequest, KeysReply, CeremonyFrame, CeremonyReply, LinkFrame, LinkReply,
        },
        v1::{
            Signed, Manifest, RequestEnvelope, Token, TokenFile, Statement, BoundEvidence, SimulatedEvidence, Reservation,
            Grant, GrantSecrets, LogEntry, Answer, Receipt, ReleaseFile, SealedAnswer, MatchMessage, VolePart,
            EvaluateHello, EvaluatedBatch, CeremonyPackage, LinkEntry, ProviderKeysFile, ProviderKeys,
        },
    );
    let message = String::from_utf8_lossy(data).into_owned();
    for code in [
        Code::Internal,
        Code::Unavailable,
        Code::from(i32::from(data.len() as u8)),
    ] {
        let status = Status::with_details(code, message.clone(), data.to_vec().into());
        let problem = Problem::from_status(&status);
        assert!(!problem.message().chars().any(char::is_control));
        assert!(problem.exit_code() > 0);
    }
}

/// Messages under a signature that nobody has checked, manifests above all.
pub fn signed(data: &[u8]) {
    if let Ok(signed) = decode::<Signed>(data, data.len()) {
        let limit = signed.body.len();
        let _ = peek_signed::<v1::Manifest>(&signed, Format::Manifest, limit);
        let _ = peek_signed::<v1::RequestEnvelope>(&signed, Format::Request, limit);
        let _ = peek_signed::<v1::Token>(&signed, Format::QueryToken, limit);
        let _ = peek_signed::<v1::Grant>(&signed, Format::Grant, limit);
        if let Ok(manifest) = peek_manifest(&signed) {
            let _ = inspect(&manifest);
            reached("signed");
        }
    }
    if let Ok(manifest) = Manifest::parse(data) {
        let _ = inspect(&manifest);
        reached("body");
        for part in manifest.parts() {
            assert!(part.partition < manifest.partitions());
            let _ = manifest.part_schema(part);
        }
    }
}

/// Evidence, with the keys and digests that it says it binds.
pub fn evidence(data: &[u8]) {
    let Ok(bound) = decode::<v1::BoundEvidence>(data, data.len()) else {
        return;
    };
    let Ok(binding) = Binding::claimed(&bound) else {
        return;
    };
    let Some(evidence) = &bound.evidence else {
        return;
    };
    let policy = &world::agreement().room.policy;
    for now in [NOW, UnixTime(0), UnixTime(u64::MAX)] {
        if let Ok(workload) = verify(evidence, policy, &binding, now) {
            // The key is published, so anybody can make it; it says so.
            assert!(workload.simulated());
            reached("workload");
        }
    }
}

fn hashes(data: &[u8]) -> Vec<Hash> {
    let (chunks, _) = data.as_chunks::<32>();
    chunks
        .iter()
        .map(|chunk| Hash::from_bytes(*chunk))
        .collect()
}

fn number(data: &[u8]) -> Option<(u64, &[u8])> {
    let (bytes, rest) = data.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*bytes), rest))
}

fn foreign_proof(data: &[u8]) -> Option<()> {
    let (index, rest) = number(data)?;
    let (size, rest) = number(rest)?;
    let hashes = hashes(rest);
    let [one, other, proof @ ..] = hashes.as_slice() else {
        return None;
    };
    if verify_inclusion(one, index, size, other, proof).is_ok() {
        reached("inclusion");
    }
    if verify_consistency(index, one, size, other, proof).is_ok() {
        reached("consistency");
    }
    Some(())
}

/// Proofs of a log: any, and those of a tree over the bytes, which hold.
pub fn proof(data: &[u8]) {
    let _ = foreign_proof(data);
    let entries: Vec<&[u8]> = data.chunks(3).take(20).collect();
    let tree = Tree::from_entries(&entries);
    let size = tree.size();
    let root = tree.root(size).unwrap();
    for (at, entry) in entries.iter().enumerate() {
        let index = at as u64;
        let proof = tree.inclusion_proof(index, size).unwrap();
        assert_eq!(
            verify_inclusion(&leaf_hash(entry), index, size, &root, &proof),
            Ok(())
        );
        let other = leaf_hash(b"another entry");
        assert!(verify_inclusion(&other, index, size, &root, &proof).is_err());
        let (old, proof) = (
            tree.root(index).unwrap(),
            tree.consistency_proof(index, size).unwrap(),
        );
        assert_eq!(verify_consistency(index, &old, size, &root, &proof), Ok(()));
    }
}

/// Certificates and keys that a connection or a person brings.
pub fn certificate(data: &[u8]) {
    if let Ok(key) = leaf_key(&CertificateDer::from(data)) {
        assert_eq!(PublicKey::from_bytes(key.as_bytes()), Ok(key));
        reached("leaf");
    }
    if let Ok(key) = PublicKey::from_spki(data) {
        assert_eq!(key.to_spki(), data);
        reached("spki");
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if SigningKey::from_openssh(text, None).is_ok() {
            reached("openssh");
        }
        if let Ok(key) = text.parse::<PublicKey>() {
            assert_eq!(key.to_string().parse(), Ok(key));
            reached("public");
        }
        if let Ok(key) = text.parse::<ReceivePublicKey>() {
            assert_eq!(key.to_string().parse(), Ok(key));
            reached("receives, public");
        }
        if let Ok(key) = ReceiveKey::from_text(text) {
            let again = ReceiveKey::from_text(&key.to_text()).unwrap();
            assert_eq!(again.public(), key.public());
            reached("receives");
        }
    }
}
