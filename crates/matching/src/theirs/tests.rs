use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::journal::tests::Bytes;
use crate::terms::tests::terms;

fn key(secret: u8, peer: &str) -> TheirsKey {
    let secret = MatchingKey::from_bytes([secret; 32]);
    TheirsKey::of(&secret, &terms(), &peer.parse().unwrap())
}

fn run() -> MatchRunDigest {
    MatchRunDigest::from_bytes([7; 32])
}

fn tag(n: u32) -> Value {
    let mut tag = [5; 16];
    tag[..4].copy_from_slice(&n.to_be_bytes());
    tag
}

fn written(tags: &[Value], seed: u64) -> Vec<u8> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut file = b"what stood there before".to_vec();
    let mut writer = TheirsWriter::create(&mut file, key(3, "mailer"), &run(), &mut rng).unwrap();
    for tag in tags {
        writer.push(tag, &mut rng).unwrap();
    }
    writer.finish(&mut rng).unwrap();
    file
}

/// It takes the place of what was kept as soon as it is ended.
#[test]
fn a_file_that_is_ended_is_on_the_disk() {
    let ended = |file: &mut Bytes| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut writer = TheirsWriter::create(file, key(3, "mailer"), &run(), &mut rng).unwrap();
        writer.push(&tag(1), &mut rng).unwrap();
        writer.finish(&mut rng)
    };
    let mut file = Bytes::default();
    ended(&mut file).unwrap();
    assert_eq!(file.synced, file.bytes.len());
    file.sync_fails = true;
    let error = ended(&mut file).unwrap_err();
    assert!(matches!(error, TheirsError::File(_)), "{error}");
}

fn read(file: Vec<u8>, key: TheirsKey) -> Result<Vec<Value>, TheirsError> {
    let mut reader = TheirsReader::open(file, key)?;
    assert_eq!(reader.run(), &run());
    let mut tags = Vec::new();
    while let Some(tag) = reader.next()? {
        tags.push(tag);
    }
    assert_eq!(reader.next().unwrap(), None);
    Ok(tags)
}

#[test]
fn what_is_written_is_read() {
    for count in [0, 1, 4095, 4096, 4097, 8192, 10_000] {
        let tags: Vec<Value> = (0..count).map(tag).collect();
        let file = written(&tags, 1);
        assert!(file.len() < 16 * tags.len() + 32 * (tags.len() / 4096 + 8));
        assert_eq!(read(file, key(3, "mailer")).unwrap(), tags, "{count}");
    }
}

/// A file that was changed, cut, or is another slot's or peer's opens for nobody.
#[test]
fn nothing_else_is_believed() {
    let tags: Vec<Value> = (0..4100).map(tag).collect();
    let file = written(&tags, 1);
    let is_read = |file: Vec<u8>| read(file, key(3, "mailer")).is_ok();
    assert!(is_read(file.clone()));
    let ends: Vec<usize> = (0..100).chain(file.len() - 200..file.len()).collect();
    for at in ends {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(!is_read(changed), "byte {at}");
        assert!(!is_read(file[..at].to_vec()), "cut to {at}");
    }
    let longer = [&file[..], &[0]].concat();
    assert!(!is_read(longer));
    for other in [key(4, "mailer"), key(3, "shop")] {
        let error = read(file.clone(), other).unwrap_err();
        assert!(
            matches!(error, TheirsError::Damaged { record: 0 }),
            "{error}"
        );
    }
    // The first record of one file before the others of another, of the same length.
    let other = written(&tags, 2);
    let first = THEIRS_NAME.len() + 1 + 4 + 33 + incamera_keys::aead::OVERHEAD_BYTES;
    let mixed = [&other[..first], &file[first..]].concat();
    let error = read(mixed, key(3, "mailer")).unwrap_err();
    assert!(
        matches!(error, TheirsError::Damaged { record: 1 }),
        "{error}"
    );
}

#[test]
fn tags_that_are_not_in_order_are_refused() {
    for tags in [[tag(2), tag(1)], [tag(1), tag(1)]] {
        let error = read(written(&tags, 1), key(3, "mailer")).unwrap_err();
        assert!(matches!(error, TheirsError::Damaged { .. }), "{error}");
    }
}

#[test]
fn newer_files_are_named() {
    let mut file = written(&[tag(1)], 1);
    let at = THEIRS_NAME.len() - 1;
    file[at] = b'2';
    let error = read(file, key(3, "mailer")).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}
