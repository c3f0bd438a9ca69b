//! What an agreement says, checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use incamera_attest::Policy;
use incamera_keys::{PublicKey, ReceivePublicKey};
use incamera_types::{
    AgreementDigest, AgreementId, AnalystName, AnalystRef, Budget, ColumnRef, ColumnSpec,
    ConsentClass, DatasetName, DatasetSpec, Date, Decimal, Delta, Epsilon, IdKind, ParamName,
    PartyName, PrivacyLoss, PurposeName, PurposeSet, QueryName,
};

pub use crate::matching::{Linking, Matching, MatchingMethod, Reveals, Security};
use crate::{Param, Problem, Proposals, ServiceUrl};

/// A checked agreement: the terms, and the exact bytes that they were read from.
///
/// Only [`Agreement::parse`] makes one, and nothing changes it afterwards, so the terms are
/// always those of [`Terms::digest`]. Cloning is cheap. The fields are those of [`Terms`]:
///
/// ```
/// # fn f(agreement: &incamera_agreement::Agreement) {
/// let (name, expires) = (&agreement.name, agreement.expires);
/// # }
/// ```
/// ```compile_fail,E0594
/// # fn f(mut agreement: incamera_agreement::Agreement) {
/// agreement.version = 2; // the digest would no longer be the one that was signed
/// # }
/// ```
#[derive(Clone)]
pub struct Agreement(Arc<Inner>);

struct Inner {
    terms: Terms,
    bytes: Vec<u8>,
    warnings: Vec<Problem>,
}

impl Agreement {
    pub(crate) fn new(terms: Terms, bytes: &[u8], warnings: Vec<Problem>) -> Self {
        Self(Arc::new(Inner {
            terms,
            bytes: bytes.to_vec(),
            warnings,
        }))
    }

    /// The exact bytes of the file, which the parties sign.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// What is allowed and probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.0.warnings
    }
}

impl Deref for Agreement {
    type Target = Terms;
    fn deref(&self) -> &Terms {
        &self.0.terms
    }
}

impl fmt::Debug for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Agreement({} version {}, {})",
            self.name, self.version, self.digest
        )
    }
}

/// The terms of an agreement.
#[derive(Debug)]
#[non_exhaustive]
pub struct Terms {
    /// A name for people.
    pub name: String,
    /// The version, from 1.
    pub version: u64,
    /// The digest of version 1.
    pub id: AgreementId,
    /// The digest of this version.
    pub digest: AgreementDigest,
    /// The digest of the version before; none for version 1.
    pub follows: Option<AgreementDigest>,
    /// The last day (to its end, UTC).
    pub expires: Date,
    /// Who agrees.
    pub parties: BTreeMap<PartyName, Party>,
    /// Where queries run, and which code may open data.
    pub room: RoomTerms,
    /// How ids become pseudonyms.
    pub matching: Matching,
    /// The tree of purposes.
    pub purposes: BTreeMap<PurposeName, Purpose>,
    /// The data sets.
    pub datasets: BTreeMap<DatasetName, DatasetSpec>,
    /// The approved queries.
    pub queries: BTreeMap<QueryName, Query>,
    /// Each owner's ceiling inside this agreement.
    pub budgets: BTreeMap<PartyName, Ceiling>,
    /// What analysts may propose to ask besides; where it is missing, nothing.
    pub proposals: Option<Proposals>,
}

/// An organisation in the agreement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Party {
    /// The key that signs agreements; may stay offline.
    pub signs: PublicKey,
    /// The key of its service: TLS, manifests, grants, checkpoints.
    pub service: PublicKey,
    /// What answers for it are sealed to; none: it gets them unsealed, when it asks.
    pub receives: Option<ReceivePublicKey>,
    /// Where its service listens.
    pub url: ServiceUrl,
    /// How many people its data are about, declared and public; 0 for a party without
    /// private data.
    pub people: u64,
    /// Whom it lets ask.
    pub analysts: Analysts,
}

/// Whom a party lets ask.
#[derive(Clone, Debug)]
pub enum Analysts {
    /// These people, by key.
    Named(BTreeMap<AnalystName, PublicKey>),
    /// Whom the party vouches for, request by request.
    Vouched,
}

/// How the agreement knows an analyst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnalystKey<'a> {
    /// By this key.
    Key(&'a PublicKey),
    /// By the word of the party.
    Vouched,
}

/// Where queries run, and which code may open data.
#[derive(Debug)]
#[non_exhaustive]
pub struct RoomTerms {
    /// Where the room listens.
    pub url: ServiceUrl,
    /// The kinds of evidence and the measurements that are accepted.
    pub policy: Policy,
}

/// How a query's people are linked: the two registers, in order of their owners.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Linked<'a> {
    /// The rule.
    pub rule: Linking,
    /// The kinds, in the order in which the rule goes by them.
    pub kinds: &'a [IdKind],
    /// What holds every kind's pseudonyms, of each owner.
    pub registers: [&'a DatasetSpec; 2],
}

impl Linked<'_> {
    /// How many joint persons somebody can change who comes or goes at either owner or at both.
    #[must_use]
    pub fn stability(&self) -> u32 {
        self.rule.stability(self.kinds.len())
    }
}

/// A purpose: a leaf or a branch of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purpose {
    /// What it means, in words.
    pub label: String,
    /// The branch that it belongs to.
    pub parent: Option<PurposeName>,
    /// Where a vocabulary defines it: an absolute IRI.
    pub iri: Option<String>,
    /// The purposes of earlier versions that are gone and that it stands for.
    pub replaces: BTreeSet<PurposeName>,
    /// Whether data can be sealed for it (nothing names it as parent).
    pub leaf: bool,
}

/// An approved query.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Query {
    /// Its name.
    pub name: QueryName,
    /// The leaf purpose that it serves.
    pub purpose: PurposeName,
    /// Who may ask it.
    pub analysts: Vec<AnalystRef>,
    /// Who receives the answer.
    pub receivers: Vec<PartyName>,
    /// The columns that it reads, and no others.
    pub reads: BTreeSet<ColumnRef>,
    /// The SQL, exactly as it stands in the file.
    pub sql: String,
    /// Where the SQL starts in the file, in bytes: byte `n` of `sql` is byte `sql_at + n` of
    /// the file.
    pub sql_at: usize,
    /// Its parameters.
    pub params: BTreeMap<ParamName, Param>,
    /// The most rows a person of each private data set that is read, of those that pass the
    /// conditions on it; of each public one, the most rows in all.
    pub rows: BTreeMap<DatasetName, u64>,
    /// What one person can add.
    pub per_person: PerPerson,
    /// The group keys, in the file's order.
    pub groups: Vec<GroupKey>,
    /// The shares of the loss that measures get, where they are not 1.
    pub weights: BTreeMap<String, u32>,
    /// What each owner read is charged.
    pub epsilon: Epsilon,
    /// What each owner read is charged.
    pub delta: Delta,
    /// A row with fewer people, by the noisy count, shows as withheld.
    pub min_people: u64,
    /// Quotients of measures that the answer shows, in the file's order.
    pub ratios: Vec<Ratio>,
    /// Groups that the answer compares, in the file's order.
    pub compare: Vec<Compare>,
    /// Whether the people are taken as a sample of more like them: the answer then says its
    /// sampling error too, and averages are paid for it.
    pub sampling: bool,
    pub(crate) loss: PrivacyLoss,
}

impl Query {
    /// Whether the answer has rows for values that are found in the data.
    #[must_use]
    pub fn discovers(&self) -> bool {
        self.groups.iter().any(|group| group.declared().is_none())
    }

    /// The data sets that the query reads.
    #[must_use]
    pub fn datasets(&self) -> BTreeSet<&DatasetName> {
        self.reads.iter().map(|column| &column.dataset).collect()
    }
}

/// What one person can add to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PerPerson {
    /// To how many groups.
    pub groups: u32,
    /// To each measure of a group. Counts of people are bounded by [0, 1] and stand here only
    /// if the agreement says so.
    pub measures: BTreeMap<String, PersonBounds>,
}

/// What bounds one person's part in a measure of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PersonBounds {
    /// The least and the most that the person adds in all, of equal scale: counts and sums.
    Adds(Decimal, Decimal),
    /// The least and the most of each value, of equal scale, and how many values of a person
    /// count: averages, spreads and quantiles.
    Values {
        /// The least of a value.
        low: Decimal,
        /// The most of a value.
        high: Decimal,
        /// How many values of one person count.
        rows: u32,
    },
    /// How many different values of one person count.
    Distinct(u32),
}

/// A group key of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupKey {
    /// The name of the output column.
    pub name: String,
    /// Its values.
    pub values: GroupValues,
}

/// The values of a group key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupValues {
    /// Declared, as texts, in the agreement's order: a row each, always.
    Declared(Vec<String>),
    /// Those in the data that have enough people by the noisy count: which exist is paid for
    /// with a part of delta.
    Discovered,
}

impl GroupKey {
    /// A key with declared values.
    #[must_use]
    pub fn of_values(name: String, values: Vec<String>) -> Self {
        let values = GroupValues::Declared(values);
        Self { name, values }
    }

    /// The declared values; nothing of a key whose values are discovered.
    #[must_use]
    pub fn declared(&self) -> Option<&[String]> {
        match &self.values {
            GroupValues::Declared(values) => Some(values),
            GroupValues::Discovered => None,
        }
    }
}

/// A quotient of two measures.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ratio {
    /// What it is called.
    pub name: String,
    /// The measure above the line.
    pub numerator: String,
    /// The measure below the line.
    pub denominator: String,
}

/// A comparison of two groups.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compare {
    /// How they are compared.
    pub kind: CompareKind,
    /// What of them is compared.
    pub of: Compared,
    /// The group that is compared.
    pub group: String,
    /// The group that it is compared with.
    pub against: String,
    /// The group key whose values are strata: the odds ratio is over all of them.
    pub strata: Option<String>,
}

/// How two groups are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompareKind {
    /// By how much one exceeds the other, as a fraction of the other.
    #[default]
    Lift,
    /// One less the other.
    Difference,
    /// The odds of one over those of the other.
    OddsRatio,
}

impl CompareKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Lift, Self::Difference, Self::OddsRatio];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lift => "lift",
            Self::Difference => "difference",
            Self::OddsRatio => "odds-ratio",
        }
    }
}

/// What of two groups is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compared {
    /// The ratio of this name.
    Ratio(String),
    /// The average of this name.
    Average(String),
}

impl Compared {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Ratio(name) | Self::Average(name) => name,
        }
    }
}

/// An owner's ceiling inside this agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ceiling {
    /// The ceiling as it is written.
    pub budget: Budget,
    pub(crate) loss: PrivacyLoss,
}

impl Terms {
    /// The data set of this name.
    #[must_use]
    pub fn dataset(&self, name: &DatasetName) -> Option<&DatasetSpec> {
        self.datasets.get(name)
    }

    /// The column that a reference names.
    #[must_use]
    pub fn column(&self, column: &ColumnRef) -> Option<&ColumnSpec> {
        self.datasets.get(&column.dataset)?.column(&column.column)
    }

    /// The owners whose private data the query reads: whom it is charged to.
    #[must_use]
    pub fn owners_read(&self, query: &Query) -> BTreeSet<PartyName> {
        let datasets = query.datasets();
        let specs = datasets
            .into_iter()
            .filter_map(|name| self.datasets.get(name));
        let private = specs.filter(|spec| !spec.public);
        private.map(|spec| spec.owner.clone()).collect()
    }

    /// How people are linked in a query of two owners' data; none where no rule is needed: of
    /// one owner's data, or of one kind of id.
    #[must_use]
    pub fn linked(&self, query: &Query) -> Option<Linked<'_>> {
        let rule = self.matching.link?;
        let owners: Vec<PartyName> = self.owners_read(query).into_iter().collect();
        let [one, other] = owners.as_slice() else {
            return None;
        };
        Some(Linked {
            rule,
            kinds: &self.matching.ids,
            registers: [self.register_of(one)?, self.register_of(other)?],
        })
    }

    /// The owner's data set by which its people are linked to another's.
    #[must_use]
    pub fn register_of(&self, owner: &PartyName) -> Option<&DatasetSpec> {
        let mut own = self.datasets.values().filter(|spec| &spec.owner == owner);
        own.find(|spec| spec.link_columns().next().is_some())
    }

    /// The parties that own private data.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<&PartyName> {
        let private = self.datasets.values().filter(|spec| !spec.public);
        private.map(|spec| &spec.owner).collect()
    }

    /// What one run of the query is charged at each owner read.
    #[must_use]
    pub fn cost(&self, query: &Query) -> PrivacyLoss {
        query.loss
    }

    /// A party's ceiling inside this agreement, where it has one.
    #[must_use]
    pub fn ceiling(&self, party: &PartyName) -> Option<PrivacyLoss> {
        self.budgets.get(party).map(|ceiling| ceiling.loss)
    }

    /// How the agreement knows an analyst; `None` if it does not.
    #[must_use]
    pub fn analyst_key(&self, analyst: &AnalystRef) -> Option<AnalystKey<'_>> {
        match &self.parties.get(&analyst.party)?.analysts {
            Analysts::Vouched => Some(AnalystKey::Vouched),
            Analysts::Named(people) => people.get(&analyst.analyst).map(AnalystKey::Key),
        }
    }

    /// The service key of a party.
    #[must_use]
    pub fn service_key(&self, party: &PartyName) -> Option<&PublicKey> {
        self.parties.get(party).map(|party| &party.service)
    }

    /// What answers for a party are sealed to.
    #[must_use]
    pub fn receive_key(&self, party: &PartyName) -> Option<&ReceivePublicKey> {
        self.parties.get(party)?.receives.as_ref()
    }

    /// The parties that receive answers and have no key to seal them to.
    #[must_use]
    pub fn unsealed_receivers(&self) -> BTreeSet<&PartyName> {
        let receivers = self.queries.values().flat_map(|query| &query.receivers);
        receivers
            .filter(|party| self.receive_key(party).is_none())
            .collect()
    }

    /// The party whose service has this key.
    #[must_use]
    pub fn party_of_service(&self, key: &PublicKey) -> Option<&PartyName> {
        let mut parties = self.parties.iter();
        parties
            .find(|(_, party)| &party.service == key)
            .map(|(name, _)| name)
    }

    /// Every leaf purpose: the class of rows without consents.
    #[must_use]
    pub fn leaf_purposes(&self) -> PurposeSet {
        let leaves = self.purposes.iter().filter(|(_, purpose)| purpose.leaf);
        leaves.map(|(name, _)| name.clone()).collect()
    }

    /// The leaves of a purpose: itself, or those below a branch.
    #[must_use]
    pub fn leaves_of(&self, purpose: &PurposeName) -> PurposeSet {
        leaves_of(&self.purposes, purpose)
    }

    /// Where the consent of a data set's rows comes from.
    #[must_use]
    pub fn consent_of(&self, spec: &DatasetSpec) -> ConsentSource<'_> {
        let with_column =
            |other: &&DatasetSpec| other.owner == spec.owner && other.purposes_column().is_some();
        match self.datasets.values().find(with_column) {
            Some(source) => ConsentSource::Dataset(source),
            None => ConsentSource::Everything(self.leaf_purposes()),
        }
    }
}

/// Where the consent of a data set's rows comes from.
#[derive(Clone, Debug)]
pub enum ConsentSource<'a> {
    /// The owner's data set with a `purposes` column (perhaps the data set itself), by
    /// person; who is missing there has given none.
    Dataset(&'a DatasetSpec),
    /// The owner has none: one class that holds every purpose.
    Everything(ConsentClass),
}

/// The leaves of a purpose in a tree without cycles.
pub(crate) fn leaves_of(
    purposes: &BTreeMap<PurposeName, Purpose>,
    purpose: &PurposeName,
) -> PurposeSet {
    let below = |leaf: &PurposeName| ancestors(purposes, leaf).any(|above| above == purpose);
    let leaves = purposes.iter().filter(|(_, purpose)| purpose.leaf);
    let leaves = leaves.map(|(name, _)| name).filter(|leaf| below(leaf));
    leaves.cloned().collect()
}

/// A purpose, its parent, its parent's parent, and so on: never more than there are purposes.
pub(crate) fn ancestors<'a>(
    purposes: &'a BTreeMap<PurposeName, Purpose>,
    purpose: &'a PurposeName,
) -> impl Iterator<Item = &'a PurposeName> {
    let parent = |name: &&'a PurposeName| purposes.get(*name)?.parent.as_ref();
    std::iter::successors(Some(purpose), parent).take(purposes.len() + 1)
}
