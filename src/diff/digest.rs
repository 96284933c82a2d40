//! Sums of keyed row hashes, per org.
//!
//! A row's hash is XXH3-128 over its wire image under a secret drawn anew for every run; hashes are
//! added with wrap-around, legacy rows with a plus and the twin's with a minus. An org whose sum and
//! row counts come out even holds the same rows on both sides. Addition keeps multiplicity, which
//! XOR does not: under XOR a row that stands twice would vanish.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};

use rand::Rng;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_secret};

use super::schema::Side;

/// Bytes of the secret; XXH3 takes at least 136.
const SECRET_BYTES: usize = 192;

/// Hashes rows under a secret of this run.
#[derive(Clone)]
pub(super) struct RowHasher {
    secret: [u8; SECRET_BYTES],
}

impl RowHasher {
    pub(super) fn new() -> Self {
        let mut secret = [0; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        Self { secret }
    }

    /// The hash of a wire image: field lengths and bytes.
    pub(super) fn hash(&self, image: &[u8]) -> u128 {
        xxh3_128_with_secret(image, &self.secret)
    }
}

/// What tells orgs apart: an integer as it is, anything else by its text.
pub(super) trait OrgKey: Eq + Hash + Clone + Send + 'static {
    /// Reads the org field of a row; `None` where it is not what was asked for.
    fn read(field: &[u8]) -> Option<Self>;
    /// The org as PostgreSQL prints it.
    fn text(&self) -> String;
}

impl OrgKey for i64 {
    fn read(field: &[u8]) -> Option<Self> {
        match field.len() {
            8 => Some(Self::from_be_bytes(field.try_into().ok()?)),
            4 => Some(i32::from_be_bytes(field.try_into().ok()?).into()),
            2 => Some(i16::from_be_bytes(field.try_into().ok()?).into()),
            _ => None,
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

impl OrgKey for Box<str> {
    fn read(field: &[u8]) -> Option<Self> {
        std::str::from_utf8(field).ok().map(Into::into)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// One org of one pair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OrgDigest {
    /// Sum over legacy minus sum over the twin, modulo 2^128.
    difference: u128,
    /// Rows by side.
    pub(super) rows: [u32; 2],
}

impl OrgDigest {
    /// Whether the sides differ.
    pub(super) fn diverges(&self) -> bool {
        self.difference != 0 || self.rows[0] != self.rows[1]
    }

    fn add(&mut self, other: &Self) {
        self.difference = self.difference.wrapping_add(other.difference);
        self.rows[0] += other.rows[0];
        self.rows[1] += other.rows[1];
    }
}

/// Every org of one pair; bounded by the number of orgs, whatever the number of rows.
pub(super) struct Digests<K> {
    pub(super) orgs: HashMap<K, OrgDigest, OrgState>,
    /// Orgs with a row in a leaf whose bounds exclude it.
    pub(super) misrouted: HashSet<K>,
    /// Rows by side.
    pub(super) rows: [u64; 2],
    /// Rows by side that belong to no org.
    pub(super) null_orgs: [u64; 2],
    /// Rows by side whose key holds a NULL.
    pub(super) null_keys: [u64; 2],
}

impl<K: OrgKey> Digests<K> {
    pub(super) fn new() -> Self {
        Self {
            orgs: HashMap::default(),
            misrouted: HashSet::new(),
            rows: [0; 2],
            null_orgs: [0; 2],
            null_keys: [0; 2],
        }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, side: Side, org: K, hash: u128) {
        let digest = self.orgs.entry(org).or_default();
        digest.rows[side as usize] += 1;
        digest.difference = match side {
            Side::Legacy => digest.difference.wrapping_add(hash),
            Side::Partitioned => digest.difference.wrapping_sub(hash),
        };
    }

    /// Adds what another worker summed.
    pub(super) fn merge(&mut self, other: Self) {
        for (org, digest) in other.orgs {
            self.orgs.entry(org).or_default().add(&digest);
        }
        self.misrouted.extend(other.misrouted);
        for side in [0, 1] {
            self.rows[side] += other.rows[side];
            self.null_orgs[side] += other.null_orgs[side];
            self.null_keys[side] += other.null_keys[side];
        }
    }
}

/// Spreads orgs over the map; far cheaper than the standard hasher, which defends against senders
/// that choose their keys to collide.
#[derive(Clone, Copy, Default)]
pub(super) struct OrgState;

pub(super) struct OrgHasher(u64);

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
        let hasher = RowHasher::new();
        let mut digests = Digests::<i64>::new();
        for row in legacy {
            digests.add(Side::Legacy, 1, hasher.hash(row));
        }
        for row in twin {
            digests.add(Side::Partitioned, 1, hasher.hash(row));
        }
        digests.orgs[&1]
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
    fn a_negative_org_is_not_its_unsigned_twin() {
        assert_eq!(i64::read(&(-1_i32).to_be_bytes()), Some(-1));
        assert_eq!(i64::read(&4_294_967_295_i64.to_be_bytes()), Some(4_294_967_295));
        assert_eq!(i64::read(b"abc"), None);
    }
}
