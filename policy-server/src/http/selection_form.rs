//! The JSON by which administrators choose models: a list of names, or
//! `{"mode": "restrict", "models": […], "groups": […]}`.

use super::form::Form;
use super::reader::{texts, word};
use super::schema::Schema;
use crate::app::{Given, SelectionForm};
use crate::entitlement::{GROUPS_MOST, GroupName};

/// Models in one list: as many as the catalogue may hold.
pub const MODELS_IN_LIST: usize = 2_000;

/// Whether a level restricts what the one above it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does not.
    Inherit,
    /// It does.
    Restrict,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inherit, Self::Restrict];

    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inherit => "inherit",
            Self::Restrict => "restrict",
        }
    }
}

/// Reads the field `models`.
pub fn models(form: &mut Form) -> Given<SelectionForm> {
    form.list_or_object(
        "models",
        texts(MODELS_IN_LIST).then(|models| Ok(SelectionForm::List(models))),
        selection,
    )
}

fn selection(form: &mut Form) -> Option<SelectionForm> {
    let mode = form.required("mode", word(&Mode::ALL, Mode::as_str));
    let models = form.given("models", texts(MODELS_IN_LIST)).value().unwrap_or_default();
    let groups = groups(form, "groups");
    match mode? {
        Mode::Inherit if models.is_empty() && groups.is_empty() => Some(SelectionForm::Inherit),
        Mode::Inherit => {
            let message =
                "what inherits everything cannot choose: use restrict, or leave the lists out";
            form.refuse("mode", "inherit_with_selection", message);
            None
        }
        Mode::Restrict => Some(SelectionForm::Restrict { models, groups }),
    }
}

/// Reads a list of groups, each once.
fn groups(form: &mut Form, field: &str) -> Vec<GroupName> {
    let names = Schema::list(Schema::pattern(GroupName::PATTERN), GROUPS_MOST);
    let names = form.given(field, texts(GROUPS_MOST).of(names)).value().unwrap_or_default();
    let mut groups: Vec<GroupName> = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        match GroupName::new(name) {
            Ok(name) if groups.contains(&name) => {}
            Ok(name) => groups.push(name),
            Err(error) => form.wrong(&format!("{field}[{index}]"), error.to_string()),
        }
    }
    groups
}
