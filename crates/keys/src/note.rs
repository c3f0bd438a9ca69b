//! Signed notes: a text and lines of signatures below it.
//!
//! # Format
//! The text (ending in a line feed), an empty line, then for each signature
//! `— name base64(key id (4) || Ed25519 signature (64))`. The key id is the start of
//! SHA-256 over `name || 0x0a || 0x01 || public key`.
//! # Reference
//! C2SP signed-note, <https://c2sp.org/signed-note>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::public::PublicKey;
use crate::signing::{KeyError, SigningKey};

/// The signature type of plain Ed25519.
const ED25519: u8 = 1;
/// No note is longer.
const MAX_BYTES: usize = 1 << 20;
/// No note has more signatures.
const MAX_SIGNATURES: usize = 100;

/// Why a note is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Not a signed note.
    #[error("this is no signed note")]
    Malformed,
    /// A key's name may not be empty or hold spaces or plus signs.
    #[error("`{name}` cannot name a note's key: no spaces, no plus signs")]
    Name {
        /// The name refused.
        name: String,
    },
    /// No signature by this name and key.
    #[error("the note is not signed by the key of `{name}`")]
    Unsigned {
        /// The signer wanted.
        name: String,
    },
    /// A signature by this name and key that does not hold.
    #[error("the signature of `{name}` does not hold: the note was changed")]
    Wrong {
        /// The signer.
        name: String,
    },
    /// The key could not sign.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The four bytes that a note names a key by.
#[must_use]
pub fn key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update([b'\n', ED25519])
        .chain_update(key.as_bytes())
        .finalize();
    let [a, b, c, d, ..]: [u8; 32] = digest.into();
    [a, b, c, d]
}

/// The key in the text form of note verifiers: `name+id+base64`.
#[must_use]
pub fn verifier_key(name: &str, key: &PublicKey) -> String {
    let id = u32::from_be_bytes(key_id(name, key));
    let body = STANDARD.encode([&[ED25519], key.as_bytes().as_slice()].concat());
    format!("{name}+{id:08x}+{body}")
}

/// Signs `text`, which must end in a line feed, as `name`.
///
/// # Errors
/// [`NoteError::Name`], or [`NoteError::Malformed`] if the text cannot be a note's.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    check_text(text)?;
    let line = signature_line(text, name, key)?;
    Ok(format!("{text}\n{line}"))
}

/// Adds a signature to a note that others have signed; theirs are kept unchecked.
///
/// # Errors
/// [`NoteError::Name`] or [`NoteError::Malformed`].
pub fn cosign(note: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    let (text, _) = split(note)?;
    let line = signature_line(text, name, key)?;
    Ok(format!("{note}{line}"))
}

/// The text of a note, if `key` signed it as `name`. Signatures of others are skipped.
///
/// # Errors
/// [`NoteError::Malformed`], [`NoteError::Unsigned`], [`NoteError::Wrong`].
pub fn verify(note: &str, name: &str, key: &PublicKey) -> Result<String, NoteError> {
    let (text, lines) = split(note)?;
    let id = key_id(name, key);
    let mut found = None;
    for line in lines.lines() {
        let (signer, bytes) = parse_line(line)?;
        let own = bytes.strip_prefix(&id).filter(|_| signer == name);
        found = found.or(own.map(<[u8]>::to_vec));
    }
    let name = name.to_owned();
    let signature = found.ok_or(NoteError::Unsigned { name: name.clone() })?;
    if !key.verifies(text.as_bytes(), &signature) {
        return Err(NoteError::Wrong { name });
    }
    Ok(text.to_owned())
}

/// The text of a note, believed of nobody.
///
/// # Errors
/// [`NoteError::Malformed`].
pub fn unverified_text(note: &str) -> Result<&str, NoteError> {
    split(note).map(|(text, _)| text)
}

fn signature_line(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    check_name(name)?;
    let signature = key.sign_bare(text.as_bytes())?;
    let id = key_id(name, &key.public());
    let body = STANDARD.encode([id.as_slice(), &signature].concat());
    Ok(format!("\u{2014} {name} {body}\n"))
}

/// Text and signature lines, parted at the last empty line.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let text = note.get(..text.len() + 1).ok_or(NoteError::Malformed)?;
    check_text(text)?;
    let count = lines.lines().count();
    if note.len() > MAX_BYTES || count == 0 || count > MAX_SIGNATURES || !lines.ends_with('\n') {
        return Err(NoteError::Malformed);
    }
    Ok((text, lines))
}

fn parse_line(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let malformed = NoteError::Malformed;
    let rest = line.strip_prefix("\u{2014} ").ok_or(malformed.clone())?;
    let (name, body) = rest.split_once(' ').ok_or(malformed.clone())?;
    check_name(name).map_err(|_| malformed.clone())?;
    let bytes = STANDARD.decode(body).map_err(|_| malformed.clone())?;
    if bytes.len() < 5 {
        return Err(malformed);
    }
    Ok((name, bytes))
}

fn check_text(text: &str) -> Result<(), NoteError> {
    let control = text.chars().any(|c| c.is_control() && c != '\n');
    if control || !text.ends_with('\n') || text.len() > MAX_BYTES {
        return Err(NoteError::Malformed);
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), NoteError> {
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        return Err(NoteError::Name {
            name: name.chars().filter(|c| !c.is_control()).take(64).collect(),
        });
    }
    Ok(())
}
