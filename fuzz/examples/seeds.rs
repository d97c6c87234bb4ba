//! Writes the seeds: `cargo run --example seeds` in this folder. What each target reads is said at its top.

use blackthorn::core::feed::FORMATS;
use blackthorn_fuzz::generation::{SECTIONS, file, generation, section};
use std::error::Error;
use std::fs;
use std::path::Path;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    config()?;
    feeds()?;
    generation_file()?;
    image()?;
    names()?;
    packet()
}

fn write(target: &str, name: &str, seed: &[u8]) -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), seed)?)
}

const FEED: &str = "[[feed]]\nid = \"mine\"\nsource = \"mine.txt\"\nformat = \"plain\"\n";
const ZONE: &str = "[[zone]]\nname = \"bl.example\"\nfeeds = [\"mine\"]\n";

fn config() -> Outcome {
    let whole = "state_dir = \"s\"\ndns.listen = [\"[::1]:5300\", \"192.0.2.1:53\"]\n\
        [[feed]]\nid = \"a\"\nsource = \"https://feeds.example/a?key=x\"\nformat = \"csv\"\nrefresh = \"90m\"\ncolumn = 3\n\
        strict = true\nwidest_ipv4 = 16\nwidest_ipv6 = 32\nspecial_use = \"keep\"\nmay_be_empty = true\nmax_rejects = 7\n\
        max_size = \"10MB\"\ntimeout = \"1m\"\n\
        [[feed]]\nid = \"b\"\nsource = \"b.tsv\"\nformat = \"score-tsv\"\nmin_score = 4\n\
        [[zone]]\nname = \"BL.Example.\"\nfeeds = [\"b\", { id = \"a\", code = \"127.0.0.4\", text = \"Own $\" }]\n\
        code = \"127.0.0.3\"\ntext = \"All $\"\nttl = \"1h\"\nnegative_ttl = \"1m\"\nns = [\"ns1.example.\"]\n\
        contact = \"ops@example.org\"\n\
        [exclude]\nnetworks = [\"192.0.2.0/24\", \"2001:db8::1\"]\nfiles = [\"allow.txt\"]\n\
        [filter]\ninterfaces = [\"eth0\"]\nfeeds = [\"b\"]\nmode = \"native\"\naction = \"monitor\"\n\
        [control]\nsocket = \"c.sock\"\n";
    write("config", "whole", whole.as_bytes())?;
    write("config", "least", [FEED, ZONE].concat().as_bytes())?;
    write("config", "twice", [FEED, FEED, ZONE, ZONE].concat().as_bytes())?;
    write("config", "misspelt", [FEED, "refesh = \"1h\"\n", ZONE].concat().as_bytes())?;
    write(
        "config",
        "mistyped",
        b"dns = 7\nfeed = \"x\"\nzone = [1, {}]\nexclude.networks = [[], 1.5, 2026-01-01]\n",
    )?;
    write("config", "syntax", "a = \"\u{fc}\r\n[b\nc = [[[[{}]]\n'''".as_bytes())
}

fn feeds() -> Outcome {
    for (letter, info) in ["p", "s", "t", "j", "n", "c", "h", "d", "r", "a", "u"].iter().zip(&FORMATS) {
        let options = if info.name == "csv" { "\x08" } else { "\0" };
        write("feeds", info.name, [letter, options, info.example].concat().as_bytes())?;
    }
    let odd = "p\x02\u{feff}10.0.0.0/8\r\n::ffff:192.0.2.1\n[2001:db8::1]\n192.0.2.9\u{a0}\u{2013}\u{a0}192.0.2.1\n\
        2001:db8::/129\n010.0.0.1\n192.0.2.7/25\n0.0.0.0/0\nfe80::1%eth0\nhost.example\n!192.0.2.1\n::/19\n";
    write("feeds", "odd", odd.as_bytes())?;
    write("feeds", "cut", b"p\x00126.255.255.255-128.0.0.1\n8.0.0.0/8\nfe00::-fe80::1\n0.0.0.0-16.0.0.0\n")?;
    write(
        "feeds",
        "quotes",
        b"c\x04\"a\"\"b\",192.0.2.1\n'x',\"192.0.2.2:80\"\nx,\"192.0.2.3\n;,[2001:db8::1]:25,\n",
    )?;
    let wide: Vec<u8> = "192.0.2.1\n2001:db8::\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    write("feeds", "utf16", &[b"p\0\xff\xfe", &wide[..]].concat())?;
    // "192.0.2.1\n" in a stored block of gzip, without a trailer.
    write("feeds", "gzip", b"p\0\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x0a\0\xf5\xff192.0.2.1\n")
}

fn generation_file() -> Outcome {
    let whole = file(&generation());
    write("generation_file", "header", &[b"\0", &whole[..200]].concat())?;
    write("generation_file", "changed", b"\x02\0\x05\0\0\x01\x01\0\0\x08\x01")?;
    write("generation_file", "cut", b"\x03\xff\xff\x03\0more")?;
    write("generation_file", "changed-sealed", b"\x04\x02\x04\0\0\x01\x05\x20\0\0\x01\x07\x18\0\0\x40")?;
    write("generation_file", "cut-sealed", b"\x05\xff\xff\x03\0more")?;
    // Every section but the image, which has a target of its own.
    for number in (0..SECTIONS).filter(|number| *number != 1) {
        let content = &whole[section(&whole, number)];
        write("generation_file", &format!("section-{number}"), &[&[6, number as u8], content].concat())?;
        write("generation_file", &format!("compared-{number}"), &[&[0x1e, number as u8], content].concat())?;
    }
    Ok(())
}

/// Flags of the target `image`.
const DAMAGED: u8 = 0x01;
const INVENTED: u8 = 0x02;
const WALKED: u8 = 0x1c;
const COMPARED: u8 = 0xe0;

fn image() -> Outcome {
    // Kind, value, length, address.
    let v4 = |value: u8, len: u8, address: [u8; 4]| [&[0, value, len][..], &address].concat();
    let v6 = |value: u8, len: u8, tail: u16| {
        let [high, low] = tail.to_be_bytes();
        [&[1, value, len, 0x20, 0x01, 0x0d, 0xb8][..], &[0; 10], &[high, low]].concat()
    };
    let near = |value: u8, low: u8| vec![4, value, 32, low];
    let counted = |networks: &[Vec<u8>]| [vec![networks.len() as u8], networks.concat()].concat();
    let hosts = counted(&[
        v4(1, 32, [192, 0, 2, 1]),
        near(1, 3),
        near(2, 7),
        near(129, 64),
        v4(2, 32, [198, 51, 100, 9]),
        v6(1, 128, 1),
        v6(1, 128, 2),
        v6(130, 64, 0x100),
    ]);
    let nested = counted(&[
        v4(1, 8, [11, 0, 0, 0]),
        v4(2, 15, [11, 2, 0, 0]),
        v4(0, 24, [11, 2, 3, 0]),
        v4(3, 28, [11, 2, 3, 64]),
        v4(0, 32, [11, 2, 3, 65]),
        v6(1, 17, 0),
        v6(2, 48, 0),
        v6(0, 126, 8),
        v6(3, 128, 9),
    ]);
    let ends = counted(&[
        v4(1, 0, [0; 4]),
        v4(2, 32, [255; 4]),
        [&[2u8, 3, 4][..], &[10, 255, 255, 254], &[9, 0, 0, 0]].concat(),
        v6(4, 0, 0),
        [&[3u8, 5, 100][..], &[0xff; 15], &[0xf0], &[0xff; 4]].concat(),
    ]);
    let dense = counted(&(0..60).map(|i| near(1 + i % 3, i.wrapping_mul(37))).collect::<Vec<_>>());
    for (name, networks) in [("hosts", &hosts), ("nested", &nested), ("ends", &ends), ("dense", &dense)] {
        write("image", name, &[&[0], &networks[..]].concat())?;
        write("image", &format!("{name}-walked"), &[&[WALKED], &networks[..]].concat())?;
    }
    write("image", "compared", &[&[COMPARED], &nested[..]].concat())?;
    // A word of the lines and a root slot.
    let change = [9u32, 1 << 31 | 3, 1 << 30 | 0xc000, 0x4000_0000].map(u32::to_ne_bytes).concat();
    write("image", "damaged", &[&[DAMAGED | WALKED], &hosts[..], &change].concat())?;
    // Two nodes whose slots lead to each other, and a list.
    let mut lines = [0u32; 48];
    let first = 132_096 / 16;
    (lines[0], lines[9], lines[11]) = (1, 1 << 31 | (132_096 + 11), first + 1);
    (lines[16], lines[25], lines[27], lines[28]) = (3, 132_096 + 27, first, 1 << 30 | (132_096 + 32));
    (lines[32], lines[33], lines[34]) = (2 | 5 << 16, 9, 1 << 22 | 1);
    let lines = lines.map(u32::to_ne_bytes).concat();
    write("image", "invented", &[&[INVENTED | WALKED], &hosts[..], &lines].concat())?;
    write("image", "invented-compared", &[&[INVENTED | COMPARED], &hosts[..], &lines].concat())
}

/// A name as it stands in a message.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

const NIBBLES: &str = "b.A.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2";
const MAPPED: &str = "2.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0";

fn names() -> Outcome {
    for (name, front) in [
        ("v4", "2.0.0.127"),
        ("v6", NIBBLES),
        ("mapped", MAPPED),
        ("octets", "255.0.10"),
        ("nibbles", "1.f.3"),
        ("both", "1.2.3.4"),
        ("none", "09.256.x.1234"),
    ] {
        let seed = [vec![front.split('.').count() as u8], wire(&format!("{front}.bL.example"))].concat();
        write("names", name, &seed)?;
    }
    write("names", "text", b"\0\x02.2\x01\0\x02bl\0bl.example")?;
    write("names", "most", &[vec![9], b"\x01a".repeat(127), vec![0]].concat())?;
    write("names", "pointer", b"\0\x01a\xc0\x0c")
}

fn packet() -> Outcome {
    let query = |name: &str, qtype: u8| {
        [&b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0"[..], &wire(name), &[0, qtype, 0, 1]].concat()
    };
    let with_opt = |query: Vec<u8>, opt: &[u8]| {
        let mut query = [&query[..], b"\0\0\x29", opt].concat();
        query[11] = 1;
        query
    };
    let plain = b"\x04\xd0\0\0\0\0\0\0";
    let cookie = b"\x02\0\0\0\x80\0\0\x0c\0\x0a\0\x08cookies!";
    let listed = "7.2.0.192.bl.example";
    let v6 = format!("{NIBBLES}.bl.example");
    let seeds: [(&str, u8, Vec<u8>); 16] = [
        ("a", 0, query(listed, 1)),
        ("txt", 0, query("200.2.0.192.bl.example", 16)),
        ("txt-tcp", 1, query("200.2.0.192.Bl.eXample", 16)),
        ("aaaa", 0, query(&v6, 28)),
        ("any-overlaid", 4, query("9.113.0.203.bl.example", 255)),
        ("allowed", 4, query("9.2.0.192.bl.example", 1)),
        ("test", 0, query("2.0.0.127.bl.example", 1)),
        ("soa", 0, query("bl.example", 6)),
        ("ns", 0, query("deep.bl.example", 2)),
        ("axfr-tcp", 1, query("bl.example", 252)),
        ("elsewhere", 0, query("www.example.net", 1)),
        ("not-loaded", 0, query("2.0.0.127.none.example", 1)),
        ("empty", 2, query(listed, 1)),
        ("opt", 0, with_opt(query(listed, 16), plain)),
        ("opt-cookie", 0, with_opt(query("200.2.0.192.bl.example", 16), cookie)),
        ("opt-version", 0, with_opt(query(listed, 1), b"\x04\xd0\0\x01\0\0\0\0")),
    ];
    for (name, flags, message) in seeds {
        write("packet", name, &[&[flags], &message[..]].concat())?;
    }
    write("packet", "notify", b"\0\x12\x34\x24\0\0\x01\0\0\0\0\0\0\0\0\x06\0\x01")?;
    write("packet", "reply", b"\0\x12\x34\x81\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01")?;
    write("packet", "short", b"\0\x12\x34\x01")
}
