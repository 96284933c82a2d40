//! Report: the run record as bytes, one file per format.
//!
//! Everything here is a pure function of the record: no clock, no network, no file system. Whoever
//! calls [`render_all`] does the writing, so the same record gives the same bytes on any machine.
//!
//! | module | makes |
//! | --- | --- |
//! | [`html`] | `report.html`, one page that needs nothing but itself |
//! | [`rollout`] | `report.html` of a whole rollout |
//! | [`markdown`] | `report.md`, for a pull request or the summary of a CI step |
//! | [`junit`] | `junit.xml`, where a failed criterion is a failure and an undecided one an error |
//! | `charts` | the drawings of the page, as SVG |
//! | `facts` | what the record says between the lines: what is missing, what contradicts itself |
//! | `text` | figures for people, and hostile text made harmless |
//!
//! A record may be nearly empty: a run that was interrupted leaves whatever it had. Every format
//! then says plainly what is missing, and never in the colour of something good.

mod charts;
mod escape;
mod facts;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod rollout;
mod text;

use cutover_evidence::run_record::RunRecord;

/// The names of the reports in a run's folder.
pub const FILES: [&str; 3] = ["report.html", "report.md", "junit.xml"];

/// Every report of a run: its name of [`FILES`], and its bytes.
pub fn render_all(record: &RunRecord) -> [(&'static str, Vec<u8>); 3] {
    let [page, summary, tests] = FILES;
    let html = match &record.rollout {
        Some(rollout) => rollout::render(record, rollout),
        None => html::render(record),
    };
    [
        (page, html.into_bytes()),
        (summary, markdown::render(record).into_bytes()),
        (tests, junit::render(record).into_bytes()),
    ]
}
