use super::*;
use crate::purge::Selector;

fn purge(selector: Selector, soft: bool) -> Purge {
    Purge { selectors: vec![selector], soft }
}

#[test]
fn prefixes_are_found_among_many() {
    let tables = Tables::default();
    let mut seq = 0;
    let mut add = |text: &str| {
        seq += 1;
        tables.apply(&purge(Selector::Prefix(text.into()), false), seq);
    };
    for i in 0..1000 {
        add(&format!("http://a:80/{i:04}"));
    }
    add("http://a:80/ä");
    let found = |address: &str| tables.sets.read().find(address, &[], 0).all.hard;
    assert_eq!(found("http://a:80/0500/x"), 501);
    assert_eq!(found("http://a:80/05"), 0);
    assert_eq!(found("http://a:80/zz"), 0);
    assert_eq!(found("http://a:80/äx"), 1001);
    assert_eq!(found("http://a:80/ö"), 0, "shares its first byte with ä");
    assert_eq!(found(""), 0);
    tables.apply(&purge(Selector::Prefix("http://a:80/".into()), false), 2000);
    assert_eq!(tables.sets.read().find("http://a:80/0500/x", &[], 0).all.hard, 2000);
    tables.apply(&purge(Selector::Prefix(String::new()), false), 3000);
    assert_eq!(tables.sets.read().find("x", &[], 0).all.hard, 3000);
}

#[test]
fn tables_agree_with_the_plain_definition() {
    let urls = ["http://a:80/", "http://a:80/x", "http://a:81/x/y", "https://b:443/x"];
    let tags: [&[&str]; 3] = [&[], &["t"], &["t", "u"]];
    let selectors = [
        Selector::All,
        Selector::Host("a".into()),
        Selector::Host("a:81".into()),
        Selector::Url("http://a:80/x".into()),
        Selector::Tag("u".into()),
        Selector::Prefix("http://a:8".into()),
        Selector::Prefix("http://a:80/x".into()),
    ];
    for selector in selectors {
        for soft in [false, true] {
            let tables = Tables::default();
            tables.apply(&purge(selector.clone(), soft), 7);
            for url in urls {
                for tags in tags {
                    let hashes: Vec<u64> = tags.iter().map(|t| tag_hash(t)).collect();
                    let wanted = selector.matches(url, tags);
                    let (verdict, seq) = tables.verdict(url, &hashes, 6, 6);
                    assert_eq!(seq, 7);
                    assert_eq!(
                        if soft { verdict.expired } else { verdict.dead },
                        wanted,
                        "{selector:?} {url}"
                    );
                    assert!(!if soft { verdict.dead } else { verdict.expired });
                    assert!(!tables.verdict(url, &hashes, 7, 7).0.dead, "born at the purge is after it");
                }
            }
        }
    }
}

#[test]
fn folding_forgets_old_purges_and_who_missed_them() {
    let tables = Tables::default();
    tables.apply(&purge(Selector::Tag("old".into()), false), 1);
    tables.apply(&purge(Selector::Tag("old".into()), true), 2);
    tables.apply(&purge(Selector::Tag("new".into()), false), 3);
    tables.fold(1);
    let old = [tag_hash("old")];
    assert!(!tables.verdict("x", &old, 0, 1).0.dead, "checked at the floor: the sweep has seen it");
    assert!(tables.verdict("x", &old, 0, 1).0.expired, "the soft one still stands");
    assert!(tables.verdict("x", &old, 0, 0).0.dead, "not checked since before the floor");
    assert!(tables.verdict("x", &[tag_hash("new")], 0, 3).0.dead);
    tables.fold(3);
    assert_eq!(tables.len(), 0);
    assert_eq!(tables.seq(), Seq(3));
}
