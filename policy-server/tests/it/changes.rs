//! Who hears of a change, and what an administrator is told about it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wire::v1::{Change, KeyState, Level, Problem};
use wire::{CatalogueVersion, Revision};

use crate::world::{GRACE_MS, TTL_MS, World, ask};

#[tokio::test]
async fn a_poll_hears_of_keys_organisations_and_models_in_order() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let key = world.key(json!({})).await;
    world.admin_ok("POST", &format!("keys/{}/disable?wait=0", key.id), Value::Null).await;
    world.put_model("other", "1.00", "1.00").await;
    world.admin_ok("PUT", "orgs/acme?wait=0", json!({"models": []})).await;
    let reply = world.poll(&holder, holder.revision, 0).await;
    let of_key = |state| Change::Key {
        key: key.id.clone(),
        digests: vec![key.digest()],
        state,
        user_keys: false,
    };
    assert_eq!(
        reply.changes,
        [
            of_key(KeyState::Active),
            Change::Recall { level: Level::Key, owner: key.id.to_string() },
            of_key(KeyState::Disabled),
            Change::Catalogue { version: CatalogueVersion(2) },
            Change::Below { level: Level::Org, owner: "acme".to_owned() },
        ]
    );
    assert_eq!(reply.revision, Revision(holder.revision.0 + 5));
    let nothing = world.poll(&holder, reply.revision, 0).await;
    assert_eq!((nothing.revision, nothing.changes.len()), (reply.revision, 0));
}

#[tokio::test]
async fn a_waiting_poll_is_answered_by_the_change_and_its_next_poll_applies_it() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let key = world.key(json!({})).await;
    let start = world.poll(&holder, holder.revision, 0).await.revision;
    let filter = async {
        let heard = world.poll(&holder, start, 20_000).await;
        assert_eq!(heard.changes.len(), 2, "its money is recalled, and it is revoked");
        // applied; the next poll says so and finds nothing more
        world.poll(&holder, heard.revision, 0).await
    };
    let path = format!("keys/{}/revoke", key.id);
    let begun = Instant::now();
    let revoke = world.admin_ok("POST", &path, Value::Null);
    let (_, revoked) = tokio::join!(filter, revoke);
    assert_eq!(revoked["status"], "revoked");
    assert_eq!(revoked["applied"], true);
    assert!(revoked.get("pending").is_none());
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_holder_that_does_not_answer_is_pending_until_its_time_has_passed() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let silent = world.holder(1).await;
    world.clock.advance_ms(10_000);
    let prompt = world.holder(2).await;
    let path = format!("keys/{}/revoke?wait=0", key.id);
    let revoked = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!((&revoked["applied"], &revoked["pending"]), (&json!(false), &json!(2)));
    let revision = world.poll(&prompt, prompt.revision, 0).await.revision;
    world.poll(&prompt, revision, 0).await;
    // repeating it changes nothing but looks again
    let revoked = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!((&revoked["applied"], &revoked["pending"]), (&json!(false), &json!(1)));
    // last heard of at 12:00:00, usable for 60 s, and 5 s of grace
    assert_eq!(revoked["pending_until"], "2026-11-20T12:01:05Z");
    let named = &revoked["pending_holders"];
    assert_eq!(named.as_array().unwrap().len(), 1, "{named}");
    assert_eq!(named[0]["holder"], silent.id.as_str());
    assert_eq!(named[0]["until"], "2026-11-20T12:01:05Z");
    assert!(named[0]["plugin"].is_string(), "{named}");
    world.clock.advance_ms(TTL_MS + GRACE_MS - 10_000);
    let revoked = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!(revoked["applied"], false, "the last instant still counts");
    world.clock.advance_ms(1);
    let revoked = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!(revoked["applied"], true);
}

#[tokio::test]
async fn waiting_ends_when_the_time_given_is_over() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    world.holder(1).await;
    let begun = Instant::now();
    let path = format!("keys/{}/disable?wait=150", key.id);
    let answer = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!(answer["applied"], false);
    let took = begun.elapsed();
    assert!((150..1_500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test]
async fn without_holders_a_change_is_applied_at_once() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let begun = Instant::now();
    for action in ["disable", "enable", "rotate", "revoke"] {
        let path = format!("keys/{}/{action}", key.id);
        assert_eq!(world.admin_ok("POST", &path, Value::Null).await["applied"], true);
    }
    let deleted = world.admin_ok("DELETE", &format!("keys/{}", key.id), Value::Null).await;
    assert_eq!((&deleted["applied"], &deleted["status"]), (&json!(true), &json!("deleted")));
    assert!(begun.elapsed() < Duration::from_millis(1_500));
}

#[tokio::test]
async fn answers_carry_the_revision_up_to_which_they_are_true() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let key = world.key(json!({})).await;
    let before = world.admit(&holder, &key, 1, Some(ask(1))).await.revision;
    world.admin_ok("POST", &format!("keys/{}/disable?wait=0", key.id), Value::Null).await;
    let after = world.admit(&holder, &key, 2, Some(ask(1))).await.revision;
    assert_eq!(after.0, before.0 + 2);
    let report = world.report(&holder, vec![], vec![]).await;
    assert_eq!(report.revision, after);
}

#[tokio::test]
async fn a_poll_that_history_does_not_reach_forgets_everything() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let world = world.restart();
    let reply = world.poll(&holder, Revision(0), 0).await;
    let everything = [Change::AllKeys, Change::Catalogue { version: CatalogueVersion(1) }];
    assert_eq!(reply.changes, everything);
    assert_eq!(reply.revision, holder.revision);
    // who was up to date before the restart is so after it
    assert_eq!(world.poll(&holder, holder.revision, 0).await.changes, []);
}

#[tokio::test]
async fn many_changes_come_page_by_page_and_none_is_lost() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let key = world.key(json!({})).await;
    let path = format!("keys/{}?wait=0", key.id);
    for round in 0..300 {
        world.admin_ok("PATCH", &path, json!({"name": format!("{round}")})).await;
    }
    let mut revision = holder.revision;
    let mut pages = Vec::new();
    loop {
        let reply = world.poll(&holder, revision, 0).await;
        if reply.changes.is_empty() {
            break;
        }
        revision = reply.revision;
        pages.push(reply.changes.len());
    }
    assert_eq!(pages, [256, 45]);
    assert_eq!(revision.0, holder.revision.0 + 301);
}

#[tokio::test]
async fn strangers_and_other_lives_are_told_to_start_over() {
    let world = World::with_org(None).await;
    let holder = world.holder(1).await;
    let at = |id: &str, epoch: u64, revision: u64| {
        format!("changes?holder={id}&epoch={epoch}&revision={revision}")
    };
    let id = holder.id.as_str();
    let (epoch, revision) = (holder.epoch.0, holder.revision.0);
    for (path, code) in [
        (at("hnobody", epoch, revision), Problem::UNKNOWN_HOLDER),
        (at(id, epoch - 1, revision), Problem::OTHER_EPOCH),
        (at(id, epoch, revision + 1), Problem::OTHER_EPOCH),
    ] {
        let (status, answer) = world.filter("GET", &path, &Value::Null).await;
        assert_eq!((status.as_u16(), &answer["error"]["code"]), (409, &json!(code)), "{path}");
    }
}

#[tokio::test]
async fn a_late_duplicate_of_a_registration_acknowledges_nothing() {
    let world = World::with_org(None).await;
    let key = world.key(json!({})).await;
    let holder = world.holder(1).await;
    let path = format!("keys/{}/revoke?wait=0", key.id);
    assert_eq!(world.admin_ok("POST", &path, Value::Null).await["applied"], false);
    // the holder's first request, delivered once more: it may still know the key as active
    assert_eq!(world.holder(1).await.id, holder.id);
    assert_eq!(world.admin_ok("POST", &path, Value::Null).await["applied"], false);
    let heard = world.poll(&holder, holder.revision, 0).await;
    world.poll(&holder, heard.revision, 0).await;
    assert_eq!(world.admin_ok("POST", &path, Value::Null).await["applied"], true);
    // a new holder has nothing old to forget
    world.holder(2).await;
    assert_eq!(world.admin_ok("POST", &path, Value::Null).await["applied"], true);
}
