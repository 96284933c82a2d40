//! A record in which every foreign text is an attack.

use std::collections::BTreeMap;

use cutover::evidence::finding::Finding;
use cutover::evidence::run_record::RunRecord;

use super::no_go_integrity;
use cutover::evidence::class::AnswerFault;

/// Markup, formulas, direction marks, pipes and very long words wherever a text may stand.
pub fn hostile() -> RunRecord {
    let mut record = no_go_integrity();
    let evil = EVIL.to_owned();
    let long = "x".repeat(5_000);
    record.run_id = evil.clone();
    record.command = format!("cutover rehearse '{evil}'\n{long}");
    record.target.base_url = Some(format!("https://evil.example/{evil}"));
    record.environment.cpu = evil.clone();
    record.acts[0].note = long.clone();
    record.drills[0].name = evil.clone();
    record.drills[0].note = evil.clone();
    record.drills[1].name = long.clone();
    record.history[0].run_id = evil.clone();
    record.history[1].run_id = long.clone();
    record.incomparable[0].why = evil.clone();
    record.level_changed_with = Some(evil.clone());
    let watch = record.watch.as_mut().expect("it was watched");
    watch.from = evil.clone();
    let drive = record.drive.as_mut().expect("has a load");
    drive.scenario = evil.clone();
    drive.org_sizes[0].name = evil.clone();
    drive.slices[0].class = evil.clone();
    drive.slices[1].by = long.clone();
    drive.operations[0].name = evil.clone();
    drive.operations[1].name = long.clone();
    drive.errors_by_kind = BTreeMap::from([(evil.clone(), 3), (long.clone(), 1)]);
    let comparison = drive.comparison.as_mut().expect("has a comparison");
    comparison.operations[0].name = evil.clone();
    comparison.operations[1].name = long.clone();
    let ledger = drive.ledger.as_mut().expect("has a ledger");
    ledger.incomplete_reason = evil.clone();
    ledger.complete = false;
    ledger.not_noted = BTreeMap::from([(evil.clone(), 1), (long.clone(), 2)]);
    let finding = &mut ledger.findings[0];
    finding.detail = Some(evil.clone());
    finding.expected = Some(BTreeMap::from([(evil.clone(), Some(long.clone()))]));
    let leak = Finding {
        org_id: Some(long.clone()),
        detail: Some(evil.clone()),
        ..Finding::new(&evil, AnswerFault::ForeignOrg)
    };
    let isolation = drive.isolation.as_mut().expect("answers were looked at");
    isolation.findings = vec![leak.clone()];
    let parity = drive.parity.as_mut().expect("both sides were asked");
    parity.findings = vec![leak];
    parity.complete = false;
    parity.incomplete_reason = evil.clone();
    let diff = record.diff.as_mut().expect("has a diff");
    diff.complete = false;
    diff.incomplete_reason = evil.clone();
    diff.tables[0].name = evil.clone();
    diff.tables[1].name = long.clone();
    diff.orgs[0].org_id = evil.clone();
    diff.orgs[1].org_id = long.clone();
    for finding in &mut diff.findings {
        finding.table = evil.clone();
        finding.key.insert(evil.clone(), Some(long.clone()));
        finding.partition = Some(long.clone());
        finding.detail = Some(evil.clone());
        let wild = BTreeMap::from([(evil.clone(), Some(evil.clone())), (long.clone(), None)]);
        finding.legacy = Some(wild);
    }
    record.observations[0].error = Some(evil.clone());
    record.observations[1].system_status = Some(evil.clone());
    record.criteria[0].title = evil.clone();
    record.criteria[0].note = long.clone();
    record.criteria[0].measured = Some(evil.clone());
    record.criteria[1].limit = long.clone();
    record.verdict.reasons = vec![evil.clone(), long];
    record.verdict.steps = vec![evil];
    record
}

/// What an org, an operation or a description may be called.
pub const EVIL: &str = "</style></script><script>alert(1)</script><img src=x onerror=alert(2)>\
    \"'`|&amp;\u{202e}gnirts\u{0}\u{1b}[31m]]>{{ 7*7 }}{% raw %}\n\r# @everyone =cmd()";
