//! The scenario file, and the summary of what it was made from.

use std::fmt::Write;

use super::operations::{self, Made, Operation};
use super::orgs::Orgs;
use super::tally::Tally;
use super::zipf;
use super::{LogOptions, MadeOperation, Summary, UnreadLines};

/// Writes the scenario; `None` if not one operation can be driven.
pub(super) fn write(
    tally: Tally,
    lines: u64,
    unread: Vec<UnreadLines>,
    options: &LogOptions,
) -> Option<(String, Summary)> {
    let counts = tally.orgs.counts();
    let fit = zipf::fit(&counts);
    let shape = tally.curve.shape();
    let (from, to) = tally.curve.span()?;
    let forgotten = tally.patterns.forgotten;
    let (requests, orgs) = (tally.requests, &tally.orgs);
    let patterns = tally.patterns.finish();
    let Made { operations, mut left_out } = operations::make(&patterns, requests, options);
    if !operations.iter().any(|operation| operation.waits_for.is_none()) {
        return None;
    }
    left_out.extend(also_left_out(&operations, orgs, counts.is_empty()));
    let notes = [
        (forgotten, "requests of rare kinds were let go of: more than 2048 kinds at once"),
        (tally.odd_params, "query parameters were left out: named twice in a request, or oddly"),
    ];
    left_out.extend(notes.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    if let Some(pause_s) = shape.pause_s {
        left_out.push(format!("the log pauses for {pause_s} s; its mean rate holds that pause"));
    }
    let popularity = match (counts.len(), fit.exponent) {
        (0, _) => "not known: no request names an org; the usual one is written".to_owned(),
        (_, 0.0) => "all orgs alike".to_owned(),
        _ => format!(
            "Zipf with exponent {} and flat head {}, fitted to {} orgs",
            fit.exponent, fit.flat_head, fit.ranks
        ),
    };
    let made = |operation: &Operation| MadeOperation {
        name: operation.name.clone(),
        method: operation.method.clone(),
        path: operation.path.clone(),
        requests: operation.requests,
        weight: operation.weight,
        driven: operation.waits_for.is_none(),
    };
    let summary = Summary {
        lines,
        requests,
        unread,
        from: from.to_rfc3339(),
        to: to.to_rfc3339(),
        rate_per_s: rounded(tally.curve.rate_per_s()),
        arrivals: shape.words,
        orgs: counts.len() as u64,
        popularity,
        think_gap_s: tally.orgs.think_gap_s(),
        operations: operations.iter().map(made).collect(),
        left_out,
    };
    let mut text = head(&summary, &counts, tally.orgs.largest);
    let _ = write!(text, "name = \"from_access_log\"\n\n[arrivals]\n{}", shape.toml);
    if !counts.is_empty() {
        let _ = write!(
            text,
            "\n[orgs]\nexponent = {:?}\nflat_head = {:?}\n",
            fit.exponent, fit.flat_head
        );
    }
    operations.iter().for_each(|operation| push_operation(&mut text, operation));
    Some((text, summary))
}

/// What waits in comments, and what is not known of the orgs.
fn also_left_out(operations: &[Operation], orgs: &Orgs, none: bool) -> Vec<String> {
    let mut left_out = Vec::new();
    let waiting: Vec<&Operation> = operations.iter().filter(|o| o.waits_for.is_some()).collect();
    if !waiting.is_empty() {
        let share: f64 = waiting.iter().map(|operation| operation.weight).sum();
        left_out.push(format!(
            "{share:.1} % of requests, of {} kinds, wait in comments for a body or a row",
            waiting.len()
        ));
    }
    if orgs.beyond > 0 {
        let beyond = orgs.beyond;
        left_out
            .push(format!("{beyond} requests of orgs beyond the first million are not counted"));
    }
    if orgs.without > 0 {
        let hint = if none { "; say where the org is with --org-…" } else { "" };
        left_out.push(format!("{} requests name no org{hint}", orgs.without));
    }
    if orgs.named {
        left_out.push(
            "orgs of the log are not numbers, {{org}} is: map them through a [[feeder]]".into(),
        );
    }
    left_out
}

/// What the file was made from, as comments.
fn head(summary: &Summary, counts: &[u64], largest: u64) -> String {
    let mut text =
        String::from("# Made by `cutover init --from-access-log`. Change it as you like.\n#\n");
    let mut say = |line: String| {
        let _ = writeln!(text, "# {line}");
    };
    let Summary { requests, from, to, rate_per_s, .. } = summary;
    say(format!("From {requests} requests between {from} and {to}, {rate_per_s} a second."));
    say(format!("Arrivals: {}.", summary.arrivals));
    say(format!("Popularity of orgs: {}.", summary.popularity));
    if !counts.is_empty() {
        let half = counts.iter().sum::<u64>().div_ceil(2);
        let mut sum = 0;
        let hot = counts.iter().take_while(|count| {
            let before = sum;
            sum += *count;
            before < half
        });
        let hot = hot.count();
        say(format!(
            "{} orgs, of which {hot} make half of the requests; the largest number is {largest}.",
            counts.len()
        ));
    }
    if let Some(gap_s) = summary.think_gap_s {
        say(format!(
            "Think time: half of the time an org asks again within {gap_s:.3} s. Nothing waits for it: arrivals follow"
        ));
        say("the curve, whoever asks.".into());
    }
    let orgs = summary.orgs.max(1);
    say(String::new());
    say(format!(
        "To drive it as it was: cutover drive --scenario FILE --rate {rate_per_s} --orgs {orgs}"
    ));
    if !summary.unread.is_empty() || !summary.left_out.is_empty() {
        say(String::new());
        say("Not in this file:".into());
    }
    for UnreadLines { reason, lines, example_line } in &summary.unread {
        say(format!("- {lines} lines that could not be read, as line {example_line}: {reason}"));
    }
    for what in &summary.left_out {
        say(format!("- {what}"));
    }
    text.push('\n');
    text
}

/// A rate that is short to write, and at least what `--rate` takes.
fn rounded(rate_per_s: f64) -> f64 {
    (rate_per_s * 100.0).round().max(1.0) / 100.0
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// An inline table.
fn table(pairs: &std::collections::BTreeMap<String, String>) -> String {
    let pair = |(name, value): (&String, &String)| format!("{} = {}", quoted(name), quoted(value));
    format!("{{ {} }}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
}

fn push_operation(text: &mut String, operation: &Operation) {
    text.push('\n');
    let mut remarks = operation.notes.clone();
    remarks.dedup();
    if let Some(what) = operation.waits_for {
        remarks.insert(0, format!("waits for {what}"));
    }
    for remark in remarks {
        let _ = writeln!(text, "## {remark}.");
    }
    let mut lines = vec![
        "[[operation]]".to_owned(),
        format!("name = {}", quoted(&operation.name)),
        format!("weight = {:?}", operation.weight),
    ];
    if operation.method != "GET" {
        lines.push(format!("method = {}", quoted(&operation.method)));
    }
    lines.push(format!("path = {}", quoted(&operation.path)));
    if !operation.query.is_empty() {
        lines.push(format!("query = {}", table(&operation.query)));
    }
    if !operation.headers.is_empty() {
        lines.push(format!("headers = {}", table(&operation.headers)));
    }
    if matches!(operation.method.as_str(), "POST" | "PUT" | "PATCH") {
        lines.push("body = '{\"FILL-IN\": \"what your platform takes\"}'".into());
    }
    if operation.expect != [200] {
        lines.push(format!("expect = {:?}", operation.expect));
    }
    if let Some(row) = &operation.remember {
        lines.push(format!("remember = {}", quoted(row)));
    }
    if let Some(row) = &operation.row {
        lines.push(format!("row = {}", quoted(row)));
        if operation.method == "DELETE" {
            lines.push("consumes = true".into());
        }
    }
    let mark = if operation.waits_for.is_some() { "# " } else { "" };
    for line in lines {
        let _ = writeln!(text, "{mark}{line}");
    }
}
