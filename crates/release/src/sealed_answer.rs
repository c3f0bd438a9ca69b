//! Sealed answers: what the room keeps and sends of an answer, a copy for each receiver.
//!
//! # Parties and messages
//! | step | from → to       | message                       | size                      |
//! |------|-----------------|-------------------------------|---------------------------|
//! | 9a   | room → receiver | [`SealedAnswer`], kept by the room until fetched | the release, in steps of 16 KiB, and 1120 B |
//! # Claim
//! Only the holder of the receiver's secret key opens. Agreement, request and receiver stand in
//! clear, and are bound in the `info` of HPKE: a sealed answer opens as what it is and as
//! nothing else. Who sealed is not proved by the sealing but by the receipt inside, which
//! [`open_answer`] verifies: anybody may seal to a public key. Against a malicious operator,
//! network or other receiver; not against one who has the receiver's key.
//! # What each party learns
//! Whoever has the sealed answer: which request of which agreement, for whom, and the length in
//! steps of 16 KiB.
//! # Reference
//! HPKE: RFC 9180; padding: ISO/IEC 7816-4.

use std::fmt;

use incamera_agreement::SignedAgreement;
use incamera_keys::hpke::{HpkeError, Sealed};
use incamera_keys::{ReceiveKey, ReceivePublicKey};
use incamera_types::{
    AgreementDigest, AnalystRef, Digest as _, PartyName, RequestDigest, Transcript,
};
use incamera_wire::v1::{ReleaseFile, SealedAnswer};
use incamera_wire::{Format, FormatError, decode, encode};
use rand_core::CryptoRng;

use crate::{ReceiptError, ReceiptReport, verify_release};

/// The largest sealed answer: a release of this size has a receipt that names thousands of parts.
pub const MAX_SEALED_BYTES: usize = 256 << 20;
/// Lengths are multiples of this: the length of an answer would say how many groups it has.
const STEP_BYTES: usize = 16 << 10;
/// What ends the release, before the zeros.
const END: u8 = 0x80;

/// Who opens a sealed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A party, by the key that the agreement has for it.
    Party(PartyName),
    /// The analyst who asked, by the key in the signed request.
    Analyst(AnalystRef),
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(party) => write!(f, "{party}"),
            Self::Analyst(analyst) => write!(f, "{analyst}"),
        }
    }
}

/// What a sealed answer is an answer to, and for whom: what it says in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The agreement version.
    pub agreement: AgreementDigest,
    /// The request.
    pub request: RequestDigest,
    /// Who opens it.
    pub receiver: Receiver,
}

impl Address {
    /// What a sealed answer says of itself; nothing proves it before it is opened.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn claimed(sealed: &SealedAnswer) -> Result<Self, FormatError> {
        Format::SealedAnswer.expect(&sealed.format)?;
        let field = |field| FormatError::Field { field };
        let receiver = match sealed.receiver.contains('/') {
            true => sealed.receiver.parse().ok().map(Receiver::Analyst),
            false => sealed.receiver.parse().ok().map(Receiver::Party),
        };
        Ok(Self {
            agreement: AgreementDigest::from_slice(&sealed.agreement_digest)
                .map_err(|_| field("agreement_digest"))?,
            request: RequestDigest::from_slice(&sealed.request_digest)
                .map_err(|_| field("request_digest"))?,
            receiver: receiver.ok_or_else(|| field("receiver"))?,
        })
    }

    /// HPKE's `info`.
    fn info(&self) -> AgreementDigest {
        Transcript::new(Format::SealedAnswer.as_str())
            .field(self.agreement)
            .field(self.request)
            .field(self.receiver.to_string())
            .finish()
    }
}

/// Why a sealed answer is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedAnswerError {
    /// Another format, or malformed.
    #[error("this is no sealed answer that can be read")]
    Format(#[from] FormatError),
    /// Not for this receiver, or not the answer that is expected.
    #[error("the sealed answer is {what}")]
    Other {
        /// How it differs.
        what: &'static str,
    },
    /// It does not open.
    #[error("the sealed answer does not open with this key: it was sealed to another, or changed")]
    Closed,
    /// What is inside does not hold.
    #[error("what was sealed does not hold")]
    Receipt(#[from] ReceiptError),
}

/// Seals a release to one receiver.
///
/// # Errors
/// [`HpkeError::Seal`].
pub fn seal_answer(
    release: &ReleaseFile,
    to: &ReceivePublicKey,
    address: &Address,
    rng: &mut impl CryptoRng,
) -> Result<SealedAnswer, HpkeError> {
    let mut padded = encode(release);
    padded.push(END);
    padded.resize(padded.len().next_multiple_of(STEP_BYTES), 0);
    let sealed = to.seal(address.info().as_ref(), &[], &padded, rng)?;
    Ok(SealedAnswer {
        format: Format::SealedAnswer.as_str().to_owned(),
        agreement_digest: address.agreement.as_bytes().to_vec(),
        request_digest: address.request.as_bytes().to_vec(),
        receiver: address.receiver.to_string(),
        encapped_key: sealed.encapped_key,
        ciphertext: sealed.ciphertext,
    })
}

/// Opens a sealed answer that must be the one of `address`, and verifies the receipt in it: of
/// this agreement version and this very request.
///
/// # Errors
/// [`SealedAnswerError`].
pub fn open_answer(
    sealed: &SealedAnswer,
    key: &ReceiveKey,
    address: &Address,
    agreement: &SignedAgreement,
) -> Result<(ReleaseFile, ReceiptReport), SealedAnswerError> {
    let claimed = Address::claimed(sealed)?;
    let rules = [
        (claimed.receiver == address.receiver, "another receiver's"),
        (
            claimed.agreement == address.agreement,
            "of another agreement version",
        ),
        (claimed.request == address.request, "of another request"),
    ];
    if let Some((_, what)) = rules.into_iter().find(|(holds, _)| !holds) {
        return Err(SealedAnswerError::Other { what });
    }
    let wrapped = Sealed {
        encapped_key: sealed.encapped_key.clone(),
        ciphertext: sealed.ciphertext.clone(),
    };
    let padded = key.open(address.info().as_ref(), &[], &wrapped);
    let padded = padded.map_err(|_| SealedAnswerError::Closed)?;
    let release = unpadded(&padded).ok_or(FormatError::Malformed)?;
    let release: ReleaseFile = decode(release, MAX_SEALED_BYTES)?;
    let report = verify_release(&release, agreement)?;
    if report.agreement != address.agreement || report.request_digest != address.request {
        let what = "an envelope around the answer to another request";
        return Err(SealedAnswerError::Other { what });
    }
    Ok((release, report))
}

/// Without the zeros and what stands before them.
fn unpadded(padded: &[u8]) -> Option<&[u8]> {
    let last = padded.iter().rposition(|byte| *byte != 0)?;
    let (release, rest) = padded.split_at_checked(last)?;
    (rest.first() == Some(&END)).then_some(release)
}
