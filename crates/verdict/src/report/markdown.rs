//! `report.md`: for a pull request, or for the summary of a CI step.

use std::fmt::Write;

use super::escape::{code, escape};
use super::facts::{self, LatencyRow, latency_rows};
use super::text::{self, NOTHING, count, ms, signed_count};
use cutover_error::foreign;
use cutover_evidence::drive::{DriveEvidence, Side};
use cutover_evidence::finding::{DiffEvidence, Finding};
use cutover_evidence::run_record::RunRecord;
use cutover_evidence::verdict::{Decision, State};

/// What a comment on a pull request may hold, with room for what stands around it (GitHub: 65,536
/// characters). Sections that no longer fit are named instead.
const SIZE_LIMIT: usize = 60_000;
/// Lines of one list or table; `report.html` has more.
const MOST_LINES: usize = 40;
/// Orgs named here; `orgs.csv` has all of them.
const MOST_ORGS: usize = 10;

/// Writes one part of the summary; nothing if it has nothing to say.
type Section = fn(&RunRecord) -> String;

/// The summary as Markdown.
pub fn render(record: &RunRecord) -> String {
    let mut out = verdict(record);
    let mut left_out = Vec::new();
    let of_a_load: &[(&str, Section)] = &[
        ("What is missing", missing),
        ("Criteria", criteria),
        ("p95 by operation", latency),
        ("Rows", rows),
        ("Writes", writes),
        ("Answers", answers),
        ("The run", run),
    ];
    let of_a_rollout: &[(&str, Section)] = &[
        ("The journey", journey),
        ("What is missing", missing),
        ("Criteria", criteria),
        ("The run", run),
    ];
    let sections = if record.rollout.is_some() { of_a_rollout } else { of_a_load };
    for (title, section) in sections {
        let body = section(record);
        if body.is_empty() {
            continue;
        }
        if out.len() + body.len() > SIZE_LIMIT {
            left_out.push(*title);
        } else {
            let _ = write!(out, "\n## {title}\n\n{body}");
        }
    }
    if !left_out.is_empty() {
        let _ = write!(out, "\n_Too long for this page: {}._\n", left_out.join(", "));
    }
    out.push_str("\nEverything else stands in `report.html` of the same folder.\n");
    out
}

fn verdict(record: &RunRecord) -> String {
    let verdict = &record.verdict;
    let mark = match verdict.decision {
        Decision::Go => "✔",
        Decision::NoGo => "✘",
        Decision::Inconclusive => "?",
        Decision::Invalid => "⊘",
    };
    let (label, action) = (verdict.decision.label(), verdict.action.label());
    let mut out = format!("# {mark} {label}: {action}\n\n");
    let _ = writeln!(out, "{}", facts::meaning(verdict.decision));
    let exit = match facts::is_judged(record) {
        true => {
            let code = verdict.exit_code;
            format!("exit code **{code}** ({})", code.meaning())
        }
        false => "**not judged**".to_owned(),
    };
    let run = if record.run_id.is_empty() { "without a name" } else { &record.run_id };
    let _ = writeln!(out, "\nRun {} · {} · {exit}", code(run), escape(&facts::gate_name(record)));
    for sentence in facts::contradictions(record) {
        let _ =
            writeln!(out, "\n> **This record contradicts itself: do not act on it.** {sentence}");
    }
    let reasons = verdict.reasons.iter().map(|reason| format!("- {}", escape(reason)));
    out.push_str("\n## Reasons\n\n");
    out.push_str(&list(reasons, "No reason is recorded. Without a reason there is no pass."));
    if !verdict.steps.is_empty() {
        let steps = verdict.steps.iter().enumerate();
        out.push_str("\n## What to do next\n\n");
        out.push_str(&list(steps.map(|(i, step)| format!("{}. {}", i + 1, escape(step))), ""));
    }
    out
}

fn journey(record: &RunRecord) -> String {
    record.rollout.as_ref().map_or(String::new(), super::rollout::table)
}

fn missing(record: &RunRecord) -> String {
    let missing = facts::missing(record);
    let lines = missing.iter().map(|m| format!("- **{}**: {}", escape(&m.what), escape(&m.why)));
    list(lines, "")
}

fn criteria(record: &RunRecord) -> String {
    let lines = facts::ordered_criteria(record).into_iter().map(|c| {
        let state = match c.state {
            State::Pass => "pass",
            State::Fail => "**fail**",
            State::Unknown => "**unknown**",
        };
        let measured = c.measured.as_deref().map_or("_not measured_".to_owned(), escape);
        format!(
            "| {state} | {} | {} | {measured} | {} | {} |",
            facts::kind_label(c.kind),
            escape(&c.title),
            escape(&c.limit),
            escape(&c.note)
        )
    });
    let head = "| state | kind | criterion | measured | limit | note |\n\
                | --- | --- | --- | ---: | ---: | --- |\n";
    table(head, lines, "Not one criterion was judged, so nothing was passed.")
}

fn latency(record: &RunRecord) -> String {
    let Some(drive) = &record.drive else {
        return "No load was measured.\n".to_owned();
    };
    let head = "| operation | requests | errors | legacy, ms | partitioned, ms | difference | \
                paired ratio |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    let rows = latency_rows(drive);
    table(head, rows.iter().map(|row| latency_line(row, drive)), "No operation was measured.")
}

fn latency_line(row: &LatencyRow<'_>, drive: &DriveEvidence) -> String {
    let sides = || Side::BOTH.into_iter().filter_map(|mode| row.mode(mode));
    let requests = sides().fold(0u64, |sum, side| sum.saturating_add(side.requests));
    let errors = sides().fold(0u64, |sum, side| sum.saturating_add(side.errors));
    let p95 = |mode| row.mode(mode).map_or("_none_".to_owned(), |side| ms(side.response_us.p95));
    let difference = match row.p95_difference() {
        None => NOTHING.to_owned(),
        Some((us, ratio)) => format!("{} ({} ms)", text::change(ratio), text::signed_ms(us)),
    };
    let paired = match (row.name, &drive.comparison, row.comparison) {
        (None, Some(all), _) if all.pairs > 1 => {
            interval(Some(all.p95_ratio), Some(all.p95_ratio_low), Some(all.p95_ratio_high))
        }
        (Some(_), _, Some(one)) => interval(one.p95_ratio, one.p95_ratio_low, one.p95_ratio_high),
        _ => NOTHING.to_owned(),
    };
    format!(
        "| {} | {} | {} | {} | {} | {difference} | {paired} |",
        row.name.map_or("**all operations**".to_owned(), escape),
        count(requests),
        count(errors),
        p95(Side::Legacy),
        p95(Side::Partitioned),
    )
}

fn interval(ratio: Option<f64>, low: Option<f64>, high: Option<f64>) -> String {
    let show = |value: Option<f64>| value.map_or(NOTHING.to_owned(), text::ratio);
    match ratio {
        None => "too few pairs".to_owned(),
        Some(_) => format!("{} ({} to {})", show(ratio), show(low), show(high)),
    }
}

fn rows(record: &RunRecord) -> String {
    let mut out = String::new();
    for diff in record.diff_before.iter().chain(&record.diff) {
        out.push_str(&diff_table(diff));
    }
    if record.diff.is_none() {
        out.push_str("No diff was made after the load, so nobody knows whether a row differs.\n");
    }
    let orgs = record.diff.as_ref().map_or(&[][..], |diff| &diff.orgs);
    if !orgs.is_empty() {
        let named: Vec<String> = orgs
            .iter()
            .take(MOST_ORGS)
            .map(|o| {
                format!(
                    "{} ({}: {})",
                    code(&foreign::value(&o.org_id)),
                    escape(&o.table),
                    count(o.counts.total())
                )
            })
            .collect();
        let _ = writeln!(out, "Worst orgs: {}. All of them: `orgs.csv`.", named.join(", "));
    }
    out
}

fn writes(record: &RunRecord) -> String {
    let Some(ledger) = record.drive.as_ref().and_then(|drive| drive.ledger.as_ref()) else {
        return String::new();
    };
    let mut out = format!(
        "{} writes: {} acknowledged, {} refused, {} unknown",
        count(ledger.writes),
        count(ledger.ok),
        count(ledger.fail),
        count(ledger.unknown)
    );
    if !ledger.complete {
        let _ =
            write!(out, "; **not held against the tables**: {}", escape(&ledger.incomplete_reason));
    }
    out.push_str(".\n\n");
    let classes: Vec<_> = ledger.counts.by_fault().collect();
    let heads: String = classes.iter().map(|(fault, _)| format!(" {fault} |")).collect();
    let rules = " ---: |".repeat(classes.len());
    let bold =
        |n: u64| if n > 0 { format!(" **{}** |", count(n)) } else { format!(" {} |", count(n)) };
    let cells: String = classes.iter().map(|(_, n)| bold(*n)).collect();
    let _ = writeln!(out, "|{heads}\n|{rules}\n|{cells}");
    out.push_str(&findings(&ledger.findings));
    out
}

fn answers(record: &RunRecord) -> String {
    let mut out = String::new();
    let Some(drive) = &record.drive else { return out };
    if let Some(isolation) = &drive.isolation {
        let (leaks, checked) = (count(isolation.leaks), count(isolation.answers_checked));
        let _ = writeln!(out, "{leaks} of {checked} answers held another org's data.");
        out.push_str(&findings(&isolation.findings));
    }
    if let Some(parity) = &drive.parity {
        let (asked, compared) = (count(parity.asked), count(parity.compared));
        let differing = count(parity.differing);
        let _ = writeln!(
            out,
            "\n{differing} of {compared} answers differ between the sides; {asked} questions asked."
        );
        if !parity.complete {
            let reason = escape(&parity.incomplete_reason);
            let _ = writeln!(out, "**Not asked to the end**: {reason}.");
        }
        out.push_str(&findings(&parity.findings));
    }
    out
}

/// The first findings, one a line.
fn findings(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let org = code(&foreign::value(finding.org_id.as_deref().unwrap_or(NOTHING)));
        let (class, table) = (finding.class, escape(&finding.table));
        let detail = escape(finding.detail.as_deref().unwrap_or_default());
        format!("\n- **{class}** in {table}, org {org}: {detail}")
    };
    let mut lines: String = findings.iter().take(MOST_ORGS).map(line).collect();
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines
}

fn diff_table(diff: &DiffEvidence) -> String {
    let title = facts::diff_title(diff);
    let (checked, diverged) = (count(diff.orgs_checked), count(diff.orgs_diverged));
    let mut out = format!("**{title}**: {checked} orgs checked, {diverged} diverged");
    if !diff.complete {
        let _ = write!(out, ", **not complete**: {}", escape(&diff.incomplete_reason));
    }
    if let Some(log) = facts::followed_log(diff) {
        let _ = write!(out, "; {log}");
    }
    out.push_str("\n\n");
    let head = "| table | legacy | partitioned | delta | missing | extra | mismatched | duplicate \
                | wrong org | misrouted |\n\
                | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    let lines = diff.tables.iter().map(|t| {
        let c = &t.counts;
        let classes = [c.missing, c.extra, c.mismatched, c.duplicate, c.wrong_org, c.misrouted];
        let classes = classes.map(|n| if n > 0 { format!("**{}**", count(n)) } else { count(n) });
        format!(
            "| {} | {} | {} | {} | {} |",
            escape(&t.name),
            count(t.legacy_rows),
            count(t.partitioned_rows),
            signed_count(t.row_delta()),
            classes.join(" | ")
        )
    });
    out.push_str(&table(head, lines, "It compared no table."));
    out.push('\n');
    out
}

fn run(record: &RunRecord) -> String {
    let acts = record.acts.iter().map(|act| {
        let (state, took) = (facts::act_label(act.state), facts::act_duration(act));
        format!("| {} | {state} | {took} | {} |", act.name, escape(&act.note))
    });
    let head = "| act | state | took | note |\n| --- | --- | ---: | --- |\n";
    let mut out = table(head, acts, "The record names no act.");
    if !record.command.is_empty() {
        let _ = writeln!(out, "\nAgain: {}", code(&record.command));
    }
    out
}

/// Lines, at most so many, or what to say if there is none.
fn list(lines: impl ExactSizeIterator<Item = String>, otherwise: &str) -> String {
    let rest = lines.len().saturating_sub(MOST_LINES);
    let mut out: String = lines.take(MOST_LINES).map(|line| line + "\n").collect();
    if rest > 0 {
        let _ = writeln!(out, "- … and {} more", count(rest as u64));
    }
    if out.is_empty() && !otherwise.is_empty() { format!("{otherwise}\n") } else { out }
}

/// A table with its head, at most so many lines, or what to say if there is none.
fn table(head: &str, lines: impl ExactSizeIterator<Item = String>, otherwise: &str) -> String {
    if lines.len() == 0 {
        return format!("{otherwise}\n");
    }
    let rest = lines.len().saturating_sub(MOST_LINES);
    let body: String = lines.take(MOST_LINES).map(|line| line + "\n").collect();
    let more = match rest {
        0 => String::new(),
        n => format!("\n… and {} more\n", count(n as u64)),
    };
    format!("{head}{body}{more}")
}
