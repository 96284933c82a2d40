//! A trial before the load: how long answers take, and how much a machine can carry that has to carry
//! the servers, too.
//!
//! A few seconds of reads tell p95, from which the length of windows follows, and on a rig of our own
//! what one request costs generator and servers together. The rate that follows leaves them well below
//! what makes requests wait for a processor: then the comparison measures the twins and not the queue,
//! on a small machine as on a large one. What others use is nobody's to give away.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::{LoadShape, Options, REQUEST_TIMEOUT};
use crate::act::ActContext;
use crate::config::ParityConfig;
use crate::drive;
use crate::error::{Context, Result};
use crate::evidence::drive::Side;
use crate::evidence::machine::{Calibration, MachinePoint};
use crate::routing::Switch;
use crate::scenario::Plan;

/// Length of the trial.
const TRIAL: Duration = Duration::from_secs(5);
/// Not measured of it: connections are made, plans and caches filled.
const WARM_UP: Duration = Duration::from_secs(1);
/// Rounds of windows of it.
const ROUNDS: u32 = 10;
/// Share of the processors that generator and rig are to use: writes, which the trial leaves out, cost
/// more than reads, and 60 % must not be passed.
const AIMED_SHARE: f64 = 0.35;
/// No machine is too slow for so few requests a second, and more of them prove nothing that so many
/// do not.
const RATES_PER_S: (f64, f64) = (50.0, 400.0);

/// Tries the reads at the rate that was asked for, or at the usual one; `None` if the traffic only
/// writes, or nothing was answered. Nothing is written but the trial's own files, which go.
///
/// # Errors
/// If the load cannot be driven.
pub(super) async fn calibrate(
    options: &Options,
    base_url: &Url,
    context: &ActContext,
) -> Result<Option<Calibration>> {
    let Ok((scenario, _)) = options.scenario.as_ref().clone().reads_only() else {
        return Ok(None);
    };
    let shape = LoadShape {
        pairs: 1,
        rounds: ROUNDS,
        looks: 1,
        window: (TRIAL - WARM_UP) / (2 * ROUNDS),
        warm_up: WARM_UP,
        ..options.load
    };
    let scenario = Arc::new(scenario);
    let plan = shape.plan_options(&Side::BOTH, options.orgs, options.rng_seed);
    let plan = Plan::new(&scenario, &plan)?;
    let drive_options = drive::Options {
        connections: shape.connections,
        timeout: REQUEST_TIMEOUT,
        as_of: options.as_of,
        rate_per_s: shape.rate_per_s,
        ahead: true,
        closed_loop: false,
        database_url: None,
        tables: options.config.tables.clone(),
        parity: ParityConfig { share: 0.0, ..ParityConfig::default() },
        org_sizes: None,
        shard: None,
        start_at: None,
        metrics_listen: None,
        dashboard: None,
        executable: Some(options.executable.clone()),
        judge: None,
    };
    let out = tempfile::tempdir().or_run("cannot make a folder for the trial of the rate", "")?;
    let switch = Switch::new(&options.config, base_url)?;
    let quiet = ActContext::new(|_| {}, context.stop.clone());
    let driven = drive::run(scenario, plan, switch, &drive_options, out.path(), &quiet).await?;
    let evidence = driven.evidence;
    let p95_us = evidence.overall.values().map(|latency| latency.response_us.p95).max();
    let Some(p95_us) = p95_us.filter(|us| *us < REQUEST_TIMEOUT.as_micros() as u64) else {
        return Ok(None);
    };
    let chosen = choose(shape.rate_per_s, &evidence.machine).filter(|_| options.calibrates);
    let unchosen = Calibration {
        tried_per_s: shape.rate_per_s,
        rate_per_s: shape.rate_per_s,
        ..Calibration::default()
    };
    if let Some(found) = &chosen {
        context.note(format!(
            "calibrated: {:.0} req/s used {:.0} % of this machine (others {:.0} %)",
            found.tried_per_s,
            found.own_share * 100.0,
            found.other_share * 100.0
        ));
    }
    Ok(Some(Calibration { p95_us, ..chosen.unwrap_or(unchosen) }))
}

/// The rate that follows from what was seen at another; `None` if nothing was.
fn choose(tried_per_s: f64, seen: &[MachinePoint]) -> Option<Calibration> {
    let seen: Vec<&MachinePoint> =
        seen.iter().filter(|point| point.at_s > WARM_UP.as_secs_f64()).collect();
    let mean = |of: fn(&MachinePoint) -> f64| {
        seen.iter().map(|point| of(point)).sum::<f64>() / seen.len() as f64
    };
    let own_share = mean(|point| point.own_share);
    if seen.is_empty() || own_share <= 0.0 {
        return None;
    }
    let other_share = mean(|point| point.busy_share - point.own_share + point.steal_share);
    let aimed_share = AIMED_SHARE * (1.0 - other_share).max(0.0);
    let rate = tried_per_s * aimed_share / own_share;
    // In steps, so that two runs on one machine usually have the same.
    let rate_per_s = ((rate / 50.0).floor() * 50.0).clamp(RATES_PER_S.0, RATES_PER_S.1);
    let p95_us = 0;
    Some(Calibration { tried_per_s, p95_us, own_share, other_share, aimed_share, rate_per_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(own_share: f64, busy_share: f64, steal_share: f64) -> Vec<MachinePoint> {
        let point =
            |at_s| MachinePoint { at_s, own_share, busy_share, steal_share, ..Default::default() };
        // What was before the trial had warmed up does not count.
        let before =
            MachinePoint { at_s: 0.5, own_share: 1.0, busy_share: 1.0, ..Default::default() };
        [before, point(2.0), point(3.0)].into()
    }

    fn rate(own: f64, busy: f64, steal: f64) -> Option<f64> {
        choose(250.0, &seen(own, busy, steal)).map(|found| found.rate_per_s)
    }

    #[test]
    fn the_rate_follows_what_a_request_costs_and_what_others_leave() {
        assert_eq!(rate(0.25, 0.25, 0.0), Some(350.0));
        // Somebody else takes half of the machine, the hypervisor a tenth.
        assert_eq!(rate(0.20, 0.70, 0.1), Some(150.0));
        assert_eq!((rate(0.01, 0.01, 0.0), rate(0.9, 1.0, 0.0)), (Some(400.0), Some(50.0)));
    }

    #[test]
    fn what_nobody_saw_calibrates_nothing() {
        assert_eq!(choose(250.0, &[]), None);
        assert_eq!(rate(0.0, 0.5, 0.0), None);
    }
}
