//! Names that people choose: parties, data sets, columns, purposes, queries, analysts.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("{} {kind} name is empty", article(kind))]
    Empty {
        /// What the name would have named.
        kind: &'static str,
    },
    /// The text is longer than 63 bytes.
    #[error(
        "{} {kind} name is longer than {MAX_NAME_BYTES} characters",
        article(kind)
    )]
    TooLong {
        /// What the name would have named.
        kind: &'static str,
    },
    /// A character outside the allowed set.
    #[error(
        "{} {kind} name has lower-case letters, digits, `-` and `_` and starts with a letter, not `{found}`",
        article(kind)
    )]
    Character {
        /// What the name would have named.
        kind: &'static str,
        /// The first character that is not allowed.
        found: char,
    },
    /// An analyst reference without its party.
    #[error("an analyst is named `party/analyst`")]
    NoParty,
}

fn article(kind: &str) -> &'static str {
    match kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => "an",
        false => "a",
    }
}

fn check(kind: &'static str, text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty { kind })?;
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { kind });
    }
    if !first.is_ascii_lowercase() {
        return Err(NameError::Character { kind, found: first });
    }
    let bad = |c: &char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'));
    match text.chars().find(bad) {
        Some(found) => Err(NameError::Character { kind, found }),
        None => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check($kind, text)?;
                Ok(Self(text.to_owned()))
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                check($kind, &text)?;
                Ok(Self(text))
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    )*};
}

names! {
    /// An organisation in an agreement.
    PartyName = "party";
    /// A data set of an agreement.
    DatasetName = "data set";
    /// A column of a data set.
    ColumnName = "column";
    /// A leaf or a branch of the agreement's purposes.
    PurposeName = "purpose";
    /// An approved query.
    QueryName = "query";
    /// A person with a key, inside a party.
    AnalystName = "analyst";
    /// A kind of identifier: `email`, `phone`, ...
    IdKind = "id kind";
    /// A parameter of a query.
    ParamName = "parameter";
}

/// An analyst and the party that lets them ask, written `party/analyst`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnalystRef {
    /// The party that vouches for the analyst.
    pub party: PartyName,
    /// The analyst's name inside the party.
    pub analyst: AnalystName,
}

impl FromStr for AnalystRef {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let (party, analyst) = text.split_once('/').ok_or(NameError::NoParty)?;
        Ok(Self {
            party: party.parse()?,
            analyst: analyst.parse()?,
        })
    }
}
impl TryFrom<String> for AnalystRef {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}
impl From<AnalystRef> for String {
    fn from(analyst: AnalystRef) -> String {
        analyst.to_string()
    }
}
impl fmt::Display for AnalystRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.party, self.analyst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("shop".parse::<PartyName>().is_ok());
        assert!("shop-2_x".parse::<PartyName>().is_ok());
        for bad in [
            "",
            "Shop",
            "2shop",
            "sh op",
            "shöp",
            "../x",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<PartyName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_are_in_plain_english() {
        let said = "".parse::<IdKind>().unwrap_err().to_string();
        assert_eq!(said, "an id kind name is empty");
        let said = "Shop".parse::<PartyName>().unwrap_err().to_string();
        assert!(
            said.starts_with("a party name has lower-case letters"),
            "{said}"
        );
    }

    #[test]
    fn analyst_has_a_party() {
        let ana: AnalystRef = "mailer/ana".parse().unwrap();
        assert_eq!(ana.to_string(), "mailer/ana");
        assert_eq!("ana".parse::<AnalystRef>(), Err(NameError::NoParty));
    }
}
