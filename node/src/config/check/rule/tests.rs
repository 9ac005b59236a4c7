use std::path::Path;

use crate::config::{Loaded, Mistakes, parse};
use crate::policy;

const HEAD: &str = "[node]\nname = \"edge-1\"\n[cache]\ndisk = \"0\"\n[[listener]]\naddress = \"127.0.0.1:8080\"\n[[site]]\n\
                    hosts = [\"*\"]\n[site.origin]\nendpoints = [\"http://127.0.0.1:9000\"]\n";

fn load(more: &str) -> Result<Loaded, Mistakes> {
    parse(Path::new("edge.toml"), &format!("{HEAD}{more}"))
}

#[test]
fn a_mistake_in_a_key_or_a_rule_names_its_place_and_its_fix() {
    for (text, path, what, fix) in [
        ("[site.key]\nheaders = [\"x tenant\"]", "site[0].key.headers[0]", "not a field name", "x-tenant"),
        ("[site.key]\nheaders = [\"Cookie\"]", "site[0].key.headers[0]", "no two visitors", "`cookies`"),
        ("[site.key]\nheaders = [\"X-Forwarded-For\"]", "site[0].key.headers[0]", "never reaches", "another"),
        ("[site.key]\ndevice = \"X-Host\"", "site[0].key.device", "never reaches", "another"),
        ("[site.key]\nheaders = [\"range\"]", "site[0].key.headers[0]", "cannot be part", "another"),
        ("[site.key]\ncookies = [\"a*\"]", "site[0].key.cookies[0]", "not the name of a cookie", "without *"),
        ("[site.key]\ndrop_query = [\"\"]", "site[0].key.drop_query[0]", "is not a name", "utm_*"),
        ("[site.key]\nkeep_query = []\ndrop_tracking = true", "site[0].key.keep_query", "beside", "either"),
        ("[[site.key.arm]]\nvalues = [\"a\"]", "site[0].key.arm[0].cookie", "is missing", "cookie = "),
        ("[[site.key.arm]]\ncookie = \"ab\"", "site[0].key.arm[0].values", "at least one", "values = "),
        (
            "[[site.key.arm]]\ncookie = \"ab\"\nvalues = [\"a;b\"]",
            "site[0].key.arm[0].values[0]",
            "not the value",
            "",
        ),
        ("[site.key]\nsortquery = true", "site[0].key.sortquery", "unknown key", "`sort_query`"),
        ("[[site.rule]]\nname = \"a b\"", "site[0].rule[0].name", "cannot be the name", "letters"),
        ("[[site.rule]]\npaths = [\"static/*\"]", "site[0].rule[0].paths[0]", "not a path", "\"/static/*\""),
        ("[[site.rule]]\npaths = [\"/a?b\"]", "site[0].rule[0].paths[0]", "has a query", "only the path"),
        (
            "[[site.rule]]\npaths = [\"/café/*\"]",
            "site[0].rule[0].paths[0]",
            "normal form",
            "\"/caf%C3%A9/*\"",
        ),
        ("[[site.rule]]\npaths = [\"*/x/../y\"]", "site[0].rule[0].paths[0]", "normal form", "\"*/y\""),
        ("[[site.rule]]\npaths = [\"/%zz\"]", "site[0].rule[0].paths[0]", "broken escape", "in a URL"),
        ("[[site.rule]]\npaths = []", "site[0].rule[0].paths", "matches nothing", "leave it out"),
        ("[[site.rule]]\npaths = \"/a\"", "site[0].rule[0].paths", "is a string", "brackets"),
        (
            "[[site.rule]]\nextensions = [\".css\"]",
            "site[0].rule[0].extensions[0]",
            "not an extension",
            "\"css\"",
        ),
        ("[[site.rule]]\nmethods = [\"get\"]", "site[0].rule[0].methods[0]", "not a method", "\"GET\""),
        (
            "[[site.rule]]\nttl = \"1h\"\nttl_max = \"2h\"",
            "site[0].rule[0].ttl",
            "nothing to clamp",
            "either",
        ),
        ("[[site.rule]]\nttl_min = \"2h\"\nttl_max = \"1h\"", "site[0].rule[0].ttl_min", "longer", "shorter"),
        ("[[site.rule]]\nttl = \"1\"", "site[0].rule[0].ttl", "has no unit", "\"1s\""),
        (
            "[[site.rule]]\nstatus_ttl = { 404 = \"x\" }",
            "site[0].rule[0].status_ttl.404",
            "not a time",
            "\"10s\"",
        ),
        (
            "[[site.rule]]\nstatus_ttl = { 404 = 30 }",
            "site[0].rule[0].status_ttl.404",
            "whole number",
            "404 = ",
        ),
        (
            "[[site.rule]]\nstatus_ttl = { 9xx = \"1s\" }",
            "site[0].rule[0].status_ttl.9xx",
            "not a status",
            "5xx",
        ),
        (
            "[[site.rule]]\nstatus_ttl = { 401 = \"1s\" }",
            "site[0].rule[0].status_ttl.401",
            "one request",
            "leave",
        ),
        (
            "[[site.rule]]\nstore_despite = [\"cookies\"]",
            "site[0].rule[0].store_despite[0]",
            "known value",
            "private",
        ),
        (
            "[[site.rule]]\npass = true\nttl = \"1h\"",
            "site[0].rule[0].pass",
            "nothing for the other",
            "without",
        ),
        (
            "[[site.rule]]\nname = \"a\"\npass = true\npaths = [\"/a\"]\n[[site.rule]]\nname = \"a\"\npass = true",
            "site[0].rule[1].name",
            "there already",
            "unique",
        ),
    ] {
        let found = load(text).expect_err(text).0;
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let mistake = &found[0];
        assert_eq!(mistake.path, path, "{text}");
        assert!(mistake.what.contains(what), "{text}: {}", mistake.what);
        assert!(mistake.fix.contains(fix), "{text}: {}", mistake.fix);
    }
}

#[test]
fn what_is_hardly_meant_is_told() {
    for (text, path, what) in [
        (
            "[[site.rule]]\npass = true\n[[site.rule]]\npaths = [\"/a\"]\npass = true",
            "site[0].rule[1]",
            "never reached",
        ),
        ("[[site.rule]]\npaths = [\"/a\"]", "site[0].rule[0]", "changes nothing"),
        ("[[site.rule]]\nstore_despite = [\"no-store\"]", "site[0].rule[0].store_despite", "little effect"),
    ] {
        let warnings = load(text).expect(text).warnings;
        assert!(warnings.iter().any(|w| w.path == path && w.what.contains(what)), "{text}: {warnings:?}");
    }
}

#[test]
fn a_rule_changes_what_it_names_and_keeps_the_rest() {
    let text = "[site.cache]\nkeep = \"1d\"\n[site.key]\ncookies = [\"lang\"]\nheaders = [\"x-a\"]\n\
                [[site.rule]]\nignore_cookies = [\"*\"]\nttl = \"1h\"\nignore_query = true";
    let node = load(text).expect(text).node;
    let site = &node.sites[0];
    assert_eq!(site.policy.keying.names.as_str(), "cookie,x-a");
    let rule = &site.rules[0];
    assert_eq!((&*rule.detail, rule.name()), ("rule:1", "1"));
    assert_eq!(rule.policy.keying.names.as_str(), "x-a", "no cookie is left that could count");
    assert_eq!(rule.policy.keep, site.policy.keep);
    assert_eq!(site.policy.overrides, policy::overrides::Overrides::default());
    let under = site.under(rule);
    assert_eq!((under.detail(), under.rules.len(), &under.policy), (Some("rule:1"), 0, &rule.policy));
}
