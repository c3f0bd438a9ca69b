//! Identifiers before anything is done with them: one way of writing each.
//!
//! | id kind  | what happens                                                            | refused |
//! |----------|-------------------------------------------------------------------------|---------|
//! | `email`  | white space around it goes; lower case (Unicode)                        | not one `@` with something before and a domain after it, white space or control characters inside, more than 254 bytes |
//! | `phone`  | spaces, `-`, `.`, `(`, `)` and `/` go; a leading `00` becomes `+` (E.164) | not `+` and 7 to 15 digits of which the first is not 0 |
//! | any other | white space around it goes                                             | control characters inside, more than 254 bytes |
//!
//! Dots and tags in front of an e-mail's `@` stay: only some providers ignore them. Letters
//! outside ASCII are not brought to one Unicode form. Whether two parties write a *plain* id
//! alike is theirs to agree on.

use std::fmt;

use incamera_types::IdKind;

/// The longest identifier, in bytes.
pub const MAX_ID_BYTES: usize = 254;

/// Why a text is no identifier of its kind. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdFault {
    /// Nothing but white space.
    #[error("the id is empty")]
    Empty,
    /// Not written as its kind is.
    #[error("the id is not written as its kind is")]
    Invalid,
}

/// A party's identifiers, ready to be matched, and what became of its rows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Distinct identifiers, in order.
    pub ids: Vec<String>,
    /// Rows read.
    pub rows: u64,
    /// Rows without an identifier.
    pub empty: u64,
    /// Rows whose identifier is not written as its kind is.
    pub invalid: u64,
    /// Rows whose identifier had been seen before.
    pub duplicates: u64,
}

impl fmt::Debug for Prepared {
    /// Counts alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("ids", &self.ids.len())
            .field("rows", &self.rows)
            .field("empty", &self.empty)
            .field("invalid", &self.invalid)
            .field("duplicates", &self.duplicates)
            .finish()
    }
}

/// Normalises a column of identifiers and drops what is empty, invalid or there already.
pub fn collect<S: AsRef<str>>(raw: impl IntoIterator<Item = S>, kind: &IdKind) -> Prepared {
    let mut prepared = Prepared::default();
    for text in raw {
        prepared.rows += 1;
        match normalise(text.as_ref(), kind) {
            Ok(id) => prepared.ids.push(id),
            Err(IdFault::Empty) => prepared.empty += 1,
            Err(IdFault::Invalid) => prepared.invalid += 1,
        }
    }
    let all = prepared.ids.len();
    prepared.ids.sort_unstable();
    prepared.ids.dedup();
    prepared.duplicates = (all - prepared.ids.len()) as u64;
    prepared
}

/// The one way of writing an identifier of this kind.
///
/// # Errors
/// [`IdFault`]: the text is empty, or not of the kind.
pub fn normalise(raw: &str, kind: &IdKind) -> Result<String, IdFault> {
    let text = raw.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        return Err(IdFault::Empty);
    }
    let id = match kind.as_str() {
        "email" => email(text),
        "phone" => phone(text),
        _ => plain(text),
    };
    id.filter(|id| id.len() <= MAX_ID_BYTES)
        .ok_or(IdFault::Invalid)
}

fn email(text: &str) -> Option<String> {
    let (local, domain) = text.split_once('@')?;
    let dots = domain.starts_with('.') || domain.ends_with('.') || domain.contains("..");
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    if local.is_empty() || domain.is_empty() || dots || local.contains(bad) || domain.contains(bad)
    {
        return None;
    }
    Some(text.to_lowercase())
}

fn phone(text: &str) -> Option<String> {
    let mut number = text.replace([' ', '\u{a0}', '-', '.', '(', ')', '/'], "");
    if let Some(rest) = number.strip_prefix("00") {
        number = format!("+{rest}");
    }
    let digits = number.strip_prefix('+')?;
    let fits = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
    (fits && digits.bytes().all(|b| b.is_ascii_digit())).then_some(number)
}

fn plain(text: &str) -> Option<String> {
    (!text.contains(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(name: &str) -> IdKind {
        name.parse().unwrap()
    }

    #[test]
    fn rows_are_counted() {
        let rows = [
            "A@b.example",
            " a@B.example ",
            "",
            "  ",
            "nobody",
            "c@d.example",
        ];
        let prepared = collect(rows, &kind("email"));
        assert_eq!(prepared.ids, ["a@b.example", "c@d.example"]);
        let counts = (
            prepared.rows,
            prepared.empty,
            prepared.invalid,
            prepared.duplicates,
        );
        assert_eq!(counts, (6, 2, 1, 1));
    }

    #[test]
    fn debug_shows_counts_alone() {
        let prepared = collect(["a@b.example"], &kind("email"));
        assert!(!format!("{prepared:?}").contains("example"));
    }

    proptest! {
        /// Normalising twice changes nothing.
        #[test]
        fn normalising_is_idempotent(text in "\\PC{0,40}", name in "email|phone|loyalty") {
            if let Ok(once) = normalise(&text, &kind(&name)) {
                prop_assert_eq!(normalise(&once, &kind(&name)), Ok(once.clone()));
            }
        }

        /// Each row is counted once.
        #[test]
        fn counts_add_up(rows in prop::collection::vec("[ab@. ]{0,5}", 0..30)) {
            let prepared = collect(&rows, &kind("email"));
            let counted = prepared.ids.len() as u64 + prepared.empty + prepared.invalid + prepared.duplicates;
            prop_assert_eq!(counted, rows.len() as u64);
        }
    }
}
