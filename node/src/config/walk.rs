//! Holds a parsed file against the schema before serde does, because serde stops at the first mistake.
//!
//! What is wrong is reported and taken out of the tree, so that the rest can still be read and checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Lines, Mistake, Place};
use super::schema::resolve;
use crate::limits;

/// Where every key of a file stands.
#[derive(Debug)]
pub(super) struct Places {
    file: PathBuf,
    spots: BTreeMap<String, Place>,
}

impl Places {
    pub(super) fn find(file: &Path, lines: &Lines<'_>, table: &DeTable<'_>) -> Self {
        let mut places = Self { file: file.to_owned(), spots: BTreeMap::new() };
        places.table(lines, table, "");
        places
    }

    fn table(&mut self, lines: &Lines<'_>, table: &DeTable<'_>, path: &str) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.spots.insert(path.clone(), lines.place(key.span().start));
            match value.get_ref() {
                DeValue::Table(inner) => self.table(lines, inner, &path),
                DeValue::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let path = format!("{path}[{index}]");
                        self.spots.insert(path.clone(), lines.place(item.span().start));
                        if let DeValue::Table(inner) = item.get_ref() {
                            self.table(lines, inner, &path);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The place of `path`, or of the nearest thing around it that is in the file.
    pub(super) fn of(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.spots.get(path) {
                return Some(*place);
            }
            path = parent(path)?;
        }
    }

    pub(super) fn mistake(&self, path: &str, what: impl Into<String>, fix: impl Into<String>) -> Mistake {
        let (what, fix) = (what.into(), fix.into());
        Mistake { file: self.file.clone(), place: self.of(path), path: path.to_owned(), what, fix }
    }
}

/// `site[2].origin` for `site[2].origin.endpoints`, `site` for `site[2]`.
fn parent(path: &str) -> Option<&str> {
    path.rfind(['.', '[']).map(|at| &path[..at])
}

/// Whether `path` is `outer` or inside it.
pub(super) fn inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}

/// Reports everything in `table` that the schema does not know, and takes it out.
pub(super) fn prune(table: &mut DeTable<'_>, root: &Value, places: &Places) -> Pruned {
    let mut walk = Walk { root, places, pruned: Pruned::default() };
    walk.table(table, root, "");
    walk.pruned
}

/// What was wrong with the form of a file.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    pub(super) mistakes: Vec<Mistake>,
    /// Paths that are gone or were misspelt: nothing more is to be said about them.
    pub(super) silent: Vec<String>,
}

struct Walk<'a> {
    root: &'a Value,
    places: &'a Places,
    pruned: Pruned,
}

impl Walk<'_> {
    fn wrong(&mut self, path: &str, what: impl Into<String>, fix: impl Into<String>) -> bool {
        self.pruned.mistakes.push(self.places.mistake(path, what, fix));
        self.pruned.silent.push(path.to_owned());
        false
    }

    fn table(&mut self, table: &mut DeTable<'_>, schema: &Value, path: &str) {
        for (key, mut value) in std::mem::take(table) {
            let name = key.get_ref();
            let here = join(path, name);
            let known = schema.get("properties").and_then(|known| known.get(name.as_ref()));
            // A table whose keys its owner chooses says what their values are.
            let keep = match known.or(schema.get("additionalProperties").filter(|any| any.is_object())) {
                Some(schema) => self.value(&mut value, resolve(self.root, schema), &here),
                None => {
                    let fix = self.meant(name, schema, path);
                    self.wrong(&here, "unknown key", fix)
                }
            };
            if keep {
                table.insert(key, value);
            }
        }
    }

    /// What was meant by the unknown `key` of the table at `path`; it is not missed as well.
    fn meant(&mut self, key: &str, schema: &Value, path: &str) -> String {
        if self.pruned.mistakes.len() >= limits::CONFIG_MISTAKES_MAX {
            return String::new();
        }
        if let Some(near) = nearest(key, properties(schema).map(|(name, _)| name.as_str())) {
            self.silence_missing(join(path, near));
            return format!("did you mean `{near}`?");
        }
        for (below, _) in homes(self.root, schema, key) {
            self.silence_missing(format!("{path}.{below}.{key}"));
        }
        let homes = homes(self.root, self.root, key);
        if homes.is_empty() {
            let known = properties(schema).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
            return format!("known here: {}", known.join(", "));
        }
        let headers = homes.into_iter().map(|(_, header)| header).collect::<Vec<_>>();
        format!("`{key}` belongs to {}", headers.join(" or "))
    }

    fn silence_missing(&mut self, path: String) {
        if !self.places.spots.contains_key(&path) {
            self.pruned.silent.push(path);
        }
    }

    /// Whether the value may stay.
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, schema: &Value, path: &str) -> bool {
        let kinds = kinds(schema);
        let found = kind_of(value.get_ref());
        if !kinds.contains(&found) {
            let fix = example(schema, path, found);
            return self.wrong(path, format!("is {}, not {}", article(found), names(&kinds)), fix);
        }
        match value.get_mut() {
            DeValue::Table(inner) => {
                self.table(inner, schema, path);
                true
            }
            DeValue::Array(items) => {
                let Some(schema) = schema.get("items").map(|items| resolve(self.root, items)) else {
                    return true;
                };
                let mut whole = true;
                for (index, item) in items.iter_mut().enumerate() {
                    whole &= self.value(item, schema, &format!("{path}[{index}]"));
                }
                if !whole {
                    self.pruned.silent.push(path.to_owned());
                }
                whole
            }
            DeValue::Integer(number) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                self.range(number, schema, path)
            }
            DeValue::String(text) => self.choice(text, schema, path),
            _ => true,
        }
    }

    fn range(&mut self, number: Option<i64>, schema: &Value, path: &str) -> bool {
        let bound = |name| schema.get(name).and_then(Value::as_i64);
        let (low, high) = (bound("minimum").unwrap_or(i64::MIN), bound("maximum").unwrap_or(i64::MAX));
        if number.is_some_and(|number| (low..=high).contains(&number)) {
            return true;
        }
        let fix = if high == i64::MAX { format!("at least {low}") } else { format!("from {low} to {high}") };
        self.wrong(path, "is out of range", fix)
    }

    fn choice(&mut self, text: &str, schema: &Value, path: &str) -> bool {
        let choices = choices(schema);
        if choices.is_empty() || choices.contains(&text) {
            return true;
        }
        let all = choices.iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(", ");
        let fix =
            nearest(text, choices).map_or(format!("one of {all}"), |near| format!("{near:?}; one of {all}"));
        self.wrong(path, format!("{text:?} is not a known value"), fix)
    }
}

/// Path and header of every section below `schema` that knows `key`.
fn homes(root: &Value, schema: &Value, key: &str) -> Vec<(String, String)> {
    let mut homes = Vec::new();
    sections(root, schema, "", &mut |path, header, table| {
        if properties(table).any(|(name, _)| name == key) {
            homes.push((path.to_owned(), header.to_owned()));
        }
    });
    homes
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// Calls `seen` with path, header and schema of every section: `site.origin`, `[site.origin]`.
fn sections(root: &Value, schema: &Value, path: &str, seen: &mut dyn FnMut(&str, &str, &Value)) {
    for (key, property) in properties(schema) {
        let path = join(path, key);
        let inner = resolve(root, property);
        let item = inner.get("items").map(|items| resolve(root, items));
        let header = if item.is_some() { format!("[[{path}]]") } else { format!("[{path}]") };
        let table = item.unwrap_or(inner);
        if table.get("properties").is_some() {
            seen(&path, &header, table);
            sections(root, table, &path, seen);
        }
    }
}

fn choices(schema: &Value) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let described = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    listed.chain(described.filter_map(|option| option.get("const"))).filter_map(Value::as_str).collect()
}

fn kinds(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec!["string"],
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "float",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "date",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
    }
}

fn article(kind: &str) -> &'static str {
    match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "float" => "a number with a fraction",
        "boolean" => "true or false",
        "array" => "an array",
        "object" => "a table",
        _ => "a date",
    }
}

fn names(kinds: &[&str]) -> String {
    kinds.iter().map(|kind| article(kind)).collect::<Vec<_>>().join(" or ")
}

fn example(schema: &Value, path: &str, found: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let first = schema.get("examples").and_then(|examples| examples.get(0)).and_then(Value::as_str);
    match kinds(schema).as_slice() {
        ["object"] if found == "array" => format!("[{path}] with single brackets: there is only one"),
        ["object"] => format!("a section [{path}]"),
        ["array"] if found == "object" => format!("[[{path}]] with double brackets: there may be several"),
        ["array"] if found == "string" => format!("put it in brackets: {last} = [\"...\"]"),
        ["array"] => format!("{last} = [\"...\"]"),
        ["boolean"] => format!("{last} = true or {last} = false, without quotes"),
        ["integer"] if found == "string" => format!("{last} = a number without quotes"),
        ["integer"] => "a whole number".into(),
        _ => format!("{last} = {:?}", first.or(choices(schema).first().copied()).unwrap_or("...")),
    }
}

/// The candidate that `word` is most likely a slip of, if any is near enough.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count().max(3) / 3).min(3);
    let measured = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    measured.filter(|(distance, _)| *distance <= allowed).min().map(|(_, candidate)| candidate)
}

/// Single letters to insert, drop, change or swap with their neighbour (optimal string alignment), no case.
fn distance(one: &str, other: &str) -> usize {
    let fold = |text: &str| text.chars().take(64).map(|c| c.to_ascii_lowercase()).collect::<Vec<_>>();
    let (one, other) = (fold(one), fold(other));
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let change = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key_and_a_stranger_none() {
        let keys = ["address", "tls", "endpoints", "first_byte_timeout"];
        for (slip, key) in [
            ("adress", Some("address")),
            ("endpionts", Some("endpoints")),
            ("first-byte-timeout", Some("first_byte_timeout")),
            ("TLS", Some("tls")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, keys), key, "{slip}");
        }
    }

    #[test]
    fn distances_count_single_letters() {
        for (one, other, count) in [("", "", 0), ("abc", "", 3), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(one, other), count, "{one} {other}");
            assert_eq!(distance(other, one), count, "{other} {one}");
        }
    }

    #[test]
    fn a_path_is_inside_itself_and_what_contains_it() {
        assert!(inside("site[1].origin", "site[1]") && inside("site[1]", "site") && inside("a", "a"));
        assert!(!inside("site[10]", "site[1]") && !inside("sites", "site") && !inside("a", "a.b"));
    }
}
