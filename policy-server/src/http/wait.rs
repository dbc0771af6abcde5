//! Waiting until a change is in force everywhere, and saying honestly when it is not.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use wire::Revision;

use super::edge::Edge;
use super::schema::{Members, Schema};
use super::show::instant;
use crate::store::{HolderRow, StoreError};

/// The longest an administrator may wait: below the idle timeouts of common proxies.
pub const WAIT_MOST_MS: u64 = 30_000;

/// How long changes that take something away wait where nothing is said.
pub const WAIT_DEFAULT: Duration = Duration::from_millis(2_000);

/// Holders that are named: enough to see which proxies they belong to.
const NAMED_MOST: usize = 16;

/// How often to look whether a silent holder's time has passed; acknowledgements wake at once.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits until every living holder has acknowledged the revision, or the time is over. Answers
/// the fields to add to the object: `applied`, and where it is false who is still pending.
pub async fn applied(edge: &Edge, revision: Revision, wait: Duration) -> Map<String, Value> {
    let deadline = Instant::now() + wait;
    let mut acknowledged = edge.shared.acknowledged();
    let mut stopping = edge.shared.stopping();
    let pending = loop {
        let pending = edge.shared.live().pending(revision, edge.now());
        let Some(pending) = pending else {
            break None;
        };
        let now = Instant::now();
        if now >= deadline || *stopping.borrow_and_update() {
            break Some(pending);
        }
        tokio::select! {
            _ = acknowledged.changed() => {}
            _ = stopping.changed() => {}
            () = tokio::time::sleep_until(deadline.min(now + LOOK_EVERY)) => {}
        }
    };
    let mut fields = Map::new();
    fields.insert("applied".to_owned(), json!(pending.is_none()));
    if let Some(pending) = pending {
        let now = edge.now();
        let left_ms = pending.until_monotonic_ms.saturating_sub(now.monotonic_ms);
        fields.insert("pending".to_owned(), json!(pending.holders));
        let until = instant(now.unix_ms.saturating_add(left_ms));
        fields.insert("pending_until".to_owned(), until);
        fields.insert("pending_holders".to_owned(), named(edge, revision).await);
    }
    fields
}

/// What [`applied`] adds, as the API's document has it.
pub fn applied_members() -> Members {
    let holder = Members::default()
        .with("holder", Schema::text())
        .with("plugin", Schema::text().or_null())
        .with("without_push", Schema::boolean())
        .with("registered_at", Schema::instant().or_null())
        .with("until", Schema::instant());
    let holder = Schema::from(holder).named("PendingHolder");
    Members::default()
        .with("applied", Schema::boolean())
        .maybe("pending", Schema::count())
        .maybe("pending_until", Schema::instant())
        .maybe("pending_holders", Schema::list(holder, NAMED_MOST))
}

/// Who is still pending, and by when each has stopped by itself.
async fn named(edge: &Edge, revision: Revision) -> Value {
    let now = edge.now();
    let pending = edge.shared.live().pending_holders(revision, now, NAMED_MOST);
    let ids: Vec<_> = pending.iter().map(|(id, _)| id.clone()).collect();
    let rows: Result<Vec<Option<HolderRow>>, StoreError> =
        edge.look(move |work| ids.iter().map(|id| work.rows.holder(id)).collect()).await;
    // Names are for people; without the store the ids still tell the holders apart.
    let rows = rows.unwrap_or_default();
    let shown = pending.into_iter().enumerate().map(|(index, (id, deadline_ms))| {
        let row = rows.get(index).and_then(Option::as_ref);
        let left_ms = deadline_ms.saturating_sub(now.monotonic_ms);
        json!({
            "holder": id,
            "plugin": row.map(|row| &row.plugin),
            "without_push": row.is_some_and(|row| row.without_push),
            "registered_at": row.map(|row| instant(row.registered_unix_ms)),
            "until": instant(now.unix_ms.saturating_add(left_ms)),
        })
    });
    shown.collect()
}
