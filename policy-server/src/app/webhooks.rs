//! Webhooks of organisations, and the outbox of what they are told.

use wire::OrgId;

use super::{AdminError, Counters, FieldProblem, Given, Page, Work};
use crate::store::{DeliveryRow, DeliverySearch, DeliveryStatus, StoreResult, WebhookRow};
use crate::webhooks::{Attempt, next_attempt};

/// Webhooks of one organisation at most: each is written to with every event.
const WEBHOOKS_MOST: u32 = 8;

/// Deliveries of one organisation that wait at most; what happens then is told to nobody.
const PENDING_MOST: u32 = 1_000;

/// Deliveries of one organisation that are kept at least, for people to look at.
const KEPT: u32 = 1_000;

/// Older ones removed with a new one: more than come with it.
const FORGOTTEN_AT_ONCE: u32 = 2 * WEBHOOKS_MOST;

/// The status by which a receiver says that it wants nothing any more.
const GONE: u16 = 410;

/// What an event is called, of all that there are.
pub const BUDGET_THRESHOLD: &str = "budget.threshold_reached";

/// What is sent when somebody asks for it.
pub const WEBHOOK_TEST: &str = "webhook.test";

/// Events that a webhook can choose from.
pub const EVENTS: [&str; 1] = [BUDGET_THRESHOLD];

/// What somebody says about a webhook; what is absent stays, or is the default of a new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookForm {
    /// Where to post events.
    pub url: Option<String>,
    /// Which of them; null: all.
    pub events: Given<Vec<String>>,
    /// Whether to post any.
    pub enabled: Option<bool>,
}

/// Something that organisations are told of.
pub(super) struct Event {
    /// What it is called.
    pub(super) name: &'static str,
    /// Its id, by which a repetition is known: the same event has the same.
    pub(super) id: String,
    /// What is posted.
    pub(super) body: String,
}

impl Work<'_> {
    /// Webhooks of an organisation in the order of their ids. They are so few that a page is cut from
    /// all of them.
    ///
    /// # Errors
    /// When there is no such organisation, or the store fails.
    pub fn webhooks(
        &mut self,
        org: &OrgId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<WebhookRow>, AdminError> {
        self.org(org)?;
        let mut found = self.rows.webhooks(org, WEBHOOKS_MOST)?;
        found.retain(|webhook| after.is_none_or(|after| webhook.id.as_str() > after));
        Ok(Page::of(found, limit, |webhook| webhook.id.clone()))
    }

    /// One webhook.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn webhook(&mut self, org: &OrgId, id: &str) -> Result<WebhookRow, AdminError> {
        let found = self.rows.webhook(org, id)?;
        found.ok_or_else(|| AdminError::not_found("webhook", id))
    }

    /// Adds a webhook. Its URL was checked.
    ///
    /// # Errors
    /// When there is no such organisation, it has too many, the URL is missing, no random bytes can
    /// be had, or the store fails.
    pub fn create_webhook(
        &mut self,
        org: &OrgId,
        form: WebhookForm,
    ) -> Result<WebhookRow, AdminError> {
        self.org(org)?;
        let Some(url) = form.url else {
            return Err(AdminError::Invalid(vec![FieldProblem::invalid("url", "is required")]));
        };
        if self.rows.webhooks(org, WEBHOOKS_MOST)?.len() >= WEBHOOKS_MOST as usize {
            let message = format!("an organisation has at most {WEBHOOKS_MOST} webhooks");
            return Err(AdminError::conflict("too_many_webhooks", message));
        }
        let now = self.now.unix_ms;
        let webhook = WebhookRow {
            org: org.clone(),
            id: self.random_id("wh_", 16)?,
            url,
            events: form.events.value().unwrap_or_default(),
            enabled: form.enabled.unwrap_or(true),
            generation: 1,
            secret_mark: None,
            created_unix_ms: now,
            updated_unix_ms: now,
        };
        self.rows.save_webhook(&webhook)?;
        Ok(webhook)
    }

    /// Changes a webhook. Its URL was checked.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn change_webhook(
        &mut self,
        org: &OrgId,
        id: &str,
        form: WebhookForm,
    ) -> Result<WebhookRow, AdminError> {
        let mut webhook = self.webhook(org, id)?;
        webhook.url = form.url.unwrap_or(webhook.url);
        if form.events.is_given() {
            webhook.events = form.events.value().unwrap_or_default();
        }
        webhook.enabled = form.enabled.unwrap_or(webhook.enabled);
        webhook.updated_unix_ms = self.now.unix_ms;
        self.rows.save_webhook(&webhook)?;
        Ok(webhook)
    }

    /// Gives a webhook another secret. What is posted from now on is signed by that alone.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn rotate_webhook(&mut self, org: &OrgId, id: &str) -> Result<WebhookRow, AdminError> {
        let mut webhook = self.webhook(org, id)?;
        webhook.generation = webhook.generation.saturating_add(1);
        webhook.updated_unix_ms = self.now.unix_ms;
        self.rows.save_webhook(&webhook)?;
        Ok(webhook)
    }

    /// Notes from which secret of the server a webhook's was derived just now.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_webhook_secret(
        &mut self,
        webhook: WebhookRow,
        mark: String,
    ) -> Result<WebhookRow, AdminError> {
        let webhook = WebhookRow { secret_mark: Some(mark), ..webhook };
        self.rows.save_webhook(&webhook)?;
        Ok(webhook)
    }

    /// Removes a webhook with all that it was told or is to be told.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn delete_webhook(&mut self, org: &OrgId, id: &str) -> Result<WebhookRow, AdminError> {
        let webhook = self.webhook(org, id)?;
        self.rows.remove_webhook(org, id)?;
        Ok(webhook)
    }

    /// Posts an event that says nothing, whatever the webhook has chosen.
    ///
    /// # Errors
    /// When there is no such webhook, it is disabled or has too much waiting, no random bytes can be
    /// had, or the store fails.
    pub fn test_webhook(&mut self, org: &OrgId, id: &str) -> Result<DeliveryRow, AdminError> {
        let webhook = self.enabled_webhook(org, id)?;
        if self.rows.pending_deliveries(org, PENDING_MOST)? >= u64::from(PENDING_MOST) {
            let message = "too much is waiting to be delivered already";
            return Err(AdminError::conflict("too_many_deliveries", message));
        }
        let event = Event {
            name: WEBHOOK_TEST,
            id: self.random_id("msg_", 24)?,
            body: self.event_body(WEBHOOK_TEST, serde_json::json!({"org": org})),
        };
        let delivery = self.deliver(&webhook, &event, event.id.clone())?;
        Ok(delivery)
    }

    fn enabled_webhook(&mut self, org: &OrgId, id: &str) -> Result<WebhookRow, AdminError> {
        let webhook = self.webhook(org, id)?;
        if webhook.enabled {
            return Ok(webhook);
        }
        Err(AdminError::conflict("webhook_disabled", format!("the webhook '{id}' is disabled")))
    }

    /// What a webhook was told and is to be told, newest first.
    ///
    /// # Errors
    /// When there is no such webhook, or the store fails.
    pub fn deliveries(&mut self, search: DeliverySearch) -> Result<Page<DeliveryRow>, AdminError> {
        self.webhook(&search.org, &search.webhook)?;
        let limit = search.limit;
        let search = DeliverySearch { limit: limit.saturating_add(1), ..search };
        let found = self.rows.deliveries(&search)?;
        let page = Page::of(found, limit, |(position, _)| position.to_string());
        let items = page.items.into_iter().map(|(_, delivery)| delivery).collect();
        Ok(Page { items, next: page.next })
    }

    /// Sends something again that was delivered or given up, under the same id.
    ///
    /// # Errors
    /// When there is no such delivery, it is under way, the webhook is disabled, or the store fails.
    pub fn resend_delivery(
        &mut self,
        org: &OrgId,
        webhook: &str,
        id: &str,
    ) -> Result<DeliveryRow, AdminError> {
        self.enabled_webhook(org, webhook)?;
        let found = self.rows.delivery(id)?;
        let own = found.filter(|found| found.org == *org && found.webhook == webhook);
        let mut delivery = own.ok_or_else(|| AdminError::not_found("delivery", id))?;
        if delivery.status == DeliveryStatus::Pending {
            let message = format!("the delivery '{id}' is under way");
            return Err(AdminError::conflict("delivery_pending", message));
        }
        delivery.status = DeliveryStatus::Pending;
        delivery.attempts = 0;
        delivery.begun_unix_ms = self.now.unix_ms;
        delivery.due_unix_ms = self.now.unix_ms;
        delivery.ended_unix_ms = None;
        self.rows.save_delivery(&delivery)?;
        Ok(delivery)
    }

    /// Puts an event into the outbox, for each webhook of the organisation that wants it.
    pub(super) fn tell(&mut self, org: &OrgId, event: &Event) -> StoreResult<()> {
        let webhooks = self.rows.webhooks(org, WEBHOOKS_MOST)?;
        let wanted = webhooks.into_iter().filter(|webhook| {
            let chosen =
                webhook.events.is_empty() || webhook.events.iter().any(|name| name == event.name);
            webhook.enabled && chosen
        });
        for webhook in wanted {
            if self.rows.pending_deliveries(org, PENDING_MOST)? >= u64::from(PENDING_MOST) {
                Counters::add(&self.counters.dropped_events, 1);
                tracing::error!(%org, event = event.name, "too much waits for webhooks: not told");
                continue;
            }
            // Each webhook has its own id of the event: a receiver of two knows them apart.
            let id = message_id(&[&event.id, &webhook.id]);
            self.deliver(&webhook, event, id)?;
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        webhook: &WebhookRow,
        event: &Event,
        id: String,
    ) -> StoreResult<DeliveryRow> {
        let now = self.now.unix_ms;
        let delivery = DeliveryRow {
            id,
            org: webhook.org.clone(),
            webhook: webhook.id.clone(),
            event: event.name.to_owned(),
            body: event.body.clone(),
            status: DeliveryStatus::Pending,
            attempts: 0,
            created_unix_ms: now,
            begun_unix_ms: now,
            due_unix_ms: now,
            ended_unix_ms: None,
            last_status: None,
            last_error: None,
        };
        self.rows.add_delivery(&delivery)?;
        self.rows.forget_deliveries(&webhook.org, KEPT, FORGOTTEN_AT_ONCE)?;
        Ok(delivery)
    }

    /// What is posted of an event.
    pub(super) fn event_body(&self, name: &str, data: serde_json::Value) -> String {
        let at = crate::time_range::instant_text(self.now.unix_ms);
        serde_json::json!({"type": name, "timestamp": at, "data": data}).to_string()
    }

    /// Deliveries that are due with their webhooks, one of each webhook, the longest due first. Where
    /// a webhook is gone or disabled, none: [`Work::note_attempt`] ends that.
    ///
    /// # Errors
    /// When the store fails.
    pub fn due_deliveries(
        &mut self,
        limit: u32,
    ) -> Result<Vec<(DeliveryRow, Option<WebhookRow>)>, AdminError> {
        let due = self.rows.due_deliveries(self.now.unix_ms, limit)?;
        let with_webhooks = due.into_iter().map(|delivery| {
            let webhook = self.rows.webhook(&delivery.org, &delivery.webhook)?;
            Ok((delivery, webhook.filter(|webhook| webhook.enabled)))
        });
        with_webhooks.collect()
    }

    /// Notes what came of an attempt, and when the next one is due. A receiver that is gone for good
    /// is not written to any more.
    ///
    /// # Errors
    /// When the store fails.
    pub fn note_attempt(
        &mut self,
        id: &str,
        attempt: &Attempt,
        random: u16,
    ) -> Result<(), AdminError> {
        let Some(mut delivery) = self.rows.delivery(id)? else { return Ok(()) };
        if delivery.status != DeliveryStatus::Pending {
            return Ok(());
        }
        let now = self.now.unix_ms;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.last_status = attempt.status;
        delivery.last_error.clone_from(&attempt.error);
        let webhook = self.rows.webhook(&delivery.org, &delivery.webhook)?;
        let webhook = webhook.filter(|webhook| webhook.enabled);
        let next = match (&webhook, attempt.status) {
            (None, _) | (_, Some(GONE)) => None,
            _ => next_attempt(delivery.attempts, delivery.begun_unix_ms, now, random),
        };
        match next {
            _ if attempt.error.is_none() => delivery.status = DeliveryStatus::Delivered,
            Some(due) => delivery.due_unix_ms = due,
            None => delivery.status = DeliveryStatus::Failed,
        }
        if delivery.status != DeliveryStatus::Pending {
            delivery.ended_unix_ms = Some(now);
        }
        if delivery.status == DeliveryStatus::Failed {
            tracing::warn!(
                org = %delivery.org,
                webhook = delivery.webhook,
                delivery = delivery.id,
                "an event could not be delivered to a webhook"
            );
        }
        self.rows.save_delivery(&delivery)?;
        match webhook {
            Some(webhook) if attempt.status == Some(GONE) => {
                let gone = WebhookRow { enabled: false, updated_unix_ms: now, ..webhook };
                self.rows.save_webhook(&gone)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// An id that follows from what it names.
pub(super) fn message_id(parts: &[&str]) -> String {
    let digest = metering::api_key::digest(parts.join("\0").as_bytes());
    let hex: String = digest.0.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("msg_{hex}")
}
