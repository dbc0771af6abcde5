//! `/admin/v1/requests`, the request log, and `/admin/v1/usage`, its sums.

use axum::Json;
use axum::response::Response;
use wire::{ModelName, OrgId};

use super::{Answer, Id, Pairs, Routes, Visitor, asked, parameters};
use crate::app::{AdminError, FieldProblem};
use crate::http::answer::AdminProblem;
use crate::http::export::{Format, export};
use crate::http::operation::Operation;
use crate::http::query::Parameters;
use crate::http::schema::Schema;
use crate::http::shapes::{RECORD, SUMS};
use crate::http::show;
use crate::permissions::Action::RecordsRead;
use crate::store::{
    RecordPlace, RecordSearch, UsageGroup, UsageOwner, UsageSearch, Whose, WouldRefuse,
};
use crate::time_range;

/// Days in one answer of sums where nothing is said, today included.
const DAYS_DEFAULT: u64 = 30;

/// Days in one answer of sums at most: a leap year. Every row of the days that are asked for may
/// have to be read.
const DAYS_MOST: u64 = 366;

const A_CODE: &str = "must be the code of an error, such as budget_exceeded, or any";
const A_TIME: &str = "must be a date such as 2026-11-20, or an instant of RFC 3339";
const A_DATE: &str = "must be a date such as 2026-11-20";

pub fn routes(routes: Routes) -> Routes {
    routes
        .get("/admin/v1/requests", RecordsRead, list)
        .says(
            Operation::new("Lists the request log, the newest first")
                .asks(|query| (search(query, None), query.limit()))
                .lists(&RECORD),
        )
        // Its older name.
        .get("/admin/v1/records", RecordsRead, list)
        .says(
            Operation::new("An older name of /admin/v1/requests")
                .asks(|query| (search(query, None), query.limit()))
                .lists(&RECORD),
        )
        .get("/admin/v1/requests/export", RecordsRead, export_log)
        .says(
            Operation::new("The request log as a file")
                .asks(|query| (format(query), search(query, None)))
                .answers_as(200, "text/csv", Schema::text())
                .answers_as(200, "application/jsonl", Schema::text()),
        )
        .get("/admin/v1/requests/{request}", RecordsRead, one)
        .says(Operation::new("Shows a call by its request id").shows(&RECORD))
        .get("/admin/v1/usage", RecordsRead, usage)
        .says(
            Operation::new("Sums of use, by key, user, team, organisation, model or day")
                .asks(|query| sums(query, None, 0))
                .lists(&SUMS),
        )
}

async fn list(visitor: Visitor, pairs: Pairs) -> Answer {
    let mut query = parameters(pairs)?;
    let search = RecordSearch { limit: query.limit(), ..search(&mut query, visitor.org()) };
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
    let format = format(&mut query);
    let search = search(&mut query, visitor.org());
    query.finish()?;
    export(visitor, format, search).await
}

/// What kind of file is asked for.
fn format(query: &mut Parameters) -> Format {
    query.word("format", &Format::ALL, Format::as_str).unwrap_or(Format::Csv)
}

/// What lists and exports are narrowed by, for whoever belongs to `own`.
fn search(query: &mut Parameters, own: Option<OrgId>) -> RecordSearch {
    RecordSearch {
        whose: whose(query, own),
        request: query.text("request"),
        key: query.text("key"),
        model: query.id("model", ModelName::LONGEST, ModelName::new),
        status: query
            .number("status", "must be a status such as 200", 0, 999)
            .and_then(|status| u16::try_from(status).ok()),
        would_refuse: query.typed("would_refuse", A_CODE, a_code(), WouldRefuse::parse),
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

/// A code, or the word for all of them.
fn a_code() -> Schema {
    Schema::pattern("^[a-z0-9_]{1,64}$")
}

/// `org`, `team` and `user`. Other organisations may have teams and users of the same name: whoever
/// belongs to none says which one is meant.
fn whose(query: &mut Parameters, own: Option<OrgId>) -> Whose {
    let (org, team, user) = (query.text("org"), query.text("team"), query.text("user"));
    let is_part = team.is_some() || user.is_some();
    let own = own.filter(|_| is_part).map(|org| org.as_str().to_owned());
    let whose = Whose { org: org.or(own), team, user };
    query.needs_org(whose.org.is_some(), whose.team.is_some(), whose.user.is_some());
    whose
}

async fn usage(visitor: Visitor, pairs: Pairs) -> Answer {
    let today = visitor.edge.now().unix_ms / time_range::DAY_MS;
    let search = asked(pairs, |query| sums(query, visitor.org(), today))?;
    let days = (search.to_day + 1).saturating_sub(search.from_day);
    if days == 0 || days > DAYS_MOST {
        let message = format!("must be from 1 to {DAYS_MOST} days before `to`, both included");
        return Err(AdminError::Invalid(vec![FieldProblem::invalid("from", message)]).into());
    }
    let group = search.group;
    let page = visitor.list_log(None, move |work, sight| work.usage(&sight, &search)).await?;
    Ok(Json(show::page(&page, |sums| show::group_sums(sums, group))))
}

/// Which sums are asked for, by whoever belongs to `own`, on a day since 1970 UTC.
fn sums(query: &mut Parameters, own: Option<OrgId>, today: u64) -> UsageSearch {
    let group = query.word("group_by", &UsageGroup::ALL, UsageGroup::as_str);
    let group = group.unwrap_or(UsageGroup::Day);
    let from = query.parsed("from", A_DATE, time_range::day);
    let to_day = query.parsed("to", A_DATE, time_range::day).unwrap_or(today);
    UsageSearch {
        from_day: from.unwrap_or((to_day + 1).saturating_sub(DAYS_DEFAULT)),
        to_day,
        key: query.text("key"),
        whose: whose(query, own),
        model: query.text("model"),
        group,
        after: query.parsed("cursor", "must be the next_cursor of an earlier page", |text| {
            UsageOwner::of_cursor(text, group)
        }),
        limit: query.limit(),
    }
}
