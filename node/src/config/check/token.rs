//! Checks of tokens: `admin.token_file` and `[[admin.token]]`.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::{Check, host};
use crate::config::file;
use crate::limits;
use crate::purge::{Kind, Scope, Token};

/// Characters below which a token is guessed too easily.
const TOKEN_CHARS_GOOD: usize = 16;

impl Check<'_> {
    /// The token in the file that `path` names.
    pub(super) fn token(&mut self, path: &str, written: Option<&str>, example: &str) -> Option<Arc<str>> {
        let (file, bytes) = self.required_file(path, written, example);
        let bytes = bytes?;
        let shown = file.display();
        let make = format!("head -c 24 /dev/urandom | base64 > {shown}; chmod 600 {shown}");
        let token = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            self.wrong(path, format!("{shown} is not one line of visible ASCII"), make);
            return None;
        }
        if token.len() < TOKEN_CHARS_GOOD {
            let what = format!("the token in {shown} is shorter than {TOKEN_CHARS_GOOD} characters");
            self.warn(path, what, make);
        }
        let mode = std::fs::metadata(&file).map_or(0, |data| data.permissions().mode());
        if mode & 0o077 != 0 {
            let what = format!("{shown} may be read or written by others (mode {:03o})", mode & 0o777);
            self.warn(path, what, format!("chmod 600 {shown}"));
        }
        Some(token.into())
    }

    /// The tokens with a scope; none is also the operator's, or another one's.
    pub(super) fn tokens(&mut self, written: &[file::Token], full: Option<&Arc<str>>) -> Vec<Token> {
        let mut seen: HashMap<Arc<str>, String> = HashMap::new();
        seen.extend(full.map(|token| (Arc::clone(token), "admin.token_file".to_owned())));
        let mut tokens = Vec::new();
        for (index, token) in written.iter().enumerate() {
            let path = format!("admin.token[{index}]");
            let scope = self.scope(&path, token);
            let Some(secret) = self.token(&format!("{path}.file"), token.file.as_deref(), "cms.token") else {
                continue;
            };
            if let Some(first) = seen.insert(Arc::clone(&secret), format!("{path}.file")) {
                let what = format!("holds the same token as {first}");
                self.wrong(
                    &format!("{path}.file"),
                    what,
                    "every token its own: head -c 24 /dev/urandom | base64",
                );
            }
            tokens.push(Token { secret, scope: Some(scope) });
        }
        tokens
    }

    fn scope(&mut self, path: &str, written: &file::Token) -> Scope {
        let name = written.name.clone().unwrap_or_default();
        if name.is_empty() || name.len() > limits::PURGE_TEXT_BYTES_MAX || name.contains(char::is_control) {
            let what =
                if written.name.is_none() { "is missing" } else { "is empty, too long or not printable" };
            self.wrong(
                &format!("{path}.name"),
                what,
                "name = \"cms\": who has it, for the history of purges",
            );
        }
        let mut hosts = Vec::new();
        for (index, text) in written.hosts.iter().flatten().enumerate() {
            match host::pattern(text) {
                Ok(host) => hosts.push(host),
                Err(unclear) => self.wrong(&format!("{path}.hosts[{index}]"), unclear.what, unclear.fix),
            }
        }
        let mut kinds = Vec::new();
        for (index, text) in written.kinds.iter().flatten().enumerate() {
            // Who may take purges back is whoever may do everything.
            let purges = || Kind::ALL.into_iter().filter(|kind| *kind != Kind::Undo);
            match purges().find(|kind| kind.as_str() == text) {
                Some(kind) => kinds.push(kind),
                None => {
                    let known = purges().map(Kind::as_str).collect::<Vec<_>>().join(", ");
                    let what = format!("{text:?} is no kind of purge");
                    self.wrong(&format!("{path}.kinds[{index}]"), what, format!("one of {known}"));
                }
            }
        }
        // An empty list says "none" where a missing one says "all"; a token for nothing is hardly meant.
        for (key, empty) in [
            ("hosts", written.hosts.as_ref().is_some_and(Vec::is_empty)),
            ("kinds", written.kinds.as_ref().is_some_and(Vec::is_empty)),
        ] {
            if empty {
                self.wrong(&format!("{path}.{key}"), "is empty", "leave it out to allow all of them");
            }
        }
        let (soft_only, rate) = (written.soft_only.unwrap_or(false), written.rate);
        let rate = rate.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
        Scope { name, hosts, kinds, soft_only, rate }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    /// What is wrong with a configuration whose `[admin]` has these tables.
    fn load(tables: &str) -> Result<Vec<Token>, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["admin.token", "cms.token", "deploy.token"] {
            #[expect(clippy::disallowed_methods, reason = "a file of the test")]
            std::fs::write(folder.path().join(name), format!("0123456789abcdef-{name}\n")).unwrap();
        }
        let text = format!(
            "[node]\nname = \"edge-1\"\n[cache]\ndisk = \"0\"\n[[listener]]\naddress = \"127.0.0.1:8080\"\n\
             [admin]\naddress = \"127.0.0.1:9901\"\ntoken_file = \"admin.token\"\n{tables}\n\
             [[site]]\nhosts = [\"*\"]\n[site.origin]\nendpoints = [\"http://127.0.0.1:9000\"]\n"
        );
        match config::parse(&folder.path().join(Path::new("edge.toml")), &text) {
            Ok(loaded) => Ok(loaded.node.admin.expect("there is one").tokens),
            Err(mistakes) => Err(mistakes.0.into_iter().map(|m| format!("{}: {}", m.path, m.what)).collect()),
        }
    }

    #[test]
    fn tokens_are_read_with_their_scopes() {
        let tokens = load(
            "[[admin.token]]\nname = \"cms\"\nfile = \"cms.token\"\nhosts = [\"A.example\", \"*.a.example\"]\n\
             kinds = [\"url\", \"tag\"]\nsoft_only = true\nrate = 10\n\
             [[admin.token]]\nname = \"deploy\"\nfile = \"deploy.token\"",
        )
        .unwrap();
        let scope = Scope {
            name: "cms".into(),
            hosts: vec!["a.example".into(), "*.a.example".into()],
            kinds: vec![Kind::Url, Kind::Tag],
            soft_only: true,
            rate: Some(10),
        };
        assert_eq!(tokens[0], Token { secret: "0123456789abcdef-cms.token".into(), scope: Some(scope) });
        let wide = Scope { name: "deploy".into(), ..Scope::default() };
        assert_eq!(tokens[1].scope, Some(wide));
        assert!(!format!("{tokens:?}").contains("0123456789"), "a token is never printed");
    }

    #[test]
    fn every_mistake_of_a_token_names_its_place() {
        let rows = [
            ("file = \"cms.token\"", "admin.token[0].name: is missing"),
            ("name = \"cms\"", "admin.token[0].file: is missing"),
            (
                "name = \"cms\"\nfile = \"admin.token\"",
                "admin.token[0].file: holds the same token as admin.token_file",
            ),
            (
                "name = \"cms\"\nfile = \"cms.token\"\nkinds = [\"ban\"]",
                "admin.token[0].kinds[0]: \"ban\" is no kind of purge",
            ),
            ("name = \"cms\"\nfile = \"cms.token\"\nkinds = []", "admin.token[0].kinds: is empty"),
            (
                "name = \"cms\"\nfile = \"cms.token\"\nhosts = [\"a/b\"]",
                "admin.token[0].hosts[0]: \"a/b\" has a path; a site is a whole host",
            ),
        ];
        for (lines, wanted) in rows {
            let found = load(&format!("[[admin.token]]\n{lines}")).unwrap_err();
            assert_eq!(found, [wanted], "{lines}");
        }
    }
}
