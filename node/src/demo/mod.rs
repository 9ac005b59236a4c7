//! `larder demo`: an origin with a small real site and a node before it, both in this process.

mod site;

use std::hash::{BuildHasher, RandomState};
use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Clock;
use crate::node::Node;
use crate::{config, tasks};
use site::Site;

/// The port people expect a development server on.
const PORT: u16 = 8080;
/// How many ports after it are tried.
const PORTS: u16 = 20;
/// The file of the admin token, in the demo's directory.
const TOKEN: &str = "admin.token";

/// What the command line says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The node's port; a free one from 8080 on where there is none given.
    pub port: Option<u16>,
}

/// Runs until Ctrl-C.
#[must_use]
pub fn run(options: Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(show(options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("larder demo: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn show(options: Options) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    // First, so that a Ctrl-C at any time removes the directory.
    let mut end = Ends::new().map_err(said)?;
    let directory = tempfile::Builder::new().prefix("larder-demo-").tempdir().map_err(said)?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(said)?;
    let origin = listener.local_addr().map_err(said)?;
    let port = match options.port {
        Some(port) => port,
        None => (PORT..PORT + PORTS)
            .find(|port| StdListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .ok_or("no port from 8080 to 8099 is free\n    fix: name one with --port")?,
    };
    let site = Site::new(Clock::system());
    tasks::spawn("demo origin", Arc::clone(&site).run(listener));

    let node = start(directory.path(), port, origin)?;
    let address = *node.addresses().first().ok_or("the demo's listener did not start")?;
    let nodes = directory.path().join("nodes.toml");
    let admin = node.admin_address().ok_or("the demo's admin listener did not start")?;
    put(
        &nodes,
        &format!("[[node]]\nname = \"demo\"\nadmin = \"http://{admin}\"\ntoken_file = \"{TOKEN}\"\n"),
    )
    .map_err(said)?;
    let mut stdout = std::io::stdout().lock();
    // Whoever reads the first lines only closes the pipe; the demo goes on.
    let _ = writeln!(stdout, "{}", invitation(&address.to_string(), &purge_command(), &nodes));
    drop(stdout);

    tokio::select! {
        () = end.come() => {}
        () = summary(&node, &site) => {}
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    eprintln!("stopping");
    node.drain();
    let mut joined = tokio::task::spawn_blocking(move || node.join());
    tokio::select! {
        joined = &mut joined => joined.map_err(|error| error.to_string()),
        // A second Ctrl-C: what is still being sent is cut.
        () = end.come() => Ok(()),
    }
}

/// The ways in which people end a demo: Ctrl-C, kill, closing the terminal.
struct Ends([Signal; 3]);

impl Ends {
    fn new() -> std::io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn come(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "three small files at start, before anything is served")]
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

fn start(directory: &Path, port: u16, origin: SocketAddr) -> Result<Node, String> {
    let (file, token) = (directory.join("larder.toml"), directory.join(TOKEN));
    put(&token, &format!("{:016x}\n", RandomState::new().hash_one(port)))
        .and_then(|()| std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)))
        .and_then(|()| put(&file, &configuration(directory, port, origin)))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let loaded = config::load(&file).map_err(|mistakes| mistakes.to_string())?;
    Node::start(loaded.node, &file, None).map_err(|error| match error.fix() {
        Some(fix) => format!("{error}\n    fix: {fix}"),
        None => error.to_string(),
    })
}

fn configuration(directory: &Path, port: u16, origin: SocketAddr) -> String {
    let cache = directory.join("cache");
    format!(
        r#"[node]
name = "demo"
[cache]
directory = "{}"
memory = "64MiB"
disk = "1GiB"
[[listener]]
address = "127.0.0.1:{port}"
[admin]
address = "127.0.0.1:0"
token_file = "{TOKEN}"
[[site]]
name = "demo"
hosts = ["*"]
[site.origin]
endpoints = ["http://{origin}"]
"#,
        cache.display()
    )
}

/// How to call `larder-purge`: as it lies beside this program, or by cargo.
fn purge_command() -> String {
    let beside = std::env::current_exe().ok().map(|larder| larder.with_file_name("larder-purge"));
    match beside.filter(|path| path.is_file()) {
        Some(path) => path.display().to_string(),
        None => "cargo run --release --bin larder-purge --".into(),
    }
}

fn invitation(address: &str, purge: &str, nodes: &Path) -> String {
    let (url, nodes) = (format!("http://{address}"), nodes.display());
    format!(
        r"Larder demo: {url}/  (Ctrl-C ends it; its cache goes with it)

Try in another terminal:
  1. curl -sD - -o /dev/null {url}/ | grep -i cache-status
       first:     cache-status: demo; fwd=uri-miss; fwd-status=200; ttl=59; stored
       again:     cache-status: demo; hit; ttl=58   (the seconds that are left)
  2. time curl -s {url}/slow
       first:     two seconds at the origin;  again: at once, the same text.  Ten at a time wait for one fetch.
  3. curl -s {url}/download | sha256sum
       each time: 2b21c70254a7439222f4659620c53f742a6542a79bafcd014fdcb8ac4e61cb8e   (200 MiB)
     curl -sr 8000000-8000007 {url}/download | od -An -tx1
       once it is stored, from the cache:  00 00 00 00 00 0f 42 40
  4. {purge} --nodes {nodes} tag home
       then 1. says fwd=uri-miss again: the origin is asked anew.
"
    )
}

/// One line, renewed each second, where someone can see it.
async fn summary(node: &Node, site: &Site) {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let seen = node.totals();
        let share = (seen.from_cache * 100).checked_div(seen.requests).unwrap_or(0);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        // Over the last line, cut off rather than wrapped in a narrow terminal.
        eprint!(
            "\r\x1b[K\x1b[?7l{} requests: {} hits ({share} %), {} to the origin; {} stored, {:.1} MiB in memory, {:.1} MiB on disk\x1b[?7h",
            seen.requests,
            seen.from_cache,
            site.asked(),
            seen.objects,
            mib(seen.bytes_memory),
            mib(seen.bytes_disk),
        );
        let _ = std::io::stderr().flush();
    }
}
