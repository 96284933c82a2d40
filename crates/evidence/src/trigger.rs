//! In which sessions a trigger fires.

use super::words::words;

words! {
    /// What `pg_trigger.tgenabled` says.
    TriggerState {
        /// In all but those that apply what another server has changed.
        Origin = "O",
        /// In all.
        Always = "A",
        /// In those alone.
        Replica = "R",
        /// In none.
        Disabled = "D",
    }
}

impl TriggerState {
    /// The state of that letter.
    pub fn of(letter: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word() == letter)
    }

    /// What `ALTER TABLE … TRIGGER` puts before that word to bring about exactly this state. A plain
    /// ENABLE after a DISABLE makes a trigger that always fired one that applied changes do not fire.
    pub const fn clause(self) -> &'static str {
        match self {
            Self::Origin => "ENABLE",
            Self::Always => "ENABLE ALWAYS",
            Self::Replica => "ENABLE REPLICA",
            Self::Disabled => "DISABLE",
        }
    }
}
