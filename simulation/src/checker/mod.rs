//! What must hold, whatever happens. Facts come in as the world moves; laws are checked after every
//! event, and the sums when everything has come to rest.

mod rest;
pub use rest::Rest;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wire::v1::Price;
use wire::{CatalogueVersion, NanoUsd, Revision};

use crate::ledger::{AccountId, AccountRow};
use crate::worker::Life;

pub use windows::ProxyLimits;
use windows::Windows;

/// The invariants that a run can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No grant beyond a cap; every account is the sum of its leases.
    Ledger,
    /// Upstream cost stays within cap and overdraft.
    TrueCost,
    /// What is withdrawn or expired is not admitted any more, and nothing after a session's end.
    Revocation,
    /// No window admits more than its limit, or refuses while it has room.
    Windows,
    /// Every ended call is charged once and rightly; lost ones are covered by parked money.
    Charges,
    /// A request that was refused has left something behind.
    Refusal,
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
    pub limits: ProxyLimits,
    /// Calls of the key that run in the proxy, this one included.
    pub running: u64,
    /// The most tokens that those can come to.
    pub running_tokens: u64,
}

/// The checker's memory.
#[derive(Debug)]
pub struct Checker {
    /// How long a VM may act on the last answered poll that it sent.
    session_ttl_ms: u64,
    accounts: BTreeMap<AccountId, AccountRow>,
    /// The largest cap that each budget ever had.
    largest_caps: BTreeMap<(String, String), NanoUsd>,
    withdrawals: Vec<Withdrawal>,
    windows: Windows,
    prices: BTreeMap<CatalogueVersion, Price>,
    /// Lives that ended in a crash.
    crashed: BTreeSet<Life>,
    /// When each life sent the last poll (or registration) that it has an answer to.
    renewed: BTreeMap<Life, u64>,
}

impl Checker {
    /// A checker that has seen nothing.
    #[must_use]
    pub fn new(session_ttl_ms: u64) -> Self {
        Self {
            session_ttl_ms,
            accounts: BTreeMap::new(),
            largest_caps: BTreeMap::new(),
            withdrawals: Vec::new(),
            windows: Windows::default(),
            prices: BTreeMap::new(),
            crashed: BTreeSet::new(),
            renewed: BTreeMap::new(),
        }
    }

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

    /// A proxy has started anew: its windows are empty.
    pub fn proxy_restarted(&mut self, proxy: usize) {
        self.windows.forget(proxy);
    }

    /// A VM has got the answer to a poll that it sent at this time.
    pub fn renewed(&mut self, life: Life, sent_ms: u64) {
        let known = self.renewed.entry(life).or_default();
        *known = sent_ms.max(*known);
    }

    /// A credential may not be used from this revision on.
    pub fn withdrawn(&mut self, credential: usize, revision: Revision) {
        self.withdrawals.push(Withdrawal { credential, revision, applied: false });
    }

    /// A credential may be used again.
    pub fn restored(&mut self, credential: usize) {
        self.withdrawals.retain(|withdrawal| withdrawal.credential != credential);
    }

    /// Asks, for every withdrawal of which that is not known yet, whether the server now says that
    /// it is in force everywhere. Answers how many have just become so.
    pub fn note_applied(&mut self, is_applied: impl Fn(Revision) -> bool) -> usize {
        let open = self.withdrawals.iter_mut().filter(|withdrawal| !withdrawal.applied);
        open.map(|withdrawal| {
            withdrawal.applied = is_applied(withdrawal.revision);
            usize::from(withdrawal.applied)
        })
        .sum()
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
        let renewed = self.renewed.get(&life).copied();
        if renewed.is_none_or(|sent_ms| now_ms >= sent_ms + self.session_ttl_ms) {
            let text = format!("{life:?} admits key {key}; its last answered poll: {renewed:?}");
            return broken(Invariant::Revocation, text);
        }
        self.windows.admitted(admission)
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
        limits: ProxyLimits,
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
            let sums = (account.open_leases, account.parked_leases, account.beyond_leases);
            if (account.outstanding, account.parked, account.overdraft) != sums {
                let text = format!("the sums differ from those of the leases: {account:?}");
                return broken(Invariant::Ledger, text);
            }
            let id = account.id.clone();
            let before = self.accounts.get(&id);
            if let Some(cap) = account.cap {
                let grew =
                    before.map_or(NanoUsd::ZERO, |before| before.outstanding) < account.outstanding;
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
        Ok(())
    }
}
