//! The real command against scripted nodes.

mod input;
#[expect(clippy::unwrap_used, reason = "a stage that cannot be set up is a failed test")]
mod stage;
mod tls;

use std::time::Duration;

use serde_json::{Value, json};
use stage::{Do, Fleet, Node, Running, nobody};

fn good() -> Do {
    Do::Receipt(json!({}))
}

fn fine(count: usize) -> (Vec<Node>, Fleet) {
    let nodes: Vec<Node> = (0..count).map(|_| Node::new(&[good()])).collect();
    let addresses: Vec<_> = nodes.iter().map(|n| n.address).collect();
    (nodes, Fleet::new(&addresses))
}

#[test]
fn every_node_gets_the_same_order_and_confirms() {
    let (nodes, fleet) = fine(2);
    let said = fleet.run(&["url", "HTTP://A.example/x", "--soft", "--reason", "a test"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(said.row("NODE"), ["NODE", "OUTCOME", "SEQUENCE", "OBJECTS", "BYTES", "TIME"]);
    for name in ["edge-1", "edge-2"] {
        assert_eq!(said.row(name)[..5], [name, "expired", "1", "-", "-"]);
    }
    let asked = nodes[0].asked();
    assert_eq!((asked.len(), asked[0].line.as_str()), (1, "POST /purge HTTP/1.1"));
    let id = asked[0].body["id"].clone();
    let expected = json!({
        "kind": "url", "selectors": ["http://a.example:80/x"], "soft": true, "dry_run": false, "id": id,
        "author": asked[0].body["author"], "reason": "a test",
    });
    assert!(expected["author"].as_str().unwrap_or_default().starts_with("olga"), "{expected}");
    assert_eq!(asked[0].body, expected);
    assert_eq!(nodes[1].asked()[0].body, expected);
}

#[test]
fn an_undo_is_an_order_with_an_id_of_its_own() {
    let (nodes, fleet) = fine(1);
    let said = fleet.run(&["undo", "a-1.1", "a-1.2"]);
    assert_eq!((said.code, said.row("edge-1")[1].as_str()), (0, "undone"), "{said:?}");
    let bodies: Vec<_> = nodes[0].asked().iter().map(|a| a.body.clone()).collect();
    assert_eq!((&bodies[0]["kind"], &bodies[0]["selectors"]), (&json!("undo"), &json!(["a-1.1"])));
    assert_eq!(bodies[1]["selectors"], json!(["a-1.2"]));
    assert_ne!(bodies[0]["id"], bodies[1]["id"]);
    let late = Node::new(&[Do::Say(409, json!({ "error": "too late", "hint": "purge again" }).to_string())]);
    let said = Fleet::new(&[late.address]).run(&["undo", "a"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("edge-1: too late (409)") && said.err.contains("next: purge again"),
        "{}",
        said.err
    );
    assert_eq!(fleet.run(&["undo"]).code, 2);
    assert_eq!(fleet.run(&["undo", "a", "--soft"]).code, 2);
}

#[test]
fn the_log_shows_what_each_node_remembers() {
    let line = json!({ "sequence": 7, "id": "i-7", "time": "2026-11-23T08:00:00Z", "author": "ann@ci", "reason": null,
        "kind": "regex", "soft": true, "selectors": ["/img/", "/css/"], "undone_by": null, "undoable_seconds": 42 });
    let told = json!({ "node": "edge-1", "sequence": 7, "purges": [line], "more": false }).to_string();
    let node = Node::new(&[Do::Say(200, told)]);
    let fleet = Fleet::new(&[node.address, nobody()]);
    let said = fleet.run(&["log", "--limit", "5", "--timeout", "300ms"]);
    assert_eq!(said.code, 1, "{said:?}");
    let row = said.row("edge-1").join(" ");
    assert_eq!(row, "edge-1 7 2026-11-23T08:00:00Z regex soft /img/ (+1) ann@ci 42 s left i-7 -");
    assert_eq!(said.row("edge-2")[1], "unreachable");
    assert_eq!(node.asked()[0].line, "GET /purges?limit=5 HTTP/1.1");
    let said = fleet.run(&["log", "--json", "--timeout", "300ms"]);
    let first: Value = serde_json::from_str(said.out.lines().next().unwrap_or_default()).unwrap_or_default();
    assert_eq!(
        (&first["type"], &first["node"], &first["id"]),
        (&json!("purge"), &json!("edge-1"), &json!("i-7"))
    );
    assert_eq!(fleet.run(&["log", "--limit", "0"]).code, 2);
}

#[test]
fn two_commands_have_two_ids() {
    let (nodes, fleet) = fine(1);
    for _ in 0..2 {
        assert_eq!(fleet.run(&["all"]).code, 0);
    }
    let ids = nodes[0].ids();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(nodes[0].asked()[0].body["selectors"], json!([]));
}

#[test]
fn a_node_that_is_down_is_named_with_what_to_type_next() {
    let node = Node::new(&[good()]);
    let fleet = Fleet::new(&[node.address, nobody()]);
    let said = fleet.run(&["tag", "it's news", "x", "--timeout", "700ms"]);
    assert_eq!(said.code, 2, "a tag has no spaces");
    let said = fleet.run(&["tag", "it's", "x", "--timeout", "700ms"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(said.row("edge-1")[1], "purged");
    assert_eq!(said.row("edge-2")[1..5], ["unreachable", "-", "-", "-"]);
    assert!(said.err.contains("edge-2: no connection: Connection refused"), "{}", said.err);
    assert!(said.err.contains("1 of 2 nodes confirmed, 2 needed (--wait all)"), "{}", said.err);
    assert!(
        said.err.contains(&format!("larder-purge --nodes {} status", fleet.file.display())),
        "{}",
        said.err
    );
    let again = format!(
        "larder-purge --id {} --nodes {} tag 'it'\\''s' x --timeout 700ms\n",
        node.ids()[0],
        fleet.file.display()
    );
    assert!(said.err.contains(&again), "{}", said.err);
    let asked_to_the_end = Duration::from_millis(600)..Duration::from_secs(5);
    assert!(asked_to_the_end.contains(&said.time), "{:?}", said.time);
}

#[test]
fn the_same_purge_can_be_sent_again() {
    let node = Node::new(&[Do::Receipt(json!({ "repeated": true, "sequence": 9 }))]);
    let said = Fleet::new(&[node.address]).run(&["all", "--id", "abc-1"]);
    assert_eq!(said.code, 0);
    assert_eq!(said.row("edge-1")[1..4], ["done", "before", "9"]);
    assert_eq!(node.ids(), ["abc-1"]);
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_id() {
    let lost = Node::new(&[Do::Close, Do::Receipt(json!({ "repeated": true }))]);
    let busy = Node::new(&[
        Do::Say(503, json!({ "error": "journal" }).to_string()),
        Do::Say(502, String::new()),
        good(),
    ]);
    let said = Fleet::new(&[lost.address, busy.address]).run(&["tag", "x"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    assert_eq!(said.row("edge-1")[1], "purged", "it was this command that did it");
    for node in [&lost, &busy] {
        let ids = node.ids();
        assert!(ids.len() >= 2 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
    assert_eq!((lost.asked().len(), busy.asked().len()), (2, 3));
}

#[test]
fn an_answer_that_takes_too_long_is_asked_for_again() {
    let slow = Node::new(&[Do::Hold, good()]);
    let said = Fleet::new(&[slow.address]).run(&["tag", "x", "--timeout", "3s"]);
    assert_eq!(said.code, 0, "{said:?}");
    let ids = slow.ids();
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
}

#[test]
fn a_node_that_never_answers_costs_the_timeout_and_no_more() {
    let (silent, node) = (Node::new(&[Do::Hold]), Node::new(&[good()]));
    let said = Fleet::new(&[silent.address, node.address]).run(&["tag", "x", "--timeout", "1200ms"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.row("edge-1")[1], "silent");
    assert_eq!(said.row("edge-2")[1], "purged");
    assert!(
        said.time >= Duration::from_millis(1000) && said.time < Duration::from_secs(6),
        "{:?}",
        said.time
    );
}

#[test]
fn what_would_be_refused_again_is_not_tried_again() {
    let refusal = json!({ "error": "selectors[0]: bad", "hint": "write it well" }).to_string();
    let rows = [
        (Do::Say(401, String::new()), "wrong-token", "admin.token"),
        (Do::Say(403, String::new()), "wrong-token", "admin.token"),
        (Do::Say(400, refusal), "refused", "write it well"),
        (Do::Say(404, "<html>".to_owned()), "strange", "[admin] address"),
        (Do::Say(301, String::new()), "strange", "[admin] address"),
        (Do::Say(200, "ok".to_owned()), "strange", "[admin] address"),
        (Do::Receipt(json!({ "id": "another" })), "strange", "[admin] address"),
        (Do::Receipt(json!({ "dry_run": true })), "strange", "[admin] address"),
        (Do::Receipt(json!({ "sequence": null })), "strange", "[admin] address"),
    ];
    for (what, word, next) in rows {
        let node = Node::new(std::slice::from_ref(&what));
        let said = Fleet::new(&[node.address]).run(&["tag", "x"]);
        assert_eq!(said.code, 1, "{what:?}");
        assert_eq!(said.row("edge-1")[1], word, "{what:?}");
        assert!(said.err.contains(next), "{what:?}: {}", said.err);
        assert_eq!(node.asked().len(), 1, "{what:?}");
    }
}

#[test]
fn a_wrong_token_is_told_with_the_file_it_stands_in() {
    let (node, fleet) = fine(1);
    let path = fleet.write("admin.token", "other");
    let said = fleet.run(&["all"]);
    assert_eq!((said.code, node[0].asked().len()), (1, 1));
    let file = path.display();
    assert!(said.err.contains("(401)") && said.err.contains(&format!("into {file}")), "{}", said.err);
    assert!(!said.err.contains("other"), "a token is never printed: {}", said.err);
}

#[test]
fn a_quorum_is_more_than_half() {
    let up = [Node::new(&[good()]), Node::new(&[good()])];
    let most = Fleet::new(&[up[0].address, up[1].address, nobody()]);
    let said = most.run(&["all", "--wait", "quorum", "--timeout", "900ms"]);
    assert_eq!((said.code, said.row("edge-3")[1].as_str()), (0, "unreachable"), "{said:?}");
    assert!(said.err.contains("2 of 3 nodes confirmed, 2 needed (--wait quorum)"), "{}", said.err);
    let few = Fleet::new(&[up[0].address, nobody(), nobody()]);
    assert_eq!(few.run(&["all", "--wait", "quorum", "--timeout", "300ms"]).code, 1);
    let half = Fleet::new(&[up[0].address, nobody()]);
    assert_eq!(half.run(&["all", "--wait", "quorum", "--timeout", "300ms"]).code, 1);
}

#[test]
fn with_a_quorum_a_silent_node_does_not_cost_the_timeout() {
    let nodes = [Node::new(&[good()]), Node::new(&[good()]), Node::new(&[Do::Hold])];
    let said = Fleet::new(&nodes.each_ref().map(|n| n.address)).run(&[
        "all",
        "--wait",
        "quorum",
        "--timeout",
        "60s",
    ]);
    assert_eq!((said.code, said.row("edge-3")[1].as_str()), (0, "unconfirmed"), "{said:?}");
    assert!(said.time < Duration::from_secs(20), "{:?}", said.time);
}

#[test]
fn wait_none_sends_once_and_is_content() {
    let node = Node::new(&[Do::Close, good()]);
    let said = Fleet::new(&[node.address, nobody()]).run(&["all", "--wait", "none"]);
    assert_eq!((said.code, node.asked().len()), (0, 1), "{said:?}");
}

#[test]
fn json_has_a_line_for_each_node_and_a_summary() {
    let node = Node::new(&[Do::Receipt(json!({ "node": "edge-1", "objects": 3, "bytes": 1234 }))]);
    let said = Fleet::new(&[node.address, nobody()]).run(&["tag", "x", "y", "--json", "--timeout", "300ms"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""));
    let [one, two, summary] = &said.lines()[..] else { panic!("{}", said.out) };
    let pick = |value: &Value, keys: &[&str]| keys.iter().map(|k| value[k].clone()).collect::<Value>();
    let keys =
        ["type", "node", "ok", "outcome", "sequence", "objects", "bytes", "repeated", "tries", "error"];
    assert_eq!(pick(one, &keys), json!(["node", "edge-1", true, "purged", 1, 3, 1234, false, 1, null]));
    let keys = ["type", "node", "ok", "outcome", "sequence", "objects"];
    assert_eq!(pick(two, &keys), json!(["node", "edge-2", false, "unreachable", null, null]));
    assert!(two["error"].is_string() && two["next"].is_string() && two["ms"].is_u64());
    let keys =
        ["type", "ok", "id", "kind", "selectors", "soft", "dry_run", "wait", "nodes", "confirmed", "needed"];
    let expected = json!(["summary", false, node.ids()[0], "tag", 2, false, false, "all", 2, 1, 2]);
    assert_eq!(pick(summary, &keys), expected);
}

#[test]
fn a_dry_run_counts() {
    let node = Node::new(&[Do::Receipt(json!({ "objects": 3, "bytes": 1536 }))]);
    let said = Fleet::new(&[node.address]).run(&["prefix", "http://a/img/", "--dry-run"]);
    assert_eq!(said.code, 0);
    assert_eq!(said.row("edge-1")[..6], ["edge-1", "counted", "-", "3", "1.5", "KiB"]);
    assert_eq!(node.asked()[0].body["dry_run"], true);
}

#[test]
fn a_long_list_goes_in_several_orders_and_none_is_sent_twice() {
    let counted = Do::Receipt(json!({ "objects": 10, "bytes": 1 }));
    let node = Node::new(&[counted.clone(), Do::Close, counted]);
    let list: String = (0..2500).map(|i| format!("tag-{i}\n")).collect();
    let said = Fleet::new(&[node.address]).fed(&list, &["tag", "-", "--id", "long", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(node.ids(), ["long.1", "long.2", "long.2", "long.3"]);
    let sent: Vec<Value> = [0, 1, 3].iter().map(|i| node.asked()[*i].body["selectors"].clone()).collect();
    let lengths: Vec<_> = sent.iter().map(|s| s.as_array().unwrap().len()).collect();
    assert_eq!(lengths, [1000, 1000, 500]);
    assert_eq!((&sent[0][0], &sent[2][499]), (&json!("tag-0"), &json!("tag-2499")));
    let lines = said.lines();
    assert_eq!(lines[0]["tries"], 2, "one of the three had to be sent again");
    assert_eq!(
        (&lines[0]["objects"], &lines[0]["sequence"], &lines[1]["selectors"]),
        (&json!(30), &json!(4), &json!(2500))
    );
}

#[test]
fn a_long_list_that_was_done_before_says_so() {
    let node = Node::new(&[Do::Receipt(json!({ "repeated": true }))]);
    let list: String = (0..1500).map(|i| format!("tag-{i}\n")).collect();
    let said = Fleet::new(&[node.address]).fed(&list, &["tag", "-", "--id", "long"]);
    assert_eq!((said.code, &said.row("edge-1")[1..3]), (0, &["done".to_owned(), "before".to_owned()][..]));
}

#[test]
fn ctrl_c_tells_what_is_known() {
    let nodes = [Node::new(&[good()]), Node::new(&[Do::Hold])];
    let fleet = Fleet::new(&nodes.each_ref().map(|n| n.address));
    let running = Running::start("", &["all", "--timeout", "10m"], Some(&fleet.file));
    nodes[1].until_asked(1);
    running.interrupt();
    let said = running.end();
    assert_eq!((said.code, said.row("edge-2")[1].as_str()), (1, "unconfirmed"), "{said:?}");
    assert!(said.err.contains("larder-purge --id"), "{}", said.err);
}

#[test]
fn status_tells_how_every_node_is() {
    let status = json!({
        "node": "edge-1", "version": "0.1.0", "sequence": 12, "objects": 34, "bytes_memory": 1024,
        "bytes_disk": 5 * 1024 * 1024, "uptime_seconds": 3700, "ready": true, "sites": ["www"],
    });
    let other = json!({ "node": "edge-9", "version": "0.1.0", "sequence": 1, "ready": false });
    let nodes =
        [Node::new(&[Do::Say(200, status.to_string())]), Node::new(&[Do::Say(200, other.to_string())])];
    let fleet = Fleet::new(&[nodes[0].address, nodes[1].address]);
    let said = fleet.run(&["status"]);
    assert_eq!(said.code, 0, "{said:?}");
    let row = ["edge-1", "ready", "0.1.0", "12", "34", "1.0", "KiB", "5.0", "MiB", "1h", "1m"];
    assert_eq!(said.row("edge-1")[..11], row);
    assert_eq!(said.row("edge-2")[..3], ["edge-2", "not", "ready"]);
    assert!(said.err.contains("edge-2: calls itself \"edge-9\""), "{}", said.err);
    assert_eq!(nodes[0].asked()[0].line, "GET /status HTTP/1.1");
    let down = Fleet::new(&[nodes[0].address, nobody()]);
    let said = down.run(&["status", "--json", "--timeout", "300ms", "--wait", "none"]);
    assert_eq!((said.code, said.lines().len()), (1, 3));
    let lines = said.lines();
    assert_eq!(
        (&lines[0]["sequence"], &lines[1]["outcome"], &lines[2]["reachable"]),
        (&json!(12), &json!("unreachable"), &json!(1))
    );
}
