//! What tells answers apart besides scheme, host, port and path, as a site declares it. Requests that are declared
//! equal are made equal here, before the key is read and before anything is sent: the origin cannot tell them apart.

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::device;
use super::pattern::{self, Pattern};
use super::vary::VaryNames;

/// Parameters by which campaigns, advertisers and mailings follow a visitor; pages do not answer by them. Google (`utm_*`,
/// `gclid` and its kin, `_ga`, `_gl`), Meta, Microsoft, TikTok, X, LinkedIn, Yandex, Pinterest, Snapchat, Mailchimp,
/// HubSpot, Marketo, Klaviyo, Adobe, Matomo, Drip, Omeda, Vero, Wicked Reports, Branch, Instagram, Impact, Awin.
pub const TRACKING: [&str; 62] = [
    "utm_*",
    "gclid",
    "gclsrc",
    "dclid",
    "gbraid",
    "wbraid",
    "gad_source",
    "gad_campaignid",
    "srsltid",
    "_ga",
    "_gl",
    "_gac",
    "fbclid",
    "fb_action_ids",
    "fb_action_types",
    "fb_source",
    "fb_ref",
    "msclkid",
    "ttclid",
    "twclid",
    "li_fat_id",
    "yclid",
    "ysclid",
    "_openstat",
    "epik",
    "sccid",
    "ScCid",
    "rdt_cid",
    "mc_cid",
    "mc_eid",
    "mc_tc",
    "_hsenc",
    "_hsmi",
    "__hssc",
    "__hstc",
    "__hsfp",
    "hsCtaTracking",
    "mkt_tok",
    "_ke",
    "_kx",
    "s_kwcid",
    "ef_id",
    "s_cid",
    "pk_*",
    "piwik_*",
    "mtm_*",
    "matomo_*",
    "dm_i",
    "oly_anon_id",
    "oly_enc_id",
    "vero_conv",
    "vero_id",
    "wickedid",
    "_branch_match_id",
    "_branch_referrer",
    "igshid",
    "igsh",
    "irclickid",
    "irgwc",
    "awc",
    "rb_clickid",
    "__s",
];

/// What a site, or one of its rules, says about keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keying {
    /// Parameters are brought into the order of their names.
    pub sort: bool,
    /// Which parameters count.
    pub query: Query,
    /// Fields that count as if every answer named them in `Vary`: those declared, `cookie` and the device field among
    /// them where they count.
    pub names: VaryNames,
    /// Cookies that count; where some do, no other one is sent.
    pub cookies: Vec<Box<str>>,
    /// Cookies that count by one of a few values.
    pub arms: Vec<Arm>,
    /// Cookies that are taken out before anything is decided.
    pub ignore_cookies: Vec<Pattern>,
    /// The field in which the origin is told the class of the device.
    pub device: Option<HeaderName>,
    /// Request fields that the origin does not answer by, though nobody has standardised that.
    pub harmless: Vec<Pattern>,
}

/// Which parameters of a query count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Query {
    /// All.
    #[default]
    All,
    /// All but these.
    Drop(Vec<Pattern>),
    /// These and no others.
    Keep(Vec<Pattern>),
}

/// A cookie of which only a few values are known, as of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arm {
    /// The cookie.
    pub cookie: Box<str>,
    /// Its values.
    pub values: Vec<Box<str>>,
    /// What stands for every other value and for none; nothing: the cookie is not sent.
    pub default: Option<Box<str>>,
}

impl Query {
    fn keeps(&self, piece: &str) -> bool {
        let name = piece.split('=').next().unwrap_or_default();
        match self {
            Self::All => true,
            Self::Drop(patterns) => !pattern::any(patterns, name),
            Self::Keep(patterns) => pattern::any(patterns, name),
        }
    }
}

impl Keying {
    /// Whether not every query counts as it is written.
    #[must_use]
    pub fn changes_queries(&self) -> bool {
        self.sort || self.query != Query::All
    }

    /// The target with its query as it counts, where that is not how it is written. `target` is in normal form, and so
    /// is what comes back.
    #[must_use]
    pub fn target(&self, target: &str) -> Option<String> {
        if !self.changes_queries() {
            return None;
        }
        let (path, query) = target.split_once('?').filter(|(_, query)| !query.is_empty())?;
        let mut pieces: Vec<&str> = query.split('&').filter(|piece| self.query.keeps(piece)).collect();
        if self.sort {
            // Stable: the order of parameters with one name means something.
            pieces.sort_by_key(|piece| piece.split('=').next());
        }
        let mut out = path.to_owned();
        for (at, piece) in pieces.iter().enumerate() {
            out.push(if at == 0 { '?' } else { '&' });
            out.push_str(piece);
        }
        (out != target).then_some(out)
    }

    /// No cookie counts any more, and none is sent.
    pub fn ignore_all_cookies(&mut self) {
        (self.cookies, self.arms) = (Vec::new(), Vec::new());
        self.names = self.names.without(COOKIE.as_str());
    }

    /// Whether cookies count by name, so that those that do not are not sent.
    #[must_use]
    pub fn counts_cookies(&self) -> bool {
        !self.cookies.is_empty() || !self.arms.is_empty()
    }

    /// Whether no request is changed by [`Keying::reduce`].
    #[must_use]
    pub fn leaves_fields(&self) -> bool {
        self.names.iter().next().is_none() && self.ignore_cookies.is_empty()
    }

    /// Writes the class of the device; what the client says in that field is not believed.
    pub fn tell_device(&self, request: &mut HeaderMap) {
        if let Some(name) = &self.device {
            let class = device::class(request);
            request.insert(name.clone(), HeaderValue::from_static(class.as_str()));
        }
    }

    /// Brings a request that may be answered from the cache into the form in which it counts.
    pub fn reduce(&self, request: &mut HeaderMap) {
        self.tell_device(request);
        self.join_lines(request);
        if !request.contains_key(COOKIE) && self.arms.iter().all(|arm| arm.default.is_none()) {
            return;
        }
        if self.counts_cookies() || !self.ignore_cookies.is_empty() {
            let kept = self.cookie(request);
            match HeaderValue::from_str(&kept) {
                Ok(value) if !kept.is_empty() => _ = request.insert(COOKIE, value),
                _ => _ = request.remove(COOKIE),
            }
        }
    }

    /// Lines of a declared field mean what one line with all of them means (RFC 9110 5.3), and are sent as that one.
    fn join_lines(&self, request: &mut HeaderMap) {
        for name in self.names.iter().filter(|name| *name != COOKIE.as_str()) {
            if request.get_all(name).iter().nth(1).is_none() {
                continue;
            }
            let lines: Vec<&[u8]> = request.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let joined = HeaderValue::from_bytes(&lines.join(&b", "[..]));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), joined) {
                request.insert(name, value);
            }
        }
    }

    /// The one `Cookie` line that counts; empty where there is none.
    fn cookie(&self, request: &HeaderMap) -> String {
        let mut line = String::new();
        let mut push = |name: &str, value: &str| {
            let separator = if line.is_empty() { "" } else { "; " };
            line.extend([separator, name, "=", value]);
        };
        if !self.counts_cookies() {
            for (name, value) in
                cookies(request).filter(|(name, _)| !pattern::any(&self.ignore_cookies, name))
            {
                push(name, value);
            }
            return line;
        }
        let told = |wanted: &str| cookies(request).find(|(name, _)| *name == wanted).map(|(_, value)| value);
        for name in &self.cookies {
            if let Some(value) = told(name) {
                push(name, value);
            }
        }
        for arm in &self.arms {
            let value = told(&arm.cookie);
            let known = arm.values.iter().find(|known| value == Some(known));
            if let Some(value) = known.or(arm.default.as_ref()) {
                push(&arm.cookie, value);
            }
        }
        line
    }
}

/// Names and values of a request's cookies, in order (RFC 6265 4.2.1); what is not visible ASCII is left out, because
/// no two parsers agree on it.
pub fn cookies(request: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = request.get_all(COOKIE).iter().filter_map(|line| std::str::from_utf8(line.as_bytes()).ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs.filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        Some((name.trim(), value.trim()))
    })
}

#[cfg(test)]
mod tests;
