//! What users type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use larder::offline::Ask;

const EXAMPLES: &str = "\
Examples:
  larder demo                              see it work, without any file
  larder check --config edge.toml          every mistake with its line and its fix
  larder run --config edge.toml            the node
  larder store stat -d /var/lib/larder     what lies in a cache on disk
  larder schema > larder.schema.json       for an editor that completes TOML
  larder completions bash > /etc/bash_completion.d/larder

Signals of `run`: SIGTERM and SIGINT drain, SIGHUP reloads.
Exit codes: 0 all is well, 1 it failed while running, 2 usage or configuration.";

/// An edge cache you run yourself.
#[derive(Debug, Parser)]
#[command(name = "larder", version, about, after_help = EXAMPLES, propagate_version = true)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it at work: a small site, a node before it, and what to try
    Demo(Demo),
    /// Run the node
    #[command(after_help = "Examples:\n  larder run --config /etc/larder/edge.toml\n  \
                            kill -HUP PID     reload; a bad file is refused and the old one stays\n  \
                            kill -TERM PID    answer what is in flight, then end")]
    Run(ConfigFile),
    /// Check a configuration: every mistake with its line and its fix
    #[command(after_help = "Examples:\n  larder check --config edge.toml\n  \
                            larder check --config edge.toml && systemctl reload larder\n\n\
                            Exit codes: 0 it may be used, 2 it may not.")]
    Check(ConfigFile),
    /// Look at a cache on disk while no node runs with it
    Store(Store),
    /// Print the JSON schema of the configuration
    Schema,
    /// Print a completion script
    #[command(after_help = "Examples:\n  larder completions bash > /etc/bash_completion.d/larder\n  \
                            larder completions zsh > \"${fpath[1]}/_larder\"\n  \
                            larder completions fish > ~/.config/fish/completions/larder.fish")]
    Completions {
        /// The shell it is for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
#[command(after_help = "Examples:\n  larder store stat --directory /var/lib/larder\n  \
                        larder store ls -d /var/lib/larder --prefix https://www.example.com/ | sort -rn | head\n  \
                        larder store verify -d /var/lib/larder --json\n  \
                        larder store export -d /var/lib/larder --to /tmp/cache\n\n\
                        Exit codes: 0 all is well, 1 damage was found, 2 it could not be looked at.")]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Objects, bytes, ages and the largest sites
    Stat {
        #[command(flatten)]
        at: StoreDirectory,
        /// Sites that are named
        #[arg(long, value_name = "N", default_value_t = 10)]
        top: usize,
    },
    /// A line for each object: bytes, age, status, state, URL, variant
    Ls {
        #[command(flatten)]
        at: StoreDirectory,
        /// Only URLs that begin like this
        #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Compare every byte with its checksum
    Verify {
        #[command(flatten)]
        at: StoreDirectory,
    },
    /// Write bodies and heads as files
    Export {
        #[command(flatten)]
        at: StoreDirectory,
        /// Only URLs that begin like this
        #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
        prefix: String,
        /// Where to; new or empty
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct StoreDirectory {
    /// The cache.directory of the node
    #[arg(short, long, value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// JSON, a line each
    #[arg(long)]
    pub(crate) json: bool,
}

impl StoreCommand {
    /// Where, and what.
    pub(crate) fn meant(self) -> (StoreDirectory, Ask) {
        match self {
            Self::Stat { at, top } => (at, Ask::Stat { top }),
            Self::Ls { at, prefix } => (at, Ask::List { prefix }),
            Self::Verify { at } => (at, Ask::Verify),
            Self::Export { at, prefix, to } => (at, Ask::Export { prefix, to }),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  larder demo\n  larder demo --port 8090")]
pub(crate) struct Demo {
    /// Port of the node [default: the first free one from 8080]
    #[arg(short, long, value_name = "N")]
    pub(crate) port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_shows_examples() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        for word in ["demo", "run", "check", "store", "schema", "completions", "Examples:", "Exit codes:"] {
            assert!(help.contains(word), "{word} is missing from\n{help}");
        }
    }

    #[test]
    fn what_is_typed_is_understood() {
        for (line, understood) in [
            ("larder run --config edge.toml", true),
            ("larder check -c edge.toml", true),
            ("larder demo", true),
            ("larder demo --port 8090", true),
            ("larder schema", true),
            ("larder store stat --directory d --json", true),
            ("larder store ls -d d --prefix http://a/", true),
            ("larder store verify -d d", true),
            ("larder store export -d d", false),
            ("larder store stat", false),
            ("larder completions zsh", true),
            ("larder --version", false),
            ("larder", false),
            ("larder run", false),
            ("larder run edge.toml", false),
            ("larder demo --port 99999", false),
            ("larder completions tcsh", false),
        ] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).is_ok(), understood, "{line}");
        }
    }
}
