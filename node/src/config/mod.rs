//! The configuration: as written (`file`), held against its schema (`walk`), checked (`check`), as meant (here).
//!
//! Each part of the node owns its own `Config`; this module composes them.

mod check;
pub mod file;
pub mod mistake;
pub mod reload;
pub mod schema;
mod space;
pub mod value;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::de::DeTable;
use tracing::level_filters::LevelFilter;

pub use larder_store::Config as Cache;
pub use mistake::{Mistake, Mistakes};

use mistake::Lines;

use crate::{access_log, limits, listener, purge, route};

/// A node's configuration, as meant: checked, with all defaults filled in and all paths absolute or relative to the
/// working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name in Cache-Status, Via and CDN-Loop.
    pub name: String,
    /// Worker threads.
    pub workers: usize,
    /// The cache.
    pub cache: Cache,
    /// Addresses clients connect to; at least one.
    pub listeners: Vec<listener::Config>,
    /// What all listeners together allow.
    pub limits: listener::Limits,
    /// Certificates of the listeners with TLS.
    pub certificates: Vec<listener::Certificate>,
    /// The operator's listener, if there is one.
    pub admin: Option<AdminConfig>,
    /// The access log.
    pub log: access_log::Config,
    /// What the node says of itself on stderr.
    pub log_level: LevelFilter,
    /// The other nodes, if there are some.
    pub fleet: Option<purge::fleet::Config>,
    /// The sites; at least one.
    pub sites: Vec<route::SiteConfig>,
    /// Hashes of the certificates it refers to: the same path may have another content at the next reload.
    pub contents: BTreeMap<PathBuf, u64>,
}

impl Node {
    /// Whether the site `name` goes to the same origin as `before`, believing the same certificates.
    #[must_use]
    pub fn keeps_origin_of(&self, before: &Self, name: &str) -> bool {
        let origin = |node: &Self| {
            let site = node.sites.iter().find(|site| site.name == name)?;
            let authorities = site.origin.ca_file.as_ref().and_then(|file| node.contents.get(file).copied());
            Some((site.origin.clone(), authorities))
        };
        origin(before).is_some_and(|before| origin(self) == Some(before))
    }

    /// Whether clients see the same certificates as `before`.
    #[must_use]
    pub fn keeps_certificates_of(&self, before: &Self) -> bool {
        let same =
            |pair: &listener::Certificate| before.contents.get(&pair.cert) == self.contents.get(&pair.cert);
        self.certificates == before.certificates && self.certificates.iter().all(same)
    }
}

/// The operator's listener.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminConfig {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// What `Authorization: Bearer` must carry.
    pub token: Arc<str>,
    /// Tokens that reach less far.
    pub tokens: Vec<purge::Token>,
}

impl AdminConfig {
    /// Every token, the operator's first.
    #[must_use]
    pub fn all_tokens(&self) -> Vec<purge::Token> {
        let full = purge::Token { secret: Arc::clone(&self.token), scope: None };
        std::iter::once(full).chain(self.tokens.iter().cloned()).collect()
    }
}

impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminConfig")
            .field("address", &self.address)
            .field("token", &"(secret)")
            .field("tokens", &self.tokens)
            .finish()
    }
}

/// A configuration that may be used, and what its author should still hear.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub node: Node,
    /// Not wrong, but hardly meant: with place, path and advice.
    pub warnings: Vec<Mistake>,
}

/// Reads and checks the file at `path` with everything it refers to. Blocks on the disk: not for a worker.
///
/// # Errors
/// Everything that is wrong, each with its place and its fix. Errors of syntax come alone, because what a file means
/// is unknown as long as they are there.
pub fn load(path: &Path) -> Result<Loaded, Mistakes> {
    parse(path, &read(path)?)
}

/// Checks `text` as if it stood in the file at `path`.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: &str) -> Result<Loaded, Mistakes> {
    let lines = Lines::new(text);
    let (mut table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(told(path, errors.iter().map(|error| syntax(path, &lines, error)).collect()));
    }
    let places = walk::Places::find(path, &lines, table.get_ref());
    let mut pruned = walk::prune(table.get_mut(), &schema::of::<file::File>(), &places);
    let written = match file::File::deserialize(toml::Deserializer::from(table)) {
        Ok(written) => written,
        Err(error) => {
            pruned.mistakes.push(syntax(path, &lines, &error));
            return Err(told(path, pruned.mistakes));
        }
    };
    let base = path.parent().unwrap_or(Path::new(""));
    let verdict = check::check(&written, base, &places, pruned.silent);
    let mistakes: Vec<_> = pruned.mistakes.into_iter().chain(verdict.mistakes).collect();
    if mistakes.is_empty() {
        Ok(Loaded { node: verdict.node, warnings: told(path, verdict.warnings).0 })
    } else {
        Err(told(path, mistakes))
    }
}

fn read(path: &Path) -> Result<String, Mistakes> {
    let unreadable = |error: std::io::Error| {
        let fix = match error.kind() {
            std::io::ErrorKind::NotFound => "give the file with --config FILE",
            std::io::ErrorKind::PermissionDenied => "let the user that runs larder read it",
            _ => "",
        };
        Mistakes::whole_file(path, format!("cannot be read: {error}"), fix)
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(limits::CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > limits::CONFIG_BYTES_MAX {
        let most = value::show_size(limits::CONFIG_BYTES_MAX);
        return Err(Mistakes::whole_file(path, format!("is larger than {most}"), "is it the right file?"));
    }
    String::from_utf8(bytes).map_err(|_| Mistakes::whole_file(path, "is not UTF-8 text", "save it as UTF-8"))
}

fn syntax(path: &Path, lines: &Lines<'_>, error: &toml::de::Error) -> Mistake {
    Mistake {
        file: path.to_owned(),
        place: error.span().map(|span| lines.place(span.start)),
        path: String::new(),
        what: error.message().replace('\n', "; "),
        fix: String::new(),
    }
}

/// In the order of the file, and not more than anyone reads.
fn told(path: &Path, mut mistakes: Vec<Mistake>) -> Mistakes {
    mistakes.sort_by_key(|mistake| mistake.place);
    let more = mistakes.len().saturating_sub(limits::CONFIG_MISTAKES_MAX);
    if more > 0 {
        mistakes.truncate(limits::CONFIG_MISTAKES_MAX);
        mistakes.extend(Mistakes::whole_file(path, format!("{more} more mistakes"), "mend these first").0);
    }
    Mistakes(mistakes)
}

#[cfg(test)]
mod tests;
