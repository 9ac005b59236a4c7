//! Several nodes that are each other's peers, with a link from each to each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::case::Case;
use crate::client::Ask;
use crate::gate::until_within;
use crate::link::Link;
use crate::node::Node;
use crate::origin::Origin;
use crate::recipe::Recipe;

/// A fleet of nodes `edge-1`, `edge-2` and so on in front of one origin.
pub struct Fleet {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// From whom, to whom.
    links: Vec<(usize, usize, Link)>,
}

impl Fleet {
    /// Prepares `count` nodes and starts none. `more`: further lines of `[fleet]`.
    pub async fn prepare(case: &Arc<Case>, origin: &Origin, count: usize, more: &str) -> Self {
        let recipe = |index: usize| Recipe::new(origin).name(&format!("edge-{}", index + 1));
        let mut nodes: Vec<_> = (0..count).map(|index| Node::prepare(case, recipe(index))).collect();
        let mut links = Vec::new();
        for from in 0..count {
            for to in (0..count).filter(|to| *to != from) {
                links.push((from, to, Link::to(nodes[to].admin()).await));
            }
        }
        for (index, node) in nodes.iter_mut().enumerate() {
            let peers = links.iter().filter(|(from, _, _)| *from == index);
            let peers: Vec<_> = peers.map(|(_, _, link)| format!("http://{}", link.address())).collect();
            let table = format!("[fleet]\npeers = {peers:?}\ntoken_file = \"admin.token\"\n{more}\n");
            node.rewrite(recipe(index).table(&table));
        }
        Self { nodes, links }
    }

    /// Starts all of them and waits until each is ready.
    pub async fn start(case: &Arc<Case>, origin: &Origin, count: usize, more: &str) -> Self {
        let mut fleet = Self::prepare(case, origin, count, more).await;
        fleet.nodes.iter_mut().for_each(Node::launch);
        for node in &mut fleet.nodes {
            node.ready().await;
        }
        fleet
    }

    /// Does something to all links from and to a node.
    pub fn links(&self, index: usize, what: impl Fn(&Link)) {
        let its = |(from, to, _): &&(usize, usize, Link)| *from == index || *to == index;
        self.links.iter().filter(its).for_each(|(_, _, link)| what(link));
    }

    /// Waits until all logs hold the same ids; how long that took, and which they are.
    ///
    /// # Panics
    /// When they do not within `limit`.
    pub async fn converged(&self, limit: Duration) -> (Duration, BTreeSet<String>) {
        let mut first = BTreeSet::new();
        let took = until_within(limit, "the logs to hold the same", async || {
            first = ids(&self.nodes[0]).await;
            for node in &self.nodes[1..] {
                if ids(node).await != first {
                    return false;
                }
            }
            true
        });
        (took.await, first)
    }
}

/// The ids in a node's log.
///
/// # Panics
/// When it does not tell.
pub async fn ids(node: &Node) -> BTreeSet<String> {
    let answer = node.ask_admin(Ask::get("/fleet/ids")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    let ids = told["ids"].as_array().expect("a list").iter();
    ids.map(|pair| pair[1].as_str().expect("an id").to_owned()).collect()
}

/// `POST /purge` with an id and a query such as `?wait=all`; status and answer.
///
/// # Panics
/// When the answer is not JSON.
pub async fn purge(node: &Node, query: &str, id: &str, url: &str) -> (u16, serde_json::Value) {
    let body = serde_json::json!({ "kind": "url", "selectors": [url], "id": id }).to_string();
    let answer = node.ask_admin(Ask::new("POST", &format!("/purge{query}")).body(body)).await;
    (answer.status, serde_json::from_slice(&answer.body).expect("a receipt is JSON"))
}
