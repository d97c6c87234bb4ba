//! Where a server may send us (G14): never from https back to http, to a new host only over https, and never from the
//! open internet into a private network.
//!
//! The last rule has two halves. [`judge`] refuses addresses written in the redirect; [`PublicOnly`] resolves names
//! for redirected requests and leaves out addresses that are not public.

use crate::config::source::mask;
use crate::core::network::fold;
use crate::core::special;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;
use url::{Host, Url};

/// Most redirects followed in one fetch.
pub(super) const MAX_REDIRECTS: usize = 5;

/// Why a redirect is not followed. Targets are shown without their secrets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// A chain longer than this module allows, or a loop.
    #[error("more than {MAX_REDIRECTS} in a row, the last to {0}; look up where the list is published now")]
    TooMany(String),
    /// The new address is not one.
    #[error("its target is not a valid address: {0}; report this to the publisher")]
    Invalid(String),
    /// Neither http nor https.
    #[error("to {0}, which is neither http nor https; look up where the list is published now")]
    Scheme(String),
    /// From https to http.
    #[error("from https to {0}, which anyone on the way could change; look up the https address of the list")]
    Downgrade(String),
    /// To a new host over http.
    #[error("to another host without https, {0}; if that is right, configure this address for the feed")]
    PlainNewHost(String),
    /// Into a private network.
    #[error("to {0}, which is not a public address; if that is right, configure it for the feed")]
    Private(String),
}

/// May a fetch of `home` that has come to `from` go on to `to`? Names still have to resolve to public addresses.
pub(super) fn judge(home: &Url, from: &Url, to: &Url) -> Result<(), Refusal> {
    let shown = || mask(to).to_string();
    match (from.scheme(), to.scheme()) {
        ("https", "http") => return Err(Refusal::Downgrade(shown())),
        (_, "http" | "https") => {}
        _ => return Err(Refusal::Scheme(shown())),
    }
    if to.host() == home.host() {
        return Ok(());
    }
    if to.scheme() != "https" {
        return Err(Refusal::PlainNewHost(shown()));
    }
    match to.host() {
        Some(Host::Ipv4(address)) if !is_public(address.into()) => Err(Refusal::Private(shown())),
        Some(Host::Ipv6(address)) if !is_public(address.into()) => Err(Refusal::Private(shown())),
        _ => Ok(()),
    }
}

/// Is it an address of the open internet: no special-use space (E16), also not inside an IPv6 transition address?
pub(super) fn is_public(address: IpAddr) -> bool {
    match fold(address) {
        IpAddr::V4(v4) => !special::V4.iter().any(|span| span.contains(v4.into())),
        IpAddr::V6(v6) => {
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            !site_local
                && !special::V6.iter().any(|span| span.contains(v6.into()))
                && embedded_v4(v6).is_none_or(|v4| is_public(v4.into()))
        }
    }
}

/// The IPv4 address that a translator or tunnel would send the packet on to: NAT64 (RFC 6052), 6to4 (RFC 3056),
/// IPv4-compatible (RFC 4291).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => pair(high, low),
        // For use inside one network only (RFC 8215); where the IPv4 address sits is that network's choice.
        [0x64, 0xff9b, 1, ..] => Some(Ipv4Addr::UNSPECIFIED),
        [0x2002, high, low, ..] => pair(high, low),
        _ => None,
    }
}

/// Resolves names to public addresses only.
#[derive(Debug)]
pub(super) struct PublicOnly {
    /// Names of configured proxies: they may stand in the own network, and are not where a redirect leads.
    pub(super) proxies: HashSet<String>,
}

/// A name in a redirect that leads into a private network.
#[derive(Debug, Error)]
#[error("{0} resolves to no public address")]
pub(super) struct NotPublic(pub(super) String);

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxies.contains(name.as_str());
        Box::pin(async move {
            let name = name.as_str();
            let mut found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            if !is_proxy {
                found.retain(|address| is_public(address.ip()));
                if found.is_empty() {
                    return Err(NotPublic(name.to_owned()).into());
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(home: &str, from: &str, to: &str) -> Result<(), Refusal> {
        judge(&home.parse().unwrap(), &from.parse().unwrap(), &to.parse().unwrap())
    }

    /// The first redirect of a fetch.
    fn first(home: &str, to: &str) -> Result<(), Refusal> {
        hop(home, home, to)
    }

    #[test]
    fn the_same_host_may_upgrade_but_not_downgrade() {
        assert_eq!(first("http://a.example/l", "http://a.example/m"), Ok(()));
        assert_eq!(first("http://a.example/l", "https://a.example/l"), Ok(()));
        assert_eq!(first("https://a.example/l", "https://a.example:8443/l"), Ok(()));
        assert!(matches!(first("https://a.example/l", "http://a.example/l"), Err(Refusal::Downgrade(_))));
        let last = hop("http://a.example/l", "https://a.example/l", "http://a.example/l");
        assert!(matches!(last, Err(Refusal::Downgrade(_))), "judged by the hop before, not by the first");
    }

    #[test]
    fn a_new_host_needs_https() {
        assert_eq!(first("http://a.example/l", "https://cdn.example/l"), Ok(()));
        assert!(matches!(first("http://a.example/l", "http://cdn.example/l"), Err(Refusal::PlainNewHost(_))));
        assert!(matches!(first("http://a.example/l", "http://192.0.2.1/l"), Err(Refusal::PlainNewHost(_))));
    }

    #[test]
    fn private_addresses_are_for_those_who_configured_them() {
        for to in [
            "https://10.0.0.1/",
            "https://127.0.0.1:9200/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::10.0.0.1]/",
        ] {
            assert!(matches!(first("https://a.example/l", to), Err(Refusal::Private(_))), "{to}");
            assert!(matches!(first("https://192.0.2.1/l", to), Err(Refusal::Private(_))), "{to}");
        }
        assert_eq!(first("https://a.example/l", "https://192.0.2.1/l"), Ok(()));
        assert_eq!(first("http://10.0.0.1/l", "http://10.0.0.1/m"), Ok(()), "configured, and unchanged");
        assert!(matches!(first("http://10.0.0.1/l", "https://10.0.0.2/l"), Err(Refusal::Private(_))));
    }

    #[test]
    fn other_schemes_are_refused() {
        assert!(matches!(first("https://a.example/l", "ftp://a.example/l"), Err(Refusal::Scheme(_))));
        assert!(matches!(first("https://a.example/l", "file:///etc/passwd"), Err(Refusal::Scheme(_))));
    }

    #[test]
    fn refusals_hide_secrets() {
        let refusal = first("https://a.example/l", "http://b.example/l?token=s3cret").unwrap_err();
        assert!(refusal.to_string().contains("http://b.example/l?***"), "{refusal}");
    }

    #[test]
    fn public_addresses_of_both_families() {
        for public in
            ["192.0.2.1", "8.8.8.8", "2001:db8::1", "2606:4700::1111", "64:ff9b::8.8.8.8", "2002:808:808::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "172.31.0.1",
            "192.168.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::808:808",
            "2002:7f00:1::1",
            "2002:a00:1::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[tokio::test]
    async fn private_names_do_not_resolve_unless_they_are_a_proxy() {
        let open = PublicOnly { proxies: HashSet::new() };
        let Err(error) = open.resolve("localhost".parse().unwrap()).await else { panic!("resolved") };
        assert_eq!(error.to_string(), "localhost resolves to no public address");
        let exempt = PublicOnly { proxies: HashSet::from(["localhost".to_owned()]) };
        assert!(exempt.resolve("localhost".parse().unwrap()).await.is_ok());
    }
}
