use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

const W: u64 = 60_000;

fn used(count: u64) -> Moved {
    Moved { used: count, ..Moved::default() }
}

/// A limit of 10 whose permits were granted and used at these times.
fn used_at(times: &[u64]) -> Permits {
    let mut permits = Permits::unused(W);
    for at in times {
        permits.grant(1, u64::MAX, *at).unwrap();
        permits.apply(&used(1), *at, *at).unwrap();
    }
    permits
}

#[test]
fn a_permit_returns_one_window_after_its_use_to_the_millisecond() {
    let permits = used_at(&[1_000, 1_500, 2_000]);
    assert_eq!(permits.room(4, 2_000), Room::Free(1));
    assert_eq!(permits.room(3, 2_000), Room::Cooling { returns_in_ms: 59_000 });
    assert_eq!(permits.room(3, 60_999), Room::Cooling { returns_in_ms: 1 });
    assert_eq!(permits.room(3, 61_000), Room::Free(1));
    assert_eq!(permits.room(3, 61_500), Room::Free(2));
    assert_eq!(permits.room(3, 62_000), Room::Free(3));
}

#[test]
fn a_lowered_limit_has_room_once_enough_have_returned_and_a_raised_one_at_once() {
    let permits = used_at(&[1_000, 1_500, 2_000]);
    assert_eq!(permits.room(1, 2_000), Room::Cooling { returns_in_ms: 60_000 });
    assert_eq!(permits.room(2, 2_000), Room::Cooling { returns_in_ms: 59_500 });
    assert_eq!(permits.room(9, 2_000), Room::Free(6));
}

#[test]
fn held_permits_are_told_from_used_ones() {
    let mut permits = used_at(&[1_000]);
    permits.grant(2, 3, 1_000).unwrap();
    assert_eq!(permits.grant(1, 3, 1_000), Err(BrokenLedger));
    assert_eq!(permits.room(3, 1_000), Room::Held { returns_in_ms: Some(60_000) });
    assert_eq!(permits.room(2, 1_000), Room::Held { returns_in_ms: None });
    permits.apply(&Moved { used: 1, beyond: 0, freed: 1 }, 1_400, 1_500).unwrap();
    assert_eq!(permits.room(3, 1_500), Room::Free(1));
    assert_eq!(permits.room(2, 1_500), Room::Cooling { returns_in_ms: 59_500 });
    assert_eq!(permits.apply(&used(1), 1_500, 1_500), Err(BrokenLedger));
}

#[test]
fn statements_in_any_order_count_each_use_once() {
    let mut lease = LeasePermits::granted(5);
    assert_eq!(lease.state(3, false), used(3));
    assert_eq!(lease.state(2, false), Moved::default());
    assert_eq!(lease.state(4, true), Moved { used: 1, beyond: 0, freed: 1 });
    assert_eq!(lease.state(4, true), Moved::default());
    // it must not be, but the truth counts
    assert_eq!(lease.state(7, false), Moved { used: 0, beyond: 3, freed: 0 });
    let mut lost = LeasePermits::granted(5);
    lost.state(1, false);
    assert_eq!(lost.lapse(), used(4));
    assert_eq!(lost.state(5, true), Moved::default());
    assert_eq!(lost.lapse(), Moved::default());
}

#[test]
fn the_last_use_is_never_taken_to_be_before_the_grant() {
    assert_eq!(last_use_ms(10_000, 300, Some(9_000)), 9_700);
    assert_eq!(last_use_ms(10_000, 3_000, Some(9_000)), 9_000);
    assert_eq!(last_use_ms(10_000, 30_000, None), 0);
}

#[test]
fn small_limits_are_granted_call_by_call_and_large_ones_in_fair_shares() {
    assert_eq!(extra_permits(15, 15, 100, 4), 0);
    assert_eq!(extra_permits(16, 16, 100, 4), 1);
    assert_eq!(extra_permits(600, 600, 100, 4), 74);
    assert_eq!(extra_permits(600, 600, 5, 4), 5);
    assert_eq!(extra_permits(600, 8, 100, 4), 0);
    assert_eq!(extra_permits(600, 1, 100, 0), 0);
}

#[test]
fn many_uses_are_kept_in_few_times_that_err_to_the_late_side() {
    let mut permits = Permits::unused(W);
    for at in 0..3_000u64 {
        let now = at * 17;
        permits.grant(1, u64::MAX, now).unwrap();
        permits.apply(&used(1), now, now).unwrap();
        assert!(permits.cooling.len() <= COOLING_TIMES);
        assert!(permits.encode().len() <= 985);
    }
    // 3,000 uses in 51 seconds: each returns within a second after its time
    for at in (0..3_000u64).step_by(97) {
        let returned = 3_000 - permits.cooling(at * 17 + W);
        assert!(returned <= at + 1, "{returned} of {at} at their time");
        assert!(3_000 - permits.cooling(at * 17 + W + W / 60) > at, "{at} is late");
    }
}

#[test]
fn another_life_of_the_server_starts_every_window_over() {
    let mut permits = used_at(&[100_000, 130_000]);
    permits.grant(1, 3, 130_000).unwrap();
    permits.enter_life(7);
    assert_eq!((permits.held(), permits.cooling(7 + W - 1), permits.cooling(7 + W)), (1, 2, 0));
}

#[test]
fn bytes_that_are_no_state_are_refused() {
    let permits = used_at(&[1, 2, 3]);
    let bytes = permits.encode();
    assert_eq!(Permits::decode(W, &bytes), Ok(permits));
    for wrong in [&[][..], &[2; 9], &[1; 8], &bytes[..bytes.len() - 1], &bytes[..bytes.len() - 8]] {
        assert_eq!(Permits::decode(W, wrong), Err(NotPermits));
    }
    let mut disordered = bytes.clone();
    disordered.extend_from_slice(&bytes[9..]);
    assert_eq!(Permits::decode(W, &disordered), Err(NotPermits));
}

/// A message about a lease, as it was when it was sent.
#[derive(Debug, Clone)]
struct Report {
    lease: usize,
    used: u64,
    hands_back: bool,
    sent_ms: u64,
    last_use_ms: u64,
}

/// A lease as its holder knows it.
#[derive(Debug, Clone)]
struct Held {
    left: u64,
    used: u64,
    last_use_ms: u64,
    /// Its holder has handed back, vanished or never had it.
    over: bool,
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Ask { want: u64, arrives: bool },
    Use { lease: usize },
    Send { lease: usize, hands_back: bool },
    Deliver { message: usize, again: bool },
    Drop { message: usize },
    Void { lease: usize },
    Lapse { lease: usize },
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u64..1_200).prop_map(Event::Pass),
        4 => (0u64..5, prop::bool::weighted(0.9))
            .prop_map(|(want, arrives)| Event::Ask { want, arrives }),
        6 => (0usize..64).prop_map(|lease| Event::Use { lease }),
        3 => (0usize..64, any::<bool>())
            .prop_map(|(lease, hands_back)| Event::Send { lease, hands_back }),
        3 => (0usize..64, any::<bool>())
            .prop_map(|(message, again)| Event::Deliver { message, again }),
        1 => (0usize..64).prop_map(|message| Event::Drop { message }),
        1 => (0usize..64).prop_map(|lease| Event::Void { lease }),
        1 => (0usize..64).prop_map(|lease| Event::Lapse { lease }),
        1 => Just(Event::Restart),
    ]
}

/// The server's side, its leases beside what holders know, and every use with its true time.
struct Model {
    max: u64,
    now: u64,
    /// What the server's clock is ahead of true time: another after each start.
    clock: u64,
    permits: Permits,
    leases: Vec<LeasePermits>,
    granted_ms: Vec<Option<u64>>,
    holders: Vec<Held>,
    messages: VecDeque<Report>,
    uses: Vec<u64>,
}

const MODEL_WINDOW: u64 = 6_000;

impl Model {
    fn new(max: u64) -> Self {
        Self {
            max,
            now: 1_000,
            clock: 500,
            permits: Permits::unused(MODEL_WINDOW),
            leases: Vec::new(),
            granted_ms: Vec::new(),
            holders: Vec::new(),
            messages: VecDeque::new(),
            uses: Vec::new(),
        }
    }

    fn server_ms(&self) -> u64 {
        self.now + self.clock
    }

    fn take(&mut self, report: &Report) {
        let lease = &mut self.leases[report.lease];
        let moved = lease.state(report.used, report.hands_back);
        let age = report.sent_ms - report.last_use_ms;
        let at = last_use_ms(self.now + self.clock, age, self.granted_ms[report.lease]);
        self.permits.apply(&moved, at, self.now + self.clock).unwrap();
    }

    fn step(&mut self, event: &Event) {
        let pick = |index: usize, length: usize| (length > 0).then(|| index % length.max(1));
        match *event {
            Event::Pass(ms) => self.now += ms,
            Event::Ask { want, arrives } => {
                let Room::Free(free) = self.permits.room(self.max, self.server_ms()) else {
                    return;
                };
                let count = 1 + extra_permits(self.max, free, want, 2);
                self.permits.grant(count, self.max, self.server_ms()).unwrap();
                self.leases.push(LeasePermits::granted(count));
                self.granted_ms.push(Some(self.server_ms()));
                let last_use_ms = self.now;
                self.holders.push(Held { left: count, used: 0, last_use_ms, over: !arrives });
            }
            Event::Use { lease } => {
                let Some(index) = pick(lease, self.holders.len()) else { return };
                let held = &mut self.holders[index];
                if !held.over && held.left > 0 {
                    held.left -= 1;
                    held.used += 1;
                    held.last_use_ms = self.now;
                    self.uses.push(self.now);
                    let since = self.uses.iter().filter(|at| **at + MODEL_WINDOW > self.now);
                    assert!(since.count() as u64 <= self.max, "{:?}", self.uses);
                }
            }
            Event::Send { lease, hands_back } => {
                let Some(lease) = pick(lease, self.holders.len()) else { return };
                let held = &mut self.holders[lease];
                if held.over && held.used == 0 {
                    return;
                }
                held.over |= hands_back;
                let (used, last_use_ms) = (held.used, held.last_use_ms);
                let sent_ms = self.now;
                self.messages.push_back(Report { lease, used, hands_back, sent_ms, last_use_ms });
            }
            Event::Deliver { message, again } => {
                let Some(index) = pick(message, self.messages.len()) else { return };
                let report = self.messages[index].clone();
                self.take(&report);
                if !again {
                    self.messages.remove(index);
                }
            }
            Event::Drop { message } => {
                let Some(index) = pick(message, self.messages.len()) else { return };
                self.messages.remove(index);
            }
            Event::Void { lease } => {
                let Some(index) = pick(lease, self.holders.len()) else { return };
                // only a grant that never arrived is disclaimed
                if self.holders[index].over && self.holders[index].used == 0 {
                    let used = self.leases[index].used;
                    let moved = self.leases[index].state(used, true);
                    self.permits.apply(&moved, 0, self.now + self.clock).unwrap();
                }
            }
            Event::Lapse { lease } => {
                let Some(index) = pick(lease, self.holders.len()) else { return };
                self.holders[index].over = true;
                let moved = self.leases[index].lapse();
                let now = self.now + self.clock;
                self.permits.apply(&moved, now, now).unwrap();
            }
            Event::Restart => {
                self.clock = (self.clock * 7 + 3) % 10_007;
                self.permits.enter_life(self.now + self.clock);
                self.granted_ms.fill(None);
            }
        }
        let bytes = self.permits.encode();
        assert_eq!(Permits::decode(MODEL_WINDOW, &bytes), Ok(self.permits.clone()));
        let held: u64 = self.leases.iter().map(LeasePermits::remaining).sum();
        assert_eq!(self.permits.held(), held);
    }

    /// Everything is reported at last; one window later all permits are free again.
    fn rest(mut self) {
        for (lease, held) in self.holders.clone().into_iter().enumerate() {
            let (used, last_use_ms, sent_ms) = (held.used, held.last_use_ms, self.now);
            self.take(&Report { lease, used, hands_back: true, sent_ms, last_use_ms });
        }
        self.now += MODEL_WINDOW + MODEL_WINDOW / STEPS_PER_WINDOW;
        assert_eq!(self.permits.room(self.max, self.server_ms()), Room::Free(self.max));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn at_no_time_more_than_the_limit_within_any_window(
        max in 1u64..12, events in prop::collection::vec(event(), 1..300),
    ) {
        let mut model = Model::new(max);
        for event in &events {
            model.step(event);
        }
        model.rest();
    }

    #[test]
    fn a_retry_after_the_time_that_was_said_finds_room_and_not_before(
        max in 1u64..8, times in prop::collection::vec(0u64..70_000, 1..20),
    ) {
        let mut times = times;
        times.sort_unstable();
        let mut permits = Permits::unused(W);
        for at in times {
            match permits.room(max, at) {
                Room::Free(_) => {
                    permits.grant(1, max, at).unwrap();
                    permits.apply(&used(1), at, at).unwrap();
                }
                Room::Cooling { returns_in_ms } => {
                    let before = permits.room(max, at + returns_in_ms - 1);
                    prop_assert_eq!(before, Room::Cooling { returns_in_ms: 1 });
                    let then = permits.room(max, at + returns_in_ms);
                    prop_assert!(matches!(then, Room::Free(_)));
                }
                Room::Held { .. } => prop_assert!(false),
            }
        }
    }
}

/// A limit is replaced while its window is full: the uses of before cool together with a mark that
/// everything was used, beyond the window's own steps.
#[test]
fn a_full_list_with_a_late_mark_stays_bounded_and_readable() {
    let window_ms = 60_000;
    let mut permits = Permits::unused(window_ms);
    for at_ms in (1_000..61_000).step_by(137) {
        permits.cool(1, at_ms + window_ms, at_ms);
    }
    let now_ms = 61_000;
    let before = permits.cooling(now_ms);
    permits.cool(300, now_ms + window_ms + 65_000, now_ms);
    permits.cool(7, now_ms + window_ms + 1, now_ms);
    assert_eq!(permits.cooling(now_ms), before + 307, "none is forgotten");
    let bytes = permits.encode();
    assert!(bytes.len() <= 985, "{}", bytes.len());
    assert_eq!(Permits::decode(window_ms, &bytes), Ok(permits.clone()));
    // none returns before its time
    assert!(permits.cooling(now_ms + window_ms + 64_999) >= 300);
    assert_eq!(permits.cooling(now_ms + window_ms + 65_000 + 1_000), 0);
}

#[test]
fn a_list_that_is_too_long_is_read_as_returning_late() {
    let mut bytes = vec![1];
    let times = (1..=70u64).flat_map(|n| [1_000 * n, 1]);
    bytes.extend(std::iter::once(3).chain(times).flat_map(u64::to_be_bytes));
    let permits = Permits::decode(60_000, &bytes).unwrap();
    assert_eq!(permits.cooling(0), 70);
    assert_eq!(permits.cooling(69_999), 10, "the last ten return with the latest");
    assert!(permits.encode().len() <= 985);
}

#[test]
fn what_cools_beyond_a_window_from_now_is_merged_to_the_late_side() {
    let mut permits = Permits::unused(W);
    // A use in every step of the window, and permits that return five seconds beyond it.
    for at in 0..64 {
        permits.cool(1, at * 1_000 + 500 + W, at * 1_000 + 500);
    }
    let now = 64_000;
    let before = permits.cooling(now);
    permits.cool(300, now + 5_000 + W, now);
    permits.cool(1, now + 7_000 + W, now);
    assert!(permits.cooling.len() <= COOLING_TIMES, "{}", permits.cooling.len());
    assert_eq!(permits.cooling(now), before + 301, "none is lost");
    assert!(permits.cooling(now + 5_000 + W - 1) >= 301, "none returns early");
    let bytes = permits.encode();
    assert!(bytes.len() <= 985);
    assert_eq!(Permits::decode(W, &bytes), Ok(permits));
}

#[test]
fn more_times_than_are_kept_are_read_and_merged_to_the_late_side() {
    let cooling = (1..=70).map(|at| Cooling { returns_at_ms: at * 1_000, count: 1 });
    let written = Permits { cooling: cooling.collect(), ..Permits::unused(W) };
    let read = Permits::decode(W, &written.encode()).unwrap();
    assert_eq!(read.cooling.len(), COOLING_TIMES);
    assert_eq!((read.cooling(0), read.cooling(69_999)), (70, 10));
}
