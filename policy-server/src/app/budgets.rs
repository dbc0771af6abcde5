//! Budgets of teams and users, and how a cap of any level is set.

use metering::period::Period;
use wire::v1::{Change, Level};
use wire::{NanoUsd, OrgId, TeamId, UserId};

use super::recall::is_exhausted;
use super::{AccountView, AdminError, Changed, Given, Work};
use crate::alerts::Alerts;
use crate::schedule::{Anchor, BadSchedule, Schedule, Zone};
use crate::store::{Budget, BudgetId};

/// A cap as an administrator gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetForm {
    /// The most per period.
    pub cap: NanoUsd,
    /// The period; absent: as before, so that raising a cap never starts a fresh account by
    /// accident.
    pub period: Option<Period>,
    /// Where in the period it starts afresh, and of which period that is a part; absent: as before,
    /// as long as the period is.
    pub anchor: Given<(Period, Anchor)>,
    /// By the clocks of which place; absent: as before.
    pub time_zone: Given<Zone>,
    /// At which parts of the cap somebody is told; absent: as before.
    pub alerts: Given<Alerts>,
}

impl BudgetForm {
    /// A cap, and a period where another one is meant than before.
    #[must_use]
    pub fn new(cap: NanoUsd, period: Option<Period>) -> Self {
        Self { cap, period, anchor: Given::Absent, time_zone: Given::Absent, alerts: Given::Absent }
    }

    /// When the budget is to start afresh, after `known`.
    fn schedule(&self, known: Schedule) -> Result<Schedule, BadSchedule> {
        let period = self.period.unwrap_or(known.period());
        let same = period == known.period();
        let known_anchor = (period, known.anchor());
        let anchor = self.anchor.or_current(same.then_some(known_anchor));
        // What never starts afresh goes by no clock.
        let known_zone = (period != Period::None).then_some(known.zone());
        let zone = self.time_zone.or_current(known_zone).unwrap_or_default();
        Schedule::new(period, anchor.filter(|at| *at != (Period::None, Anchor::Natural)), zone)
    }
}

/// A team or a user: whoever shares a budget within an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// A team.
    Team(TeamId),
    /// A user.
    User(UserId),
}

impl Member {
    /// The id of its budget, which also says whose models these are.
    #[must_use]
    pub fn budget(&self, org: &OrgId) -> BudgetId {
        match self {
            Self::Team(team) => BudgetId { level: Level::Team, owner: format!("{org}/{team}") },
            Self::User(user) => BudgetId { level: Level::User, owner: format!("{org}/{user}") },
        }
    }
}

impl Work<'_> {
    /// The budget of a team or user, with what their keys have spent; they exist by being named.
    ///
    /// # Errors
    /// When there is no such organisation, or the store fails.
    pub fn member_budget(
        &mut self,
        org: &OrgId,
        member: &Member,
    ) -> Result<AccountView, AdminError> {
        self.org(org)?;
        self.account_view(member.budget(org))
    }

    /// Sets or removes the cap of a team or user.
    ///
    /// # Errors
    /// When there is no such organisation, or the store fails.
    pub fn cap_member(
        &mut self,
        org: &OrgId,
        member: &Member,
        budget: Option<BudgetForm>,
    ) -> Result<Changed<AccountView>, AdminError> {
        self.org(org)?;
        match member {
            Member::Team(team) => self.name_team(org, team)?,
            Member::User(user) => self.name_user(org, user)?,
        }
        let id = member.budget(org);
        self.save_cap(&id, budget)?;
        let (level, owner) = (id.level, id.owner.clone());
        let revision = self.publish(Change::Below { level, owner })?;
        Ok(Changed { value: self.account_view(id)?, revision })
    }

    /// Sets or removes a cap. Removing one keeps when it starts afresh, so that setting it again in the same
    /// period counts what was spent in between. A lower one is recalled, so that what is out comes
    /// back under it soon, and where it is below what is spent already, running calls end. Another
    /// schedule begins another account, which does not know of leases granted from the one before: it
    /// grants once they have been recalled everywhere.
    pub(super) fn save_cap(
        &mut self,
        id: &BudgetId,
        form: Option<BudgetForm>,
    ) -> Result<(), AdminError> {
        let known = self.rows.budget(id)?.unwrap_or_default();
        let cap = form.map(|form| form.cap);
        let schedule = match form {
            Some(form) => form.schedule(known.schedule).map_err(|bad| bad_schedule(id, bad))?,
            None => known.schedule,
        };
        let alerts = form.map_or(Given::Absent, |form| form.alerts).or_current(Some(known.alerts));
        let alerts = alerts.unwrap_or_default();
        let mut budget = Budget { cap, schedule, alerts, ..known };
        let lowered = cap.is_some_and(|cap| known.cap.is_none_or(|known| cap < known));
        let begins = cap.is_some() && schedule != known.schedule;
        // Where nothing is out there is nothing to ask back.
        let is_out = |work: &mut Self| {
            work.open_account(id.clone(), &known)
                .map(|open| open.at.account.outstanding > NanoUsd::ZERO)
        };
        if (lowered || begins) && is_out(self)? {
            let revision = self.recall(id)?;
            if begins {
                budget.began_revision = revision;
            }
        }
        self.rows.save_budget(id, &budget)?;
        if lowered && is_exhausted(&self.open_account(id.clone(), &budget)?.at.account) {
            self.publish_exhausted(id)?;
        }
        if !budget.alerts.is_empty() {
            let open = self.open_account(id.clone(), &budget)?;
            self.tell_of_thresholds(&open.id, &budget, &open.at.account)?;
        }
        Ok(())
    }
}

/// A schedule that contradicts itself, named as the form of this level names its fields.
fn bad_schedule(id: &BudgetId, bad: BadSchedule) -> AdminError {
    let param = match id.level {
        Level::Key | Level::Org => format!("budget.{}", bad.field),
        Level::User | Level::Team | Level::Wallet => bad.field.to_owned(),
    };
    AdminError::field(&param, "invalid_field", bad.message)
}
