//! User keys: exchanged for keys, spending from them, and ending with them.

use metering::api_key::{ApiKey, digest};
use serde_json::{Value, json};
use wire::v1::{
    CallRecord, Change, ExchangeAnswer, ExchangeReply, ExchangeRequest, KeyAnswer, KeyKind,
    KeyPolicy, KeyState, LeaseAnswer, UsageAnswer, UsageReply, UsageRequest, UserKeyForm,
};
use wire::{KeyId, NanoUsd};

use crate::world::{Holder, Key, NOON, World, ask, final_report, micro, record};

const HOUR_MS: u64 = 3_600_000;

async fn exchange(world: &World, holder: &Holder, key: &Key, form: UserKeyForm) -> ExchangeAnswer {
    let (holder, epoch, digest) = (holder.id.clone(), holder.epoch, key.digest());
    let request = ExchangeRequest { holder, epoch, digest, form };
    let reply: ExchangeReply = world.filter_ok("POST", "exchange", &request).await;
    reply.answer
}

/// The user key and its end.
pub async fn exchanged(world: &World, holder: &Holder, key: &Key) -> (Key, u64) {
    match exchange(world, holder, key, UserKeyForm::Tollgate).await {
        ExchangeAnswer::UserKey { secret, expires_at_unix_ms } => {
            let secret = secret.expose().to_owned();
            (Key { id: key.id.clone(), secret }, expires_at_unix_ms)
        }
        other => panic!("no user key: {other:?}"),
    }
}

async fn policy(world: &World, holder: &Holder, key: &Key) -> Option<KeyPolicy> {
    match world.admit(holder, key, 0, None).await.key {
        KeyAnswer::Known(policy) => Some(*policy),
        KeyAnswer::Unknown => None,
    }
}

#[tokio::test]
async fn a_key_is_exchanged_for_a_user_key_that_may_do_what_it_may() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let key = world
        .key(json!({"models": ["gpt-4o-mini"], "budget": {"usd": "5", "period": "month"},
                    "limits": [{"unit": "requests", "window": "1m", "max": 7}],
                    "allowed_ips": ["192.0.2.0/24"], "max_call_usd": "0.5"}))
        .await;
    let (user, expires) = exchanged(&world, &holder, &key).await;
    assert_eq!(expires, NOON + HOUR_MS);
    assert!(user.secret.starts_with("tgu_") && user.secret.len() == 71, "{}", user.secret);
    assert!(ApiKey::parse(user.secret.as_bytes()).is_ok());
    let of_key = policy(&world, &holder, &key).await.unwrap();
    let of_user = policy(&world, &holder, &user).await.unwrap();
    let id = of_user.user_key.clone().unwrap();
    assert_eq!(id.as_str(), format!("ukey_{}", &user.secret[4..16]));
    let expires_at_unix_ms = Some(expires);
    let user_key = Some(id);
    let kind = KeyKind::User;
    assert_eq!(of_user, KeyPolicy { kind, expires_at_unix_ms, user_key, ..of_key });
    // Clients of PrivateMind know another beginning.
    match exchange(&world, &holder, &key, UserKeyForm::PrivateMind).await {
        ExchangeAnswer::UserKey { secret, .. } => {
            assert!(secret.expose().starts_with("pminduser_"));
            assert!(ApiKey::parse(secret.expose().as_bytes()).is_ok());
            assert_ne!(secret.expose()[10..], user.secret[4..]);
        }
        other => panic!("{other:?}"),
    }
    // Only digests are stored, and no list of keys has it.
    let bytes = std::fs::read(world.database()).unwrap();
    let wal = std::fs::read(world.folder.path().join("tollgate.sqlite-wal")).unwrap_or_default();
    for file in [bytes, wal] {
        assert!(!file.windows(48).any(|window| window == &user.secret.as_bytes()[17..65]));
    }
    let list = world.admin_ok("GET", "keys", Value::Null).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn it_lives_no_longer_than_its_key() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let key = world.key(json!({"expires_at": "2026-11-20T12:30:00Z"})).await;
    let (user, expires) = exchanged(&world, &holder, &key).await;
    assert_eq!(expires, NOON + HOUR_MS / 2);
    // An earlier end of the key is one of the user key, a later one is not.
    let path = format!("keys/{}?wait=0", key.id);
    for (end, expected) in
        [("2026-11-20T12:10:00Z", HOUR_MS / 6), ("2026-11-20T18:00:00Z", HOUR_MS / 2)]
    {
        world.admin_ok("PATCH", &path, json!({"expires_at": end})).await;
        let found = policy(&world, &holder, &user).await.unwrap();
        assert_eq!(found.expires_at_unix_ms, Some(NOON + expected));
    }
}

#[tokio::test]
async fn what_stops_a_key_stops_its_user_keys() {
    let world = World::with_org(None).await;
    let key = world.key(json!({"team": "search", "user": "ada"})).await;
    let other = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let (user, _) = exchanged(&world, &holder, &key).await;
    let state = async || policy(&world, &holder, &user).await.map(|policy| policy.state);
    for (stop, go_on) in [
        (format!("keys/{}/disable", key.id), format!("keys/{}/enable", key.id)),
        ("orgs/acme/teams/search/suspend".to_owned(), "orgs/acme/teams/search/resume".to_owned()),
        ("orgs/acme/users/ada/suspend".to_owned(), "orgs/acme/users/ada/resume".to_owned()),
        ("orgs/acme/suspend".to_owned(), "orgs/acme/resume".to_owned()),
    ] {
        world.admin_ok("POST", &format!("{stop}?wait=0"), Value::Null).await;
        assert_eq!(state().await, Some(KeyState::Disabled), "{stop}");
        // Nor is there another one.
        let answer = exchange(&world, &holder, &key, UserKeyForm::Tollgate).await;
        assert_eq!(answer, ExchangeAnswer::KeyNotUsable);
        world.admin_ok("POST", &format!("{go_on}?wait=0"), Value::Null).await;
        assert_eq!(state().await, Some(KeyState::Active), "{go_on}");
    }
    // Filters are told with the key itself, and of no key that was never exchanged.
    let before = world.changes(&holder).await.len();
    world.admin_ok("POST", &format!("keys/{}/revoke?wait=0", other.id), Value::Null).await;
    world.admin_ok("POST", &format!("keys/{}/revoke?wait=0", key.id), Value::Null).await;
    let told: Vec<_> = world.changes(&holder).await.split_off(before);
    let told: Vec<_> = told
        .iter()
        .filter_map(|change| match change {
            Change::Key { key, state, user_keys, .. } => Some((key, *state, *user_keys)),
            _ => None,
        })
        .collect();
    let revoked = KeyState::Revoked;
    assert_eq!(told, [(&other.id, revoked, false), (&key.id, revoked, true)]);
    assert_eq!(state().await, Some(KeyState::Revoked));
    world.admin_ok("DELETE", &format!("keys/{}?wait=0", key.id), Value::Null).await;
    assert_eq!(state().await, None);
}

#[tokio::test]
async fn a_new_secret_ends_user_keys_with_the_old_one() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let ends = async |user: &Key| {
        let expires = policy(&world, &holder, user).await.unwrap().expires_at_unix_ms;
        expires.unwrap().saturating_sub(NOON)
    };
    let at_once = world.key(json!({})).await;
    let (user, _) = exchanged(&world, &holder, &at_once).await;
    let rotate = format!("keys/{}/rotate?wait=0", at_once.id);
    let rotated = Key::of(&world.admin_ok("POST", &rotate, Value::Null).await);
    // Passed on every clock: that of a proxy may be behind the server's.
    let expires = policy(&world, &holder, &user).await.unwrap().expires_at_unix_ms;
    assert_eq!(expires, Some(0));
    let asked = world.admit(&holder, &user, 1, Some(ask(5))).await;
    assert_eq!(asked.lease, LeaseAnswer::NotNeeded);
    let (user, _) = exchanged(&world, &holder, &rotated).await;
    assert_eq!(ends(&user).await, HOUR_MS);

    let with_grace = world.key(json!({})).await;
    let (before, _) = exchanged(&world, &holder, &with_grace).await;
    let rotate = format!("keys/{}/rotate?wait=0", with_grace.id);
    let minute = json!({"grace_s": 60});
    let rotated = Key::of(&world.admin_ok("POST", &rotate, minute).await);
    let (by_old, _) = exchanged(&world, &holder, &with_grace).await;
    let (by_new, _) = exchanged(&world, &holder, &rotated).await;
    assert_eq!((ends(&before).await, ends(&by_old).await), (60_000, 60_000));
    assert_eq!(ends(&by_new).await, HOUR_MS);
}

#[tokio::test]
async fn a_second_rotation_ends_user_keys_of_the_secret_that_it_ends() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let first = world.key(json!({})).await;
    let rotate = format!("keys/{}/rotate?wait=0", first.id);
    let hour = json!({"grace_s": 3_600});
    let second = Key::of(&world.admin_ok("POST", &rotate, hour.clone()).await);
    let (by_first, _) = exchanged(&world, &holder, &first).await;
    let (by_second, _) = exchanged(&world, &holder, &second).await;
    // Of one that was made by an older server nobody knows with which secret.
    let (of_before, _) = exchanged(&world, &holder, &second).await;
    world
        .tables()
        .execute(
            "UPDATE user_keys SET exchanged_with = NULL WHERE digest = ?",
            [of_before.digest().0],
        )
        .unwrap();
    world.clock.advance_ms(60_000);
    let third = Key::of(&world.admin_ok("POST", &rotate, hour).await);
    let (by_third, _) = exchanged(&world, &holder, &third).await;
    assert_eq!(policy(&world, &holder, &first).await, None);
    let ends = async |user: &Key| policy(&world, &holder, user).await.unwrap().expires_at_unix_ms;
    assert_eq!(ends(&by_first).await, Some(0));
    assert_eq!(ends(&of_before).await, Some(0));
    assert_eq!(ends(&by_second).await, Some(NOON + HOUR_MS));
    assert_eq!(ends(&by_third).await, Some(NOON + HOUR_MS + 60_000));
}

#[tokio::test]
async fn what_is_of_a_user_is_not_exchanged() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let of_user = world.key(json!({"kind": "user"})).await;
    let (user, _) = exchanged(&world, &holder, &world.key(json!({})).await).await;
    let unknown = Key { secret: "sk-0123456789-0123456789".to_owned(), ..user.clone() };
    for key in [of_user, user, unknown] {
        let answer = exchange(&world, &holder, &key, UserKeyForm::Tollgate).await;
        assert_eq!(answer, ExchangeAnswer::KeyNotUsable);
    }
}

#[tokio::test]
async fn a_key_is_exchanged_sixty_times_in_any_hour() {
    let world = World::with_org(None).await;
    let (key, other) = (world.key(json!({})).await, world.key(json!({})).await);
    let holder = world.holder(1).await;
    for _ in 0..60 {
        exchanged(&world, &holder, &key).await;
        world.clock.advance_ms(1_000);
    }
    let holder = world.holder(2).await;
    let most = 60;
    let refused =
        async |holder: &Holder| exchange(&world, holder, &key, UserKeyForm::Tollgate).await;
    let retry_after_ms = HOUR_MS - 60_000;
    assert_eq!(refused(&holder).await, ExchangeAnswer::TooMany { most, retry_after_ms });
    exchanged(&world, &holder, &other).await;
    world.clock.advance_ms(retry_after_ms - 1);
    let holder = world.holder(3).await;
    let retry_after_ms = 1;
    assert_eq!(refused(&holder).await, ExchangeAnswer::TooMany { most, retry_after_ms });
    world.clock.advance_ms(1);
    exchanged(&world, &holder, &key).await;
    // The next one that leaves the window was made a second later.
    let retry_after_ms = 1_000;
    assert_eq!(refused(&holder).await, ExchangeAnswer::TooMany { most, retry_after_ms });
}

#[tokio::test]
async fn what_it_spends_its_key_spends() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let key = world.key_with_cap("0.001", "month").await;
    let (user, _) = exchanged(&world, &holder, &key).await;
    let grant = world.granted(&holder, &user, 1, ask(300)).await;
    let id = policy(&world, &holder, &user).await.unwrap().user_key;
    let call =
        CallRecord { user_key: id.clone(), ..record(&key, Some(grant.lease.clone()), 1, 300) };
    world.report(&holder, vec![final_report(&grant.lease, micro(600))], vec![call]).await;
    let spend = world.spend(&key).await;
    assert_eq!((&spend["settled_usd"], &spend["left_usd"]), (&json!("0.0006"), &json!("0.0004")));
    // Neither of them gets more than is left.
    for (n, either) in [(2, &key), (3, &user)] {
        let refused = world.refused(&holder, either, n, ask(300)).await;
        let wire::v1::Refusal::BudgetExceeded { left, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(left, NanoUsd(400_000));
    }
    // Its calls are found as those of the key, and told apart.
    let id = id.as_ref().map(KeyId::as_str);
    let records = world.admin_ok("GET", &format!("requests?key={}", key.id), Value::Null).await;
    assert_eq!(records["data"][0]["user_key"].as_str(), id);
    let sums = world.admin_ok("GET", "usage?group_by=key", Value::Null).await;
    assert_eq!(sums["data"][0]["key"], json!(key.id));
    let (from, to, limit, cursor) = (None, None, None, None);
    let (asks, epoch, digest) = (holder.id.clone(), holder.epoch, user.digest());
    let request = UsageRequest { holder: asks, epoch, digest, from, to, limit, cursor };
    let reply: UsageReply = world.filter_ok("POST", "usage", &request).await;
    let UsageAnswer::Page(page) = reply.answer else { panic!("{:?}", reply.answer) };
    assert_eq!(page.calls.len(), 1);
    world.check_ledger();
}

#[tokio::test]
async fn it_is_forgotten_a_day_after_its_end() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let (user, _) = exchanged(&world, &holder, &key).await;
    let count = || -> i64 {
        world.tables().query_row("SELECT count(*) FROM user_keys", [], |row| row.get(0)).unwrap()
    };
    world.pass(25 * HOUR_MS).await;
    let holder = world.holder(2).await;
    let found = policy(&world, &holder, &user).await.unwrap();
    assert_eq!((found.expires_at_unix_ms, count()), (Some(0), 1));
    world.pass(1).await;
    assert_eq!((policy(&world, &holder, &user).await, count()), (None, 0));
}

#[tokio::test]
async fn it_outlives_a_restart_and_no_import_takes_its_place() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let (user, _) = exchanged(&world, &holder, &key).await;
    let hex = digest(user.secret.as_bytes()).to_string();
    let import = json!({"org": "acme", "sha256": hex, "prefix": "tgu_", "format": "openai"});
    let error = world.admin_refused("POST", "keys/import", import, 409).await;
    assert_eq!(error["code"], "digest_taken");
    let world = world.restart();
    let holder = world.holder(2).await;
    assert_eq!(policy(&world, &holder, &user).await.unwrap().kind, KeyKind::User);
}

#[tokio::test]
async fn an_exchange_is_in_the_audit_without_the_secret() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let (user, _) = exchanged(&world, &holder, &key).await;
    let id = policy(&world, &holder, &user).await.unwrap().user_key.unwrap();
    let path = format!("audit?target={}&action=key.exchange", key.id);
    let lines = world.admin_ok("GET", &path, Value::Null).await["data"].clone();
    assert_eq!(
        lines,
        json!([{
            "at": "2026-11-20T12:00:00Z", "actor": key.id, "token": null, "action": "key.exchange", "kind": "key",
            "target": key.id, "org": "acme", "amount_usd": null, "before": null,
            "after": {"user_key": id, "expires_at_unix_ms": NOON + HOUR_MS},
            "address": null, "outcome": "done", "code": null,
        }])
    );
    assert!(!lines.to_string().contains(&user.secret[17..]));
    // What was refused is none.
    exchange(&world, &holder, &user, UserKeyForm::Tollgate).await;
    assert_eq!(world.admin_ok("GET", &path, Value::Null).await["data"], lines);
}
