//! Many clients, random requests, versions and purges all the time: what no single case thinks of. The seed repeats it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use larder_tests::{Answer, Ask, Case, Client, End, Origin, Reply, page, spawn};
use tokio::task::JoinHandle;

use crate::stage::Stage;

const URLS: usize = 24;
const SIZE: usize = 30_000;

fn target(number: usize) -> String {
    format!("/{}/{number}", ["red", "green", "blue"][number % 3])
}

/// The lowest version of each URL that may still be served: purges acknowledged raise it.
type Floors = Arc<Vec<AtomicU64>>;

/// Clients that ask until told to stop.
struct Crowd {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Crowd {
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every answer was right");
        }
    }
}

fn pages(origin: &Origin) {
    origin.on("/*", |asked| {
        let tag = asked.target.split('/').nth(1).unwrap_or_default().to_owned();
        Reply::validated(asked)
            .body(page::body(&asked.target, asked.version, SIZE))
            .cache("max-age=3600")
            .with("surrogate-key", &tag)
    });
}

fn crowd(s: &Stage, count: usize, floors: &Floors) -> Crowd {
    let stop = Arc::new(AtomicBool::new(false));
    let one = |_| {
        let (case, stop, floors, address) =
            (Arc::clone(&s.case), Arc::clone(&stop), Arc::clone(floors), s.node.http());
        spawn(async move {
            let mut client = Client::connect(address).await;
            while !stop.load(Ordering::Relaxed) {
                let number = usize::try_from(case.draw(URLS as u64)).expect("small");
                let floor = floors[number].load(Ordering::SeqCst);
                let ask = request(&case, number, floor);
                let method = ask.1;
                let answer = client.ask(ask.0).await;
                let version = prove(&answer, &target(number), method);
                assert!(
                    version >= floor,
                    "{} {version} is older than a purge acknowledged, {floor}",
                    target(number)
                );
                if answer.closes() {
                    client = Client::connect(address).await;
                }
            }
        })
    };
    let clients = (0..count).map(one).collect();
    Crowd { stop, clients }
}

/// A request of a random kind.
fn request(case: &Case, number: usize, floor: u64) -> (Ask, &'static str) {
    let target = target(number);
    match case.draw(8) {
        0 => (Ask::head(&target), "HEAD"),
        1 => {
            let from = case.draw(SIZE as u64);
            (Ask::get(&target).with("range", &format!("bytes={from}-{}", from + case.draw(5000))), "GET")
        }
        2 => (Ask::get(&target).with("if-none-match", &format!("\"v{floor}\"")), "GET"),
        3 => (Ask::get(&target).with("cache-control", "no-cache"), "GET"),
        _ => (Ask::get(&target), "GET"),
    }
}

/// The version an answer is of, after proving all its bytes.
fn prove(answer: &Answer, target: &str, method: &str) -> u64 {
    assert_eq!(answer.end, End::Whole);
    let tag = answer.get("etag").unwrap_or_else(|| panic!("{target}: {answer:?}"));
    let version = tag.trim_matches('"').trim_start_matches('v').parse().expect("an ETag of ours");
    let whole = page::body(target, version, SIZE);
    match answer.status {
        304 => {}
        _ if method == "HEAD" => {
            assert_eq!(answer.get("content-length"), Some(whole.len().to_string().as_str()))
        }
        206 => {
            let range = answer.get("content-range").expect("of a 206");
            let (from, rest) = range.trim_start_matches("bytes ").split_once('-').expect("a range");
            let (to, length) = rest.split_once('/').expect("a length");
            let (from, to): (usize, usize) = (from.parse().expect("digits"), to.parse().expect("digits"));
            assert_eq!(length, whole.len().to_string());
            assert_eq!(answer.body, whole.slice(from..=to), "{target} {range}");
        }
        200 => assert_eq!(answer.body, whole, "{target} is not version {version}"),
        status => panic!("{target}: {status}"),
    }
    version
}

#[tokio::test]
async fn nothing_older_than_an_acknowledged_purge() {
    let s =
        Stage::new("random requests while versions change and purges arrive: nothing older, nothing mixed")
            .await;
    pages(&s.origin);
    let floors: Floors = Arc::new((0..URLS).map(|_| AtomicU64::new(1)).collect());
    let crowd = crowd(&s, 12, &floors);
    for _ in 0..400 {
        let number = usize::try_from(s.case.draw(URLS as u64)).unwrap();
        let target = target(number);
        s.origin.bump(&target);
        let colour = target.split('/').nth(1).unwrap();
        let reached: Vec<_> =
            (0..URLS).map(|n| (n, s.origin.version(&super::simulation::target(n)))).collect();
        let all_of_colour = |n: usize| n % 3 == number % 3;
        let (kind, selector, reach): (_, _, &dyn Fn(usize) -> bool) = match s.case.draw(6) {
            0 => ("tag", colour.to_owned(), &all_of_colour),
            1 => ("prefix", format!("http://www.example.com/{colour}/"), &all_of_colour),
            2 => ("host", "www.example.com".to_owned(), &|_| true),
            _ => ("url", format!("http://www.example.com{target}"), &|n| n == number),
        };
        s.node.purge(kind, &[&selector], false).await;
        s.case.count("purges");
        for (n, version) in reached.into_iter().filter(|(n, _)| reach(*n)) {
            floors[n].fetch_max(version, Ordering::SeqCst);
        }
    }
    crowd.end().await;
}

#[tokio::test]
async fn nobody_gets_anothers_page() {
    let s = Stage::new(
        "users with cookies and tokens among public pages: nobody gets another's, no Set-Cookie on a hit",
    )
    .await;
    s.origin.on("/*", |asked| {
        let user = asked.get("cookie").or(asked.get("authorization")).unwrap_or("nobody").to_owned();
        let reply = |cache: &str| Reply::new(200, user.clone()).cache(cache);
        match asked.path().split('/').nth(1) {
            Some("private") => reply("private, max-age=60"),
            Some("store") => reply("no-store"),
            Some("login") => reply("max-age=60").with("set-cookie", &user),
            Some("vary") => reply("max-age=60").with("vary", "cookie, authorization"),
            Some("quiet") => Reply::new(200, user.clone()),
            Some("token") => {
                reply(if asked.get("authorization").is_some() { "max-age=60" } else { "private" })
            }
            _ => Reply::new(200, "public").cache("max-age=60"),
        }
    });
    let address = s.node.http();
    let users = (0..20).map(|user| {
        let case = Arc::clone(&s.case);
        spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..120 {
                let kind =
                    ["private", "store", "login", "vary", "quiet", "token", "public"][case.draw(7) as usize];
                let target = format!("/{kind}/{}", case.draw(5));
                let me = format!("user={user}");
                let field = if kind == "token" { "authorization" } else { "cookie" };
                let answer = client.ask(Ask::get(&target).with(field, &me)).await;
                let expected = if kind == "public" { "public" } else { &me };
                assert_eq!(answer.text(), expected, "{target} by {:?}", answer.get("cache-status"));
                assert!(!answer.hit() || answer.get("set-cookie").is_none());
                case.count("private and public requests");
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.expect("everyone got their own");
    }
}
