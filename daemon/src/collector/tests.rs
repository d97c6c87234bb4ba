//! Fetches against a scripted server, and the runner under paused time.

use super::error::{Cause, Phase};
use super::redirect::Refusal;
use super::runner::{Delivery, FeedJob, FirstAttempt, Runner};
use super::script::{Reply, Server, answer};
use super::{FetchError, FetchLimits, Fetched, Fetcher};
use crate::config::source::Source;
use crate::core::entry::FeedId;
use crate::core::validators::Validators;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::Instant;

const LIST: &[u8] = b"192.0.2.1\n2001:db8::1\n";
const LIMITS: FetchLimits = FetchLimits { max_bytes: 10_000, timeout: Duration::from_secs(30) };

async fn fetch(server: &Server, validators: Option<&Validators>) -> Result<Fetched, FetchError> {
    Fetcher::without_proxies().fetch(&Source::Url(server.url("list.txt")), &LIMITS, validators).await
}

/// One fetch of one answer.
async fn get(reply: Reply) -> Result<Fetched, FetchError> {
    fetch(&Server::start([reply]).await, None).await
}

async fn cause(reply: Reply) -> Cause {
    get(reply).await.unwrap_err().cause
}

fn bytes(fetched: Result<Fetched, FetchError>) -> Vec<u8> {
    match fetched.unwrap() {
        Fetched::Body { bytes, .. } => bytes,
        Fetched::NotModified => panic!("not modified"),
    }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_list_comes_with_its_validators() {
    let headers =
        ["ETag: \"v1\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Content-Type: text/plain"];
    let server =
        Server::start([answer("200 OK", &headers, LIST), answer("304 Not Modified", &[], b"")]).await;
    let Fetched::Body { bytes, validators } = fetch(&server, None).await.unwrap() else { panic!() };
    assert_eq!(bytes, LIST);
    assert_eq!(validators.etag.as_deref(), Some("\"v1\""));
    assert_eq!(validators.last_modified.as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));

    assert_eq!(fetch(&server, Some(&validators)).await.unwrap(), Fetched::NotModified);
    let [first, second] = server.requests().try_into().unwrap();
    assert!(first.starts_with("get /list.txt http/1.1\r\n"), "{first}");
    assert!(first.contains(&format!("user-agent: blackthorn/{}\r\n", env!("CARGO_PKG_VERSION"))), "{first}");
    assert!(first.contains("accept-encoding: gzip, deflate\r\n"), "{first}");
    assert!(!first.contains("if-"), "{first}");
    assert!(second.contains("if-none-match: \"v1\"\r\n"), "{second}");
    assert!(second.contains("if-modified-since: sun, 06 nov 1994 08:49:37 gmt\r\n"), "{second}");
}

#[tokio::test]
async fn user_name_and_password_are_sent_but_not_shown() {
    let server = Server::start([answer("403 Forbidden", &[], b"")]).await;
    let mut url = server.url("list.txt?key=s3cret");
    url.set_username("user").unwrap();
    url.set_password(Some("hunter2")).unwrap();
    let error = Fetcher::without_proxies().fetch(&Source::Url(url), &LIMITS, None).await.unwrap_err();
    let request = &server.requests()[0];
    assert!(request.starts_with("get /list.txt?key=s3cret "), "{request}");
    assert!(request.contains("authorization: basic "), "{request}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("/list.txt?***: the server answered 403; it does not let us in"), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn compressed_transfers_are_undone() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(LIST).unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
    raw.write_all(LIST).unwrap();
    for (encoding, body) in [
        ("gzip", gzip(LIST)),
        ("X-GZIP", gzip(LIST)),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
    ] {
        let header = format!("Content-Encoding: {encoding}");
        assert_eq!(bytes(get(answer("200 OK", &[&header], &body)).await), LIST, "{encoding}");
    }
}

#[tokio::test]
async fn a_compressed_file_is_left_as_it_is() {
    let body = gzip(LIST);
    assert_eq!(bytes(get(answer("200 OK", &["Content-Type: application/gzip"], &body)).await), body);
}

#[tokio::test]
async fn unknown_encodings_are_refused() {
    let brotli = answer("200 OK", &["Content-Encoding: br"], LIST);
    assert!(matches!(cause(brotli).await, Cause::UnknownEncoding(name) if name == "br"));
    let twice = answer("200 OK", &["Content-Encoding: gzip", "Content-Encoding: gzip"], &gzip(LIST));
    assert!(matches!(cause(twice).await, Cause::UnknownEncoding(name) if name == "gzip, gzip"));
}

#[tokio::test]
async fn whatever_is_cut_short_is_a_failure() {
    let short = Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n".to_vec());
    assert!(matches!(cause(short).await, Cause::Cut(_)));
    let chunked =
        Reply::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n192.0.2.1\n\r\n".to_vec());
    assert!(matches!(cause(chunked).await, Cause::Cut(_)));
    let mut body = gzip(LIST);
    body.truncate(body.len() - 4);
    assert!(matches!(cause(answer("200 OK", &["Content-Encoding: gzip"], &body)).await, Cause::Damaged(_)));
    assert!(matches!(cause(Reply::Raw(Vec::new())).await, Cause::Protocol(_)));
    assert!(matches!(cause(Reply::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())).await, Cause::Protocol(_)));
}

#[tokio::test]
async fn the_cap_holds_for_announced_sent_and_decoded_bytes() {
    let announced = Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n".to_vec());
    assert!(matches!(cause(announced).await, Cause::TooLarge(10_000)));
    let endless = Reply::Endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec());
    assert!(matches!(cause(endless).await, Cause::TooLarge(10_000)));
    let bomb = gzip(&[b'#'; 10_001]);
    assert!(matches!(
        cause(answer("200 OK", &["Content-Encoding: gzip"], &bomb)).await,
        Cause::TooLarge(10_000)
    ));
    assert_eq!(bytes(get(answer("200 OK", &[], &[b'#'; 10_000])).await).len(), 10_000);
}

#[tokio::test]
async fn only_200_and_an_asked_for_304_will_do() {
    for (status, advice) in [
        ("206 Partial Content", "check the address"),
        ("302 Found", "no usable new address"),
        ("404 Not Found", "look up where"),
        ("410 Gone", "look up where"),
        ("500 Internal Server Error", "fault is on its side"),
    ] {
        let error = get(answer(status, &[], b"404: Not Found")).await.unwrap_err();
        let Cause::Status { status: code, retry_after: None } = error.cause else { panic!("{error}") };
        assert!(status.starts_with(&code.to_string()));
        assert!(error.to_string().contains(advice), "{error}");
    }
    assert!(matches!(cause(answer("304 Not Modified", &[], b"")).await, Cause::UnaskedNotModified));
}

#[tokio::test]
async fn retry_after_is_handed_on() {
    let error = get(answer("429 Too Many Requests", &["Retry-After: 120"], b"")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    let error = get(answer("503 Service Unavailable", &["Retry-After: 7"], b"")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_web_page_is_not_a_list() {
    let page = answer("200 OK", &["Content-Type: Text/HTML; charset=utf-8"], b"<!doctype html>");
    assert!(matches!(cause(page).await, Cause::Html(kind) if kind == "text/html"));
}

#[tokio::test]
async fn slow_servers_are_left() {
    let limits = FetchLimits { timeout: Duration::from_millis(100), ..LIMITS };
    for (sent, expected) in [
        (&b""[..], Phase::Answer),
        (b"HTTP/1.1 200 OK\r\nContent-", Phase::Answer),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n", Phase::Body),
    ] {
        let server = Server::start([Reply::Stall(sent.to_vec())]).await;
        let source = Source::Url(server.url("list.txt"));
        let error = Fetcher::without_proxies().fetch(&source, &limits, None).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Timeout { phase, .. } if phase == expected), "{error}");
    }
}

#[tokio::test]
async fn closed_ports_and_unknown_names_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let fetch = async |url: String| {
        let source = Source::Url(url.parse().unwrap());
        Fetcher::without_proxies().fetch(&source, &LIMITS, None).await.unwrap_err()
    };
    let error = fetch(format!("http://{closed}/")).await;
    assert!(matches!(error.cause, Cause::Connect(_)), "{error}");
    // RFC 6761: never resolves.
    let error = fetch("http://feeds.invalid/".to_owned()).await;
    assert!(matches!(error.cause, Cause::Dns(_)), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_not_trusted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = Source::Url(format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap());
    let talks_first = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        // Read to the end: closing with unread bytes would reset the connection under the client.
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let error = Fetcher::without_proxies().fetch(&source, &LIMITS, None).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Tls(_) | Cause::NoTrustRoots(_)), "{error}");
    talks_first.abort();
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_counts_as_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = Source::Url(format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap());
    let error = Fetcher::without_proxies().fetch(&source, &LIMITS, None).await.unwrap_err();
    assert!(
        matches!(error.cause, Cause::Timeout { phase: Phase::Connect, .. } | Cause::NoTrustRoots(_)),
        "{error}"
    );
}

/// Runs itself again in a process whose certificate store is empty.
#[test]
fn without_ca_certificates_only_https_fails() {
    const CHILD: &str = "BLACKTHORN_TEST_WITHOUT_CERTIFICATES";
    if std::env::var_os(CHILD).is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "collector::tests::without_ca_certificates_only_https_fails", "--nocapture"])
            .env(CHILD, "1")
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let server = Server::start([answer("200 OK", &[], LIST)]).await;
        assert_eq!(bytes(fetch(&server, None).await), LIST);
        let source = Source::parse("https://127.0.0.1/list.txt", Path::new("/")).unwrap();
        let error = Fetcher::without_proxies().fetch(&source, &LIMITS, None).await.unwrap_err();
        assert!(matches!(error.cause, Cause::NoTrustRoots(_)), "{error}");
        assert!(error.to_string().contains("ca-certificates"), "{error}");
    });
}

fn moved(to: &str) -> Reply {
    answer("302 Found", &[&format!("Location: {to}")], b"moved")
}

#[tokio::test]
async fn redirects_on_one_host_are_followed_with_the_condition() {
    let server = Server::start([moved("/a/b?c=1"), moved("c"), answer("304 Not Modified", &[], b"")]).await;
    let validators = Validators { etag: Some("\"v1\"".to_owned()), last_modified: None };
    assert_eq!(fetch(&server, Some(&validators)).await.unwrap(), Fetched::NotModified);
    let [_, second, third] = server.requests().try_into().unwrap();
    assert!(second.starts_with("get /a/b?c=1 "), "{second}");
    assert!(third.starts_with("get /a/c "), "{third}");
    assert!(third.contains("if-none-match: \"v1\""), "{third}");
    assert!(!third.contains("referer"), "{third}");
}

#[tokio::test]
async fn what_fails_behind_a_redirect_is_told_of_the_place_behind_it() {
    let busy = answer("503 Service Unavailable", &["Retry-After: 7"], b"");
    let server = Server::start([moved("/elsewhere?token=s3cret"), busy]).await;
    let error = fetch(&server, None).await.unwrap_err();
    assert!(error.to_string().contains("/elsewhere?***: the server answered 503"), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn redirect_loops_end() {
    let server = Server::start(std::iter::repeat_n(moved("/again?token=s3cret"), 20)).await;
    let error = fetch(&server, None).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Redirect(Refusal::TooMany(_))), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert_eq!(server.requests().len(), 6, "the first request and five redirects");
}

#[tokio::test]
async fn redirects_into_the_own_network_are_refused() {
    for target in ["https://10.0.0.1/", "https://[::1]/", "https://localhost/"] {
        let refused = cause(moved(target)).await;
        assert!(matches!(refused, Cause::Redirect(Refusal::Private(_))), "{target}: {refused}");
    }
    // The very server that answers, under another name and without TLS.
    let server = Server::start([moved("http://localhost/"), answer("200 OK", &[], LIST)]).await;
    let refused = fetch(&server, None).await.unwrap_err().cause;
    assert!(matches!(refused, Cause::Redirect(Refusal::PlainNewHost(_))), "{refused}");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn redirects_to_nowhere_are_refused() {
    assert!(matches!(cause(moved("http://[")).await, Cause::Redirect(Refusal::Invalid(_))));
    assert!(matches!(cause(moved("file:///etc/passwd")).await, Cause::Redirect(Refusal::Scheme(_))));
}

// --- the runner -----------------------------------------------------------------------------------------------

const HOUR: Duration = Duration::from_secs(3600);

fn job(name: &str, path: &Path) -> FeedJob {
    FeedJob {
        id: FeedId::new(name).unwrap(),
        source: Source::Path(path.to_owned()),
        refresh: HOUR,
        limits: LIMITS,
        validators: None,
        first_attempt: FirstAttempt::Immediately,
    }
}

fn start(jobs: Vec<FeedJob>) -> (Runner, tokio::sync::mpsc::Receiver<Delivery>) {
    Runner::start(&Arc::new(Fetcher::without_proxies()), jobs, 1)
}

/// Is `wait` `minutes` long, give or take the jitter?
fn about(wait: Duration, minutes: u32) -> bool {
    let exact = Duration::from_secs(60) * minutes;
    wait >= exact * 89 / 100 && wait <= exact * 111 / 100
}

/// A file old enough for its times to prove that it did not change: this binary was built from it.
const SETTLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/collector/pace.rs");

#[tokio::test(start_paused = true)]
async fn a_committed_body_is_asked_for_conditionally() {
    let (_runner, mut deliveries) = start(vec![job("mine", Path::new(SETTLED))]);
    let began = Instant::now();
    let first = deliveries.recv().await.unwrap();
    assert_eq!(first.feed.as_str(), "mine");
    assert!(matches!(first.outcome, Ok(Fetched::Body { .. })));
    assert!(first.fetched_at > 1_700_000_000);
    first.ack.committed();
    assert!(began.elapsed() < Duration::from_secs(1));

    let second = deliveries.recv().await.unwrap();
    assert!(matches!(second.outcome, Ok(Fetched::NotModified)));
    assert!(about(began.elapsed(), 60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_not_kept_is_never_masked() {
    let (_runner, mut deliveries) = start(vec![job("mine", Path::new(SETTLED))]);
    let mut began = Instant::now();
    drop(deliveries.recv().await.unwrap());
    for minutes in [1, 2, 4] {
        let again = deliveries.recv().await.unwrap();
        assert!(matches!(again.outcome, Ok(Fetched::Body { .. })), "{:?}", again.outcome);
        assert!(about(began.elapsed(), minutes), "{:?}", began.elapsed());
        began = Instant::now();
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_is_fetched_again_at_the_regular_time() {
    let (_runner, mut deliveries) = start(vec![job("mine", Path::new(SETTLED))]);
    deliveries.recv().await.unwrap().ack.refused();
    let began = Instant::now();
    let again = deliveries.recv().await.unwrap();
    assert!(matches!(again.outcome, Ok(Fetched::Body { .. })));
    assert!(about(began.elapsed(), 60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_recover() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("late.txt");
    let (_runner, mut deliveries) = start(vec![job("late", &path)]);
    assert!(deliveries.recv().await.unwrap().outcome.is_err());
    let began = Instant::now();
    assert!(deliveries.recv().await.unwrap().outcome.is_err());
    assert!(about(began.elapsed(), 1), "{:?}", began.elapsed());

    std::fs::write(&path, LIST).unwrap();
    let found = deliveries.recv().await.unwrap();
    assert!(about(began.elapsed(), 3), "{:?}", began.elapsed());
    assert_eq!(bytes(found.outcome), LIST);
    found.ack.committed();
    let began = Instant::now();
    assert!(deliveries.recv().await.unwrap().outcome.is_ok());
    assert!(about(began.elapsed(), 60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_feed_holds_up_no_other() {
    let (_runner, mut deliveries) =
        start(vec![job("held", Path::new(SETTLED)), job("free", Path::new(SETTLED))]);
    let mut held = None;
    for _ in 0..5 {
        let delivery = deliveries.recv().await.unwrap();
        if delivery.feed.as_str() == "held" {
            assert!(held.replace(delivery).is_none(), "one body at a time");
        } else {
            delivery.ack.committed();
        }
    }
    assert!(held.is_some());
}

#[tokio::test(start_paused = true)]
async fn feeds_are_fetched_when_asked() {
    let quiet = FeedJob { first_attempt: FirstAttempt::AfterJitter, ..job("quiet", Path::new(SETTLED)) };
    let other = FeedJob { id: FeedId::new("other").unwrap(), ..quiet.clone() };
    let (runner, mut deliveries) = start(vec![quiet, other]);
    let began = Instant::now();
    let id = FeedId::new("quiet").unwrap();
    assert_eq!(runner.refresh_now(Some(&id)), 1);
    let delivery = deliveries.recv().await.unwrap();
    assert_eq!(delivery.feed, id);
    delivery.ack.committed();
    assert_eq!(runner.refresh_now(None), 2);
    let mut asked: Vec<String> = Vec::new();
    for _ in 0..2 {
        let delivery = deliveries.recv().await.unwrap();
        asked.push(delivery.feed.to_string());
        delivery.ack.committed();
    }
    asked.sort();
    assert_eq!(asked, ["other", "quiet"]);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(runner.refresh_now(Some(&FeedId::new("nobody").unwrap())), 0);
}

#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_anything() {
    let (runner, mut deliveries) =
        start(vec![job("waiting", Path::new(SETTLED)), job("asleep", Path::new("/nonexistent"))]);
    let first = deliveries.recv().await.unwrap();
    let second = deliveries.recv().await.unwrap();
    let began = Instant::now();
    runner.stop().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(deliveries.recv().await.is_none());
    drop((first, second));
}

#[tokio::test]
async fn the_runner_fetches_over_http_and_remembers_what_was_committed() {
    let script = [answer("200 OK", &["ETag: \"v2\""], LIST), answer("304 Not Modified", &[], b"")];
    let server = Server::start(script).await;
    let job = FeedJob {
        source: Source::Url(server.url("list.txt")),
        validators: Some(Validators { etag: Some("\"v1\"".to_owned()), last_modified: None }),
        ..job("web", Path::new("/"))
    };
    let (runner, mut deliveries) = start(vec![job]);
    let first = deliveries.recv().await.unwrap();
    assert_eq!(bytes(first.outcome), LIST);
    first.ack.committed();
    runner.refresh_now(None);
    assert!(matches!(deliveries.recv().await.unwrap().outcome, Ok(Fetched::NotModified)));
    let [first, second] = server.requests().try_into().unwrap();
    assert!(first.contains("if-none-match: \"v1\""), "{first}");
    assert!(second.contains("if-none-match: \"v2\""), "{second}");
    runner.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_silence_gets_it() {
    let script = [answer("429 Too Many Requests", &["Retry-After: 7200"], b""), answer("200 OK", &[], LIST)];
    let server = Server::start(script).await;
    let (_runner, mut deliveries) =
        start(vec![FeedJob { source: Source::Url(server.url("list.txt")), ..job("web", Path::new("/")) }]);
    assert!(deliveries.recv().await.unwrap().outcome.is_err());
    let began = Instant::now();
    assert_eq!(bytes(deliveries.recv().await.unwrap().outcome), LIST);
    assert!(began.elapsed() >= Duration::from_secs(7200), "{:?}", began.elapsed());
}

#[tokio::test]
async fn stop_cuts_a_fetch_short() {
    let server = Server::start([Reply::Stall(b"HTTP/1.1 200 OK\r\n".to_vec())]).await;
    let (runner, mut deliveries) =
        start(vec![FeedJob { source: Source::Url(server.url("list.txt")), ..job("web", Path::new("/")) }]);
    while server.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    runner.stop().await;
    assert!(began.elapsed() < LIMITS.timeout / 2, "{:?}", began.elapsed());
    assert!(deliveries.recv().await.is_none());
}
