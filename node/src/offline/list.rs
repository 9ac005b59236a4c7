//! `larder store ls`: a line for each object.

use super::{Look, Stop, answer, state};

pub(super) fn list(look: &mut Look<'_>, prefix: &str) -> Result<(), Stop> {
    look.each("reading", |at, item| {
        if !item.url.starts_with(prefix) {
            return Ok(());
        }
        let answer = answer(item);
        let state = state(item, answer.as_ref(), at.now);
        let status = answer.as_ref().map_or(0, |answer| answer.status.as_u16());
        let age = answer.as_ref().map_or(0, |answer| answer.freshness.age(at.now).as_secs());
        if at.json {
            let line = serde_json::json!({
                "url": item.url,
                "variant": item.variant,
                "status": status,
                "bytes": item.length,
                "age_seconds": age,
                "ttl_seconds": answer.as_ref().map_or(0, |answer| answer.freshness.ttl(at.now)),
                "state": state,
                "pinned": item.standing.pinned,
                "position": item.born.0,
            });
            writeln!(at.out, "{line}")?;
        } else {
            let variant =
                if item.variant.is_empty() { String::new() } else { format!("  {:?}", item.variant) };
            writeln!(at.out, "{:>12} {age:>9}s {status:>3} {state:<8} {}{variant}", item.length, item.url)?;
        }
        Ok(())
    })
}
