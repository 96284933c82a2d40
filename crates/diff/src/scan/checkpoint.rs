//! What is left of a scan after `kill -9`: the chunks that were finished, and their sums.
//!
//! Each worker keeps a file of its own, written whole every few seconds, so that none waits for
//! another. A resumed run adds the files up and reads the other chunks; what then differs was seen
//! on several states of the database and is confirmed on one.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::digest::{Digests, OrgDigest, OrgKey, Secret, Totals};
use cutover_error::{Context, Error, Result};
use cutover_ground::whole_file::{WholeFile, remove_drafts};

/// The folder inside the run's folder.
const FOLDER: &str = "checkpoint";
const BEGINNING: &[u8] = b"cutover checkpoint 2\n";
const END: &[u8] = b"whole\n";
const HINT: &str = "run the diff again without --resume";

/// The checkpoints of one comparison.
pub(crate) struct Checkpoints {
    folder: PathBuf,
    /// What is compared; sums of anything else do not add up.
    identity: u128,
    every: Duration,
    /// Files of the run that is resumed.
    found: Vec<PathBuf>,
    made: usize,
}

impl Checkpoints {
    /// Clears away what an earlier run left, or with `resume` takes it over together with the
    /// secret that its sums are keyed with.
    ///
    /// # Errors
    /// A usage error if there is something else to resume than what is compared now.
    pub(crate) fn open(
        out: &Path,
        resume: bool,
        identity: u128,
        every: Duration,
    ) -> Result<(Self, Secret)> {
        let folder = out.join(FOLDER);
        if !resume && folder.exists() {
            let place = format!("cannot remove {}", folder.display());
            std::fs::remove_dir_all(&folder).or_usage(place, "give --out a writable folder")?;
        }
        let mut found = Vec::new();
        if folder.exists() {
            // A draft that was never put in place is no checkpoint.
            remove_drafts(&folder);
            let place = || format!("cannot read {}", folder.display());
            for entry in std::fs::read_dir(&folder).or_usage(place(), HINT)? {
                found.push(entry.or_usage(place(), HINT)?.path());
            }
        }
        let mut checkpoints = Self { folder, identity, every, made: found.len(), found };
        let mut secret = None;
        for path in std::mem::take(&mut checkpoints.found) {
            let (_, its) = checkpoints.start_reading(&path)?;
            secret.get_or_insert(its);
            checkpoints.found.push(path);
        }
        Ok((checkpoints, secret.unwrap_or_else(Secret::new)))
    }

    /// Whether there is anything to go on from.
    pub(crate) fn resumes(&self) -> bool {
        !self.found.is_empty()
    }

    /// What was finished of a pair, and its sums.
    ///
    /// # Errors
    /// A run error if a file is damaged.
    pub(super) fn restore<K: OrgKey>(&self, pair: usize) -> Result<(HashSet<String>, Digests<K>)> {
        let (mut finished, mut digests) = (HashSet::new(), Digests::default());
        for path in &self.found {
            if !is_of(path, pair) {
                continue;
            }
            let (mut file, _) = self.start_reading(path)?;
            let damaged = || format!("{} is damaged", path.display());
            let (labels, sums) = read(&mut file).or_run(damaged(), HINT)?;
            finished.extend(labels);
            digests.merge(sums);
        }
        Ok((finished, digests))
    }

    /// A file for a worker.
    pub(super) fn file(&mut self, pair: usize) -> Checkpoint {
        self.made += 1;
        Checkpoint {
            path: self.folder.join(format!("{pair}-{}", self.made)),
            identity: self.identity,
            every: self.every,
            saved: Instant::now(),
            finished: Vec::new(),
        }
    }

    /// Forgets what was finished of a pair whose tables are no longer what was read.
    ///
    /// # Errors
    /// A run error if a file cannot be removed.
    pub(super) fn forget(&mut self, pair: usize) -> Result<()> {
        self.found.retain(|path| !is_of(path, pair));
        let Ok(files) = std::fs::read_dir(&self.folder) else { return Ok(()) };
        for path in files.flatten().map(|entry| entry.path()).filter(|path| is_of(path, pair)) {
            let place = format!("cannot remove {}", path.display());
            std::fs::remove_file(&path).or_run(place, "")?;
        }
        Ok(())
    }

    /// Removes them once the comparison is done.
    pub(crate) fn remove(self) {
        // One that stays is cleared away by the next run.
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    fn start_reading(&self, path: &Path) -> Result<(BufReader<File>, Secret)> {
        let place = || format!("cannot resume from {}", path.display());
        let file = cutover_ground::own_file::open(path).or_usage(place(), HINT)?;
        let left = file.metadata().and_then(|meta| meta.modified()).or_usage(place(), HINT)?;
        if left.elapsed().is_ok_and(|age| age > OLDEST) {
            let what = format!("--resume: {} was left more than a day ago", path.display());
            return Err(Error::usage(
                what,
                "much may have changed since: compare afresh, without it",
            ));
        }
        let mut file = BufReader::new(file);
        let mut beginning = [0; BEGINNING.len()];
        let mut identity = [0; 16];
        file.read_exact(&mut beginning).or_usage(place(), HINT)?;
        file.read_exact(&mut identity).or_usage(place(), HINT)?;
        let secret = Secret::read(&mut file).or_usage(place(), HINT)?;
        if beginning != BEGINNING || u128::from_le_bytes(identity) != self.identity {
            let what = format!(
                "--resume: {} belongs to another comparison: server, tables, partitions, orgs or \
                 options are not the same",
                path.display()
            );
            return Err(Error::usage(what, HINT));
        }
        Ok((file, secret))
    }
}

/// Whether a file is a worker's on a pair.
fn is_of(path: &Path, pair: usize) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('-').next() == Some(pair.to_string().as_str())
}

/// What was read longer ago says too little of the present.
const OLDEST: Duration = Duration::from_secs(24 * 3600);

/// One worker's file.
pub(super) struct Checkpoint {
    path: PathBuf,
    identity: u128,
    every: Duration,
    saved: Instant,
    finished: Vec<String>,
}

impl Checkpoint {
    /// Notes that a chunk is in `digests`; writes the file where the last time is long ago.
    ///
    /// # Errors
    /// A run error if the file cannot be written.
    pub(super) fn finished<K: OrgKey>(
        &mut self,
        label: String,
        secret: &Secret,
        digests: &mut Digests<K>,
    ) -> Result<()> {
        self.finished.push(label);
        if self.saved.elapsed() < self.every {
            return Ok(());
        }
        digests.begin_chunk();
        let place = format!("cannot write {}", self.path.display());
        self.save(secret, digests).or_run(place, "is the disk full?")?;
        self.saved = Instant::now();
        Ok(())
    }

    fn save<K: OrgKey>(&self, secret: &Secret, digests: &Digests<K>) -> std::io::Result<()> {
        std::fs::create_dir_all(self.path.parent().unwrap_or(Path::new(".")))?;
        let mut file = WholeFile::create(&self.path)?;
        file.write_all(BEGINNING)?;
        file.write_all(&self.identity.to_le_bytes())?;
        secret.write(&mut file)?;
        write(&mut file, &self.finished, digests)?;
        file.finish()
    }
}

fn write<K: OrgKey>(
    to: &mut impl Write,
    finished: &[String],
    digests: &Digests<K>,
) -> std::io::Result<()> {
    write_number(to, finished.len() as u64)?;
    for label in finished {
        write_bytes(to, label.as_bytes())?;
    }
    for number in digests.totals.numbers() {
        write_number(to, number)?;
    }
    write_number(to, digests.misrouted.len() as u64)?;
    for org in &digests.misrouted {
        write_bytes(to, &org.bytes())?;
    }
    write_number(to, digests.listed() as u64)?;
    for (org, digest) in digests.orgs() {
        write_bytes(to, &org.bytes())?;
        to.write_all(&digest.difference().to_le_bytes())?;
        for rows in digest.rows {
            to.write_all(&rows.to_le_bytes())?;
        }
    }
    to.write_all(END)
}

fn read<K: OrgKey>(from: &mut impl Read) -> std::io::Result<(Vec<String>, Digests<K>)> {
    let damaged = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut labels = Vec::new();
    for _ in 0..read_number(from)? {
        labels.push(String::from_utf8(read_bytes(from)?).map_err(|_| damaged())?);
    }
    let mut digests = Digests::default();
    let mut totals = Totals::default().numbers();
    for number in &mut totals {
        *number = read_number(from)?;
    }
    digests.totals = Totals::from_numbers(totals);
    for _ in 0..read_number(from)? {
        digests.misrouted.insert(K::read(&read_bytes(from)?).ok_or_else(damaged)?);
    }
    for _ in 0..read_number(from)? {
        let org = K::read(&read_bytes(from)?).ok_or_else(damaged)?;
        let difference = u128::from_le_bytes(read_array(from)?);
        let rows = [u32::from_le_bytes(read_array(from)?), u32::from_le_bytes(read_array(from)?)];
        digests.add(org, OrgDigest::new(difference, rows));
    }
    digests.settle();
    if read_array(from)? == *END.first_chunk::<6>().expect("six bytes") {
        Ok((labels, digests))
    } else {
        Err(damaged())
    }
}

fn write_number(to: &mut impl Write, number: u64) -> std::io::Result<()> {
    to.write_all(&number.to_le_bytes())
}

fn write_bytes(to: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    to.write_all(&(bytes.len() as u32).to_le_bytes())?;
    to.write_all(bytes)
}

fn read_array<const N: usize>(from: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_number(from: &mut impl Read) -> std::io::Result<u64> {
    read_array(from).map(u64::from_le_bytes)
}

fn read_bytes(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let length = u32::from_le_bytes(read_array(from)?);
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Side;

    #[test]
    fn what_is_written_is_read_again_and_a_file_cut_short_is_not() {
        let mut digests = Digests::<i64>::default();
        for row in 0..1000_i64 {
            digests.add_row(Side::Legacy, row % 7 - 3, Secret::new().hash(&row.to_le_bytes()));
            digests.totals.rows[0] += 1;
        }
        digests.misrouted.insert(-3);
        digests.totals.null_keys = [4, 5];
        digests.settle();
        let mut bytes = Vec::new();
        write(&mut bytes, &["a".into(), "b c".into()], &digests).expect("memory takes it");
        let (labels, again) = read::<i64>(&mut bytes.as_slice()).expect("whole");
        assert_eq!(labels, ["a", "b c"]);
        assert_eq!(again.totals, digests.totals);
        assert_eq!(again.misrouted, digests.misrouted);
        assert_eq!(again.diverging(), digests.diverging());
        assert_eq!(again.len(), 7);
        for length in 0..bytes.len() {
            assert!(read::<i64>(&mut &bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_draft_of_a_run_that_was_killed_is_no_checkpoint() {
        let out = tempfile::tempdir().expect("a folder");
        let folder = out.path().join(FOLDER);
        std::fs::create_dir(&folder).expect("our own folder");
        // As a kill leaves it, whose destructors never run.
        let mut draft = WholeFile::create(folder.join("0-1")).expect("our own folder");
        draft.write_all(b"half of i").expect("our own folder");
        draft.flush().expect("our own folder");
        std::mem::forget(draft);
        let left = || std::fs::read_dir(&folder).expect("our own folder").count();
        assert_eq!(left(), 1);
        let (checkpoints, _) = Checkpoints::open(out.path(), true, 7, Duration::ZERO)
            .expect("there is nothing to read");
        assert!(!checkpoints.resumes());
        assert_eq!(left(), 0);
    }
}
