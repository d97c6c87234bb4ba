//! dig, with the questions of RFC 8906 section 8: what its reply must show in the header and of EDNS, and what no reply
//! may show.

use crate::harness::{LOCAL, PATIENCE, Site};
use crate::lists;
use crate::programs::Program;
use std::net::SocketAddr;
use std::process::Command;

/// A question, and what dig must show: status, the line of flags from the flags on, that of EDNS if there must be one.
type Row = (&'static str, &'static str, &'static str, Option<&'static str>);

/// Our OPT, without and with DO.
const OPT: Option<&str> = Some("; EDNS: version: 0, flags:; udp: 1232");
const OPT_DO: Option<&str> = Some("; EDNS: version: 0, flags: do; udp: 1232");
/// A SOA, and no data, without OPT and with it.
const SOA: &str = "qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0";
const SOA_OPT: &str = "qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1";
const NODATA: &str = "qr aa; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 0";
const NODATA_OPT: &str = "qr aa; QUERY: 1, ANSWER: 0, AUTHORITY: 1, ADDITIONAL: 1";
/// An error of the header alone, and one that repeats question and OPT.
const BARE: &str = "qr; QUERY: 0, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 0";
const ERROR_OPT: &str = "qr; QUERY: 1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: 1";

const ROWS: [Row; 24] = [
    // Section 8.1: without EDNS.
    ("+noedns +noad +norec soa bl.example", "NOERROR", SOA, None),
    ("+noedns +noad +norec type1000 bl.example", "NOERROR", NODATA, None),
    ("+noedns +noad +norec +cd soa bl.example", "NOERROR", SOA, None),
    ("+noedns +norec +ad soa bl.example", "NOERROR", SOA, None),
    ("+noedns +noad +norec +zflag soa bl.example", "NOERROR", SOA, None),
    (
        "+noedns +noad +rec soa bl.example",
        "NOERROR",
        "qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 0",
        None,
    ),
    ("+noedns +noad +opcode=15 +norec +header-only", "NOTIMP", BARE, None),
    ("+noedns +noad +opcode=7 +rec +header-only", "NOTIMP", BARE, None),
    ("+noedns +noad +opcode=2 +norec +header-only", "NOTIMP", BARE, None),
    ("+noedns +noad +norec +tcp soa bl.example", "NOERROR", SOA, None),
    // Section 8.2: with EDNS, of a version to come, with options and flags to come, with DO.
    ("+nocookie +edns=0 +noad +norec soa bl.example", "NOERROR", SOA_OPT, OPT),
    ("+nocookie +edns=0 +noad +norec type1000 bl.example", "NOERROR", NODATA_OPT, OPT),
    ("+nocookie +edns=0 +noad +norec +tcp soa bl.example", "NOERROR", SOA_OPT, OPT),
    ("+nocookie +edns=1 +noednsneg +noad +norec soa bl.example", "BADVERS", ERROR_OPT, OPT),
    ("+nocookie +edns=1 +noednsneg +noad +norec +ednsflags=0x40 soa bl.example", "BADVERS", ERROR_OPT, OPT),
    ("+nocookie +edns=1 +noednsneg +noad +norec +ednsopt=100 soa bl.example", "BADVERS", ERROR_OPT, OPT),
    ("+nocookie +edns=1 +noednsneg +noad +norec +dnssec soa bl.example", "BADVERS", ERROR_OPT, OPT_DO),
    ("+nocookie +edns=0 +noad +norec +ednsopt=100 soa bl.example", "NOERROR", SOA_OPT, OPT),
    ("+nocookie +edns=0 +noad +norec +ednsflags=0x40 soa bl.example", "NOERROR", SOA_OPT, OPT),
    ("+norec +dnssec +bufsize=512 +ignore dnskey bl.example", "NOERROR", NODATA_OPT, OPT_DO),
    ("+nocookie +edns=0 +noad +norec +dnssec soa bl.example", "NOERROR", SOA_OPT, OPT_DO),
    ("+edns=0 +noad +norec +cookie +nsid +expire +subnet=0.0.0.0/0 soa bl.example", "NOERROR", SOA_OPT, OPT),
    // The same for names with records of their own.
    ("+nocookie +edns=0 +noad +norec a 9.2.0.192.bl.example", "NOERROR", SOA_OPT, OPT),
    ("+nocookie +edns=0 +noad +norec a 10.2.0.192.bl.example", "NXDOMAIN", NODATA_OPT, OPT),
];

/// What no reply may repeat: reserved bits, and options that are not ours to give.
const NEVER: [&str; 5] = ["MBZ", "OPT=100", "CLIENT-SUBNET", "EXPIRE", "NSID"];

#[test]
fn checklist_6_dig_gets_what_rfc_8906_asks_for() {
    let Some(dig) = Program::find("usr/bin/dig") else { return };
    let site = lists::site(r#"["127.0.0.1:0"]"#);
    let daemon = site.start();
    for (asked, status, flags, edns) in ROWS {
        let shown = show(&dig, daemon.address(), asked);
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        let has = |wanted: &str| lines.contains(&wanted);
        assert!(shown.contains(&format!(", status: {status}, ")), "{asked}: {status}\n{shown}");
        assert!(has(&format!(";; flags: {flags}")), "{asked}: {flags}\n{shown}");
        assert_eq!(shown.contains("EDNS"), edns.is_some(), "{asked}\n{shown}");
        assert!(edns.is_none_or(has), "{asked}: {edns:?}\n{shown}");
        for never in NEVER {
            assert!(!shown.contains(never), "{asked}: {never}\n{shown}");
        }
    }
}

#[test]
fn dig_hears_what_a_server_is_told_to_say_of_itself() {
    let Some(dig) = Program::find("usr/bin/dig") else { return };
    let site = Site::new(&format!(
        "[dns]\nlisten = [\"127.0.0.1:0\"]\nnsid = \"ns1\"\nversion = \"one\"\nhostname = \"two\"\n{LOCAL}"
    ));
    site.write("mine.txt", "192.0.2.9\n");
    let daemon = site.start();
    for (asked, heard) in [
        ("+nsid +norec soa bl.example", "; NSID: 6e 73 31 (\"ns1\")"),
        ("+norec version.bind ch txt", "version.bind.\t\t0\tCH\tTXT\t\"one\""),
        ("+norec hostname.bind ch txt", "hostname.bind.\t\t0\tCH\tTXT\t\"two\""),
        ("+norec id.server ch txt", "id.server.\t\t0\tCH\tTXT\t\"two\""),
    ] {
        let shown = show(&dig, daemon.address(), asked);
        assert!(shown.lines().any(|line| line == heard), "{asked}: {heard:?}\n{shown}");
    }
}

/// The reply to one question as dig shows it.
fn show(dig: &Program, server: SocketAddr, asked: &str) -> String {
    let mut command = Command::new(dig.path());
    // No settings of a user.
    command.env_clear().args(["-r", "-p", &server.port().to_string(), &format!("@{}", server.ip())]);
    command.args(["+tries=1", &format!("+time={}", PATIENCE.as_secs()), "+nocmd"]);
    let output = command.args(asked.split(' ')).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
