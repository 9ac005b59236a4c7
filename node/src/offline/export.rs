//! `larder store export`: bodies and heads as files that a person can open.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use larder_store::KeyRef;
use larder_store::offline::Item;

use super::{Look, Stop, Visit, answer, state};

/// Letters of a path that become part of a file's name.
const NAME_MAX: usize = 80;

pub(super) fn export(look: &mut Look<'_>, prefix: &str, to: &Path) -> Result<(), Stop> {
    let failed = |error: io::Error| {
        Stop::Failed(format!("{}: {error}", to.display()), "name a new directory with room in it".into())
    };
    if fs::read_dir(to).is_ok_and(|mut files| files.next().is_some()) {
        return Err(failed(io::Error::other("is not empty")));
    }
    fs::create_dir_all(to).map_err(failed)?;
    let (mut objects, mut bytes, mut bad) = (0_u64, 0_u64, 0_u64);
    look.each("exporting", |at, item| {
        // Lists of variants and blocks of large answers are no answers; what was purged is nobody's to look at.
        if !item.url.starts_with(prefix) || item.purged || answer(item).is_none() {
            return Ok(());
        }
        if write(at, item, to).map_err(failed)? {
            objects += 1;
            bytes += item.length;
        } else {
            bad += 1;
        }
        Ok(())
    })?;
    look.bad += bad;
    if look.json {
        let line = serde_json::json!({ "objects": objects, "bytes": bytes, "damaged": bad });
        writeln!(look.out, "{line}")?;
    } else {
        writeln!(look.out, "{objects} objects, {bytes} bytes in {}", to.display())?;
    }
    Ok(())
}

/// Writes one object; false if it is damaged, and then nothing of it stays.
fn write(at: &mut Visit<'_>, item: &Item, to: &Path) -> io::Result<bool> {
    let body_path = place(item, to);
    if let Some(folder) = body_path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut body = fs::OpenOptions::new().write(true).create_new(true).open(&body_path)?;
    let mut written = Ok(());
    let read = at.offline.read(item, |part| {
        if written.is_ok() {
            written = body.write_all(part);
        }
    });
    written?;
    if read.is_err() {
        fs::remove_file(&body_path)?;
        return Ok(false);
    }
    let mut head_path = body_path.into_os_string();
    head_path.push(".head");
    let mut head = fs::OpenOptions::new().write(true).create_new(true).open(head_path)?;
    head.write_all(&head_of(at, item))?;
    Ok(true)
}

/// The head as it would be sent, after lines that say what it is of.
fn head_of(at: &Visit<'_>, item: &Item) -> Vec<u8> {
    let Some(answer) = answer(item) else { return Vec::new() };
    let mut text = format!(
        "# {}\n# variant {:?}, {}, age {} s, ttl {} s, position {}\nHTTP/1.1 {}\n",
        item.url,
        item.variant,
        state(item, Some(&answer), at.now),
        answer.freshness.age(at.now).as_secs(),
        answer.freshness.ttl(at.now),
        item.born.0,
        answer.status,
    )
    .into_bytes();
    for (name, value) in answer.headers.iter() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text
}

/// `TO/HOST/HASH-NAME`: the hash tells objects apart whose names look alike, the name's end tells what is in it.
fn place(item: &Item, to: &Path) -> PathBuf {
    let rest = item.url.split_once("://").map_or(item.url.as_str(), |(_, rest)| rest);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.split('?').next().unwrap_or_default();
    let hash = (KeyRef::new(&item.url, &item.variant).hash() >> 80) as u64;
    to.join(plain(host)).join(format!("{hash:012x}-{}", plain(path)))
}

/// Letters, digits, dots, dashes; the end of what is too long. Never a name that means another folder.
fn plain(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    let all: Vec<char> = text.chars().map(safe).collect();
    let name: String = all[all.len().saturating_sub(NAME_MAX)..].iter().collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() { "index".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_and_say_what_they_are() {
        for (text, name) in [
            ("a/b/logo.svg", "a_b_logo.svg"),
            ("", "index"),
            ("..", "index"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("www.example.com:443", "www.example.com_443"),
            ("ä\0\n", "___"),
        ] {
            assert_eq!(plain(text), name, "{text}");
        }
        assert_eq!(plain(&"x".repeat(1000)).len(), NAME_MAX);
    }
}
