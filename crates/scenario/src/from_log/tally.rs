//! Everything that is counted while a log is read.

use super::LogOptions;
use super::curve::Curve;
use super::entry::{Entry, Unread};
use super::orgs::Orgs;
use super::patterns::Patterns;
use super::target::Target;

/// What a log has told so far.
#[derive(Debug)]
pub(super) struct Tally {
    options: LogOptions,
    pub requests: u64,
    pub patterns: Patterns,
    pub orgs: Orgs,
    pub curve: Curve,
    /// Parameters that stood twice or whose names are no names.
    pub odd_params: u64,
}

impl Tally {
    pub(super) fn new(options: &LogOptions) -> Self {
        Self {
            options: options.clone(),
            requests: 0,
            patterns: Patterns::default(),
            orgs: Orgs::new(),
            curve: Curve::new(),
            odd_params: 0,
        }
    }

    /// Counts a request.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Result<(), Unread> {
        let target = Target::parse(&entry.target, &self.options).ok_or(Unread::NoPath)?;
        self.requests += 1;
        self.odd_params += target.odd_params;
        self.curve.add(entry.at);
        let of_field = entry.org.as_ref().map(|org| org.org.as_ref());
        self.orgs.add(target.org().or(of_field), &entry.at);
        self.patterns.add(entry, target);
        Ok(())
    }
}
