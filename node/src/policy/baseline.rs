//! The second opinion: what the crate `http-cache-semantics` says of an answer, asked at store and refresh time only.
//!
//! The crate decides what it gets right, which is the list of RFC 9111 section 3 and the order of precedence of
//! RFC 9111 4.2.1. It never sees a header of an origin: it reads a copy written here, one line a field, directives in
//! lower case, dates in one form, numbers in range, no `Age`. What it does not know (statuses, `must-understand`,
//! qualified directives, targets, `Vary`, cookies, ages) its callers decide before and after. `differential.rs` lists
//! where it would go wrong on the raw fields.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, CACHE_CONTROL, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_cache_semantics::{CacheOptions, CachePolicy};

use super::dates::LATEST;

/// One exchange in the words the crate understands. Times are seconds since 1970, lifetimes seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Exchange {
    /// Whether the status is heuristically cacheable (RFC 9110 15.1).
    pub(super) heuristic_status: bool,
    /// Whether the request carried `Authorization`.
    pub(super) authorization: bool,
    /// Whether `no-store` of the request counts.
    pub(super) request_no_store: bool,
    /// Whether `no-store` of the answer counts.
    pub(super) no_store: bool,
    /// Whether the whole answer is `private`.
    pub(super) private: bool,
    pub(super) public: bool,
    pub(super) must_revalidate: bool,
    pub(super) s_maxage: Option<u32>,
    pub(super) max_age: Option<u32>,
    pub(super) date: u64,
    /// `Expires`; one that is no date is 0.
    pub(super) expires: Option<u64>,
    pub(super) last_modified: Option<u64>,
}

impl Exchange {
    /// Whether RFC 9111 section 3 lets a shared cache store the answer to this GET.
    pub(super) fn is_storable(&self) -> bool {
        self.policy(0.0).is_storable()
    }

    /// The lifetime of RFC 9111 4.2.1: `s-maxage`, else `max-age`, else `Expires` minus `Date`, else `percent` of the
    /// time since `Last-Modified`.
    pub(super) fn lifetime(&self, percent: u32) -> Duration {
        let percent = u16::try_from(percent).unwrap_or(u16::MAX);
        self.policy(f32::from(percent) / 100.0).time_to_live(at(self.date))
    }

    fn policy(&self, heuristic: f32) -> CachePolicy {
        let mut request = Request::new(());
        if self.authorization {
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("-"));
        }
        if self.request_no_store {
            request.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        let mut response = Response::new(());
        // The crate knows a closed list of statuses: OK stands for those with a heuristic, FOUND for the others.
        *response.status_mut() = if self.heuristic_status { StatusCode::OK } else { StatusCode::FOUND };
        self.write_fields(response.headers_mut());
        let options = CacheOptions {
            cache_heuristic: heuristic,
            immutable_min_time_to_live: Duration::ZERO,
            ..CacheOptions::default()
        };
        CachePolicy::new_options(&request, &response, at(self.date), options)
    }

    fn write_fields(&self, headers: &mut HeaderMap) {
        let mut directives = Vec::with_capacity(6);
        for (set, name) in [
            (self.no_store, "no-store"),
            (self.private, "private"),
            (self.public, "public"),
            (self.must_revalidate, "must-revalidate"),
        ] {
            directives.extend(set.then(|| name.to_owned()));
        }
        directives.extend(self.s_maxage.map(|seconds| format!("s-maxage={seconds}")));
        directives.extend(self.max_age.map(|seconds| format!("max-age={seconds}")));
        if let Ok(value) = HeaderValue::from_str(&directives.join(", "))
            && !directives.is_empty()
        {
            headers.insert(CACHE_CONTROL, value);
        }
        for (name, time) in
            [(DATE, Some(self.date)), (EXPIRES, self.expires), (LAST_MODIFIED, self.last_modified)]
        {
            let Some(time) = time else { continue };
            if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(at(time))) {
                headers.insert(name, value);
            }
        }
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_420_800;

    fn ok() -> Exchange {
        Exchange { heuristic_status: true, date: NOW, ..Exchange::default() }
    }

    #[test]
    fn the_crate_states_section_3() {
        for (rule, exchange, expected) in [
            ("a heuristic status alone", ok(), true),
            ("another status alone", Exchange { heuristic_status: false, ..ok() }, false),
            (
                "another status with max-age",
                Exchange { heuristic_status: false, max_age: Some(0), ..ok() },
                true,
            ),
            (
                "another status with Expires",
                Exchange { heuristic_status: false, expires: Some(0), ..ok() },
                true,
            ),
            ("another status with public", Exchange { heuristic_status: false, public: true, ..ok() }, true),
            ("no-store", Exchange { no_store: true, max_age: Some(9), ..ok() }, false),
            ("no-store of the request", Exchange { request_no_store: true, max_age: Some(9), ..ok() }, false),
            ("private", Exchange { private: true, max_age: Some(9), ..ok() }, false),
            ("Authorization", Exchange { authorization: true, max_age: Some(9), ..ok() }, false),
            ("Authorization, public", Exchange { authorization: true, public: true, ..ok() }, true),
            (
                "Authorization, must-revalidate",
                Exchange { authorization: true, must_revalidate: true, ..ok() },
                true,
            ),
            ("Authorization, s-maxage", Exchange { authorization: true, s_maxage: Some(9), ..ok() }, true),
        ] {
            assert_eq!(exchange.is_storable(), expected, "{rule}");
        }
    }

    #[test]
    fn the_crate_states_the_precedence_of_4_2_1() {
        let all = Exchange {
            s_maxage: Some(1),
            max_age: Some(20),
            expires: Some(NOW + 300),
            last_modified: Some(NOW - 40_000),
            ..ok()
        };
        for (rule, exchange, expected) in [
            ("s-maxage first", all, 1),
            ("then max-age", Exchange { s_maxage: None, ..all }, 20),
            ("then Expires", Exchange { s_maxage: None, max_age: None, ..all }, 300),
            ("then the heuristic", Exchange { s_maxage: None, max_age: None, expires: None, ..all }, 4000),
            ("Expires before Date", Exchange { expires: Some(NOW - 1), ..ok() }, 0),
            ("Expires that is no date", Exchange { expires: Some(0), ..ok() }, 0),
            ("2^31", Exchange { max_age: Some(1 << 31), ..ok() }, 1 << 31),
            ("the year 9999", Exchange { expires: Some(u64::MAX), ..ok() }, LATEST - NOW),
            ("Last-Modified in the future", Exchange { last_modified: Some(NOW + 9), ..ok() }, 0),
            ("nothing", ok(), 0),
        ] {
            assert_eq!(exchange.lifetime(10).as_secs(), expected, "{rule}");
        }
    }
}
