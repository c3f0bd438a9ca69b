//! Identifiers before anything is done with them: one way of writing each.
//!
//! The agreement names the rules, so that both parties mean the same id; [`Normaliser`] applies
//! them.
//!
//! Rules 1, of agreements that name none:
//!
//! | id kind  | what happens                                                            | refused |
//! |----------|-------------------------------------------------------------------------|---------|
//! | `email`  | white space around it goes; lower case (Unicode)                        | not one `@` with something before and a domain after it, white space or control characters inside, more than 254 bytes |
//! | `phone`  | spaces, `-`, `.`, `(`, `)` and `/` go; a leading `00` becomes `+` (E.164) | not `+` and 7 to 15 digits of which the first is not 0 |
//! | any other | white space around it goes                                             | control characters inside, more than 254 bytes |
//!
//! Rules 2, the trade's published ones (those of UID2, with vectors in `vectors/ids2`):
//!
//! | id kind  | what happens                                                            | refused |
//! |----------|-------------------------------------------------------------------------|---------|
//! | `email`  | as above; at `gmail.com` dots before the `@` go, and a `+` with what follows it | as above, what cannot be seen (U+200B and its like), and at `gmail.com` nothing left before the `@` |
//! | `phone`  | E.164 by a numbering plan: signs between digits, what cannot be seen and what is dialled at home only go; a number without `+` or `00` is of the party's region | letters, extensions, `/`, lengths that no number of the country has, numbers that are complete next door only, and without a region what has no country's code |
//! | any other | as above; case stays, as the ids that providers make want it           | as above |
//!
//! Where the agreement matches *hashes* of a kind, the SHA-256 of that in hexadecimal stands for
//! the id, whether the party had the id ([`IdForm::Raw`]) or was given the hash
//! ([`IdForm::Sha256`]: hexadecimal, or base64 of either alphabet). Whoever can guess ids can
//! undo such a hash: it is an id like any other, and never leaves either.
//!
//! `googlemail.com` stays as it is, dots and all: the rule knows `gmail.com` alone. Letters
//! outside ASCII are not brought to one Unicode form; of all of them lower case makes one a letter
//! of ASCII (U+212A, the sign of kelvin, becomes `k`), and the long s (U+017F) stays. Whether two
//! parties write a *plain* id alike is theirs to agree on.

mod counts;
mod email;
mod hashed;
mod leaves;
mod often;
mod phone;
mod plain;

use std::fmt;

use incamera_types::{IdForm, IdKind, IdRules, IdSort, IdWriting, RegionCode};

pub use counts::Counts;
pub use leaves::{Leaves, TooManyLeaves};
pub use often::Often;
pub use phone::NUMBERING;
use phone::Phones;

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
    /// A hash of which the digits were encoded instead of the bytes.
    #[error(
        "the id is base64 of a hash's hexadecimal digits: encode the 32 bytes of the hash, or give the digits as they are"
    )]
    EncodedDigits,
}

/// Why ids of a kind cannot be read in the way that a party asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WritingError {
    /// Rules 1 know ids as they are, and no regions.
    #[error("under rules 1 of the agreement ids are neither hashed nor of a region")]
    FirstRules,
    /// The agreement matches the ids themselves.
    #[error("the agreement matches ids of kind `{kind}`, not their hashes")]
    NotHashed {
        /// The kind.
        kind: IdKind,
    },
    /// Only phone numbers as people write them are of a region.
    #[error("a region is for phone numbers as people write them")]
    RegionOfNothing,
    /// The numbering plan has no such region.
    #[error("no phone numbers are known of the region `{region}`")]
    Region {
        /// The region asked for.
        region: RegionCode,
    },
    /// The tables inside the program cannot be read: a fault of the program.
    #[error("the numbering plan inside the program cannot be read")]
    NumberingPlan,
}

/// Brings ids of one kind to one way of writing.
pub struct Normaliser {
    rule: Rule,
    hashed: bool,
}

enum Rule {
    LowerEmail,
    Email,
    LightPhone,
    Phone(Box<Phones>),
    Plain,
    Hash,
}

impl Normaliser {
    /// The normaliser of ids of `kind`, written so.
    ///
    /// # Errors
    /// [`WritingError`]: this kind is not written so under these rules.
    pub fn of(kind: &IdKind, writing: &IdWriting) -> Result<Self, WritingError> {
        let IdWriting {
            rules,
            hashed,
            form,
            region,
        } = *writing;
        let raw = form == IdForm::Raw;
        let phones = raw && kind.sort() == IdSort::Phone;
        if rules == IdRules::First && (hashed || !raw || region.is_some()) {
            return Err(WritingError::FirstRules);
        }
        if !raw && !hashed {
            return Err(WritingError::NotHashed { kind: kind.clone() });
        }
        if region.is_some() && !phones {
            return Err(WritingError::RegionOfNothing);
        }
        let rule = match (rules, kind.sort()) {
            _ if !raw => Rule::Hash,
            (IdRules::First, IdSort::Email) => Rule::LowerEmail,
            (IdRules::First, IdSort::Phone) => Rule::LightPhone,
            (_, IdSort::Email) => Rule::Email,
            (_, IdSort::Phone) => Rule::Phone(Box::new(Phones::new(region)?)),
            _ => Rule::Plain,
        };
        Ok(Self {
            rule,
            hashed: hashed && raw,
        })
    }

    /// The one way of writing the identifier, in `into`, which keeps nothing that it had.
    ///
    /// # Errors
    /// [`IdFault`]: the text is empty, or not of the kind.
    pub fn normalise<'b>(&self, raw: &str, into: &'b mut String) -> Result<&'b str, IdFault> {
        into.clear();
        let text = raw.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if text.is_empty() {
            return Err(IdFault::Empty);
        }
        match &self.rule {
            Rule::LowerEmail => email::lower(text, into)?,
            Rule::Email => email::published(text, into)?,
            Rule::LightPhone => phone::light(text, into)?,
            Rule::Phone(phones) => phones.normalise(text, into)?,
            Rule::Plain => plain::plain(text, into)?,
            Rule::Hash => hashed::given(text, into)?,
        }
        if into.len() > MAX_ID_BYTES {
            return Err(IdFault::Invalid);
        }
        if self.hashed {
            hashed::hash(into);
        }
        Ok(into)
    }

    /// The same, as a text of its own; none for what is no id of the kind.
    #[must_use]
    pub fn normalised(&self, raw: &str) -> Option<String> {
        let mut id = String::new();
        self.normalise(raw, &mut id).is_ok().then_some(id)
    }
}

impl fmt::Debug for Normaliser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Normaliser")
    }
}

/// What nobody sees in a text: characters that Unicode says to show nothing for
/// (`Default_Ignorable_Code_Point`).
fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A party's identifiers, ready to be matched, and what became of its rows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Distinct identifiers, in order.
    pub ids: Vec<String>,
    /// What the rows held.
    pub counts: Counts,
    /// Rows whose identifier had been seen before.
    pub duplicates: u64,
}

impl fmt::Debug for Prepared {
    /// Counts alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("ids", &self.ids.len())
            .field("counts", &self.counts)
            .field("duplicates", &self.duplicates)
            .finish()
    }
}

/// Normalises a column of identifiers and drops what is empty, invalid or there already.
pub fn collect<S: AsRef<str>>(
    raw: impl IntoIterator<Item = S>,
    normaliser: &Normaliser,
) -> Prepared {
    let mut prepared = Prepared::default();
    let mut id = String::new();
    for text in raw {
        let normalised = normaliser.normalise(text.as_ref(), &mut id);
        prepared.counts.row(&normalised);
        prepared.ids.extend(normalised.ok().map(str::to_owned));
    }
    let all = prepared.ids.len();
    prepared.ids.sort_unstable();
    prepared.ids.dedup();
    prepared.duplicates = (all - prepared.ids.len()) as u64;
    prepared
}

#[cfg(test)]
mod tests;
