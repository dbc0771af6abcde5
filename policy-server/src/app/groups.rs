//! Access groups: labels of models by which they are granted together. A grant names the label, so
//! models that join later count at once.

use wire::v1::Change;
use wire::{ModelName, Revision};

use super::{AdminError, Changed, FieldProblem, Page, Work};
use crate::entitlement::{GROUPS_MOST, GroupName};
use crate::store::GroupRow;

/// Groups: five for each model that the catalogue may hold.
const GROUPS_IN_ALL: u64 = 10_000;

/// A group with its models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub group: GroupRow,
    /// Its models in the order of their names.
    pub models: Vec<ModelName>,
}

/// What an administrator says about the models of a group, by names or aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupModels {
    /// These and no others.
    Replace(Vec<String>),
    /// Some more, and some no longer.
    Change {
        /// Models that join.
        add: Vec<String>,
        /// Models that leave.
        remove: Vec<String>,
    },
}

/// The same with concrete names.
struct Moves {
    /// To be in the group, each with the path of the name that meant it.
    wanted: Vec<(String, ModelName)>,
    /// Not to be in it.
    unwanted: Vec<ModelName>,
}

impl Work<'_> {
    /// Adds a group or replaces what is known of it.
    ///
    /// # Errors
    /// When a model is not known or is in too many groups, there are too many groups, or the store
    /// fails.
    pub fn put_group(
        &mut self,
        name: GroupName,
        description: String,
        models: Vec<String>,
    ) -> Result<Changed<GroupView>, AdminError> {
        let known = self.rows.group(&name)?;
        if known.is_none() && self.rows.group_count()? >= GROUPS_IN_ALL {
            return Err(too_many(format!("there may be {GROUPS_IN_ALL} groups"), None));
        }
        let created_unix_ms =
            known.as_ref().map_or(self.now.unix_ms, |known| known.created_unix_ms);
        let group =
            GroupRow { name, description, created_unix_ms, updated_unix_ms: self.now.unix_ms };
        let before = match known {
            Some(known) => Some(self.group_view(known)?),
            None => None,
        };
        self.save_group(group, before, GroupModels::Replace(models))
    }

    /// Changes what is given of a group and leaves the rest.
    ///
    /// # Errors
    /// When there is no such group, a model is not known or is in too many groups, or the store
    /// fails.
    pub fn patch_group(
        &mut self,
        name: &GroupName,
        description: Option<String>,
        models: GroupModels,
    ) -> Result<Changed<GroupView>, AdminError> {
        let before = self.group(name)?;
        let known = before.group.clone();
        let group = GroupRow {
            description: description.unwrap_or(known.description),
            updated_unix_ms: self.now.unix_ms,
            ..known
        };
        self.save_group(group, Some(before), models)
    }

    /// One group with its models.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn group(&mut self, name: &GroupName) -> Result<GroupView, AdminError> {
        let found = self.rows.group(name)?;
        let group = found.ok_or_else(|| AdminError::not_found("group", name.as_str()))?;
        self.group_view(group)
    }

    /// Groups in the order of their names, without their models.
    ///
    /// # Errors
    /// When the store fails.
    pub fn groups(
        &mut self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<GroupRow>, AdminError> {
        let found = self.rows.groups(after, limit.saturating_add(1))?;
        Ok(Page::of(found, limit, |group| group.name.as_str().to_owned()))
    }

    /// Deletes a group. Whoever it was granted to keeps the grant, which allows nothing until there
    /// is such a group again.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub fn delete_group(&mut self, name: &GroupName) -> Result<Changed<GroupView>, AdminError> {
        let view = self.group(name)?;
        self.rows.remove_group(name)?;
        let revision = self.publish_members(!view.models.is_empty())?;
        Ok(Changed { value: view, revision })
    }

    fn group_view(&mut self, group: GroupRow) -> Result<GroupView, AdminError> {
        let models = self.rows.group_models(&group.name)?;
        Ok(GroupView { group, models })
    }

    fn save_group(
        &mut self,
        group: GroupRow,
        before: Option<GroupView>,
        models: GroupModels,
    ) -> Result<Changed<GroupView>, AdminError> {
        let Moves { wanted, unwanted } = self.moves(models, before.as_ref())?;
        self.rows.save_group(&group)?;
        let name = group.name.clone();
        let present = before.as_ref().map_or(&[][..], |before| &before.models);
        let joining: Vec<_> =
            wanted.into_iter().filter(|(_, model)| !present.contains(model)).collect();
        let leaving: Vec<_> =
            unwanted.into_iter().filter(|model| present.contains(model)).collect();
        for model in &leaving {
            self.rows.leave_group(&name, model)?;
        }
        for (path, model) in &joining {
            if self.rows.groups_of(model)?.len() >= GROUPS_MOST {
                let message = format!("the model '{model}' is in {GROUPS_MOST} groups already");
                return Err(too_many(message, Some(path.clone())));
            }
            self.rows.join_group(&name, model)?;
        }
        let after = self.group_view(group)?;
        let revision = self.publish_members(!joining.is_empty() || !leaving.is_empty())?;
        Ok(Changed { value: after, revision })
    }

    /// Finds the models that are named.
    fn moves(
        &mut self,
        models: GroupModels,
        before: Option<&GroupView>,
    ) -> Result<Moves, AdminError> {
        let mut problems = Vec::new();
        let moves = match models {
            GroupModels::Replace(models) => {
                let wanted = self.concrete(&models, "models", &mut problems)?;
                let is_wanted = |model: &ModelName| wanted.iter().any(|(_, other)| other == model);
                let present = before.map_or(&[][..], |before| &before.models);
                let unwanted = present.iter().filter(|model| !is_wanted(model)).cloned().collect();
                Moves { wanted, unwanted }
            }
            GroupModels::Change { add, remove } => {
                let wanted = self.concrete(&add, "add", &mut problems)?;
                let unwanted = self.concrete(&remove, "remove", &mut problems)?;
                for (path, model) in &unwanted {
                    if wanted.iter().any(|(_, other)| other == model) {
                        let message = format!("'{model}' is to be added as well");
                        problems.push(FieldProblem::invalid(path.as_str(), message));
                    }
                }
                Moves { wanted, unwanted: unwanted.into_iter().map(|(_, model)| model).collect() }
            }
        };
        if problems.is_empty() { Ok(moves) } else { Err(AdminError::Invalid(problems)) }
    }

    /// Tells filters that keys may call other models than before, where they may: one message,
    /// however many keys.
    fn publish_members(&mut self, changed: bool) -> Result<Revision, AdminError> {
        if changed {
            return Ok(self.publish(Change::AllKeys)?);
        }
        Ok(self.rows.server()?.revision)
    }
}

fn too_many(message: String, param: Option<String>) -> AdminError {
    AdminError::Conflict { code: "too_many_groups", message, param }
}
