//! How the process ends.

use std::process::ExitCode;

use crate::error::Error;
use crate::evidence::exit::Exit;

/// What an error ends with.
pub(super) fn of_error(error: &Error) -> Exit {
    match error {
        Error::Usage { .. } => Exit::USAGE,
        Error::Run { .. } => Exit::COULD_NOT_RUN,
        Error::Interrupted => Exit::INVALID,
    }
}

/// The same for the operating system.
pub(super) fn of_process(exit: Exit) -> ExitCode {
    ExitCode::from(exit.code())
}
