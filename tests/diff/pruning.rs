//! What the planner would read, as the planner says it.

use cutover::config::TablePair;
use cutover::diff::Options;

use crate::support::{self, compare, reference_database};

#[tokio::test]
async fn a_planner_that_does_not_prune_is_found_out() {
    let database = reference_database().await;
    let tables = TablePair::reference();
    let (evidence, _) = compare(&database.url, &tables, &Options::default()).await;
    // Of the reference schema's twins two are divided by ranges, one by hash.
    let names: Vec<&str> = evidence.pruning.iter().map(|plan| plan.table.as_str()).collect();
    assert_eq!(names, ["revenue", "expense"]);
    for plan in &evidence.pruning {
        assert!(plan.scanned == 1 && plan.partitions > 2, "{plan:?}");
    }
    let name = database.url.rsplit('/').next().expect("a URL names its database");
    let switch = format!("ALTER DATABASE {name} SET enable_partition_pruning = off");
    support::execute(&database.url, &switch).await;
    let switch = format!("ALTER DATABASE {name} SET constraint_exclusion = off");
    support::execute(&database.url, &switch).await;
    let (evidence, _) = compare(&database.url, &tables, &Options::default()).await;
    assert_eq!(evidence.pruning.len(), 2);
    for plan in &evidence.pruning {
        assert_eq!(plan.scanned, plan.partitions, "{plan:?}");
    }
}
