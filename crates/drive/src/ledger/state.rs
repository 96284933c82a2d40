//! What became of a write, by what came back for it.

use crate::recorder::Outcome;
use cutover_ground::http::Failure;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ok,
    Fail,
    Unknown,
}

/// What an outcome says of a write.
pub(crate) fn state_of(outcome: Outcome) -> State {
    match outcome {
        // The status is right; that the rest of the answer is not changes nothing about the write.
        Outcome::Ok
        | Outcome::WrongMode
        | Outcome::BadBody
        | Outcome::CheckFailed
        | Outcome::ForeignOrg => State::Ok,
        // The platform gave up waiting, or somebody in front of it did (499 and 520 on are proxies').
        Outcome::Status(408 | 499 | 502..=504 | 520..=527) => State::Unknown,
        Outcome::Status(_) => State::Fail,
        // Nothing was sent.
        Outcome::Failed(failure) if is_unsent(failure) => State::Fail,
        Outcome::Failed(_) => State::Unknown,
        Outcome::Unsendable | Outcome::Skipped => State::Fail,
    }
}

fn is_unsent(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Refused | Failure::Unreachable | Failure::Dns | Failure::Tls | Failure::Local
    )
}
