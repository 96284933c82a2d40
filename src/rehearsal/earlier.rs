//! Earlier runs that a run is held against.

use std::path::Path;

use crate::error::Result;
use crate::evidence::history::IncomparableRun;
use crate::evidence::run_record::RunRecord;
use crate::{gate, run_folder};

/// Notes in a record what the newest earlier runs measured that can be compared with it, oldest
/// first, and why the others cannot.
///
/// # Errors
/// A usage error if neither a run nor a folder of runs is there.
pub fn hold_against(record: &mut RunRecord, baseline: &Path, newest: usize) -> Result<()> {
    let (mut history, mut incomparable) = (Vec::new(), Vec::new());
    for past in run_folder::read_runs(baseline)? {
        let past = match past {
            Ok(past) => past,
            Err(broken) => {
                incomparable.push(broken);
                continue;
            }
        };
        // Two folders may bear one name.
        if (&past.run_id, &past.started_at) == (&record.run_id, &record.started_at) {
            continue;
        }
        match gate::past_run(record, &past) {
            Ok(past) => history.push(past),
            Err(why) => incomparable.push(IncomparableRun { run_id: past.run_id, why }),
        }
    }
    history.drain(..history.len().saturating_sub(newest));
    record.history = history;
    record.incomparable = incomparable;
    Ok(())
}
