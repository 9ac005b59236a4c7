//! A real web server, two nodes and the operator's command.

use std::path::Path;

use larder_tests::nginx::Nginx;
use larder_tests::{Ask, Case, Client, Node, Origin, Recipe, Reply, purge};

/// A small tree of real files: page, style, picture, a large one, an empty one.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let text = |size| larder_tests::page::body("/file", 1, size).to_vec();
    let picture: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let files = [
        ("index.html", text(3000)),
        ("style.css", text(900)),
        ("logo.svg", text(1500)),
        ("photo.bin", picture),
        ("deep/er/page.html", text(40_000)),
        ("large.bin", text(5_000_000)),
        ("empty.html", Vec::new()),
    ];
    for (name, bytes) in &files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder of the case");
        std::fs::write(path, bytes).expect("a folder of the case");
    }
    files.into_iter().map(|(name, bytes)| (format!("/{name}"), bytes)).collect()
}

#[tokio::test]
async fn a_real_web_server_behind_two_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let location = "location / { add_header Cache-Control max-age=3600; add_header Surrogate-Key site; }";
    let Some(nginx) = Nginx::start(folder.path(), location).await else { return };
    let case = Case::new(
        "nginx behind two nodes: byte-identical, second request hits, hits from disk after a restart",
    );
    let recipe = || Recipe::in_front_of(&[&nginx.url()]);
    let mut one = Node::start(&case, recipe().name("edge-1")).await;
    let two = Node::start(&case, recipe().name("edge-2")).await;
    for node in [&one, &two] {
        for (target, bytes) in &files {
            assert_eq!(node.get(target).await.body, *bytes, "{target}");
            larder_tests::until_within(std::time::Duration::from_secs(10), "a hit", async || {
                let again = node.get(target).await;
                assert_eq!(again.body, *bytes, "{target}");
                again.hit()
            })
            .await;
        }
    }
    assert_eq!(nginx.count("GET /index.html"), 2, "one request for each node");
    one.stop().await;
    one.start_again().await;
    for (target, bytes) in &files {
        let answer = one.get(target).await;
        assert!(
            answer.hit() && answer.body == *bytes,
            "{target} after a restart: {:?}",
            answer.get("cache-status")
        );
    }
    purge_both(&nginx, &one, &two).await;
}

/// `larder-purge url` and `tag` make both nodes fetch anew.
async fn purge_both(nginx: &Nginx, one: &Node, two: &Node) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let nodes = purge::nodes_file(folder.path(), &[("edge-1", one), ("edge-2", two)]);
    let before = nginx.count("GET /index.html");
    let said = purge::run(&nodes, &["url", "http://www.example.com/index.html"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for node in [one, two] {
        assert!(!node.get("/index.html").await.hit());
        assert!(node.get("/style.css").await.hit(), "another URL is untouched");
    }
    assert_eq!(nginx.count("GET /index.html"), before + 2);
    let said = purge::run(&nodes, &["tag", "site"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    for node in [one, two] {
        assert!(!node.get("/style.css").await.hit());
    }
}

#[tokio::test]
async fn a_node_that_is_down_is_told() {
    let case = Case::new("larder-purge with one node stopped says so and exits 1; the other is purged");
    let origin = Origin::start(&case).await;
    let one = Node::start(&case, Recipe::new(&origin).name("edge-1")).await;
    let mut two = Node::start(&case, Recipe::new(&origin).name("edge-2")).await;
    let folder = tempfile::tempdir().unwrap();
    let nodes = purge::nodes_file(folder.path(), &[("edge-1", &one), ("edge-2", &two)]);
    one.get("/a").await;
    two.stop().await;
    let url = "http://www.example.com/a";
    let said = purge::run(&nodes, &["--timeout", "2s", "url", url]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(format!("{}{}", said.stdout, said.stderr).contains("edge-2"), "{said:?}");
    assert!(!one.get("/a").await.hit());
    let said = purge::run(&nodes, &["--timeout", "2s", "--json", "url", url]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.lines().count() >= 2, "{said:?}");
    for line in said.stdout.lines() {
        let _: serde_json::Value = serde_json::from_str(line).expect("JSON lines on stdout");
    }
    let said = purge::run(&nodes, &["--timeout", "2s", "--wait", "none", "url", url]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = purge::run(&nodes, &["--timeout", "2s", "status"]).await;
    assert!(said.stdout.contains("edge-1") && said.stdout.contains("edge-2"), "{said:?}");
}

#[tokio::test]
async fn bad_usage_is_told_with_exit_two() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = folder.path().join("nodes.toml");
    std::fs::write(&nodes, "[[node]]\nname = \"a\"\nadmin = \"nonsense\"\ntoken_file = \"none\"\n").unwrap();
    for arguments in [&["url", "http://h/"][..], &[][..], &["frobnicate"][..], &["url"][..]] {
        let said = purge::run(&nodes, arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(!said.stderr.is_empty(), "{arguments:?}");
    }
    let said = purge::run(&folder.path().join("missing.toml"), &["all"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[tokio::test]
async fn five_hundred_connections_are_served_side_by_side() {
    let case = Case::new("500 kept connections, each with ten requests: every answer right");
    let origin = Origin::start(&case).await;
    origin.on("/*", |asked| Reply::page(asked).cache("max-age=60"));
    let node = Node::start(&case, Recipe::new(&origin)).await;
    let address = node.http();
    let clients: Vec<_> = (0..500)
        .map(|number| {
            larder_tests::spawn(async move {
                let mut client = Client::connect(address).await;
                for round in 0..10 {
                    let target = format!("/{}", (number + round) % 40);
                    assert_eq!(client.ask(Ask::get(&target)).await.version(&target), 1);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(origin.total(), 40, "one request for each URL");
}
