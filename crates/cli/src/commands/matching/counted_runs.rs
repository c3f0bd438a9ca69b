//! The runs that links are made and found by, counted with those of `match run` of the same kind.

use std::path::PathBuf;

use incamera_agreement::Agreement;
use incamera_matching::{Partition, Terms};
use incamera_types::IdKind;

use super::agreed::{owner, terms};
use super::counting::Counting;
use super::files::SlotFolder;
use super::ring;
use super::used::Used;
use crate::failure::{Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;

/// The histories of some kinds of id, which nobody else works in meanwhile.
pub struct Counted(Vec<One>);

struct One {
    terms: Terms,
    slot: SlotFolder,
    counting: Counting,
}

impl Counted {
    /// Opens the histories of these kinds.
    pub fn open(
        folder: &Folder,
        agreement: &Agreement,
        kinds: &[&IdKind],
        printer: &Printer,
    ) -> Result<Self, Failure> {
        let (me, mut ring) = (owner(agreement, folder.name())?, folder.ring()?);
        let one = |kind: &&IdKind| {
            let terms = terms(agreement, kind)?;
            let path = folder.matching(&agreement.id, kind, &me, terms.epoch, Partition::WHOLE);
            let slot = SlotFolder::take(path.clone(), path)?;
            let runs = (Partition::WHOLE, agreement.matching.max_runs);
            let (_, counting) = ring::counting(&mut ring, &terms, runs, &slot, printer)?;
            Ok(One {
                terms,
                slot,
                counting,
            })
        };
        kinds.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one more run of each kind may begin: none is used where another is refused.
    pub fn allow_one_each(&self) -> Done {
        let mut all = self.0.iter();
        all.try_for_each(|one| one.counting.allow_one())
    }

    /// What a run of a kind goes by, and where it is counted.
    pub fn of(&mut self, kind: &IdKind) -> Result<(Terms, &mut Counting), Failure> {
        let one = self.0.iter_mut().find(|one| one.terms.id_kind == *kind);
        let one = one.ok_or_else(|| Failure::failed("the run was not counted"))?;
        Ok((one.terms.clone(), &mut one.counting))
    }

    /// Where the key statement is remembered that matching the first kind goes by.
    pub fn key_statement_path(&self) -> Result<PathBuf, Failure> {
        let first = self.0.first().map(|one| one.slot.key_statement_path());
        first.ok_or_else(|| Failure::failed("the run was not counted"))
    }

    /// How much of what the agreement allows is used, by kind.
    pub fn used(&self) -> Vec<(IdKind, Used)> {
        let one = |one: &One| (one.terms.id_kind.clone(), one.counting.used(&one.terms));
        self.0.iter().map(one).collect()
    }
}
