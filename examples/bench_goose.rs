//! Goose's own loop of `user.get`, for `scripts/bench.sh drive`: URL, users and seconds in, requests
//! out.

#![allow(clippy::print_stdout, reason = "a program of a script's")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use goose::config::GooseConfiguration;
use goose::prelude::*;

#[tokio::main]
async fn main() -> Result<(), GooseError> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("URL, users, seconds");
    let mut configuration = GooseConfiguration::default();
    configuration.host = Some(next());
    let users = next();
    configuration.users = Some(users.parse().expect("a number of users"));
    configuration.increase_rate = Some(users);
    configuration.run_time = Some(next());
    configuration.no_telnet = true;
    configuration.no_print_metrics = true;
    configuration.quiet = 3;
    let requests = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&requests);
    let get: goose::goose::TransactionFunction = Arc::new(move |user: &mut GooseUser| {
        let counter = Arc::clone(&counter);
        Box::pin(async move {
            let answer = user.get("/").await?.response?;
            // Its latency ends at the headers; whoever compares has to read the body, too.
            answer.bytes().await?;
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    });
    let scenario = Scenario::new("loop").register_transaction(Transaction::new(get));
    GooseAttack::initialize_with_config(configuration)?
        .register_scenario(scenario)
        .execute()
        .await?;
    println!("{}", requests.load(Ordering::Relaxed));
    Ok(())
}
