//! Handler: the answer code alone, from the octets of a question to those of the reply, without sockets.

use crate::clock::cpu_time;
use crate::workload::Workload;
use crate::{TEXT, ZONE};
use blackthorn::core::answer::Transport;
use blackthorn::core::build::{Plan, build};
use blackthorn::core::entry::FeedId;
use blackthorn::core::feed::{Format, Rules, parse};
use blackthorn::core::flatten::flatten;
use blackthorn::core::listing::FeedIndex;
use blackthorn::core::protection::Reservations;
use blackthorn::core::zone::{Ent, ZoneFeed, ZoneSpec};
use blackthorn::dns::Handler;
use blackthorn::live::Live;
use std::error::Error;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Questions answered with one look at the clock and the generation, as by a busy worker.
const BATCH: usize = 32;

/// CPU time for each question of the workload, in nanoseconds, once for each round.
pub(crate) fn measure(workload: &Workload, rounds: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let parsed = parse(&Rules::new(Format::Plain), workload.plain(false).as_bytes())?;
    let zone = ZoneSpec {
        name: ZONE.to_owned(),
        feeds: vec![ZoneFeed {
            feed: FeedIndex(0),
            code: Ipv4Addr::new(127, 0, 0, 2),
            text: TEXT.to_owned(),
        }],
        domains: false,
        live: None,
        ttl: 600,
        negative_ttl: 300,
        ns: Vec::new(),
        contact: None,
        ent: Ent::Exact,
        max_age: None,
        retired: None,
    };
    let plan = Plan {
        feeds: vec![(FeedId::new("bench")?, Some(Arc::new(flatten(parsed.entries))))],
        exclusions: Reservations::default(),
        protections: Reservations::default(),
        zones: &[zone],
        filter_feeds: &[],
    };
    let mut generation = build(&plan, 1, 0)?;
    // As in a running daemon: what feeds were made of is not kept in memory.
    generation.parts.iter_mut().for_each(|part| part.flat = None);
    let live = Live::default();
    live.publish(Arc::new(generation));
    let handler = Handler::new(live, Arc::default());
    let shard = handler.shard(true);

    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 5353));
    let mut reply = Vec::new();
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = cpu_time(libc::CLOCK_THREAD_CPUTIME_ID)?;
        let mut turn = handler.turn(&shard, handler.now());
        for number in 0..workload.len() {
            if number % BATCH == 0 {
                turn = handler.turn(&shard, handler.now());
            }
            let (question, _) = workload.question(number);
            if !turn.respond(black_box(question), client, Transport::Udp, &mut reply) {
                return Err("a question without a reply".into());
            }
            black_box(&reply);
        }
        drop(turn);
        let time = cpu_time(libc::CLOCK_THREAD_CPUTIME_ID)? - start;
        times.push(time.as_secs_f64() * 1e9 / workload.len() as f64);
    }
    Ok(times)
}
