//! A line that stalls, breaks and comes back: a relay in front of one service.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a held line looks whether it may go on.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes moved at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Line {
    /// They pass.
    Passes,
    /// They wait, and nobody is told.
    Stalls,
    /// Connections end, and no new ones are made.
    Broken,
}

struct Shared {
    line: AtomicU8,
    accepted: AtomicU32,
    target: SocketAddr,
    open: Mutex<Vec<TcpStream>>,
}

/// A relay; its threads end with the process.
pub struct Relay {
    shared: Arc<Shared>,
}

impl Relay {
    /// Listens on `listen` and passes all to `target`, which need not run yet.
    ///
    /// # Errors
    /// Those of listening.
    pub fn start(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let shared = Arc::new(Shared {
            line: AtomicU8::new(Line::Passes as u8),
            accepted: AtomicU32::new(0),
            target,
            open: Mutex::default(),
        });
        let accepting = shared.clone();
        thread::spawn(move || accepting.accept(&listener));
        Ok(Self { shared })
    }

    /// Changes what becomes of bytes.
    pub fn set(&self, line: Line) {
        self.shared.line.store(line as u8, Ordering::SeqCst);
        if line == Line::Broken {
            self.shared.hang_up();
        }
    }

    /// How many connections were made through it.
    #[must_use]
    pub fn accepted(&self) -> u32 {
        self.shared.accepted.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn is(&self, line: Line) -> bool {
        self.line.load(Ordering::SeqCst) == line as u8
    }

    fn hang_up(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            // What fails here fails at both ends as well, where the test sees it.
            let _ = self.connect(client);
        }
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        if self.is(Line::Broken) {
            return client.shutdown(Shutdown::Both);
        }
        let server = TcpStream::connect(self.target)?;
        self.accepted.fetch_add(1, Ordering::SeqCst);
        for (from, to) in [(&client, &server), (&server, &client)] {
            from.set_nodelay(true)?;
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.push(from.try_clone()?);
            let shared = self.clone();
            thread::spawn(move || {
                let _ = shared.copy(&from, &to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
        Ok(())
    }

    fn copy(&self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = from.read(&mut buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            while self.is(Line::Stalls) {
                thread::sleep(LOOK);
            }
            to.write_all(bytes)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> SocketAddr {
        crate::stage::free_address().unwrap()
    }

    #[test]
    fn bytes_pass_wait_and_are_cut_off() {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = free();
        let relay = Relay::start(listen, target.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(listen).unwrap();
        let (mut server, _) = target.accept().unwrap();
        let short = Some(Duration::from_millis(300));
        server.set_read_timeout(short).unwrap();
        let mut byte = [0];
        client.write_all(&[7]).unwrap();
        server.read_exact(&mut byte).unwrap();
        relay.set(Line::Stalls);
        client.write_all(&[8]).unwrap();
        assert!(server.read_exact(&mut byte).is_err(), "nothing passes");
        relay.set(Line::Passes);
        server.set_read_timeout(None).unwrap();
        server.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [8]);
        relay.set(Line::Broken);
        assert_eq!(server.read(&mut byte).unwrap(), 0, "the line is cut");
        let mut again = TcpStream::connect(listen).unwrap();
        assert!(matches!(again.read(&mut byte), Ok(0) | Err(_)));
        assert_eq!(relay.accepted(), 1);
    }
}
