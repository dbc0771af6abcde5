//! The module under test: the artefact that ships, built here and now, or any other wasm.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail, ensure};
use wasmtime::{Config, Engine, ExternType, Module};

/// Names the artefact to test; set by whoever has just built it.
pub const ARTEFACT_VARIABLE: &str = "TOLLGATE_WASM";

/// Where `cargo xtask build-plugin` puts the artefact, from the workspace's root.
const ARTEFACT_PATH: &str = "target/tollgate/tollgate.wasm";

/// A compiled module. Cloning is cheap.
#[derive(Clone)]
pub struct WasmModule {
    pub(crate) module: Module,
    size_bytes: usize,
}

impl WasmModule {
    /// The filter as it ships. Built with `cargo xtask build-plugin` at the first use in this
    /// process, unless the environment names a file that was built for this run.
    pub fn shipped() -> Result<Self> {
        // Only compiled code is cached for the process; every VM has its own state.
        static SHIPPED: OnceLock<Result<WasmModule, String>> = OnceLock::new();
        let built = SHIPPED.get_or_init(|| build_shipped().map_err(|error| format!("{error:#}")));
        built.clone().map_err(anyhow::Error::msg)
    }

    /// Compiles a module from its bytes, or from its text form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let module = Module::new(engine()?, bytes)
            .map_err(|error| anyhow!("not a wasm module: {error:#}"))?;
        Ok(Self { module, size_bytes: bytes.len() })
    }

    /// Compiles the module in a file.
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Self::from_bytes(&bytes).with_context(|| format!("compiling {}", path.display()))
    }

    /// Size of the module file, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Every import, as `module.name`.
    pub fn imports(&self) -> Vec<String> {
        self.module.imports().map(|i| format!("{}.{}", i.module(), i.name())).collect()
    }

    /// Every import with its module, its name and its type, in order: what a proxy must offer.
    pub fn import_lines(&self) -> Vec<String> {
        let line = |import: wasmtime::ImportType<'_>| {
            let kind = match import.ty() {
                ExternType::Func(function) => {
                    let list = |kinds: Vec<String>| kinds.join(", ");
                    let takes = function.params().map(|kind| kind.to_string()).collect();
                    let returns = function.results().map(|kind| kind.to_string()).collect();
                    format!("({}) -> ({})", list(takes), list(returns))
                }
                other => format!("{other:?}"),
            };
            format!("{} {} {kind}", import.module(), import.name())
        };
        let mut lines: Vec<String> = self.module.imports().map(line).collect();
        lines.sort();
        lines
    }

    /// Every exported name.
    pub fn exports(&self) -> Vec<String> {
        self.module.exports().map(|export| export.name().to_owned()).collect()
    }
}

fn engine() -> Result<&'static Engine> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let mut config = Config::new();
        config.consume_fuel(true);
        Engine::new(&config).map_err(|error| format!("{error:#}"))
    });
    engine.as_ref().map_err(|error| anyhow::Error::msg(error.clone()))
}

fn build_shipped() -> Result<WasmModule> {
    if let Some(path) = std::env::var_os(ARTEFACT_VARIABLE) {
        return WasmModule::from_file(&PathBuf::from(path));
    }
    let Some(root) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() else {
        bail!("this crate lies outside its workspace");
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["xtask", "build-plugin"])
        .current_dir(root)
        .output()
        .context("starting cargo xtask build-plugin")?;
    ensure!(
        output.status.success(),
        "cargo xtask build-plugin failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    WasmModule::from_file(&root.join(ARTEFACT_PATH))
}
