//! What may change an answer on its way out, in one fixed order: conditional, range, compress, headers.
pub mod compress;
