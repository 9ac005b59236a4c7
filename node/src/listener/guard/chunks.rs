//! The chunked framing of a request body (RFC 9112 7.1), byte by byte where it is framing and in bulk where it is data.

use super::head::check_field;
use crate::limits;

/// What became of the bytes given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All belong to the body.
    More,
    /// The body ends before this offset.
    Done(usize),
    /// The byte at this offset breaks the framing.
    Broken(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
}

/// One chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    digits: u8,
    left: u64,
    /// Bytes of the current size line.
    line: usize,
    /// Bytes of all trailers, and how many fields.
    trailers: usize,
    fields: usize,
    /// The current trailer line; empty and without memory for a body without trailers.
    held: Vec<u8>,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { at: At::Size, digits: 0, left: 0, line: 0, trailers: 0, fields: 0, held: Vec::new() }
    }

    /// Reads on.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Step {
        let mut here = 0;
        while here < bytes.len() {
            if self.at == At::Data {
                let there = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - here);
                here += there;
                self.left -= there as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            match self.framing(bytes[here]) {
                Some(false) => here += 1,
                Some(true) => return Step::Done(here + 1),
                None => return Step::Broken(here),
            }
        }
        Step::More
    }

    /// One byte of framing: whether the body is over, or nothing when the byte is wrong.
    fn framing(&mut self, byte: u8) -> Option<bool> {
        self.at = match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Size, _) => {
                self.digit(byte)?;
                At::Size
            }
            (At::Extension, b'\r') => At::SizeLf,
            (At::Extension, _) => {
                let fits = self.line < limits::CHUNK_LINE_BYTES_MAX;
                (fits && (byte == b'\t' || (0x20..0x7f).contains(&byte))).then_some(At::Extension)?
            }
            (At::SizeLf, b'\n') if self.left > 0 => At::Data,
            (At::SizeLf, b'\n') => At::Trailer,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                (self.digits, self.line) = (0, 0);
                At::Size
            }
            (At::Trailer, b'\r') => At::TrailerLf,
            (At::Trailer, _) => {
                self.trailers += 1;
                (byte != b'\n' && self.trailers <= limits::TRAILER_BYTES_MAX)
                    .then(|| self.held.push(byte))?;
                At::Trailer
            }
            (At::TrailerLf, b'\n') => return self.trailer(),
            _ => return None,
        };
        self.line += 1;
        Some(false)
    }

    fn digit(&mut self, byte: u8) -> Option<()> {
        let digit = char::from(byte).to_digit(16)?;
        self.digits += 1;
        // Fifteen digits cannot overflow, here or behind us.
        (self.digits <= 15).then(|| self.left = self.left * 16 + u64::from(digit))
    }

    /// The end of one trailer line; the empty one ends the body.
    fn trailer(&mut self) -> Option<bool> {
        if self.held.is_empty() {
            return Some(true);
        }
        self.fields += 1;
        let fits = self.fields <= limits::REQUEST_FIELDS_MAX && check_field(&self.held).is_ok();
        self.held.clear();
        self.at = At::Trailer;
        fits.then_some(false)
    }
}
