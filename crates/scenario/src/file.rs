//! The scenario file as it is written: its types are its documentation and its JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::arrivals::Shape;
use cutover_evidence::ledger::WriteKind;

/// Traffic for `cutover drive` and `cutover rehearse`.
///
/// Texts may hold blanks: {{org}} (of an operation on a row: the row's), {{unique}},
/// {{date:LOW..HIGH}} (days from the data's last day),
/// {{month:LOW..HIGH}}, {{year:LOW..HIGH}}, {{int:LOW..HIGH}}, {{amount:LOW..HIGH}}, {{choice:A|B*3}}
/// (B three times as often as A), {{row.FIELD}}, {{feed.NAME.COLUMN}}, {{token}}.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "cutover scenario")]
pub(super) struct RawScenario {
    /// The scenario's name in reports.
    pub name: String,
    /// When requests arrive. Default: Poisson.
    #[serde(default)]
    pub arrivals: Shape,
    /// Which orgs ask how often, unless an operation says otherwise.
    #[serde(default)]
    pub orgs: Spread,
    /// CSV files that blanks are filled from.
    #[serde(default)]
    pub feeder: Vec<RawFeeder>,
    /// Signs {{token}}, for platforms that derive the org from it.
    pub token: Option<RawToken>,
    /// The kinds of request.
    pub operation: Vec<RawOperation>,
}

/// Popularity of orgs: rank `r` asks in proportion to `(r + flat_head)^-exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Spread {
    /// 0: all orgs alike; about 1: a few orgs make most of the traffic; at most 5.
    pub exponent: f64,
    /// Larger: no single org dominates. 0 to 1000000.
    pub flat_head: f64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { exponent: 1.1, flat_head: 10.0 }
    }
}

/// One kind of request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOperation {
    /// Its name in reports.
    pub name: String,
    /// Its share of the arrivals is its weight over the sum of all weights.
    pub weight: f64,
    /// HTTP method. Default: GET.
    #[serde(default = "get")]
    pub method: String,
    /// Path, with or without a query of its own.
    pub path: String,
    /// Query parameters; names and filled values are URL-encoded.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Body. JSON unless a content-type header says otherwise: blanks within quotes are escaped,
    /// blanks outside become JSON values.
    pub body: Option<String>,
    /// Further request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Statuses of a right answer. Default: 200.
    #[serde(default = "ok")]
    pub expect: Vec<u16>,
    /// What a right answer holds.
    #[serde(default)]
    pub check: Vec<RawCheck>,
    /// Where the answer names the org that it belongs to: JSON pointers in which `*` is each element.
    /// Another org there than the one that asked is a leak.
    #[serde(default)]
    pub own: Vec<String>,
    /// Whether it changes data, or which data. Default: true unless GET or HEAD.
    pub writes: Option<RawWrites>,
    /// Which orgs ask for it how often.
    pub orgs: Option<Spread>,
    /// Keeps the answer's JSON object under this name as a row for later operations.
    pub remember: Option<String>,
    /// The fields of the row that is kept, as JSON pointers into the answer. Default: the answer's
    /// own fields.
    #[serde(default)]
    pub take: BTreeMap<String, String>,
    /// Works on a row kept under this name; nobody else does meanwhile.
    pub row: Option<String>,
    /// Whether the row is gone afterwards.
    #[serde(default)]
    pub consumes: bool,
}

/// One thing that a right answer holds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCheck {
    /// JSON pointer into the answer; empty for the whole of it.
    pub at: String,
    /// Whether there is to be something. Default: true.
    pub exists: Option<bool>,
    /// Its text, with blanks.
    pub equals: Option<String>,
    /// Its smallest number; of a list, the fewest elements.
    pub min: Option<f64>,
    /// Its largest number; of a list, the most elements.
    pub max: Option<f64>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Option<JsonType>,
    /// Its exact number of elements.
    pub count: Option<usize>,
}

/// A type of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JsonType {
    /// Nothing.
    Null,
    /// True or false.
    Boolean,
    /// Any number.
    Number,
    /// A whole number.
    Integer,
    /// Text.
    String,
    /// A list.
    Array,
    /// Named fields.
    Object,
}

/// Whether an operation changes data, or which data.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawWrites {
    /// Whether it changes data.
    Plain(bool),
    /// Which data it changes.
    Table(RawWrite),
}

/// Which data an operation changes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWrite {
    /// The table pair, by its name in the configuration.
    pub table: String,
    /// How it changes it.
    pub kind: WriteKind,
    /// Key column → where its value is: a JSON pointer (`/id`), for an insert into the answer, else
    /// into the body that is sent; or a text with blanks.
    #[serde(default)]
    pub key: BTreeMap<String, String>,
    /// Column → where its value is: a JSON pointer (`/amount`) into the body that is sent, or a text
    /// with blanks.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// The column among `values` that no other write sets to the same, because its value holds
    /// {{unique}}. An insert needs one.
    pub tag: Option<String>,
    /// For an insert: the request header of its idempotency key; empty for none. Default:
    /// Idempotency-Key.
    pub idempotency_header: Option<String>,
}

/// A CSV file with a header line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFeeder {
    /// The name in {{feed.NAME.COLUMN}}.
    pub name: String,
    /// Path, relative to the scenario file.
    pub file: String,
    /// How a request finds its line. Default: round robin.
    #[serde(default)]
    pub by: FeedBy,
    /// For `by = "org"`: the column that holds the org. Default: org.
    pub column: Option<String>,
}

/// How a request finds its line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FeedBy {
    /// One line after the other.
    #[default]
    RoundRobin,
    /// The line of its org.
    Org,
}

/// A signer of JSON Web Tokens (HS256). The secret is read from a variable or a file, never from
/// the scenario, and never shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawToken {
    /// Environment variable that holds the secret.
    pub secret_env: Option<String>,
    /// File that holds the secret, relative to the scenario file; a final line break is left out.
    pub secret_file: Option<String>,
    /// The claims as a JSON object with blanks; `iat` and `exp` are added.
    pub claims: String,
    /// How long a token is valid. Default: 3600.
    pub lifetime_s: Option<u64>,
}

fn get() -> String {
    "GET".into()
}

fn ok() -> Vec<u16> {
    vec![200]
}

/// The JSON Schema of scenario files, for editors.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(RawScenario);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}
