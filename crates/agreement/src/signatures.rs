//! Signatures of the parties: detached SSHSIG over the exact bytes, and the proofs that they
//! hold.
//!
//! `ssh-keygen -Y verify -n incamera-agreement` checks them without this program, and
//! `ssh-keygen -Y sign -n incamera-agreement` makes them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use incamera_keys::{KeyError, SigningKey, SshSig};
use incamera_types::{PartyName, UnixTime};

use crate::model::Agreement;

/// The namespace of signatures over agreements.
pub const NAMESPACE: &str = "incamera-agreement";

/// Signs the exact bytes of an agreement.
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn sign(bytes: &[u8], key: &SigningKey) -> Result<SshSig, KeyError> {
    key.sign(NAMESPACE, bytes)
}

/// Not every party has signed: the agreement opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignaturesError {
    /// Parties without a signature.
    pub missing: Vec<PartyName>,
    /// Parties whose signature does not hold: another file, another key, another purpose.
    pub bad: Vec<PartyName>,
}

impl fmt::Display for SignaturesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |parties: &[PartyName]| {
            let names: Vec<_> = parties.iter().map(|party| format!("`{party}`")).collect();
            names.join(", ")
        };
        f.write_str("the agreement opens nothing until every party has signed this version:")?;
        if !self.missing.is_empty() {
            write!(f, " no signature of {}", names(&self.missing))?;
        }
        if !self.missing.is_empty() && !self.bad.is_empty() {
            f.write_str(";")?;
        }
        if !self.bad.is_empty() {
            write!(
                f,
                " the signature of {} is not over this file by the key in the agreement",
                names(&self.bad)
            )?;
        }
        f.write_str(": let them run `incamera agreement sign` on this very file")
    }
}

impl std::error::Error for SignaturesError {}

/// The agreement is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agreement expired at the end of {day} (UTC)")]
#[non_exhaustive]
pub struct Expired {
    /// The last day on which it held.
    pub day: incamera_types::Date,
}

/// Proof that every party's signature over the agreement holds.
///
/// Only [`Agreement::verify`] makes one:
///
/// ```compile_fail,E0451
/// # fn f(agreement: incamera_agreement::Agreement) {
/// let signed = incamera_agreement::SignedAgreement { agreement };
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SignedAgreement {
    agreement: Agreement,
}

/// Proof that every party has signed and that the agreement has not expired.
///
/// Only [`SignedAgreement::at`] makes one:
///
/// ```compile_fail,E0451
/// # fn f(signed: incamera_agreement::SignedAgreement, now: incamera_types::UnixTime) {
/// let active = incamera_agreement::ActiveAgreement { signed, now };
/// # }
/// ```
/// ```compile_fail,E0308
/// fn needs_proof(_: incamera_agreement::ActiveAgreement) {}
/// # fn f(agreement: incamera_agreement::Agreement) {
/// needs_proof(agreement);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ActiveAgreement {
    signed: SignedAgreement,
    now: UnixTime,
}

impl Agreement {
    /// Checks one signature per party, over the exact bytes that were parsed. Signatures of
    /// others are ignored.
    ///
    /// # Errors
    /// [`SignaturesError`] names the parties whose signature is missing or bad.
    pub fn verify(
        self,
        signatures: &BTreeMap<PartyName, SshSig>,
    ) -> Result<SignedAgreement, SignaturesError> {
        let mut error = SignaturesError {
            missing: Vec::new(),
            bad: Vec::new(),
        };
        for (name, party) in &self.parties {
            match signatures.get(name) {
                None => error.missing.push(name.clone()),
                Some(signature) => {
                    let checked = party.signs.verify(NAMESPACE, self.bytes(), signature);
                    if checked.is_err() {
                        error.bad.push(name.clone());
                    }
                }
            }
        }
        if error.missing.is_empty() && error.bad.is_empty() {
            Ok(SignedAgreement { agreement: self })
        } else {
            Err(error)
        }
    }
}

impl SignedAgreement {
    /// The agreement.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    /// The agreement, if it holds at this moment.
    ///
    /// # Errors
    /// [`Expired`] after the end of its last day.
    pub fn at(&self, now: UnixTime) -> Result<ActiveAgreement, Expired> {
        let day = self.agreement.expires;
        if now > day.end() {
            return Err(Expired { day });
        }
        Ok(ActiveAgreement {
            signed: self.clone(),
            now,
        })
    }
}

impl ActiveAgreement {
    /// The agreement.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        self.signed.agreement()
    }

    /// The agreement with the proof of its signatures alone.
    #[must_use]
    pub fn signed(&self) -> &SignedAgreement {
        &self.signed
    }

    /// The moment at which it was found to hold.
    #[must_use]
    pub fn checked_at(&self) -> UnixTime {
        self.now
    }
}

impl Deref for SignedAgreement {
    type Target = Agreement;
    fn deref(&self) -> &Agreement {
        self.agreement()
    }
}

impl Deref for ActiveAgreement {
    type Target = Agreement;
    fn deref(&self) -> &Agreement {
        self.agreement()
    }
}
