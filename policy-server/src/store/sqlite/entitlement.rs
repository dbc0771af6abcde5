//! Plans, access groups, and what teams and users are restricted to.

use rusqlite::{Row, params};
use wire::v1::Level;
use wire::{ModelName, PriceMultiplier};

use super::Rows;
use super::encoding::{Columns, integer, json};
use crate::entitlement::{GroupName, PlanId, Selection};
use crate::store::{GroupRow, GroupRows, MemberModelRows, PlanRow, PlanRows, StoreResult};

impl PlanRows for Rows<'_> {
    fn plan(&mut self, id: &PlanId) -> StoreResult<Option<PlanRow>> {
        self.one("SELECT * FROM plans WHERE id = ?", [id.as_str()], plan)
    }

    fn plans(&mut self, after: Option<&str>, limit: u32) -> StoreResult<Vec<PlanRow>> {
        self.all(
            "SELECT * FROM plans WHERE id > ? ORDER BY id LIMIT ?",
            params![after.unwrap_or(""), limit],
            plan,
        )
    }

    fn plan_count(&mut self) -> StoreResult<u64> {
        let count =
            self.one("SELECT count(*) AS count FROM plans", [], |row| Columns(row).number("count"));
        Ok(count?.unwrap_or(0))
    }

    fn save_plan(&mut self, plan: &PlanRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO plans (id, name, models, price_multiplier, created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, models = excluded.models,
                 price_multiplier = excluded.price_multiplier, updated_ms = excluded.updated_ms",
            params![
                plan.id.as_str(),
                plan.name,
                json(&plan.models)?,
                plan.price_multiplier.map(|multiplier| integer(multiplier.ppm())),
                integer(plan.created_unix_ms),
                integer(plan.updated_unix_ms)
            ],
        )?;
        let Some(multiplier) = plan.price_multiplier else { return Ok(()) };
        self.execute(
            "INSERT OR IGNORE INTO plan_price_multipliers (plan, ppm) VALUES (?, ?)",
            params![plan.id.as_str(), integer(multiplier.ppm())],
        )
    }

    fn remove_plan(&mut self, id: &PlanId) -> StoreResult<()> {
        self.execute("DELETE FROM plans WHERE id = ?", params![id.as_str()])
    }

    fn assigned_plan(&mut self, level: Level, owner: &str) -> StoreResult<Option<PlanId>> {
        self.one(
            "SELECT plan FROM plan_assignments WHERE level = ? AND owner = ? AND current = 1",
            params![level.as_str(), owner],
            |row| Columns(row).checked("plan", PlanId::new),
        )
    }

    fn assign_plan(&mut self, level: Level, owner: &str, plan: Option<&PlanId>) -> StoreResult<()> {
        self.execute(
            "UPDATE plan_assignments SET current = 0
             WHERE level = ? AND owner = ? AND current = 1",
            params![level.as_str(), owner],
        )?;
        let Some(plan) = plan else { return Ok(()) };
        self.execute(
            "INSERT INTO plan_assignments (level, owner, plan, current) VALUES (?, ?, ?, 1)
             ON CONFLICT (level, owner, plan) DO UPDATE SET current = 1",
            params![level.as_str(), owner, plan.as_str()],
        )
    }

    fn plan_user(&mut self, id: &PlanId) -> StoreResult<Option<(String, String)>> {
        self.one(
            "SELECT level, owner FROM plan_assignments WHERE plan = ? AND current = 1 LIMIT 1",
            [id.as_str()],
            |row| {
                let columns = Columns(row);
                Ok((columns.text("level")?, columns.text("owner")?))
            },
        )
    }

    fn had_planned_multiplier(
        &mut self,
        level: Level,
        owner: &str,
        multiplier: PriceMultiplier,
    ) -> StoreResult<bool> {
        let found = self.one(
            "SELECT 1 FROM plan_assignments AS had
             JOIN plan_price_multipliers AS at ON at.plan = had.plan
             WHERE had.level = ? AND had.owner = ? AND at.ppm = ? LIMIT 1",
            params![level.as_str(), owner, integer(multiplier.ppm())],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }
}

impl GroupRows for Rows<'_> {
    fn group(&mut self, name: &GroupName) -> StoreResult<Option<GroupRow>> {
        self.one("SELECT * FROM access_groups WHERE name = ?", [name.as_str()], group)
    }

    fn groups(&mut self, after: Option<&str>, limit: u32) -> StoreResult<Vec<GroupRow>> {
        self.all(
            "SELECT * FROM access_groups WHERE name > ? ORDER BY name LIMIT ?",
            params![after.unwrap_or(""), limit],
            group,
        )
    }

    fn group_count(&mut self) -> StoreResult<u64> {
        let count = self.one("SELECT count(*) AS count FROM access_groups", [], |row| {
            Columns(row).number("count")
        });
        Ok(count?.unwrap_or(0))
    }

    fn save_group(&mut self, group: &GroupRow) -> StoreResult<()> {
        self.execute(
            "INSERT INTO access_groups (name, description, created_ms, updated_ms)
             VALUES (?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET description = excluded.description,
                 updated_ms = excluded.updated_ms",
            params![
                group.name.as_str(),
                group.description,
                integer(group.created_unix_ms),
                integer(group.updated_unix_ms)
            ],
        )
    }

    fn remove_group(&mut self, name: &GroupName) -> StoreResult<()> {
        self.execute("DELETE FROM access_group_models WHERE name = ?", params![name.as_str()])?;
        self.execute("DELETE FROM access_groups WHERE name = ?", params![name.as_str()])
    }

    fn group_models(&mut self, name: &GroupName) -> StoreResult<Vec<ModelName>> {
        self.all(
            "SELECT model FROM access_group_models WHERE name = ? ORDER BY model",
            [name.as_str()],
            |row| Columns(row).checked("model", ModelName::new),
        )
    }

    fn groups_of(&mut self, model: &ModelName) -> StoreResult<Vec<GroupName>> {
        self.all(
            "SELECT name FROM access_group_models WHERE model = ? ORDER BY name",
            [model.as_str()],
            |row| Columns(row).checked("name", GroupName::new),
        )
    }

    fn join_group(&mut self, name: &GroupName, model: &ModelName) -> StoreResult<()> {
        self.execute(
            "INSERT OR IGNORE INTO access_group_models (name, model) VALUES (?, ?)",
            params![name.as_str(), model.as_str()],
        )
    }

    fn leave_group(&mut self, name: &GroupName, model: &ModelName) -> StoreResult<()> {
        self.execute(
            "DELETE FROM access_group_models WHERE name = ? AND model = ?",
            params![name.as_str(), model.as_str()],
        )
    }
}

impl MemberModelRows for Rows<'_> {
    fn member_models(&mut self, level: Level, owner: &str) -> StoreResult<Option<Selection>> {
        self.one(
            "SELECT models FROM member_models WHERE level = ? AND owner = ?",
            params![level.as_str(), owner],
            |row| Columns(row).json("models"),
        )
    }

    fn save_member_models(
        &mut self,
        level: Level,
        owner: &str,
        models: Option<&Selection>,
        at_unix_ms: u64,
    ) -> StoreResult<()> {
        let Some(models) = models else {
            return self.execute(
                "DELETE FROM member_models WHERE level = ? AND owner = ?",
                params![level.as_str(), owner],
            );
        };
        self.execute(
            "INSERT INTO member_models (level, owner, models, updated_ms) VALUES (?, ?, ?, ?)
             ON CONFLICT (level, owner) DO UPDATE SET models = excluded.models,
                 updated_ms = excluded.updated_ms",
            params![level.as_str(), owner, json(models)?, integer(at_unix_ms)],
        )
    }
}

fn plan(row: &Row<'_>) -> rusqlite::Result<PlanRow> {
    let columns = Columns(row);
    let has_multiplier = columns.optional_number("price_multiplier")?.is_some();
    Ok(PlanRow {
        id: columns.checked("id", PlanId::new)?,
        name: columns.text("name")?,
        models: columns.json("models")?,
        price_multiplier: has_multiplier
            .then(|| columns.multiplier("price_multiplier"))
            .transpose()?,
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}

fn group(row: &Row<'_>) -> rusqlite::Result<GroupRow> {
    let columns = Columns(row);
    Ok(GroupRow {
        name: columns.checked("name", GroupName::new)?,
        description: columns.text("description")?,
        created_unix_ms: columns.number("created_ms")?,
        updated_unix_ms: columns.number("updated_ms")?,
    })
}
