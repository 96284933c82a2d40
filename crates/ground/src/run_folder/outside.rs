//! What drills, planted faults and hours of watching leave in a folder, for a run to be judged by.

use std::path::Path;

use super::{WATCH, evidence_file};
use crate::own_file;
use cutover_error::{Context, Result};
use cutover_evidence::drill::Drill;
use cutover_evidence::fault::PlantedFault;
use cutover_evidence::run_record::EvidenceFile;
use cutover_evidence::watch::Sample;

/// What drills leave.
const DRILLS: &str = "drills.json";
/// What faults planted on purpose leave.
const FAULTS: &str = "faults.json";

/// Evidence that other commands leave in a folder.
#[derive(Debug, Default)]
pub struct Outside {
    /// Of `drills.json`.
    pub drills: Vec<Drill>,
    /// Of `faults.json`.
    pub faults: Vec<PlantedFault>,
    /// Of `watch.jsonl`.
    pub samples: Vec<Sample>,
    /// The files that were there.
    pub files: Vec<EvidenceFile>,
}

/// Reads what drills and hours of watching have left in a folder; nothing if there was none.
///
/// # Errors
/// A run error if such a file is damaged: half of the evidence is none.
pub fn read_outside(folder: &Path) -> Result<Outside> {
    let mut outside = Outside::default();
    if let Some(text) = read_if_there(folder, DRILLS, &mut outside.files)? {
        let place = format!("{} is damaged", folder.join(DRILLS).display());
        outside.drills = serde_json::from_str(&text).or_run(place, "make the drills again")?;
    }
    if let Some(text) = read_if_there(folder, FAULTS, &mut outside.files)? {
        let place = format!("{} is damaged", folder.join(FAULTS).display());
        outside.faults = serde_json::from_str(&text).or_run(place, "plant the faults again")?;
    }
    if let Some(text) = read_if_there(folder, WATCH, &mut outside.files)? {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let place = format!("{}:{} is damaged", folder.join(WATCH).display(), number + 1);
            let hint = "each line is one look, as `cutover watch` writes them";
            outside.samples.push(serde_json::from_str(line).or_run(place, hint)?);
        }
    }
    Ok(outside)
}

fn read_if_there(
    folder: &Path,
    name: &str,
    files: &mut Vec<EvidenceFile>,
) -> Result<Option<String>> {
    let path = folder.join(name);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let place = format!("cannot read {}", path.display());
    files.push(evidence_file(folder, name).or_run(&place, "")?);
    own_file::read(&path).or_run(&place, "").map(Some)
}
