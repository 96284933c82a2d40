//! What every act is handed: somewhere to say how it goes, and the sign to stop.
//!
//! Acts never print. They emit [`Event`]s; the command line turns them into bars, plain lines, or
//! nothing at all.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use cutover_error::{Error, Result};

/// What an act tells whoever watches it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A piece of work begins.
    Started {
        /// What it is, for example `seed: revenue`.
        what: String,
        /// How much there is to do, in `unit`; `None` if nobody knows.
        total: Option<u64>,
        /// What is counted, for example `rows`.
        unit: &'static str,
    },
    /// So much more is done.
    Advanced(u64),
    /// So much more is there to do than was thought.
    Extended(u64),
    /// A changing remark beside the bar, for example `12.3 MB/s`.
    Status(String),
    /// The piece of work is over.
    Finished,
    /// Something people should read once.
    Note(String),
}

/// The handle an act is given; cheap to clone.
#[derive(Clone)]
pub struct ActContext {
    listener: Arc<dyn Fn(Event) + Send + Sync>,
    /// Cancelled when a signal asks us to stop.
    pub stop: CancellationToken,
}

impl ActContext {
    /// A context whose events go to `listener`.
    pub fn new(listener: impl Fn(Event) + Send + Sync + 'static, stop: CancellationToken) -> Self {
        Self { listener: Arc::new(listener), stop }
    }

    /// A context nobody listens to, for tests.
    pub fn silent() -> Self {
        Self::new(|_| {}, CancellationToken::new())
    }

    /// Tells the listener.
    pub fn emit(&self, event: Event) {
        (self.listener)(event);
    }

    /// Begins a piece of work.
    pub fn started(&self, what: impl Into<String>, total: Option<u64>, unit: &'static str) {
        self.emit(Event::Started { what: what.into(), total, unit });
    }

    /// Says something people should read once.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note(text.into()));
    }

    /// [`Error::Interrupted`] once a signal has asked us to stop; for use in loops.
    ///
    /// # Errors
    /// Only that one.
    pub fn check_stop(&self) -> Result<()> {
        if self.stop.is_cancelled() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
