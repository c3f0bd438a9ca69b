//! Looks for a text that must not be there, in the forms in which it would leak.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use sha2::{Digest, Sha256};

/// Something to look for.
pub struct Mark {
    name: String,
    forms: BTreeSet<(Vec<u8>, &'static str)>,
}

/// A mark that was found. Holds neither the mark nor what is around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The file or the name of the bytes.
    pub place: String,
    /// The mark's name.
    pub mark: String,
    /// `clear`, `hex`, `base64`, `SHA-256` and so on.
    pub form: &'static str,
    /// Where it starts.
    pub offset: usize,
}

impl Mark {
    /// A text: in clear, in hex, in base64 wherever in a group of three it starts, and its
    /// SHA-256 in each of these; the same of its lower-case form without spaces around it.
    #[must_use]
    pub fn text(name: &str, text: &str) -> Self {
        let mut mark = Self {
            name: name.to_owned(),
            forms: BTreeSet::new(),
        };
        for text in [text.to_owned(), text.trim().to_lowercase()] {
            let bytes = text.as_bytes();
            mark.add(bytes, ["clear", "hex", "base64"]);
            let digest = Sha256::digest(bytes);
            mark.add(&digest, ["SHA-256", "SHA-256 in hex", "SHA-256 in base64"]);
        }
        mark
    }

    /// Looks for these bytes too, as they are, in hex and in base64: an unblinded point, say.
    #[must_use]
    pub fn and_bytes(mut self, bytes: &[u8]) -> Self {
        self.add(bytes, ["bytes", "bytes in hex", "bytes in base64"]);
        self
    }

    fn add(&mut self, bytes: &[u8], [raw, hex, base64]: [&'static str; 3]) {
        self.forms.insert((bytes.to_vec(), raw));
        self.forms.insert((hex::encode(bytes).into_bytes(), hex));
        self.forms
            .insert((hex::encode_upper(bytes).into_bytes(), hex));
        for shift in 0..3 {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                self.forms
                    .insert((base64_inside(bytes, shift, &engine), base64));
            }
        }
    }
}

/// The characters that stand for `bytes` alone when `shift` bytes of a group come before them.
fn base64_inside(bytes: &[u8], shift: usize, engine: &impl Engine) -> Vec<u8> {
    let padded = [vec![0; shift], bytes.to_vec()].concat();
    let text = engine.encode(&padded);
    let (first, end) = ((shift * 8).div_ceil(6), padded.len() * 8 / 6);
    text.as_bytes().get(first..end).unwrap_or_default().to_vec()
}

/// Every place in `bytes` where a mark begins.
#[must_use]
pub fn search_bytes(place: &str, bytes: &[u8], marks: &[Mark]) -> Vec<Hit> {
    let mut hits = Vec::new();
    for mark in marks {
        for (form_bytes, form) in &mark.forms {
            let found = memmem::find_iter(bytes, form_bytes);
            hits.extend(found.map(|offset| Hit {
                place: place.to_owned(),
                mark: mark.name.clone(),
                form,
                offset,
            }));
        }
    }
    hits.sort();
    hits
}

/// Searches every file below a folder, names included. Links are not followed.
///
/// # Errors
/// Those of reading, except of a file that is gone by then.
pub fn search_folder(folder: &Path, marks: &[Mark]) -> io::Result<Vec<Hit>> {
    let mut hits = Vec::new();
    for entry in fs::read_dir(folder)? {
        let (path, kind) = entry.and_then(|e| Ok((e.path(), e.file_type()?)))?;
        let place = path.display().to_string();
        let name = path
            .file_name()
            .map(|name| name.as_encoded_bytes().to_vec());
        hits.extend(search_bytes(
            &format!("name of {place}"),
            &name.unwrap_or_default(),
            marks,
        ));
        if kind.is_dir() {
            hits.extend(search_folder(&path, marks)?);
        } else if kind.is_file() {
            match fs::read(&path) {
                Ok(bytes) => hits.extend(search_bytes(&place, &bytes, marks)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                Err(error) => return Err(error),
            }
        }
    }
    hits.sort();
    Ok(hits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Person000123@mail.example";

    fn forms(bytes: &[u8]) -> BTreeSet<&'static str> {
        let marks = [Mark::text("known", SECRET).and_bytes(&[9; 32])];
        search_bytes("test", bytes, &marks)
            .into_iter()
            .map(|hit| hit.form)
            .collect()
    }

    fn only(form: &'static str) -> BTreeSet<&'static str> {
        BTreeSet::from([form])
    }

    #[test]
    fn every_form_is_found() {
        let lower = SECRET.to_lowercase();
        for text in [SECRET, lower.as_str()] {
            assert_eq!(forms(format!("x{text}y").as_bytes()), only("clear"));
            assert_eq!(forms(hex::encode(text).as_bytes()), only("hex"));
            assert_eq!(forms(hex::encode_upper(text).as_bytes()), only("hex"));
            let digest = Sha256::digest(text);
            assert_eq!(forms(&digest), only("SHA-256"));
            assert_eq!(
                forms(hex::encode(digest).as_bytes()),
                only("SHA-256 in hex")
            );
            let base64 = STANDARD_NO_PAD.encode(digest);
            assert_eq!(forms(base64.as_bytes()), only("SHA-256 in base64"));
        }
        assert_eq!(forms(&[9; 32]), only("bytes"));
        assert_eq!(forms(b"Person000124@mail.example"), BTreeSet::new());
    }

    /// Whatever stands before and after it, in both alphabets.
    #[test]
    fn base64_is_found_at_every_alignment() {
        for before in 0..7 {
            for after in 0..4 {
                let text = format!("{}{SECRET}{}", "?".repeat(before), "~".repeat(after));
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    assert_eq!(forms(engine.encode(&text).as_bytes()), only("base64"));
                }
            }
        }
    }

    #[test]
    fn a_hit_holds_no_data() {
        let marks = [Mark::text("known", SECRET)];
        let hits = search_bytes("here", format!("..{SECRET}").as_bytes(), &marks);
        assert_eq!(hits.len(), 1);
        assert_eq!((hits[0].offset, hits[0].mark.as_str()), (2, "known"));
        assert!(!format!("{hits:?}").contains("000123"));
    }
}
