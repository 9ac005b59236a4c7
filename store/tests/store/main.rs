//! The store from outside: what it promises, on a real directory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod basics;
mod corrupt;
mod crash;
mod followers;
mod large;
mod model;
mod nth_failure;
mod order;
mod purges;
mod replay;
mod scale;
mod space;
mod support;
mod undo;
