//! Connections: who holds one, and which is closed when there are too many.
//!
//! New clients never wait for old ones: one connection above a bound closes the one that was silent for the longest
//! time, of the same client if it is the client's bound. What is silent is a connection without a whole question;
//! octets that trickle in do not count.

use super::message::LARGE_AT_A_TIME;
use crate::config::ConnectionLimits;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Connections of all transports and addresses.
#[derive(Debug)]
pub(super) struct Connections {
    /// What the times in `heard` are relative to.
    start: Instant,
    idle_ns: AtomicU64,
    table: Mutex<Table>,
    /// Permits for large messages, where a connection carries several at a time.
    large: Arc<Semaphore>,
}

#[derive(Debug)]
struct Table {
    limits: ConnectionLimits,
    clients: HashMap<Client, Vec<Arc<Held>>>,
    count: usize,
}

/// Whom connections are counted for. An IPv6 site has at least a /64, and all of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(Ipv4Addr),
    V6(u64),
}

/// A connection, as far as others must know it.
#[derive(Debug)]
struct Held {
    /// Nanoseconds from the start to its last whole question, or else to its begin.
    heard_ns: AtomicU64,
    close: Notify,
}

/// The right to a connection. Dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Seat {
    connections: Arc<Connections>,
    client: Client,
    held: Arc<Held>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let table = Table { limits, clients: HashMap::new(), count: 0 };
        let connections = Self {
            start: Instant::now(),
            idle_ns: AtomicU64::new(0),
            table: Mutex::new(table),
            large: Arc::new(Semaphore::new(LARGE_AT_A_TIME)),
        };
        connections.set_limits(limits);
        connections
    }

    /// Bounds from now on. Those above them go as new ones come.
    pub(super) fn set_limits(&self, limits: ConnectionLimits) {
        self.idle_ns.store(nanos(limits.idle), Ordering::Relaxed);
        self.table().limits = limits;
    }

    /// How long a connection may be silent.
    pub(super) fn idle(&self) -> Duration {
        Duration::from_nanos(self.idle_ns.load(Ordering::Relaxed))
    }

    /// A seat for a new connection, and how many others were closed for it.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> (Seat, u64) {
        let client = Client::of(client);
        let held = Arc::new(Held { heard_ns: AtomicU64::new(self.now_ns()), close: Notify::new() });
        let mut table = self.table();
        let closed = table.make_room(client);
        table.clients.entry(client).or_default().push(Arc::clone(&held));
        table.count += 1;
        drop(table);
        (Seat { connections: Arc::clone(self), client, held }, closed)
    }

    /// Closes the connection that was silent for the longest time, because the system has no room for another; says
    /// whether there was one.
    pub(super) fn close_quietest(&self) -> bool {
        self.table().close_quietest(None)
    }

    /// Is more than half of the room taken, of all or of this client?
    pub(super) fn is_crowded(&self, client: IpAddr) -> bool {
        let table = self.table();
        let held = table.held(Client::of(client));
        table.count > table.limits.total / 2 || held > table.limits.per_client / 2
    }

    /// Permits for large messages.
    pub(super) fn large(&self) -> &Arc<Semaphore> {
        &self.large
    }

    fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Closes connections until one more of this client is within the bounds; says how many.
    fn make_room(&mut self, client: Client) -> u64 {
        let mut closed = 0;
        while self.held(client) >= self.limits.per_client && self.close_quietest(Some(client)) {
            closed += 1;
        }
        while self.count >= self.limits.total && self.close_quietest(None) {
            closed += 1;
        }
        closed
    }

    /// How many connections a client has.
    fn held(&self, client: Client) -> usize {
        self.clients.get(&client).map_or(0, Vec::len)
    }

    /// Closes the quietest connection, of one client or of all. Looks at each of them, which only overload makes it do.
    fn close_quietest(&mut self, client: Option<Client>) -> bool {
        let found = match client {
            Some(client) => self.clients.get(&client).and_then(|held| Some((client, quietest(held)?))),
            None => self
                .clients
                .iter()
                .filter_map(|(client, held)| Some((*client, quietest(held)?)))
                .min_by_key(|(_, held)| held.heard_ns.load(Ordering::Relaxed)),
        };
        let Some((client, held)) = found.map(|(client, held)| (client, Arc::clone(held))) else {
            return false;
        };
        held.close.notify_one();
        self.remove(client, &held);
        true
    }

    /// Forgets a connection; one that was closed is forgotten already.
    fn remove(&mut self, client: Client, gone: &Arc<Held>) {
        let Some(held) = self.clients.get_mut(&client) else { return };
        let Some(at) = held.iter().position(|held| Arc::ptr_eq(held, gone)) else { return };
        held.swap_remove(at);
        self.count -= 1;
        if held.is_empty() {
            self.clients.remove(&client);
        }
    }
}

fn quietest(held: &[Arc<Held>]) -> Option<&Arc<Held>> {
    held.iter().min_by_key(|held| held.heard_ns.load(Ordering::Relaxed))
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

impl Seat {
    /// Notes a whole question.
    pub(super) fn heard(&self) {
        // Relaxed: nothing else is read by it.
        self.held.heard_ns.store(self.connections.now_ns(), Ordering::Relaxed);
    }

    /// When the connection has been silent for too long, unless a question comes before.
    pub(super) fn silent_at(&self) -> Instant {
        let heard = Duration::from_nanos(self.held.heard_ns.load(Ordering::Relaxed));
        self.connections.start + heard + self.connections.idle()
    }

    /// Returns when the connection has been silent for too long.
    pub(super) async fn silent(&self) {
        loop {
            let at = self.silent_at();
            if at <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }

    /// Returns when the connection has to make room for another.
    pub(super) async fn crowded_out(&self) {
        self.held.close.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.table().remove(self.client, &self.held);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, per_client: usize) -> Arc<Connections> {
        let idle = Duration::from_secs(10);
        Arc::new(Connections::new(ConnectionLimits { idle, total, per_client }))
    }

    fn admit(connections: &Arc<Connections>, client: &str) -> Seat {
        connections.admit(client.parse().unwrap()).0
    }

    /// Was it told to close?
    async fn is_closed(seat: &Seat) -> bool {
        tokio::time::timeout(Duration::ZERO, seat.crowded_out()).await.is_ok()
    }

    async fn pass(ms: u64) {
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_silent_for_the_longest_time_goes() {
        let connections = connections(3, 3);
        let mut seats = Vec::new();
        for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            seats.push(admit(&connections, client));
            pass(1).await;
        }
        seats[0].heard();
        pass(1).await;
        let (_new, closed) = connections.admit("192.0.2.4".parse().unwrap());
        assert_eq!(closed, 1);
        assert!(is_closed(&seats[1]).await);
        assert!(!is_closed(&seats[0]).await && !is_closed(&seats[2]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_above_its_bound_closes_its_own() {
        let connections = connections(100, 2);
        let other = admit(&connections, "2001:db8:0:1::1");
        pass(1).await;
        let (first, second) =
            (admit(&connections, "2001:db8::1"), admit(&connections, "2001:db8::ffff:0:0:1"));
        pass(1).await;
        second.heard();
        let third = admit(&connections, "2001:db8::2");
        assert!(is_closed(&first).await, "all of the /64 is one client");
        assert!(!is_closed(&other).await && !is_closed(&second).await && !is_closed(&third).await);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_makes_room_once() {
        let connections = connections(2, 2);
        let (a, b) = (admit(&connections, "192.0.2.1"), admit(&connections, "192.0.2.2"));
        drop(a);
        pass(1).await;
        let c = admit(&connections, "192.0.2.3");
        assert!(!is_closed(&b).await);
        let d = admit(&connections, "192.0.2.4");
        assert!(is_closed(&b).await);
        // Forgotten when it was told to close: its end must not make room a second time.
        drop(b);
        assert_eq!(connections.table().count, 2);
        drop((c, d));
        let table = connections.table();
        assert_eq!((table.count, table.clients.len()), (0, 0));
        drop(table);
        assert!(!connections.close_quietest());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_question_and_follows_the_limits() {
        let connections = connections(2, 2);
        let seat = admit(&connections, "192.0.2.1");
        pass(9_000).await;
        seat.heard();
        let begin = Instant::now();
        seat.silent().await;
        assert_eq!(begin.elapsed(), Duration::from_secs(10));
        connections
            .set_limits(ConnectionLimits { idle: Duration::from_secs(30), ..ConnectionLimits::default() });
        seat.silent().await;
        assert_eq!(begin.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_crowded_when_half_of_the_seats_are_taken_by_all_or_by_one() {
        let connections = connections(10, 4);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let mut seats = vec![admit(&connections, "192.0.2.1"), admit(&connections, "192.0.2.1")];
        assert!(!connections.is_crowded(one));
        seats.push(admit(&connections, "192.0.2.1"));
        assert!(connections.is_crowded(one) && !connections.is_crowded(other));
        for last in 3..6 {
            seats.push(admit(&connections, &format!("192.0.2.{last}")));
        }
        assert!(connections.is_crowded(other));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_client() {
        let of = |text: &str| Client::of(text.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
