//! The criteria about the measurement itself: can it be trusted?

use super::catalogue::criterion;
use super::interval::Interval;
use super::statistics::{MIN_PAIRS, as_felt, confidence_of, without_own_lag};
use super::text::{NO_LOAD, milliseconds, percent};
use cutover_evidence::criterion::CriterionId;
use cutover_evidence::drive::{DriveEvidence, Side, Window};
use cutover_evidence::policy::{GENERATOR_CPU_LIMIT, SKIPPED_LIMIT};
use cutover_evidence::verdict::Criterion;

/// A lag whose p95 is above this share of the baseline's p95 is most of what was measured.
const DOMINANT_LAG: f64 = 0.5;
/// A shorter lag, or difference of lags, is told by the comparison without it alone: there are targets
/// that answer as fast.
const LEAST_LAG_US: f64 = 500.0;
/// A machine on which the same side differs from itself by less than this can be judged on.
const CALIBRATION_TOLERANCE: f64 = 1.01;

/// Criteria about the measurement; `drive` is `None` if no request was measured, `limit` the
/// ratio of p95 that is judged, for example 1.10.
pub(super) fn judge(drive: Option<&DriveEvidence>, limit: f64) -> Vec<Criterion> {
    let mut criteria =
        vec![right_mode(drive), generator(drive), scheduling_lag(drive, limit), clock(drive)];
    criteria.extend(drive.and_then(whole_plan));
    criteria.extend(drive.filter(|drive| drive.calibration).map(|d| calibration(d, limit)));
    criteria
}

/// Where the plan was shared among several generators: that all of them are there.
fn whole_plan(drive: &DriveEvidence) -> Option<Criterion> {
    let criterion = criterion(CriterionId::WholePlan);
    if let Some(shard) = drive.shard.filter(|shard| shard.of > 1) {
        let note = "cutover merge puts shards together";
        let measured = format!("shard {} of {} alone", shard.index, shard.of);
        return Some(criterion.measured(false, measured).note(note));
    }
    drive.start_at.as_ref()?;
    let missing: Vec<String> = drive.missing_shards.iter().map(u64::to_string).collect();
    let measured = match missing.as_slice() {
        [] => "all there".to_owned(),
        missing => format!("missing: {}", missing.join(", ")),
    };
    Some(criterion.measured(missing.is_empty(), measured))
}

fn right_mode(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion(CriterionId::ServedAsAsked);
    let Some(drive) = drive else { return criterion.note(NO_LOAD) };
    if let Some(why) = &drive.flag_left_changed {
        return criterion.measured(false, "flag left changed").note(why.clone());
    }
    if drive.unproven_windows > 0 {
        let note =
            format!("{} windows began before the probe saw their mode", drive.unproven_windows);
        return criterion.measured(false, drive.wrong_mode.to_string()).note(note);
    }
    if drive.wrong_mode == 0 && !drive.mode_proven {
        let note = "the platform does not say which side served an answer: name the header that does \
                    ([routing] served_by_header)";
        return criterion.note(note);
    }
    let measured = criterion.measured(drive.wrong_mode == 0, drive.wrong_mode.to_string());
    match &drive.wrong_answer {
        Some(answer) => measured.note(format!("the first: {answer}")),
        None => measured,
    }
}

fn generator(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion(CriterionId::GeneratorSound);
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
    if drive.own_want > 0 {
        let measured = format!("{} requests not sent", drive.own_want);
        let note = "this machine, or the limits of this process, had no file handle, port or memory left: \
                    more of them (ulimit -n), or fewer connections";
        return criterion.measured(false, measured).note(note);
    }
    if !drive.complete {
        return criterion.note("the plan was not drained to its end");
    }
    let skipped = drive.skipped as f64 / (drive.requests + drive.skipped) as f64;
    let cpu = drive.generator_cpu_share;
    if drive.closed_loop && drive.lost_workers == 0 {
        // The generator is meant to be busy then, and nobody waits for anybody.
        let note = "sent as fast as answers came (--rate max): a capacity, not a latency";
        return criterion.note(note);
    }
    let sound = skipped <= SKIPPED_LIMIT && cpu <= GENERATOR_CPU_LIMIT && drive.lost_workers == 0;
    criterion
        .measured(
            sound,
            format!("{:.2} % skipped, {:.0} % processor", skipped * 100.0, cpu * 100.0),
        )
        .note(match drive.lost_workers {
            0 => String::new(),
            lost => format!("{lost} workers ended before the plan did"),
        })
}

/// Would the verdict be another without what the generator itself was late?
fn scheduling_lag(drive: Option<&DriveEvidence>, limit: f64) -> Criterion {
    let criterion = criterion(CriterionId::SchedulingLag);
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
    if drive.closed_loop {
        return criterion.note("nothing was due at any time (--rate max)");
    }
    let (lag, baseline_us) = (drive.scheduling_lag_us, baseline_p95_us(drive));
    let measured = format!(
        "p95 {}, p99 {}, with a baseline of {}",
        milliseconds(lag.p95),
        milliseconds(lag.p99),
        milliseconds(baseline_us)
    );
    let dominates = lag.p95 as f64 > (DOMINANT_LAG * baseline_us as f64).max(LEAST_LAG_US);
    let flaws: Vec<String> = [
        dominates.then(|| "requests waited for the generator as long as for their answer".into()),
        uneven(drive, limit),
        contrary(drive, limit),
    ]
    .into_iter()
    .flatten()
    .collect();
    criterion.measured(flaws.is_empty(), measured).note(flaws.join("; "))
}

/// Of legacy, or of the only mode there is.
fn baseline_p95_us(drive: &DriveEvidence) -> u64 {
    drive.overall.values().next().map_or(0, |latency| latency.response_us.p95)
}

/// One mode waited for the generator longer than the other, by as much as the difference that is judged.
fn uneven(drive: &DriveEvidence, limit: f64) -> Option<String> {
    let p95 = |mode| drive.overall.get(&mode).map(|latency| latency.lag_us.p95);
    let (legacy, partitioned) = (p95(Side::Legacy)?, p95(Side::Partitioned)?);
    let judged_us = ((limit - 1.0) * baseline_p95_us(drive) as f64).max(LEAST_LAG_US);
    (legacy.abs_diff(partitioned) as f64 > judged_us).then(|| {
        format!(
            "it was late by {} in legacy mode and {} in partitioned mode (p95), which alone could \
             decide",
            milliseconds(legacy),
            milliseconds(partitioned)
        )
    })
}

/// The finding is the contrary of what it is without the lag, or cannot be made without it.
fn contrary(drive: &DriveEvidence, limit: f64) -> Option<String> {
    let confidence = confidence_of(drive);
    let felt = as_felt(drive, confidence).filter(|felt| felt.pairs >= MIN_PAIRS)?;
    let Some(own) = without_own_lag(drive, confidence) else {
        let note = "response times without the generator's own lag cannot be compared";
        return Some(note.into());
    };
    let slow = |interval: Interval| interval.low > limit;
    let fast = |interval: Interval| interval.high < limit;
    ((slow(felt) && fast(own)) || (fast(felt) && slow(own))).then(|| {
        let word = |slow| if slow { "too slow" } else { "fast enough" };
        format!(
            "partitioned is {} as felt, but {} ({} to {}) without the generator's own lag",
            word(slow(felt)),
            word(slow(own)),
            percent(own.low),
            percent(own.high)
        )
    })
}

fn clock(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion(CriterionId::ClockSound);
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
    let lasts = |window: &Window| window.end_s > window.start_s && window.end_s.is_finite();
    // Within a pair the windows of both modes take turns.
    let pairs = drive.windows.chunk_by(|one, next| one.pair == next.pair);
    let spans: Vec<(f64, f64)> = pairs
        .map(|pair| {
            let start_s = pair.iter().map(|w| w.start_s).fold(f64::INFINITY, f64::min);
            (start_s, pair.iter().map(|w| w.end_s).fold(f64::NEG_INFINITY, f64::max))
        })
        .collect();
    let forwards = drive.windows.iter().all(lasts)
        && spans.is_sorted_by(|(_, end_s), (start_s, _)| end_s <= start_s);
    criterion.measured(forwards, format!("{} windows", drive.windows.len()))
}

fn calibration(drive: &DriveEvidence, limit: f64) -> Criterion {
    let criterion = criterion(CriterionId::Calibration);
    let Some(comparison) = &drive.comparison else {
        return criterion.note("there are no two pairs of windows to compare");
    };
    if (comparison.pairs as usize) < MIN_PAIRS {
        let note = format!("{} pairs are fewer than the {MIN_PAIRS} needed", comparison.pairs);
        return criterion.note(note);
    }
    let (low, high) = (comparison.p95_ratio_low, comparison.p95_ratio_high);
    let holds = low < CALIBRATION_TOLERANCE && high > 1.0 / CALIBRATION_TOLERANCE;
    let narrow = low > 1.0 / limit && high < limit;
    criterion.measured(holds && narrow, format!("{} to {}", percent(low), percent(high))).note(
        match (holds, narrow) {
            (true, true) => "",
            (false, _) => "windows of the same side differ: something else decides here",
            (true, false) => "too noisy to see the limit: a longer load, or a quieter machine",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::statistics::compare;
    use cutover_evidence::drive::{Comparison, ModeLatency, Percentiles, Window, WindowLatency};
    use cutover_evidence::verdict::State;

    const LIMIT: f64 = 1.10;

    /// A load on which nothing is wrong.
    fn sound() -> DriveEvidence {
        let windows = (0..12).flat_map(|pair: u32| [(pair, false), (pair, true)]);
        let latency = |p95_us| WindowLatency { arrivals: 900, errors: 0, p95_us: Some(p95_us) };
        let mut drive = DriveEvidence {
            complete: true,
            mode_proven: true,
            requests: 20_000,
            generator_cpu_share: 0.2,
            overall: [(
                Side::Legacy,
                ModeLatency {
                    response_us: Percentiles { p95: 5000, ..Percentiles::default() },
                    ..ModeLatency::default()
                },
            )]
            .into(),
            windows: windows
                .map(|(pair, candidate)| Window {
                    pair,
                    candidate,
                    start_s: f64::from(2 * pair) + f64::from(u8::from(candidate)),
                    end_s: f64::from(2 * pair) + f64::from(u8::from(candidate)) + 1.0,
                    all: latency(5000 + u64::from(pair % 3) * 10),
                    without_own_lag: latency(4900 + u64::from(pair % 3) * 10),
                    ..Window::default()
                })
                .collect(),
            ..DriveEvidence::default()
        };
        drive.comparison = compare(&drive, LIMIT);
        drive
    }

    fn states(drive: &DriveEvidence) -> Vec<(CriterionId, State)> {
        judge(Some(drive), LIMIT).into_iter().map(|c| (c.id, c.state)).collect()
    }

    fn state(id: CriterionId, change: impl FnOnce(&mut DriveEvidence)) -> State {
        let mut drive = sound();
        change(&mut drive);
        let states = states(&drive);
        states.into_iter().find(|(known, _)| *known == id).expect("a criterion").1
    }

    #[test]
    fn the_words_of_the_limits_hold_the_figures_that_are_judged_by() {
        let words = |id| criterion(id).limit;
        let generator = words(CriterionId::GeneratorSound);
        for figure in [SKIPPED_LIMIT, GENERATOR_CPU_LIMIT] {
            assert!(generator.contains(&format!("≤ {} %", figure * 100.0)), "{generator}");
        }
        let lag = words(CriterionId::SchedulingLag);
        assert!(lag.contains(&format!("≤ {} %", DOMINANT_LAG * 100.0)), "{lag}");
    }

    #[test]
    fn a_sound_load_is_trusted() {
        assert!(states(&sound()).iter().all(|(_, state)| *state == State::Pass));
    }

    #[test]
    fn each_flaw_of_the_generator_makes_the_run_invalid() {
        let flaws: [fn(&mut DriveEvidence); 4] = [
            |drive| drive.skipped = 21,
            |drive| drive.own_want = 1,
            |drive| drive.generator_cpu_share = 0.81,
            |drive| drive.lost_workers = 1,
        ];
        for (index, flaw) in flaws.into_iter().enumerate() {
            assert_eq!(state(CriterionId::GeneratorSound, flaw), State::Fail, "flaw {index}");
        }
        assert_eq!(state(CriterionId::GeneratorSound, |drive| drive.skipped = 20), State::Pass);
        assert_eq!(
            state(CriterionId::GeneratorSound, |drive| drive.complete = false),
            State::Unknown
        );
    }

    #[test]
    fn lag_spoils_a_run_that_measured_little_else() {
        let lag = |baseline_us, lag_us| {
            state(CriterionId::SchedulingLag, move |drive| {
                drive.scheduling_lag_us.p95 = lag_us;
                // Rare lags above it are of no consequence for a p95.
                drive.scheduling_lag_us.p99 = 10 * lag_us;
                let legacy = drive.overall.get_mut(&Side::Legacy).expect("there");
                legacy.response_us.p95 = baseline_us;
            })
        };
        assert_eq!((lag(5000, 2500), lag(5000, 2501)), (State::Pass, State::Fail));
        // Half a millisecond matters to nobody, however fast the target is.
        assert_eq!((lag(600, 500), lag(600, 501)), (State::Pass, State::Fail));
    }

    #[test]
    fn lag_of_one_mode_that_could_decide_is_invalid() {
        let lags = |legacy_us, partitioned_us| {
            state(CriterionId::SchedulingLag, move |drive| {
                let response_us = Percentiles { p95: 8000, ..Percentiles::default() };
                for (mode, p95) in [(Side::Legacy, legacy_us), (Side::Partitioned, partitioned_us)]
                {
                    let lag_us = Percentiles { p95, ..Percentiles::default() };
                    let latency = ModeLatency { response_us, lag_us, ..ModeLatency::default() };
                    drive.overall.insert(mode, latency);
                }
            })
        };
        // 10 % of 8 ms.
        assert_eq!((lags(1000, 1800), lags(1800, 1000)), (State::Pass, State::Pass));
        assert_eq!((lags(1000, 1801), lags(1801, 1000)), (State::Fail, State::Fail));
    }

    #[test]
    fn a_finding_that_the_lag_has_made_is_invalid() {
        // Felt alike, because both sides wait for the generator; a third slower without it.
        let hidden = state(CriterionId::SchedulingLag, |drive| {
            for window in drive.windows.iter_mut().filter(|window| window.candidate) {
                window.without_own_lag.p95_us = Some(6500);
            }
        });
        assert_eq!(hidden, State::Fail);
        let missing = state(CriterionId::SchedulingLag, |drive| {
            drive.windows.iter_mut().for_each(|w| w.without_own_lag.p95_us = None);
        });
        assert_eq!(missing, State::Fail);
    }

    #[test]
    fn lag_that_keeps_a_finding_from_being_made_widens_the_interval_and_spoils_nothing() {
        let mut drive = sound();
        for window in drive.windows.iter_mut().filter(|window| window.candidate) {
            window.without_own_lag.p95_us = Some(if window.pair % 2 == 0 { 3900 } else { 6900 });
        }
        let comparison = compare(&drive, LIMIT).expect("twelve pairs");
        assert!(comparison.p95_ratio_low < 0.95 && comparison.p95_ratio_high > LIMIT);
        let lag =
            judge(Some(&drive), LIMIT).into_iter().find(|c| c.id == CriterionId::SchedulingLag);
        assert_eq!(lag.expect("there").state, State::Pass);
    }

    #[test]
    fn a_mode_that_was_not_proven_is_invalid() {
        assert_eq!(state(CriterionId::ServedAsAsked, |drive| drive.wrong_mode = 1), State::Fail);
        assert_eq!(
            state(CriterionId::ServedAsAsked, |drive| drive.unproven_windows = 1),
            State::Fail
        );
        let left = |drive: &mut DriveEvidence| drive.flag_left_changed = Some("refused".into());
        assert_eq!(state(CriterionId::ServedAsAsked, left), State::Fail);
        assert_eq!(
            state(CriterionId::ServedAsAsked, |drive| drive.mode_proven = false),
            State::Unknown
        );
    }

    #[test]
    fn a_calibration_has_to_find_nothing_and_to_be_able_to() {
        let with = |low: f64, high: f64| {
            state(CriterionId::Calibration, move |drive| {
                drive.calibration = true;
                let comparison = drive.comparison.as_mut().expect("twelve pairs");
                *comparison = Comparison {
                    p95_ratio_low: low,
                    p95_ratio_high: high,
                    ..std::mem::take(comparison)
                };
            })
        };
        assert_eq!(with(0.98, 1.03), State::Pass);
        assert_eq!(with(1.005, 1.03), State::Pass);
        assert_eq!(with(1.02, 1.05), State::Fail);
        assert_eq!(with(0.93, 0.97), State::Fail);
        assert_eq!(with(0.85, 1.15), State::Fail);
    }

    #[test]
    fn a_capacity_is_never_a_ground_for_a_go() {
        let mut drive = sound();
        drive.closed_loop = true;
        let states = states(&drive);
        let unknown = |id| states.iter().any(|(of, s)| *of == id && *s == State::Unknown);
        assert!(
            unknown(CriterionId::GeneratorSound) && unknown(CriterionId::SchedulingLag),
            "{states:?}"
        );
    }
}
