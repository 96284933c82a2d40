//! Statements that steps are filled in with; nothing here is sent.

use cutover_evidence::trigger::TriggerState;

/// Switches a trigger; the names come quoted.
pub(super) fn alter_trigger(table: &str, state: TriggerState, trigger: &str) -> String {
    format!("ALTER TABLE {table} {} TRIGGER {trigger};", state.clause())
}

/// Says in which sessions the triggers of a table fire, before they are switched.
pub(super) fn trigger_states(table: &str) -> String {
    format!("SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = '{table}'::regclass;")
}
