//! `deploy/`: manifests against the API's own types, and the script of the shards as Jobs run it.

use crate::support;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::rig::Rig;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The Jobs in their order, each with the one it waits for.
const STEPS: [(&str, Option<&str>); 5] = [
    ("seed", None),
    ("before", Some("seed")),
    ("drive", Some("before")),
    ("after", Some("drive")),
    ("verdict", Some("after")),
];

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn yaml(name: &str) -> Value {
    let text = std::fs::read_to_string(deploy(name)).expect("our own file");
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// A manifest as the API's own type; a field that the type does not know would be lost on the way.
fn typed<T: DeserializeOwned + Serialize>(name: &str) -> T {
    let written = yaml(name);
    let typed: T =
        serde_json::from_value(written.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(serde_json::to_value(&typed).expect("JSON"), written, "{name}");
    typed
}

#[test]
fn the_manifests_are_what_the_api_knows() {
    let settings = std::fs::read_to_string(deploy("kubernetes/settings.env")).expect("settings");
    let shards = settings.lines().find_map(|line| line.strip_prefix("SHARDS="));
    let shards: i32 = shards.and_then(|shards| shards.parse().ok()).expect("a number");
    for (step, waits_for) in STEPS {
        let job: Job = typed(&format!("kubernetes/{step}.yaml"));
        assert_eq!(job.metadata.name.as_deref(), Some(format!("cutover-{step}").as_str()));
        let spec = job.spec.expect("a spec");
        let expected = if step == "verdict" { 1 } else { shards };
        assert_eq!(
            (spec.completions, spec.parallelism),
            (Some(expected), Some(expected)),
            "{step}"
        );
        assert_eq!(spec.completion_mode.as_deref(), Some("Indexed"), "{step}");
        // A load that is sent twice is no load, and a verdict is given once.
        let tried_again =
            spec.backoff_limit_per_index.unwrap_or(0) > 0 || spec.backoff_limit != Some(0);
        assert_eq!(tried_again, !["drive", "verdict"].contains(&step), "{step}");
        let pod = spec.template.spec.expect("a pod");
        assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
        let container = &pod.containers[0];
        let command = container.command.as_deref().expect("a command");
        assert_eq!(command[2], step);
        let env = container.env.iter().flatten().find(|env| env.name == "WAIT_FOR");
        assert_eq!(env.and_then(|env| env.value.as_deref()), waits_for, "{step}");
    }
    let _: PersistentVolumeClaim = typed("kubernetes/volume.yaml");
    let listed = yaml("kubernetes/kustomization.yaml")["resources"].clone();
    let mut listed: Vec<String> = serde_json::from_value(listed).expect("names");
    listed.sort();
    let mut there: Vec<String> = std::fs::read_dir(deploy("kubernetes"))
        .expect("our own folder")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml")
        .collect();
    there.sort();
    assert_eq!(listed, there);
}

#[test]
fn the_nightly_jobs_run_the_script_and_keep_what_it_leaves() {
    let github = yaml("ci/github.yml");
    let steps = github["jobs"]["rehearse"]["steps"].as_array().expect("steps");
    let run: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(run, ["scripts/nightly.sh"]);
    let kept = |path: &str| steps.iter().any(|step| step["with"]["path"] == path);
    assert!(kept("nights") && kept("reports/latest/"), "{steps:?}");
    let gitlab = &yaml("ci/gitlab.yml")["cutover-nightly"];
    assert_eq!(gitlab["script"], serde_json::json!(["scripts/nightly.sh"]));
    assert_eq!(gitlab["artifacts"]["reports"]["junit"], "reports/latest/junit.xml");
}

/// A pod of a Job, as a process.
fn pod(settings: &Path, step: &str, index: u64, waits_for: Option<&str>) -> Child {
    let mut command = Command::new(deploy("step.sh"));
    command.arg(settings).arg(step).env("JOB_COMPLETION_INDEX", index.to_string());
    if let Some(before) = waits_for {
        command.env("WAIT_FOR", before);
    }
    if ["before", "drive"].contains(&step) {
        command.env("NEED_GOOD", "1");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash runs")
}

/// What every pod of all steps ended with, all started at once; and the merged record.
fn started_at_once(
    rig: &Rig,
    name: &str,
    steps: &[(&str, Option<&str>)],
) -> (Vec<(String, i32)>, Value) {
    let run = rig.dir.path().join(name);
    let settings = rig.dir.path().join(format!("{name}.env"));
    let text = format!(
        "RUN_DIR={}\nCUTOVER={}\nSHARDS=2\nCUTOVER_DATABASE_URL='{}'\nCUTOVER_BASE_URL={}\nORGS=300\n\
         SEED_ORGS=300\nRATE=60\nDURATION=5s\nDRIVE_OPTIONS='--connections 8'\nSTART_IN=6\n\
         WAIT_LIMIT_S=60\n",
        run.display(),
        env!("CARGO_BIN_EXE_cutover"),
        rig.url("database_url"),
        rig.url("base_url"),
    );
    std::fs::write(&settings, text).expect("our own folder");
    let mut pods = Vec::new();
    // The last first: it is the files that keep the order.
    for (step, waits_for) in steps.iter().rev() {
        for index in 0..if *step == "verdict" { 1 } else { 2 } {
            pods.push(((*step).to_owned(), pod(&settings, step, index, *waits_for)));
        }
    }
    let ended = pods.into_iter().map(|(step, pod)| {
        let output = pod.wait_with_output().expect("it ends");
        let code = output.status.code().unwrap_or_else(|| panic!("{step}: {output:?}"));
        (step, code)
    });
    let ended = ended.collect();
    let record = std::fs::read_to_string(run.join("merged/run.json")).expect("a merged record");
    (ended, serde_json::from_str(&record).expect("JSON"))
}

#[test]
fn jobs_that_are_started_at_once_go_one_after_the_other_to_one_verdict() {
    let rig = Rig::up();
    let (ended, record) = started_at_once(&rig, "whole", &STEPS);
    // So short a load decides little, and may be sent late if machines are small.
    let code = ended.iter().find(|(step, _)| step == "verdict").expect("a verdict").1;
    assert!([0, 10, 20, 30].contains(&code), "{ended:?}");
    assert_eq!(record["verdict"]["exit_code"], code);
    let state = |id: &str| {
        let criteria = record["criteria"].as_array().expect("criteria");
        criteria.iter().find(|one| one["id"] == id).expect("a criterion")["state"].clone()
    };
    for id in ["content_identical_before", "content_identical", "ledger", "whole_plan"] {
        assert_eq!(state(id), "pass", "{id}: {:?}", record["verdict"]);
    }

    // What differs before the load keeps the load from being sent, and is the verdict.
    let url = rig.url("database_url");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let fault = "DELETE FROM revenue_transactions_partitioned WHERE id IN
                 (SELECT id FROM revenue_transactions ORDER BY id LIMIT 1)";
    runtime.block_on(support::execute(url, fault));
    let mut steps = STEPS[1..].to_vec();
    steps[0].1 = None;
    let (ended, record) = started_at_once(&rig, "different", &steps);
    assert!(ended.contains(&("verdict".to_owned(), 11)), "{ended:?}");
    assert_eq!(ended.iter().filter(|one| **one == ("drive".to_owned(), 1)).count(), 2, "{ended:?}");
    assert_eq!(record["drive"], Value::Null);
}
