//! The configuration of a node in a case: the names of INTERFACE, and whatever a case adds.

use std::path::{Path, PathBuf};

use crate::origin::Origin;
use crate::tls::Pair;

/// How to start a node.
#[derive(Clone)]
pub struct Recipe {
    pub(crate) binary: Option<PathBuf>,
    name: String,
    workers: Option<u32>,
    memory: String,
    disk: String,
    directory: Option<PathBuf>,
    cache: String,
    log: String,
    top: String,
    sites: Vec<Site>,
    pub(crate) certificates: Vec<(String, String)>,
    pub(crate) environment: Vec<(String, String)>,
}

#[derive(Clone)]
struct Site {
    hosts: Vec<String>,
    endpoints: Vec<String>,
    own: String,
    origin: String,
    more: String,
}

/// Where the node of a recipe listens and lives.
pub(crate) struct Places<'a> {
    pub(crate) http: String,
    pub(crate) https: String,
    pub(crate) admin: String,
    pub(crate) folder: &'a Path,
}

impl Recipe {
    /// A node with a small memory and disk tier and one site for every host in front of `origin`.
    #[must_use]
    pub fn new(origin: &Origin) -> Self {
        Self::in_front_of(&[&origin.url()])
    }

    /// The same for endpoints by URL.
    #[must_use]
    pub fn in_front_of(endpoints: &[&str]) -> Self {
        let empty = Self {
            binary: None,
            name: "edge-1".into(),
            workers: None,
            memory: "16MiB".into(),
            disk: "256MiB".into(),
            directory: None,
            cache: String::new(),
            log: String::new(),
            top: String::new(),
            sites: Vec::new(),
            certificates: Vec::new(),
            environment: Vec::new(),
        };
        empty.site(&["*"], endpoints)
    }

    /// The binary of the package that a test belongs to (`CARGO_BIN_EXE_larder`).
    #[must_use]
    pub fn binary(mut self, path: &str) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Another name than `edge-1`.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// One worker, for cases that count connections: each worker keeps its own.
    #[must_use]
    pub fn one_worker(mut self) -> Self {
        self.workers = Some(1);
        self
    }

    /// The first endpoint of the first site.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.sites.first().and_then(|site| site.endpoints.first()).map_or("", String::as_str)
    }

    /// The sizes of the two tiers.
    #[must_use]
    pub fn tiers(mut self, memory: &str, disk: &str) -> Self {
        memory.clone_into(&mut self.memory);
        disk.clone_into(&mut self.disk);
        self
    }

    /// Another cache directory than one of the case.
    #[must_use]
    pub fn directory(mut self, path: &Path) -> Self {
        self.directory = Some(path.to_owned());
        self
    }

    /// Lines for `[cache]`.
    #[must_use]
    pub fn cache(mut self, lines: &str) -> Self {
        self.cache.push_str(&format!("{lines}\n"));
        self
    }

    /// The access log: a target (a file name is relative to the node's folder) and a format.
    #[must_use]
    pub fn access_log(mut self, target: &str, format: &str) -> Self {
        self.log = format!("access = \"{target}\"\nformat = \"{format}\"\n");
        self
    }

    /// Whole tables of their own, for example `[limits]`.
    #[must_use]
    pub fn table(mut self, lines: &str) -> Self {
        self.top.push_str(&format!("{lines}\n"));
        self
    }

    /// One more site.
    #[must_use]
    pub fn site(mut self, hosts: &[&str], endpoints: &[&str]) -> Self {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (hosts, endpoints) = (own(hosts), own(endpoints));
        self.sites.push(Site {
            hosts,
            endpoints,
            own: String::new(),
            origin: String::new(),
            more: String::new(),
        });
        self
    }

    /// The site for every host gives way to those that follow.
    #[must_use]
    pub fn without_sites(mut self) -> Self {
        self.sites.clear();
        self
    }

    /// Lines of the newest `[[site]]` itself.
    #[must_use]
    pub fn own(mut self, lines: &str) -> Self {
        if let Some(site) = self.sites.last_mut() {
            site.own.push_str(&format!("{lines}\n"));
        }
        self
    }

    /// Lines for `[site.origin]` of the newest site.
    #[must_use]
    pub fn origin(mut self, lines: &str) -> Self {
        if let Some(site) = self.sites.last_mut() {
            site.origin.push_str(&format!("{lines}\n"));
        }
        self
    }

    /// Tables of the newest site, for example `[site.cache]`.
    #[must_use]
    pub fn in_site(mut self, lines: &str) -> Self {
        if let Some(site) = self.sites.last_mut() {
            site.more.push_str(&format!("{lines}\n"));
        }
        self
    }

    /// A TLS listener with this certificate; more certificates by more calls.
    #[must_use]
    pub fn tls(mut self, pair: &Pair) -> Self {
        self.certificates.push((pair.cert.clone(), pair.key.clone()));
        self
    }

    /// An environment variable of the process.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The whole file.
    pub(crate) fn toml(&self, at: &Places<'_>) -> String {
        let directory = self.directory.clone().unwrap_or_else(|| at.folder.join("cache"));
        let workers = self.workers.map_or(String::new(), |count| format!("workers = {count}\n"));
        let mut text = format!(
            "[node]\nname = \"{}\"\n{workers}\n[cache]\ndirectory = {directory:?}\nmemory = \"{}\"\ndisk = \"{}\"\n{}\n\
             [[listener]]\naddress = \"{}\"\n\n[admin]\naddress = \"{}\"\ntoken_file = \"admin.token\"\n\n",
            self.name, self.memory, self.disk, self.cache, at.http, at.admin,
        );
        if !self.certificates.is_empty() {
            text.push_str(&format!("[[listener]]\naddress = \"{}\"\ntls = true\n\n", at.https));
        }
        for number in 0..self.certificates.len() {
            text.push_str(&format!(
                "[[certificate]]\ncert = \"cert-{number}.pem\"\nkey = \"key-{number}.pem\"\n\n"
            ));
        }
        if !self.log.is_empty() {
            text.push_str(&format!("[log]\n{}\n", self.log));
        }
        text.push_str(&self.top);
        for site in &self.sites {
            text.push_str(&format!(
                "[[site]]\nhosts = {:?}\n{}[site.origin]\nendpoints = {:?}\n{}{}\n",
                site.hosts, site.own, site.endpoints, site.origin, site.more
            ));
        }
        text
    }
}
