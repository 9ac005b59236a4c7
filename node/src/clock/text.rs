//! Timestamps as text, without a calendar library and without allocation.

use super::Timestamp;

/// A moment taken apart in the proleptic Gregorian calendar, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    milli: u64,
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Civil {
    /// Days to date after Howard Hinnant's `civil_from_days`: eras of 400 years that start on 1 March, so that the
    /// leap day is the last of its year.
    fn from(time: Timestamp) -> Self {
        const DAYS_PER_ERA: u64 = 146_097;
        let seconds = time.seconds();
        let since_march_of_year_0 = seconds / 86_400 + 719_468;
        let era = since_march_of_year_0 / DAYS_PER_ERA;
        let day_of_era = since_march_of_year_0 % DAYS_PER_ERA;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            milli: time.0 % 1_000,
        }
    }
}

/// Appends `2026-11-23T08:00:00.123Z` (RFC 3339).
pub fn push_rfc3339(out: &mut Vec<u8>, time: Timestamp) {
    let civil = Civil::from(time);
    push_seconds(out, &civil);
    out.push(b'.');
    push_digits(out, civil.milli, 3);
    out.push(b'Z');
}

fn push_seconds(out: &mut Vec<u8>, civil: &Civil) {
    push_digits(out, civil.year, 4);
    for (before, number) in [
        (b'-', civil.month),
        (b'-', civil.day),
        (b'T', civil.hour),
        (b':', civil.minute),
        (b':', civil.second),
    ] {
        out.push(before);
        push_digits(out, number, 2);
    }
}

/// `2026-11-23T08:00:00Z` (RFC 3339), for receipts and status pages.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let mut out = Vec::with_capacity(24);
    push_seconds(&mut out, &Civil::from(time));
    out.push(b'Z');
    String::from_utf8(out).unwrap_or_default()
}

/// Appends `23/Nov/2026:08:00:00 +0000`, the time of the common log format.
pub fn push_common(out: &mut Vec<u8>, time: Timestamp) {
    let civil = Civil::from(time);
    push_digits(out, civil.day, 2);
    out.push(b'/');
    let month = usize::try_from(civil.month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    out.extend_from_slice(*month.unwrap_or(&b"???"));
    out.push(b'/');
    push_digits(out, civil.year, 4);
    for number in [civil.hour, civil.minute, civil.second] {
        out.push(b':');
        push_digits(out, number, 2);
    }
    out.extend_from_slice(b" +0000");
}

/// A number with zeroes before it up to `width` digits.
pub fn push_digits(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn written(push: fn(&mut Vec<u8>, Timestamp), time: Timestamp) -> String {
        let mut out = Vec::new();
        push(&mut out, time);
        String::from_utf8(out).unwrap()
    }

    fn common(time: Timestamp) -> String {
        written(push_common, time)
    }

    #[test]
    fn known_moments() {
        let rows = [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z", "29/Feb/2000:00:00:00 +0000"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z", "29/Feb/2000:23:59:59 +0000"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z", "01/Mar/2000:00:00:00 +0000"),
            (1_795_420_800_123, "2026-11-23T08:00:00.123Z", "23/Nov/2026:08:00:00 +0000"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z", "28/Feb/2100:23:59:59 +0000"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z", "01/Mar/2100:00:00:00 +0000"),
        ];
        for (millis, rfc, clf) in rows {
            let time = Timestamp(millis);
            assert_eq!((written(push_rfc3339, time).as_str(), common(time).as_str()), (rfc, clf));
            assert_eq!(rfc3339(time), format!("{}Z", &rfc[..19]));
        }
        assert!(rfc3339(Timestamp(u64::MAX)).ends_with('Z'));
    }

    /// The date part by another library.
    fn agrees(millis: u64) -> bool {
        let http = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis));
        let [_, day, month, year, time, _] = http.split(' ').collect::<Vec<_>>()[..] else { return false };
        common(Timestamp(millis)) == format!("{day}/{month}/{year}:{time} +0000")
            && rfc3339(Timestamp(millis)).starts_with(year)
            && rfc3339(Timestamp(millis)).contains(&format!("-{day}T{time}"))
    }

    #[test]
    fn every_day_for_two_centuries() {
        for day in 0..73_000 {
            assert!(agrees(day * 86_400_000), "day {day}");
        }
    }

    proptest! {
        #[test]
        fn any_moment_until_the_year_9999(millis in 0_u64..253_402_300_800_000) {
            prop_assert!(agrees(millis));
        }

        #[test]
        fn never_panics(millis in any::<u64>()) {
            let _ = (rfc3339(Timestamp(millis)), common(Timestamp(millis)));
        }
    }
}
