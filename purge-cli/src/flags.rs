//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  larder-purge --nodes nodes.toml url https://www.example.com/news
  larder-purge --nodes nodes.toml tag article-42 frontpage --soft
  larder-purge --nodes nodes.toml prefix https://www.example.com/img/ --dry-run
  larder-purge --nodes nodes.toml host www.example.com --reason 'new release'
  larder-purge --nodes nodes.toml url --from changed-urls.txt --json
  generate-urls | larder-purge --nodes nodes.toml url -
  larder-purge --nodes nodes.toml regex '^https://www\\.example\\.com/img/.*\\.png$'
  larder-purge --nodes nodes.toml all --soft --wait quorum
  larder-purge --nodes nodes.toml log --limit 5
  larder-purge --nodes nodes.toml undo 3f0c8f0e-8a52-4d67-9d0b-6a6a52b1c7f1
  larder-purge --nodes nodes.toml status

The nodes file:
  [[node]]
  name = \"edge-1\"
  admin = \"http://127.0.0.1:9901\"     # or https://
  token_file = \"admin.token\"          # relative to the nodes file
  # ca_file = \"ca.pem\"                # trust this authority for https://

Exit status: 0 every node (or the asked quorum) confirmed; 1 some did not; 2 usage or configuration.";

/// Purges the caches of all nodes of a Larder fleet with one command.
#[derive(Debug, Parser)]
#[command(name = "larder-purge", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Flags {
    /// The nodes of the fleet, a TOML file; without it the environment variable LARDER_NODES is asked.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) nodes: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: How,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to purge and how to tell.
#[derive(Debug, Clone, Args)]
pub(crate) struct How {
    /// Mark as stale instead of removing: may be revalidated, or served while that is done.
    #[arg(long, global = true)]
    pub(crate) soft: bool,
    /// Only count what would be purged on each node.
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// One JSON object a line for each node, then a summary.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Time for everything, retries included: 500ms, 10s, 2m.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// How many nodes must confirm for exit status 0.
    #[arg(long, global = true, value_name = "HOW MANY", default_value = "all")]
    pub(crate) wait: Wait,
    /// Why, for the history of each node.
    #[arg(long, global = true, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Who, for the history of each node; USER@HOST by default.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) author: Option<String>,
    /// Send an earlier purge again: a node that has seen this id does nothing twice.
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) id: Option<String>,
}

/// How many nodes must confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// Every node.
    All,
    /// More than half of the nodes.
    Quorum,
    /// Send once to each node and wait for none of them longer than two seconds.
    None,
}

impl Wait {
    /// The spelling of the flag.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Quorum => "quorum",
            Self::None => "none",
        }
    }

    /// Confirmations needed among `nodes`.
    pub(crate) const fn needs(self, nodes: usize) -> usize {
        match self {
            Self::All => nodes,
            Self::Quorum => nodes / 2 + 1,
            Self::None => 0,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Purge single URLs, all variants of each.
    Url(Which),
    /// Purge everything with one of these tags (Surrogate-Key, Cache-Tag, Cache-Groups).
    Tag(Which),
    /// Purge every URL that starts so, scheme and host included.
    Prefix(Which),
    /// Purge everything of these hosts.
    Host(Which),
    /// Purge every URL in which one of these regular expressions finds something.
    Regex(Which),
    /// Purge everything.
    All,
    /// Take purges back, as long as the undo_window of each node allows; what was fetched since stays.
    Undo {
        /// The ids of the purges, as `log` shows them.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Show the latest purges of each node, the newest first.
    Log {
        /// How many of each node, 1 to 1000.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Ask each node for reachability, version, purge position, objects and bytes.
    Status,
    /// Print a completion script for a shell.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: Shell,
    },
    /// Print the manual page: larder-purge man | man -l -
    Man,
}

/// Where the selectors come from.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The selectors; `-` reads more of them from standard input, one a line.
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// Read more selectors from a file, one a line; empty lines and lines that start with # do not count.
    #[arg(long, value_name = "FILE", visible_alias = "from")]
    pub(crate) file: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a whole number with ms, s, m or h, like 10s".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| "write a whole number with ms, s, m or h, like 10s".to_owned())?;
    match number.checked_mul(ms) {
        Some(0) => Err("must be more than nothing".to_owned()),
        Some(ms) if ms <= 24 * 3_600_000 => Ok(Duration::from_millis(ms)),
        _ => Err("at most 24h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Flags::command().debug_assert();
    }

    #[test]
    fn durations() {
        let good = [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)];
        for (text, ms) in good {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "10",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "25h",
            "99999999999999999999s",
            "18446744073709551615h",
            "1 s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn confirmations_needed() {
        for (nodes, quorum) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            assert_eq!(Wait::Quorum.needs(nodes), quorum);
            assert_eq!(Wait::All.needs(nodes), nodes);
            assert_eq!(Wait::None.needs(nodes), 0);
        }
    }
}
