//! A rollout in compressed time: the whole way if all is well, and only as far as a fault lets it.

use crate::support;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// A short rollout; exit code, `run.json` and what was said.
fn roll_out(out: &Path, more: &[&str]) -> (Option<i32>, Value, String) {
    let output = support::cutover()
        .args(["rehearse", "--rollout", "--out"])
        .arg(out)
        .args(if more.contains(&"--orgs") { &[][..] } else { &SHORT })
        .args(more)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(out.join("run.json"));
    let text = text.unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), serde_json::from_str(&text).expect("JSON"), said)
}

const SHORT: [&str; 8] = ["--orgs", "2000", "--rate", "120", "--duration", "20s", "--pairs", "4"];

fn percentages(evidence: &Value) -> Vec<f64> {
    let steps = evidence["rollout"]["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["percent"].as_f64().expect("a number")).collect()
}

/// Rows that are torn decide whatever the machine is busy with, so this needs no quiet one.
#[test]
fn a_fault_stops_the_rollout_and_leaves_the_flag_at_0() {
    let out = tempfile::tempdir().expect("a folder");
    let run = out.path().join("run");
    let (code, evidence, said) = roll_out(&run, &["--plant", "1=torn-write=20%"]);
    assert_eq!(code, Some(11), "{said}\n{evidence:#}");
    assert_eq!(percentages(&evidence), [1.0], "{said}");
    let last = &evidence["rollout"]["steps"][0];
    assert_eq!(
        (&last["decision"], &last["action"]),
        (&"no_go".into(), &"emergency_rollback".into())
    );
    assert_eq!(
        (&last["routing"]["proven"], &last["planted"]),
        (&true.into(), &"torn-write=20%".into())
    );
    assert_eq!(evidence["rollout"]["flag_left_at"], 0.0, "{evidence:#}");
    assert!(run.join("step-1/run.json").is_file() && run.join("step-1/report.html").is_file());
    let page = std::fs::read_to_string(run.join("report.html")).expect("one page");
    assert!(page.contains("NO-GO") && page.contains("planted: torn-write=20%"));

    // The gate says the same again from the folder alone, of the journey and of its increment.
    let gate = |more: &[&str]| {
        let mut gate = support::cutover();
        let output = gate.arg("gate").arg(&run).args(more).args(["--format", "json"]).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).ok(), said)
    };
    let (code, record, said) = gate(&[]);
    assert_eq!(code, Some(11), "{said}");
    let record = record.expect("a record");
    assert_eq!(record["verdict"], evidence["verdict"]);
    let of = |record: &Value, id: &str| {
        let criteria = record["criteria"].as_array().expect("criteria");
        criteria.iter().find(|c| c["id"] == id).unwrap_or_else(|| panic!("no {id}")).clone()
    };
    assert_eq!(of(&record, "flag_left")["state"], "pass");
    let (code, step, said) = gate(&["--increment", "1"]);
    assert_eq!(code, Some(11), "{said}");
    let step = step.expect("a record");
    // What was measured of the routing is judged, and the hours that nobody waited for say why.
    assert_eq!(of(&step, "route_share")["state"], "pass", "{step:#}");
    let watched = of(&step, "watched");
    assert_eq!(watched["kind"], "advice");
    assert!(watched["source"].as_str().expect("text").contains("compressed time"), "{watched}");
    let (code, _, said) = gate(&["--increment", "50"]);
    assert!(code == Some(2) && said.contains("has not driven it"), "{said}");
    // A step that somebody has changed, or taken away, is no evidence any more.
    std::fs::write(run.join("step-1/ledger.jsonl"), "").expect("written");
    assert_eq!(gate(&[]).0, Some(30));
}

/// Needs a machine with nothing else to do: three increments have to be GO first.
#[test]
#[ignore = "wants a quiet machine, six minutes"]
fn a_fault_planted_at_25_percent_stops_there() {
    let out = tempfile::tempdir().expect("a folder");
    let more = ["--orgs", "10000", "--rate", "250", "--duration", "80s", "--pairs", "16"];
    let more = [&more[..], &["--plant", "25=torn-write=5%"]].concat();
    let (code, evidence, said) = roll_out(&out.path().join("run"), &more);
    assert_eq!(code, Some(11), "{said}\n{evidence:#}");
    assert_eq!(percentages(&evidence), [1.0, 5.0, 10.0, 25.0], "{said}");
    let steps = evidence["rollout"]["steps"].as_array().expect("steps");
    for step in &steps[..3] {
        assert_eq!(step["decision"], "go", "{step:#}");
    }
    assert_eq!(evidence["rollout"]["flag_left_at"], 0.0, "{evidence:#}");
}

#[test]
fn a_flag_that_does_nothing_is_found_out_at_the_first_increment() {
    let out = tempfile::tempdir().expect("a folder");
    let config = out.path().join("deaf.toml");
    std::fs::write(&config, "[rollout]\npercentage_command = [\"true\", \"{{percent}}\"]\n")
        .expect("written");
    let config = config.display().to_string();
    let (code, evidence, said) = roll_out(&out.path().join("run"), &["--config", &*config]);
    assert_eq!(code, Some(10), "{said}");
    assert_eq!(percentages(&evidence), [1.0]);
    assert_eq!(evidence["rollout"]["steps"][0]["routing"]["proven"], false);
    assert_eq!(evidence["rollout"]["steps"][0]["requests"], 0, "it was driven all the same");
}

#[test]
fn what_cannot_be_planted_is_refused() {
    for (plant, expected) in [
        ("30=torn-write", "1, 5, 10, 25, 50, 100"),
        ("25=nonsense", "no misbehaviour"),
        ("25", "PCT=NAME"),
    ] {
        let output = support::cutover()
            .args(["rehearse", "--rollout", "--plant", plant])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

/// Servers of a rig that a rollout has started, by program and process id; the platform is one of our
/// own program.
fn servers(of: u32) -> Vec<(String, u32)> {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let parent: u32 = tail.split_whitespace().nth(1)?.parse().ok()?;
        let name = head.split_once('(')?.1.to_owned();
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let server = name != "cutover" || command.split('\0').nth(1) == Some("platform");
        let lasting = ["postgres", "redis-server", "pgbouncer", "cutover"].contains(&name.as_str());
        (parent == of && server && lasting).then_some((name, pid))
    })
    .collect()
}

/// Kills one server of a rollout's rig at some moment after all of them are there. The run has to end by
/// itself with a report, leave nothing behind, and account for every write.
fn kill_one(random: u64) {
    let out = tempfile::tempdir().expect("a folder");
    let run = out.path().join("run");
    let mut child = support::cutover_command()
        .args(["rehearse", "--rollout", "--full", "--orgs", "500", "--rate", "80"])
        .args(["--duration", "4s", "--pairs", "1", "--looks", "1", "--out"])
        .arg(&run)
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(out.path().join("said")).expect("writable"))
        .spawn()
        .expect("it starts");
    let minute = Duration::from_secs(60);
    assert!(support::wait_until(minute, || servers(child.id()).len() == 5), "no rig came up");
    let all = servers(child.id());
    let (victim, pid) = &all[usize::try_from(random % 5).expect("small")];
    std::thread::sleep(Duration::from_millis(random / 5 % 15_000));
    let moment =
        format!("{victim} killed {} ms after the start (seed {random})", random / 5 % 15_000);
    // Its own process group would take others along.
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(*pid).expect("an id")),
        nix::sys::signal::Signal::SIGKILL,
    );
    let mut status = None;
    let ended = support::wait_until(5 * minute, || {
        status = child.try_wait().expect("our child");
        status.is_some()
    });
    let said = std::fs::read_to_string(out.path().join("said")).expect("readable");
    if !ended {
        let _ = child.kill();
        panic!("{moment}: it does not end\n{said}");
    }
    let code = status.and_then(|status| status.code());
    let text = std::fs::read_to_string(run.join("run.json")).expect("a record");
    let record: Value = serde_json::from_str(&text).expect("JSON");
    let why = &record["verdict"]["reasons"];
    assert!([1, 10, 20, 30].map(Some).contains(&code), "{moment}: exit {code:?}\n{why:#}\n{said}");
    assert_eq!(record["ended"], true, "{moment}");
    assert!(run.join("report.html").is_file(), "{moment}: no report");
    for (name, pid) in &all {
        let alive = Path::new(&format!("/proc/{pid}")).exists();
        assert!(!alive, "{moment}: {name} ({pid}) was left running");
    }
    for step in record["rollout"]["steps"].as_array().expect("steps") {
        let folder = step["folder"].as_str().expect("text");
        if !run.join(folder).join("ledger.jsonl").exists() {
            continue;
        }
        let own = std::fs::read_to_string(run.join(folder).join("run.json")).expect("a record");
        let own: Value = serde_json::from_str(&own).expect("JSON");
        let ledgers = [&own["drive"]["ledger"], &step["ledger"]];
        let held = ledgers.iter().any(|ledger| ledger["complete"] == true);
        assert!(held, "{moment}: writes nobody looked up: {step:#}\n{said}");
        let lost =
            ledgers.iter().filter_map(|ledger| ledger["counts"]["lost"].as_u64()).sum::<u64>();
        assert_eq!(lost, 0, "{moment}: {step:#}");
    }
}

fn kill_at_random_moments(moments: u64) {
    let mut drawn = support::Moments::announced();
    let drawn: Vec<u64> = (0..moments).map(|_| drawn.next()).collect();
    for two in drawn.chunks(2) {
        std::thread::scope(|scope| {
            for moment in two {
                scope.spawn(move || kill_one(*moment));
            }
        });
    }
}

#[test]
fn a_rollout_whose_servers_are_killed_ends_by_itself_and_accounts_for_every_write() {
    kill_at_random_moments(2);
}

#[test]
#[ignore = "ten minutes"]
fn twenty_random_moments() {
    kill_at_random_moments(20);
}
