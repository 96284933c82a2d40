//! A flag in a file of rules that the platform watches, as LaunchDarkly's file data source reads them:
//! one value in a JSON document decides for everybody.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use cutover_error::{Context, Error, Result};

use crate::whole_file::WholeFile;

/// One rule of a file.
#[derive(Debug, Clone)]
pub(super) struct RuleFile {
    path: PathBuf,
    pointer: String,
}

impl RuleFile {
    pub(super) fn new(path: &Path, pointer: &str) -> Self {
        Self { path: path.to_owned(), pointer: pointer.to_owned() }
    }

    fn place(&self) -> String {
        format!("[routing] rule_file {}", self.path.display())
    }

    fn read(&self) -> Result<Value> {
        let place = self.place();
        let text = std::fs::read_to_string(&self.path);
        let text = text.or_run(&place, "give the file of rules that the platform reads")?;
        serde_json::from_str(&text).or_run(place, "the rules have to be JSON")
    }

    /// What the rule is now.
    ///
    /// # Errors
    /// If the file cannot be read or has nothing at the pointer.
    pub(super) fn rule(&self) -> Result<Value> {
        self.read()?.pointer(&self.pointer).cloned().ok_or_else(|| self.nothing_there())
    }

    fn nothing_there(&self) -> Error {
        let what = format!("{}: nothing stands at {}", self.place(), self.pointer);
        Error::run(what, "correct rule_pointer")
    }

    /// Changes the rule and nothing else. A reader sees the file as it was or as it is to be, never
    /// half of it.
    ///
    /// # Errors
    /// If the file cannot be read or written, or has nothing at the pointer.
    pub(super) fn set(&self, rule: &Value) -> Result<()> {
        let place = self.place();
        let mut rules = self.read()?;
        let there = rules.pointer_mut(&self.pointer).ok_or_else(|| self.nothing_there())?;
        if there == rule {
            return Ok(());
        }
        there.clone_from(rule);
        let text = serde_json::to_string_pretty(&rules).or_run(&place, "")? + "\n";
        // A link is followed: whoever reads the file reads it by its own name.
        let path = self.path.canonicalize().or_run(&place, "")?;
        let hint = "the folder has to be writable";
        let permissions = std::fs::metadata(&path).or_run(&place, "")?.permissions();
        let mut fresh = WholeFile::create(&path).or_run(&place, hint)?;
        fresh.write_all(text.as_bytes()).or_run(&place, "")?;
        fresh.set_permissions(permissions).or_run(&place, "")?;
        fresh.finish().or_run(&place, hint)
    }
}
