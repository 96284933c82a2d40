//! The columns of a pair: which belong together, what is compared of them, and what their catalogs disagree on.

use super::schema::{Side, catalog_finding};
use super::value;
use cutover_error::{Error, Result};
use cutover_evidence::class::CatalogClass;
use cutover_evidence::finding::{Finding, Severity};
use cutover_ground::config::{Compare, CompareBy, TablePair};
use cutover_ground::pg::catalog::{Column, Table};

/// A column with its name on each side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ComparedColumn {
    names: [String; 2],
    /// What is compared in its place.
    values: Option<[String; 2]>,
    /// The expression of a side that makes it, if the configuration has one.
    expressions: [Option<String>; 2],
    /// Whether the sides are compared as text, because their types differ or have no binary form.
    pub(super) as_text: bool,
    /// Whether bytes that differ may mean the same value, which the texts then tell.
    pub(super) has_many_forms: bool,
    /// Whether each side refuses NULL.
    pub(super) not_null: bool,
}

impl ComparedColumn {
    /// Its name on one side; the legacy name is the one reports use.
    pub(super) fn on(&self, side: Side) -> &str {
        &self.names[side as usize]
    }

    /// What a side has to hold, as an expression over the other side's columns; `None` for the column itself.
    pub(super) fn made_on(&self, source: Side) -> Option<&str> {
        self.expressions[source as usize].as_deref()
    }

    /// What is compared in its place, as an expression for a text.
    pub(super) fn value(&self, side: Side) -> Option<&str> {
        self.values.as_ref().map(|values| values[side as usize].as_str())
    }
}

/// Every column that the configuration names must be there.
pub(super) fn check_names(pair: &TablePair, legacy: &Table, twin: &Table) -> Result<()> {
    let must_be_in = |table: &Table, key: &str, name: &str| {
        if table.column(name).is_some() {
            return Ok(());
        }
        let there: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        Err(Error::usage(
            format!("[[tables]] `{}`: {key}: {} has no column `{name}`", pair.name, table.name),
            format!("its columns: {}", there.join(", ")),
        ))
    };
    let changed_at = pair.changed_at.iter().map(|name| ("changed_at", name.as_str()));
    for (key, name) in pair
        .org_column()
        .map(|name| ("org", name))
        .into_iter()
        .chain(pair.key.iter().map(|name| ("key", name.as_str())))
        .chain(changed_at)
    {
        must_be_in(legacy, key, name)?;
        must_be_in(twin, key, pair.partitioned_column(name))?;
    }
    for name in pair.compare.keys() {
        must_be_in(legacy, "compare", name)?;
    }
    for name in &pair.secret {
        must_be_in(legacy, "secret", name)?;
    }
    for (from, to) in &pair.map {
        must_be_in(legacy, "map", from)?;
        must_be_in(twin, "map", to)?;
    }
    for name in &pair.ignore {
        // A column that stands on one side only may be ignored too.
        if twin.column(pair.partitioned_column(name)).is_none() {
            must_be_in(legacy, "ignore", name)?;
        }
    }
    Ok(())
}

/// The columns of both sides by name; what they disagree on goes to `findings`.
///
/// # Errors
/// A usage error if a column is to be compared as it cannot be.
pub(super) fn compare_columns(
    pair: &TablePair,
    legacy: &Table,
    twin: &Table,
    findings: &mut Vec<Finding>,
) -> Result<Vec<ComparedColumn>> {
    let mut columns = Vec::new();
    let mut tell = |class, severity, name: &str, detail: String| {
        let mut finding = catalog_finding(&pair.name, class, severity, detail);
        finding.columns = vec![name.to_owned()];
        findings.push(finding);
    };
    for left in legacy.columns.iter().filter(|column| !pair.ignore.contains(&column.name)) {
        let twin_name = pair.partitioned_column(&left.name);
        let Some(right) = twin.column(twin_name) else {
            let detail = format!(
                "{} has column `{}` ({}), {} has no `{twin_name}`: its values are lost at the \
                 cut-over; add it to the twin and to the trigger, or name it under `ignore`",
                legacy.name, left.name, left.type_name, twin.name
            );
            tell(CatalogClass::ColumnMissing, Severity::Error, &left.name, detail);
            continue;
        };
        let same_type = left.type_oid == right.type_oid;
        for (class, severity, detail) in unlike(pair, (legacy, left), (twin, right)) {
            tell(class, severity, &left.name, detail);
        }
        for (class, detail) in lesser_differences(left, right) {
            tell(class, Severity::Advice, &left.name, detail);
        }
        let values = value::values(pair, left, right)?;
        let as_text = values.is_some() || !same_type || !left.has_binary_form;
        columns.push(ComparedColumn {
            names: [left.name.clone(), right.name.clone()],
            as_text,
            has_many_forms: !as_text && !left.has_one_form,
            not_null: left.not_null && right.not_null,
            values,
            expressions: value::expressions(pair, &left.name),
        });
    }
    for right in &twin.columns {
        let compared = columns.iter().any(|column| column.names[1] == right.name);
        let ignored = pair.ignore.iter().any(|name| pair.partitioned_column(name) == right.name);
        if !compared && !ignored {
            let detail = format!(
                "{} has column `{}` ({}), {} has no such column: nothing fills it from legacy; \
                 add it to legacy, drop it, map it, or name it under `ignore`",
                twin.name, right.name, right.type_name, legacy.name
            );
            tell(CatalogClass::ColumnExtra, Severity::Error, &right.name, detail);
        }
    }
    Ok(columns)
}

/// Types and formulas under which the sides hold, or will hold, other values.
fn unlike(
    pair: &TablePair,
    (legacy, left): (&Table, &Column),
    (twin, right): (&Table, &Column),
) -> Vec<(CatalogClass, Severity, String)> {
    let mut found = Vec::new();
    if left.type_name != right.type_name {
        // Whoever compares by value or by an expression knows.
        let is_meant =
            !matches!(pair.compare.get(&left.name), None | Some(Compare::By(CompareBy::Exact)));
        let advice = match (is_meant, value::are_alike(left, right)) {
            (true, _) => "they are compared as `compare` says".to_owned(),
            (false, true) => format!(
                "give both the same type or, if this is meant, compare by value: [tables.compare] {} = \"value\"",
                left.name
            ),
            (false, false) => "give both the same type".to_owned(),
        };
        let detail = format!(
            "{}.{} is {}, {}.{} is {}; {advice}",
            legacy.name, left.name, left.type_name, twin.name, right.name, right.type_name
        );
        let severity = if is_meant { Severity::Advice } else { Severity::Error };
        found.push((CatalogClass::ColumnType, severity, detail));
    }
    // Both compute it, each by its own formula: what agrees today need not tomorrow.
    if left.generated && right.generated && left.default_value != right.default_value {
        let by = |column: &Column| column.default_value.clone().unwrap_or_default();
        let detail = format!(
            "{}.{} is generated as {}, {}.{} as {}; give both the same expression",
            legacy.name,
            left.name,
            by(left),
            twin.name,
            right.name,
            by(right)
        );
        found.push((CatalogClass::ColumnDefault, Severity::Error, detail));
    }
    found
}

/// Differences under which rows are still carried over whole.
fn lesser_differences(left: &Column, right: &Column) -> Vec<(CatalogClass, String)> {
    let mut found = Vec::new();
    let mut differ = |class, what: &str, legacy: &str, twin: &str| {
        if legacy != twin {
            found.push((class, format!("{what}: `{legacy}` in legacy, `{twin}` in the twin")));
        }
    };
    let null = |column: &Column| if column.not_null { "NOT NULL" } else { "NULL allowed" };
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
    differ(CatalogClass::ColumnNullability, "nullability", null(left), null(right));
    differ(
        CatalogClass::ColumnCollation,
        "collation",
        &text(&left.collation),
        &text(&right.collation),
    );
    // A side that numbers rows or computes values by itself differs in its default by design.
    let by_itself = |c: &Column| c.identity || c.generated || c.sequence.is_some();
    if !by_itself(left) && !by_itself(right) {
        differ(
            CatalogClass::ColumnDefault,
            "default",
            &text(&left.default_value),
            &text(&right.default_value),
        );
    }
    found
}
