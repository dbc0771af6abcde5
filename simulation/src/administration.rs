//! The administrator: makes the world's keys, and later revokes, disables, rotates, reprices and
//! moves caps while requests run.

use anyhow::Context as _;
use policy_server::app::{BudgetForm, Given, KeyForm, ModelForm};
use wire::v1::{CutCalls, Price, Rates};
use wire::{ModelName, NanoUsd, PicoUsdPerToken};

use crate::checker::KeyLimits;
use crate::events::Event;
use crate::keys::{Credential, KINDS, Key, Kind, Life, stored};
use crate::scenario::Clients;
use crate::tenancy::Budget;
use crate::traffic::{
    CALLS_IN_BUDGET, CONTEXT_TOKENS, INPUT_OVERHEAD_TOKENS, MAX_OUTPUT_TOKENS, MODEL,
    SHORT_CONTEXT_TOKENS, STEADY_OUTPUT_TOKENS, TOOL_CALLS, steady_body,
};
use crate::world::World;

/// Most keys of a world: revoked ones are still tried, so that a leak would be seen.
const MOST_KEYS: usize = 14;
/// Changes that switch a key's shadow mode, where there is any, in a thousand.
const SHADOW_MOVES_PER_MILLE: u64 = 150;
/// Requests whose key is switched off while they are on their way, in a thousand.
const IN_PASSING_PER_MILLE: u64 = 30;
/// The organisation with a cap.
pub(crate) const CAPPED: &str = "capped";
/// The organisation without one: its keys need no lease.
pub(crate) const FREE: &str = "free";

pub(crate) const fn micro(usd: u64) -> NanoUsd {
    NanoUsd(usd * 1_000)
}

impl World {
    /// Models, organisations and the first keys.
    pub(crate) fn furnish(&mut self) -> anyhow::Result<()> {
        if self.scenario.clients != Clients::Mixed {
            return self.furnish_one_key();
        }
        self.put_model()?;
        self.put_org(FREE, Budget::default())?;
        self.furnish_tenancy()?;
        self.choose_favourite();
        for _ in 0..KINDS {
            self.new_key()?;
        }
        Ok(())
    }

    /// One key with a cap of so many calls as its clients make them, or with a window.
    fn furnish_one_key(&mut self) -> anyhow::Result<()> {
        self.put_model()?;
        self.put_org(FREE, Budget::default())?;
        let cut_calls = CutCalls::Reservation;
        if let Clients::Saturating { limit } = self.scenario.clients {
            let limits = KeyLimits { over_all_proxies: Some(limit), ..KeyLimits::default() };
            return self.make_key(Kind { org: FREE, cap: None, limits, cut_calls });
        }
        let price = self.checker.price();
        let input = steady_body().len() as u64 + INPUT_OVERHEAD_TOKENS;
        let one = metering::price::bound(input, STEADY_OUTPUT_TOKENS, 0, &price);
        let cap = Some(NanoUsd(one.0 * CALLS_IN_BUDGET));
        let limits = KeyLimits::default();
        self.make_key(Kind { org: FREE, cap, limits, cut_calls })
    }

    /// One change, if the server can be reached.
    pub(crate) fn administer(&mut self) -> anyhow::Result<()> {
        if !self.server.is_awake(self.now_ms) || self.is_administration_idle() {
            return Ok(());
        }
        let index = self.dice.index(self.keys.len());
        let Some(life) = self.keys.get(index).map(|key| key.life) else { return Ok(()) };
        if let Some(favourite) = self.favourite.filter(|_| self.dice.per_mille(300)) {
            return self.move_key(favourite);
        }
        if self.scenario.has_shadow && self.dice.per_mille(SHADOW_MOVES_PER_MILLE) {
            return self.move_shadow(index);
        }
        match self.dice.below(17) {
            0 if life != Life::Revoked && self.keys.len() < MOST_KEYS => {
                self.live_as(index, Life::Revoked)?;
                self.new_key()
            }
            1..=3 if life == Life::Active => self.live_as(index, Life::Disabled),
            1..=6 if life == Life::Disabled => self.live_as(index, Life::Active),
            4 | 5 if life == Life::Active => self.rotate(index),
            6 => self.put_model(),
            7 | 8 => self.move_key_cap(index),
            9 => self.move_org_cap(),
            10 | 11 => self.move_member_cap(),
            12 => self.top_up(),
            13 => self.move_limit(),
            14 => self.move_plan(),
            _ => self.move_key(index),
        }
    }

    /// Switches one key off, if the server can be reached.
    pub(crate) fn withdraw(&mut self) -> anyhow::Result<()> {
        let index = self.dice.index(self.keys.len());
        self.set_active(index, false)
    }

    /// Switches a key off while a request with it is on its way, and on again later.
    pub(crate) fn withdraw_in_passing(&mut self, credential: usize) {
        if !self.dice.per_mille(IN_PASSING_PER_MILLE) {
            return;
        }
        let key = self.credentials.get(credential).map_or(0, |it| it.key);
        let off_after = self.dice.between(1, 60);
        self.after(off_after, Event::SetActive { key, active: false });
        let on_after = off_after + self.dice.between(1_000, 8_000);
        self.after(on_after, Event::SetActive { key, active: true });
    }

    /// Switches a key off or on, if it is not so already and the server can be reached.
    pub(crate) fn set_active(&mut self, index: usize, active: bool) -> anyhow::Result<()> {
        let (from, to) =
            if active { (Life::Disabled, Life::Active) } else { (Life::Active, Life::Disabled) };
        let is_from = self.keys.get(index).is_some_and(|key| key.life == from);
        let can = self.server.is_awake(self.now_ms) && !self.is_administration_idle();
        if can && is_from { self.live_as(index, to) } else { Ok(()) }
    }

    fn put_model(&mut self) -> anyhow::Result<()> {
        let input = self.dice.between(1, 3) * 1_000_000;
        let output = self.dice.between(1, 4) * 1_000_000;
        let text = Price::text(PicoUsdPerToken(input), PicoUsdPerToken(output), None);
        let has_kinds = self.scenario.has_kinds;
        let price = if has_kinds { self.with_kinds(text) } else { text };
        let form = ModelForm {
            aliases: vec![ModelName::new("fast")?],
            price: Some(price),
            max_server_tool_calls: has_kinds.then_some(TOOL_CALLS),
            context_length: self.context_tokens(),
            max_output_tokens: MAX_OUTPUT_TOKENS,
            input_overhead_tokens: INPUT_OVERHEAD_TOKENS,
            ..ModelForm::default()
        };
        let name = ModelName::new(MODEL)?;
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        engine.run(now, |work| work.put_model(name, form))?;
        let catalogue = engine.run(now, |work| work.catalogue(None))?;
        self.checker.price_is(catalogue.version, price);
        self.log.note(self.now_ms, || format!("admin: catalogue {catalogue:?}"));
        Ok(())
    }

    /// A price of text with those of caches and of the provider's tools beside it.
    fn with_kinds(&mut self, text: Price) -> Price {
        let input = text.rates.input.0;
        let mut of_input = |low: u64, high: u64| {
            let price = PicoUsdPerToken(input * self.dice.between(low, high) / 100);
            Some(price)
        };
        let rates = Rates {
            cached_input: of_input(10, 50),
            cache_write: of_input(100, 150),
            cache_write_1h: of_input(100, 200),
            ..text.rates
        };
        let per_server_tool_call = Some(micro(self.dice.between(100, 900)));
        let per_call = NanoUsd(self.dice.between(0, 999));
        Price { rates, per_server_tool_call, per_call, ..text }
    }

    /// The model's context.
    pub(crate) fn context_tokens(&self) -> u64 {
        if self.scenario.has_kinds { SHORT_CONTEXT_TOKENS } else { CONTEXT_TOKENS }
    }

    fn live_as(&mut self, index: usize, life: Life) -> anyhow::Result<()> {
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let Some(key) = self.keys.get_mut(index) else { return Ok(()) };
        let changed = engine.run(now, |work| match life {
            Life::Active => work.enable_key(&key.id),
            Life::Disabled => work.disable_key(&key.id),
            Life::Revoked => work.revoke_key(&key.id),
        })?;
        key.life = life;
        if life == Life::Active {
            self.checker.restored(key.credential);
        } else {
            self.checker.withdrawn(key.credential, changed.revision, true);
        }
        let (credential, revision) = (key.credential, changed.revision.0);
        self.log.note(self.now_ms, || {
            format!("admin: revision {revision}: credential {credential} is {life:?}")
        });
        Ok(())
    }

    fn rotate(&mut self, index: usize) -> anyhow::Result<()> {
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let Some(key) = self.keys.get_mut(index) else { return Ok(()) };
        let changed = engine.run(now, |work| work.rotate_key(&key.id, 0))?;
        self.checker.withdrawn(key.credential, changed.revision, false);
        let (old, revision) = (key.credential, changed.revision.0);
        key.credential = self.credentials.len();
        let secret = changed.value.secret.expose().to_owned();
        self.credentials.push(Credential { secret, key: index });
        self.log.note(self.now_ms, || {
            format!("admin: revision {revision}: credential {old} is replaced")
        });
        Ok(())
    }

    fn move_key_cap(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(key) = self.keys.get(index) else { return Ok(()) };
        let (id, before) = (key.id.clone(), Budget { cap: key.cap, period: key.period });
        if key.life == Life::Revoked || before.cap.is_none() {
            return Ok(());
        }
        let budget = self.moved(before);
        let given = BudgetForm::new(budget.cap.unwrap_or_default(), Some(budget.period));
        let form = KeyForm { budget: Given::Value(given), ..KeyForm::default() };
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let revision = engine.run(now, |work| work.patch_key(&id, form))?.revision;
        if let Some(key) = self.keys.get_mut(index) {
            (key.cap, key.period) = (budget.cap, budget.period);
        }
        self.log.note(self.now_ms, || format!("admin: key {id} has {budget:?}"));
        self.budgets_are_set(revision);
        Ok(())
    }

    /// Switches a key's shadow mode on or off.
    fn move_shadow(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(key) = self.keys.get_mut(index).filter(|key| key.life != Life::Revoked) else {
            return Ok(());
        };
        key.shadow = !key.shadow;
        key.was_in_shadow = true;
        let (id, shadow) = (key.id.clone(), key.shadow);
        let form = KeyForm { shadow: Given::Value(shadow), ..KeyForm::default() };
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let revision = engine.run(now, |work| work.patch_key(&id, form))?.revision;
        self.checker.shadow_is(id.as_str(), shadow, revision);
        self.tally.shadow_moves += 1;
        self.log.note(self.now_ms, || {
            format!("admin: revision {}: key {id}: shadow {shadow}", revision.0)
        });
        Ok(())
    }

    /// Another number of requests for some key with a window over all proxies.
    fn move_limit(&mut self) -> anyhow::Result<()> {
        let has_one = |(index, key): (usize, &Key)| {
            (key.life != Life::Revoked && key.limits.over_all_proxies.is_some()).then_some(index)
        };
        let with: Vec<_> = self.keys.iter().enumerate().filter_map(has_one).collect();
        let Some(index) = with.get(self.dice.index(with.len())).copied() else { return Ok(()) };
        let max = self.dice.between(1, 30);
        let Some(key) = self.keys.get_mut(index) else { return Ok(()) };
        key.limits.over_all_proxies = Some(max);
        let form = KeyForm { limits: Given::Value(stored(key.limits)), ..KeyForm::default() };
        let id = key.id.clone();
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let revision = engine.run(now, |work| work.patch_key(&id, form))?.revision;
        self.checker.cluster_limit_is(id.as_str(), max, revision);
        self.tally.moved_limits += 1;
        self.log.note(self.now_ms, || {
            format!("admin: revision {}: key {id}: {max} over all proxies", revision.0)
        });
        Ok(())
    }
}
