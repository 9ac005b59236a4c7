//! Bodies that name themselves: URL, version, size and hash, so that a wrong byte or another's body is always seen.

use bytes::Bytes;

/// What a body says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Path and query it was made for.
    pub target: String,
    /// Which version of it.
    pub version: u64,
}

/// A text body of at least `size` bytes for `target` in `version`; the same for the same arguments.
#[must_use]
pub fn body(target: &str, version: u64, size: usize) -> Bytes {
    let mut filler = String::with_capacity(size + 16);
    let mut state = hash(target.as_bytes()) ^ version.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while filler.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        filler.push_str(&format!("{state:016x}"));
    }
    filler.truncate(size);
    let sum = hash(filler.as_bytes());
    Bytes::from(format!("page {target} version {version} size {size} hash {sum:016x}\n{filler}"))
}

/// Reads what a body says of itself and proves it.
///
/// # Errors
/// A sentence, when the body is not exactly what [`body`] makes.
pub fn read(bytes: &[u8]) -> Result<Page, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let (line, filler) =
        text.split_once('\n').ok_or_else(|| format!("no page: {:?}", &text[..text.len().min(80)]))?;
    let words: Vec<_> = line.split(' ').collect();
    let ["page", target, "version", version, "size", size, "hash", sum] = words[..] else {
        return Err(format!("no page: {line:?}"));
    };
    if size.parse() != Ok(filler.len()) {
        return Err(format!("{line:?} has {} bytes", filler.len()));
    }
    if u64::from_str_radix(sum, 16) != Ok(hash(filler.as_bytes())) {
        return Err(format!("{line:?} has another hash"));
    }
    let version = version.parse().map_err(|_| format!("no version: {line:?}"))?;
    Ok(Page { target: target.to_owned(), version })
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Length of the block that [`Pattern`] repeats: a prime, so that no chunk size of anyone divides it.
const BLOCK: usize = 1_048_573;

/// How far apart the beginnings of two versions lie in the pattern.
pub const SHIFT: u64 = 100_003;

/// A body of any length that is cheap to make and to check: one block repeated.
#[derive(Debug, Clone)]
pub struct Pattern(Bytes);

impl Default for Pattern {
    fn default() -> Self {
        let mut block = body("/pattern", 1, BLOCK).to_vec();
        block.truncate(BLOCK);
        Self(block.into())
    }
}

impl Pattern {
    /// The bytes from `at` on, not more than `most` and never across the end of a block.
    #[must_use]
    pub fn piece(&self, at: u64, most: usize) -> Bytes {
        let from = usize::try_from(at % BLOCK as u64).expect("smaller than the block");
        self.0.slice(from..BLOCK.min(from + most))
    }

    /// Whether `bytes` are what stands at `at`.
    #[must_use]
    pub fn matches(&self, mut at: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let piece = self.piece(at, bytes.len());
            if piece[..] != bytes[..piece.len()] {
                return false;
            }
            bytes = &bytes[piece.len()..];
            at += piece.len() as u64;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_proves_itself_and_a_changed_byte_does_not() {
        let good = body("/a?b=1", 7, 1000);
        assert_eq!(read(&good), Ok(Page { target: "/a?b=1".into(), version: 7 }));
        for at in [0, 6, good.len() - 1] {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert_ne!(read(&bad), read(&good), "byte {at}");
        }
        assert!(read(&good[..good.len() - 1]).is_err());
    }

    #[test]
    fn a_pattern_is_found_at_its_place_only() {
        let pattern = Pattern::default();
        let mut bytes = pattern.piece(BLOCK as u64 - 10, 100).to_vec();
        bytes.extend_from_slice(&pattern.piece(BLOCK as u64, 100));
        assert_eq!(bytes.len(), 110);
        assert!(pattern.matches(BLOCK as u64 * 3 - 10, &bytes));
        assert!(!pattern.matches(BLOCK as u64 * 3 - 9, &bytes));
    }
}
