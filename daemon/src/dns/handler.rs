//! Handler: one message in, at most one reply out. No waiting and no I/O; all transports share it.
//!
//! A worker takes a [`Turn`] for each batch of messages: one look at the clock, the generation and the settings. Within it,
//! [`Query::read`] settles what is no query; then come version, cookie and signature; only then is the generation asked.
//! How often a client is answered is settled last, when it is known what would be said. Work is bounded by the length of
//! the message.

use super::counting::{of_rcode, of_transport, of_type};
use super::query_log::{Line, LoggedName};
use super::serving::Serving;
use super::wire::{self, Opt};
use crate::core::answer::{Answer, Decision, Question, Rcode, Records, Transport, answer};
use crate::core::cookie::{self, Cookie};
use crate::core::policy::{Admission, Asker};
use crate::core::query::{Echo, Edns, Fault, Head, Query};
use crate::core::quota::Standing;
use crate::core::rate::{Kind, Verdict};
use crate::core::view::View;
use crate::live::{Latest, Live};
use crate::stats::{Shard, Stats};
use arc_swap::Guard;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// Largest reply over UDP to a query without OPT (RFC 1035 section 4.2.1).
const MAX_PLAIN: u16 = 512;
/// Largest message on a connection.
const MAX_STREAM: usize = 65_535;
/// Source ports whose services answer anything, or of which no query comes: unset, echo, daytime, chargen, time.
const LOOP_PORTS: [u16; 5] = [0, 7, 13, 19, 37];
/// kpasswd answers errors with errors.
const ERROR_LOOP_PORT: u16 = 464;

/// Answers messages from the live generation and counts what it does.
#[derive(Debug)]
pub struct Handler {
    live: Live,
    stats: Arc<Stats>,
    serving: Latest<Serving>,
    /// For messages on connections, and where no worker counts for itself.
    shared: Arc<Shard>,
    /// For questions of our own.
    uncounted: Arc<Shard>,
    started: Instant,
}

/// The time of a batch of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Milliseconds since the start, of a clock that only goes forward.
    pub millis: u64,
}

/// Tells the time of batches from one look at a clock each; that of the day is looked up once in a second.
#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    /// When it was set, and the milliseconds since 1970 at that time.
    set: Option<(Instant, u64)>,
}

impl Clock {
    /// The time at `at`, which is now.
    pub(super) fn now(&mut self, at: Instant) -> Now {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let still = self.set.map(|(set, unix_ms)| (at.duration_since(set), unix_ms));
        let unix_ms = match still.filter(|(since, _)| *since < Duration::from_secs(1)) {
            Some((since, unix_ms)) => unix_ms.saturating_add(millis(since)),
            None => {
                let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
                self.set = Some((at, unix_ms));
                unix_ms
            }
        };
        Now { unix_ms, millis: millis(at.duration_since(self.started)) }
    }
}

impl Now {
    /// Seconds since 1970.
    fn unix(self) -> u64 {
        self.unix_ms / 1000
    }
}

impl Handler {
    /// Answers everybody what `live` publishes, until it is told otherwise, and counts in `stats`.
    pub fn new(live: Live, stats: Arc<Stats>) -> Self {
        let (shared, uncounted) = (stats.shard(false), Stats::default().shard(false));
        Self { live, stats, serving: Latest::default(), shared, uncounted, started: Instant::now() }
    }

    /// Serves with other settings from the next batch on.
    pub fn configure(&self, serving: Serving) {
        self.serving.publish(Arc::new(serving));
    }

    /// Serves with settings that were in force before.
    pub(super) fn configure_again(&self, serving: Arc<Serving>) {
        self.serving.publish(serving);
    }

    /// The settings in force.
    pub(super) fn serving(&self) -> Arc<Serving> {
        self.serving.get()
    }

    /// Replaces `out` by the reply to one message, counting with all who do not count for themselves; `false`: there is
    /// none.
    pub fn respond(
        &self,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> bool {
        self.turn(&self.shared, self.now()).respond(message, client, transport, out)
    }

    /// The time of a batch that begins now.
    pub fn now(&self) -> Now {
        self.clock().now(Instant::now())
    }

    /// A clock for a worker.
    pub(super) fn clock(&self) -> Clock {
        Clock { started: self.started, set: None }
    }

    /// Counters of all who do not count for themselves.
    pub(super) fn counters(&self) -> &Shard {
        &self.shared
    }

    /// Counters for a worker; see [`Stats::shard`].
    pub fn shard(&self, alone: bool) -> Arc<Shard> {
        self.stats.shard(alone)
    }

    /// What the next messages are answered with. To be kept no longer than a batch: it keeps a generation.
    pub fn turn<'h>(&'h self, shard: &'h Shard, now: Now) -> Turn<'h> {
        Turn { handler: self, view: self.live.load(), serving: self.serving.load(), shard, now }
    }
}

/// A generation and settings, for the messages of one batch.
#[derive(Debug)]
pub struct Turn<'h> {
    handler: &'h Handler,
    view: Guard<Option<Arc<View>>>,
    serving: Guard<Arc<Serving>>,
    shard: &'h Shard,
    now: Now,
}

impl Turn<'_> {
    /// How long a busy worker waits for more datagrams before it looks for them.
    pub(super) fn coalesce(&self) -> Duration {
        self.serving.coalesce
    }

    /// Replaces `out` by the reply to `message`; `false`: there is none.
    pub fn respond(
        &self,
        message: &[u8],
        client: SocketAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> bool {
        let read = Query::read(message, transport);
        let ourselves = read.as_ref().is_ok_and(|query| self.is_ours(query));
        let shard = if ourselves { &*self.handler.uncounted } else { self.shard };
        let request = Request { turn: self, client, transport, shard, ourselves };
        shard.count(|dns| of_transport(dns, transport));
        if transport.is_datagram() && LOOP_PORTS.contains(&client.port()) {
            shard.count(|dns| &dns.dropped.port);
            return false;
        }
        match read {
            Ok(query) => request.answer(&query, out),
            Err(Fault::Unanswerable) => {
                shard.count(|dns| &dns.dropped.no_query);
                false
            }
            // RFC 8906 section 8.1.4: no other bit is repeated.
            Err(Fault::Opcode(head)) => {
                request.bare(Head { recursion_desired: false, ..head }, Rcode::NotImp, out)
            }
            Err(Fault::Question(head)) => request.bare(head, Rcode::FormErr, out),
            Err(Fault::CookieOnly { head, edns }) => request.cookie_only(head, edns, out),
            Err(Fault::Records { head, question, octets, edns }) => {
                let echo = Echo { name: &question.name, octets };
                let reply = Reply { head, echo, edns, cookie: None };
                request.error(&reply, Rcode::FormErr, out)
            }
        }
    }

    /// Is it a question of the verifier? Then it knows what nobody else does.
    fn is_ours(&self, query: &Query<'_>) -> bool {
        let pass = query.edns.and_then(|edns| edns.pass);
        pass.zip(self.serving.pass).is_some_and(|(shown, own)| own.ct_eq(shown).into())
    }
}

/// One message.
#[derive(Clone, Copy)]
struct Request<'t> {
    turn: &'t Turn<'t>,
    client: SocketAddr,
    transport: Transport,
    shard: &'t Shard,
    ourselves: bool,
}

/// What a reply repeats of its query.
struct Reply<'p> {
    head: Head,
    echo: Echo<'p>,
    edns: Option<Edns<'p>>,
    cookie: Option<Cookie>,
}

impl<'t> Request<'t> {
    fn answer(self, query: &Query<'_>, out: &mut Vec<u8>) -> bool {
        let Query { head, question, edns, signed, .. } = query;
        let (edns, signed) = (*edns, *signed);
        let known = edns.filter(|edns| edns.version == 0);
        let reply = Reply { head: *head, echo: query.echo(), edns, cookie: self.cookie(known) };
        let refused = match (edns, reply.cookie) {
            (Some(Edns { version: 1.., .. }), _) => Some(Rcode::BadVers),
            (_, Some(Cookie::Malformed)) => Some(Rcode::FormErr),
            _ => signed.then_some(Rcode::NotAuth),
        };
        if let Some(rcode) = refused {
            return self.error(&reply, rcode, out);
        }
        self.shard.count(|dns| of_type(&dns.types, question.qtype));
        let asker = Asker {
            client: self.client.ip(),
            now: self.turn.now.unix(),
            policy: &self.turn.serving.policy,
            ourselves: self.ourselves,
        };
        let decision = answer(question, self.turn.view.as_deref(), &asker);
        self.count(&decision);
        self.log(question, &decision);
        match decision.answer {
            Some(answer) => self.send(&reply, &answer, out),
            None => self.ignore(),
        }
    }

    /// A query that only wants a cookie (RFC 7873 section 5.4).
    fn cookie_only(self, head: Head, edns: Edns<'_>, out: &mut Vec<u8>) -> bool {
        let cookie = self.cookie(Some(edns));
        let rcode = match cookie {
            None | Some(Cookie::Malformed) => return self.bare(head, Rcode::FormErr, out),
            Some(Cookie::Invalid(_)) => Rcode::BadCookie,
            Some(Cookie::ClientOnly(_) | Cookie::Valid(_)) => Rcode::NoError,
        };
        let valid = matches!(cookie, Some(Cookie::Valid(_)));
        if self.is_ignored() {
            return self.ignore();
        }
        if !valid && self.limit(Kind::Error) != Verdict::Send {
            return self.suppressed();
        }
        self.shard.count(|dns| of_rcode(&dns.rcodes, rcode));
        wire::unasked(out, head, rcode, self.opt(edns, cookie));
        true
    }

    /// Judges the cookie of a query, if it has one and we have secrets.
    fn cookie(self, edns: Option<Edns<'_>>) -> Option<Cookie> {
        let cookie = self.turn.serving.check(edns?.cookie, self.client.ip(), self.turn.now.unix())?;
        self.shard.count(|dns| match cookie {
            Cookie::Malformed => &dns.cookies.malformed,
            Cookie::ClientOnly(_) => &dns.cookies.first,
            Cookie::Invalid(_) => &dns.cookies.invalid,
            Cookie::Valid(_) => &dns.cookies.valid,
        });
        Some(cookie)
    }

    /// Sends an error that is one for every client, but those that are ignored.
    fn error(self, reply: &Reply<'_>, rcode: Rcode, out: &mut Vec<u8>) -> bool {
        if self.is_ignored() { self.ignore() } else { self.send(reply, &without_data(rcode), out) }
    }

    /// Does the server, going by its own list, not answer this client at all?
    fn is_ignored(self) -> bool {
        !self.ourselves && self.turn.serving.policy.clients.ignores(self.client.ip())
    }

    fn ignore(self) -> bool {
        self.shard.count(|dns| &dns.dropped.access);
        false
    }

    /// Sends a header, if errors may be sent.
    fn bare(self, head: Head, rcode: Rcode, out: &mut Vec<u8>) -> bool {
        if self.is_ignored() {
            return self.ignore();
        }
        if self.client.port() == ERROR_LOOP_PORT {
            self.shard.count(|dns| &dns.dropped.port);
            return false;
        }
        if self.limit(Kind::Error) != Verdict::Send {
            return self.suppressed();
        }
        self.shard.count(|dns| of_rcode(&dns.rcodes, rcode));
        wire::bare(out, head, rcode);
        true
    }

    /// Sends an answer, or what the limits make of it.
    fn send(self, reply: &Reply<'_>, answer: &Answer<'_>, out: &mut Vec<u8>) -> bool {
        let kind = kind(answer.rcode);
        if kind == Kind::Error && self.client.port() == ERROR_LOOP_PORT {
            self.shard.count(|dns| &dns.dropped.port);
            return false;
        }
        let valid = matches!(reply.cookie, Some(Cookie::Valid(_)));
        let verdict = if valid { Verdict::Send } else { self.limit(kind) };
        let opt = reply.edns.map(|edns| self.opt(edns, reply.cookie));
        match (verdict, reply.cookie) {
            (Verdict::Drop, _) => return self.suppressed(),
            (Verdict::Slip, cookie) => {
                self.shard.count(|dns| &dns.slipped);
                // Who has a cookie mended comes through over UDP, all others over TCP.
                let wants_cookie = matches!(cookie, Some(Cookie::ClientOnly(_) | Cookie::Invalid(_)));
                let rcode = if wants_cookie { Rcode::BadCookie } else { answer.rcode };
                self.shard.count(|dns| of_rcode(&dns.rcodes, rcode));
                if wants_cookie {
                    let limit = self.max_reply(reply.edns);
                    wire::reply(out, reply.head, reply.echo, &without_data(rcode), opt, limit);
                } else {
                    wire::truncated(out, reply.head, reply.echo, answer, opt);
                }
            }
            (Verdict::Send, _) => {
                self.shard.count(|dns| of_rcode(&dns.rcodes, answer.rcode));
                if wire::reply(out, reply.head, reply.echo, answer, opt, self.max_reply(reply.edns)) {
                    self.shard.count(|dns| &dns.truncated);
                }
            }
        }
        true
    }

    fn suppressed(self) -> bool {
        self.shard.count(|dns| &dns.dropped.rate);
        false
    }

    /// What the limits say. Only datagrams come from forged addresses.
    fn limit(self, kind: Kind) -> Verdict {
        if !self.transport.is_datagram() || self.ourselves {
            return Verdict::Send;
        }
        self.turn.serving.limit(self.client.ip(), kind, self.turn.now.millis)
    }

    fn opt(self, edns: Edns<'_>, cookie: Option<Cookie>) -> Opt<'t> {
        let serving = &self.turn.serving;
        let cookie: Option<[u8; cookie::REPLY]> = cookie.and_then(|cookie| cookie.reply().copied());
        Opt {
            size: serving.udp_size,
            dnssec_ok: edns.dnssec_ok,
            nsid: serving.nsid.as_deref().filter(|_| edns.nsid),
            cookie,
            keepalive: Some(serving.idle).filter(|_| edns.keepalive && self.transport.has_keepalive()),
            padding: edns.padding && self.transport.is_encrypted(),
        }
    }

    /// Octets a reply may have.
    fn max_reply(self, edns: Option<Edns<'_>>) -> usize {
        match edns {
            _ if !self.transport.is_datagram() => MAX_STREAM,
            None => MAX_PLAIN.into(),
            Some(edns) => edns.size.clamp(MAX_PLAIN, self.turn.serving.udp_size).into(),
        }
    }

    fn count(self, decision: &Decision<'_>) {
        let shard = self.shard;
        let listed = decision.answer.and_then(|answer| answer.listed);
        match listed {
            Some(true) => shard.count(|dns| &dns.listed),
            Some(false) => shard.count(|dns| &dns.not_listed),
            None => {}
        }
        for feed in decision.answer.iter().flat_map(|answer| answer.feeds) {
            let part = self.turn.view.as_ref().and_then(|view| view.generation.part(*feed));
            let slot = part.and_then(|part| self.turn.serving.feed_slot(*feed, &part.id));
            if let Some(slot) = slot {
                shard.count_feed(slot);
            }
        }
        let slot = decision.zone.and_then(|(number, zone)| self.turn.serving.zone_slot(number, zone));
        if let Some(slot) = slot {
            shard.count_zone(slot, |zone| &zone.questions);
            match (listed, decision.answer.map(|answer| answer.rcode)) {
                (Some(true), _) => shard.count_zone(slot, |zone| &zone.listed),
                (Some(false), _) => shard.count_zone(slot, |zone| &zone.not_listed),
                (None, Some(Rcode::Refused | Rcode::ServFail)) => {
                    shard.count_zone(slot, |zone| &zone.refused);
                }
                _ => {}
            }
        }
        let admitted = &decision.admitted;
        match admitted.admission {
            Admission::Full if admitted.key.is_some() => shard.count(|dns| &dns.access.keyed),
            Admission::Full => {}
            Admission::Empty => shard.count(|dns| &dns.access.emptied),
            Admission::Coded(_) => shard.count(|dns| &dns.access.coded),
            Admission::Refused if admitted.standing.is_some() => shard.count(|dns| &dns.access.quota),
            Admission::Refused => shard.count(|dns| &dns.access.refused),
            Admission::Ignored => {}
        }
        if let Some(standing) = admitted.standing {
            self.tell_of_quota(standing, admitted.key.map(|key| key.name));
        }
    }

    /// Leaves a line for the query log, if there is one.
    fn log(self, question: &Question<'_>, decision: &Decision<'_>) {
        let Some(log) = self.turn.serving.query_log.as_ref().filter(|_| !self.ourselves) else { return };
        if !log.wants(of_transport(self.shard, self.transport).get()) {
            return;
        }
        let line = Line {
            at: self.turn.now.unix_ms,
            client: self.client,
            transport: self.transport,
            name: LoggedName::new(&question.name, decision.admitted.secret),
            qtype: question.qtype,
            rcode: decision.answer.map(|answer| answer.rcode),
            listed: decision.answer.and_then(|answer| answer.listed),
        };
        if !log.note(line) {
            self.shard.count(|dns| &dns.unlogged);
        }
    }

    /// Says once in a period that a quota comes to its end, and once that it has.
    fn tell_of_quota(self, standing: Standing, key: Option<&str>) {
        let client = self.client.ip();
        let key = key.unwrap_or("-");
        match standing {
            Standing::Within | Standing::Refused => {}
            Standing::Uncounted => self.shard.count(|dns| &dns.access.uncounted),
            Standing::Near => tracing::info!(%client, key, "dns quota: 80 % used"),
            Standing::Over => tracing::warn!(%client, key, "dns quota: used up, answering on for 5 minutes"),
            Standing::Spent => {
                tracing::warn!(%client, key, "dns quota: used up, refusing until it is renewed");
            }
        }
    }
}

/// A reply that says nothing of its question.
fn without_data(rcode: Rcode) -> Answer<'static> {
    Answer {
        rcode,
        authoritative: false,
        records: Records::None,
        ttl: 0,
        authority: None,
        ede: None,
        listed: None,
        feeds: &[],
    }
}

/// Which limit holds for a reply.
fn kind(rcode: Rcode) -> Kind {
    match rcode {
        Rcode::NoError | Rcode::NxDomain | Rcode::ServFail => Kind::Answer,
        Rcode::FormErr
        | Rcode::NotImp
        | Rcode::Refused
        | Rcode::NotAuth
        | Rcode::BadVers
        | Rcode::BadCookie => Kind::Error,
    }
}

#[cfg(test)]
mod tests;
