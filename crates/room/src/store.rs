//! The room's disk: sealed data sets, as their owners pushed them.
//!
//! Nothing here matters (invariant I9): every byte is ciphertext or signed by an owner, and
//! is checked again when it is read. A data set is installed when all its parts are there.
//!
//! ```text
//! storage/DATASET/manifest           the signed manifest, written last
//! storage/DATASET/parts/ID.parquet   encrypted parts
//! storage/.answers/                  answers, sealed to their receivers: `answers`
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use incamera_keys::PublicKey;
use incamera_seal::{Part, PartFileError, SignedManifest, check_part_file, open_manifest};
use incamera_types::limits::MAX_MANIFEST_BYTES;
use incamera_types::{DatasetName, FileId};
use incamera_wire::v1::Signed;
use incamera_wire::{FormatError, decode, encode};

use crate::answers::Answers;

/// Why the room's disk did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data set was never pushed, or its files are gone.
    #[error("the room has no data set `{dataset}`: its owner pushes it with `incamera data push`")]
    Missing {
        /// The data set.
        dataset: DatasetName,
    },
    /// A file of the data set is damaged.
    #[error("the data set `{dataset}` is damaged in the room: its owner pushes it again")]
    Damaged {
        /// The data set.
        dataset: DatasetName,
        /// Which part, and how.
        #[source]
        source: PartFileError,
    },
    /// The manifest on disk is unreadable or not its owner's.
    #[error(
        "the manifest of `{dataset}` in the room is not its owner's: its owner pushes it again"
    )]
    Manifest {
        /// The data set.
        dataset: DatasetName,
    },
    /// More bytes than the manifest says.
    #[error("a part is longer than its manifest says")]
    TooLong,
    /// A chunk without a part, or a part that the manifest does not name.
    #[error("the push names a part that its manifest does not have")]
    UnknownPart,
    /// The disk.
    #[error("the room's disk failed")]
    Io(#[from] io::Error),
}

/// The folder of sealed data sets.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the folder; makes it if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(root)?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// Where answers wait for their receivers.
    pub(crate) fn answers(&self) -> Answers {
        Answers::new(self.root.join(".answers"))
    }

    fn folder(&self, dataset: &DatasetName) -> PathBuf {
        self.root.join(dataset.as_str())
    }

    /// Where a part lies, or would.
    #[must_use]
    pub fn part_path(&self, dataset: &DatasetName, id: &FileId) -> PathBuf {
        self.folder(dataset)
            .join("parts")
            .join(format!("{id}.parquet"))
    }

    /// The signed manifest as its owner pushed it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Manifest`].
    pub fn signed(&self, dataset: &DatasetName) -> Result<Signed, StoreError> {
        let missing = || StoreError::Missing {
            dataset: dataset.clone(),
        };
        let bytes = fs::read(self.folder(dataset).join("manifest")).map_err(|_| missing())?;
        decode(&bytes, MAX_MANIFEST_BYTES).map_err(|_: FormatError| StoreError::Manifest {
            dataset: dataset.clone(),
        })
    }

    /// The manifest, its owner's signature checked.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Manifest`].
    pub fn manifest(
        &self,
        dataset: &DatasetName,
        owner: &PublicKey,
    ) -> Result<SignedManifest, StoreError> {
        let signed = self.signed(dataset)?;
        let manifest = open_manifest(&signed, owner).map_err(|_| StoreError::Manifest {
            dataset: dataset.clone(),
        })?;
        if manifest.dataset() != dataset {
            return Err(StoreError::Manifest {
                dataset: dataset.clone(),
            });
        }
        Ok(manifest)
    }

    /// Checks length and digest of every part.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], naming the part.
    pub fn check_parts(&self, manifest: &SignedManifest) -> Result<(), StoreError> {
        for part in manifest.parts() {
            self.check_part(manifest, part)?;
        }
        Ok(())
    }

    fn check_part(&self, manifest: &SignedManifest, part: &Part) -> Result<(), StoreError> {
        let path = self.part_path(manifest.dataset(), &part.file_id);
        check_part_file(&path, manifest, part).map_err(|source| damaged(manifest, source))
    }

    /// The parts of `manifest` that are not here, or damaged.
    #[must_use]
    pub fn wanted(&self, manifest: &SignedManifest) -> Vec<FileId> {
        let parts = manifest.parts().iter();
        parts
            .filter(|part| self.check_part(manifest, part).is_err())
            .map(|part| part.file_id)
            .collect()
    }

    /// Starts to receive one part.
    ///
    /// # Errors
    /// [`StoreError::UnknownPart`] or [`StoreError::Io`].
    pub fn receive(
        &self,
        manifest: &Arc<SignedManifest>,
        id: &FileId,
    ) -> Result<Receiving, StoreError> {
        let dataset = manifest.dataset();
        let mut parts = manifest.parts().iter();
        let part = parts
            .find(|part| &part.file_id == id)
            .ok_or(StoreError::UnknownPart)?;
        let path = self.part_path(dataset, id);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = path.with_extension("incoming");
        Ok(Receiving {
            part: part.clone(),
            manifest: manifest.clone(),
            file: File::create(&temporary)?,
            temporary,
            path,
            bytes: 0,
        })
    }

    /// Makes `signed` the data set's manifest, once all its parts are here, and removes
    /// parts that it does not name.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn install(&self, manifest: &SignedManifest, signed: &Signed) -> Result<(), StoreError> {
        let dataset = manifest.dataset();
        let folder = self.folder(dataset);
        fs::create_dir_all(&folder)?;
        let temporary = folder.join("manifest.incoming");
        let mut file = File::create(&temporary)?;
        file.write_all(&encode(signed))?;
        file.sync_all()?;
        fs::rename(temporary, folder.join("manifest"))?;
        self.remove_strays(manifest);
        Ok(())
    }

    fn remove_strays(&self, manifest: &SignedManifest) {
        let dataset = manifest.dataset();
        let parts = manifest.parts().iter();
        let named: BTreeSet<PathBuf> = parts
            .map(|part| self.part_path(dataset, &part.file_id))
            .collect();
        let Ok(entries) = fs::read_dir(self.folder(dataset).join("parts")) else {
            return;
        };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if !named.contains(&path) {
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn damaged(manifest: &SignedManifest, source: PartFileError) -> StoreError {
    StoreError::Damaged {
        dataset: manifest.dataset().clone(),
        source,
    }
}

/// A part on its way in. Until it is whole and its digest right, it is not in its place.
#[derive(Debug)]
pub struct Receiving {
    manifest: Arc<SignedManifest>,
    part: Part,
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    bytes: u64,
}

impl Receiving {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] or [`StoreError::Io`].
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.part.bytes {
            return Err(StoreError::TooLong);
        }
        Ok(self.file.write_all(bytes)?)
    }

    /// Puts the part in its place. Gives its length in bytes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it is not what the manifest says.
    pub fn finish(self) -> Result<u64, StoreError> {
        self.file.sync_all()?;
        check_part_file(&self.temporary, &self.manifest, &self.part)
            .map_err(|source| damaged(&self.manifest, source))?;
        fs::rename(&self.temporary, &self.path)?;
        Ok(self.bytes)
    }
}
