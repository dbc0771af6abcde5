//! Budgets above keys: an organisation, its teams and users, its wallet; and keys that are moved
//! from one team or user to another while calls run.

use std::collections::BTreeMap;

use anyhow::Context as _;
use metering::period::Period;
use policy_server::app::{self, BudgetForm, Given, KeyForm, OrgForm, TopUpForm};
use wire::{NanoUsd, OrgId, PriceMultiplier, Revision, TeamId, UserId};

use crate::administration::{CAPPED, FREE, micro};
use crate::checker::Placement;
use crate::dice::Dice;
use crate::keys::{Key, Life};
use crate::world::World;

/// Names of teams and of users in the organisation with a cap.
const NAMES: [&str; 2] = ["red", "blue"];
/// Teams and users that have a cap from the start, in a thousand.
const CAPPED_PER_MILLE: u64 = 500;
/// Worlds whose organisation has a wallet from the start, in a thousand.
const WALLETS_PER_MILLE: u64 = 500;
/// Caps that are set together with another period, in a thousand.
const OTHER_PERIOD_PER_MILLE: u64 = 150;
/// Caps of teams and users that are taken away instead of being moved, in a thousand.
const UNCAPPED_PER_MILLE: u64 = 150;

/// How much larger budgets are in worlds in which leases are for many calls.
const MUCH: u64 = 30;
/// How much larger they are where the provider has tools.
const MORE: u64 = 4;

/// What plans multiply prices by, in millionths.
const PLANS_PPM: [u64; 4] = [1_000_000, 500_000, 1_500_000, 2_000_001];

/// A team or a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    Team(&'static str),
    User(&'static str),
}

impl Member {
    /// One of the two of a kind.
    pub(crate) fn some(of: fn(&'static str) -> Self, dice: &mut Dice) -> Self {
        of(NAMES.get(dice.index(NAMES.len())).copied().unwrap_or("red"))
    }

    pub(crate) fn name(self) -> &'static str {
        let (Self::Team(name) | Self::User(name)) = self;
        name
    }

    /// As a field of a form.
    pub(crate) fn team(self) -> anyhow::Result<Given<TeamId>> {
        Ok(Given::Value(TeamId::new(self.name())?))
    }

    /// As a field of a form.
    pub(crate) fn user(self) -> anyhow::Result<Given<UserId>> {
        Ok(Given::Value(UserId::new(self.name())?))
    }
}

/// A cap and its period.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Budget {
    pub(crate) cap: Option<NanoUsd>,
    pub(crate) period: Period,
}

/// Everything above the keys of the organisation with a cap.
#[derive(Debug, Default)]
pub(crate) struct Tenancy {
    org: Budget,
    teams: [Budget; NAMES.len()],
    users: [Budget; NAMES.len()],
    /// Whether anything was ever paid in.
    has_wallet: bool,
    /// What the plans of organisations multiply prices by, where that is not 1.
    plans: BTreeMap<&'static str, PriceMultiplier>,
}

impl Tenancy {
    fn budget(&mut self, member: Member) -> Option<&mut Budget> {
        let at = NAMES.iter().position(|name| *name == member.name())?;
        match member {
            Member::Team(_) => self.teams.get_mut(at),
            Member::User(_) => self.users.get_mut(at),
        }
    }

    /// The accounts that a key's leases are granted from, and whether any of them has a cap.
    fn above(&self, key: &Key) -> Placement {
        let of = |budgets: &[Budget], name: &str| {
            let at = NAMES.iter().position(|known| *known == name);
            at.and_then(|at| budgets.get(at)).copied().unwrap_or_default()
        };
        let own = Budget { cap: key.cap, period: key.period };
        let mut above = vec![("key", key.id.as_str().to_owned(), own)];
        if let Some(user) = key.user {
            above.push(("user", format!("{}/{user}", key.org), of(&self.users, user)));
        }
        if let Some(team) = key.team {
            above.push(("team", format!("{}/{team}", key.org), of(&self.teams, team)));
        }
        let is_capped = key.org == CAPPED;
        let org = if is_capped { self.org } else { Budget::default() };
        above.push(("org", key.org.to_owned(), org));
        if is_capped && self.has_wallet {
            let wallet = Budget { cap: Some(NanoUsd::ZERO), period: Period::None };
            above.push(("wallet", key.org.to_owned(), wallet));
        }
        Placement::of(above.into_iter().map(|(level, owner, budget)| {
            let account = (level.to_owned(), owner, budget.period.as_str().to_owned());
            (account, budget.cap.is_some())
        }))
    }
}

impl World {
    /// The organisation with a cap, some teams and users with one, and perhaps a wallet.
    pub(crate) fn furnish_tenancy(&mut self) -> anyhow::Result<()> {
        let period = self.some_period();
        let cap = Some(self.some_cap(6_000, 60_000));
        self.tenancy.org = Budget { cap, period };
        self.put_org(CAPPED, self.tenancy.org)?;
        for name in NAMES {
            for member in [Member::Team(name), Member::User(name)] {
                let cap = self.some_cap(2_000, 30_000);
                let period = self.some_period();
                if self.dice.per_mille(CAPPED_PER_MILLE) {
                    self.cap_member(member, Budget { cap: Some(cap), period })?;
                }
            }
        }
        if self.dice.per_mille(WALLETS_PER_MILLE) { self.top_up() } else { Ok(()) }
    }

    /// So many micro-USD, and much more where a key is to have money for many calls.
    pub(crate) fn some_cap(&mut self, low: u64, high: u64) -> NanoUsd {
        let times = match (self.scenario.has_favourite, self.scenario.has_kinds) {
            (true, _) => MUCH,
            (false, true) => MORE,
            (false, false) => 1,
        };
        micro(self.dice.between(low, high) * times)
    }

    /// Where budgets of a day are to be met, half of them are.
    pub(crate) fn some_period(&mut self) -> Period {
        let is_daily = self.scenario.has_daily_budgets && self.dice.per_mille(500);
        if is_daily { Period::Day } else { Period::None }
    }

    /// Another cap, mostly a higher one, sometimes for another period.
    pub(crate) fn moved(&mut self, budget: Budget) -> Budget {
        let step = self.some_cap(500, 12_000);
        let cap = budget.cap.unwrap_or_default();
        let cap = if self.dice.per_mille(700) {
            cap.saturating_add(step)
        } else {
            cap.saturating_sub(step)
        };
        let period = match (self.dice.per_mille(OTHER_PERIOD_PER_MILLE), budget.period) {
            (false, period) => period,
            (true, Period::None) => Period::Day,
            (true, _) => Period::None,
        };
        Budget { cap: Some(cap), period }
    }

    pub(crate) fn move_org_cap(&mut self) -> anyhow::Result<()> {
        self.tenancy.org = self.moved(self.tenancy.org);
        self.put_org(CAPPED, self.tenancy.org)
    }

    /// Another plan for one of the organisations.
    pub(crate) fn move_plan(&mut self) -> anyhow::Result<()> {
        let org = if self.dice.per_mille(700) { CAPPED } else { FREE };
        let ppm = PLANS_PPM.get(self.dice.index(PLANS_PPM.len())).copied();
        let multiplier = PriceMultiplier::from_ppm(ppm.unwrap_or(PLANS_PPM[0]))?;
        self.tenancy.plans.insert(org, multiplier);
        let budget = if org == CAPPED { self.tenancy.org } else { Budget::default() };
        self.put_org(org, budget)
    }

    pub(crate) fn put_org(&mut self, org: &'static str, budget: Budget) -> anyhow::Result<()> {
        let Budget { cap, period } = budget;
        let given = |cap| Given::Value(BudgetForm::new(cap, Some(period)));
        let multiplier = self.tenancy.plans.get(org).copied().unwrap_or_default();
        let form = OrgForm {
            budget: cap.map_or(Given::Absent, given),
            price_multiplier: Given::Value(multiplier),
            ..OrgForm::default()
        };
        let id = OrgId::new(org)?;
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let revision = engine.run(now, |work| work.put_org(id, form))?.revision;
        self.checker.plan_is(org, multiplier, revision);
        self.log.note(self.now_ms, || format!("admin: org {org} has {budget:?}, {multiplier:?}"));
        self.budgets_are_set(revision);
        Ok(())
    }

    /// Sets, moves or takes away the cap of a team or user.
    pub(crate) fn move_member_cap(&mut self) -> anyhow::Result<()> {
        let of = if self.dice.per_mille(500) { Member::Team } else { Member::User };
        let member = Member::some(of, &mut self.dice);
        let before = self.tenancy.budget(member).copied().unwrap_or_default();
        let mut budget = self.moved(before);
        if self.dice.per_mille(UNCAPPED_PER_MILLE) {
            budget = Budget { cap: None, period: before.period };
        }
        self.cap_member(member, budget)
    }

    fn cap_member(&mut self, member: Member, budget: Budget) -> anyhow::Result<()> {
        if let Some(known) = self.tenancy.budget(member) {
            *known = budget;
        }
        let form = budget.cap.map(|cap| BudgetForm::new(cap, Some(budget.period)));
        let named = match member {
            Member::Team(name) => app::Member::Team(TeamId::new(name)?),
            Member::User(name) => app::Member::User(UserId::new(name)?),
        };
        let org = OrgId::new(CAPPED)?;
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let revision = engine.run(now, |work| work.cap_member(&org, &named, form))?.revision;
        self.log.note(self.now_ms, || format!("admin: {member:?} has {budget:?}"));
        self.budgets_are_set(revision);
        Ok(())
    }

    /// Pays into the wallet; the first payment opens it.
    pub(crate) fn top_up(&mut self) -> anyhow::Result<()> {
        let amount = self.some_cap(1_000, 25_000);
        let form = TopUpForm { amount, note: String::new(), id: None };
        let org = OrgId::new(CAPPED)?;
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let revision = engine.run(now, |work| work.top_up(&org, form))?.revision;
        self.tenancy.has_wallet = true;
        self.tally.top_ups += 1;
        self.log.note(self.now_ms, || format!("admin: {amount:?} go into the wallet"));
        self.budgets_are_set(revision);
        Ok(())
    }

    /// Moves a key to another team or user, or out of one.
    pub(crate) fn move_key(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(key) = self.keys.get(index) else { return Ok(()) };
        if key.org != CAPPED || key.life == Life::Revoked {
            return Ok(());
        }
        let (id, mut team, mut user) = (key.id.clone(), key.team, key.user);
        let other = |name: Option<&'static str>, dice: &mut Dice| {
            let others = NAMES.into_iter().map(Some).chain([None]);
            let others: Vec<_> = others.filter(|other| *other != name).collect();
            others.get(dice.index(others.len())).copied().flatten()
        };
        if self.dice.per_mille(500) {
            team = other(team, &mut self.dice);
        } else {
            user = other(user, &mut self.dice);
        }
        let form = KeyForm {
            team: team.map_or(Ok(Given::Null), |name| Member::Team(name).team())?,
            user: user.map_or(Ok(Given::Null), |name| Member::User(name).user())?,
            ..KeyForm::default()
        };
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let revision = engine.run(now, |work| work.patch_key(&id, form))?.revision;
        if let Some(key) = self.keys.get_mut(index) {
            (key.team, key.user) = (team, user);
        }
        self.tally.moved_keys += 1;
        self.log.note(self.now_ms, || {
            format!("admin: revision {}: key {id} is in {team:?} of {user:?}", revision.0)
        });
        self.budgets_are_set(revision);
        Ok(())
    }

    /// An administrator has just set caps, or where keys belong, by this revision.
    pub(crate) fn budgets_are_set(&mut self, revision: Revision) {
        self.caps_changed = true;
        for key in &self.keys {
            let above = self.tenancy.above(key);
            self.checker.placed(key.id.as_str(), above, revision);
        }
    }
}
