//! `/admin/v1/requests`, the request log, and `/admin/v1/usage`, its sums.

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use wire::ModelName;

use super::{Answer, Id, Pairs, parameters};
use crate::app::{AdminError, FieldProblem};
use crate::http::answer::AdminProblem;
use crate::http::edge::Edge;
use crate::http::export::{Format, export};
use crate::http::query::Parameters;
use crate::http::show;
use crate::store::{RecordPlace, RecordSearch, UsageGroup, UsageOwner, UsageSearch};
use crate::time_range;

/// Days in one answer of sums where nothing is said, today included.
const DAYS_DEFAULT: u64 = 30;

/// Days in one answer of sums at most: a leap year. Every row of the days that are asked for may
/// have to be read.
const DAYS_MOST: u64 = 366;

const A_TIME: &str = "must be a date such as 2026-11-20, or an instant of RFC 3339";
const A_DATE: &str = "must be a date such as 2026-11-20";

pub fn routes() -> Router<Edge> {
    Router::new()
        .route("/admin/v1/requests", get(list))
        // Its older name.
        .route("/admin/v1/records", get(list))
        .route("/admin/v1/requests/export", get(export_log))
        .route("/admin/v1/requests/{request}", get(one))
        .route("/admin/v1/usage", get(usage))
}

async fn list(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let search = RecordSearch { limit: query.limit(), ..search(&mut query) };
    query.finish()?;
    let page = edge.read(move |work| work.records(search)).await?;
    Ok(Json(show::page(&page, show::record)))
}

async fn one(State(edge): State<Edge>, path: Id, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let request = path.map(|path| path.0).unwrap_or_default();
    let record = edge.read(move |work| work.record_of(&request)).await?;
    Ok(Json(show::record(&record).into()))
}

async fn export_log(State(edge): State<Edge>, pairs: Pairs) -> Result<Response, AdminProblem> {
    let mut query = parameters(pairs)?;
    let format = query.parsed("format", "must be csv or jsonl", Format::of).unwrap_or(Format::Csv);
    let search = search(&mut query);
    query.finish()?;
    Ok(export(edge, format, search).await?)
}

/// What lists and exports are narrowed by.
fn search(query: &mut Parameters) -> RecordSearch {
    let search = RecordSearch {
        request: query.text("request"),
        key: query.text("key"),
        org: query.text("org"),
        team: query.text("team"),
        user: query.text("user"),
        model: query.parsed("model", "must be a model's name", |text| ModelName::new(text).ok()),
        status: query.parsed("status", "must be a status such as 200", |text| text.parse().ok()),
        from_unix_ms: query.parsed("from", A_TIME, time_range::beginning),
        to_unix_ms: query.parsed("to", A_TIME, time_range::end),
        after: query.parsed(
            "cursor",
            "must be the next_cursor of an earlier page",
            RecordPlace::of_cursor,
        ),
        limit: 0,
    };
    query.needs_org(search.org.is_some(), search.team.is_some(), search.user.is_some());
    search
}

async fn usage(State(edge): State<Edge>, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let group = query.parsed("group_by", "must be key, user, team, org, model or day", |text| {
        UsageGroup::ALL.into_iter().find(|group| group.as_str() == text)
    });
    let group = group.unwrap_or(UsageGroup::Day);
    let today = edge.now().unix_ms / time_range::DAY_MS;
    let from = query.parsed("from", A_DATE, time_range::day);
    let to_day = query.parsed("to", A_DATE, time_range::day).unwrap_or(today);
    let search = UsageSearch {
        from_day: from.unwrap_or((to_day + 1).saturating_sub(DAYS_DEFAULT)),
        to_day,
        key: query.text("key"),
        org: query.text("org"),
        team: query.text("team"),
        user: query.text("user"),
        model: query.text("model"),
        group,
        after: query.parsed("cursor", "must be the next_cursor of an earlier page", |text| {
            UsageOwner::of_cursor(text, group)
        }),
        limit: query.limit(),
    };
    query.needs_org(search.org.is_some(), search.team.is_some(), search.user.is_some());
    query.finish()?;
    let days = (search.to_day + 1).saturating_sub(search.from_day);
    if days == 0 || days > DAYS_MOST {
        let message = format!("must be from 1 to {DAYS_MOST} days before `to`, both included");
        return Err(AdminError::Invalid(vec![FieldProblem::invalid("from", message)]).into());
    }
    let page = edge.read(move |work| work.usage(&search)).await?;
    Ok(Json(show::page(&page, |sums| show::group_sums(sums, group))))
}
