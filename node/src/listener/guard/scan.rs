//! Where one request ends and the next one starts, for the whole life of a connection. No I/O.

use super::super::refusal::Refusal;
use super::chunks::{Chunks, Step};
use super::head::{Framing, Head, Progress};

#[derive(Debug)]
enum State {
    Head(Head),
    Length(u64),
    Chunks(Chunks),
    Ended,
}

/// What may go on to the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// So many bytes from the start may pass: whole heads and pieces of bodies.
    pub(super) pass: usize,
    pub(super) end: End,
}

/// What is to become of the bytes after those that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// They start a head that is not whole yet; show them again with what follows.
    Open,
    /// They were to be a head: answer with this.
    Refused(Refusal),
    /// They were to be chunk framing: the body ends in an error.
    Broken,
}

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    secure: bool,
}

impl Scanner {
    pub(super) fn new(secure: bool) -> Self {
        Self { state: State::Head(Head::default()), secure }
    }

    /// Judges `bytes`: those that did not pass last time, then new ones.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Verdict {
        let mut pass = 0;
        let end = loop {
            let rest = &bytes[pass..];
            if rest.is_empty() {
                break End::Open;
            }
            self.state = match &mut self.state {
                State::Head(head) => match head.advance(rest, self.secure) {
                    Ok(Progress::Unfinished) => break End::Open,
                    Ok(Progress::Done(length, framing)) => {
                        pass += length;
                        match framing {
                            Framing::Empty => State::Head(Head::default()),
                            Framing::Length(length) => State::Length(length),
                            Framing::Chunked => State::Chunks(Chunks::new()),
                        }
                    }
                    Err(why) => {
                        self.state = State::Ended;
                        break End::Refused(why);
                    }
                },
                State::Length(left) => {
                    let there = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    pass += there;
                    match *left - there as u64 {
                        0 => State::Head(Head::default()),
                        left => State::Length(left),
                    }
                }
                State::Chunks(chunks) => match chunks.advance(rest) {
                    Step::More => {
                        pass = bytes.len();
                        break End::Open;
                    }
                    Step::Done(length) => {
                        pass += length;
                        State::Head(Head::default())
                    }
                    Step::Broken(at) => {
                        pass += at;
                        self.state = State::Ended;
                        break End::Broken;
                    }
                },
                State::Ended => break End::Broken,
            };
        };
        Verdict { pass, end }
    }

    /// Whether the next byte would be the first of a head (or belongs to one that is not whole yet).
    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Gives up: nothing more is judged.
    pub(super) fn end(&mut self) {
        self.state = State::Ended;
    }
}
