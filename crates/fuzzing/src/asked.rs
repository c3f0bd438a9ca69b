//! What a provider is asked: the frames of its service, read as the service reads them.

use incamera_keys::{SigningKey, open_signed, peek_signed};
use incamera_net::services::ceremony_frame::Step;
use incamera_net::services::evaluate_frame::Frame;
use incamera_net::services::{CeremonyFrame, EvaluateFrame, link_frame};
use incamera_net::services::{LinkFrame, LinkLabels};
use incamera_oprf::session::{
    BATCH_POINTS, Hello, read_points, read_proof, write_points, write_proof,
};
use incamera_types::{Digest as _, LinkLabel};
use incamera_wire::v1::{CeremonyPackage, EvaluateHello, MatchPoints, MatchProof, Signed};
use incamera_wire::{Format, decode};

use crate::reach::reached;

/// A byte that says which frame, and the frame.
pub fn provider_frames(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else {
        return;
    };
    match which % 3 {
        0 => {
            let frame = decode::<EvaluateFrame>(rest, rest.len());
            if let Some(frame) = frame.ok().and_then(|frame| frame.frame) {
                evaluate(frame);
            }
        }
        1 => {
            let frame = decode::<CeremonyFrame>(rest, rest.len());
            if let Some(frame) = frame.ok().and_then(|frame| frame.step) {
                ceremony(frame);
            }
        }
        _ => {
            let frame = decode::<LinkFrame>(rest, rest.len());
            if let Some(frame) = frame.ok().and_then(|frame| frame.frame) {
                links(frame);
            }
        }
    }
}

fn evaluate(frame: Frame) {
    match frame {
        Frame::Hello(message) => hello(&message),
        Frame::Points(message) => drop(points(&message)),
        Frame::Evaluated(batch) => {
            let count = batch.points.as_ref().map_or(0, points);
            if let Some(message) = batch.proof {
                proof(&message, count);
            }
        }
        Frame::Ready(_) => {}
    }
}

/// What is read is written the same, and every session has a name of its own.
fn hello(message: &EvaluateHello) {
    if let Ok(hello) = Hello::from_message(message) {
        assert_eq!(hello.to_message(), *message);
        let size = hello.size.wrapping_add(1);
        assert_ne!(
            Hello {
                size,
                ..hello.clone()
            }
            .session(),
            hello.session()
        );
        reached("hello");
    }
}

/// How many points are taken.
fn points(message: &MatchPoints) -> usize {
    let Ok(points) = read_points(message) else {
        return 0;
    };
    assert!((1..=BATCH_POINTS).contains(&points.len()));
    assert_eq!(write_points(message.first, &points), *message);
    reached("points");
    points.len()
}

fn proof(message: &MatchProof, count: usize) {
    if let Ok(proof) = read_proof(message, message.first, count) {
        assert_eq!(write_proof(message.first, count, &proof), *message);
        reached("proof");
    }
}

/// Packages of a key that signed none of them.
fn ceremony(step: Step) {
    let packages: Vec<Signed> = match step {
        Step::First(all) | Step::Second(all) => all.packages,
        Step::Compare(compare) => compare.packages,
        _ => Vec::new(),
    };
    let key = SigningKey::from_seed(&[1; 32]).public();
    for signed in packages {
        let limit = signed.body.len();
        let peeked = peek_signed::<CeremonyPackage>(&signed, Format::Ceremony, limit);
        if peeked.is_ok() {
            let opened = open_signed::<CeremonyPackage>(&signed, Format::Ceremony, &key, limit);
            assert!(opened.is_err());
            reached("package");
        }
    }
}

fn links(frame: link_frame::Frame) {
    match frame {
        link_frame::Frame::Labels(LinkLabels { labels }) => {
            let (whole, _) = labels.as_chunks::<32>();
            let read: Vec<u8> = whole
                .iter()
                .flat_map(|l| *LinkLabel::from_bytes(*l).as_bytes())
                .collect();
            assert_eq!(read, whole.as_flattened());
            if !whole.is_empty() {
                reached("labels");
            }
        }
        link_frame::Frame::Entries(entries) => {
            for entry in entries.entries {
                let label = LinkLabel::from_slice(&entry.label);
                assert_eq!(label.is_ok(), entry.label.len() == 32);
                if label.is_ok() {
                    reached("entry");
                }
            }
        }
        link_frame::Frame::Hello(_) => {}
    }
}
