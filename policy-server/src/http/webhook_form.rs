//! Webhooks as JSON, read and shown.

use serde_json::{Map, Value, json};

use super::form::{Form, checked, flag, texts};
use super::show::{instant, object};
use crate::app::{AdminError, EVENTS, WebhookForm};
use crate::store::{DeliveryRow, WebhookRow};
use crate::webhooks::{WebhookSettings, parse_url};

/// Reads a webhook, new or changed: `{"url": "https://…", "events": ["budget.threshold_reached"],
/// "enabled": true}`.
///
/// # Errors
/// When any field cannot be accepted, or nothing can be posted to the URL.
pub fn webhook_form(body: &[u8], settings: &WebhookSettings) -> Result<WebhookForm, AdminError> {
    let mut form = Form::parse(body)?;
    let url = form.given(
        "url",
        checked(|url| {
            parse_url(&url, settings.allow_private, settings.egress.is_some()).map(|_| url)
        }),
    );
    let webhook = WebhookForm {
        url: url.value(),
        events: form.given("events", events),
        enabled: form.given("enabled", flag).value(),
    };
    form.finish()?;
    Ok(webhook)
}

fn events(value: Value) -> Result<Vec<String>, String> {
    let mut events: Vec<String> = Vec::new();
    for event in texts(EVENTS.len())(value)? {
        if !EVENTS.contains(&event.as_str()) {
            return Err(format!("must name some of {}; null means all", EVENTS.join(", ")));
        }
        if !events.contains(&event) {
            events.push(event);
        }
    }
    Ok(events)
}

/// A webhook; never its secret.
pub fn webhook(webhook: &WebhookRow) -> Map<String, Value> {
    let events = (!webhook.events.is_empty()).then_some(&webhook.events);
    object(json!({
        "org": webhook.org,
        "id": webhook.id,
        "url": webhook.url,
        "events": events,
        "enabled": webhook.enabled,
        "secret_generation": webhook.generation,
        "created_at": instant(webhook.created_unix_ms),
        "updated_at": instant(webhook.updated_unix_ms),
    }))
}

/// A delivery.
pub fn delivery(delivery: &DeliveryRow) -> Map<String, Value> {
    let body: Value = serde_json::from_str(&delivery.body).unwrap_or(Value::Null);
    let is_pending = delivery.ended_unix_ms.is_none();
    object(json!({
        "id": delivery.id,
        "webhook": delivery.webhook,
        "event": delivery.event,
        "status": delivery.status.as_str(),
        "attempts": delivery.attempts,
        "created_at": instant(delivery.created_unix_ms),
        "next_attempt_at": is_pending.then(|| instant(delivery.due_unix_ms)),
        "ended_at": delivery.ended_unix_ms.map(instant),
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "body": body,
    }))
}
