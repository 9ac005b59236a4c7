//! What kind of device asks: three classes, so that an answer has three variants and not one for each browser.

use http::HeaderMap;
use http::header::USER_AGENT;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A telephone.
    Mobile,
    /// A tablet or a reader.
    Tablet,
    /// Everything else.
    Desktop,
}

impl Device {
    /// The spelling that the origin is told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Desktop => "desktop",
        }
    }
}

/// Names of tablets; Android ones do not say `Mobile`, and iPads that call themselves Macs are desktops here.
const TABLETS: [&str; 7] = ["iPad", "Tablet", "PlayBook", "Kindle", "Silk/", "KFAPWI", "SM-T"];

/// Names of telephones.
const MOBILES: [&str; 9] =
    ["Mobi", "iPhone", "iPod", "BlackBerry", "BB10", "Windows Phone", "Opera Mini", "webOS", "IEMobile"];

/// The class of whoever sent these fields, by `Sec-CH-UA-Mobile` (the browser's own word) and `User-Agent`.
#[must_use]
pub fn class(request: &HeaderMap) -> Device {
    let agent = request.get(USER_AGENT).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let says = |word: &&str| memchr::memmem::find(agent, word.as_bytes()).is_some();
    if TABLETS.iter().any(says) {
        return Device::Tablet;
    }
    let hinted = request.get("sec-ch-ua-mobile").is_some_and(|hint| hint.as_bytes() == b"?1");
    if hinted || MOBILES.iter().any(says) {
        return Device::Mobile;
    }
    // Android without `Mobile` is a tablet (and a television, which shows what a tablet shows).
    if says(&"Android") { Device::Tablet } else { Device::Desktop }
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    #[test]
    fn devices_by_what_they_say() {
        let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1";
        for (lines, wanted) in [
            (format!("User-Agent: {iphone}"), Device::Mobile),
            (
                "User-Agent: Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/128.0 Mobile Safari/537.36"
                    .into(),
                Device::Mobile,
            ),
            (
                "User-Agent: Mozilla/5.0 (Linux; Android 14; SM-X910) Chrome/128.0 Safari/537.36".into(),
                Device::Tablet,
            ),
            (
                "User-Agent: Mozilla/5.0 (Android 14; Tablet; rv:130.0) Gecko/130.0 Firefox/130.0".into(),
                Device::Tablet,
            ),
            (
                "User-Agent: Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) Mobile/15E148".into(),
                Device::Tablet,
            ),
            (
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0".into(),
                Device::Desktop,
            ),
            ("User-Agent: Mozilla/5.0 (Macintosh) Safari/605|Sec-CH-UA-Mobile: ?1".into(), Device::Mobile),
            ("User-Agent: Mozilla/5.0 (Windows NT 10.0)|Sec-CH-UA-Mobile: ?0".into(), Device::Desktop),
            ("User-Agent: curl/8.5".into(), Device::Desktop),
            (String::new(), Device::Desktop),
        ] {
            assert_eq!(class(&fields(&lines)), wanted, "{lines}");
        }
    }
}
