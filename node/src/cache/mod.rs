//! HTTP meaning over the store.

pub mod key;
