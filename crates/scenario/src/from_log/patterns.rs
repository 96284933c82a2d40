//! Requests of one kind: the same method, path pattern and parameters.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use super::entry::Entry;
use super::target::{Segment, Target, Value};
use super::values::Values;

/// Patterns that are kept; the rarer half goes when there are more.
const MOST_PATTERNS: usize = 2048;
/// Words that may follow the same beginning of a path; of more, they are taken for values.
const MOST_CHILDREN: usize = 64;
/// Beginnings of paths that are watched.
const MOST_BEGINNINGS: usize = 4096;

/// One part of a path pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Word(String),
    Org,
    /// A part that differs, with its values under the same number in [`Pattern::blanks`].
    Blank(&'static str),
    Private,
}

/// What is known of a parameter.
#[derive(Debug, Clone)]
pub(super) enum ParamValues {
    Org,
    Plain(Values),
    /// Left out, for ever.
    Private,
}

/// Requests of one kind.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub method: String,
    pub parts: Vec<Part>,
    /// Values of the blanks among `parts`, in their order.
    pub blanks: Vec<Values>,
    pub params: BTreeMap<String, ParamValues>,
    pub count: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// Requests whose org stood in a field of the log.
    pub field_orgs: u64,
    /// The header it came in.
    pub org_header: Option<String>,
}

/// All patterns.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    by_key: HashMap<String, Pattern>,
    /// Beginnings of paths and the words that follow them; `None` if there are too many.
    children: HashMap<String, Option<BTreeSet<String>>>,
    /// Requests of patterns that were let go.
    pub forgotten: u64,
}

impl Patterns {
    pub(super) fn add(&mut self, entry: &Entry<'_>, mut target: Target) {
        let good = entry.status < 400;
        let segments = self.blank_out(std::mem::take(&mut target.segments), good);
        let parts: Vec<Part> = segments.iter().map(part_of).collect();
        let key = key_of(&entry.method, &parts, target.params.iter().map(|p| p.name.as_str()));
        let today = entry.at.date_naive();
        let pattern = self.by_key.entry(key).or_insert_with(|| Pattern {
            method: entry.method.to_string(),
            blanks: parts.iter().filter_map(|p| blank_of(p).map(|_| Values::default())).collect(),
            parts,
            params: BTreeMap::new(),
            count: 0,
            statuses: BTreeMap::new(),
            field_orgs: 0,
            org_header: None,
        });
        pattern.count += 1;
        *pattern.statuses.entry(entry.status).or_default() += 1;
        if let Some(org) = &entry.org {
            pattern.field_orgs += 1;
            if pattern.org_header.is_none() {
                pattern.org_header.clone_from(&org.header);
            }
        }
        // A value that was refused tells nothing of what the platform takes.
        if good {
            pattern.learn(&segments, &target, today);
        }
        if self.by_key.len() > MOST_PATTERNS {
            self.forget_the_rare();
        }
    }

    /// Turns words into values if too many differ after the same beginning; never the first.
    fn blank_out(&mut self, segments: Vec<Segment>, good: bool) -> Vec<Segment> {
        let mut beginning = String::new();
        let mut turned = Vec::with_capacity(segments.len());
        for (depth, segment) in segments.into_iter().enumerate() {
            let segment = match segment {
                Segment::Word(word) if depth > 0 && self.too_many(&beginning, &word, good) => {
                    Segment::Text(word)
                }
                other => other,
            };
            push_part(&mut beginning, &part_of(&segment));
            turned.push(segment);
        }
        turned
    }

    fn too_many(&mut self, beginning: &str, word: &str, good: bool) -> bool {
        let watched = self.children.len();
        let children = match self.children.get_mut(beginning) {
            Some(children) => children,
            // What scanners try must not hide what is there.
            None if !good || watched >= MOST_BEGINNINGS => return false,
            None => self.children.entry(beginning.to_owned()).or_insert(Some(BTreeSet::new())),
        };
        let Some(words) = children else { return true };
        if good && !words.contains(word) {
            words.insert(word.to_owned());
        }
        if words.len() > MOST_CHILDREN {
            *children = None;
            return true;
        }
        false
    }

    fn forget_the_rare(&mut self) {
        let mut counts: Vec<u64> = self.by_key.values().map(|pattern| pattern.count).collect();
        counts.sort_unstable();
        let limit = counts[counts.len() / 2];
        let forgotten = &mut self.forgotten;
        self.by_key.retain(|_, pattern| {
            let kept = pattern.count > limit;
            *forgotten += if kept { 0 } else { pattern.count };
            kept
        });
    }

    /// The patterns, the most frequent first; words that turned out to be values are values in all
    /// of them.
    pub(super) fn finish(mut self) -> Vec<Pattern> {
        let mut merged: BTreeMap<String, Pattern> = BTreeMap::new();
        let mut patterns: Vec<(String, Pattern)> = self.by_key.drain().collect();
        patterns.sort_by(|one, other| one.0.cmp(&other.0));
        for (_, pattern) in patterns {
            let pattern = pattern.with_late_blanks(&self.children);
            let key = key_of(&pattern.method, &pattern.parts, pattern.params.keys().map(|k| &**k));
            match merged.get_mut(&key) {
                Some(known) => known.merge(pattern),
                None => {
                    merged.insert(key, pattern);
                }
            }
        }
        let mut patterns: Vec<Pattern> = merged.into_values().collect();
        // A stable sort: patterns as frequent as each other stay in the order of their keys.
        patterns.sort_by_key(|pattern| std::cmp::Reverse(pattern.count));
        patterns
    }
}

impl Pattern {
    fn learn(&mut self, segments: &[Segment], target: &Target, today: NaiveDate) {
        let texts = segments.iter().filter_map(|segment| match segment {
            Segment::Number(text) | Segment::Date(text) | Segment::Text(text) => Some(text),
            _ => None,
        });
        for (values, text) in self.blanks.iter_mut().zip(texts) {
            values.add(text, today);
        }
        for param in &target.params {
            let seen = self.params.entry(param.name.clone());
            match &param.value {
                Value::Org(_) => {
                    seen.or_insert(ParamValues::Org);
                }
                Value::Private => {
                    seen.insert_entry(ParamValues::Private);
                }
                Value::Plain(text) => {
                    let known = seen.or_insert_with(|| ParamValues::Plain(Values::default()));
                    if let ParamValues::Plain(values) = known {
                        values.add(text, today);
                    }
                }
            }
        }
    }

    fn with_late_blanks(mut self, children: &HashMap<String, Option<BTreeSet<String>>>) -> Self {
        let mut beginning = String::new();
        let mut blank = 0;
        for (depth, part) in self.parts.iter_mut().enumerate() {
            if let Part::Word(word) = part
                && depth > 0
                && matches!(children.get(&beginning), Some(None))
            {
                let good = self.statuses.range(..400).map(|(_, times)| times).sum();
                self.blanks.insert(blank, Values::of_word(word, good));
                *part = Part::Blank("text");
            }
            blank += usize::from(blank_of(part).is_some());
            push_part(&mut beginning, part);
        }
        self
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.field_orgs += other.field_orgs;
        self.org_header = self.org_header.take().or(other.org_header);
        for (status, times) in other.statuses {
            *self.statuses.entry(status).or_default() += times;
        }
        for (values, more) in self.blanks.iter_mut().zip(other.blanks) {
            values.merge(more);
        }
        for (name, more) in other.params {
            match (self.params.get_mut(&name), more) {
                (Some(ParamValues::Plain(values)), ParamValues::Plain(more)) => values.merge(more),
                (Some(known), ParamValues::Private) => *known = ParamValues::Private,
                (Some(_), _) => {}
                (None, more) => {
                    self.params.insert(name, more);
                }
            }
        }
    }
}

fn part_of(segment: &Segment) -> Part {
    match segment {
        Segment::Word(word) => Part::Word(word.clone()),
        Segment::Org(_) => Part::Org,
        Segment::Number(_) => Part::Blank("number"),
        Segment::Date(_) => Part::Blank("date"),
        Segment::Text(_) => Part::Blank("text"),
        Segment::Private => Part::Private,
    }
}

pub(super) fn blank_of(part: &Part) -> Option<&'static str> {
    match part {
        Part::Blank(kind) => Some(kind),
        _ => None,
    }
}

/// Braces stand in no word.
fn push_part(out: &mut String, part: &Part) {
    out.push('/');
    out.push_str(match part {
        Part::Word(word) => word,
        Part::Org => "{org}",
        Part::Blank("number") => "{number}",
        Part::Blank("date") => "{date}",
        Part::Blank(_) => "{text}",
        Part::Private => "{private}",
    });
}

fn key_of<'a>(method: &str, parts: &[Part], params: impl Iterator<Item = &'a str>) -> String {
    let mut key = format!("{method} ");
    parts.iter().for_each(|part| push_part(&mut key, part));
    for name in params {
        key.push('?');
        key.push_str(name);
    }
    key
}
