//! People's text and progress to stderr, results to stdout; nothing in them acts on a terminal, whatever
//! a database holds.

use std::error::Error as _;
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::{Color, Format, Global};
use crate::act::{ActContext, Event};
use crate::error::Error;
use crate::error::foreign::{self, line, tame};

/// How often a plain line tells how far a piece of work has come.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// Knows where words go, and how loud to be.
#[derive(Clone)]
pub struct Printer {
    format: Format,
    quiet: bool,
    color: bool,
    bars: bool,
    stdout: Arc<File>,
    written: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    work: Arc<Mutex<Option<Work>>>,
}

/// The piece of work that is being watched.
struct Work {
    what: String,
    unit: &'static str,
    total: Option<u64>,
    done: u64,
    began: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
    /// Whether its first line still waits for its end: without a bar, and nothing said since.
    open: bool,
}

impl Printer {
    /// Decides about colours and bars once, from the arguments and the environment.
    pub fn new(global: &Global) -> Self {
        let unattended = std::env::var_os("CI").is_some();
        let plain = unattended || std::env::var_os("NO_COLOR").is_some();
        let terminal = std::io::stderr().is_terminal();
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !plain,
        };
        Self {
            format: global.format,
            quiet: global.quiet,
            color,
            bars: terminal && !plain && !global.quiet,
            stdout: Arc::new(claim_stdout()),
            written: Arc::default(),
            failed: Arc::default(),
            work: Arc::default(),
        }
    }

    /// A reader that went away (a closed pipe) is not an error of ours; a full disk is.
    fn write_out(&self, text: &str) {
        self.written.store(true, Ordering::Relaxed);
        if let Err(error) = self.stdout.as_ref().write_all(format!("{text}\n").as_bytes())
            && error.kind() != std::io::ErrorKind::BrokenPipe
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            self.above_the_bar(&format!("error: cannot write to standard output: {error}"));
        }
    }

    /// Whether a result could not be written where it was to go.
    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether stdout is to hold exactly one JSON object.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// A context whose events this printer shows.
    pub fn context(&self, stop: CancellationToken) -> ActContext {
        let printer = self.clone();
        ActContext::new(move |event| printer.show(event), stop)
    }

    /// Lines for people, on stderr; swallowed by `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.above_the_bar(&tame(text));
        }
    }

    /// A line for whoever looks inside, on stderr.
    pub(super) fn detail(&self, text: &str) {
        self.above_the_bar(&tame(text));
    }

    /// The result for people, on stdout; on stderr if stdout is to hold JSON.
    pub fn result(&self, text: &str) {
        if self.is_json() {
            self.note(text);
        } else {
            self.write_out(&tame(text));
        }
    }

    /// The result for programs: one JSON object on stdout, only with `--format json`.
    pub fn json(&self, value: &impl Serialize) {
        if self.is_json() {
            let json = serde_json::to_string(value).expect("evidence types serialise");
            self.write_out(&foreign::json(&json));
        }
    }

    /// A line of JSON on stdout whatever the format: what a long-running command says once it is
    /// ready, for whoever started it.
    pub fn line_of_json(&self, value: &impl Serialize) {
        let json = serde_json::to_string(value).expect("plain values serialise");
        self.write_out(&foreign::json(&json));
    }

    /// An error with its hint, on stderr; with `--format json` also as the one object on stdout,
    /// if there is none yet.
    pub fn error(&self, error: &Error) {
        if self.is_json() && !self.written.load(Ordering::Relaxed) {
            self.json(&json!({ "error": error.to_string(), "hint": error.hint() }));
        }
        let (red, reset) = if self.color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        self.above_the_bar(&format!("{red}error{reset}: {}", tame(&error.to_string())));
        if let Some(hint) = error.hint() {
            self.above_the_bar(&format!("  hint: {}", tame(hint)));
        }
        let mut cause = error.source();
        while let Some(one) = cause {
            tracing::debug!("caused by: {one}");
            cause = one.source();
        }
    }

    fn show(&self, event: Event) {
        match event {
            Event::Note(text) => self.note(&line(&text)),
            _ if self.quiet => {}
            Event::Started { what, total, unit } => {
                self.start(line(&what).into_owned(), total, unit);
            }
            Event::Advanced(by) => self.with_work(|work| work.advance(by)),
            Event::Extended(by) => self.with_work(|work| work.extend(by)),
            Event::Status(text) => self.with_work(|work| {
                if let Some(bar) = &work.bar {
                    bar.set_message(tame(&text).into_owned());
                }
            }),
            Event::Finished => self.finish(),
        }
    }

    fn start(&self, what: String, total: Option<u64>, unit: &'static str) {
        self.finish();
        let bar = self.bars.then(|| new_bar(&what, total, unit));
        let open = bar.is_none();
        if open {
            say(&format!("{what} …"));
        }
        let now = Instant::now();
        let work = Work { what, unit, total, done: 0, began: now, told: now, bar, open };
        *self.work.lock().expect("no panic while held") = Some(work);
    }

    fn finish(&self) {
        if let Some(work) = self.work.lock().expect("no panic while held").take() {
            if let Some(bar) = &work.bar {
                bar.finish_and_clear();
            }
            let named = if work.open { String::new() } else { format!("{}:", work.what) };
            say(&format!("{named} {}\n", work.summary()));
        }
    }

    fn with_work(&self, act: impl FnOnce(&mut Work)) {
        if let Some(work) = self.work.lock().expect("no panic while held").as_mut() {
            act(work);
        }
    }

    fn above_the_bar(&self, text: &str) {
        let mut guard = self.work.lock().expect("no panic while held");
        let line = format!("{text}\n");
        match guard.as_mut() {
            Some(Work { bar: Some(bar), .. }) => bar.suspend(|| say(&line)),
            Some(work) => work.say_line(&line),
            None => say(&line),
        }
    }
}

impl Work {
    fn advance(&mut self, by: u64) {
        self.done += by;
        if let Some(bar) = &self.bar {
            bar.inc(by);
        } else if self.told.elapsed() >= PLAIN_LINE_EVERY {
            self.told = Instant::now();
            let share = match self.total {
                Some(total) if total > 0 => {
                    format!(" ({:.0} %)", 100.0 * self.done as f64 / total as f64)
                }
                _ => String::new(),
            };
            let done = HumanCount(self.done);
            self.say_line(&format!("{}: {done} {}{share}\n", self.what, self.unit));
        }
    }

    /// On a line of its own.
    fn say_line(&mut self, line: &str) {
        let end = if std::mem::take(&mut self.open) { "\n" } else { "" };
        say(&format!("{end}{line}"));
    }

    fn extend(&mut self, by: u64) {
        self.total = self.total.map(|total| total + by);
        if let Some(bar) = &self.bar {
            bar.inc_length(by);
        }
    }

    fn summary(&self) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        if self.done == 0 {
            return format!("{seconds:.1} s");
        }
        let rate = HumanCount((self.done as f64 / seconds.max(0.001)) as u64);
        format!("{} {} in {seconds:.1} s ({rate}/s)", HumanCount(self.done), self.unit)
    }
}

fn new_bar(what: &str, total: Option<u64>, unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => format!(
            "{{prefix}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit} {{per_sec}} ETA {{eta}} {{msg}}"
        ),
        None => format!("{{prefix}} {{spinner}} {{human_pos}} {unit} {{per_sec}} {{msg}}"),
    };
    let style = ProgressStyle::with_template(&template).unwrap_or(ProgressStyle::default_bar());
    bar.set_style(style);
    bar.set_prefix(what.to_owned());
    bar
}

/// A reader that went away (a closed pipe) is not an error of ours.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Takes standard output for ourselves: it may have to hold exactly one JSON object, and a library
/// that prints on its own (Goose greets its users) would spoil it. What others print is lost.
///
/// Where the system refuses, standard output is shared as everywhere else.
fn claim_stdout() -> File {
    let shared = std::io::stdout();
    // Closed in the processes we start: a rig that outlives us must not keep our reader waiting.
    let ours = shared
        .as_fd()
        .try_clone_to_owned()
        .expect("a process may have a second handle to its output");
    if let Ok(nowhere) = OpenOptions::new().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(nowhere);
    }
    File::from(ours)
}
