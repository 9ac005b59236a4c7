//! What may change an answer on its way out, in one fixed order: conditional, range, compress, headers.
pub mod compress;
pub mod conditional;
pub mod encode;
pub mod headers;
pub mod multipart;
pub mod range;
