//! The way between a proxy and the policy server: it loses, repeats, delays and so reorders
//! call-outs and their answers, and can be cut for a while.

use std::collections::BTreeSet;

use crate::dice::Dice;

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Messages lost, in a thousand.
    pub lost_per_mille: u64,
    /// Messages delivered twice, in a thousand.
    pub twice_per_mille: u64,
    /// Messages that take long, in a thousand. Some take longer than the sender waits.
    pub slow_per_mille: u64,
}

impl Weather {
    /// Nothing is lost or late.
    pub const FAIR: Self = Self { lost_per_mille: 0, twice_per_mille: 0, slow_per_mille: 0 };
}

/// A message takes at most this long on an ordinary day, in milliseconds.
const FAST_MOST_MS: u64 = 5;
/// A slow one takes up to this long: more than a request waits for its answer.
const SLOW_MOST_MS: u64 = 3_000;

/// The network.
#[derive(Debug)]
pub struct Network {
    /// Its state now.
    pub weather: Weather,
    cut_off: BTreeSet<usize>,
}

impl Network {
    /// A whole network in this weather.
    #[must_use]
    pub fn new(weather: Weather) -> Self {
        Self { weather, cut_off: BTreeSet::new() }
    }

    /// Delays in milliseconds after which each copy of a message arrives; none if it is lost.
    pub fn deliveries(&self, proxy: usize, dice: &mut Dice) -> Vec<u64> {
        if self.is_cut_off(proxy) || dice.per_mille(self.weather.lost_per_mille) {
            return Vec::new();
        }
        let copies = if dice.per_mille(self.weather.twice_per_mille) { 2 } else { 1 };
        let mut delay = || {
            if dice.per_mille(self.weather.slow_per_mille) {
                dice.between(FAST_MOST_MS, SLOW_MOST_MS)
            } else {
                dice.between(1, FAST_MOST_MS)
            }
        };
        (0..copies).map(|_| delay()).collect()
    }

    /// Whether nothing passes between this proxy and the server.
    #[must_use]
    pub fn is_cut_off(&self, proxy: usize) -> bool {
        self.cut_off.contains(&proxy)
    }

    /// Cuts a proxy off; what is on the way is lost too.
    pub fn cut(&mut self, proxy: usize) {
        self.cut_off.insert(proxy);
    }

    /// Connects a proxy again.
    pub fn heal(&mut self, proxy: usize) {
        self.cut_off.remove(&proxy);
    }
}
