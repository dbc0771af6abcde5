//! A database that is older than what was answered from it: a new epoch, in which budgets grant
//! nothing until an operator has looked at them.

use wire::v1::Change;
use wire::{Epoch, HolderId, LeaseId, Revision};

use super::{AccountView, AdminError, FilterError, Page, Work};
use crate::live::Effect;
use crate::store::{AuditRow, BudgetId, StoreResult, Transaction};

/// What was done to a database whose recent past is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEpoch {
    /// The epoch from now on.
    pub epoch: Epoch,
    /// Budgets that were frozen.
    pub frozen: u64,
}

/// Begins a new epoch and freezes every budget that has a cap: what was granted and spent after
/// the state in the database is not known. The epoch is the wall time, and larger than the one
/// before in any case.
///
/// # Errors
/// When the store fails.
pub fn begin_new_epoch(rows: &mut dyn Transaction, unix_ms: u64) -> StoreResult<NewEpoch> {
    let mut server = rows.server()?;
    server.epoch = Epoch(unix_ms.max(server.epoch.0.saturating_add(1)));
    server.revision = Revision(server.revision.0.saturating_add(1));
    rows.save_server(&server)?;
    let frozen = rows.freeze_capped_budgets()?;
    let epoch = format!("epoch {}", server.epoch.0);
    rows.add_audit(&AuditRow::of_money(unix_ms, "system", "freeze_budgets", epoch, None))?;
    Ok(NewEpoch { epoch: server.epoch, frozen })
}

impl Work<'_> {
    /// A holder has applied a revision of this epoch. Where the database has not come that far, it
    /// was replaced by an older copy while nobody said so: then a new epoch begins.
    ///
    /// # Errors
    /// When the store fails.
    pub fn notice_lost_past(
        &mut self,
        epoch: Epoch,
        applied: Revision,
    ) -> Result<Option<NewEpoch>, FilterError> {
        let server = self.rows.server()?;
        if server.epoch != epoch || applied <= server.revision {
            return Ok(None);
        }
        tracing::error!(
            database_revision = server.revision.0,
            applied_revision = applied.0,
            "the database is older than what filters have applied from it"
        );
        self.past_is_lost().map(Some)
    }

    /// A holder reports a lease of its own that is not there. Grants are durable before they are
    /// answered, so the database was replaced by an older copy: then a new epoch begins. Not so for
    /// a holder that registered before this epoch: what it was granted in the one before may be
    /// lost, as was said when this one began.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) fn notice_lost_grant(
        &mut self,
        epoch: Epoch,
        holder: &HolderId,
        lease: &LeaseId,
    ) -> Result<Option<NewEpoch>, FilterError> {
        let number = lease.as_str().strip_prefix(holder.as_str());
        let number = number.and_then(|rest| rest.strip_prefix('-')).map(str::parse::<u64>);
        if !matches!(number, Some(Ok(_))) || self.rows.server()?.epoch != epoch {
            return Ok(None);
        }
        let known = self.rows.holder(holder)?;
        if known.is_none_or(|known| known.epoch < epoch) {
            return Ok(None);
        }
        tracing::error!(%holder, %lease, "the database is older than a grant that was answered");
        self.past_is_lost().map(Some)
    }

    fn past_is_lost(&mut self) -> Result<NewEpoch, FilterError> {
        let begun = begin_new_epoch(self.rows, self.now.unix_ms)?;
        tracing::error!(
            epoch = begun.epoch.0,
            frozen_budgets = begun.frozen,
            "a new epoch begins and budgets are frozen until they are released"
        );
        self.effects.push(Effect::EpochBegan(begun.epoch));
        let revision = self.rows.server()?.revision;
        self.effects.push(Effect::Published(revision, Change::AllKeys));
        Ok(begun)
    }

    /// Lets a frozen budget grant again. One that is not frozen stays as it is. `actor` is the
    /// operator's name in the audit.
    ///
    /// # Errors
    /// When there is no such budget, or the store fails.
    pub fn release_budget(
        &mut self,
        id: &BudgetId,
        actor: &str,
    ) -> Result<AccountView, AdminError> {
        let found = self.rows.budget(id)?;
        let mut budget = found.ok_or_else(|| AdminError::not_found("budget", id.owner.as_str()))?;
        if budget.frozen {
            budget.frozen = false;
            self.rows.save_budget(id, &budget)?;
            let target = format!("{} {}", id.level.as_str(), id.owner);
            tracing::warn!(budget = %target, "a frozen budget was released");
            let at = self.now.unix_ms;
            let org = self.scope_of_budget(id)?.org;
            let line = AuditRow::of_money(at, actor, "release_budget", target, None);
            self.rows.add_audit(&AuditRow { org, ..line })?;
        }
        self.account_view(id.clone())
    }

    /// Frozen budgets in the order of level and owner, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn frozen_budgets(
        &mut self,
        after: Option<&BudgetId>,
        limit: u32,
    ) -> Result<Page<AccountView>, AdminError> {
        let found = self.rows.frozen_budgets(after, limit.saturating_add(1))?;
        let page = Page::of(found, limit, |id| format!("{}.{}", id.level.as_str(), id.owner));
        let items = page.items.into_iter().map(|id| self.account_view(id));
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: page.next })
    }
}
