//! Webhooks as JSON, read and shown.

use serde_json::{Map, Value, json};
use wire::OrgId;

use super::form::{Form, Read, Reader};
use super::operation::Shape;
use super::reader::{boolean, line, texts};
use super::schema::{Members, Schema};
use super::shapes::made_and_changed;
use super::show::{instant, object};
use crate::app::{AdminError, EVENTS, WEBHOOK_TEST, WebhookForm};
use crate::store::{DeliveryRow, DeliveryStatus, WebhookRow};
use crate::webhooks::{WebhookSettings, parse_url};

/// Reads the fields of a webhook, new or changed: `{"url": "https://…", "events": ["budget.threshold_reached"],
/// "enabled": true}`.
///
/// # Errors
/// When any field cannot be accepted, or nothing can be posted to the URL.
pub fn webhook_form(
    body: &[u8],
    settings: &WebhookSettings,
    fields: impl FnOnce(&mut Form) -> Option<WebhookForm>,
) -> Result<WebhookForm, AdminError> {
    let read = Form::read(body, fields)?;
    if let Some(url) = &read.url {
        parse_url(url, settings.allow_private, settings.egress.is_some())
            .map_err(|bad| AdminError::field("url", "invalid_field", bad.to_string()))?;
    }
    Ok(read)
}

/// The fields of a new webhook.
pub fn new_webhook(form: &mut Form) -> Option<WebhookForm> {
    let url = form.required("url", url());
    let rest = rest(form);
    Some(WebhookForm { url: Some(url?), ..rest })
}

/// The fields of a change of a webhook.
pub fn changed_webhook(form: &mut Form) -> Option<WebhookForm> {
    let url = form.given("url", url()).value();
    Some(WebhookForm { url, ..rest(form) })
}

fn url() -> Reader<impl FnOnce(Value) -> Read<String>> {
    line().of(Schema::pattern("^https?://[!-~]{1,240}$"))
}

fn rest(form: &mut Form) -> WebhookForm {
    let events = form.given("events", events());
    let enabled = form.given("enabled", boolean()).value();
    WebhookForm { url: None, events, enabled }
}

fn events() -> Reader<impl FnOnce(Value) -> Read<Vec<String>>> {
    let schema = Schema::list(Schema::words(EVENTS), EVENTS.len());
    texts(EVENTS.len()).of(schema).then(|texts| {
        let mut events: Vec<String> = Vec::new();
        for event in texts {
            if !EVENTS.contains(&event.as_str()) {
                return Err(format!("must name some of {}; null means all", EVENTS.join(", ")));
            }
            if !events.contains(&event) {
                events.push(event);
            }
        }
        Ok(events)
    })
}

/// A webhook.
pub const WEBHOOK: Shape = Shape { name: "Webhook", members: webhook_members };

/// A webhook with its secret.
pub const SECRET_WEBHOOK: Shape = Shape { name: "SecretWebhook", members: secret_webhook };

/// Something that a webhook was told or is to be told.
pub const DELIVERY: Shape = Shape { name: "Delivery", members: delivery_members };

fn webhook_members() -> Members {
    Members::default()
        .with("org", Schema::id(OrgId::LONGEST))
        .with("id", Schema::text())
        .with("url", Schema::text())
        .with("events", Schema::some(Schema::words(EVENTS)).or_null())
        .with("enabled", Schema::boolean())
        .with("secret_generation", Schema::count())
        .and(made_and_changed())
}

/// The secret is not told again where the request is repeated.
fn secret_webhook() -> Members {
    webhook_members().maybe("secret", Schema::text())
}

fn delivery_members() -> Members {
    Members::default()
        .with("id", Schema::text())
        .with("webhook", Schema::text())
        .with("event", Schema::words(EVENTS.into_iter().chain([WEBHOOK_TEST])))
        .with("status", Schema::words(DeliveryStatus::ALL.map(DeliveryStatus::as_str)))
        .with("attempts", Schema::count())
        .with("created_at", Schema::instant())
        .with("next_attempt_at", Schema::instant().or_null())
        .with("ended_at", Schema::instant().or_null())
        .with("last_status", Schema::whole(100, 999).or_null())
        .with("last_error", Schema::text().or_null())
        .with("body", Schema::map(Schema::anything()))
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
