//! What is typed: refused with 2 before anything is sent, or understood.

use super::stage::{Fleet, command};
use super::{fine, good};
use crate::stage::Node;

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let (nodes, fleet) = fine(1);
    let rows: [(&[&str], &str); 16] = [
        (&[], "Usage"),
        (&["url"], "give at least one url"),
        (&["url", "foo"], "selector 1: not an absolute http or https URL: \"foo\""),
        (&["url", "http://a/", "/b", "http://c:99999/"], "selector 3: "),
        (&["prefix", "img/"], "selector 1: "),
        (&["host", "http://a"], "selector 1: "),
        (&["tag", "a b"], "selector 1: "),
        (&["tag", "--file", "/none/list"], "/none/list: cannot be read"),
        (&["tag", "-"], "is empty"),
        (&["ban", "x"], "unrecognized subcommand"),
        (&["all", "x"], "unexpected argument"),
        (&["all", "--timeout", "10"], "like 10s"),
        (&["all", "--timeout", "0s"], "more than nothing"),
        (&["all", "--wait", "some"], "all, quorum, none"),
        (&["all", "--id", "a b"], "--id"),
        (&["status", "--soft"], "not for status"),
    ];
    for (arguments, text) in rows {
        let said = fleet.run(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains(text), "{arguments:?}: {}", said.err);
    }
    assert_eq!(nodes[0].asked().len(), 0);
}

#[test]
fn a_bad_nodes_file_is_refused_with_line_and_fix() {
    let fleet =
        Fleet::written("[[node]]\nname = \"a\"\nadmin = \"localhost:1\"\ntoken_file = \"none\"\nport = 1\n");
    let said = fleet.run(&["all"]);
    assert_eq!(said.code, 2);
    for part in [
        "nodes.toml:3: node[0].admin: ",
        "nodes.toml:4: node[0].token_file: ",
        "nodes.toml:5: node[0].port: ",
    ] {
        assert!(said.err.contains(part), "{}", said.err);
    }
    let said = command("", &["--nodes", "/none/nodes.toml", "all"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("/none/nodes.toml: cannot be read"), "{}", said.err);
    let said = command("", &["all"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("LARDER_NODES"), "{}", said.err);
}

#[test]
fn selectors_come_from_arguments_a_file_and_standard_input() {
    let node = Node::new(&[good()]);
    let fleet = Fleet::new(&[node.address]);
    let list = fleet.write("list.txt", "# changed\nthree\n\nfour\n");
    let said = fleet.fed("two\ntwo\n", &["tag", "one", "-", "--file", list.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(node.asked()[0].body["selectors"], serde_json::json!(["one", "two", "three", "four"]));
    let said = fleet.fed("http://a/\nfoo\n", &["url", "-"]);
    assert_eq!(said.code, 2);
    assert!(said.err.contains("standard input:2: "), "{}", said.err);
    assert_eq!(node.asked().len(), 1);
}

#[test]
fn help_version_and_completions_need_no_nodes() {
    let help = command("", &["--help"]);
    assert_eq!(help.code, 0);
    for part in ["Examples:", "--dry-run", "--wait", "[[node]]", "Exit status"] {
        assert!(help.out.contains(part), "{part} in\n{}", help.out);
    }
    let version = command("", &["--version"]);
    assert_eq!(version.out, format!("larder-purge {}\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = command("", &["completions", shell]);
        assert_eq!(script.code, 0);
        assert!(script.out.contains("larder-purge"), "{shell}");
    }
}
