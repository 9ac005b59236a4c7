//! Replays a trace against the store and says how much of it was a hit, by objects and by bytes, in each tier, beside a
//! plain LRU of as many bytes.
//!
//! ```text
//! cargo run --release -p larder-store --example replay -- access.csv --memory 256MiB --disk 10GiB
//! cargo run --release -p larder-store --example replay -- --zipf 0.9 --once 20 --scan 15
//! cargo run --release -p larder-store --example replay -- --table
//! ```

mod lru;
mod trace;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use larder_store::replay::Rules;
use larder_store::{Admission, Config, Head, Key, KeyRef, Load, Store, Tier};

use lru::Lru;
use trace::{Request, Shape};

/// Replay a trace of requests against the store: object and byte hit ratio of each tier
#[derive(Debug, Parser)]
#[command(
    after_help = "A trace is CSV: time in seconds, key, size in bytes. Without a file one is made from a seed."
)]
struct Flags {
    /// The trace; - is stdin
    #[arg(value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Bytes of the memory tier
    #[arg(long, default_value = "16MiB", value_parser = bytes)]
    memory: u64,
    /// Bytes of the disk tier
    #[arg(long, default_value = "256MiB", value_parser = bytes)]
    disk: u64,
    /// What a new body needs to be written: auto, all, second
    #[arg(long, default_value = "auto", value_parser = admission)]
    admission: Admission,
    /// Replay against a real store in this directory, which must be new, instead of its rules alone
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Exponent of the popularity
    #[arg(long, default_value_t = 0.9)]
    zipf: f64,
    /// Objects that are asked for again and again
    #[arg(long, default_value_t = 50_000)]
    objects: u64,
    /// Requests
    #[arg(long, default_value_t = 1_000_000)]
    requests: u64,
    /// Percent of requests for objects that are asked for once
    #[arg(long, default_value_t = 20)]
    once: u64,
    /// Percent of requests in scans
    #[arg(long, default_value_t = 15)]
    scan: u64,
    /// Seed of the made trace
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Print the trace as CSV instead of replaying it
    #[arg(long)]
    print: bool,
    /// Replay made traces from Zipf 0.7 to 1.1, with and without the rest, as a table for docs/performance.md
    #[arg(long)]
    table: bool,
}

fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err("a number and B, KiB, MiB or GiB".into()),
    };
    digits.parse::<u64>().map(|number| number << shift).map_err(|error| error.to_string())
}

fn admission(text: &str) -> Result<Admission, String> {
    match text {
        "auto" => Ok(Admission::Auto),
        "all" => Ok(Admission::All),
        "second" => Ok(Admission::Second),
        _ => Err("auto, all or second".into()),
    }
}

/// Hits of one tier, or of all.
#[derive(Debug, Default, Clone, Copy)]
struct Hits {
    objects: u64,
    bytes: u64,
}

impl Hits {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }

    fn percent(&self, of: Hits) -> (f64, f64) {
        let part = |a: u64, b: u64| a as f64 * 100.0 / b.max(1) as f64;
        (part(self.objects, of.objects), part(self.bytes, of.bytes))
    }
}

#[derive(Debug, Default)]
struct Outcome {
    asked: Hits,
    memory: Hits,
    disk: Hits,
    lru: Hits,
    written: u64,
    lru_written: u64,
}

impl Outcome {
    fn both(&self) -> Hits {
        Hits { objects: self.memory.objects + self.disk.objects, bytes: self.memory.bytes + self.disk.bytes }
    }

    fn count(&mut self, tier: Option<Tier>, bytes: u64) {
        self.asked.add(bytes);
        match tier {
            Some(Tier::Memory) => self.memory.add(bytes),
            Some(Tier::Disk) => self.disk.add(bytes),
            None => {}
        }
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let done = if flags.table { table(&flags) } else { one(&flags) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("replay: {why}");
            ExitCode::from(2)
        }
    }
}

fn shape(flags: &Flags) -> Shape {
    Shape {
        zipf: flags.zipf,
        objects: flags.objects,
        requests: flags.requests,
        once: flags.once,
        scan: flags.scan,
        size_max: 2 << 20,
        seed: flags.seed,
    }
}

fn one(flags: &Flags) -> Result<(), String> {
    let trace = match &flags.trace {
        None => trace::make(shape(flags)),
        Some(path) if path.as_os_str() == "-" => trace::read(io::stdin().lock())?,
        Some(path) => {
            let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            trace::read(BufReader::new(file)).map_err(|why| format!("{}: {why}", path.display()))?
        }
    };
    if flags.print {
        return print(&trace).map_err(|error| error.to_string());
    }
    let span = trace.last().map_or(0.0, |last| last.time) - trace.first().map_or(0.0, |first| first.time);
    let outcome = replay(flags, &trace)?;
    println!("{} requests in {span:.0} s of the trace, {} bytes", trace.len(), outcome.asked.bytes);
    println!("{:<24} {:>9} {:>9}", "", "objects %", "bytes %");
    for (what, hits) in [
        ("memory", outcome.memory),
        ("disk", outcome.disk),
        ("both", outcome.both()),
        ("LRU of as many bytes", outcome.lru),
    ] {
        let (objects, bytes) = hits.percent(outcome.asked);
        println!("{what:<24} {objects:>9.2} {bytes:>9.2}");
    }
    println!("written to disk: {} bytes; LRU: {} bytes", outcome.written, outcome.lru_written);
    Ok(())
}

fn print(trace: &[Request]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    writeln!(out, "time,key,size")?;
    for request in trace {
        writeln!(out, "{},{},{}", request.time, request.key, request.size)?;
    }
    out.flush()
}

fn table(flags: &Flags) -> Result<(), String> {
    println!("| Zipf | once | scans | memory | both | LRU | points | bytes: both | LRU | written to LRU's |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (once, scan) in [(0, 0), (20, 15), (30, 30)] {
        for zipf in [0.7, 0.8, 0.9, 1.0, 1.1] {
            let trace = trace::make(Shape { zipf, once, scan, ..shape(flags) });
            let outcome = replay(flags, &trace)?;
            let (memory, _) = outcome.memory.percent(outcome.asked);
            let (both, both_bytes) = outcome.both().percent(outcome.asked);
            let (lru, lru_bytes) = outcome.lru.percent(outcome.asked);
            println!(
                "| {zipf} | {once} % | {scan} % | {memory:.1} | **{both:.1}** | {lru:.1} | {:+.1} | \
                 {both_bytes:.1} | {lru_bytes:.1} | {:.2} |",
                both - lru,
                outcome.written as f64 / outcome.lru_written.max(1) as f64
            );
        }
    }
    Ok(())
}

fn replay(flags: &Flags, trace: &[Request]) -> Result<Outcome, String> {
    let directory = flags.store.clone().unwrap_or_default();
    let config = Config { admission: flags.admission, ..Config::new(directory, flags.memory, flags.disk) };
    let mut outcome = Outcome::default();
    let mut lru = Lru::new(flags.memory + flags.disk);
    for request in trace {
        if lru.ask(&request.key, request.size) {
            outcome.lru.add(request.size);
        }
    }
    outcome.lru_written = lru.written();
    if flags.store.is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.map_err(|error| error.to_string())?.block_on(real(config, trace, &mut outcome))?;
    } else {
        let mut rules = Rules::new(config);
        for request in trace {
            let served = rules.ask(&request.key, request.size);
            outcome.count(served, request.size);
        }
        outcome.written = rules.written();
    }
    Ok(outcome)
}

/// A head without anything in it.
#[derive(Debug)]
struct Bare;

impl Head for Bare {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &[u8]) -> Option<Self> {
        Some(Self)
    }

    fn weight(&self) -> usize {
        0
    }
}

/// Body bytes that wait for the disk before the next request: the trace is faster than its time.
const BEHIND: u64 = 1 << 20;

async fn real(config: Config, trace: &[Request], outcome: &mut Outcome) -> Result<(), String> {
    let directory = config.directory.clone();
    if std::fs::read_dir(&directory).is_ok_and(|mut files| files.next().is_some()) {
        return Err(format!("{}: is not empty; name a new directory", directory.display()));
    }
    let store = Store::<Bare>::open(config).map_err(|error| error.to_string())?;
    for request in trace {
        let mut tier = None;
        if let Load::Hit(hit) = store.load(KeyRef::new(&request.key, "")).await {
            let mut reader = hit.entry.read(0, u64::MAX);
            let mut whole = true;
            while let Some(piece) = reader.next().await {
                whole &= piece.is_ok();
            }
            tier = whole.then_some(hit.tier);
        }
        outcome.count(tier, request.size);
        if tier.is_none() {
            put(&store, request).await;
        }
        while store.stats().behind_bytes > BEHIND {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    println!("{:#?}", store.stats());
    outcome.written = store.stats().events.written_bytes;
    store.close().await;
    Ok(())
}

async fn put(store: &Store<Bare>, request: &Request) {
    let key = Key::new(&request.key, "");
    let mut writer = store.writer(key, Bare, Vec::new(), store.seq(), Some(request.size));
    // Bytes that no other key has: equal bodies are kept once.
    let mut body = request.key.as_bytes().repeat(request.size as usize / request.key.len().max(1) + 1);
    body.truncate(request.size as usize);
    if writer.write(body.into()).await.is_ok() {
        // Why it is not kept is in the stats.
        let _ = writer.commit().await;
    }
}
