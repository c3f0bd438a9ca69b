//! A party's folder: what `init` makes and every other command reads.
//!
//! ```text
//! shop/
//!   party.toml       the service's configuration (paths are relative to it)
//!   signing_key      OpenSSH; may stay offline, on another machine
//!   service_key      OpenSSH; TLS, manifests, grants, checkpoints
//!   receive_key      X-Wing; opens the answers that are sealed to the party
//!   analysts/NAME    OpenSSH keys of analysts made by `init --analyst`
//!   passphrase.txt   opens the key ring
//!   ring.age         purpose keys, matching secrets, the seed key
//!   agreements/      NAME.toml and NAME.toml.PARTY.sig of each party
//!   crosswalks/      own id -> pseudonym
//!   links.sqlite     links told to providers: own ids, what is still to be told
//!   links.lock       empty; held while links are told
//!   matching/        what an interrupted `match run` goes on with; the runs counted
//!   consents/        pseudonym -> consent class
//!   sealed/DATASET/  manifest and encrypted parts
//!   ledger.sqlite    charges, seeds (encrypted), log
//!   provider.toml    of a provider: its service's configuration
//!   provider.sqlite  of a provider: shares (encrypted), counts, links (encrypted)
//!   serving.lock     empty; held while the service runs
//!   ring-endpoint.json  address and token of `ring serve`, while it runs
//!   ring-endpoint.lock  empty; held while it runs
//!   ring-access.log  each request to it
//! ```

use std::fs::TryLockError;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use incamera_agreement::Agreement;
use incamera_agreement::files::{read as agreement_file, read_signed};
use incamera_keys::{KeyError, ReceiveKey, SigningKey};
use incamera_matching::Partition;
use incamera_party::{LockError, PartyConfig, RingLock};
use incamera_provider::{ProviderConfig, ShareKey};
use incamera_seal::{KeyRing, RingError};
use incamera_types::{AgreementId, DatasetName, IdKind, MatchingEpoch, PartyName};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::failure::{Context, Done, Failure};

/// The parts that the agreement splits ids into.
pub fn partitions(agreement: &Agreement) -> impl Iterator<Item = Partition> {
    let of = agreement.matching.match_partitions;
    (0..of).filter_map(move |number| Partition::new(number, of))
}

/// An open party folder.
pub struct Folder {
    root: PathBuf,
    /// The service's configuration, paths made absolute.
    pub config: PartyConfig,
}

impl Folder {
    /// Opens the folder that has a `party.toml`.
    pub fn open(root: &Path) -> Result<Self, Failure> {
        let file = root.join("party.toml");
        configured(
            &file,
            "party",
            "name the folder with `--party DIR`, or make one with `incamera init DIR --name NAME`",
        )?;
        let config = PartyConfig::load(&file)
            .or_fail("the configuration was not read")
            .map_err(|failure| {
                failure.hint("mend the line that is named; `incamera init` in another folder writes a whole one")
            })?;
        Ok(Self {
            root: root.to_owned(),
            config,
        })
    }

    /// The party's name.
    pub fn name(&self) -> &PartyName {
        &self.config.name
    }

    /// Where crosswalks lie.
    pub fn crosswalk(
        &self,
        agreement: &AgreementId,
        kind: &IdKind,
        partition: Partition,
    ) -> PathBuf {
        let name = format!("{}-{kind}{}.parquet", short(agreement), suffix(partition));
        self.root.join("crosswalks").join(name)
    }

    /// The crosswalks of all parts that the agreement splits ids into.
    pub fn crosswalks(&self, agreement: &Agreement, kind: &IdKind) -> Vec<PathBuf> {
        partitions(agreement)
            .map(|part| self.crosswalk(&agreement.id, kind, part))
            .collect()
    }

    /// All crosswalks of a kind that there are, also those of an earlier split into parts:
    /// people stand in them.
    pub fn every_crosswalk(
        &self,
        agreement: &AgreementId,
        kind: &IdKind,
    ) -> io::Result<Vec<PathBuf>> {
        let stem = format!("{}-{kind}", short(agreement));
        let entries = match fs::read_dir(self.root.join("crosswalks")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rest = name
                .strip_prefix(&stem)
                .and_then(|rest| rest.strip_suffix(".parquet"));
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(".p")) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// Where the runs of one matching leave what they go on with.
    pub fn matching(
        &self,
        agreement: &AgreementId,
        kind: &IdKind,
        peer: &PartyName,
        epoch: MatchingEpoch,
        partition: Partition,
    ) -> PathBuf {
        let (id, part) = (short(agreement), suffix(partition));
        let name = format!("{id}-{kind}-{peer}-{epoch}{part}");
        self.root.join("matching").join(name)
    }

    /// The folders of all matchings.
    pub fn matchings(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(self.root.join("matching")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.path())).collect()
    }

    /// Removes what interrupted matchings under the agreement would go on with: people stand
    /// in it.
    pub fn remove_match_journals(&self, agreement: &AgreementId) -> io::Result<()> {
        let short = short(agreement);
        for matching in self.matchings()? {
            let name = matching.file_name().unwrap_or_default();
            if !name.as_encoded_bytes().starts_with(short.as_bytes()) {
                continue;
            }
            match fs::remove_file(matching.join("journal")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the consents of this owner's people lie.
    pub fn consents(&self, agreement: &AgreementId) -> PathBuf {
        self.root
            .join("consents")
            .join(format!("{}.parquet", short(agreement)))
    }

    /// Holds off other sealings of this party under the agreement until dropped: versions and
    /// consents are read, and then written.
    pub fn sealing_lock(&self, agreement: &AgreementId) -> Result<std::fs::File, Failure> {
        let path = self.consents(agreement).with_extension("lock");
        let opened = || {
            // A backup may leave out an empty folder.
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = std::fs::File::create(&path)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        };
        opened()
            .or_fail(format!("`{}` was not locked", path.display()))
            .map_err(|failure| failure.or_hint("see that the party's folder can be written"))
    }

    /// The book of links that the party told providers.
    pub fn links(&self) -> PathBuf {
        self.root.join("links.sqlite")
    }

    /// Holds off other commands that tell providers of links until dropped.
    pub fn links_lock(&self) -> Result<std::fs::File, Failure> {
        let path = self.root.join("links.lock");
        let opened = || {
            let file = std::fs::File::create(&path)?;
            file.lock()?;
            Ok::<_, std::io::Error>(file)
        };
        opened().or_fail(format!("`{}` was not locked", path.display()))
    }

    /// Held by the party's service for as long as it runs: a second one would share its ledger
    /// and key ring unseen.
    pub fn serving_lock(&self) -> Result<std::fs::File, Failure> {
        let path = self.root.join("serving.lock");
        let what = format!("the service of `{}` was not started", self.name());
        let file = std::fs::File::create(&path).or_fail(&what)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Failure::failed(what)
                .why(format!("another one runs on `{}`", self.root.display()))
                .hint("use that one, or end it first")),
            Err(TryLockError::Error(error)) => Err(Failure::failed(what).because(&error)),
        }
    }

    /// Where `ring serve` says address and token.
    pub fn endpoint_file(&self) -> PathBuf {
        self.root.join("ring-endpoint.json")
    }

    /// Held by `ring serve` for as long as it runs.
    pub fn endpoint_lock(&self) -> PathBuf {
        self.root.join("ring-endpoint.lock")
    }

    /// Where `ring serve` says what it was asked for.
    pub fn access_log(&self) -> PathBuf {
        self.root.join("ring-access.log")
    }

    /// Where a sealed data set lies.
    pub fn sealed(&self, agreement: &AgreementId, dataset: &DatasetName) -> PathBuf {
        self.root
            .join("sealed")
            .join(short(agreement))
            .join(dataset.as_str())
    }

    /// What a provider's shares are sealed under, of its ring's seed key.
    pub fn share_key(&self) -> Result<ShareKey, Failure> {
        const LABEL: &str = "incamera-provider-store/1";
        Ok(ShareKey::new(self.ring()?.seed_key().derive(LABEL)))
    }

    /// The configuration of the party's service as a provider.
    pub fn provider(&self) -> Result<ProviderConfig, Failure> {
        let file = self.root.join("provider.toml");
        configured(
            &file,
            "provider",
            "make one with `incamera init DIR --name NAME --provider`",
        )?;
        ProviderConfig::load(&file)
            .or_fail("the provider's configuration was not read")
            .map_err(|failure| failure.hint("mend the line that is named"))
    }

    /// The folder of agreements.
    pub fn agreements(&self) -> &Path {
        &self.config.agreements
    }

    /// The service key.
    pub fn service_key(&self) -> Result<SigningKey, Failure> {
        read_key(&self.config.keys.service).map_err(own_key)
    }

    /// The signing key.
    pub fn signing_key(&self) -> Result<SigningKey, Failure> {
        read_key(&self.config.keys.signing).map_err(own_key)
    }

    /// The key that opens the answers that are sealed to the party.
    pub fn receive_key(&self) -> Result<ReceiveKey, Failure> {
        let key = read_receive_key(&self.config.keys.receive);
        key.map_err(|failure| {
            failure.or_hint("say under `[keys]` in `party.toml` where `receive` is; a folder that never had one gets it by `incamera init DIR --name NAME --receive-key`, and the agreement in a new version")
        })
    }

    /// The open key ring.
    pub fn ring(&self) -> Result<KeyRing, Failure> {
        let (path, lock) = (&self.config.keys.ring, &self.config.keys.lock);
        let ring = lock.open(path, key_passphrase()?.as_ref());
        ring.map_err(|error| {
            let what = format!("the key ring `{}` was not opened", path.display());
            Failure::failed(what)
                .because(&error)
                .hint(ring_hint(lock, &error))
        })
    }

    /// Which agreement a command means: the file named, or the only one in `agreements/`; where
    /// all there are versions of one agreement, the newest that all parties have signed.
    pub fn agreement_file(&self, named: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(path) = named {
            return Ok(path.to_owned());
        }
        let mut found = agreement_files(self.agreements())?;
        if let Some(newest) = newest_version(&found) {
            return Ok(newest);
        }
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Failure::usage("there is no agreement yet")
                .why(format!(
                    "`{}` has no .toml file",
                    self.agreements().display()
                ))
                .hint("write one with `incamera agreement new --for ad-measurement`")),
            (Some(_), false) => Err(Failure::usage("which agreement is meant?")
                .why(format!("`{}` has several", self.agreements().display()))
                .hint("name one with `--agreement FILE`")),
        }
    }
}

/// Whether the folder has the configuration that makes it one of a `whose`.
fn configured(file: &Path, whose: &str, hint: &str) -> Done {
    let root = file.parent().unwrap_or(file).display();
    match fs::metadata(file) {
        Ok(found) if found.is_file() => Ok(()),
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Failure::failed(format!("`{}` was not read", file.display()))
                .because(&error)
                .hint("run it as a user who may read that folder, with the rights to what is in it"))
        }
        _ => Err(Failure::usage(format!("`{root}` is no {whose}'s folder"))
            .why(format!("it has no `{whose}.toml`"))
            .hint(hint)),
    }
}

/// The newest version that all parties have signed, if all files are versions of one
/// agreement.
fn newest_version(found: &[PathBuf]) -> Option<PathBuf> {
    let read = found.iter().map(|path| agreement_file(path).ok());
    let all: Vec<_> = read.collect::<Option<_>>()?;
    let one = &all.first()?.id;
    if all.iter().any(|agreement| &agreement.id != one) {
        return None;
    }
    let signed = found.iter().filter_map(|path| {
        let version = read_signed(path).ok()?.agreement().version;
        Some((version, path))
    });
    let newest = signed.max_by_key(|(version, _)| *version);
    newest.map(|(_, path)| path.clone())
}

/// The .toml files of a folder, in order; none if there is no such folder.
pub fn agreement_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

/// What the names of a part's files have, beyond those of a matching of all ids.
fn suffix(partition: Partition) -> String {
    match partition.is_whole() {
        true => String::new(),
        false => format!(".p{}of{}", partition.number(), partition.of()),
    }
}

fn short(agreement: &AgreementId) -> String {
    agreement.to_string().chars().take(16).collect()
}

fn own_key(failure: Failure) -> Failure {
    failure.or_hint(
        "say under `[keys]` in `party.toml` where it is; a signing key may lie elsewhere, offline",
    )
}

/// Writes a file that its owner alone can read, in one step: what was there is replaced.
pub fn write_private(path: &Path, text: &str) -> Done {
    let written = || -> io::Result<()> {
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let new = PathBuf::from(name);
        // A file that somebody else left there, or a link, is not written into.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    written().or_fail(format!("`{}` was not written", path.display()))
}

/// Reads a key that opens sealed answers.
pub fn read_receive_key(path: &Path) -> Result<ReceiveKey, Failure> {
    let what = format!("the key `{}` was not read", path.display());
    let text = fs::read_to_string(path).map(Zeroizing::new);
    let text = text.or_fail(&what)?;
    ReceiveKey::from_text(&text).or_fail(what)
}

/// Reads an OpenSSH private key; one with a passphrase asks `INCAMERA_KEY_PASSPHRASE_FILE`.
pub fn read_key(path: &Path) -> Result<SigningKey, Failure> {
    let what = format!("the key `{}` was not read", path.display());
    let text = std::fs::read_to_string(path).or_fail(&what)?;
    let passphrase = key_passphrase()?;
    SigningKey::from_openssh(&text, passphrase.as_ref()).map_err(|error| {
        let failure = Failure::failed(what).because(&error);
        match error {
            KeyError::Encrypted | KeyError::WrongPassphrase => failure.hint(
                "a key with a passphrase needs `INCAMERA_KEY_PASSPHRASE_FILE`, a file that holds it",
            ),
            _ => failure.hint("name the private key, not its .pub file"),
        }
    })
}

/// The passphrase of OpenSSH keys that have one: in the file that
/// `INCAMERA_KEY_PASSPHRASE_FILE` names, if it is set.
pub fn key_passphrase() -> Result<Option<SecretString>, Failure> {
    let file = std::env::var_os("INCAMERA_KEY_PASSPHRASE_FILE");
    file.map(|file| read_passphrase(Path::new(&file)))
        .transpose()
}

/// What to do about a ring that does not open.
fn ring_hint(lock: &RingLock, error: &LockError) -> &'static str {
    match (lock, error) {
        (_, LockError::SshKey { .. }) => {
            "a key with a passphrase needs `INCAMERA_KEY_PASSPHRASE_FILE`, a file that holds it"
        }
        (_, LockError::Ring(RingError::Forged { .. })) => {
            "restore the ring's file from a backup, and find out who could write it: sealing under what lies there would hand the keys to whoever wrote it"
        }
        (_, LockError::Ring(error)) if is_missing(error) => {
            "say under `[keys]` in `party.toml` where the key ring lies (`ring`), or restore its file from a backup"
        }
        (RingLock::PassphraseFile(_), _) => {
            "check `passphrase_file` under `[keys]` in `party.toml`; if the passphrase is lost, `incamera ring recover` opens the recovery file"
        }
        (RingLock::Identity(_) | RingLock::SshKey(_), _) => {
            "check `ring_identity` or `ring_ssh_key` under `[keys]` in `party.toml`; if it is lost, `incamera ring recover` opens the recovery file"
        }
        (RingLock::Token(_), _) => {
            "check `[keys.token]` in `party.toml`, and that the token is plugged in"
        }
    }
}

/// Whether there is no file.
fn is_missing(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
    })
}

/// The passphrase of a ring to be, checked before anything is made.
pub fn strong_passphrase(file: &Path) -> Result<SecretString, Failure> {
    let secret = read_passphrase(file)?;
    if secret.expose_secret().chars().count() < 12 {
        return Err(Failure::usage("the passphrase is too short")
            .why("whoever finds the ring can try passphrases")
            .hint("use at least 12 characters, or leave `--passphrase-file` out"));
    }
    Ok(secret)
}

fn read_passphrase(path: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(path).or_fail(format!(
        "the passphrase file `{}` was not read",
        path.display()
    ))?;
    Ok(SecretString::from(
        text.trim_end_matches(['\n', '\r']).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cannot be looked at is not said not to be there.
    #[test]
    fn a_folder_that_cannot_be_read_is_told_from_one_that_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("party.toml");
        let said = || Folder::open(folder.path()).err().unwrap();
        let none = said();
        assert!(none.what.contains("is no party's folder"), "{}", none.what);
        assert!(none.hint.unwrap().contains("incamera init"));
        // Whoever may do everything is refused here too: a link that leads to itself.
        std::os::unix::fs::symlink(&file, &file).unwrap();
        let unread = said();
        assert!(unread.what.contains("was not read"), "{}", unread.what);
        assert!(unread.hint.unwrap().contains("who may read that folder"));
    }
}
