//! `cargo xtask oci`: the filter as an OCI image layout, for hosts that fetch it from a registry.
//!
//! One layout holds the module twice, in both forms of the Wasm image specification that Istio, Envoy
//! Gateway and Higress read: as an image with one layer, which any registry takes, and as an artifact
//! whose layer is the module itself. `skopeo copy oci:target/tollgate/oci:TAG docker://…` uploads one.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{plugin_build, workspace};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const IMAGE_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
const WASM_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// The name under which readers look for the module in an image's layer.
const FILE_IN_LAYER: &str = "plugin.wasm";

/// Tars are made of blocks of this size, and end with two empty ones.
const TAR_BLOCK: usize = 512;

/// Digests of what was written, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// SHA-256 of the module.
    pub module: String,
    /// SHA-256 of the manifest of the image, which hosts check.
    pub image: String,
    /// SHA-256 of the manifest of the artifact.
    pub artifact: String,
}

/// Builds the filter and writes `target/tollgate/oci` and `target/tollgate/tollgate.wasm.sha256`.
///
/// # Errors
/// When the filter cannot be built or a file cannot be written.
pub fn run() -> anyhow::Result<()> {
    let plugin = plugin_build::build()?;
    let module = std::fs::read(&plugin.path)?;
    let folder = workspace::work_dir()?.join("oci");
    let version = env!("CARGO_PKG_VERSION");
    let layout = write(&module, version, &folder)?;
    let sum = plugin.path.with_extension("wasm.sha256");
    std::fs::write(&sum, format!("{}  tollgate.wasm\n", layout.module))
        .with_context(|| format!("cannot write {}", sum.display()))?;
    println!("{}", folder.display());
    println!("module               sha256:{}", layout.module);
    println!("image    {version:<11} sha256:{}", layout.image);
    println!("artifact {version}-artifact sha256:{}", layout.artifact);
    Ok(())
}

/// Writes a layout of this module into a folder, in the place of what was there. The same module
/// gives the same bytes everywhere.
///
/// # Errors
/// When a file cannot be written.
pub fn write(module: &[u8], version: &str, folder: &Path) -> anyhow::Result<Layout> {
    let _ = std::fs::remove_dir_all(folder);
    let blobs = folder.join("blobs").join("sha256");
    std::fs::create_dir_all(&blobs)
        .with_context(|| format!("cannot create {}", blobs.display()))?;
    let put = |media_type: &str, content: &[u8]| -> anyhow::Result<Value> {
        let digest = hex::encode(Sha256::digest(content));
        std::fs::write(blobs.join(&digest), content)?;
        Ok(json!({
            "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len(),
        }))
    };
    let tar = tar_of(FILE_IN_LAYER, module);
    let image_layer = put(IMAGE_LAYER, &gzip(&tar)?)?;
    // As a build from an empty image makes it; no reader runs it.
    let image_config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers",
                   "diff_ids": [format!("sha256:{}", hex::encode(Sha256::digest(&tar)))]},
    });
    let annotations = json!({
        "org.opencontainers.image.title": "Tollgate",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    });
    let image = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": put(IMAGE_CONFIG, image_config.to_string().as_bytes())?,
        "layers": [image_layer], "annotations": annotations,
    });
    let wasm_config = json!({
        "type": "envoy_proxy", "abiVersions": ["proxy_abi_version_0_2_1"],
        "config": {"root_ids": [""]},
    });
    let wasm_config = put(WASM_CONFIG, wasm_config.to_string().as_bytes())?;
    let artifact = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": wasm_config,
        "layers": [wasm_config, put(WASM_LAYER, module)?], "annotations": annotations,
    });
    let mut manifests = Vec::new();
    for (manifest, tag) in [(image, version.to_owned()), (artifact, format!("{version}-artifact"))]
    {
        let mut entry = put(MANIFEST, manifest.to_string().as_bytes())?;
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        manifests.push(entry);
    }
    let digest = |at: usize| {
        let text = manifests.get(at).and_then(|entry| entry["digest"].as_str());
        text.and_then(|text| text.strip_prefix("sha256:")).unwrap_or_default().to_owned()
    };
    let layout = Layout {
        module: hex::encode(Sha256::digest(module)),
        image: digest(0),
        artifact: digest(1),
    };
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    std::fs::write(folder.join("index.json"), index.to_string())?;
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(layout)
}

/// An archive of one file that everyone may read, owned by root, without a time.
fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; TAR_BLOCK];
    let mut field = |at: usize, value: &str| {
        for (to, from) in header.iter_mut().skip(at).zip(value.bytes()) {
            *to = from;
        }
    };
    field(0, name);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{:011o}\0", content.len()));
    field(136, "00000000000\0");
    // While the sum is taken, its own field is blank.
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\0");
    field(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    for (to, from) in header.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *to = from;
    }
    let mut tar = header.to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(TAR_BLOCK) + 2 * TAR_BLOCK, 0);
    tar
}

fn gzip(content: &[u8]) -> anyhow::Result<Vec<u8>> {
    // No time and no name in the header: the same bytes everywhere.
    let mut packed = GzBuilder::new().write(Vec::new(), Compression::best());
    packed.write_all(content)?;
    Ok(packed.finish()?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn read(folder: &Path, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    }

    /// The bytes that a descriptor names: they are there, and are what it says.
    fn blob(folder: &Path, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let content = std::fs::read(folder.join("blobs/sha256").join(digest)).unwrap();
        assert_eq!(hex::encode(Sha256::digest(&content)), digest);
        assert_eq!(descriptor["size"].as_u64(), u64::try_from(content.len()).ok());
        content
    }

    #[test]
    fn both_forms_hold_the_module_and_every_digest_is_right() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("oci");
        let module: Vec<u8> = (0..100_001_u32).map(|n| (n % 251) as u8).collect();
        let layout = write(&module, "1.2.3", &folder).unwrap();
        assert_eq!(read(&folder, "oci-layout")["imageLayoutVersion"], "1.0.0");
        let index = read(&folder, "index.json");
        assert_eq!((&index["schemaVersion"], &index["mediaType"]), (&json!(2), &json!(INDEX)));
        let entries = index["manifests"].as_array().unwrap();
        let tags = entries.iter().map(|entry| &entry["annotations"]);
        let tags: Vec<_> = tags.map(|all| &all["org.opencontainers.image.ref.name"]).collect();
        assert_eq!(tags, ["1.2.3", "1.2.3-artifact"]);
        let manifest = |at: usize, digest: &str| -> Value {
            let entry = &entries[at];
            assert_eq!(entry["digest"], format!("sha256:{digest}"));
            serde_json::from_slice(&blob(&folder, entry)).unwrap()
        };

        let image = manifest(0, &layout.image);
        assert_eq!(image["layers"].as_array().unwrap().len(), 1);
        assert_eq!(image["layers"][0]["mediaType"], IMAGE_LAYER);
        let packed = blob(&folder, &image["layers"][0]);
        std::fs::write(place.path().join("layer.tar.gz"), &packed).unwrap();
        let config: Value = serde_json::from_slice(&blob(&folder, &image["config"])).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let output =
                Command::new(program).args(arguments).current_dir(place.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        let tar = run("gzip", &["--decompress", "--stdout", "layer.tar.gz"]);
        let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(tar)));
        assert_eq!(config["rootfs"]["diff_ids"], json!([diff_id]));
        let listed = run("tar", &["--list", "--file", "layer.tar.gz", "--gzip"]);
        assert_eq!(String::from_utf8(listed).unwrap(), "plugin.wasm\n");
        run("tar", &["--extract", "--file", "layer.tar.gz", "--gzip"]);
        assert_eq!(std::fs::read(place.path().join("plugin.wasm")).unwrap(), module);

        let artifact = manifest(1, &layout.artifact);
        let layers = artifact["layers"].as_array().unwrap();
        let kinds: Vec<_> = layers.iter().map(|layer| &layer["mediaType"]).collect();
        assert_eq!(kinds, [WASM_CONFIG, WASM_LAYER]);
        assert_eq!(blob(&folder, &layers[1]), module);
        blob(&folder, &artifact["config"]);
        blob(&folder, &layers[0]);

        // Six different blobs, and nothing else. Written again, the same.
        let count = || std::fs::read_dir(folder.join("blobs/sha256")).unwrap().count();
        assert_eq!(count(), 6);
        assert_eq!(write(&module, "1.2.3", &folder).unwrap(), layout);
        assert_eq!(count(), 6);
        assert_ne!(write(&module[1..], "1.2.3", &folder).unwrap().image, layout.image);
    }
}
