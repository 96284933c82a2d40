//! Statements that steps are filled in with; nothing here is sent.

/// Switches a trigger: `what` is `ENABLE` or `DISABLE`, the names come quoted.
pub(super) fn alter_trigger(table: &str, what: &str, trigger: &str) -> String {
    format!("ALTER TABLE {table} {what} TRIGGER {trigger};")
}
