//! Asks a server for a feed: conditional requests, caps, redirects under our rules. Home of reqwest and rustls.

use super::encoding::{ACCEPTED, Encoding};
use super::error::{Cause, FetchError, Phase};
use super::redirect::{MAX_REDIRECTS, NotPublic, PublicOnly, Refusal, is_public, judge};
use super::{FetchLimits, Fetched};
use crate::config::source::mask;
use crate::core::validators::Validators;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, ClientBuilder, Response, StatusCode};
use std::collections::HashSet;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Longest wait for name lookup, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// No fetch takes longer than this, whatever its limits say; also keeps the deadline computable.
const LONGEST_FETCH: Duration = Duration::from_secs(24 * 3600);
/// Longest validator kept; longer ones are not worth asking with.
const MAX_VALIDATOR: usize = 1024;

/// The HTTP client.
#[derive(Debug)]
pub(super) struct Http {
    /// Goes to configured hosts, wherever they are.
    direct: Client,
    /// Goes where a server sent us, but only to public addresses.
    guarded: Client,
    /// Why nobody is trusted over https, if so.
    no_roots: Option<String>,
}

/// Which proxies are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxies {
    /// Those of the usual environment variables.
    Environment,
    /// None.
    #[cfg(test)]
    None,
}

impl Http {
    pub(super) fn new(proxies: Proxies) -> Result<Self, FetchError> {
        // Fails only when some provider is installed already, which will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: reqwest::Error| FetchError {
            place: "HTTP client".to_owned(),
            cause: Cause::Internal(root_cause(&error)),
        };
        let guard = Arc::new(PublicOnly { proxies: proxy_hosts() });
        let guarded = |builder: ClientBuilder| builder.dns_resolver(Arc::clone(&guard));
        match client(proxies).build() {
            Ok(direct) => {
                let guarded = guarded(client(proxies)).build().map_err(failed)?;
                Ok(Self { direct, guarded, no_roots: None })
            }
            Err(error) => {
                let untrusting = || client(proxies).tls_certs_only([]);
                Ok(Self {
                    direct: untrusting().build().map_err(failed)?,
                    guarded: guarded(untrusting()).build().map_err(failed)?,
                    no_roots: Some(root_cause(&error)),
                })
            }
        }
    }

    /// Fetches `home` and wherever it leads.
    pub(super) async fn get(
        &self,
        home: &Url,
        limits: &FetchLimits,
        validators: Option<&Validators>,
    ) -> Result<Fetched, Cause> {
        let mut at = home.clone();
        let outcome = self.exchange(home, &mut at, limits, validators).await;
        outcome.map_err(|cause| match cause {
            // It says itself what it is about.
            Cause::Redirect(_) => cause,
            _ if at == *home => cause,
            _ => Cause::Elsewhere { place: mask(&at).to_string(), cause: Box::new(cause) },
        })
    }

    /// As [`Self::get`]; `at` is moved along to the address that was asked last.
    async fn exchange(
        &self,
        home: &Url,
        at: &mut Url,
        limits: &FetchLimits,
        validators: Option<&Validators>,
    ) -> Result<Fetched, Cause> {
        let deadline = Instant::now() + limits.timeout.min(LONGEST_FETCH);
        let late = |phase| Cause::Timeout { phase, limit: limits.timeout };
        let condition = validators.map(condition).unwrap_or_default();
        let following = self.follow(home, at, &condition);
        let response = timeout_at(deadline, following).await.map_err(|_| late(Phase::Answer))??;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if !condition.is_empty() => return Ok(Fetched::NotModified),
            StatusCode::NOT_MODIFIED => return Err(Cause::UnaskedNotModified),
            status => {
                let retry_after = header(&response, RETRY_AFTER).and_then(retry_after);
                return Err(Cause::Status { status: status.as_u16(), retry_after });
            }
        }
        refuse_html(&response)?;
        let encoding = Encoding::from_header(&content_encoding(&response))?;
        let validators = Validators {
            etag: validator(&response, ETAG),
            last_modified: validator(&response, LAST_MODIFIED),
        };

        let max_bytes = limits.max_bytes;
        let reading = read_capped(response, max_bytes);
        let body = timeout_at(deadline, reading).await.map_err(|_| late(Phase::Body))??;
        let bytes = match encoding {
            Encoding::Identity => body,
            // Up to seconds of work for a large list, so not on a thread that answers others.
            _ => tokio::task::spawn_blocking(move || encoding.decode(body, max_bytes))
                .await
                .map_err(|lost| Cause::Internal(lost.to_string()))??,
        };
        Ok(Fetched::Body { bytes, validators })
    }

    /// The first answer that is not a redirect.
    async fn follow(&self, home: &Url, url: &mut Url, condition: &HeaderMap) -> Result<Response, Cause> {
        let mut client = &self.direct;
        let mut home_is_public = true;
        for hop in 0..=MAX_REDIRECTS {
            if let (Some(reason), "https") = (&self.no_roots, url.scheme()) {
                return Err(Cause::NoTrustRoots(reason.clone()));
            }
            let request = client.get(url.clone()).headers(condition.clone());
            let response = request.send().await.map_err(|error| explain_failed_request(error, url))?;
            let Some(next) = redirect_target(&response, url)? else { return Ok(response) };
            judge(home, url, &next)?;
            if hop == 0 {
                home_is_public = response.remote_addr().is_none_or(|address| is_public(address.ip()));
            }
            // A source in the own network may send us round on its own host; from anywhere else, names have to prove
            // themselves again, even the first one: its owner may answer with a private address the second time.
            let at_home = next.host() == home.host() && !home_is_public;
            client = if at_home { &self.direct } else { &self.guarded };
            *url = next;
        }
        Err(Refusal::TooMany(mask(url).to_string()).into())
    }
}

fn client(proxies: Proxies) -> ClientBuilder {
    let builder = Client::builder()
        .user_agent(concat!("blackthorn/", env!("CARGO_PKG_VERSION")))
        .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED))]))
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        // Hours pass between requests, so connections are not worth keeping.
        .pool_max_idle_per_host(0);
    match proxies {
        Proxies::Environment => builder,
        #[cfg(test)]
        Proxies::None => builder.no_proxy(),
    }
}

/// Host names of the proxies in the environment, as reqwest reads it.
fn proxy_hosts() -> HashSet<String> {
    ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .filter_map(|value| proxy_host(&value))
        .collect()
}

fn proxy_host(value: &str) -> Option<String> {
    let url = if value.contains("://") { value.parse() } else { format!("http://{value}").parse::<Url>() };
    Some(url.ok()?.host_str()?.to_owned())
}

fn condition(validators: &Validators) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)] {
        if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

fn header(response: &Response, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

fn validator(response: &Response, name: HeaderName) -> Option<String> {
    header(response, name)
        .filter(|value| !value.is_empty() && value.len() <= MAX_VALIDATOR)
        .map(str::to_owned)
}

/// All Content-Encoding lines as one list (RFC 9110 section 5.3).
fn content_encoding(response: &Response) -> String {
    let lines = response.headers().get_all(CONTENT_ENCODING).iter();
    lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()).collect::<Vec<_>>().join(", ")
}

/// No format of ours is a web page, so one is a challenge, a login form or an error (G01).
fn refuse_html(response: &Response) -> Result<(), Cause> {
    let content_type = header(response, CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/html" | "application/xhtml+xml" => Err(Cause::Html(essence)),
        _ => Ok(()),
    }
}

fn redirect_target(response: &Response, from: &Url) -> Result<Option<Url>, Refusal> {
    let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| follows) else { return Ok(None) };
    let text = str::from_utf8(location.as_bytes()).map_err(|error| Refusal::Invalid(error.to_string()))?;
    from.join(text).map(Some).map_err(|error| Refusal::Invalid(error.to_string()))
}

/// Reads Retry-After: seconds, or a date (RFC 9110 section 10.2.3). A date in the past is no wait.
fn retry_after(value: &str) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More seconds than fit are capped by the schedule anyway.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    let wait = until.duration_since(jiff::Timestamp::now());
    Some(wait.try_into().unwrap_or(Duration::ZERO))
}

async fn read_capped(mut response: Response, max_bytes: u64) -> Result<Vec<u8>, Cause> {
    if response.content_length().is_some_and(|announced| announced > max_bytes) {
        return Err(Cause::TooLarge(max_bytes));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Cause::Cut(root_cause(&error)))? {
        if (body.len() + chunk.len()) as u64 > max_bytes {
            return Err(Cause::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Sorts the library's error by what an operator can do about it.
fn explain_failed_request(error: reqwest::Error, url: &Url) -> Cause {
    let error = error.without_url();
    if chain(&error).any(<dyn Error>::is::<NotPublic>) {
        return Refusal::Private(mask(url).to_string()).into();
    }
    if let Some(tls) = chain(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return Cause::Tls(tls.to_string());
    }
    match error {
        e if e.is_connect() && e.is_timeout() => {
            Cause::Timeout { phase: Phase::Connect, limit: CONNECT_TIMEOUT }
        }
        e if e.is_dns() => Cause::Dns(root_cause(&e)),
        e if e.is_connect() => Cause::Connect(root_cause(&e)),
        e => Cause::Protocol(root_cause(&e)),
    }
}

/// The error and all that is below it. I/O errors hide what they wrap, TLS errors among it, so they are opened.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

/// The innermost error: the outer ones say "error sending request" and the like.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_seconds_or_as_a_date() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let wait = retry_after("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
        assert!(wait > Duration::from_secs(365 * 24 * 3600), "{wait:?}");
        for nonsense in ["", "-5", "soon", "1.5", "9".repeat(5000).replace('9', "x").as_str()] {
            assert_eq!(retry_after(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn proxies_are_named_with_and_without_scheme() {
        assert_eq!(proxy_host("http://user:pw@proxy.example:3128/").as_deref(), Some("proxy.example"));
        assert_eq!(proxy_host("proxy.example:3128").as_deref(), Some("proxy.example"));
        assert_eq!(proxy_host(""), None);
    }
}
