//! The edge server: flags and exit codes. 0 is well, 1 a failure while running, 2 usage or configuration.

mod cli;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use larder::config::{self, Loaded, Mistake, value};

use crate::cli::{Cli, Command};

/// Usage or configuration is wrong.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(options) => larder::demo::run(larder::demo::Options { port: options.port }),
        Command::Run(options) => match load(&options.config) {
            Ok(loaded) => larder::node::run(&options.config, loaded.node),
            Err(code) => code,
        },
        Command::Check(options) => check(&options.config),
        Command::Store(store) => {
            let (options, ask) = store.command.meant();
            larder::offline::run(&options.directory, options.json, &ask)
        }
        Command::Schema => schema(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "larder", &mut script);
            print(&script)
        }
    }
}

fn check(path: &Path) -> ExitCode {
    match load(path) {
        Ok(loaded) => print(summary(path, &loaded).as_bytes()),
        Err(code) => code,
    }
}

/// The configuration, with everything that is wrong with it told on stderr.
fn load(path: &Path) -> Result<Loaded, ExitCode> {
    match config::load(path) {
        Ok(loaded) => {
            tell("warning", &loaded.warnings);
            Ok(loaded)
        }
        Err(mistakes) => {
            tell("error", &mistakes.0);
            let (count, s) = (mistakes.0.len(), if mistakes.0.len() == 1 { "" } else { "s" });
            _ = writeln!(std::io::stderr(), "{count} mistake{s} in {}", path.display());
            Err(ExitCode::from(EXIT_USAGE))
        }
    }
}

fn tell(label: &str, mistakes: &[Mistake]) {
    let mut stderr = std::io::stderr().lock();
    let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    for mistake in mistakes {
        _ = writeln!(stderr, "{}", mistake.render(label, colour));
    }
}

fn summary(path: &Path, loaded: &Loaded) -> String {
    let node = &loaded.node;
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let mut text = format!("{}: OK", path.display());
    if !loaded.warnings.is_empty() {
        text.push_str(&format!(", {}", count(loaded.warnings.len(), "warning")));
    }
    text.push_str(&format!("\n  node      {}, {}\n", node.name, count(node.workers, "worker")));
    let disk = match node.cache.disk {
        0 => "nothing on disk".to_owned(),
        bytes => format!("{} on disk in {}", value::show_size(bytes), node.cache.directory.display()),
    };
    text.push_str(&format!("  cache     {} in memory, {disk}\n", value::show_size(node.cache.memory)));
    for listener in &node.listeners {
        let tls = if listener.tls { " with TLS" } else { "" };
        text.push_str(&format!("  listener  {}{tls}\n", listener.address));
    }
    for pair in &node.certificates {
        text.push_str(&format!("  cert      {}\n", pair.cert.display()));
    }
    match &node.admin {
        Some(admin) => text.push_str(&format!("  admin     {}\n", admin.address)),
        None => text.push_str("  admin     none: no health checks, metrics or purges\n"),
    }
    for site in &node.sites {
        let (hosts, endpoints) = (site.hosts.join(", "), count(site.origin.endpoints.len(), "endpoint"));
        text.push_str(&format!("  site      {}: {hosts}; {endpoints}\n", site.name));
    }
    text
}

fn schema() -> ExitCode {
    match serde_json::to_string_pretty(&config::schema::of::<config::file::File>()) {
        Ok(text) => print(format!("{text}\n").as_bytes()),
        Err(error) => fail(&format!("the schema cannot be written: {error}")),
    }
}

/// Data goes to stdout. A reader that has seen enough (`| head`) is no failure.
fn print(data: &[u8]) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(data).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => fail(&format!("stdout: {error}")),
        _ => ExitCode::SUCCESS,
    }
}

fn fail(what: &str) -> ExitCode {
    _ = writeln!(std::io::stderr(), "larder: {what}");
    ExitCode::FAILURE
}
