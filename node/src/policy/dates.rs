//! HTTP dates (RFC 9110 5.6.7, RFC 9111 4.2): all three forms, names in any case, only GMT.

/// Last second of the year 9999, the end of what an HTTP date can say.
pub(super) const LATEST: u64 = 253_402_300_799;

/// 2026-01-01, where nothing better is known to place a two-digit year.
pub(super) const REFERENCE: u64 = 1_767_225_600;

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970 of `value`, zero for anything earlier, `None` if it is not an HTTP date.
///
/// `now` (seconds) places the two-digit year of the RFC 850 form: never more than 50 years ahead. The name of the
/// weekday must be one, but need not be the right one: nothing depends on it.
pub(super) fn parse(value: &[u8], now: u64) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    if !text.is_ascii() {
        return None;
    }
    match text.find(',') {
        Some(3) => imf_fixdate(text),
        Some(_) => rfc850(text, now),
        None => asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &str) -> Option<u64> {
    if text.len() != 29 || !is_short_weekday(&text[..3]) || &text[3..5] != ", " {
        return None;
    }
    let bytes = text.as_bytes();
    if bytes[7] != b' ' || bytes[11] != b' ' || bytes[16] != b' ' || !text[25..].eq_ignore_ascii_case(" GMT")
    {
        return None;
    }
    seconds(digits(&text[12..16])?, month(&text[8..11])?, digits(&text[5..7])?, &text[17..25])
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &str, now: u64) -> Option<u64> {
    let (weekday, rest) = text.split_once(", ")?;
    if !WEEKDAYS.iter().any(|name| name.eq_ignore_ascii_case(weekday)) || rest.len() != 22 {
        return None;
    }
    let bytes = rest.as_bytes();
    if bytes[2] != b'-' || bytes[6] != b'-' || bytes[9] != b' ' || !rest[18..].eq_ignore_ascii_case(" GMT") {
        return None;
    }
    let this_year = year_of(now);
    let mut year = this_year - this_year % 100 + digits(&rest[7..9])?;
    if year > this_year + 50 {
        year -= 100;
    }
    seconds(year, month(&rest[3..6])?, digits(&rest[..2])?, &rest[10..18])
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &str) -> Option<u64> {
    if text.len() != 24 || !is_short_weekday(&text[..3]) {
        return None;
    }
    let bytes = text.as_bytes();
    if [3, 7, 10, 19].iter().any(|&at| bytes[at] != b' ') {
        return None;
    }
    let day = text[8..10].strip_prefix(' ').unwrap_or(&text[8..10]);
    seconds(digits(&text[20..])?, month(&text[4..7])?, digits(day)?, &text[11..19])
}

fn is_short_weekday(name: &str) -> bool {
    WEEKDAYS.iter().any(|full| full[..3].eq_ignore_ascii_case(name))
}

fn month(name: &str) -> Option<u64> {
    MONTHS.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|at| at as u64 + 1)
}

fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { text.parse().ok() }
}

fn seconds(year: u64, month: u64, day: u64, time: &str) -> Option<u64> {
    let bytes = time.as_bytes();
    if bytes[2] != b':' || bytes[5] != b':' || day == 0 || day > days_in(year, month) {
        return None;
    }
    let (hour, minute, second) = (digits(&time[..2])?, digits(&time[3..5])?, digits(&time[6..])?);
    // 60 is a leap second (RFC 9110 5.6.7).
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if year < 1970 {
        return Some(0);
    }
    Some(days_before(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Whole days from 1970-01-01 to a date not before it.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let past = year - 1;
    let leaps = past / 4 - past / 100 + past / 400 - 477;
    let months: u64 = (1..month).map(|earlier| days_in(year, earlier)).sum();
    (year - 1970) * 365 + leaps + months + day - 1
}

/// The year of a moment, exact enough for a window of 50 years.
fn year_of(now: u64) -> u64 {
    1970 + now.min(LATEST) / 31_556_952
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T08:00:00Z
    const NOW: u64 = 1_795_420_800;

    const ROWS: &[(&str, Option<u64>, &str)] = &[
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777), "9110 5.6.7: IMF-fixdate"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777), "9110 5.6.7: RFC 850 form is accepted"),
        ("Sun Nov  6 08:49:37 1994", Some(784_111_777), "9110 5.6.7: asctime form is accepted"),
        ("SUN, 06 NOV 1994 08:49:37 gmt", Some(784_111_777), "9111 4.2: match case-insensitively"),
        ("sunday, 06-nov-94 08:49:37 GmT", Some(784_111_777), "9111 4.2: match case-insensitively"),
        ("sun nov 16 08:49:37 1994", Some(784_975_777), "9111 4.2: asctime, two digits of day"),
        ("Sun, 06 Nov 1994 08:49:37 UTC", None, "9111 4.2: only GMT"),
        ("Sun, 06 Nov 1994 08:49:37 AEST", None, "9111 4.2: only GMT"),
        ("Sun, 06 Nov 1994 08:49:37 +0000", None, "9111 4.2: only GMT"),
        ("Sunday, 18-Aug-50 02:01:18 GMT", Some(2_544_400_878), "9110 5.6.7: 24 years ahead is ahead"),
        ("Sunday, 18-Aug-76 02:01:18 GMT", Some(3_364_941_678), "9110 5.6.7: 50 years ahead is ahead"),
        ("Sunday, 18-Aug-77 02:01:18 GMT", Some(240_717_678), "9110 5.6.7: more than 50 is the past"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0), "the epoch"),
        ("Fri, 31 Dec 1900 00:00:00 GMT", Some(0), "before the epoch is as old as can be"),
        ("Sat, 01 Jan 0000 00:00:00 GMT", Some(0), "the year 0 is old, not a panic"),
        ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800), "leap day"),
        ("Thu, 29 Feb 2100 00:00:00 GMT", None, "2100 has none"),
        ("Sun, 21 Nov 2286 04:46:39 GMT", Some(10_000_039_599), "far ahead"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(LATEST), "the last second"),
        ("Mon, 06 Nov 1994 08:49:60 GMT", Some(784_111_800), "leap second, and the wrong weekday"),
        ("0", None, "9111 5.3: especially \"0\""),
        ("-1", None, "a number is no date"),
        ("", None, "empty"),
        ("Foo, 06 Nov 1994 08:49:37 GMT", None, "no weekday"),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None, "no month"),
        ("Sun, 31 Apr 1994 08:49:37 GMT", None, "no such day"),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None, "no such day"),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None, "no such hour"),
        ("Sun, 06 Nov 94 08:49:37 GMT", None, "two digits only in the RFC 850 form"),
        ("Sun 06 Nov 1994 08:49:37 GMT", None, "comma missing"),
        ("Sun, 06  Nov  1994 08:49:37 GMT", None, "two spaces"),
        ("Sun, 06-Nov-1994 08:49:37 GMT", None, "dashes with four digits"),
        ("Sun, 06 Nov 1994 08.49.37 GMT", None, "points in the time"),
        ("Sun, 06 Nov 1994 8:49:37 GMT", None, "one digit of hour"),
        ("Sun, 06 Nov 1994 +8:49:37 GMT", None, "a sign is no digit"),
        ("Sün, 06 Nov 1994 08:49:37 GMT", None, "not ASCII"),
    ];

    #[test]
    fn dates_as_rfc_9110_and_9111_say() {
        for (text, expected, rule) in ROWS {
            assert_eq!(parse(text.as_bytes(), NOW), *expected, "{rule}: {text:?}");
        }
        assert_eq!(parse(b"Sun, 06 Nov 1994 08:49:37 GM\xff", NOW), None, "not UTF-8");
    }

    #[test]
    fn every_day_until_2200_agrees_with_the_crate_httpdate() {
        for day in 0..84_000_u64 {
            let at = day * 86_400 + day % 86_400;
            let text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(at));
            assert_eq!(parse(text.as_bytes(), NOW), Some(at), "{text}");
        }
    }
}
