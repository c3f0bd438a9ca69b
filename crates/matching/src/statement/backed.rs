//! Which key statement counts where providers show different ones.
//!
//! A statement carries the signatures of all providers, and still one provider alone can have
//! one that nobody else goes by: it began a refresh, got all signatures, and told nobody. So a
//! statement counts only if as many providers as the threshold show it: one of them at least is
//! honest, and has the share that belongs to it. Whoever shows another one is left out by name.
//!
//! Another *key* is another matter. Each statement that is shown has all signatures, so two keys
//! of one epoch prove that two were made, and one dishonest provider can see to it that each has
//! the backing of enough: it shows one owner the one and another owner the other, and their
//! pseudonyms join with nobody's. Who knows a statement goes by its key; who knows none takes
//! neither, whoever backs them.

use std::cmp::Reverse;

use incamera_types::PartyName;

use super::{KeyStatement, StatementError};

/// The statement to go by, and who does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What counts.
    pub statement: KeyStatement,
    /// Who shows something else.
    pub others: Vec<(PartyName, Deviation)>,
}

/// How what a provider shows differs from what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Deviation {
    /// Shares from before a refresh.
    #[error(
        "it holds shares from before they were refreshed: it shows key statement {found}, and {counts} counts"
    )]
    Behind {
        /// What it shows.
        found: u64,
        /// What counts.
        counts: u64,
    },
    /// A statement that too few others show.
    #[error("it shows a key statement {found} that too few others have; theirs is {counts}")]
    Alone {
        /// What it shows.
        found: u64,
        /// What counts.
        counts: u64,
    },
    /// A statement of another key.
    #[error("it shows another key than the others")]
    OtherKey,
}

/// Why no statement counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// Not enough providers show one statement.
    #[error("no {needed} of the providers show one key statement")]
    TooFew {
        /// Who shows the one that most show.
        together: usize,
        /// The threshold.
        needed: usize,
        /// Who shows another one.
        others: Vec<(PartyName, Deviation)>,
    },
    /// Two keys of one epoch are shown, and no statement was known.
    #[error(
        "the providers have signed two keys of this matching epoch: {} and {} show different ones",
        quoted(one),
        quoted(other)
    )]
    TwoKeys {
        /// Who shows the one that most show.
        one: Vec<PartyName>,
        /// Who shows another.
        other: Vec<PartyName>,
    },
    /// Enough of them show what does not follow the statement that was known.
    #[error("{} do not show what this party knew of their key", quoted(providers))]
    Known {
        /// Who.
        providers: Vec<PartyName>,
        /// In what it does not follow.
        #[source]
        error: StatementError,
    },
}

fn quoted(names: &[PartyName]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Those who show one statement.
struct Group {
    statement: KeyStatement,
    names: Vec<PartyName>,
}

impl Group {
    fn rank(&self) -> (u64, usize) {
        (self.statement.number, self.names.len())
    }

    fn differs(&self, counts: &KeyStatement) -> Deviation {
        let (found, counts_number) = (self.statement.number, counts.number);
        match self.statement.is_of_key(counts) {
            false => Deviation::OtherKey,
            true if found < counts_number => Deviation::Behind {
                found,
                counts: counts_number,
            },
            true => Deviation::Alone {
                found,
                counts: counts_number,
            },
        }
    }
}

impl Chosen {
    /// Of what providers show, each checked by [`KeyStatement::open`], the newest statement that
    /// `threshold` of them show and that follows `known`, the one that was gone by last.
    ///
    /// # Errors
    /// [`ChoiceError`].
    pub fn of(
        shown: impl IntoIterator<Item = (PartyName, KeyStatement)>,
        known: Option<&KeyStatement>,
        threshold: usize,
    ) -> Result<Self, ChoiceError> {
        let groups = grouped(shown);
        if known.is_none() {
            of_one_key(&groups)?;
        }
        let fits =
            |group: &&Group| known.is_none_or(|known| group.statement.follows(known).is_ok());
        let enough = |group: &&Group| group.names.len() >= threshold;
        let backed = || groups.iter().filter(enough);
        let Some(chosen) = backed().filter(fits).max_by_key(|group| group.rank()) else {
            return Err(none(&groups, backed().next(), known, threshold));
        };
        Ok(Self {
            statement: chosen.statement.clone(),
            others: others(&groups, chosen),
        })
    }
}

fn grouped(shown: impl IntoIterator<Item = (PartyName, KeyStatement)>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (name, statement) in shown {
        let mut known = groups.iter_mut();
        match known.find(|group| group.statement == statement) {
            Some(group) => group.names.push(name),
            None => groups.push(Group {
                statement,
                names: vec![name],
            }),
        }
    }
    groups
}

/// Whether all show one key.
fn of_one_key(groups: &[Group]) -> Result<(), ChoiceError> {
    let Some(most) = groups.iter().min_by_key(|group| Reverse(group.names.len())) else {
        return Ok(());
    };
    let is_alike = |group: &&Group| group.statement.is_of_key(&most.statement);
    let (alike, others): (Vec<_>, Vec<_>) = groups.iter().partition(is_alike);
    let names = |groups: &[&Group]| {
        let mut names: Vec<_> = groups.iter().flat_map(|one| one.names.clone()).collect();
        names.sort_unstable();
        names
    };
    match others.is_empty() {
        true => Ok(()),
        false => Err(ChoiceError::TwoKeys {
            one: names(&alike),
            other: names(&others),
        }),
    }
}

fn others(groups: &[Group], chosen: &Group) -> Vec<(PartyName, Deviation)> {
    let counts = &chosen.statement;
    let others = groups.iter().filter(|group| group.statement != *counts);
    let named = |group: &Group| {
        let differs = group.differs(counts);
        let names = group.names.iter().cloned();
        names.map(move |name| (name, differs)).collect::<Vec<_>>()
    };
    others.flat_map(named).collect()
}

/// Why none counts; `backed` is one that enough show, and that does not follow what was known.
fn none(
    groups: &[Group],
    backed: Option<&Group>,
    known: Option<&KeyStatement>,
    needed: usize,
) -> ChoiceError {
    if let (Some(group), Some(known)) = (backed, known)
        && let Err(error) = group.statement.follows(known)
    {
        let providers = group.names.clone();
        return ChoiceError::Known { providers, error };
    }
    let most = groups
        .iter()
        .max_by_key(|group| (group.names.len(), group.rank()));
    ChoiceError::TooFew {
        together: most.map_or(0, |group| group.names.len()),
        needed,
        others: most.map_or(Vec::new(), |most| others(groups, most)),
    }
}

#[cfg(test)]
mod tests;
