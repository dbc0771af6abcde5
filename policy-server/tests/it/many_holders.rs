//! How many holders there may be, and what becomes of those that are there already.

use axum::http::StatusCode;
use policy_server::live::LIVE_HOLDERS_MOST;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wire::v1::RegisterRequest;
use wire::{Nonce, PROTOCOL_VERSION};

use crate::world::{FILTER_TOKEN, GRACE_MS, Stopped, TTL_MS, World, accounts, ask, send};

/// Adds holders that count as alive, whose ids come before those of all others.
fn add_holders(stopped: &Stopped, count: u64) {
    let tables = Connection::open(stopped.database()).unwrap();
    tables.execute_batch("BEGIN").unwrap();
    for number in 0..count {
        tables
            .execute(
                "INSERT INTO holders (id, nonce, plugin, state, registered_ms, epoch)
                 VALUES (?, ?, 'p', 'live', 1, 1)",
                params![format!("a{number}"), number.to_be_bytes().repeat(2)],
            )
            .unwrap();
    }
    tables.execute_batch("COMMIT").unwrap();
}

/// The status of a registration; it runs by itself.
fn registration(world: &World, nonce: u8) -> JoinHandle<StatusCode> {
    let request = RegisterRequest {
        protocol: PROTOCOL_VERSION,
        nonce: Nonce([nonce; 16]),
        plugin: "test".to_owned(),
        without_push: false,
        count_windows_below: 0,
    };
    let (router, body) = (world.app.filter.clone(), serde_json::to_string(&request).unwrap());
    tokio::spawn(async move {
        send(&router, "POST", "/proxy/v1/holders", Some(FILTER_TOKEN), body).await.0
    })
}

async fn status(world: &World, nonce: u8) -> StatusCode {
    registration(world, nonce).await.unwrap()
}

#[tokio::test]
async fn registrations_that_come_together_do_not_pass_the_bound() {
    let stopped = World::new().stop();
    add_holders(&stopped, LIVE_HOLDERS_MOST - 3);
    let world = stopped.start();
    let together: Vec<_> = (1..=40).map(|nonce| registration(&world, nonce)).collect();
    let mut answers = Vec::new();
    for registration in together {
        answers.push(registration.await.unwrap());
    }
    let registered = answers.iter().filter(|status| **status == StatusCode::OK).count();
    assert_eq!(registered, 3);
    let refused = answers.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.count(), 37);
    // Who is there may say so again, and others may come when the time of some has passed.
    let known = answers.iter().position(|status| *status == StatusCode::OK).unwrap();
    assert_eq!(status(&world, u8::try_from(known + 1).unwrap()).await, StatusCode::OK);
    world.pass(TTL_MS + GRACE_MS + 1).await;
    assert_eq!(status(&world, 200).await, StatusCode::OK);
}

#[tokio::test]
async fn holders_beyond_the_bound_count_after_a_start_like_all_others() {
    let world = World::with_org(Some("1.00")).await;
    let key = world.key(json!({})).await;
    let (holder, lost) = (world.holder(1).await, world.holder(2).await);
    world.granted(&holder, &key, 1, ask(1_000)).await;
    world.granted(&lost, &key, 1, ask(1_000)).await;
    let stopped = world.stop();
    add_holders(&stopped, LIVE_HOLDERS_MOST + 900);
    let world = stopped.start();
    let live = LIVE_HOLDERS_MOST + 902;
    let path = format!("keys/{}/revoke?wait=0", key.id);
    let answer = world.admin_ok("POST", &path, Value::Null).await;
    assert_eq!((&answer["applied"], &answer["pending"]), (&json!(false), &json!(live)));
    assert_eq!(status(&world, 9).await, StatusCode::SERVICE_UNAVAILABLE);
    // Those that poll live on, the others' money is parked in their time.
    world.clock.advance_ms(TTL_MS);
    world.changes(&holder).await;
    world.pass(GRACE_MS + 1).await;
    let account = &accounts(&world.tables())[0];
    assert_eq!((account.outstanding, account.parked), (2_000_000, 2_000_000));
    let answer = world.admin_ok("GET", "status", Value::Null).await;
    assert_eq!(answer["live_holders"], 1);
    assert_eq!(status(&world, 9).await, StatusCode::OK);
    world.check_ledger();
}
