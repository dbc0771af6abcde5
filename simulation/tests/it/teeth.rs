//! Each deliberate fault must be found, and by the invariant that it breaks.

use simulation::{Invariant, Mutation};

/// Seeds among which a fault must be found.
const SEEDS: u64 = 400;

/// The first seed that finds the fault as a breach of this invariant.
fn finds(mutation: Mutation, invariant: Invariant) {
    let breaks = |seed: &u64| {
        let violation = |mutation| simulation::run(*seed, mutation, false).unwrap().violation;
        let broken = violation(Some(mutation));
        // The fault must have done it, not the seed.
        broken.is_some_and(|broken| broken.invariant == invariant) && violation(None).is_none()
    };
    let found = (0..SEEDS).find(breaks);
    assert!(found.is_some(), "{mutation:?} broke {invariant:?} in none of {SEEDS} seeds");
    println!("{mutation:?}: broke {invariant:?} at seed {}", found.unwrap_or_default());
}

macro_rules! teeth {
    ($($name:ident: $mutation:ident breaks $invariant:ident;)*) => {
        $(
            #[test]
            fn $name() {
                finds(Mutation::$mutation, Invariant::$invariant);
            }
        )*

        #[test]
        fn every_mutation_has_its_test() {
            // `quiet` has the test of the one that nobody notices while others use the key, `news` that
            // of the one that takes lost news and lost answers.
            let others = [Mutation::IgnoredRecall, Mutation::EarlyAcknowledgement];
            let all = Mutation::ALL.into_iter().filter(|it| !others.contains(it));
            assert_eq!(vec![$(Mutation::$mutation),*], all.collect::<Vec<_>>());
        }
    };
}

teeth! {
    halved_spending_is_found: HalvedSpent breaks Cover;
    a_lost_disclaimer_is_found: DroppedVoid breaks Rest;
    a_swallowed_report_is_found: SwallowedReport breaks Charges;
    a_repeated_record_is_found: RepeatedRecord breaks Charges;
    a_deaf_worker_is_found: DeafWorker breaks Revocation;
    a_lease_closed_too_early_is_found: EarlyFinal breaks Cover;
    forgotten_grants_are_found: ForgottenOutstanding breaks Ledger;
    forgotten_parked_money_is_found: ForgottenParked breaks Cover;
    windows_counted_apart_are_found: PrivateMemory breaks Windows;
    an_endless_session_is_found: EndlessSession breaks Revocation;
    released_instead_of_parked_is_found: ReleasedParked breaks Cover;
    dropped_late_reports_are_found: DroppedLateReport breaks Charges;
    added_reports_are_found: AddedReport breaks Charges;
    counted_refusals_are_found: CountedRefusal breaks Windows;
    a_shared_holder_id_is_found: SharedHolder breaks Charges;
    an_ignored_session_is_found: StoppedClock breaks Revocation;
    an_ignored_expiry_is_found: StoppedWallClock breaks Revocation;
    an_accepted_old_revision_is_found: OldRevision breaks Revocation;
    forgotten_budgets_of_keys_are_found: ForgottenKeys breaks Cover;
    forgotten_budgets_of_users_are_found: ForgottenUsers breaks Cover;
    forgotten_budgets_of_teams_are_found: ForgottenTeams breaks Cover;
    forgotten_budgets_of_organisations_are_found: ForgottenOrgs breaks Cover;
    forgotten_wallets_are_found: ForgottenWallets breaks Cover;
    a_grant_before_the_recall_is_found: GrantBeforeRecall breaks Placement;
    leases_kept_through_a_move_are_found: KeptLeases breaks Placement;
    thawed_budgets_are_found: ThawedBudgets breaks Ledger;
    permits_handed_back_at_once_are_found: EmptiedCooling breaks Windows;
    unreported_permits_are_found: UnreportedPermits breaks Windows;
    a_stream_that_is_not_closed_is_found: SwallowedClose breaks Revocation;
    a_double_grant_is_found: DoubleGrant breaks Rest;
    a_forgotten_record_is_found: ForgottenRecord breaks Charges;
    a_forgotten_disclaimer_is_found: DroppedTombstone breaks Rest;
    a_short_retry_after_is_found: ShortRetryAfter breaks Windows;
    hidden_overdraft_is_found: HiddenOverdraft breaks Ledger;
    free_cut_calls_are_found: FreeCutCalls breaks Charges;
    refunded_cut_calls_are_found: RefundedCutCalls breaks Charges;
    a_lowered_reservation_is_found: LoweredReservation breaks Cover;
    unread_usage_is_found: UnreadUsage breaks Charges;
    a_count_so_far_taken_for_the_last_is_found: EarlyCount breaks Charges;
    forgotten_tools_are_found: ForgottenTools breaks Charges;
    an_ignored_plan_is_found: IgnoredPlan breaks Charges;
    holders_that_nobody_waits_for_are_found: LongPull breaks Revocation;
    a_shadow_of_all_keys_is_found: ShadowOfAll breaks Shadow;
    a_forgotten_shadow_is_found: ForgottenShadow breaks Shadow;
    a_charged_shadow_is_found: ChargedShadow breaks Charges;
}
