//! Checks of `[site.key]` and `[[site.rule]]`.

use std::time::Duration;

use http::{HeaderName, Method};

use super::Check;
use crate::config::file::rule::{Arm, Despite, Key, Rule};
use crate::config::file::{self, Time};
use crate::config::value;
use crate::policy::keying::{self, Keying, Query, TRACKING};
use crate::policy::overrides::{Overrides, Statuses};
use crate::policy::pattern::{Pair, Pattern};
use crate::policy::upstream;
use crate::policy::vary::VaryNames;
use crate::route::rule::{Pass, Scope};
use crate::{limits, policy, route, target};

impl Check<'_> {
    pub(super) fn keying(&mut self, path: &str, written: &Key) -> Keying {
        let at = |key: &str| format!("{path}.{key}");
        let mut dropped = self.patterns(&at("drop_query"), written.drop_query.as_deref());
        if written.drop_tracking == Some(true) {
            dropped.extend(TRACKING.iter().map(|name| Pattern::new(name)));
        }
        let query = match &written.keep_query {
            None if dropped.is_empty() => Query::All,
            None => Query::Drop(dropped),
            Some(kept) => {
                if !dropped.is_empty() {
                    let fix = "either what stays (keep_query) or what goes (drop_query, drop_tracking)";
                    self.wrong(&at("keep_query"), "cannot stand beside what is dropped", fix);
                }
                Query::Keep(self.patterns(&at("keep_query"), Some(kept)))
            }
        };
        let mut names = self.key_fields(&at("headers"), written.headers.as_deref());
        let device = written.device.as_deref().and_then(|text| self.key_field(&at("device"), text));
        let cookies = self.cookie_names(&at("cookies"), written.cookies.as_deref());
        let arms: Vec<_> = written
            .arm
            .iter()
            .enumerate()
            .filter_map(|(index, arm)| self.arm(&format!("{path}.arm[{index}]"), arm))
            .collect();
        names.extend(device.iter().map(|name| name.as_str().to_owned()));
        if !cookies.is_empty() || !arms.is_empty() {
            names.push("cookie".into());
        }
        let harmless = self.patterns(&at("harmless_headers"), written.harmless_headers.as_deref());
        Keying {
            sort: written.sort_query.unwrap_or(false),
            query,
            names: VaryNames::from_text(&names.join(",")),
            cookies,
            arms,
            ignore_cookies: Vec::new(),
            device,
            harmless,
        }
    }

    fn patterns(&mut self, path: &str, written: Option<&[String]>) -> Vec<Pattern> {
        self.texts(path, written, "a name, such as \"ref\" or \"utm_*\"")
            .map(|text| Pattern::new(&text))
            .collect()
    }

    fn pairs(&mut self, path: &str, written: Option<&[String]>) -> Vec<Pair> {
        let fix = "a name, or a name and a value, such as \"session*\" or \"preview=1\"";
        self.texts(path, written, fix).map(|text| Pair::new(&text)).collect()
    }

    /// The texts that say something.
    fn texts(
        &mut self,
        path: &str,
        written: Option<&[String]>,
        fix: &str,
    ) -> impl Iterator<Item = String> + use<> {
        let mut good = Vec::new();
        for (index, text) in written.unwrap_or_default().iter().enumerate() {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                self.wrong(&format!("{path}[{index}]"), format!("{text:?} is not a name"), fix);
            } else {
                good.push(text.clone());
            }
        }
        good.into_iter()
    }

    fn key_fields(&mut self, path: &str, written: Option<&[String]>) -> Vec<String> {
        let mut good = Vec::new();
        for (index, text) in written.unwrap_or_default().iter().enumerate() {
            let path = format!("{path}[{index}]");
            if text.eq_ignore_ascii_case("cookie") {
                self.wrong(&path, "no two visitors have the same cookies", "name single ones in `cookies`");
            } else if let Some(name) = self.key_field(&path, text) {
                good.push(name.as_str().to_owned());
            }
        }
        good
    }

    /// A request field that can be part of a key: the origin must get it as the client sent it.
    fn key_field(&mut self, path: &str, text: &str) -> Option<HeaderName> {
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            self.wrong(path, format!("{text:?} is not a field name"), "such as \"x-tenant\"");
            return None;
        };
        let known = name.as_str();
        if upstream::is_one_of(known, &upstream::REWRITTEN) || upstream::is_one_of(known, &upstream::STRIPPED)
        {
            self.wrong(path, format!("{text:?} never reaches the origin as it was sent"), "another field");
            return None;
        }
        if matches!(known, "host" | "connection" | "range" | "content-length" | "transfer-encoding") {
            self.wrong(path, format!("{text:?} cannot be part of a key"), "another field");
            return None;
        }
        Some(name)
    }

    fn cookie_names(&mut self, path: &str, written: Option<&[String]>) -> Vec<Box<str>> {
        let mut good = Vec::new();
        for (index, text) in written.unwrap_or_default().iter().enumerate() {
            good.extend(self.cookie_name(&format!("{path}[{index}]"), text));
        }
        good
    }

    fn cookie_name(&mut self, path: &str, text: &str) -> Option<Box<str>> {
        if HeaderName::from_bytes(text.as_bytes()).is_ok() && !text.contains('*') {
            return Some(text.into());
        }
        self.wrong(path, format!("{text:?} is not the name of a cookie"), "one name, without *");
        None
    }

    fn arm(&mut self, path: &str, written: &Arm) -> Option<keying::Arm> {
        let at = |key: &str| format!("{path}.{key}");
        if written.values.is_empty() {
            self.wrong(&at("values"), "needs at least one value", "values = [\"a\", \"b\"]");
        }
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"\",;\\".contains(&b))
        };
        for (index, text) in written.values.iter().enumerate().filter(|(_, text)| !plain(text)) {
            let what = format!("{text:?} is not the value of a cookie");
            self.wrong(&format!("{path}.values[{index}]"), what, "letters, digits and the like");
        }
        if written.default.as_deref().is_some_and(|text| !plain(text)) {
            self.wrong(&at("default"), "is not the value of a cookie", "one of `values`, or leave it out");
        }
        let Some(cookie) = &written.cookie else {
            self.wrong(&at("cookie"), "is missing", "cookie = \"ab_checkout\"");
            return None;
        };
        Some(keying::Arm {
            cookie: self.cookie_name(&at("cookie"), cookie)?,
            values: written.values.iter().map(|value| value.as_str().into()).collect(),
            default: written.default.as_deref().map(Box::from),
        })
    }

    pub(super) fn rules(
        &mut self,
        path: &str,
        written: &[Rule],
        site: &policy::Config,
    ) -> Vec<route::rule::Rule> {
        if written.len() > limits::RULES_MAX {
            let what = format!("{} rules are more than {}", written.len(), limits::RULES_MAX);
            self.wrong(path, what, "patterns with * say more with fewer rules");
        }
        let mut rules: Vec<route::rule::Rule> = Vec::new();
        let mut all = None;
        for (index, rule) in written.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let rule = self.rule(&path, index, rule, site);
            if rules.iter().any(|other| other.detail == rule.detail) {
                self.wrong(
                    &format!("{path}.name"),
                    format!("{:?} is there already", rule.name()),
                    "names are unique",
                );
            }
            if let Some(first) = all {
                let what = format!("is never reached: rule {first} before it is for all requests");
                self.warn(&path, what, "put the general rule last: the first that matches is the only one");
            } else if rule.scope == Scope::default() {
                all = Some(index + 1);
            }
            rules.push(rule);
        }
        rules
    }

    fn rule(&mut self, path: &str, index: usize, written: &Rule, site: &policy::Config) -> route::rule::Rule {
        let name = written.name.clone().unwrap_or_else(|| (index + 1).to_string());
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > limits::RULE_NAME_BYTES_MAX || !name.chars().all(letters) {
            let fix = "letters, digits, '-', '_', '.', 64 at the most, such as \"static\"";
            self.wrong(&format!("{path}.name"), format!("{name:?} cannot be the name of a rule"), fix);
        }
        let headers = self.pairs(&format!("{path}.pass_headers"), written.pass_headers.as_deref());
        let pass = Pass {
            always: written.pass.unwrap_or(false),
            cookies: self.pairs(&format!("{path}.pass_cookies"), written.pass_cookies.as_deref()),
            headers: headers.into_iter().map(lower).collect(),
        };
        let mut policy = site.clone();
        policy.overrides = self.overrides(path, written);
        let ignored = written.ignore_cookies.as_deref();
        policy.keying.ignore_cookies = self.patterns(&format!("{path}.ignore_cookies"), ignored);
        if policy.keying.ignore_cookies.iter().any(Pattern::is_all) {
            policy.keying.ignore_all_cookies();
        }
        if written.ignore_query == Some(true) {
            policy.keying.query = Query::Keep(Vec::new());
        }
        if let Some(choice) = written.set_cookie {
            policy.set_cookie = set_cookie(choice);
        }
        if pass.always && (policy != *site || !pass.cookies.is_empty() || !pass.headers.is_empty()) {
            let fix = "a rule without `pass`, or leave the rest out";
            self.wrong(&format!("{path}.pass"), "leaves nothing for the other keys to do", fix);
        }
        if !pass.always && pass.cookies.is_empty() && pass.headers.is_empty() && policy == *site {
            self.warn(
                path,
                "changes nothing",
                "that may be meant: it keeps requests from the rules behind it",
            );
        }
        route::rule::Rule {
            detail: format!("rule:{name}").into(),
            scope: self.rule_scope(path, written),
            pass,
            policy,
        }
    }

    fn rule_scope(&mut self, path: &str, written: &Rule) -> Scope {
        let paths = written.paths.as_ref().map(|all| {
            let path = format!("{path}.paths");
            if all.is_empty() {
                self.wrong(&path, "matches nothing", "leave it out for all paths");
            }
            all.iter()
                .enumerate()
                .filter_map(|(at, text)| self.path_pattern(&format!("{path}[{at}]"), text))
                .collect()
        });
        let extensions = written.extensions.as_ref().map(|all| {
            let path = format!("{path}.extensions");
            if all.is_empty() {
                self.wrong(&path, "matches nothing", "leave it out for all paths");
            }
            let mut good = Vec::new();
            for (index, text) in all.iter().enumerate() {
                if text.is_empty()
                    || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
                {
                    let fix = "what stands behind the last dot, such as \"css\"";
                    self.wrong(&format!("{path}[{index}]"), format!("{text:?} is not an extension"), fix);
                }
                good.push(text.to_ascii_lowercase().into());
            }
            good
        });
        let methods = written.methods.as_ref().map(|all| {
            let path = format!("{path}.methods");
            if all.is_empty() {
                self.wrong(&path, "matches nothing", "leave it out for all methods");
            }
            let mut good = Vec::new();
            for (index, text) in all.iter().enumerate() {
                let upper = text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
                match Method::from_bytes(text.as_bytes()).ok().filter(|_| upper) {
                    Some(method) => good.push(method),
                    None => self.wrong(
                        &format!("{path}[{index}]"),
                        format!("{text:?} is not a method"),
                        format!("{:?}", text.to_ascii_uppercase()),
                    ),
                }
            }
            good
        });
        Scope { paths, extensions, methods }
    }

    /// A path is matched in the form in which it is part of keys and sent to the origin, so that is how it is written.
    fn path_pattern(&mut self, path: &str, text: &str) -> Option<Pattern> {
        if text.contains('?') {
            let fix = "only the path; rules do not look at queries";
            self.wrong(path, format!("{text:?} has a query"), fix);
            return None;
        }
        if !text.starts_with(['/', '*']) {
            self.wrong(
                path,
                format!("{text:?} is not a path"),
                format!("\"/{text}\", or \"*{text}\" anywhere"),
            );
            return None;
        }
        // A star is no character that the normal form changes.
        let mut form = String::new();
        let known = match text.strip_prefix('/') {
            Some(_) => target::target(text, &mut form),
            None => target::target(&format!("/{text}"), &mut form),
        };
        let form = if text.starts_with('/') { form.as_str() } else { form.get(1..).unwrap_or_default() };
        match known {
            Err(why) => {
                self.wrong(path, format!("{text:?}: {why}"), "a path as it stands in a URL");
                None
            }
            Ok(()) if form != text => {
                self.wrong(
                    path,
                    format!("{text:?} is not in normal form, so no request has it"),
                    format!("{form:?}"),
                );
                None
            }
            Ok(()) => Some(Pattern::new(text)),
        }
    }

    fn overrides(&mut self, path: &str, written: &Rule) -> Overrides {
        let at = |key: &str| format!("{path}.{key}");
        let mut time = |key: &str, written: &Option<Time>| {
            written.as_ref().map(|time| self.time(&at(key), Some(time), Duration::ZERO))
        };
        let (ttl, ttl_min, ttl_max) =
            (time("ttl", &written.ttl), time("ttl_min", &written.ttl_min), time("ttl_max", &written.ttl_max));
        let browser_ttl = time("browser_ttl", &written.browser_ttl);
        if ttl.is_some() && (ttl_min.is_some() || ttl_max.is_some()) {
            self.wrong(&at("ttl"), "leaves nothing to clamp", "either `ttl`, or `ttl_min` and `ttl_max`");
        }
        if ttl_min.zip(ttl_max).is_some_and(|(least, most)| least > most) {
            self.wrong(&at("ttl_min"), "is longer than ttl_max", "the shorter one is ttl_min");
        }
        let despite = |what: Despite| written.store_despite.iter().flatten().any(|one| *one == what);
        let ruled = ttl.is_some() || ttl_min.is_some() || written.status_ttl.is_some();
        if despite(Despite::NoStore) && !ruled {
            let fix = "a `ttl` beside it";
            self.warn(
                &at("store_despite"),
                "has little effect: no-store answers seldom have a lifetime",
                fix,
            );
        }
        let tags = self.texts(&at("tags"), written.tags.as_deref(), "a word, such as \"static\"");
        Overrides {
            ttl,
            ttl_min,
            ttl_max,
            browser_ttl,
            status_ttl: self.status_ttl(&at("status_ttl"), written),
            ignore_cache_control: written.ignore_cache_control.unwrap_or(false),
            despite_no_store: despite(Despite::NoStore),
            despite_private: despite(Despite::Private),
            despite_authorization: despite(Despite::Authorization),
            tags: tags.map(Box::from).collect(),
        }
    }

    fn status_ttl(&mut self, path: &str, written: &Rule) -> Vec<(Statuses, Duration)> {
        let mut found = Vec::new();
        for (key, time) in written.status_ttl.iter().flatten() {
            let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let path = if bare { format!("{path}.{key}") } else { format!("{path}.{key:?}") };
            let ttl = match value::time(&time.0) {
                Ok(ttl) => ttl,
                Err(unclear) => {
                    self.wrong(&path, unclear.what, unclear.fix);
                    continue;
                }
            };
            let class =
                key.strip_suffix("xx").and_then(|digit| digit.parse().ok()).filter(|c| (2..=5).contains(c));
            let code = key.parse().ok().filter(|code| (200..=599).contains(code));
            match (class, code) {
                (Some(class), _) => found.push((Statuses::Class(class), ttl)),
                (None, Some(code)) if policy::storing::is_about_one_request(code) && !ttl.is_zero() => {
                    let what = format!("{code} answers one request and is never stored");
                    self.wrong(&path, what, "leave it out");
                }
                (None, Some(code)) => found.push((Statuses::One(code), ttl)),
                (None, None) => {
                    self.wrong(&path, format!("{key:?} is not a status"), "such as 404, or 5xx for a class");
                }
            }
        }
        found
    }
}

fn lower(pair: Pair) -> Pair {
    Pair { name: pair.name.lower(), ..pair }
}

pub(super) fn set_cookie(choice: file::SetCookie) -> policy::SetCookie {
    match choice {
        file::SetCookie::Refuse => policy::SetCookie::Refuse,
        file::SetCookie::Strip => policy::SetCookie::Strip,
        file::SetCookie::Keep => policy::SetCookie::Keep,
    }
}

#[cfg(test)]
mod tests;
