//! The rig: what it starts it stops, whatever happens in between, and nothing else.

mod support;

use cutover::act::ActContext;
use cutover::rig::{Options, Stack};

#[tokio::test]
async fn a_stopped_rig_leaves_no_folder() {
    let options = Options { platform: false, ..Options::new(env!("CARGO_BIN_EXE_cutover")) };
    let stack = Stack::start(options, &ActContext::silent()).await.expect("the rig starts");
    let dir = stack.dir().to_owned();
    assert!(dir.join("rig.json").is_file());
    stack.stop().await.expect("the rig stops");
    assert!(!dir.exists());
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own() {
    let (one, other) = (support::database(), support::database());
    assert_ne!(one.url, other.url);
    cutover::pg::connect(&one.url).await.expect("it takes connections");
}
