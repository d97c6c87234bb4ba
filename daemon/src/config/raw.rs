//! The file as written: every table and key, with its documentation and an example.
//!
//! The doc comments below are also the text of the annotated sample, so they speak to the person who writes a
//! configuration. Values are checked in `check`.

use super::document::{Key, Presence, Read, Shape, Subject, field, tables, unknown_keys, wrong_type};
use super::problem::{Place, Report};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

tables! {
    /// The whole file.
    Root as "the top level" {
        /// Where generations and last good copies of feeds are kept. Created if it is missing.
        state_dir: String = default r#""/var/lib/blackthorn""#,
        /// The DNSBL server.
        dns: Dns,
        /// A feed: one source of entries. The order of feeds is the order in answers and reports.
        feed: Vec<Spanned<Feed>>,
        /// A zone: the root of a DNSBL, and what the feeds answer in it.
        zone: Vec<Spanned<Zone>>,
        /// What is never listed and never dropped, whatever a feed says; carved out of wider entries.
        exclude: Exclude,
        /// The packet filter (XDP). Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON.
        filter: Filter,
        /// The control socket, which the subcommands talk to.
        control: Control,
    }

    /// `[dns]`
    Dns as "[dns]" {
        /// Addresses and ports to answer on, each by UDP and TCP. An empty list turns DNS off.
        listen: Vec<Spanned<String>> = default r#"["127.0.0.1:5300"]"#,
        /// Threads that answer UDP, at each address: 1 to 256, one for each core if absent.
        workers: u64 = optional "4",
        /// How long a connection may be silent, by TCP and encrypted: "1s" to "1h". Whole questions count, nothing else.
        tcp_idle: String = default r#""10s""#,
        /// Most connections at a time, encrypted ones included: 1 to 65536. One more closes the one that was silent
        /// for the longest time.
        tcp_connections: u64 = default "1024",
        /// The same for each client, an IPv4 address or an IPv6 network of 64 bits.
        tcp_connections_per_client: u64 = default "64",
        /// Largest reply by UDP, in bytes, to clients that take as much: 512 to 4096. Above 1232 replies may be cut into
        /// fragments, which get lost.
        udp_size: u64 = default "1232",
        /// How long a thread that is asked often waits to answer several questions by UDP at once: 0 to 1000 microseconds.
        /// Questions that come one by one are answered at once. On virtual machines it takes 400 to save a quarter of the
        /// CPU time at 50,000 questions a second, and answers come 0.2 ms later.
        coalesce_us: u64 = default "0",
        /// Name of this server, for clients that ask for it (NSID); for clusters.
        nsid: String = optional r#""ns1""#,
        /// What to say to `dig CH TXT version.bind`. If absent, the question is refused.
        version: String = optional r#""blackthorn""#,
        /// What to say to `dig CH TXT hostname.bind` and `id.server`. If absent, the question is refused.
        hostname: String = optional r#""ns1.bl.example""#,
        /// Give DNS cookies to clients that know them. Limits do not hold for who sends one back.
        cookies: bool = default "true",
        /// A file of secrets for cookies, for clusters of servers at one address: 32 hex digits a line. The first signs,
        /// all are accepted. If absent, a random one is taken at each start.
        cookie_secrets: String = optional r#""cookie-secrets.txt""#,
        /// Who is answered: a table with these keys. The narrowest network that holds a client decides.
        clients: ClientList = optional r#"{ default = "refuse", allow = ["192.0.2.0/24", "2001:db8::/32"] }"#,
        /// Limits on replies by UDP, against floods from forged addresses.
        rate_limit: RateLimit,
        /// How much one client or key may ask.
        quota: Quota,
        /// A log of questions, for sites that may keep one.
        query_log: QueryLog,
        /// DNS over TLS (RFC 7858), and the certificate, which the other encrypted ones use too.
        tls: DnsTls,
        /// DNS over HTTPS (RFC 8484), at the path /dns-query.
        https: DnsHttps,
        /// DNS over QUIC (RFC 9250).
        quic: DnsQuic,
    }

    /// `[dns.tls]`
    DnsTls as "[dns.tls]" {
        /// Addresses and ports to answer on. If empty or absent: none.
        listen: Vec<Spanned<String>> = optional r#"["0.0.0.0:853", "[::]:853"]"#,
        /// File of the certificate and those between it and its root, PEM; needed for everything encrypted. A relative
        /// path starts at the directory of this file. Certificate and key are read again on a reload, and within ten
        /// seconds after they change; the old ones stay in use until the new ones fit together.
        certificate: String = optional r#""/etc/blackthorn/fullchain.pem""#,
        /// File of the private key, PEM, not encrypted.
        key: String = optional r#""/etc/blackthorn/privkey.pem""#,
    }

    /// `[dns.https]`
    DnsHttps as "[dns.https]" {
        /// Addresses and ports to answer on, by HTTP/2 and HTTP/1.1. If empty or absent: none.
        listen: Vec<Spanned<String>> = optional r#"["0.0.0.0:443", "[::]:443"]"#,
    }

    /// `[dns.quic]`
    DnsQuic as "[dns.quic]" {
        /// Addresses and UDP ports to answer on. If empty or absent: none.
        listen: Vec<Spanned<String>> = optional r#"["0.0.0.0:853", "[::]:853"]"#,
    }

    /// `clients`, written as a table.
    Clients as "clients" {
        /// What is done with all others: "allow"; "refuse" with an error; "drop" without a word; "empty", answer as if
        /// nothing was listed; "code", answer as if everything was, with the code below.
        default: String = default r#""allow""#,
        /// Networks whose queries are answered.
        allow: Vec<Spanned<String>> = optional r#"["192.0.2.0/24"]"#,
        /// Networks whose queries are refused.
        refuse: Vec<Spanned<String>> = optional r#"["198.51.100.0/24"]"#,
        /// Networks whose queries are ignored.
        drop: Vec<Spanned<String>> = optional r#"["203.0.113.7"]"#,
        /// Networks for which nothing is listed.
        empty: Vec<Spanned<String>> = optional r#"["203.0.113.8"]"#,
        /// Networks for which everything is listed, with `code`. Careless mail servers then reject all mail.
        coded: Vec<Spanned<String>> = optional r#"["203.0.113.9"]"#,
        /// The code for those; 127.255.255.254 by convention.
        code: String = optional r#""127.255.255.254""#,
        /// The text for those.
        text: String = optional r#""No access, see https://bl.example/access""#,
    }

    /// `[dns.rate_limit]`
    RateLimit as "[dns.rate_limit]" {
        /// Most answers per second to one network; 0: no limit. A busy mail site asks thousands.
        answers_per_second: u64 = default "0",
        /// Most errors per second to one network; 0: no limit. 50 is plenty.
        errors_per_second: u64 = default "0",
        /// IPv4 clients with as many first bits in common are one network: 8 to 32.
        ipv4_prefix: u64 = default "24",
        /// The same for IPv6: 16 to 128.
        ipv6_prefix: u64 = default "56",
        /// Of the replies suppressed, every n-th goes out truncated, so that real clients come back by TCP; 0: none.
        slip: u64 = default "2",
        /// Networks without limits. Nobody is limited by TCP, or with a cookie.
        exempt: Vec<Spanned<String>> = optional r#"["192.0.2.53"]"#,
    }

    /// `[dns.quota]`
    Quota as "[dns.quota]" {
        /// Queries in a period; no quota if absent. At 80 % the log says so; beyond 100 % answers go on for five
        /// minutes, but not beyond 110 %; then queries are refused until the period ends.
        queries: u64 = optional "100000",
        /// The period, from midnight UTC on: "1m" to "31d".
        period: String = default r#""1d""#,
        /// IPv4 clients with as many first bits in common share a quota: 8 to 32.
        ipv4_prefix: u64 = default "32",
        /// The same for IPv6: 16 to 128.
        ipv6_prefix: u64 = default "64",
        /// Networks without quota. Keys always have one of their own.
        exempt: Vec<Spanned<String>> = optional r#"["192.0.2.0/24"]"#,
    }

    /// `[dns.query_log]`
    QueryLog as "[dns.query_log]" {
        /// Where to: a line of JSON for each question; no log if absent. A relative path starts at the directory of this
        /// file. After the file was moved away, a reload opens a new one.
        file: String = optional r#""/var/log/blackthorn/queries.json""#,
        /// Only every n-th question: 1 to 1000000.
        every: u64 = default "1",
    }

    /// `[[feed]]`
    Feed as "[[feed]]" {
        /// Name of the feed: 1 to 64 of a-z 0-9 . _ -
        id: String = required r#""scored""#,
        /// An http or https address, or a file; a relative path starts at the directory of this file.
        source: String = required r#""lists/scored.tsv""#,
        /// How the source is written, see `blackthorn formats`.
        format: String = required r#""score-tsv""#,
        /// Time between fetches. An address: "24h" if absent, "60s" or more, and no more often than its publisher
        /// allows. A file: "1m" if absent; it is read again only when it has changed.
        refresh: String = optional r#""1h""#,
        /// For format "csv", and needed there: the column of the address, by its name in the header line or, in a
        /// file without header, by its number from 1.
        column: Column = optional r#""dst_ip""#,
        /// For formats with scores: entries with a lower score are left out.
        min_score: u64 = default "0",
        /// Refuse an entry with address bits behind its prefix (192.0.2.1/24) instead of masking them.
        strict: bool = default "false",
        /// Widest IPv4 prefix taken from this feed, as a prefix length: 8 to 32. Wider entries are rejected.
        widest_ipv4: u64 = default "8",
        /// Widest IPv6 prefix taken from this feed, as a prefix length: 8 to 128.
        widest_ipv6: u64 = default "19",
        /// Private, loopback, link-local, multicast and reserved addresses: "drop" cuts them out of the feed; "keep"
        /// is for bogon lists.
        special_use: String = default r#""drop""#,
        /// No entries at all is a valid state of this feed. Otherwise an empty feed is refused and the last good
        /// copy stays in use.
        may_be_empty: bool = default "false",
        /// Most unreadable lines, in percent of all data lines: 0 to 100. Above, the last good copy stays in use. Up
        /// to five are forgiven beside good ones, unless this is 0.
        max_rejects: u64 = default "5",
        /// Largest size after decompression: "1KiB" to "4GiB".
        max_size: String = default r#""256MiB""#,
        /// Longest time for a whole fetch: "1s" to "1h".
        timeout: String = default r#""5m""#,
    }

    /// `[[zone]]`
    Zone as "[[zone]]" {
        /// The name mail servers append to the reversed address, 2.0.0.127.bl.example, or to a domain as it is,
        /// bad.example.bl.example.
        name: String = required r#""bl.example""#,
        /// Feeds that answer here, of addresses, domains or both. Each is an id, or a table with these keys:
        feeds: Vec<Spanned<ZoneMember>> = required r#"[{ id = "scored", code = "127.0.0.4" }]"#,
        /// A record of listed addresses, for feeds that name no code of their own: in 127.0.0.0/8, but not
        /// 127.0.0.1 and not in 127.255.255.0/24, which mail servers take for an error.
        code: String = default r#""127.0.0.2""#,
        /// TXT record of listed addresses and domains, for feeds that name no text of their own. `$` stands for what
        /// was asked for, `$$` for a dollar sign. If absent: "Address $ is listed by feed ID in ZONE", for feeds of
        /// domains without the first word. Of a long domain `$` is the end, as many labels as fit a reply.
        text: String = optional r#""Listed, see https://bl.example/?q=$""#,
        /// What addresses blocked by hand answer: a table with these keys, or false to leave them out.
        live: Live = optional r#"{ code = "127.0.0.2", text = "Blocked by us, see https://bl.example/?q=$" }"#,
        /// How long an answer "listed" may be cached: "1s" to "7d".
        ttl: String = default r#""10m""#,
        /// How long an answer "not listed" may be cached: "1s" to "7d".
        negative_ttl: String = default r#""5m""#,
        /// Names of the name servers. If empty or absent, the zone names itself.
        ns: Vec<Spanned<String>> = optional r#"["ns1.bl.example"]"#,
        /// Mail address of the operator. If absent: hostmaster at the zone.
        contact: String = optional r#""hostmaster@bl.example""#,
        /// Who is answered in this zone, instead of `clients` in [dns]; the same table.
        clients: ClientList = optional r#"{ default = "refuse", allow = ["192.0.2.0/24"] }"#,
        /// A file of keys for clients whose address is not known: lines of a key (16 to 63 of a-z 0-9 -) and a name. A
        /// client puts its key between address and zone, 2.0.0.127.KEY.bl.example, and is answered from anywhere.
        keys: String = optional r#""bl-keys.txt""#,
        /// Longest time since each feed of the zone was last found good, "1m" to "365d". Beyond, the zone answers SERVFAIL,
        /// so that clients ask another server; a generation that is held expires too. If absent, the last good data is
        /// served for ever.
        max_age: String = optional r#""7d""#,
        /// Which names above listed addresses exist: "exact", those with something listed below; "always", all, for
        /// lists that change by the minute: resolvers then learn of nothing that there is nothing below it.
        ent: String = default r#""exact""#,
        /// The list is closed: nothing is listed any more, and this is the TXT record of the zone itself.
        retired: String = optional r#""This list is closed, see https://bl.example""#,
    }

    /// A feed in `zone.feeds`, written as a table.
    ZoneFeed as "feeds of [[zone]]" {
        /// Which feed.
        id: String = required r#""scored""#,
        /// A record of its listings; the code of the zone if absent.
        code: String = optional r#""127.0.0.4""#,
        /// TXT record of its listings; the text of the zone if absent.
        text: String = optional r#""See https://bl.example/?q=$""#,
    }

    /// `zone.live`, written as a table.
    ZoneLive as "live of [[zone]]" {
        /// A record of blocked addresses; the code of the zone if absent.
        code: String = optional r#""127.0.0.2""#,
        /// TXT record of blocked addresses; the text of the zone if absent.
        text: String = optional r#""Blocked by us, see https://bl.example/?q=$""#,
    }

    /// `[exclude]`
    Exclude as "[exclude]" {
        /// Addresses, prefixes and ranges of both families.
        networks: Vec<Spanned<String>> = optional r#"["192.0.2.0/24", "198.51.100.7", "2001:db8::1-2001:db8::ff"]"#,
        /// Domains: "example.com" alone, ".example.com" with all below it, "*.example.com" only those below it.
        domains: Vec<Spanned<String>> = optional r#"[".example.com", "mail.example.net"]"#,
        /// Files of such networks and domains, one per line; a relative path starts at the directory of this file.
        files: Vec<Spanned<String>> = optional r#"["lists/allow.txt"]"#,
    }

    /// `[filter]`
    Filter as "[filter]" {
        /// Network interfaces to filter on. If empty or absent: no packet filter, and no privileges needed.
        interfaces: Vec<Spanned<String>> = optional r#"["eth0"]"#,
        /// Feeds whose addresses are dropped.
        feeds: Vec<Spanned<String>> = optional r#"["scored"]"#,
        /// How the program is attached: "native" in the driver, "generic" in the network stack, which works
        /// everywhere but slower, "auto" tries native first.
        mode: String = default r#""auto""#,
        /// "drop", or "monitor" to count what would be dropped and let it pass.
        action: String = default r#""drop""#,
    }

    /// `[control]`
    Control as "[control]" {
        /// Path of the unix socket; a relative path starts at the directory of this file.
        socket: String = default r#""/run/blackthorn/control.sock""#,
    }
}

/// An element of `zone.feeds`: the id alone or the table.
#[derive(Debug)]
pub(super) struct ZoneMember(pub(super) ZoneFeed);

impl Read for ZoneMember {
    const FORM: &'static str = "feed ids or tables";
    const SHAPE: Shape = Shape::Inline(ZoneFeed::KEYS);

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(id) => {
                let id = Some(Spanned::new(value.span(), id.as_ref().to_owned()));
                Some(Self(ZoneFeed { id, ..ZoneFeed::default() }))
            }
            DeValue::Table(table) => Some(Self(ZoneFeed::from_table(table, value.span(), report))),
            _ => wrong_type(Self::FORM, value, subject, report),
        }
    }
}

/// `zone.live`: false, true or the table.
#[derive(Debug)]
pub(super) struct Live(pub(super) Option<ZoneLive>);

impl Read for Live {
    const FORM: &'static str = "a table or false";
    const SHAPE: Shape = Shape::Inline(ZoneLive::KEYS);

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::Boolean(shown) => Some(Self(shown.then(ZoneLive::default))),
            DeValue::Table(table) => Some(Self(Some(ZoneLive::from_table(table, value.span(), report)))),
            _ => wrong_type(Self::FORM, value, subject, report),
        }
    }
}

/// `clients`, written as a table.
#[derive(Debug)]
pub(super) struct ClientList(pub(super) Clients);

impl Read for ClientList {
    const FORM: &'static str = "a table";
    const SHAPE: Shape = Shape::Inline(Clients::KEYS);

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        Clients::read(value, subject, report).map(Self)
    }
}

/// `feed.column`: a name or a number.
#[derive(Debug)]
pub(super) enum Column {
    Name(String),
    Number(u64),
}

impl Read for Column {
    const FORM: &'static str = "a string or a whole number";

    fn read(value: &Spanned<DeValue<'_>>, subject: Subject, report: &mut Report<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(name) => Some(Self::Name(name.as_ref().to_owned())),
            DeValue::Integer(_) => u64::read(value, subject, report).map(Self::Number),
            _ => wrong_type(Self::FORM, value, subject, report),
        }
    }
}
