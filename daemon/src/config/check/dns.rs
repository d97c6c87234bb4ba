//! The tables of the DNSBL server: addresses, bounds on connections, certificate.

use super::super::problem::Place;
use super::super::{CertificateFiles, ConnectionLimits, Dns, QueryLog, names, raw};
use super::{Check, HOUR, SECOND, inner, list};
use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;
use toml::Spanned;

/// Most threads that answer UDP.
const MAX_WORKERS: usize = 256;
/// Most connections at a time.
const MAX_CONNECTIONS: usize = 65_536;

impl Check<'_, '_> {
    pub(super) fn dns(&mut self, raw: raw::Dns) -> Dns {
        let default = Dns::default();
        let workers = raw.workers.as_ref();
        let workers = workers.map(|_| self.number(workers, "workers in [dns]", 1, 1..=MAX_WORKERS));
        let connections = self.connection_limits(&raw, default.connections);
        // Where a missing certificate is missed.
        let tables = [raw.tls.as_ref().map(Spanned::span), raw.https.as_ref().map(Spanned::span)];
        let at = tables.into_iter().flatten().next().or(raw.quic.as_ref().map(Spanned::span));
        let (dot, doh, doq) = (inner(raw.tls), inner(raw.https), inner(raw.quic));

        let (mut tcp, mut udp) = (Vec::new(), Vec::new());
        let listen = match raw.listen {
            Some(listen) => self.addresses(listen.get_ref(), "listen in [dns]", &mut tcp),
            None => default.listen,
        };
        tcp.clone_from(&listen);
        udp.clone_from(&listen);
        let tls = self.addresses(&list(dot.listen), "listen in [dns.tls]", &mut tcp);
        let https = self.addresses(&list(doh.listen), "listen in [dns.https]", &mut tcp);
        let quic = self.addresses(&list(doq.listen), "listen in [dns.quic]", &mut udp);
        let encrypted = !(tls.is_empty() && https.is_empty() && quic.is_empty());
        let files = [dot.certificate, dot.key];
        let certificate = self.certificate(&files, encrypted, at.unwrap_or_default());
        let said = |text: &str| names::said_of_itself(text);
        let (rate_limit, rate_exempt) = self.rate_limit(inner(raw.rate_limit));
        let (quota, quota_exempt) = self.quota(inner(raw.quota));
        Dns {
            listen,
            workers: workers.and_then(NonZeroUsize::new),
            connections,
            tls,
            https,
            quic,
            certificate,
            udp_size: self.number(raw.udp_size.as_ref(), "udp_size in [dns]", default.udp_size, 512..=4096),
            coalesce: Duration::from_micros(self.number(
                raw.coalesce_us.as_ref(),
                "coalesce_us in [dns]",
                0,
                0..=1000,
            )),
            nsid: self.parse(raw.nsid.as_ref(), "nsid in [dns]", said),
            version: self.parse(raw.version.as_ref(), "version in [dns]", said),
            hostname: self.parse(raw.hostname.as_ref(), "hostname in [dns]", said),
            cookies: raw.cookies.is_none_or(|cookies| *cookies.get_ref()),
            cookie_secrets: raw.cookie_secrets.and_then(|path| self.path(&path, "cookie_secrets in [dns]")),
            clients: self.clients(raw.clients, "[dns]", None).unwrap_or_default(),
            rate_limit,
            rate_exempt,
            quota,
            quota_exempt,
            query_log: self.query_log(inner(raw.query_log)),
        }
    }

    fn query_log(&mut self, raw: raw::QueryLog) -> Option<QueryLog> {
        let every = self.number(raw.every.as_ref(), "every in [dns.query_log]", 1, 1..=1_000_000);
        let file = self.path(&raw.file?, "file in [dns.query_log]")?;
        Some(QueryLog { file, every: NonZeroU64::new(every).unwrap_or(NonZeroU64::MIN) })
    }

    fn connection_limits(&mut self, raw: &raw::Dns, default: ConnectionLimits) -> ConnectionLimits {
        let (idle, range) = (raw.tcp_idle.as_ref(), (SECOND, HOUR));
        let idle = self.duration(idle, "tcp_idle in [dns]", default.idle, range, "");
        let (key, most) = ("tcp_connections in [dns]", 1..=MAX_CONNECTIONS);
        let total = self.number(raw.tcp_connections.as_ref(), key, default.total, most.clone());
        let (key, per_client) =
            ("tcp_connections_per_client in [dns]", raw.tcp_connections_per_client.as_ref());
        let per_client = self.number(per_client, key, default.per_client, most);
        ConnectionLimits { idle, total, per_client }
    }

    /// Addresses that are not among those `taken` by other tables for sockets of the same kind; adds them there.
    fn addresses(
        &mut self,
        listen: &[Spanned<String>],
        key: &str,
        taken: &mut Vec<SocketAddr>,
    ) -> Vec<SocketAddr> {
        let addresses = self.each_once(listen, key, |text| match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 && taken.contains(&address) => {
                Err("another listen of [dns] has this address and port; give each a port of its own")
            }
            Ok(address) => Ok(address),
            Err(_) => Err("write an address and a port, such as \"127.0.0.1:5300\" or \"[::1]:5300\""),
        });
        taken.extend_from_slice(&addresses);
        addresses
    }

    /// Certificate and key: both or none, and both if something is `encrypted`.
    fn certificate(
        &mut self,
        [certificate, key]: &[Option<Spanned<String>>; 2],
        encrypted: bool,
        at: Place,
    ) -> Option<CertificateFiles> {
        if certificate.is_none() && key.is_none() && !encrypted {
            return None;
        }
        let mut file = |value: &Option<Spanned<String>>, name: &str| {
            let Some(value) = value else {
                let hint = format!("add it, such as {name} = \"/etc/blackthorn/{name}.pem\"");
                self.report.error(at.clone(), "missing key in [dns.tls]".into(), name.into(), &hint);
                return None;
            };
            self.path(value, &format!("{name} in [dns.tls]"))
        };
        let (certificate, key) = (file(certificate, "certificate"), file(key, "key"));
        Some(CertificateFiles { certificate: certificate?, key: key? })
    }
}
