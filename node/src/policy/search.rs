//! `No-Vary-Search`: which differences in the query an answer does not depend on, as its origin says
//! (draft-ietf-httpbis-no-vary-search).

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode;

use super::structured::{self, Item};

const NO_VARY_SEARCH: HeaderName = HeaderName::from_static("no-vary-search");
/// Names in one rule: each is held against each parameter of a request.
const NAMES_MAX: usize = 64;
/// Parameters of a query that is looked at: nobody's page has more, and each is held against each name.
const PARAMETERS_MAX: usize = 256;

/// What of a query an answer depends on, other than on all of it as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variance {
    names: Vec<String>,
    /// Whether `names` are those that matter, or those that do not.
    only_these: bool,
    order_matters: bool,
}

impl Variance {
    /// What an answer says (5: obtain a URL search variance). `None`: its query counts as it stands, because it says
    /// nothing, nothing else, or nothing valid.
    #[must_use]
    pub fn of(response: &HeaderMap) -> Option<Self> {
        let mut lines = response.get_all(NO_VARY_SEARCH).iter();
        let mut text = lines.next()?.as_bytes().to_vec();
        for line in lines {
            text.extend_from_slice(b", ");
            text.extend_from_slice(line.as_bytes());
        }
        let (mut order, mut params, mut except) = (false, None, None);
        for (key, item) in structured::dictionary(&text)? {
            match (key.as_slice(), item) {
                (b"key-order", Item::Boolean(ignored)) => order = ignored,
                (b"params", Item::Boolean(all)) => params = Some(Params::All(all)),
                (b"params", Item::List(names)) => params = Some(Params::These(keys(&names)?)),
                (b"except", Item::List(names)) => except = Some(keys(&names)?),
                (b"key-order" | b"params" | b"except", _) => return None,
                _ => {}
            }
        }
        let (names, only_these) = match (params, except) {
            (Some(Params::All(true)), except) => (except.unwrap_or_default(), true),
            (_, Some(_)) => return None,
            (Some(Params::These(names)), None) => (names, false),
            (Some(Params::All(false)) | None, None) => (Vec::new(), false),
        };
        let says_something = order || only_these || !names.is_empty();
        let order_matters = !order;
        says_something.then_some(Self { names, only_these, order_matters })
    }

    /// What is left of a query (without its `?`): equal texts are equivalent (6). `None` for one that is not looked at.
    #[must_use]
    pub fn essence(&self, query: &str) -> Option<String> {
        let mut pairs = Vec::new();
        for (at, part) in query.split('&').filter(|part| !part.is_empty()).enumerate() {
            if at == PARAMETERS_MAX {
                return None;
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decoded(name.as_bytes());
            if self.names.contains(&name) == self.only_these {
                pairs.push((name, decoded(value.as_bytes())));
            }
        }
        if !self.order_matters {
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
        }
        let mut essence = String::new();
        for (name, value) in pairs {
            for text in [name, value] {
                essence.push_str(itoa::Buffer::new().format(text.len()));
                essence.push(':');
                essence.push_str(&text);
            }
        }
        Some(essence)
    }
}

enum Params {
    All(bool),
    These(Vec<String>),
}

/// 5.2: parse a key, for each string of a list.
fn keys(items: &[Item]) -> Option<Vec<String>> {
    let key = |item: &Item| match item {
        Item::Text(text) => Some(decoded(text)),
        _ => None,
    };
    if items.len() > NAMES_MAX { None } else { items.iter().map(key).collect() }
}

/// `application/x-www-form-urlencoded`: a plus is a blank, escapes are bytes of UTF-8.
fn decoded(text: &[u8]) -> String {
    let blank: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&blank).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    fn variance(value: &str) -> Option<Variance> {
        Variance::of(&fields(&format!("No-Vary-Search: {value}")))
    }

    #[test]
    fn what_says_nothing_or_nothing_valid() {
        for value in [
            "unknown-key",
            "key-order=\"not a boolean\"",
            "params=\"not a boolean or inner list\"",
            "params=(not-a-string)",
            "params=(\"a\"), except=(\"x\")",
            "params=(), except=()",
            "params=?0, except=(\"x\")",
            "params, except=(not-a-string)",
            "params, except=\"not an inner list\"",
            "params, except=?1",
            "except=(\"x\")",
            "except=()",
            "params=?0",
            "params=()",
            "key-order=?0",
            "",
            "params=(\"a\"",
            "Params",
        ] {
            assert_eq!(variance(value), None, "{value}");
        }
        assert_eq!(Variance::of(&HeaderMap::new()), None);
        let many = vec!["\"x\""; NAMES_MAX + 1].join(" ");
        assert_eq!(variance(&format!("params=({many})")), None, "ours: more names than are looked at");
    }

    /// The examples of the draft, and some of ours.
    #[test]
    fn which_queries_are_equivalent() {
        for (value, one, other, same) in [
            ("params", "a=1", "b=2&c", true),
            ("params=?1", "", "b=2&c", true),
            ("params=(\"a\")", "a=1&b=2", "b=2&a=9", true),
            ("params=(\"a\")", "a=1&b=2", "b=3", false),
            ("params=(\"a\")", "b=1&c=2", "c=2&b=1", false),
            ("params, except=(\"x\")", "x=1&y=2", "z=3&x=1", true),
            ("params, except=(\"x\")", "x=1", "x=2", false),
            ("params, except=(\"x\")", "x=1&x=2", "x=2&x=1", false),
            ("key-order", "a=1&b=2", "b=2&a=1", true),
            ("key-order", "a=1&a=2", "a=2&a=1", false),
            ("key-order", "a=1", "a=1&b", false),
            ("key-order, params=(\"u\")", "u=x&b=2&a=1", "a=1&b=2", true),
            ("params=(\"%C3%A9+%E6%B0%97\")", "%C3%A9%20%E6%B0%97=1", "%C3%A9+%E6%B0%97=4", true),
            ("key-order", "a=x", "%61=%78", true),
            ("key-order", "a=%f6", "a=%ef%bf%bd", true),
            ("key-order", "a=x&&&&", "a=x", true),
            ("key-order", "a=", "a", true),
            ("key-order", "a=%20", "a=+", true),
            ("key-order", "a=b=c", "a=b%3Dc", true),
            ("key-order", "a=%26b", "a=&b", false),
            ("key-order", "a=1:b", "a=1%3Ab", true),
            ("params=(\"a\"), later-key=9", "a=1", "a=2", true),
        ] {
            let variance = variance(value).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(variance.essence(one) == variance.essence(other), same, "{value}: {one} {other}");
        }
        let lines = fields("No-Vary-Search: params|No-Vary-Search: except=(\"x\")");
        assert_eq!(Variance::of(&lines), variance("params, except=(\"x\")"), "9110 5.3: lines are one field");
        let long = "a&".repeat(PARAMETERS_MAX + 1);
        assert_eq!(variance("params").unwrap().essence(&long), None, "ours: more than are looked at");
    }

    proptest::proptest! {
        /// Two queries that differ in what matters never have the same essence.
        #[test]
        fn what_matters_is_told_apart(one in "[ab=&:0-9]{0,12}", other in "[ab=&:0-9]{0,12}") {
            let all = Variance { names: Vec::new(), only_these: false, order_matters: true };
            let plain = |text: &str| text.split('&').filter(|part| !part.is_empty())
                .map(|part| part.split_once('=').map_or((part.to_owned(), String::new()), |(n, v)| (n.into(), v.into())))
                .collect::<Vec<_>>();
            proptest::prop_assert_eq!(all.essence(&one) == all.essence(&other), plain(&one) == plain(&other));
        }
    }
}
