//! Messages that are no good query: each gets the smallest right reply, or none. What does not matter is ignored.

use super::*;

/// The reply of a header alone to a query with ID 1234 and RD.
const FORMERR: [u8; 12] = [0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0];

#[tokio::test]
async fn checklist_10_a_question_that_cannot_be_repeated_gets_a_header() {
    let rig = Rig::start(example());
    let good = query("2.0.0.127.bl.example", A);
    let long = [&FORMERR[..2], &hex("01 00 00 01 00 00 00 00 00 00"), &[63; 256], &[0, 0, 1, 0, 1]].concat();
    let broken = [
        patched(&good, 4, &[0, 0]),
        patched(&good, 4, &[0, 2]),
        patched(&good, 4, &[0xff, 0xff]),
        good[..good.len() - 1].to_vec(),
        good[..good.len() - 2].to_vec(),
        good[..good.len() - 4].to_vec(),
        good[..20].to_vec(),
        patched(&good, 12, &[0x40]),
        patched(&good, 12, &[0xbf]),
        hex("12 34 01 00 00 01 00 00 00 00 00 00 01 32 c0 0c 00 01 00 01"),
        long,
    ];
    for broken in &broken {
        assert_eq!(rig.udp(broken).await, FORMERR, "{broken:02x?}");
        assert_eq!(rig.tcp(broken).await, FORMERR, "{broken:02x?}");
    }
    assert_eq!(rig.stats.dns().rcodes.formerr.get(), 2 * broken.len() as u64);
}

#[tokio::test]
async fn checklist_10_broken_records_get_the_question_back_and_opt_if_there_was_one() {
    let rig = Rig::start(example());
    let good = query("2.0.0.127.bl.example", A);
    let opt = with_opt(good.clone(), 4096, 0x8000, &[]);
    let (with_question, with_both) = (
        [&FORMERR[..4], &[0, 1, 0, 0, 0, 0, 0, 0], &good[12..]].concat(),
        [&FORMERR[..4], &[0, 1, 0, 0, 0, 0, 0, 1], &good[12..], &hex("00 0029 04d0 00008000 0000")].concat(),
    );
    let record = hex("c00c 0001 0001 00000000 0004 7f000002");
    let end = opt.len();
    for (broken, expected) in [
        (patched(&good, 6, &[0, 1]), &with_question),
        (patched(&good, 8, &[0, 1]), &with_question),
        (patched(&good, 10, &[0, 1]), &with_question),
        (patched(&[&good[..], &record[..15]].concat(), 6, &[0, 1]), &with_question),
        (with_opt(opt.clone(), 4096, 0x8000, &[]), &with_both),
        (patched(&opt, 10, &[0, 2]), &with_both),
        (patched(&patched(&opt, 10, &[0, 0]), 6, &[0, 1]), &with_question),
        ([&patched(&good, 10, &[0, 1])[..], &[1, b'x'], &opt[end - 11..]].concat(), &with_question),
        (patched(&opt, end - 2, &[0, 1]), &with_question),
        (with_opt(good.clone(), 4096, 0, &hex("000a 0009 0102030405060708")), &with_question),
    ] {
        assert_eq!(&rig.udp(&broken).await, expected, "{broken:02x?}");
        assert_eq!(&rig.tcp(&broken).await, expected, "{broken:02x?}");
    }
}

#[tokio::test]
async fn checklist_10_what_does_not_matter_is_ignored() {
    let rig = Rig::start(example());
    let good = query("2.0.0.127.bl.example", A);
    let record = hex("c00c 0001 0001 00000000 0004 7f000002");
    let plain = rig.udp(&good).await;
    assert_eq!(codes(&Message::from_vec(&plain).unwrap()), ["127.0.0.2"]);
    for harmless in [
        patched(&[&good[..], &record].concat(), 6, &[0, 1]),
        patched(&[&good[..], &record].concat(), 8, &[0, 1]),
        patched(&[&good[..], &record, &record].concat(), 10, &[0, 2]),
        [&good[..], b"octets after the last record"].concat(),
        patched(&good, 2, &[0x07, 0xff]),
    ] {
        assert_eq!(rig.udp(&harmless).await, plain, "{harmless:02x?}");
    }
    let opt = with_opt(good.clone(), 4096, 0, &[]);
    let plain = rig.udp(&opt).await;
    let between = patched(&[&good[..], &record, &opt[good.len()..], &record].concat(), 10, &[0, 3]);
    // An address family that does not exist, an unknown option, unknown flags.
    let subnet = with_opt(good.clone(), 4096, 0x7fff, &hex("0008 0005 ffffffffff fde9 0003 616263"));
    for harmless in [between, subnet] {
        assert_eq!(rig.udp(&harmless).await, plain, "{harmless:02x?}");
    }
}

#[tokio::test]
async fn checklist_10_a_signature_of_an_unknown_key_is_notauth() {
    let rig = Rig::start(example());
    let good = query("2.0.0.127.bl.example", A);
    let tsig = hex("036b657900 00fa 00ff 00000000 0002 0000");
    let signed = patched(&[&good[..], &tsig].concat(), 10, &[0, 1]);
    let expected = [&hex("1234 8109 0001 0000 0000 0000"), &good[12..]].concat();
    assert_eq!(rig.udp(&signed).await, expected);
    assert_eq!(rig.stats.dns().rcodes.notauth.get(), 1);
}

#[test]
fn checklist_10_ports_that_would_answer_back_get_nothing() {
    let handler = Handler::new(Live::default(), Arc::default());
    let message = query("2.0.0.127.bl.example", A);
    let respond = |port: u16, transport| {
        handler.respond(&message, SocketAddr::from(([192, 0, 2, 1], port)), transport, &mut Vec::new())
    };
    for port in [0, 7, 13, 19, 37] {
        assert!(!respond(port, Transport::Udp), "{port}");
    }
    assert!(respond(53, Transport::Udp) && respond(7, Transport::Tcp));
    assert_eq!(handler.counters().dropped.total(), 5);
}

#[tokio::test]
async fn replies_and_scraps_get_no_reply() {
    let rig = Rig::start(example());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut reply = query("2.0.0.127.bl.example", A);
    reply[2] |= 0x80;
    let broken_reply = hex("12 34 80 00 00 01 00 00 00 00 00 00 ff ff");
    for dropped in [&[][..], &[0x12, 0x34, 0, 0, 0, 1], &reply, &broken_reply] {
        socket.send_to(dropped, rig.at).await.unwrap();
    }
    let mut good = query("1.0.0.127.bl.example", A);
    good[0] = 0x77;
    socket.send_to(&good, rig.at).await.unwrap();
    assert_eq!(receive(&socket).await[0], 0x77, "the first reply is to the good query");
    assert_eq!((rig.stats.dns().dropped.total(), rig.stats.dns().udp.get()), (4, 5));
}
