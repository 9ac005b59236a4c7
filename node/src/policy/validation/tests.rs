use super::super::{SetCookie, fields};
use super::*;

const STORED: &str =
    "ETag: \"a\"|Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT|Date: Mon, 07 Nov 1994 08:49:37 GMT";

use Condition::{Failed, NotModified, Whole};

const CONDITIONS: &[(&str, &str, &str, &str, Condition)] = &[
    // rule, method, request, stored, verdict
    ("no condition", "GET", "", STORED, Whole),
    ("13.1.2: a listed tag", "GET", "If-None-Match: \"a\"", STORED, NotModified),
    ("13.1.2: HEAD too", "HEAD", "If-None-Match: \"a\"", STORED, NotModified),
    ("13.1.2: another method", "PUT", "If-None-Match: \"a\"", STORED, Failed),
    ("13.1.2: another tag", "GET", "If-None-Match: \"b\"", STORED, Whole),
    ("13.1.2: in a list", "GET", "If-None-Match: \"b\", \"c\" , \"a\"", STORED, NotModified),
    ("5.3: in lines", "GET", "If-None-Match: \"b\"|If-None-Match: \"a\"", STORED, NotModified),
    ("13.1.2: weak comparison", "GET", "If-None-Match: W/\"a\"", STORED, NotModified),
    ("13.1.2: weak comparison", "GET", "If-None-Match: \"a\"", "ETag: W/\"a\"", NotModified),
    ("13.1.2: *", "GET", "If-None-Match: *", STORED, NotModified),
    ("13.1.2: * without a tag", "GET", "If-None-Match: *", "", NotModified),
    ("13.1.2: a quoted star is a tag", "GET", "If-None-Match: \"*\"", STORED, Whole),
    ("13.1.2: no stored tag", "GET", "If-None-Match: \"a\"", "", Whole),
    ("8.8.3: a tag is opaque bytes", "GET", "If-None-Match: \"ü\"", "ETag: \"ü\"", NotModified),
    ("8.8.3: unquoted is another", "GET", "If-None-Match: a", STORED, Whole),
    ("ours: the same bytes are the same", "GET", "If-None-Match: a", "ETag: a", NotModified),
    (
        "13.1.3: exactly that date",
        "GET",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        STORED,
        NotModified,
    ),
    ("13.1.3: a later date", "GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT", STORED, NotModified),
    ("13.1.3: an earlier date", "GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT", STORED, Whole),
    ("5.6.7: RFC 850 form", "GET", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", STORED, NotModified),
    ("5.6.7: asctime form", "GET", "If-Modified-Since: Sun Nov  6 08:49:37 1994", STORED, NotModified),
    ("13.1.3: ignored when invalid", "GET", "If-Modified-Since: tomorrow", STORED, Whole),
    (
        "13.1.3: ignored for other methods",
        "PUT",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        STORED,
        Whole,
    ),
    (
        "13.1.3: ignored when there are two",
        "GET",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT|If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        STORED,
        Whole,
    ),
    (
        "13.2.2: If-None-Match goes before (no match)",
        "GET",
        "If-None-Match: \"b\"|If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        STORED,
        Whole,
    ),
    (
        "13.2.2: If-None-Match goes before (match)",
        "GET",
        "If-None-Match: \"a\"|If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT",
        STORED,
        NotModified,
    ),
    (
        "9111 4.3.2: Date where there is no Last-Modified",
        "GET",
        "If-Modified-Since: Mon, 07 Nov 1994 08:49:37 GMT",
        "Date: Mon, 07 Nov 1994 08:49:37 GMT",
        NotModified,
    ),
    (
        "9111 4.3.2: Date later than that",
        "GET",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        "Date: Mon, 07 Nov 1994 08:49:37 GMT",
        Whole,
    ),
    ("neither date", "GET", "If-Modified-Since: Mon, 07 Nov 1994 08:49:37 GMT", "", Whole),
    ("9111 4.3.2: If-Match is for origins", "GET", "If-Match: \"b\"", STORED, Whole),
    (
        "9111 4.3.2: so is If-Unmodified-Since",
        "GET",
        "If-Unmodified-Since: Sun, 06 Nov 1990 08:49:37 GMT",
        STORED,
        Whole,
    ),
];

#[test]
fn conditions_of_clients() {
    for (rule, method, request, stored, expected) in CONDITIONS {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let found = evaluate(&method, &fields(request), StatusCode::OK, &fields(stored));
        assert_eq!(found, *expected, "{rule}: {request}");
    }
}

#[test]
fn conditions_count_for_2xx_only() {
    let (request, stored) = (fields("If-None-Match: \"a\""), fields(STORED));
    for (status, expected) in
        [(200, NotModified), (203, NotModified), (301, Whole), (404, Whole), (503, Whole)]
    {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(evaluate(&Method::GET, &request, status, &stored), expected, "13.2.1: {status}");
    }
}

#[test]
fn our_own_conditions() {
    let client = "If-Match: \"x\"|If-None-Match: \"x\"|If-Modified-Since: x|If-Unmodified-Since: x|If-Range: \"x\"|A: 1";
    for (rule, stored, expected) in [
        ("4.3.1: both", STORED, "A: 1|If-None-Match: \"a\"|If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
        ("4.3.1: the tag as it was spelled", "ETag: abc", "A: 1|If-None-Match: abc"),
        ("4.3.1: weak ones too", "ETag: W/\"a\"", "A: 1|If-None-Match: W/\"a\""),
        ("no validator", "Date: x", "A: 1"),
    ] {
        let mut request = fields(client);
        let any = add_validators(&mut request, &fields(stored));
        assert_eq!(request, fields(expected), "{rule}");
        assert_eq!(any, expected != "A: 1", "{rule}");
    }
}

#[test]
fn which_304_freshens_what() {
    let lm = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
    let lm_other = "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT";
    for (rule, stored, update, expected) in [
        ("4.3.4: the same strong tag", "ETag: \"a\"", "ETag: \"a\"", true),
        ("4.3.4: another strong tag must not", "ETag: \"a\"", "ETag: \"b\"", false),
        ("4.3.4: a strong tag needs the same strong one", "ETag: W/\"a\"", "ETag: \"a\"", false),
        ("4.3.4: a strong tag, none stored", lm, "ETag: \"a\"", false),
        ("4.3.4: a weak tag corresponds", "ETag: \"a\"", "ETag: W/\"a\"", true),
        ("4.3.4: a weak tag does not", "ETag: W/\"a\"", "ETag: W/\"b\"", false),
        ("4.3.4: Last-Modified corresponds", lm, lm, true),
        ("4.3.4: Last-Modified does not", lm, lm_other, false),
        ("4.3.4: Last-Modified, none stored", "ETag: \"a\"", lm, false),
        ("the same date in another form", lm, "Last-Modified: Sunday, 06-Nov-94 08:49:37 GMT", true),
        ("4.3.4: no validator on either side", "", "", true),
        ("ours: none in the 304: it answers our one condition", "ETag: \"a\"", "", true),
    ] {
        assert_eq!(selects(&fields(stored), &fields(update)), expected, "{rule}");
    }
}

const MERGES: &[(&str, &str, &str, &str)] = &[
    ("3.2: new values replace", "A: 1|B: 2", "A: 3", "A: 3|B: 2"),
    ("3.2: all lines of a name", "A: 1|A: 2", "A: 3", "A: 3"),
    ("3.2: with all new lines", "A: 1", "A: 2|A: 3", "A: 2|A: 3"),
    ("3.2: new names come", "A: 1", "B: 2", "A: 1|B: 2"),
    ("3.2: not Content-Length", "Content-Length: 5", "Content-Length: 0", "Content-Length: 5"),
    (
        "3.2: not what the bytes depend on",
        "Content-Encoding: gzip",
        "Content-Encoding: br",
        "Content-Encoding: gzip",
    ),
    ("3.2: nor Content-Range", "A: 1", "Content-Range: bytes 0-1/2", "A: 1"),
    (
        "3.2: nor a checksum of other bytes",
        "Content-MD5: x",
        "Content-MD5: y|Content-Digest: z",
        "Content-MD5: x",
    ),
    ("3.2: Content-Type may change", "Content-Type: a/b", "Content-Type: c/d", "Content-Type: c/d"),
    ("3.1: not what one connection needs", "A: 1", "Connection: x|X: 1|Keep-Alive: 5|Upgrade: y", "A: 1"),
    ("3.1: nor proxies", "A: 1", "Proxy-Authenticate: x|Proxy-Connection: y|TE: z", "A: 1"),
    ("4.2.3: Age is the new answer's", "Age: 9", "A: 1", "A: 1"),
    ("4.2.3: Age is the new answer's", "Age: 9", "Age: 3", "Age: 3"),
    ("4.2.3: Date too", "Date: x", "Date: y", "Date: y"),
    ("6.6.1: no Date is reception", "Date: x", "A: 1", "A: 1"),
    ("ours: no cookies", "A: 1", "Set-Cookie: a=b", "A: 1"),
    (
        "5.2.2.4: by the new directives",
        "A: 1",
        "Cache-Control: no-cache=\"a\"|A: 2",
        "Cache-Control: no-cache=\"a\"",
    ),
    (
        "5.2.2.4: by the old directives",
        "Cache-Control: private=\"a\"",
        "A: 2",
        "Cache-Control: private=\"a\"",
    ),
];

#[test]
fn merging_a_304() {
    for (rule, stored, update, expected) in MERGES {
        let merged = merge_304(&Config::default(), &fields(stored), &fields(update));
        assert_eq!(merged, fields(expected), "{rule}: {stored} + {update}");
    }
    let keep = Config { set_cookie: SetCookie::Keep, ..Config::default() };
    let merged = merge_304(&keep, &fields("Set-Cookie: a=b"), &fields("Set-Cookie: a=c"));
    assert_eq!(merged, fields("Set-Cookie: a=c"), "7.3, where the site keeps cookies");
}

#[test]
fn what_a_head_does() {
    let stored = fields(STORED);
    for (rule, status, head, expected) in [
        ("4.3.5: all it brings matches", 200, "ETag: \"a\"|Content-Length: 10", HeadEffect::Update),
        ("4.3.5: it brings nothing to compare", 200, "A: 1", HeadEffect::Update),
        ("4.3.5: another tag", 200, "ETag: \"b\"", HeadEffect::Stale),
        ("4.3.5: another date", 200, "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT", HeadEffect::Stale),
        ("4.3.5: another length", 200, "Content-Length: 11", HeadEffect::Stale),
        ("4.3.5: no length", 200, "Content-Length: x", HeadEffect::Stale),
        ("4.3.5: only 200", 410, "A: 1", HeadEffect::None),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(head_effect(&stored, 10, status, &fields(head)), expected, "{rule}");
    }
}

#[test]
fn if_range() {
    let same_second = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT|Date: Sun, 06 Nov 1994 08:49:37 GMT";
    for (rule, request, stored, expected) in [
        ("no If-Range", "Range: bytes=0-1", STORED, true),
        ("13.1.5: the same strong tag", "If-Range: \"a\"", STORED, true),
        ("13.1.5: another tag", "If-Range: \"b\"", STORED, false),
        ("13.1.5: a weak tag never", "If-Range: W/\"a\"", "ETag: W/\"a\"", false),
        ("13.1.5: a weak stored tag never", "If-Range: \"a\"", "ETag: W/\"a\"", false),
        ("13.1.5: exactly the date", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT", STORED, true),
        ("13.1.5: a later date is not exactly", "If-Range: Sun, 06 Nov 1994 08:49:38 GMT", STORED, false),
        ("8.8.2.2: a date too young is weak", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT", same_second, false),
        ("13.1.5: no validator stored", "If-Range: \"a\"", "", false),
        ("neither tag nor date", "If-Range: a", STORED, false),
    ] {
        assert_eq!(if_range_allows(&fields(request), &fields(stored)), expected, "{rule}");
    }
}
