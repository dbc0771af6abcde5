//! `keys`: what a configuration without a policy server says of each key.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value};
use wire::v1::{
    CutCalls, KeyKind, KeyPolicy, KeyState, Level, Limit, ModelSet, Scope, Subject, Unit, Window,
};
use wire::{AllowedNetworks, KeyDigest, KeyId, ModelName, NanoUsd, PriceMultiplier};

use super::check::{Checker, join, looks_like_a_key};
use super::local::{Local, MOST_DIGESTS, MOST_KEYS};
use super::reference::names_in;
use crate::catalogue::Models;
use crate::instant::unix_ms;

/// As many as a server gives to one key: sixteen at each of four levels.
const MOST_LIMITS: usize = 64;
/// Names of models that one key lists, as many as there can be models.
const MOST_NAMES: usize = super::MOST_MODELS;
/// Numbers of tokens and of units, as a server takes them.
const TOKENS: RangeInclusive<u64> = 1..=1_000_000_000;
const UNITS: RangeInclusive<u64> = 1..=1_000_000_000_000_000;
const AN_ID: &str = "must be an id of 1 to 64 visible ASCII characters";
const AN_INSTANT: &str = "must be an instant such as 2027-06-01T00:00:00Z";
const A_DIGEST: &str =
    "must be the SHA-256 of the key as 64 hexadecimal digits, and never the key itself";
const NO_MODEL: &str = "is no model of this configuration";

/// One key as it is written, with the names by which it says models.
pub(super) struct WrittenKey {
    at: usize,
    /// Each with the instant at which it ends, in milliseconds since 1970 UTC.
    digests: Vec<(KeyDigest, Option<u64>)>,
    policy: KeyPolicy,
}

/// Reads the list, one key at a time.
pub(super) struct KeyList<'a> {
    pub(super) checker: &'a mut Checker,
}

impl<'de> DeserializeSeed<'de> for KeyList<'_> {
    type Value = Vec<WrittenKey>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for KeyList<'_> {
    type Value = Vec<WrittenKey>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        let mut at = 0;
        while let Some(item) = items.next_element::<Value>()? {
            keys.extend(self.checker.key(at, &item));
            at += 1;
            if at == MOST_KEYS {
                if items.next_element::<IgnoredAny>()?.is_some() {
                    let most = format!("must be at most {MOST_KEYS}");
                    self.checker.wrong("", "keys", &most);
                }
                while items.next_element::<IgnoredAny>()?.is_some() {}
            }
        }
        Ok(keys)
    }
}

impl Checker {
    fn key(&mut self, at: usize, item: &Value) -> Option<WrittenKey> {
        let here = format!("keys[{at}]");
        let Value::Object(item) = item else {
            return self.problem(&here, "must be an object");
        };
        for (name, value) in item {
            if value.as_str().is_some_and(looks_like_a_key) {
                self.wrong(&here, name, "looks like a key");
            }
        }
        self.known(&here, item, names_in!("keys[]"));
        for name in ["id", "org", "digests"] {
            if !item.contains_key(name) {
                self.wrong(&here, name, "is required");
            }
        }
        let here = here.as_str();
        let id = self.parsed(here, item, "id", AN_ID, |text| KeyId::new(text).ok());
        let org = self.parsed(here, item, "org", AN_ID, |text| wire::OrgId::new(text).ok());
        let digests = self.digests(here, item);
        let team = self.parsed(here, item, "team", AN_ID, |text| wire::TeamId::new(text).ok());
        let user = self.parsed(here, item, "user", AN_ID, |text| wire::UserId::new(text).ok());
        let state = self.word(here, item, "state", KeyState::Active, &STATES);
        let expires_at_unix_ms = self.parsed(here, item, "expires_at", AN_INSTANT, unix_ms);
        let org_has_no_models = self.boolean(here, item, "org_has_no_models");
        let models = self.model_set(here, item);
        let shadow = self.boolean(here, item, "shadow");
        let limits = self.limits(here, item);
        let default_max_output_tokens = self.whole(here, item, "default_max_output_tokens", TOKENS);
        let price_multiplier =
            self.parsed(here, item, "price_multiplier", "must be a number as a text", |text| {
                PriceMultiplier::from_decimal(text).ok()
            });
        let kind = self.word(here, item, "kind", KeyKind::Application, &KINDS);
        let max_call = self.parsed(here, item, "max_call_usd", "must be USD as a text", |text| {
            NanoUsd::from_usd(text).ok()
        });
        let allowed_ips = self.networks(here, item);
        let mut policy = KeyPolicy {
            key: id?,
            org: org?,
            team,
            user,
            state,
            expires_at_unix_ms,
            org_has_no_models,
            models,
            limits: Vec::new(),
            budgeted: false,
            default_max_output_tokens,
            cut_calls: CutCalls::Estimate,
            price_multiplier: price_multiplier.unwrap_or_default(),
            kind,
            max_call,
            allowed_ips,
            user_key: None,
            shadow,
        };
        for (at, mut limit) in limits {
            match policy.owner(limit.subject.level) {
                Some(owner) => limit.subject.id = owner,
                None => {
                    let here = format!("{here}.limits[{at}]");
                    self.wrong(&here, "level", "names what the key does not have");
                }
            }
            policy.limits.push(limit);
        }
        Some(WrittenKey { at, digests, policy })
    }

    /// Digests as texts, or as objects where they end before the key does.
    fn digests(&mut self, here: &str, item: &Map<String, Value>) -> Vec<(KeyDigest, Option<u64>)> {
        let here = join(here, "digests");
        let Some(value) = item.get("digests") else { return Vec::new() };
        let items = match value {
            Value::Array(items) if (1..=MOST_DIGESTS).contains(&items.len()) => items,
            _ => {
                let list = format!("must be a list of 1 to {MOST_DIGESTS}");
                self.wrong("", &here, &list);
                return Vec::new();
            }
        };
        let hex = |text: &str| KeyDigest::from_hex(&text.to_ascii_lowercase()).ok();
        let mut found = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let here = format!("{here}[{at}]");
            match item {
                Value::Object(item) => {
                    self.known(&here, item, names_in!("keys[].digests[]"));
                    let digest = self.parsed(&here, item, "sha256", A_DIGEST, hex);
                    let until = self.parsed(&here, item, "expires_at", AN_INSTANT, unix_ms);
                    if !item.contains_key("sha256") {
                        self.wrong(&here, "sha256", "is required");
                    }
                    found.extend(digest.map(|digest| (digest, until)));
                }
                _ => match item.as_str().and_then(hex) {
                    Some(digest) => found.push((digest, None)),
                    None => self.wrong("", &here, A_DIGEST),
                },
            }
        }
        found
    }

    /// As everywhere: nothing said or `["*"]` is all, `[]` is none.
    fn model_set(&mut self, here: &str, item: &Map<String, Value>) -> ModelSet {
        if !item.contains_key("models") {
            return ModelSet::All;
        }
        let names = self.texts(here, item, "models", MOST_NAMES);
        if names.as_slice() == ["*"] {
            return ModelSet::All;
        }
        let read = names.iter().map(|name| ModelName::new(*name).ok());
        match read.collect::<Option<Vec<_>>>() {
            Some(names) => ModelSet::Only(names),
            None => {
                self.wrong(here, "models", "holds no name of a model");
                ModelSet::Only(Vec::new())
            }
        }
    }

    fn networks(&mut self, here: &str, item: &Map<String, Value>) -> Option<AllowedNetworks> {
        if !item.contains_key("allowed_ips") {
            return None;
        }
        let texts = self.texts(here, item, "allowed_ips", AllowedNetworks::MOST);
        let read: Option<Vec<_>> = texts.iter().map(|text| text.parse().ok()).collect();
        read.and_then(AllowedNetworks::new).or_else(|| {
            let what = "must be a list of 1 to 64 addresses or networks such as 10.0.0.0/8";
            self.wrong_at(here, "allowed_ips", what)
        })
    }

    /// Limits with their places in the list; whom each counts is not known yet.
    fn limits(&mut self, here: &str, item: &Map<String, Value>) -> Vec<(usize, Limit)> {
        let items = match item.get("limits") {
            None => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= MOST_LIMITS => items,
            Some(_) => {
                let list = format!("must be a list of at most {MOST_LIMITS}");
                self.wrong(here, "limits", &list);
                return Vec::new();
            }
        };
        let here = join(here, "limits");
        let mut limits: Vec<(usize, Limit)> = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let here = format!("{here}[{at}]");
            let Some(limit) = self.limit(&here, item) else { continue };
            let of = |limit: &Limit| (limit.unit, limit.window, limit.subject.level);
            let counts_the_same = |(_, other): &(usize, Limit)| {
                of(other) == of(&limit) && other.subject.model == limit.subject.model
            };
            if limits.iter().any(counts_the_same) {
                self.wrong("", &here, "is another limit of this level, unit, window and model");
            }
            limits.push((at, limit));
        }
        limits
    }

    fn limit(&mut self, here: &str, item: &Value) -> Option<Limit> {
        let Value::Object(item) = item else {
            return self.problem(here, "must be an object");
        };
        self.known(here, item, names_in!("keys[].limits[]"));
        for name in ["unit", "max"] {
            if !item.contains_key(name) {
                self.wrong(here, name, "is required");
            }
        }
        let unit = self.word(here, item, "unit", Unit::Requests, &UNIT_WORDS);
        let max = self.whole(here, item, "max", UNITS);
        let window = self.word(here, item, "window", None, &WINDOW_WORDS);
        match (unit, window) {
            (Unit::Concurrent, Some(_)) => {
                self.wrong(here, "window", "calls in flight are counted now, not over a window");
            }
            (Unit::Requests | Unit::Tokens, None) => {
                self.wrong(here, "window", "is required: 1m, 1h or 1d");
            }
            _ => {}
        }
        if self.word(here, item, "scope", Scope::Proxy, &SCOPES) == Scope::Cluster {
            let what = "cluster needs a policy server; without one every proxy counts by itself";
            self.wrong(here, "scope", what);
        }
        let level = self.word(here, item, "level", Level::Key, &LEVELS);
        let model = self.parsed(here, item, "model", NO_MODEL, |text| ModelName::new(text).ok());
        let subject = Subject { level, id: String::new(), model };
        Some(Limit { unit, window, max: max?, scope: Scope::Proxy, subject })
    }

    /// Keys and models of a configuration, when both have been read.
    pub(super) fn local(
        &mut self,
        root: &Map<String, Value>,
        keys: Vec<WrittenKey>,
    ) -> Option<Local> {
        let models = self.models(root)?;
        let all_priced = models.iter().all(|model| model.price.is_some());
        let models = Models::local(models);
        // As the index of models is, so that one map is compiled in.
        let mut ids: HashMap<String, usize> = HashMap::new();
        let mut known = HashMap::new();
        for WrittenKey { at, digests, mut policy } in keys {
            let here = format!("keys[{at}]");
            if ids.insert(policy.key.as_str().to_owned(), at).is_some() {
                self.wrong(&here, "id", "is that of another key");
            }
            if policy.max_call.is_some() && !all_priced {
                let what = "needs a price for every model";
                self.wrong(&here, "max_call_usd", what);
            }
            if let ModelSet::Only(names) = &mut policy.models
                && !names.iter_mut().all(|name| models.resolve(name))
            {
                let what = "holds a name that is no model of this configuration";
                self.wrong(&here, "models", what);
            }
            let mut of_limits = policy.limits.iter_mut().flat_map(|limit| &mut limit.subject.model);
            if !of_limits.all(|name| models.resolve(name)) {
                self.wrong(&here, "limits[].model", NO_MODEL);
            }
            policy.limits.shrink_to_fit();
            let whole = Rc::new(policy);
            for (digest, until) in digests {
                let earlier =
                    until.filter(|at| whole.expires_at_unix_ms.is_none_or(|end| *at < end));
                let policy = match earlier {
                    None => Rc::clone(&whole),
                    Some(at) => {
                        Rc::new(KeyPolicy { expires_at_unix_ms: Some(at), ..(*whole).clone() })
                    }
                };
                if known.insert(digest, policy).is_some() {
                    let _: Option<()> = self
                        .problem(&join(&here, "digests"), "holds a digest that is there already");
                }
            }
        }
        Some(Local { keys: known, models: Rc::new(models) })
    }

    /// A text that stands for something; none where it is absent or wrong.
    pub(super) fn parsed<T>(
        &mut self,
        here: &str,
        object: &Map<String, Value>,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = object.get(name)?;
        value.as_str().and_then(read).or_else(|| self.wrong_at(here, name, expected))
    }

    /// One of several words; the usual one where it is absent.
    pub(super) fn word<T: Copy>(
        &mut self,
        here: &str,
        object: &Map<String, Value>,
        name: &str,
        usual: T,
        words: &[(&str, T)],
    ) -> T {
        let Some(value) = object.get(name) else { return usual };
        let found = words.iter().find(|(word, _)| value.as_str() == Some(word));
        found.map(|(_, meaning)| *meaning).unwrap_or_else(|| {
            let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let expected = format!("must be one of {}", list.join(", "));
            self.wrong(here, name, &expected);
            usual
        })
    }

    #[inline(never)]
    pub(super) fn boolean(&mut self, here: &str, object: &Map<String, Value>, name: &str) -> bool {
        match object.get(name) {
            None => false,
            Some(Value::Bool(is_so)) => *is_so,
            Some(_) => self.wrong_at(here, name, "must be true or false").unwrap_or(false),
        }
    }

    /// A whole number; none where it is absent or wrong.
    #[inline(never)]
    pub(super) fn whole(
        &mut self,
        here: &str,
        object: &Map<String, Value>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        if object.contains_key(name) { self.number(here, object, name, 0, range) } else { None }
    }

    /// A list of texts; empty where it is absent or wrong.
    #[inline(never)]
    pub(super) fn texts<'a>(
        &mut self,
        here: &str,
        object: &'a Map<String, Value>,
        name: &str,
        most: usize,
    ) -> Vec<&'a str> {
        let texts = match object.get(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) if items.len() <= most => {
                items.iter().map(Value::as_str).collect::<Option<Vec<_>>>()
            }
            Some(_) => None,
        };
        texts.unwrap_or_else(|| {
            let expected = format!("must be a list of at most {most} texts");
            self.wrong(here, name, &expected);
            Vec::new()
        })
    }
}

const STATES: [(&str, KeyState); 3] = [
    ("active", KeyState::Active),
    ("disabled", KeyState::Disabled),
    ("revoked", KeyState::Revoked),
];
const KINDS: [(&str, KeyKind); 2] =
    [("application", KeyKind::Application), ("user", KeyKind::User)];
const UNIT_WORDS: [(&str, Unit); 3] =
    [("requests", Unit::Requests), ("tokens", Unit::Tokens), ("concurrent", Unit::Concurrent)];
const WINDOW_WORDS: [(&str, Option<Window>); 3] =
    [("1m", Some(Window::Minute)), ("1h", Some(Window::Hour)), ("1d", Some(Window::Day))];
const SCOPES: [(&str, Scope); 2] = [("proxy", Scope::Proxy), ("cluster", Scope::Cluster)];
const LEVELS: [(&str, Level); 4] =
    [("key", Level::Key), ("user", Level::User), ("team", Level::Team), ("org", Level::Org)];
