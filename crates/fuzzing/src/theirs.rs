//! What is kept of a peer's rows: changed by whoever can write the party's folder, and of any
//! content under the right key.

use std::sync::LazyLock;

use incamera_matching::theirs::{THEIRS_NAME, TheirsKey, TheirsReader, TheirsWriter};
use incamera_matching::{Reveals, Value};
use incamera_types::{Digest as _, MatchRunDigest};

use crate::exchange::terms;
use crate::parts::take;
use crate::reach::reached;
use crate::resumed::{asked_for, rng, secret};

/// Tags of an honest file: of few, and of more than one record holds.
const TAGS: [u64; 2] = [3, 4099];

fn key() -> TheirsKey {
    TheirsKey::of(
        &secret(),
        &terms(Reveals::OwnMatches),
        &"shop".parse().unwrap(),
    )
}

fn tag(number: u64) -> Value {
    u128::from(number).to_be_bytes()
}

fn written(run: &MatchRunDigest, tags: impl IntoIterator<Item = Value>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = TheirsWriter::create(&mut file, key(), run, &mut rng()).unwrap();
    for tag in tags {
        writer.push(&tag, &mut rng()).unwrap();
    }
    writer.finish(&mut rng()).unwrap();
    file
}

static WHOLE: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let run = MatchRunDigest::from_bytes([4; 32]);
    TAGS.map(|tags| written(&run, (0..tags).map(tag)))
});

/// The tags up to an error, and whether the file ended without one.
fn read(reader: &mut TheirsReader<Vec<u8>>) -> (Vec<Value>, bool) {
    let mut tags = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(tag)) => tags.push(tag),
            Ok(None) => return (tags, true),
            Err(_) => return (tags, false),
        }
    }
}

/// A file that was changed or cut (an even first byte): what is read are its first tags, and it
/// ends only if it is whole. One of any records that were sealed for their places (an odd one):
/// what is read ascends, and is read the same once it is written again.
pub fn match_theirs(data: &[u8]) {
    let Some((how, mut rest)) = data.split_first() else {
        return;
    };
    let (honest, bytes) = asked_for(*how, rest, &WHOLE, THEIRS_NAME, &key());
    let Ok(mut reader) = TheirsReader::open(bytes.clone(), key()) else {
        return;
    };
    let (tags, ended) = read(&mut reader);
    if let Some(which) = honest {
        assert!(tags.iter().copied().eq((0..tags.len() as u64).map(tag)));
        assert!(ended == (bytes == WHOLE[which]));
    } else if ended {
        assert!(tags.is_sorted_by(|one, next| one < next));
        let records = std::iter::from_fn(|| take(&mut rest));
        assert!(records.last().unwrap().starts_with(&[3]));
        let again = written(reader.run(), tags.iter().copied());
        let mut again = TheirsReader::open(again, key()).unwrap();
        assert!(again.run() == reader.run() && read(&mut again) == (tags, true));
    }
    if ended {
        reached(if honest.is_some() { "whole" } else { "sealed" });
    }
}
