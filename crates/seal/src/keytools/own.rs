//! An owner's own keys, one at a time, for one purpose: what `incamera ring serve` gives.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use incamera_keys::{DataKey, PublicKey};
use incamera_types::{
    AgreementId, DatasetName, DatasetSpec, Date, FileId, MatchingEpoch, PurposeName, UnixTime,
};
use rand_core::CryptoRng;

use super::reference::KeyReference;
use super::wrap::{MasterKeyId, SourceWrap, WrapError};
use crate::manifest::{ManifestError, SignedManifest, open_manifest, read_manifest_file};
use crate::ring::{KeyRing, RingError};
use crate::sealing::MANIFEST_FILE;
use crate::unwrap::{NoKey, unwrap_key};

/// Why a key is not given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnKeyError {
    /// A file sealed under another agreement.
    #[error("the file is sealed under another agreement")]
    OtherAgreement,
    /// Not one of the party's data sets.
    #[error("the agreement gives this party no data set `{0}`")]
    NoDataset(DatasetName),
    /// A file that the newest version does not have.
    #[error(
        "the file `{file_id}` is not in the newest version of `{dataset}`: it was replaced, and its keys are not given any more"
    )]
    Replaced {
        /// The data set.
        dataset: DatasetName,
        /// The part.
        file_id: FileId,
    },
    /// Sealed by consents that were replaced.
    #[error(
        "`{dataset}` is sealed by the consents of an older version of `{register}`: seal it again"
    )]
    OldConsents {
        /// The data set.
        dataset: DatasetName,
        /// The data set that says the consents.
        register: DatasetName,
    },
    /// The last day is over.
    #[error("`{dataset}` is not kept any longer: {day} (UTC) was its last day")]
    NotKept {
        /// The data set.
        dataset: DatasetName,
        /// The last day.
        day: Date,
    },
    /// Sealed for what an older version of the agreement said.
    #[error(
        "`{dataset}` is sealed for another version of the agreement ({what}): bring it to this one with `incamera data retag`, or seal it again"
    )]
    Unfit {
        /// The data set.
        dataset: DatasetName,
        /// What differs.
        what: &'static str,
    },
    /// No column of the part is sealed for the purpose.
    #[error("no column of this part of `{dataset}` is sealed for the purpose `{purpose}`")]
    NotForPurpose {
        /// The data set.
        dataset: DatasetName,
        /// The purpose.
        purpose: PurposeName,
    },
    /// No wrap.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// The manifest.
    #[error("the manifest of `{dataset}` is not taken")]
    Manifest {
        /// The data set.
        dataset: DatasetName,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// The key ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A tool's key is not wrapped.
    #[error(transparent)]
    Wrap(#[from] WrapError),
}

impl OwnKeyError {
    /// Whether there is no such key to give, rather than something that went wrong here.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Manifest { .. } | Self::Ring(_) | Self::Wrap(WrapError::Ring(_))
        )
    }
}

/// One of the party's data sets, at home.
#[derive(Clone, Debug)]
pub struct OwnDataset {
    /// What the agreement says of it.
    pub spec: DatasetSpec,
    /// The folder of the sealed data set.
    pub folder: PathBuf,
    /// The party's data set whose consents it follows, where it is another.
    pub register: Option<DatasetName>,
}

/// The keys of a party's own sealed data sets, for one purpose of one agreement.
pub struct OwnKeys {
    /// The party's ring.
    pub ring: KeyRing,
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The agreement's matching epoch.
    pub matching_epoch: MatchingEpoch,
    /// The agreement's number of partitions.
    pub partitions: u32,
    /// The one purpose.
    pub purpose: PurposeName,
    /// The party's service key, which signs manifests.
    pub owner: PublicKey,
    /// The party's data sets.
    pub datasets: BTreeMap<DatasetName, OwnDataset>,
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnKeys({})", self.purpose)
    }
}

impl OwnKeys {
    /// The key that `reference` names, if the newest manifest is what the agreement has, wraps
    /// it for the purpose and the ring still opens it, `now` on a day on which the data set is
    /// kept. Manifest and ring are looked at anew each time.
    ///
    /// # Errors
    /// [`OwnKeyError`].
    pub fn open(
        &mut self,
        reference: &KeyReference,
        now: UnixTime,
    ) -> Result<DataKey, OwnKeyError> {
        if reference.agreement_id != self.agreement_id {
            return Err(OwnKeyError::OtherAgreement);
        }
        self.kept(&reference.dataset, now)?;
        let manifest = self.manifest(&reference.dataset)?;
        let part = manifest.parts().iter();
        let part = part.clone().find(|part| part.file_id == reference.file_id);
        let part = part.ok_or_else(|| OwnKeyError::Replaced {
            dataset: reference.dataset.clone(),
            file_id: reference.file_id,
        })?;
        self.agreed(&manifest)?;
        self.newest_consents(&manifest)?;
        if !part.opens_for(&self.purpose) {
            return Err(OwnKeyError::NotForPurpose {
                dataset: reference.dataset.clone(),
                purpose: self.purpose.clone(),
            });
        }
        self.ring.refresh()?;
        let column = reference.column.as_ref();
        Ok(unwrap_key(
            &manifest,
            &self.purpose,
            part,
            column,
            &self.ring,
        )?)
    }

    /// Wraps a tool's key for a source of the master key's data set.
    ///
    /// # Errors
    /// [`OwnKeyError`].
    pub fn wrap(
        &mut self,
        master: &MasterKeyId,
        key: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<SourceWrap, OwnKeyError> {
        self.dataset(master.dataset())?;
        let wrap = SourceWrap::make(&mut self.ring, &self.agreement_id, master, key, rng);
        Ok(wrap?)
    }

    fn dataset(&self, name: &DatasetName) -> Result<&OwnDataset, OwnKeyError> {
        let own = self.datasets.get(name);
        own.ok_or_else(|| OwnKeyError::NoDataset(name.clone()))
    }

    /// Past its last day the keys are on their way out; until somebody destroys them, none is
    /// given.
    fn kept(&self, dataset: &DatasetName, now: UnixTime) -> Result<(), OwnKeyError> {
        let day = self.dataset(dataset)?.spec.keep_until;
        match day.filter(|day| day.end() < now) {
            None => Ok(()),
            Some(day) => Err(OwnKeyError::NotKept {
                dataset: dataset.clone(),
                day,
            }),
        }
    }

    /// What a newer version of the agreement takes from a purpose is not given for it.
    fn agreed(&self, manifest: &SignedManifest) -> Result<(), OwnKeyError> {
        let dataset = manifest.dataset();
        let spec = &self.dataset(dataset)?.spec;
        let (epoch, partitions) = (self.matching_epoch, self.partitions);
        match manifest.fits(spec, &self.agreement_id, epoch, partitions) {
            Ok(()) => Ok(()),
            Err(ManifestError::Unfit { what }) => Err(OwnKeyError::Unfit {
                dataset: dataset.clone(),
                what,
            }),
            Err(source) => Err(OwnKeyError::Manifest {
                dataset: dataset.clone(),
                source,
            }),
        }
    }

    /// The newest manifest of a data set, checked: signed by the owner, of this data set and
    /// agreement.
    fn manifest(&self, dataset: &DatasetName) -> Result<SignedManifest, OwnKeyError> {
        let path = self.dataset(dataset)?.folder.join(MANIFEST_FILE);
        let failed = |source| OwnKeyError::Manifest {
            dataset: dataset.clone(),
            source,
        };
        let signed = read_manifest_file(&path).map_err(failed)?;
        let manifest = open_manifest(&signed, &self.owner).map_err(failed)?;
        let unfit = |what| failed(ManifestError::Unfit { what });
        if manifest.agreement_id() != &self.agreement_id {
            return Err(unfit("agreement id"));
        }
        if manifest.dataset() != dataset {
            return Err(unfit("data set"));
        }
        Ok(manifest)
    }

    /// Data follow their register: a consent withdrawn there must not live on here, and data
    /// sealed for everybody, before there was a register, follow none.
    fn newest_consents(&self, manifest: &SignedManifest) -> Result<(), OwnKeyError> {
        let dataset = manifest.dataset();
        let Some(register) = &self.dataset(dataset)?.register else {
            return Ok(());
        };
        match manifest.register() == Some(self.manifest(register)?.digest()) {
            true => Ok(()),
            false => Err(OwnKeyError::OldConsents {
                dataset: dataset.clone(),
                register: register.clone(),
            }),
        }
    }
}
