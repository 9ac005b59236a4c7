//! The nodes file: as written, then as meant. All mistakes at once, each with its line and the fix.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use http::Uri;
use http::header::HeaderValue;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of a nodes file, a token or a CA file: far more than any real one has, and no surprise when it is `/dev/zero`.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const KEYS: [&str; 4] = ["name", "admin", "token_file", "ca_file"];

/// One node of the fleet, ready to be called.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What reports call it.
    pub(crate) name: String,
    /// Base of its admin listener, without a slash at the end.
    pub(crate) admin: String,
    /// `Bearer <token>`, marked sensitive.
    pub(crate) authorization: HeaderValue,
    /// Where the token stands, for messages.
    pub(crate) token_file: PathBuf,
    /// PEM of the authorities to trust for this node instead of the system's.
    pub(crate) authorities: Option<Vec<u8>>,
}

/// One mistake in the nodes file.
#[derive(Debug, PartialEq, Eq)]
struct Mistake {
    line: usize,
    what: String,
    fix: String,
}

/// Everything that is wrong with a nodes file.
#[derive(Debug)]
pub(crate) struct Mistakes {
    file: PathBuf,
    list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.list.iter().enumerate() {
            let end = if i + 1 == self.list.len() { "" } else { "\n" };
            let file = self.file.display();
            // Line 0 means the file as a whole.
            let place =
                if mistake.line == 0 { format!("{file}") } else { format!("{file}:{}", mistake.line) };
            write!(f, "{place}: {}; {}{end}", mistake.what, mistake.fix)?;
        }
        Ok(())
    }
}

/// Reads the nodes file and every token it names (paths are relative to the file).
pub(crate) fn load(file: &Path) -> Result<Vec<Node>, Mistakes> {
    let source = match read(file) {
        Ok(source) => source,
        Err(why) => {
            let what = format!("cannot be read: {why}");
            let fix = "give the path of a nodes file with --nodes (see larder-purge --help)".to_owned();
            return Err(Mistakes { file: file.to_owned(), list: vec![Mistake { line: 0, what, fix }] });
        }
    };
    let directory = file.parent().unwrap_or_else(|| Path::new(""));
    let mut check = Check { source: &source, directory, mistakes: Vec::new(), seen: HashMap::new() };
    let nodes = check.file();
    if check.mistakes.is_empty() {
        return Ok(nodes);
    }
    let mut list = check.mistakes;
    list.sort_by_key(|m| m.line);
    Err(Mistakes { file: file.to_owned(), list })
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

struct Check<'a> {
    source: &'a str,
    directory: &'a Path,
    mistakes: Vec<Mistake>,
    /// Names and addresses seen, with the line of the first.
    seen: HashMap<String, usize>,
}

impl Check<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.source.as_bytes().get(..span.start).unwrap_or(self.source.as_bytes());
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    fn wrong(&mut self, span: &Range<usize>, what: impl Into<String>, fix: impl Into<String>) {
        let line = self.line(span);
        self.mistakes.push(Mistake { line, what: what.into(), fix: fix.into() });
    }

    fn file(&mut self) -> Vec<Node> {
        let (table, errors) = DeTable::parse_recoverable(self.source);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.wrong(&span, error.message().trim().replace('\n', ", "), "write valid TOML");
        }
        if !self.mistakes.is_empty() {
            return Vec::new();
        }
        let mut nodes = Vec::new();
        for (key, value) in table.get_ref() {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("node", DeValue::Array(list)) => {
                    for (i, item) in list.iter().enumerate() {
                        nodes.extend(self.node(i, item));
                    }
                }
                ("node", _) => {
                    self.wrong(&key.span(), "node: not a list of tables", "write [[node]] with two brackets");
                }
                (other, _) => {
                    let what = format!("{other}: unknown key");
                    self.wrong(&key.span(), what, "only [[node]] tables belong here");
                }
            }
        }
        if nodes.is_empty() && self.mistakes.is_empty() {
            let what = "no node".to_owned();
            let fix = "add a [[node]] table with name, admin and token_file".to_owned();
            self.mistakes.push(Mistake { line: 0, what, fix });
        }
        nodes
    }

    fn node(&mut self, index: usize, item: &Spanned<DeValue<'_>>) -> Option<Node> {
        let path = format!("node[{index}]");
        let DeValue::Table(table) = item.get_ref() else {
            let what = format!("{path}: not a table");
            self.wrong(&item.span(), what, "write [[node]] with its keys below");
            return None;
        };
        for key in table.keys().filter(|k| !KEYS.contains(&k.get_ref().as_ref())) {
            let what = format!("{path}.{}: unknown key", key.get_ref());
            self.wrong(&key.span(), what, format!("the keys are {}", KEYS.join(", ")));
        }
        let [name, admin, token, authorities] = KEYS.map(|key| {
            let needed = key != "ca_file";
            self.text(&path, table, &item.span(), key, needed)
        });
        let name = name.and_then(|(name, span)| self.name(&path, name, &span));
        let admin = admin.and_then(|(admin, span)| self.admin(&path, &admin, &span));
        let token = token.and_then(|(file, span)| self.token(&path, &file, &span));
        let authorities = match authorities {
            Some((file, span)) => Some(self.authorities(&path, &file, &span)?),
            None => None,
        };
        let (authorization, token_file) = token?;
        Some(Node { name: name?, admin: admin?, authorization, token_file, authorities })
    }

    fn text(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        whole: &Range<usize>,
        key: &str,
        needed: bool,
    ) -> Option<(String, Range<usize>)> {
        match table.get(key) {
            Some(value) => match value.get_ref() {
                DeValue::String(text) => Some((text.to_string(), value.span())),
                other => {
                    let what = format!("{path}.{key}: not a string but {}", other.type_str());
                    self.wrong(&value.span(), what, "put it in quotes");
                    None
                }
            },
            None if needed => {
                let example = match key {
                    "name" => "edge-1",
                    "admin" => "http://127.0.0.1:9901",
                    _ => "admin.token",
                };
                self.wrong(whole, format!("{path}.{key}: missing"), format!("add {key} = \"{example}\""));
                None
            }
            None => None,
        }
    }

    /// Notes `what` as taken; `false` (and a mistake) when it was.
    fn once(&mut self, what: &str, path: &str, span: &Range<usize>) -> bool {
        let line = self.line(span);
        if let Some(first) = self.seen.get(what) {
            let message = format!("{path}: {what} is in line {first} already");
            self.wrong(span, message, "every node needs its own");
            return false;
        }
        self.seen.insert(what.to_owned(), line);
        true
    }

    fn name(&mut self, path: &str, name: String, span: &Range<usize>) -> Option<String> {
        if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) {
            let what = format!("{path}.name: empty, too long or with control characters");
            self.wrong(span, what, "use the name of the node's own configuration, like \"edge-1\"");
            return None;
        }
        self.once(&format!("name {name:?}"), &format!("{path}.name"), span).then_some(name)
    }

    fn admin(&mut self, path: &str, admin: &str, span: &Range<usize>) -> Option<String> {
        match base(admin) {
            Ok(base) => self.once(&format!("admin {base:?}"), &format!("{path}.admin"), span).then_some(base),
            Err(why) => {
                let what = format!("{path}.admin: {why}");
                self.wrong(span, what, "write it like \"http://127.0.0.1:9901\"");
                None
            }
        }
    }

    fn token(&mut self, path: &str, file: &str, span: &Range<usize>) -> Option<(HeaderValue, PathBuf)> {
        let fix = "put the node's admin token alone into that file";
        let full = self.directory.join(file);
        let text = match read(&full) {
            Ok(text) => text,
            Err(why) => {
                self.wrong(span, format!("{path}.token_file: {}: {why}", full.display()), fix);
                return None;
            }
        };
        let token = text.trim();
        let visible = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        match HeaderValue::from_str(&format!("Bearer {token}")) {
            Ok(mut value) if visible => {
                value.set_sensitive(true);
                Some((value, full))
            }
            _ => {
                let why = if token.is_empty() { "is empty" } else { "is not one word of visible ASCII" };
                self.wrong(span, format!("{path}.token_file: {} {why}", full.display()), fix);
                None
            }
        }
    }

    fn authorities(&mut self, path: &str, file: &str, span: &Range<usize>) -> Option<Vec<u8>> {
        let full = self.directory.join(file);
        let why = match read(&full) {
            Ok(text) if text.contains("BEGIN CERTIFICATE") => return Some(text.into_bytes()),
            Ok(_) => "holds no certificate".to_owned(),
            Err(why) => why,
        };
        let what = format!("{path}.ca_file: {}: {why}", full.display());
        self.wrong(span, what, "name a PEM file with the authority of the node's certificate");
        None
    }
}

/// The admin URL without a slash at its end, or why it is none.
fn base(admin: &str) -> Result<String, String> {
    larder_store::purge::normalise(admin).map_err(|e| e.to_string())?;
    if admin.contains(['?', '#']) {
        return Err(format!("must not have a query or fragment: {admin:?}"));
    }
    let uri: Uri = admin.parse().map_err(|e| format!("{e}: {admin:?}"))?;
    Ok(uri.to_string().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }

    fn loaded(text: &str) -> Result<Vec<Node>, String> {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("good.token"), " s3cret\n");
        write(&directory.path().join("empty.token"), "\n");
        write(&directory.path().join("two.token"), "one two");
        let file = directory.path().join("nodes.toml");
        write(&file, text);
        let prefix = format!("{}/", directory.path().display());
        load(&file).map_err(|m| m.to_string().replace(&prefix, ""))
    }

    #[test]
    fn a_good_file_becomes_nodes() {
        let nodes = loaded(
            "[[node]]\nname = \"a\"\nadmin = \"http://127.0.0.1:9901/\"\ntoken_file = \"good.token\"\n\
             [[node]]\nname = \"b\"\nadmin = \"https://edge.example/admin\"\ntoken_file = \"good.token\"\n",
        )
        .unwrap();
        let seen: Vec<_> = nodes.iter().map(|n| (n.name.as_str(), n.admin.as_str())).collect();
        assert_eq!(seen, [("a", "http://127.0.0.1:9901"), ("b", "https://edge.example/admin")]);
        assert_eq!(nodes[0].authorization, "Bearer s3cret");
        assert!(nodes[0].authorization.is_sensitive());
    }

    #[test]
    fn all_mistakes_come_at_once_with_line_and_fix() {
        let text = "colour = 1\n[[node]]\nname = \"a\"\nadmin = \"127.0.0.1:9901\"\ntoken_file = \"none.token\"\n\
                    [[node]]\nname = \"a\"\nadmin = 5\nport = 9\ntoken_file = \"empty.token\"\n\
                    [[node]]\nadmin = \"ftp://x\"\ntoken_file = \"two.token\"\n";
        let message = loaded(text).unwrap_err();
        let lines: Vec<&str> = message.lines().collect();
        let expected = [
            "nodes.toml:1: colour: unknown key; only",
            "nodes.toml:4: node[0].admin: not an absolute http or https URL: \"127.0.0.1:9901\"; write it like",
            "nodes.toml:5: node[0].token_file: none.token: No such file",
            "nodes.toml:7: node[1].name: name \"a\" is in line 3 already; every node",
            "nodes.toml:8: node[1].admin: not a string but integer; put it in quotes",
            "nodes.toml:9: node[1].port: unknown key; the keys are name, admin",
            "nodes.toml:10: node[1].token_file: empty.token is empty; put",
            "nodes.toml:11: node[2].name: missing; add name = \"edge-1\"",
            "nodes.toml:12: node[2].admin: not an absolute http or https URL",
            "nodes.toml:13: node[2].token_file: two.token is not one word of visible ASCII",
        ];
        assert_eq!(lines.len(), expected.len(), "{message}");
        for (line, start) in lines.iter().zip(expected) {
            assert!(line.starts_with(start), "expected {start:?}\n     got {line:?}");
        }
    }

    #[test]
    fn files_without_nodes_are_refused() {
        let cases = [
            ("", "nodes.toml: no node; add a [[node]] table"),
            ("[node]\nname = \"a\"\n", "nodes.toml:1: node: not a list of tables; write [[node]]"),
            ("node = [1]\n", "nodes.toml:1: node[0]: not a table"),
            ("[[node\n", "nodes.toml:1: "),
        ];
        for (text, start) in cases {
            let message = loaded(text).unwrap_err();
            assert!(message.starts_with(start), "{text:?}: {message}");
        }
        assert!(load(Path::new("/none/nodes.toml")).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn bases() {
        for good in ["http://a", "http://a:1/", "https://[::1]:9901", "http://a/x/y"] {
            assert!(base(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "/a", "http://", "http://u:p@a", "http://a:99999", "http://a/?x", "http://a#b"] {
            assert!(base(bad).is_err(), "{bad}");
        }
    }
}
