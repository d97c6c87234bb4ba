//! The domain formats by name: what a person needs to know to choose one.

use serde::{Deserialize, Serialize};

/// The formats that list domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DomainFormat {
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
pub struct DomainFormatInfo {
    /// The format.
    pub format: DomainFormat,
    /// Its name.
    pub name: &'static str,
    /// One line: what a row holds.
    pub summary: &'static str,
    /// A short body in this format.
    pub example: &'static str,
    /// Cases of the format catalogue it covers.
    pub case: &'static str,
}

/// Every domain format, in the order of [`DomainFormat`].
pub const DOMAIN_FORMATS: [DomainFormatInfo; 5] = [
    DomainFormatInfo {
        format: DomainFormat::Hosts,
        name: "hosts",
        summary: "sink address, then names, each listed alone; comments begin with #",
        example: "127.0.0.1 localhost\n0.0.0.0 tracker.example # a note\n0.0.0.0 a.example b.example\n",
        case: "F29",
    },
    DomainFormatInfo {
        format: DomainFormat::Domains,
        name: "domains",
        summary: "one domain per line; .name lists the names below as well, *.name only those; comments begin with #, ; or //",
        example: "# one per line\nbad.example\n.worse.example\n*.host.example\n",
        case: "F30",
    },
    DomainFormatInfo {
        format: DomainFormat::Resolver,
        name: "resolver",
        summary: "dnsmasq address=/name/, server=/name/ and local=/name/, unbound local-zone; each lists the names below as well",
        example: "address=/bad.example/0.0.0.0\nserver=/worse.example/\nlocal-zone: \"host.example\" always_nxdomain\n",
        case: "F31",
    },
    DomainFormatInfo {
        format: DomainFormat::Adblock,
        name: "adblock",
        summary: "||name^ lists a domain and the names below, @@||name^ excludes them; other rules are passed over",
        example: "! Title: example list\n||bad.example^\n@@||good.bad.example^\n||192.0.2.4^\nsite.example##.banner\n",
        case: "F32",
    },
    DomainFormatInfo {
        format: DomainFormat::Urls,
        name: "urls",
        summary: "one URL per line, defanged or not, of which the host is listed; comments begin with #",
        example: "http://192.0.2.5:52873/bin.sh\nhxxp://bad[.]example/x\nhttps://[2001:db8:7::5]/a\n",
        case: "F33",
    },
];

// `info` indexes by discriminant.
const _: () = {
    let mut i = 0;
    while i < DOMAIN_FORMATS.len() {
        assert!(
            DOMAIN_FORMATS[i].format as usize == i,
            "DOMAIN_FORMATS must follow the order of DomainFormat"
        );
        i += 1;
    }
};

impl DomainFormat {
    /// The format called `name`, exactly as [`Self::name`] gives it.
    pub fn from_name(name: &str) -> Option<Self> {
        DOMAIN_FORMATS.iter().find(|info| info.name == name).map(|info| info.format)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Its row in [`DOMAIN_FORMATS`].
    pub fn info(self) -> &'static DomainFormatInfo {
        &DOMAIN_FORMATS[self as usize]
    }
}
