//! Checks of what is kept: admission to the disk, shares and pins.

use larder_store::{Admission, Share};

use super::Check;
use crate::config::file;
use crate::policy::keeping::{Keeping, share_of};
use crate::route;

impl Check<'_> {
    /// `path` is that of the site's cache section.
    pub(super) fn keeping(&mut self, path: &str, name: &str, written: &file::SiteCache) -> Keeping {
        let share = written.disk_share_percent.map_or(0, percent);
        for (index, pattern) in written.pin_paths.iter().flatten().enumerate() {
            let inner = pattern.strip_suffix('*').unwrap_or(pattern);
            if !pattern.starts_with('/') || inner.contains(['*', '?']) {
                let what = format!("{pattern:?} is no path");
                let fix = "\"/app.js\", or \"/core/*\" for all below; without a query";
                self.wrong(&format!("{path}.pin_paths[{index}]"), what, fix);
            }
        }
        for (index, tag) in written.pin_tags.iter().flatten().enumerate() {
            if tag.is_empty() || tag.contains(char::is_whitespace) {
                let what = format!("{tag:?} is no tag");
                self.wrong(&format!("{path}.pin_tags[{index}]"), what, "one tag, such as \"shell\"");
            }
        }
        let texts =
            |list: &Option<Vec<String>>| list.iter().flatten().map(|text| text.as_str().into()).collect();
        Keeping {
            share: if share == 0 { 0 } else { share_of(name) },
            share_percent: share,
            pin_paths: texts(&written.pin_paths),
            pin_tags: texts(&written.pin_tags),
        }
    }

    /// The shares of all sites.
    pub(super) fn shares(&mut self, sites: &[route::SiteConfig]) -> Vec<Share> {
        let of = |site: &route::SiteConfig| {
            let keeping = &site.policy.keeping;
            (keeping.share != 0).then_some(Share { share: keeping.share, percent: keeping.share_percent })
        };
        let shares: Vec<Share> = sites.iter().filter_map(of).collect();
        let sum: u32 = shares.iter().map(|share| u32::from(share.percent)).sum();
        let last = sites.iter().rposition(|site| site.policy.keeping.share != 0);
        if let Some(index) = last.filter(|_| sum > 100) {
            let path = format!("site[{index}].cache.disk_share_percent");
            self.wrong(&path, format!("all shares together are {sum} percent"), "100 at the most");
        }
        shares
    }
}

/// A percentage that its schema already keeps within bounds.
pub(super) fn percent(written: u64) -> u8 {
    u8::try_from(written).unwrap_or(100)
}

pub(super) const fn admission(written: Option<file::DiskAdmission>) -> Admission {
    match written {
        None | Some(file::DiskAdmission::Auto) => Admission::Auto,
        Some(file::DiskAdmission::All) => Admission::All,
        Some(file::DiskAdmission::Second) => Admission::Second,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use larder_store::{Admission, Share};

    use crate::config::{Loaded, Mistakes, parse};

    fn load(cache: &str, site: &str) -> Result<Loaded, Mistakes> {
        let text = format!(
            "[node]\nname = \"n\"\n[cache]\ndisk = \"0\"\n{cache}\n[[listener]]\naddress = \"127.0.0.1:80\"\n\
             [[site]]\nname = \"shop\"\nhosts = [\"a\"]\n[site.origin]\nendpoints = [\"http://b\"]\n[site.cache]\n{site}\n\
             [[site]]\nhosts = [\"c\"]\n[site.origin]\nendpoints = [\"http://b\"]\n[site.cache]\n{site}\n"
        );
        parse(Path::new("edge.toml"), &text)
    }

    #[test]
    fn shares_pins_and_admission_are_understood() {
        let node = load("disk_admission = \"second\"\npinned_max_percent = 5", "disk_share_percent = 50")
            .unwrap()
            .node;
        assert_eq!((node.cache.admission, node.cache.pinned_max), (Admission::Second, 5));
        let shares: Vec<u8> = node.cache.shares.iter().map(|share| share.percent).collect();
        assert_eq!(shares, [50, 50]);
        let [one, two] = [0, 1].map(|at| node.cache.shares[at]);
        assert_ne!(one, Share { percent: one.percent, ..two }, "each its own");
        let keeping = load("", "pin_paths = [\"/a/*\"]\npin_tags = [\"t\"]")
            .unwrap()
            .node
            .sites
            .remove(0)
            .policy
            .keeping;
        assert!(keeping.share == 0 && keeping.pins("http://a:80/a/b", &[]));
    }

    #[test]
    fn mistakes_name_the_place_and_the_fix() {
        for (site, path, fix) in [
            ("disk_share_percent = 51", "site[1].cache.disk_share_percent", "100 at the most"),
            ("pin_paths = [\"a\"]", "site[0].cache.pin_paths[0]", "/core/*"),
            ("pin_paths = [\"/a*b\"]", "site[0].cache.pin_paths[0]", "/core/*"),
            ("pin_tags = [\"a b\"]", "site[0].cache.pin_tags[0]", "one tag"),
        ] {
            let told = load("", site).unwrap_err().to_string();
            assert!(told.contains(path) && told.contains(fix), "{site}: {told}");
        }
    }
}
