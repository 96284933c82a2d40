//! What goes on inside, for whoever asks with `-v`, `-vv` or `RUST_LOG`: a line per event on stderr,
//! above the bar.

use std::io::Write;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::Printer;
use crate::error::{Error, Result};

/// Our own crates, all of whose names begin so, and the statements of connections that only read.
const SHOWN: [&str; 2] = ["cutover", "sqlx::query"];

/// Shows events from here on: decisions with one `-v`, each request and statement with two, whatever
/// `RUST_LOG` names if it is set, nothing otherwise.
///
/// # Errors
/// A usage error if `RUST_LOG` cannot be read.
pub(super) fn install(verbosity: u8, printer: &Printer) -> Result<()> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = match (wanted, verbosity) {
        (Some(wanted), _) => wanted.parse::<Targets>().map_err(|error| {
            let hint = "write a level, or targets with levels: cutover_diff=debug,sqlx=info";
            Error::usage(format!("RUST_LOG: {error}"), hint)
        })?,
        (None, 0) => return Ok(()),
        (None, 1) => Targets::new().with_targets(SHOWN.map(|name| (name, LevelFilter::DEBUG))),
        (None, _) => Targets::new().with_targets(SHOWN.map(|name| (name, LevelFilter::TRACE))),
    };
    let printer = printer.clone();
    let lines = fmt::layer()
        .with_writer(move || Lines { printer: printer.clone(), text: Vec::new() })
        .with_ansi(false)
        .with_filter(filter);
    // A second one in the same process has no say.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    Ok(())
}

/// One event's text, shown when it is whole.
struct Lines {
    printer: Printer,
    text: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.printer.detail(String::from_utf8_lossy(&self.text).trim_end());
    }
}
