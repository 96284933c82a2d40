//! Takes the workers' samples several times a second and turns them into evidence and files, on a
//! thread of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, Names};
use super::machine::Machine;
use super::org_sizes::OrgSizes;
use super::samples::{FirstLine, SampleFile};
use super::shared::Shared;
use super::tally::Tally;
use super::usage::Usage;
use cutover_error::{Context, Error, Result};
use cutover_evidence::drive::{DriveEvidence, GeneratorPoint, Side};
use cutover_evidence::machine::MachinePoint;
use cutover_ground::whole_file::WholeFile;

/// Time between two collections.
const EVERY: Duration = Duration::from_millis(200);
/// After the time limit of a request, how long its sample may be on its way.
const STRAGGLER_S: u64 = 2;

/// What the collector's thread leaves behind.
struct Collected {
    file: SampleFile,
    generator: Vec<GeneratorPoint>,
    machine: Vec<MachinePoint>,
}

/// The collector at work.
pub(super) struct Collector {
    /// What has been counted until the last collection.
    pub tally: Arc<Mutex<Tally>>,
    thread: std::thread::JoinHandle<Result<Collected>>,
    done: CancellationToken,
    out: PathBuf,
}

impl Collector {
    pub(super) fn start(
        shared: Arc<Shared>,
        sizes: Option<Arc<OrgSizes>>,
        begin: Instant,
        out: &Path,
    ) -> Result<Self> {
        let classes = sizes.as_ref().map_or_else(Vec::new, |sizes| sizes.classes());
        let names = Names::of(&shared.scenario, classes);
        let operations = names.operations.iter().map(|(name, _)| name.clone()).collect();
        let first_line = FirstLine::new(operations, shared.queue.windows.clone());
        let file = SampleFile::create(out, &first_line)?;
        let tally = Arc::new(Mutex::new(Tally::new(names)));
        let done = CancellationToken::new();
        let thread = {
            let (tally, done) = (Arc::clone(&tally), done.clone());
            std::thread::Builder::new()
                .name("collector".into())
                .spawn(move || {
                    let collected = collect(&shared, &tally, sizes.as_deref(), file, begin, &done);
                    if collected.is_err() {
                        // What nobody writes down need not be driven.
                        shared.queue.give_up();
                    }
                    collected
                })
                .or_run("cannot start the collector thread", "")?
        };
        Ok(Self { tally, thread, done, out: out.to_owned() })
    }

    /// Waits for the last samples, writes the files, and gives what was counted.
    pub(super) fn finish(self, measured_s: &BTreeMap<Side, f64>) -> Result<DriveEvidence> {
        self.done.cancel();
        let panicked = || Error::run("the collector thread panicked", "");
        let Collected { file, generator, machine } =
            self.thread.join().map_err(|_| panicked())??;
        file.finish(&self.out)?;
        let tally = Arc::into_inner(self.tally).ok_or_else(panicked)?;
        let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        histogram_logs(&self.out, &tally)?;
        Ok(DriveEvidence {
            generator_memory_bytes: generator.iter().map(|p| p.memory_bytes).max().unwrap_or(0),
            arrivals_planned: tally.done,
            generator,
            machine,
            ..tally.evidence(measured_s)
        })
    }
}

fn collect(
    shared: &Shared,
    tally: &Mutex<Tally>,
    sizes: Option<&OrgSizes>,
    mut file: SampleFile,
    begin: Instant,
    done: &CancellationToken,
) -> Result<Collected> {
    let planned = |window| shared.queue.planned(window);
    let frame = Frame {
        windows: &shared.queue.windows,
        planned: &planned,
        settles: shared.switch.flag().is_some(),
        closed_loop: shared.closed_loop,
    };
    let (mut usage, mut around) = (Usage::new(begin), Machine::new(begin));
    let (mut generator, mut machine) = (Vec::new(), Vec::new());
    let open_s = shared.timeout.as_secs() + STRAGGLER_S;
    loop {
        // Looked at first, so that what is left after the last look is still taken.
        let last = done.is_cancelled();
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = None;
        shared.recorder.collect(|mut sample| {
            sample.org_class = sizes.and_then(|sizes| sizes.class_of(sample.arrival.org));
            tally.record(&sample, frame);
            let window = &shared.queue.windows[sample.arrival.window as usize];
            if let Err(error) = file.write(&sample, window) {
                failed = Some(error);
            }
        });
        let closed_s = begin.elapsed().as_secs().saturating_sub(open_s);
        tally.close_before(u32::try_from(closed_s).unwrap_or(u32::MAX));
        drop(tally);
        if let Some(error) = failed {
            return Err(error);
        }
        // Writes that nobody can note are not sent: what goes on is no longer the load that was asked for.
        shared.ledger.check()?;
        generator.extend(usage.once_a_second());
        machine.extend(around.once_a_second());
        if last {
            return Ok(Collected { file, generator, machine });
        }
        std::thread::sleep(EVERY);
    }
}

/// Writes `latency/<mode>.hlog`: one histogram of response times per window, for HdrHistogram's own
/// tools. Failed arrivals stand at the ceiling of 60 s.
pub(super) fn histogram_logs(out: &Path, tally: &Tally) -> Result<()> {
    let folder = out.join("latency");
    std::fs::create_dir_all(&folder).or_run(format!("cannot create {}", folder.display()), "")?;
    for mode in Side::BOTH {
        let mut windows =
            tally.windows().whole().filter(|(window, _)| window.mode == Some(mode)).peekable();
        if windows.peek().is_none() {
            continue;
        }
        let path = folder.join(format!("{}.hlog", mode.as_str()));
        let place = format!("cannot write {}", path.display());
        let mut file = WholeFile::create(&path).or_run(&place, "")?;
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new()
            // Java's readers look for this line, which the crate leaves out.
            .add_comment("[Histogram log format version 1.3]")
            .with_max_value_divisor(1000.0)
            .begin_log_with(&mut file, &mut serializer)
            .or_run(&place, "is the disk full?")?;
        let tag = Tag::new(mode.as_str()).expect("a mode's name holds no comma or space");
        for (window, histogram) in windows {
            let start = Duration::from_secs_f64(window.start_s);
            let length = Duration::from_secs_f64(window.end_s - window.start_s);
            log.write_histogram(&histogram, start, length, Some(tag))
                .map_err(|e| format!("{e:?}"))
                .or_run(&place, "is the disk full?")?;
        }
        drop(log);
        file.finish().or_run(&place, "is the disk full?")?;
    }
    Ok(())
}
