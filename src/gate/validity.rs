//! The criteria about the measurement itself: can it be trusted?

use super::catalogue::criterion;
use super::load::{NO_LOAD, milliseconds, percent};
use super::statistics::{MIN_PAIRS, without_own_lag};
use crate::evidence::drive::{DriveEvidence, Mode, Window};
use crate::evidence::verdict::Criterion;

/// The criterion that a single shard can never meet.
pub const WHOLE_PLAN: &str = "whole_plan";

/// Arrivals that nobody could send.
const SKIPPED_LIMIT: f64 = 0.001;
/// Share of the processors the generator may use itself.
const GENERATOR_CPU_LIMIT: f64 = 0.8;
/// Lag that may matter: above this, and above [`LAG_SHARE`] of the baseline's p95.
const LAG_LIMIT_US: u64 = 2000;
const LAG_SHARE: f64 = 0.2;
/// A machine on which the same side differs from itself by less than this can be judged on.
const CALIBRATION_TOLERANCE: f64 = 1.01;

/// Criteria about the measurement; `drive` is `None` where no request was measured, `limit` the
/// ratio of p95 that is judged, for example 1.10.
pub(super) fn all(drive: Option<&DriveEvidence>, limit: f64) -> Vec<Criterion> {
    let mut criteria =
        vec![right_mode(drive), generator(drive), scheduling_lag(drive, limit), clock(drive)];
    criteria.extend(drive.and_then(whole_plan));
    criteria.extend(drive.filter(|drive| drive.calibration).map(|d| calibration(d, limit)));
    criteria
}

/// Where the plan was shared among several generators: that all of them are there.
fn whole_plan(drive: &DriveEvidence) -> Option<Criterion> {
    let criterion = criterion(WHOLE_PLAN);
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
    let criterion = criterion("served_as_asked");
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
        return criterion.note("the platform does not say which side served an answer");
    }
    criterion.measured(drive.wrong_mode == 0, drive.wrong_mode.to_string())
}

fn generator(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion("generator_sound");
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
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

fn scheduling_lag(drive: Option<&DriveEvidence>, limit: f64) -> Criterion {
    let criterion = criterion("scheduling_lag");
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
    if drive.closed_loop {
        return criterion.note("nothing was due at any time (--rate max)");
    }
    let lag_us = drive.scheduling_lag_us.p99;
    let baseline_us = drive.overall.get(&Mode::Legacy).map_or(0, |legacy| legacy.response_us.p95);
    let matters = lag_us > LAG_LIMIT_US && lag_us as f64 > LAG_SHARE * baseline_us as f64;
    let measured = format!("p99 {}", milliseconds(lag_us));
    match disagreement(drive, limit) {
        // A finding against none is too little evidence, not a measurement that lies.
        Some((note, false)) if !matters => {
            Criterion { measured: Some(measured), ..criterion }.note(note)
        }
        Some((note, _)) if !matters => {
            criterion.measured(false, format!("{measured}; the finding hangs on it")).note(note)
        }
        Some((note, _)) => criterion.measured(false, measured).note(note),
        None => criterion.measured(!matters, measured),
    }
}

/// Where the generator's own lag decides about the overall p95: a finding that is another once the
/// lag is taken out; with whether both say something, the one the contrary of the other.
fn disagreement(drive: &DriveEvidence, limit: f64) -> Option<(String, bool)> {
    let comparison = drive.comparison.as_ref()?;
    if (comparison.pairs as usize) < MIN_PAIRS {
        return None;
    }
    const UNDECIDED: &str = "undecided";
    let finding = |low: f64, high: f64| match () {
        () if low > limit => "too slow",
        () if high < limit => "fast enough",
        () => UNDECIDED,
    };
    let felt = finding(comparison.p95_ratio_low, comparison.p95_ratio_high);
    let Some(without) = without_own_lag(drive) else {
        let note = "response times without the generator's own lag cannot be compared";
        return Some((note.into(), true));
    };
    let own = finding(without.low, without.high);
    (own != felt).then(|| {
        let note = format!(
            "partitioned is {felt} as felt, but {own} ({} to {}) without the generator's own lag",
            percent(without.low),
            percent(without.high)
        );
        (note, own != UNDECIDED && felt != UNDECIDED)
    })
}

fn clock(drive: Option<&DriveEvidence>) -> Criterion {
    let criterion = criterion("clock_sound");
    let Some(drive) = drive else {
        return criterion.note(NO_LOAD);
    };
    let lasts = |window: &Window| window.end_s > window.start_s && window.end_s.is_finite();
    let forwards = drive.windows.iter().all(lasts)
        && drive.windows.is_sorted_by(|one, next| one.end_s <= next.start_s);
    criterion.measured(forwards, format!("{} windows", drive.windows.len()))
}

fn calibration(drive: &DriveEvidence, limit: f64) -> Criterion {
    let criterion = criterion("calibration");
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
            (true, false) => {
                "too noisy to see the limit: more pairs, longer windows, a quieter machine"
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::drive::{Comparison, ModeLatency, Percentiles, Window, WindowLatency};
    use crate::evidence::verdict::State;
    use crate::gate::statistics::compare;

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
                Mode::Legacy,
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

    fn states(drive: &DriveEvidence) -> Vec<(String, State)> {
        all(Some(drive), LIMIT).into_iter().map(|c| (c.id, c.state)).collect()
    }

    fn state(id: &str, change: impl FnOnce(&mut DriveEvidence)) -> State {
        let mut drive = sound();
        change(&mut drive);
        let states = states(&drive);
        states.into_iter().find(|(known, _)| known == id).expect("a criterion").1
    }

    #[test]
    fn the_words_of_the_limits_hold_the_figures_that_are_judged_by() {
        let words = |id: &str| criterion(id).limit;
        let generator = words("generator_sound");
        for figure in [SKIPPED_LIMIT, GENERATOR_CPU_LIMIT] {
            assert!(generator.contains(&format!("≤ {} %", figure * 100.0)), "{generator}");
        }
        let lag = words("scheduling_lag");
        assert!(lag.contains(&format!("≤ {} ms", LAG_LIMIT_US / 1000)), "{lag}");
        assert!(lag.contains(&format!("≤ {} %", LAG_SHARE * 100.0)), "{lag}");
    }

    #[test]
    fn a_sound_load_is_trusted() {
        assert!(states(&sound()).iter().all(|(_, state)| *state == State::Pass));
    }

    #[test]
    fn each_flaw_of_the_generator_makes_the_run_invalid() {
        let flaws: [fn(&mut DriveEvidence); 3] = [
            |drive| drive.skipped = 21,
            |drive| drive.generator_cpu_share = 0.81,
            |drive| drive.lost_workers = 1,
        ];
        for (index, flaw) in flaws.into_iter().enumerate() {
            assert_eq!(state("generator_sound", flaw), State::Fail, "flaw {index}");
        }
        assert_eq!(state("generator_sound", |drive| drive.skipped = 20), State::Pass);
        assert_eq!(state("generator_sound", |drive| drive.complete = false), State::Unknown);
    }

    #[test]
    fn lag_counts_above_both_limits_only() {
        let lag = |us| state("scheduling_lag", move |drive| drive.scheduling_lag_us.p99 = us);
        // 20 % of 5 ms is 1 ms; 2 ms is the higher limit.
        assert_eq!((lag(2000), lag(2001)), (State::Pass, State::Fail));
        let slow_target = state("scheduling_lag", |drive| {
            drive.scheduling_lag_us.p99 = 2500;
            let legacy = drive.overall.get_mut(&Mode::Legacy).expect("there");
            legacy.response_us.p95 = 20_000;
        });
        assert_eq!(slow_target, State::Pass);
    }

    #[test]
    fn a_finding_that_the_lag_has_made_is_invalid() {
        // Felt alike, because both sides wait for the generator; a third slower without it.
        let hidden = state("scheduling_lag", |drive| {
            for window in drive.windows.iter_mut().filter(|window| window.candidate) {
                window.without_own_lag.p95_us = Some(6500);
            }
        });
        assert_eq!(hidden, State::Fail);
        let missing = state("scheduling_lag", |drive| {
            drive.windows.iter_mut().for_each(|w| w.without_own_lag.p95_us = None);
        });
        assert_eq!(missing, State::Fail);
    }

    #[test]
    fn a_finding_that_cannot_be_made_without_the_lag_is_not_known() {
        let noisy = |lag_us| {
            state("scheduling_lag", |drive| {
                drive.scheduling_lag_us.p99 = lag_us;
                for window in drive.windows.iter_mut().filter(|window| window.candidate) {
                    window.without_own_lag.p95_us =
                        Some(if window.pair % 2 == 0 { 3900 } else { 6900 });
                }
            })
        };
        assert_eq!((noisy(900), noisy(2001)), (State::Unknown, State::Fail));
    }

    #[test]
    fn a_lag_that_only_keeps_a_finding_from_being_made_spoils_nothing() {
        // Felt between −15 and +15 %, and alike without the lag: undecided, but no lie.
        let blurred = |lag_us| {
            state("scheduling_lag", |drive| {
                drive.scheduling_lag_us.p99 = lag_us;
                let comparison = drive.comparison.as_mut().expect("twelve pairs");
                (comparison.p95_ratio_low, comparison.p95_ratio_high) = (0.85, 1.15);
            })
        };
        assert_eq!((blurred(900), blurred(2001)), (State::Unknown, State::Fail));
    }

    #[test]
    fn a_mode_that_was_not_proven_is_invalid() {
        assert_eq!(state("served_as_asked", |drive| drive.wrong_mode = 1), State::Fail);
        assert_eq!(state("served_as_asked", |drive| drive.unproven_windows = 1), State::Fail);
        let left = |drive: &mut DriveEvidence| drive.flag_left_changed = Some("refused".into());
        assert_eq!(state("served_as_asked", left), State::Fail);
        assert_eq!(state("served_as_asked", |drive| drive.mode_proven = false), State::Unknown);
    }

    #[test]
    fn a_calibration_has_to_find_nothing_and_to_be_able_to() {
        let with = |low: f64, high: f64| {
            state("calibration", move |drive| {
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
        let unknown = |id: &str| states.iter().any(|(of, s)| of == id && *s == State::Unknown);
        assert!(unknown("generator_sound") && unknown("scheduling_lag"), "{states:?}");
    }
}
