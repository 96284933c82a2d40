//! What a finding may be, by if it comes from.

use super::words::words;

words! {
    /// How a row of the twin may fail its row of legacy.
    RowClass {
        /// In legacy, not in the twin.
        Missing = "missing",
        /// In the twin, not in legacy.
        Extra = "extra",
        /// On both sides with different content.
        Mismatched = "mismatched",
        /// More often in the twin than in legacy.
        Duplicate = "duplicate",
        /// Under one org in legacy, under another in the twin.
        WrongOrg = "wrong_org",
        /// In a leaf whose bounds exclude the row.
        Misrouted = "misrouted",
    }
}

words! {
    /// What can become of a write that must not.
    WriteFault {
        /// Acknowledged, and its effect is on neither side.
        Lost = "lost",
        /// Refused, and its effect is there.
        Phantom = "phantom",
        /// Its row stands more than once.
        Doubled = "doubled",
        /// It is there in part: on one side only, or with some of its columns.
        Torn = "torn",
        /// It was there, and older values are there now.
        Stale = "stale",
        /// The row holds what no write of this load put there.
        Altered = "altered",
    }
}

words! {
    /// What can be wrong with an answer.
    AnswerFault {
        /// It holds another org's data.
        ForeignOrg = "foreign_org",
        /// The two sides answer with different statuses.
        Status = "answer_status",
        /// The same elements in another order.
        Order = "answer_order",
        /// Another value.
        Value = "answer_value",
        /// A field that one side lacks, or of another type.
        Shape = "answer_shape",
    }
}

words! {
    /// What the catalog, the log or whole tables tell about a pair, apart from single rows.
    CatalogClass {
        /// Legacy has a column that the twin lacks.
        ColumnMissing = "column_missing",
        /// The twin has a column that legacy lacks.
        ColumnExtra = "column_extra",
        /// A column has another type on the twin.
        ColumnType = "column_type",
        /// NULL is allowed on one side.
        ColumnNullability = "column_nullability",
        /// A column sorts otherwise on the twin.
        ColumnCollation = "column_collation",
        /// A column has another default on the twin.
        ColumnDefault = "column_default",
        /// Rows of no org.
        NullOrg = "null_org",
        /// Rows with NULL in their key.
        NullKey = "null_key",
        /// The twin is one plain table.
        NotPartitioned = "not_partitioned",
        /// No partition for rows that exist or will be written.
        PartitionMissing = "partition_missing",
        /// How long partitions last for what will be written cannot be told.
        PartitionHorizonUnknown = "partition_horizon_unknown",
        /// A last partition without an end takes everything that is to come.
        CatchAllPartition = "catch_all_partition",
        /// A hole between partitions.
        PartitionGap = "partition_gap",
        /// A former partition that still holds rows.
        DetachedLeaf = "detached_leaf",
        /// Rows in the default partition.
        DefaultPartitionRows = "default_partition_rows",
        /// An index that does not work on every leaf.
        InvalidIndex = "invalid_index",
        /// Row-level security on a table.
        RowSecurity = "row_security",
        /// Row security lets other rows through on one side than on the other.
        RowSecurityDiffers = "row_security_differs",
        /// The twin refuses what legacy takes.
        TwinStricter = "twin_stricter",
        /// Legacy refuses what the twin takes.
        TwinLooser = "twin_looser",
        /// Somebody may use legacy and not the twin.
        GrantMissing = "grant_missing",
        /// A sequence behind the ids that are there.
        SequenceBehind = "sequence_behind",
        /// A seed that has not come to its end.
        SeedUnfinished = "seed_unfinished",
        /// Nothing carries writes to the twin.
        TriggerMissing = "trigger_missing",
        /// The trigger is disabled.
        TriggerDisabled = "trigger_disabled",
        /// The trigger fires in replica sessions only.
        TriggerReplicaOnly = "trigger_replica_only",
        /// The trigger does not fire in replica sessions.
        TriggerNotAlways = "trigger_not_always",
        /// INSERT, UPDATE or DELETE is not carried.
        TriggerEventMissing = "trigger_event_missing",
        /// TRUNCATE is not carried.
        TriggerTruncateMissing = "trigger_truncate_missing",
        /// The trigger has a WHEN condition.
        TriggerConditional = "trigger_conditional",
        /// A column is not carried.
        TriggerColumnMissing = "trigger_column_missing",
        /// The trigger hides that it failed.
        TriggerSwallowsErrors = "trigger_swallows_errors",
        /// Writes to legacy fail because of the trigger that is to carry them.
        WritesRefused = "writes_refused",
        /// What the triggers carry could not be tried.
        TriggerCoverageUnknown = "trigger_coverage_unknown",
        /// A transaction changed the two sides differently, by the log.
        TransactionDiverged = "transaction_diverged",
        /// Sums differ and no row explains it.
        Unexplained = "unexplained",
    }
}

impl CatalogClass {
    /// Whether it says that something could not be seen: nobody may take that for sound.
    pub fn is_blindness(self) -> bool {
        matches!(self, Self::TriggerCoverageUnknown | Self::PartitionHorizonUnknown)
    }
}

impl FindingClass {
    /// Whether it says that something could not be seen.
    pub fn is_blindness(self) -> bool {
        matches!(self, Self::Catalog(class) if class.is_blindness())
    }
}

/// The class of a finding, one word in files: a row's, a write's, an answer's or the catalog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum FindingClass {
    /// A row of the twin is not as in legacy.
    Row(RowClass),
    /// A write of the load.
    Write(WriteFault),
    /// An answer to the load.
    Answer(AnswerFault),
    /// The catalog, the log or whole tables.
    Catalog(CatalogClass),
}

impl FindingClass {
    /// All of them, in the order of reports.
    pub fn all() -> impl Iterator<Item = Self> {
        let rows = RowClass::ALL.iter().map(|class| Self::Row(*class));
        let writes = WriteFault::ALL.iter().map(|fault| Self::Write(*fault));
        let answers = AnswerFault::ALL.iter().map(|fault| Self::Answer(*fault));
        let catalog = CatalogClass::ALL.iter().map(|class| Self::Catalog(*class));
        rows.chain(writes).chain(answers).chain(catalog)
    }

    /// The class of this word, if there is one.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::all().find(|class| class.word() == word)
    }

    /// Its word in files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Row(class) => class.word(),
            Self::Write(fault) => fault.word(),
            Self::Answer(fault) => fault.word(),
            Self::Catalog(class) => class.word(),
        }
    }
}

/// By its word; one that nobody knows is named in the error.
impl<'de> serde::Deserialize<'de> for FindingClass {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let word = <std::borrow::Cow<'_, str>>::deserialize(from)?;
        Self::of_word(&word)
            .ok_or_else(|| serde::de::Error::custom(format!("no finding is of class `{word}`")))
    }
}

impl std::fmt::Display for FindingClass {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.pad(self.word())
    }
}

impl From<RowClass> for FindingClass {
    fn from(class: RowClass) -> Self {
        Self::Row(class)
    }
}

impl From<WriteFault> for FindingClass {
    fn from(fault: WriteFault) -> Self {
        Self::Write(fault)
    }
}

impl From<AnswerFault> for FindingClass {
    fn from(fault: AnswerFault) -> Self {
        Self::Answer(fault)
    }
}

impl From<CatalogClass> for FindingClass {
    fn from(class: CatalogClass) -> Self {
        Self::Catalog(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_one_word_and_an_unknown_word_is_refused() {
        let mut words = std::collections::BTreeSet::new();
        for class in FindingClass::all() {
            let text = serde_json::to_string(&class).expect("a word");
            assert_eq!(text, format!("\"{class}\""));
            assert_eq!(serde_json::from_str::<FindingClass>(&text).expect("its own word"), class);
            assert!(words.insert(class.word()), "{class} stands for two");
        }
        for unknown in ["\"mising\"", "\"\"", "\"Missing\"", "null"] {
            assert!(serde_json::from_str::<FindingClass>(unknown).is_err(), "{unknown}");
        }
    }
}
