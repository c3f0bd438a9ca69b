//! Messages with secrets in clear print none of them.

use std::fmt;

use crate::v1::{GrantSecrets, GrantedKey, TokenFile};

/// The name alone.
macro_rules! silent {
    ($($message:ident),*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )*};
}

silent!(GrantSecrets, GrantedKey, TokenFile);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let key = GrantedKey {
            key: vec![173; 32],
            ..GrantedKey::default()
        };
        let grant = GrantSecrets {
            seed: vec![173; 32],
            keys: vec![key.clone()],
        };
        let token = TokenFile {
            secret: vec![173; 32],
            ..TokenFile::default()
        };
        let printed = format!("{key:?} {grant:?} {token:?}");
        assert_eq!(
            printed,
            "GrantedKey { .. } GrantSecrets { .. } TokenFile { .. }"
        );
    }
}
