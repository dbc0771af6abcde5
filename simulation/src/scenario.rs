//! What a seed's world looks like: its size, its traffic, its weather.

use policy_server::live::SessionTimes;

use crate::dice::Dice;
use crate::network::Weather;

/// Everything that is fixed before the first event.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Proxy processes.
    pub proxies: usize,
    /// Workers, each with one VM, of every proxy.
    pub workers: usize,
    /// For how long clients send requests, in milliseconds.
    pub traffic_ms: u64,
    /// Mean time between two bursts of requests, in milliseconds.
    pub gap_ms: u64,
    /// Most requests in one burst.
    pub burst: u64,
    /// How often a VM's timer fires, in milliseconds.
    pub tick_ms: u64,
    /// How long holders may act on what they know.
    pub times: SessionTimes,
    /// The network until the traffic ends.
    pub weather: Weather,
    /// Mean time between two faults, in milliseconds.
    pub fault_gap_ms: u64,
    /// Mean time between two changes by the administrator, in milliseconds.
    pub admin_gap_ms: u64,
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let weather = match dice.below(4) {
            0 => Weather::FAIR,
            1 => Weather { slow_per_mille: 300, ..Weather::FAIR },
            _ => Weather {
                lost_per_mille: dice.between(0, 150),
                twice_per_mille: dice.between(0, 150),
                slow_per_mille: dice.between(0, 200),
            },
        };
        // Half the runs live fast, so that sessions lapse often within few virtual seconds.
        let times = if dice.per_mille(500) {
            SessionTimes { ttl_ms: 8_000, grace_ms: 1_000 }
        } else {
            SessionTimes::default()
        };
        if dice.per_mille(250) {
            return Self::storm(times, &mut dice);
        }
        Self {
            proxies: 1 + dice.index(2),
            workers: 1 + dice.index(3),
            traffic_ms: dice.between(60, 150) * 1_000,
            gap_ms: dice.between(1_000, 6_000),
            burst: dice.between(1, 6),
            tick_ms: dice.between(2, 10) * 100,
            times,
            weather,
            fault_gap_ms: dice.between(8, 60) * 1_000,
            admin_gap_ms: dice.between(5, 40) * 1_000,
        }
    }

    /// One small proxy in which everything happens at once: cold VMs, changes, slow messages.
    fn storm(times: SessionTimes, dice: &mut Dice) -> Self {
        Self {
            proxies: 1,
            workers: 1 + dice.index(2),
            traffic_ms: 60_000,
            gap_ms: dice.between(300, 2_000),
            burst: 6,
            tick_ms: 100,
            times,
            weather: Weather {
                lost_per_mille: dice.between(50, 250),
                twice_per_mille: dice.between(0, 100),
                slow_per_mille: dice.between(200, 600),
            },
            fault_gap_ms: dice.between(3, 12) * 1_000,
            admin_gap_ms: dice.between(300, 3_000),
        }
    }
}
