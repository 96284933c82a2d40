//! The page in a real browser: at the width of a phone, of a desk and on paper nothing overflows,
//! nothing is asked of a network, nothing complains.
//!
//! Needs Chromium: `CUTOVER_BROWSER`, which `scripts/test.sh` sets, or one on the path.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use cutover::report::html::render;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::report::build;

/// Name, width in CSS pixels, medium, colours. A4 less its margins is 718 wide.
const SIGHTS: [(&str, u32, &str, &str); 5] = [
    ("phone", 390, "screen", "light"),
    ("phone at night", 390, "screen", "dark"),
    ("desk", 1280, "screen", "light"),
    ("desk at night", 1280, "screen", "dark"),
    ("paper", 718, "print", "light"),
];
/// Set to anything, writes the picture of the README.
const WRITE: &str = "CUTOVER_WRITE_SCREENSHOT";
/// Set to a folder, leaves a picture of every sight there, for people to look at.
const ALBUM: &str = "CUTOVER_ALBUM";

/// Text that stands out too little from what is behind it: below 4.5 to 1 (WCAG AA).
const FAINT: &str = r#"(() => {
    const numbers = text => (text.match(/[\d.]+/g) || []).map(Number);
    const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const behind = node => {
        for (; node; node = node.parentElement) {
            const ground = numbers(getComputedStyle(node).backgroundColor);
            if (ground.length === 3 || ground[3] === 1) return ground;
        }
        return [255, 255, 255];
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const faint = [];
    while (texts.nextNode()) {
        const node = texts.currentNode.parentElement;
        if (!texts.currentNode.textContent.trim() || node.closest(".skip, .hidden, style")) continue;
        if (!node.getClientRects().length) continue;
        const drawn = node.closest("svg");
        const ink = numbers(getComputedStyle(node)[drawn ? "fill" : "color"]).slice(0, 3);
        const [a, b] = [light(ink), light(behind(drawn ? drawn.parentElement : node))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${node.textContent.trim().slice(0, 30)}`);
    }
    return [...new Set(faint)].slice(0, 10);
})()"#;

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

    /// The next page is looked at on such a screen or paper.
    fn look_as(&mut self, width: u32, height: u32, medium: &str, colours: &str) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
        self.ask("Emulation.setScrollbarsHidden", json!({"hidden": true}));
        let features = json!([{"name": "prefers-color-scheme", "value": colours}]);
        let media = json!({"media": medium, "features": features});
        self.ask("Emulation.setEmulatedMedia", media);
    }

    /// Writes what is seen, or the whole page.
    fn picture(&mut self, path: &Path, whole: bool) {
        let mut wanted = json!({"format": "png", "captureBeyondViewport": whole});
        if whole {
            let metrics = self.ask("Page.getLayoutMetrics", json!({}));
            let size = &metrics["cssContentSize"];
            wanted["clip"] = json!({"x": 0, "y": 0, "scale": 1,
                "width": size["width"], "height": size["height"]});
        }
        let picture = self.ask("Page.captureScreenshot", wanted);
        let data = picture["data"].as_str().expect("a picture");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        std::fs::write(path, bytes).expect("writable");
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
        for (sight, width, medium, colours) in SIGHTS {
            browser.look_as(width, 900, medium, colours);
            browser.open(&page);
            assert_eq!(browser.evaluate(FAINT), json!([]), "{state} on {sight}");
            if let Some(album) = std::env::var_os(ALBUM) {
                let name = format!("{state}-{}.png", sight.replace(' ', "-"));
                browser.picture(&PathBuf::from(album).join(name), true);
            }
            assert_eq!(browser.evaluate(OVERFLOWING), json!([]), "{state} on {sight}");
            assert_eq!(browser.evaluate(SPEECHLESS), json!([]), "{state} on {sight}");
            assert_eq!(browser.complaints(), Vec::<String>::new(), "{state} on {sight}");
        }
    }
    if std::env::var_os(WRITE).is_some() {
        // What the gate makes of a good run, as it meets the eye.
        let mut record = build::go();
        cutover::gate::judge(&mut record);
        std::fs::write(folder.path().join("readme.html"), render(&record)).expect("writable");
        browser.look_as(1280, 1500, "screen", "light");
        browser.open(&folder.path().join("readme.html"));
        browser.picture(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.png"), false);
    }
    // The check itself must be able to see something.
    let loud = folder.path().join("loud.html");
    let html = "<body><p style='width:4000px;color:#aaa'>wide</p><svg></svg><img src='http://127.0.0.1:9/x'>";
    std::fs::write(&loud, html).expect("writable");
    browser.open(&loud);
    assert_ne!(browser.evaluate(OVERFLOWING), json!([]));
    assert_ne!(browser.evaluate(SPEECHLESS), json!([]));
    assert_ne!(browser.evaluate(FAINT), json!([]));
    assert_ne!(browser.complaints(), Vec::<String>::new());
}
