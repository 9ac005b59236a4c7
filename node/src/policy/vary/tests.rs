use super::super::fields;
use super::*;

fn names(text: &str) -> VaryNames {
    VaryNames::from_text(text)
}

#[test]
fn what_an_answer_varies_by() {
    for (rule, lines, expected) in [
        ("no Vary", "", "none"),
        ("empty", "Vary:", "none"),
        ("9110 5.6.1: empty members", "Vary: , ,", "none"),
        ("9110 5.1: names in any case, each once", "Vary: Foo, foo, BAR", "bar,foo"),
        ("9110 5.3: lines are one list", "Vary: foo|Vary: bar", "bar,foo"),
        ("9111 4.1: *", "Vary: *", "star"),
        ("9111 4.1: * twice", "Vary: *, *", "star"),
        ("9111 4.1: * in lines", "Vary: *|Vary: *", "star"),
        ("9111 4.1: an empty member and *", "Vary: , *", "star"),
        ("9111 4.1: an empty line and *", "Vary:|Vary: *", "star"),
        ("9111 4.1: * before a name", "Vary: *, Foo", "star"),
        ("9111 4.1: * behind a name", "Vary: Foo, *", "star"),
        ("ours: what is no name cannot be compared", "Vary: a b", "star"),
        ("ours: written by us, the origin knows more than the key", "Vary: X-Forwarded-For", "star"),
        ("ours: written by us", "Vary: Foo, X-Forwarded-Host", "star"),
        ("ours: written by us", "Vary: X-Forwarded-Proto|Vary: Foo", "star"),
        ("ours: written by us", "Vary: Forwarded", "star"),
        ("ours: written by us", "Vary: Via", "star"),
        ("ours: written by us", "Vary: CDN-Loop", "star"),
        ("ours: written by us, as CGI spells it", "Vary: X_Forwarded_For", "star"),
        ("ours: never sent, so it selects nothing", "Vary: X-Real-IP", "none"),
        ("ours: never sent, as CGI spells it", "Vary: X_Original_URL", "none"),
        ("ours: never sent, beside one that is", "Vary: X-Host, Foo, Client-IP", "foo"),
    ] {
        let found = match parse(&fields(lines)) {
            Vary::None => "none".to_owned(),
            Vary::Star => "star".to_owned(),
            Vary::Names(names) => names.as_str().to_owned(),
        };
        assert_eq!(found, expected, "{rule}: {lines}");
    }
}

#[test]
fn names_survive_their_text_form() {
    for text in ["", "foo", "bar,foo"] {
        assert_eq!(names(text).as_str(), text);
        assert_eq!(names(text).iter().collect::<Vec<_>>().join(","), text);
    }
    assert_eq!(names("Foo, bar,, a b").as_str(), "bar,foo");
    assert!(names("accept-encoding").is_empty(true));
    assert!(!names("accept-encoding").is_empty(false));
}

/// Two requests and whether they share a variant.
const PAIRS: &[(&str, &str, &str, &str, bool)] = &[
    ("4.1: the same", "foo", "Foo: 1", "Foo: 1", true),
    ("4.1: different", "foo", "Foo: 1", "Foo: 2", false),
    ("4.1: absent in one", "foo", "Foo: 1", "", false),
    ("4.1: absent in both", "foo,bar", "Foo: 1", "Foo: 1", true),
    ("4.1: absent is not empty", "foo", "Foo:", "", false),
    ("4.1: other fields do not matter", "foo", "Foo: 1|Other: 2", "Foo: 1|Other: 3", true),
    ("4.1: every name counts", "foo,bar", "Foo: 1|Bar: a", "Foo: 1|Bar: b", false),
    ("4.1: the order of fields does not", "foo,bar", "Foo: 1|Bar: a", "Bar: a|Foo: 1", true),
    ("4.1: lines combined", "foo", "Foo: 1, 2", "Foo: 1|Foo: 2", true),
    ("4.1: the order of values does", "foo", "Foo: 1, 2", "Foo: 2, 1", false),
    ("4.1: blanks around it", "foo", "Foo: 1, 2", "Foo:   1, 2  ", true),
    ("4.1: blanks where the syntax allows them", "x-name", "X-Name: 1,2", "X-Name:  1 ,\t2 ", true),
    (
        "9110 5.3: lines combined with or without a blank",
        "x-name",
        "X-Name: a,b",
        "X-Name: a|X-Name: b",
        true,
    ),
    ("9110 5.6.4: not inside quotes", "x-name", "X-Name: \"a,b\"", "X-Name: \"a, b\"", false),
    ("not inside a member", "x-name", "X-Name: a b", "X-Name: ab", false),
    ("not known as a list: empty members count", "x-name", "X-Name: a,, b", "X-Name: a, b", false),
    ("4.1: blanks in a list", "accept", "Accept: a/b,c/d", "Accept:  a/b ,  c/d ", true),
    ("4.1: lines of a list", "accept", "Accept: a/b,c/d", "Accept: a/b|Accept: c/d", true),
    (
        "9110 5.6.1: empty members of a list",
        "cache-control",
        "Cache-Control: a,,b",
        "Cache-Control: a, b",
        true,
    ),
    ("9110 5.6.4: not inside quotes", "accept", "Accept: a;b=\"1,2\"", "Accept: a;b=\"1, 2\"", false),
    ("a list of one is not the list of its parts", "accept", "Accept: \"a,b\"", "Accept: a,b", false),
    ("case of an unknown field counts", "foo", "Foo: a", "Foo: A", false),
    ("a list of one is not the list of its parts", "foo", "Foo: \"a,b\"", "Foo: a,b", false),
    ("a value cannot pretend to be another field", "bar,foo", "Bar: 1&foo=2", "Bar: 1|Foo: 2", false),
    ("nor to be escaped already", "foo", "Foo: %2C", "Foo: \"\"", false),
    ("ours: no list, bytes as they are", "cookie", "Cookie: a, b", "Cookie: a,b", false),
    ("ours: no list, two lines are not one", "cookie", "Cookie: a, b", "Cookie: a|Cookie: b", false),
    ("ours: no list, bytes as they are", "user-agent", "User-Agent: x (a, b)", "User-Agent: x (a,b)", false),
    (
        "12.5.4: order of equal weight",
        "accept-language",
        "Accept-Language: en, de",
        "Accept-Language: de, en",
        true,
    ),
    ("12.5.4: case", "accept-language", "Accept-Language: en, de", "Accept-Language: eN, De", true),
    ("12.5.4: blanks", "accept-language", "Accept-Language: en, de", "Accept-Language:  en ,   de", true),
    (
        "12.4.2: q=1 is the default",
        "accept-language",
        "Accept-Language: en;q=1.000",
        "Accept-Language: en",
        true,
    ),
    ("12.4.2: weights", "accept-language", "Accept-Language: en;q=0.5", "Accept-Language: en;q=0.50", true),
    (
        "12.4.2: other weights",
        "accept-language",
        "Accept-Language: en;q=0.5",
        "Accept-Language: en;q=0.51",
        false,
    ),
    (
        "12.4.2: q=0 is a refusal",
        "accept-language",
        "Accept-Language: en;q=0, de",
        "Accept-Language: de",
        false,
    ),
    (
        "an invalid weight is not that weight",
        "accept-language",
        "Accept-Language: en;q=500",
        "Accept-Language: en;q=0.5",
        false,
    ),
    ("12.5.3: order", "accept-encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: BR,gzip", true),
    ("12.5.3: codings", "accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: br", false),
    ("12.5.1: the order of Accept is left alone", "accept", "Accept: a/b, c/d", "Accept: c/d, a/b", false),
];

#[test]
fn variants() {
    for (rule, vary, one, other, same) in PAIRS {
        let key = |request: &str| variant("", &names(vary), &fields(request), false);
        assert_eq!(key(one) == key(other), *same, "{rule}: {} {}", key(one), key(other));
    }
}

#[test]
fn how_keys_read() {
    let request = fields("Accept-Language: de;q=0.5, en|Foo: a b|Accept-Encoding: gzip");
    let all = names("foo,accept-language,bar,accept-encoding");
    let key = "accept-encoding=gzip&accept-language=en,de;q=500&bar&foo=a b";
    assert_eq!(variant("", &all, &request, false), key);
    assert_eq!(variant("", &all, &request, true), "accept-language=en,de;q=500&bar&foo=a b");
    assert_eq!(variant("", &names("accept-encoding"), &request, true), "");
    let mut odd = http::HeaderMap::new();
    odd.append("foo", http::HeaderValue::from_bytes(b"\xff,=").unwrap());
    assert_eq!(variant("", &names("foo"), &odd, false), "foo=%FF,%3D");
}

#[test]
fn answers_in_the_language_liked_best() {
    let vary = names("accept-language,foo");
    let stored =
        |request: &str, response: &str| language_of_answer(&vary, &fields(request), &fields(response), false);
    let wanted = |request: &str| language_of_request(&vary, &fields(request), false);
    let german = stored("Accept-Language: en, de", "Content-Language: de");
    assert_eq!(german.as_deref(), Some("accept-language=>de&foo"));
    for (rule, request, fits) in [
        ("9110 12.5.4: the heaviest", "Accept-Language: fr;q=0.5, de;q=1.0", true),
        ("case", "Accept-Language: DE, fr;q=0.5", true),
        ("only one", "Accept-Language: de", true),
        ("another is liked better", "Accept-Language: de;q=0.5, fr", false),
        ("two are liked alike", "Accept-Language: de, fr", false),
        ("any will do, which we cannot know", "Accept-Language: *", false),
        ("refused", "Accept-Language: de;q=0", false),
        ("not said", "", false),
        ("another field differs", "Accept-Language: de|Foo: 1", false),
    ] {
        assert_eq!(wanted(request).is_some() && wanted(request) == german, fits, "{rule}");
    }
    assert_eq!(stored("", "Content-Language: de, en"), None, "two languages");
    assert_eq!(stored("", ""), None, "no language");
    assert_eq!(language_of_answer(&names("foo"), &fields(""), &fields("Content-Language: de"), false), None);
}

fn key_of(name: &'static str, value: &[u8]) -> Option<String> {
    let mut request = HeaderMap::new();
    request.append(name, http::HeaderValue::from_bytes(value).ok()?);
    Some(variant("", &names(name), &request, false))
}

proptest::proptest! {
    /// Requests an origin can tell apart by a field that is no list never share a key.
    #[test]
    fn opaque_values_never_collide(one: Vec<u8>, other: Vec<u8>) {
        if let (Some(first), Some(second)) = (key_of("cookie", &one), key_of("cookie", &other)) {
            proptest::prop_assert_eq!(first == second, one == other);
        }
    }

    /// Of every other field only the blanks around commas do not count.
    #[test]
    fn other_values_collide_by_blanks_alone(one in "[ab ,\"\\\\]{0,8}", other in "[ab ,\"\\\\]{0,8}") {
        let first = key_of("x-name", one.as_bytes());
        if first.is_some() && first == key_of("x-name", other.as_bytes()) {
            let bare = |text: &str| text.replace(' ', "");
            proptest::prop_assert_eq!(bare(&one), bare(&other));
        }
    }
}
