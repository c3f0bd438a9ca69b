//! The key log format of NSS: one secret a line.

use std::collections::HashMap;
use std::io;
use std::path::Path;

/// The traffic secrets of one connection, as far as they were logged.
#[derive(Clone, Default)]
pub struct Secrets {
    pub(super) client_handshake: Option<Vec<u8>>,
    pub(super) server_handshake: Option<Vec<u8>>,
    pub(super) client_application: Option<Vec<u8>>,
    pub(super) server_application: Option<Vec<u8>>,
}

/// Secrets by the random value of the client's greeting.
#[derive(Clone, Default)]
pub struct KeyLog(HashMap<Vec<u8>, Secrets>);

impl KeyLog {
    /// Reads a key log. Lines of another form, and labels that TLS 1.3 traffic does not need,
    /// are passed over, as the format demands.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            log.line(line);
        }
        log
    }

    /// Reads a key log from a file.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(file: &Path) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read_to_string(file)?))
    }

    /// Takes over the secrets of another log.
    pub fn add(&mut self, other: Self) {
        for (random, secrets) in other.0 {
            let own = self.0.entry(random).or_default();
            own.client_handshake = own.client_handshake.take().or(secrets.client_handshake);
            own.server_handshake = own.server_handshake.take().or(secrets.server_handshake);
            own.client_application = own.client_application.take().or(secrets.client_application);
            own.server_application = own.server_application.take().or(secrets.server_application);
        }
    }

    /// Connections it has secrets of.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.len()
    }

    pub(super) fn of(&self, client_random: &[u8]) -> Option<&Secrets> {
        self.0.get(client_random)
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(label), Some(random), Some(secret)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        let (Ok(random), Ok(secret)) = (hex::decode(random), hex::decode(secret)) else {
            return;
        };
        let secrets = self.0.entry(random).or_default();
        match label {
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET" => secrets.client_handshake = Some(secret),
            "SERVER_HANDSHAKE_TRAFFIC_SECRET" => secrets.server_handshake = Some(secret),
            "CLIENT_TRAFFIC_SECRET_0" => secrets.client_application = Some(secret),
            "SERVER_TRAFFIC_SECRET_0" => secrets.server_application = Some(secret),
            _ => (),
        }
    }
}
