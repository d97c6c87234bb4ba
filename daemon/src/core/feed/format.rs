//! The formats by name: the one table behind the configuration, `blackthorn formats` and the documentation.

use serde::{Deserialize, Serialize};

/// The formats of the collector; names as in the configuration and `blackthorn formats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Addresses, prefixes and ranges, one per line (F01 to F03).
    Plain,
    /// Address, tab, score (F06).
    ScoreTsv,
    /// Prefix, `;`, reference (F20).
    SpamhausText,
    /// One JSON object per line (F21).
    SpamhausJson,
    /// Set with a machine-readable comment header (F22).
    Netset,
    /// Delimited columns, one of which holds the address (F13 to F15).
    Csv,
    /// Sink address and names (F29).
    Hosts,
    /// One domain per line (F30).
    Domains,
    /// Rules of resolvers (F31).
    Resolver,
    /// Rules of content filters (F32).
    Adblock,
    /// One URL per line (F33).
    Urls,
}

/// What a person needs to know to choose a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FormatInfo {
    /// The format.
    pub format: Format,
    /// Its name in the configuration.
    pub name: &'static str,
    /// One line: what a row holds.
    pub summary: &'static str,
    /// A short body in this format.
    pub example: &'static str,
    /// Cases of the format catalogue it covers.
    pub case: &'static str,
}

/// Every format, in the order of [`Format`].
pub const FORMATS: [FormatInfo; 11] = [
    FormatInfo {
        format: Format::Plain,
        name: "plain",
        summary: "one address, prefix or range per line; comments begin with #, ; or //",
        example: "# one per line, both families\n192.0.2.7\n198.51.100.0/24 # a note\n\
                  203.0.113.9 - 203.0.113.37\n2001:db8:7::/48\n",
        case: "F01, F02, F03",
    },
    FormatInfo {
        format: Format::ScoreTsv,
        name: "score-tsv",
        summary: "address, tab, score; comments begin with #",
        example: "# IP\tnumber of lists\n192.0.2.7\t10\n2001:db8::7\t3\n",
        case: "F06",
    },
    FormatInfo {
        format: Format::SpamhausText,
        name: "spamhaus-text",
        summary: "prefix ; reference, closed by a line `; EOF`",
        example: "; example list\n192.0.2.0/24 ; REF1\n2001:db8:7::/48 ; REF2\n; EOF\n",
        case: "F20",
    },
    FormatInfo {
        format: Format::SpamhausJson,
        name: "spamhaus-json",
        summary: "one JSON object with `cidr` per line, closed by a metadata object with `records`",
        example: "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"REF1\",\"rir\":\"example\"}\n\
                  {\"type\":\"metadata\",\"timestamp\":1738000000,\"records\":1}\n",
        case: "F21",
    },
    FormatInfo {
        format: Format::Netset,
        name: "netset",
        summary: "prefixes under a comment header whose `Entries` line states their number",
        example: "# Category        : attacks\n# Entries         : 2 subnets, 257 unique IPs\n\
                  192.0.2.0/24\n198.51.100.7\n",
        case: "F22",
    },
    FormatInfo {
        format: Format::Csv,
        name: "csv",
        summary: "comma-separated, quoted or not; the address column by header name or by number from 1",
        example: "\"first_seen_utc\",\"dst_ip\",\"dst_port\"\n\"2026-01-29 10:05:44\",\"192.0.2.7\",\"8080\"\n\
                  # END 1 entries\n",
        case: "F13, F14, F15",
    },
    FormatInfo {
        format: Format::Hosts,
        name: "hosts",
        summary: "sink address, then names, each listed alone; comments begin with #",
        example: "127.0.0.1 localhost\n0.0.0.0 tracker.example # a note\n0.0.0.0 a.example b.example\n",
        case: "F29",
    },
    FormatInfo {
        format: Format::Domains,
        name: "domains",
        summary: "one domain per line; .name lists the names below as well, *.name only those; comments begin with #, ; or //",
        example: "# one per line\nbad.example\n.worse.example\n*.host.example\n",
        case: "F30",
    },
    FormatInfo {
        format: Format::Resolver,
        name: "resolver",
        summary: "dnsmasq address=/name/, server=/name/ and local=/name/, unbound local-zone; each lists the names below as well",
        example: "address=/bad.example/0.0.0.0\nserver=/worse.example/\nlocal-zone: \"host.example\" always_nxdomain\n",
        case: "F31",
    },
    FormatInfo {
        format: Format::Adblock,
        name: "adblock",
        summary: "||name^ lists a domain and the names below, @@||name^ excludes them; other rules are passed over",
        example: "! Title: example list\n||bad.example^\n@@||good.bad.example^\n||192.0.2.4^\nsite.example##.banner\n",
        case: "F32",
    },
    FormatInfo {
        format: Format::Urls,
        name: "urls",
        summary: "one URL per line, defanged or not, of which the host is listed; comments begin with #",
        example: "http://192.0.2.5:52873/bin.sh\nhxxp://bad[.]example/x\nhttps://[2001:db8:7::5]/a\n",
        case: "F33",
    },
];

// `info` indexes by discriminant.
const _: () = {
    let mut i = 0;
    while i < FORMATS.len() {
        assert!(FORMATS[i].format as usize == i, "FORMATS must follow the order of Format");
        i += 1;
    }
};

impl Format {
    /// The format called `name`, exactly as [`Self::name`] gives it.
    pub fn from_name(name: &str) -> Option<Self> {
        FORMATS.iter().find(|info| info.name == name).map(|info| info.format)
    }

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Are its rows names, beside which addresses may stand?
    pub fn lists_domains(self) -> bool {
        match self {
            Self::Plain
            | Self::ScoreTsv
            | Self::SpamhausText
            | Self::SpamhausJson
            | Self::Netset
            | Self::Csv => false,
            Self::Hosts | Self::Domains | Self::Resolver | Self::Adblock | Self::Urls => true,
        }
    }

    /// Its row in [`FORMATS`].
    pub fn info(self) -> &'static FormatInfo {
        &FORMATS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Column, Declared, Rules, parse};
    use super::*;

    #[test]
    fn names_lead_back_to_formats() {
        for info in &FORMATS {
            assert_eq!(Format::from_name(info.name), Some(info.format));
            assert_eq!(info.format.name(), info.name);
            assert_eq!(serde_json::to_value(info.format).unwrap(), info.name);
        }
        assert_eq!(Format::from_name("Plain"), None);
        assert_eq!(Format::from_name(""), None);
    }

    #[test]
    fn examples_are_accepted_as_they_stand() {
        for info in &FORMATS {
            let mut rules = Rules::new(info.format);
            rules.column = (info.format == Format::Csv).then(|| Column::Name("dst_ip".into()));
            let parsed = parse(&rules, info.example.as_bytes()).unwrap();
            assert!(!parsed.lists_nothing(), "{}", info.name);
            assert_eq!(parsed.domains.is_empty(), !info.format.lists_domains(), "{}", info.name);
            assert_eq!(parsed.rejects, [], "{}", info.name);
            assert!(!matches!(parsed.declared, Declared::Missing { .. }), "{}", info.name);
            if let Declared::Rows { stated, found } = parsed.declared {
                assert_eq!(stated, found, "{}", info.name);
            }
        }
    }
}
