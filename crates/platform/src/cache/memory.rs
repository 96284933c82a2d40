//! The cache in this process's memory, if there is no Redis or while it is away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;

use super::{ENTRY_LIFE, never_used};

/// When more than this is kept, everything is forgotten; crude, and bounded.
const MAX_BYTES: usize = 64 << 20;
/// What an entry or a generation costs beside its body, roughly.
const OVERHEAD_BYTES: usize = 256;

/// Generations and entries, as Redis would keep them.
pub(super) struct MemorySide(Mutex<Kept>);

struct Kept {
    epoch: String,
    generations: HashMap<String, String>,
    entries: HashMap<(String, String), Entry>,
    bytes: usize,
}

struct Entry {
    stamp: String,
    body: Bytes,
    stored: Instant,
}

impl MemorySide {
    pub fn new() -> Self {
        Self(Mutex::new(Kept::empty()))
    }

    pub fn read(&self, scope: &str, what: &str) -> (String, Option<Bytes>) {
        let kept = self.kept();
        let stamp = kept.stamp(scope);
        let entry = kept.entries.get(&(scope.to_owned(), what.to_owned()));
        let found = entry
            .filter(|entry| entry.stamp == stamp && entry.stored.elapsed() < ENTRY_LIFE)
            .map(|entry| entry.body.clone());
        (stamp, found)
    }

    pub fn fill(&self, scope: &str, what: &str, stamp: String, body: Bytes) {
        let mut kept = self.kept();
        if stamp != kept.stamp(scope) {
            return;
        }
        kept.make_room(body.len());
        // Forgetting everything changed the epoch; then this answer is forgotten with the rest.
        if stamp != kept.stamp(scope) {
            return;
        }
        kept.bytes += body.len() + OVERHEAD_BYTES;
        let entry = Entry { stamp, body, stored: Instant::now() };
        if let Some(old) = kept.entries.insert((scope.to_owned(), what.to_owned()), entry) {
            kept.bytes -= old.body.len() + OVERHEAD_BYTES;
        }
    }

    pub fn renew(&self, scope: &str) {
        let mut kept = self.kept();
        kept.make_room(0);
        if kept.generations.insert(scope.to_owned(), never_used()).is_none() {
            kept.bytes += OVERHEAD_BYTES;
        }
    }

    /// Forgets everything; what is being computed now will not be kept either.
    pub fn reset(&self) {
        *self.kept() = Kept::empty();
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("no panic while held")
    }
}

impl Kept {
    fn empty() -> Self {
        Self { epoch: never_used(), generations: HashMap::new(), entries: HashMap::new(), bytes: 0 }
    }

    fn stamp(&self, scope: &str) -> String {
        let generation = self.generations.get(scope).map_or("none", String::as_str);
        format!("{}/{generation}", self.epoch)
    }

    fn make_room(&mut self, body_bytes: usize) {
        if self.bytes + body_bytes + OVERHEAD_BYTES > MAX_BYTES {
            *self = Self::empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_computed_before_a_write_is_never_served_after_it() {
        let memory = MemorySide::new();
        let (stamp, _) = memory.read("revenue:1", "list");
        memory.renew("revenue:1");
        memory.fill("revenue:1", "list", stamp, Bytes::from_static(b"old"));
        assert_eq!(memory.read("revenue:1", "list").1, None);
    }

    #[test]
    fn an_answer_is_served_until_a_write_of_its_own_scope() {
        let memory = MemorySide::new();
        let (stamp, _) = memory.read("revenue:1", "list");
        memory.fill("revenue:1", "list", stamp, Bytes::from_static(b"fresh"));
        memory.renew("revenue:2");
        memory.renew("expense:1");
        assert_eq!(memory.read("revenue:1", "list").1.as_deref(), Some(&b"fresh"[..]));
        memory.renew("revenue:1");
        assert_eq!(memory.read("revenue:1", "list").1, None);
    }

    #[test]
    fn memory_stays_bounded() {
        let memory = MemorySide::new();
        let body = Bytes::from(vec![0; 1 << 20]);
        for index in 0..200 {
            let what = index.to_string();
            let (stamp, _) = memory.read("revenue:1", &what);
            memory.fill("revenue:1", &what, stamp, body.clone());
            memory.renew(&what);
            assert!(memory.kept().bytes <= MAX_BYTES + (1 << 20));
        }
    }
}
