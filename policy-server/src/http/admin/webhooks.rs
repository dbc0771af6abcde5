//! `/admin/v1/orgs/{org}/webhooks`.

use std::sync::Arc;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use wire::OrgId;

use super::{
    Answer, Body, Id, Pairs, Parameters, Routes, Visitor, asked, bytes, id, ids, made, no_fields,
    parameters,
};
use crate::app::{AdminError, Target, Work};
use crate::http::answer::AdminProblem;
use crate::http::operation::Operation;
use crate::http::show;
use crate::http::webhook_form::{
    DELIVERY, SECRET_WEBHOOK, WEBHOOK, changed_webhook, delivery, new_webhook, webhook,
    webhook_form,
};
use crate::permissions::Action::{WebhooksRead, WebhooksWrite};
use crate::store::{DeliverySearch, DeliveryStatus, StoreError, WebhookRow};
use crate::webhooks::{ServerSecret, SigningKey};

type Ids = Result<Path<(String, String)>, PathRejection>;
type ThreeIds = Result<Path<(String, String, String)>, PathRejection>;

const LIST: &str = "/admin/v1/orgs/{org}/webhooks";
const ONE: &str = "/admin/v1/orgs/{org}/webhooks/{webhook}";
const ROTATE: &str = "/admin/v1/orgs/{org}/webhooks/{webhook}/rotate";
const TEST: &str = "/admin/v1/orgs/{org}/webhooks/{webhook}/test";
const DELIVERIES: &str = "/admin/v1/orgs/{org}/webhooks/{webhook}/deliveries";
const RESEND: &str = "/admin/v1/orgs/{org}/webhooks/{webhook}/deliveries/{delivery}/resend";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, WebhooksRead, list)
        .says(Operation::new("Lists the webhooks of an organisation").pages(&WEBHOOK))
        .post(LIST, WebhooksWrite, "webhook.create", create)
        .says(
            Operation::new("Adds a webhook; its secret is shown this once")
                .takes(new_webhook)
                .makes(&SECRET_WEBHOOK)
                .shows(&WEBHOOK),
        )
        .get(ONE, WebhooksRead, one)
        .says(Operation::new("Shows a webhook").shows(&WEBHOOK))
        .patch(ONE, WebhooksWrite, "webhook.change", change)
        .says(Operation::new("Changes some of a webhook").takes(changed_webhook).shows(&WEBHOOK))
        .delete(ONE, WebhooksWrite, "webhook.delete", delete)
        .says(Operation::new("Removes a webhook and all that it was told").shows(&WEBHOOK))
        .post(ROTATE, WebhooksWrite, "webhook.rotate", rotate)
        .says(
            Operation::new("Gives a webhook another secret, which is shown this once")
                .shows(&SECRET_WEBHOOK),
        )
        .post(TEST, WebhooksWrite, "webhook.test", test)
        .says(Operation::new("Posts an event that says nothing").shows(&DELIVERY))
        .get(DELIVERIES, WebhooksRead, deliveries)
        .says(
            Operation::new("Lists what a webhook was told and is to be told")
                .asks(asked_deliveries)
                .lists(&DELIVERY),
        )
        .post(RESEND, WebhooksWrite, "webhook.resend", resend)
        .says(Operation::new("Sends something to a webhook again").shows(&DELIVERY))
}

async fn list(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let (after, limit) = asked(pairs, Parameters::page)?;
    let target = Target::Org(org.clone());
    let read = visitor.read(target, move |work, _| work.webhooks(&org, after.as_deref(), limit));
    let page = read.await?;
    Ok(Json(show::page(&page, webhook)))
}

async fn one(visitor: Visitor, path: Ids) -> Answer {
    let (org, id) = names(path)?;
    let target = Target::Webhook(org.clone(), id.clone());
    let row = visitor.one(target, move |work| work.webhook(&org, &id)).await?;
    Ok(Json(webhook(&row).into()))
}

/// 201 with the secret, which is shown this once.
async fn create(
    visitor: Visitor,
    path: Id,
    pairs: Pairs,
    body: Body,
) -> Result<Response, AdminProblem> {
    let org = id("organisation", path, OrgId::new)?;
    parameters(pairs)?.finish()?;
    let form = webhook_form(&bytes(body)?, &visitor.edge.webhooks, new_webhook);
    let secret = Arc::clone(&visitor.edge.secret);
    let changed = visitor.change(Target::Org(org.clone()), move |work, deed| {
        let row = work.create_webhook(&org, form?)?;
        let (row, key) = given_secret(work, &secret, row)?;
        deed.target = Target::Webhook(org, row.id.clone());
        Ok((row, key))
    });
    let (row, key) = changed.await?;
    Ok((StatusCode::CREATED, Json(with_secret(&row, &key))).into_response())
}

async fn change(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let (org, id) = names(path)?;
    parameters(pairs)?.finish()?;
    let form = webhook_form(&bytes(body)?, &visitor.edge.webhooks, changed_webhook);
    let target = Target::Webhook(org.clone(), id.clone());
    let changed = visitor.change(target, move |work, _| work.change_webhook(&org, &id, form?));
    Ok(Json(webhook(&changed.await?).into()))
}

async fn delete(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    let (org, id) = names(path)?;
    parameters(pairs)?.finish()?;
    let target = Target::Webhook(org.clone(), id.clone());
    let removed = visitor.change(target, move |work, _| work.delete_webhook(&org, &id));
    Ok(Json(webhook(&removed.await?).into()))
}

/// The new secret is shown this once; what is posted from now on is signed by it.
async fn rotate(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let (org, id) = names(path)?;
    parameters(pairs)?.finish()?;
    no_fields(body)?;
    let secret = Arc::clone(&visitor.edge.secret);
    let target = Target::Webhook(org.clone(), id.clone());
    let changed = visitor.change(target, move |work, _| {
        let row = work.rotate_webhook(&org, &id)?;
        given_secret(work, &secret, row)
    });
    let (row, key) = changed.await?;
    Ok(Json(with_secret(&row, &key)))
}

async fn test(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let (org, id) = names(path)?;
    parameters(pairs)?.finish()?;
    no_fields(body)?;
    let target = Target::Webhook(org.clone(), id.clone());
    let sent = visitor.change(target, move |work, _| work.test_webhook(&org, &id));
    Ok(Json(delivery(&sent.await?).into()))
}

async fn deliveries(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    let (org, webhook) = names(path)?;
    let (status, before, limit) = asked(pairs, asked_deliveries)?;
    let target = Target::Webhook(org.clone(), webhook.clone());
    let search = DeliverySearch { org, webhook, status, before, limit };
    let page = visitor.read(target, move |work, _| work.deliveries(search)).await?;
    Ok(Json(show::page(&page, delivery)))
}

fn asked_deliveries(query: &mut Parameters) -> (Option<DeliveryStatus>, Option<i64>, u32) {
    let status = query.word("status", &DeliveryStatus::ALL, DeliveryStatus::as_str);
    (status, query.position(), query.limit())
}

async fn resend(visitor: Visitor, path: ThreeIds, pairs: Pairs, body: Body) -> Answer {
    let (org, webhook, id) = path.map(|Path(texts)| texts).unwrap_or_default();
    let org = made("organisation", org, OrgId::new)?;
    parameters(pairs)?.finish()?;
    no_fields(body)?;
    let target = Target::Webhook(org.clone(), webhook.clone());
    let sent = visitor.change(target, move |work, _| work.resend_delivery(&org, &webhook, &id));
    Ok(Json(delivery(&sent.await?).into()))
}

fn names(path: Ids) -> Result<(OrgId, String), AdminProblem> {
    ids(path, ("organisation", OrgId::new), ("webhook", Ok::<_, AdminError>))
}

fn with_secret(row: &WebhookRow, key: &SigningKey) -> Value {
    let mut shown = webhook(row);
    shown.insert("secret".to_owned(), json!(key.expose()));
    Value::Object(shown)
}

fn given_secret(
    work: &mut Work<'_>,
    secret: &ServerSecret,
    row: WebhookRow,
) -> Result<(WebhookRow, SigningKey), AdminError> {
    let derived = secret.new_signing_key(&row.org, &row.id, row.generation);
    let (key, mark) = derived.map_err(|error| {
        AdminError::Store(StoreError::Unreadable(format!(
            "the file of the server's secret: {error}"
        )))
    })?;
    Ok((work.note_webhook_secret(row, mark)?, key))
}
