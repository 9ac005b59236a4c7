//! The store at scale: a million entries, a kill, a start, purges, and an index that is rewritten.
//!
//! ```sh
//! cargo run --release -p larder-store --example scale                        # a million, five million rewrites
//! cargo run --release -p larder-store --example scale -- 100000 500000       # fewer of both
//! ```
//!
//! Needs 3 GB of disk for a million, in the temporary directory (TMPDIR). It prints a line for each promise.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use larder_store::{Config, Head, Key, KeyRef, Load, Peek, Purge, Selector, Store};

type Failure = Box<dyn std::error::Error>;

/// Bytes of a body, all different.
const BODY: usize = 1000;
const MEMORY: u64 = 16 << 20;
const DISK: u64 = 16 << 30;
/// Entries that are rewritten over and over.
const CHURNED: u64 = 100_000;

/// A head of a few hundred bytes, as an HTTP head is.
struct Fields(Vec<u8>);

impl Head for Fields {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.to_vec()))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn open(directory: &Path) -> Result<Store<Fields>, Failure> {
    Ok(Store::open(Config::new(directory, MEMORY, DISK))?)
}

fn url(number: u64) -> String {
    format!("http://www.example.com:80/some/path/to/an/object/{number}")
}

async fn put(store: &Store<Fields>, number: u64, round: u64) -> Result<(), Failure> {
    let mut body = vec![b'x'; BODY];
    body[..8].copy_from_slice(&number.to_le_bytes());
    body[8..16].copy_from_slice(&round.to_le_bytes());
    let tags = vec![format!("t{}", number % 10)];
    let key = Key::new(&url(number), "");
    let mut writer = store.writer(key, Fields(vec![b'h'; 300]), tags, store.seq(), Some(BODY as u64));
    writer.write(body.into()).await?;
    writer.commit().await?;
    while store.stats().behind_bytes > MEMORY / 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn settled(store: &Store<Fields>) {
    while store.stats().behind_bytes > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Writes `count` entries, says so, and goes on writing until it is killed.
async fn fill(directory: &Path, count: u64) -> Result<(), Failure> {
    let store = open(directory)?;
    for number in 0..count {
        put(&store, number, 0).await?;
    }
    settled(&store).await;
    writeln!(std::io::stdout(), "filled")?;
    for number in count.. {
        put(&store, number % (count + count / 20), 1).await?;
    }
    Ok(())
}

fn fill_and_kill(directory: &Path, count: u64) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["fill", &count.to_string()])
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    let took = begun.elapsed();
    std::thread::sleep(Duration::from_millis(700));
    child.kill()?;
    child.wait()?;
    Ok(took)
}

/// Resident bytes of this process.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse::<u64>()? * 1024)
}

/// System calls that read, made by this process so far.
fn reads() -> Result<u64, Failure> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("syscr:")).ok_or("no syscr")?;
    Ok(line.trim().parse()?)
}

fn size(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(one).sum()
}

async fn purges(store: &Store<Fields>, count: u64) -> Result<(), Failure> {
    let purge = |selector| Purge { selectors: vec![selector], soft: false };
    let begun = Instant::now();
    store.purge(&purge(Selector::Tag("t3".into())), "").await?;
    println!("purge by a tag of {} entries: acknowledged in {:?}", count / 10, begun.elapsed());
    if matches!(store.load(KeyRef::new(&url(3), "")).await, Load::Hit(_)) {
        return Err("a purged entry was served".into());
    }
    let begun = Instant::now();
    store.purge(&purge(Selector::All), "").await?;
    println!("purge of all: acknowledged in {:?}", begun.elapsed());
    let mut slowest = Duration::ZERO;
    let mut served = 0;
    while store.stats().disk_bytes > DISK / 100 {
        let number = count * 2 + served;
        put(store, number, 2).await?;
        let asked = Instant::now();
        if !matches!(store.load(KeyRef::new(&url(number), "")).await, Load::Hit(_)) {
            return Err("a new entry was not served".into());
        }
        slowest = slowest.max(asked.elapsed());
        served += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!(
        "space given back in {:?} while {served} were stored and served, the slowest in {slowest:?}",
        begun.elapsed()
    );
    Ok(())
}

async fn scale(directory: &Path, count: u64) -> Result<(), Failure> {
    let took = fill_and_kill(directory, count)?;
    println!("{count} entries of {BODY} bytes written in {took:?}, then killed");
    let before = resident()?;
    let begun = Instant::now();
    let store = open(directory)?;
    println!("ready in {:?} with {} entries", begun.elapsed(), store.stats().disk_objects);
    let objects = store.stats().disk_objects;
    println!("memory: {} bytes an entry", (resident()? - before) / objects);
    let (calls, begun) = (reads()?, Instant::now());
    for number in 0..count {
        if !matches!(store.peek(KeyRef::new(&url(u64::MAX - number), "")), Peek::Absent) {
            return Err("an absent key was found".into());
        }
    }
    let each = begun.elapsed() / count as u32;
    println!("absent keys: {each:?} a lookup, {} reads in all", reads()? - calls - 1);
    let begun = Instant::now();
    for number in (0..count).step_by(100) {
        match store.load(KeyRef::new(&url(number), "")).await {
            Load::Hit(hit) if hit.entry.len() == BODY as u64 => {}
            _ => return Err("an entry was lost".into()),
        }
    }
    println!("hits on disk: {:?} a lookup", begun.elapsed() / (count / 100) as u32);
    purges(&store, count).await?;
    store.close().await;
    Ok(())
}

async fn churn(directory: &Path, rewrites: u64) -> Result<(), Failure> {
    let store = open(directory)?;
    let mut largest = 0;
    for number in 0..rewrites {
        put(&store, number * 7919 % CHURNED, number).await?;
        if number % 10_000 == 0 && number > CHURNED {
            largest = largest.max(size(&directory.join("index")));
        }
    }
    settled(&store).await;
    store.close().await;
    let live = CHURNED * 108;
    println!(
        "{rewrites} rewrites of {CHURNED} entries: index {} MB at the most, live data {} MB",
        largest / 1_000_000,
        live / 1_000_000
    );
    let begun = Instant::now();
    let store = open(directory)?;
    println!("opened in {:?} with {} entries", begun.elapsed(), store.stats().disk_objects);
    store.close().await;
    Ok(())
}

async fn run() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, count, directory] = &words[..]
        && word == "fill"
    {
        return fill(Path::new(directory), count.parse()?).await;
    }
    let number = |at: usize, default: u64| words.get(at).map_or(Ok(default), |word| word.parse());
    let (count, rewrites) = (number(0, 1_000_000)?, number(1, 5_000_000)?);
    let folder = tempfile::tempdir()?;
    if count > 0 {
        scale(&folder.path().join("scale"), count).await?;
    }
    if rewrites > 0 {
        churn(&folder.path().join("churn"), rewrites).await?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}
