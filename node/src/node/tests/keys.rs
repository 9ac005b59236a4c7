//! Two requests that an origin can tell apart never share an entry, and what a site calls equal is sent equal: more
//! than 100,000 pairs a site, from admission to the head that is sent.

use std::collections::HashMap;
use std::net::SocketAddr;

use http::{HeaderMap, Method, Request, StatusCode};

use super::*;
use crate::admit;
use crate::context::{Client, Exchange};
use crate::http::Body;
use crate::policy::ordinary::is_ordinary;
use crate::policy::{stray, vary};
use crate::worker::{Asker, Site};

/// Each is held against each.
const REQUESTS: usize = 3000;
const PAIRS: usize = 100_000;

const SITES: [(&str, &str); 4] = [
    ("plain", ""),
    ("query", "[site.key]\nsort_query = true\ndrop_tracking = true\ndrop_query = [\"r*\"]"),
    (
        "fields",
        "[site.key]\nheaders = [\"x-a\"]\ncookies = [\"c\"]\ndevice = \"x-device\"\nkeep_query = [\"a\", \"b\"]\n\
         [[site.key.arm]]\ncookie = \"ab\"\nvalues = [\"1\"]\ndefault = \"0\"",
    ),
    (
        "rules",
        "[[site.rule]]\npaths = [\"/a*\"]\nignore_cookies = [\"*\"]\nignore_query = true\n\
         [[site.rule]]\npass_cookies = [\"s\"]\nignore_cookies = [\"_*\"]",
    ),
];

/// xorshift: the seed is printed and replays a run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn joined(&mut self, most: usize, with: &str, all: &[&str]) -> String {
        (0..self.below(most + 1)).map(|_| self.of(all)).collect::<Vec<_>>().join(with)
    }
}

/// A request, its connection encrypted or not.
fn request(dice: &mut Dice) -> (bool, Request<()>) {
    let mut target =
        dice.of(&["/", "/a", "/a/", "/a;x", "/%61", "/a%2Fb", "/a//b", "/b/../a", "/A", "/b"]).to_owned();
    if dice.below(3) > 0 {
        let pairs = dice.joined(
            3,
            "&",
            &["a=1", "b=2", "a=2", "b", "utm_source=x", "gclid=1", "ref=1", "A=1", "%61=1", "", "a=%zz"],
        );
        target.push('?');
        target.push_str(&pairs);
    }
    let host = dice.of(&[
        "a.example",
        "A.example",
        "a.example.",
        "a.example:80",
        "a.example:443",
        "a.example:8080",
        "b.example",
    ]);
    let mut request = Request::get(target).header("host", host);
    let fields = [
        ("x-a", ["1", "2", "", "1, 2"]),
        ("x-b", ["1", "2", "x=1", "&x-a=1"]),
        ("x-device", ["mobile", "evil", "", "tablet"]),
        ("user-agent", ["curl/8", "x (iPhone) Mobile", "x (iPad)", "<x>"]),
        ("accept", ["*/*", "text/html", "canary", "a/b;q=0.5"]),
        ("cookie", ["c=1", "c=1; s=2", "_ga=1; c=2; ab=1", "ab=9; _x=1"]),
        ("x-forwarded-host", ["evil", "a.example", "", "b"]),
        ("x-original-url", ["/evil", "/", "/a", "/b"]),
        ("origin", ["https://a", "https://b", "null", ""]),
        ("via", ["1.1 x", "1.1 y", "", "z"]),
        ("cache-control", ["max-age=0", "canary", "no-transform, x", ""]),
        ("range", ["bytes=0-1", "bytes=1-", "x", ""]),
        ("if-none-match", ["\"1\"", "*", "x", ""]),
        ("connection", ["x-a", "close", "cookie", "x-b"]),
        ("x_b", ["1", "2", "3", "4"]),
        ("traceparent", ["1", "2", "3", "4"]),
    ];
    for _ in 0..dice.below(4) {
        let (name, values) = fields[dice.below(fields.len())];
        request = request.header(name, dice.of(&values));
    }
    (dice.below(4) == 0, request.body(()).expect("a request"))
}

/// The key under which the answer would be stored, and what the origin is sent for it.
fn stored(worker: &Arc<Worker>, (tls, request): &(bool, Request<()>)) -> Option<(String, String)> {
    let address: SocketAddr = ([192, 0, 2, 1], 1).into();
    let client = Client { address, local: address, tls: *tls, sni: None };
    let mut exchange = admit::note(worker, request.clone().into_parts().0, client);
    let site = admit::admit(worker, &mut exchange, &Body::Empty).ok()?;
    if exchange.passes.is_some() {
        return None;
    }
    let sent = stray::shared(&site.config.policy.keying, &exchange.request.headers, None);
    let head =
        worker.request_head(&site, &Asker::of(&exchange), Method::GET, exchange.target(), &sent).ok()?;
    let key = key(&site, &exchange, &sent)?;
    let mut lines: Vec<String> = head
        .headers
        .iter()
        // Ordinary fields count by `Vary`; the way a request came is its own (RFC 9110 7.6.3).
        .filter(|(name, _)| !is_ordinary(&sent, name) && **name != http::header::VIA)
        .map(|(name, value)| format!("{name}: {value:?}"))
        .collect();
    lines.sort();
    Some((key, format!("{} {}\n{}", head.method, head.uri, lines.join("\n"))))
}

fn key(site: &Site, exchange: &Exchange, sent: &HeaderMap) -> Option<String> {
    let mut answer = HeaderMap::new();
    answer.insert("cache-control", "max-age=60".parse().expect("a value"));
    let policy = &site.config.policy;
    let names = &policy.keying.names;
    let strays = stray::place(policy, sent, StatusCode::OK, &answer, !names.is_empty(true)).ok()?;
    let variant = strays.unwrap_or_else(|| vary::variant("", names, sent, true));
    Some(format!("{} {variant}", exchange.url))
}

#[test]
fn what_an_origin_can_tell_apart_shares_no_entry() {
    let seed = 0x2026_1125_u64;
    println!("seed {seed:#x}");
    for (name, lines) in SITES {
        let text = format!(
            "[node]\nname = \"edge-1\"\nworkers = 1\n[cache]\nmemory = \"1MiB\"\ndisk = \"0\"\n[[listener]]\naddress = \
             \"127.0.0.1:0\"\n[[site]]\nhosts = [\"*\"]\n[site.origin]\nendpoints = [\"http://127.0.0.1:9\"]\n{lines}"
        );
        let config = config::parse(Path::new("edge.toml"), &text).expect("a good file").node;
        let node = Node::start(config, Path::new("edge.toml"), None).expect("a node");
        let worker = Arc::clone(&node.control.workers[0]);
        let mut dice = Dice(seed);
        let mut entries: HashMap<String, Vec<(Request<()>, String)>> = HashMap::new();
        for _ in 0..REQUESTS {
            let request = request(&mut dice);
            if let Some((key, sent)) = stored(&worker, &request) {
                entries.entry(key).or_default().push((request.1, sent));
            }
        }
        let (mut requests, mut equal, mut respelt) = (0, 0, 0);
        for (key, shared) in &entries {
            let (first, sent) = &shared[0];
            for (other, sent_other) in shared {
                assert_eq!(sent, sent_other, "{name}: {key}\n{first:?}\n{other:?}");
                respelt += usize::from(first.uri() != other.uri() || first.headers() != other.headers());
            }
            requests += shared.len();
            equal += shared.len() * (shared.len() - 1) / 2;
        }
        let pairs = requests * (requests - 1) / 2;
        println!(
            "{name}: of {pairs} pairs {equal} share; {respelt} requests are spelt unlike the first of their entry"
        );
        assert!(pairs > PAIRS && equal > 1000 && respelt > 300, "{name} proves nothing");
        node.drain();
        node.join();
    }
}
