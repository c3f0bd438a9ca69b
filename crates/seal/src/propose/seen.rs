//! What the values of one column have in common.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use incamera_types::{ColumnType, Date, Decimal, IdKind, MAX_PRECISION, PurposeName};

use super::figures;
use super::{Hints, ProposedColumn};

/// Distinct texts are counted up to here, and said to be many beyond.
const COUNTED: usize = 1_000;
/// The digits that a proposed decimal has at least: amounts grow.
const DIGITS: u8 = 10;
/// The digits of a decimal at most.
const MOST_DIGITS: u8 = MAX_PRECISION;

/// Names of columns that hold what people agreed to.
const CONSENTS: [&str; 4] = ["consent", "consents", "purposes", "opt_in"];

/// What has been seen of a column.
pub(super) struct Seen<'h> {
    pub(super) name: String,
    hints: &'h Hints,
    /// Some value is missing.
    pub(super) empty: bool,
    /// Some value is of a type that nothing is sealed as.
    pub(super) unknown: bool,
    /// Some value is floating point.
    pub(super) floats: bool,
    /// Some value is true or false.
    pub(super) bools: bool,
    /// Some value is a day.
    pub(super) days: bool,
    /// Some value is a moment with its offset from UTC.
    pub(super) moments: bool,
    /// Some value is a moment by somebody's clocks.
    pub(super) clocks: bool,
    numbers: bool,
    /// Some number is neither 0 nor 1.
    not_bits: bool,
    emails: bool,
    texts: bool,
    /// Some text is no list of purposes.
    no_purposes: bool,
    /// The most digits after the point, and the range of numbers, at one scale.
    scale: u8,
    low: i128,
    high: i128,
    /// Some number is too large to be sealed.
    too_large: bool,
    hasher: RandomState,
    distinct: HashSet<u64>,
}

impl<'h> Seen<'h> {
    pub(super) fn new(name: String, hints: &'h Hints) -> Self {
        Self {
            name,
            hints,
            empty: false,
            unknown: false,
            floats: false,
            bools: false,
            days: false,
            moments: false,
            clocks: false,
            numbers: false,
            not_bits: false,
            emails: false,
            texts: false,
            no_purposes: false,
            scale: 0,
            low: i128::MAX,
            high: i128::MIN,
            too_large: false,
            hasher: RandomState::new(),
            distinct: HashSet::new(),
        }
    }

    /// Looks at a value that is written as a text.
    pub(super) fn see(&mut self, text: &str) {
        if text.trim().is_empty() {
            self.empty = true;
            return;
        }
        self.count(text);
        self.no_purposes |= !self.are_purposes(text);
        match form(text.trim()) {
            Form::Bool => self.bools = true,
            Form::Number(number, scale) => self.number(number, scale),
            Form::Day => self.days = true,
            Form::Moment => self.moments = true,
            Form::Clock => self.clocks = true,
            Form::Email => self.emails = true,
            Form::Text => self.texts = true,
        }
    }

    /// Looks at a number with so many digits after the point.
    pub(super) fn number(&mut self, number: i128, scale: u8) {
        self.numbers = true;
        self.not_bits |= scale > 0 || !(0..=1).contains(&number);
        self.scale = self.scale.max(scale);
        match figures::at_scale(number, scale) {
            Some(number) => {
                self.low = self.low.min(number);
                self.high = self.high.max(number);
            }
            None => self.too_large = true,
        }
    }

    fn count(&mut self, text: &str) {
        if self.distinct.len() < COUNTED {
            self.distinct.insert(self.hasher.hash_one(text));
        }
    }

    fn are_purposes(&self, text: &str) -> bool {
        let known = &self.hints.purposes;
        let names = text
            .split([';', ',', '|', ' '])
            .filter(|name| !name.is_empty());
        let mut names = names.map(|name| name.parse::<PurposeName>().ok());
        names.all(|name| name.is_some_and(|name| known.is_empty() || known.contains(&name)))
    }

    /// The kinds of value that there are.
    fn kinds(&self) -> usize {
        let kinds = [
            self.bools,
            self.numbers,
            self.days,
            self.moments || self.clocks,
            self.emails,
            self.texts,
        ];
        kinds.into_iter().filter(|kind| *kind).count()
    }

    /// What all values allow to say of the column.
    pub(super) fn proposed(self) -> ProposedColumn {
        let mut column = ProposedColumn {
            name: self.name.clone(),
            ty: Some(ColumnType::Text),
            nullable: self.empty,
            bounds: None,
            without_offset: false,
            id_kind: None,
            why: Vec::new(),
        };
        if self.unknown {
            column.ty = None;
            column.why.push("its type cannot be sealed".to_owned());
        } else if let Some((kind, why)) = self.id() {
            column.ty = Some(ColumnType::Pseudonym);
            column.id_kind = kind.parse::<IdKind>().ok();
            column.nullable = false;
            column.why.push(why.to_owned());
        } else if self.consents() {
            column.ty = Some(ColumnType::Purposes);
            column.nullable = false;
            column.why.push("its values are lists of names like those of purposes: it decides who is counted for what, and is not stored".to_owned());
        } else {
            self.value(&mut column);
        }
        column
    }

    /// The kind of id that the column holds, and why it seems so.
    fn id(&self) -> Option<(&'static str, &'static str)> {
        if self.emails && self.kinds() == 1 {
            return Some(("email", "every value looks like an e-mail address"));
        }
        if self.kinds() == 0 || self.bools || self.days || self.moments || self.clocks {
            return None;
        }
        let name = self.name.to_lowercase();
        let has = |part: &str| {
            name.split(|c: char| !c.is_alphanumeric())
                .any(|word| word == part)
        };
        let kind = if ["email", "mail"].into_iter().any(has) {
            "email"
        } else if ["phone", "mobile", "msisdn", "tel"].into_iter().any(has) {
            "phone"
        } else if ["id", "uuid", "person", "pseudonym"].into_iter().any(has) {
            "plain"
        } else {
            return None;
        };
        Some((kind, "it is named like an identifier of people"))
    }

    fn consents(&self) -> bool {
        let named = CONSENTS.contains(&self.name.to_lowercase().as_str());
        let known = !self.hints.purposes.is_empty();
        self.texts && !self.emails && !self.no_purposes && (named || known)
    }

    /// A column of plain values.
    fn value(&self, column: &mut ProposedColumn) {
        let mut why = |text: &str| column.why.push(text.to_owned());
        match self.kinds() {
            0 => why("no row has a value: choose its type by hand"),
            1 if self.bools => {
                column.ty = Some(ColumnType::Bool);
                why("every value is true or false");
            }
            1 if self.numbers && !self.not_bits && !self.floats => {
                column.ty = Some(ColumnType::Bool);
                why("every value is 0 or 1; write int if they are counted");
            }
            1 if self.numbers => self.numeric(column),
            1 if self.days => {
                column.ty = Some(ColumnType::Date);
                why("every value is a day");
            }
            1 if self.moments || self.clocks => {
                column.ty = Some(ColumnType::Timestamp);
                column.without_offset = self.clocks;
                why(if self.clocks {
                    "every value is a moment, some without an offset from UTC"
                } else {
                    "every value is a moment with its offset from UTC"
                });
            }
            _ => why(&format!(
                "its values are texts, {}; list those you want to allow: values = [...]",
                self.roughly()
            )),
        }
        if self.floats {
            column.why.push("the file has floating-point numbers, which are rounded to the digits that the type says".to_owned());
        }
    }

    fn numeric(&self, column: &mut ProposedColumn) {
        let bounds = match self.too_large {
            true => None,
            false => figures::outside(self.low, self.high, self.scale),
        };
        let whole = self.scale == 0 && !self.floats;
        let digits = bounds
            .as_ref()
            .map(|(low, high)| digits(low).max(digits(high)));
        match digits.filter(|digits| *digits <= MOST_DIGITS) {
            Some(_) if whole => {
                column.ty = Some(ColumnType::Int);
                column.why.push("every value is a whole number".to_owned());
            }
            Some(digits) => {
                let scale = self.scale;
                let precision = digits.max(DIGITS).max(scale);
                column.ty = Some(ColumnType::Decimal { precision, scale });
                column.why.push(format!(
                    "every value is a number with at most {scale} digits after the point"
                ));
            }
            None => {
                column.why.push("its numbers have more digits than can be added up: round them, or leave the column out".to_owned());
                return;
            }
        }
        column.bounds = bounds;
        column.why.push("bounds are moved outward to plain figures, so that no row's value stands here: narrow them to what one person may add".to_owned());
    }

    /// How many distinct texts, roughly: a small number could be a person.
    fn roughly(&self) -> &'static str {
        match self.distinct.len() {
            0..10 => "fewer than 10 distinct ones",
            10..100 => "some tens of distinct ones",
            100..COUNTED => "some hundreds of distinct ones",
            _ => "a thousand or more distinct ones",
        }
    }
}

/// The digits of a figure.
fn digits(figure: &Decimal) -> u8 {
    let digits = figure.unscaled().unsigned_abs().checked_ilog10();
    u8::try_from(digits.map_or(1, |digits| digits + 1)).unwrap_or(u8::MAX)
}

enum Form {
    Bool,
    Number(i128, u8),
    Day,
    Moment,
    Clock,
    Email,
    Text,
}

fn form(text: &str) -> Form {
    if matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no"
    ) {
        Form::Bool
    } else if let Some((number, scale)) = number(text) {
        Form::Number(number, scale)
    } else if text.parse::<Date>().is_ok() {
        Form::Day
    } else if text.parse::<jiff::Timestamp>().is_ok() {
        Form::Moment
    } else if text.len() > 10 && text.parse::<jiff::civil::DateTime>().is_ok() {
        Form::Clock
    } else if is_email(text) {
        Form::Email
    } else {
        Form::Text
    }
}

/// A plain number. What begins with `+` or with a zero too many is a code: a telephone number,
/// a postcode.
fn number(text: &str) -> Option<(i128, u8)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let code = whole.len() > 1 && whole.starts_with('0');
    let dot = digits.contains('.');
    if whole.is_empty() || code || !plain(whole) || !plain(part) || (dot && part.is_empty()) {
        return None;
    }
    let scale = u8::try_from(part.len())
        .ok()
        .filter(|scale| *scale <= figures::SCALE)?;
    let unscaled: i128 = format!("{whole}{part}").parse().ok()?;
    let signed = if text.starts_with('-') {
        -unscaled
    } else {
        unscaled
    };
    Some((signed, scale))
}

fn is_email(text: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.contains([' ', '@', ',', ';']);
    text.split_once('@').is_some_and(|(name, host)| {
        plain(name) && plain(host) && host.contains('.') && !host.starts_with('.')
    })
}

/// Whether a text is a value rather than a name of a column.
pub(super) fn is_value(text: &str) -> bool {
    text.trim().is_empty() || !matches!(form(text.trim()), Form::Text | Form::Bool)
}
