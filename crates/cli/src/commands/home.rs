//! An owner's data set at home: what reads its files, and whose consents they follow.

use std::collections::BTreeMap;
use std::path::Path;

use incamera_agreement::{Agreement, ConsentSource};
use incamera_matching::ids::Normaliser;
use incamera_seal::{
    Consent, Consents, Crosswalk, Inherited, Kinds, MatchingRuns, SealJob, Source, Step,
};
use incamera_types::{
    DatasetSpec, Date, IdKind, MatchRunDigest, Pseudonym, PurposeName, PurposeSet,
};

use super::{ids, matching, register};
use crate::failure::Failure;
use crate::folder::Folder;

/// A data set at its owner's: the folder, the agreement and what it declares.
pub struct Home<'a> {
    /// The owner's folder.
    pub folder: &'a Folder,
    /// The agreement.
    pub agreement: &'a Agreement,
    /// The data set.
    pub spec: &'a DatasetSpec,
    purposes: PurposeSet,
    /// The leaves of each purpose that is none itself.
    branches: BTreeMap<PurposeName, PurposeSet>,
    renamed: BTreeMap<PurposeName, PurposeName>,
}

/// What is read of an owner's file, and with what.
pub struct Reading<'r> {
    /// The file.
    pub source: &'r Source,
    /// The column with raw ids, where it is not named like their kind.
    pub id_column: Option<&'r str>,
    /// The pseudonym of a raw id.
    pub people: &'r (dyn Fn(&str) -> Option<Pseudonym> + Sync),
    /// The pseudonym of a raw id of a kind.
    pub kinds: Kinds<'r>,
    /// Where consents come from.
    pub consents: &'r ConsentFrom,
    /// Hears how far it is.
    pub progress: &'r mut dyn FnMut(Step),
}

impl<'a> Home<'a> {
    /// The data set `spec` of `agreement`, one of the folder's party.
    pub fn new(folder: &'a Folder, agreement: &'a Agreement, spec: &'a DatasetSpec) -> Self {
        let branches = agreement.purposes.iter();
        let branches = branches.filter(|(_, purpose)| !purpose.leaf);
        let branches = branches.map(|(name, _)| (name.clone(), agreement.leaves_of(name)));
        Self {
            folder,
            agreement,
            spec,
            purposes: agreement.leaf_purposes(),
            branches: branches.collect(),
            renamed: agreement.renamed_purposes(),
        }
    }

    /// The job of sealing what is read, as a first version that nobody wants written yet.
    pub fn job<'r>(&'r self, reading: Reading<'r>) -> SealJob<'r> {
        SealJob {
            spec: self.spec,
            agreement_id: self.agreement.id,
            agreement_digest: self.agreement.digest,
            version: 1,
            previous: None,
            append_to: None,
            key_epoch: 1,
            inherits: Inherited::default(),
            matching_epoch: self.agreement.matching.epoch,
            matching_runs: MatchingRuns::new(),
            last_day: None,
            partitions: self.agreement.matching.partitions,
            purposes: &self.purposes,
            branches: &self.branches,
            renamed: &self.renamed,
            source: reading.source,
            id_column: reading.id_column,
            people: reading.people,
            kinds: reading.kinds,
            consent: reading.consents.as_consent(),
            out: Path::new(""),
            limits: self.folder.config.sealing.limits(),
            progress: reading.progress,
        }
    }

    /// The crosswalk of the data set's kind of id, of ids that count until the end of `day`; none
    /// for a data set without people.
    pub fn crosswalk(&self, day: Date) -> Result<Option<People>, Failure> {
        let Some(column) = self.spec.person_column() else {
            return Ok(None);
        };
        let kind = column
            .id_kind
            .clone()
            .or_else(|| self.agreement.matching.ids.first().cloned());
        kind.map(|kind| self.crosswalk_of(&kind, day)).transpose()
    }

    /// The crosswalk of a kind of id, of ids that count until the end of `day`.
    pub fn crosswalk_of(&self, kind: &IdKind, day: Date) -> Result<People, Failure> {
        let what = format!("`{}` has no crosswalk to read it with", self.spec.name);
        let mut crosswalk = matching::crosswalk(self.folder, self.agreement, kind, &what)?;
        let last = crosswalk.over_after();
        let over = crosswalk.leave_out_over(day);
        Ok(People {
            over,
            all_over: last.filter(|_| crosswalk.is_empty()),
            normaliser: ids::normaliser(crosswalk.scope().kind_of_ids(), &crosswalk.writing())?,
            crosswalk,
        })
    }

    /// Where the consents of the data set's rows come from.
    pub fn consents(&self) -> Result<ConsentFrom, Failure> {
        let register = match self.agreement.consent_of(self.spec) {
            ConsentSource::Dataset(register) => register,
            ConsentSource::Everything(_) => return Ok(ConsentFrom::Everyone),
        };
        if register.name == self.spec.name {
            return Ok(ConsentFrom::Column);
        }
        register::consents(self.folder, self.agreement, register, self.spec)
            .map(ConsentFrom::People)
    }
}

/// Raw ids of one kind and their pseudonyms.
pub struct People {
    normaliser: Normaliser,
    crosswalk: Crosswalk,
    over: usize,
    all_over: Option<Date>,
}

impl People {
    /// Their kind.
    pub fn kind(&self) -> &IdKind {
        &self.crosswalk.scope().id_kind
    }

    /// The kind of the ids, where links lead from them to the pseudonyms.
    pub fn via(&self) -> Option<&IdKind> {
        self.crosswalk.scope().via.as_ref()
    }

    /// The first day on which some id's pseudonym counts for the last time.
    pub fn last_day(&self) -> Option<Date> {
        self.crosswalk.last_day()
    }

    /// How many ids are left out whose pseudonyms do not count as long.
    pub fn over(&self) -> usize {
        self.over
    }

    /// The last day on which any of the pseudonyms counts, where that is too early for all.
    pub fn all_over(&self) -> Option<Date> {
        self.all_over
    }

    /// The run whose pseudonyms these are, where each run makes others.
    pub fn run(&self) -> Option<MatchRunDigest> {
        self.crosswalk.run()
    }

    /// The pseudonym of a raw id.
    pub fn pseudonym(&self, id: &str) -> Option<Pseudonym> {
        self.crosswalk.lookup(&self.normaliser.normalised(id)?)
    }
}

/// Where consents come from, with what must stay in memory for it.
pub enum ConsentFrom {
    /// The file itself says them.
    Column,
    /// Another data set of the owner said them.
    People(Consents),
    /// Nobody says them.
    Everyone,
}

impl ConsentFrom {
    /// What sealing wants to know.
    fn as_consent(&self) -> Consent<'_> {
        match self {
            Self::Column => Consent::Column,
            Self::People(consents) => Consent::ByPerson(consents),
            Self::Everyone => Consent::Everyone,
        }
    }
}
