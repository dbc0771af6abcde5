//! `/admin/v1/requests`, the request log, and `/admin/v1/usage`, its sums.

use axum::Json;
use axum::response::Response;
use wire::ModelName;

use super::{Answer, Id, Pairs, Routes, Visitor, parameters};
use crate::app::{AdminError, FieldProblem};
use crate::http::answer::AdminProblem;
use crate::http::export::{Format, export};
use crate::http::query::Parameters;
use crate::http::show;
use crate::permissions::Action::RecordsRead;
use crate::store::{RecordPlace, RecordSearch, UsageGroup, UsageOwner, UsageSearch, Whose};
use crate::time_range;

/// Days in one answer of sums where nothing is said, today included.
const DAYS_DEFAULT: u64 = 30;

/// Days in one answer of sums at most: a leap year. Every row of the days that are asked for may
/// have to be read.
const DAYS_MOST: u64 = 366;

const A_TIME: &str = "must be a date such as 2026-11-20, or an instant of RFC 3339";
const A_DATE: &str = "must be a date such as 2026-11-20";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/admin/v1/requests", RecordsRead, list)
        // Its older name.
        .get("/admin/v1/records", RecordsRead, list)
        .get("/admin/v1/requests/export", RecordsRead, export_log)
        .get("/admin/v1/requests/{request}", RecordsRead, one)
        .get("/admin/v1/usage", RecordsRead, usage)
}

async fn list(visitor: Visitor, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let search = RecordSearch { limit: query.limit(), ..search(&mut query, &visitor) };
    query.finish()?;
    let page = visitor.list_log(None, move |work, sight| work.records(&sight, search)).await?;
    Ok(Json(show::page(&page, show::record)))
}

async fn one(visitor: Visitor, path: Id, pairs: Pairs) -> Answer {
    parameters(pairs)?.finish()?;
    let request = path.map(|path| path.0).unwrap_or_default();
    let record = visitor.list(None, move |work, sight| work.record_of(&sight, &request)).await?;
    Ok(Json(show::record(&record).into()))
}

async fn export_log(visitor: Visitor, pairs: Pairs) -> Result<Response, AdminProblem> {
    let mut query = parameters(pairs)?;
    let format = query.parsed("format", "must be csv or jsonl", Format::of).unwrap_or(Format::Csv);
    let search = search(&mut query, &visitor);
    query.finish()?;
    export(visitor, format, search).await
}

/// What lists and exports are narrowed by.
fn search(query: &mut Parameters, visitor: &Visitor) -> RecordSearch {
    RecordSearch {
        whose: whose(query, visitor),
        request: query.text("request"),
        key: query.text("key"),
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
    }
}

/// `org`, `team` and `user`. Other organisations may have teams and users of the same name: whoever
/// belongs to none says which one is meant.
fn whose(query: &mut Parameters, visitor: &Visitor) -> Whose {
    let (org, team, user) = (query.text("org"), query.text("team"), query.text("user"));
    let is_part = team.is_some() || user.is_some();
    let own = visitor.org().filter(|_| is_part).map(|org| org.as_str().to_owned());
    let whose = Whose { org: org.or(own), team, user };
    query.needs_org(whose.org.is_some(), whose.team.is_some(), whose.user.is_some());
    whose
}

async fn usage(visitor: Visitor, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let group = query.parsed("group_by", "must be key, user, team, org, model or day", |text| {
        UsageGroup::ALL.into_iter().find(|group| group.as_str() == text)
    });
    let group = group.unwrap_or(UsageGroup::Day);
    let today = visitor.edge.now().unix_ms / time_range::DAY_MS;
    let from = query.parsed("from", A_DATE, time_range::day);
    let to_day = query.parsed("to", A_DATE, time_range::day).unwrap_or(today);
    let search = UsageSearch {
        from_day: from.unwrap_or((to_day + 1).saturating_sub(DAYS_DEFAULT)),
        to_day,
        key: query.text("key"),
        whose: whose(&mut query, &visitor),
        model: query.text("model"),
        group,
        after: query.parsed("cursor", "must be the next_cursor of an earlier page", |text| {
            UsageOwner::of_cursor(text, group)
        }),
        limit: query.limit(),
    };
    query.finish()?;
    let days = (search.to_day + 1).saturating_sub(search.from_day);
    if days == 0 || days > DAYS_MOST {
        let message = format!("must be from 1 to {DAYS_MOST} days before `to`, both included");
        return Err(AdminError::Invalid(vec![FieldProblem::invalid("from", message)]).into());
    }
    let page = visitor.list_log(None, move |work, sight| work.usage(&sight, &search)).await?;
    Ok(Json(show::page(&page, |sums| show::group_sums(sums, group))))
}
