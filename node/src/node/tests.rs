//! A node in this process: what only its insides show.

mod keys;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

const CONFIG: &str = r#"
[node]
name = "edge-1"
workers = 1
[cache]
disk = "0"
memory = "1MiB"
[[listener]]
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"
token_file = "admin.token"
[[site]]
name = "www"
hosts = ["www.example.com"]
[site.origin]
endpoints = ["http://127.0.0.1:1"]
"#;

struct Running {
    node: Option<Node>,
    folder: tempfile::TempDir,
}

impl Running {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("admin.token"), "0123456789abcdef\n");
        let file = folder.path().join("larder.toml");
        put(&file, config);
        let config = config::load(&file).unwrap().node;
        Self { node: Some(Node::start(config, &file, None).unwrap()), folder }
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    fn get(&self, host: &str) -> String {
        let mut stream = TcpStream::connect(self.node().addresses()[0]).unwrap();
        write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn scrape(&self) -> String {
        self.node().control.core.metrics.encode()
    }

    fn reload(&self, config: &str) -> Result<crate::admin::Reloaded, Vec<String>> {
        put(&self.folder.path().join("larder.toml"), config);
        threads::runtime().unwrap().block_on(reload::reload(&self.node().control))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.drain();
            node.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
fn put(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Names as they are scraped, each with its labels and their values.
type Families = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

fn scraped(text: &str) -> Families {
    let mut families = Families::new();
    let mut counters = BTreeSet::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            counters.insert((name.to_owned(), format!("{name}{suffix}")));
            families.entry(format!("{name}{suffix}")).or_default();
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let family =
            counters.iter().map(|(bare, full)| if name.starts_with(bare.as_str()) { full } else { "" });
        let family = family.max_by_key(|full| full.len()).unwrap();
        let known = families.get_mut(family).unwrap_or_else(|| panic!("{name} has no TYPE"));
        for (label, value) in labels.trim_end_matches('}').split(',').filter_map(|one| one.split_once('=')) {
            known.entry(label.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
    families
}

/// Rows of the tables: the metric's name and the words in code spans of its row.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `larder_"));
    let spans = rows.map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    spans.map(|spans| (spans[0].clone(), spans.into_iter().skip(1).collect())).collect()
}

#[test]
fn every_metric_is_in_the_manual_with_its_labels_and_the_other_way_round() {
    let running = Running::start(CONFIG);
    assert!(running.get("www.example.com").starts_with("HTTP/1.1 502"), "nobody listens at the origin");
    assert!(running.get("other.example.com").starts_with("HTTP/1.1 421"));
    let (scraped, documented) = (scraped(&running.scrape()), documented());
    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(names(scraped.keys().collect()), names(documented.keys().collect()), "scraped, documented");
    for (name, labels) in &scraped {
        for (label, values) in labels.iter().filter(|(label, _)| *label != "le") {
            assert!(
                documented[name].contains(label),
                "{name}: the label `{label}` is not in docs/metrics.md"
            );
            let open = ["site", "endpoint", "cert", "version"].contains(&label.as_str());
            for value in values.iter().filter(|_| !open) {
                assert!(documented[name].contains(value), "{name}: `{label}` has `{value}`");
            }
        }
    }
}

#[test]
fn a_site_that_a_reload_takes_away_is_forgotten() {
    let two = format!(
        "{CONFIG}[[site]]\nname = \"shop\"\nhosts = [\"shop.example.com\"]\n[site.origin]\nendpoints = [\"http://127.0.0.1:1\"]\n"
    );
    let running = Running::start(&two);
    assert!(running.scrape().contains("site=\"shop\""));
    assert_eq!(running.reload(CONFIG).unwrap().changed, ["site \"shop\": removed"]);
    assert!(!running.scrape().contains("site=\"shop\""));
    assert!(running.get("shop.example.com").starts_with("HTTP/1.1 421"));
}

#[test]
fn a_reload_that_cannot_open_its_log_changes_nothing() {
    let running = Running::start(CONFIG);
    let unwritable = running.folder.path().join("log");
    std::os::unix::fs::symlink("/nonexistent/folder/log", &unwritable).unwrap();
    let other = CONFIG.replace("www.example.com", "shop.example.com");
    let reasons = running.reload(&format!("{other}[log]\naccess = \"log\"\n")).unwrap_err();
    assert!(reasons[0].starts_with("log.access: "), "{reasons:?}");
    assert!(running.get("www.example.com").starts_with("HTTP/1.1 502"), "the old site");
    assert!(running.get("shop.example.com").starts_with("HTTP/1.1 421"), "not the new one");
    assert_eq!(running.reload(CONFIG).unwrap().changed, ["nothing is different"]);
}

#[test]
fn an_origin_keeps_its_connections_until_it_or_its_authorities_change() {
    let secure = CONFIG.replace("\"http://127.0.0.1:1\"]", "\"https://127.0.0.1:1\"]\nca_file = \"ca.pem\"");
    let authority = || rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    put(&ca, &authority());
    let secure = secure.replace("\"ca.pem\"", &format!("{:?}", ca.display().to_string()));
    let running = Running::start(&secure);
    let pool = || {
        let sites = running.node().control.workers[0].sites.load();
        Arc::clone(&sites.iter().next().unwrap().pool)
    };
    let first = pool();
    let warned = running.reload(&secure.replace("[node]", "[limits]\nidle_timeout = \"2m\"\n[node]"));
    assert_eq!(warned.unwrap().changed, ["limits.idle_timeout: 1m -> 2m"]);
    assert!(Arc::ptr_eq(&first, &pool()));
    put(&ca, &authority());
    assert!(running.reload(&secure).unwrap().changed[1].ends_with("changed content of ca_file"));
    assert!(!Arc::ptr_eq(&first, &pool()), "the same path, another content");
}

#[test]
fn warnings_of_a_reload_are_told() {
    let running = Running::start(CONFIG);
    let warned = running
        .reload(&CONFIG.replace("\"http://127.0.0.1:1\"]", "\"http://127.0.0.1:1\"]\nserver_name = \"a\""));
    let warnings = warned.unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("server_name: has no effect"), "{warnings:?}");
}

#[test]
fn a_start_that_fails_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("admin.token"), "0123456789abcdef\n");
    let file = folder.path().join("larder.toml");
    let listener = format!("[[listener]]\naddress = \"127.0.0.1:{port}\"\n[admin]");
    put(&file, &CONFIG.replace("[admin]", &listener));
    let config = config::load(&file).unwrap().node;
    let Err(error) = Node::start(config, &file, None) else { panic!("the port is taken") };
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(error.fix().unwrap().contains(&format!(":{port}")), "{:?}", error.fix());
}
