//! How identifiers are written, before anything is done with them.

use std::fmt;
use std::str::FromStr;

use crate::IdKind;

/// A word or number about ids that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdWritingError {
    /// No rules of this number.
    #[error("ids are normalised by rules 1 or 2: a newer version of incamera may have more")]
    Rules,
    /// No form of this name.
    #[error("ids are written raw or as sha256")]
    Form,
    /// Not two letters.
    #[error("a region is two letters, such as DE or US")]
    Region,
}

/// The rules by which ids are brought to one way of writing; an agreement names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum IdRules {
    /// Number 1: what agreements that name none mean.
    #[default]
    First,
    /// Number 2: the trade's published rules.
    Published,
}

impl IdRules {
    /// All of them, the oldest first.
    pub const ALL: [Self; 2] = [Self::First, Self::Published];

    /// The number that agreements, messages and files have.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::First => 1,
            Self::Published => 2,
        }
    }
}

impl TryFrom<u32> for IdRules {
    type Error = IdWritingError;
    fn try_from(number: u32) -> Result<Self, IdWritingError> {
        let mut all = Self::ALL.into_iter();
        all.find(|rules| rules.number() == number)
            .ok_or(IdWritingError::Rules)
    }
}

impl FromStr for IdRules {
    type Err = IdWritingError;
    fn from_str(text: &str) -> Result<Self, IdWritingError> {
        let mut all = Self::ALL.into_iter();
        all.find(|rules| rules.to_string() == text)
            .ok_or(IdWritingError::Rules)
    }
}

impl fmt::Display for IdRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// How a party has its ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdForm {
    /// As people write them.
    #[default]
    Raw,
    /// As the SHA-256 of the normalised id, in hexadecimal or base64.
    Sha256,
}

impl IdForm {
    /// The word of flags and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Sha256 => "sha256",
        }
    }
}

impl FromStr for IdForm {
    type Err = IdWritingError;
    fn from_str(text: &str) -> Result<Self, IdWritingError> {
        let mut forms = [Self::Raw, Self::Sha256].into_iter();
        forms
            .find(|form| form.as_str() == text)
            .ok_or(IdWritingError::Form)
    }
}

impl fmt::Display for IdForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ids of a kind are to this program, which is what the kind's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdSort {
    /// Of the kind `email`.
    Email,
    /// Of the kind `phone`.
    Phone,
    /// Of every other kind: no rules, each id is taken as it stands.
    Plain,
}

/// Parts of names by which people call addresses or numbers, and what those are.
const LOOK_ALIKES: [(&str, IdSort); 5] = [
    ("mail", IdSort::Email),
    ("phone", IdSort::Phone),
    ("telefon", IdSort::Phone),
    ("mobile", IdSort::Phone),
    ("msisdn", IdSort::Phone),
];

impl IdKind {
    /// By which rules ids of the kind are written.
    #[must_use]
    pub fn sort(&self) -> IdSort {
        match self.as_str() {
            "email" => IdSort::Email,
            "phone" => IdSort::Phone,
            _ => IdSort::Plain,
        }
    }

    /// What a plain kind's name suggests that its ids are: `e-mail` or `phone_number` get no
    /// rules, though whoever named them so may count on some. None for any other name.
    #[must_use]
    pub fn looks_like(&self) -> Option<IdSort> {
        if self.sort() != IdSort::Plain {
            return None;
        }
        let name = self.as_str();
        let mut words = name.split(['-', '_']);
        let found = LOOK_ALIKES.iter().find(|(part, _)| name.contains(part));
        let tel = words.any(|word| word == "tel").then_some(IdSort::Phone);
        found.map(|(_, sort)| *sort).or(tel)
    }
}

/// The country or territory that a phone number without a country's code is of: two letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegionCode([u8; 2]);

impl RegionCode {
    /// The two letters, in upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for RegionCode {
    type Err = IdWritingError;
    fn from_str(text: &str) -> Result<Self, IdWritingError> {
        let letters: [u8; 2] = text
            .as_bytes()
            .try_into()
            .map_err(|_| IdWritingError::Region)?;
        match letters.iter().all(u8::is_ascii_alphabetic) {
            true => Ok(Self(letters.map(|letter| letter.to_ascii_uppercase()))),
            false => Err(IdWritingError::Region),
        }
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a party's ids of one kind are written, and what they are brought to. The same ids under
/// another one are others: a crosswalk keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct IdWriting {
    /// The agreement's rules.
    pub rules: IdRules,
    /// Whether the agreement matches hashes of ids of this kind.
    pub hashed: bool,
    /// How this party has them.
    pub form: IdForm,
    /// Where this party's phone numbers without a country's code are from.
    pub region: Option<RegionCode>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_come_back() {
        for rules in IdRules::ALL {
            assert_eq!(rules.number().try_into(), Ok(rules));
            assert_eq!(rules.to_string().parse(), Ok(rules));
        }
        assert_eq!(IdRules::try_from(3), Err(IdWritingError::Rules));
        assert_eq!("02".parse::<IdRules>(), Err(IdWritingError::Rules));
        for form in [IdForm::Raw, IdForm::Sha256] {
            assert_eq!(form.to_string().parse(), Ok(form));
        }
        assert_eq!("md5".parse::<IdForm>(), Err(IdWritingError::Form));
    }

    #[test]
    fn two_names_have_rules_and_some_look_as_if() {
        let of = |name: &str| {
            let kind: IdKind = name.parse().unwrap();
            (kind.sort(), kind.looks_like())
        };
        assert_eq!(of("email"), (IdSort::Email, None));
        assert_eq!(of("phone"), (IdSort::Phone, None));
        for name in ["e-mail", "emails", "mail", "email_sha256"] {
            assert_eq!(of(name), (IdSort::Plain, Some(IdSort::Email)), "{name}");
        }
        for name in ["telephone", "phone_number", "tel", "tel-no", "mobile"] {
            assert_eq!(of(name), (IdSort::Plain, Some(IdSort::Phone)), "{name}");
        }
        for name in ["customer_no", "hotel", "cookie", "plain"] {
            assert_eq!(of(name), (IdSort::Plain, None), "{name}");
        }
    }

    #[test]
    fn regions_are_two_letters() {
        assert_eq!("de".parse::<RegionCode>().unwrap().as_str(), "DE");
        for wrong in ["", "D", "DEU", "4\u{9}", "ä"] {
            assert_eq!(wrong.parse::<RegionCode>(), Err(IdWritingError::Region));
        }
    }
}
