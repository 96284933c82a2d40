//! `cutover init --from-access-log`: what a log was made from comes back out of it.

use std::fmt::Write as _;
use std::io::{Cursor, Read, Write};
use std::sync::LazyLock;

use crate::support::cutover;
use chrono::{DateTime, TimeDelta, Utc};
use cutover::act::ActContext;
use cutover::evidence::drive::Side;
use cutover::rig::{Options, Stack};
use cutover::scenario::{
    FINANCE, FromLog, LogOptions, Plan, PlanOptions, Row, Scenario, Values, from_log,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// One request of a log.
struct Asked {
    at: DateTime<Utc>,
    method: String,
    target: String,
    status: u16,
}

/// The requests of the finance scenario, as a platform would log them: all of them answered as
/// expected.
fn asked(scenario: &str, orgs: u64, rate_per_s: f64, minutes: u64) -> Vec<Asked> {
    let scenario = Scenario::parse("the test's", scenario).expect("a scenario");
    let options = PlanOptions {
        rate_per_s,
        pairs: 1,
        rounds: 1,
        looks: Vec::new(),
        window_us: minutes * 60_000_000,
        settle_us: 0,
        warm_up_us: 0,
        modes: vec![Side::Legacy],
        orgs,
        rng_seed: 5,
    };
    let plan = Plan::new(&scenario, &options).expect("a plan");
    let begin = DateTime::parse_from_rfc3339("2026-03-31T08:00:00Z").expect("a time").to_utc();
    let requests = plan.walk().flatten().map(|arrival| {
        let operation = &scenario.operations[usize::from(arrival.operation)];
        let row =
            json!({ "id": 70_000 + arrival.index, "orgId": arrival.org, "date": "2026-03-05" });
        let row: &Row = row.as_object().expect("an object");
        let values = Values {
            org: arrival.org,
            draw: arrival.draw,
            turn: arrival.turn,
            unique: arrival.index,
            as_of: begin.date_naive(),
            row: Some(row),
            feeders: &[],
            signer: None,
        };
        Asked {
            at: begin + TimeDelta::microseconds(arrival.due_us as i64),
            method: operation.method.to_string(),
            target: operation.path.fill(&values),
            status: operation.expect[0],
        }
    });
    requests.collect()
}

fn combined(asked: &[Asked]) -> String {
    let mut log = String::new();
    for Asked { at, method, target, status } in asked {
        let at = at.format("%d/%b/%Y:%H:%M:%S +0000");
        let _ = writeln!(
            log,
            "10.0.0.1 - - [{at}] \"{method} {target} HTTP/1.1\" {status} 512 \"-\" \"curl/8\" 0.012"
        );
    }
    log
}

fn json_lines(asked: &[Asked]) -> String {
    let mut log = String::new();
    for Asked { at, method, target, status } in asked {
        let (path, args) = target.split_once('?').unwrap_or((target, ""));
        let line = json!({
            "time_iso8601": at.format("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
            "request_method": method, "uri": path, "args": args, "status": status.to_string(),
        });
        let _ = writeln!(log, "{line}");
    }
    log
}

/// Twenty minutes of finance at 50 requests a second, by orgs of one popularity.
static FINANCE_LOG: LazyLock<Vec<Asked>> = LazyLock::new(|| {
    let scenario = FINANCE.replace("orgs = { exponent = 0.3 }\n", "");
    assert_ne!(scenario, FINANCE, "writes have a popularity of their own");
    asked(&scenario, 1000, 50.0, 20)
});

fn made(log: impl Into<Vec<u8>>, options: &LogOptions) -> FromLog {
    from_log("the log", Cursor::new(log.into()), options).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(log: impl Into<Vec<u8>>) -> String {
    let outcome = from_log("the log", Cursor::new(log.into()), &LogOptions::default());
    outcome.expect_err("not a log that can be driven").to_string()
}

fn zipped(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn weights_and_popularity_of_a_log_come_back() {
    let FromLog { text, summary } = made(combined(&FINANCE_LOG), &LogOptions::default());
    assert_eq!(summary.requests, FINANCE_LOG.len() as u64);
    assert!(summary.unread.is_empty(), "{:?}", summary.unread);
    let total = summary.requests as f64;
    for (method, path, weight) in [
        ("GET", "/finance/revenue", 30.0),
        ("GET", "/finance/expense", 20.0),
        ("GET", "/finance/expense/summary", 8.0),
        ("GET", "/finance/revenue/{{row.id}}", 8.0),
        ("POST", "/finance/revenue", 3.0),
        ("DELETE", "/finance/expense/{{row.id}}", 0.5),
    ] {
        let found = summary.operations.iter().find(|o| o.method == method && o.path == path);
        let found = found.unwrap_or_else(|| panic!("{method} {path}: {:?}", summary.operations));
        // Four standard deviations of what was drawn.
        let share = weight / 100.0;
        let tolerance = 400.0 * (share * (1.0 - share) / total).sqrt();
        assert!((found.weight - weight).abs() < tolerance, "{method} {path}: {}", found.weight);
        assert_eq!(found.driven, method == "GET" && !path.contains("row"), "{method} {path}");
    }
    let scenario: toml::Value = toml::from_str(&text).expect("TOML");
    // The scenario's own: 2.0 and 25.
    let of = |key: &str| scenario["orgs"][key].as_float().expect("a number");
    assert!((of("exponent") - 2.0).abs() < 0.15, "{}", of("exponent"));
    assert!((15.0..=35.0).contains(&of("flat_head")), "{}", of("flat_head"));
    assert_eq!(scenario["arrivals"]["shape"].as_str(), Some("poisson"));
    assert!((summary.rate_per_s - 50.0).abs() < 1.0, "{}", summary.rate_per_s);
    let operation = |name: &str| {
        let all = scenario["operation"].as_array().expect("operations").iter();
        all.clone()
            .find(|o| o["name"].as_str() == Some(name))
            .unwrap_or_else(|| panic!("{name}: {text}"))
    };
    let query = |name: &str, key: &str| operation(name)["query"][key].as_str().map(str::to_owned);
    assert_eq!(query("get_finance_revenue", "limit").as_deref(), Some("50"));
    assert_eq!(query("get_finance_revenue", "orgId").as_deref(), Some("{{org}}"));
    let by = |key| query(&format!("get_finance_revenue_summary_{key}"), key);
    assert_eq!(by("month").as_deref(), Some("{{month:-1..0}}"));
    assert_eq!(by("year").as_deref(), Some("{{year:-1..0}}"));
}

/// What waits in comments is the rest of the scenario: with them taken away, all of it is there.
#[test]
fn what_waits_in_comments_can_be_driven_once_it_is_filled_in() {
    let FromLog { text, summary } = made(combined(&FINANCE_LOG), &LogOptions::default());
    let open: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(code) if code.starts_with("[[") || code.contains(" = ") => code,
            _ => line,
        })
        .collect();
    let whole =
        Scenario::parse("filled in", &open.join("\n")).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(whole.operations.len(), summary.operations.len());
    let delete = whole.operations.iter().find(|o| o.name.starts_with("delete_finance_revenue"));
    assert!(delete.is_some_and(|o| o.row.is_some() && o.consumes), "{text}");
    assert!(summary.left_out.iter().any(|what| what.contains("wait in comments")), "{summary:?}");
}

#[test]
fn each_form_of_the_same_log_gives_the_same_scenario() {
    let asked = &FINANCE_LOG[..5000];
    let expected = made(combined(asked), &LogOptions::default()).text;
    assert_eq!(expected, made(combined(asked), &LogOptions::default()).text, "not the same twice");
    assert_eq!(expected, made(json_lines(asked), &LogOptions::default()).text);
    let (first, second) = asked.split_at(2000);
    let rotated = [zipped(&combined(first)), zipped(&json_lines(second))].concat();
    assert_eq!(expected, made(rotated, &LogOptions::default()).text);
    let mixed = format!("{}\r\n\n{}", combined(first), json_lines(second)).replace('\n', "\r\n");
    assert_eq!(expected, made(mixed, &LogOptions::default()).text);
}

#[test]
fn lines_that_cannot_be_read_are_told_by_reason() {
    let good = combined(&FINANCE_LOG[..10]);
    let bad = [
        "nonsense".to_owned(),
        "{\"a\":".into(),
        "{\"method\":\"GET\"}".into(),
        good.lines().next().expect("a line").replace("GET", "OPTIONS"),
        "x".repeat(70_000),
        "nonsense again".into(),
    ];
    let summary = made(format!("{good}{}\n", bad.join("\n")), &LogOptions::default()).summary;
    let told: Vec<(u64, u64)> =
        summary.unread.iter().map(|unread| (unread.lines, unread.example_line)).collect();
    assert_eq!((summary.lines, summary.requests), (16, 10));
    assert_eq!(told[0], (2, 11), "{:?}", summary.unread);
    let mut lines: Vec<u64> = told.iter().map(|(_, line)| *line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [11, 12, 13, 14, 15], "{:?}", summary.unread);
    for (log, why) in [
        (bad.join("\n").into_bytes(), "none of its 6 lines"),
        (Vec::new(), "holds no line"),
        (b"\n \n".to_vec(), "holds no line"),
        (
            combined(&FINANCE_LOG)
                .lines()
                .filter(|line| line.contains("POST"))
                .take(9)
                .collect::<Vec<_>>()
                .join("\n")
                .into_bytes(),
            "nothing that can be driven",
        ),
        (
            {
                let mut cut = zipped(&good);
                cut.truncate(cut.len() / 2);
                cut
            },
            "cannot read the log, line",
        ),
    ] {
        let message = refused(log);
        assert!(message.contains(why), "{message}, not: {why}");
    }
}

#[test]
fn secrets_and_persons_stay_out_of_the_file() {
    let mut log = String::new();
    for n in 0..200 {
        let secret = format!("s3cr3tValue{n:012x}");
        let at = "31/Mar/2026:10:00:00 +0000";
        for target in [
            format!("/a?orgId=5&token={secret}"),
            format!("/a?orgId=5&api_key=short{n}"),
            format!("/b?orgId=5&q={secret}"),
            format!("/b?orgId=5&q=ann{n}@example.org"),
            format!("/reset/{secret}/done?orgId=5"),
            format!("/b?{secret}&X-Amz-Signature={secret}"),
            format!("/c;jsessionid={secret}?orgId=5&next=eyJhbGciOi{n}.x.y"),
        ] {
            let _ = writeln!(log, "h - - [{at}] \"GET {target} HTTP/1.1\" 200 1");
        }
    }
    let FromLog { text, summary } = made(log, &LogOptions::default());
    let summary = serde_json::to_string(&summary).expect("plain values");
    for out in [&text, &summary] {
        for never in ["s3cr3t", "short1", "@example", "eyJhbG"] {
            assert!(!out.contains(never), "{never} stands in\n{out}");
        }
    }
    assert!(text.contains("left out as private: api_key") && text.contains("\"/c\""), "{text}");
}

#[test]
fn the_org_is_found_wherever_it_stands() {
    let at = "31/Mar/2026:10:00:00 +0000";
    let log: String = (0..500)
        .map(|n| {
            format!(
                "h - u{} [{at}] \"GET /t/{}/x?who={} HTTP/1.1\" 200 1 \"-\" \"-\" tenant={}\n",
                n % 7,
                n % 5,
                n % 3,
                n % 2
            )
        })
        .collect();
    let text = |value: &str| Some(value.to_owned());
    for (options, orgs, written) in [
        (
            LogOptions { org_param: text("who"), ..LogOptions::default() },
            3,
            "\"who\" = \"{{org}}\"",
        ),
        (LogOptions { org_segment: text("t"), ..LogOptions::default() }, 5, "/t/{{org}}/x"),
        (LogOptions { org_segment: text("2"), ..LogOptions::default() }, 5, "/t/{{org}}/x"),
        (
            LogOptions { org_field: text("user"), ..LogOptions::default() },
            7,
            "say how a request carries it",
        ),
        (
            LogOptions {
                org_field: text("tenant"),
                org_header: text("X-Org"),
                ..LogOptions::default()
            },
            2,
            "\"X-Org\" = \"{{org}}\"",
        ),
    ] {
        let FromLog { text, summary } = made(log.clone(), &options);
        assert_eq!(summary.orgs, orgs, "{options:?}");
        assert!(text.contains(written), "{options:?}\n{text}");
    }
}

#[test]
fn a_hostile_log_is_read_within_bounds_and_the_caps_are_told() {
    let mut log = combined(&FINANCE_LOG[..3000]);
    for n in 0..60_000 {
        let _ = writeln!(
            log,
            "h - - [31/Mar/2026:10:00:{:02} +0000] \"GET /scan{n}/a{n}?p{n}=x{n}&orgId=o{n} HTTP/1.1\" 200 1",
            n % 60
        );
        let _ = writeln!(
            log,
            "h - - [31/Mar/2026:10:00:{:02} +0000] \"GET /users/name-{}/cart?q=v{n} HTTP/1.1\" 200 1",
            n % 60,
            ["ann", "bob", "eve"][n % 3].repeat(1 + n % 40)
        );
    }
    let FromLog { text, summary } = made(log, &LogOptions::default());
    assert!(text.len() < 500_000, "{} bytes", text.len());
    let told = summary.left_out.join("\n");
    for cap in ["let go of", "200 most frequent", "not numbers"] {
        assert!(told.contains(cap), "{cap}: {told}");
    }
    // Names that differ are values, and what is frequent outlives what is rare.
    assert!(
        summary.operations[0].path.starts_with("/users/{{choice:"),
        "{:?}",
        summary.operations[0]
    );
    assert!(summary.operations.iter().any(|o| o.path == "/finance/revenue"), "{told}");
}

#[test]
fn markup_in_a_path_is_only_text() {
    let mut log = String::new();
    for n in 0..200 {
        let _ = writeln!(
            log,
            "h - - [31/Mar/2026:10:00:{:02} +0000] \"GET /%3Cb%3E/`a%27?orgId={} HTTP/1.1\" 200 1",
            n % 60,
            n % 5
        );
    }
    let FromLog { text, summary } = made(log, &LogOptions::default());
    let path = "/%3Cb%3E/%60a'";
    assert_eq!(summary.operations[0].path, path, "{text}");
    assert!(text.contains(&format!("path = \"{path}\"")), "{text}");
    // A blank of our own, and what moves a terminal, is not taken over at all.
    for path in ["/%7B%7Borg%7D%7D", "/%1B%5B31m"] {
        let line = format!("h - - [31/Mar/2026:10:00:00 +0000] \"GET {path} HTTP/1.1\" 200 1\n");
        assert!(refused(line).contains("can be driven"), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a log holds: a scenario that parses (`from_log` looks), or one clear refusal.
    #[test]
    fn any_bytes_are_a_log_or_are_refused(
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        target in "[ -~]{0,60}",
        name in "\\PC{0,20}",
        value in "\\PC{0,40}",
        status in 0_u16..700,
    ) {
        let mut log = lines.join(&b'\n');
        let field = json!({"ts": 1e9, "method": "GET", "path": format!("/{name}/x?{name}={value}"), "status": status, "org": value});
        for line in [
            format!("\nh - {name} [31/Mar/2026:10:00:00 +0000] \"GET /{target} HTTP/1.1\" {status} 1"),
            format!("\n{field}\n"),
            format!("h - - [31/Mar/2026:10:00:00 +0000] \"GET /a?{name}={value}&d={{{{org}}}} HTTP/1.1\" 200 1\n"),
        ] {
            log.extend(line.bytes());
        }
        match from_log("the log", Cursor::new(log.clone()), &LogOptions::default()) {
            Ok(made) => {
                let again = from_log("the log", Cursor::new(log), &LogOptions::default());
                prop_assert_eq!(made.text, again.expect("as before").text);
            }
            Err(error) => {
                let said = error.to_string();
                prop_assert!(said.starts_with("the log: ") && !said.contains("TOML"), "{}", said);
                prop_assert!(matches!(error, cutover::error::Error::Usage { .. }), "{}", said);
            }
        }
    }

    #[test]
    fn any_change_of_a_log_is_a_log_or_is_refused(
        at in 0_usize..4000,
        bytes in prop::collection::vec(any::<u8>(), 0..6),
        zip in any::<bool>(),
    ) {
        let mut log = combined(&FINANCE_LOG[..30]).into_bytes();
        if zip {
            log = zipped(&String::from_utf8(log).expect("text"));
        }
        let at = at % log.len();
        let end = (at + bytes.len()).min(log.len());
        log.splice(at..end, bytes);
        if let Err(error) = from_log("the log", Cursor::new(log), &LogOptions::default()) {
            prop_assert!(matches!(error, cutover::error::Error::Usage { .. }), "{}", error);
        }
    }
}

#[test]
fn the_command_says_what_it_needs_and_writes_one_object() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log.gz");
    std::fs::write(&log, zipped(&combined(&FINANCE_LOG[..3000]))).expect("our own folder");
    let out = folder.path().join("scenario.toml");
    let run = |args: &[&std::ffi::OsStr]| {
        cutover().arg("init").args(args).output().expect("cutover runs")
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let from = std::ffi::OsStr::new("--from-access-log");
    for (args, why) in [
        (vec![], "give --from-access-log FILE"),
        (vec![from, "nowhere.log".as_ref()], "nowhere.log"),
        (vec![from, folder.path().as_os_str()], "is a folder"),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(why) && output.stdout.is_empty(), "{}", said(&output));
    }
    let whole = [from, log.as_os_str(), "--out".as_ref(), out.as_os_str()];
    let output = run(&[&whole[..], &["--format".as_ref(), "json".as_ref()]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let told: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(told["summary"]["requests"], 3000);
    let text = std::fs::read_to_string(&out).expect("the scenario");
    Scenario::read(&out).expect("a scenario");
    let output = run(&whole);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("is there already"), "{}", said(&output));
    let output = cutover()
        .args(["init", "--from-access-log", "-"])
        .write_stdin(std::fs::read(&log).expect("the log"))
        .output()
        .expect("cutover runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), text);
    let mut read = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&log).expect("the log"))
        .read_to_string(&mut read)
        .expect("gzip");
    assert_eq!(read.lines().count(), 3000);
}

#[test]
fn a_scenario_from_a_log_drives_the_platform_it_was_logged_at() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let options = Options::new(env!("CARGO_BIN_EXE_cutover"));
    let stack = runtime.block_on(Stack::start(options, &ActContext::silent()));
    let stack = stack.unwrap_or_else(|e| panic!("{e}"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("access.log"), combined(&asked(FINANCE, 300, 50.0, 2))).expect("a log");
    let success = |command: &mut assert_cmd::Command| {
        let output = command.output().expect("cutover runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let seed = ["seed", "--orgs", "300", "--database-url", stack.database_url(), "--out"];
    success(cutover().args(seed).arg(path("seed")));
    let init = ["init", "--from-access-log"];
    success(cutover().args(init).arg(path("access.log")).arg("--out").arg(path("life.toml")));
    let load = ["--orgs", "300", "--rate", "80", "--pairs", "2", "--duration", "8s"];
    let record = cutover()
        .args(["drive", "--format", "json", "--connections", "16", "--base-url"])
        .arg(stack.base_url().expect("a platform"))
        .args(load)
        .arg("--scenario")
        .arg(path("life.toml"))
        .arg("--out")
        .arg(path("drive"))
        .output()
        .expect("cutover runs");
    let said = String::from_utf8_lossy(&record.stderr);
    let record: Value = serde_json::from_slice(&record.stdout).unwrap_or_else(|_| panic!("{said}"));
    let drive = &record["drive"];
    assert_eq!(drive["complete"], true, "{said}");
    assert_eq!(drive["errors"], 0, "{}", drive["errors_by_kind"]);
    assert!(drive["requests"].as_u64() > Some(200), "{}", drive["requests"]);
    assert_eq!(drive["scenario"], "from_access_log");
}
