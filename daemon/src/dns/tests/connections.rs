//! Connections over TCP: framing, pieces, silence, and too many of them.

use super::*;

/// A server with these bounds on connections.
fn bounded(limits: ConnectionLimits) -> Rig {
    Rig::configured(example(), &Dns { connections: limits, ..plain("127.0.0.1:0".parse().unwrap()) })
}

fn listed() -> Vec<u8> {
    framed(&query("2.0.0.127.bl.example", A))
}

/// A connection that has asked one question and got its reply.
async fn used(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    stream.write_all(&listed()).await.unwrap();
    assert!(read_framed(&mut stream).await.is_some());
    stream
}

#[tokio::test]
async fn replies_that_are_ready_at_once_leave_in_one_write() {
    let rig = Rig::start(example());
    let mut stream = used(&rig).await;
    stream.write_all(&listed().repeat(20)).await.unwrap();
    let reply = listed().len() + 16;
    let mut replies = vec![0; 20 * reply];
    // What was written at once is there at once: queries of one segment are read at once too.
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut replies)).await.unwrap();
    assert_eq!(read.unwrap(), 20 * reply);
}

#[tokio::test]
async fn the_largest_message_is_answered_and_its_memory_is_not_kept() {
    let rig = Rig::start(example());
    let asked = query("2.0.0.127.bl.example", A);
    // OPT and the head of an option that fills the message.
    let fill = 65_535 - asked.len() - 11 - 4;
    let options = [&[0xff, 0xfe][..], &(fill as u16).to_be_bytes(), &vec![0; fill]].concat();
    let largest = with_opt(asked, 1232, 0, &options);
    assert_eq!(largest.len(), 65_535);
    let mut stream = used(&rig).await;
    for _ in 0..3 {
        stream.write_all(&[framed(&largest), listed()].concat()).await.unwrap();
        for _ in 0..2 {
            let reply = Message::from_vec(&read_framed(&mut stream).await.unwrap()).unwrap();
            assert_eq!(codes(&reply), ["127.0.0.2"]);
        }
    }
}

#[tokio::test]
async fn more_replies_than_fit_a_round_all_come() {
    let rig = Rig::start(many_codes());
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let asked = framed(&query("7.2.0.192.many.example", A)).repeat(100);
    let (mut reader, mut writer) = stream.split();
    let reading = async {
        for _ in 0..100 {
            let reply = Message::from_vec(&read_framed(&mut reader).await.unwrap()).unwrap();
            assert_eq!(reply.answers.len(), 200);
        }
    };
    let (written, ()) = tokio::join!(writer.write_all(&asked), reading);
    written.unwrap();
}

#[tokio::test]
async fn a_client_that_has_finished_gets_its_replies_and_then_the_end() {
    let rig = Rig::start(example());
    let mut stream = TcpStream::connect(rig.at).await.unwrap();
    let part = &listed()[..20];
    stream.write_all(&[&listed(), &listed(), part].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert!(read_framed(&mut stream).await.is_some());
    assert!(read_framed(&mut stream).await.is_some());
    assert_eq!(read_framed(&mut stream).await, None, "half a question has no reply");
}

#[tokio::test]
async fn replies_to_what_was_right_come_before_the_end() {
    let rig = Rig::start(example());
    for broken in [&[0, 0][..], &[0, 11], &framed(&hex("12 34 80 00 00 01 00 00 00 00 00 00"))] {
        let mut stream = TcpStream::connect(rig.at).await.unwrap();
        stream.write_all(&[&listed(), broken].concat()).await.unwrap();
        assert!(read_framed(&mut stream).await.is_some(), "{broken:02x?}");
        assert_eq!(read_framed(&mut stream).await, None, "{broken:02x?}");
    }
}

#[tokio::test]
async fn silence_ends_a_connection() {
    let rig = Rig::start(example());
    let (mut silent, mut unused) = (used(&rig).await, TcpStream::connect(rig.at).await.unwrap());
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    for stream in [&mut silent, &mut unused] {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    assert!(begin.elapsed() < Duration::from_secs(11));
}

#[tokio::test]
async fn octets_that_trickle_in_are_no_life_sign() {
    let rig = Rig::start(example());
    let mut stream = used(&rig).await;
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let mut octet = [0];
    // One octet a second: the question would be whole after forty.
    let closed = async {
        for next in listed() {
            // Fails once the server has closed.
            let _ = stream.write_all(&[next]).await;
            tokio::select! {
                read = stream.read(&mut octet) => return read.unwrap_or(0) == 0,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        false
    };
    assert!(closed.await);
    let took = begin.elapsed();
    assert!((9..=11).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_message_must_come_in_time_where_connections_may_be_silent_for_long() {
    let rig = bounded(ConnectionLimits { idle: Duration::from_secs(3600), ..ConnectionLimits::default() });
    let mut stream = used(&rig).await;
    let mut other = used(&rig).await;
    stream.write_all(&listed()[..5]).await.unwrap();
    // Answered after the part has arrived.
    other.write_all(&listed()).await.unwrap();
    assert!(read_framed(&mut other).await.is_some());
    tokio::time::pause();
    let begin = tokio::time::Instant::now();
    let mut end = [0];
    assert_eq!(stream.read(&mut end).await.unwrap_or(0), 0);
    let took = begin.elapsed();
    assert!(took <= Duration::from_secs(11), "{took:?}");
}

#[tokio::test]
async fn one_too_many_closes_the_one_silent_for_the_longest_time() {
    let rig = bounded(ConnectionLimits { total: 3, per_client: 3, ..ConnectionLimits::default() });
    let (mut first, mut second, mut third) = (used(&rig).await, used(&rig).await, used(&rig).await);
    first.write_all(&listed()).await.unwrap();
    assert!(read_framed(&mut first).await.is_some());
    third.write_all(&listed()).await.unwrap();
    assert!(read_framed(&mut third).await.is_some());
    let mut fourth = used(&rig).await;
    assert_eq!(read_framed(&mut second).await, None);
    for stream in [&mut first, &mut third, &mut fourth] {
        stream.write_all(&listed()).await.unwrap();
        assert!(read_framed(stream).await.is_some());
    }
    assert_eq!(rig.stats.dns().crowded_out.get(), 1);
}

#[tokio::test]
async fn a_flood_of_half_open_questions_keeps_nobody_out() {
    let rig = bounded(ConnectionLimits { total: 20, per_client: 20, ..ConnectionLimits::default() });
    let mut flood = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(rig.at).await.unwrap();
        stream.write_all(&listed()[..7]).await.unwrap();
        flood.push(stream);
    }
    used(&rig).await;
    assert!(rig.stats.dns().crowded_out.get() >= 180, "{}", rig.stats.dns().crowded_out.get());
}

#[tokio::test]
async fn limits_change_with_the_configuration() {
    let mut rig = Rig::start(example());
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(used(&rig).await);
    }
    let limits = ConnectionLimits { total: 2, per_client: 2, ..ConnectionLimits::default() };
    let dns = Dns { connections: limits, ..plain("127.0.0.1:0".parse().unwrap()) };
    rig.server.set_listen(&dns, Serving::default()).await.unwrap();
    let _new = used(&rig).await;
    for stream in &mut streams[..2] {
        assert_eq!(read_framed(stream).await, None);
    }
    assert_eq!(rig.stats.dns().crowded_out.get(), 3);
}

#[tokio::test]
async fn a_client_that_takes_nothing_in_is_cut_off() {
    let rig = Rig::start(many_codes());
    let stream = TcpStream::connect(rig.at).await.unwrap();
    let asked = framed(&query("7.2.0.192.many.example", A)).repeat(50);
    // Until neither side can write any more: the server waits for us to read.
    let mut last = tokio::time::Instant::now();
    while last.elapsed() < Duration::from_millis(300) {
        match stream.try_write(&asked) {
            Ok(_) => last = tokio::time::Instant::now(),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    let errors = || rig.stats.dns().socket_errors.get();
    assert_eq!(errors(), 0);
    tokio::time::pause();
    tokio::time::timeout(PATIENCE * 2, async {
        while errors() == 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await
    .unwrap();
}

/// The option by which a reply says how long the connection may be silent, in units of 100 ms (RFC 7828).
fn told_idle(reply: &[u8]) -> Option<u16> {
    let &[0, 11, 0, 2, high, low] = reply.last_chunk::<6>().unwrap() else { return None };
    Some(u16::from_be_bytes([high, low]))
}

#[tokio::test]
async fn clients_that_ask_are_told_how_long_they_may_be_silent() {
    let rig = Rig::start(example());
    let asked = with_opt(query("2.0.0.127.bl.example", A), 1232, 0, b"\0\x0b\0\0");
    assert_eq!(told_idle(&rig.tcp(&asked).await), Some(100));
    assert_eq!(told_idle(&rig.udp(&asked).await), None, "means nothing over udp");
    let plain = with_opt(query("2.0.0.127.bl.example", A), 1232, 0, b"");
    assert_eq!(told_idle(&rig.tcp(&plain).await), None, "not asked for");
}
