//! Keys as the administrator knows them, and the kinds of keys that a world has.

use anyhow::Context as _;
use metering::period::Period;
use policy_server::app::{BudgetForm, Given, KeyForm};
use policy_server::store::StoredLimit;
use wire::v1::{CutCalls, Scope, Unit, Window};
use wire::{KeyId, NanoUsd, OrgId};

use crate::administration::{CAPPED, FREE};
use crate::checker::KeyLimits;
use crate::scenario::Clients;
use crate::tenancy::Member;
use crate::world::World;

/// Keys that expire while the clients use them, in a thousand.
const MORTAL_PER_MILLE: u64 = 150;
/// Keys of the organisation with a cap that have a team, and as many that have a user.
const MEMBERS_PER_MILLE: u64 = 600;
/// Kinds of keys that can be the favourite: nothing but money, or a window over all proxies, bounds
/// how often they are used.
const FAVOURITES: [usize; 3] = [0, 5, 7];
/// Kinds of keys; each world begins with one of each.
pub(crate) const KINDS: usize = 9;

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
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
    /// Its team.
    pub team: Option<&'static str>,
    /// Whose it is.
    pub user: Option<&'static str>,
    /// How much of it may be used how fast.
    pub limits: KeyLimits,
    /// What calls without usage are charged.
    pub cut_calls: CutCalls,
    /// When it expires, in milliseconds since 1970 UTC.
    pub expires_unix_ms: Option<u64>,
    /// Nothing refuses its requests.
    pub shadow: bool,
    /// So it is, or was.
    pub was_in_shadow: bool,
    pub(crate) life: Life,
    pub(crate) cap: Option<NanoUsd>,
    pub(crate) period: Period,
    /// Index of the secret that is valid now.
    pub(crate) credential: usize,
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
pub(crate) struct Kind {
    pub(crate) org: &'static str,
    pub(crate) cap: Option<NanoUsd>,
    pub(crate) limits: KeyLimits,
    pub(crate) cut_calls: CutCalls,
}

/// The limits as the server keeps them.
pub(crate) fn stored(limits: KeyLimits) -> Vec<StoredLimit> {
    let limit = |unit, window, max, scope| StoredLimit { unit, window, max, scope, model: None };
    let (minute, proxy) = (Some(Window::Minute), Scope::Proxy);
    let all = [
        limits.per_minute.map(|max| limit(Unit::Requests, minute, max, proxy)),
        limits.tokens_per_minute.map(|max| limit(Unit::Tokens, minute, max, proxy)),
        limits.at_once.map(|max| limit(Unit::Concurrent, None, max, proxy)),
        limits.over_all_proxies.map(|max| limit(Unit::Requests, minute, max, Scope::Cluster)),
    ];
    all.into_iter().flatten().collect()
}

impl World {
    /// Where most requests use one key, which one.
    pub(crate) fn choose_favourite(&mut self) {
        if self.scenario.has_favourite {
            let at = self.dice.index(FAVOURITES.len());
            self.favourite = FAVOURITES.get(at).copied();
        }
    }

    pub(crate) fn new_key(&mut self) -> anyhow::Result<()> {
        let number = self.keys.len();
        let per_minute = Some(self.dice.between(2, 12));
        let at_once = Some(self.dice.between(1, 3));
        let tokens_per_minute = Some(self.dice.between(1_000, 6_000));
        let over_all_proxies = Some(self.dice.between(2, 30));
        let none = KeyLimits::default();
        let cap = Some(self.some_cap(2_000, 20_000));
        let cut_calls = CutCalls::Reservation;
        let kind = match number % KINDS {
            0 => Kind { org: CAPPED, cap, limits: none, cut_calls },
            1 => {
                let limits = KeyLimits { at_once, ..none };
                Kind { org: CAPPED, cap: None, limits, cut_calls: CutCalls::Estimate }
            }
            2 => Kind { org: FREE, cap: None, limits: KeyLimits { per_minute, ..none }, cut_calls },
            3 => Kind { org: CAPPED, cap, limits: KeyLimits { per_minute, ..none }, cut_calls },
            4 => {
                let limits = KeyLimits { tokens_per_minute, ..none };
                Kind { org: CAPPED, cap: None, limits, cut_calls }
            }
            5 => Kind { org: CAPPED, cap, limits: none, cut_calls: CutCalls::Estimate },
            6 => {
                let limits = KeyLimits { over_all_proxies, ..none };
                Kind { org: FREE, cap: None, limits, cut_calls }
            }
            7 => {
                let limits = KeyLimits { over_all_proxies, ..none };
                Kind { org: CAPPED, cap: None, limits, cut_calls }
            }
            _ => Kind { org: FREE, cap: None, limits: none, cut_calls },
        };
        self.make_key(kind)
    }

    pub(crate) fn make_key(&mut self, kind: Kind) -> anyhow::Result<()> {
        let number = self.keys.len();
        let Kind { org, cap, limits, cut_calls } = kind;
        let period = if cap.is_some() { self.some_period() } else { Period::None };
        let is_mortal =
            self.scenario.clients == Clients::Mixed && self.dice.per_mille(MORTAL_PER_MILLE);
        let life_ms = self.dice.between(1_000, self.scenario.traffic_ms);
        let mut member = |of: fn(&'static str) -> Member| {
            let has_one = org == CAPPED && self.dice.per_mille(MEMBERS_PER_MILLE);
            let some = Member::some(of, &mut self.dice);
            has_one.then_some(some)
        };
        let (team, user) = (member(Member::Team), member(Member::User));
        // Other kinds each time that a kind is made.
        let shadow = self.scenario.has_shadow && (number + number / KINDS).is_multiple_of(2);
        let (_, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let expires_unix_ms = is_mortal.then_some(now.unix_ms + life_ms);
        let given = |cap| Given::Value(BudgetForm::new(cap, Some(period)));
        let form = KeyForm {
            org: Some(OrgId::new(org)?),
            team: team.map_or(Ok(Given::Null), Member::team)?,
            user: user.map_or(Ok(Given::Null), Member::user)?,
            name: Given::Value(format!("key {number}")),
            limits: Given::Value(stored(limits)),
            budget: cap.map_or(Given::Absent, given),
            cut_calls: Given::Value(cut_calls),
            shadow: Given::Value(shadow),
            expires_at_unix_ms: expires_unix_ms.map_or(Given::Absent, Given::Value),
            ..KeyForm::default()
        };
        let (engine, now) = self.server.engine(self.now_ms).context("the server is down")?;
        let made = engine.run(now, |work| work.create_key(form))?;
        let (revision, made) = (made.revision, made.value);
        let id = made.view.key.id;
        self.log.note(self.now_ms, || {
            format!(
                "admin: new key {id}: {kind:?}, {team:?}, {user:?}, {period:?}, expires \
                 {expires_unix_ms:?}, shadow {shadow}"
            )
        });
        let credential = self.credentials.len();
        let (team, user) = (team.map(Member::name), user.map(Member::name));
        let life = Life::Active;
        let key = Key {
            id,
            org,
            team,
            user,
            limits,
            cut_calls,
            expires_unix_ms,
            shadow,
            was_in_shadow: shadow,
            life,
            cap,
            period,
            credential,
        };
        if let Some(max) = limits.over_all_proxies {
            self.checker.cluster_limit_is(key.id.as_str(), max, revision);
        }
        self.checker.shadow_is(key.id.as_str(), shadow, revision);
        self.keys.push(key);
        self.credentials.push(Credential { secret: made.secret.expose().to_owned(), key: number });
        self.budgets_are_set(revision);
        Ok(())
    }
}
