//! Both modes of an operation side by side.

use cutover_evidence::drive::{DriveEvidence, ModeLatency, OperationComparison, Side};

/// One operation, or all together, in both modes.
pub struct LatencyRow<'a> {
    /// The operation's name; `None` for all operations together.
    pub name: Option<&'a str>,
    /// Whether it writes; `None` for all operations together.
    pub writes: Option<bool>,
    /// In legacy mode; `None` if not one request was measured.
    pub legacy: Option<&'a ModeLatency>,
    /// In partitioned mode; `None` if not one request was measured.
    pub partitioned: Option<&'a ModeLatency>,
    /// The paired comparison, once a judge has made it.
    pub comparison: Option<&'a OperationComparison>,
}

impl<'a> LatencyRow<'a> {
    /// One of the modes.
    pub fn mode(&self, mode: Side) -> Option<&'a ModeLatency> {
        match mode {
            Side::Legacy => self.legacy,
            Side::Partitioned => self.partitioned,
        }
    }

    /// p95 of all requests in partitioned mode minus that in legacy mode, in microseconds, and the
    /// ratio of the two; `None` unless both were measured.
    pub fn p95_difference(&self) -> Option<(i64, f64)> {
        let (legacy, partitioned) = (self.legacy?.response_us, self.partitioned?.response_us);
        let difference_us = i128::from(partitioned.p95) - i128::from(legacy.p95);
        let clamped = difference_us.clamp(i64::MIN.into(), i64::MAX.into());
        let difference_us = i64::try_from(clamped).expect("clamped to the range on the line above");
        Some((difference_us, partitioned.p95 as f64 / legacy.p95 as f64))
    }

    /// What the row is called.
    pub fn title(&self) -> &'a str {
        self.name.unwrap_or("all operations")
    }
}

/// All operations together, then each in the order of the scenario.
pub fn latency_rows(drive: &DriveEvidence) -> Vec<LatencyRow<'_>> {
    let measured = |side: &&ModeLatency| side.requests > 0;
    let overall = LatencyRow {
        name: None,
        writes: None,
        legacy: drive.overall.get(&Side::Legacy).filter(measured),
        partitioned: drive.overall.get(&Side::Partitioned).filter(measured),
        comparison: None,
    };
    let compared = drive.comparison.as_ref().map_or(&[][..], |c| &c.operations);
    let operations = drive.operations.iter().map(|operation| LatencyRow {
        name: Some(&operation.name),
        writes: Some(operation.writes),
        legacy: operation.modes.get(&Side::Legacy).filter(measured),
        partitioned: operation.modes.get(&Side::Partitioned).filter(measured),
        comparison: compared.iter().find(|c| c.name == operation.name),
    });
    std::iter::once(overall).chain(operations).collect()
}
