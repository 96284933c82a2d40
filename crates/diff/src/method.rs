//! Where rows are hashed: in our process or in the server, and why.

use sqlx::postgres::PgConnection;

use super::scan::Method;
use super::schema::{PairPlan, Side};
use cutover_error::Result;
use cutover_ground::pg::wire_speed;

/// If the caller wants rows to be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digest {
    /// Wherever it is likely to be faster.
    #[default]
    Auto,
    /// In our process: every row comes over the wire.
    Client,
    /// In the server: only orgs that differ come over the wire.
    Server,
}

/// Bytes a second below which the server is faster at hashing rows than the wire at carrying them:
/// two of its processes hash some 300,000 rows of 150 bytes a second.
const WORTH_SENDING: f64 = 40e6;

/// A method and the reason for it, in words.
pub(super) struct Choice {
    pub(super) method: Method,
    pub(super) reason: String,
}

/// Chooses, after a look at the wire where it matters.
///
/// # Errors
/// A run error if the server fails.
pub(super) async fn choose(
    wanted: Digest,
    plans: &[PairPlan],
    connection: &mut PgConnection,
) -> Result<Choice> {
    let choice = |method, reason: String| Ok(Choice { method, reason });
    match wanted {
        Digest::Client => return choice(Method::Client, "as asked for".into()),
        Digest::Server => return choice(Method::Server, "as asked for".into()),
        Digest::Auto => {}
    }
    if let Some(leaf) = elsewhere(plans) {
        let reason = format!(
            "{leaf} is on another server, which no snapshot of ours reaches; one statement looks \
             at both sides"
        );
        return choice(Method::Server, reason);
    }
    let speed = wire_speed(connection).await?;
    let megabytes = speed / 1e6;
    if speed < WORTH_SENDING {
        let reason = format!("the wire carries {megabytes:.1} MB/s, the server hashes faster");
        choice(Method::Server, reason)
    } else {
        choice(Method::Client, format!("the wire carries {megabytes:.0} MB/s"))
    }
}

/// A partition that is kept on another server.
pub(super) fn elsewhere(plans: &[PairPlan]) -> Option<&str> {
    let leaves = plans.iter().flat_map(|plan| Side::BOTH.into_iter().flat_map(|s| plan.leaves(s)));
    leaves.into_iter().find(|leaf| leaf.kind == "f").map(|leaf| leaf.display.as_str())
}
