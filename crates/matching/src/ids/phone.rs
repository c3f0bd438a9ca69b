//! Phone numbers in E.164: `+`, the country's code, the number; digits only.
//!
//! What a text may hold besides digits is decided here, and the rest by a numbering plan: where
//! the country's code ends, and which digits in front of a number are dialled at home and do not
//! belong to it. Whether a number can be one is asked by its length alone. Tables say more (which
//! ranges are given out), but they change every few weeks, and two parties with tables of
//! different months would then lose people.

use std::str::FromStr as _;
use std::sync::LazyLock;

use incamera_types::RegionCode;
use rlibphonenumber::{NumberLengthType, PhoneNumberFormat, PhoneNumberUtil, Region};

use super::{IdFault, WritingError, invisible};

/// The numbering plan that phone numbers are read by: both sides of a run should have the same.
pub const NUMBERING: &str = "rlibphonenumber 2.2.15";

/// A country's code, and numbers of it, are at most so long together.
const MAX_DIGITS: usize = 15;
/// The longest text that is read as a number.
const MAX_TEXT_BYTES: usize = 64;
/// The first digits of alphabets that numbers are often written in, besides ASCII: Arabic,
/// Persian, full width.
const ZEROS: [char; 3] = ['\u{660}', '\u{6f0}', '\u{ff10}'];

/// Rules 1: what stands between digits goes; the country's code must be there.
pub(super) fn light(text: &str, into: &mut String) -> Result<(), IdFault> {
    let between = [' ', '\u{a0}', '-', '.', '(', ')', '/'];
    into.extend(text.chars().filter(|c| !between.contains(c)));
    if into.starts_with("00") {
        into.replace_range(..2, "+");
    }
    let digits = into.strip_prefix('+').ok_or(IdFault::Invalid)?;
    let fits = (7..=MAX_DIGITS).contains(&digits.len()) && !digits.starts_with('0');
    match fits && digits.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => Err(IdFault::Invalid),
    }
}

/// What knows how numbers are dialled.
pub(super) trait NumberingPlan {
    /// The E.164 form of a number of digits, perhaps with `+` in front of them: of one without,
    /// as it is dialled in `region`. None for what is no complete number there.
    fn international(&self, number: &str, region: Option<Region>) -> Option<String>;
}

impl NumberingPlan for PhoneNumberUtil {
    fn international(&self, number: &str, region: Option<Region>) -> Option<String> {
        let parsed = self.parse(number, region).ok()?;
        // A number that can be dialled next door only stands for many people.
        match self.is_possible_number_with_reason(&parsed) {
            Ok(NumberLengthType::IsPossible) => {}
            _ => return None,
        }
        let written = self.format(&parsed, PhoneNumberFormat::E164);
        Some(written.into_owned())
    }
}

/// Seven megabytes of tables, read when the first number comes.
static TABLES: LazyLock<Option<PhoneNumberUtil>> = LazyLock::new(|| PhoneNumberUtil::new().ok());

/// Rules 2, for a party whose numbers without a country's code are of one region, or of none.
pub(super) struct Phones {
    plan: &'static PhoneNumberUtil,
    region: Option<Region>,
}

impl Phones {
    pub(super) fn new(region: Option<RegionCode>) -> Result<Self, WritingError> {
        let plan = TABLES.as_ref().ok_or(WritingError::NumberingPlan)?;
        let known = |code: RegionCode| {
            let region = Region::from_str(code.as_str()).ok();
            let region =
                region.filter(|region| plan.get_country_code_for_region(*region).is_some());
            region.ok_or(WritingError::Region { region: code })
        };
        let region = region.map(known).transpose()?;
        Ok(Self { plan, region })
    }

    pub(super) fn normalise(&self, text: &str, into: &mut String) -> Result<(), IdFault> {
        self.read(text, into).ok_or(IdFault::Invalid)
    }

    fn read(&self, text: &str, into: &mut String) -> Option<()> {
        dialled(text, into)?;
        // What is dialled abroad instead of `+` differs; where nobody says which country this
        // is, it is what most of the world dials.
        if self.region.is_none() && into.starts_with("00") {
            into.replace_range(..2, "+");
        }
        let written = self.plan.international(into, self.region)?;
        // A number whose own form reads as another number is none: two ways of writing it
        // would not meet.
        let settled = written == *into || self.plan.international(&written, None)? == written;
        let fits = written.len() <= 1 + MAX_DIGITS;
        *into = written;
        (settled && fits).then_some(())
    }
}

/// What is dialled: digits, with or without `+`. None where anything else stands there than
/// what people put between digits; letters and extensions (`ext. 3`) are anything else.
fn dialled(text: &str, into: &mut String) -> Option<()> {
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    for c in text.chars() {
        match c {
            '+' | '\u{ff0b}' if into.is_empty() => into.push('+'),
            _ if between(c) => {}
            _ => into.push(digit(c)?),
        }
    }
    Some(())
}

fn between(c: char) -> bool {
    let dash = matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}');
    let sign = matches!(c, '.' | '(' | ')' | '[' | ']' | '\u{ff08}' | '\u{ff09}');
    dash || sign || invisible(c) || c.is_whitespace()
}

fn digit(c: char) -> Option<char> {
    let of = |zero: char| u32::from(c).checked_sub(u32::from(zero));
    let mut alphabets = std::iter::once('0').chain(ZEROS);
    let value = alphabets.find_map(|zero| of(zero).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}
