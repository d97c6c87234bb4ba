//! The host's own addresses, gateways and resolvers: what no feed may ever make the packet filter drop.
//!
//! Read anew in every cycle, because addresses come and go. What cannot be read is reported, not ignored: a guard with
//! a hole is worth a warning.

use crate::core::network::Network;
use crate::core::protection::Reserved;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What was found, and what could not be read.
#[derive(Debug, Default)]
pub struct HostAddresses {
    /// Own addresses, gateways, resolvers.
    pub reserved: Vec<Reserved>,
    /// One line for each source that could not be read.
    pub problems: Vec<String>,
}

/// Reads interfaces, routing tables and resolvers of this host.
pub fn host_addresses() -> HostAddresses {
    let mut found = HostAddresses::default();
    match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => {
            for interface in interfaces {
                if let Some(address) = interface.address.as_ref().and_then(ip_of) {
                    found.add(address, format!("address of {}", interface.interface_name));
                }
            }
        }
        Err(error) => found.problems.push(format!("own addresses are unknown: {error}")),
    }
    found.read("/proc/self/net/route", v4_gateways, "gateway");
    found.read("/proc/self/net/ipv6_route", v6_gateways, "gateway");
    found.read("/etc/resolv.conf", resolvers, "resolver in /etc/resolv.conf");
    // Where /etc/resolv.conf only names the local stub, the real resolvers stand here.
    found.read("/run/systemd/resolve/resolv.conf", resolvers, "resolver of systemd-resolved");
    found
}

impl HostAddresses {
    fn add(&mut self, address: IpAddr, reason: String) {
        self.reserved.push(Reserved { network: Network::host(address), reason });
    }

    fn read(&mut self, path: &str, parse: fn(&str) -> Vec<IpAddr>, reason: &str) {
        match fs::read_to_string(path) {
            Ok(text) => {
                // On a router most of a hundred thousand routes share a few gateways.
                for address in BTreeSet::from_iter(parse(&text)) {
                    self.add(address, reason.to_owned());
                }
            }
            // No IPv6, no resolver file: nothing there to protect.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.problems.push(format!("{path}: {error}")),
        }
    }
}

fn ip_of(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| a.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|a| a.ip().into()))
}

/// Gateways of `/proc/net/route`: column 3, hexadecimal in host byte order.
fn v4_gateways(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let word = u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok()?;
        (word != 0).then(|| Ipv4Addr::from(word.to_ne_bytes()).into())
    };
    table.lines().skip(1).filter_map(gateway).collect()
}

/// Next hops of `/proc/net/ipv6_route`: column 5, 32 hexadecimal digits in network order.
fn v6_gateways(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let word = u128::from_str_radix(line.split_whitespace().nth(4)?, 16).ok()?;
        (word != 0).then(|| Ipv6Addr::from(word).into())
    };
    table.lines().filter_map(gateway).collect()
}

/// `nameserver` lines of `resolv.conf(5)`; a zone id behind `%` is cut off.
fn resolvers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then_some(())?;
        words.next()?.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernel_tables() {
        let v4 = "Iface\tDestination\tGateway \tFlags\neth0\t00000000\t0100A8C0\t0003\neth0\t0000A8C0\t00000000\t0001\nbad\n";
        #[cfg(target_endian = "little")]
        assert_eq!(v4_gateways(v4), ["192.168.0.1".parse::<IpAddr>().unwrap()]);
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                  fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\nshort\n";
        assert_eq!(v6_gateways(v6), ["fe80::1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn reads_resolvers() {
        let text = "# nameserver 192.0.2.1\nnameserver 192.0.2.53\n nameserver fe80::1%eth0\nnameserver\noptions x\n";
        assert_eq!(resolvers(text), ["192.0.2.53".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
    }

    #[test]
    fn what_is_read_many_times_is_reserved_once() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "nameserver 192.0.2.53\n".repeat(1000)).unwrap();
        let mut found = HostAddresses::default();
        found.read(file.path().to_str().unwrap(), resolvers, "resolver");
        assert_eq!(found.reserved.len(), 1);
    }

    #[test]
    fn this_host_has_a_loopback_address() {
        let loopback = Network::host(Ipv4Addr::LOCALHOST.into());
        assert!(host_addresses().reserved.iter().any(|r| r.network == loopback));
    }
}
