//! What a column is given when its triggers are tried.

mod sql;

pub(super) use self::sql::{far_values, values, values_elsewhere};
