use proptest::prelude::*;
use wire::v1::{Level, Limit, Scope, Subject, Unit, Window};

use super::*;

fn subject(id: &str) -> Subject {
    Subject { level: Level::Key, id: id.to_owned(), model: None }
}

fn limit(unit: Unit, window: Option<Window>, max: u64) -> Limit {
    Limit { unit, window, max, scope: Scope::Proxy, subject: subject("k") }
}

fn rpm(max: u64) -> Limit {
    limit(Unit::Requests, Some(Window::Minute), max)
}

fn tpm(max: u64) -> Limit {
    limit(Unit::Tokens, Some(Window::Minute), max)
}

fn call(tokens: u64) -> Call {
    Call { vm: 1, tokens }
}

fn try_admit(counter: &mut Counter, limits: &[Limit], call: Call, now: u64) -> Result<(), Full> {
    counter.check(limits, call, now)?;
    counter.admit(limits, call, now).unwrap();
    Ok(())
}

#[test]
fn the_sixty_first_waits_until_the_first_has_left() {
    let limits = [rpm(60)];
    let mut counter = Counter::default();
    for n in 0..60 {
        assert_eq!(try_admit(&mut counter, &limits, call(0), 1000 + n * 10), Ok(()));
        counter.finish(&limits, call(0), 0, 1000 + n * 10);
    }
    let full = try_admit(&mut counter, &limits, call(0), 2000).unwrap_err();
    assert_eq!(full.wait_ms, Some(59_000));
    assert!(try_admit(&mut counter, &limits, call(0), 60_999).is_err());
    assert_eq!(try_admit(&mut counter, &limits, call(0), 61_000), Ok(()));
}

#[test]
fn refused_requests_never_count() {
    let limits = [rpm(1)];
    let mut counter = Counter::default();
    try_admit(&mut counter, &limits, call(0), 0).unwrap();
    for now in 1..60_000 {
        assert!(try_admit(&mut counter, &limits, call(0), now).is_err());
    }
    assert_eq!(try_admit(&mut counter, &limits, call(0), 60_000), Ok(()));
}

#[test]
fn running_estimates_and_used_tokens_share_the_window() {
    let limits = [tpm(1000)];
    let mut counter = Counter::default();
    try_admit(&mut counter, &limits, call(600), 0).unwrap();
    assert_eq!(try_admit(&mut counter, &limits, call(500), 1).unwrap_err().room, 400);
    try_admit(&mut counter, &limits, call(400), 2).unwrap();
    counter.finish(&limits, call(600), 100, 3);
    assert_eq!(try_admit(&mut counter, &limits, call(500), 4), Ok(()));
    assert_eq!(counter.room(&limits[0]), 0);
    // a call larger than the limit never fits, however long one waits
    assert_eq!(try_admit(&mut counter, &limits, call(1001), 5).unwrap_err().wait_ms, None);
}

#[test]
fn a_long_call_counts_for_as_long_as_it_runs() {
    let limits = [tpm(1000)];
    let mut counter = Counter::default();
    try_admit(&mut counter, &limits, call(1000), 0).unwrap();
    counter.touch(1, 170_000);
    assert!(try_admit(&mut counter, &limits, call(1), 300_000).is_err());
    counter.finish(&limits, call(1000), 900, 300_000);
    assert!(try_admit(&mut counter, &limits, call(200), 300_001).is_err());
    assert_eq!(try_admit(&mut counter, &limits, call(100), 300_001), Ok(()));
}

#[test]
fn calls_of_a_dead_vm_are_forgotten() {
    let limits = [limit(Unit::Concurrent, None, 1)];
    let mut counter = Counter::default();
    try_admit(&mut counter, &limits, call(0), 0).unwrap();
    assert!(try_admit(&mut counter, &limits, Call { vm: 2, tokens: 0 }, CLAIM_TTL_MS - 1).is_err());
    assert_eq!(try_admit(&mut counter, &limits, Call { vm: 2, tokens: 0 }, CLAIM_TTL_MS), Ok(()));
}

#[test]
fn an_admission_can_be_taken_back() {
    for max in [5, 5000] {
        let limits = [rpm(max), tpm(100)];
        let mut counter = Counter::default();
        try_admit(&mut counter, &limits, call(10), 1234).unwrap();
        counter.take_back(&limits, call(10), 1234);
        assert!(
            counter.is_idle() || {
                counter.check(&limits, call(0), 1234).unwrap();
                counter.is_idle()
            }
        );
    }
}

#[test]
fn a_full_bucket_says_so_and_idle_subjects_make_place() {
    let limits = [rpm(5)];
    let mut bucket = Bucket::default();
    for n in 0..SUBJECTS_PER_BUCKET {
        let counter = bucket.counter(SubjectId::of(&subject(&n.to_string())), 0).unwrap();
        try_admit(counter, &limits, call(0), 0).unwrap();
        counter.finish(&limits, call(0), 0, 0);
    }
    let other = SubjectId::of(&subject("other"));
    assert_eq!(bucket.counter(other, 59_999).err(), Some(BucketFull));
    assert!(bucket.counter(other, 60_000).is_ok());
}

#[test]
fn foreign_bytes_are_no_bucket() {
    for bytes in [&b"\x02"[..], b"\x01", b"\x01\xff", b"\x01\x00\x00", b"hello"] {
        assert_eq!(Bucket::from_bytes(bytes), Err(Corrupt), "{bytes:?}");
    }
    assert_eq!(Bucket::from_bytes(b""), Ok(Bucket::default()));
}

#[test]
fn a_saturated_ring_serves_nearly_all_of_the_limit() {
    let limits = [rpm(6000)];
    let mut counter = Counter::default();
    let mut served = 0;
    for now in 0..10 * 60_000 {
        if try_admit(&mut counter, &limits, call(0), now).is_ok() {
            counter.finish(&limits, call(0), 0, now);
            served += 1;
        }
    }
    assert!(served >= 6000 * 10 * 98 / 100, "{served}");
}

/// The naive model: every admission and every ended call with its time, summed each time.
#[derive(Default)]
struct Model {
    admitted: Vec<u64>,
    ended: Vec<(u64, u64)>,
    running: Vec<u64>,
}

impl Model {
    fn requests_in(&self, window: u64, now: u64) -> u64 {
        self.admitted.iter().filter(|at| **at + window > now).count() as u64
    }
    fn tokens_in(&self, window: u64, now: u64) -> u64 {
        self.ended.iter().filter(|(at, _)| at + window > now).map(|(_, n)| n).sum::<u64>()
            + self.running.iter().sum::<u64>()
    }
}

#[derive(Debug, Clone)]
enum Act {
    Admit { tokens: u64 },
    Finish { which: usize, used: u64 },
    Wait(u64),
    Store,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        5 => (0u64..60).prop_map(|tokens| Act::Admit { tokens }),
        4 => (any::<usize>(), 0u64..80).prop_map(|(which, used)| Act::Finish { which, used }),
        3 => prop_oneof![0u64..50, 0u64..30_000].prop_map(Act::Wait),
        1 => Just(Act::Store),
    ];
    proptest::collection::vec(act, 1..300)
}

proptest! {
    /// Exact limits agree with the list of timestamps at every step; ring limits never admit what
    /// the list would refuse.
    #[test]
    fn agrees_with_a_list_of_timestamps(acts in acts(), max in 1u64..20, exact: bool) {
        let max_requests = if exact { max } else { max + EXACT_UP_TO };
        let max_tokens = if exact { max * 20 } else { max * 20 + EXACT_UP_TO };
        let limits = [rpm(max_requests), tpm(max_tokens)];
        let exact_tokens = max_tokens <= EXACT_UP_TO;
        let id = SubjectId::of(&subject("k"));
        let (mut bucket, mut model, mut now) = (Bucket::default(), Model::default(), 1_000_000u64);
        for act in acts {
            let counter = bucket.counter(id, now).unwrap();
            match act {
                Act::Admit { tokens } => {
                    let fits = model.requests_in(60_000, now) < max_requests
                        && model.tokens_in(60_000, now) + tokens <= max_tokens;
                    match try_admit(counter, &limits, call(tokens), now) {
                        Ok(()) => {
                            prop_assert!(fits);
                            model.admitted.push(now);
                            model.running.push(tokens);
                        }
                        Err(full) => {
                            let decided_exactly = match full.unit {
                                Unit::Tokens => exact_tokens,
                                _ => exact,
                            };
                            prop_assert!(!(fits && decided_exactly), "{full:?}");
                            if let (Some(wait), Unit::Requests) = (full.wait_ms, full.unit) {
                                // right to the millisecond: not yet before, then it fits
                                let mut later = counter.clone();
                                prop_assert!(later.check(&limits[..1], call(0), now + wait).is_ok());
                                let mut before = counter.clone();
                                prop_assert!(before.check(&limits[..1], call(0), now + wait - 1).is_err());
                            }
                        }
                    }
                }
                Act::Finish { which, used } if !model.running.is_empty() => {
                    let tokens = model.running.swap_remove(which % model.running.len());
                    counter.finish(&limits, call(tokens), used, now);
                    if used > 0 {
                        model.ended.push((now, used));
                    }
                }
                Act::Finish { .. } => {}
                Act::Wait(ms) => {
                    now += ms;
                    counter.touch(1, now);
                }
                Act::Store => {
                    let bytes = bucket.to_bytes();
                    prop_assert_eq!(Bucket::from_bytes(&bytes).unwrap(), bucket.clone());
                    bucket = Bucket::from_bytes(&bytes).unwrap();
                }
            }
        }
    }

    #[test]
    fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut with_format = vec![1];
        with_format.extend(bytes);
        if let Ok(bucket) = Bucket::from_bytes(&with_format) {
            prop_assert_eq!(Bucket::from_bytes(&bucket.to_bytes()).unwrap(), bucket);
        }
    }
}
