//! `/admin/v1/audit` and `/admin/v1/settings`.

use axum::Json;
use wire::OrgId;

use super::{Answer, Body, Pairs, Parameters, Routes, Visitor, asked, bytes, parameters};
use crate::app::Target;
use crate::http::key_form::instant_text;
use crate::http::operation::Operation;
use crate::http::people_form::{self, settings_form};
use crate::http::schema::Schema;
use crate::http::shapes_people::{self, AUDIT_LINE};
use crate::http::{show, show_people};
use crate::permissions::Action::{AuditRead, ServerRead, ServerWrite};
use crate::permissions::Sight;
use crate::store::{AuditSearch, Outcome};

const SETTINGS: &str = "/admin/v1/settings";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/admin/v1/audit", AuditRead, audit)
        .says(
            Operation::new("Lists who did what, the newest first").asks(search).lists(&AUDIT_LINE),
        )
        .get(SETTINGS, ServerRead, settings)
        .says(Operation::new("Shows the settings of the server").shows(&shapes_people::SETTINGS))
        .put(SETTINGS, ServerWrite, "settings.put", put_settings)
        .says(
            Operation::new("Changes the settings of the server")
                .takes(people_form::settings)
                .shows(&shapes_people::SETTINGS),
        )
}

async fn audit(visitor: Visitor, pairs: Pairs) -> Answer {
    let search = asked(pairs, search)?;
    let page = visitor.list_log(search.org.clone(), move |work, sight| {
        let org = match sight {
            Sight::Everything => search.org,
            Sight::Org(org) | Sight::Part { org, .. } => Some(org),
        };
        work.audit(AuditSearch { org, ..search })
    });
    Ok(Json(show::page(&page.await?, show_people::audit_line)))
}

/// Which lines are asked for.
fn search(query: &mut Parameters) -> AuditSearch {
    let instant = "must be an instant such as 2027-06-01T00:00:00Z, not before 1970";
    AuditSearch {
        actor: query.text("actor"),
        action: query.text("action"),
        target: query.text("target"),
        org: query.id("org", OrgId::LONGEST, OrgId::new),
        outcome: query.word("outcome", &Outcome::ALL, Outcome::as_str),
        since_unix_ms: query.typed("since", instant, Schema::instant(), instant_text),
        until_unix_ms: query.typed("until", instant, Schema::instant(), instant_text),
        before: query.position(),
        limit: query.limit(),
    }
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
