//! What must hold, whatever happens. Facts come in as the world moves; laws are checked after every
//! event, and the sums when everything has come to rest.

mod cover;
mod rest;
pub use rest::Rest;
mod placement;
mod plans;
mod shadow;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wire::v1::Price;
use wire::{CatalogueVersion, NanoUsd, PriceMultiplier, Revision};

use crate::ledger::{AccountId, AccountRow};
use crate::worker::Life;

use cover::Cover;
use placement::Placements;
pub use placement::{Eras, Placement};
use plans::Plans;
use shadow::Shadows;
pub use windows::KeyLimits;
use windows::Windows;

/// The invariants that a run can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No grant beyond a cap; every account is the sum of its leases.
    Ledger,
    /// Upstream cost stays within cap and overdraft.
    TrueCost,
    /// What is withdrawn or expired is not admitted any more, its streams end, and nothing is
    /// admitted after a session's end.
    Revocation,
    /// No window admits more than its limit, or refuses while it has room.
    Windows,
    /// Every ended call is charged once and rightly; lost ones are covered by parked money.
    Charges,
    /// At any time the ledger holds what calls have cost so far, but for what those without usage had
    /// reserved beyond their charges.
    Cover,
    /// A call is charged above where its key is, not where it was before it was moved.
    Placement,
    /// A request that was refused has left something behind.
    Refusal,
    /// What would be refused goes on where a key is in shadow mode, and nowhere else.
    Shadow,
    /// What a client was told to wait for does not come.
    Liveness,
    /// At rest nothing is held that nobody can spend.
    Rest,
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.text)
    }
}

impl std::error::Error for Violation {}

type Verdict = Result<(), Violation>;

fn broken(invariant: Invariant, text: String) -> Verdict {
    Err(Violation { invariant, text })
}

#[derive(Debug)]
struct Withdrawal {
    credential: usize,
    revision: Revision,
    /// The key may not be used any more, by whatever secret.
    is_of_key: bool,
    applied: bool,
}

/// A request on its way to the upstream, as the world saw it.
#[derive(Debug, Clone, Copy)]
pub struct Admission<'a> {
    /// Virtual time.
    pub now_ms: u64,
    /// The wall clock of the proxy, in milliseconds since 1970 UTC.
    pub wall_ms: u64,
    /// Which VM admitted it.
    pub life: Life,
    /// Index of the credential.
    pub credential: usize,
    /// Index of the proxy.
    pub proxy: usize,
    /// Id of the key.
    pub key: &'a str,
    /// When the key expires, by the wall clock.
    pub expires_unix_ms: Option<u64>,
    /// The key's limits.
    pub limits: KeyLimits,
    /// Calls of the key that run in the proxy, this one included.
    pub running: u64,
    /// The most tokens that those can come to.
    pub running_tokens: u64,
    /// What would have refused it: then it counts in no window.
    pub would_refuse: Option<&'a str>,
}

/// The checker's memory.
#[derive(Debug, Default)]
pub struct Checker {
    accounts: BTreeMap<AccountId, AccountRow>,
    /// The largest cap that each budget ever had.
    largest_caps: BTreeMap<(String, String), NanoUsd>,
    /// Budgets that had no cap for a time: then nothing bounds what is spent.
    uncapped: BTreeSet<(String, String)>,
    /// The server does not know all that it has granted.
    past_is_lost: bool,
    frozen: BTreeSet<(String, String)>,
    withdrawals: Vec<Withdrawal>,
    placements: Placements,
    plans: Plans,
    shadows: Shadows,
    windows: Windows,
    cover: Cover,
    prices: BTreeMap<CatalogueVersion, Price>,
    /// Lives that ended in a crash.
    crashed: BTreeSet<Life>,
    /// Until when each life may act on the last poll (or registration) that it has an answer to.
    renewed: BTreeMap<Life, u64>,
}

impl Checker {
    /// The model's price from this catalogue version on.
    pub fn price_is(&mut self, version: CatalogueVersion, price: Price) {
        self.prices.insert(version, price);
    }

    /// The model's newest price.
    #[must_use]
    pub fn price(&self) -> Price {
        let nothing = wire::PicoUsdPerToken(0);
        let free = Price::text(nothing, nothing, None);
        self.prices.values().next_back().copied().unwrap_or(free)
    }

    /// A VM has crashed: what it had not reported is lost.
    pub fn crashed(&mut self, life: Life) {
        self.crashed.insert(life);
    }

    /// The server's database was replaced by an older copy: the accounts are these now. Until this
    /// time there may be VMs that spend what nobody knows of any more.
    /// Frozen budgets grant nothing until [`Checker::released`].
    pub fn past_is_lost(
        &mut self,
        accounts: Vec<AccountRow>,
        frozen: BTreeSet<(String, String)>,
        until_ms: u64,
    ) {
        self.frozen = frozen;
        let named = accounts.into_iter().map(|account| (account.id.clone(), account));
        self.accounts = named.collect();
        self.past_is_lost = true;
        self.windows.past_is_lost(until_ms);
    }

    /// The windows of this proxy are counted at the server.
    pub fn counts_at_server(&mut self, proxy: usize) {
        self.windows.are_at_server(proxy);
    }

    /// An operator has released every frozen budget.
    pub fn released(&mut self) {
        self.frozen.clear();
    }

    /// A proxy has started anew: its windows are empty.
    pub fn proxy_restarted(&mut self, proxy: usize) {
        self.windows.forget(proxy);
    }

    /// A VM has got the answer to a poll, and may act on it until this time.
    pub fn renewed(&mut self, life: Life, until_ms: u64) {
        let known = self.renewed.entry(life).or_default();
        *known = until_ms.max(*known);
    }

    /// Whether a VM may still act on what it was told last.
    #[must_use]
    pub fn is_in_session(&self, life: Life, now_ms: u64) -> bool {
        let renewed = self.renewed.get(&life);
        renewed.is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// A credential may not be used from this revision on; with it the key, or only this secret.
    pub fn withdrawn(&mut self, credential: usize, revision: Revision, is_of_key: bool) {
        self.withdrawals.push(Withdrawal { credential, revision, is_of_key, applied: false });
    }

    /// A credential may be used again.
    pub fn restored(&mut self, credential: usize) {
        self.withdrawals.retain(|withdrawal| withdrawal.credential != credential);
    }

    /// Asks, for every withdrawal of which that is not known yet, whether the server now says that
    /// it is in force everywhere. Answers the credentials of which it has just become so, each
    /// with whether its key is out of use.
    pub fn note_applied(&mut self, is_applied: impl Fn(Revision) -> bool) -> Vec<(usize, bool)> {
        let open = self.withdrawals.iter_mut().filter(|withdrawal| !withdrawal.applied);
        open.filter_map(|withdrawal| {
            withdrawal.applied = is_applied(withdrawal.revision);
            withdrawal.applied.then_some((withdrawal.credential, withdrawal.is_of_key))
        })
        .collect()
    }

    /// A key's leases are to be granted from these accounts from this revision on.
    pub fn placed(&mut self, key: &str, mut placement: Placement, revision: Revision) {
        self.uncapped.extend(placement.take_uncapped());
        self.placements.placed(key, placement, revision);
    }

    /// An organisation's plan multiplies prices by this from this revision on.
    pub fn plan_is(&mut self, org: &str, multiplier: PriceMultiplier, revision: Revision) {
        self.plans.set(org, multiplier, revision);
    }

    /// What an organisation's prices may be multiplied by for a call that is admitted now.
    #[must_use]
    pub fn plans(&self, org: &str) -> Vec<PriceMultiplier> {
        self.plans.now(org)
    }

    /// As [`Checker::note_applied`], for plans.
    pub fn note_plans(&mut self, is_applied: impl Fn(Revision) -> bool) -> usize {
        self.plans.note_applied(is_applied)
    }

    /// As [`Checker::note_applied`], for keys that were moved and budgets that got another period;
    /// and for limits of windows over all proxies and for shadow modes, which are not counted.
    pub fn note_placed(&mut self, is_applied: impl Fn(Revision) -> bool) -> usize {
        self.windows.note_applied(&is_applied);
        self.shadows.note_applied(&is_applied);
        self.placements.note_applied(is_applied)
    }

    /// Whether [`Checker::granted`] is to be told.
    #[must_use]
    pub fn awaits_grants(&self) -> bool {
        self.placements.awaits_grants()
    }

    /// Money of a key was granted from these accounts.
    pub fn granted(&mut self, key: &str, accounts: &[AccountId]) {
        self.placements.granted(key, accounts);
    }

    /// The placements among which that of a call must be that is admitted now.
    #[must_use]
    pub fn eras(&self, key: &str) -> Eras {
        self.placements.eras(key)
    }

    /// A key's window over all proxies has this limit from this revision on.
    pub fn cluster_limit_is(&mut self, key: &str, max: u64, revision: Revision) {
        self.windows.cluster_limit_is(key, max, revision);
    }

    /// A request goes to the upstream.
    ///
    /// # Errors
    /// When its credential was withdrawn everywhere or has expired, its VM's session is over, or
    /// its proxy admits too many.
    pub fn forwarded(&mut self, admission: &Admission<'_>) -> Verdict {
        let Admission { now_ms, wall_ms, life, credential, proxy, key, .. } = *admission;
        let withdrawn = |found: &&Withdrawal| found.applied && found.credential == credential;
        if let Some(withdrawal) = self.withdrawals.iter().find(withdrawn) {
            return broken(
                Invariant::Revocation,
                format!(
                    "proxy {proxy} admits credential {credential} of key {key}, which revision {} \
                     withdrew everywhere",
                    withdrawal.revision.0
                ),
            );
        }
        if admission.expires_unix_ms.is_some_and(|expires| wall_ms >= expires) {
            let text = format!("proxy {proxy} admits key {key}, which has expired at {wall_ms}");
            return broken(Invariant::Revocation, text);
        }
        if !self.is_in_session(life, now_ms) {
            let renewed = self.renewed.get(&life);
            let text = format!("{life:?} admits key {key}; its last answered poll: {renewed:?}");
            return broken(Invariant::Revocation, text);
        }
        match admission.would_refuse {
            None => self.windows.admitted(admission),
            Some(code) => {
                self.let_pass(key, code)?;
                self.windows.let_pass(admission, code)
            }
        }
    }

    /// A request was told that others hold the money.
    ///
    /// # Errors
    /// When nobody asks for money for calls of its key.
    pub fn refused_for_others(&self, key: &str) -> Verdict {
        if self.placements.may_be_capped(key, &self.placements.eras(key)) {
            return Ok(());
        }
        let text = format!("key {key} has no budget and lacks money");
        broken(Invariant::Refusal, text)
    }

    /// A call has ended in a living VM. `tokens`: what it used, at least.
    pub fn ended(&mut self, now_ms: u64, proxy: usize, key: &str, tokens: u64) {
        self.windows.ended(now_ms, proxy, key, tokens);
    }

    /// A window of requests in a minute has refused a request.
    ///
    /// # Errors
    /// When there was room, or when the time to wait is not the right one.
    pub fn refused_by_window(
        &mut self,
        now_ms: u64,
        (proxy, key): (usize, &str),
        limits: KeyLimits,
        retry_after_s: Option<u64>,
    ) -> Verdict {
        self.windows.refused(now_ms, (proxy, key), limits, retry_after_s)
    }

    /// The ledger after an event. `caps_changed`: an administrator has just set a cap.
    ///
    /// # Errors
    /// When an account is not the sum of its leases, or is taken beyond its cap by anything but
    /// overdraft or a cap that was lowered.
    pub fn ledger(&mut self, accounts: Vec<AccountRow>, caps_changed: bool) -> Verdict {
        for account in accounts {
            // Calls whose lease is not known any more are settled as overdraft.
            let overdraft_is_right = account.overdraft == account.beyond_leases
                || (self.past_is_lost && account.overdraft > account.beyond_leases);
            let sums = (account.open_leases, account.parked_leases);
            if (account.outstanding, account.parked) != sums || !overdraft_is_right {
                let text = format!("the sums differ from those of the leases: {account:?}");
                return broken(Invariant::Ledger, text);
            }
            let id = account.id.clone();
            let before = self.accounts.get(&id);
            if let Some(cap) = account.cap {
                let grew =
                    before.map_or(NanoUsd::ZERO, |before| before.outstanding) < account.outstanding;
                if grew && self.frozen.contains(&id.budget()) {
                    let text = format!("granted while the budget is frozen: {account:?}");
                    return broken(Invariant::Ledger, text);
                }
                if grew && account.taken() > cap {
                    let text = format!("granted beyond the cap: {account:?}");
                    return broken(Invariant::Ledger, text);
                }
                let excess = |row: &AccountRow| {
                    row.taken().saturating_sub(cap.saturating_add(row.overdraft))
                };
                let allowed = before.map_or(NanoUsd::ZERO, excess);
                if !caps_changed && excess(&account) > allowed {
                    let text = format!("taken beyond cap and overdraft: {account:?}");
                    return broken(Invariant::Ledger, text);
                }
                let largest = self.largest_caps.entry(id.budget()).or_default();
                *largest = cap.max(*largest);
            }
            self.accounts.insert(id, account);
        }
        self.cover_has_changed();
        Ok(())
    }
}
