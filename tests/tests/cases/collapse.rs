//! One fetch for any number of simultaneous misses of a key.

use std::time::Duration;

use larder_tests::{Answer, Ask, Client, Gate, Reply, spawn, until, until_within};
use tokio::task::JoinHandle;

use crate::stage::Stage;

/// Starts `count` clients asking the same at the same time, each over its own connection.
fn herd(s: &Stage, count: usize, target: &'static str) -> Vec<JoinHandle<Answer>> {
    let address = s.node.http();
    let one = |_| spawn(async move { Client::connect(address).await.ask(Ask::get(target)).await });
    (0..count).map(one).collect()
}

#[tokio::test]
async fn five_hundred_clients_cost_one_request() {
    let s = Stage::new("500 simultaneous requests for one cold slow key: one origin request, all identical")
        .await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/slow", move |asked| Reply::page_of(asked, 50_000).cache("max-age=60").held_by(&held));
    let herd = herd(&s, 500, "/slow");
    gate.reached(1).await;
    wait_for_seats(&s, 500).await;
    assert_eq!(s.origin.count("/slow"), 1);
    gate.open();
    let mut bodies = Vec::new();
    for task in herd {
        let answer = task.await.unwrap();
        assert_eq!((answer.status, answer.version("/slow")), (200, 1));
        bodies.push(answer.body);
    }
    assert_eq!(bodies.len(), 500);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(s.origin.count("/slow"), 1);
}

/// Waits until the node has so many open client connections, which is as near as a client can see.
async fn wait_for_seats(s: &Stage, count: usize) {
    until("all clients to be accepted", || s.node.descriptors() > count).await;
}

#[tokio::test]
async fn followers_stream_while_it_fills() {
    let s = Stage::new("followers get bytes while the body is still on its way from the origin").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/big", move |asked| {
        Reply::page_of(asked, 900_000).cache("max-age=60").paused_at(500_000, &held)
    });
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = s.node.client().await;
        client.send(&Ask::get("/big")).await;
        let head = client.answer_head().await.unwrap();
        assert_eq!(head.status, 200, "a head before the body is complete");
        clients.push((client, head));
    }
    gate.reached(1).await;
    let rest = clients.into_iter().map(|(mut client, head)| {
        let gate = gate.clone();
        spawn(async move {
            let mut body = Vec::new();
            let take = |piece: bytes::Bytes| {
                body.extend_from_slice(&piece);
                // Opened by the bytes themselves: whoever holds back until the end never gets there.
                if body.len() > 300_000 {
                    gate.open();
                }
            };
            client.body_after_head(&head, take).await.unwrap();
            body
        })
    });
    for task in rest.collect::<Vec<_>>() {
        let body = task.await.unwrap();
        assert_eq!(larder_tests::page::read(&body).unwrap().target, "/big");
    }
    assert_eq!(s.origin.count("/big"), 1);
}

#[tokio::test]
async fn a_leader_that_leaves_harms_nobody() {
    let s = Stage::new("the client that started the fetch leaves: the others get their answer, once").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/slow", move |asked| Reply::page(asked).cache("max-age=60").held_by(&held));
    let mut leader = s.node.client().await;
    leader.send(&Ask::get("/slow")).await;
    gate.reached(1).await;
    let followers = herd(&s, 20, "/slow");
    wait_for_seats(&s, 20).await;
    drop(leader);
    gate.open();
    for task in followers {
        assert_eq!(task.await.unwrap().version("/slow"), 1);
    }
    assert_eq!(s.origin.count("/slow"), 1);
}

#[tokio::test]
async fn a_fetch_whose_only_client_left_is_still_stored() {
    let s = Stage::new("a fetch whose only client left is finished and stored").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/slow", move |asked| Reply::page(asked).cache("max-age=60").held_by(&held));
    let mut leader = s.node.client().await;
    leader.send(&Ask::get("/slow")).await;
    gate.reached(1).await;
    drop(leader);
    gate.open();
    until_within(Duration::from_secs(10), "a hit", async || s.get("/slow").await.hit()).await;
    assert_eq!(s.origin.count("/slow"), 1);
}

#[tokio::test]
async fn an_uncacheable_herd_does_not_queue() {
    let s = Stage::new("an unshareable answer is remembered: the next herd goes to the origin side by side")
        .await;
    s.origin.on("/private", |asked| Reply::page(asked).cache("private"));
    s.get("/private").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/private", move |asked| Reply::page(asked).cache("private").held_by(&held));
    let herd = herd(&s, 20, "/private");
    gate.reached(20).await;
    gate.open();
    for task in herd {
        assert_eq!(task.await.unwrap().version("/private"), 1);
    }
}

/// Users ask for `target` at the same time; each gets back what only they may see.
fn users(s: &Stage, count: usize, target: &'static str) -> Vec<JoinHandle<(String, Answer)>> {
    let address = s.node.http();
    let one = |user| {
        spawn(async move {
            let user = format!("user={user}");
            let answer = Client::connect(address).await.ask(Ask::get(target).with("cookie", &user)).await;
            (user, answer)
        })
    };
    (0..count).map(one).collect()
}

#[tokio::test]
async fn private_answers_are_never_shared_between_waiters() {
    let s = Stage::new("waiters of a fetch that turns out private each get their own answer").await;
    for target in ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9", "/10", "/11", "/12"] {
        let gate = Gate::shut();
        let held = gate.clone();
        s.origin.on(target, move |asked| {
            let user = asked.get("cookie").unwrap_or("nobody").to_owned();
            Reply::new(200, user).cache("private").held_by(&held)
        });
        let users = users(&s, 30, target);
        gate.reached(1).await;
        wait_for_seats(&s, 30).await;
        gate.open();
        for task in users {
            let (user, answer) = task.await.unwrap();
            assert_eq!(answer.text(), user, "another user's answer");
        }
    }
}

#[tokio::test]
async fn a_failed_fetch_fails_its_waiters_and_is_not_kept() {
    let s =
        Stage::new("a failed fetch fails all its waiters at once, and the next request tries again").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/bad", move |_| Reply::raw("").held_by(&held));
    let herd = herd(&s, 50, "/bad");
    gate.reached(1).await;
    wait_for_seats(&s, 50).await;
    gate.open();
    for task in herd {
        assert_eq!(task.await.unwrap().status, 502);
    }
    assert!(s.origin.count("/bad") <= 3, "no second stampede: {}", s.origin.count("/bad"));
    s.origin.page("/bad", &[("cache-control", "max-age=60")]);
    assert_eq!(s.warm("/bad").await.version("/bad"), 1);
}

#[tokio::test]
async fn an_error_without_a_lifetime_is_told_to_all_and_not_kept() {
    let s = Stage::new("a 503 without a lifetime is told to all who wait, and not kept").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/bad", move |asked| Reply::page(asked).held_by(&held).status(503));
    let herd = herd(&s, 50, "/bad");
    gate.reached(1).await;
    wait_for_seats(&s, 50).await;
    gate.open();
    for task in herd {
        assert_eq!(task.await.unwrap().status, 503);
    }
    s.origin.page("/bad", &[("cache-control", "max-age=60")]);
    assert_eq!(s.warm("/bad").await.version("/bad"), 1);
}
