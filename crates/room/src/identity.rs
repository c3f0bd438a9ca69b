//! What the room is: its keys, and the evidence that binds them.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use incamera_attest::Binding;
use incamera_keys::SigningKey;
use incamera_types::{AgreementDigest, Measurement, RequestDigest, UnixTime};
use incamera_wire::v1::{BoundEvidence, RoomKeys};

/// Why the room has no evidence to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The program's own file cannot be read.
    #[error("this program's own file cannot be read")]
    Program(#[from] io::Error),
    /// No TEE that this build can collect evidence from.
    #[error(
        "no TEE was found that this build knows: set `insecure_simulated_tee = true` to try things out without protection"
    )]
    NoTee,
    /// The TEE gave no evidence.
    #[error("the TEE gave no evidence")]
    Evidence(#[from] incamera_attest::AttestError),
}

/// What the clock says: the one place where the room reads it. No input of any query.
pub(crate) fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map(|since| since.as_secs()).unwrap_or_default())
}

/// The SHA-256 of the running program: what a simulated TEE attests.
///
/// # Errors
/// [`IdentityError::Program`]; [`IdentityError::NoTee`] in a build without simulated TEEs.
pub fn own_measurement() -> Result<Measurement, IdentityError> {
    let program = File::open(std::env::current_exe()?)?;
    measure(program)
}

#[cfg(feature = "simulated")]
fn measure(program: File) -> Result<Measurement, IdentityError> {
    Ok(incamera_attest::simulated::measure(io::BufReader::new(
        program,
    ))?)
}

#[cfg(not(feature = "simulated"))]
fn measure(_program: File) -> Result<Measurement, IdentityError> {
    Err(IdentityError::NoTee)
}

/// The room's lasting keys (until it stops) and what it attests.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The TLS key.
    pub(crate) tls: Arc<SigningKey>,
    /// The key that signs receipts.
    pub(crate) receipt: Arc<SigningKey>,
    measurement: Measurement,
    agreement: AgreementDigest,
}

impl Identity {
    /// New keys; no key of a room outlives its process.
    pub(crate) fn new(agreement: AgreementDigest, simulated: bool) -> Result<Self, IdentityError> {
        if !simulated {
            return Err(IdentityError::NoTee);
        }
        let mut rng = rand::rng();
        Ok(Self {
            tls: Arc::new(SigningKey::generate(&mut rng)),
            receipt: Arc::new(SigningKey::generate(&mut rng)),
            measurement: own_measurement()?,
            agreement,
        })
    }

    /// The code that runs: what requests made here name.
    pub(crate) fn measurement(&self) -> Measurement {
        self.measurement
    }

    fn keys(&self, hpke_key: Vec<u8>) -> RoomKeys {
        RoomKeys {
            hpke_key,
            tls_key: self.tls.public().to_spki(),
            receipt_key: self.receipt.public().as_bytes().to_vec(),
        }
    }

    /// Evidence for whoever connects: `data push` and `query run`.
    pub(crate) fn for_push(&self, challenge: [u8; 32]) -> Result<BoundEvidence, IdentityError> {
        self.collect(&Binding::for_push(
            challenge,
            self.keys(Vec::new()),
            self.agreement,
        ))
    }

    /// Evidence for one owner and one request, bound to the key made for that request.
    pub(crate) fn for_request(
        &self,
        challenge: [u8; 32],
        hpke_key: Vec<u8>,
        request: RequestDigest,
    ) -> Result<BoundEvidence, IdentityError> {
        let keys = self.keys(hpke_key);
        self.collect(&Binding::for_request(
            challenge,
            keys,
            self.agreement,
            request,
        ))
    }

    #[cfg(feature = "simulated")]
    fn collect(&self, binding: &Binding) -> Result<BoundEvidence, IdentityError> {
        let evidence = incamera_attest::simulated::collect(self.measurement, binding, now())?;
        Ok(binding.with(evidence))
    }

    #[cfg(not(feature = "simulated"))]
    fn collect(&self, _binding: &Binding) -> Result<BoundEvidence, IdentityError> {
        Err(IdentityError::NoTee)
    }
}
