//! `larder demo`: an origin with a small real site and a node before it, both in this process.

mod site;

use std::hash::{BuildHasher, RandomState};
use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::node::{Node, StartError};
use crate::{config, tasks};
use site::Site;

/// The port people expect a development server on.
const PORT: u16 = 8080;
/// How many ports after it are tried.
const PORTS: u16 = 20;

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
    let directory = tempfile::tempdir().map_err(said)?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(said)?;
    let origin = listener.local_addr().map_err(said)?;
    let port = match options.port {
        Some(port) => port,
        None => (PORT..PORT + PORTS)
            .find(|port| StdListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
            .ok_or("no free port from 8080 to 8099; name one with --port")?,
    };
    let site = Site::new(Clock::system());
    tasks::spawn("demo origin", Arc::clone(&site).run(listener));

    let file = directory.path().join("larder.toml");
    let node = start(directory.path(), &file, port, origin).map_err(|error| error.to_string())?;
    let admin = node.admin_address().ok_or("the demo's admin listener did not start")?;
    let nodes = directory.path().join("nodes.toml");
    let text =
        format!("[[node]]\nname = \"demo\"\nadmin = \"http://{admin}\"\ntoken_file = \"admin.token\"\n");
    put(&nodes, &text).map_err(said)?;
    println!("{}", invitation(port, &nodes));

    tokio::select! {
        end = tokio::signal::ctrl_c() => end.map_err(said)?,
        () = summary(&node, &site) => {}
    }
    eprintln!("\rstopping");
    node.drain();
    tokio::task::spawn_blocking(move || node.join()).await.map_err(|error| error.to_string())?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "three small files at start, before anything is served")]
fn put(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

fn start(directory: &Path, file: &Path, port: u16, origin: SocketAddr) -> Result<Node, StartError> {
    use std::os::unix::fs::PermissionsExt;
    let token = directory.join("admin.token");
    let written = put(&token, &format!("{:016x}\n", RandomState::new().hash_one(port)))
        .and_then(|()| std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)))
        .and_then(|()| put(file, &configuration(directory, port, origin)));
    written.map_err(|error| StartError::Other(error.to_string()))?;
    let loaded = config::load(file).map_err(|mistakes| StartError::Other(mistakes.to_string()))?;
    Node::start(loaded.node, file)
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
token_file = "admin.token"
[[site]]
name = "demo"
hosts = ["*"]
[site.origin]
endpoints = ["http://{origin}"]
"#,
        cache.display()
    )
}

fn invitation(port: u16, nodes: &Path) -> String {
    let nodes = nodes.display();
    format!(
        r"Larder demo: http://127.0.0.1:{port}/  (Ctrl-C ends it; the cache goes with it)

Try:
  1. curl -si http://127.0.0.1:{port}/ | grep -i cache-status
       first:  demo; fwd=uri-miss; fwd-status=200; ttl=60; stored
       again:  demo; hit; ttl=...
  2. time curl -s http://127.0.0.1:{port}/slow
       first:  two seconds at the origin; again: at once. Ten at a time wait for one fetch.
  3. curl -s http://127.0.0.1:{port}/download | sha256sum ; curl -sr 1000-1009 http://127.0.0.1:{port}/download | xxd
       200 MiB stored while it streams; then any range from the disk.
  4. larder-purge --nodes {nodes} tag demo
       then 1. again: fwd=uri-miss, the origin is asked anew."
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
        eprint!(
            "\r{} requests, {} from the cache ({share} %), {} at the origin, {} objects, {} KiB in memory, {} KiB on disk  ",
            seen.requests,
            seen.from_cache,
            site.asked(),
            seen.objects,
            seen.bytes_memory / 1024,
            seen.bytes_disk / 1024,
        );
        let _ = std::io::stderr().flush();
    }
}
