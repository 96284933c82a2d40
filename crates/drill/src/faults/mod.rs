//! The catalogue of faults: what can go wrong with two copies of a table and with the platform before
//! them, each as a file of `fixtures/faults/` that says how to plant it and what has to come of it.
//!
//! The tests of the comparison plant them one by one in a database at rest and hold every finding
//! against the file; `cutover drill faults` plants them while a load runs, and holds what the
//! criteria see against the same file.

mod case;
mod plant;
mod sql;

pub use case::{Case, Expected};
pub use sql::{fill_base, make_base, renew};

use cutover_error::Result;

/// What every case starts from: four orgs on the reference schema, and not one difference.
pub const BASE: &str = include_str!("../../../../fixtures/faults/base.sql");

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../../../fixtures/faults/", $name, ".toml")))),*]
    };
}

/// Each file by its name.
const FILES: [(&str, &str); 80] = files![
    "00_healthy"
    "01_trigger_disabled_for_a_while"
    "01b_trigger_still_disabled"
    "02_replica_role"
    "03_truncate_legacy"
    "04_stale_twin_after_date_change"
    "05_delete_not_mirrored"
    "06_delete_by_the_new_key"
    "07_exception_swallowed"
    "08_missing_partition"
    "09_backfill_overwrites_newer"
    "10_backfill_resurrects"
    "11_do_nothing_keeps_stale"
    "12_between_backfill_and_trigger"
    "13_null_not_propagated"
    "14_new_column_not_copied"
    "14b_column_on_one_side"
    "15_values_swapped"
    "16_amounts_that_offset"
    "17_wrong_org"
    "18_microseconds_truncated"
    "19_session_time_zone"
    "20_default_partition_rows"
    "21_misrouted_leaf"
    "22_leaf_detached"
    "23_before_trigger_after_the_write"
    "24_update_of_columns"
    "25_twin_rewrites_updated_at"
    "26_rogue_write_to_twin"
    "27_killed_between_commits"
    "28_concurrent_date_moves"
    "28b_concurrent_date_moves_retried"
    "29_sequence_behind"
    "30_unsigned_org"
    "31_look_alikes"
    "32_whole_org_absent"
    "33_verifier_under_rls"
    "33b_row_security"
    "34_lost_on_both_sides"
    "35_invalid_index"
    "36_no_delete_trigger_yet_agreeing"
    "37_natural_key_own_id"
    "38_update_event_swallowed"
    "40_list_value_without_leaf"
    "41_hash_remainder_missing"
    "42_range_gap"
    "43_index_missing_on_a_leaf"
    "44_wrapper_and_dynamic_trigger"
    "45_no_trigger_named_none_there"
    "46_deferred_and_guarded"
    "50_trigger_missing"
    "51_text_org"
    "52_null_key_and_org"
    "53_types_map_ignore"
    "54_rows_twice"
    "55_more_types"
    "56_hostile_names"
    "57_char_ranges"
    "58_long_names"
    "60_horizon_epoch"
    "61_horizon_period"
    "63_horizon_expression"
    "64_catch_all"
    "65_column_never_carried"
    "66_unlike_collations"
    "p01_slow_partitioned"
    "p02_unpruned_by_id"
    "p03_stale_cache"
    "p04_lost_write"
    "p05_phantom_write"
    "p06_torn_write"
    "p07_double_write"
    "p08_stale_update"
    "p09_cross_org_cache"
    "p10_twin_rounding"
    "p11_twin_order"
    "p12_wrong_mode"
    "p13_error_rate"
    "p14_slow"
    "p15_freeze"
];

/// All cases, in the order of their names.
///
/// # Errors
/// A usage error that names the file if one does not read.
pub fn all() -> Result<Vec<Case>> {
    FILES.iter().map(|(name, text)| Case::parse(name, text)).collect()
}
