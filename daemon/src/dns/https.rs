//! HTTPS: DNS queries in requests (RFC 8484), over HTTP/2 and HTTP/1.1.
//!
//! What is wrong with a request is said by its status; what is wrong with a query is said in DNS, with status 200.
//!
//! Bounds: a head of [`MAX_HEAD`] octets, a message of 64 KiB that comes within [`MESSAGE_TIME`], [`MAX_STREAMS`] requests
//! at a time on a connection, and what `Gathered` allows.

use super::message::{Gathered, MAX_MESSAGE};
use super::renewal::InUse;
use super::stream::MESSAGE_TIME;
use super::tcp::{Context, Peer, accept};
use super::tls::handshake;
use crate::core::answer::Transport;
use crate::core::query;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustls::ServerConfig;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Names in a handshake, best first.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// Where queries are answered.
const PATH: &str = "/dns-query";
/// What queries and replies are (RFC 8484 section 6).
const MEDIA_TYPE: &str = "application/dns-message";
/// Largest head of a request, in octets.
const MAX_HEAD: u32 = 16 << 10;
/// Requests at a time on a connection; clients begin with as many before they are told (RFC 9113 section 6.5.2).
const MAX_STREAMS: u32 = 100;
/// Octets a connection may send without being read, and hold without being taken in.
const WINDOW: u32 = 64 << 10;
/// How long a connection that has to end may take to finish what is under way.
const GRACE: Duration = Duration::from_secs(2);

/// Settings of handshakes for HTTP.
pub(super) fn config(in_use: &Arc<InUse>) -> Result<ServerConfig, rustls::Error> {
    in_use.server_config(&[HTTP2, HTTP1], rustls::DEFAULT_VERSIONS)
}

/// Serves connections until the listener stops, then finishes the replies under way.
pub(super) async fn serve(listener: TcpListener, context: Context, config: ServerConfig) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    accept(listener, context, |stream, peer| connection(stream, peer, acceptor.clone())).await;
}

async fn connection(stream: TcpStream, mut peer: Peer, acceptor: TlsAcceptor) {
    let Some(stream) = Box::pin(handshake(stream, &mut peer, &acceptor)).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    let (stream, peer) = (TokioIo::new(stream), Arc::new(peer));
    let asked = Arc::clone(&peer);
    let service = service_fn(move |request| {
        let peer = Arc::clone(&asked);
        async move { Ok::<_, Infallible>(respond(request, &peer).await) }
    });
    if is_http2 {
        let serving = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_send_buf_size(WINDOW as usize)
            .serve_connection(stream, service);
        drive(serving, &peer).await;
    } else {
        let serving = http1::Builder::new()
            .max_buf_size(MAX_HEAD as usize)
            // Between requests it would count as well; the seat knows when a connection is silent.
            .header_read_timeout(None)
            .serve_connection(stream, service);
        drive(serving, &peer).await;
    }
}

/// Lets a connection run until it ends, is silent for too long, has to make room, or the listener stops.
async fn drive(serving: impl GracefulConnection, peer: &Peer) {
    let mut serving = pin!(serving);
    let mut stop = peer.stop.clone();
    tokio::select! {
        // Whatever went wrong, it is the client's.
        _ = serving.as_mut() => return,
        () = peer.seat.crowded_out() => return,
        () = peer.seat.silent() => {}
        _ = stop.changed() => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, serving).await;
}

async fn respond(request: Request<Incoming>, peer: &Peer) -> Response<Full<Bytes>> {
    let message = match read(request, peer).await {
        Ok(message) => message,
        Err(status) => return refusal(status),
    };
    peer.seat.heard();
    let mut reply = Vec::new();
    if !peer.handler.respond(&message, peer.client, Transport::Https, &mut reply) {
        return refusal(StatusCode::BAD_REQUEST);
    }
    let age = format!("max-age={}", query::lifetime(&reply).unwrap_or(0));
    let mut response = Response::new(Full::from(reply));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    // Made of digits and letters.
    if let Ok(age) = HeaderValue::try_from(age) {
        headers.insert(CACHE_CONTROL, age);
    }
    response
}

fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

/// The query in a request, or the status that says why there is none.
async fn read(request: Request<Incoming>, peer: &Peer) -> Result<Vec<u8>, StatusCode> {
    if request.uri().path() != PATH {
        return Err(StatusCode::NOT_FOUND);
    }
    match *request.method() {
        Method::GET => from_url(request.uri().query().unwrap_or_default()),
        Method::POST if !is_dns(request.headers()) => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        Method::POST => {
            let read = timeout(MESSAGE_TIME, from_body(request.into_body(), peer));
            read.await.unwrap_or(Err(StatusCode::REQUEST_TIMEOUT))
        }
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// Is the body a DNS message, whatever parameters follow?
fn is_dns(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(MEDIA_TYPE)
}

/// The message in `dns=`, base64url without padding (RFC 8484 section 4.1).
fn from_url(query: &str) -> Result<Vec<u8>, StatusCode> {
    let encoded = query.split('&').find_map(|part| part.strip_prefix("dns="));
    let decoded = encoded.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    decoded.ok_or(StatusCode::BAD_REQUEST)
}

async fn from_body(mut body: Incoming, peer: &Peer) -> Result<Vec<u8>, StatusCode> {
    if body.size_hint().lower() > MAX_MESSAGE as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let mut message = Gathered::new(MAX_MESSAGE, peer.connections.large());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        if let Some(piece) = frame.data_ref() {
            message.add(piece).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        }
    }
    Ok(message.into_octets())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_in_addresses_are_base64url_without_padding() {
        // The example of RFC 8484 section 4.1.1.
        let asked = from_url("dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB").unwrap();
        assert_eq!(asked, b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01");
        assert_eq!(from_url("a=1&dns=-_8&b=2").unwrap(), [0xfb, 0xff]);
        assert_eq!(from_url("dns=").unwrap(), b"");
        for bad in ["", "dns", "DNS=AAAA", "dns=+/8", "dns=AA==", "dns=A", "xdns=AAAA", "dns=AAAA%20"] {
            assert_eq!(from_url(bad), Err(StatusCode::BAD_REQUEST), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back_and_other_texts_never_panic(
            octets in proptest::collection::vec(any::<u8>(), 0..80),
            text in "\\PC*",
        ) {
            let query = format!("x={}&dns={}", text.replace('&', ""), BASE64URL_NOPAD.encode(&octets));
            prop_assert_eq!(from_url(&query), Ok(octets));
            let _ = (from_url(&text), from_url(&format!("dns={text}")));
        }
    }

    #[test]
    fn the_media_type_is_compared_as_one() {
        let of = |value: &'static str| {
            is_dns(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        for good in [MEDIA_TYPE, "Application/DNS-Message", "application/dns-message; charset=x"] {
            assert!(of(good), "{good}");
        }
        for bad in ["", "text/plain", "application/dns-message-2", "application/dns-json"] {
            assert!(!of(bad), "{bad}");
        }
        assert!(!is_dns(&HeaderMap::new()));
    }
}
