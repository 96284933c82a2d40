//! What rows are counted and compared by: an org, or groups of rows that belong to nobody.

mod sql;

pub(super) use self::sql::{org, org_is, org_is_among, org_text, row_text};

use super::schema::ComparedColumn;
use cutover_evidence::finding::{Finding, GROUP, NO_ORG};

/// What rows are counted and compared by.
#[derive(Debug, Clone)]
pub(super) enum Org {
    /// The column that holds it.
    Column(ComparedColumn),
    /// There is none: so many groups, by the hash of the key.
    Groups(u32),
}

impl Org {
    /// The column that holds it, if there is one.
    pub(super) fn column(&self) -> Option<&ComparedColumn> {
        match self {
            Self::Column(column) => Some(column),
            Self::Groups(_) => None,
        }
    }
}

/// A finding about a row says in fields of their own that it has a group, or no org: no org has such a name.
pub(super) fn placed(finding: Finding, in_groups: bool) -> Finding {
    let Some(org) = &finding.org_id else { return finding };
    let group = org.strip_prefix(GROUP).filter(|_| in_groups);
    let group = group.and_then(|number| number.parse().ok());
    match group.is_some() || org == NO_ORG {
        true => Finding { org_id: None, group, ..finding },
        false => finding,
    }
}
