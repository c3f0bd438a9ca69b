//! How many bytes this process's connections carried, TLS included: what a link is charged with.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

static SENT: AtomicU64 = AtomicU64::new(0);
static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// Bytes of all connections that this process has dialled, those that are closed included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Those that left.
    pub sent: u64,
    /// Those that came.
    pub received: u64,
}

impl Traffic {
    /// Up to now.
    #[must_use]
    pub fn so_far() -> Self {
        Self {
            sent: SENT.load(Ordering::Relaxed),
            received: RECEIVED.load(Ordering::Relaxed),
        }
    }
}

/// A stream below TLS whose bytes are counted.
pub(crate) struct Counted<S>(pub(crate) S);

impl<S: Unpin> Counted<S> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(&mut self.get_mut().0)
    }
}

fn sent(written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    if let Poll::Ready(Ok(bytes)) = &written {
        SENT.fetch_add(*bytes as u64, Ordering::Relaxed);
    }
    written
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = self.inner().poll_read(context, into);
        let bytes = into.filled().len().saturating_sub(before);
        RECEIVED.fetch_add(bytes as u64, Ordering::Relaxed);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        sent(self.inner().poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        sent(self.inner().poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// The count is the process's: other tests may add to it, so no test here is exact from above.
    #[tokio::test]
    async fn what_is_written_and_read_is_counted() {
        let (one, mut other) = tokio::io::duplex(64);
        let mut counted = Counted(one);
        let before = Traffic::so_far();
        counted.write_all(&[7; 40]).await.unwrap();
        other.write_all(&[7; 30]).await.unwrap();
        counted.read_exact(&mut [0; 30]).await.unwrap();
        let after = Traffic::so_far();
        assert!(after.sent >= before.sent + 40, "{after:?}");
        assert!(after.received >= before.received + 30, "{after:?}");
    }
}
