//! A proxy that writes down what passes.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::{FROM_CLIENT, FROM_SERVER};

/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A listening proxy in front of one server. Ends with the value.
///
/// Connection number N (from 0) of a tap `name` is recorded as `name-000N-client.raw` and
/// `name-000N-server.raw`; bytes are on file before they are passed on.
pub struct Tap {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Tap {
    /// Listens on `listen` (port 0 for any) and passes all to `target`, recording into
    /// `folder`.
    ///
    /// # Errors
    /// Those of listening and of making the folder.
    pub async fn start(
        name: &str,
        listen: SocketAddr,
        target: SocketAddr,
        folder: &Path,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, target, folder.join(name)));
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes connections until the task is aborted, which ends them too.
async fn accept(listener: TcpListener, target: SocketAddr, prefix: PathBuf) {
    let mut connections = JoinSet::new();
    let mut number = 0_u32;
    while let Ok((client, _)) = listener.accept().await {
        let base = format!("{}-{number:04}", prefix.display());
        number += 1;
        // What fails here fails at both ends as well, where the test sees it.
        connections.spawn(async move { connect(client, target, &base).await });
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, target: SocketAddr, base: &str) -> io::Result<()> {
    let sent = File::create(format!("{base}{FROM_CLIENT}"))?;
    let received = File::create(format!("{base}{FROM_SERVER}"))?;
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (up, down) = tokio::join!(
        copy(client_read, server_write, sent),
        copy(server_read, client_write, received)
    );
    up.and(down)
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut record: File,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return to.shutdown().await;
        }
        record.write_all(bytes)?;
        to.write_all(bytes).await?;
    }
}
