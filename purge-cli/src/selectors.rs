//! Selectors from arguments, a file and standard input: all checked before anything is sent.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, BufRead, IsTerminal, Read};

use larder_store::Selector;

use crate::flags::Which;

/// Bytes of a list of selectors, from a file or standard input.
const LIST_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Selectors of one command.
const SELECTORS_MAX: usize = 1_000_000;
/// Mistakes told one by one; the rest is only counted.
const MISTAKES_TOLD_MAX: usize = 20;

/// What is wrong with the selectors given.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    told: Vec<String>,
    more: usize,
}

impl Mistakes {
    fn add(&mut self, mistake: String) {
        if self.told.len() < MISTAKES_TOLD_MAX {
            self.told.push(mistake);
        } else {
            self.more += 1;
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told.join("\n"))?;
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

/// Reads, checks and normalises every selector; each is kept once.
pub(crate) fn gather(kind: &'static str, which: &Which) -> Result<Vec<String>, Mistakes> {
    let mut list = List { kind, good: Vec::new(), seen: HashSet::new(), mistakes: Mistakes::default() };
    let mut given = false;
    for (i, argument) in which.selectors.iter().enumerate() {
        given = true;
        if argument == "-" {
            if io::stdin().is_terminal() {
                crate::report::complain(
                    "Reading selectors from standard input, one a line; Ctrl-D ends the list.\n",
                );
            }
            list.lines("standard input", io::stdin().lock());
        } else {
            list.add(&format!("selector {}", i + 1), argument);
        }
    }
    if let Some(path) = &which.file {
        given = true;
        match std::fs::File::open(path) {
            Ok(file) => list.lines(&path.display().to_string(), io::BufReader::new(file)),
            Err(why) => list.mistakes.add(format!("{}: cannot be read: {why}", path.display())),
        }
    }
    if list.good.is_empty() && list.mistakes.told.is_empty() {
        list.mistakes.add(if given {
            format!("nothing to purge: the list of {kind} selectors is empty")
        } else {
            format!(
                "nothing to purge: give at least one {kind}, --file FILE, or - to read from standard input"
            )
        });
    }
    if list.mistakes.told.is_empty() { Ok(list.good) } else { Err(list.mistakes) }
}

struct List {
    kind: &'static str,
    good: Vec<String>,
    seen: HashSet<String>,
    mistakes: Mistakes,
}

impl List {
    fn lines(&mut self, name: &str, source: impl BufRead) {
        let mut source = source.take(LIST_BYTES_MAX);
        for (i, line) in source.by_ref().lines().enumerate() {
            match line {
                Ok(line) => {
                    let text = line.trim();
                    if !text.is_empty() && !text.starts_with('#') {
                        self.add(&format!("{name}:{}", i + 1), text);
                    }
                }
                Err(why) => {
                    self.mistakes.add(format!("{name}:{}: cannot be read: {why}", i + 1));
                    return;
                }
            }
        }
        if source.limit() == 0 {
            self.mistakes.add(format!("{name}: longer than {LIST_BYTES_MAX} bytes"));
        }
    }

    fn add(&mut self, place: &str, text: &str) {
        if self.good.len() >= SELECTORS_MAX {
            if self.mistakes.told.is_empty() {
                self.mistakes.add(format!(
                    "more than {SELECTORS_MAX} selectors; purge by tag, prefix or host instead"
                ));
            }
            return;
        }
        match Selector::parse(self.kind, text) {
            Ok(selector) => {
                let text = selector.text();
                if !self.seen.contains(text) {
                    self.seen.insert(text.to_owned());
                    self.good.push(text.to_owned());
                }
            }
            Err(why) => self.mistakes.add(format!("{place}: {why}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(kind: &'static str, selectors: &[&str]) -> Result<Vec<String>, String> {
        let selectors = selectors.iter().map(|s| (*s).to_owned()).collect();
        gather(kind, &Which { selectors, file: None }).map_err(|m| m.to_string())
    }

    #[test]
    fn selectors_are_normalised_and_kept_once() {
        let urls = given("url", &["HTTP://A/x", "http://a:80/x", "https://a"]).unwrap();
        assert_eq!(urls, ["http://a:80/x", "https://a:443/"]);
        assert_eq!(given("tag", &["b", "a", "b"]).unwrap(), ["b", "a"]);
    }

    #[test]
    fn all_mistakes_are_told_with_their_place() {
        let told = given("url", &["http://a/", "foo", "ftp://x"]).unwrap_err();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("selector 2: ") && lines[0].contains("\"foo\""), "{told}");
        assert!(lines[1].starts_with("selector 3: "), "{told}");
        let many = given("url", &["x"; 25]).unwrap_err();
        assert!(many.ends_with("and 5 more"), "{many}");
    }

    #[test]
    fn lists_may_hold_comments_and_blank_lines() {
        let mut list =
            List { kind: "tag", good: Vec::new(), seen: HashSet::new(), mistakes: Mistakes::default() };
        list.lines("list", "# a comment\n\n one \r\ntwo\none".as_bytes());
        assert_eq!(list.good, ["one", "two"]);
        list.lines("list", "good\nb ad\n".as_bytes());
        list.lines("list", &b"\xff\n"[..]);
        let told = list.mistakes.to_string();
        assert!(told.starts_with("list:2: ") && told.contains("\nlist:1: cannot be read"), "{told}");
    }

    #[test]
    fn nothing_is_not_everything() {
        assert!(given("tag", &[]).unwrap_err().contains("give at least one tag"));
        let empty = Which { selectors: Vec::new(), file: Some("/dev/null".into()) };
        assert!(gather("tag", &empty).unwrap_err().to_string().contains("is empty"));
        let none = Which { selectors: Vec::new(), file: Some("/none/list".into()) };
        assert!(gather("tag", &none).unwrap_err().to_string().contains("/none/list: cannot be read"));
    }
}
