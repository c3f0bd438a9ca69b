//! What the providers of an agreement say of their key: the key statement.
//!
//! It names the public key of each share, the key's own, and the digest of what all of them
//! broadcast while the shares were made. All of them sign the same bytes: that is what makes
//! their broadcasts one, and whoever told two providers two things cannot have both signatures.
//! A statement without one signature is none.
//!
//! Within a matching epoch the key stays and the number of the statement grows: shares are
//! refreshed, nothing goes back. All providers that the agreement names hold shares: whom a
//! refresh leaves out, a statement under that agreement cannot leave out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use incamera_group::EncodedPoint;
use incamera_keys::{KeyError, PublicKey, SignedError, SigningKey, open_signed, sign_message};
use incamera_oprf::lagrange::{MAX_SHARES, Place, PlaceError};
use incamera_oprf::shares::{PublicKeys, SharesError};
use incamera_types::{
    AgreementId, CeremonyDigest, Digest as _, MatchingEpoch, PartyName, ProviderKeyDigest,
    Transcript, UnixTime,
};
use incamera_wire::v1::{ProviderKeys, ProviderKeysFile, ProviderShare, Signed};
use incamera_wire::{Format, FormatError};

mod backed;
#[cfg(test)]
mod tests;

pub use backed::{ChoiceError, Chosen, Deviation};

/// The largest file that is read: 16 shares and signatures take less than 8 KiB.
const MAX_BYTES: usize = 64 << 10;
/// Digest of a key.
const KEY_LABEL: &str = "incamera-provider-key/1";

/// What the agreement says about providers.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// What the key hangs on.
    pub agreement_id: AgreementId,
    /// With it.
    pub epoch: MatchingEpoch,
    /// How many providers can evaluate.
    pub threshold: usize,
    /// The providers and their service keys.
    pub providers: BTreeMap<PartyName, PublicKey>,
    /// How long a key is valid, in seconds.
    pub valid_s: u64,
}

/// A key statement that all providers signed, or are about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatement {
    agreement_id: AgreementId,
    epoch: MatchingEpoch,
    number: u64,
    keys: PublicKeys,
    holders: BTreeMap<Place, PartyName>,
    ceremony: CeremonyDigest,
    valid_from: UnixTime,
    valid_until: UnixTime,
}

/// Why a key statement is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not a statement, or of a version that this program does not know.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Of another agreement or epoch.
    #[error("the key statement is of another agreement or of another matching epoch")]
    Other,
    /// The places of shares are none.
    #[error("the key statement names places that are none")]
    Places(#[from] PlaceError),
    /// The public keys do not fit.
    #[error("the public keys of the statement do not fit")]
    Shares(#[from] SharesError),
    /// Another threshold than agreed.
    #[error(
        "the key statement is for {found} providers together, the agreement asks for {expected}"
    )]
    Threshold {
        /// Of the agreement.
        expected: usize,
        /// Of the statement.
        found: usize,
    },
    /// Not each provider of the agreement exactly once.
    #[error("the key statement does not name exactly the providers of the agreement")]
    Providers,
    /// The key is not the one that the shares give.
    #[error("the key statement names another key than its shares give")]
    Key,
    /// Another time than the agreement's.
    #[error("the key statement is not valid for as long as the agreement says")]
    Validity,
    /// A provider's signature is missing or does not hold.
    #[error(
        "`{provider}` has not signed the key statement: all providers sign it, or there is no key"
    )]
    NotSigned {
        /// Which.
        provider: PartyName,
    },
    /// A provider is to sign what its own ceremony did not end with.
    #[error(
        "the key statement is not of the ceremony that this provider took part in: another provider was told something else, or the statement was changed"
    )]
    NotWitnessed,
    /// The key cannot sign.
    #[error(transparent)]
    Signing(#[from] KeyError),
    /// Not valid yet, or no more.
    #[error("the key is valid from {from} to {until}: later ids need a new matching epoch")]
    Expired {
        /// From when.
        from: UnixTime,
        /// Until when.
        until: UnixTime,
    },
    /// An older statement than the newest known.
    #[error("this is key statement {found}, and {newest} is known: shares were refreshed since")]
    WentBack {
        /// The number known.
        newest: u64,
        /// The number found.
        found: u64,
    },
    /// Two keys within one matching epoch.
    #[error(
        "two key statements contradict each other: the providers signed another key in the one \
         with the number {number}"
    )]
    Contradiction {
        /// The number of the later one.
        number: u64,
    },
}

/// What people compare of the key that a statement names, which nobody checked here: the digest
/// of what makes it one key, as OpenSSH writes those of its keys.
#[must_use]
pub fn fingerprint(statement: &ProviderKeys) -> String {
    let digest = key_digest(statement);
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
}

fn key_digest(statement: &ProviderKeys) -> ProviderKeyDigest {
    Transcript::new(KEY_LABEL)
        .field(&statement.agreement_id)
        .number(statement.epoch.into())
        .field(&statement.key)
        .number(statement.valid_from)
        .number(statement.valid_until)
        .finish()
}

impl KeyStatement {
    /// What people compare of a key: the same for all its statements, whatever was refreshed.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.message())
    }

    /// What names the key: the digest that its fingerprint shows.
    #[must_use]
    pub fn key_digest(&self) -> ProviderKeyDigest {
        key_digest(&self.message())
    }

    /// What the providers are about to sign: `number` is 1, or one more than before.
    ///
    /// # Errors
    /// [`StatementError::Providers`], [`StatementError::Threshold`] where keys and holders are
    /// not those of the agreement.
    pub fn new(
        agreed: &Agreed,
        number: u64,
        keys: PublicKeys,
        holders: BTreeMap<Place, PartyName>,
        ceremony: CeremonyDigest,
        valid_from: UnixTime,
    ) -> Result<Self, StatementError> {
        let statement = Self {
            agreement_id: agreed.agreement_id,
            epoch: agreed.epoch,
            number,
            keys,
            holders,
            ceremony,
            valid_from,
            valid_until: valid_from.plus(agreed.valid_s),
        };
        statement.check(agreed)?;
        Ok(statement)
    }

    /// The next one, after a refresh: valid until the same moment.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`StatementError::Contradiction`] where the key is another.
    pub fn refreshed(
        &self,
        agreed: &Agreed,
        keys: PublicKeys,
        ceremony: CeremonyDigest,
    ) -> Result<Self, StatementError> {
        let holders = self.holders.iter();
        let remaining = holders.filter(|(place, _)| keys.shares().any(|(p, _)| p == **place));
        let next = Self {
            number: self.number.saturating_add(1),
            holders: remaining
                .map(|(place, name)| (*place, name.clone()))
                .collect(),
            keys,
            ceremony,
            ..self.clone()
        };
        next.check(agreed)?;
        next.follows(self)?;
        Ok(next)
    }

    /// A provider's signature, for [`file`](Self::file): `own` is what its own ceremony ended
    /// with, the public keys and the digest of what it heard all others broadcast. Nobody signs
    /// what another composed of what it heard.
    ///
    /// # Errors
    /// [`StatementError::NotWitnessed`] where the statement says something else;
    /// [`StatementError::Signing`] if the key cannot sign; never seen.
    pub fn sign(
        &self,
        own: (&PublicKeys, CeremonyDigest),
        key: &SigningKey,
    ) -> Result<Vec<u8>, StatementError> {
        if own != (&self.keys, self.ceremony) {
            return Err(StatementError::NotWitnessed);
        }
        let signed = sign_message(key, Format::ProviderKeys, &self.message())?;
        Ok(signed.signature)
    }

    /// The bytes that all sign.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        incamera_wire::encode(&self.message())
    }

    /// The file, with a signature of each holder.
    #[must_use]
    pub fn file(&self, signatures: &BTreeMap<Place, Vec<u8>>) -> Vec<u8> {
        incamera_wire::encode(&ProviderKeysFile {
            format: Format::ProviderKeys.as_str().to_owned(),
            body: self.body(),
            signatures: signatures.values().cloned().collect(),
        })
    }

    /// Reads a file and checks it against the agreement and all signatures. Whether it is the
    /// newest is for [`follows`](Self::follows), whether it is valid now for
    /// [`check_time`](Self::check_time).
    ///
    /// # Errors
    /// [`StatementError`].
    pub fn open(file: &[u8], agreed: &Agreed) -> Result<Self, StatementError> {
        let file: ProviderKeysFile = incamera_wire::decode(file, MAX_BYTES)?;
        Format::ProviderKeys.expect(&file.format)?;
        let body: ProviderKeys = incamera_wire::decode(&file.body, MAX_BYTES)?;
        let statement = Self::from_message(&body)?;
        statement.check(agreed)?;
        if *statement.keys.key().as_bytes() != *body.key {
            return Err(StatementError::Key);
        }
        let mut signatures = file.signatures.into_iter();
        for name in statement.holders.values() {
            let provider = || name.clone();
            let not_signed = || StatementError::NotSigned {
                provider: provider(),
            };
            let key = agreed.providers.get(name).ok_or_else(not_signed)?;
            let signed = Signed {
                format: file.format.clone(),
                body: file.body.clone(),
                signature: signatures.next().ok_or_else(not_signed)?,
            };
            let opened = open_signed::<ProviderKeys>(&signed, Format::ProviderKeys, key, MAX_BYTES);
            opened.map_err(|error| match error {
                SignedError::Format(error) => error.into(),
                SignedError::Signature(_) => not_signed(),
                _ => not_signed(),
            })?;
        }
        match signatures.next() {
            Some(_) => Err(StatementError::Providers),
            None => Ok(statement),
        }
    }

    /// Which of two statements of one key is the newer one, wherever they are compared: that
    /// with the higher number. Two ceremonies that began from the same shares end with the same
    /// number, and all may have signed both: then the bytes of the statements decide.
    #[must_use]
    pub fn order(&self) -> (u64, Vec<u8>) {
        (self.number, self.body())
    }

    /// Whether this one may be used by somebody who knows `newest`.
    ///
    /// # Errors
    /// [`StatementError::WentBack`], [`StatementError::Contradiction`]; [`StatementError::Other`]
    /// if they are not of one agreement and epoch.
    pub fn follows(&self, newest: &Self) -> Result<(), StatementError> {
        if (self.agreement_id, self.epoch) != (newest.agreement_id, newest.epoch) {
            return Err(StatementError::Other);
        }
        let number = self.number;
        if number >= newest.number && !self.is_of_key(newest) {
            return Err(StatementError::Contradiction { number });
        }
        if self.order() < newest.order() {
            let (newest, found) = (newest.number, number);
            return Err(StatementError::WentBack { newest, found });
        }
        Ok(())
    }

    /// Whether both are of one key, whatever its shares.
    fn is_of_key(&self, other: &Self) -> bool {
        self.keys.key() == other.keys.key()
            && (self.valid_from, self.valid_until) == (other.valid_from, other.valid_until)
    }

    /// Whether the key is valid at `now`.
    ///
    /// # Errors
    /// [`StatementError::Expired`].
    pub fn check_time(&self, now: UnixTime) -> Result<(), StatementError> {
        let (from, until) = (self.valid_from, self.valid_until);
        if (from..=until).contains(&now) {
            Ok(())
        } else {
            Err(StatementError::Expired { from, until })
        }
    }

    /// 1, and one more with each refresh.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The public keys.
    #[must_use]
    pub fn keys(&self) -> &PublicKeys {
        &self.keys
    }

    /// Who holds which share.
    #[must_use]
    pub fn holders(&self) -> &BTreeMap<Place, PartyName> {
        &self.holders
    }

    /// Digest of what all providers broadcast.
    #[must_use]
    pub fn ceremony(&self) -> CeremonyDigest {
        self.ceremony
    }

    /// The last second at which the key is valid, and pseudonyms made with it.
    #[must_use]
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// Whether it is of this agreement, with its providers.
    fn check(&self, agreed: &Agreed) -> Result<(), StatementError> {
        if (self.agreement_id, self.epoch) != (agreed.agreement_id, agreed.epoch) {
            return Err(StatementError::Other);
        }
        let (expected, found) = (agreed.threshold, self.keys.threshold());
        if expected != found {
            return Err(StatementError::Threshold { expected, found });
        }
        let mut named: Vec<_> = self.holders.values().collect();
        named.sort_unstable();
        let places = self.keys.shares().map(|(place, _)| place);
        if !named.into_iter().eq(agreed.providers.keys())
            || !places.eq(self.holders.keys().copied())
        {
            return Err(StatementError::Providers);
        }
        if self.valid_until != self.valid_from.plus(agreed.valid_s) || self.number == 0 {
            return Err(StatementError::Validity);
        }
        Ok(())
    }

    fn message(&self) -> ProviderKeys {
        let shares = self.keys.shares().zip(self.holders.values());
        ProviderKeys {
            agreement_id: self.agreement_id.as_bytes().to_vec(),
            epoch: self.epoch.0,
            number: self.number,
            // At most 16.
            threshold: u32::try_from(self.keys.threshold()).unwrap_or(u32::MAX),
            shares: shares
                .map(|((place, key), provider)| ProviderShare {
                    place: place.get().into(),
                    provider: provider.as_str().to_owned(),
                    public_key: key.as_bytes().to_vec(),
                })
                .collect(),
            key: self.keys.key().as_bytes().to_vec(),
            ceremony: self.ceremony.as_bytes().to_vec(),
            valid_from: self.valid_from.0,
            valid_until: self.valid_until.0,
        }
    }

    fn from_message(body: &ProviderKeys) -> Result<Self, StatementError> {
        let field = |field| StatementError::Format(FormatError::Field { field });
        let (mut keys, mut holders) = (Vec::new(), BTreeMap::new());
        for share in &body.shares {
            let found = u16::try_from(share.place).unwrap_or(MAX_SHARES + 1);
            let place = Place::new(found)?;
            let name = share.provider.parse().map_err(|_| field("provider"))?;
            let key = share.public_key.as_slice().try_into();
            keys.push((
                place,
                EncodedPoint::from_bytes(key.map_err(|_| field("public_key"))?),
            ));
            holders.insert(place, name);
        }
        let agreement_id = AgreementId::from_slice(&body.agreement_id);
        let ceremony = CeremonyDigest::from_slice(&body.ceremony);
        let threshold = usize::try_from(body.threshold).unwrap_or(usize::MAX);
        Ok(Self {
            agreement_id: agreement_id.map_err(|_| field("agreement_id"))?,
            epoch: MatchingEpoch(body.epoch),
            number: body.number,
            keys: PublicKeys::new(threshold, keys)?,
            holders,
            ceremony: ceremony.map_err(|_| field("ceremony"))?,
            valid_from: UnixTime(body.valid_from),
            valid_until: UnixTime(body.valid_until),
        })
    }
}
