//! Renders `envoy-config/envoy.yaml` for one stack.
//!
//! The file is a working configuration as it stands. What differs between stacks is marked in it: a
//! value followed by `# @name`, or a block between `# @begin name` and `# @end name`. Every mark
//! must be filled and every value must find its mark, so that the file and this module cannot drift
//! apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use crate::upstream::Upstream;
use crate::workspace;

/// Where distributions keep the certificates of public authorities.
const CA_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What one Envoy is told.
#[derive(Debug, Clone)]
pub struct EnvoyConfig {
    /// Port of the gateway; 0 takes a free one.
    pub gateway_port: u16,
    /// Port of Envoy's admin interface; 0 takes a free one.
    pub admin_port: u16,
    /// Port of the policy server's filter API.
    pub policy_server_port: u16,
    /// Where allowed requests go.
    pub upstream: Upstream,
    /// The filter.
    pub wasm_file: PathBuf,
    /// The filter's configuration.
    pub filter_config: Value,
    /// A file with the upstream's credential, as written by [`credential_secret`].
    pub credential_file: Option<PathBuf>,
    /// An access log beside the one that the file has.
    pub further_access_log: Option<AccessLog>,
}

/// An access log with one line for each request.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Where it is written.
    pub file: PathBuf,
    /// A line, with Envoy's command operators.
    pub format: String,
}

impl EnvoyConfig {
    /// The filter's configuration of the reference set-up.
    #[must_use]
    pub fn default_filter_config() -> Value {
        serde_json::json!({
            "server": {"cluster": "tollgate_policy_server", "authority": "tollgate"},
            "limits": {"body_bytes": 10 * 1024 * 1024},
        })
    }

    /// The same with another product's manners (docs/profiles.md).
    #[must_use]
    pub fn filter_config_of_profile(profile: &str) -> Value {
        let mut config = Self::default_filter_config();
        config["profile"] = profile.into();
        config
    }

    /// The bootstrap file's text.
    ///
    /// # Errors
    /// When the template cannot be read or its marks do not fit, or TLS is asked for and this
    /// machine has no list of certificate authorities.
    pub fn render(&self) -> anyhow::Result<String> {
        let path = workspace::root().join("envoy-config").join("envoy.yaml");
        let template = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let values = BTreeMap::from([
            ("admin_port", self.admin_port.to_string()),
            ("gateway_port", self.gateway_port.to_string()),
            ("policy_server_port", self.policy_server_port.to_string()),
            ("upstream_host", self.upstream.host.clone()),
            ("upstream_port", self.upstream.port.to_string()),
            ("upstream_base", self.base()),
            ("wasm_file", quoted(&self.wasm_file.display().to_string())),
        ]);
        let blocks = BTreeMap::from([
            ("filter_config", self.filter_config_block()),
            ("credential_injector", self.credential_block()),
            ("upstream_authority", self.host_block()),
            ("upstream_rewrite", self.rewrite_block()),
            ("further_access_log", self.further_log_block()),
            ("upstream_protocol", self.protocol_block()),
            ("upstream_tls", self.tls_block()?),
        ]);
        fill(&template, values, blocks)
    }

    fn filter_config_block(&self) -> String {
        format!(
            "configuration:\n  \"@type\": type.googleapis.com/google.protobuf.StringValue\n  \
             value: {}\n",
            quoted(&self.filter_config.to_string())
        )
    }

    fn credential_block(&self) -> String {
        let Some(file) = &self.credential_file else { return String::new() };
        format!(
            r#"- name: envoy.filters.http.credential_injector
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
    overwrite: true
    allow_request_without_credential: false
    credential:
      name: envoy.http.injected_credentials.generic
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic
        header: Authorization
        credential:
          name: upstream_key
          sds_config:
            path_config_source:
              path: {}
"#,
            quoted(&file.display().to_string())
        )
    }

    /// What replaces the mount of one API.
    fn base(&self) -> String {
        quoted(&format!("{}/", self.upstream.base_path))
    }

    fn host_block(&self) -> String {
        format!("host_rewrite_literal: {}\n", quoted(&self.upstream.authority()))
    }

    fn rewrite_block(&self) -> String {
        let mut block = self.host_block();
        if !self.upstream.base_path.is_empty() {
            // The route matches the prefix `/`, which this replaces.
            block += &format!("prefix_rewrite: {}\n", self.base());
        }
        block
    }

    fn further_log_block(&self) -> String {
        let Some(log) = &self.further_access_log else { return String::new() };
        let format = log.format.replace('\n', " ");
        format!(
            r#"- name: envoy.access_loggers.file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: {}
    log_format:
      text_format_source:
        inline_string: "{}\n"
"#,
            quoted(&log.file.display().to_string()),
            format.replace('\\', "\\\\").replace('"', "\\\""),
        )
    }

    fn protocol_block(&self) -> String {
        if !self.upstream.tls {
            return String::new();
        }
        r#"typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    auto_config:
      http_protocol_options: {}
      http2_protocol_options: {}
"#
        .to_owned()
    }

    fn tls_block(&self) -> anyhow::Result<String> {
        if !self.upstream.tls {
            return Ok(String::new());
        }
        let bundle =
            CA_BUNDLES.iter().find(|file| Path::new(file).is_file()).with_context(|| {
                format!("no list of certificate authorities in {}", CA_BUNDLES.join(", "))
            })?;
        let host = quoted(&self.upstream.host);
        Ok(format!(
            r#"transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: {host}
    common_tls_context:
      validation_context:
        trusted_ca:
          filename: {bundle}
        match_typed_subject_alt_names:
        - san_type: DNS
          matcher:
            exact: {host}
"#
        ))
    }
}

/// The text of a secret file for [`EnvoyConfig::credential_file`]. The caller writes it readable
/// for its owner only.
///
/// # Errors
/// When the key has a character that no credential has.
pub fn credential_secret(key: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()),
        "the upstream key is empty or has a character that is not printable ASCII"
    );
    Ok(format!(
        r#"resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: upstream_key
  generic_secret:
    secret:
      inline_string: {}
"#,
        quoted(&format!("Bearer {key}"))
    ))
}

/// A YAML scalar in single quotes, in which only the quote itself is special.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn fill(
    template: &str,
    values: BTreeMap<&str, String>,
    blocks: BTreeMap<&str, String>,
) -> anyhow::Result<String> {
    let mut found = BTreeSet::new();
    let mut rendered = String::with_capacity(template.len());
    let mut skipping: Option<&str> = None;
    for line in template.lines() {
        let bare = line.trim_start();
        if let Some(name) = skipping {
            if bare.strip_prefix("# @end ") == Some(name) {
                skipping = None;
            }
            continue;
        }
        if let Some(name) = bare.strip_prefix("# @begin ") {
            found.insert(name);
            let block = blocks
                .get(name)
                .with_context(|| format!("the template's block `{name}` has no filling"))?;
            let indent = &line[..line.len() - bare.len()];
            for inner in block.lines() {
                rendered += &format!("{indent}{inner}\n");
            }
            skipping = Some(name);
        } else if let Some((before, name)) = line.split_once(" # @") {
            found.insert(name);
            let value = values
                .get(name)
                .with_context(|| format!("the template's value `{name}` has no filling"))?;
            let key = before.split_once(": ").map_or(before, |(key, _)| key);
            rendered += &format!("{key}: {value}\n");
        } else {
            rendered += line;
            rendered.push('\n');
        }
    }
    anyhow::ensure!(skipping.is_none(), "the template's block {skipping:?} has no end");
    let left: Vec<&str> =
        values.into_keys().chain(blocks.into_keys()).filter(|name| !found.contains(name)).collect();
    anyhow::ensure!(left.is_empty(), "the template has no mark for {}", left.join(", "));
    Ok(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(upstream: &str) -> EnvoyConfig {
        EnvoyConfig {
            gateway_port: 1,
            admin_port: 2,
            policy_server_port: 3,
            upstream: upstream.parse().unwrap(),
            wasm_file: PathBuf::from("/some/where's.wasm"),
            filter_config: serde_json::json!({"it's": [1, 2]}),
            credential_file: None,
            further_access_log: None,
        }
    }

    #[test]
    fn every_mark_is_filled() {
        let text = config("http://127.0.0.1:4").render().unwrap();
        // The header, which explains the marks, may name them.
        let marked = |line: &&str| !line.starts_with('#') && line.contains("# @");
        assert_eq!(text.lines().find(marked), None);
        for port in ["port_value: 1\n", "port_value: 2\n", "port_value: 3\n", "port_value: 4\n"] {
            assert_eq!(text.matches(port).count(), 1, "{port}");
        }
        assert!(text.contains("filename: '/some/where''s.wasm'"));
        assert!(text.contains(r#"value: '{"it''s":[1,2]}'"#));
        assert!(!text.contains("transport_socket"));
        assert_eq!(text.matches("prefix_rewrite: '/'\n").count(), 2);
        assert!(!text.contains("access_loggers.file"));
    }

    #[test]
    fn a_tls_upstream_is_verified_and_named() {
        let mut config = config("https://api.example.com/base");
        config.credential_file = Some(PathBuf::from("/secret.yaml"));
        let text = config.render().unwrap();
        assert!(text.contains("sni: 'api.example.com'"));
        assert!(text.contains("host_rewrite_literal: 'api.example.com'"));
        assert_eq!(text.matches("prefix_rewrite: '/base/'\n").count(), 3);
        assert_eq!(text.matches("host_rewrite_literal").count(), 3);
        assert!(text.contains("trusted_ca"));
        let injector = text.find("credential_injector.v3").unwrap();
        let wasm = text.find("filters.http.wasm.v3").unwrap();
        assert!(wasm < injector && injector < text.find("filters.http.router.v3").unwrap());
    }

    #[test]
    fn a_mark_without_filling_and_a_filling_without_mark_are_problems() {
        let values = || BTreeMap::from([("port", "1".to_owned())]);
        assert_eq!(fill("a: 0 # @port", values(), BTreeMap::new()).unwrap(), "a: 1\n");
        assert!(fill("a: 0", values(), BTreeMap::new()).is_err());
        assert!(fill("a: 0 # @port\nb: 0 # @other", values(), BTreeMap::new()).is_err());
        assert!(fill("a: 0 # @port\n# @begin x", values(), BTreeMap::new()).is_err());
    }

    #[test]
    fn a_key_with_a_line_break_is_refused() {
        assert!(credential_secret("sk-good").unwrap().contains("'Bearer sk-good'"));
        assert!(credential_secret("sk\nbad").is_err());
        assert!(credential_secret("").is_err());
    }
}
