//! Secret keys of 32 bytes, a type for each use.

use std::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// 32 secret bytes: no `Clone`, no `Serialize`, shown as its kind only, wiped when dropped.
pub struct Secret32(Zeroizing<[u8; 32]>);

impl Secret32 {
    /// Draws a new secret.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self(bytes)
    }

    /// A secret from its bytes. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A secret from a slice, if it is 32 bytes long.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(<[u8; 32]>::try_from(bytes).ok()?);
        Some(Self(bytes))
    }

    /// The bytes. The one way to see them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A secret of its own for `label`: HKDF-SHA256, no salt, the label as info.
    #[must_use]
    pub fn derive(&self, label: &str) -> Self {
        self.derive_for(label, &[])
    }

    /// A secret of its own for `label` and a list of fields: HKDF-SHA256, no salt, as info the
    /// label and the fields, each behind its length as a 64-bit big-endian integer.
    #[must_use]
    pub fn derive_for(&self, label: &str, fields: &[&[u8]]) -> Self {
        let mut info = Vec::new();
        for field in [&[label.as_bytes()], fields].concat() {
            info.extend_from_slice(&(field.len() as u64).to_be_bytes());
            info.extend_from_slice(field);
        }
        let mut out = Zeroizing::new([0; 32]);
        let hkdf = Hkdf::<Sha256>::new(None, self.expose());
        // INVARIANT: 32 bytes are far fewer than the 255 blocks that HKDF gives.
        let _ = hkdf.expand(&info, out.as_mut());
        Self(out)
    }

    /// Whether two secrets are equal, in constant time.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl AsRef<Secret32> for Secret32 {
    fn as_ref(&self) -> &Secret32 {
        self
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret32")
    }
}

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// 32 secret bytes with the API of [`Secret32`].
        pub struct $name(Secret32);

        impl $name {
            /// Draws a new secret.
            #[must_use]
            pub fn generate(rng: &mut impl CryptoRng) -> Self {
                Self(Secret32::generate(rng))
            }
            /// A secret from its bytes. The caller wipes its own copy.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(Secret32::from_bytes(bytes))
            }
            /// A secret from a slice, if it is 32 bytes long.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Secret32::from_slice(bytes).map(Self)
            }
            /// The bytes. The one way to see them.
            #[must_use]
            pub fn expose(&self) -> &[u8; 32] {
                self.0.expose()
            }
            /// A secret of its own for `label`.
            #[must_use]
            pub fn derive(&self, label: &str) -> Secret32 {
                self.0.derive(label)
            }
            /// A secret of its own for `label` and a list of fields.
            #[must_use]
            pub fn derive_for(&self, label: &str, fields: &[&[u8]]) -> Secret32 {
                self.0.derive_for(label, fields)
            }
            /// Whether two secrets are equal, in constant time.
            #[must_use]
            pub fn same(&self, other: &Self) -> bool {
                self.0.same(&other.0)
            }
        }
        impl From<Secret32> for $name {
            fn from(secret: Secret32) -> Self {
                Self(secret)
            }
        }
        impl AsRef<Secret32> for $name {
            fn as_ref(&self) -> &Secret32 {
                &self.0
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}

secrets! {
    /// Encrypts one column (or the footer) of one sealed part.
    DataKey;
    /// Wraps data keys for one purpose; lives in an owner's key ring.
    PurposeKey;
    /// What an owner's share of the noise of one request comes from.
    NoiseSeed;
    /// Encrypts noise seeds where they are stored; lives in an owner's key ring.
    SeedKey;
    /// A party's secret of one matching.
    MatchingKey;
}

impl DataKey {
    /// A second copy of the key, made on purpose.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::from_bytes(*self.expose())
    }
}

impl NoiseSeed {
    /// A second copy of the seed, made on purpose.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::from_bytes(*self.expose())
    }
}
