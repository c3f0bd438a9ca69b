//! The version of a data set that a new one follows: the one that is sealed here or, where that
//! is damaged or lost, the newest that the party's service knows.

use incamera_seal::{Inherited, KeyRing, SignedManifest, count_rows};
use incamera_types::ManifestDigest;

use super::data::read_manifest;
use super::home::Home;
use super::status;
use crate::failure::Failure;
use crate::printer::Printer;

/// The version that a new one replaces.
pub struct Before {
    /// Its number.
    pub version: u64,
    /// The digest of its manifest.
    pub digest: ManifestDigest,
    /// Its key epoch.
    pub key_epoch: u32,
    /// What it hands on.
    pub inherits: Inherited,
    /// Its rows, where they can still be counted.
    pub rows: Option<u64>,
    /// Its manifest, if it is here.
    pub manifest: Option<SignedManifest>,
}

impl Before {
    /// `anew` goes on where the manifest that is here cannot be read.
    pub fn read(
        home: &Home<'_>,
        ring: &KeyRing,
        anew: bool,
        printer: &Printer,
    ) -> Result<Option<Self>, Failure> {
        let here = match (Self::here(home, ring), anew) {
            (Err(failure), true) => {
                printer.warn(format!("{}: it is left behind", failure.what));
                None
            }
            (here, _) => here?,
        };
        let newest = status::newest_manifest(home.folder, &home.agreement.id, &home.spec.name);
        // Another machine's version is not followed unseen: only where nothing is here, or when
        // whoever seals says so.
        let Some(mut here) = here else {
            return Ok(Self::at_service(home, newest, printer));
        };
        match newest {
            Ok(Some(newest)) if newest.version() > here.version => {
                if !anew {
                    return Err(here.overtaken(home, newest.version()));
                }
                printer.note(format!(
                    "`{}` goes on from version {}, the newest that was pushed: version {} is left behind",
                    home.spec.name,
                    newest.version(),
                    here.version
                ));
                Ok(Some(Self::pushed(&newest)))
            }
            // What was revoked where the other was made stays so.
            Ok(Some(newest)) => {
                let now = |old: &_| home.agreement.named_now(old);
                let revoked = now(newest.revoked());
                here.inherits = here.inherits.named(now).beside(&revoked, newest.version());
                Ok(Some(here))
            }
            _ => Ok(Some(here)),
        }
    }

    fn overtaken(&self, home: &Home<'_>, newest: u64) -> Failure {
        let (name, here) = (&home.spec.name, self.version);
        Failure::failed(format!("`{name}` was not sealed"))
            .why(format!(
                "version {here} is sealed here, and version {newest} was pushed already: this folder is an older one, or another machine's is newer"
            ))
            .hint(format!(
                "put the `sealed` folder of version {newest} back; or say `--yes` to go on from version {newest} with this file's rows"
            ))
    }

    fn here(home: &Home<'_>, ring: &KeyRing) -> Result<Option<Self>, Failure> {
        let name = &home.spec.name;
        let manifest = read_manifest(home.folder, home.agreement, name)?;
        let sealed = home.folder.sealed(&home.agreement.id, name);
        Ok(manifest.map(|manifest| Self {
            version: manifest.version(),
            digest: manifest.digest(),
            key_epoch: manifest.key_epoch(),
            inherits: Inherited::from(manifest.manifest()),
            rows: count_rows(&sealed, &manifest, ring),
            manifest: Some(manifest),
        }))
    }

    /// The newest version that was pushed, if the party's service could be asked and knows one.
    fn at_service(
        home: &Home<'_>,
        newest: Result<Option<SignedManifest>, Failure>,
        printer: &Printer,
    ) -> Option<Self> {
        let name = &home.spec.name;
        match newest {
            Err(failure) => {
                printer.note(format!(
                    "version 1 of `{name}`: nothing sealed is here, and the party's service was not asked ({}); if the data set was pushed before, see that the service runs (`incamera party serve`) and seal once more",
                    failure.causes.first().unwrap_or(&failure.what)
                ));
                None
            }
            Ok(newest) => newest.map(|newest| {
                printer.note(format!(
                    "`{name}` goes on from version {}, the newest that was pushed: nothing sealed is here to go on from",
                    newest.version()
                ));
                Self::pushed(&newest)
            }),
        }
    }

    /// A version whose parts are not here.
    fn pushed(newest: &SignedManifest) -> Self {
        Self {
            version: newest.version(),
            digest: newest.digest(),
            key_epoch: newest.key_epoch(),
            inherits: Inherited::from(newest.manifest()),
            rows: None,
            manifest: None,
        }
    }

    /// `version 1 (16,915 rows)`.
    pub fn text(&self) -> String {
        let version = self.version;
        match self.rows {
            Some(rows) => format!("version {version} ({rows} rows)"),
            None => format!("version {version}"),
        }
    }
}
