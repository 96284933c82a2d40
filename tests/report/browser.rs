//! The page in a real browser: at the width of a phone, of a desk and on paper nothing overflows,
//! nothing is asked of a network, nothing complains.
//!
//! Needs Chromium: `CUTOVER_BROWSER`, which `scripts/test.sh` sets, or one on the path.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cutover::report::html::render;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::build;

/// Name, width in CSS pixels, medium. A4 less its margins is 718 wide.
const SIGHTS: [(&str, u32, &str); 3] =
    [("phone", 390, "screen"), ("desk", 1280, "screen"), ("paper", 718, "print")];

/// What is wider than the page, outside of containers that scroll by themselves.
const OVERFLOWING: &str = r#"(() => {
    const wide = document.documentElement.clientWidth;
    const scrolls = node => node
        && (["auto", "scroll", "hidden"].includes(getComputedStyle(node).overflowX)
            || scrolls(node.parentElement));
    return [...document.body.querySelectorAll("*")]
        .filter(node => node.getBoundingClientRect().right > wide + 1 && !scrolls(node.parentElement))
        .filter(node => !node.closest(".skip, .hidden, svg"))
        .map(node => node.tagName + "." + node.className + ": " + node.textContent.slice(0, 40))
        .concat(document.documentElement.scrollWidth > wide + 1 ? ["the page"] : []);
})()"#;

/// Drawings without a name, or without a text beside them that says the same.
const SPEECHLESS: &str = r#"[...document.querySelectorAll("svg")]
    .filter(drawing => !drawing.closest("[aria-hidden=true]"))
    .filter(drawing => !(drawing.getAttribute("aria-label") || drawing.getAttribute("aria-labelledby")
        || drawing.querySelector("title")))
    .map(drawing => drawing.outerHTML.slice(0, 80))"#;

struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    asked: u64,
    /// What came without having been asked for.
    events: Vec<Value>,
    _profile: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Browser {
    fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut process = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args(["--disable-sync", "--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut addresses = lines.map_while(Result::ok).filter_map(|line| {
            Some(line.split_once("DevTools listening on ws://")?.1.trim().to_owned())
        });
        let address = addresses.next().expect("the browser says where it listens");
        let stream = TcpStream::connect(address.split('/').next().expect("a host")).expect("there");
        let (socket, _) = tungstenite::client(format!("ws://{address}"), stream).expect("speaks");
        let session = String::new();
        let mut browser =
            Self { process, socket, session, asked: 0, events: Vec::new(), _profile: profile };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.ask("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Network", "Log", "Runtime"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut question = json!({"id": self.asked, "method": method, "params": params});
        if !self.session.is_empty() {
            question["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(question.to_string())).expect("the browser listens");
        loop {
            let answer = self.next();
            if answer["id"] == json!(self.asked) {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn next(&mut self) -> Value {
        let message = self.socket.read().expect("the browser answers");
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    }

    /// Opens a page and waits until it is there.
    fn open(&mut self, page: &Path) {
        self.events.clear();
        self.ask("Page.navigate", json!({"url": format!("file://{}", page.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.next();
            self.events.push(event);
        }
    }

    fn evaluate(&mut self, script: &str) -> Value {
        let answer =
            self.ask("Runtime.evaluate", json!({"expression": script, "returnByValue": true}));
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Requests that leave the file, and complaints.
    fn complaints(&self) -> Vec<String> {
        let of = |event: &Value| {
            let url = event["params"]["request"]["url"].as_str().unwrap_or_default();
            let own = url.starts_with("file:") || url.starts_with("data:");
            match event["method"].as_str() {
                Some("Network.requestWillBeSent") if !own => Some(format!("asks for {url}")),
                Some("Log.entryAdded" | "Runtime.consoleAPICalled" | "Runtime.exceptionThrown") => {
                    Some(event["params"].to_string())
                }
                _ => None,
            }
        };
        self.events.iter().filter_map(of).collect()
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CUTOVER_BROWSER") {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}

#[test]
#[ignore = "needs Chromium: scripts/install.sh --browser installs one; then run with --ignored"]
fn nothing_overflows_complains_or_reaches_out() {
    let program = program().expect("Chromium is installed");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut browser = Browser::start(&program);
    for (state, record) in build::states().into_iter().chain([("hostile", build::hostile())]) {
        let page = folder.path().join(format!("{state}.html"));
        std::fs::write(&page, render(&record)).expect("writable");
        for (sight, width, medium) in SIGHTS {
            let metrics =
                json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
            browser.ask("Emulation.setDeviceMetricsOverride", metrics);
            browser.ask("Emulation.setEmulatedMedia", json!({"media": medium}));
            browser.open(&page);
            assert_eq!(browser.evaluate(OVERFLOWING), json!([]), "{state} on {sight}");
            assert_eq!(browser.evaluate(SPEECHLESS), json!([]), "{state} on {sight}");
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{state} on {sight}");
        }
    }
    // The check itself must be able to see something.
    let loud = folder.path().join("loud.html");
    let html = "<body><p style='width:4000px'>wide</p><svg></svg><img src='http://127.0.0.1:9/x'>";
    std::fs::write(&loud, html).expect("writable");
    browser.open(&loud);
    assert_ne!(browser.evaluate(OVERFLOWING), json!([]));
    assert_ne!(browser.evaluate(SPEECHLESS), json!([]));
    assert_ne!(browser.complaints(), Vec::<String>::new());
}
