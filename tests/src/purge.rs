//! The operator: the real `larder-purge` command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::node::{Node, binary, write_token};

/// What the command said.
#[derive(Debug)]
pub struct Said {
    /// Exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Writes a nodes file for `nodes` (name and node) into `folder`.
///
/// # Panics
/// When the folder cannot be written.
#[must_use]
pub fn nodes_file(folder: &Path, nodes: &[(&str, &Node)]) -> PathBuf {
    write_token(&folder.join("admin.token"));
    let entry = |(name, node): &(&str, &Node)| {
        format!(
            "[[node]]\nname = \"{name}\"\nadmin = \"http://{}\"\ntoken_file = \"admin.token\"\n",
            node.admin()
        )
    };
    let path = folder.join("nodes.toml");
    std::fs::write(&path, nodes.iter().map(entry).collect::<String>()).expect("the folder of the case");
    path
}

/// Runs `larder-purge --nodes FILE ARGUMENTS`.
///
/// # Panics
/// When the binary was not built.
pub async fn run(nodes: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(binary("larder-purge"));
    command.arg("--nodes").arg(nodes).args(arguments).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("the larder-purge binary starts");
    Said {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
