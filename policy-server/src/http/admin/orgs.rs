//! `/admin/v1/orgs`.

use std::time::Duration;

use axum::Json;
use wire::OrgId;

use super::{
    Answer, Body, Id, Pairs, Parameters, Routes, Visitor, applied, asked, bytes, id, no_fields,
    parameters,
};
use crate::app::{AdminError, FieldProblem, Suspendable, Target};
use crate::http::answer::AdminProblem;
use crate::http::operation::Operation;
use crate::http::org_form::{self, org_form};
use crate::http::shapes::ORG;
use crate::http::show;
use crate::http::wait::WAIT_DEFAULT;
use crate::permissions::Action::{OrgsRead, OrgsWrite};
use crate::permissions::Standing;

const LIST: &str = "/admin/v1/orgs";
const ONE: &str = "/admin/v1/orgs/{org}";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, OrgsRead, list)
        .says(Operation::new("Lists organisations").pages(&ORG))
        .get(ONE, OrgsRead, one)
        .says(Operation::new("Shows an organisation").shows(&ORG))
        .put(ONE, OrgsWrite, "org.put", put)
        .says(
            Operation::new("Makes or changes an organisation")
                .takes(org_form::org)
                .applies(&ORG, WAIT_DEFAULT),
        )
        .patch(ONE, OrgsWrite, "org.change", change)
        .says(
            Operation::new("Changes some of an organisation")
                .takes(org_form::org)
                .applies(&ORG, WAIT_DEFAULT),
        )
        .delete(ONE, OrgsWrite, "org.delete", delete)
        .says(
            Operation::new("Deletes an organisation that has nothing any more")
                .applies(&ORG, Duration::ZERO),
        )
        .post("/admin/v1/orgs/{org}/suspend", OrgsWrite, "org.suspend", suspend)
        .says(Operation::new("Stops every key of an organisation").applies(&ORG, WAIT_DEFAULT))
        .post("/admin/v1/orgs/{org}/resume", OrgsWrite, "org.resume", resume)
        .says(
            Operation::new("Lets the keys of an organisation go on").applies(&ORG, Duration::ZERO),
        )
}

async fn list(visitor: Visitor, pairs: Pairs) -> Answer {
    let (after, limit) = asked(pairs, Parameters::page)?;
    let page = visitor.list(None, move |work, sight| work.orgs(&sight, after.as_deref(), limit));
    Ok(Json(show::page(&page.await?, show::org)))
}

async fn one(visitor: Visitor, path: Id) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let view = visitor.one(Target::Org(id.clone()), move |work| work.org(&id)).await?;
    Ok(Json(show::org(&view).into()))
}

async fn put(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = new_id(path)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let form = org_form(&bytes(body)?);
    let target = Target::Org(id.clone());
    let changed = visitor.change(target, move |work, _| work.put_org(id, form?)).await?;
    Ok(applied(&visitor.edge, show::org(&changed.value), changed.revision, wait).await)
}

async fn change(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let form = org_form(&bytes(body)?);
    let target = Target::Org(id.clone());
    let changed = visitor.change(target, move |work, _| work.patch_org(&id, form?)).await?;
    Ok(applied(&visitor.edge, show::org(&changed.value), changed.revision, wait).await)
}

async fn delete(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(Duration::ZERO);
    query.finish()?;
    let target = Target::Org(id.clone());
    let changed = visitor.change(target, move |work, deed| {
        check_not_own(&deed.by, &id, "deleted")?;
        work.delete_org(&id)
    });
    let changed = changed.await?;
    Ok(applied(&visitor.edge, show::org(&changed.value), changed.revision, wait).await)
}

async fn suspend(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    stop(visitor, path, pairs, body, true).await
}

async fn resume(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    stop(visitor, path, pairs, body, false).await
}

async fn stop(visitor: Visitor, path: Id, pairs: Pairs, body: Body, stop: bool) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(if stop { WAIT_DEFAULT } else { Duration::ZERO });
    query.finish()?;
    no_fields(body)?;
    let changed = visitor.change(Target::Org(id.clone()), move |work, deed| {
        if stop {
            check_not_own(&deed.by, &id, "suspended")?;
        }
        let revision = work.suspend(&Suspendable::Org(id.clone()), stop)?.revision;
        Ok((work.org(&id)?, revision))
    });
    let (view, revision) = changed.await?;
    Ok(applied(&visitor.edge, show::org(&view), revision, wait).await)
}

/// With his organisation its administrator would end himself.
fn check_not_own(by: &Standing, id: &OrgId, what: &str) -> Result<(), AdminError> {
    if by.user.as_ref().is_none_or(|(org, _)| org != id) {
        return Ok(());
    }
    let message = format!("your own organisation cannot be {what} by you");
    Err(AdminError::conflict("own_account", message))
}

/// An id that is being chosen: it must fit paths, headers and commands without quoting.
fn new_id(path: Id) -> Result<OrgId, AdminProblem> {
    let text = path.map(|path| path.0).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match OrgId::new(text) {
        Ok(id) if id.as_str().bytes().all(plain) => Ok(id),
        _ => {
            let message = "must be 1 to 64 letters, digits, '-', '_' or '.'";
            let problem = FieldProblem::invalid("id", message);
            Err(AdminError::Invalid(vec![problem]).into())
        }
    }
}
