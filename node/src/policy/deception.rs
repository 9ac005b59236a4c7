//! Web cache deception: a path that looks like a file to a cache and like a page to its origin (`/account/x.css`,
//! `/account;x.css`, `/account%2Fx.css`), so that one visitor's page is stored where others find it.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::stray::is_for_all;
use super::{Config, targeted};
use crate::status::NotStored;

/// Extensions of style sheets and scripts.
const CODE: [&str; 3] = ["css", "js", "mjs"];

/// Extensions of pictures, fonts, sounds, films, documents, archives and programs.
const MEDIA: [&str; 43] = [
    "7z", "apk", "avi", "avif", "bmp", "bz2", "dmg", "doc", "docx", "eot", "exe", "flac", "gif", "gz", "ico",
    "iso", "jar", "jpeg", "jpg", "m4a", "mkv", "mov", "mp3", "mp4", "ogg", "otf", "pdf", "png", "ppt",
    "pptx", "rar", "svg", "swf", "tar", "tif", "tiff", "ttf", "wav", "webm", "webp", "woff", "woff2", "zip",
];

/// Types that pages and interfaces answer with, and no file of these extensions has.
const DOCUMENTS: [&str; 5] =
    ["application/json", "application/xhtml+xml", "application/xml", "text/html", "text/xml"];

/// Whether the answer may be stored under this URL, as far as its path and its type go. Whatever an origin declares to
/// be for all (`public`, `s-maxage`, a target) may.
///
/// # Errors
/// [`NotStored::AmbiguousPath`], [`NotStored::TypeMismatch`].
pub fn check(config: &Config, url: &str, status: StatusCode, response: &HeaderMap) -> Result<(), NotStored> {
    let path = url.split('?').next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let path = path.find('/').and_then(|at| path.get(at..)).unwrap_or_default();
    let Some((before, extension)) = path.rsplit_once('.') else { return Ok(()) };
    let Some(kind) = Kind::of(extension) else { return Ok(()) };
    let why = match () {
        () if is_ambiguous(before) => NotStored::AmbiguousPath,
        () if status.is_success() && kind.contradicts(response) => NotStored::TypeMismatch,
        () => return Ok(()),
    };
    if is_for_all(&targeted::directives(config, response)) { Ok(()) } else { Err(why) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Media,
}

impl Kind {
    fn of(extension: &str) -> Option<Self> {
        let is = |known: &&str| known.eq_ignore_ascii_case(extension);
        match () {
            () if CODE.iter().any(is) => Some(Self::Code),
            () if MEDIA.iter().any(is) => Some(Self::Media),
            () => None,
        }
    }

    /// Whether the type of the answer is none that such a file has. An answer without a type contradicts nothing.
    fn contradicts(self, response: &HeaderMap) -> bool {
        response.get_all(CONTENT_TYPE).iter().any(|value| self.is_not(value))
    }

    fn is_not(self, value: &HeaderValue) -> bool {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let Ok(essence) = std::str::from_utf8(essence) else { return true };
        let essence = essence.to_ascii_lowercase();
        let document = DOCUMENTS.contains(&essence.as_str()) || essence.ends_with("+json");
        match self {
            Self::Code | Self::Media => document,
        }
    }
}

/// Whether something before the extension ends the path for some readers: matrix parameters, escaped separators, escaped
/// ends of a path (`?`, `#`), control characters. Escaped dot segments are gone: no normal form has them.
fn is_ambiguous(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().any(|byte| matches!(byte, b';' | b'\\'))
        || bytes.windows(3).any(|escape| match escape {
            [b'%', high, low] => {
                let control = matches!(high, b'0' | b'1');
                control
                    || matches!(
                        (high, low),
                        (b'2', b'F' | b'3') | (b'3', b'F' | b'B') | (b'5', b'C') | (b'7', b'F')
                    )
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    fn verdict(path: &str, lines: &str) -> &'static str {
        let url = format!("https://www.example.com:443{path}");
        match check(&Config::default(), &url, StatusCode::OK, &fields(lines)) {
            Ok(()) => "stored",
            Err(why) => why.as_str(),
        }
    }

    #[test]
    fn paths_that_look_like_files() {
        let html = "Content-Type: text/html; charset=utf-8|Cache-Control: max-age=60";
        let rows: [(&str, &str, &str); 44] = [
            ("/account", html, "stored"),
            ("/account/", html, "stored"),
            ("/index.html", html, "stored"),
            ("/index.php", html, "stored"),
            ("/v1.2/users", html, "stored"),
            ("/account/x.css", html, "type-mismatch"),
            ("/account/x.CSS", html, "type-mismatch"),
            ("/account/x.css?v=1", html, "type-mismatch"),
            ("/account?x.css", html, "stored"),
            ("/account/x.js", html, "type-mismatch"),
            ("/account/x.png", html, "type-mismatch"),
            ("/account/x.woff2", html, "type-mismatch"),
            ("/account/x.pdf", html, "type-mismatch"),
            ("/account/.css", html, "type-mismatch"),
            ("/account/x.png", "Content-Type: application/json", "type-mismatch"),
            ("/account/x.jpg", "Content-Type: application/problem+json", "type-mismatch"),
            ("/account/x.gif", "Content-Type: text/plain", "stored"),
            ("/account/x.css", "Content-Type: APPLICATION/XHTML+XML", "type-mismatch"),
            ("/account/x.js", "Content-Type: application/vnd.api+json", "type-mismatch"),
            ("/account/x.js", "Content-Type: application/json", "type-mismatch"),
            ("/a/x.js.map", "Content-Type: application/json", "stored"),
            ("/a/x.json", "Content-Type: application/json", "stored"),
            ("/a/x.css", "Content-Type: text/css", "stored"),
            ("/a/x.js", "Content-Type: application/javascript", "stored"),
            ("/a/x.js", "Content-Type: text/plain", "stored"),
            ("/a/x.svg", "Content-Type: image/svg+xml", "stored"),
            ("/a/x.png", "Content-Type: application/octet-stream", "stored"),
            ("/a/x.png", "", "stored"),
            ("/a/x.png", "Content-Type: image/png|Content-Type: text/html", "type-mismatch"),
            ("/account;x.css", html, "ambiguous-path"),
            ("/account;x.css", "Content-Type: text/css", "ambiguous-path"),
            ("/account%2Fx.css", html, "ambiguous-path"),
            ("/account%5Cx.css", html, "ambiguous-path"),
            ("/account\\x.css", html, "ambiguous-path"),
            ("/account%0Ax.css", html, "ambiguous-path"),
            ("/account%23x.css", html, "ambiguous-path"),
            ("/account%3Fx.css", html, "ambiguous-path"),
            ("/account%3Bx.css", html, "ambiguous-path"),
            ("/account/..%2Fx.css", html, "ambiguous-path"),
            ("/caf%C3%A9/x%20y.css", "Content-Type: text/css", "stored"),
            ("/account/x.css", "Content-Type: text/html|Cache-Control: public, max-age=60", "stored"),
            ("/account/x.css", "Content-Type: text/html|Cache-Control: s-maxage=60", "stored"),
            ("/account;x.css", "Content-Type: text/html|CDN-Cache-Control: max-age=60", "stored"),
            ("/account;x.html", html, "stored"),
        ];
        for (path, lines, wanted) in rows {
            assert_eq!(verdict(path, lines), wanted, "{path} {lines}");
        }
    }

    #[test]
    fn a_missing_file_is_missing_for_everybody() {
        let url = "http://a:80/x.png";
        let answer = fields("Content-Type: text/html|Cache-Control: max-age=5");
        assert_eq!(check(&Config::default(), url, StatusCode::NOT_FOUND, &answer), Ok(()));
    }
}
