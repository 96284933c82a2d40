//! The journey of a rollout on one page.

use serde::Serialize;

use super::html::{Sheet, clip, environment};
use crate::evidence::drill::Drill;
use crate::evidence::rollout::{RolloutEvidence, RolloutStep};
use crate::evidence::verdict::Decision;

#[derive(Serialize)]
struct Page {
    #[serde(flatten)]
    sheet: Sheet,
    label: &'static str,
    tone: &'static str,
    action: &'static str,
    exit_code: i32,
    reasons: Vec<String>,
    run_id: String,
    facts: Vec<String>,
    command: String,
    steps: Vec<Step>,
    drills: Vec<DrillRow>,
}

#[derive(Serialize)]
struct Step {
    percent: String,
    /// Width of its bar, percent.
    width: String,
    share: String,
    routing: String,
    ratio: String,
    requests: String,
    rows: String,
    label: &'static str,
    tone: &'static str,
    done: String,
    planted: String,
    folder: String,
    took: String,
}

#[derive(Serialize)]
struct DrillRow {
    name: String,
    took: String,
    word: &'static str,
    tone: &'static str,
    note: String,
}

/// The page as text.
pub fn render(evidence: &RolloutEvidence) -> String {
    let left = evidence.flag_left_at.map_or("unknown".to_owned(), |percent| format!("{percent} %"));
    let page = Page {
        sheet: Sheet::new(format!("{} · rollout {}", evidence.decision.label(), evidence.run_id)),
        label: evidence.decision.label(),
        tone: tone(evidence.decision),
        action: evidence.action.label(),
        exit_code: evidence.exit_code,
        reasons: evidence.reasons.iter().map(|reason| clip(reason)).collect(),
        run_id: evidence.run_id.clone(),
        facts: vec![
            evidence.started_at.clone(),
            format!("{:.1} min", evidence.duration_s / 60.0),
            format!("{} orgs", evidence.orgs),
            format!("flag left at {left}"),
        ],
        command: evidence.command.clone(),
        steps: evidence.steps.iter().map(step).collect(),
        drills: evidence.drills.iter().map(drill).collect(),
    };
    environment()
        .get_template("rollout.html")
        .and_then(|template| template.render(minijinja::value::Serde(&page)))
        .expect("the template and its view are compiled in, and rendered by a test")
}

fn step(step: &RolloutStep) -> Step {
    let routing = &step.routing;
    let share = routing.share.map(|share| format!("{:.2} %", share * 100.0));
    let words = match routing.proven {
        true => format!("{} orgs, sticky, monotone", routing.orgs),
        false => format!(
            "of {} orgs {} silent, {} wavering, {} dropped; allowed ± {:.2} points",
            routing.orgs,
            routing.silent,
            routing.wavering,
            routing.dropped,
            routing.tolerance * 100.0
        ),
    };
    Step {
        percent: format!("{} %", step.percent),
        width: format!("{:.1}", routing.share.unwrap_or(0.0) * 100.0),
        share: share.unwrap_or("no answer".into()),
        routing: words,
        ratio: step.p95_ratio.map_or("—".into(), |ratio| format!("{ratio:.3}")),
        requests: step.requests.to_string(),
        rows: format!("{} of {} orgs differ", step.orgs_diverged, step.orgs_checked),
        label: step.decision.label(),
        tone: tone(step.decision),
        done: step.done.clone(),
        planted: step.planted.clone().unwrap_or_default(),
        folder: step.folder.clone(),
        took: format!("{:.0} s", step.duration_s),
    }
}

fn drill(drill: &Drill) -> DrillRow {
    let limit = drill.limit_s.map_or(String::new(), |limit| format!(" of {limit:.0} s"));
    let took = drill.measured_s.map_or("no time".into(), |took| format!("{took:.1} s{limit}"));
    let (word, tone) = if drill.passed() { ("PROVEN", "go") } else { ("NOT PROVEN", "no-go") };
    DrillRow { name: drill.name.clone(), took, word, tone, note: clip(&drill.note) }
}

fn tone(decision: Decision) -> &'static str {
    match decision {
        Decision::Go => "go",
        Decision::NoGo => "no-go",
        Decision::Inconclusive => "inconclusive",
        Decision::Invalid => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_journey_and_a_hostile_one_are_pages() {
        let empty = render(&RolloutEvidence::default());
        assert!(empty.contains("INVALID") && empty.contains("flag left at unknown"));
        let step = RolloutStep {
            percent: 25.0,
            decision: Decision::NoGo,
            planted: Some("<script>".into()),
            reasons: vec!["</style>".into()],
            ..RolloutStep::default()
        };
        let drills = vec![Drill { name: "restore".into(), note: "<b>".into(), ..Drill::default() }];
        let page = render(&RolloutEvidence {
            steps: vec![step],
            drills,
            reasons: vec!["<i>".into()],
            ..RolloutEvidence::default()
        });
        assert!(page.contains("25 %") && page.contains("NOT PROVEN"), "{page}");
        for hostile in ["<script>", "<b>", "<i>"] {
            assert!(!page.contains(hostile), "{hostile}");
        }
    }
}
