//! The folder of agreements: read anew for each request, so that a file put there counts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use incamera_agreement::{ActiveAgreement, Agreement, SignedAgreement, files};
use incamera_keys::PublicKey;
use incamera_types::{AgreementDigest, AgreementId, Highest, PartyName, UnixTime};

use crate::server::blocking;
use crate::status::{Problem, ProblemKind};

/// The folder of agreements and their signatures, with what this party knows of itself.
///
/// An agreement file names the keys that sign it. So a file counts only if the keys that it
/// gives *this* party are this party's own: else another could write a file that speaks for
/// us, sign it with a key of its choosing, and have it lie here.
#[derive(Clone, Debug)]
pub struct Agreements {
    folder: PathBuf,
    me: PartyName,
    signs: PublicKey,
    service: PublicKey,
    memory: Option<Arc<dyn Memory>>,
}

/// What a service remembers of agreements, beyond its folder of them.
pub trait Memory: fmt::Debug + Send + Sync {
    /// Remembers that the file `digest`, version `seen`, is in force, and gives the highest
    /// that ever was.
    ///
    /// # Errors
    /// A [`Problem`] if that cannot be kept, or not be read.
    fn highest(
        &self,
        agreement: &AgreementId,
        seen: u64,
        digest: &AgreementDigest,
    ) -> Result<Highest, Problem>;
}

/// Why an agreement that all have signed does not count here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotOurs {
    /// It gives this party other keys.
    #[error("it gives this party other keys than its own: whoever wrote it would sign for it")]
    OtherKeys,
    /// It follows a version that is not known.
    #[error("the version before it is not in this party's `agreements` folder")]
    Follows,
    /// It passes consents on to a purpose that people did not agree to, or writes ids by other
    /// rules in the same matching epoch.
    #[error(
        "a purpose in it replaces one that it cannot, or ids are written otherwise in the same matching epoch: `incamera agreement diff` says which"
    )]
    Successions,
}

/// What the clock says: the one place where a service reads it.
#[must_use]
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map(|since| since.as_secs()).unwrap_or_default())
}

impl Agreements {
    /// The folder (it may not exist yet), and the party's own name and public keys.
    #[must_use]
    pub fn new(folder: &Path, me: PartyName, signs: PublicKey, service: PublicKey) -> Self {
        Self {
            folder: folder.to_owned(),
            me,
            signs,
            service,
            memory: None,
        }
    }

    /// The same with a memory of the highest version of each agreement that was ever in force:
    /// an older one does not come back because the newer file, or a signature of it, is gone or
    /// damaged. Of two files of that version the one that came first counts.
    #[must_use]
    pub fn remembering(self, memory: impl Memory + 'static) -> Self {
        let memory: Option<Arc<dyn Memory>> = Some(Arc::new(memory));
        Self { memory, ..self }
    }

    /// Whether an agreement that all have signed, wherever it lies, counts here.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn admit(&self, agreement: &Agreement) -> Result<(), NotOurs> {
        if !self.is_ours(agreement) {
            return Err(NotOurs::OtherKeys);
        }
        follows(agreement, &self.counting())
    }

    /// Whether the keys that an agreement gives this party are its own.
    #[must_use]
    pub fn is_ours(&self, agreement: &Agreement) -> bool {
        let party = agreement.parties.get(&self.me);
        party.is_some_and(|party| party.signs == self.signs && party.service == self.service)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that end in `.toml`, in order of name.
    fn paths(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "toml"))
            .collect();
        paths.sort();
        paths
    }

    /// Every readable agreement with the parties whose signature is missing or bad.
    #[must_use]
    pub fn all(&self) -> Vec<(Agreement, Vec<PartyName>)> {
        self.paths()
            .iter()
            .filter_map(|path| judged(path))
            .collect()
    }

    /// What counts, remembered.
    fn signed(&self) -> Result<Vec<SignedAgreement>, Problem> {
        let mut good = Vec::new();
        for known in self.counting() {
            let agreement = known.agreement();
            if self
                .highest(agreement)?
                .admits(agreement.version, &agreement.digest)
            {
                good.push(known);
            } else {
                tracing::warn!(digest = %agreement.digest, "an agreement does not count: another file of its version came first");
            }
        }
        Ok(good)
    }

    /// The highest version of an agreement that was ever in force, this one included.
    fn highest(&self, agreement: &Agreement) -> Result<Highest, Problem> {
        let Some(memory) = &self.memory else {
            return Ok(Highest {
                version: agreement.version,
                digest: None,
            });
        };
        memory.highest(&agreement.id, agreement.version, &agreement.digest)
    }

    /// Every agreement that all parties have signed, that is ours, and that is a first version
    /// or follows one that counts.
    fn counting(&self) -> Vec<SignedAgreement> {
        let mut read: Vec<SignedAgreement> =
            self.paths().iter().filter_map(|p| signed(p)).collect();
        read.sort_by_key(|known| known.agreement().version);
        let mut good: Vec<SignedAgreement> = Vec::new();
        for known in read {
            let agreement = known.agreement();
            let counts = match self.is_ours(agreement) {
                true => follows(agreement, &good),
                false => Err(NotOurs::OtherKeys),
            };
            match counts {
                Ok(()) => good.push(known),
                Err(why) => {
                    tracing::warn!(digest = %agreement.digest, %why, "an agreement does not count");
                }
            }
        }
        good
    }

    /// The agreement in force with this digest: signed by all, not expired, and no newer
    /// version of it signed by all.
    ///
    /// # Errors
    /// A [`Problem`] that says which of these fails.
    pub fn active(&self, digest: &AgreementDigest) -> Result<ActiveAgreement, Problem> {
        let signed = self.signed()?;
        let found = signed
            .iter()
            .find(|known| &known.agreement().digest == digest)
            .ok_or_else(|| self.unknown(digest))?;
        let here = newer(&signed, found.agreement()).unwrap_or_default();
        let newer = self.highest(found.agreement())?.version.max(here);
        if newer > found.agreement().version {
            return Err(Problem::new(
                ProblemKind::Refused,
                "agreement-superseded",
                format!("version {newer} of this agreement is in force"),
            )
            .hint(match here {
                0 => "use the newest version; its file, or a signature of it, is missing or damaged in this party's `agreements` folder: put it back".to_owned(),
                _ => format!(
                    "use the newest version: where version {} is still the newest that all have signed, put version {newer} and its .sig files into `agreements/`",
                    found.agreement().version
                ),
            }));
        }
        found.at(now()).map_err(|error| {
            Problem::new(ProblemKind::Expired, "agreement-expired", error.to_string())
                .hint("sign a new version with a later `expires`")
        })
    }

    /// [`Agreements::active`], away from the threads that serve others: it waits for the
    /// memory, and the memory for a disk.
    ///
    /// # Errors
    /// A status with the [`Problem`].
    pub async fn active_aside(
        self: &Arc<Self>,
        digest: AgreementDigest,
    ) -> Result<ActiveAgreement, tonic::Status> {
        let known = self.clone();
        blocking(move || known.active(&digest)).await
    }

    /// The newest signed version of the agreement with this id.
    ///
    /// # Errors
    /// A [`Problem`] if the memory of versions cannot be read.
    pub fn newest(&self, id: &AgreementId) -> Result<Option<SignedAgreement>, Problem> {
        let mut versions = self.signed()?;
        versions.retain(|known| &known.agreement().id == id);
        let newest = versions.into_iter();
        Ok(newest.max_by_key(|known| known.agreement().version))
    }

    /// Remembers what is in force now.
    ///
    /// # Errors
    /// A [`Problem`] if it cannot be kept.
    pub fn remember(&self) -> Result<(), Problem> {
        self.signed().map(drop)
    }

    fn unknown(&self, digest: &AgreementDigest) -> Problem {
        let known = self.all();
        let unsigned = known.iter().find(|(known, _)| &known.digest == digest);
        match unsigned {
            Some((agreement, missing)) if missing.is_empty() => Problem::new(
                ProblemKind::Refused,
                "agreement-does-not-count",
                format!(
                    "version {} of the agreement `{}` does not count here, though all have signed it: it gives this party other keys, follows a version that is not known here, lets a purpose replace one that it cannot, or another file of its version came first",
                    agreement.version, agreement.name
                ),
            )
            .hint("use the file that this party signed first; agree on a new version if parties hold different ones"),
            Some((agreement, missing)) => Problem::new(
                ProblemKind::Refused,
                "agreement-unsigned",
                format!(
                    "the agreement `{}` lacks a valid signature of {}",
                    agreement.name,
                    listed(missing)
                ),
            )
            .hint(
                "each party signs it with `incamera agreement sign`; put all .sig files beside it",
            ),
            None => Problem::new(
                ProblemKind::Refused,
                "agreement-unknown",
                format!("no agreement with digest {digest} is known here"),
            )
            .hint("put the agreement and all its .sig files into the party's `agreements` folder"),
        }
    }
}

fn signed(path: &Path) -> Option<SignedAgreement> {
    files::read_signed(path)
        .inspect_err(|error| tracing::warn!(file = %path.display(), %error, "not in force"))
        .ok()
}

/// A later version must name its predecessor, which must count itself; and no purpose in it may
/// take over consents that people gave to something else.
fn follows(agreement: &Agreement, good: &[SignedAgreement]) -> Result<(), NotOurs> {
    let before = |known: &&SignedAgreement| {
        let before = known.agreement();
        before.id == agreement.id
            && Some(before.version) == agreement.version.checked_sub(1)
            && Some(before.digest) == agreement.follows
    };
    if agreement.version == 1 {
        return Ok(());
    }
    let before = good.iter().find(before).ok_or(NotOurs::Follows)?;
    let earlier = good.iter().map(SignedAgreement::agreement);
    let earlier = earlier
        .filter(|known| known.id == agreement.id && known.version < before.agreement().version);
    let claims = agreement.false_successions(before.agreement(), earlier.map(|known| &**known));
    match claims.is_empty() {
        true => Ok(()),
        false => Err(NotOurs::Successions),
    }
}

fn judged(path: &Path) -> Option<(Agreement, Vec<PartyName>)> {
    let agreement = files::read(path).ok()?;
    let signatures = files::read_signatures(path, &agreement).unwrap_or_default();
    let missing = match agreement.clone().verify(&signatures) {
        Ok(_) => Vec::new(),
        Err(error) => [error.missing, error.bad].concat(),
    };
    Some((agreement, missing))
}

fn newer(all: &[SignedAgreement], this: &Agreement) -> Option<u64> {
    all.iter()
        .map(SignedAgreement::agreement)
        .filter(|other| other.id == this.id && other.version > this.version)
        .map(|other| other.version)
        .max()
}

fn listed(parties: &[PartyName]) -> String {
    let names: Vec<String> = parties.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
