//! An owner's own keys, one at a time, for one purpose: what `incamera ring serve` gives.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use incamera_keys::{DataKey, PublicKey};
use incamera_types::{AgreementId, DatasetName, FileId, PurposeName};
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
    /// The key that `reference` names, if the newest manifest wraps it for the purpose and the
    /// ring still opens it. Manifest and ring are looked at anew each time.
    ///
    /// # Errors
    /// [`OwnKeyError`].
    pub fn open(&mut self, reference: &KeyReference) -> Result<DataKey, OwnKeyError> {
        if reference.agreement_id != self.agreement_id {
            return Err(OwnKeyError::OtherAgreement);
        }
        let manifest = self.manifest(&reference.dataset)?;
        let part = manifest.parts().iter();
        let part = part.clone().find(|part| part.file_id == reference.file_id);
        let part = part.ok_or_else(|| OwnKeyError::Replaced {
            dataset: reference.dataset.clone(),
            file_id: reference.file_id,
        })?;
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

    /// Data follow their register: a consent withdrawn there must not live on here.
    fn newest_consents(&self, manifest: &SignedManifest) -> Result<(), OwnKeyError> {
        let dataset = manifest.dataset();
        let (Some(sealed_by), Some(register)) =
            (manifest.register(), &self.dataset(dataset)?.register)
        else {
            return Ok(());
        };
        match self.manifest(register)?.digest() == sealed_by {
            true => Ok(()),
            false => Err(OwnKeyError::OldConsents {
                dataset: dataset.clone(),
                register: register.clone(),
            }),
        }
    }
}
