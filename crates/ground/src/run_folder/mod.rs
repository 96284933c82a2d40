//! The folder of one run: made before anything else, so that a bad path fails early; every file in
//! it is whole or not there, and the record says what each of them holds.

mod outside;
mod place;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::Flock;
use sha2::{Digest, Sha256};

use cutover_error::foreign;
use cutover_error::{Context, Error, Result};
use cutover_evidence::SCHEMA_VERSION;
use cutover_evidence::history::IncomparableRun;
use cutover_evidence::run_record::{EvidenceFile, RunRecord};
use cutover_evidence::watch::Sample;

use crate::own_file;
use crate::whole_file::WholeFile;

pub use outside::{Outside, read_outside};
pub use place::{Place, claim, trusted};

/// Where runs are kept unless `--out` says otherwise.
const REPORTS: &str = "reports";
/// The run record's file name.
const RECORD: &str = "run.json";
/// What hours of watching leave.
const WATCH: &str = "watch.jsonl";

/// A folder that exists and can be written.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    run_id: String,
    /// Whether `reports/latest` is to point here, once there is a record for others to read.
    is_latest: bool,
    /// Held until the last copy of this value is gone, so that no second run writes here meanwhile.
    _held: Arc<(Place, Flock<File>)>,
}

impl RunFolder {
    /// Makes the folder: `out`, or `reports/<run-id>` with `reports/latest` pointing at it.
    ///
    /// # Errors
    /// A usage error if it cannot be made or written, or holds a run already.
    pub fn create(out: Option<&Path>) -> Result<Self> {
        let now = chrono::Utc::now();
        let unique_id =
            format!("{}-{:05}", now.format("%Y%m%d-%H%M%S"), std::process::id() % 100_000);
        let (path, run_id) = match out {
            Some(path) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                (path.to_owned(), name.unwrap_or(unique_id))
            }
            None => (Path::new(REPORTS).join(&unique_id), unique_id),
        };
        let held = (Place::make_own(&path)?, claim(&path)?);
        if path.join(RECORD).exists() {
            let what = format!("--out: {} holds a run already", path.display());
            return Err(Error::usage(what, "give a folder of its own to each run"));
        }
        Ok(Self { path, run_id, is_latest: out.is_none(), _held: Arc::new(held) })
    }

    /// Takes the folder `path` again, or makes it; the record of an earlier run there goes where
    /// `replaceable` says so.
    ///
    /// # Errors
    /// A usage error if it cannot be made or written, or holds a run that is not to be replaced.
    pub fn reuse(path: &Path, replaceable: fn(&RunRecord) -> bool) -> Result<Self> {
        let held = (Place::make_own(path)?, claim(path)?);
        let record = path.join(RECORD);
        if record.exists() {
            if !read_record(path).is_ok_and(|record| replaceable(&record)) {
                let what = format!("--out: {} holds a run of another kind", path.display());
                return Err(Error::usage(what, "give a folder of its own to each run"));
            }
            let place = format!("--out: cannot replace {}", record.display());
            std::fs::remove_file(&record).or_usage(place, "give --out a writable folder")?;
        }
        let run_id = path.file_name().map_or("run".into(), |name| name.to_string_lossy().into());
        let is_latest = false;
        Ok(Self { path: path.to_owned(), run_id, is_latest, _held: Arc::new(held) })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's name.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Writes a file whole or not at all.
    ///
    /// # Errors
    /// If the folder cannot be written, for example because the disk is full.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_whole(&self.path.join(name), bytes)
    }

    /// Writes what was seen of the platform, a line per sample.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write_samples(&self, samples: &[Sample]) -> Result<()> {
        let lines = samples.iter().map(|sample| {
            let mut line = serde_json::to_string(sample).or_run(WATCH, "")?;
            line.push('\n');
            Ok(line)
        });
        self.write(WATCH, lines.collect::<Result<String>>()?.as_bytes())
    }

    /// Writes the run record.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write_record(&self, record: &RunRecord) -> Result<()> {
        write_record(&self.path, record)?;
        if self.is_latest {
            self.point_latest_here();
        }
        Ok(())
    }

    /// `reports/latest` is a convenience; a file system without links does not fail a run.
    fn point_latest_here(&self) {
        let (link, draft) = (Path::new(REPORTS).join("latest"), self.path.join(".latest"));
        if std::os::unix::fs::symlink(&self.run_id, &draft).is_ok()
            && std::fs::rename(&draft, &link).is_err()
        {
            let _ = std::fs::remove_file(&draft);
        }
    }
}

/// Writes a file whole or not at all.
///
/// # Errors
/// If the folder cannot be written, for example because the disk is full.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = format!("cannot write {}", path.display());
    let hint = "is the disk full?";
    let mut file = WholeFile::create(path).or_run(&place, hint)?;
    file.write_all(bytes).or_run(&place, hint)?;
    file.finish().or_run(place, hint)
}

/// What stands where the record's own digest belongs while that digest is computed.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Writes the run record into a run's folder, with the digest of its own bytes in it.
///
/// # Errors
/// If the folder cannot be written.
pub fn write_record(folder: &Path, record: &RunRecord) -> Result<()> {
    let unsigned = RunRecord { record_sha256: NO_DIGEST.into(), ..record.clone() };
    let mut json = serde_json::to_string_pretty(&unsigned).or_run("run record", "")?;
    json.push('\n');
    let json = foreign::json(&json);
    let digest = sha256(json.as_bytes());
    write_whole(&folder.join(RECORD), json.replacen(NO_DIGEST, &digest, 1).as_bytes())
}

/// Reads a run record and holds it, and every evidence file it names, against their digests:
/// [`RunRecord::altered`] says what does not fit.
///
/// # Errors
/// A usage error if there is none, or of a newer layout than this program reads; a run error
/// if it is damaged.
pub fn read_record(folder: &Path) -> Result<RunRecord> {
    let path = folder.join(RECORD);
    let place = path.display();
    let hint = "give a folder that `cutover rehearse`, `drive`, `diff` or `merge` has written";
    let text = own_file::open(&path)
        .and_then(|mut file| {
            let mut text = Vec::new();
            file.read_to_end(&mut text).map(|_| text)
        })
        .or_usage(format!("cannot read {place}"), hint)?;
    // Only the version first: what another version wrote may not fit our types at all.
    let version = serde_json::from_slice::<serde_json::Value>(&text)
        .or_run(format!("{place} is damaged"), "run the rehearsal again")?["schema_version"]
        .as_u64();
    if let Some(found) = version.filter(|version| *version != u64::from(SCHEMA_VERSION)) {
        let what =
            format!("{place} has layout version {found}, this program reads {SCHEMA_VERSION}");
        return Err(Error::usage(what, "use the version of cutover that wrote it"));
    }
    let record: RunRecord = serde_json::from_slice(&text).or_run(
        format!("{place} is damaged"),
        "the record does not have the fields of its version",
    )?;
    let altered = altered(folder, &text, &record);
    Ok(RunRecord { altered, ..record })
}

/// Reads the run in a folder, or every run in the folders below it, oldest first.
///
/// # Errors
/// A usage error if there is none. A run below that cannot be read is named with the reason: a
/// night that broke must not keep the next one from being judged, nor be forgotten.
pub fn read_runs(path: &Path) -> Result<Vec<std::result::Result<RunRecord, IncomparableRun>>> {
    if path.join(RECORD).exists() {
        return Ok(vec![Ok(read_record(path)?)]);
    }
    let place = format!("cannot read {}", path.display());
    let hint = "give the folder of a run, or a folder that holds such folders";
    let (mut records, mut broken) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(path).or_usage(&place, hint)? {
        let entry = entry.or_usage(&place, hint)?;
        // Not through links: `latest` would count a run twice.
        let is_run = entry.path().join(RECORD).exists();
        if !is_run || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match read_record(&entry.path()) {
            Ok(record) => records.push(record),
            Err(error) => broken.push(Err(IncomparableRun {
                run_id: entry.file_name().to_string_lossy().into_owned(),
                why: error.to_string(),
            })),
        }
    }
    records.sort_by(|a, b| a.started_at.cmp(&b.started_at));
    Ok(broken.into_iter().chain(records.into_iter().map(Ok)).collect())
}

/// What in a run's folder is not as the run left it.
fn altered(folder: &Path, text: &[u8], record: &RunRecord) -> Vec<String> {
    let mut altered = Vec::new();
    let unsigned = String::from_utf8_lossy(text).replacen(&record.record_sha256, NO_DIGEST, 1);
    if record.record_sha256.is_empty() {
        altered.push(format!("{RECORD} carries no digest of itself"));
    } else if sha256(unsigned.as_bytes()) != record.record_sha256 {
        altered.push(format!("{RECORD} was changed"));
    }
    for file in &record.files {
        match evidence_file(folder, &file.name) {
            Ok(found) if found == *file => {}
            Ok(_) => altered.push(format!("{} was changed", file.name)),
            Err(error) => altered.push(format!("{} cannot be read: {error}", file.name)),
        }
    }
    altered
}

/// Every file below a run's folder, records and `others` left out.
///
/// # Errors
/// If the folder cannot be read.
pub fn inventory(folder: &Path, others: &[&str]) -> Result<Vec<EvidenceFile>> {
    let place = format!("cannot read {}", folder.display());
    let mut names = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below)).or_run(&place, "")? {
            let entry = entry.or_run(&place, "")?;
            let name = below.join(entry.file_name());
            match entry.file_type().or_run(&place, "")? {
                kind if kind.is_dir() => open.push(name),
                kind if kind.is_file() => names.push(name.to_string_lossy().into_owned()),
                _ => {}
            }
        }
    }
    names.sort();
    // Of runs below, too: their records carry their own digest, and may be judged again.
    let file = |name: &String| name.rsplit('/').next().unwrap_or_default().to_owned();
    names.retain(|name| file(name) != RECORD && !others.contains(&file(name).as_str()));
    names.iter().map(|name| evidence_file(folder, name).or_run(&place, "")).collect()
}

fn evidence_file(folder: &Path, name: &str) -> std::io::Result<EvidenceFile> {
    let mut file = BufReader::with_capacity(1 << 16, own_file::open(&folder.join(name))?);
    let mut digest = Sha256::new();
    let mut size_bytes = 0;
    loop {
        let part = file.fill_buf()?;
        if part.is_empty() {
            let sha256 = hex(&digest.finalize());
            return Ok(EvidenceFile { name: name.to_owned(), size_bytes, sha256 });
        }
        digest.update(part);
        let length = part.len();
        size_bytes += length as u64;
        file.consume(length);
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
