//! Key look-ups and leases: where money is granted.

use metering::budget::{BrokenLedger, Denial, LeaseMoney, Movement, reserve};
use metering::permits::LeasePermits;
use metering::reservation::{Bounds, Reservation};
use metering::slice::slice;
use wire::v1::{
    AdmitReply, AdmitRequest, Ask, Grant, KeyAnswer, LeaseAnswer, LeaseReply, LeaseRequest, Price,
    Refusal,
};
use wire::{HolderId, KeyId, LeaseId, NanoUsd};

use super::permits::{OpenWindow, needs_permits, no_permits};
use super::policy::OpenAccount;
use super::{FilterError, Work};
use crate::failpoint;
use crate::live::Effect;
use crate::store::{AccountId, KeyRow, LeaseRow, ServerRow, StoreError, WindowId};

/// Grants disclaimed in one request: far more than a VM has call-outs in flight.
const VOIDS_MOST: usize = 1024;

/// When to ask again where others hold the money: about the time of a short call.
pub(super) const CONTENDED_RETRY_MS: u64 = 1_000;

/// When to ask again where a budget is frozen: an operator must release it, which takes minutes.
pub const FROZEN_RETRY_MS: u64 = 60_000;

/// The store's integers have 63 bits; a counter that large is no counter.
const LARGEST_NUMBER: u64 = i64::MAX as u64;

/// A lease that a holder asks for.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    holder: &'a HolderId,
    n: u64,
    /// The call that it must pay for.
    ask: &'a Ask,
    /// Money for the calls that follow.
    want: NanoUsd,
    /// Permits for them.
    want_permits: u64,
}

impl<'a> Wanted<'a> {
    fn for_one_call(holder: &'a HolderId, n: u64, ask: &'a Ask) -> Self {
        Self { holder, n, ask, want: NanoUsd::ZERO, want_permits: 0 }
    }

    fn of(request: &'a LeaseRequest) -> Self {
        Self {
            want: request.want,
            want_permits: request.want_permits,
            ..Self::for_one_call(&request.holder, request.n, &request.ask)
        }
    }
}

impl Work<'_> {
    /// Looks a key up by its digest and grants a lease for the call at once where one is needed.
    ///
    /// # Errors
    /// When the holder is not alive or the store fails. A refused lease is an answer, no error.
    pub fn admit(&mut self, request: &AdmitRequest) -> Result<AdmitReply, FilterError> {
        let server = self.check_in(&request.holder, request.epoch)?;
        self.void(&request.holder, &request.void)?;
        let found = self.named(&request.digest)?;
        let mut answer = AdmitReply {
            epoch: server.epoch,
            revision: server.revision,
            key: KeyAnswer::Unknown,
            lease: LeaseAnswer::NotNeeded,
        };
        if request.ask.is_some()
            && let Some(again) =
                self.again(&request.holder, request.n, found.as_ref().map(|named| &named.key))?
        {
            answer.lease = again;
        }
        let Some(named) = found else {
            return Ok(answer);
        };
        let key = &named.key;
        let mut policy = named.policy(self.policy(key)?, self.now.unix_ms);
        // A replaced secret ends before its key does, also for a filter that does not hear of it.
        let ends = [policy.expires_at_unix_ms, self.rows.digest_valid_until(&request.digest)?];
        policy.expires_at_unix_ms = ends.into_iter().flatten().min();
        if let Some(ask) = &request.ask
            && answer.lease == LeaseAnswer::NotNeeded
        {
            // The filter refuses such a call by the policy; money granted for it would only have
            // to be handed back.
            let needs_lease =
                policy.budgeted || needs_permits(key, self.counts_below(&request.holder));
            let is_usable = self.usable(key)? && !named.has_ended(self.now.unix_ms);
            if needs_lease && is_usable && policy.models.contains(&ask.model) {
                // Only now the holder learns of the multiplier.
                let ask = Ask { price_multiplier: policy.price_multiplier, ..ask.clone() };
                let wanted = Wanted::for_one_call(&request.holder, request.n, &ask);
                answer.lease = self.grant(&server, key, &wanted)?;
            }
        }
        answer.key = KeyAnswer::Known(Box::new(policy));
        answer.revision = self.newest_revision(server.revision);
        Ok(answer)
    }

    /// Grants a lease to a holder that knows the key already.
    ///
    /// # Errors
    /// As [`Work::admit`].
    pub fn lease(&mut self, request: &LeaseRequest) -> Result<LeaseReply, FilterError> {
        let server = self.check_in(&request.holder, request.epoch)?;
        self.void(&request.holder, &request.void)?;
        let key = self.rows.key(&request.key)?;
        let again = self.again(&request.holder, request.n, key.as_ref())?;
        let usable = match key {
            Some(key) if self.usable(&key)? => Some(key),
            _ => None,
        };
        let answer = match (again, usable) {
            (Some(again), _) => again,
            (None, None) => LeaseAnswer::Refused(Refusal::KeyNotUsable),
            (None, Some(key)) => {
                if !self.may_call(&key, &request.ask.model)? {
                    LeaseAnswer::Refused(Refusal::KeyNotUsable)
                } else if self.is_budgeted(&key)?
                    || needs_permits(&key, self.counts_below(&request.holder))
                {
                    self.grant(&server, &key, &Wanted::of(request))?
                } else {
                    LeaseAnswer::NotNeeded
                }
            }
        };
        let revision = self.newest_revision(server.revision);
        Ok(LeaseReply { epoch: server.epoch, revision, answer })
    }

    fn counts_below(&self, holder: &HolderId) -> u64 {
        self.shared.live().counts_windows_below(holder)
    }

    /// Closes grants that never arrived. A number that was never granted is remembered as closed,
    /// so that a request which was overtaken by its own disclaimer is granted nothing.
    pub(super) fn void(&mut self, holder: &HolderId, numbers: &[u64]) -> Result<(), FilterError> {
        if numbers.len() > VOIDS_MOST {
            let message = format!("void: more than {VOIDS_MOST} numbers");
            return Err(FilterError::BadMessage(message));
        }
        for n in numbers {
            let id = lease_id(holder, *n)?;
            self.part(id.as_str(), |work| work.void_one(holder, *n, &id))?;
        }
        Ok(())
    }

    fn void_one(&mut self, holder: &HolderId, n: u64, id: &LeaseId) -> Result<(), FilterError> {
        if let Some(mut lease) = self.rows.lease(id)? {
            let movement = lease.money.void();
            lease.voided = true;
            self.move_money(id, &movement)?;
            self.void_permits(&mut lease)?;
            self.rows.save_lease(&lease)?;
            return Ok(());
        }
        if self.rows.is_forgotten(id)? {
            return Ok(());
        }
        let mut money = LeaseMoney::granted(NanoUsd::ZERO);
        money.void();
        let lease = LeaseRow {
            id: id.clone(),
            holder: holder.clone(),
            n,
            key: None,
            granted: NanoUsd::ZERO,
            money,
            output_tokens: 0,
            scarce: false,
            permits: no_permits(),
            windows: Vec::new(),
            granted_life: 0,
            granted_monotonic_ms: 0,
            voided: true,
            granted_unix_ms: self.now.unix_ms,
        };
        Ok(self.rows.add_lease(&lease, &[])?)
    }

    /// Applies a movement to every account that the lease was granted from.
    pub(super) fn move_money(
        &mut self,
        lease: &LeaseId,
        movement: &Movement,
    ) -> Result<(), FilterError> {
        if movement.is_nothing() {
            return Ok(());
        }
        for share in self.rows.shares(lease)? {
            let before = self.rows.account(&share.account)?.unwrap_or_default();
            let mut account = before;
            if share.released {
                account.apply_released(movement);
            } else {
                account.apply(movement)?;
            }
            self.rows.save_account(&share.account, &account)?;
            self.account_moved(&share.account, &before, &account)?;
        }
        if movement.handed_back > NanoUsd::ZERO {
            self.effects.push(Effect::MoneyReturned);
        }
        Ok(())
    }

    /// The answer to an ask whose number has a lease already. It does not depend on what became of
    /// the key since: of two answers to one ask the filter takes the first that comes, and money
    /// that one of them grants and the other denies would be held by nobody.
    fn again(
        &mut self,
        holder: &HolderId,
        n: u64,
        key: Option<&KeyRow>,
    ) -> Result<Option<LeaseAnswer>, FilterError> {
        let id = lease_id(holder, n)?;
        let Some(lease) = self.rows.lease(&id)? else {
            let is_forgotten = self.rows.is_forgotten(&id)?;
            return Ok(is_forgotten.then(|| LeaseAnswer::Refused(contended())));
        };
        let is_kept = !lease.scarce;
        let windows = lease.windows.clone();
        let answer = same_again(lease, key)?;
        if is_kept && matches!(answer, LeaseAnswer::Granted(_)) {
            let shares = self.rows.shares(&id)?;
            let budgets = shares.into_iter().map(|share| share.account.budget);
            self.note_plenty(budgets.chain(windows.iter().map(WindowId::subject)));
        }
        Ok(Some(answer))
    }

    /// Grants the lease number `n` of a holder, or says why not. Every account above the key is
    /// loaded, checked and saved in this one transaction, so none can pass its cap.
    fn grant(
        &mut self,
        server: &ServerRow,
        key: &KeyRow,
        wanted: &Wanted<'_>,
    ) -> Result<LeaseAnswer, FilterError> {
        let Wanted { holder, n, ask, .. } = *wanted;
        let id = lease_id(holder, n)?;
        if self.shared.live().was_refused(holder, n) {
            return Ok(LeaseAnswer::Refused(contended()));
        }
        let Some(price) = self.price_for(server, ask)? else {
            return Ok(LeaseAnswer::Refused(Refusal::UnknownPrice));
        };
        let bounds = Bounds::new(ask, key.default_max_output_tokens);
        let bounds = match bounds.under_ceiling(&price, key.max_call) {
            Ok(bounds) => bounds,
            Err(need) => {
                let most = key.max_call.unwrap_or_default();
                return Ok(LeaseAnswer::Refused(Refusal::CallTooExpensive { need, most }));
            }
        };
        let accounts = self.accounts_above(key)?;
        if accounts.iter().any(|account| account.frozen) {
            let retry_after_ms = FROZEN_RETRY_MS;
            return Ok(LeaseAnswer::Refused(Refusal::Contended { retry_after_ms }));
        }
        if self.must_wait_for_recalls(key, &accounts)? {
            return Ok(LeaseAnswer::Refused(contended()));
        }
        let live_holders = self.shared.live().alive(self.now);
        let mut windows = self.windows_above(key, wanted.holder)?;
        let allowed = match self.allowed(&windows, wanted.want_permits, live_holders)? {
            Ok(allowed) => allowed,
            Err(refusal) => return Ok(LeaseAnswer::Refused(refusal)),
        };
        let (money, mut accounts) = match self.money(accounts, &bounds, &price)? {
            Ok(granted) => granted,
            Err(refusal) => return Ok(LeaseAnswer::Refused(refusal)),
        };
        let levels: Vec<_> = accounts.iter().map(|account| account.at).collect();
        let lowered = money.output_tokens < bounds.output_tokens();
        let want = allowed.money(wanted.want, money.amount);
        let slice = slice(&levels, money.amount, lowered, want, live_holders);
        let amount = money.amount.checked_add(slice.extra).ok_or(BrokenLedger)?;
        for account in &mut accounts {
            account.at.account.grant(amount)?;
            self.rows.save_account(&account.id, &account.at.account)?;
        }
        let permits = if accounts.is_empty() {
            allowed.permits
        } else {
            allowed.paid(slice.extra, money.amount)
        };
        let few = self.take_permits(&mut windows, permits, live_holders)?;
        let scarce = slice.scarce || few;
        if !scarce {
            let budgets = accounts.iter().map(|account| account.id.budget.clone());
            self.note_plenty(budgets.chain(windows.iter().map(OpenWindow::subject)));
        }
        let charged: Vec<AccountId> = accounts.into_iter().map(|account| account.id).collect();
        let lease = LeaseRow {
            id,
            holder: holder.clone(),
            n,
            key: Some(key.id.clone()),
            granted: amount,
            money: LeaseMoney::granted(amount),
            output_tokens: money.output_tokens,
            scarce,
            permits: LeasePermits::granted(permits),
            windows: windows.into_iter().map(|window| window.id).collect(),
            granted_life: self.rows.life()?,
            granted_monotonic_ms: self.now.monotonic_ms,
            voided: false,
            granted_unix_ms: self.now.unix_ms,
        };
        self.rows.add_lease(&lease, &charged)?;
        failpoint::note("grant");
        Ok(granted(lease))
    }

    /// What the call itself takes, and the accounts that it is to be granted from: none where no
    /// level has a cap, since nothing has to be set aside then.
    fn money(
        &mut self,
        accounts: Vec<OpenAccount>,
        bounds: &Bounds,
        price: &Price,
    ) -> Result<Result<(Reservation, Vec<OpenAccount>), Refusal>, FilterError> {
        if accounts.iter().all(|account| account.at.account.cap.is_none()) {
            let output_tokens = bounds.output_tokens();
            let nothing = Reservation { amount: NanoUsd::ZERO, output_tokens };
            return Ok(Ok((nothing, Vec::new())));
        }
        let levels: Vec<_> = accounts.iter().map(|account| account.at).collect();
        Ok(match reserve(&levels, bounds, price) {
            Ok(reservation) => Ok((reservation, accounts)),
            Err(denial) => {
                if let Denial::Contended { need } = denial {
                    self.recall_contended(&accounts, need)?;
                }
                Err(refusal(denial))
            }
        })
    }

    /// The price under which the call is to be made, by the multiplier that the holder will use
    /// for it; none when the filter's catalogue is unknown,
    /// or the model is not for sale (any more).
    fn price_for(&mut self, server: &ServerRow, ask: &Ask) -> Result<Option<Price>, StoreError> {
        if ask.catalogue_version > server.catalogue_version {
            return Ok(None);
        }
        let current = self.rows.model(&ask.model)?;
        if current.is_none_or(|current| current.model.retired) {
            return Ok(None);
        }
        let price = self.rows.price_at(&ask.model, ask.catalogue_version)?;
        Ok(price.flatten().map(|price| price.times(ask.price_multiplier)))
    }
}

/// Answers a repeated request as the first time. One whose lease has ended was overtaken by its
/// own end; nobody waits for the answer, and it must not look like money.
fn same_again(lease: LeaseRow, key: Option<&KeyRow>) -> Result<LeaseAnswer, FilterError> {
    let is_other = |owner: &KeyId| key.is_some_and(|key| *owner != key.id);
    if lease.key.as_ref().is_some_and(is_other) {
        let message = format!("n: {} was used for another key", lease.n);
        return Err(FilterError::BadMessage(message));
    }
    if lease.money.standing == metering::budget::Standing::Open {
        Ok(granted(lease))
    } else {
        Ok(LeaseAnswer::Refused(contended()))
    }
}

fn contended() -> Refusal {
    Refusal::Contended { retry_after_ms: CONTENDED_RETRY_MS }
}

fn granted(lease: LeaseRow) -> LeaseAnswer {
    LeaseAnswer::Granted(Grant {
        lease: lease.id,
        n: lease.n,
        amount: lease.granted,
        output_tokens: lease.output_tokens,
        scarce: lease.scarce,
        permits: lease.permits.granted,
    })
}

fn refusal(denial: Denial) -> Refusal {
    match denial {
        Denial::Exceeded { level, need, left } => Refusal::BudgetExceeded { level, need, left },
        Denial::Contended { .. } => Refusal::Contended { retry_after_ms: CONTENDED_RETRY_MS },
    }
}

fn lease_id(holder: &HolderId, n: u64) -> Result<LeaseId, FilterError> {
    if n > LARGEST_NUMBER {
        return Err(FilterError::BadMessage(format!("n: {n} is too large")));
    }
    LeaseId::new(format!("{holder}-{n}"))
        .map_err(|error| FilterError::BadMessage(error.to_string()))
}
