//! Models and groups on the command line.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{insert, names};

/// Which models.
#[derive(Debug, Args)]
pub struct SelectionArgs {
    /// Models, separated by commas; "*" for all, "" for none; "none" removes the list, so that
    /// everything is allowed that the level above allows.
    #[arg(long)]
    models: Option<String>,
    /// Access groups, separated by commas; together with the models they are all that is allowed.
    #[arg(long)]
    groups: Option<String>,
}

impl SelectionArgs {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.models.is_none() && self.groups.is_none()
    }

    /// Adds the field of the API that says the same.
    pub fn add(&self, body: &mut Map<String, Value>) {
        let models = match (self.models.as_deref(), self.groups.as_deref()) {
            (models, Some(groups)) => {
                let models = models.map_or_else(|| json!([]), names);
                Some(json!({"mode": "restrict", "models": models, "groups": names(groups)}))
            }
            (Some("none"), None) => Some(Value::Null),
            (models, None) => models.map(names),
        };
        insert(body, "models", models);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(models: Option<&str>, groups: Option<&str>) -> Value {
        let mut body = Map::new();
        let (models, groups) = (models.map(str::to_owned), groups.map(str::to_owned));
        SelectionArgs { models, groups }.add(&mut body);
        body.into()
    }

    #[test]
    fn models_alone_are_a_list_and_groups_restrict() {
        assert_eq!(said(None, None), json!({}));
        assert_eq!(said(Some("none"), None), json!({"models": null}));
        assert_eq!(said(Some(""), None), json!({"models": []}));
        assert_eq!(said(Some("a, b"), None), json!({"models": ["a", "b"]}));
        let both = json!({"mode": "restrict", "models": ["a"], "groups": ["small", "eu"]});
        assert_eq!(said(Some("a"), Some("small,eu")), json!({"models": both}));
        let groups = json!({"mode": "restrict", "models": [], "groups": ["small"]});
        assert_eq!(said(None, Some("small")), json!({"models": groups}));
    }
}
