//! Classes of orgs by the number of their rows.

use std::collections::HashMap;

use cutover_evidence::drive::OrgClass;

/// Shares of the orgs that are large and medium, from the largest down; the rest is small.
const LARGE: f64 = 0.01;
const MEDIUM: f64 = 0.19;

/// Which class an org belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgSizes {
    class_of: HashMap<u64, u8>,
    classes: [OrgClass; 3],
}

impl OrgSizes {
    /// Classes from the rows of each org: the largest 1 % are large, the next 19 % medium.
    pub fn new(mut rows_of: Vec<(u64, u64)>) -> Self {
        rows_of.sort_unstable_by_key(|(org, rows)| (*rows, *org));
        let orgs = rows_of.len();
        let share = |share: f64| ((orgs as f64 * share).ceil() as usize).min(orgs);
        let medium_from = orgs - share(LARGE + MEDIUM);
        let large_from = orgs - share(LARGE);
        let class = |index: usize| u8::from(index >= medium_from) + u8::from(index >= large_from);
        let bounds = [(0, medium_from), (medium_from, large_from), (large_from, orgs)];
        let classes = ["small", "medium", "large"].map(str::to_owned);
        let classes = std::array::from_fn(|number| {
            let (from, to) = bounds[number];
            OrgClass {
                name: classes[number].clone(),
                from_rows: rows_of.get(from).map_or(0, |(_, rows)| *rows),
                orgs: (to - from) as u64,
            }
        });
        let class_of =
            rows_of.iter().enumerate().map(|(index, (org, _))| (*org, class(index))).collect();
        Self { class_of, classes }
    }

    /// The class of an org, 0 the smallest; an org without rows is small.
    pub(super) fn class_of(&self, org: u64) -> Option<u8> {
        Some(self.class_of.get(&org).copied().unwrap_or(0))
    }

    pub(super) fn classes(&self) -> Vec<OrgClass> {
        self.classes.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundredth_is_large_and_a_fifth_at_least_medium() {
        let sizes = OrgSizes::new((1..=1000).map(|org| (org, org * 10)).collect());
        let classes = sizes.classes();
        assert_eq!(classes.iter().map(|c| c.orgs).collect::<Vec<_>>(), [800, 190, 10]);
        assert_eq!(classes[2].from_rows, 9910);
        assert_eq!(
            [1, 800, 801, 990, 991, 5000].map(|org| sizes.class_of(org)),
            [0, 0, 1, 1, 2, 0].map(Some)
        );
        assert_eq!(OrgSizes::new(Vec::new()).class_of(1), Some(0));
    }
}
