//! Files: what an owner reads from its own folder, and the parts that a room keeps.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use incamera_keys::{DataKey, PurposeKey, SecretString, aead};
use incamera_seal::{
    AgeFile, Backend, BackendError, Consents, Crosswalk, CrosswalkReader, CrosswalkWriter, Hints,
    KeptKey, KeyReference, KeyRing, LocalFileError, MAX_METADATA_BYTES, Manifest, MasterKeyId,
    PartKeys, PurposeSlot, Source, SourceWrap, TokenFile, WRAPPED_BYTES, check_metadata,
    check_source, granted_parts, peek_manifest, propose, read_part, read_public_part, read_texts,
    unwrap_keys,
};
use incamera_types::{ColumnName, FileId, Pseudonym, PurposeName};
use incamera_wire::v1::{self as wire, Signed};
use incamera_wire::{decode, encode};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng as _};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::reach::reached;
use crate::world;

macro_rules! sealed {
    ($name:literal) => {
        include_bytes!(concat!("../../seal/tests/golden/", $name)).as_slice()
    };
}

const PASSPHRASE: &str = "correct horse";

/// A file with these bytes, which goes when it is dropped.
pub(crate) fn file(data: &[u8], suffix: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
    file.write_all(data).unwrap();
    file
}

fn purpose(name: &str) -> PurposeName {
    name.parse().unwrap()
}

fn pseudonym(id: &str) -> Option<Pseudonym> {
    let mut bytes = [0; Pseudonym::BYTES];
    bytes
        .iter_mut()
        .zip(id.bytes())
        .for_each(|(to, from)| *to = from);
    (!id.starts_with('-')).then(|| Pseudonym::from_bytes(bytes))
}

/// The owner's CSV and Parquet files: read for matching, typed for sealing, and looked at for a
/// proposal, whose section is one data set whatever the names of columns are.
pub fn source(data: &[u8]) {
    let agreement = world::agreement();
    let purposes = agreement.leaf_purposes();
    for suffix in [".csv", ".parquet"] {
        let file = file(data, suffix);
        let source = Source::of(file.path()).unwrap();
        let mut seen;
        let unlocked = source.clone().unlock(&RING, SEALED.agreement_id(), None);
        assert!(unlocked.is_err() || unlocked.is_ok_and(|unlocked| unlocked == source));
        for column in ["email", "id"] {
            seen = 0;
            if let Ok(rows) = read_texts(&source, column, &mut |_| seen += 1) {
                assert_eq!(rows, seen);
                reached(suffix);
            }
        }
        for spec in agreement.datasets.values() {
            if check_source(&source, spec, &purposes, &pseudonym).is_ok() {
                reached(["typed .csv", "typed .parquet"][usize::from(suffix == ".parquet")]);
            }
        }
        propose_from(data, suffix);
    }
}

fn propose_from(data: &[u8], suffix: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("visits{suffix}"));
    std::fs::write(&path, data).unwrap();
    if let Ok(proposal) = propose(&path, &Hints::default(), &mut |_| {}) {
        let section = proposal.section("shop", None);
        let tables = section.lines().filter(|line| line.starts_with('['));
        assert_eq!(tables.count(), 2, "{section}");
        reached("proposed");
    }
}

/// What a Parquet file of another program says of its keys, and what stands where wrapped keys
/// do: only names are taken, and no wrap opens that the ring did not make.
pub fn key_metadata(data: &[u8]) {
    let read = check_metadata(data);
    if read.is_ok() {
        assert!(data.len() <= MAX_METADATA_BYTES);
        reached("metadata");
    }
    let text = String::from_utf8_lossy(data);
    if let Ok(reference) = text.parse::<KeyReference>() {
        assert_eq!(reference.to_string(), text);
        reached("reference");
    }
    if let Ok(reference) = KeyReference::from_base64(&text) {
        assert_eq!(reference.to_base64(), text);
        reached("reference in base64");
    }
    for text in [text.clone().into_owned(), STANDARD.encode(data)] {
        if let Ok(wrap) = SourceWrap::from_base64(&text) {
            assert!(
                wrap.open(&RING, SEALED.agreement_id(), "purchases")
                    .is_err()
            );
            reached("wrap");
        }
    }
    if text.parse::<MasterKeyId>().is_ok() {
        reached("master key");
    }
}

/// The crosswalk and the consents.
pub fn local(data: &[u8]) {
    let file = file(data, ".parquet");
    if let Ok(crosswalk) = Crosswalk::read(file.path()) {
        assert!(
            crosswalk
                .iter()
                .all(|(id, of)| crosswalk.lookup(id) == Some(of))
        );
        reached("crosswalk");
    }
    let _ = crosswalk_again(file.path());
    if let Ok(consents) = Consents::read(file.path()) {
        let nobody = Pseudonym::from_bytes([0; Pseudonym::BYTES]);
        assert!(!consents.is_empty() || consents.class(&nobody).is_none());
        reached("consents");
    }
}

/// Row by row, as matching reads it: what is in order is written again, and read the same.
fn crosswalk_again(path: &Path) -> Result<(), LocalFileError> {
    let mut reader = CrosswalkReader::open(path)?;
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.parquet");
    let (scope, columns) = (reader.scope().clone(), reader.columns());
    let mut writer = CrosswalkWriter::create(&copy, &scope, columns)?;
    let (mut rows, mut last) = (0, None);
    while let Some(row) = reader.next()? {
        assert!(last.as_deref().is_none_or(|last: &str| last < row.id));
        last = Some(row.id.to_owned());
        writer.push(&row).unwrap();
        rows += 1;
    }
    writer.finish().unwrap();
    let mut again = CrosswalkReader::open(&copy).unwrap();
    assert!(*again.scope() == scope && again.columns() == columns);
    let mut first = CrosswalkReader::open(path).unwrap();
    for _ in 0..=rows {
        assert_eq!(again.next().unwrap(), first.next().unwrap());
    }
    reached("crosswalk by rows");
    Ok(())
}

/// Whether scrypt would take no time: a larger work factor is slow, which is its purpose.
fn quick(data: &[u8]) -> bool {
    let head = &data[..data.len().min(256)];
    let lines = head.split(|byte| *byte == b'\n');
    let mut stanzas = lines.filter(|line| line.starts_with(b"-> scrypt "));
    stanzas.all(|line| line.ends_with(b" 1"))
}

/// A ring whose file is the document itself: encryption has nothing to do with what is read.
struct Open(AgeFile);

impl Open {
    fn new() -> Self {
        Self(AgeFile::passphrase(&SecretString::from(PASSPHRASE)))
    }
}

impl Backend for Open {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }
    fn format(&self) -> &'static str {
        self.0.format()
    }
    fn seal_document(&self, document: &[u8]) -> Result<Vec<u8>, BackendError> {
        Ok(document.to_vec())
    }
    fn open_document(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        Ok(Zeroizing::new(sealed.to_vec()))
    }
    fn make_key(
        &self,
        slot: &PurposeSlot,
        rng: &mut dyn CryptoRng,
    ) -> Result<KeptKey, BackendError> {
        self.0.make_key(slot, rng)
    }
    fn wrap(
        &self,
        kept: &KeptKey,
        aad: &[u8],
        key: &DataKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, BackendError> {
        self.0.wrap(kept, aad, key, rng)
    }
    fn unwrap(&self, kept: &KeptKey, aad: &[u8], wrapped: &[u8]) -> Result<DataKey, BackendError> {
        self.0.unwrap(kept, aad, wrapped)
    }
    fn destroy_key(&self, kept: &KeptKey) -> Result<(), BackendError> {
        self.0.destroy_key(kept)
    }
}

/// The key ring: the age file, any document as if it had been in one, and the file of a ring in
/// a token.
pub fn ring(data: &[u8]) {
    let passphrase = SecretString::from(PASSPHRASE);
    if quick(data) && KeyRing::open(file(data, ".age").path(), &passphrase).is_ok() {
        reached("age");
    }
    if KeyRing::open_in(file(data, ".age").path(), Box::new(Open::new())).is_ok() {
        reached("document");
    }
    if let Ok(file) = TokenFile::parse(data) {
        assert!(file.open(&DataKey::from_bytes([3; 32])).is_err());
        reached("token");
    }
    let mut kept = None;
    let written = TokenFile::seal([7; 16], data, &mut rng(), |key, _| {
        kept = Some(key.duplicate());
        Ok(vec![8; WRAPPED_BYTES])
    });
    let read = TokenFile::parse(&written.unwrap()).unwrap();
    assert_eq!(read.open(&kept.unwrap()).unwrap().as_slice(), data);
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([1; 32])
}

fn manifest(bytes: &[u8]) -> Manifest {
    let signed: Signed = decode(bytes, bytes.len()).unwrap();
    peek_manifest(&signed).unwrap()
}

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let file = file(sealed!("ring-1.age"), ".age");
    KeyRing::open(file.path(), &SecretString::from(PASSPHRASE)).unwrap()
});
static SEALED: LazyLock<Manifest> = LazyLock::new(|| manifest(sealed!("sealed-1/manifest")));
static PUBLIC: LazyLock<Manifest> = LazyLock::new(|| manifest(sealed!("public-1/manifest")));

fn columns(manifest: &Manifest) -> Vec<ColumnName> {
    let columns = manifest.columns().iter();
    columns.map(|column| column.name.clone()).collect()
}

fn keys(manifest: &Manifest) -> Option<BTreeMap<FileId, PartKeys>> {
    let (purpose, columns) = (purpose("measurement"), columns(manifest));
    let keys = unwrap_keys(manifest, &purpose, &columns, &RING).ok()?;
    granted_parts(manifest, &purpose, &columns, keys).ok()
}

/// A part of a sealed and of a public data set, as the room opens it, its digest not asked.
pub fn part(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let keys = keys(&SEALED).unwrap();
    let (part, names) = (&SEALED.parts()[0], columns(&SEALED));
    let opened = read_part(
        bytes.clone(),
        &SEALED,
        part,
        &keys[&part.file_id],
        &names,
        100,
    );
    if let Ok(reader) = opened {
        // Every page is authentic: what is read is what was sealed, or nothing.
        let rows: usize = reader.flatten().map(|batch| batch.num_rows()).sum();
        assert!(rows <= 3);
        if rows == 3 {
            reached("sealed");
        }
    }
    let (part, names) = (&PUBLIC.parts()[0], columns(&PUBLIC));
    if let Ok(reader) = read_public_part(bytes, &PUBLIC, part, &names, 100) {
        // A hostile file may say that it has rows without end.
        if reader.take(100).flatten().count() > 0 {
            reached("public");
        }
    }
}

/// Wraps of data keys: in the place of one only that one opens.
pub fn wrap(data: &[u8]) {
    let key = PurposeKey::from_bytes([7; 32]);
    assert!(aead::open(&key, b"a place", data).is_err());
    let signed: Signed = decode(sealed!("sealed-1/manifest"), 1 << 20).unwrap();
    let mut body: wire::Manifest = decode(&signed.body, 1 << 20).unwrap();
    let all = body.parts.iter_mut().flat_map(|part| &mut part.keys);
    let mut wraps = all.flat_map(|key| &mut key.wraps);
    let wrap = wraps.find(|wrap| wrap.purpose == "measurement").unwrap();
    let length = wrap.wrapped.len();
    let wrapped: Vec<u8> = data.iter().copied().chain([0; 60]).take(length).collect();
    let honest = std::mem::replace(&mut wrap.wrapped, wrapped.clone()) == wrapped;
    let manifest = Manifest::parse(&encode(&body)).unwrap();
    assert_eq!(keys(&manifest).is_some(), honest);
    if honest {
        reached("opened");
    }
}
