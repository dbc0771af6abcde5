//! `/admin/v1/plans`, `/admin/v1/groups`, `/admin/v1/aliases`, and what organisations, teams, users
//! and keys have of them.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use wire::{KeyId, ModelName, OrgId};

use super::tenancy::{Ids, team, user};
use super::{
    Answer, Body, Id, Pairs, Parameters, Routes, Visitor, applied, asked, bytes, id, in_force,
};
use crate::app::{AdminError, FieldProblem, KeyModelListing, Member, Target};
use crate::entitlement::{GroupName, InvalidName, PlanId};
use crate::http::answer::AdminProblem;
use crate::http::operation::Operation;
use crate::http::plan_form::{
    self, alias_form, assignment_form, group_change, group_form, member_form, plan_form,
};
use crate::http::shapes::ORG;
use crate::http::shapes_entitlement as shapes;
use crate::http::wait::WAIT_DEFAULT;
use crate::http::{show, show_entitlement};
use crate::permissions::Action::{
    KeysRead, ModelsRead, ModelsWrite, OrgsWrite, PlansRead, PlansWrite, TeamsRead, TeamsWrite,
    UsersRead, UsersWrite,
};

const PLANS: &str = "/admin/v1/plans";
const PLAN: &str = "/admin/v1/plans/{id}";
const GROUPS: &str = "/admin/v1/groups";
const GROUP: &str = "/admin/v1/groups/{id}";
const ALIASES: &str = "/admin/v1/aliases";
const ALIAS: &str = "/admin/v1/aliases/{id}";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get(PLANS, PlansRead, plans)
        .says(Operation::new("Lists plans").pages(&shapes::PLAN))
        .get(PLAN, PlansRead, plan)
        .says(Operation::new("Shows a plan").shows(&shapes::PLAN))
        .put(PLAN, PlansWrite, "plan.put", put_plan)
        .says(
            Operation::new("Makes a plan, or replaces what is known of it")
                .takes(plan_form::whole_plan)
                .applies(&shapes::PLAN, WAIT_DEFAULT),
        )
        .delete(PLAN, PlansWrite, "plan.delete", delete_plan)
        .says(
            Operation::new("Deletes a plan that nobody has").applies(&shapes::PLAN, Duration::ZERO),
        )
        .put("/admin/v1/orgs/{org}/plan", OrgsWrite, "org.plan", plan_org)
        .says(
            Operation::new("Gives an organisation a plan, or none")
                .takes(plan_form::assignment)
                .applies(&ORG, WAIT_DEFAULT),
        )
        .get(GROUPS, ModelsRead, groups)
        .says(Operation::new("Lists access groups").pages(&shapes::GROUP_ROW))
        .get(GROUP, ModelsRead, group)
        .says(Operation::new("Shows an access group with its models").shows(&shapes::GROUP))
        .put(GROUP, ModelsWrite, "group.put", put_group)
        .says(
            Operation::new("Makes an access group, or replaces what is known of it")
                .takes(plan_form::group)
                .applies(&shapes::GROUP, WAIT_DEFAULT),
        )
        .patch(GROUP, ModelsWrite, "group.change", patch_group)
        .says(
            Operation::new("Changes an access group")
                .takes(plan_form::changed_group)
                .applies(&shapes::GROUP, WAIT_DEFAULT),
        )
        .delete(GROUP, ModelsWrite, "group.delete", delete_group)
        .says(Operation::new("Deletes an access group").applies(&shapes::GROUP, WAIT_DEFAULT))
        .get(ALIASES, ModelsRead, aliases)
        .says(Operation::new("Lists aliases").pages(&shapes::ALIAS))
        .get(ALIAS, ModelsRead, alias)
        .says(Operation::new("Shows an alias").shows(&shapes::ALIAS))
        .put(ALIAS, ModelsWrite, "alias.put", point_alias)
        .says(
            Operation::new("Points an alias at a model")
                .takes(plan_form::alias)
                .applies(&shapes::ALIAS, Duration::ZERO),
        )
        .delete(ALIAS, ModelsWrite, "alias.delete", remove_alias)
        .says(Operation::new("Removes an alias").applies(&shapes::REMOVED_ALIAS, Duration::ZERO))
        .get("/admin/v1/orgs/{org}/teams/{team}/models", TeamsRead, show_team)
        .says(Operation::new("Shows what a team is restricted to").shows(&shapes::MEMBER_MODELS))
        .patch("/admin/v1/orgs/{org}/teams/{team}", TeamsWrite, "team.models", patch_team)
        .says(
            Operation::new("Restricts a team to models")
                .takes(plan_form::member)
                .applies(&shapes::MEMBER_MODELS, WAIT_DEFAULT),
        )
        .get("/admin/v1/orgs/{org}/users/{user}/models", UsersRead, show_user)
        .says(Operation::new("Shows what a user is restricted to").shows(&shapes::MEMBER_MODELS))
        .patch("/admin/v1/orgs/{org}/users/{user}", UsersWrite, "user.models", patch_user)
        .says(
            Operation::new("Restricts a user to models")
                .takes(plan_form::member)
                .applies(&shapes::MEMBER_MODELS, WAIT_DEFAULT),
        )
        .get("/admin/v1/keys/{id}/models", KeysRead, key_models)
        .says(
            Operation::new("Lists the catalogue as a key sees it, and why it may not call a model")
                .asks(listing)
                .shows(&shapes::KEY_MODELS),
        )
}

async fn plans(visitor: Visitor, pairs: Pairs) -> Answer {
    let (after, limit) = page(pairs)?;
    let page = visitor.list(None, move |work, _| work.plans(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show_entitlement::plan)))
}

async fn plan(visitor: Visitor, path: Id) -> Answer {
    let id = id("plan", path, PlanId::new)?;
    let plan = visitor.one(Target::Plan(id.clone()), move |work| work.plan(&id)).await?;
    Ok(Json(show_entitlement::plan(&plan).into()))
}

async fn put_plan(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = chosen(path, PlanId::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let form = plan_form(&bytes(body)?);
    let target = Target::Plan(id.clone());
    let changed = visitor.change(target, move |work, _| work.put_plan(id, form?)).await?;
    Ok(applied(&visitor.edge, show_entitlement::plan(&changed.value), changed.revision, wait).await)
}

async fn delete_plan(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let id = id("plan", path, PlanId::new)?;
    let wait = wait(pairs, Duration::ZERO)?;
    let target = Target::Plan(id.clone());
    let plan = visitor.change(target, move |work, _| work.delete_plan(&id)).await?;
    Ok(in_force(&visitor.edge, show_entitlement::plan(&plan), wait).await)
}

async fn plan_org(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let id = id("organisation", path, OrgId::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let plan = assignment_form(&bytes(body)?);
    let target = Target::Org(id.clone());
    let changed = visitor.change(target, move |work, _| work.plan_org(&id, plan?)).await?;
    Ok(applied(&visitor.edge, show::org(&changed.value), changed.revision, wait).await)
}

async fn groups(visitor: Visitor, pairs: Pairs) -> Answer {
    let (after, limit) = page(pairs)?;
    let page = visitor.list(None, move |work, _| work.groups(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show_entitlement::group_row)))
}

async fn group(visitor: Visitor, path: Id) -> Answer {
    let name = id("group", path, GroupName::new)?;
    let target = Target::Group(name.clone());
    let view = visitor.one(target, move |work| work.group(&name)).await?;
    Ok(Json(show_entitlement::group(&view).into()))
}

async fn put_group(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let name = chosen(path, GroupName::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let form = group_form(&bytes(body)?);
    let changed = visitor.change(Target::Group(name.clone()), move |work, _| {
        let (description, models) = form?;
        work.put_group(name, description, models)
    });
    let changed = changed.await?;
    Ok(applied(&visitor.edge, show_entitlement::group(&changed.value), changed.revision, wait)
        .await)
}

async fn patch_group(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let name = id("group", path, GroupName::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let form = group_change(&bytes(body)?);
    let changed = visitor.change(Target::Group(name.clone()), move |work, _| {
        let (description, models) = form?;
        work.patch_group(&name, description, models)
    });
    let changed = changed.await?;
    Ok(applied(&visitor.edge, show_entitlement::group(&changed.value), changed.revision, wait)
        .await)
}

async fn delete_group(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let name = id("group", path, GroupName::new)?;
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let target = Target::Group(name.clone());
    let changed = visitor.change(target, move |work, _| work.delete_group(&name)).await?;
    Ok(applied(&visitor.edge, show_entitlement::group(&changed.value), changed.revision, wait)
        .await)
}

async fn aliases(visitor: Visitor, pairs: Pairs) -> Answer {
    let (after, limit) = page(pairs)?;
    let page = visitor.list(None, move |work, _| work.aliases(after.as_deref(), limit)).await?;
    Ok(Json(show::page(&page, show_entitlement::alias)))
}

async fn alias(visitor: Visitor, path: Id) -> Answer {
    let alias = id("alias", path, ModelName::new)?;
    let target = Target::Alias(alias.clone());
    let view = visitor.one(target, move |work| work.alias(&alias)).await?;
    Ok(Json(show_entitlement::alias(&view).into()))
}

async fn point_alias(visitor: Visitor, path: Id, pairs: Pairs, body: Body) -> Answer {
    let alias = path.map(|path| path.0).unwrap_or_default();
    let alias = ModelName::new(alias).ok().filter(|alias| alias.as_str() != "*");
    let Some(alias) = alias else {
        let message = "must be 1 to 256 visible ASCII characters, and not '*'";
        return Err(AdminError::Invalid(vec![FieldProblem::invalid("id", message)]).into());
    };
    let wait = wait(pairs, Duration::ZERO)?;
    let model = alias_form(&bytes(body)?);
    let target = Target::Alias(alias.clone());
    let changed = visitor.change(target, move |work, _| work.point_alias(alias, &model?)).await?;
    Ok(applied(&visitor.edge, show_entitlement::alias(&changed.value), changed.revision, wait)
        .await)
}

async fn remove_alias(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let alias = id("alias", path, ModelName::new)?;
    let wait = wait(pairs, Duration::ZERO)?;
    let target = Target::Alias(alias.clone());
    let changed = visitor.change(target, move |work, _| work.remove_alias(&alias)).await?;
    Ok(applied(&visitor.edge, show_entitlement::alias(&changed.value), changed.revision, wait)
        .await)
}

async fn show_team(visitor: Visitor, path: Ids) -> Answer {
    show_member(visitor, team(path)?).await
}

async fn show_user(visitor: Visitor, path: Ids) -> Answer {
    show_member(visitor, user(path)?).await
}

async fn patch_team(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    patch_member(visitor, team(path)?, pairs, body).await
}

async fn patch_user(visitor: Visitor, path: Ids, pairs: Pairs, body: Body) -> Answer {
    patch_member(visitor, user(path)?, pairs, body).await
}

async fn show_member(visitor: Visitor, (org, member): (OrgId, Member)) -> Answer {
    let target = Target::Models(org.clone(), member.clone());
    let view = visitor.one(target, move |work| work.member_models(&org, member)).await?;
    Ok(Json(show_entitlement::member_models(&view).into()))
}

async fn patch_member(
    visitor: Visitor,
    (org, member): (OrgId, Member),
    pairs: Pairs,
    body: Body,
) -> Answer {
    let form = member_form(&bytes(body)?);
    let wait = wait(pairs, WAIT_DEFAULT)?;
    let target = Target::Models(org.clone(), member.clone());
    let changed = visitor
        .change(target, move |work, deed| work.restrict_member(&deed.by, &org, member, form?));
    let changed = changed.await?;
    let shown = show_entitlement::member_models(&changed.value);
    Ok(applied(&visitor.edge, shown, changed.revision, wait).await)
}

/// Which models of a key are asked for.
fn listing(query: &mut Parameters) -> KeyModelListing {
    let allowed = query.boolean("allowed");
    KeyModelListing { allowed, after: query.text("cursor"), limit: query.limit() }
}

async fn key_models(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    let id = id("key", path, KeyId::new)?;
    let listing = asked(pairs, listing)?;
    let target = Target::Key(id.clone());
    let view = visitor.read(target, move |work, _| work.key_models(&id, &listing)).await?;
    Ok(Json(show_entitlement::key_models(&view)))
}

/// Which page of a list that is in the order of its ids.
fn page(pairs: Pairs) -> Result<(Option<String>, u32), AdminProblem> {
    asked(pairs, Parameters::page)
}

fn wait(pairs: Pairs, default: Duration) -> Result<Duration, AdminProblem> {
    asked(pairs, |query| query.wait(default))
}

/// A name that is being chosen.
fn chosen<T>(
    path: Result<Path<String>, PathRejection>,
    make: impl FnOnce(String) -> Result<T, InvalidName>,
) -> Result<T, AdminProblem> {
    let text = path.map(|Path(text)| text).unwrap_or_default();
    make(text).map_err(|error| {
        AdminError::Invalid(vec![FieldProblem::invalid("id", error.to_string())]).into()
    })
}
