//! `GET /cache?url=URL`: what is stored for it.

use http::StatusCode;
use larder_store::purge::normalise;
use percent_encoding::percent_decode_str;

use super::{Admin, reply};
use crate::cache::key;
use crate::http::Response;

/// What the node has under the URL.
pub(super) async fn inspect(query: Option<&str>, admin: &Admin) -> Response {
    let hint = "ask like /cache?url=https://www.example.com/news (a % in the URL percent-encoded)";
    // The only parameter, so an unencoded URL may hold a query of its own.
    let written = query.and_then(|q| q.strip_prefix("url=")).map(decode);
    let Some(written) = written.filter(|url| !url.is_empty()) else {
        return reply::error(StatusCode::BAD_REQUEST, "url: missing", hint);
    };
    let key = normalise(&written).map_err(|why| why.to_string());
    match key.and_then(|url| key::of_url(&url).map_err(|why| format!("{why}: {written:?}"))) {
        Ok(url) => reply::json(StatusCode::OK, &(admin.inspect)(url).await),
        Err(why) => reply::error(StatusCode::BAD_REQUEST, &format!("url: {why}"), hint),
    }
}

/// A parameter of a query, percent-decoded; the first of its name.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| *key == name)?.1;
    Some(decode(value))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
