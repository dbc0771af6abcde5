//! What an administrator says about models that somebody may call, made a selection.

use wire::ModelName;

use super::{AdminError, FieldProblem, Given, Work};
use crate::entitlement::{Chosen, GroupName, Scopes, Selection};
use crate::store::CatalogueModel;

/// Models as an administrator gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectionForm {
    /// `{"mode": "inherit"}`: everything that the level above allows.
    Inherit,
    /// A list of names or aliases; `["*"]` for everything.
    List(Vec<String>),
    /// `{"mode": "restrict", …}`: these.
    Restrict {
        /// Names or aliases.
        models: Vec<String>,
        /// Groups, whether or not the level above allows them and whether or not they exist.
        groups: Vec<GroupName>,
    },
}

impl Work<'_> {
    /// The selection that a form means; none: it inherits. Aliases are resolved here and now, so
    /// moving an alias later does not silently move a permission. Where a `parent` is given, it must
    /// allow every model that is named; without, those that it does not allow wait until it does.
    pub(super) fn selection(
        &mut self,
        form: SelectionForm,
        parent: Option<&Scopes>,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<Option<Selection>, AdminError> {
        let (path, names, groups) = match form {
            SelectionForm::Inherit => return Ok(None),
            SelectionForm::List(names) if names == ["*"] => return Ok(Some(Selection::All)),
            SelectionForm::List(names) => ("models", names, Vec::new()),
            SelectionForm::Restrict { models, groups } => ("models.models", models, groups),
        };
        let found = self.concrete(&names, path, problems)?;
        if let Some(parent) = parent {
            self.check_within(parent, &found, problems)?;
        }
        let models = found.into_iter().map(|(_, model)| model).collect();
        Ok(Some(Selection::Chosen(Chosen { models, groups })))
    }

    /// The same for a field that may be absent or null, which inherits.
    pub(super) fn given_selection(
        &mut self,
        given: Given<SelectionForm>,
        parent: Option<&Scopes>,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<Given<Selection>, AdminError> {
        Ok(match given {
            Given::Absent => Given::Absent,
            Given::Null => Given::Null,
            Given::Value(form) => match self.selection(form, parent, problems)? {
                Some(selection) => Given::Value(selection),
                None => Given::Null,
            },
        })
    }

    /// The concrete models of a list, each once, with the path of the name that meant it.
    pub(super) fn concrete(
        &mut self,
        names: &[String],
        path: &str,
        problems: &mut Vec<FieldProblem>,
    ) -> Result<Vec<(String, ModelName)>, AdminError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.rows.models()?;
        let mut concrete: Vec<(String, ModelName)> = Vec::with_capacity(names.len());
        for (index, wanted) in names.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match all.iter().find(|stored| is_called(stored, wanted)) {
                Some(stored) if concrete.iter().any(|(_, known)| *known == stored.model.name) => {}
                Some(stored) => concrete.push((path, stored.model.name.clone())),
                None if wanted == "*" => {
                    let message = "'*' means every model and must stand alone";
                    problems.push(FieldProblem::invalid(path, message));
                }
                None => {
                    let message = format!("there is no model '{wanted}' in the catalogue");
                    problems.push(FieldProblem::with_code(path, "unknown_model", message));
                }
            }
        }
        Ok(concrete)
    }

    /// Names every model that something above does not allow.
    fn check_within(
        &mut self,
        parent: &Scopes,
        models: &[(String, ModelName)],
        problems: &mut Vec<FieldProblem>,
    ) -> Result<(), AdminError> {
        for (path, model) in models {
            let groups = self.rows.groups_of(model)?;
            let refused: Vec<_> =
                parent.refused_by(model, &groups).map(|reason| reason.as_str()).collect();
            if !refused.is_empty() {
                let message =
                    format!("'{model}' is outside of what is above: {}", refused.join(", "));
                let problem =
                    FieldProblem::with_code(path.as_str(), "outside_parent_scope", message);
                problems.push(problem);
            }
        }
        Ok(())
    }
}

/// Whether this is the name of the model or an alias of it.
fn is_called(stored: &CatalogueModel, name: &str) -> bool {
    let mut aliases = stored.model.aliases.iter();
    stored.model.name.as_str() == name || aliases.any(|alias| alias.as_str() == name)
}
