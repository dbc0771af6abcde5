use super::*;
use proptest::prelude::*;
use wire::v1::Ask;
use wire::{CatalogueVersion, ModelName, PicoUsdPerToken, PriceMultiplier};

fn account(cap: u64, settled: u64, parked: u64, outstanding: u64) -> Account {
    Account {
        cap: Some(NanoUsd(cap)),
        settled: NanoUsd(settled),
        parked: NanoUsd(parked),
        outstanding: NanoUsd(outstanding),
        overdraft: NanoUsd::ZERO,
    }
}

/// One nano-USD per output token, input free: amounts below read as tokens.
const PRICE: Price = Price::text(PicoUsdPerToken(0), PicoUsdPerToken(1_000), None);

fn bounds(output: u64, is_clients: bool) -> Bounds {
    let ask = Ask {
        model: ModelName::new("m").unwrap(),
        catalogue_version: CatalogueVersion(1),
        input_tokens: 0,
        output_tokens: output,
        output_is_clients: is_clients,
        choices: 1,
        server_tool_calls: 0,
        price_multiplier: PriceMultiplier::ONE,
    };
    Bounds::new(&ask, None)
}

fn at(level: Level, account: Account) -> LevelAccount {
    LevelAccount { level, account }
}

#[test]
fn room_counts_everything_and_left_only_what_is_certain() {
    let full = account(100, 40, 20, 40);
    assert_eq!(full.room(), Some(NanoUsd(0)));
    assert_eq!(full.left(), Some(NanoUsd(40)));
    assert_eq!(account(100, 90, 20, 0).left(), None);
    assert_eq!(account(100, 40, 20, 41).room(), None);
    assert_eq!(account(100, 40, 20, 41).over_cap(), NanoUsd(1));
    assert_eq!(Account::default().room(), Some(NanoUsd::MAX));
}

#[test]
fn sums_near_the_largest_amount_do_not_wrap() {
    let huge = account(u64::MAX, u64::MAX, u64::MAX, u64::MAX);
    assert_eq!((huge.room(), huge.left()), (None, None));
    assert_eq!(huge.over_cap(), NanoUsd::MAX);
    let mut settled = account(10, u64::MAX, 0, 0);
    settled.settle_without_lease(NanoUsd(5));
    assert_eq!(settled.settled, NanoUsd::MAX);
}

#[test]
fn nothing_is_granted_beyond_the_room() {
    let mut account = account(100, 40, 20, 30);
    let before = account;
    assert_eq!(account.grant(NanoUsd(11)), Err(BrokenLedger));
    assert_eq!(account, before);
    assert_eq!(account.grant(NanoUsd(10)), Ok(()));
    assert_eq!(account.room(), Some(NanoUsd(0)));
    assert_eq!(account.grant(NanoUsd(1)), Err(BrokenLedger));
    account.cap = Some(NanoUsd(99));
    assert_eq!(account.grant(NanoUsd(0)), Err(BrokenLedger), "cap lowered");
}

#[test]
fn a_call_dearer_than_its_lease_is_settled_in_full_and_shown_as_overdraft() {
    let mut account = account(100, 0, 0, 0);
    account.grant(NanoUsd(30)).unwrap();
    let mut lease = LeaseMoney::granted(NanoUsd(30));
    let movement = lease.state(&Statement { spent: NanoUsd(42), floor: None, is_final: true });
    account.apply(&movement).unwrap();
    assert_eq!(account.settled, NanoUsd(42));
    assert_eq!(account.overdraft, NanoUsd(12));
    assert_eq!(account.outstanding, NanoUsd(0));
}

#[test]
fn a_floor_hands_back_what_lies_above_it() {
    let mut lease = LeaseMoney::granted(NanoUsd(100));
    let movement =
        lease.state(&Statement { spent: NanoUsd(10), floor: Some(NanoUsd(40)), is_final: false });
    assert_eq!(movement.covered, NanoUsd(10));
    assert_eq!(movement.handed_back, NanoUsd(60));
    assert_eq!(lease.remaining(), NanoUsd(30));
    // a floor below what was spent keeps nothing, one above what is held hands nothing back
    let below = Statement { spent: NanoUsd(10), floor: Some(NanoUsd(5)), is_final: false };
    assert_eq!(lease.clone().state(&below).handed_back, NanoUsd(30));
    let above = Statement { floor: Some(NanoUsd(500)), ..below };
    assert!(lease.state(&above).is_nothing());
}

#[test]
fn a_lost_session_parks_and_a_late_report_settles() {
    let mut account = account(100, 0, 0, 0);
    account.grant(NanoUsd(50)).unwrap();
    let mut lease = LeaseMoney::granted(NanoUsd(50));
    account.apply(&lease.park()).unwrap();
    assert_eq!((account.parked, account.outstanding), (NanoUsd(50), NanoUsd(0)));
    assert!(lease.park().is_nothing(), "parking twice moves nothing");
    let late = Statement { spent: NanoUsd(20), floor: None, is_final: true };
    account.apply(&lease.state(&late)).unwrap();
    assert_eq!((account.settled, account.parked), (NanoUsd(20), NanoUsd(0)));
    assert_eq!(account.room(), Some(NanoUsd(80)));
    assert!(lease.state(&late).is_nothing());
}

#[test]
fn released_money_is_room_again_and_a_late_report_of_it_is_overdraft() {
    let mut account = account(100, 0, 0, 0);
    account.grant(NanoUsd(60)).unwrap();
    let mut lease = LeaseMoney::granted(NanoUsd(60));
    account.apply(&lease.park()).unwrap();
    assert_eq!(account.release(NanoUsd(61)), Err(BrokenLedger));
    account.release(lease.remaining()).unwrap();
    assert_eq!(account.room(), Some(NanoUsd(100)));
    account.grant(NanoUsd(90)).unwrap();
    let late = Statement { spent: NanoUsd(25), floor: None, is_final: true };
    account.apply_released(&lease.state(&late));
    assert_eq!((account.settled, account.overdraft), (NanoUsd(25), NanoUsd(25)));
    assert_eq!((account.parked, account.outstanding), (NanoUsd(0), NanoUsd(90)));
    account.apply_released(&lease.state(&late));
    assert_eq!(account.settled, NanoUsd(25), "repeating changes nothing");
}

#[test]
fn a_movement_out_of_an_empty_sum_is_refused() {
    let mut account = account(100, 0, 0, 5);
    let before = account;
    let movement = Movement { covered: NanoUsd(6), ..Movement::nothing(Source::Outstanding) };
    assert_eq!(account.apply(&movement), Err(BrokenLedger));
    assert_eq!(account, before);
}

#[test]
fn the_smallest_room_decides_and_lowers_a_chosen_limit() {
    let accounts =
        [at(Level::Key, account(10_000, 0, 0, 0)), at(Level::Org, account(5_000, 4_000, 400, 0))];
    let reserved = reserve(&accounts, &bounds(2_000, false), &PRICE).unwrap();
    assert_eq!(reserved.amount, NanoUsd(600));
    assert_eq!(reserved.output_tokens, 600);
}

#[test]
fn a_limit_is_not_lowered_because_money_is_merely_out() {
    let busy = at(Level::Org, account(5_000, 4_000, 0, 400));
    let lowered_to_what_is_left = Denial::Contended { need: NanoUsd(1_000) };
    assert_eq!(reserve(&[busy], &bounds(2_000, false), &PRICE), Err(lowered_to_what_is_left));
    assert_eq!(reserve(&[busy], &bounds(500, false), &PRICE).unwrap().output_tokens, 500);
}

#[test]
fn a_refusal_names_the_tightest_level_only_when_no_end_of_running_calls_would_help() {
    let key = at(Level::Key, account(1_000, 900, 0, 0));
    let org = at(Level::Org, account(1_000, 950, 20, 0));
    assert_eq!(
        reserve(&[key, org], &bounds(500, true), &PRICE),
        Err(Denial::Exceeded { level: Level::Org, need: NanoUsd(500), left: NanoUsd(30) })
    );
    let busy = at(Level::Org, account(1_000, 0, 0, 800));
    assert_eq!(
        reserve(&[busy], &bounds(500, true), &PRICE),
        Err(Denial::Contended { need: NanoUsd(500) })
    );
    // exactly the cap is not beyond it
    let exact = at(Level::Key, account(1_000, 500, 0, 0));
    assert!(reserve(&[exact], &bounds(500, true), &PRICE).is_ok());
    let overspent = at(Level::Key, account(1_000, 1_001, 0, 0));
    assert_eq!(
        reserve(&[overspent], &bounds(0, true), &PRICE),
        Err(Denial::Exceeded { level: Level::Key, need: NanoUsd(0), left: NanoUsd(0) }),
        "beyond the cap not even a free call is granted"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Grant(u64),
    State(usize, Statement),
    Park(usize),
    Void(usize),
    Release(usize),
    Cap(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let statement = (0u64..60, proptest::option::of(0u64..80), any::<bool>()).prop_map(
        |(spent, floor, is_final)| Statement {
            spent: NanoUsd(spent),
            floor: floor.map(NanoUsd),
            is_final,
        },
    );
    prop_oneof![
        3 => (0u64..50).prop_map(Step::Grant),
        4 => (0usize..8, statement).prop_map(|(which, statement)| Step::State(which, statement)),
        1 => (0usize..8).prop_map(Step::Park),
        1 => (0usize..8).prop_map(Step::Void),
        1 => (0usize..8).prop_map(Step::Release),
        1 => (50u64..250).prop_map(Step::Cap),
    ]
}

proptest! {
    /// The laws of the module header, checked after every step of any sequence.
    #[test]
    fn the_sums_are_those_of_the_leases(steps in proptest::collection::vec(step(), 1..60)) {
        let mut account = account(150, 0, 0, 0);
        let mut leases: Vec<LeaseMoney> = Vec::new();
        // What each lease had spent, and of that beyond its amount, when it was released.
        let mut released: Vec<Option<(u64, u64)>> = Vec::new();
        let mut largest_cap = 150;
        for step in steps {
            match step {
                Step::Grant(amount) => {
                    let taken = account.settled.0 + account.parked.0 + account.outstanding.0;
                    let fits = taken + amount <= account.cap.unwrap().0;
                    prop_assert_eq!(account.grant(NanoUsd(amount)).is_ok(), fits);
                    if fits {
                        leases.push(LeaseMoney::granted(NanoUsd(amount)));
                        released.push(None);
                    }
                }
                Step::State(which, statement) => {
                    if let Some(lease) = leases.get_mut(which) {
                        let movement = lease.state(&statement);
                        match released[which] {
                            Some(_) => account.apply_released(&movement),
                            None => account.apply(&movement).unwrap(),
                        }
                        let again = lease.state(&statement);
                        prop_assert!(again.is_nothing(), "repeating moved {again:?}");
                    }
                }
                Step::Park(which) => {
                    if let Some(lease) = leases.get_mut(which) {
                        account.apply(&lease.park()).unwrap();
                    }
                }
                Step::Void(which) => {
                    if let Some(lease) = leases.get_mut(which) {
                        let movement = lease.void();
                        match released[which] {
                            Some(_) => account.apply_released(&movement),
                            None => account.apply(&movement).unwrap(),
                        }
                        prop_assert_eq!(lease.remaining(), NanoUsd::ZERO);
                    }
                }
                Step::Release(which) => {
                    if let Some(lease) = leases.get(which)
                        && lease.standing == Standing::Parked
                        && released[which].is_none()
                    {
                        account.release(lease.remaining()).unwrap();
                        let beyond = lease.spent.0.saturating_sub(lease.held.0);
                        released[which] = Some((lease.spent.0, beyond));
                    }
                }
                Step::Cap(cap) => {
                    account.cap = Some(NanoUsd(cap));
                    largest_cap = largest_cap.max(cap);
                }
            }
            let sum = |standing| -> u64 {
                leases
                    .iter()
                    .zip(&released)
                    .filter(|(lease, released)| lease.standing == standing && released.is_none())
                    .map(|(lease, _)| lease.remaining().0)
                    .sum()
            };
            let beyond: u64 = leases
                .iter()
                .zip(&released)
                .map(|(lease, released)| match released {
                    Some((spent, beyond)) => beyond + (lease.spent.0 - spent),
                    None => lease.spent.0.saturating_sub(lease.held.0),
                })
                .sum();
            prop_assert_eq!(account.overdraft.0, beyond);
            prop_assert_eq!(account.outstanding.0, sum(Standing::Open));
            prop_assert_eq!(account.parked.0, sum(Standing::Parked));
            prop_assert_eq!(sum(Standing::Closed), 0);
            prop_assert_eq!(
                account.settled.0,
                leases.iter().map(|lease| lease.spent.0).sum::<u64>()
            );
            let covered = account.settled.0 - account.overdraft.0;
            prop_assert!(covered + account.parked.0 + account.outstanding.0 <= largest_cap);
        }
    }

    /// Reports in any order, repeated or not, end in the same place.
    #[test]
    fn order_and_repetition_of_reports_do_not_matter(
        spent in proptest::collection::vec(0u64..200, 1..6),
        order in proptest::collection::vec(0usize..6, 0..12),
    ) {
        let largest = spent.iter().copied().max().unwrap();
        let statement = |spent| Statement { spent: NanoUsd(spent), floor: None, is_final: false };
        let closing = Statement { is_final: true, ..statement(largest) };
        let run = |statements: Vec<Statement>| {
            let mut account = account(1_000, 0, 0, 0);
            account.grant(NanoUsd(100)).unwrap();
            let mut lease = LeaseMoney::granted(NanoUsd(100));
            for statement in statements {
                account.apply(&lease.state(&statement)).unwrap();
            }
            (account, lease)
        };
        let mut shuffled: Vec<_> = order
            .iter()
            .filter_map(|index| spent.get(*index).copied())
            .map(statement)
            .collect();
        shuffled.push(closing);
        shuffled.extend(spent.iter().copied().map(statement));
        prop_assert_eq!(run(vec![closing]), run(shuffled));
    }
}
