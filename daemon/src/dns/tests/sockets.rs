//! Sockets come and go, share a port among workers, and answer from where they were asked.

use super::*;
use tokio::task::JoinSet;

/// A server with several workers at a wildcard address.
fn wildcard(listen: &str) -> DnsServer {
    let live = Live::default();
    live.publish(Arc::new(example()));
    let bound =
        DnsServer::bind(&Dns { workers: NonZeroUsize::new(3), ..plain(listen.parse().unwrap()) }).unwrap();
    bound.serve(live, Arc::default(), Serving::default()).unwrap()
}

#[tokio::test]
async fn a_wildcard_socket_answers_from_the_address_that_was_asked() {
    for (listen, asked) in
        [("0.0.0.0:0", &["127.0.0.1", "127.0.0.53", "127.200.3.4"][..]), ("[::]:0", &["::1"])]
    {
        let server = wildcard(listen);
        let port = server.local_addrs()[0].port();
        for asked in asked {
            let asked = SocketAddr::new(asked.parse().unwrap(), port);
            let own = if asked.is_ipv4() { "127.0.0.9:0" } else { "[::1]:0" };
            let socket = UdpSocket::bind(own).await.unwrap();
            socket.send_to(&query("2.0.0.127.bl.example", A), asked).await.unwrap();
            let mut reply = [0; 512];
            let received = tokio::time::timeout(PATIENCE, socket.recv_from(&mut reply)).await.unwrap();
            assert_eq!(received.unwrap().1, asked);
        }
        server.shutdown().await;
    }
}

#[tokio::test]
async fn workers_share_bursts_of_many_clients_without_losing_any() {
    let server = wildcard("127.0.0.1:0");
    let at = server.local_addrs()[0];
    let mut clients = JoinSet::new();
    for client in 0..40u8 {
        clients.spawn(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            // More than a batch, each with an ID and a name of its own.
            let asked = |n: u8| patched(&query(&format!("{n}.0.0.127.bl.example"), A), 0, &[client, n]);
            for n in 1..=50 {
                socket.send_to(&asked(n), at).await.unwrap();
            }
            let mut seen = [false; 51];
            for _ in 1..=50 {
                let reply = receive(&socket).await;
                let n = reply[1];
                assert_eq!((reply[0], &reply[12..32]), (client, &asked(n)[12..32]), "its own question");
                assert!(!std::mem::replace(&mut seen[usize::from(n)], true), "one reply to each");
            }
        });
    }
    clients.join_all().await;
}

#[tokio::test]
async fn a_dropped_server_gives_its_port_back() {
    let server = wildcard("127.0.0.1:0");
    let at = server.local_addrs()[0];
    drop(server);
    let free = || DnsServer::bind(&plain(at)).is_ok();
    tokio::time::timeout(PATIENCE, async {
        while !free() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn listen_addresses_change_without_touching_those_that_stay() {
    let mut rig = Rig::start(example());
    let stays: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let comes: SocketAddr = "[::1]:0".parse().unwrap();
    let asked = query("2.0.0.127.bl.example", A);
    let mut connection = TcpStream::connect(rig.at).await.unwrap();

    let listen = |listen: &[SocketAddr]| Dns { listen: listen.to_vec(), ..plain(stays) };
    rig.server.set_listen(&listen(&[comes, stays, comes]), Serving::default()).await.unwrap();
    let [new, old] = rig.server.local_addrs()[..] else { panic!() };
    assert_eq!(old, rig.at);
    let v6 = UdpSocket::bind("[::1]:0").await.unwrap();
    v6.send_to(&asked, new).await.unwrap();
    assert_eq!(codes(&Message::from_vec(&receive(&v6).await).unwrap()), ["127.0.0.2"]);
    connection.write_all(&framed(&asked)).await.unwrap();
    assert!(read_framed(&mut connection).await.is_some(), "a connection to an address that stays lives on");

    let holder = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let taken = holder.local_addr().unwrap();
    let error = rig.server.set_listen(&listen(&[stays, taken]), Serving::default()).await.unwrap_err();
    assert!(matches!(error, DnsError::Bind(BindError { address, .. }) if address == taken), "{error}");
    assert_eq!(rig.server.local_addrs(), [new, old], "on failure nothing has changed");
    assert!(!rig.udp(&asked).await.is_empty());

    rig.server.set_listen(&listen(&[comes]), Serving::default()).await.unwrap();
    assert_eq!(rig.server.local_addrs(), [new]);
    assert_eq!(read_framed(&mut connection).await, None, "a removed address closes its connections");
    DnsServer::bind(&plain(old)).expect("the address is free again");
}

#[tokio::test]
async fn shutdown_closes_every_socket() {
    let rig = Rig::start(example());
    let mut idle = TcpStream::connect(rig.at).await.unwrap();
    idle.write_all(&framed(&query("bl.example", SOA))).await.unwrap();
    assert!(read_framed(&mut idle).await.is_some());
    rig.server.shutdown().await;
    assert_eq!(read_framed(&mut idle).await, None);
    DnsServer::bind(&plain(rig.at)).expect("the address is free again");
}
