//! What the people in the files agreed to: whoever agreed to none of the agreement's purposes is
//! not matched.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use incamera_agreement::Agreement;
use incamera_matching::ids::Leaves;
use incamera_seal::{Named, RowPlace, Source, consents_in, named};
use incamera_types::{IdRules, PartyName, PurposeName, PurposeSet};

use super::counted::FirstFew;
use super::reading::{Reading, source_failure};
use crate::args::AskedConsents;
use crate::failure::{Context, Done, Failure};
use crate::words::counted;

/// Words of consent that are remembered, so that each is read once.
const REMEMBERED: usize = 4096;

/// Whose consents are asked for.
pub struct Asking {
    /// The column that says them; none: nobody is asked.
    pub column: Option<String>,
    purposes: PurposeSet,
    /// Old names of leaves.
    renamed: BTreeMap<PurposeName, PurposeName>,
    leaves: Leaves,
    words: HashMap<String, Option<u64>>,
    /// Rows with words that are no purposes.
    pub unknown: FirstFew,
}

impl Asking {
    /// As the arguments say, and the agreement where they say nothing: an owner with a data set
    /// of consents is asked for them.
    pub fn of(reading: &Reading<'_>) -> Result<Self, Failure> {
        let AskedConsents {
            consent,
            everyone_consented,
        } = reading.asked;
        let column = match (consent, everyone_consented) {
            (_, true) => None,
            (Some(named), false) => Some(named.clone()),
            (None, false) => declared(reading.agreement, reading.me),
        };
        Self::by(reading.agreement, column)
    }

    /// By this column; none: nobody is asked.
    pub fn by(agreement: &Agreement, column: Option<String>) -> Result<Self, Failure> {
        let purposes = agreement.leaf_purposes();
        let asked = match column {
            Some(_) => purposes.clone(),
            None => PurposeSet::default(),
        };
        Ok(Self {
            leaves: bits(&asked)?,
            renamed: agreement.renamed_purposes(),
            words: HashMap::new(),
            unknown: FirstFew::default(),
            purposes,
            column,
        })
    }

    /// What the bits stand for.
    pub fn leaves_of(agreement: &Agreement) -> Result<Leaves, Failure> {
        bits(&agreement.leaf_purposes())
    }

    /// The column to read of this source; none where nobody in it is asked.
    pub fn column_in(
        &self,
        reading: &Reading<'_>,
        path: &std::path::Path,
        source: &Source,
    ) -> Result<Option<&str>, Failure> {
        let Some(column) = self.column.as_deref() else {
            return Ok(None);
        };
        let found = named(source, column).map_err(|error| source_failure(path, &error))?;
        if found == Named::Everywhere {
            return Ok(Some(column));
        }
        let shown = Source::shown(path).display().to_string();
        let said = reading.asked.consent.is_some();
        let rules = reading.writing.rules;
        if found == Named::Nowhere && rules == IdRules::First && !said {
            reading.printer.warn(format!(
                "`{shown}` has no column `{column}`, in which your data set says what people agreed to: all of its ids are matched (`--everyone-consented` says that this is meant)"
            ));
            return Ok(None);
        }
        let which = match found {
            Named::Partly => "a file of ",
            _ => "",
        };
        Err(Failure::failed("who agreed to what is not known")
            .why(format!(
                "{which}`{shown}` has no column `{column}`, which says what a row's person agreed to"
            ))
            .hint(LATER))
    }

    /// What the row's person agreed to, a bit each.
    pub fn agreed(&mut self, text: &str, at: RowPlace<'_>) -> u64 {
        let known = self.words.get(text).copied();
        let agreed = known.unwrap_or_else(|| self.read(text));
        if agreed.is_none() {
            self.unknown.note(at);
        }
        agreed.unwrap_or_default()
    }

    fn read(&mut self, text: &str) -> Option<u64> {
        let leaf = |name: &PurposeName| match self.purposes.contains(name) {
            true => Some(name.clone()),
            false => self.renamed.get(name).cloned(),
        };
        let agreed = consents_in(text, leaf).map(|class| self.leaves.agreed(&class));
        if self.words.len() < REMEMBERED {
            self.words.insert(text.to_owned(), agreed);
        }
        agreed
    }

    /// Refuses data that say what nobody understands.
    pub fn all_understood(&self, sources: &[PathBuf]) -> Done {
        if self.unknown.count == 0 {
            return Ok(());
        }
        let column = self.column.as_deref().unwrap_or_default();
        Err(Failure::failed("who agreed to what is not known")
            .why(format!(
                "the column `{column}` names what is no purpose of the agreement in {}: {}",
                counted(self.unknown.count, "row", "rows"),
                self.unknown.words(sources)
            ))
            .hint(format!(
                "nothing was sent: write purposes of the agreement there ({}), or nothing where somebody agreed to none; if another column says what people agreed to, name it with `--consent`",
                self.known_words()
            )))
    }

    fn known_words(&self) -> String {
        let names = self.purposes.iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    }
}

fn bits(asked: &PurposeSet) -> Result<Leaves, Failure> {
    let leaves = Leaves::new(asked).or_fail("consents cannot be asked for");
    leaves.map_err(|failure| {
        failure.hint("nothing was sent: agree on a new version with fewer leaf purposes")
    })
}

const LATER: &str = "nothing was sent: name the column that has the purposes that each row's person agreed to with `--consent`, or say `--everyone-consented` if all of them agreed; sealing leaves out whoever did not, in any case";

/// The column of the owner's data set that says what people agreed to.
pub fn declared(agreement: &Agreement, me: &PartyName) -> Option<String> {
    let own = agreement.datasets.values();
    let mut own = own.filter(|spec| spec.owner == *me);
    let column = own.find_map(|spec| spec.purposes_column())?;
    Some(column.name.to_string())
}
