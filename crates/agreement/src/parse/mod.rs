//! From bytes to a checked agreement.
//!
//! Every problem is noted with its place and reading goes on, so that one run shows as many
//! as it can. A section that could not be read is remembered by name, so that what refers to
//! it is not reported again.

mod compare;
mod data;
mod iri;
mod link;
mod measures;
mod params;
mod parties;
pub(crate) mod proposal;
mod proposals;
mod providers;
mod purposes;
mod query;
mod terms;
mod vole;

use std::collections::BTreeMap;

use incamera_types::limits::MAX_AGREEMENT_BYTES;
use incamera_types::{
    AgreementDigest, AgreementId, DatasetName, DatasetSpec, Date, IdKind, PartyName, PurposeName,
    PurposeSet, is_deceptive, is_foul,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Problems, Span};
use crate::model::{Agreement, Linking, Party, Purpose, Terms};
use crate::reader::{Item, Table};
use crate::{AgreementError, FORMAT, Problem};

impl Agreement {
    /// Reads and checks an agreement.
    ///
    /// # Errors
    /// [`AgreementError`] with every problem found, each with its place in the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, AgreementError> {
        let (terms, warnings) = document(bytes, &AGREEMENT, |root| read(root, bytes))?;
        Ok(Self::new(terms, bytes, warnings))
    }
}

/// What a text should be.
struct Kind {
    /// With its article.
    what: &'static str,
    format: &'static str,
    /// The family of formats: the name without the version.
    family: &'static str,
    most_bytes: usize,
    /// What to do about one that is too long.
    shorter: &'static str,
}

const AGREEMENT: Kind = Kind {
    what: "an agreement",
    format: FORMAT,
    family: "incamera-agreement/",
    most_bytes: MAX_AGREEMENT_BYTES,
    shorter: "split it into several agreements",
};

/// Reads a text whose root table `read` understands.
fn document<T>(
    bytes: &[u8],
    kind: &Kind,
    read: impl FnOnce(&Table<'_>) -> Option<T>,
) -> Result<T, AgreementError> {
    let text = readable(bytes, kind)?;
    let problems = Problems::new(text, kind.what);
    let (document, broken) = DeTable::parse_recoverable(text);
    for error in &broken {
        let span = error.span().unwrap_or_default();
        problems.add(&span, error.message(), "mend the TOML syntax");
    }
    if !broken.is_empty() {
        return Err(failed(problems));
    }
    unescaped(document.get_ref(), &problems);
    let root = Table::new(String::new(), 0..0, document.get_ref(), &problems);
    let read = read(&root);
    let found = problems.finish();
    match (read, AgreementError::of(found)) {
        (Some(read), None) => Ok(read),
        (_, Some(error)) => Err(error),
        (None, None) => Err(unexplained()),
    }
}

/// Refuses keys and texts that turn into something else when their escapes are read: what
/// people are shown of them later must be what they see here. SQL alone has several lines; it
/// is written without escapes.
fn unescaped(table: &DeTable<'_>, problems: &Problems<'_>) {
    for (key, value) in table {
        foul(key.get_ref(), is_foul, &key.span(), problems);
        let looked: fn(char) -> bool = match key.get_ref().as_ref() {
            "sql" => is_deceptive,
            _ => is_foul,
        };
        unescaped_value(value, looked, problems);
    }
}

fn unescaped_value(
    value: &Spanned<DeValue<'_>>,
    looked: fn(char) -> bool,
    problems: &Problems<'_>,
) {
    match value.get_ref() {
        DeValue::String(text) => foul(text, looked, &value.span(), problems),
        DeValue::Table(table) => unescaped(table, problems),
        DeValue::Array(list) => {
            for item in list {
                unescaped_value(item, looked, problems);
            }
        }
        _ => {}
    }
}

fn foul(text: &str, looked: fn(char) -> bool, span: &Span, problems: &Problems<'_>) {
    if let Some(c) = text.chars().find(|c| looked(*c)) {
        problems.add(
            span,
            format_args!(
                "the text holds the character U+{:04X}, which people do not see as such",
                u32::from(c)
            ),
            "write it without control characters, line breaks and what turns text around",
        );
    }
}

fn failed(problems: Problems<'_>) -> AgreementError {
    AgreementError::of(problems.finish()).unwrap_or_else(unexplained)
}

/// A defect of this crate: a refusal without a reason.
fn unexplained() -> AgreementError {
    AgreementError::one(Problem {
        span: 0..0,
        line: 1,
        column: 1,
        what: "it was refused without a reason".to_owned(),
        help: "report this as a defect of incamera".to_owned(),
    })
}

/// The file's text, if it is not too long, is UTF-8 and shows what it says.
fn readable<'b>(bytes: &'b [u8], kind: &Kind) -> Result<&'b str, AgreementError> {
    let refuse = |text: &str, span: Span, what: &str, help: &str| {
        Err(AgreementError::one(
            Problems::new(text, kind.what).problem(&span, what, help),
        ))
    };
    if bytes.len() > kind.most_bytes {
        let what = format!("the file is longer than {} bytes", kind.most_bytes);
        return refuse("", 0..0, &what, kind.shorter);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.valid_up_to();
            let before = bytes.get(..good).unwrap_or_default();
            let before = std::str::from_utf8(before).unwrap_or_default();
            let help = "save the file as UTF-8";
            return refuse(before, good..good + 1, "the file is not UTF-8 text", help);
        }
    };
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_deceptive(*c)) {
        let what = format!(
            "the character U+{:04X} is invisible or turns text around, so people would not see what they sign",
            u32::from(c)
        );
        return refuse(text, at..at + c.len_utf8(), &what, "take it out");
    }
    Ok(text)
}

/// What has been read so far, for the sections that refer to it. `None` is a section that
/// exists and could not be read.
pub(crate) struct Known<'d> {
    problems: &'d Problems<'d>,
    expires: Option<Date>,
    parties: BTreeMap<PartyName, Option<Party>>,
    ids: Vec<IdKind>,
    link: Option<Linking>,
    purposes: BTreeMap<PurposeName, Purpose>,
    datasets: BTreeMap<DatasetName, Option<DatasetSpec>>,
}

impl Known<'_> {
    /// Every leaf purpose.
    fn leaf_purposes(&self) -> PurposeSet {
        let leaves = self.purposes.iter().filter(|(_, purpose)| purpose.leaf);
        leaves.map(|(name, _)| name.clone()).collect()
    }

    /// A party's name in a field; a problem if there is no such party.
    fn party(&self, item: &Item<'_>) -> Option<PartyName> {
        let help = format!("parties are {}", listed(self.parties.keys()));
        let name: PartyName = item.parsed(&help)?;
        if !self.parties.contains_key(&name) {
            item.problem(format_args!("there is no party `{name}`"), help);
            return None;
        }
        Some(name)
    }
}

/// Names for a hint: `a`, `b`, `c`.
fn listed<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() {
        "none yet".to_owned()
    } else {
        names.join(", ")
    }
}

/// The kinds of id that [matching] has, for whoever named another one.
fn kinds_known<T: std::fmt::Display>(ids: &[T]) -> String {
    match ids {
        [] => "name a kind in `ids` of [matching] first".to_owned(),
        _ => format!("kinds of id are {}", listed(ids)),
    }
}

/// Collects a map of optional values; `None` if one is missing.
fn whole<K: Ord, V>(map: BTreeMap<K, Option<V>>) -> Option<BTreeMap<K, V>> {
    map.into_iter()
        .map(|(key, value)| Some((key, value?)))
        .collect()
}

const SECTIONS: &str = "an agreement has the sections [agreement], [parties], [room], [matching], [purposes], [datasets], [queries] and [budgets], and may have [proposals]";

fn read(root: &Table<'_>, bytes: &[u8]) -> Option<(Terms, Vec<Problem>)> {
    let format = format_line(root, &AGREEMENT);
    // Another format has other fields: saying what is wrong with them would mislead.
    format?;
    root.later(&["providers", "witnesses"]);
    let head = section(root, "agreement").and_then(|table| head(&table, bytes));
    let room = section(root, "room").and_then(|table| parties::room(&table));
    let matching = section(root, "matching").and_then(|table| terms::matching(&table));
    let mut known = Known {
        problems: root.problems(),
        expires: head.as_ref().map(|head| head.expires),
        parties: parties::parties(root),
        ids: matching.as_ref().map(|m| m.ids.clone()).unwrap_or_default(),
        link: matching.as_ref().and_then(|matching| matching.link),
        purposes: purposes::purposes(root, head.as_ref().map(|head| head.version)),
        datasets: BTreeMap::new(),
    };
    known.datasets = data::datasets(root, &known);
    let budgets = terms::budgets(root, &known);
    let queries = query::queries(root, &known);
    let proposals = root.get("proposals");
    let proposals = proposals.map(|item| proposals::proposals(&item, &known));
    root.close();
    if let Some(matching) = &matching {
        terms::check_matching(root, matching, &known);
        providers::check(root, matching, &known);
        link::check(root, matching, &known);
    }
    terms::check_people(root, &known);
    let (head, room, matching) = (head?, room?, matching?);
    let terms = Terms {
        name: head.name,
        version: head.version,
        id: head.id,
        digest: head.digest,
        follows: head.follows,
        expires: head.expires,
        parties: whole(known.parties)?,
        room,
        matching,
        purposes: known.purposes,
        datasets: whole(known.datasets)?,
        queries: whole(queries)?,
        budgets: whole(budgets)?,
        proposals: match proposals {
            Some(read) => Some(read?),
            None => None,
        },
    };
    let warnings = terms::warnings(root, &terms);
    Some((terms, warnings))
}

fn format_line(root: &Table<'_>, kind: &Kind) -> Option<()> {
    let Kind { what, format, .. } = kind;
    let item = root.need("format", format_args!("write format = \"{format}\" first"))?;
    match item.text()? {
        text if text == *format => Some(()),
        other if other.starts_with(kind.family) => {
            item.problem(
                format_args!("this version of incamera reads {format} and not this format"),
                "use a newer version of incamera",
            );
            None
        }
        _ => {
            item.problem(
                format_args!("this file is not {what}"),
                format_args!("{what} starts with format = \"{format}\""),
            );
            None
        }
    }
}

fn section<'d>(root: &Table<'d>, name: &'static str) -> Option<Table<'d>> {
    root.need(name, SECTIONS)?.table()
}

struct Head {
    name: String,
    version: u64,
    id: AgreementId,
    digest: AgreementDigest,
    follows: Option<AgreementDigest>,
    expires: Date,
}

fn head(table: &Table<'_>, bytes: &[u8]) -> Option<Head> {
    table.later(&["keep_until"]);
    let digest = AgreementDigest::of_file(bytes);
    let name = table.need("name", "give the agreement a name");
    let name = name.and_then(|item| agreement_name(&item));
    let version = table.need("version", "write version = 1 for a new agreement");
    let version = version.and_then(|item| item.whole(1, u64::from(u32::MAX)));
    let expires = table.need(
        "expires",
        "say when the agreement ends, such as expires = 2027-03-31",
    );
    let expires = expires.and_then(|item| item.date());
    let lineage = lineage(table, version, digest);
    table.close();
    let (id, follows) = lineage?;
    Some(Head {
        name: name?,
        version: version?,
        id,
        digest,
        follows,
        expires: expires?,
    })
}

/// Names of agreements follow the rules of all names.
fn agreement_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.parse::<DatasetName>().is_err() {
        item.problem(
            "an agreement's name has at most 63 lower-case letters, digits, `-` and `_` and starts with a letter",
            "choose another name",
        );
        return None;
    }
    Some(text.to_owned())
}

fn lineage(
    table: &Table<'_>,
    version: Option<u64>,
    digest: AgreementDigest,
) -> Option<(AgreementId, Option<AgreementDigest>)> {
    let Some(version) = version else {
        // Whatever they say, they are fields.
        let _ = (table.get("id"), table.get("follows"));
        return None;
    };
    if version > 1 {
        let id = table.need(
            "id",
            "name the digest of version 1, which `agreement show` prints",
        );
        let follows = table.need("follows", "name the digest of the version before this one");
        let help = "write the 64 hexadecimal digits that `sha256sum` prints for that file";
        let id = id.and_then(|item| item.parsed(help));
        let follows = follows.and_then(|item| item.parsed(help));
        return Some((id?, Some(follows?)));
    }
    let mut first = true;
    for key in ["id", "follows"] {
        if let Some(item) = table.get(key) {
            item.problem(
                format_args!("version 1 has no `{key}`: nothing comes before it"),
                "take it out, or raise the version",
            );
            first = false;
        }
    }
    first.then(|| (AgreementId::from(digest), None))
}
