//! Asks the platform for orgs without naming a side, and notes which side each came from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hyper::Method;
use url::Url;

use super::served_by::ServedBy;
use crate::config::Config;
use crate::http::{Site, TrustedRoots};
use cutover_error::Result;
use cutover_evidence::drive::Side;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where so many in a row are not answered, nobody is there to answer the others.
const ENOUGH: u32 = 5;

/// Which side each org was served from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// Orgs that were served from the partitioned side.
    pub partitioned: BTreeSet<String>,
    /// Orgs that were served from legacy.
    pub legacy: BTreeSet<String>,
    /// Orgs without an answer that says so, and why.
    pub silent: BTreeMap<String, String>,
}

impl Survey {
    /// Share of the orgs that answered which was served from the partitioned side; `None` if none
    /// answered.
    pub fn share(&self) -> Option<f64> {
        let answered = self.partitioned.len() + self.legacy.len();
        (answered > 0).then(|| self.partitioned.len() as f64 / answered as f64)
    }

    /// How far the share of a sample of this size may honestly be from the share of all: three and a
    /// half standard deviations of a sample of `percent`. At 0 and 100 % not at all.
    pub fn tolerance(orgs: usize, percent: f64) -> f64 {
        let share = (percent / 100.0).clamp(0.0, 1.0);
        let deviation = (share * (1.0 - share) / (orgs.max(1) as f64)).sqrt();
        3.5 * deviation
    }
}

/// Asks once for each org, one after the other on one connection; `path` names an org as `{{org}}`.
///
/// # Errors
/// A usage error if the platform's URL cannot be used. That it does not answer stands in the
/// survey.
pub async fn survey(
    config: &Config,
    base_url: &Url,
    path: &str,
    orgs: &[String],
) -> Result<Survey> {
    let roots = TrustedRoots::with_file(config.tls.ca_file.as_deref())?;
    let mut site = Site::new(base_url, &roots, ANSWER_TIMEOUT)?;
    let served_by = ServedBy::of(&config.routing)?;
    let mut survey = Survey::default();
    let mut in_vain = 0;
    for org in orgs {
        if in_vain == ENOUGH {
            survey.silent.insert(org.clone(), "not asked: nobody answers".to_owned());
            continue;
        }
        let answer = site.send(Method::GET, &path.replace("{{org}}", org), "", &[]).await;
        let side = answer.map_err(|failure| failure.name().to_owned()).and_then(|answer| {
            let side = served_by.as_ref().and_then(|served_by| served_by.side(&answer.headers));
            match (answer.status, side, &served_by) {
                (200..=299, Some(side), _) => Ok(side == Side::Partitioned),
                (200..=299, None, Some(served_by)) => Err(format!(
                    "{}, not {}",
                    served_by.told(&answer.headers),
                    served_by.expected()
                )),
                (200..=299, None, None) => Err("no header names a side".into()),
                (status, ..) => Err(format!("http_{status}")),
            }
        });
        in_vain = if side.is_err() { in_vain + 1 } else { 0 };
        match side {
            Ok(true) => drop(survey.partitioned.insert(org.clone())),
            Ok(false) => drop(survey.legacy.insert(org.clone())),
            Err(why) => drop(survey.silent.insert(org.clone(), why)),
        }
    }
    Ok(survey)
}

/// Some of the orgs from 1 to `orgs`, at most so many, the same for the same seed.
pub fn sample(orgs: u64, at_most: usize, rng_seed: u64) -> Vec<String> {
    let place = |org: &u64| xxhash_rust::xxh3::xxh3_64_with_seed(&org.to_le_bytes(), rng_seed);
    let mut all: Vec<u64> = (1..=orgs).collect();
    all.sort_by_key(place);
    all.truncate(at_most);
    all.into_iter().map(|org| org.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_does_nothing_is_outside_of_what_chance_allows() {
        assert!(Survey::tolerance(2000, 1.0) < 0.01);
    }

    #[test]
    fn a_share_of_nobody_is_unknown_and_the_ends_have_no_tolerance() {
        assert_eq!(Survey::default().share(), None);
        assert_eq!((Survey::tolerance(1000, 0.0), Survey::tolerance(1000, 100.0)), (0.0, 0.0));
        assert!(Survey::tolerance(2000, 25.0) < 0.04);
    }
}
