//! `/admin/v1/audit` and `/admin/v1/settings`.

use axum::Json;
use wire::OrgId;

use super::{Answer, Body, Pairs, Routes, Visitor, bytes, parameters};
use crate::app::Target;
use crate::http::key_form::instant_text;
use crate::http::people_form::settings_form;
use crate::http::{show, show_people};
use crate::permissions::Action::{AuditRead, ServerRead, ServerWrite};
use crate::permissions::Sight;
use crate::store::{AuditSearch, Outcome};

const SETTINGS: &str = "/admin/v1/settings";

pub fn routes(routes: Routes) -> Routes {
    routes.get("/admin/v1/audit", AuditRead, audit).get(SETTINGS, ServerRead, settings).put(
        SETTINGS,
        ServerWrite,
        "settings.put",
        put_settings,
    )
}

async fn audit(visitor: Visitor, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let outcomes = Outcome::ALL.map(Outcome::as_str).join(", ");
    let instant = "must be an instant such as 2027-06-01T00:00:00Z, not before 1970";
    let search = AuditSearch {
        actor: query.text("actor"),
        action: query.text("action"),
        target: query.text("target"),
        org: query.parsed("org", "must be an id", |text| OrgId::new(text).ok()),
        outcome: query.parsed("outcome", &format!("must be one of {outcomes}"), |text| {
            let mut all = Outcome::ALL.into_iter();
            all.find(|outcome| outcome.as_str() == text)
        }),
        since_unix_ms: query.parsed("since", instant, instant_text),
        until_unix_ms: query.parsed("until", instant, instant_text),
        before: query.position(),
        limit: query.limit(),
    };
    query.finish()?;
    let page = visitor.list_log(search.org.clone(), move |work, sight| {
        let org = match sight {
            Sight::Everything => search.org,
            Sight::Org(org) | Sight::Part { org, .. } => Some(org),
        };
        work.audit(AuditSearch { org, ..search })
    });
    Ok(Json(show::page(&page.await?, show_people::audit_line)))
}

async fn settings(visitor: Visitor, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let days = visitor.one(Target::Server, |work| work.audit_days()).await?;
    Ok(Json(show_people::settings(days).into()))
}

async fn put_settings(visitor: Visitor, pairs: Pairs, body: Body) -> Answer {
    parameters(pairs)?.finish()?;
    let days = settings_form(&bytes(body)?);
    let set = visitor.change(Target::Server, move |work, _| {
        let days = days?;
        work.set_audit_days(days)?;
        Ok(days)
    });
    Ok(Json(show_people::settings(set.await?).into()))
}
