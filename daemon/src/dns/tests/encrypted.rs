//! TLS, HTTPS and QUIC against clients of the same libraries: what RFC 7858, 8484 and 9250 ask for, and what clients must
//! not do. Other people's clients are asked in the integration tests.

use super::*;
use crate::stats::Counter;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::VarInt;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "dns.example";

/// A server with every service, and what its clients must trust.
struct Encrypted {
    rig: Rig,
    dns: Dns,
    dir: TempDir,
    roots: RootCertStore,
}

/// Writes a new certificate with its key; the certificate in binary form.
fn issue(dir: &Path) -> CertificateDer<'static> {
    let pair = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    fs::write(dir.join("chain.pem"), pair.cert.pem()).unwrap();
    write_key(dir, &pair.signing_key.serialize_pem());
    pair.cert.der().clone()
}

fn write_key(dir: &Path, pem: &str) {
    let path = dir.join("key.pem");
    fs::write(&path, pem).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Encrypted {
    fn start(generation: Generation, limits: ConnectionLimits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issue(dir.path())).unwrap();
        let at = || vec!["127.0.0.1:0".parse().unwrap()];
        let certificate = dir.path().join("chain.pem");
        let dns = Dns {
            connections: limits,
            tls: at(),
            https: at(),
            quic: at(),
            certificate: Some(CertificateFiles { certificate, key: dir.path().join("key.pem") }),
            ..plain("127.0.0.1:0".parse().unwrap())
        };
        Self { rig: Rig::configured(generation, &dns), dns, dir, roots }
    }

    fn example() -> Self {
        Self::start(example(), ConnectionLimits::default())
    }

    fn client(&self, protocols: &[&[u8]]) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(self.roots.clone()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config
    }

    async fn connect(&self, service: Service, protocols: &[&[u8]]) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.rig.at(service)).await?;
        let name = ServerName::try_from(NAME).unwrap();
        let connecting = TlsConnector::from(Arc::new(self.client(protocols))).connect(name, stream);
        tokio::time::timeout(PATIENCE, connecting).await.unwrap()
    }

    async fn tls(&self, query: &[u8]) -> Vec<u8> {
        let mut stream = self.connect(Service::Tls, &[b"dot"]).await.unwrap();
        stream.write_all(&framed(query)).await.unwrap();
        read_framed(&mut stream).await.unwrap()
    }

    /// One request on a connection of its own.
    async fn https(&self, version: &'static [u8], request: Request<Full<Bytes>>) -> Response<Bytes> {
        let stream = TokioIo::new(self.connect(Service::Https, &[version]).await.unwrap());
        let response = if version == b"h2" {
            let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            whole(sender.send_request(request)).await
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            whole(sender.send_request(request)).await
        };
        response.unwrap()
    }

    async fn quic_connection(&self) -> quinn::Connection {
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(self.client(&[b"doq"])).unwrap();
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
        let connecting = endpoint.connect(self.rig.at(Service::Quic), NAME).unwrap();
        tokio::time::timeout(PATIENCE, connecting).await.unwrap().unwrap()
    }

    /// Asks on one stream, with ID 0.
    async fn quic(&self, query: &[u8]) -> Vec<u8> {
        let connection = self.quic_connection().await;
        on_stream(&connection, &framed(&patched(query, 0, &[0, 0]))).await.unwrap()
    }
}

async fn whole(
    response: impl Future<Output = hyper::Result<Response<Incoming>>>,
) -> hyper::Result<Response<Bytes>> {
    let collected = async {
        let (head, body) = response.await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    tokio::time::timeout(PATIENCE, collected).await.unwrap()
}

/// What comes back for these octets on a stream of their own, without its length.
async fn on_stream(connection: &quinn::Connection, octets: &[u8]) -> Result<Vec<u8>, quinn::ReadToEndError> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(octets).await.unwrap();
    send.finish().unwrap();
    let mut reply = tokio::time::timeout(PATIENCE, receive.read_to_end(70_000)).await.unwrap()?;
    let rest = reply.split_off(2);
    assert_eq!(reply, (rest.len() as u16).to_be_bytes());
    Ok(rest)
}

fn post(query: &[u8]) -> Request<Full<Bytes>> {
    request(Method::POST, "/dns-query", "application/dns-message", query)
}

fn get(query: &[u8]) -> Request<Full<Bytes>> {
    let encoded = data_encoding::BASE64URL_NOPAD.encode(query);
    request(Method::GET, &format!("/dns-query?dns={encoded}"), "", b"")
}

fn request(method: Method, target: &str, media_type: &str, body: &[u8]) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("https://{NAME}{target}"));
    if !media_type.is_empty() {
        request = request.header("content-type", media_type);
    }
    request.body(Full::from(body.to_vec())).unwrap()
}

#[tokio::test]
async fn the_same_question_gets_the_same_octets_over_every_transport() {
    let all = Encrypted::example();
    let asked: Vec<Vec<u8>> = [
        query("2.0.0.127.bl.example", A),
        query("7.2.0.192.BL.exAMple", TXT),
        query("1.0.0.127.bl.example", A),
        query("127.bl.example", NS),
        query("bl.example", SOA),
        query("www.example", A),
        with_opt(query("2.0.0.127.bl.example", A), 1232, 0x8000, b"\0\x03\0\0"),
        with_opt(query("2.0.0.127.bl.example", A), 1232, 0x0001_0000, b""),
        patched(&query("2.0.0.127.bl.example", A), 2, &[0x28]),
        hex("00 00 00 00 00 02 00 00 00 00 00 00"),
    ]
    .map(|query| patched(&query, 0, &[0, 0]))
    .into();
    for asked in asked {
        let expected = all.rig.udp(&asked).await;
        assert_eq!(all.rig.tcp(&asked).await, expected, "tcp {asked:02x?}");
        assert_eq!(all.tls(&asked).await, expected, "tls {asked:02x?}");
        for version in [&b"h2"[..], b"http/1.1"] {
            for request in [get(&asked), post(&asked)] {
                let response = all.https(version, request).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(response.headers()["content-type"], "application/dns-message");
                assert_eq!(response.body(), &expected, "https {asked:02x?}");
            }
        }
        assert_eq!(all.quic(&asked).await, expected, "quic {asked:02x?}");
    }
    let dns = &all.rig.stats.dns();
    assert_eq!([&dns.udp, &dns.tcp, &dns.tls, &dns.https, &dns.quic].map(Counter::get), [10, 10, 10, 40, 10]);
}

#[tokio::test]
async fn only_streams_of_messages_are_told_how_long_they_may_be_silent() {
    let all = Encrypted::example();
    let asked = with_opt(query("2.0.0.127.bl.example", A), 1232, 0, b"\0\x0b\0\0");
    assert!(all.tls(&asked).await.ends_with(&[0, 11, 0, 2, 0, 100]));
    // HTTP has its own ways (RFC 8484 says nothing of it), and QUIC forbids it, as a test below tells.
    assert!(all.https(b"h2", post(&asked)).await.body().ends_with(&[0, 0]));
}

#[tokio::test]
async fn replies_are_padded_where_they_are_encrypted_and_it_was_asked_for() {
    let all = Encrypted::start(many_codes(), ConnectionLimits::default());
    let padding = b"\0\x0c\0\x04\0\0\0\0";
    for (name, len) in [("2.0.0.127.few.example", 468), ("7.2.0.192.fits.example", 1404)] {
        let plain = with_opt(query(name, A), 1232, 0, b"");
        let padded = with_opt(query(name, A), 1232, 0, padding);
        let expected = all.rig.tcp(&plain).await;
        assert_eq!(all.rig.tcp(&padded).await, expected, "open to see, so not padded");
        assert_eq!(all.rig.udp(&padded).await.len(), expected.len().min(1232));
        let over_https = all.https(b"h2", post(&padded)).await.body().to_vec();
        let over_quic = patched(&all.quic(&padded).await, 0, &padded[..2]);
        for reply in [all.tls(&padded).await, over_https, over_quic] {
            assert_eq!(reply.len(), len);
            // All but the length of the OPT record is as it was; then come the option and zeros.
            let (same, rest) = reply.split_at(expected.len());
            assert_eq!(same[..same.len() - 2], expected[..expected.len() - 2]);
            assert_eq!(
                usize::from(u16::from_be_bytes([same[same.len() - 2], same[same.len() - 1]])),
                rest.len()
            );
            assert_eq!(rest[..2], [0, 12]);
            assert_eq!(usize::from(u16::from_be_bytes([rest[2], rest[3]])), rest.len() - 4);
            assert!(rest[4..].iter().all(|&octet| octet == 0));
            assert!(Message::from_vec(&reply).unwrap().edns.is_some());
        }
        assert_eq!(all.tls(&plain).await, expected, "not asked for");
    }
}

#[tokio::test]
async fn tls_takes_clients_that_name_dns_or_nothing() {
    let all = Encrypted::example();
    assert!(all.connect(Service::Tls, &[b"dot"]).await.is_ok());
    assert!(all.connect(Service::Tls, &[]).await.is_ok());
    assert!(all.connect(Service::Tls, &[b"h2"]).await.is_err());
    let mut stream = all.connect(Service::Tls, &[b"x", b"dot"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"dot"[..]));
    let asked = framed(&query("2.0.0.127.bl.example", A)).repeat(30);
    stream.write_all(&asked).await.unwrap();
    for _ in 0..30 {
        assert!(read_framed(&mut stream).await.is_some());
    }
    stream.write_all(&[0, 3, 1, 2, 3]).await.unwrap();
    let mut end = Vec::new();
    assert_eq!(stream.read_to_end(&mut end).await.unwrap(), 0, "closed with a word, not torn");
}

#[tokio::test]
async fn garbage_is_no_handshake_and_waiting_for_one_ends() {
    let all = Encrypted::example();
    for service in [Service::Tls, Service::Https] {
        let mut stream = TcpStream::connect(all.rig.at(service)).await.unwrap();
        stream.write_all(&framed(&query("2.0.0.127.bl.example", A))).await.unwrap();
        let mut said = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await.unwrap();
        // A TLS alert at most, or a reset on top of it.
        assert!(
            said.len() < 16 && ended.is_ok_and(|len| len == said.len()) || said.len() < 16,
            "{said:02x?}"
        );
    }
    assert_eq!(all.rig.stats.dns().failed_handshakes.get(), 2);
    let mut waiting = Vec::new();
    for service in [Service::Tls, Service::Https] {
        waiting.push(TcpStream::connect(all.rig.at(service)).await.unwrap());
    }
    // A begin of a handshake, and no more of it.
    waiting[0].write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    all.rig.udp(&query("2.0.0.127.bl.example", A)).await;
    tokio::time::pause();
    for stream in &mut waiting {
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    assert_eq!(all.rig.stats.dns().failed_handshakes.get(), 4);
}

#[tokio::test]
async fn handshakes_that_never_end_keep_nobody_out() {
    let limits = ConnectionLimits { total: 10, per_client: 10, ..ConnectionLimits::default() };
    let all = Encrypted::start(example(), limits);
    let mut flood = Vec::new();
    for i in 0..100 {
        let service = if i % 2 == 0 { Service::Tls } else { Service::Https };
        flood.push(TcpStream::connect(all.rig.at(service)).await.unwrap());
    }
    let asked = query("2.0.0.127.bl.example", A);
    assert!(!all.tls(&asked).await.is_empty());
    // All seats are taken: a client of QUIC proves its address, then gets one.
    assert!(!all.quic(&asked).await.is_empty());
    assert_eq!(all.https(b"h2", post(&asked)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn https_says_by_status_what_is_wrong_with_a_request() {
    let all = Encrypted::example();
    let asked = query("2.0.0.127.bl.example", A);
    let dns = "application/dns-message";
    let large = vec![0; 65_536];
    let encoded = data_encoding::BASE64URL_NOPAD.encode(&asked);
    for version in [&b"h2"[..], b"http/1.1"] {
        for (request, status) in [
            (request(Method::POST, "/dns-query", dns, &asked), 200),
            (request(Method::POST, "/dns-query?x=y", "Application/DNS-message; a=b", &asked), 200),
            (request(Method::GET, &format!("/dns-query?a=b&dns={encoded}"), "", b""), 200),
            (request(Method::GET, "/dns-query", "", b""), 400),
            (request(Method::GET, "/dns-query?dns=AAA=", "", b""), 400),
            (request(Method::GET, &format!("/dns-query?dns={}", &encoded[..10]), "", b""), 400),
            (request(Method::POST, "/dns-query", dns, b""), 400),
            (request(Method::POST, "/dns-query", dns, &patched(&asked, 2, &[0x80])), 400),
            (request(Method::POST, "/", dns, &asked), 404),
            (request(Method::GET, &format!("/dns-query/?dns={encoded}"), "", b""), 404),
            (request(Method::PUT, "/dns-query", dns, &asked), 405),
            (request(Method::POST, "/dns-query", dns, &large), 413),
            (request(Method::POST, "/dns-query", "text/plain", &asked), 415),
            (request(Method::POST, "/dns-query", "", &asked), 415),
        ] {
            let what = format!("{} {}", request.method(), request.uri());
            let response = all.https(version, request).await;
            assert_eq!(response.status().as_u16(), status, "{what}");
            assert_eq!(response.headers().contains_key("allow"), status == 405, "{what}");
            assert_eq!(response.body().is_empty(), status != 200, "{what}");
        }
    }
}

#[tokio::test]
async fn https_replies_may_be_kept_as_long_as_their_records() {
    let all = Encrypted::example();
    for (name, kind, age) in [
        ("2.0.0.127.bl.example", A, "max-age=600"),
        ("1.0.0.127.bl.example", A, "max-age=300"),
        ("127.bl.example", A, "max-age=300"),
        ("www.example", A, "max-age=0"),
    ] {
        let response = all.https(b"h2", get(&query(name, kind))).await;
        assert_eq!(response.headers()["cache-control"], age, "{name}");
    }
}

#[tokio::test]
async fn https_takes_the_largest_message_and_many_requests_at_a_time() {
    let all = Encrypted::example();
    let asked = query("2.0.0.127.bl.example", A);
    let fill = 65_535 - asked.len() - 11 - 4;
    let options = [&[0xff, 0xfe][..], &(fill as u16).to_be_bytes(), &vec![0; fill]].concat();
    let largest = with_opt(asked.clone(), 1232, 0, &options);
    for version in [&b"h2"[..], b"http/1.1"] {
        let response = all.https(version, post(&largest)).await;
        assert_eq!(codes(&Message::from_vec(response.body()).unwrap()), ["127.0.0.2"]);
    }
    let stream = TokioIo::new(all.connect(Service::Https, &[b"h2"]).await.unwrap());
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (mut sender, request) = (sender.clone(), post(&asked));
        requests.spawn(async move { whole(sender.send_request(request)).await.unwrap().status() });
    }
    assert!(requests.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(all.rig.stats.dns().connections.get(), 3);
}

#[tokio::test]
async fn silence_ends_encrypted_connections_too() {
    let all = Encrypted::example();
    let mut tls = all.connect(Service::Tls, &[]).await.unwrap();
    let mut streams = Vec::new();
    for version in [&b"h2"[..], b"http/1.1"] {
        streams.push(all.connect(Service::Https, &[version]).await.unwrap());
    }
    // The begin of a request, and no more of it.
    streams[1].write_all(b"POST /dns-query HTTP/1.1\r\nhost: dns.example\r\n").await.unwrap();
    let quic = all.quic_connection().await;
    tokio::time::pause();
    let mut rest = Vec::new();
    assert_eq!(tls.read_to_end(&mut rest).await.unwrap(), 0);
    for stream in &mut streams {
        // Frames of HTTP/2 before it goes; the end may come without a word.
        let _ = stream.read_to_end(&mut rest).await;
    }
    let closed = quic.closed().await;
    assert!(is_closed_with(&closed, 0) || closed == quinn::ConnectionError::TimedOut, "{closed}");
}

fn is_closed_with(error: &quinn::ConnectionError, code: u32) -> bool {
    matches!(error, quinn::ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(code))
}

#[tokio::test]
async fn quic_carries_many_queries_each_on_its_stream() {
    let all = Encrypted::example();
    let connection = all.quic_connection().await;
    let mut streams = tokio::task::JoinSet::new();
    for n in 0..100u8 {
        let connection = connection.clone();
        streams.spawn(async move {
            let asked = patched(&query(&format!("{n}.2.0.192.bl.example"), A), 0, &[0, 0]);
            let reply = on_stream(&connection, &framed(&asked)).await.unwrap();
            assert_eq!(reply[12..asked.len()], asked[12..]);
            assert_eq!(codes(&Message::from_vec(&reply).unwrap()), ["127.0.0.2"]);
        });
    }
    streams.join_all().await;
    assert_eq!((all.rig.stats.dns().quic.get(), all.rig.stats.dns().connections.get()), (100, 1));
}

#[tokio::test]
async fn quic_closes_on_what_breaks_its_rules() {
    let all = Encrypted::example();
    let asked = patched(&query("2.0.0.127.bl.example", A), 0, &[0, 0]);
    let keepalive = patched(&with_opt(asked.clone(), 1232, 0, b"\0\x0b\0\0"), 0, &[0, 0]);
    for (what, octets) in [
        ("an ID", framed(&patched(&asked, 0, &[0, 1]))),
        ("two queries", framed(&asked).repeat(2)),
        ("half a query", framed(&asked)[..20].to_vec()),
        ("nothing", Vec::new()),
        ("length 0", vec![0, 0]),
        ("an option for TCP", framed(&keepalive)),
        ("more than a message can be", vec![0xff; 70_000]),
    ] {
        let connection = all.quic_connection().await;
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        // The largest may be stopped on its way.
        let _ = send.write_all(&octets).await;
        let _ = send.finish();
        let closed = tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap();
        assert!(is_closed_with(&closed, 2), "{what}: {closed}");
    }
    let connection = all.quic_connection().await;
    let uni = tokio::time::timeout(Duration::from_millis(200), connection.open_uni()).await;
    assert!(uni.is_err(), "there is no leave for a stream of one direction");
    // A reply is not answered, and costs its stream only.
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(&framed(&patched(&asked, 2, &[0x80]))).await.unwrap();
    send.finish().unwrap();
    let error = tokio::time::timeout(PATIENCE, receive.read_to_end(100)).await.unwrap().unwrap_err();
    let reset = quinn::ReadToEndError::Read(quinn::ReadError::Reset(VarInt::from_u32(5)));
    assert_eq!(error, reset);
    assert!(on_stream(&connection, &framed(&asked)).await.is_ok());
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let all = Encrypted::example();
    let mut tls = all.connect(Service::Tls, &[]).await.unwrap();
    let quic = all.quic_connection().await;
    // The server has heard the end of the handshake too.
    let asked = patched(&query("2.0.0.127.bl.example", A), 0, &[0, 0]);
    on_stream(&quic, &framed(&asked)).await.unwrap();
    let (server, at) = (all.rig.server, all.dns.tls[0]);
    assert_eq!(at.port(), 0);
    server.shutdown().await;
    let mut rest = Vec::new();
    assert_eq!(tls.read_to_end(&mut rest).await.unwrap(), 0);
    let closed = tokio::time::timeout(PATIENCE, quic.closed()).await.unwrap();
    assert!(is_closed_with(&closed, 0), "{closed}");
}

#[tokio::test]
async fn a_changed_certificate_is_shown_to_new_connections_and_a_bad_one_never() {
    let mut all = Encrypted::example();
    let status = all.rig.server.certificate();
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let first = shown(&all.connect(Service::Tls, &[]).await.unwrap());
    let mut old = all.connect(Service::Tls, &[]).await.unwrap();
    assert_eq!(status.borrow().as_ref().unwrap().error, None);

    // A key that is not that of the certificate.
    let other = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let key = fs::read_to_string(all.dir.path().join("key.pem")).unwrap();
    write_key(all.dir.path(), &other.signing_key.serialize_pem());
    all.rig.server.set_listen(&all.dns, Serving::default()).await.unwrap();
    let error = status.borrow().as_ref().unwrap().error.clone().unwrap();
    assert!(error.contains("key.pem is not the key of the first certificate in"), "{error}");
    assert_eq!(shown(&all.connect(Service::Https, &[b"h2"]).await.unwrap()), first);
    let elsewhere = CertificateFiles { key: "/nowhere".into(), ..all.dns.certificate.clone().unwrap() };
    let moved = Dns { certificate: Some(elsewhere), ..all.dns.clone() };
    let error = all.rig.server.set_listen(&moved, Serving::default()).await.unwrap_err();
    assert!(matches!(error, DnsError::Certificate(CertificateError::Read { .. })), "{error}");

    write_key(all.dir.path(), &key);
    let second = issue(all.dir.path());
    all.roots.add(second.clone()).unwrap();
    all.rig.server.set_listen(&all.dns, Serving::default()).await.unwrap();
    assert_eq!(status.borrow().as_ref().unwrap().error, None);
    for service in [Service::Tls, Service::Https] {
        assert_eq!(shown(&all.connect(service, &[]).await.unwrap()), second, "{service}");
    }
    let asked = query("2.0.0.127.bl.example", A);
    assert!(!all.quic(&asked).await.is_empty());
    old.write_all(&framed(&asked)).await.unwrap();
    assert!(read_framed(&mut old).await.is_some(), "connections that stand go on");
}

#[tokio::test]
async fn changed_files_are_noticed_without_being_told() {
    let mut all = Encrypted::example();
    let mut status = all.rig.server.certificate();
    let before = status.borrow_and_update().clone().unwrap();
    tokio::time::pause();
    // First the certificate alone, as tools do it: the pair does not fit yet.
    let key = fs::read_to_string(all.dir.path().join("key.pem")).unwrap();
    let second = issue(all.dir.path());
    let new_key = fs::read_to_string(all.dir.path().join("key.pem")).unwrap();
    write_key(all.dir.path(), &key);
    status.changed().await.unwrap();
    let refused = status.borrow_and_update().clone().unwrap();
    assert!(refused.error.is_some() && refused.loaded_at == before.loaded_at, "{refused:?}");
    write_key(all.dir.path(), &new_key);
    status.changed().await.unwrap();
    assert_eq!(status.borrow_and_update().as_ref().unwrap().error, None);
    tokio::time::resume();
    all.roots.add(second).unwrap();
    assert!(all.connect(Service::Tls, &[]).await.is_ok());
}

#[tokio::test]
async fn encrypted_services_come_and_go() {
    let mut all = Encrypted::example();
    let asked = query("2.0.0.127.bl.example", A);
    let none = plain("127.0.0.1:0".parse().unwrap());
    let (gone, kept) = (all.rig.at(Service::Tls), all.rig.at);
    all.rig.server.set_listen(&none, Serving::default()).await.unwrap();
    assert_eq!(all.rig.server.endpoints().len(), 1);
    assert_eq!(*all.rig.server.certificate().borrow(), None);
    assert!(TcpStream::connect(gone).await.is_err());
    assert!(!all.rig.udp(&asked).await.is_empty());
    all.rig.server.set_listen(&all.dns, Serving::default()).await.unwrap();
    assert_eq!(all.rig.server.endpoints().len(), 4);
    assert_eq!(all.rig.server.local_addrs(), [kept]);
    assert!(!all.tls(&asked).await.is_empty());
    assert!(!all.quic(&asked).await.is_empty());
}
