//! The architecture, enforced: floors, sizes, and who may name what.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use larder_tests::workspace;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const PROXY_LINES_MAX: usize = 200;

/// One source file: its path below the workspace and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Its lines without comments, up to its unit tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..end].lines().enumerate().map(|(number, line)| (number + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every file with one of `endings` below `folders`.
fn files(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        walk(&workspace().join(folder), endings, &mut found);
    }
    assert!(!found.is_empty(), "nothing below {folders:?}");
    let name = |path: &Path| path.strip_prefix(workspace()).expect("below it").display().to_string();
    let read =
        |path: PathBuf| Source { path: name(&path), text: std::fs::read_to_string(&path).expect("UTF-8") };
    found.into_iter().map(read).collect()
}

fn walk(path: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.is_dir() {
        if !matches!(name.as_str(), "target" | "node_modules") {
            for entry in std::fs::read_dir(path).expect("a folder of the workspace").flatten() {
                walk(&entry.path(), endings, found);
            }
        }
    } else if endings.iter().any(|ending| name.ends_with(ending)) {
        found.push(path.to_owned());
    }
}

fn rust() -> Vec<Source> {
    files(&["node", "store", "purge-cli", "tests", "benches"], &[".rs"])
}

fn no_complaints(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn files_are_short() {
    let mut complaints = Vec::new();
    for source in rust() {
        let lines = source.text.lines().count();
        let most = if source.path == "node/src/proxy.rs" { PROXY_LINES_MAX } else { FILE_LINES_MAX };
        if lines > most {
            complaints.push(format!("{} has {lines} lines; {most} at the most", source.path));
        }
    }
    no_complaints(&complaints);
}

#[test]
fn functions_are_short() {
    let mut complaints = Vec::new();
    // Tables of a module's unit tests are data and may be as long as they need.
    for source in rust().into_iter().filter(|source| !source.path.contains("tests.rs")) {
        for (line, name, length) in functions(&source.text) {
            if length > FUNCTION_LINES_MAX {
                let place = format!("{}:{line}", source.path);
                complaints
                    .push(format!("{place} `{name}` has {length} lines; {FUNCTION_LINES_MAX} at the most"));
            }
        }
    }
    no_complaints(&complaints);
}

/// Functions as (line, name, lines). Formatted code closes a function at the indentation it starts with.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some((before, after)) = trimmed.split_once("fn ") else { continue };
        let qualifier =
            |word: &str| matches!(word, "pub" | "async" | "const" | "unsafe") || word.starts_with("pub(");
        if !before.split_whitespace().all(qualifier) {
            continue;
        }
        let closing = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        // Without a body (a trait's method) or with one on its own line there is nothing to measure.
        let head_end =
            lines[start..].iter().position(|l| l.ends_with('{') || l.ends_with(';') || l.ends_with('}'));
        if head_end.is_none_or(|at| !lines[start + at].ends_with('{')) {
            continue;
        }
        if let Some(length) = lines[start..].iter().position(|l| **l == closing) {
            found.push((start + 1, name, length + 1));
        }
    }
    found
}

#[test]
fn a_file_imports_only_from_below_its_own_floor() {
    let floors = floors(&std::fs::read_to_string(workspace().join("node/src/lib.rs")).expect("UTF-8"));
    let exceptions = exceptions();
    let (mut complaints, mut used) = (Vec::new(), Vec::new());
    for source in files(&["node/src"], &[".rs"]) {
        let part = part(&source.path);
        if part == "lib" {
            continue;
        }
        let Some(own) = floors.get(&part) else {
            complaints.push(format!("{}: `{part}` has no floor in node/src/lib.rs", source.path));
            continue;
        };
        for (line, other) in imports(&source) {
            let below = floors.get(&other).is_some_and(|floor| floor > own);
            if other == part || below {
                continue;
            }
            let pair = (part.clone(), other.clone());
            if exceptions.contains(&pair) {
                used.push(pair);
            } else {
                let why = if floors.contains_key(&other) { "is not below it" } else { "has no floor" };
                complaints.push(format!("{}:{line}: `{part}` imports `{other}`, which {why}", source.path));
            }
        }
    }
    for pair in exceptions.iter().filter(|pair| !used.contains(pair)) {
        complaints.push(format!("ARCHITECTURE.md: the exception `{}` -> `{}` is not needed", pair.0, pair.1));
    }
    no_complaints(&complaints);
}

/// The floors as the crate's own documentation draws them, top to bottom.
fn floors(lib: &str) -> HashMap<String, usize> {
    let drawn =
        lib.split("```text").nth(1).and_then(|rest| rest.split("```").next()).expect("the drawn floors");
    let text = drawn.replace("//!", " ").replace('\n', " ");
    let mut floors = HashMap::new();
    for (floor, names) in text.split('>').enumerate() {
        for name in names.split([' ', ',']).filter(|name| !name.is_empty()) {
            floors.insert(name.to_owned(), floor);
        }
    }
    assert!(floors.len() > 15, "{floors:?}");
    floors
}

/// Pairs that ARCHITECTURE.md allows, each on a line "exception: `upper` -> `lower`: why".
fn exceptions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap_or_default();
    let pair = |line: &str| {
        let rest = line.split("exception: `").nth(1)?;
        let (upper, rest) = rest.split_once("` -> `")?;
        let (lower, why) = rest.split_once("`:")?;
        assert!(why.trim().len() > 10, "an exception needs its reason: {line}");
        Some((upper.to_owned(), lower.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

/// `cache` for `node/src/cache/fill.rs`, `proxy` for `node/src/proxy.rs`.
fn part(path: &str) -> String {
    let inside = path.strip_prefix("node/src/").expect("a file of the node");
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// Parts that a file names by `crate::`, with their lines.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, code) in source.code() {
        for after in code.split("crate::").skip(1) {
            match after.strip_prefix('{') {
                None => found.push((line, word(after))),
                // `use crate::{a, b::c, d::{e, f}}` over one or more lines.
                Some(_) => {
                    let at = source.text.lines().take(line - 1).map(|l| l.len() + 1).sum::<usize>();
                    let group = &source.text[at + code.find("crate::{").expect("just found") + 8..];
                    found.extend(group_members(group).into_iter().map(|member| (line, member)));
                }
            }
        }
    }
    found.retain(|(_, name)| name.starts_with(|c: char| c.is_ascii_lowercase()));
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The outer members of a brace group that was just opened.
fn group_members(text: &str) -> Vec<String> {
    let (mut depth, mut fresh, mut members) = (1, true, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && c.is_alphabetic() => {
                members.push(word(&text[at..]));
                fresh = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    members
}

#[test]
fn one_file_knows_cacache_and_one_knows_sled() {
    let mut complaints = Vec::new();
    for source in rust() {
        for (name, home) in
            [("cacache::", "store/src/disk/content.rs"), ("sled::", "store/src/disk/index.rs")]
        {
            let foreign = source.path != home && source.path != "tests/tests/tidy.rs";
            for (line, _) in source.code().filter(|(_, code)| foreign && code.contains(name)) {
                complaints.push(format!("{}:{line} names {name} which is {home}'s alone", source.path));
            }
        }
    }
    no_complaints(&complaints);
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let folders = ["node", "store", "purge-cli", "tests", "benches", "configs", "docs", "ops"];
    let folders: Vec<_> = folders.into_iter().filter(|folder| workspace().join(folder).exists()).collect();
    let mut complaints = Vec::new();
    for source in files(&folders, &[".rs", ".toml", ".md", ".sh", ".mjs"]) {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                complaints.push(format!("{}:{} leaves something for later", source.path, number + 1));
            }
        }
    }
    no_complaints(&complaints);
}

#[test]
fn every_limit_says_its_unit_and_reason() {
    let text = std::fs::read_to_string(workspace().join("node/src/limits.rs")).expect("UTF-8");
    let lines: Vec<_> = text.lines().collect();
    let mut complaints = Vec::new();
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("pub const ")) {
        if !lines[number - 1].starts_with("/// ") {
            complaints
                .push(format!("node/src/limits.rs:{} says neither unit nor reason: {line}", number + 1));
        }
    }
    no_complaints(&complaints);
}

#[test]
fn every_reason_for_not_storing_is_in_the_documentation() {
    let text = std::fs::read_to_string(workspace().join("node/src/status.rs")).expect("UTF-8");
    let spellings = text.split("impl NotStored").nth(1).expect("the closed enum");
    let spellings = spellings.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next());
    let docs: String = files(&["docs"], &[".md"]).into_iter().map(|source| source.text).collect();
    let missing = spellings.filter(|spelling| !docs.contains(&format!("`{spelling}`")));
    no_complaints(
        &missing.map(|s| format!("`{s}` (status.rs, NotStored) is in no docs/*.md")).collect::<Vec<_>>(),
    );
}

#[test]
fn the_measures_measure() {
    let text = "fn a() {\n    1;\n}\nimpl B {\n    pub async fn b(\n        c: u8,\n    ) {\n    }\n    fn d();\n}\n";
    let found = functions(text);
    assert_eq!(found, [(1, "a".to_owned(), 3), (5, "b".to_owned(), 4)]);
    let text = "use crate::{a, b::{c, d},\n    e};\n// crate::f\nlet x = crate::g::h();\n#[cfg(test)]\nmod tests {\nuse crate::i;";
    let source = Source { path: "node/src/x.rs".into(), text: text.into() };
    let names: Vec<_> = imports(&source).into_iter().map(|(_, name)| name).collect();
    assert_eq!(names, ["a", "b", "e", "g"]);
    let floors = floors("//! ```text\n//! a, b > c d >\n//! e f g h i j k l m n o p q r s\n//! ```");
    assert!(floors["b"] < floors["d"] && floors["d"] < floors["s"]);
}
