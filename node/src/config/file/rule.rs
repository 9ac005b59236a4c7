//! `[site.key]` and `[[site.rule]]` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{SetCookie, Time};

/// What tells answers apart besides scheme, host, port, path and query. Requests declared equal are sent equal.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Key {
    /// Bring parameters into the order of their names, for the key and for the origin. Default: `false`.
    pub sort_query: Option<bool>,
    /// Parameters that do not count and are not sent on, such as `ref` or `utm_*`.
    pub drop_query: Option<Vec<String>>,
    /// Drop the well-known parameters of campaigns and advertisers (`utm_*`, `gclid`, `fbclid`, ...). Default: `false`.
    pub drop_tracking: Option<bool>,
    /// The only parameters that count and are sent on; `[]` is none.
    pub keep_query: Option<Vec<String>>,
    /// Request fields that count, as if every answer named them in Vary.
    pub headers: Option<Vec<String>>,
    /// Cookies that count; with them, and with `arm`, no other cookie is sent to the origin unless a rule passes the
    /// request.
    pub cookies: Option<Vec<String>>,
    /// Cookies of experiments, reduced to known values.
    pub arm: Vec<Arm>,
    /// Field in which the origin is told `mobile`, `tablet` or `desktop`, and which counts; such as `X-Device`.
    pub device: Option<String>,
    /// Request fields by which the origin does not answer, such as `x-app-*`: requests that differ in them may share an
    /// answer.
    pub harmless_headers: Option<Vec<String>>,
}

/// A cookie of an experiment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Arm {
    /// Name of the cookie.
    pub cookie: Option<String>,
    /// Its values.
    pub values: Vec<String>,
    /// The value that is sent for every other one and for none. Left out, no cookie is sent then.
    pub default: Option<String>,
}

/// What is special about some paths. The first rule that matches a request is the only one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Name in Cache-Status, log and reload: letters, digits, `-`, `_`, `.`. Default: its number, from 1.
    pub name: Option<String>,
    /// Paths, such as `/login` (just that), `/static/*` (all below) or `*/thumb/*`: `*` is any run of characters.
    pub paths: Option<Vec<String>>,
    /// Extensions of paths, such as `css`, in any case.
    pub extensions: Option<Vec<String>>,
    /// Methods. Default: all.
    pub methods: Option<Vec<String>>,
    /// Past the cache, request and answer as they are. Default: `false`.
    pub pass: Option<bool>,
    /// Past the cache for requests with one of these cookies, such as `session*` or `preview=1`.
    pub pass_cookies: Option<Vec<String>>,
    /// Past the cache for requests with one of these fields, such as `x-preview` or `x-requested-with=*fetch*`.
    pub pass_headers: Option<Vec<String>>,
    /// Cookies that are not sent to the origin, so that the answer may be shared; `*` is all.
    pub ignore_cookies: Option<Vec<String>>,
    /// The query does not count and is not sent on. Default: `false`.
    pub ignore_query: Option<bool>,
    /// Lifetime in this node of answers below 400, instead of the origin's; `0s` is not stored.
    pub ttl: Option<Time>,
    /// Shortest lifetime of answers below 400.
    pub ttl_min: Option<Time>,
    /// Longest lifetime of answers below 400.
    pub ttl_max: Option<Time>,
    /// Lifetime by status, such as `{ 404 = "30s", 5xx = "0s" }`; it outranks `ttl`.
    pub status_ttl: Option<BTreeMap<String, Time>>,
    /// Lifetime in browsers: Cache-Control of what clients get, counted from then.
    pub browser_ttl: Option<Time>,
    /// Lifetimes, no-cache and must-revalidate of the origin do not count; no-store and private do. Default: `false`.
    pub ignore_cache_control: Option<bool>,
    /// Store answers although: `no-store`, `private`, `authorization` (in the request).
    pub store_despite: Option<Vec<Despite>>,
    /// Answers with Set-Cookie, as `set_cookie` of `[site.cache]`.
    pub set_cookie: Option<SetCookie>,
    /// Tags of the answers besides the origin's.
    pub tags: Option<Vec<String>>,
}

/// What a rule stores an answer in spite of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Despite {
    /// `no-store` in the answer.
    NoStore,
    /// `private` in the answer.
    Private,
    /// `Authorization` in the request.
    Authorization,
}
