//! A request head, read as strictly as RFC 9112 allows: what two parsers could read in two ways is refused.
//!
//! The verdict depends on the bytes alone, never on how they were split into reads: lines are judged whole and in
//! order, limits by position.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::super::refusal::Refusal;
use super::REFUSED_METHOD;
use crate::limits;

/// Longest first line: a target at its limit, a method and a version.
const LINE_MAX: usize = limits::REQUEST_TARGET_BYTES_MAX + limits::REQUEST_METHOD_BYTES_MAX + 16;

/// How the body that follows a head ends (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Empty,
    Length(u64),
    Chunked,
}

/// What is known of a head so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Unfinished,
    /// The head ends before this offset.
    Done(usize, Framing),
}

/// One head. Offsets are relative to its first byte.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where the current line starts.
    line: usize,
    /// Up to where no LF was found.
    searched: usize,
    blank: bool,
    begun: bool,
    http10: bool,
    chunked: bool,
    fields: usize,
    length: Option<u64>,
    authority: Option<Range<usize>>,
    host: Option<Range<usize>>,
}

impl Head {
    /// Reads on. `head` starts with the head's first byte and holds at least what the call before held; it may go on
    /// beyond the head.
    pub(super) fn advance(&mut self, head: &[u8], secure: bool) -> Result<Progress, Refusal> {
        loop {
            if !self.begun {
                self.check_start(head)?;
            }
            let rest = head.get(self.searched..).unwrap_or_default();
            let end = memchr(b'\n', rest).map_or(head.len(), |at| self.searched + at);
            self.searched = end;
            if !self.begun && end - self.line > LINE_MAX {
                return Err(Refusal::TargetTooLong);
            }
            if end >= limits::REQUEST_HEAD_BYTES_MAX {
                return Err(Refusal::HeadTooLarge);
            }
            if end == head.len() {
                return Ok(Progress::Unfinished);
            }
            let Some(line) = head[self.line..end].strip_suffix(b"\r") else { return Err(Refusal::BareLf) };
            let start = self.line;
            self.line = end + 1;
            self.searched = end + 1;
            if !self.begun {
                self.first_line(line, start, secure)?;
            } else if line.is_empty() {
                return Ok(Progress::Done(end + 1, self.finish(head)?));
            } else {
                self.field(line, start)?;
            }
        }
    }

    /// Refuses what cannot become a request (a TLS hello, a bare LF) at its first byte, without waiting for its line.
    fn check_start(&self, head: &[u8]) -> Result<(), Refusal> {
        match head.get(self.line) {
            None | Some(b'\r') => Ok(()),
            Some(b'\n') => Err(Refusal::BareLf),
            Some(&byte) if is_token(byte) => Ok(()),
            Some(_) => Err(Refusal::Method),
        }
    }

    fn first_line(&mut self, line: &[u8], start: usize, secure: bool) -> Result<(), Refusal> {
        if line.is_empty() {
            // RFC 9112 2.2: one empty line before the request line is what old clients sent after a body.
            return if std::mem::replace(&mut self.blank, true) { Err(Refusal::BlankLines) } else { Ok(()) };
        }
        self.begun = true;
        if memchr(b'\r', line).is_some() {
            return Err(Refusal::BareCr);
        }
        let (Some(first), Some(last)) = (memchr(b' ', line), memrchr(b' ', line)) else {
            return Err(Refusal::RequestLine);
        };
        if first == last {
            return Err(Refusal::RequestLine);
        }
        let (method, target, version) = (&line[..first], &line[first + 1..last], &line[last + 1..]);
        self.http10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return Err(Refusal::Version),
        };
        check_method(method)?;
        if target.len() > limits::REQUEST_TARGET_BYTES_MAX {
            return Err(Refusal::TargetTooLong);
        }
        let offset = start + first + 1;
        self.authority = check_target(method, target, secure)?.map(|at| at.start + offset..at.end + offset);
        Ok(())
    }

    fn field(&mut self, line: &[u8], start: usize) -> Result<(), Refusal> {
        self.fields += 1;
        if self.fields > limits::REQUEST_FIELDS_MAX {
            return Err(Refusal::TooManyFields);
        }
        let colon = check_field(line)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if self.host.is_some() {
                    return Err(Refusal::HostRepeated);
                }
                let inner = trim(value);
                if !is_host(&value[inner.clone()]) {
                    return Err(Refusal::Host);
                }
                let offset = start + colon + 1;
                self.host = Some(inner.start + offset..inner.end + offset);
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(Refusal::ContentLength);
                }
                self.length = Some(digits(&value[trim(value)]).ok_or(Refusal::ContentLength)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let exact = value[trim(value)].eq_ignore_ascii_case(b"chunked");
                if self.chunked || self.http10 || !exact {
                    return Err(Refusal::TransferEncoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&self, head: &[u8]) -> Result<Framing, Refusal> {
        match (&self.host, &self.authority) {
            (None, _) if !self.http10 => return Err(Refusal::HostMissing),
            // RFC 9112 3.2.2 lets the target win; two names for one request are refused here.
            (Some(host), Some(target)) if !head[host.clone()].eq_ignore_ascii_case(&head[target.clone()]) => {
                return Err(Refusal::HostDiffers);
            }
            _ => {}
        }
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Refusal::LengthAndEncoding),
            (_, true) => Ok(Framing::Chunked),
            (None | Some(0), false) => Ok(Framing::Empty),
            (Some(length), false) => Ok(Framing::Length(length)),
        }
    }
}

fn check_method(method: &[u8]) -> Result<(), Refusal> {
    if method == b"CONNECT" {
        return Err(Refusal::Connect);
    }
    let fits = !method.is_empty() && method.len() <= limits::REQUEST_METHOD_BYTES_MAX;
    if !fits || !method.iter().copied().all(is_token) || method == REFUSED_METHOD.as_bytes() {
        return Err(Refusal::Method);
    }
    Ok(())
}

/// Checks the target's form (RFC 9112 3.2) and gives the place of its authority, if it has one.
fn check_target(method: &[u8], target: &[u8], secure: bool) -> Result<Option<Range<usize>>, Refusal> {
    let clean =
        target.iter().fold(true, |clean, &byte| clean & (byte.wrapping_sub(0x21) < 0x5e) & (byte != b'#'));
    if !clean {
        return Err(Refusal::Target);
    }
    match target {
        [b'/', ..] => Ok(None),
        b"*" if method == b"OPTIONS" => Ok(None),
        _ => {
            let scheme: &[u8] = if secure { b"https://" } else { b"http://" };
            let rest = target.len().checked_sub(scheme.len()).ok_or(Refusal::Target)?;
            if !target[..scheme.len()].eq_ignore_ascii_case(scheme) {
                return Err(Refusal::Target);
            }
            let after = &target[scheme.len()..];
            let length = after.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest);
            if !is_host(&after[..length]) {
                return Err(Refusal::Target);
            }
            Ok(Some(scheme.len()..scheme.len() + length))
        }
    }
}

/// Checks one field line and gives the place of its colon.
pub(super) fn check_field(line: &[u8]) -> Result<usize, Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::Folded);
    }
    let colon = memchr(b':', line).ok_or(Refusal::FieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !name.iter().copied().all(is_token) || name.is_empty() {
        let spaced = matches!(name.last(), Some(b' ' | b'\t'));
        return Err(if spaced { Refusal::SpaceBeforeColon } else { Refusal::FieldName });
    }
    let control =
        value.iter().fold(false, |bad, &byte| bad | ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f));
    if control {
        return Err(if memchr(b'\r', value).is_some() { Refusal::BareCr } else { Refusal::Control });
    }
    Ok(colon)
}

/// The place of `value` without the white space around it.
fn trim(value: &[u8]) -> Range<usize> {
    let blank = |byte: &&u8| matches!(**byte, b' ' | b'\t');
    let start = value.iter().take_while(blank).count();
    let end = value.len() - value[start..].iter().rev().take_while(blank).count();
    start..end
}

/// A number of at most 18 digits: no sign, no list, and no overflow anywhere behind us.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value
        .iter()
        .try_fold(0_u64, |number, &byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

/// Whether `text` is `host [":" port]` of names, addresses or an IPv6 literal, without the sub-delims, percent signs
/// and empty ports that RFC 3986 allows but no client sends: each is a name that someone else reads differently.
pub(in crate::listener) fn is_host(text: &[u8]) -> bool {
    let (host, port) = if text.first() == Some(&b'[') {
        let Some(close) = memchr(b']', text) else { return false };
        let inner = &text[1..close];
        if inner.len() < 2 || !inner.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
            return false;
        }
        (inner, &text[close + 1..])
    } else {
        let end = memchr(b':', text).unwrap_or(text.len());
        let host = &text[..end];
        if !host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')) {
            return false;
        }
        (host, &text[end..])
    };
    let port_fits = match port {
        [] => true,
        [b':', port @ ..] => port.len() <= 5 && digits(port).is_some_and(|port| port <= u64::from(u16::MAX)),
        _ => false,
    };
    port_fits && !host.is_empty() && host.len() <= 255
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let (mut at, extra) = (0, b"!#$%&'*+-.^_`|~");
    while at < 256 {
        table[at] = (at as u8).is_ascii_alphanumeric() && at < 128;
        at += 1;
    }
    at = 0;
    while at < extra.len() {
        table[extra[at] as usize] = true;
        at += 1;
    }
    table
};

/// RFC 9110 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}
