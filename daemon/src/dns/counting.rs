//! Counting: which counter is for what.

use crate::core::answer::{Rcode, Transport, qtype};
use crate::stats::{Counter, DnsStats, RcodeStats, TypeStats};

pub(super) fn of_transport(dns: &DnsStats, transport: Transport) -> &Counter {
    match transport {
        Transport::Udp => &dns.udp,
        Transport::Tcp => &dns.tcp,
        Transport::Tls => &dns.tls,
        Transport::Https => &dns.https,
        Transport::Quic => &dns.quic,
    }
}

pub(super) fn of_type(types: &TypeStats, asked: u16) -> &Counter {
    match asked {
        qtype::A => &types.a,
        qtype::AAAA => &types.aaaa,
        qtype::NS => &types.ns,
        qtype::SOA => &types.soa,
        qtype::TXT => &types.txt,
        qtype::ANY => &types.any,
        _ => &types.other,
    }
}

pub(super) fn of_rcode(stats: &RcodeStats, rcode: Rcode) -> &Counter {
    match rcode {
        Rcode::NoError => &stats.noerror,
        Rcode::FormErr => &stats.formerr,
        Rcode::ServFail => &stats.servfail,
        Rcode::NxDomain => &stats.nxdomain,
        Rcode::NotImp => &stats.notimp,
        Rcode::Refused => &stats.refused,
        Rcode::NotAuth => &stats.notauth,
        Rcode::BadVers => &stats.badvers,
        Rcode::BadCookie => &stats.badcookie,
    }
}
