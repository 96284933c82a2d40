//! Sums of keyed row hashes, per org.
//!
//! A row's hash is XXH3-128 over its wire image under a secret drawn anew for every run; hashes are
//! added with wrap-around, legacy rows with a plus and the twin's with a minus. An org whose sum and
//! row counts come out even holds the same rows on both sides. Addition keeps multiplicity, which
//! XOR does not: under XOR a row that stands twice would vanish.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::io::{Read, Write};

use rand::Rng;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_secret};

use crate::schema::Side;

/// Bytes of the secret; XXH3 takes at least 136.
const SECRET_BYTES: usize = 192;

/// What hashes are keyed with, drawn anew for every run.
#[derive(Clone, PartialEq)]
pub(crate) struct Secret([u8; SECRET_BYTES]);

impl Secret {
    pub(crate) fn new() -> Self {
        let mut secret = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        Self(secret)
    }

    /// The secret of a run that is resumed.
    pub(super) fn read(from: &mut impl Read) -> std::io::Result<Self> {
        let mut secret = [0; SECRET_BYTES];
        from.read_exact(&mut secret)?;
        Ok(Self(secret))
    }

    pub(super) fn write(&self, to: &mut impl Write) -> std::io::Result<()> {
        to.write_all(&self.0)
    }

    /// The keys of the two hashes that the server takes.
    pub(super) fn keys(&self) -> [i64; 2] {
        let key = |at: usize| {
            i64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight of many bytes"))
        };
        [key(0), key(8)]
    }

    /// The hash of a wire image: field lengths and bytes.
    pub(crate) fn hash(&self, image: &[u8]) -> u128 {
        xxh3_128_with_secret(image, &self.0)
    }
}

/// What tells orgs apart: an integer as it is, anything else by its text.
pub(crate) trait OrgKey: Eq + Hash + Clone + Send + 'static {
    /// Reads the org field of a row; `None` if it is not what was asked for.
    fn read(field: &[u8]) -> Option<Self>;
    /// Reads the org as PostgreSQL prints it.
    fn parse(text: &str) -> Option<Self>;
    /// The org as PostgreSQL prints it.
    fn text(&self) -> String;
    /// Bytes that [`Self::read`] reads.
    fn bytes(&self) -> Vec<u8>;
}

impl OrgKey for i64 {
    fn read(field: &[u8]) -> Option<Self> {
        cutover_ground::pg::integer(field)
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().into()
    }
}

impl OrgKey for Box<str> {
    fn read(field: &[u8]) -> Option<Self> {
        std::str::from_utf8(field).ok().map(Into::into)
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().into()
    }
}

/// One org of one pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OrgDigest {
    /// Sum over legacy minus sum over the twin, modulo 2^128; in two halves, low and high, so that
    /// an entry of the map takes 32 bytes rather than 48.
    difference: [u64; 2],
    /// Rows by side.
    pub(crate) rows: [u32; 2],
}

impl OrgDigest {
    pub(super) fn new(difference: u128, rows: [u32; 2]) -> Self {
        Self { difference: [difference as u64, (difference >> 64) as u64], rows }
    }

    pub(super) fn difference(&self) -> u128 {
        u128::from(self.difference[0]) | u128::from(self.difference[1]) << 64
    }

    /// Whether the sides differ.
    pub(crate) fn diverges(&self) -> bool {
        self.difference != [0, 0] || self.rows[0] != self.rows[1]
    }

    fn add(&mut self, other: &Self) {
        let difference = self.difference().wrapping_add(other.difference());
        self.difference = Self::new(difference, [0, 0]).difference;
        self.rows[0] += other.rows[0];
        self.rows[1] += other.rows[1];
    }
}

/// Parts that orgs are divided into, by their hash.
const PARTS: usize = 64;
/// Rows that wait at most before they are added up: as many as the largest chunk is likely to hold, 128 MB.
const WAITING_ROWS: usize = 4 << 20;

/// Every org of one pair; bounded by the number of orgs, whatever the number of rows.
///
/// Rows come in no order of orgs, and a map of a million orgs is far larger than the processor's
/// caches: adding row by row spends three quarters of the time waiting for memory. So rows wait in
/// the part of their org until the chunk is done; those of a part are added in one go, so that the processor
/// waits for several at once. And until then a chunk that is given up half-way can be forgotten.
pub(crate) struct Digests<K> {
    parts: Vec<Part<K>>,
    /// Rows that wait.
    waiting: usize,
    /// What else the chunk at hand brought.
    chunk: Besides<K>,
    /// Orgs with a row in a leaf whose bounds exclude it.
    pub(crate) misrouted: HashSet<K>,
    /// What was counted besides.
    pub(crate) totals: Totals,
}

/// What a chunk brings besides sums.
struct Besides<K> {
    /// Counts before it.
    totals: Totals,
    /// Orgs of misrouted rows that it was the first to name.
    misrouted: Vec<K>,
    /// Whether rows of it were added up already, because there were too many.
    settled: bool,
}

impl<K> Default for Besides<K> {
    fn default() -> Self {
        Self { totals: Totals::default(), misrouted: Vec::new(), settled: false }
    }
}

/// Counts over all orgs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Totals {
    /// Rows by side.
    pub(crate) rows: [u64; 2],
    /// Rows by side whose key holds a NULL.
    pub(crate) null_keys: [u64; 2],
    /// Orgs that the server found in agreement and did not list.
    pub(crate) unlisted_orgs: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        for side in [0, 1] {
            self.rows[side] += other.rows[side];
            self.null_keys[side] += other.null_keys[side];
        }
        self.unlisted_orgs += other.unlisted_orgs;
    }

    /// All of them in a row, for a file.
    pub(super) fn numbers(&self) -> [u64; 5] {
        let ([a, b], [c, d]) = (self.rows, self.null_keys);
        [a, b, c, d, self.unlisted_orgs]
    }

    /// The counts of such a row.
    pub(super) fn from_numbers([a, b, c, d, unlisted_orgs]: [u64; 5]) -> Self {
        Self { rows: [a, b], null_keys: [c, d], unlisted_orgs }
    }
}

struct Part<K> {
    waiting: Vec<(K, OrgDigest)>,
    orgs: HashMap<K, OrgDigest, OrgState>,
}

impl<K: OrgKey> Part<K> {
    fn settle(&mut self) {
        for (org, digest) in self.waiting.drain(..) {
            self.orgs.entry(org).or_default().add(&digest);
        }
    }
}

impl<K> Default for Digests<K> {
    fn default() -> Self {
        let part = || Part { waiting: Vec::new(), orgs: HashMap::default() };
        let parts = std::iter::repeat_with(part).take(PARTS).collect();
        Self {
            parts,
            waiting: 0,
            chunk: Besides::default(),
            misrouted: HashSet::new(),
            totals: Totals::default(),
        }
    }
}

impl<K: OrgKey> Digests<K> {
    /// Adds a row.
    pub(super) fn add_row(&mut self, side: Side, org: K, hash: u128) {
        self.add(
            org,
            match side {
                Side::Legacy => OrgDigest::new(hash, [1, 0]),
                Side::Partitioned => OrgDigest::new(hash.wrapping_neg(), [0, 1]),
            },
        );
    }

    /// Adds rows of one org.
    pub(super) fn add(&mut self, org: K, digest: OrgDigest) {
        // The map picks its buckets by the lowest bits and tells neighbours apart by the highest.
        let part = (OrgState.hash_one(&org) >> 40) as usize % PARTS;
        let part = &mut self.parts[part];
        part.waiting.push((org, digest));
        self.waiting += 1;
        if self.waiting == WAITING_ROWS {
            self.add_up();
            self.chunk.settled = true;
        }
    }

    /// Notes that an org has a misrouted row.
    pub(super) fn add_misrouted(&mut self, org: &K) {
        if self.misrouted.insert(org.clone()) {
            self.chunk.misrouted.push(org.clone());
        }
    }

    /// Begins a chunk, which can be forgotten until the next one begins.
    pub(super) fn begin_chunk(&mut self) {
        self.add_up();
        self.chunk.totals = self.totals;
        self.chunk.misrouted.clear();
        self.chunk.settled = false;
    }

    /// Forgets what came since the chunk began; false if it was too much to be forgotten.
    pub(super) fn forget_chunk(&mut self) -> bool {
        for part in &mut self.parts {
            part.waiting.clear();
        }
        self.waiting = 0;
        self.totals = self.chunk.totals;
        for org in self.chunk.misrouted.drain(..) {
            self.misrouted.remove(&org);
        }
        !self.chunk.settled
    }

    fn add_up(&mut self) {
        self.parts.iter_mut().for_each(Part::settle);
        self.waiting = 0;
    }

    /// Adds up the rows that still wait; to be called before anything is read.
    pub(super) fn settle(&mut self) {
        self.add_up();
        for part in &mut self.parts {
            part.waiting = Vec::new();
        }
    }

    /// Adds what another worker summed.
    pub(super) fn merge(&mut self, other: Self) {
        for (part, other) in self.parts.iter_mut().zip(other.parts) {
            if part.orgs.is_empty() {
                part.orgs = other.orgs;
            } else {
                part.waiting.extend(other.orgs);
            }
            part.waiting.extend(other.waiting);
            part.settle();
        }
        self.misrouted.extend(other.misrouted);
        self.totals.add(&other.totals);
    }

    /// Every org that is listed, with its digest.
    pub(crate) fn orgs(&self) -> impl Iterator<Item = (&K, &OrgDigest)> {
        self.parts.iter().flat_map(|part| &part.orgs)
    }

    /// The orgs that differ, as PostgreSQL prints them, with their rows by side.
    pub(crate) fn diverging(&self) -> HashMap<String, [u32; 2]> {
        let differs =
            |(org, digest): &(&K, &OrgDigest)| digest.diverges() || self.misrouted.contains(*org);
        self.orgs().filter(differs).map(|(org, digest)| (org.text(), digest.rows)).collect()
    }

    /// How many orgs are listed.
    pub(crate) fn listed(&self) -> usize {
        self.parts.iter().map(|part| part.orgs.len()).sum()
    }

    /// How many orgs there are.
    pub(crate) fn len(&self) -> u64 {
        self.listed() as u64 + self.totals.unlisted_orgs
    }
}

/// Spreads orgs over the map; far cheaper than the standard hasher, which defends against senders
/// that choose their keys to collide.
#[derive(Clone, Copy, Default)]
pub(crate) struct OrgState;

pub(crate) struct OrgHasher(u64);

impl BuildHasher for OrgState {
    type Hasher = OrgHasher;

    fn build_hasher(&self) -> OrgHasher {
        OrgHasher(0)
    }
}

impl Hasher for OrgHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_i64(&mut self, value: i64) {
        // Folded multiplication by the golden ratio: each bit of the id reaches each bit of the hash.
        let product = u128::from(value as u64 ^ 0x2d35_8dcc_aa6c_78a5) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(legacy: &[&[u8]], twin: &[&[u8]]) -> OrgDigest {
        let hasher = Secret::new();
        let mut digests = Digests::<i64>::default();
        for row in legacy {
            digests.add_row(Side::Legacy, 1, hasher.hash(row));
        }
        for row in twin {
            digests.add_row(Side::Partitioned, 1, hasher.hash(row));
        }
        digests.settle();
        *digests.orgs().next().expect("one org").1
    }

    #[test]
    fn the_same_rows_in_another_order_agree() {
        assert!(!sum(&[b"a", b"b", b"b"], &[b"b", b"a", b"b"]).diverges());
    }

    #[test]
    fn a_row_twice_on_one_side_differs_from_another_row_twice() {
        assert!(sum(&[b"a", b"b", b"b"], &[b"a", b"a", b"b"]).diverges());
        assert!(sum(&[b"a", b"a"], &[b"b", b"b"]).diverges());
    }

    #[test]
    fn a_chunk_that_is_given_up_leaves_nothing() {
        let hasher = Secret::new();
        let mut digests = Digests::<i64>::default();
        let read = |digests: &mut Digests<i64>, rows: std::ops::Range<i64>| {
            digests.begin_chunk();
            for row in rows {
                digests.add_row(Side::Legacy, row % 7, hasher.hash(&row.to_le_bytes()));
                digests.totals.rows[0] += 1;
                digests.add_misrouted(&(row % 3));
            }
        };
        read(&mut digests, 0..1);
        read(&mut digests, 1..500);
        assert!(digests.forget_chunk());
        read(&mut digests, 1..3);
        digests.settle();
        let mut whole = Digests::<i64>::default();
        read(&mut whole, 0..3);
        whole.settle();
        assert_eq!((digests.totals, &digests.misrouted), (whole.totals, &whole.misrouted));
        assert_eq!(digests.diverging(), whole.diverging());
    }

    #[test]
    fn a_negative_org_is_not_its_unsigned_twin() {
        assert_eq!(i64::read(&(-1_i32).to_be_bytes()), Some(-1));
        assert_eq!(i64::read(&4_294_967_295_i64.to_be_bytes()), Some(4_294_967_295));
        assert_eq!(i64::read(b"abc"), None);
    }
}
