//! Sums over the request log, by day. Nothing is added here: rows are loaded and saved.

use std::ops::ControlFlow;

use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};

use super::Rows;
use super::encoding::{Columns, integer, money};
use crate::store::{
    StoreResult, UsageDay, UsageGroup, UsageOwner, UsageRows, UsageSearch, UsageSums,
};

impl UsageRows for Rows<'_> {
    fn usage(&mut self, day: &UsageDay) -> StoreResult<Option<UsageSums>> {
        self.one(
            "SELECT * FROM usage_by_day
             WHERE day = ? AND key = ? AND model = ? AND org = ? AND team = ? AND user = ?",
            params![integer(day.day), day.key, day.model, day.org, day.team, day.user],
            sums,
        )
    }

    fn save_usage_day(&mut self, day: &UsageDay, sums: &UsageSums) -> StoreResult<()> {
        self.execute(
            "INSERT INTO usage_by_day (day, key, model, org, team, user, requests, input_tokens,
                 cached_input_tokens, output_tokens, cost, would_refuse)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (day, key, model, org, team, user) DO UPDATE SET
                 requests = excluded.requests, input_tokens = excluded.input_tokens,
                 cached_input_tokens = excluded.cached_input_tokens,
                 output_tokens = excluded.output_tokens, cost = excluded.cost,
                 would_refuse = excluded.would_refuse",
            params![
                integer(day.day),
                day.key,
                day.model,
                day.org,
                day.team,
                day.user,
                integer(sums.requests),
                integer(sums.input_tokens),
                integer(sums.cached_input_tokens),
                integer(sums.output_tokens),
                money(sums.cost),
                integer(sums.would_refuse)
            ],
        )
    }

    fn scan_usage(
        &mut self,
        search: &UsageSearch,
        each: &mut dyn FnMut(UsageDay, UsageSums) -> ControlFlow<()>,
    ) -> StoreResult<()> {
        let Scan { sql, values } = Scan::of(search);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            if each(day(row)?, sums(row)?).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A statement that reads sums, and its values in their order.
struct Scan {
    sql: String,
    values: Vec<Value>,
}

impl Scan {
    fn of(search: &UsageSearch) -> Self {
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        for (column, value) in [
            ("key", &search.key),
            ("org", &search.whose.org),
            ("team", &search.whose.team),
            ("user", &search.whose.user),
            ("model", &search.model),
        ] {
            if let Some(value) = value {
                conditions.push(format!("{column} = ?"));
                values.push(value.clone().into());
            }
        }
        let (index, is_filtered) = (index(search), search.is_filtered());
        let columns = match search.group {
            UsageGroup::Day => "day",
            UsageGroup::Key => "key",
            UsageGroup::Org => "org",
            UsageGroup::Model => "model",
            UsageGroup::Team => "org, team",
            UsageGroup::User => "org, user",
        };
        match &search.after {
            None if is_filtered => {}
            // The beginning of the index.
            None => match search.group {
                UsageGroup::Day => {}
                UsageGroup::Team | UsageGroup::User => conditions.push("org >= ''".to_owned()),
                _ => conditions.push(format!("{columns} >= ''")),
            },
            Some(UsageOwner::Day(day)) => {
                conditions.push("day > ?".to_owned());
                values.push(integer(*day).into());
            }
            Some(UsageOwner::Id(id)) => {
                conditions.push(format!("{columns} > ?"));
                values.push(id.clone().into());
            }
            Some(UsageOwner::Member(org, id)) => {
                conditions.push(format!("({columns}) > (?, ?)"));
                values.extend([org.clone().into(), id.clone().into()]);
            }
        }
        conditions.push("day >= ? AND day <= ?".to_owned());
        values.extend([integer(search.from_day).into(), integer(search.to_day).into()]);
        let conditions = conditions.join(" AND ");
        let from = match index {
            Some(index) => format!("usage_by_day INDEXED BY {index}"),
            None => "usage_by_day NOT INDEXED".to_owned(),
        };
        let order = match search.group {
            // Days follow each other in every index, behind what it is narrowed to.
            UsageGroup::Day => " ORDER BY day",
            _ if is_filtered => "",
            _ => &format!(" ORDER BY {columns}"),
        };
        Self { sql: format!("SELECT * FROM {from} WHERE {conditions}{order}"), values }
    }
}

/// The index to walk along; none: the table's own order, which is by day.
fn index(search: &UsageSearch) -> Option<&'static str> {
    let UsageSearch { key, whose, model, .. } = search;
    match (&whose.org, &whose.team, &whose.user) {
        _ if key.is_some() => Some("usage_of_key"),
        (Some(_), _, Some(_)) => Some("usage_of_user"),
        (Some(_), Some(_), None) => Some("usage_of_team"),
        (Some(_), None, None) => Some("usage_of_org"),
        _ if model.is_some() => Some("usage_of_model"),
        _ => match search.group {
            UsageGroup::Key => Some("usage_of_key"),
            UsageGroup::User => Some("usage_of_user"),
            UsageGroup::Team => Some("usage_of_team"),
            UsageGroup::Org => Some("usage_of_org"),
            UsageGroup::Model => Some("usage_of_model"),
            UsageGroup::Day => None,
        },
    }
}

fn day(row: &Row<'_>) -> rusqlite::Result<UsageDay> {
    let columns = Columns(row);
    Ok(UsageDay {
        day: columns.number("day")?,
        key: columns.text("key")?,
        model: columns.text("model")?,
        org: columns.text("org")?,
        team: columns.text("team")?,
        user: columns.text("user")?,
    })
}

fn sums(row: &Row<'_>) -> rusqlite::Result<UsageSums> {
    let columns = Columns(row);
    Ok(UsageSums {
        requests: columns.number("requests")?,
        input_tokens: columns.number("input_tokens")?,
        cached_input_tokens: columns.number("cached_input_tokens")?,
        output_tokens: columns.number("output_tokens")?,
        cost: columns.money("cost")?,
        would_refuse: columns.number("would_refuse")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Whose;
    use crate::store::sqlite::{test_connection, test_plan};

    /// Whatever is asked for walks along one index and sorts nothing, so that a page reads no more
    /// than its groups.
    #[test]
    fn no_sum_scans_the_table() {
        let connection = test_connection();
        for filters in 0..1u32 << 6 {
            let only = |bit: u32| (filters & 1 << bit != 0).then(|| "x".to_owned());
            for group in UsageGroup::ALL {
                let place = UsageDay {
                    day: 7,
                    key: "k".to_owned(),
                    model: "m".to_owned(),
                    org: "o".to_owned(),
                    team: "t".to_owned(),
                    user: "u".to_owned(),
                };
                let search = UsageSearch {
                    from_day: 1,
                    to_day: 9,
                    key: only(0),
                    whose: Whose { org: only(1), team: only(2), user: only(3) },
                    model: only(4),
                    group,
                    after: only(5).map(|_| group.of(&place)),
                    limit: 10,
                };
                let Scan { sql, values } = Scan::of(&search);
                let plan = test_plan(&connection, &sql, values);
                let by = match index(&search) {
                    Some(index) => format!("SEARCH usage_by_day USING INDEX {index} ("),
                    None => "SEARCH usage_by_day USING PRIMARY KEY (day".to_owned(),
                };
                assert!(plan.len() == 1 && plan[0].starts_with(&by), "{sql}: {plan:?}");
            }
        }
    }
}
