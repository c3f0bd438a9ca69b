//! Where tests stop the ledger between two steps (feature `failpoints`).

/// A moment between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failpoint {
    /// A reservation is durable; the caller does not know yet.
    Reserved,
    /// Charge, seed and log entry are written; the transaction is not committed.
    Charging,
    /// Charge, seed and log entry are durable; the caller does not know yet, so nothing is
    /// granted.
    Charged,
}

/// What to call at each failpoint: nothing, without the feature.
#[derive(Default)]
pub(crate) struct Hook {
    #[cfg(feature = "failpoints")]
    call: Option<Box<dyn Fn(Failpoint) + Send>>,
}

impl Hook {
    pub(crate) fn at(&self, point: Failpoint) {
        #[cfg(feature = "failpoints")]
        if let Some(call) = &self.call {
            call(point);
        }
        #[cfg(not(feature = "failpoints"))]
        let _ = point;
    }
}

#[cfg(feature = "failpoints")]
impl crate::Ledger {
    /// Calls `hook` at each [`Failpoint`]: a test may panic, block or end the process there.
    pub fn on_failpoint(&mut self, hook: impl Fn(Failpoint) + Send + 'static) {
        self.hook.call = Some(Box::new(hook));
    }
}
