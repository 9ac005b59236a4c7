use super::super::fields;
use super::*;

/// The directives of an answer in short, in one fixed order.
fn shown(d: &Directives) -> String {
    let mut words = Vec::new();
    for (name, value) in [
        ("max-age", d.max_age),
        ("s-maxage", d.s_maxage),
        ("max-stale", d.max_stale),
        ("min-fresh", d.min_fresh),
        ("stale-while-revalidate", d.stale_while_revalidate),
        ("stale-if-error", d.stale_if_error),
    ] {
        words.extend(value.map(|seconds| format!("{name}={seconds}")));
    }
    for (name, set) in [
        ("no-cache", d.no_cache),
        ("no-store", d.no_store),
        ("no-transform", d.no_transform),
        ("only-if-cached", d.only_if_cached),
        ("must-revalidate", d.must_revalidate),
        ("proxy-revalidate", d.proxy_revalidate),
        ("must-understand", d.must_understand),
        ("private", d.private),
        ("public", d.public),
        ("immutable", d.immutable),
    ] {
        words.extend(set.then(|| name.to_owned()));
    }
    words.extend(d.no_cache_fields.iter().map(|field| format!("no-cache:{field}")));
    words.extend(d.private_fields.iter().map(|field| format!("private:{field}")));
    words.join(" ")
}

const ANSWERS: &[(&str, &str, &str)] = &[
    ("5.2: names in any case", "Cache-Control: MaX-aGe=3600, nO-StOrE", "max-age=3600 no-store"),
    ("5.2: unknown directives are ignored", "Cache-Control: foobar, max-age=1, baz=\"qux\"", "max-age=1"),
    ("5.2: both argument forms", "Cache-Control: max-age=\"3600\"", "max-age=3600"),
    ("5.2: quoted-pair", "Cache-Control: max-age=\"3\\600\"", "max-age=3600"),
    ("9110 5.6.1: empty members", "Cache-Control: ,, max-age=1 ,", "max-age=1"),
    ("9110 5.3: lines are one list", "Cache-Control: public|Cache-Control: max-age=1", "max-age=1 public"),
    (
        "9110 5.6.4: a comma in quotes is no separator",
        "Cache-Control: x=\"a, max-age=9\", max-age=1",
        "max-age=1",
    ),
    (
        "9110 5.6.4: nor behind an escaped quote",
        "Cache-Control: x=\"a\\\", max-age=9\", max-age=1",
        "max-age=1",
    ),
    ("ours: an open quote hides nothing", "Cache-Control: x=\"a, no-store", "no-store"),
    ("1.2.2: leading zeroes", "Cache-Control: max-age=003600", "max-age=3600"),
    ("1.2.2: the largest", "Cache-Control: max-age=2147483648", "max-age=2147483648"),
    ("1.2.2: larger is 2^31", "Cache-Control: max-age=2147483649", "max-age=2147483648"),
    ("1.2.2: much larger too", "Cache-Control: max-age=99999999999999999999999", "max-age=2147483648"),
    ("4.2.1: invalid is stale: letters", "Cache-Control: max-age=a100", "max-age=0"),
    ("4.2.1: invalid is stale: letters behind", "Cache-Control: max-age=100a", "max-age=0"),
    ("4.2.1: invalid is stale: negative", "Cache-Control: max-age=-3600", "max-age=0"),
    ("4.2.1: invalid is stale: a sign", "Cache-Control: max-age=+3600", "max-age=0"),
    ("4.2.1: invalid is stale: a fraction", "Cache-Control: max-age=3600.0", "max-age=0"),
    ("4.2.1: invalid is stale: single quotes", "Cache-Control: max-age='3600'", "max-age=0"),
    ("4.2.1: invalid is stale: blank before =", "Cache-Control: max-age =3600", "max-age=0"),
    ("4.2.1: invalid is stale: blank after =", "Cache-Control: max-age= 3600", "max-age=0"),
    ("4.2.1: invalid is stale: nothing", "Cache-Control: max-age=", "max-age=0"),
    ("4.2.1: invalid is stale: no argument", "Cache-Control: max-age", "max-age=0"),
    ("4.2.1: invalid is stale: open quote", "Cache-Control: max-age=\"3600", "max-age=0"),
    ("4.2.1: of two the restrictive", "Cache-Control: max-age=3600, max-age=1800", "max-age=1800"),
    ("4.2.1: in any order", "Cache-Control: max-age=1|Cache-Control: max-age=1800", "max-age=1"),
    ("4.2.1: of two, one invalid", "Cache-Control: max-age=60, max-age=x", "max-age=0"),
    ("5.2.2.4: no-cache", "Cache-Control: No-CaChE", "no-cache"),
    ("5.2.2.4: qualified", "Cache-Control: no-cache=\"Set-Cookie, A\"", "no-cache:set-cookie no-cache:a"),
    ("5.2.2.4: as token", "Cache-Control: no-cache=a", "no-cache:a"),
    ("5.2.2.4: qualified and not is not", "Cache-Control: no-cache=\"a\", no-cache", "no-cache no-cache:a"),
    ("ours: a list of nothing is unqualified", "Cache-Control: no-cache=\"\"", "no-cache"),
    ("ours: a list of no names is unqualified", "Cache-Control: private=\"a b\"", "private"),
    ("5.2.2.7: private", "Cache-Control: private, max-age=9", "max-age=9 private"),
    ("5.2.2.7: qualified", "Cache-Control: private=\"x-user\"", "private:x-user"),
    ("5.2.2.5: an argument changes nothing", "Cache-Control: no-store=\"x\"", "no-store"),
    ("ours: a blank does not disarm it", "Cache-Control: no-store =0", "no-store"),
    (
        "the rest",
        "Cache-Control: must-revalidate, proxy-revalidate, must-understand, public, immutable, no-transform, s-maxage=1",
        "s-maxage=1 no-transform must-revalidate proxy-revalidate must-understand public immutable",
    ),
    (
        "5861: windows",
        "Cache-Control: stale-while-revalidate=30, stale-if-error=x",
        "stale-while-revalidate=30 stale-if-error=0",
    ),
    ("5.2.1: not in answers", "Cache-Control: max-stale, min-fresh=1, only-if-cached", ""),
    ("5.4: Pragma of an answer means nothing", "Pragma: no-cache", ""),
];

#[test]
fn answers() {
    for (rule, lines, expected) in ANSWERS {
        assert_eq!(shown(&Directives::response(&fields(lines))), *expected, "{rule}: {lines}");
    }
}

const REQUESTS: &[(&str, &str, &str)] = &[
    ("5.2.1.1: max-age", "Cache-Control: max-age=10", "max-age=10"),
    ("5.2.1.2: max-stale without argument", "Cache-Control: max-stale", "max-stale=4294967295"),
    ("5.2.1.2: max-stale", "Cache-Control: max-stale=5", "max-stale=5"),
    ("4.2.1: the restrictive", "Cache-Control: max-stale, max-stale=5", "max-stale=5"),
    ("5.2.1.3: min-fresh", "Cache-Control: min-fresh=5", "min-fresh=5"),
    ("4.2.1: the restrictive is the larger", "Cache-Control: min-fresh=5, min-fresh=9", "min-fresh=9"),
    ("5.2.1.4: no-cache", "Cache-Control: no-cache", "no-cache"),
    ("5.2.1.5: no-store", "Cache-Control: no-store", "no-store"),
    ("5.2.1.6: no-transform", "Cache-Control: no-transform", "no-transform"),
    ("5.2.1.7: only-if-cached", "Cache-Control: only-if-cached", "only-if-cached"),
    ("5861 4: stale-if-error", "Cache-Control: stale-if-error=60", "stale-if-error=60"),
    ("5.4: Pragma without Cache-Control", "Pragma: no-cache", "no-cache"),
    ("5.4: Pragma in a list", "Pragma: foo, No-Cache", "no-cache"),
    ("5.4: Pragma beside Cache-Control", "Pragma: no-cache|Cache-Control: foo", ""),
    ("5.4: another Pragma", "Pragma: foo", ""),
    ("5.2.2: not in requests", "Cache-Control: public, private, s-maxage=1, must-revalidate", ""),
];

#[test]
fn requests() {
    for (rule, lines, expected) in REQUESTS {
        assert_eq!(shown(&Directives::request(&fields(lines))), *expected, "{rule}: {lines}");
    }
}

#[test]
fn bytes_outside_ascii_are_no_trouble() {
    let mut headers = HeaderMap::new();
    headers
        .append(CACHE_CONTROL, HeaderValue::from_bytes(b"\xff=\xfe, max-age=7, no-cache=\"\xff\"").unwrap());
    assert_eq!(shown(&Directives::response(&headers)), "max-age=7 no-cache");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(line: Vec<u8>) {
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            let mut headers = HeaderMap::new();
            headers.append(CACHE_CONTROL, value);
            let response = Directives::response(&headers);
            proptest::prop_assert!(response.max_age.is_none_or(|age| age <= DELTA_SECONDS_MAX));
            drop(Directives::request(&headers));
        }
    }

    /// Whatever an origin writes around it, a plain `no-store` member is seen.
    #[test]
    fn no_store_is_never_hidden_by_what_comes_before(before in "[a-z=\", \\\\]{0,20}") {
        let closed = before.matches('"').count() == 0;
        let headers = fields(&format!("Cache-Control: {before}, no-store"));
        proptest::prop_assert!(!closed || Directives::response(&headers).no_store);
    }
}
