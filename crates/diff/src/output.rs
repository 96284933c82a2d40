//! `orgs.csv` and `findings.jsonl`: written beside their names and put in place when whole.

use std::io::Write;
use std::path::Path;

use cutover_error::foreign::{self, value};
use cutover_error::{Context, Result};
use cutover_evidence::finding::{Finding, OrgDiff};
use cutover_ground::whole_file::WholeFile;

/// Begins a file of the run's folder.
pub(super) fn create(folder: &Path, name: &str) -> Result<WholeFile> {
    let path = folder.join(name);
    let place = format!("cannot write {}", path.display());
    WholeFile::create(path).or_usage(place, "give --out a writable folder")
}

/// Gives a file its name.
pub(super) fn finish(file: WholeFile) -> Result<()> {
    let place = format!("cannot write {}", file.path().display());
    file.finish().or_run(place, "is the disk full?")
}

/// `findings.jsonl`: a line per finding.
pub(super) struct FindingsFile(WholeFile);

impl FindingsFile {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        create(folder, "findings.jsonl").map(Self)
    }

    pub(super) fn write(&mut self, finding: &Finding) -> Result<()> {
        let hint = "is the disk full?";
        let json = serde_json::to_string(finding).or_run("cannot write findings", hint)?;
        writeln!(self.0, "{}", foreign::json(&json)).or_run("cannot write findings", hint)
    }

    pub(super) fn finish(self) -> Result<()> {
        finish(self.0)
    }
}

/// `orgs.csv`: a line per diverging org and table, or per org and table.
pub(super) struct OrgsFile(csv::Writer<WholeFile>);

impl OrgsFile {
    const COLUMNS: [&str; 11] = [
        "org_id",
        "table",
        "legacy_rows",
        "partitioned_rows",
        "row_delta",
        "missing",
        "extra",
        "mismatched",
        "duplicate",
        "wrong_org",
        "misrouted",
    ];

    pub(super) fn create(folder: &Path) -> Result<Self> {
        let mut writer = csv::Writer::from_writer(create(folder, "orgs.csv")?);
        writer.write_record(Self::COLUMNS).or_run("cannot write orgs.csv", "")?;
        Ok(Self(writer))
    }

    pub(super) fn write(&mut self, org: &OrgDiff) -> Result<()> {
        let counts = &org.counts;
        let figures = [
            org.legacy_rows as i64,
            org.partitioned_rows as i64,
            org.legacy_rows as i64 - org.partitioned_rows as i64,
            counts.missing as i64,
            counts.extra as i64,
            counts.mismatched as i64,
            counts.duplicate as i64,
            counts.wrong_org as i64,
            counts.misrouted as i64,
        ];
        let texts = [&org.org_id, &org.table].map(|text| no_formula(&value(text)));
        let record = texts.into_iter().chain(figures.iter().map(i64::to_string));
        self.0.write_record(record).or_run("cannot write orgs.csv", "is the disk full?")
    }

    /// The lines of such a file in another folder, as they stand there.
    pub(super) fn append(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join("orgs.csv");
        let place = format!("cannot read {}", path.display());
        let mut reader = csv::Reader::from_path(&path).or_run(&place, "is this a run's folder?")?;
        for record in reader.byte_records() {
            let record = record.or_run(&place, "")?;
            let written = self.0.write_byte_record(&record);
            written.or_run("cannot write orgs.csv", "is the disk full?")?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        let file = self.0.into_inner().or_run("cannot write orgs.csv", "is the disk full?")?;
        finish(file)
    }
}

/// Text that a spreadsheet would take for a formula, disarmed with an apostrophe; numbers stay.
fn no_formula(text: &str) -> String {
    let suspicious = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if suspicious && text.parse::<i64>().is_err() { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::no_formula;

    #[test]
    fn text_never_becomes_a_formula_and_numbers_stay() {
        assert_eq!(no_formula("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(no_formula("-1"), "-1");
        assert_eq!(no_formula("-1+2"), "'-1+2");
        assert_eq!(no_formula("acme"), "acme");
    }
}
