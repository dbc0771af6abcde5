//! The administrator: makes the world's keys, and later revokes, disables, rotates, reprices and
//! moves caps while requests run.

use anyhow::Context as _;
use metering::period::Period;
use policy_server::app::{BudgetForm, Given, KeyForm, ModelForm, OrgForm};
use policy_server::store::StoredLimit;
use wire::v1::{CutCalls, Price, Scope, Unit, Window};
use wire::{KeyId, ModelName, NanoUsd, OrgId, PicoUsdPerToken};

use crate::checker::ProxyLimits;
use crate::scenario::Clients;
use crate::traffic::{
    CALLS_IN_BUDGET, CONTEXT_TOKENS, INPUT_OVERHEAD_TOKENS, MAX_OUTPUT_TOKENS, MODEL,
    STEADY_OUTPUT_TOKENS, steady_body,
};
use crate::world::{Event, World};

/// Most keys of a world: revoked ones are still tried, so that a leak would be seen.
const MOST_KEYS: usize = 12;
/// Keys that expire while the clients use them, in a thousand.
const MORTAL_PER_MILLE: u64 = 150;
/// Requests whose key is switched off while they are on their way, in a thousand.
const IN_PASSING_PER_MILLE: u64 = 30;
/// Kinds of keys; each world begins with one of each.
const KINDS: usize = 7;
/// The organisation with a cap.
const CAPPED: &str = "capped";
/// The organisation without one: its keys need no lease.
const FREE: &str = "free";

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Active,
    Disabled,
    Revoked,
}

/// A key as the administrator knows it.
#[derive(Debug)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its organisation.
    pub org: &'static str,
    /// What each proxy must keep to.
    pub limits: ProxyLimits,
    /// What calls without usage are charged.
    pub cut_calls: CutCalls,
    /// When it expires, in milliseconds since 1970 UTC.
    pub expires_unix_ms: Option<u64>,
    life: Life,
    cap: Option<NanoUsd>,
    period: Option<Period>,
    /// Index of the secret that is valid now.
    credential: usize,
}

impl Key {
    /// The credential that works now, or has been withdrawn just before its time: clients keep
    /// using a key that was switched off.
    pub(crate) fn valid_credential(&self) -> Option<usize> {
        (self.life != Life::Revoked).then_some(self.credential)
    }
}

/// A secret that clients use, valid or not.
#[derive(Debug)]
pub struct Credential {
    /// The text.
    pub secret: String,
    /// Index of its key.
    pub key: usize,
}

/// What kind of key to make.
#[derive(Debug, Clone, Copy)]
struct Kind {
    org: &'static str,
    cap: Option<NanoUsd>,
    limits: ProxyLimits,
    cut_calls: CutCalls,
}

const fn micro(usd: u64) -> NanoUsd {
    NanoUsd(usd * 1_000)
}

impl World {
    /// Models, organisations and the first keys.
    pub(crate) fn furnish(&mut self) -> anyhow::Result<()> {
        if self.scenario.clients != Clients::Mixed {
            return self.furnish_one_budget();
        }
        self.org_period = self.some_period();
        self.org_cap = micro(self.dice.between(6_000, 60_000));
        self.put_model()?;
        self.put_org(CAPPED, Some(self.org_cap))?;
        self.put_org(FREE, None)?;
        for _ in 0..KINDS {
            self.new_key()?;
        }
        Ok(())
    }

    /// One key with a cap of so many calls as its clients make them.
    fn furnish_one_budget(&mut self) -> anyhow::Result<()> {
        self.put_model()?;
        self.put_org(FREE, None)?;
        let price = self.checker.price();
        let input = steady_body().len() as u64 + INPUT_OVERHEAD_TOKENS;
        let one = metering::price::bound(input, STEADY_OUTPUT_TOKENS, 0, &price);
        let cap = Some(NanoUsd(one.0 * CALLS_IN_BUDGET));
        let limits = ProxyLimits::default();
        self.make_key(Kind { org: FREE, cap, limits, cut_calls: CutCalls::Reservation })
    }

    /// Where budgets of a day are to be met, half of them are.
    fn some_period(&mut self) -> Option<Period> {
        let is_daily = self.scenario.has_daily_budgets && self.dice.per_mille(500);
        is_daily.then_some(Period::Day)
    }

    /// One change, if the server can be reached.
    pub(crate) fn administer(&mut self) -> anyhow::Result<()> {
        if !self.server.is_awake(self.now_ms) {
            return Ok(());
        }
        let index = self.dice.index(self.keys.len());
        let Some(life) = self.keys.get(index).map(|key| key.life) else { return Ok(()) };
        match self.dice.below(10) {
            0 if life != Life::Revoked && self.keys.len() < MOST_KEYS => {
                self.live_as(index, Life::Revoked)?;
                self.new_key()
            }
            1..=3 if life == Life::Active => self.live_as(index, Life::Disabled),
            1..=6 if life == Life::Disabled => self.live_as(index, Life::Active),
            4 | 5 if life == Life::Active => self.rotate(index),
            6 => self.put_model(),
            7 | 8 => self.move_key_cap(index),
            _ => {
                self.org_cap = self.moved(self.org_cap);
                self.put_org(CAPPED, Some(self.org_cap))
            }
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
        if self.server.is_awake(self.now_ms) && is_from { self.live_as(index, to) } else { Ok(()) }
    }

    /// Every budget above a key, as level and owner.
    pub(crate) fn budgets_above(&self, key: &str) -> Vec<(String, String)> {
        let own = ("key".to_owned(), key.to_owned());
        let found = self.keys.iter().find(|known| known.id.as_str() == key);
        let org = found.map(|known| ("org".to_owned(), known.org.to_owned()));
        std::iter::once(own).chain(org).collect()
    }

    /// Mostly more money, sometimes less.
    fn moved(&mut self, cap: NanoUsd) -> NanoUsd {
        let step = micro(self.dice.between(500, 12_000));
        if self.dice.per_mille(700) { cap.saturating_add(step) } else { cap.saturating_sub(step) }
    }

    fn put_model(&mut self) -> anyhow::Result<()> {
        let input = self.dice.between(1, 3) * 1_000_000;
        let output = self.dice.between(1, 4) * 1_000_000;
        let price = Price::text(PicoUsdPerToken(input), PicoUsdPerToken(output), None);
        let form = ModelForm {
            aliases: vec![ModelName::new("fast")?],
            price: Some(price),
            context_length: CONTEXT_TOKENS,
            max_output_tokens: MAX_OUTPUT_TOKENS,
            input_overhead_tokens: INPUT_OVERHEAD_TOKENS,
            reasoning: false,
        };
        let name = ModelName::new(MODEL)?;
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        engine.run(now, |work| work.put_model(name, form))?;
        let catalogue = engine.run(now, |work| work.catalogue(None))?;
        self.checker.price_is(catalogue.version, price);
        self.log.note(self.now_ms, || format!("admin: catalogue {catalogue:?}"));
        Ok(())
    }

    fn put_org(&mut self, org: &'static str, cap: Option<NanoUsd>) -> anyhow::Result<()> {
        let period = self.org_period;
        let budget = cap.map_or(Given::Absent, |cap| Given::Value(BudgetForm { cap, period }));
        let form = OrgForm { budget, ..OrgForm::default() };
        let id = OrgId::new(org)?;
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        engine.run(now, |work| work.put_org(id, form))?;
        self.caps_changed = true;
        self.log.note(self.now_ms, || format!("admin: org {org} has cap {cap:?}"));
        Ok(())
    }

    fn new_key(&mut self) -> anyhow::Result<()> {
        let number = self.keys.len();
        let per_minute = Some(self.dice.between(2, 12));
        let at_once = Some(self.dice.between(1, 3));
        let tokens_per_minute = Some(self.dice.between(1_000, 6_000));
        let none = ProxyLimits::default();
        let cap = Some(micro(self.dice.between(2_000, 20_000)));
        let cut_calls = CutCalls::Reservation;
        let kind = match number % KINDS {
            0 => Kind { org: CAPPED, cap, limits: none, cut_calls },
            1 => {
                let limits = ProxyLimits { at_once, ..none };
                Kind { org: CAPPED, cap: None, limits, cut_calls: CutCalls::Estimate }
            }
            2 => {
                Kind { org: FREE, cap: None, limits: ProxyLimits { per_minute, ..none }, cut_calls }
            }
            3 => Kind { org: CAPPED, cap, limits: ProxyLimits { per_minute, ..none }, cut_calls },
            4 => {
                let limits = ProxyLimits { tokens_per_minute, ..none };
                Kind { org: CAPPED, cap: None, limits, cut_calls }
            }
            5 => Kind { org: CAPPED, cap, limits: none, cut_calls: CutCalls::Estimate },
            _ => Kind { org: FREE, cap: None, limits: none, cut_calls },
        };
        self.make_key(kind)
    }

    fn make_key(&mut self, kind: Kind) -> anyhow::Result<()> {
        let number = self.keys.len();
        let Kind { org, cap, limits, cut_calls } = kind;
        let period = self.some_period();
        let is_mortal =
            self.scenario.clients == Clients::Mixed && self.dice.per_mille(MORTAL_PER_MILLE);
        let life_ms = self.dice.between(1_000, self.scenario.traffic_ms);
        let (_, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let expires_unix_ms = is_mortal.then_some(now.unix_ms + life_ms);
        let limit = |unit, window, max| StoredLimit { unit, window, max, scope: Scope::Proxy };
        let minute = Some(Window::Minute);
        let stored = [
            limits.per_minute.map(|max| limit(Unit::Requests, minute, max)),
            limits.tokens_per_minute.map(|max| limit(Unit::Tokens, minute, max)),
            limits.at_once.map(|max| limit(Unit::Concurrent, None, max)),
        ];
        let form = KeyForm {
            org: Some(OrgId::new(org)?),
            name: Given::Value(format!("key {number}")),
            limits: Given::Value(stored.into_iter().flatten().collect()),
            budget: cap.map_or(Given::Absent, |cap| Given::Value(BudgetForm { cap, period })),
            cut_calls: Given::Value(cut_calls),
            expires_at_unix_ms: expires_unix_ms.map_or(Given::Absent, Given::Value),
            ..KeyForm::default()
        };
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let made = engine.run(now, |work| work.create_key(form))?.value;
        let id = made.view.key.id;
        self.log.note(self.now_ms, || {
            format!("admin: new key {id}: {kind:?}, {period:?}, expires {expires_unix_ms:?}")
        });
        let credential = self.credentials.len();
        let life = Life::Active;
        let key =
            Key { id, org, limits, cut_calls, expires_unix_ms, life, cap, period, credential };
        self.keys.push(key);
        self.credentials.push(Credential { secret: made.secret.expose().to_owned(), key: number });
        self.caps_changed = true;
        Ok(())
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
            self.checker.withdrawn(key.credential, changed.revision);
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
        let changed = engine.run(now, |work| work.rotate_key(&key.id))?;
        self.checker.withdrawn(key.credential, changed.revision);
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
        let (cap, id, life, period) = (key.cap, key.id.clone(), key.life, key.period);
        let Some(cap) = cap.filter(|_| life != Life::Revoked) else { return Ok(()) };
        let cap = self.moved(cap);
        let form =
            KeyForm { budget: Given::Value(BudgetForm { cap, period }), ..KeyForm::default() };
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        engine.run(now, |work| work.patch_key(&id, form))?;
        if let Some(key) = self.keys.get_mut(index) {
            key.cap = Some(cap);
        }
        self.caps_changed = true;
        self.log.note(self.now_ms, || format!("admin: key {id} has cap {cap:?}"));
        Ok(())
    }
}
