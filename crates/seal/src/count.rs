//! How many rows an owner's own sealed data set has: the footers know, and only the owner's
//! ring opens them.

use std::fs::File;
use std::path::Path;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use crate::manifest::{Manifest, Part};
use crate::reader::decryption;
use crate::ring::KeyRing;
use crate::sealing::part_path;
use crate::unwrap::{GrantedKey, PartKeys, unwrap_key};

/// The rows of the sealed data set in `folder`; nothing if a part is not there or does not open.
#[must_use]
pub fn count_rows(folder: &Path, manifest: &Manifest, ring: &KeyRing) -> Option<u64> {
    let rows = |part: &Part| part_rows(folder, manifest, part, ring);
    manifest.parts().iter().map(rows).sum()
}

fn part_rows(folder: &Path, manifest: &Manifest, part: &Part, ring: &KeyRing) -> Option<u64> {
    let mut options = ArrowReaderOptions::new();
    if !manifest.public() {
        let keys = footer_keys(manifest, part, ring)?;
        options = options.with_file_decryption_properties(decryption(manifest, part, &keys, &[])?);
    }
    let file = File::open(part_path(folder, &part.file_id)).ok()?;
    let metadata = ArrowReaderMetadata::load(&file, options).ok()?;
    u64::try_from(metadata.metadata().file_metadata().num_rows()).ok()
}

/// The footer's key, under any purpose that opens the part.
fn footer_keys(manifest: &Manifest, part: &Part, ring: &KeyRing) -> Option<PartKeys> {
    let footer = part.key(None)?;
    footer.wraps.iter().find_map(|wrap| {
        let key = GrantedKey {
            file_id: part.file_id,
            column: None,
            key: unwrap_key(manifest, &wrap.purpose, part, None, ring).ok()?,
        };
        PartKeys::check(part, [key]).ok()
    })
}
