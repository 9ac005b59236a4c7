//! Checks of `[site.vary]`.

use super::Check;
use crate::config::file;
use crate::limits::NEGOTIATED_MEMBERS_MAX;
use crate::policy::negotiate;

impl Check<'_> {
    pub(super) fn vary(&mut self, path: &str, written: &file::SiteVary) -> negotiate::Config {
        let fix = "such as \"image/avif\"";
        self.members(&format!("{path}.accept"), &written.accept, is_media_type, "a media type", fix);
        let fix = "such as \"en\" or \"pt-BR\"";
        self.members(
            &format!("{path}.accept_language"),
            &written.accept_language,
            is_language,
            "a language",
            fix,
        );
        negotiate::Config::new(&written.accept, &written.accept_language)
    }

    fn members(&mut self, path: &str, written: &[String], is_one: fn(&str) -> bool, what: &str, fix: &str) {
        if written.len() > NEGOTIATED_MEMBERS_MAX {
            let what = format!("has {} members; every request is held against each", written.len());
            self.wrong(path, what, format!("at most {NEGOTIATED_MEMBERS_MAX}"));
        }
        for (index, text) in written.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if !is_one(text) {
                self.wrong(&path, format!("{text:?} is not {what}"), fix);
            } else if written[..index].iter().any(|earlier| earlier.eq_ignore_ascii_case(text)) {
                self.wrong(&path, format!("{text:?} is already in the list"), "keep one of the two");
            }
        }
    }
}

/// One type without wildcards and parameters: a range names no answer.
fn is_media_type(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, sub)| part(kind) && part(sub))
}

/// A tag as RFC 5646 2.1 writes them: subtags of up to eight letters and digits.
fn is_language(text: &str) -> bool {
    text.split('-')
        .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http::HeaderMap;

    use crate::config::parse;
    use crate::route::SiteConfig;

    fn site(more: &str) -> Result<SiteConfig, Vec<String>> {
        let text = format!(
            "[node]\nname = \"a\"\n[cache]\ndisk = \"0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nhosts = [\"*\"]\n\
             [site.origin]\nendpoints = [\"http://127.0.0.1:9\"]\n{more}"
        );
        match parse(Path::new("edge.toml"), &text) {
            Ok(mut loaded) => Ok(loaded.node.sites.remove(0)),
            Err(mistakes) => Err(mistakes.0.into_iter().map(|mistake| mistake.path).collect()),
        }
    }

    #[test]
    fn what_a_site_declares_is_what_an_origin_hears() {
        let vary = site("[site.vary]\naccept_language = [\"de\", \"pt-BR\"]\naccept = [\"image/avif\"]\n")
            .unwrap()
            .vary;
        let mut request = HeaderMap::new();
        request.insert("accept-language", "pt".parse().unwrap());
        request.insert("accept", "image/avif".parse().unwrap());
        vary.reduce(&mut request, true);
        assert_eq!(
            (&request["accept-language"], &request["accept"]),
            (&"pt-br".parse().unwrap(), &"image/avif".parse().unwrap())
        );
    }

    #[test]
    fn what_names_no_answer_is_a_mistake() {
        let text = "[site.vary]\naccept = [\"image/*\", \"a/b\", \"A/B\", \"avif\"]\naccept_language = [\"*\", \"en_GB\", \"en\"]\n";
        let wrong = site(text).unwrap_err();
        let places = ["accept[0]", "accept[2]", "accept[3]", "accept_language[0]", "accept_language[1]"];
        assert_eq!(wrong, places.map(|place| format!("site[0].vary.{place}")));
        let many = (0..33).map(|number| format!("\"x/{number}\"")).collect::<Vec<_>>().join(", ");
        assert_eq!(site(&format!("[site.vary]\naccept = [{many}]\n")).unwrap_err(), ["site[0].vary.accept"]);
    }

    #[test]
    fn grace_is_the_default_of_both_windows() {
        let policy = |lines: &str| site(&format!("[site.cache]\n{lines}")).unwrap().policy;
        let seconds = |lines: &str| {
            let policy = policy(lines);
            (policy.stale_while_revalidate.as_secs(), policy.stale_if_error.as_secs())
        };
        assert_eq!(seconds("grace = \"10s\"\n"), (10, 10));
        assert_eq!(seconds("grace = \"10s\"\nstale_if_error = \"1h\"\n"), (10, 3600));
        assert_eq!(seconds("grace = \"10s\"\nstale_while_revalidate = \"0s\"\n"), (0, 10));
        assert!(policy("serve_stored_if_down = true\n").serve_stored_if_down);
        let wrong = site("[site.cache]\nstale_if_error_on = [\"timeout\", \"503\", \"200\", \"http_500\"]\n")
            .unwrap_err();
        assert_eq!(wrong, ["site[0].cache.stale_if_error_on[2]", "site[0].cache.stale_if_error_on[3]"]);
    }
}
