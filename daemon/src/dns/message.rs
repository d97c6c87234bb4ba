//! Message: cut out of a stream by its length, or gathered from pieces without holding more than is fair.

use crate::core::query::HEADER;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Largest message (RFC 1035 section 4.2.2).
pub(super) const MAX_MESSAGE: usize = 65_535;
/// Octets of a message that need no permit. Queries are far smaller.
const SMALL: usize = 4096;
/// Large messages that are gathered at a time; others wait for their end.
pub(super) const LARGE_AT_A_TIME: usize = 64;

/// What stands at the front of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framed<'b> {
    /// A whole message.
    Whole(&'b [u8]),
    /// A part of one.
    Part,
    /// Nothing that can become a message.
    Never,
}

/// The first message of a stream, without its length.
pub(super) fn framed(octets: &[u8]) -> Framed<'_> {
    let Some((&len, rest)) = octets.split_first_chunk() else { return Framed::Part };
    let len = usize::from(u16::from_be_bytes(len));
    match rest.get(..len) {
        _ if len < HEADER => Framed::Never,
        Some(message) => Framed::Whole(message),
        None => Framed::Part,
    }
}

/// A message that comes in pieces, beside others of the same client. Only [`LARGE_AT_A_TIME`] of all clients can be above
/// 4 KiB.
#[derive(Debug)]
pub(super) struct Gathered {
    octets: Vec<u8>,
    most: usize,
    large: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

/// More octets than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Gathered {
    /// Nothing so far; at most `most` octets. `large` is shared by all.
    pub(super) fn new(most: usize, large: &Arc<Semaphore>) -> Self {
        Self { octets: Vec::new(), most, large: Arc::clone(large), permit: None }
    }

    /// Adds a piece, perhaps after waiting for other large messages to end.
    pub(super) async fn add(&mut self, piece: &[u8]) -> Result<(), TooLong> {
        let len = self.octets.len() + piece.len();
        if len > self.most {
            return Err(TooLong);
        }
        if len > SMALL && self.permit.is_none() {
            // Never closed.
            self.permit = Arc::clone(&self.large).acquire_owned().await.ok();
        }
        self.octets.extend_from_slice(piece);
        Ok(())
    }

    /// All pieces, one behind the other.
    pub(super) fn into_octets(self) -> Vec<u8> {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_by_their_length() {
        let twelve = [&[0, 12][..], &[7; 12]].concat();
        for (octets, expected) in [
            (&b""[..], Framed::Part),
            (b"\0", Framed::Part),
            (b"\0\0", Framed::Never),
            (b"\0\x0b", Framed::Never),
            (b"\0\x0c", Framed::Part),
            (&twelve[..13], Framed::Part),
            (&twelve, Framed::Whole(&[7; 12])),
            (&[&twelve[..], b"\0\0"].concat(), Framed::Whole(&[7; 12])),
            (&[&[0xff; 2][..], &[7; 65_534]].concat(), Framed::Part),
            (&[&[0xff; 2][..], &[7; 65_535]].concat(), Framed::Whole(&[7; 65_535])),
        ] {
            assert_eq!(framed(octets), expected);
        }
    }

    #[tokio::test]
    async fn a_message_above_its_bound_is_refused() {
        let large = Arc::new(Semaphore::new(1));
        let mut message = Gathered::new(5, &large);
        assert_eq!(message.add(b"abc").await, Ok(()));
        assert_eq!(message.add(b"def").await, Err(TooLong));
        assert_eq!(message.add(b"de").await, Ok(()));
        assert_eq!(message.into_octets(), b"abcde");
    }

    #[tokio::test(start_paused = true)]
    async fn large_messages_wait_for_each_other_and_small_ones_do_not() {
        let large = Arc::new(Semaphore::new(1));
        let gathered = || Gathered::new(MAX_MESSAGE, &large);
        let (mut first, mut second, mut small) = (gathered(), gathered(), gathered());
        first.add(&[0; SMALL + 1]).await.unwrap();
        small.add(&[0; SMALL]).await.unwrap();
        second.add(&[0; SMALL]).await.unwrap();
        let moment = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(moment, second.add(b"x")).await.is_err(), "there is one permit");
        drop(first);
        second.add(b"x").await.unwrap();
        assert_eq!(second.into_octets().len(), SMALL + 1);
    }
}
