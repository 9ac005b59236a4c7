//! `larder store verify`: every byte against its checksum.

use super::{Look, Stop, word};

pub(super) fn verify(look: &mut Look<'_>) -> Result<(), Stop> {
    let (mut objects, mut bytes, mut bad) = (0_u64, 0_u64, 0_u64);
    look.each("verifying", |at, item| {
        objects += 1;
        bytes += item.length;
        if let Err(damage) = at.offline.read(item, |_| {}) {
            bad += 1;
            if at.json {
                let damage = word(damage);
                let line = serde_json::json!({ "url": item.url, "variant": item.variant, "damage": damage });
                writeln!(at.out, "{line}")?;
            } else {
                writeln!(at.out, "{} {:?}: {damage}", item.url, item.variant)?;
            }
        }
        Ok(())
    })?;
    let unread = look.bad;
    look.bad += bad;
    let dropped = look.offline.dropped();
    use std::io::Write;
    if look.json {
        let line = serde_json::json!({
            "objects": objects, "bytes": bytes, "bodies_damaged": bad, "records_unread": unread, "records_dropped": dropped,
        });
        writeln!(look.out, "{line}")?;
    } else {
        writeln!(
            look.out,
            "{objects} objects, {bytes} bytes: {bad} bodies damaged, {unread} records unread, {dropped} records dropped"
        )?;
    }
    Ok(())
}
