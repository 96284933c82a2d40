//! A drill's surroundings: the target, its flag, traffic beneath it, and how it is left.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::postgres::PgConnection;
use url::Url;

use super::script::Script;
use super::sql;
use super::target::DrillTarget;
use super::traffic::Traffic;
use cutover_error::{Error, Result};
use cutover_ground::act::ActContext;
use cutover_ground::config::{Config, TablePair};
use cutover_ground::http::{Site, TrustedRoots};
use cutover_ground::pg::connect;
use cutover_ground::routing::{Percentage, ShareWatchdog, Undo};

/// Share of orgs that read from the partitioned side when an emergency comes.
pub(super) const PERCENT: f64 = 25.0;
/// Orgs that the traffic is about.
const ORGS: i64 = 240;
/// How long something that must come may take to be seen.
pub(super) const SETTLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long removing the drill's own rows may take.
const CLEAR_LIMIT: Duration = Duration::from_secs(60);
/// Reads that prove where reads come from: each org several times.
pub(super) const PROOF_READS: u64 = 480;

/// What a drill is played against.
#[derive(Debug, Clone)]
pub struct Target {
    /// The platform's database, direct.
    pub database_url: String,
    /// The platform.
    pub base_url: Url,
    /// Its replica, if it has one.
    pub replica_url: Option<String>,
    /// How the platform's owner describes it.
    pub config: Config,
    /// This program, if the platform outlives whoever ends us: it puts the share back then.
    pub watchdog: Option<PathBuf>,
}

impl Target {
    /// What it is called in evidence.
    pub(super) fn environment(&self) -> &str {
        match self.config.rollout.environment.as_str() {
            "" => "rig",
            named => named,
        }
    }
}

/// A drill's surroundings.
pub(super) struct Scene<'a, S> {
    pub stage: &'a mut S,
    pub target: &'a Target,
    pub context: &'a ActContext,
    pub flag: Percentage,
    pub site: Site,
    pub orgs: Vec<String>,
    pub traffic: Traffic,
    /// Whether it moves the flag alone, and nothing else is to be put back.
    gentle: bool,
    /// The pairs' triggers as they were found.
    triggers: Vec<sql::Noted>,
    watchdog: Option<ShareWatchdog>,
}

impl<'a, S: DrillTarget> Scene<'a, S> {
    /// Lets a quarter of the orgs read from the partitioned side, under traffic.
    pub(super) async fn set(
        stage: &'a mut S,
        target: &'a Target,
        gentle: bool,
        context: &'a ActContext,
    ) -> Result<Self> {
        let flag = Percentage::new(&target.config, &target.base_url)?;
        let roots = TrustedRoots::with_file(target.config.tls.ca_file.as_deref())?;
        let site = Site::new(&target.base_url, &roots, Duration::from_secs(5))?;
        let mut connection = connect(&target.database_url).await?;
        let orgs = sql::orgs(&mut connection, revenue(&target.config)?, ORGS).await?;
        if orgs.is_empty() {
            let hint = "seed it first (cutover seed), or leave the target away";
            return Err(Error::run("the target holds no org to rehearse with", hint));
        }
        let triggers = sql::triggers(&mut connection, &target.config.tables).await?;
        let rest = if gentle { Vec::new() } else { put_back(target, &triggers) };
        let watchdog = match target.watchdog.as_deref() {
            Some(program) => Some(ShareWatchdog::start(program, &flag, rest).await?),
            None => None,
        };
        let set = flag.set(PERCENT).await;
        match set.and_then(|()| Traffic::start(&target.config, &target.base_url, &orgs)) {
            Ok(traffic) => Ok(Self {
                stage,
                target,
                context,
                flag,
                site,
                orgs,
                traffic,
                gentle,
                triggers,
                watchdog,
            }),
            Err(error) => {
                // It may have got through all the same.
                match flag.set(0.0).await {
                    Ok(()) => watchdog.into_iter().for_each(ShareWatchdog::release),
                    Err(back) => {
                        context.note(format!("the flag may stand at {PERCENT} %: {back}"));
                    }
                }
                Err(error)
            }
        }
    }

    /// Has a statement run behind us as well, if we are killed before the scene is cleared.
    pub(super) fn keep(&mut self, statement: &str) -> Result<()> {
        let url = self.target.database_url.clone();
        let undo = Undo { database_url: url, statement: statement.to_owned() };
        self.watchdog.as_mut().map_or(Ok(()), |watchdog| watchdog.keep(undo))
    }

    /// Brings each trigger back to the state in which it was found.
    pub(super) async fn put_triggers_back(&self, connection: &mut PgConnection) -> Result<()> {
        for noted in &self.triggers {
            sql::run(connection, noted.put_back()).await?;
        }
        Ok(())
    }

    /// Every trigger is enabled for the sessions that it was enabled for.
    pub(super) async fn prove_triggers(
        &self,
        script: &mut Script<'_>,
        connection: &mut PgConnection,
    ) -> Result<()> {
        let now = sql::triggers(connection, &self.target.config.tables).await?;
        let seen = match now == self.triggers {
            true => format!("{} triggers", now.len()),
            false => format!("{now:?}, before {:?}", self.triggers),
        };
        script.prove("triggers are enabled as they were", now == self.triggers, seen);
        Ok(())
    }

    /// A connection to the database of its own.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        connect(&self.target.database_url).await
    }

    /// The pair that traffic writes to.
    pub(super) fn revenue(&self) -> Result<&'a TablePair> {
        revenue(&self.target.config)
    }

    /// The share is seen in answers, and requests are answered: without that a drill proves nothing.
    pub(super) async fn before(&mut self, script: &mut Script<'_>) -> Result<u64> {
        let from = Instant::now();
        let enough = self.traffic.reads_since(from, PROOF_READS, SETTLE_TIMEOUT).await;
        let seen = self.traffic.between(from, Instant::now());
        let mixed = enough && seen.partitioned > 0 && seen.legacy > 0 && seen.failed == 0;
        script.prove("before: both sides serve, no request fails", mixed, seen.seen());
        if !enough {
            let what = format!(
                "{} of {PROOF_READS} reads in {} s",
                seen.legacy + seen.partitioned,
                SETTLE_TIMEOUT.as_secs()
            );
            return Err(Error::run(what, "a platform that does not answer proves nothing"));
        }
        Ok(seen.p95_us)
    }

    /// Asks the platform until `holds`; returns what it said last and whether that was it.
    pub(super) async fn until(
        &mut self,
        path: &str,
        limit: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> (bool, Value) {
        let end = Instant::now() + limit;
        loop {
            let said = self.site.json(path).await.unwrap_or_else(Value::String);
            let done = holds(&said);
            if done || Instant::now() >= end || self.context.stop.is_cancelled() {
                return (done, said);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The platform says of itself that all is well.
    pub(super) async fn prove_healthy(&mut self, script: &mut Script<'_>) {
        let healthy = |said: &Value| said["status"] == "healthy";
        let (holds, said) = self.until("/monitoring/unified/health", SETTLE_TIMEOUT, healthy).await;
        script.prove("the platform is healthy", holds, said.to_string());
    }

    /// Every write that was acknowledged stands on both sides. Ends the traffic.
    pub(super) async fn prove_nothing_lost(&mut self, script: &mut Script<'_>) -> Result<()> {
        self.traffic.end().await;
        let ids = self.written();
        let mut connection = self.connect().await?;
        let (legacy, twin) = sql::present(&mut connection, self.revenue()?, &ids).await?;
        let all = ids.len() as i64;
        let holds = all > 0 && legacy == all && twin == all;
        let seen = format!("{all} acknowledged, {legacy} in legacy, {twin} in the twin");
        script.prove("every acknowledged write stands on both sides", holds, seen);
        Ok(())
    }

    /// The rows that traffic wrote and the platform acknowledged.
    pub(super) fn written(&self) -> Vec<i64> {
        self.traffic.acknowledged(Instant::now()).into_iter().map(|(id, _)| id).collect()
    }

    /// Leaves the target as it was: flag off, the drill's own rows gone; after one that touches more, no
    /// org disabled, triggers enabled as they were, replay going on.
    pub(super) async fn clear(&mut self) -> Result<()> {
        self.traffic.end().await;
        let flag = self.flag.set(0.0).await;
        // If that did not work, the watchdog tries on after us.
        if let Some(watchdog) = self.watchdog.take().filter(|_| flag.is_ok()) {
            watchdog.release();
        }
        let rest = if self.gentle { Ok(()) } else { self.mend().await };
        let mut left = 0;
        self.site.limit_to(CLEAR_LIMIT);
        for (id, org) in self.traffic.acknowledged(Instant::now()) {
            let path = format!("/finance/revenue/{id}?orgId={org}");
            let answer = self.site.send(hyper::Method::DELETE, &path, "", &[]).await;
            // One that is gone already was removed by the drill itself.
            let gone = |status| (200..300).contains(&status) || status == 404;
            left += u64::from(!answer.is_ok_and(|answer| gone(answer.status)));
        }
        if left > 0 {
            // They stand on both sides and harm nobody.
            self.context.note(format!("{left} rows of the drill could not be removed"));
        }
        flag.and(rest)
    }

    async fn mend(&mut self) -> Result<()> {
        let orgs = self.flag.disable(&[]).await;
        let replay = match &self.target.replica_url {
            Some(url) => sql::replay(url, false).await,
            None => Ok(()),
        };
        let mut connection = self.connect().await?;
        if sql::triggers(&mut connection, &self.target.config.tables).await? != self.triggers {
            self.put_triggers_back(&mut connection).await?;
        }
        orgs.and(replay)
    }
}

/// What brings triggers and replay back behind a drill that was killed.
fn put_back(target: &Target, triggers: &[sql::Noted]) -> Vec<Undo> {
    let database_url = &target.database_url;
    let of = |statement| Undo { database_url: database_url.clone(), statement };
    let mut undos: Vec<Undo> = triggers.iter().map(|noted| of(noted.put_back())).collect();
    undos.extend(
        target.replica_url.iter().map(|url| Undo {
            database_url: url.clone(),
            statement: sql::REPLAY_RESUME.to_owned(),
        }),
    );
    undos
}

fn revenue(config: &Config) -> Result<&TablePair> {
    let named = config.tables.iter().find(|pair| pair.name == "revenue");
    named.ok_or_else(|| {
        let what = "[[tables]]: no pair is named revenue";
        Error::usage(what, "drills write by POST /finance/revenue and look for the rows there")
    })
}
