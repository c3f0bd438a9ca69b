use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::terms::tests::terms;

/// A file's bytes.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl JournalFile for Bytes {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        let there = self.0.get(at..at + into.len());
        into.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.0.truncate(usize::try_from(bytes).unwrap());
        Ok(())
    }
}

/// A file of a slice that its writer lent.
struct Lent<'a>(&'a mut Bytes);

impl JournalFile for Lent<'_> {
    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read(at, into)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.0.cut(bytes)
    }
}

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

fn written(tags: &[Value], seed: u64) -> Bytes {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut file = Bytes(b"what stood there before".to_vec());
    let mut writer =
        TheirsWriter::create(Lent(&mut file), key(3, "mailer"), &run(), &mut rng).unwrap();
    for tag in tags {
        writer.push(tag, &mut rng).unwrap();
    }
    writer.finish(&mut rng).unwrap();
    file
}

fn read(file: Bytes, key: TheirsKey) -> Result<Vec<Value>, TheirsError> {
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
        assert!(file.0.len() < 16 * tags.len() + 32 * (tags.len() / 4096 + 8));
        assert_eq!(read(file, key(3, "mailer")).unwrap(), tags, "{count}");
    }
}

/// A file that was changed, cut, or is another slot's or peer's opens for nobody.
#[test]
fn nothing_else_is_believed() {
    let tags: Vec<Value> = (0..4100).map(tag).collect();
    let file = written(&tags, 1);
    let is_read = |file: Bytes| read(file, key(3, "mailer")).is_ok();
    assert!(is_read(file.clone()));
    let ends: Vec<usize> = (0..100).chain(file.0.len() - 200..file.0.len()).collect();
    for at in ends {
        let mut changed = file.clone();
        changed.0[at] ^= 1;
        assert!(!is_read(changed), "byte {at}");
        assert!(!is_read(Bytes(file.0[..at].to_vec())), "cut to {at}");
    }
    let longer = Bytes([&file.0[..], &[0]].concat());
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
    let first = NAME_LINE.len() + 4 + 33 + aead::OVERHEAD_BYTES;
    let mixed = Bytes([&other.0[..first], &file.0[first..]].concat());
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
    let at = NAME_LINE.len() - 2;
    file.0[at] = b'2';
    let error = read(file, key(3, "mailer")).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}
