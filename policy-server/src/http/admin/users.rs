//! `/admin/v1/orgs/{org}/users`.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use serde_json::json;
use wire::{OrgId, UserId};

use super::{
    Answer, Body, Id, Pairs, Routes, Visitor, applied, bytes, id, ids, no_fields, parameters,
};
use crate::app::{AdminError, Suspendable, Target, Work};
use crate::http::answer::AdminProblem;
use crate::http::operation::Operation;
use crate::http::people_form::{self, user_form};
use crate::http::shapes_people::{DELETED_USER, USER};
use crate::http::wait::WAIT_DEFAULT;
use crate::http::{show, show_people};
use crate::permissions::Action::{UsersRead, UsersWrite};
use crate::permissions::Standing;

type Ids = Result<Path<(String, String)>, PathRejection>;

const LIST: &str = "/admin/v1/orgs/{org}/users";
const ONE: &str = "/admin/v1/orgs/{org}/users/{user}";
const SUSPEND: &str = "/admin/v1/orgs/{org}/users/{user}/suspend";
const RESUME: &str = "/admin/v1/orgs/{org}/users/{user}/resume";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, UsersRead, list)
        .says(Operation::new("Lists the users of an organisation").pages(&USER))
        .get(ONE, UsersRead, one)
        .says(Operation::new("Shows a user").shows(&USER))
        .put(ONE, UsersWrite, "user.put", put)
        .says(
            Operation::new("Makes or changes a user")
                .takes(people_form::user)
                .applies(&USER, WAIT_DEFAULT),
        )
        .delete(ONE, UsersWrite, "user.delete", delete)
        .says(
            Operation::new("Deletes a user; his tokens and keys end")
                .applies(&DELETED_USER, WAIT_DEFAULT),
        )
        .post(SUSPEND, UsersWrite, "user.suspend", suspend)
        .says(Operation::new("Stops every key of a user").applies(&USER, WAIT_DEFAULT))
        .post(RESUME, UsersWrite, "user.resume", resume)
        .says(Operation::new("Lets the keys of a user go on").applies(&USER, Duration::ZERO))
}

async fn list(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let (after, limit) = (query.text("cursor"), query.limit());
    query.finish()?;
    let page = visitor
        .list(Some(org.clone()), move |work, sight| work.users(&sight, &org, false, after, limit));
    Ok(Json(show::page(&page.await?, show_people::user)))
}

async fn one(visitor: Visitor, path: Ids) -> Answer {
    let (org, user) = user(path)?;
    let target = Target::User(org.clone(), user.clone());
    let row = visitor.one(target, move |work| work.user(&org, &user)).await?;
    Ok(Json(show_people::user(&row).into()))
}

async fn put(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let (org, user) = user(path)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let form = user_form(&bytes(body)?);
    let target = Target::User(org.clone(), user.clone());
    let put = visitor.change(target, move |work, deed| work.put_user(&deed.by, &org, user, form?));
    let changed = put.await?;
    Ok(applied(&visitor.edge, show_people::user(&changed.value), changed.revision, wait).await)
}

/// The user's tokens and keys end as well; the answer says how many keys.
async fn delete(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    let (org, user) = user(path)?;
    let target = Target::User(org.clone(), user.clone());
    delete_owner(visitor, target, (org, user), pairs, |_, _, _, _| Ok(())).await
}

async fn suspend(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    stop(visitor, path, pairs, body, true).await
}

async fn resume(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    stop(visitor, path, pairs, body, false).await
}

async fn stop(visitor: Visitor, path: Ids, pairs: Pairs, body: Body, stop: bool) -> Answer {
    let (org, user) = user(path)?;
    no_fields(body)?;
    let target = Target::User(org.clone(), user.clone());
    let check: Check = |work, by, org, user| work.check_may_suspend(by, org, user);
    stop_owner(visitor, target, (org, user), pairs, stop, check).await
}

/// What must hold of a person or a service account before something is done to it.
pub type Check = fn(&mut Work<'_>, &Standing, &OrgId, &UserId) -> Result<(), AdminError>;

/// Deletes a person or a service account; the answer says how many keys end with it.
pub async fn delete_owner(
    visitor: Visitor,
    target: Target,
    (org, user): (OrgId, UserId),
    pairs: Pairs,
    check: Check,
) -> Answer {
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let changed = visitor.change(target, move |work, deed| {
        check(work, &deed.by, &org, &user)?;
        let changed = work.delete_user(&deed.by, &org, &user)?;
        deed.note("revoked_keys", changed.value.1);
        Ok(changed)
    });
    let changed = changed.await?;
    let (row, ended) = changed.value;
    let mut shown = show_people::user(&row);
    shown.insert("revoked_keys".to_owned(), json!(ended));
    Ok(applied(&visitor.edge, shown, changed.revision, wait).await)
}

/// Suspends a person or a service account, or lets it go on.
pub async fn stop_owner(
    visitor: Visitor,
    target: Target,
    (org, user): (OrgId, UserId),
    pairs: Pairs,
    stop: bool,
    check: Check,
) -> Answer {
    let mut query = parameters(pairs)?;
    let wait = query.wait(if stop { WAIT_DEFAULT } else { Duration::ZERO });
    query.finish()?;
    let changed = visitor.change(target, move |work, deed| {
        check(work, &deed.by, &org, &user)?;
        let what = Suspendable::User(org.clone(), user.clone());
        let revision = work.suspend(&what, stop)?.revision;
        Ok((work.user(&org, &user)?, revision))
    });
    let (row, revision) = changed.await?;
    Ok(applied(&visitor.edge, show_people::user(&row), revision, wait).await)
}

fn user(path: Ids) -> Result<(OrgId, UserId), AdminProblem> {
    ids(path, ("organisation", OrgId::new), ("user", UserId::new))
}
