//! What holders say was spent, and the records of ended calls.

use std::collections::BTreeMap;

use metering::budget::Statement;
use metering::price;
use wire::v1::{Basis, CallRecord, LeaseReport, Level, ReportReply, ReportRequest};
use wire::{HolderId, NanoUsd, PriceMultiplier};

use super::key_usage::Used;
use super::{Counters, FilterError, Work};
use crate::failpoint;
use crate::store::{KeyRow, RecordRow, StoreResult, UsageDay, UsageSums};

/// What became of a record.
struct Recorded {
    /// Its cost is not what the server computes.
    differs: bool,
    /// What it adds, where it was not there before.
    new: Option<New>,
}

/// A call that had not been recorded before.
struct New {
    /// The key that made it, if it is known.
    key: Option<KeyRow>,
    /// In which sums it counts, and how much.
    day: UsageDay,
    sums: UsageSums,
}

/// The store's integers have 63 bits; a counter that large is no counter.
const LARGEST_NUMBER: u64 = i64::MAX as u64;

impl Work<'_> {
    /// Takes a batch of reports. A lapsed holder may still report: its parked money is settled.
    /// What meets a damaged row is counted, logged and passed over: the holder could only send
    /// the same again, for ever, and with it everything that is in order.
    ///
    /// # Errors
    /// When the holder never registered, the epoch is another one, or the store fails; then
    /// nothing of the batch is kept and the holder sends it again.
    pub fn report(&mut self, request: &ReportRequest) -> Result<ReportReply, FilterError> {
        let server = self.check_epoch(request.epoch)?;
        let touched = self.shared.live().touch(&request.holder, self.now);
        if touched.is_err() && self.rows.holder(&request.holder)?.is_none() {
            return Err(FilterError::UnknownHolder);
        }
        self.void(&request.holder, &request.void)?;
        for report in &request.leases {
            self.part(report.lease.as_str(), |work| work.settle(request, report))?;
        }
        if !request.leases.is_empty() || !request.records.is_empty() {
            failpoint::note("report");
        }
        let mut differing = Vec::new();
        let mut used = Used::default();
        let mut by_day: BTreeMap<UsageDay, UsageSums> = BTreeMap::new();
        for call in &request.records {
            let what = call.request.as_str();
            let recorded = self.part(what, |work| work.record(&request.holder, call))?;
            let Some(Recorded { differs, new }) = recorded else { continue };
            if differs {
                differing.push(call.sequence);
            }
            let Some(New { key, day, sums }) = new else { continue };
            let before = by_day.entry(day).or_default();
            *before = before.plus(sums);
            if let Some(key) = key {
                used.add(key, call, self.now.unix_ms);
            }
        }
        for (key, usage) in used.into_keys() {
            self.rows.save_usage(&key, &usage)?;
        }
        for (day, sums) in by_day {
            let what = format!("use of {} on day {}", day.key, day.day);
            self.part(&what, |work| Ok(work.count_usage(&day, sums)?))?;
        }
        Ok(ReportReply { epoch: server.epoch, revision: server.revision, differing })
    }

    fn settle(&mut self, request: &ReportRequest, report: &LeaseReport) -> Result<(), FilterError> {
        let Some(mut lease) = self.rows.lease(&report.lease)? else {
            if self.rows.is_forgotten(&report.lease)? {
                return Ok(());
            }
            Counters::add(&self.counters.unknown_leases, 1);
            tracing::error!(
                lease = %report.lease,
                spent_nano_usd = report.spent.0,
                "a report names a lease that does not exist, as after a restore; its calls are settled \
                 by their records"
            );
            // The rest of the batch is taken all the same; the next exchange names the old epoch.
            self.notice_lost_grant(request.epoch, &request.holder, &report.lease)?;
            return Ok(());
        };
        let before = (lease.money, lease.permits);
        self.state_permits(&mut lease, report)?;
        let movement = lease.money.state(&Statement {
            spent: report.spent,
            floor: report.floor,
            is_final: report.is_final,
        });
        if (lease.money, lease.permits) != before {
            self.move_money(&lease.id, &movement)?;
            self.rows.save_lease(&lease)?;
        }
        Ok(())
    }

    /// Adds to the sums of a day.
    fn count_usage(&mut self, day: &UsageDay, sums: UsageSums) -> StoreResult<()> {
        let before = self.rows.usage(day)?.unwrap_or_default();
        self.rows.save_usage_day(day, &before.plus(sums))
    }

    /// Keeps one record.
    fn record(&mut self, holder: &HolderId, call: &CallRecord) -> Result<Recorded, FilterError> {
        if call.sequence > LARGEST_NUMBER {
            let message = format!("sequence: {} is too large", call.sequence);
            return Err(FilterError::BadMessage(message));
        }
        let key = self.rows.key(&call.key)?;
        let recomputed = self.recompute(call, key.as_ref())?;
        // After a restore a call may come again by another holder: filters make its id, clients never.
        if self.rows.has_record(holder, call)? {
            return Ok(Recorded { differs: recomputed.is_some(), new: None });
        }
        if let Some(recomputed) = recomputed {
            Counters::add(&self.counters.differing_records, 1);
            tracing::error!(
                holder = %holder,
                sequence = call.sequence,
                request = %call.request,
                charged_nano_usd = call.cost.0,
                computed_nano_usd = recomputed.0,
                "a record's cost differs from what its usage and price come to"
            );
        }
        // What shadow mode let pass is on nobody's account: it cost money, and no budget gave it.
        if let Some(key) = &key
            && call.would_refuse.is_none()
            && !self.is_paid_by_lease(call)?
        {
            self.settle_without_lease(key, call.cost)?;
        }
        let record = RecordRow {
            holder: holder.clone(),
            call: call.clone(),
            org: key.as_ref().map(|key| key.org.clone()),
            team: key.as_ref().and_then(|key| key.team.clone()),
            user: key.as_ref().and_then(|key| key.user.clone()),
            recomputed,
            recorded_unix_ms: self.now.unix_ms,
        };
        self.rows.add_record(&record)?;
        let (day, sums) = (UsageDay::of(&record), UsageSums::of(call));
        let new = Some(New { key, day, sums });
        Ok(Recorded { differs: recomputed.is_some(), new })
    }

    /// Whether the cost of a call reaches the ledger by its lease. A lease that carries permits
    /// only was granted from no account.
    fn is_paid_by_lease(&mut self, call: &CallRecord) -> StoreResult<bool> {
        let Some(id) = &call.lease else { return Ok(false) };
        match self.rows.lease(id)? {
            Some(lease) if lease.granted == NanoUsd::ZERO && !lease.windows.is_empty() => {
                Ok(!self.rows.shares(id)?.is_empty())
            }
            Some(_) => Ok(true),
            // Where a restored database does not know it, nothing else would settle its calls.
            None => self.rows.is_forgotten(id),
        }
    }

    /// The cost that the server computes, where it is not the one charged.
    fn recompute(
        &mut self,
        call: &CallRecord,
        key: Option<&KeyRow>,
    ) -> StoreResult<Option<NanoUsd>> {
        let price = self.rows.price_at(&call.model, call.catalogue_version)?;
        let multiplier = self.right_multiplier(call, key)?;
        let by_usage = match price.flatten() {
            Some(price) => price::cost(&call.usage, &price.times(multiplier)),
            // Without a price the call should not have been made: nothing can be right but zero.
            None => NanoUsd::ZERO,
        };
        let right = match call.basis {
            Basis::Measured => call.cost == by_usage,
            // Either what was seen, or everything that had been set aside.
            Basis::Estimated => call.cost == by_usage || call.cost == call.reserved,
            Basis::Refunded => call.cost == NanoUsd::ZERO,
        };
        let expected = match call.basis {
            Basis::Refunded => NanoUsd::ZERO,
            Basis::Measured | Basis::Estimated => by_usage,
        };
        Ok((!right).then_some(expected))
    }

    /// The multiplier that a call says it was priced by, if the key or its organisation has it or ever
    /// had it, on its own or by a plan: a call keeps the one under which it was admitted. Otherwise
    /// the one that the key has.
    fn right_multiplier(
        &mut self,
        call: &CallRecord,
        key: Option<&KeyRow>,
    ) -> StoreResult<PriceMultiplier> {
        let said = call.price_multiplier;
        // A restored database may not know the key, and so nothing better.
        let Some(key) = key else { return Ok(said) };
        let present = self.entitled(key)?.price_multiplier;
        let (org, id) = (key.org.as_str(), key.id.as_str());
        let is_right = said == present
            || self.rows.had_multiplier(&key.org, said)?
            || self.rows.had_planned_multiplier(Level::Org, org, said)?
            || self.rows.had_planned_multiplier(Level::Key, id, said)?;
        Ok(if is_right { said } else { present })
    }

    /// Counts a call that drew on no lease in every account above its key.
    fn settle_without_lease(&mut self, key: &KeyRow, cost: NanoUsd) -> StoreResult<()> {
        if cost == NanoUsd::ZERO {
            return Ok(());
        }
        for mut account in self.accounts_above(key)? {
            let before = account.at.account;
            account.at.account.settle_without_lease(cost);
            self.rows.save_account(&account.id, &account.at.account)?;
            self.account_moved(&account.id, &before, &account.at.account)?;
        }
        Ok(())
    }
}
