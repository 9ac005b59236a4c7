//! `larder check`, `schema`, `--help`: what a person or a script types first.

use std::path::Path;
use std::process::{Command, Output};

use crate::LARDER;

fn larder(arguments: &[&str]) -> Output {
    Command::new(LARDER).args(arguments).output().expect("the binary starts")
}

fn check(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("larder.toml");
    larder_tests::write(&path, text);
    larder_tests::write(&folder.path().join("admin.token"), "secret");
    let output = larder(&["check", "--config", &path.display().to_string()]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

const SHORTEST: &str = r#"
[node]
name = "edge-1"
[cache]
directory = "cache"
[[listener]]
address = "127.0.0.1:8080"
[[site]]
hosts = ["*"]
[site.origin]
endpoints = ["http://127.0.0.1:9000"]
"#;

#[test]
fn a_good_file_is_good() {
    let (code, said) = check(SHORTEST);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let bad = SHORTEST
        .replace("127.0.0.1:8080", "nonsense")
        .replace("[\"http://127.0.0.1:9000\"]", "[]")
        .replace("directory = \"cache\"", "directory = \"cache\"\nmemory = \"lots\"\ncolour = 1");
    let (code, said) = check(&bad);
    assert_eq!(code, Some(2), "{said}");
    for wanted in ["larder.toml", "nonsense", "lots", "colour", "endpoints", "site"] {
        assert!(said.contains(wanted), "{wanted} is missing:\n{said}");
    }
    let line = bad.lines().position(|line| line.contains("nonsense")).expect("it is there") + 1;
    assert!(said.contains(&format!(":{line}")), "line {line} is missing:\n{said}");
}

#[test]
fn a_file_that_is_no_toml_or_not_there_is_told() {
    let (code, said) = check("[node\nname=");
    assert_eq!(code, Some(2), "{said}");
    let output = larder(&["check", "--config", "/nonexistent/larder.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/larder.toml"));
}

#[test]
fn run_refuses_a_bad_file_with_exit_two() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("larder.toml");
    larder_tests::write(&path, "[node]\nnam = \"x\"\n");
    let output = larder(&["run", "--config", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nam"));
    assert!(output.stdout.is_empty(), "diagnostics belong on stderr");
}

#[test]
fn help_version_schema_and_completions_are_there() {
    for (arguments, wanted) in [
        (&["--help"][..], "larder"),
        (&["--version"][..], env!("CARGO_PKG_VERSION")),
        (&["run", "--help"][..], "--config"),
        (&["schema"][..], "\"properties\""),
        (&["completions", "bash"][..], "larder"),
    ] {
        let output = larder(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(wanted), "{arguments:?}");
    }
    assert_eq!(larder(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn every_file_an_operator_copies_is_good() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut count = 0;
    for entry in std::fs::read_dir(configs).expect("configs/").flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        if !text.contains("[[site]]") {
            continue;
        }
        count += 1;
        let output = larder(&["check", "--config", &entry.path().display().to_string()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Certificates and tokens are the operator's own; everything else must be right.
        let real = said.lines().any(|line| line.contains("unknown") || line.contains("expected"));
        assert!(!real, "{}: {said}", entry.path().display());
    }
    assert!(count > 0, "no configuration in configs/");
}
