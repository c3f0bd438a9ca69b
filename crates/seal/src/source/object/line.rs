//! The line to a store: threads of its own, so that whoever reads may wait for an answer wherever
//! it is, on a thread of an asynchronous runtime too.

use std::fmt;
use std::future::Future;
use std::sync::mpsc;

use tokio::runtime::{Builder, Runtime};

use super::error::ObjectError;

/// Threads that wait for a store's answers.
const THREADS: usize = 2;

/// Threads of a source's own; they end with it.
pub(super) struct Line(Option<Runtime>);

impl Line {
    pub(super) fn new() -> Result<Self, ObjectError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("objects")
            .enable_all()
            .build();
        runtime
            .map(|runtime| Self(Some(runtime)))
            .map_err(|_| ObjectError::Unreachable)
    }

    /// Begins `work`, and leaves it to those threads.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ObjectError>> + Send + 'static,
    ) -> Answer<T> {
        let (give, answer) = mpsc::sync_channel(1);
        if let Some(runtime) = &self.0 {
            runtime.spawn(async move {
                // Nobody waits for it any more: then it is of no use.
                let _ = give.send(work.await);
            });
        }
        Answer(answer)
    }
}

impl Drop for Line {
    /// Does not wait for what is under way: that is not allowed on an asynchronous thread.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

/// What is under way.
pub(super) struct Answer<T>(mpsc::Receiver<Result<T, ObjectError>>);

impl<T> Answer<T> {
    /// Waits for it.
    pub(super) fn wait(self) -> Result<T, ObjectError> {
        self.0.recv().unwrap_or(Err(ObjectError::CutOff))
    }
}
