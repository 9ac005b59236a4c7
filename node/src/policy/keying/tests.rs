use proptest::prelude::*;

use super::super::fields;
use super::*;

fn patterns(names: &[&str]) -> Vec<Pattern> {
    names.iter().map(|name| Pattern::new(name)).collect()
}

fn counted(keying: &Keying, target: &str) -> String {
    keying.target(target).unwrap_or_else(|| target.to_owned())
}

#[test]
fn a_query_as_it_counts() {
    let all = Keying::default();
    let sorted = Keying { sort: true, ..Keying::default() };
    let dropped = Keying { query: Query::Drop(patterns(&TRACKING)), ..Keying::default() };
    let both = Keying { sort: true, query: Query::Drop(patterns(&["utm_*", "x"])), ..Keying::default() };
    let kept = Keying { query: Query::Keep(patterns(&["page", "q"])), ..Keying::default() };
    let none = Keying { query: Query::Keep(Vec::new()), ..Keying::default() };
    for (keying, written, wanted) in [
        (&all, "/?b=1&a=2&utm_source=x", "/?b=1&a=2&utm_source=x"),
        (&sorted, "/?b=1&a=2", "/?a=2&b=1"),
        (&sorted, "/?a=2&b=1&a=1", "/?a=2&a=1&b=1"),
        (&sorted, "/?a-b=1&a=2", "/?a=2&a-b=1"),
        (&sorted, "/?b&a&&", "/?&&a&b"),
        (&sorted, "/?", "/?"),
        (&sorted, "/b/a", "/b/a"),
        (&dropped, "/p?utm_source=a&id=7&gclid=b&fbclid=c", "/p?id=7"),
        (&dropped, "/p?utm_source=a", "/p"),
        (&dropped, "/p?UTM_SOURCE=a&mygclid=1&gclid_=2", "/p?UTM_SOURCE=a&mygclid=1&gclid_=2"),
        (&dropped, "/p?id=utm_source", "/p?id=utm_source"),
        (&dropped, "/p?utm_source", "/p"),
        (&dropped, "/p?_ga=1&mc_cid=2&msclkid=3&b=2&a=1", "/p?b=2&a=1"),
        (&both, "/p?z=1&utm_a=2&x=3&y=4", "/p?y=4&z=1"),
        (&kept, "/s?q=a&evil=b&page=2&q=c", "/s?q=a&page=2&q=c"),
        (&kept, "/s?evil=b", "/s"),
        (&none, "/s?q=a&page=2", "/s"),
        (&none, "/s?", "/s?"),
    ] {
        assert_eq!(counted(keying, written), wanted, "{written}");
    }
}

#[test]
fn cookies_as_they_count() {
    let arm = |default: Option<&str>| Arm {
        cookie: "ab".into(),
        values: vec!["a".into(), "b".into()],
        default: default.map(Box::from),
    };
    let currency = Keying { cookies: vec!["currency".into(), "lang".into()], ..Keying::default() };
    let split = Keying { arms: vec![arm(Some("a"))], ..Keying::default() };
    let optional = Keying { arms: vec![arm(None)], cookies: vec!["lang".into()], ..Keying::default() };
    let ignored = Keying { ignore_cookies: patterns(&["_ga*", "_gid"]), ..Keying::default() };
    let all_ignored = Keying { ignore_cookies: patterns(&["*"]), ..Keying::default() };
    for (keying, lines, wanted) in [
        (&currency, "Cookie: session=1; lang=de;currency=EUR; _ga=2", Some("currency=EUR; lang=de")),
        (&currency, "Cookie: session=1", None),
        (&currency, "Cookie: lang=de|Cookie: currency=EUR", Some("currency=EUR; lang=de")),
        (&currency, "Cookie: lang=de; lang=en", Some("lang=de")),
        (&currency, "Cookie: Lang=de", None),
        (&currency, "Host: a", None),
        (&split, "Cookie: ab=b; session=1", Some("ab=b")),
        (&split, "Cookie: ab=evil", Some("ab=a")),
        (&split, "Host: a", Some("ab=a")),
        (&optional, "Cookie: ab=evil; lang=de", Some("lang=de")),
        (&optional, "Host: a", None),
        (&ignored, "Cookie: _ga=1; session=2; _gid=3; _gat_x=4", Some("session=2")),
        (&ignored, "Cookie: _ga=1", None),
        (&all_ignored, "Cookie: session=2; x", None),
    ] {
        let mut request = fields(lines);
        keying.reduce(&mut request);
        let told: Vec<_> = request.get_all(COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(told, wanted.into_iter().collect::<Vec<_>>(), "{lines}");
    }
}

#[test]
fn the_device_is_told_and_no_client_is_believed() {
    let name = HeaderName::from_static("x-device");
    let keying = Keying { device: Some(name.clone()), ..Keying::default() };
    let mut request = fields("X-Device: tablet|X-Device: evil|User-Agent: curl/8");
    keying.reduce(&mut request);
    let told: Vec<_> = request.get_all(name).iter().collect();
    assert_eq!(told, ["desktop"]);
}

proptest! {
    // Forms that are called equal are sent equal: what counts of what counts is itself, in any order of its names.
    #[test]
    fn what_counts_is_its_own_form(query in "[abu&=]{0,12}", sort: bool, kind in 0..3) {
        let query_rule = match kind {
            0 => Query::All,
            1 => Query::Drop(patterns(&["u*"])),
            _ => Query::Keep(patterns(&["a", "b*"])),
        };
        let keying = Keying { sort, query: query_rule, ..Keying::default() };
        let once = counted(&keying, &format!("/p?{query}"));
        prop_assert_eq!(counted(&keying, &once), once);
    }

    #[test]
    fn what_is_ignored_makes_no_difference(cookies in "(u=[0-9]; |a=[0-9]; |b=[0-9]; ){0,5}", more in "u[xyz]=[0-9]") {
        let keying = Keying { cookies: vec!["a".into(), "b".into()], ..Keying::default() };
        let form = |line: &str| {
            let mut request = fields(&format!("Cookie: {line}"));
            keying.reduce(&mut request);
            request.get(COOKIE).cloned()
        };
        prop_assert_eq!(form(&cookies), form(&format!("{more}; {cookies}")));
    }
}
