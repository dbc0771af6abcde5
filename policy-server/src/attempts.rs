//! Sign-ins that failed, by where they came from. Pure: times are arguments.
//!
//! Tokens have far too many random bits to be guessed. The limit keeps those who try, and scripts
//! with a wrong token, from keeping the store busy, and makes them visible.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use wire::KeyDigest;

/// How long a failed attempt counts, in milliseconds.
pub const WINDOW_MS: u64 = 60_000;

/// Failed attempts of one address within the window; further ones are refused unread. Many people
/// and scripts can share one.
pub const PER_ADDRESS: usize = 30;

/// Failed attempts with one beginning of a token, from wherever.
pub const PER_PREFIX: usize = 10;

/// Sources of each kind that are remembered, with at most [`PER_ADDRESS`] times each: a megabyte.
const SOURCES_MOST: usize = 4_096;

/// Tokens that were right not long ago, and go on while others fail from the same place.
const RIGHT_MOST: usize = 1_024;

/// How long a token counts as right not long ago, in milliseconds.
const RIGHT_MS: u64 = 3_600_000;

/// What is remembered of attempts to sign in. It forgets at a restart.
#[derive(Debug, Default)]
pub struct Attempts {
    addresses: Failures<Network>,
    prefixes: Failures<String>,
    right: HashMap<KeyDigest, u64>,
}

/// Too many attempts have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// When the next one is read, in milliseconds from now.
    pub retry_after_ms: u64,
}

impl Attempts {
    /// Whether an attempt is to be read at all.
    ///
    /// # Errors
    /// When too many have failed from its address or with its prefix, and the token was not right
    /// within the last hour.
    pub fn check(
        &self,
        address: Option<IpAddr>,
        prefix: Option<&str>,
        digest: &KeyDigest,
        now_ms: u64,
    ) -> Result<(), TooMany> {
        let right = self.right.get(digest);
        if right.is_some_and(|at| now_ms.saturating_sub(*at) < RIGHT_MS) {
            return Ok(());
        }
        let address = self.addresses.wait_ms(&Network::of(address), PER_ADDRESS, now_ms);
        let prefix = prefix.map(str::to_owned);
        let prefix = prefix.map_or(0, |prefix| self.prefixes.wait_ms(&prefix, PER_PREFIX, now_ms));
        match address.max(prefix) {
            0 => Ok(()),
            retry_after_ms => Err(TooMany { retry_after_ms }),
        }
    }

    /// An attempt was read and failed.
    pub fn failed(
        &mut self,
        address: Option<IpAddr>,
        prefix: Option<&str>,
        digest: &KeyDigest,
        now_ms: u64,
    ) {
        self.right.remove(digest);
        self.addresses.note(Network::of(address), PER_ADDRESS, now_ms);
        if let Some(prefix) = prefix {
            self.prefixes.note(prefix.to_owned(), PER_PREFIX, now_ms);
        }
    }

    /// An attempt was right.
    pub fn succeeded(&mut self, digest: &KeyDigest, now_ms: u64) {
        if self.right.len() >= RIGHT_MOST && !self.right.contains_key(digest) {
            let oldest = self.right.iter().min_by_key(|(_, at)| **at);
            let oldest = oldest.map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.right.remove(&digest));
        }
        self.right.insert(*digest, now_ms);
    }
}

/// Where an attempt came from. Whoever has one IPv6 address has its 2^64 neighbours too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    /// One address.
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
    /// Not known: one source for all of them.
    Unknown,
}

impl Network {
    fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Unknown,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => Self::V6(first_half(address)),
        }
    }
}

fn first_half(address: Ipv6Addr) -> [u8; 8] {
    let mut half = [0; 8];
    half.iter_mut().zip(address.octets()).for_each(|(to, from)| *to = from);
    half
}

/// Times of failures by source.
#[derive(Debug)]
struct Failures<S> {
    times: HashMap<S, VecDeque<u64>>,
}

impl<S> Default for Failures<S> {
    fn default() -> Self {
        Self { times: HashMap::new() }
    }
}

impl<S: Clone + Eq + Hash> Failures<S> {
    /// Until the next attempt is read; zero: now.
    fn wait_ms(&self, source: &S, most: usize, now_ms: u64) -> u64 {
        let Some(times) = self.times.get(source).filter(|times| times.len() >= most) else {
            return 0;
        };
        let ends = times.front().map_or(0, |oldest| oldest.saturating_add(WINDOW_MS));
        ends.saturating_sub(now_ms)
    }

    /// Remembers the last `most` failures of a source; the source that has been quiet for longest
    /// makes place for a new one.
    fn note(&mut self, source: S, most: usize, now_ms: u64) {
        if self.times.len() >= SOURCES_MOST && !self.times.contains_key(&source) {
            let last = |times: &VecDeque<u64>| times.back().copied().unwrap_or(0);
            self.times.retain(|_, times| last(times).saturating_add(WINDOW_MS) > now_ms);
            let quiet = self.times.iter().min_by_key(|(_, times)| last(times));
            let quiet = quiet.map(|(source, _)| source.clone());
            if self.times.len() >= SOURCES_MOST
                && let Some(quiet) = quiet
            {
                self.times.remove(&quiet);
            }
        }
        let times = self.times.entry(source).or_default();
        if times.len() >= most {
            times.pop_front();
        }
        times.push_back(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u64) -> KeyDigest {
        metering::api_key::digest(&number.to_le_bytes())
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_is_refused_after_its_failures_until_the_oldest_is_a_minute_old() {
        let mut attempts = Attempts::default();
        let here = address("192.0.2.1");
        for n in 0..30 {
            assert_eq!(attempts.check(here, None, &digest(n), n * 1_000), Ok(()));
            attempts.failed(here, None, &digest(n), n * 1_000);
        }
        let refused = attempts.check(here, None, &digest(99), 30_000);
        assert_eq!(refused, Err(TooMany { retry_after_ms: 30_000 }));
        assert_eq!(attempts.check(address("192.0.2.2"), None, &digest(99), 30_000), Ok(()));
        assert!(attempts.check(here, None, &digest(99), 59_999).is_err());
        assert_eq!(attempts.check(here, None, &digest(99), 60_000), Ok(()));
        // one more, and the window is full again until the second one is a minute old
        attempts.failed(here, None, &digest(99), 60_000);
        let refused = attempts.check(here, None, &digest(99), 60_000);
        assert_eq!(refused, Err(TooMany { retry_after_ms: 1_000 }));
    }

    #[test]
    fn a_prefix_is_refused_from_wherever_it_comes() {
        let mut attempts = Attempts::default();
        for n in 0..10 {
            let from = address(&format!("192.0.2.{n}"));
            attempts.failed(from, Some("tgp_abc"), &digest(n), 5);
        }
        let elsewhere = address("198.51.100.1");
        assert!(attempts.check(elsewhere, Some("tgp_abc"), &digest(77), 6).is_err());
        assert_eq!(attempts.check(elsewhere, Some("tgp_abd"), &digest(77), 6), Ok(()));
        assert_eq!(attempts.check(elsewhere, None, &digest(77), 6), Ok(()));
    }

    #[test]
    fn who_was_right_goes_on_while_others_fail_beside_him() {
        let mut attempts = Attempts::default();
        let here = address("192.0.2.1");
        attempts.succeeded(&digest(1), 0);
        (0..40).for_each(|_| attempts.failed(here, Some("p"), &digest(2), 10));
        assert_eq!(attempts.check(here, Some("p"), &digest(1), 20), Ok(()));
        assert!(attempts.check(here, Some("p"), &digest(2), 20).is_err());
        // until his token is no longer right
        attempts.failed(here, Some("p"), &digest(1), 30);
        assert!(attempts.check(here, Some("p"), &digest(1), 40).is_err());
    }

    #[test]
    fn neighbours_of_one_network_count_together_and_mapped_addresses_as_themselves() {
        let mut attempts = Attempts::default();
        for n in 0..30 {
            attempts.failed(address(&format!("2001:db8::{n:x}")), None, &digest(n), 1);
            attempts.failed(address("::ffff:192.0.2.9"), None, &digest(n), 1);
        }
        assert!(attempts.check(address("2001:db8::ffff"), None, &digest(99), 1).is_err());
        assert!(attempts.check(address("2001:db8:0:1::1"), None, &digest(99), 1).is_ok());
        assert!(attempts.check(address("192.0.2.9"), None, &digest(99), 1).is_err());
    }

    #[test]
    fn memory_is_bounded_and_floods_push_out_the_quietest_first() {
        let mut attempts = Attempts::default();
        let loud = address("203.0.113.7");
        for n in 0..5_000u32 {
            let from = Some(IpAddr::from(n.to_be_bytes()));
            attempts.failed(from, Some(&format!("tgp_{n}")), &digest(n.into()), 1_000);
            attempts.succeeded(&digest(u64::from(n) + 1_000_000), 1_000);
            if n % 100 == 0 {
                attempts.failed(loud, None, &digest(0), 1_001);
            }
        }
        assert_eq!(attempts.addresses.times.len(), SOURCES_MOST);
        assert_eq!(attempts.prefixes.times.len(), SOURCES_MOST);
        assert_eq!(attempts.right.len(), RIGHT_MOST);
        assert!(attempts.check(loud, None, &digest(5), 1_002).is_err(), "it kept trying");
    }
}
