//! What a configuration opens that is closed by default: paths, and features of requests.

use metering::request::FeatureKind;
use serde_json::{Map, Value};
use wire::ModelName;

use super::check::{Checker, join};
use super::reference::names_in;
use super::{ListedPath, MOST_PATHS, OpenTo, PathPattern, Profile, Shadow};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

impl Checker {
    /// `paths`: method, path, the model whose price per call each costs, and whose keys it takes.
    pub(super) fn paths(&mut self, root: &Map<String, Value>) -> Option<Vec<ListedPath>> {
        let items = self.array(root, "paths")?;
        if items.len() > MOST_PATHS {
            return self.problem("paths", &format!("must be at most {MOST_PATHS}"));
        }
        let read = items.iter().enumerate().map(|(at, item)| {
            let here = format!("paths[{at}]");
            let Value::Object(item) = item else {
                return self.problem(&here, "must be an object");
            };
            self.known(&here, item, names_in!("paths[]"));
            let method = self.text(&here, item, "method", None);
            let path = self.text(&here, item, "path", None);
            let model = self.text(&here, item, "model", None);
            let keys = self.text(&here, item, "keys", Some(OpenTo::Any.name()));
            let method = method?;
            if !METHODS.contains(&method.as_str()) {
                let list = METHODS.join(", ");
                return self.problem(&join(&here, "method"), &format!("must be one of {list}"));
            }
            let Some(path) = PathPattern::read(&path?) else {
                let what = "must be a plain path, with at most one * at its end";
                return self.problem(&join(&here, "path"), what);
            };
            let Ok(model) = ModelName::new(model?) else {
                return self.problem(&join(&here, "model"), "is no name of a model");
            };
            let keys = keys?;
            let Some(keys) = OpenTo::ALL.into_iter().find(|known| known.name() == keys) else {
                let list = OpenTo::ALL.map(OpenTo::name).join(", ");
                return self.problem(&join(&here, "keys"), &format!("must be one of {list}"));
            };
            Some(ListedPath { method, path, model, keys })
        });
        // All of them, so that every problem is found.
        read.collect::<Vec<_>>().into_iter().collect()
    }

    /// `profile`: whose manners.
    pub(super) fn profile(&mut self, root: &Map<String, Value>) -> Option<Profile> {
        let Some(value) = root.get("profile") else { return Some(Profile::default()) };
        let found = Profile::ALL.into_iter().find(|known| value.as_str() == Some(known.name()));
        found.or_else(|| {
            let names = Profile::ALL.map(Profile::name).join(", ");
            self.problem("profile", &format!("must be one of {names}"))
        })
    }

    /// `shadow`: true, or the paths on which nothing is refused.
    pub(super) fn shadow(&mut self, root: &Map<String, Value>) -> Option<Shadow> {
        const PATHS: &str =
            "must be a list of 1 to 64 plain paths, each with at most one * at its end";
        let object = match root.get("shadow") {
            None | Some(Value::Bool(false)) => return Some(Shadow::Nowhere),
            Some(Value::Bool(true)) => return Some(Shadow::Everywhere),
            Some(Value::Object(object)) => object,
            Some(_) => {
                return self.problem("shadow", "must be true, false or an object with paths");
            }
        };
        self.known("shadow", object, names_in!("shadow"));
        let patterns = match object.get("paths") {
            Some(Value::Array(items)) if (1..=MOST_PATHS).contains(&items.len()) => {
                items.iter().map(|item| PathPattern::read(item.as_str()?)).collect()
            }
            _ => None,
        };
        patterns.map(Shadow::Paths).or_else(|| self.problem("shadow.paths", PATHS))
    }

    /// `allow`: codes of features.
    pub(super) fn allow(&mut self, root: &Map<String, Value>) -> Option<Vec<FeatureKind>> {
        let items = self.array(root, "allow")?;
        let read = items.iter().enumerate().map(|(at, item)| {
            let kind = FeatureKind::ALL.iter().find(|kind| item.as_str() == Some(kind.code()));
            kind.copied().or_else(|| {
                let codes = FeatureKind::ALL.map(FeatureKind::code).join(", ");
                self.problem(&format!("allow[{at}]"), &format!("must be one of {codes}"))
            })
        });
        read.collect::<Vec<_>>().into_iter().collect()
    }

    /// A list of the outermost object; empty where there is none.
    fn array<'a>(&mut self, root: &'a Map<String, Value>, name: &str) -> Option<&'a [Value]> {
        match root.get(name) {
            None => Some(&[]),
            Some(Value::Array(items)) => Some(items),
            Some(_) => self.problem(name, "must be an array"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OpenTo, parse};

    fn of(rest: &str) -> Result<super::super::Config, Vec<String>> {
        let text = format!(r#"{{"server":{{"cluster":"c"}},{rest}}}"#);
        let problems = |problems: Vec<super::super::Problem>| {
            problems.iter().map(ToString::to_string).collect()
        };
        parse(text.as_bytes()).map_err(problems)
    }

    #[test]
    fn paths_and_features_are_read() {
        let config = of(r#""paths":[{"method":"POST","path":"/v1/audio/speech","model":"speech"},
                        {"method":"GET","path":"/v1/files*","model":"files","keys":"user"}],
               "allow":["background","provider_state"]"#)
        .unwrap();
        assert_eq!((config.paths.len(), config.allow.len()), (2, 2));
        assert_eq!((config.paths[0].keys, config.paths[1].keys), (OpenTo::Any, OpenTo::Users));
        let config = of(r#""name":"x""#).unwrap();
        assert_eq!((config.paths.len(), config.allow.len()), (0, 0));
    }

    #[test]
    fn the_example_in_the_documentation_is_a_configuration() {
        let page = include_str!("../../../docs/apis.md");
        let examples: Vec<&str> = page.split("```json\n").skip(1).collect();
        assert_eq!(examples.len(), 1);
        let (example, _) = examples[0].split_once("```").unwrap();
        assert_eq!(parse(example.as_bytes()).unwrap().paths.len(), 3);
    }

    #[test]
    fn every_problem_of_them_is_named() {
        let problems = of(r#""paths":[{"method":"get","path":"/v1/x","model":"m"},
                        {"method":"GET","path":"v1","model":"m"},
                        {"method":"GET","path":"/v1/a b","model":"m"},
                        {"method":"GET","path":"/v1/*/x","model":"m","usd":"1"},7,
                        {"method":"GET","path":"/v1/x","model":"m","keys":"users"}],
               "allow":["everything"]"#)
        .unwrap_err();
        let begins = |at: usize, text: &str| {
            assert!(problems[at].starts_with(text), "{problems:?}");
        };
        begins(0, "paths[0].method: must be one of GET, ");
        begins(1, "paths[1].path: must be a plain path");
        begins(2, "paths[2].path: must be a string of");
        begins(3, "paths[3].usd: is not known");
        begins(4, "paths[3].path: must be a plain path");
        begins(5, "paths[4]: must be an object");
        begins(6, "paths[5].keys: must be one of any, user, application");
        begins(7, "allow[0]: must be one of background, ");
        assert_eq!(problems.len(), 8, "{problems:?}");
        assert_eq!(of(r#""paths":{},"allow":1"#).unwrap_err().len(), 2);
    }
}
