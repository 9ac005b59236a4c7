//! Checks of `[fleet]` and of `[site.purge]`: who else may purge.

use ipnet::IpNet;

use super::{Check, host};
use crate::config::file::{self, File};
use crate::purge::fleet;
use crate::{limits, route};

impl Check<'_> {
    pub(super) fn fleet(&mut self, written: &file::Fleet, all: &File) -> Option<fleet::Config> {
        if all.admin.is_none() {
            let fix = "[admin] with an address that the peers reach";
            self.wrong("fleet", "needs an admin listener: peers read this node's purges from it", fix);
        }
        let own = all.admin.as_ref().and_then(|admin| admin.address.as_deref());
        let mut peers = Vec::new();
        for (index, text) in written.peers.iter().enumerate() {
            let path = format!("fleet.peers[{index}]");
            match host::endpoint(text) {
                Ok(peer) if peers.contains(&peer) => {
                    self.wrong(&path, format!("{text:?} is already in the list"), "keep one of the two");
                }
                // One file for all nodes: who is in the list does not ask itself.
                Ok(peer) if own.is_some_and(|own| peer.to_string() == format!("http://{own}")) => {}
                Ok(peer) => peers.push(peer),
                Err(unclear) => self.wrong(&path, unclear.what, unclear.fix),
            }
        }
        if written.peers.is_empty() {
            let fix = "peers = [\"http://10.0.0.2:9901\"]: the admin listeners of the other nodes";
            self.wrong("fleet.peers", "needs at least one peer", fix);
        }
        if peers.len() > limits::FLEET_PEERS_MAX {
            let fix = format!("at the most {}", limits::FLEET_PEERS_MAX);
            self.wrong("fleet.peers", format!("{} are too many", peers.len()), fix);
        }
        let catch_up_timeout = self.timeout(
            "fleet.catch_up_timeout",
            written.catch_up_timeout.as_ref(),
            limits::FLEET_CATCH_UP_TIMEOUT,
        );
        let ca_file = written.ca_file.as_deref().map(|file| self.ca_file("fleet.ca_file", file));
        let token = self.token("fleet.token_file", written.token_file.as_deref(), "fleet.token")?;
        Some(fleet::Config { peers, token, ca_file, catch_up_timeout })
    }

    pub(super) fn site_purge(&mut self, index: usize, sites: &[file::Site]) -> Option<route::Purging> {
        let written = sites.get(index)?.purge.as_ref()?;
        let path = format!("site[{index}].purge");
        let mut networks = Vec::new();
        for (index, text) in written.networks.iter().enumerate() {
            match network(text) {
                Some(network) => networks.push(network),
                None => {
                    let what = format!("{text:?} is not a network");
                    self.wrong(
                        &format!("{path}.networks[{index}]"),
                        what,
                        "such as \"10.0.0.0/8\" or \"::1\"",
                    );
                }
            }
        }
        let file = format!("{path}.token_file");
        let token =
            written.token_file.as_deref().and_then(|text| self.token(&file, Some(text), "purge.token"));
        if written.networks.is_empty() && written.token_file.is_none() {
            let fix = "networks = [\"10.0.0.0/8\"], or token_file; leave [site.purge] out to take none";
            self.wrong(&path, "lets nobody purge", fix);
        }
        if let Some(network) = networks.iter().find(|network| network.prefix_len() == 0) {
            let what = format!("{network} is everybody: anyone who reaches the site can empty its cache");
            self.warn(&format!("{path}.networks"), what, "the networks of those who publish");
        }
        Some(route::Purging { networks, token, tags: written.tags.unwrap_or(sites.len() == 1) })
    }
}

/// A network, or a single address.
fn network(text: &str) -> Option<IpNet> {
    let network: IpNet =
        text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)))?;
    Some(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const ADMIN: &str = "[admin]\naddress = \"10.0.0.1:9901\"\ntoken_file = \"admin.token\"\n";

    fn load(top: &str, site: &str) -> Result<config::Node, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["admin.token", "fleet.token"] {
            #[expect(clippy::disallowed_methods, reason = "a file of the test")]
            std::fs::write(folder.path().join(name), format!("0123456789abcdef-{name}\n")).unwrap();
        }
        let text = format!(
            "[node]\nname = \"edge-1\"\n[cache]\ndisk = \"0\"\n[[listener]]\naddress = \"127.0.0.1:8080\"\n{top}\n\
             [[site]]\nhosts = [\"*\"]\n[site.origin]\nendpoints = [\"http://127.0.0.1:9000\"]\n{site}\n"
        );
        match config::parse(&folder.path().join("edge.toml"), &text) {
            Ok(loaded) => Ok(loaded.node),
            Err(mistakes) => Err(mistakes.0.into_iter().map(|m| format!("{}: {}", m.path, m.what)).collect()),
        }
    }

    #[test]
    fn a_fleet_is_its_other_nodes() {
        let lines = "[fleet]\npeers = [\"http://10.0.0.1:9901\", \"http://10.0.0.2:9901\"]\ntoken_file = \"fleet.token\"";
        let fleet = load(&format!("{ADMIN}{lines}"), "").unwrap().fleet.unwrap();
        let peers: Vec<_> = fleet.peers.iter().map(ToString::to_string).collect();
        assert_eq!(peers, ["http://10.0.0.2:9901"], "it does not ask itself");
        assert_eq!(fleet.catch_up_timeout, limits::FLEET_CATCH_UP_TIMEOUT);
        assert!(!format!("{fleet:?}").contains("0123456789"), "a token is never printed");
    }

    #[test]
    fn mistakes_of_a_fleet_and_of_purging_name_their_place() {
        let token = "token_file = \"fleet.token\"";
        let rows = [
            (format!("[fleet]\npeers = [\"http://a:1\"]\n{token}"), "", "fleet: needs an admin listener"),
            (format!("{ADMIN}[fleet]\n{token}"), "", "fleet.peers: needs at least one peer"),
            (
                format!("{ADMIN}[fleet]\npeers = [\"a:1\"]\n{token}"),
                "",
                "fleet.peers[0]: \"a:1\" has no scheme",
            ),
            (
                format!("{ADMIN}[fleet]\npeers = [\"http://a:1\", \"http://a:1\"]\n{token}"),
                "",
                "fleet.peers[1]: ",
            ),
            (format!("{ADMIN}[fleet]\npeers = [\"http://a:1\"]"), "", "fleet.token_file: is missing"),
            (String::new(), "[site.purge]", "site[0].purge: lets nobody purge"),
            (
                String::new(),
                "[site.purge]\nnetworks = [\"10.0.0.0/33\"]",
                "site[0].purge.networks[0]: \"10.0.0.0/33\" is not",
            ),
            (String::new(), "[site.purge]\ntoken_file = \"none\"", "site[0].purge.token_file: "),
        ];
        for (top, site, wanted) in rows {
            let found = load(&top, site).unwrap_err();
            assert!(found.len() == 1 && found[0].starts_with(wanted), "{wanted}: {found:?}");
        }
        let site = load("", "[site.purge]\nnetworks = [\"10.1.2.3/8\", \"::1\"]").unwrap().sites.remove(0);
        let networks: Vec<_> = site.purge.unwrap().networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    }
}
