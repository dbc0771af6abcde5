//! Every configuration of the filter that the examples show is one.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_yaml_ng::Value;

/// The files that configure a filter, and how often each does.
const CONFIGURED: [(&str, usize); 14] = [
    ("envoy-config/envoy.yaml", 1),
    ("examples/apisix/apisix.yaml", 1),
    ("examples/apisix/route.json", 1),
    ("examples/compose/envoy.yaml", 1),
    ("examples/envoy-gateway/extension-policy.yaml", 1),
    ("examples/envoy/dynamic/listeners.yaml", 1),
    ("examples/envoy/providers/envoy.yaml", 1),
    ("examples/envoy/server-tls/gateway.yaml", 1),
    ("examples/envoy/two-listeners/envoy.yaml", 2),
    ("examples/envoy/without-server/envoy.yaml", 1),
    ("examples/higress/wasm-plugin.yaml", 1),
    ("examples/istio/envoy-filter.yaml", 1),
    ("examples/istio/wasm-plugin.yaml", 1),
    ("examples/ngx-wasm/nginx.conf", 1),
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What a document hands to a filter: the string in Envoy's `configuration`, the objects of resources
/// of Kubernetes, the string `conf` of APISIX.
fn configurations(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (name, value) in mapping {
                match (name.as_str().unwrap_or_default(), value) {
                    ("pluginConfig" | "defaultConfig", object) => {
                        found.push(serde_json::to_string(object).unwrap());
                    }
                    ("configuration", Value::Mapping(any)) => {
                        found.push(any["value"].as_str().unwrap().to_owned());
                    }
                    ("conf", Value::String(text)) => found.push(text.clone()),
                    ("wasm", Value::Sequence(extensions)) => {
                        let configs = extensions.iter().map(|one| &one["config"]);
                        found.extend(configs.map(|config| serde_json::to_string(config).unwrap()));
                    }
                    _ => configurations(value, found),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| configurations(item, found)),
        _ => {}
    }
}

fn configurations_of(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "json") => {
            for document in serde_yaml_ng::Deserializer::from_str(text) {
                let value = Value::deserialize(document)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                configurations(&value, &mut found);
            }
        }
        Some("conf") => {
            let directives = text.split("proxy_wasm tollgate '").skip(1);
            let ends = directives.filter_map(|rest| Some(rest.split_once("';")?.0.to_owned()));
            found.extend(ends);
        }
        _ => {}
    }
    found
}

#[test]
fn every_configuration_in_the_examples_is_one() {
    let mut files = vec![project().join("envoy-config/envoy.yaml")];
    files_below(&project().join("examples"), &mut files);
    for path in files {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let relative = path.strip_prefix(project()).unwrap().display().to_string();
        let found = configurations_of(&path, &text);
        let listed = CONFIGURED.iter().find(|(file, _)| relative == *file);
        let expected = listed.map_or(0, |(_, count)| *count);
        assert_eq!(found.len(), expected, "{relative}");
        for config in found {
            let read = gate::config::parse(config.as_bytes());
            assert!(read.is_ok(), "{relative}: {:?}", read.unwrap_err());
        }
    }
}
