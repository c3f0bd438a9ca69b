//! What somebody on the wire sees, with and without the keys.
//!
//! * [`Tap`]: a proxy that records both directions of every connection, byte for byte;
//! * [`KeyLog`], [`decrypt`], [`decrypt_folder`]: TLS 1.3 undone offline, with the secrets that
//!   an endpoint under test wrote in the key log format of NSS (`SSLKEYLOGFILE`);
//! * [`overhear`]: all of that for a tree of recordings at once;
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
pub use tls::{Conversation, DecryptError, Side, decrypt};

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

/// Decrypts every connection that taps recorded into a folder, in order of name. Connections
/// in which nothing was said are left out.
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
        if client.is_empty() && server.is_empty() {
            continue;
        }
        let outcome = decrypt(&client, &server, keys);
        all.push(Recorded {
            name: name.to_owned(),
            outcome,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Everything that was said behind the taps of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overheard {
    /// Both directions of every connection, and the bodies of their HTTP/2 streams once more,
    /// without the frames that cut them up: what to search.
    pub plaintext: Vec<u8>,
    /// Bytes that were said; less than `plaintext` has.
    pub said_bytes: u64,
    /// Connections in which something was said and read.
    pub decrypted: usize,
    /// Connections in which something may have been said that cannot be read.
    pub undecrypted: usize,
}

/// Decrypts all recordings in a folder and the folders in it. A connection that ended in its
/// handshake counts as neither decrypted nor undecrypted.
///
/// # Errors
/// Those of reading the folders.
pub fn overhear(folder: &Path, keys: &KeyLog) -> io::Result<Overheard> {
    let mut all = Overheard::default();
    add_folder(folder, keys, &mut all)?;
    Ok(all)
}

fn add_folder(folder: &Path, keys: &KeyLog, all: &mut Overheard) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            add_folder(&entry.path(), keys, all)?;
        }
    }
    for recorded in decrypt_folder(folder, keys)? {
        all.add(recorded.outcome);
    }
    Ok(())
}

impl Overheard {
    fn add(&mut self, outcome: Result<Conversation, DecryptError>) {
        match outcome {
            Ok(conversation) => self.add_conversation(conversation),
            // A client's greeting that no server answered holds no data.
            Err(DecryptError::NoHello { side: Side::Server }) => (),
            Err(_) => self.undecrypted += 1,
        }
    }

    fn add_conversation(&mut self, Conversation { client, server }: Conversation) {
        let said_bytes = (client.len() + server.len()) as u64;
        self.said_bytes += said_bytes;
        self.decrypted += usize::from(said_bytes > 0);
        for direction in [client, server] {
            for body in http2_bodies(&direction) {
                self.plaintext.extend_from_slice(&body.bytes);
            }
            self.plaintext.extend_from_slice(&direction);
        }
    }
}
