//! The closed list of kinds of TEE.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a kind of TEE.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a kind of TEE: the kinds are {}", TeeKind::LIST)]
pub struct UnknownKind;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A kind of trusted execution environment.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        #[non_exhaustive]
        pub enum TeeKind {
            $($(#[$doc])* $name,)*
        }

        impl TeeKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
            const LIST: &str = concat!($($text, " ",)*);

            /// The kind's name in agreements and evidence.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// No TEE at all: for trying things out. Contained only in builds with the feature
    /// `simulated`.
    Simulated = "simulated";
    /// AMD SEV-SNP.
    SevSnp = "sev-snp";
    /// Intel TDX.
    Tdx = "tdx";
    /// Intel SGX.
    Sgx = "sgx";
    /// AWS Nitro Enclaves.
    Nitro = "nitro";
    /// Google Confidential Space (a token).
    ConfidentialSpace = "confidential-space";
    /// Azure confidential VMs (a vTPM over SNP or TDX).
    AzureVtpm = "azure-vtpm";
    /// Measured boot with a discrete or firmware TPM.
    TpmMeasuredBoot = "tpm";
}

impl TeeKind {
    /// Whether this build can verify evidence of the kind.
    #[must_use]
    pub fn is_supported(self) -> bool {
        matches!(self, Self::Simulated) && cfg!(feature = "simulated")
    }
}

impl FromStr for TeeKind {
    type Err = UnknownKind;
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let kind = Self::ALL.iter().find(|kind| kind.as_str() == text);
        kind.copied().ok_or(UnknownKind)
    }
}
impl TryFrom<String> for TeeKind {
    type Error = UnknownKind;
    fn try_from(text: String) -> Result<Self, UnknownKind> {
        text.parse()
    }
}
impl From<TeeKind> for String {
    fn from(kind: TeeKind) -> String {
        kind.as_str().to_owned()
    }
}
impl fmt::Display for TeeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        assert_eq!(TeeKind::ALL.len(), 8);
        for kind in TeeKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        assert_eq!("sev".parse::<TeeKind>(), Err(UnknownKind));
        assert!(UnknownKind.to_string().contains("confidential-space"));
    }
}
