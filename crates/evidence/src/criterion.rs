//! The criteria by name, and the evidence that they rest on.

use super::words::words;

words! {
    /// A criterion, by the name that reports and configurations use. In the order in which they decide.
    CriterionId {
        /// The run was not cut short, and its evidence is as it was left.
        RecordWhole = "record_whole",
        /// Every row was the same on both sides before the load.
        ContentIdenticalBefore = "content_identical_before",
        /// Every row of every org is the same on both sides.
        ContentIdentical = "content_identical",
        /// Row counts of both sides agree.
        RowDelta = "row_delta",
        /// Triggers, partitions and columns can keep both sides the same.
        CatalogSound = "catalog_sound",
        /// Everything that was seeded was there to be compared.
        SeededRowsPresent = "seeded_rows_present",
        /// Every acknowledged write is there, whole, once, on both sides, and no refused one is.
        Ledger = "ledger",
        /// No answer held another org's data.
        OrgIsolation = "org_isolation",
        /// Both sides answer the same question alike.
        AnswersAlike = "answers_alike",
        /// Nothing was left out that nobody may take for tested.
        TestedWhole = "tested_whole",
        /// The parts of the record tell one story.
        RecordConsistent = "record_consistent",
        /// No increment found a row or a write that is not as it must be.
        IncrementsIntact = "increments_intact",
        /// The measurement of every increment can be trusted.
        IncrementsSound = "increments_sound",
        /// Every increment of the schedule is GO.
        IncrementsReached = "increments_reached",
        /// The flag was left if the last verdict wants it, proven by answers.
        FlagLeft = "flag_left",
        /// Every answer came from the side that was asked for.
        ServedAsAsked = "served_as_asked",
        /// The load generator was not the bottleneck.
        GeneratorSound = "generator_sound",
        /// Requests left when they were due.
        SchedulingLag = "scheduling_lag",
        /// Time went forwards.
        ClockSound = "clock_sound",
        /// Every shard of the load is there.
        WholePlan = "whole_plan",
        /// The same side compared with itself shows no difference.
        Calibration = "calibration",
        /// Requests succeed.
        ErrorRate = "error_rate",
        /// P95 of all requests is not worse on the partitioned side.
        P95Overall = "p95_overall",
        /// No operation is much worse on the partitioned side.
        P95Operations = "p95_operations",
        /// No size of org is much worse off on the partitioned side.
        P95OrgSizes = "p95_org_sizes",
        /// The partitioned side is not slower than in earlier runs.
        P95History = "p95_history",
        /// The cache answers most of what it is asked.
        CacheHitRate = "cache_hit_rate",
        /// The platform raised no critical alert.
        CriticalAlerts = "critical_alerts",
        /// Connection pools were not exhausted.
        PoolExhaustion = "pool_exhaustion",
        /// Questions read the partitions they are about and no others.
        PartitionPruning = "partition_pruning",
        /// The platform sends the share of requests to the twins that its percentage says.
        RouteShare = "route_share",
        /// A rollback was rehearsed, and was quick enough.
        Drills = "drills",
        /// Every fault planted on purpose was seen, and led to the right action.
        FaultsSeen = "faults_seen",
        /// The platform was watched long enough for this phase.
        Watched = "watched",
        /// Replicas kept up.
        ReplicaLag = "replica_lag",
        /// The external cache was there all the time.
        ExternalCache = "external_cache",
    }
}

words! {
    /// A part of the run record that a criterion rests on, by its field.
    Source {
        /// How each act of the run ended.
        Acts = "acts",
        /// The digests of the evidence files.
        Files = "files",
        /// What was not tested on purpose.
        LeftOut = "left_out",
        /// What the seed promised.
        Manifest = "manifest",
        /// The comparison before the load.
        DiffBefore = "diff_before",
        /// The comparison that counts.
        Diff = "diff",
        /// Its findings.
        DiffFindings = "diff.findings",
        /// What the planner would read.
        DiffPruning = "diff.pruning",
        /// The load.
        Drive = "drive",
        /// Its windows.
        DriveWindows = "drive.windows",
        /// The comparison of the modes.
        DriveComparison = "drive.comparison",
        /// The same for each operation.
        DriveOperations = "drive.comparison.operations",
        /// The same for each size of org.
        DriveOrgSizes = "drive.comparison.org_sizes",
        /// What became of its writes.
        DriveLedger = "drive.ledger",
        /// Whose data its answers held.
        DriveIsolation = "drive.isolation",
        /// What both sides answered.
        DriveParity = "drive.parity",
        /// Earlier runs.
        History = "history",
        /// What the platform said while the load ran.
        Observations = "observations",
        /// What hours of watching came to.
        Watch = "watch",
        /// Drills.
        Drills = "drills",
        /// Planted faults.
        Faults = "faults",
        /// The increments of a rollout.
        RolloutSteps = "rollout.steps",
        /// Where it left the flag.
        RolloutFlag = "rollout.flag_left_at",
    }
}

impl Source {
    /// Whether it is what a load leaves behind.
    pub fn is_of_load(self) -> bool {
        matches!(
            self,
            Self::Drive
                | Self::DriveWindows
                | Self::DriveComparison
                | Self::DriveOperations
                | Self::DriveOrgSizes
                | Self::DriveLedger
                | Self::DriveIsolation
                | Self::DriveParity
        )
    }
}
