//! The request log. Which index a list walks along is said, not left to be guessed: a filter narrows
//! it, the rest of the filters is looked at row by row.

use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};
use wire::v1::CallRecord;
use wire::{HolderId, OrgId, RefusalCode, TeamId, UserId};

use super::Rows;
use super::encoding::{Columns, integer, json, money};
use crate::store::{
    FoundRecord, RecordPlace, RecordRow, RecordRows, RecordSearch, StoreError, StoreResult,
    WouldRefuse,
};

impl RecordRows for Rows<'_> {
    fn has_record(&mut self, holder: &HolderId, call: &CallRecord) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM records WHERE (holder = ? AND sequence = ?) OR request = ? LIMIT 1",
            params![holder.as_str(), integer(call.sequence), call.request.as_str()],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn add_record(&mut self, record: &RecordRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO records (holder, sequence, request, key, org, team, user, model, cost,
                 recomputed, call, status, started_ms, recorded_ms, would_refuse)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                record.holder.as_str(),
                integer(record.call.sequence),
                record.call.request.as_str(),
                record.call.key.as_str(),
                record.org.as_ref().map(OrgId::as_str),
                record.team.as_ref().map(TeamId::as_str),
                record.user.as_ref().map(UserId::as_str),
                record.call.model.as_str(),
                money(record.call.cost),
                record.recomputed.map(money),
                json(&record.call)?,
                record.call.status,
                integer(record.call.started_unix_ms),
                integer(record.recorded_unix_ms),
                record.call.would_refuse.as_ref().map(RefusalCode::as_str)
            ],
        )
    }

    fn records(&mut self, search: &RecordSearch) -> StoreResult<Vec<FoundRecord>> {
        let Listing { sql, values } = Listing::of(search);
        self.all(&sql, params_from_iter(values), |row| {
            let columns = Columns(row);
            let place = RecordPlace {
                started_unix_ms: columns.number("started_ms")?,
                position: row.get("position")?,
            };
            Ok((place, record(row).map_err(StoreError::from)))
        })
    }

    fn has_records_before(&mut self, unix_ms: u64) -> StoreResult<bool> {
        // Positions grow with the time of arrival. Where the wall clock was set back, an older
        // record waits for the one before it.
        let oldest =
            self.one("SELECT recorded_ms FROM records ORDER BY position LIMIT 1", [], |row| {
                Columns(row).number("recorded_ms")
            })?;
        Ok(oldest.is_some_and(|oldest| oldest < unix_ms))
    }

    fn remove_records_before(&mut self, unix_ms: u64, limit: u32) -> StoreResult<u64> {
        let removed = self.change(
            "DELETE FROM records
             WHERE position IN (SELECT position FROM records ORDER BY position LIMIT ?)
               AND recorded_ms < ?",
            params![limit, integer(unix_ms)],
        )?;
        Ok(u64::try_from(removed).unwrap_or(u64::MAX))
    }
}

/// A statement that lists records, and its values in their order.
struct Listing {
    sql: String,
    values: Vec<Value>,
}

impl Listing {
    fn of(search: &RecordSearch) -> Self {
        let mut listing = Self { sql: String::new(), values: Vec::new() };
        let mut conditions = String::new();
        let model = search.model.as_ref().map(|model| model.as_str().to_owned());
        for (column, value) in [
            ("request", &search.request),
            ("key", &search.key),
            ("org", &search.whose.org),
            ("team", &search.whose.team),
            ("user", &search.whose.user),
            ("model", &model),
        ] {
            if let Some(value) = value {
                conditions.push_str(&format!("{column} = ? AND "));
                listing.values.push(value.clone().into());
            }
        }
        if let Some(status) = search.status {
            conditions.push_str("status = ? AND ");
            listing.values.push(i64::from(status).into());
        }
        match &search.would_refuse {
            None => {}
            Some(WouldRefuse::Any) => conditions.push_str("would_refuse IS NOT NULL AND "),
            Some(WouldRefuse::Code(code)) => {
                // The first half says that the index of such calls has them.
                conditions.push_str("would_refuse IS NOT NULL AND would_refuse = ? AND ");
                listing.values.push(code.as_str().to_owned().into());
            }
        }
        let from = integer(search.from_unix_ms.unwrap_or(0));
        let before = search.to_unix_ms.map_or(i64::MAX, integer);
        listing.values.extend([Value::from(from), Value::from(before)]);
        conditions.push_str("started_ms >= ? AND started_ms < ?");
        if let Some(place) = search.after {
            conditions.push_str(" AND (started_ms, position) < (?, ?)");
            listing.values.push(integer(place.started_unix_ms).into());
            listing.values.push(place.position.into());
        }
        listing.values.push(i64::from(search.limit).into());
        let index = index(search);
        listing.sql = format!(
            "SELECT * FROM records INDEXED BY {index} WHERE {conditions}
             ORDER BY started_ms DESC, position DESC LIMIT ?"
        );
        listing
    }
}

/// The index of the filter that is likely to leave the fewest rows.
fn index(search: &RecordSearch) -> &'static str {
    let RecordSearch { request, key, whose, model, status, would_refuse, .. } = search;
    match (&whose.org, &whose.team, &whose.user) {
        _ if request.is_some() => "records_by_request",
        _ if key.is_some() => "records_of_key",
        (Some(_), _, Some(_)) => "records_of_user",
        (Some(_), Some(_), None) => "records_of_team",
        (Some(_), None, None) if would_refuse.is_some() => "records_of_org_would_refuse",
        _ if would_refuse.is_some() => "records_would_refuse",
        (Some(_), None, None) if model.is_some() => "records_of_org_model",
        (Some(_), None, None) if status.is_some() => "records_of_org_status",
        (Some(_), None, None) => "records_of_org",
        _ if model.is_some() => "records_of_model",
        _ if status.is_some() => "records_of_status",
        _ => "records_by_time",
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<RecordRow> {
    let columns = Columns(row);
    Ok(RecordRow {
        holder: columns.checked("holder", HolderId::new)?,
        call: columns.json("call")?,
        org: columns.optional("org", OrgId::new)?,
        team: columns.optional("team", TeamId::new)?,
        user: columns.optional("user", UserId::new)?,
        recomputed: columns.optional_number("recomputed")?.map(wire::NanoUsd),
        recorded_unix_ms: columns.number("recorded_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::StatementStatus;
    use wire::ModelName;

    use crate::store::Whose;

    use crate::store::sqlite::{test_connection, test_plan};

    /// Every combination of filters walks along one index, from where the page begins, and sorts
    /// nothing.
    #[test]
    fn no_list_scans_the_log() {
        let connection = test_connection();
        let text = || Some("x".to_owned());
        for filters in 0..1u32 << 11 {
            let has = |bit: u32| filters & 1 << bit != 0;
            let only = |bit| if has(bit) { text() } else { None };
            let search = RecordSearch {
                request: only(0),
                key: only(1),
                whose: Whose { org: only(2), team: only(3), user: only(4) },
                model: only(5).map(|text| ModelName::new(text).unwrap()),
                status: has(6).then_some(200),
                would_refuse: match (has(9), has(10)) {
                    (false, _) => None,
                    (true, false) => Some(WouldRefuse::Any),
                    (true, true) => WouldRefuse::parse("budget_exceeded"),
                },
                from_unix_ms: has(7).then_some(1),
                to_unix_ms: has(7).then_some(2),
                after: has(8).then_some(RecordPlace { started_unix_ms: 1, position: 1 }),
                limit: 10,
            };
            let Listing { sql, values } = Listing::of(&search);
            let plan = test_plan(&connection, &sql, values);
            let index = index(&search);
            let expected = format!("SEARCH records USING INDEX {index} (");
            assert!(plan[0].starts_with(&expected), "{filters:b}: {plan:?}");
            // The one row of a request needs no order.
            assert!(plan.len() == 1 || search.request.is_some(), "{filters:b}: {plan:?}");
        }
        for sql in [
            "SELECT 1 FROM records WHERE (holder = ? AND sequence = ?) OR request = ? LIMIT 1",
            "SELECT recorded_ms FROM records ORDER BY position LIMIT 1",
        ] {
            let values = vec![Value::Null; sql.matches('?').count()];
            let plan = test_plan(&connection, sql, values);
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
        }
    }
    /// An index that begins with the first of two filters only would do for the plan above, and walk
    /// along everything that an organisation ever called.
    #[test]
    fn a_filter_within_an_organisation_does_not_walk_along_the_rest() {
        const CALLS: i32 = 5_000;
        let connection = test_connection();
        connection
            .execute_batch(
                "PRAGMA foreign_keys = OFF;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                 INSERT INTO records (holder, sequence, request, key, org, team, user, model, cost,
                     call, status, started_ms, recorded_ms, would_refuse)
                 SELECT 'h', i, 'r' || i, 'k' || (i = 1), 'o' || (i = 2), 't' || (i = 1),
                     'u' || (i = 1), 'm' || (i = 1), 0, '', 200 + (i = 1), i, i,
                     iif(i = 1, 'c', NULL) FROM n;",
            )
            .unwrap();
        let text = |text: &str| Some(text.to_owned());
        let org = || Whose { org: text("o0"), team: None, user: None };
        let model = ModelName::new("m1").unwrap();
        for search in [
            RecordSearch { whose: org(), status: Some(201), ..RecordSearch::default() },
            RecordSearch { whose: org(), model: Some(model.clone()), ..RecordSearch::default() },
            RecordSearch { whose: Whose { team: text("t1"), ..org() }, ..RecordSearch::default() },
            RecordSearch { whose: Whose { user: text("u1"), ..org() }, ..RecordSearch::default() },
            RecordSearch { whose: org(), key: text("k1"), ..RecordSearch::default() },
            RecordSearch { model: Some(model), ..RecordSearch::default() },
            RecordSearch { status: Some(201), ..RecordSearch::default() },
            RecordSearch { would_refuse: WouldRefuse::parse("any"), ..RecordSearch::default() },
            RecordSearch {
                whose: org(),
                would_refuse: WouldRefuse::parse("c"),
                ..RecordSearch::default()
            },
            RecordSearch { whose: Whose { org: text("o1"), ..org() }, ..RecordSearch::default() },
        ] {
            let search = RecordSearch { limit: 10, ..search };
            let Listing { sql, values } = Listing::of(&search);
            let mut statement = connection.prepare(&sql).unwrap();
            let found = statement.query_map(params_from_iter(values), |_| Ok(())).unwrap().count();
            let steps = statement.get_status(StatementStatus::VmStep);
            assert_eq!(found, 1, "{search:?}");
            assert!(steps < CALLS / 10, "{steps} steps: {search:?}");
        }
    }
}
