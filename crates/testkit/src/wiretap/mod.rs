//! What somebody on the wire sees, with and without the keys.
//!
//! * [`Tap`]: a proxy that records both directions of every connection, byte for byte;
//! * [`KeyLog`], [`decrypt`], [`decrypt_folder`]: TLS 1.3 undone offline, with the secrets that
//!   an endpoint under test wrote in the key log format of NSS (`SSLKEYLOGFILE`);
//! * [`http2_bodies`]: the bodies of HTTP/2 streams, without the frames that cut them up;
//! * [`Mark`], [`search_bytes`], [`search_folder`]: looks for a text in every form in which it
//!   is likely to leak.

mod http2;
mod keylog;
mod proxy;
mod search;
mod tls;

use std::fs;
use std::io;
use std::path::Path;

pub use http2::{Body, http2_bodies};
pub use keylog::{KeyLog, Secrets};
pub use proxy::Tap;
pub use search::{Hit, Mark, search_bytes, search_folder};
pub use tls::{Conversation, DecryptError, decrypt};

/// The end of the name of what a client sent.
const FROM_CLIENT: &str = "-client.raw";
/// The end of the name of what a server sent.
const FROM_SERVER: &str = "-server.raw";

/// One recorded connection, decrypted or not.
#[derive(Debug)]
pub struct Recorded {
    /// The tap's name and the number of the connection.
    pub name: String,
    /// What was said, or why that is not known.
    pub outcome: Result<Conversation, DecryptError>,
}

/// Decrypts every connection that taps recorded into a folder, in order of name.
///
/// # Errors
/// Those of reading the folder.
pub fn decrypt_folder(folder: &Path, keys: &KeyLog) -> io::Result<Vec<Recorded>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        let Some(name) = entry
            .to_str()
            .and_then(|file| file.strip_suffix(FROM_CLIENT))
        else {
            continue;
        };
        let client = fs::read(folder.join(format!("{name}{FROM_CLIENT}")))?;
        let server = fs::read(folder.join(format!("{name}{FROM_SERVER}")))?;
        let outcome = decrypt(&client, &server, keys);
        all.push(Recorded {
            name: name.to_owned(),
            outcome,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}
