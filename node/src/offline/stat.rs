//! `larder store stat`: how much there is, how old, and of whom.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::{Look, Stop, answer, state};
use crate::config::value::show_size;

/// Upper bounds of the ages that are told apart.
const AGES: [(&str, Duration); 5] = [
    ("1m", Duration::from_secs(60)),
    ("1h", Duration::from_secs(3600)),
    ("1d", Duration::from_secs(24 * 3600)),
    ("7d", Duration::from_secs(7 * 24 * 3600)),
    ("older", Duration::MAX),
];

#[derive(Debug, Default)]
struct Sum {
    objects: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

#[derive(Debug, Default)]
struct Found {
    all: Sum,
    largest: u64,
    pinned: Sum,
    states: HashMap<&'static str, Sum>,
    ages: [Sum; AGES.len()],
    hosts: HashMap<String, Sum>,
}

pub(super) fn stat(look: &mut Look<'_>, directory: &Path, top: usize) -> Result<(), Stop> {
    let mut found = Found::default();
    look.each("reading", |at, item| {
        let answer = answer(item);
        found.all.add(item.length);
        found.largest = found.largest.max(item.length);
        if item.standing.pinned {
            found.pinned.add(item.length);
        }
        found.states.entry(state(item, answer.as_ref(), at.now)).or_default().add(item.length);
        if let Some(answer) = answer {
            let age = at.now.since(answer.freshness.response_time);
            let slot = AGES.iter().position(|(_, most)| age < *most).unwrap_or(AGES.len() - 1);
            found.ages[slot].add(item.length);
        }
        found.hosts.entry(host(&item.url).to_owned()).or_default().add(item.length);
        Ok(())
    })?;
    let mut hosts: Vec<_> = std::mem::take(&mut found.hosts).into_iter().collect();
    hosts.sort_by(|a, b| b.1.bytes.cmp(&a.1.bytes).then_with(|| a.0.cmp(&b.0)));
    let count = hosts.len();
    hosts.truncate(top);
    if look.json { json(look, &found, &hosts, count) } else { text(look, directory, &found, &hosts, count) }
}

/// The scheme, host and port of a URL.
fn host(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    url[from..].find('/').map_or(url, |at| &url[..from + at])
}

fn json(look: &mut Look<'_>, found: &Found, hosts: &[(String, Sum)], count: usize) -> Result<(), Stop> {
    let sum = |sum: &Sum| serde_json::json!({ "objects": sum.objects, "bytes": sum.bytes });
    let named = |name: &str, one: &Sum| serde_json::json!({ "name": name, "objects": one.objects, "bytes": one.bytes });
    let states: serde_json::Map<String, _> =
        found.states.iter().map(|(name, one)| ((*name).to_owned(), sum(one))).collect();
    let ages: Vec<_> = AGES.iter().zip(&found.ages).map(|((name, _), one)| named(name, one)).collect();
    let sites: Vec<_> = hosts.iter().map(|(name, one)| named(name, one)).collect();
    let line = serde_json::json!({
        "objects": found.all.objects,
        "bytes": found.all.bytes,
        "bytes_on_disk": look.offline.bytes(),
        "largest": found.largest,
        "pinned": sum(&found.pinned),
        "states": states,
        "ages": ages,
        "sites": count,
        "top_sites": sites,
        "purge_position": look.offline.seq().0,
        "records_dropped": look.offline.dropped(),
    });
    Ok(writeln!(look.out, "{line}")?)
}

fn text(
    look: &mut Look<'_>,
    directory: &Path,
    found: &Found,
    hosts: &[(String, Sum)],
    count: usize,
) -> Result<(), Stop> {
    let size = |bytes: u64| format!("{bytes} bytes ({})", about(bytes));
    let (taken, seq) = (look.offline.bytes(), look.offline.seq().0);
    let out = &mut look.out;
    writeln!(out, "{}", directory.display())?;
    writeln!(out, "  objects   {}, {}", found.all.objects, size(found.all.bytes))?;
    writeln!(out, "  on disk   {}; equal bodies once, with their records", size(taken))?;
    writeln!(out, "  largest   {}", size(found.largest))?;
    if found.pinned.objects > 0 {
        writeln!(out, "  pinned    {}, {}", found.pinned.objects, size(found.pinned.bytes))?;
    }
    for state in ["fresh", "stale", "purged", "part"] {
        if let Some(sum) = found.states.get(state) {
            writeln!(out, "  {state:<9} {}, {}", sum.objects, size(sum.bytes))?;
        }
    }
    writeln!(out, "  purges    position {seq}")?;
    writeln!(out, "stored, up to this long ago")?;
    for ((name, _), sum) in AGES.iter().zip(&found.ages).filter(|(_, sum)| sum.objects > 0) {
        writeln!(out, "  {name:<9} {}, {}", sum.objects, size(sum.bytes))?;
    }
    writeln!(out, "sites, {} of {count}", hosts.len())?;
    for (host, sum) in hosts {
        writeln!(out, "  {host}  {}, {}", sum.objects, size(sum.bytes))?;
    }
    Ok(())
}

/// The size as people say it.
fn about(bytes: u64) -> String {
    let unit = [40, 30, 20, 10].into_iter().map(|shift| 1_u64 << shift).find(|unit| bytes / unit >= 10);
    show_size(unit.map_or(bytes, |unit| bytes / unit * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_sizes_are_short() {
        assert_eq!(host("https://www.example.com:443/a/b?c"), "https://www.example.com:443");
        assert_eq!(host("odd"), "odd");
        assert_eq!(
            (about(512), about(20_000), about(5 << 30)),
            ("512B".into(), "19KiB".into(), "5GiB".into())
        );
    }
}
