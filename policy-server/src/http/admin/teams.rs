//! `/admin/v1/orgs/{org}/teams`.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use wire::{OrgId, TeamId};

use super::{
    Answer, Body, Id, Pairs, Routes, Visitor, applied, bytes, id, ids, in_force, no_fields,
    only_wait, parameters,
};
use crate::app::{Suspendable, Target};
use crate::http::answer::AdminProblem;
use crate::http::operation::Operation;
use crate::http::people_form::{self, team_form};
use crate::http::shapes_people::TEAM;
use crate::http::wait::WAIT_DEFAULT;
use crate::http::{show, show_people};
use crate::permissions::Action::{TeamsRead, TeamsWrite};

type Ids = Result<Path<(String, String)>, PathRejection>;

const LIST: &str = "/admin/v1/orgs/{org}/teams";
const ONE: &str = "/admin/v1/orgs/{org}/teams/{team}";
const SUSPEND: &str = "/admin/v1/orgs/{org}/teams/{team}/suspend";
const RESUME: &str = "/admin/v1/orgs/{org}/teams/{team}/resume";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(LIST, TeamsRead, list)
        .says(Operation::new("Lists the teams of an organisation").pages(&TEAM))
        .get(ONE, TeamsRead, one)
        .says(Operation::new("Shows a team").shows(&TEAM))
        .put(ONE, TeamsWrite, "team.put", put)
        .says(
            Operation::new("Makes or changes a team")
                .takes(people_form::team)
                .applies(&TEAM, WAIT_DEFAULT),
        )
        .delete(ONE, TeamsWrite, "team.delete", delete)
        .says(
            Operation::new("Deletes a team that has no keys any more")
                .applies(&TEAM, Duration::ZERO),
        )
        .post(SUSPEND, TeamsWrite, "team.suspend", suspend)
        .says(Operation::new("Stops every key of a team").applies(&TEAM, WAIT_DEFAULT))
        .post(RESUME, TeamsWrite, "team.resume", resume)
        .says(Operation::new("Lets the keys of a team go on").applies(&TEAM, Duration::ZERO))
}

async fn list(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let org = id("organisation", path, OrgId::new)?;
    let mut query = parameters(pairs)?;
    let (after, limit) = (query.text("cursor"), query.limit());
    query.finish()?;
    let page = visitor.list(Some(org.clone()), move |work, sight| {
        work.teams(&sight, &org, after.as_deref(), limit)
    });
    Ok(Json(show::page(&page.await?, show_people::team)))
}

async fn one(visitor: Visitor, path: Ids) -> Answer {
    let (org, team) = team(path)?;
    let target = Target::Team(org.clone(), team.clone());
    let row = visitor.one(target, move |work| work.team(&org, &team)).await?;
    Ok(Json(show_people::team(&row).into()))
}

async fn put(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    let (org, team) = team(path)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(WAIT_DEFAULT);
    query.finish()?;
    let form = team_form(&bytes(body)?);
    let target = Target::Team(org.clone(), team.clone());
    let changed = visitor.change(target, move |work, _| work.put_team(&org, team, form?)).await?;
    let shown = show_people::team(&changed.value);
    Ok(applied(&visitor.edge, shown, changed.revision, wait).await)
}

async fn delete(visitor: Visitor, path: Ids, pairs: Pairs) -> Answer {
    let (org, team) = team(path)?;
    let wait = only_wait(pairs, Duration::ZERO)?;
    let target = Target::Team(org.clone(), team.clone());
    let row = visitor.change(target, move |work, _| work.delete_team(&org, &team)).await?;
    Ok(in_force(&visitor.edge, show_people::team(&row), wait).await)
}

async fn suspend(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    stop(visitor, path, pairs, body, true).await
}

async fn resume(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    stop(visitor, path, pairs, body, false).await
}

async fn stop(visitor: Visitor, path: Ids, pairs: Pairs, body: Body, stop: bool) -> Answer {
    let (org, team) = team(path)?;
    let mut query = parameters(pairs)?;
    let wait = query.wait(if stop { WAIT_DEFAULT } else { Duration::ZERO });
    query.finish()?;
    no_fields(body)?;
    let target = Target::Team(org.clone(), team.clone());
    let changed = visitor.change(target, move |work, _| {
        let what = Suspendable::Team(org.clone(), team.clone());
        let revision = work.suspend(&what, stop)?.revision;
        Ok((work.team(&org, &team)?, revision))
    });
    let (row, revision) = changed.await?;
    Ok(applied(&visitor.edge, show_people::team(&row), revision, wait).await)
}

fn team(path: Ids) -> Result<(OrgId, TeamId), AdminProblem> {
    ids(path, ("organisation", OrgId::new), ("team", TeamId::new))
}
