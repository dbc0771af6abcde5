//! What a seed's world looks like: its size, its traffic, its weather.

use policy_server::live::SessionTimes;

use crate::dice::Dice;
use crate::network::Weather;
use crate::restores::Disk;

/// 2026-11-20T12:00:00Z.
const NOON_UNIX_MS: u64 = 1_795_176_000_000;
/// 2026-11-21T00:00:00Z: budgets of a day start afresh.
const MIDNIGHT_UNIX_MS: u64 = NOON_UNIX_MS + 43_200_000;

/// Streams that take very long, where any does, in a thousand.
const LONG_PER_MILLE: u64 = 150;
/// Worlds whose tokens have kinds and whose provider has tools, in a thousand.
const KINDS_PER_MILLE: u64 = 350;
/// Worlds with a proxy that has no timers, in a thousand.
const TIMERLESS_PER_MILLE: u64 = 300;
/// Worlds with keys in shadow mode, in a thousand.
const SHADOW_PER_MILLE: u64 = 300;

/// Who sends requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Many keys, all kinds of requests, answers that fail in all ways.
    Mixed,
    /// One key, one kind of request, again and again until the budget is spent; VMs crash at the
    /// given rate and nothing else goes wrong.
    Exhausting {
        /// Crashes in a thousand forwarded calls.
        crashes_per_mille: u64,
    },
    /// One key with a window over all proxies and no budget, used three times as often as it may
    /// be; nothing goes wrong.
    Saturating {
        /// Requests in a minute.
        limit: u64,
    },
}

/// Everything that is fixed before the first event.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Who sends requests.
    pub clients: Clients,
    /// Wall time at virtual time zero, in milliseconds since 1970 UTC.
    pub start_unix_ms: u64,
    /// Some budgets are for a day.
    pub has_daily_budgets: bool,
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
    /// Some answers and some uploads take up to this long, in milliseconds; zero where none does.
    pub longest_call_ms: u64,
    /// Streams that take so long, where any does, in a thousand.
    pub long_per_mille: u64,
    /// Most requests use one key, with money for many calls: then VMs keep leases for later calls.
    pub has_favourite: bool,
    /// What becomes of the server's disk.
    pub disk: Disk,
    /// Whenever a client is told to wait, all others fall silent, and what it waits for must come.
    pub hushes: bool,
    /// The provider sometimes produces more than the limit in the request allows.
    pub overruns: bool,
    /// Tokens that are read from caches or written to them have prices of their own, and the provider
    /// has tools.
    pub has_kinds: bool,
    /// The only fault: the server restarts while keys are switched off of which filters do not hear, so
    /// that they must ask about all of them.
    pub loses_news: bool,
    /// The last proxy has no timers and no memory that its workers share: what it has to do rides on
    /// requests.
    pub has_timerless: bool,
    /// Some keys are in shadow mode, now and then.
    pub has_shadow: bool,
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
        let times = if dice.per_mille(500) { SHORT_SESSIONS } else { SessionTimes::default() };
        let mut scenario = if dice.per_mille(200) {
            Self::lively(times, weather, &mut dice)
        } else if dice.per_mille(250) {
            Self::storm(times, &mut dice)
        } else {
            Self {
                clients: Clients::Mixed,
                start_unix_ms: NOON_UNIX_MS,
                has_daily_budgets: false,
                proxies: 1 + dice.index(2),
                workers: 1 + dice.index(3),
                traffic_ms: dice.between(60, 150) * 1_000,
                gap_ms: dice.between(1_000, 6_000),
                burst: dice.between(1, 6),
                tick_ms: dice.between(2, 10) * 100,
                times,
                weather,
                fault_gap_ms: dice.between(6, 50) * 1_000,
                admin_gap_ms: dice.between(5, 40) * 1_000,
                longest_call_ms: 0,
                long_per_mille: LONG_PER_MILLE,
                has_favourite: false,
                disk: Disk::Lasts,
                hushes: false,
                overruns: false,
                has_kinds: false,
                loses_news: false,
                has_timerless: false,
                has_shadow: false,
            }
        };
        if dice.per_mille(300) {
            scenario.has_daily_budgets = true;
            scenario.start_unix_ms = MIDNIGHT_UNIX_MS - dice.between(1_000, scenario.traffic_ms);
        }
        if dice.per_mille(250) {
            // Longer than the server waits for a holder that it does not hear of.
            scenario.longest_call_ms = 2 * (times.ttl_ms + times.grace_ms);
        }
        // Dice of their own: what else happens in a seed stays what it was.
        scenario.has_timerless = Dice::new(seed, 6).per_mille(TIMERLESS_PER_MILLE);
        scenario.has_shadow = Dice::new(seed, 7).per_mille(SHADOW_PER_MILLE);
        scenario.overruns = dice.per_mille(150);
        scenario.has_kinds = dice.per_mille(KINDS_PER_MILLE);
        scenario.disk = match dice.below(12) {
            0 => Disk::LostWithJournal,
            1 => Disk::LostWithoutJournal,
            _ => Disk::Lasts,
        };
        scenario
    }

    /// One key that is used all the time, and changed often.
    fn lively(times: SessionTimes, weather: Weather, dice: &mut Dice) -> Self {
        Self {
            clients: Clients::Mixed,
            start_unix_ms: NOON_UNIX_MS,
            has_daily_budgets: false,
            proxies: 2,
            workers: 1 + dice.index(2),
            traffic_ms: dice.between(20, 40) * 1_000,
            gap_ms: dice.between(100, 400),
            burst: dice.between(1, 3),
            tick_ms: dice.between(1, 5) * 100,
            times,
            weather,
            fault_gap_ms: dice.between(4, 20) * 1_000,
            admin_gap_ms: dice.between(1_000, 4_000),
            longest_call_ms: 0,
            long_per_mille: LONG_PER_MILLE,
            has_favourite: true,
            disk: Disk::Lasts,
            hushes: false,
            overruns: false,
            has_kinds: false,
            loses_news: false,
            has_timerless: false,
            has_shadow: false,
        }
    }

    /// One small proxy in which everything happens at once: cold VMs, changes, slow messages.
    fn storm(times: SessionTimes, dice: &mut Dice) -> Self {
        Self {
            clients: Clients::Mixed,
            start_unix_ms: NOON_UNIX_MS,
            has_daily_budgets: false,
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
            longest_call_ms: 0,
            long_per_mille: LONG_PER_MILLE,
            has_favourite: false,
            disk: Disk::Lasts,
            hushes: false,
            overruns: false,
            has_kinds: false,
            loses_news: false,
            has_timerless: false,
            has_shadow: false,
        }
    }

    /// Two proxies whose clients keep trying until one budget is spent.
    #[must_use]
    pub fn exhausting(seed: u64, crashes_per_mille: u64) -> Self {
        let mut dice = Dice::new(seed, 4);
        Self {
            clients: Clients::Exhausting { crashes_per_mille },
            start_unix_ms: NOON_UNIX_MS,
            has_daily_budgets: false,
            proxies: 2,
            workers: 2,
            // It ends when the budget is spent, long before.
            traffic_ms: 3_600_000,
            gap_ms: dice.between(100, 400),
            burst: dice.between(1, 4),
            tick_ms: 500,
            times: SHORT_SESSIONS,
            weather: Weather::FAIR,
            fault_gap_ms: 0,
            admin_gap_ms: 0,
            longest_call_ms: 0,
            long_per_mille: LONG_PER_MILLE,
            has_favourite: false,
            disk: Disk::Lasts,
            hushes: false,
            overruns: false,
            has_kinds: false,
            loses_news: false,
            has_timerless: false,
            has_shadow: false,
        }
    }
}

impl Scenario {
    /// As [`Scenario::exhausting`] without crashes, but whoever is told to wait is left alone.
    #[must_use]
    pub fn hushed(seed: u64) -> Self {
        Self { hushes: true, ..Self::exhausting(seed, 0) }
    }

    /// Keys are switched off while their calls run, and nothing is ever heard of it but that something
    /// has changed; messages are lost.
    #[must_use]
    pub fn forgetful(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 5);
        let weather = Weather { lost_per_mille: dice.between(50, 300), ..Weather::FAIR };
        Self {
            loses_news: true,
            proxies: 1,
            traffic_ms: 120_000,
            gap_ms: 1_000,
            tick_ms: 100,
            fault_gap_ms: 10_000,
            admin_gap_ms: 1_000,
            longest_call_ms: 60_000,
            long_per_mille: 800,
            has_favourite: false,
            ..Self::lively(SessionTimes::default(), weather, &mut dice)
        }
    }

    /// Two proxies with two workers each, and three times as many requests as a window over all of
    /// them allows.
    #[must_use]
    pub fn saturating(seed: u64, limit: u64) -> Self {
        Self {
            clients: Clients::Saturating { limit },
            traffic_ms: SATURATED_MINUTES * 60_000,
            gap_ms: 60_000 / (3 * limit.max(1)),
            burst: 1,
            // As the filter sets its timer.
            tick_ms: 50,
            ..Self::exhausting(seed, 0)
        }
    }
}

/// For how long a window over all proxies is saturated.
pub(crate) const SATURATED_MINUTES: u64 = 6;

const SHORT_SESSIONS: SessionTimes =
    SessionTimes { ttl_ms: 8_000, pull_ttl_ms: 3_000, grace_ms: 1_000 };
