//! Sizes and times as people write them.

use std::time::Duration;

/// Longest time that makes sense in a configuration; keeps all sums of times far from overflow.
const TIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Why a value was not understood, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// What is wrong.
    pub what: String,
    /// What to write.
    pub fix: String,
}

fn unclear<T>(what: String, fix: impl Into<String>) -> Result<T, Unclear> {
    Err(Unclear { what, fix: fix.into() })
}

/// Bytes from a whole number and `B`, `KiB`, `MiB`, `GiB` or `TiB`; no unit is bytes.
///
/// # Errors
/// Another form, a decimal unit such as `GB`, or more than 2^64 bytes.
pub fn size(text: &str) -> Result<u64, Unclear> {
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => {
            let fix = binary_unit(unit)
                .filter(|_| !number.is_empty())
                .map_or_else(size_form, |unit| format!("\"{number}{unit}\""));
            return unclear(format!("{text:?} is not a size"), fix);
        }
    };
    let Ok(count) = number.parse::<u64>() else {
        return unclear(format!("{text:?} is not a size"), size_form());
    };
    match count.checked_mul(1 << shift) {
        Some(bytes) => Ok(bytes),
        None => unclear(format!("{text:?} is more than any disk holds"), size_form()),
    }
}

fn size_form() -> String {
    "write a whole number and KiB, MiB or GiB, such as \"256MiB\"".into()
}

/// The unit that was most likely meant: `10GB`, `10g` and `10gib` are `10GiB` here.
fn binary_unit(unit: &str) -> Option<&'static str> {
    Some(match unit.trim().to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "kb" | "ki" | "kib" => "KiB",
        "m" | "mb" | "mi" | "mib" => "MiB",
        "g" | "gb" | "gi" | "gib" => "GiB",
        "t" | "tb" | "ti" | "tib" => "TiB",
        _ => return None,
    })
}

/// A time from a whole number and `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// Another form, a number without unit, or more than ten years.
pub fn time(text: &str) -> Result<Duration, Unclear> {
    let (number, unit) = split(text);
    let form = "write a whole number and ms, s, m, h or d, such as \"10s\"";
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 3600 * 1000,
        "d" => 24 * 3600 * 1000,
        "" if !number.is_empty() => {
            return unclear(
                format!("{text:?} has no unit"),
                format!("\"{number}s\" for seconds; or ms, m, h, d"),
            );
        }
        _ => return unclear(format!("{text:?} is not a time"), form),
    };
    let Ok(count) = number.parse::<u64>() else {
        return unclear(format!("{text:?} is not a time"), form);
    };
    match count.checked_mul(millis).map(Duration::from_millis) {
        Some(time) if time <= TIME_MAX => Ok(time),
        _ => unclear(format!("{text:?} is longer than ten years"), "at the most \"3650d\""),
    }
}

fn split(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

/// Bytes in the largest unit that divides them: `256MiB`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift && bytes.trailing_zeros() >= *shift) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// A time in the largest unit that divides it: `10s`.
#[must_use]
pub fn show_time(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("1B", 1), ("1KiB", 1024), ("256MiB", 256 << 20), ("10GiB", 10 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("16777215TiB"), Ok(16_777_215 << 40));
    }

    #[test]
    fn a_size_not_understood_names_the_one_meant() {
        for (text, fix) in
            [("10GB", "\"10GiB\""), ("5m", "\"5MiB\""), ("64 mib", "\"64MiB\""), ("7bytes", "\"7B\"")]
        {
            assert_eq!(size(text).unwrap_err().fix, fix, "{text}");
        }
        let hopeless = [
            "",
            "MiB",
            "-1MiB",
            "1.5GiB",
            "1e3",
            "ten",
            "16777216TiB",
            "99999999999999999999",
            "١KiB",
            "1QiB",
        ];
        for text in hopeless {
            assert_eq!(size(text).unwrap_err().fix, size_form(), "{text}");
        }
    }

    #[test]
    fn times_need_a_unit() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("7d", 604_800_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(time("10").unwrap_err().fix, "\"10s\" for seconds; or ms, m, h, d");
        for text in ["", "s", "10 s", "-1s", "1.5s", "10sec", "3651d", "18446744073709551615d", "1h30m"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        for bytes in [0, 1, 1023, 1024, 1536, 256 << 20, 3 << 30, u64::MAX] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
        for millis in [0, 1, 999, 1000, 1500, 60_000, 3_600_000, 86_400_000, 604_800_000] {
            let wanted = Duration::from_millis(millis);
            assert_eq!(time(&show_time(wanted)), Ok(wanted));
        }
        assert_eq!(
            (show_size(256 << 20), show_time(Duration::from_secs(60))),
            ("256MiB".into(), "1m".into())
        );
    }
}
