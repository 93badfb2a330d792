//! The limit of answers to an address that has not proved who it is. Source addresses of datagrams
//! can be forged, and every answer to a forged one hits a bystander. An address that was proved, by
//! a connection or by a nonce that was sent to it, has answers of its own, so that nobody uses them
//! up in its name.
//!
//! All memory is there from the beginning and shared by the workers, without a lock: what one
//! address gets does not depend on how many of them there are.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use callbox_base::token_bucket;
use callbox_stun::TransactionId;

/// The number of buckets of each kind. Addresses share them by a keyed hash: memory is fixed, and
/// nobody can choose whom to share with.
const BUCKETS: usize = 4096;

/// The number of unanswered requests that are remembered.
const UNANSWERED: usize = 32_768;

/// The time whose share of the rate may pass at once after a silence.
const BURST: u64 = Duration::from_secs(1).as_nanos() as u64;

/// The part of it that requests may take which come for the first time. The rest is for those that
/// come again: a client repeats its request (RFC 8489 §6.2.1), and whoever forges sources makes up
/// new ones.
const FIRST_COME: u64 = BURST / 2;

/// The shortest time after which a request is repeated: no client's first RTO is shorter, though
/// RFC 8489 §6.2.1 says 500 ms. One that comes sooner is a flood of copies.
const SOONEST: Duration = Duration::from_millis(100);

/// The longest time after which a request is repeated: the longest gap of RFC 8489 §6.2.1 is 16 s.
const LATEST: Duration = Duration::from_secs(20);

/// The proof of the source of a request whose sender is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It may be forged.
    Unproved(TransactionId),
    /// The sender has received something from this server.
    Proved,
}

/// Token buckets for addresses.
#[derive(Debug)]
pub(super) struct ReplyLimit {
    key: u64,
    start: Instant,
    /// The time that an answer takes of the rate in nanoseconds; `None` if there are no answers.
    cost: Option<u64>,
    unproved: Box<[AtomicU64]>,
    proved: Box<[AtomicU64]>,
    /// The half of a request's hash, and the time in milliseconds at which it came.
    unanswered: Box<[AtomicU64]>,
}

impl ReplyLimit {
    /// Allows each address `per_second` answers a second, and as many at once; and as many again
    /// once it is proved.
    pub(crate) fn new(now: Instant, per_second: u32, key: u64) -> Self {
        let empty = |len| (0..len).map(|_| AtomicU64::new(0)).collect();
        Self {
            key,
            start: now,
            cost: (per_second > 0).then(|| BURST.div_ceil(per_second.into())),
            unproved: empty(BUCKETS),
            proved: empty(BUCKETS),
            unanswered: empty(UNANSWERED),
        }
    }

    /// Returns true if `client` may be answered once more, and counts the answer.
    pub(crate) fn allow(&self, now: Instant, client: SocketAddr, source: Source) -> bool {
        let Some(cost) = self.cost else { return false };
        let time = now.saturating_duration_since(self.start);
        let take = |buckets: &[AtomicU64], depth: u64| {
            let now = time.as_nanos() as u64;
            let after = |used| token_bucket::take(used, now, cost, depth).ok();
            buckets[self.slot(client.ip())].fetch_update(Relaxed, Relaxed, after).is_ok()
        };
        match source {
            Source::Proved => take(&self.proved, BURST),
            Source::Unproved(transaction) => {
                let again = self.is_repeated(time, client, transaction);
                take(&self.unproved, if again { BURST } else { FIRST_COME.max(cost) })
            }
        }
    }

    /// Returns true if a request has come before, and was remembered. It is remembered from now on.
    fn is_repeated(&self, time: Duration, client: SocketAddr, transaction: TransactionId) -> bool {
        let hash = self.hash(&(client, transaction.0));
        let slot = &self.unanswered[hash as usize % UNANSWERED];
        // Together they are never 0, since the half is not.
        let (half, now) = (hash >> 32 | 1, time.as_millis() as u32);
        let known = slot.load(Relaxed);
        let age = Duration::from_millis(now.wrapping_sub(known as u32).into());
        if known >> 32 != half {
            slot.store(half << 32 | u64::from(now), Relaxed);
            return false;
        }
        let again = (SOONEST..=LATEST).contains(&age);
        if again || age > LATEST {
            slot.store(half << 32 | u64::from(now), Relaxed);
        }
        again
    }

    fn slot(&self, ip: IpAddr) -> usize {
        let hash = match ip {
            IpAddr::V4(ip) => self.hash(&ip.octets()),
            // A subscriber has a /64 to choose addresses from.
            IpAddr::V6(ip) => self.hash(&ip.octets()[..8]),
        };
        hash as usize % BUCKETS
    }

    fn hash(&self, value: &(impl Hash + ?Sized)) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key.hash(&mut hasher);
        value.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn first(n: u64) -> Source {
        let mut transaction = TransactionId([0; 12]);
        transaction.0[..8].copy_from_slice(&n.to_be_bytes());
        Source::Unproved(transaction)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_address_is_answered_at_a_rate_and_others_are_not_affected() {
        let start = Instant::now();
        let limit = ReplyLimit::new(start, 10, 7);
        let (alice, bob) = (at("192.0.2.1:1"), at("192.0.2.2:1"));
        assert_ne!(limit.slot(alice.ip()), limit.slot(bob.ip()));
        let mut next = 0..;
        let mut burst = |now, who, proved| {
            let sources = (&mut next).take(100);
            let sources = sources.map(|n| if proved { Source::Proved } else { first(n) });
            sources.filter(|source| limit.allow(now, who, *source)).count()
        };
        // Half a second's at first; the other half is for those that come again.
        assert_eq!(burst(start, alice, false), 5);
        // That does not touch the answers of a proved address.
        assert_eq!(burst(start, alice, true), 10);
        assert_eq!(burst(start, bob, false), 5);
        assert_eq!(burst(start + ms(350), alice, false), 3);
        assert_eq!(burst(start + ms(350), alice, true), 3);
        assert_eq!(burst(start + Duration::from_secs(3600), alice, false), 5);
    }

    #[test]
    fn no_address_draws_more_than_the_rate_however_it_asks() {
        let start = Instant::now();
        let limit = ReplyLimit::new(start, 100, 7);
        let mut rng = StdRng::seed_from_u64(1);
        let mut answered = 0;
        for n in 0..100_000 {
            // Ten seconds, with each request several times and from many ports.
            let now = start + Duration::from_micros(n * 100);
            let client = SocketAddr::new(at("192.0.2.1:1").ip(), rng.random_range(1..100));
            answered += u32::from(limit.allow(now, client, first(n % 5000 / 2)));
        }
        assert!((990..=1100).contains(&answered), "{answered}");
        let none = ReplyLimit::new(start, 0, 7);
        assert!(!none.allow(start, at("192.0.2.1:1"), Source::Proved));
    }

    #[test]
    fn one_answer_a_second_is_one() {
        let start = Instant::now();
        let limit = ReplyLimit::new(start, 1, 7);
        let allow = |later, n| limit.allow(start + ms(later), at("192.0.2.1:1"), first(n));
        assert!(allow(0, 1) && !allow(500, 2) && allow(1000, 3));
    }

    /// 3,000 forged requests a second with ports and transactions of their own use up a rate of
    /// 1,000; clients at that address get through by what they repeat.
    #[test]
    fn retransmitted_requests_precede_forged_new_ones() {
        const RTO: [u64; 7] = [0, 500, 1500, 3500, 7500, 15_500, 31_500];
        let start = Instant::now();
        let limit = ReplyLimit::new(start, 1000, 7);
        let ip = at("192.0.2.1:1").ip();
        let mut rng = StdRng::seed_from_u64(1);
        // Two hundred clients, one every 100 ms after the first second.
        let mut due: Vec<(u64, u64, usize)> = (0..200).map(|n| (1000 + n * 100, n, 0)).collect();
        let (mut served, mut forged) = (0, 0);
        for now in 0..53_000 {
            let time = start + ms(now);
            for _ in 0..3 {
                let client = SocketAddr::new(ip, rng.random_range(1024..65_535));
                forged += u32::from(limit.allow(time, client, first(rng.random())));
            }
            for (at, n, tries) in due.iter_mut().filter(|(at, ..)| *at == now) {
                let client = SocketAddr::new(ip, 2000 + *n as u16);
                if limit.allow(time, client, first(*n)) {
                    served += 1;
                } else if *tries + 1 < RTO.len() {
                    *tries += 1;
                    *at = 1000 + *n * 100 + RTO[*tries];
                }
            }
        }
        assert!(served >= 198, "{served} of 200");
        assert!(forged <= 54_000, "{forged} answers to forged requests in 53 s");
    }

    #[test]
    fn an_immediate_copy_is_not_a_retransmission() {
        let start = Instant::now();
        let limit = ReplyLimit::new(start, 10, 7);
        let copies = (0..100).filter(|_| limit.allow(start, at("192.0.2.1:1"), first(1))).count();
        assert_eq!(copies, 5);
        assert!(limit.allow(start + ms(100), at("192.0.2.1:1"), first(1)));
    }

    #[test]
    fn a_whole_prefix_shares_a_bucket() {
        let limit = ReplyLimit::new(Instant::now(), 10, 7);
        let slot = |ip: &str| limit.slot(ip.parse().unwrap());
        assert_eq!(slot("2001:db8::1"), slot("2001:db8::ffff:1"));
        assert_ne!(slot("2001:db8::1"), slot("2001:db8:0:1::1"));
    }
}
