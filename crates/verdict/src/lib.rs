//! The judges. They read evidence and nothing else: no clock, no network, no files, no database, so
//! that a verdict can be computed again from the folder of a run alone, and comes out the same.

pub mod gate;
pub mod report;
