//! Raw samples and histogram logs, written beside the run record.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use super::recorder::{Outcome, Sample};
use super::summary::{CEILING_US, histogram};
use crate::error::{Context, Result};
use crate::evidence::drive::Mode;
use crate::run_folder::draft;
use crate::scenario::{Plan, Scenario};

/// Writes `samples.csv`: one line per arrival that was let go, warm-up included.
pub(super) fn samples(
    out: &Path,
    scenario: &Scenario,
    plan: &Plan,
    samples: &[Sample],
) -> Result<()> {
    let path = out.join("samples.csv");
    let place = format!("cannot write {}", path.display());
    let file = draft(out).or_run(&place, "is the disk full?")?;
    let mut writer = csv::Writer::from_writer(file);
    let columns = [
        "due_us",
        "pair",
        "mode",
        "measured",
        "operation",
        "org_id",
        "lag_us",
        "service_us",
        "response_us",
        "outcome",
        "cache_hit",
    ];
    writer.write_record(columns).or_run(&place, "")?;
    for sample in samples {
        let arrival = &plan.arrivals[sample.arrival as usize];
        let window = &plan.windows[usize::from(arrival.window)];
        let line = (
            arrival.due_us,
            window.pair,
            window.mode.as_str(),
            arrival.measured,
            &scenario.operations[usize::from(arrival.operation)].name,
            arrival.org,
            sample.lag_us,
            sample.service_us,
            sample.response_us(),
            sample.outcome.name(),
            sample.cache_hit,
        );
        writer.serialize(line).or_run(&place, "is the disk full?")?;
    }
    let file =
        writer.into_inner().map_err(|e| e.to_string()).or_run(&place, "is the disk full?")?;
    file.persist(&path).or_run(&place, "is the disk full?")?;
    Ok(())
}

/// Writes `latency/<mode>.hlog`: one histogram of response times per window, for HdrHistogram's own
/// tools. Failed arrivals stand at the ceiling of 60 s.
pub(super) fn histogram_logs(out: &Path, plan: &Plan, samples: &[Sample]) -> Result<()> {
    let folder = out.join("latency");
    std::fs::create_dir_all(&folder).or_run(format!("cannot create {}", folder.display()), "")?;
    for mode in Mode::ALL {
        let mut windows = BTreeMap::new();
        for sample in samples {
            let arrival = &plan.arrivals[sample.arrival as usize];
            let window = plan.windows[usize::from(arrival.window)];
            if arrival.measured && window.mode == mode {
                let response_us = match sample.outcome {
                    Outcome::Ok => sample.response_us(),
                    _ => CEILING_US,
                };
                windows
                    .entry(arrival.window)
                    .or_insert_with(histogram)
                    .saturating_record(response_us);
            }
        }
        if !windows.is_empty() {
            histogram_log(&folder.join(format!("{}.hlog", mode.as_str())), mode, plan, &windows)?;
        }
    }
    Ok(())
}

fn histogram_log(
    path: &Path,
    mode: Mode,
    plan: &Plan,
    windows: &BTreeMap<u16, hdrhistogram::Histogram<u64>>,
) -> Result<()> {
    let place = format!("cannot write {}", path.display());
    let file = std::fs::File::create(path).or_run(&place, "")?;
    let mut file = BufWriter::new(file);
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        // Java's readers look for this line, which the crate leaves out.
        .add_comment("[Histogram log format version 1.3]")
        .with_max_value_divisor(1000.0)
        .begin_log_with(&mut file, &mut serializer)
        .or_run(&place, "is the disk full?")?;
    let tag = Tag::new(mode.as_str()).expect("a mode's name holds no comma or space");
    for (&index, histogram) in windows {
        let window = plan.windows[usize::from(index)];
        let start = Duration::from_micros(window.measured_from_us);
        let length = Duration::from_micros(window.end_us - window.measured_from_us);
        log.write_histogram(histogram, start, length, Some(tag))
            .map_err(|e| format!("{e:?}"))
            .or_run(&place, "is the disk full?")?;
    }
    drop(log);
    file.flush().or_run(&place, "is the disk full?")
}
