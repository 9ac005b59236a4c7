//! What is one user's reaches no other: through the cache, a shared fetch, a refresh, a 304, or a failing origin.

use std::time::Duration;

use larder_tests::{Answer, Ask, Asked, Client, Gate, Reply, spawn, until};

use crate::stage::Stage;

/// A page that names the user it is for.
fn personal(asked: &Asked) -> Reply {
    let user = asked.get("cookie").or(asked.get("authorization")).unwrap_or("nobody").to_owned();
    let tag = format!("\"{user}\"");
    let known = asked.get("if-none-match").is_some_and(|tags| tags.contains(&tag));
    let reply = if known { Reply::new(304, "") } else { Reply::new(200, format!("page of {user};")) };
    reply.with("etag", &tag).with("set-cookie", &format!("seen={user}"))
}

/// Answers that must be asked for each time, in every spelling an origin may use.
const EACH_TIME: [&str; 5] =
    ["max-age=0", "no-cache", "max-age=60, no-cache", "max-age=0, must-revalidate", "s-maxage=0, max-age=60"];

#[tokio::test]
async fn waiting_with_another_user_shares_nothing_of_his() {
    let s = Stage::with("users who ask at once for what must be asked each time get their own", |recipe| {
        recipe.in_site("[site.cache]\nset_cookie = \"strip\"")
    })
    .await;
    for (number, value) in EACH_TIME.into_iter().enumerate() {
        let gate = Gate::shut();
        let held = gate.clone();
        let target = format!("/{number}");
        s.origin.on(&target, move |asked| personal(asked).cache(value).held_by(&held));
        let address = s.node.http();
        let asking: Vec<_> = (0..10)
            .map(|user| {
                let ask = Ask::get(&target).with("cookie", &format!("u{user}"));
                spawn(async move { (user, Client::connect(address).await.ask(ask).await) })
            })
            .collect();
        gate.reached(1).await;
        gate.open();
        for task in asking {
            let (user, answer) = task.await.unwrap();
            assert_eq!(answer.text(), format!("page of u{user};"), "{value}");
        }
        // Once more, now that something may be stored.
        for user in 0..10 {
            let answer = s.ask(Ask::get(&target).with("cookie", &format!("u{user}"))).await;
            assert_eq!(answer.text(), format!("page of u{user};"), "{value}");
        }
    }
}

#[tokio::test]
async fn a_failing_origin_gives_away_nobodys_page() {
    let mut s = Stage::with("what had to be asked for each time stands in for no other user", |recipe| {
        recipe.in_site("[site.cache]\nset_cookie = \"strip\"\ngrace = \"1d\"\nserve_stored_if_down = true")
    })
    .await;
    for (number, value) in EACH_TIME.into_iter().enumerate() {
        let target = format!("/{number}");
        s.origin.on(&target, move |asked| match asked.version {
            1 => personal(asked).cache(value).closing(),
            _ => Reply::new(503, "broken").closing(),
        });
        for name in ["cookie", "authorization"] {
            assert_eq!(s.ask(Ask::get(&target).with(name, "ann")).await.text(), "page of ann;", "{value}");
        }
        s.origin.bump(&target);
        for ask in [Ask::get(&target), Ask::get(&target).with("cookie", "bob")] {
            let answer = s.ask(ask).await;
            assert!(!answer.text().contains("ann"), "{value}: {}", answer.text());
        }
    }
    s.origin.stop().await;
    until("the old connections to end", || s.origin.open() == 0).await;
    for (number, value) in EACH_TIME.into_iter().enumerate() {
        let target = format!("/{number}");
        for ask in [Ask::get(&target), Ask::get(&target).with("cookie", "bob")] {
            let answer = s.ask(ask).await;
            assert!(!answer.text().contains("ann"), "{value}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_304_for_one_user_is_no_word_for_another() {
    let s = Stage::with("a user with a cookie is not handed what another one's 304 confirmed", |recipe| {
        recipe.in_site("[site.cache]\nset_cookie = \"strip\"")
    })
    .await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| {
        let reply = match (asked.get("cookie"), asked.get("if-none-match")) {
            (Some("ann"), Some(known)) => Reply::new(304, "").with("etag", known),
            _ => personal(asked),
        };
        let reply = reply.cache("max-age=0");
        if asked.get("if-none-match").is_some() { reply.held_by(&held) } else { reply }
    });
    // What everybody without a cookie gets; ann gets the same, bob does not.
    assert_eq!(s.get("/a").await.text(), "page of nobody;");
    let address = s.node.http();
    let ask = |user: &str| {
        let ask = Ask::get("/a").with("cookie", user);
        spawn(async move { Client::connect(address).await.ask(ask).await })
    };
    let ann = ask("ann");
    gate.reached(1).await;
    let bob = ask("bob");
    // Bob is in the node: either in Ann's flight, or at the origin himself.
    until_asked(&s, "bob").await;
    gate.open();
    assert_eq!(ann.await.unwrap().text(), "page of nobody;");
    assert_eq!(bob.await.unwrap().text(), "page of bob;");
}

/// Waits until this user's request is at the origin, or sits in a flight for long enough to be asked for later.
async fn until_asked(s: &Stage, user: &str) {
    let asked = || s.origin.seen().iter().any(|asked| asked.get("cookie") == Some(user));
    let _ = tokio::time::timeout(Duration::from_millis(300), until("the request", asked)).await;
}

/// A herd on something that cannot be shared: all of it is at the origin at once, so nobody waits for anybody.
#[tokio::test]
async fn a_herd_on_what_is_private_does_not_queue() {
    let s = Stage::new("a herd on a key known as unshareable is at the origin as a whole, at once").await;
    s.origin.on("/a", |asked| Reply::page(asked).cache("no-store"));
    s.get("/a").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| Reply::page(asked).cache("no-store").held_by(&held));
    let address = s.node.http();
    let herd: Vec<_> = (0..100)
        .map(|_| spawn(async move { Client::connect(address).await.ask(Ask::get("/a")).await }))
        .collect();
    gate.reached(100).await;
    assert_eq!(s.origin.count("/a"), 101, "each has its own request there, none behind another");
    gate.open();
    for task in herd {
        assert_eq!(task.await.unwrap().version("/a"), 1);
    }
}

#[tokio::test]
async fn a_herd_of_users_with_pages_of_their_own_does_not_queue() {
    let s = Stage::new("users with cookies whose pages are their own are at the origin all at once").await;
    s.origin.on("/a", |asked| personal(asked).cache("max-age=0"));
    let ask = |user: u32| Ask::get("/a").with("cookie", &format!("u{user}"));
    s.ask(ask(1000)).await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| personal(asked).cache("max-age=0").held_by(&held));
    let address = s.node.http();
    let herd: Vec<_> = (0..50)
        .map(|user| spawn(async move { (user, Client::connect(address).await.ask(ask(user)).await) }))
        .collect();
    gate.reached(50).await;
    gate.open();
    for task in herd {
        let (user, answer) = task.await.unwrap();
        assert_eq!(answer.text(), format!("page of u{user};"));
    }
}

/// One of the users of the mix.
#[derive(Clone, Copy)]
struct User(u64);

impl User {
    fn name(self) -> String {
        format!("user{}.", self.0)
    }

    fn ask(self, kind: u64, draw: u64) -> Ask {
        let target = format!("{}{}", KINDS[usize::try_from(kind).unwrap_or(0)].0, draw % 7);
        let method = if draw.is_multiple_of(11) { "HEAD" } else { "GET" };
        let ask = Ask::new(method, &target);
        let ask = match draw % 5 {
            0 => ask.with("authorization", &self.name()),
            1 | 2 => ask.with("cookie", &self.name()),
            3 => ask
                .with("cookie", &self.name())
                .with("accept-language", ["de", "en"][(draw / 5 % 2) as usize]),
            _ => ask,
        };
        match draw / 16 % 6 {
            0 => ask.with("range", "bytes=5-40"),
            1 => ask.with("if-none-match", "\"all\""),
            2 => ask.with("cache-control", "no-cache"),
            3 => ask.with("accept-encoding", "gzip, br"),
            _ => ask,
        }
    }
}

/// Paths and what their origin says of them; `private` pages name their user.
const KINDS: [(&str, &str, bool); 12] = [
    ("/public/", "max-age=60", false),
    ("/brief/", "max-age=60, stale-while-revalidate=9999", false),
    ("/tagged/", "s-maxage=60", false),
    ("/private/", "private, max-age=60", true),
    ("/nostore/", "no-store", true),
    ("/nothing/", "", true),
    ("/zero/", "max-age=0", true),
    ("/asked/", "no-cache", true),
    ("/both/", "max-age=60, no-cache", true),
    ("/must/", "max-age=0, must-revalidate", true),
    ("/varies/", "max-age=60", true),
    ("/named/", "max-age=60, private=\"x-user\"", false),
];

fn mixed(asked: &Asked, value: &str, private: bool) -> Reply {
    let user = asked.get("cookie").or(asked.get("authorization")).unwrap_or("anybody").to_owned();
    let tag = if private { format!("\"{user}\"") } else { "\"all\"".to_owned() };
    let same = asked.get("if-none-match").is_some_and(|tags| tags.contains(&tag));
    let text = if private {
        format!("<p>for {user} {}", "x".repeat(600))
    } else {
        format!("<p>for all {}", "y".repeat(600))
    };
    let reply = if same { Reply::new(304, "") } else { Reply::new(200, text) };
    let reply = reply.with("etag", &tag).with("content-type", "text/html");
    let named = private || asked.path().starts_with("/named/");
    let reply = if named { reply.with("x-user", &user) } else { reply };
    let reply = if private { reply.with("set-cookie", &format!("id={user}")) } else { reply };
    let reply = if value.is_empty() { reply } else { reply.cache(value) };
    match asked.path() {
        path if path.starts_with("/varies/") => reply.with("vary", "Cookie, Authorization"),
        path if path.starts_with("/brief/") => reply.with("age", "70"),
        path if path.starts_with("/nothing/") => reply.with("last-modified", "Wed, 01 Jan 2020 00:00:00 GMT"),
        _ => reply,
    }
}

/// 100 users, requests of every sort; `MIXED=500000` for a long night.
#[tokio::test]
async fn a_hundred_users_see_nothing_of_each_other() {
    let s =
        Stage::new("100 users with cookies and credentials, a mix of requests: nobody sees another").await;
    for (path, value, private) in KINDS {
        s.origin.on(&format!("{path}*"), move |asked| mixed(asked, value, private));
    }
    let requests = std::env::var("MIXED").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000_u64);
    let (address, each) = (s.node.http(), requests / 100);
    let draws: Vec<u64> = (0..100).map(|_| s.case.draw(u64::MAX)).collect();
    let users: Vec<_> = draws
        .into_iter()
        .enumerate()
        .map(|(number, seed)| spawn(live(User(number as u64), address, each, seed)))
        .collect();
    let (mut hits, mut total) = (0, 0);
    for user in users {
        let (some, all) = user.await.expect("no user saw another");
        hits += some;
        total += all;
    }
    println!("{hits} hits of {total}, {} at the origin", s.origin.total());
    assert!(hits * 10 > total, "the cache was at work: {hits} of {total}");
}

async fn live(user: User, address: std::net::SocketAddr, requests: u64, seed: u64) -> (u64, u64) {
    let mut client = Client::connect(address).await;
    let (mut hits, mut state) = (0, seed);
    for _ in 0..requests {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = state >> 20;
        let kind = (state >> 33) % KINDS.len() as u64;
        let ask = user.ask(kind, draw);
        let asked = format!("{ask:?}");
        let answer = client.ask(ask).await;
        hits += u64::from(answer.hit());
        check(user, &asked, &answer);
    }
    (hits, requests)
}

fn check(user: User, asked: &str, answer: &Answer) {
    assert!(answer.status < 500, "{asked}: {}", answer.status);
    let mut text = answer.text();
    if answer.get("content-encoding").is_some() {
        text.clear();
    }
    let fields = answer.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>();
    let told = format!("{text}{fields}");
    let stranger = told.match_indices("user").find(|(at, _)| {
        let name: String = told[*at..].chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        name.len() > 4 && name[4..].parse::<u64>().is_ok_and(|number| number != user.0)
    });
    assert_eq!(stranger, None, "user {} asked {asked} and saw {told}", user.0);
    assert!(!(answer.hit() && answer.get("set-cookie").is_some()), "a cookie on a hit: {asked}: {told}");
}
