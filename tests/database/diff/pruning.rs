//! What the planner would read, as the planner says it.

use cutover::config::{TablePair, TableRead};
use cutover::diff::Options;
use cutover::evidence::pruning::Pruning;

use crate::support::{self, compare, reference_database};

/// Questions about a table: name, partitions read, how many it may read.
fn of<'a>(looks: &'a [Pruning], table: &str) -> Vec<(&'a str, u64, Option<u64>)> {
    let ours = looks.iter().filter(|look| look.table == table);
    let name = |look: &'a Pruning| look.read.as_deref().unwrap_or("one range");
    ours.map(|look| (name(look), look.scanned, look.expected)).collect()
}

#[tokio::test]
async fn each_read_of_the_platform_reads_the_partitions_it_is_about() {
    let database = reference_database().await;
    let tables = TablePair::reference();
    let (evidence, _) = compare(&database.url, &tables, &Options::default()).await;
    assert!(evidence.pruning.iter().all(|look| look.problem.is_none()), "{:#?}", evidence.pruning);
    for table in ["revenue", "expense"] {
        let looks = of(&evidence.pruning, table);
        let all = evidence.pruning[0].partitions;
        assert!(all > 2, "{looks:?}");
        assert_eq!(looks[0], ("one range", 1, Some(1)));
        assert!(matches!(looks[1], ("list a month", 1..=2, Some(2..=3))), "{looks:?}");
        assert_eq!(looks[2], ("a row by id and date", 1, Some(1)));
        assert!(matches!(looks[3], ("a year by category", 1..=13, Some(1..=13))), "{looks:?}");
        assert!(Some(looks[3].1) <= looks[3].2, "{looks:?}");
        assert_eq!(looks[4], ("a row by id", all, None));
    }
    // The twin of the balances is divided by hash of the org: its days say nothing.
    assert_eq!(of(&evidence.pruning, "cash_balance"), [("list a month", 1, None)]);
    let by_id = &evidence.pruning[4];
    let costs = (by_id.legacy_cost.expect("told"), by_id.partitioned_cost.expect("told"));
    assert!(costs.0 > 0.0 && costs.1 > costs.0, "{by_id:?}");
}

#[tokio::test]
async fn a_planner_that_does_not_prune_is_found_out() {
    let database = reference_database().await;
    let tables = TablePair::reference();
    let name = database.url.rsplit('/').next().expect("a URL names its database");
    for setting in ["enable_partition_pruning", "constraint_exclusion"] {
        let switch = format!("ALTER DATABASE {name} SET {setting} = off");
        support::execute(&database.url, &switch).await;
    }
    let (evidence, _) = compare(&database.url, &tables, &Options::default()).await;
    assert_eq!(evidence.pruning.len(), 11);
    for look in &evidence.pruning {
        assert_eq!(look.scanned, look.partitions, "{look:?}");
        // Nothing is wrong with reading all of them if days lie in as many.
        let few = look.expected.is_some_and(|expected| expected < look.partitions);
        assert_eq!(look.is_right() == Some(false), few, "{look:?}");
    }
}

#[tokio::test]
async fn a_read_that_cannot_be_planned_says_why_and_the_comparison_goes_on() {
    let database = reference_database().await;
    let mut tables = TablePair::reference();
    let read = |name: &str, sql: &str| TableRead {
        name: name.into(),
        sql: sql.into(),
        days: None,
        partitions: Some(1),
    };
    tables[0].reads = vec![
        read("no such column", "SELECT * FROM {{table}} WHERE nothing = {{id}}"),
        read("no such value", "SELECT * FROM {{table}} WHERE id = {{nothing}}"),
        read("no statement", "REMOVE {{table}}"),
        read("two statements", "SELECT 1 FROM {{table}}; DELETE FROM {{table}}"),
        read("good", "SELECT * FROM {{table}} WHERE id = {{id}} AND date = {{date}}"),
    ];
    tables.truncate(1);
    let (evidence, _) = compare(&database.url, &tables, &Options::default()).await;
    assert!(evidence.complete && evidence.orgs_checked > 0, "{evidence:#?}");
    let looks = &evidence.pruning[1..];
    let problems: Vec<&str> =
        looks.iter().map(|look| look.problem.as_deref().unwrap_or("")).collect();
    for (problem, word) in
        problems.iter().zip(["does not exist", "`nothing`", "syntax", "multiple"])
    {
        assert!(problem.contains(word), "{problem}");
    }
    assert_eq!((problems[4], looks[4].scanned), ("", 1));
}
