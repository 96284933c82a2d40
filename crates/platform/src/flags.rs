//! The routing flag: which side an org's reads come from.

use std::str::FromStr;
use std::sync::RwLock;

use axum::http::{HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

use super::answer::Failure;
use super::side::Side;
use crate::error::Error;

/// The header that asks for a side; heeded only if the platform was started to.
pub(super) const MODE_HEADER: HeaderName = HeaderName::from_static("x-cutover-mode");

/// Who reads from the partitioned tables. Off wins over everything: a rollback leaves nobody behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Flags {
    /// Whether anybody does.
    #[serde(rename = "USE_PARTITIONED_TABLES")]
    pub enabled: bool,
    /// The share of all orgs that does, in percent, chosen by a hash that stays.
    #[serde(rename = "USE_PARTITIONED_TABLES_PERCENTAGE")]
    pub percentage: f64,
    /// Orgs that do at any percentage.
    #[serde(rename = "pilotOrgs")]
    pub pilot_orgs: Vec<i64>,
    /// Orgs that do at none: those that were affected by something.
    #[serde(rename = "disabledOrgs")]
    pub disabled_orgs: Vec<i64>,
}

/// A change to the flags, as `PUT /admin/flags` takes it.
///
/// `USE_PARTITIONED_TABLES` and its percentage are one switch: if only one of them is given, it
/// decides alone (true is 100 %, or none but the pilots if `pilotOrgs` comes with it; 0 % is
/// off). If neither is given the switch stays. Each list stays unless given.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagChange {
    /// On or off.
    #[serde(default, rename = "USE_PARTITIONED_TABLES")]
    pub enabled: Option<bool>,
    /// 0–100.
    #[serde(default, rename = "USE_PARTITIONED_TABLES_PERCENTAGE")]
    pub percentage: Option<f64>,
    /// The pilot list, whole.
    #[serde(default, rename = "pilotOrgs")]
    pub pilot_orgs: Option<Vec<i64>>,
    /// The list of disabled orgs, whole.
    #[serde(default, rename = "disabledOrgs")]
    pub disabled_orgs: Option<Vec<i64>>,
}

impl Flags {
    /// The flags after a change.
    ///
    /// # Errors
    /// A usage error if the percentage is not from 0 to 100.
    pub fn changed(&self, change: FlagChange) -> Result<Self, Error> {
        if let Some(percentage) = change.percentage
            && !(0.0..=100.0).contains(&percentage)
        {
            let what = format!("USE_PARTITIONED_TABLES_PERCENTAGE is {percentage}");
            return Err(Error::usage(what, "it must be from 0 to 100"));
        }
        let only_pilots = change.pilot_orgs.as_ref().is_some_and(|orgs| !orgs.is_empty());
        let (enabled, percentage) = match (change.enabled, change.percentage) {
            (Some(enabled), Some(percentage)) => (enabled, percentage),
            (Some(true), None) => (true, if only_pilots { 0.0 } else { 100.0 }),
            (Some(false), None) => (false, 0.0),
            (None, Some(percentage)) => (percentage > 0.0, percentage),
            (None, None) => (self.enabled, self.percentage),
        };
        let pilot_orgs = change.pilot_orgs.unwrap_or_else(|| self.pilot_orgs.clone());
        let disabled_orgs = change.disabled_orgs.unwrap_or_else(|| self.disabled_orgs.clone());
        Ok(Self { enabled, percentage, pilot_orgs, disabled_orgs })
    }

    /// Which side this org reads from.
    pub fn side(&self, org_id: i64) -> Side {
        let listed = || self.pilot_orgs.contains(&org_id);
        let disabled = self.disabled_orgs.contains(&org_id);
        if self.enabled && !disabled && (in_percentage(org_id, self.percentage) || listed()) {
            Side::Partitioned
        } else {
            Side::Legacy
        }
    }

    /// Whether any org at all reads from the partitioned tables.
    pub(super) fn any_partitioned(&self) -> bool {
        self.enabled && (self.percentage > 0.0 || !self.pilot_orgs.is_empty())
    }
}

/// `off`, `on`, or a percentage such as `5%`.
impl FromStr for FlagChange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let percentage = match text {
            "off" => Some(0.0),
            "on" => Some(100.0),
            _ => text.strip_suffix('%').and_then(|number| number.parse().ok()),
        };
        match percentage {
            Some(p) if (0.0..=100.0).contains(&p) => {
                Ok(Self { percentage: Some(p), ..Self::default() })
            }
            _ => Err(Error::usage(format!("`{text}` is not off, on, or 0% to 100%"), "")),
        }
    }
}

/// Each org has one place between 0 and 100 % that never changes, so raising the percentage only
/// ever lets orgs in. Multiplying by the golden ratio (modulo 1, in 64 bits) spreads consecutive ids
/// evenly, so any stretch of them meets the share that was asked for, not only all of them on
/// average.
fn in_percentage(org_id: i64, percentage: f64) -> bool {
    const GOLDEN_RATIO: i64 = 0x9E37_79B9_7F4A_7C15_u64.cast_signed();
    let place = org_id.wrapping_mul(GOLDEN_RATIO).cast_unsigned() as f64 / u64::MAX as f64;
    percentage >= 100.0 || place * 100.0 < percentage
}

/// The flags as they stand, changed at run time.
#[derive(Debug)]
pub(super) struct FlagStore {
    flags: RwLock<Flags>,
    mode_header: bool,
}

impl FlagStore {
    pub fn new(flags: Flags, mode_header: bool) -> Self {
        Self { flags: RwLock::new(flags), mode_header }
    }

    pub fn get(&self) -> Flags {
        self.flags.read().expect("no panic while held").clone()
    }

    pub fn change(&self, change: FlagChange) -> Result<Flags, Error> {
        let mut flags = self.flags.write().expect("no panic while held");
        *flags = flags.changed(change)?;
        Ok(flags.clone())
    }

    /// Routes one request.
    pub fn route(&self, org_id: i64, headers: &HeaderMap) -> Result<Side, Failure> {
        match headers.get(MODE_HEADER) {
            Some(value) if self.mode_header => match value.as_bytes() {
                b"legacy" => Ok(Side::Legacy),
                b"partitioned" => Ok(Side::Partitioned),
                _ => Err(Failure::bad("X-Cutover-Mode must be legacy or partitioned")),
            },
            _ => Ok(self.flags.read().expect("no panic while held").side(org_id)),
        }
    }
}
