//! Rate limits of keys and of everything above them.

use wire::ModelName;
use wire::v1::{Level, Limit, Subject};

use super::{AdminError, FieldProblem, Given, Work};
use crate::store::{KeyRow, StoreResult, StoredLimit};

impl Work<'_> {
    /// Limits as they are kept: with the concrete names of their models. Aliases are resolved here and
    /// now, so moving one later does not silently move a limit.
    pub(super) fn checked_limits(
        &mut self,
        given: Given<Vec<StoredLimit>>,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<Given<Vec<StoredLimit>>, AdminError> {
        let Given::Value(limits) = given else { return Ok(given) };
        let mut checked: Vec<StoredLimit> = Vec::with_capacity(limits.len());
        for (index, limit) in limits.into_iter().enumerate() {
            let path = format!("limits[{index}]");
            let model = match &limit.model {
                None => None,
                Some(name) => match self.concrete_model(name)? {
                    Some(model) => Some(model),
                    None => {
                        let message = format!("there is no model '{name}' in the catalogue");
                        let path = format!("{path}.model");
                        problems.push(FieldProblem::with_code(path, "unknown_model", message));
                        continue;
                    }
                },
            };
            let limit = StoredLimit { model, ..limit };
            if checked.iter().any(|other| other.counts_the_same(&limit)) {
                let message = "there is another limit of this unit, window and model";
                problems.push(FieldProblem::invalid(path, message));
            }
            checked.push(limit);
        }
        Ok(Given::Value(checked))
    }

    fn concrete_model(&mut self, name: &ModelName) -> StoreResult<Option<ModelName>> {
        if self.rows.model(name)?.is_some() {
            return Ok(Some(name.clone()));
        }
        let all = self.rows.models()?;
        let found = all.into_iter().find(|stored| stored.model.aliases.contains(name));
        Ok(found.map(|stored| stored.model.name))
    }

    /// Every limit that counts calls of a key, its own first.
    pub(super) fn limits_above(&mut self, key: &KeyRow) -> StoreResult<Vec<Limit>> {
        let mut limits: Vec<_> = key.limits.iter().map(|limit| key_limit(key, limit)).collect();
        for level in [Level::User, Level::Team, Level::Org] {
            let Some(owner) = key.owner(level) else { continue };
            let shared = match (level, &key.user) {
                (Level::User, Some(user)) => {
                    self.rows.user(&key.org, user)?.map(|user| user.limits)
                }
                (Level::Team, _) => self.team_of(key)?.map(|team| team.limits),
                _ => self.rows.org(&key.org)?.map(|org| org.limits),
            };
            let shared = shared.unwrap_or_default();
            limits.extend(shared.iter().map(|limit| told(limit, level, owner.clone())));
        }
        Ok(limits)
    }
}

pub(super) fn key_limit(key: &KeyRow, limit: &StoredLimit) -> Limit {
    told(limit, Level::Key, key.id.as_str().to_owned())
}

/// A limit as filters are told it.
fn told(limit: &StoredLimit, level: Level, id: String) -> Limit {
    Limit {
        unit: limit.unit,
        window: limit.window,
        max: limit.max,
        scope: limit.scope,
        subject: Subject { level, id, model: limit.model.clone() },
    }
}
