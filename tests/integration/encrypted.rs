//! DNS over TLS, HTTPS and QUIC by the real daemon: what kdig, which shares no code with it, gets to see; certificates
//! that change; and what connections cost.

use crate::dns::{Tcp, owner, question};
use crate::harness::{Daemon, LOCAL, Mark, PATIENCE, Site};
use blackthorn_testkit::needs;
use hickory_proto::rr::RecordType::A;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The name in the certificates.
const NAME: &str = "dns.example";

const ENCRYPTED: &str = r#"
[dns]
listen = ["127.0.0.1:0"]
tcp_idle = "10m"
tcp_connections = 2000
tcp_connections_per_client = 2000
[dns.tls]
listen = ["127.0.0.1:0"]
certificate = "tls/chain.pem"
key = "tls/key.pem"
[dns.https]
listen = ["127.0.0.1:0"]
[dns.quic]
listen = ["127.0.0.1:0"]
"#;

/// A site with every service and a new certificate.
fn site() -> Site {
    let site = Site::new(&format!("{LOCAL}{ENCRYPTED}"));
    site.write("mine.txt", "192.0.2.7\n2001:db8::7\n");
    fs::create_dir(site.path("tls")).unwrap();
    issue(&site);
    site
}

/// Puts a new certificate and its key in place, one after the other.
fn issue(site: &Site) {
    let pair = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    site.write("tls/chain.pem", pair.cert.pem());
    write_key(site, &pair.signing_key.serialize_pem());
}

fn write_key(site: &Site, pem: &str) {
    let new = site.path("tls/key.pem.new");
    fs::write(&new, pem).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, site.path("tls/key.pem")).unwrap();
}

/// Where a service answers.
fn at(daemon: &Daemon, service: &str) -> SocketAddr {
    let events = daemon.log.all(&format!("answering dns over {service}"));
    events.last().unwrap().field("address").parse().unwrap()
}

/// What kdig says, asking with these options; it must succeed.
fn kdig(server: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("kdig");
    command.arg(format!("@{}", server.ip())).args(["-p", &server.port().to_string(), "+timeout=30"]);
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn kdig_gets_the_same_records_over_every_transport() {
    if !needs::program("kdig") {
        return;
    }
    let site = site();
    let daemon = site.start();
    let ca = format!("+tls-ca={}", site.path("tls/chain.pem").display());
    let host = format!("+tls-hostname={NAME}");
    let url = format!("+https={NAME}/dns-query");
    let transports: [(&str, &[&str]); 6] = [
        ("udp and tcp", &["+notcp"]),
        ("udp and tcp", &["+tcp"]),
        ("tls", &[&ca, &host, "+tls"]),
        ("https", &[&ca, &host, &url]),
        ("https", &[&ca, &host, &url, "+https-get"]),
        ("quic", &[&ca, &host, "+quic"]),
    ];
    for (address, records) in [
        ("192.0.2.7", "127.0.0.2\n\"Address 192.0.2.7 is listed by feed mine in bl.example\"\n"),
        ("2001:db8::7", "127.0.0.2\n\"Address 2001:db8::7 is listed by feed mine in bl.example\"\n"),
        ("192.0.2.8", ""),
    ] {
        let name = owner(address, "bl.example");
        for (service, options) in transports {
            let server = at(&daemon, service);
            let mut said = String::new();
            for kind in ["A", "TXT"] {
                said += &kdig(server, &[options, &["+short", &name, kind]].concat());
            }
            assert_eq!(said, records, "{address} {options:?}");
        }
    }
    let name = owner("192.0.2.7", "bl.example");
    for (service, options) in &transports[2..] {
        let said = kdig(at(&daemon, service), &[options, &["+padding", &name, "A"][..]].concat());
        assert!(said.contains("NOERROR") && said.contains(" PADDING"), "{options:?}: {said}");
        assert!(said.contains("Received 468 B"), "{options:?}: {said}");
    }
}

#[test]
fn kdig_keeps_one_connection_for_several_questions() {
    if !needs::program("kdig") {
        return;
    }
    let site = site();
    let daemon = site.start();
    let names: Vec<String> =
        ["192.0.2.7", "192.0.2.8", "2001:db8::7"].map(|address| owner(address, "bl.example")).into();
    // Over QUIC kdig 3.2 sometimes cannot send its third question.
    for service in ["tls", "https"] {
        let option = format!("+{service}");
        let mut arguments = vec![option.as_str(), "+keepopen", "+noall", "+header"];
        arguments.extend(names.iter().map(String::as_str));
        let said = kdig(at(&daemon, service), &arguments);
        let found = |what: &str| said.matches(what).count();
        assert_eq!((found("NOERROR"), found("NXDOMAIN")), (2, 1), "{said}");
    }
}

#[test]
fn status_shows_what_is_encrypted_and_counts_it() {
    let site = site();
    let daemon = site.start();
    let status = site.wait_status("the certificate", |status| !status["process"]["certificate"].is_null());
    let services: Vec<&str> = status["process"]["encrypted"]
        .as_array()
        .unwrap()
        .iter()
        .map(|endpoint| endpoint["service"].as_str().unwrap())
        .collect();
    assert_eq!(services, ["tls", "https", "quic"]);
    let certificate = &status["process"]["certificate"];
    assert!(certificate["file"].as_str().unwrap().ends_with("tls/chain.pem"), "{certificate}");
    assert!(certificate["expires_at"].as_u64().unwrap() > certificate["loaded_at"].as_u64().unwrap());
    assert!(certificate["error"].is_null());
    daemon.stop();
}

#[test]
fn certificates_are_checked_before_anything_is_served() {
    let site = site();
    let chain = fs::read_to_string(site.path("tls/chain.pem")).unwrap();
    let key = fs::read_to_string(site.path("tls/key.pem")).unwrap();
    let other = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let no_end = key.lines().next().unwrap();
    for (chain, key, says) in [
        ("", key.as_str(), "tls/chain.pem: has no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", &key, "tls/chain.pem: is not PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &key,
            "certificate in it cannot be used",
        ),
        (&chain, "", "tls/key.pem: has no private key"),
        (&chain, no_end, "tls/key.pem: is not PEM"),
        (
            &chain,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "tls/key.pem: the key cannot be used",
        ),
        (&chain, &chain, "tls/key.pem: has no private key"),
        (
            &chain,
            &other.signing_key.serialize_pem(),
            "tls/key.pem is not the key of the first certificate in",
        ),
    ] {
        site.write("tls/chain.pem", chain);
        write_key(&site, key);
        let refusal = site.refusal();
        assert!(refusal.contains(says), "{says:?} is missing in {refusal}");
        let (code, report) = site.json(&["check"]);
        assert_eq!((code, report["valid"].as_bool()), (1, Some(false)));
        assert!(report["errors"][0].as_str().unwrap().contains(says), "{report}");
    }
    fs::remove_file(site.path("tls/key.pem")).unwrap();
    assert!(site.refusal().contains("tls/key.pem: cannot be read: No such file"));
}

#[test]
fn check_warns_of_keys_that_all_may_read_and_certificates_that_end() {
    let site = site();
    let (code, report) = site.json(&["check"]);
    assert_eq!((code, report["warnings"].as_array().unwrap().len()), (0, 0), "{report}");
    assert_eq!(report["listen"].as_array().unwrap().len(), 4, "{report}");
    let mut parameters = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    for (year, says) in [(2020, "the certificate has expired"), (4000, "")] {
        parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
        site.write("tls/chain.pem", parameters.self_signed(&pair).unwrap().pem());
        site.write("tls/key.pem", pair.serialize_pem());
        fs::set_permissions(site.path("tls/key.pem"), fs::Permissions::from_mode(0o644)).unwrap();
        let (code, report) = site.json(&["check"]);
        let warnings = report["warnings"].to_string();
        assert_eq!(code, 0, "{report}");
        assert!(warnings.contains("every user of this host may read this key"), "{report}");
        assert!(warnings.contains(says), "{report}");
    }
}

#[test]
fn a_renewed_certificate_is_taken_up_without_a_word() {
    let site = site();
    let daemon = site.start();
    let before = presented(&daemon);
    let mark = daemon.log.mark();
    issue(&site);
    daemon.log.wait_from(mark, "certificate in use");
    assert_ne!(presented(&daemon), before);
}

#[test]
fn a_bad_certificate_changes_nothing_but_the_status() {
    let site = site();
    let daemon = site.start();
    let (before, key) = (presented(&daemon), fs::read(site.path("tls/key.pem")).unwrap());
    site.write("tls/key.pem", "gone wrong");
    daemon.reload();
    assert!(daemon.log.has(Mark::START, "certificate not changed, the one before stays in use"));
    assert_eq!(presented(&daemon), before);
    let error = |status: &serde_json::Value| status["process"]["certificate"]["error"].clone();
    let status = site.wait_status("the error", |status| !error(status).is_null());
    assert!(error(&status).as_str().unwrap().contains("tls/key.pem: has no private key"), "{status}");
    site.write("tls/key.pem", key);
    daemon.reload();
    site.wait_status("its end", |status| error(status).is_null());
    assert_eq!(presented(&daemon), before);

    // Other files are a change of the configuration: what cannot be had is refused.
    site.configure(&format!("{LOCAL}{ENCRYPTED}").replace("chain.pem", "none.pem"));
    assert!(daemon.refused_reload().contains("tls/none.pem: cannot be read"));
    assert_eq!(presented(&daemon), before);
    site.configure(LOCAL);
    daemon.reload();
    assert!(site.json(&["status"]).1["process"]["encrypted"].as_array().unwrap().is_empty());
}

/// The certificate a client of TLS gets to see.
fn presented(daemon: &Daemon) -> Vec<u8> {
    let mut connection = tls(at(daemon, "tls"));
    connection.conn.complete_io(&mut connection.sock).unwrap();
    connection.conn.peer_certificates().unwrap()[0].to_vec()
}

type Tls = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// A connection under TLS, whoever is at the other end.
fn tls(server: SocketAddr) -> Tls {
    let name = rustls::pki_types::ServerName::try_from(NAME).unwrap();
    let client = rustls::ClientConnection::new(Arc::new(trusting()), name).unwrap();
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    rustls::StreamOwned::new(client, stream)
}

/// Settings of a client that takes any certificate.
fn trusting() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    builder.with_custom_certificate_verifier(Arc::new(Anybody(provider))).with_no_client_auth()
}

/// Takes any certificate, of which the test wants to see which one it is.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn a_lack_of_descriptors_keeps_nobody_out() {
    let site = site();
    let own = site.command();
    let mut command = Command::new("sh");
    // The daemon has about sixty of its own.
    command.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]).arg(own.get_program()).args(own.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let daemon = Daemon::start(command);
    let asked = question(&owner("192.0.2.7", "bl.example"), A);
    let mut held = Vec::new();
    for _ in 0..200 {
        let mut connection = Tcp::connect(daemon.address());
        connection.send(&asked);
        assert!(!connection.receive().is_empty());
        held.push(connection);
    }
    let (_, status) = site.json(&["status"]);
    assert!(status["dns"]["crowded_out"].as_u64().unwrap() > 100, "{}", status["dns"]);
    daemon.stop();
}

/// Resident memory of a daemon that is its own, in bytes.
fn memory(daemon: &Daemon) -> u64 {
    let status = daemon.proc("status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Memory for each of some connections, beyond what the first ones took.
fn memory_each<T>(daemon: &Daemon, mut open: impl FnMut() -> T) -> u64 {
    const FIRST: usize = 50;
    const THEN: usize = 300;
    let mut connections: Vec<T> = (0..FIRST).map(|_| open()).collect();
    let before = memory(daemon);
    connections.extend((0..THEN).map(|_| open()));
    let after = memory(daemon);
    assert_eq!(connections.len(), FIRST + THEN);
    after.saturating_sub(before) / THEN as u64
}

#[test]
fn a_connection_that_has_asked_takes_at_most_sixteen_kilobytes() {
    let site = site();
    let daemon = site.start();
    let asked = question(&owner("192.0.2.7", "bl.example"), A);
    let plain = memory_each(&daemon, || {
        let mut connection = Tcp::connect(daemon.address());
        connection.send(&asked);
        assert!(!connection.receive().is_empty());
        connection
    });
    let message = asked.to_vec().unwrap();
    let framed = [&u16::try_from(message.len()).unwrap().to_be_bytes(), message.as_slice()].concat();
    let encrypted = memory_each(&daemon, || {
        let mut connection = tls(at(&daemon, "tls"));
        connection.write_all(&framed).unwrap();
        let mut len = [0; 2];
        connection.read_exact(&mut len).unwrap();
        let mut reply = vec![0; u16::from_be_bytes(len).into()];
        connection.read_exact(&mut reply).unwrap();
        connection
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut client = trusting();
    client.alpn_protocols = vec![b"doq".to_vec()];
    let client = quinn::crypto::rustls::QuicClientConfig::try_from(client).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(client)));
    let mut with_id_0 = framed.clone();
    with_id_0[2..4].fill(0);
    let quic = memory_each(&daemon, || {
        runtime.block_on(async {
            let connection = endpoint.connect(at(&daemon, "quic"), NAME).unwrap().await.unwrap();
            let (mut send, mut receive) = connection.open_bi().await.unwrap();
            send.write_all(&with_id_0).await.unwrap();
            send.finish().unwrap();
            assert!(!receive.read_to_end(1 << 16).await.unwrap().is_empty());
            connection
        })
    });
    eprintln!("memory for each connection: {plain} bytes with TCP, {encrypted} with TLS, {quic} with QUIC");
    assert!(plain <= 16 << 10, "{plain} bytes for each connection over TCP");
    assert!(encrypted <= 32 << 10, "{encrypted} bytes for each connection over TLS");
    assert!(quic <= 128 << 10, "{quic} bytes for each connection over QUIC");
}
