//! `deploy/slurm/` on a real Slurm: munged, slurmctld and two slurmd, all on this machine.
//!
//! Ignored if nobody has installed Slurm: `scripts/install.sh --slurm` does, and `scripts/test.sh`
//! runs it then.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::rig::Rig;
use crate::support::wait_until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// How long a submitted rehearsal of this size may take before something hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// A cluster of two nodes, ended with this value.
struct Cluster {
    dir: TempDir,
    daemons: Vec<Child>,
}

impl Cluster {
    fn up() -> Self {
        let dir = TempDir::new().expect("a folder");
        let folder = dir.path().to_owned();
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::create_dir(dir.path().join("state")).expect("our own folder");
        std::fs::write(path("munge.key"), rand::random::<[u8; 128]>()).expect("our own folder");
        let only_us = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(path("munge.key"), only_us).expect("our own file");
        std::fs::write(path("slurm.conf"), configuration(dir.path())).expect("our own folder");
        let mut cluster = Self { daemons: Vec::new(), dir };
        cluster.start(
            "munged",
            &[
                "--foreground".into(),
                "--force".into(),
                format!("--key-file={}", path("munge.key")),
                format!("--socket={}", path("munge.sock")),
                format!("--pid-file={}", path("munged.pid")),
                format!("--log-file={}", path("munged.log")),
                format!("--seed-file={}", path("munged.seed")),
            ],
        );
        let socket = PathBuf::from(path("munge.sock"));
        assert!(wait_until(Duration::from_secs(20), || socket.exists()), "munged does not come up");
        let configuration = path("slurm.conf");
        cluster.start("slurmctld", &["-D".into(), "-c".into(), "-f".into(), configuration.clone()]);
        for node in ["n1", "n2"] {
            let args = ["-D", "-f", &configuration, "-N", node].map(str::to_owned);
            cluster.start("slurmd", &args);
        }
        let both_idle = || {
            let told = cluster.ask("sinfo", &["--noheader", "--format=%t %D"]);
            String::from_utf8_lossy(&told.stdout).trim() == "idle 2"
        };
        assert!(wait_until(Duration::from_secs(60), both_idle), "the nodes do not come up");
        cluster
    }

    fn start(&mut self, program: &str, args: &[String]) {
        let log = self.dir.path().join(format!("{program}-{}.out", self.daemons.len()));
        let log = std::fs::File::create(log).expect("our own folder");
        let child = Command::new(format!("/usr/sbin/{program}"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn();
        self.daemons.push(child.unwrap_or_else(|e| panic!("{program}: {e}")));
    }

    fn ask(&self, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(args).env("SLURM_CONF", self.dir.path().join("slurm.conf"));
        command.output().expect("Slurm's own program runs")
    }

    /// Submits a rehearsal; the ids of its jobs by their names.
    fn submit(&self, settings: &Path) -> impl Fn(&str) -> String + use<> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/slurm/submit.sh");
        let output = self.ask(script, &[settings.to_str().expect("UTF-8")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        move |step| {
            let id = told.lines().find_map(|line| line.strip_prefix(&format!("{step}=")));
            id.expect("the step is named").to_owned()
        }
    }

    fn job(&self, id: &str) -> String {
        let told = self.ask("scontrol", &["show", "job", id]);
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// The exit code of a job, once it has ended.
    fn exit_code(&self, id: &str) -> i32 {
        let mut told = String::new();
        let ended = || {
            told = self.job(id);
            ["COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL"]
                .iter()
                .any(|state| told.contains(&format!("JobState={state}")))
        };
        assert!(wait_until(PATIENCE, ended), "{told}");
        let code = told.split("ExitCode=").nth(1).and_then(|rest| rest.split(':').next());
        code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{told}"))
    }

    /// Takes a node away, with everything that runs on it, as a lost machine would go.
    fn lose(&mut self, node: &str) {
        let index = if node == "n1" { 2 } else { 3 };
        self.daemons[index].kill().expect("our own child");
        for process in std::fs::read_dir("/proc").expect("Linux").flatten() {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let ours = format!("CUTOVER_TEST_CLUSTER={}", self.dir.path().display());
            let there = format!("SLURMD_NODENAME={node}");
            let has = |wanted: &str| {
                environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes())
            };
            if has(&ours) && has(&there) {
                let pid = process.file_name().to_string_lossy().parse().expect("a number");
                // One that has ended meanwhile is gone, too.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.ask("scancel", &["--user", "root"]);
        for daemon in self.daemons.iter_mut().rev() {
            let _ = kill(Pid::from_raw(daemon.id() as i32), Signal::SIGTERM);
            let gone = wait_until(Duration::from_secs(10), || {
                daemon.try_wait().is_ok_and(|status| status.is_some())
            });
            if !gone {
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
        }
    }
}

fn configuration(dir: &Path) -> String {
    let free_port = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").port()
    };
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux");
    let name = name.trim().split('.').next().unwrap_or_default();
    let user =
        nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("users").expect("us").name;
    let (dir, controller) = (dir.display(), free_port());
    let nodes: String = ["n1", "n2"]
        .map(|node| {
            let port = free_port();
            format!("NodeName={node} NodeHostname={name} NodeAddr=127.0.0.1 Port={port} CPUs=2\n")
        })
        .concat();
    format!(
        "ClusterName=test\nSlurmctldHost={name}(127.0.0.1)\nSlurmctldPort={controller}\n\
         SlurmUser={user}\nSlurmdUser={user}\nAuthType=auth/munge\nAuthInfo=socket={dir}/munge.sock\n\
         StateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool-%n\n\
         SlurmctldPidFile={dir}/slurmctld.pid\nSlurmdPidFile={dir}/slurmd-%n.pid\n\
         ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nReturnToService=2\n\
         MpiDefault=none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
         AccountingStorageType=accounting_storage/none\nSlurmdTimeout=8\nMinJobAge=3600\n\
         SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0\n\
         {nodes}PartitionName=load Nodes=n1,n2 Default=YES State=UP\n"
    )
}

/// The settings of a small rehearsal in four shards.
fn settings(cluster: &Cluster, rig: &Rig, name: &str, duration: &str, more: &str) -> PathBuf {
    let file = cluster.dir.path().join(format!("{name}.env"));
    let text = format!(
        "RUN_DIR={dir}/{name}\nCUTOVER={program}\nSHARDS=4\nCUTOVER_TEST_CLUSTER={dir}\n\
         CUTOVER_DATABASE_URL='{database}'\nCUTOVER_BASE_URL={platform}\n\
         ORGS=400\nRATE=80\nDURATION={duration}\nDRIVE_OPTIONS='--connections 8'\nSTART_IN=8\n{more}",
        dir = cluster.dir.path().display(),
        program = env!("CARGO_BIN_EXE_cutover"),
        database = rig.url("database_url"),
        platform = rig.url("base_url"),
    );
    std::fs::write(&file, text).expect("our own folder");
    file
}

fn merged(cluster: &Cluster, name: &str) -> Value {
    let folder = cluster.dir.path().join(name);
    let log = std::fs::read_to_string(folder.join("log/verdict-1.log")).unwrap_or_default();
    let record = std::fs::read_to_string(folder.join("merged/run.json"));
    let record = record.unwrap_or_else(|e| panic!("no merged record: {e}\n{log}"));
    serde_json::from_str(&record).expect("JSON")
}

fn criterion(record: &Value, id: &str) -> Value {
    let criteria = record["criteria"].as_array().expect("criteria");
    criteria.iter().find(|criterion| criterion["id"] == id).expect("a criterion").clone()
}

#[test]
#[ignore = "needs Slurm: scripts/install.sh --slurm"]
fn four_shards_on_two_nodes_are_one_rehearsal_and_a_lost_node_is_none() {
    let rig = Rig::up();
    let mut cluster = Cluster::up();

    let job = cluster.submit(&settings(&cluster, &rig, "whole", "10s", "SEED_ORGS=400\n"));
    let code = cluster.exit_code(&job("verdict"));
    let record = merged(&cluster, "whole");
    // On a small machine four generators send late, and so short a load decides little; what was
    // written and what is equal does not depend on that.
    assert!([0, 10, 20, 30].contains(&code), "{code}");
    assert_eq!(record["verdict"]["exit_code"], code);
    for id in ["content_identical_before", "content_identical", "ledger", "whole_plan"] {
        assert_eq!(criterion(&record, id)["state"], "pass", "{}", criterion(&record, id));
    }
    assert_eq!(record["drive"]["missing_shards"], serde_json::json!([]));
    assert_eq!(record["drive"]["complete"], true);
    assert_eq!(record["diff"]["orgs_checked"], 400);
    let nodes: std::collections::BTreeSet<String> = (1..=4)
        .map(|task| cluster.job(&format!("{}_{task}", job("drive"))))
        .filter_map(|told| Some(told.split("\n   NodeList=").nth(1)?.lines().next()?.to_owned()))
        .collect();
    assert_eq!(nodes, ["n1", "n2"].map(str::to_owned).into(), "both nodes drove");

    let job = cluster.submit(&settings(&cluster, &rig, "lost", "20s", ""));
    let started = cluster.dir.path().join("lost/start-at");
    let all_drive = || {
        let shards = (1..=4).map(|shard| cluster.dir.path().join(format!("lost/drive/{shard}")));
        started.exists() && shards.into_iter().all(|shard| shard.join("run.json").exists())
    };
    assert!(wait_until(PATIENCE, all_drive), "the load does not begin");
    cluster.lose("n2");
    assert_eq!(
        cluster.exit_code(&job("verdict")),
        30,
        "a load that lost a node is not to be trusted"
    );
    let record = merged(&cluster, "lost");
    assert_eq!(record["verdict"]["decision"], "invalid");
    assert_eq!(criterion(&record, "whole_plan")["state"], "fail");
    assert_eq!(criterion(&record, "content_identical")["state"], "pass");
}
