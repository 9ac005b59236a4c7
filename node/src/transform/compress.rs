//! gzip, brotli and zstd by the client's q-values.

/// What a site says about compression, as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether to compress at all.
    pub enabled: bool,
    /// Bytes below which nothing is compressed.
    pub bytes_min: u64,
    /// Media types; `text/*` style prefixes allowed.
    pub types: Vec<String>,
    /// gzip level, 1 to 9.
    pub gzip_level: u32,
    /// brotli quality, 0 to 11.
    pub brotli_level: u32,
    /// zstd level, 1 to 19.
    pub zstd_level: u32,
}

impl Default for Config {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/javascript",
            "application/json",
            "application/ld+json",
            "application/manifest+json",
            "application/rss+xml",
            "application/atom+xml",
            "application/xhtml+xml",
            "application/xml",
            "application/wasm",
            "image/svg+xml",
            "font/ttf",
            "font/otf",
        ];
        Self {
            enabled: true,
            bytes_min: crate::limits::COMPRESS_BYTES_MIN,
            types: types.map(String::from).to_vec(),
            gzip_level: 6,
            brotli_level: 5,
            zstd_level: 3,
        }
    }
}
