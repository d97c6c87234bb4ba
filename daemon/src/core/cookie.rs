//! DNS cookies (RFC 7873): server cookies of version 1, the form that servers of different makes share (RFC 9018).
//!
//! A server cookie is made of the client's cookie, its address and the time; whoever sends one back has received a
//! reply at that address. Nothing is kept per client, nothing is allocated per query.
//!
//! Secrets are rolled in three steps, each on every server of a cluster before the next: accept the new one, sign with
//! it, forget the old one once every cookie of it is over (RFC 9018 section 5).

use super::network::fold;
use siphasher::sip::SipHasher24;
use std::fmt;
use std::net::IpAddr;
use subtle::ConstantTimeEq;

/// Octets of a secret.
pub const SECRET: usize = 16;
/// Octets of a client cookie.
pub const CLIENT: usize = 8;
/// Octets of a server cookie of version 1.
pub const SERVER: usize = 16;
/// Octets of COOKIE data in a reply: the client's cookie as it came, then ours.
pub const REPLY: usize = CLIENT + SERVER;

/// Octets of a whole COOKIE, ours or of another server (RFC 7873 section 4).
const SHORTEST: usize = CLIENT + 8;
const LONGEST: usize = CLIENT + 32;
/// Version, reserved octets and timestamp: what of a server cookie is not hash.
const OPENING: usize = 8;
const VERSION: u8 = 1;

/// Oldest cookie that counts, in seconds (RFC 9018 section 4.3).
pub const MAX_AGE: i32 = 3600;
/// How far the clock of another server of the cluster may be ahead, in seconds.
pub const MAX_AHEAD: i32 = 300;
/// A cookie older than this, in seconds, is replaced.
pub const RENEW_AGE: i32 = 1800;

/// The secrets of a server: one to sign with, any number to accept.
#[derive(Clone)]
pub struct Secrets {
    signing: SipHasher24,
    accepted: Box<[SipHasher24]>,
}

/// What the COOKIE data of a query is. What goes back is a whole COOKIE: [`REPLY`] octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Neither 8 nor 16 to 40 octets: the query gets FORMERR (RFC 7873 section 5.2.2).
    Malformed,
    /// From a client that has no server cookie of us yet.
    ClientOnly([u8; REPLY]),
    /// The server cookie is not ours, not for this client, or too old.
    Invalid([u8; REPLY]),
    /// The client receives what is sent to its address. The cookie that goes back is its own, or a new one if that is
    /// older than [`RENEW_AGE`] or made with a secret that is only accepted.
    Valid([u8; REPLY]),
}

impl Cookie {
    /// COOKIE data for the reply; none to what is malformed.
    pub fn reply(&self) -> Option<&[u8; REPLY]> {
        match self {
            Self::Malformed => None,
            Self::ClientOnly(reply) | Self::Invalid(reply) | Self::Valid(reply) => Some(reply),
        }
    }
}

impl Secrets {
    /// Signs with `signing`; what was signed with that or one of `accepted` is valid.
    pub fn new(signing: [u8; SECRET], accepted: impl IntoIterator<Item = [u8; SECRET]>) -> Self {
        let keyed = |secret: [u8; SECRET]| SipHasher24::new_with_key(&secret);
        Self { signing: keyed(signing), accepted: accepted.into_iter().map(keyed).collect() }
    }

    /// Judges COOKIE `data` of a query from `client` (mapped addresses count as IPv4). `now` is the time in seconds
    /// since 1970, without the bits above 32: the clock goes round in 2106, and so does the arithmetic (RFC 1982).
    pub fn check(&self, data: &[u8], client: IpAddr, now: u32) -> Cookie {
        let Some((&client_cookie, server_cookie)) = data.split_first_chunk::<CLIENT>() else {
            return Cookie::Malformed;
        };
        let input = Input { client_cookie, client: fold(client) };
        match data.len() {
            CLIENT => Cookie::ClientOnly(self.sign(input, now)),
            SHORTEST..=LONGEST => match self.validate(input, server_cookie, now) {
                Some(Standing::Fresh(reply)) => Cookie::Valid(reply),
                Some(Standing::Due) => Cookie::Valid(self.sign(input, now)),
                None => Cookie::Invalid(self.sign(input, now)),
            },
            _ => Cookie::Malformed,
        }
    }

    fn sign(&self, input: Input, now: u32) -> [u8; REPLY] {
        let [t0, t1, t2, t3] = now.to_be_bytes();
        let opening = [VERSION, 0, 0, 0, t0, t1, t2, t3];
        input.whole(opening, input.hash(&self.signing, opening))
    }

    fn validate(&self, input: Input, server_cookie: &[u8], now: u32) -> Option<Standing> {
        let (opening, hash) = server_cookie.split_first_chunk::<OPENING>()?;
        // What is reserved is hashed as it came: a later use of it must not make our cookies invalid.
        let [version, _, _, _, t0, t1, t2, t3] = *opening;
        let age = now.wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3])).cast_signed();
        if version != VERSION || !(-MAX_AHEAD..=MAX_AGE).contains(&age) {
            return None;
        }
        let hash: &[u8; SERVER - OPENING] = hash.try_into().ok()?;
        let made_with = |secret: &SipHasher24| bool::from(input.hash(secret, *opening).ct_eq(hash));
        if made_with(&self.signing) {
            let fresh = age <= RENEW_AGE;
            return Some(if fresh { Standing::Fresh(input.whole(*opening, *hash)) } else { Standing::Due });
        }
        self.accepted.iter().any(made_with).then_some(Standing::Due)
    }
}

/// How a valid cookie is answered.
enum Standing {
    /// As it came.
    Fresh([u8; REPLY]),
    /// With a new one.
    Due,
}

/// What a hash is over besides the opening of the server cookie.
#[derive(Clone, Copy)]
struct Input {
    client_cookie: [u8; CLIENT],
    client: IpAddr,
}

impl Input {
    fn hash(self, secret: &SipHasher24, opening: [u8; OPENING]) -> [u8; SERVER - OPENING] {
        let mut octets = [0; CLIENT + OPENING + 16];
        octets[..CLIENT].copy_from_slice(&self.client_cookie);
        octets[CLIENT..CLIENT + OPENING].copy_from_slice(&opening);
        let address = &mut octets[CLIENT + OPENING..];
        let used = match self.client {
            IpAddr::V4(client) => {
                address[..4].copy_from_slice(&client.octets());
                CLIENT + OPENING + 4
            }
            IpAddr::V6(client) => {
                address.copy_from_slice(&client.octets());
                CLIENT + OPENING + 16
            }
        };
        secret.hash(&octets[..used]).to_le_bytes()
    }

    fn whole(self, opening: [u8; OPENING], hash: [u8; SERVER - OPENING]) -> [u8; REPLY] {
        let mut whole = [0; REPLY];
        whole[..CLIENT].copy_from_slice(&self.client_cookie);
        whole[CLIENT..CLIENT + OPENING].copy_from_slice(&opening);
        whole[CLIENT + OPENING..].copy_from_slice(&hash);
        whole
    }
}

/// Says how many there are; the hasher would show what they are.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} to accept)", 1 + self.accepted.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u32 = 1_559_731_985;
    const CLIENT_COOKIE: &str = "2464c4abcf10c957";
    const ADDRESS: &str = "198.51.100.100";

    fn octets(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn whole(client: &str, server: &str) -> [u8; REPLY] {
        octets(&[client, server].concat()).try_into().unwrap()
    }

    fn secret(hex: &str) -> [u8; SECRET] {
        octets(hex).try_into().unwrap()
    }

    fn first() -> Secrets {
        Secrets::new(secret("e5e973e5a6b2a43f48e7dc849e37bfcf"), [])
    }

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn checklist_9_vectors_of_rfc_9018_appendix_a() {
        // A.1 and A.2: a client learns a cookie, sends it 40 minutes later and gets a new one.
        let learnt = whole(CLIENT_COOKIE, "010000005cf79f111f8130c3eee29480");
        let renewed = whole(CLIENT_COOKIE, "010000005cf7a871d4a564a1442aca77");
        let client = at(ADDRESS);
        assert_eq!(first().check(&octets(CLIENT_COOKIE), client, NOW), Cookie::ClientOnly(learnt));
        assert_eq!(first().check(&learnt, client, NOW), Cookie::Valid(learnt));
        assert_eq!(first().check(&learnt, client, 1_559_734_385), Cookie::Valid(renewed));

        // A.3: reserved octets that are not 0, and a cookie older than an hour.
        let odd = whole("fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5");
        let later = whole("fc93fc62807ddb86", "010000005cf7a9acf73a7810aca2381e");
        let client = at("203.0.113.203");
        assert_eq!(first().check(&odd, client, 1_559_727_985), Cookie::Valid(odd));
        assert_eq!(first().check(&odd, client, 1_559_734_700), Cookie::Invalid(later));

        // A.4: IPv6, and a secret that has been replaced.
        let old = whole("22681ab97d52c298", "010000005cf7c57926556bd0934c72f8");
        let new = whole("22681ab97d52c298", "010000005cf7c609a6bb79d16625507a");
        let client = at("2001:db8:220:1:59de:d0f4:8769:82b8");
        let [before, after] =
            ["dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"].map(secret);
        let (signed, replaced) = (1_559_741_817, 1_559_741_961);
        assert_eq!(Secrets::new(before, []).check(&old[..8], client, signed), Cookie::ClientOnly(old));
        assert_eq!(Secrets::new(after, [before]).check(&old, client, replaced), Cookie::Valid(new));
        assert_eq!(Secrets::new(after, []).check(&old, client, replaced), Cookie::Invalid(new));
    }

    #[test]
    fn a_cluster_rolls_its_secret_without_an_invalid_cookie() {
        let [old, new] = [[1; SECRET], [2; SECRET]];
        let steps = [
            Secrets::new(old, []),
            Secrets::new(old, [new]),
            Secrets::new(new, [old]),
            Secrets::new(new, []),
        ];
        let client = at(ADDRESS);
        for pair in steps.windows(2) {
            for (from, to) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                let cookie = *from.check(&octets(CLIENT_COOKIE), client, NOW).reply().unwrap();
                assert!(matches!(to.check(&cookie, client, NOW + 1), Cookie::Valid(_)), "{from:?} {to:?}");
            }
        }
        let cookie = *steps[0].check(&octets(CLIENT_COOKIE), client, NOW).reply().unwrap();
        assert!(matches!(steps[3].check(&cookie, client, NOW + 1), Cookie::Invalid(_)));
    }

    #[test]
    fn every_length() {
        let mut data = whole(CLIENT_COOKIE, "010000005cf79f111f8130c3eee29480").to_vec();
        let fresh: [u8; REPLY] = data.clone().try_into().unwrap();
        data.resize(41, 0);
        for len in 0..=41 {
            let expected = match len {
                8 => Cookie::ClientOnly(fresh),
                24 => Cookie::Valid(fresh),
                16..=40 => Cookie::Invalid(fresh),
                _ => Cookie::Malformed,
            };
            let cookie = first().check(&data[..len], at(ADDRESS), NOW);
            assert_eq!(cookie, expected, "{len}");
            assert_eq!(cookie.reply().is_some(), expected != Cookie::Malformed);
        }
    }

    #[test]
    fn counts_for_an_hour_and_from_five_minutes_ahead_also_when_the_clock_goes_round() {
        for made in [NOW, 0, 7, u32::MAX, 0x7fff_ffff, 0x8000_0000] {
            let cookie = *first().check(&octets(CLIENT_COOKIE), at(ADDRESS), made).reply().unwrap();
            let after = |seconds: i32| {
                let now = made.wrapping_add_signed(seconds);
                let (stamp, checked) = (now.to_be_bytes(), first().check(&cookie, at(ADDRESS), now));
                // As it came, or signed now.
                let reply = checked.reply().unwrap();
                assert!(*reply == cookie || reply[12..16] == stamp);
                (matches!(checked, Cookie::Valid(_)), *reply == cookie)
            };
            for (seconds, valid, kept) in [
                (0, true, true),
                (1800, true, true),
                (1801, true, false),
                (3600, true, false),
                (3601, false, false),
                (-300, true, true),
                (-301, false, false),
                (i32::MAX, false, false),
                (i32::MIN, false, false),
            ] {
                assert_eq!(after(seconds), (valid, kept), "{made} {seconds}");
            }
        }
    }

    #[test]
    fn every_bit_counts() {
        let cookie = whole(CLIENT_COOKIE, "010000005cf79f111f8130c3eee29480");
        for bit in 0..8 * REPLY {
            let mut changed = cookie;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(first().check(&changed, at(ADDRESS), NOW), Cookie::Invalid(_)), "{bit}");
        }
        for client in ["198.51.100.101", "2001:db8::1", "::198.51.100.100"] {
            assert!(matches!(first().check(&cookie, at(client), NOW), Cookie::Invalid(_)), "{client}");
        }
    }

    #[test]
    fn a_mapped_client_is_an_ipv4_client() {
        let mapped = at("::ffff:198.51.100.100");
        let plain = first().check(&octets(CLIENT_COOKIE), at(ADDRESS), NOW);
        assert_eq!(first().check(&octets(CLIENT_COOKIE), mapped, NOW), plain);
        let cookie = plain.reply().unwrap();
        assert_eq!(first().check(cookie, mapped, NOW), Cookie::Valid(*cookie));
    }

    #[test]
    fn another_version_is_not_ours_even_with_its_hash() {
        let input = Input { client_cookie: [3; CLIENT], client: at(ADDRESS) };
        let [t0, t1, t2, t3] = NOW.to_be_bytes();
        for version in [0, 1, 2, 255] {
            let opening = [version, 0, 0, 0, t0, t1, t2, t3];
            let cookie = input.whole(opening, input.hash(&first().signing, opening));
            let valid = matches!(first().check(&cookie, at(ADDRESS), NOW), Cookie::Valid(_));
            assert_eq!(valid, version == VERSION, "{version}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", Secrets::new([0x41; SECRET], [[0x42; SECRET]]));
        assert_eq!(shown, "Secrets(2 to accept)");
    }

    proptest! {
        #[test]
        fn any_octets_are_judged_and_what_goes_back_is_valid(
            data in prop::collection::vec(any::<u8>(), 0..50), address: IpAddr, now: u32,
        ) {
            let cookie = first().check(&data, address, now);
            prop_assert!(!matches!(cookie, Cookie::Valid(_)));
            if let Some(reply) = cookie.reply() {
                prop_assert_eq!(&reply[..CLIENT], &data[..CLIENT]);
                prop_assert_eq!(first().check(reply, address, now), Cookie::Valid(*reply));
            }
        }
    }
}
