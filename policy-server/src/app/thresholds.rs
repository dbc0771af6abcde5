//! Telling somebody that part of a budget is spent: once for each threshold and period, decided in
//! the transaction that settles.

use metering::budget::Account;
use serde_json::json;
use wire::v1::Level;
use wire::{KeyId, NanoUsd, OrgId};

use super::Work;
use super::webhooks::{BUDGET_THRESHOLD, Event, message_id};
use crate::store::{AccountId, AuditRow, Budget, BudgetId, StoreResult};
use crate::time_range::instant_text;

impl Work<'_> {
    /// Tells of the thresholds of a budget that its account has come to reach. A threshold below one
    /// that was told in the same period is not told any more.
    pub(super) fn tell_of_thresholds(
        &mut self,
        id: &AccountId,
        budget: &Budget,
        account: &Account,
    ) -> StoreResult<()> {
        if budget.alerts.is_empty() {
            return Ok(());
        }
        let before = self.rows.told(id)?;
        let mut told = before;
        for threshold in budget.alerts.reached(account, before) {
            self.tell_of_threshold(id, account, threshold)?;
            told = threshold;
        }
        if told != before {
            self.rows.save_told(id, told)?;
        }
        Ok(())
    }

    /// Forgets that thresholds were told which an account does not reach any more.
    pub(super) fn forget_told(
        &mut self,
        id: &AccountId,
        budget: &Budget,
        account: &Account,
    ) -> StoreResult<()> {
        let told = self.rows.told(id)?;
        let still = budget.alerts.reached(account, 0).filter(|threshold| *threshold <= told).max();
        match still.unwrap_or(0) {
            still if still < told => self.rows.save_told(id, still),
            _ => Ok(()),
        }
    }

    fn tell_of_threshold(
        &mut self,
        id: &AccountId,
        account: &Account,
        threshold: u8,
    ) -> StoreResult<()> {
        let (level, owner) = (id.budget.level.as_str(), id.budget.owner.as_str());
        tracing::warn!(level, owner, threshold, "a budget has reached a threshold");
        let org = self.org_of_budget(&id.budget)?;
        let schedule = id.schedule;
        let resets_at = schedule.next_start_ms(self.now.unix_ms).and_then(instant_text);
        let starts = Some(id.start_unix_ms).filter(|start| *start > 0).and_then(instant_text);
        let data = json!({
            "level": level,
            "id": owner,
            "org": org,
            "threshold_percent": threshold,
            "cap_usd": account.cap.map(NanoUsd::to_usd),
            "settled_usd": account.settled.to_usd(),
            "parked_usd": account.parked.to_usd(),
            "period": schedule.period().as_str(),
            "period_start": starts,
            "resets_at": resets_at,
        });
        let start = id.start_unix_ms.to_string();
        // A wallet reaches the same threshold again after a payment, of another cap.
        let cap = account.cap.unwrap_or_default().0.to_string();
        let name = [level, owner, &schedule.to_string(), &start, &threshold.to_string(), &cap];
        let event = Event {
            name: BUDGET_THRESHOLD,
            id: message_id(&name),
            body: self.event_body(BUDGET_THRESHOLD, data),
        };
        let target = format!("{level} {owner} {threshold} %");
        let spent = account.settled.saturating_add(account.parked);
        let line =
            AuditRow::of_money(self.now.unix_ms, "system", "budget.alert", target, Some(spent));
        self.rows.add_audit(&AuditRow { org: org.clone(), ..line })?;
        match org {
            Some(org) => self.tell(&org, &event),
            None => Ok(()),
        }
    }

    /// The organisation that a budget belongs to; none where its key is not known.
    fn org_of_budget(&mut self, id: &BudgetId) -> StoreResult<Option<OrgId>> {
        Ok(match id.level {
            Level::Org | Level::Wallet => OrgId::new(id.owner.clone()).ok(),
            Level::Team | Level::User => {
                id.owner.split_once('/').and_then(|(org, _)| OrgId::new(org.to_owned()).ok())
            }
            Level::Key => match KeyId::new(id.owner.clone()) {
                Ok(key) => self.rows.key(&key)?.map(|key| key.org),
                Err(_) => None,
            },
        })
    }
}
