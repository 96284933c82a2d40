//! `docs/run.schema.json` says what a run record looks like to whoever reads one elsewhere.

use std::path::Path;

use cutover::evidence::run_record::RunRecord;
use schemars::generate::SchemaSettings;

/// Set to anything, writes the file instead of comparing it.
const WRITE: &str = "CUTOVER_WRITE_SCHEMA";

#[test]
fn the_schema_that_is_checked_in_is_that_of_the_types() {
    let schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RunRecord>();
    let made = serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/run.schema.json");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &made).expect("the checkout can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "docs/run.schema.json is not of these types; {WRITE}=1 writes it anew");
}
