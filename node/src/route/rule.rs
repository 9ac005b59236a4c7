//! Which rule of a site a request falls under, and which requests it sends past the cache.

use http::{HeaderMap, Method};

use crate::policy;
use crate::policy::keying::cookies;
use crate::policy::pattern::{self, Pair, Pattern};

/// One rule, compiled: what it is for, and what is different there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `rule:static`, for `Cache-Status` and the log.
    pub detail: Box<str>,
    /// What it is for.
    pub scope: Scope,
    /// What it sends past the cache.
    pub pass: Pass,
    /// How answers are cached where it holds: the site's policy and what the rule changes of it.
    pub policy: policy::Config,
}

impl Rule {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        self.detail.strip_prefix("rule:").unwrap_or(&self.detail)
    }
}

/// Which requests a rule is for: all that are in each of its lists. A list that is not there is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Paths in normal form.
    pub paths: Option<Vec<Pattern>>,
    /// Extensions, in lower case, without the dot.
    pub extensions: Option<Vec<Box<str>>>,
    /// Methods.
    pub methods: Option<Vec<Method>>,
}

impl Scope {
    /// Whether the rule is for a request with this target in normal form. Allocates nothing.
    #[must_use]
    pub fn covers(&self, method: &Method, target: &str) -> bool {
        let path = target.split('?').next().unwrap_or_default();
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
            && self.paths.as_ref().is_none_or(|paths| pattern::any(paths, path))
            && self.extensions.as_ref().is_none_or(|known| {
                let own = extension(path).unwrap_or_default();
                known.iter().any(|extension| extension.eq_ignore_ascii_case(own))
            })
    }
}

/// What stands behind the last dot of the last segment.
fn extension(path: &str) -> Option<&str> {
    let segment = path.rsplit('/').next()?;
    segment.rsplit_once('.').map(|(_, extension)| extension).filter(|extension| !extension.is_empty())
}

/// Which requests go past the cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pass {
    /// All.
    pub always: bool,
    /// Those with one of these cookies.
    pub cookies: Vec<Pair>,
    /// Those with one of these fields; names in lower case.
    pub headers: Vec<Pair>,
}

impl Pass {
    /// Whether a request with these fields goes past the cache.
    #[must_use]
    pub fn takes(&self, request: &HeaderMap) -> bool {
        self.always
            || (!self.cookies.is_empty()
                && cookies(request)
                    .any(|(name, value)| self.cookies.iter().any(|pair| pair.matches(name, value))))
            || (!self.headers.is_empty() && request.iter().any(|(name, value)| self.names(name, value)))
    }

    fn names(&self, name: &http::HeaderName, value: &http::HeaderValue) -> bool {
        // A value that is no text has no pattern; any value will do where none is asked for.
        let value = value.to_str().unwrap_or_default();
        self.headers.iter().any(|pair| pair.matches(name.as_str(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(paths: Option<&[&str]>, extensions: Option<&[&str]>, methods: Option<&[Method]>) -> Scope {
        Scope {
            paths: paths.map(|paths| paths.iter().map(|path| Pattern::new(path)).collect()),
            extensions: extensions.map(|all| all.iter().map(|one| Box::from(*one)).collect()),
            methods: methods.map(<[Method]>::to_vec),
        }
    }

    #[test]
    fn a_rule_is_for_what_is_in_all_of_its_lists() {
        let all = scope(None, None, None);
        let below = scope(Some(&["/static/*", "/robots.txt"]), None, None);
        let images = scope(None, Some(&["png", "jpg"]), None);
        let both = scope(Some(&["/img/*"]), Some(&["png"]), Some(&[Method::GET, Method::HEAD]));
        for (scope, method, target, covers) in [
            (&all, Method::POST, "/any?x", true),
            (&below, Method::GET, "/static/a.css?v=1", true),
            (&below, Method::GET, "/robots.txt?x=/y", true),
            (&below, Method::GET, "/robots.txt2", false),
            (&below, Method::GET, "/a?/static/x", false),
            (&images, Method::GET, "/a/b.PNG", true),
            (&images, Method::GET, "/a.png/b", false),
            (&images, Method::GET, "/a?b.png", false),
            (&images, Method::GET, "/png", false),
            (&images, Method::GET, "/a.", false),
            (&both, Method::GET, "/img/a.png", true),
            (&both, Method::POST, "/img/a.png", false),
            (&both, Method::GET, "/img/a.jpg", false),
            (&both, Method::GET, "/a.png", false),
        ] {
            assert_eq!(scope.covers(&method, target), covers, "{method} {target}");
        }
    }

    #[test]
    fn what_goes_past_the_cache() {
        let pass = Pass {
            always: false,
            cookies: vec![Pair::new("session*"), Pair::new("preview=1")],
            headers: vec![Pair::new("x-preview"), Pair::new("x-mode=*dev*")],
        };
        for (name, value, takes) in [
            ("cookie", "a=1; session_id=2", true),
            ("cookie", "a=session", false),
            ("cookie", "preview=1", true),
            ("cookie", "preview=0", false),
            ("x-preview", "", true),
            ("x-mode", "my dev box", true),
            ("x-mode", "prod", false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(name, value.parse().unwrap());
            assert_eq!(pass.takes(&request), takes, "{name}: {value}");
        }
        assert!(!pass.takes(&HeaderMap::new()) && !Pass::default().takes(&HeaderMap::new()));
        assert!(Pass { always: true, ..Pass::default() }.takes(&HeaderMap::new()));
    }
}
