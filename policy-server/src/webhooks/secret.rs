//! Secrets of webhooks and signatures as [Standard Webhooks](https://www.standardwebhooks.com) has
//! them: `v1,` and the base64 of an HMAC-SHA256 over id, time and body.
//!
//! Webhooks' secrets are not stored: each is derived from one secret of the server, which lies in a
//! file of its own. Neither the database nor its journal nor a backup of them lets anybody sign.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use wire::OrgId;

use crate::clock::{Entropy as _, OsEntropy};
use crate::live::lock;

type HmacSha256 = Hmac<Sha256>;

const SECRET_BYTES: usize = 32;

/// The server's secret: read from its file when it is needed first, and made where there is none when a
/// webhook is given one.
pub struct ServerSecret {
    file: PathBuf,
    bytes: Mutex<Option<[u8; SECRET_BYTES]>>,
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerSecret({}, redacted)", self.file.display())
    }
}

impl ServerSecret {
    /// The secret of a file, which need not be there yet.
    #[must_use]
    pub fn in_file(file: PathBuf) -> Self {
        Self { file, bytes: Mutex::new(None) }
    }

    /// The key of a new webhook or generation, which is told now, and by what this secret is known again.
    /// Another generation is another key.
    ///
    /// # Errors
    /// When the file cannot be read or made, or holds no secret.
    pub fn new_signing_key(
        &self,
        org: &OrgId,
        webhook: &str,
        generation: u64,
    ) -> io::Result<(SigningKey, String)> {
        let secret = self.bytes(Self::make)?;
        Ok((derived(&secret, org, webhook, generation)?, mark(&secret)?))
    }

    /// The key by which a webhook's messages are signed, which its receiver has been told. `noted` is by what
    /// its secret was to be known again.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no secret or another. Where there is none, none is made: by
    /// another nobody could know a message.
    pub fn signing_key(
        &self,
        org: &OrgId,
        webhook: &str,
        generation: u64,
        noted: Option<&str>,
    ) -> io::Result<SigningKey> {
        let missing = |_: &Self| Err(io::ErrorKind::NotFound.into());
        let secret = self.bytes(missing)?;
        let mark = mark(&secret)?;
        if noted.is_some_and(|noted| noted != mark) {
            let another = "the webhook's secret was derived from another one of the server";
            return Err(io::Error::new(io::ErrorKind::InvalidData, another));
        }
        derived(&secret, org, webhook, generation)
    }

    fn bytes(
        &self,
        missing: impl FnOnce(&Self) -> io::Result<[u8; SECRET_BYTES]>,
    ) -> io::Result<[u8; SECRET_BYTES]> {
        let mut known = lock(&self.bytes);
        if let Some(bytes) = *known {
            return Ok(bytes);
        }
        let bytes = match fs::read_to_string(&self.file) {
            Ok(text) => parse(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing(self)?,
            Err(error) => return Err(error),
        };
        *known = Some(bytes);
        Ok(bytes)
    }

    fn make(&self) -> io::Result<[u8; SECRET_BYTES]> {
        let mut bytes = [0; SECRET_BYTES];
        OsEntropy.fill(&mut bytes).map_err(io::Error::other)?;
        let mut beside = self.file.clone().into_os_string();
        beside.push(".new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        writeln!(file, "{}", STANDARD.encode(bytes))?;
        // Secrets that were shown and then lost would have to be replaced everywhere; half a file
        // would be no secret at all.
        file.sync_all()?;
        fs::rename(&beside, &self.file)?;
        tracing::info!(file = %self.file.display(), "made the secret that webhooks' are derived from");
        Ok(bytes)
    }
}

fn derived(
    secret: &[u8; SECRET_BYTES],
    org: &OrgId,
    webhook: &str,
    generation: u64,
) -> io::Result<SigningKey> {
    let mut mac = keyed(secret)?;
    // Neither an organisation's id nor a webhook's holds a zero byte.
    for part in ["webhook", org.as_str(), webhook, &generation.to_string()] {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    Ok(SigningKey(mac.finalize().into_bytes().into()))
}

fn mark(secret: &[u8; SECRET_BYTES]) -> io::Result<String> {
    let mut mac = keyed(secret)?;
    mac.update(b"mark");
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

fn parse(text: &str) -> io::Result<[u8; SECRET_BYTES]> {
    let bytes = STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the file holds no base64 of 32 bytes")
    })
}

fn keyed(key: &[u8]) -> io::Result<HmacSha256> {
    HmacSha256::new_from_slice(key).map_err(|error| io::Error::other(error.to_string()))
}

/// The key of one webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey([u8; SECRET_BYTES]);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(redacted)")
    }
}

impl SigningKey {
    /// As receivers are given it: `whsec_` and base64.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("whsec_{}", STANDARD.encode(self.0))
    }

    /// Signs what is posted at a time.
    ///
    /// # Errors
    /// Never with a key of this length.
    pub fn sign(&self, id: &str, unix_s: u64, body: &str) -> io::Result<Signature> {
        sign(&self.0, id, unix_s, body)
    }
}

/// The text of `webhook-signature`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(pub String);

fn sign(key: &[u8], id: &str, unix_s: u64, body: &str) -> io::Result<Signature> {
    let mut mac = keyed(key)?;
    mac.update(format!("{id}.{unix_s}.{body}").as_bytes());
    Ok(Signature(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.unwrap().0, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_webhook_and_generation_has_its_own_key_and_a_file_keeps_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let (acme, beta) = (OrgId::new("acme").unwrap(), OrgId::new("beta").unwrap());
        let secret = ServerSecret::in_file(file.clone());
        let missing = secret.signing_key(&acme, "wh_1", 1, None).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let (first, mark) = secret.new_signing_key(&acme, "wh_1", 1).unwrap();
        let keys = [
            first,
            secret.signing_key(&acme, "wh_1", 2, None).unwrap(),
            secret.signing_key(&acme, "wh_2", 1, None).unwrap(),
            secret.signing_key(&beta, "wh_1", 1, None).unwrap(),
        ];
        let texts: std::collections::BTreeSet<_> = keys.iter().map(SigningKey::expose).collect();
        assert_eq!(texts.len(), keys.len());
        let again = ServerSecret::in_file(file.clone());
        assert_eq!(again.signing_key(&acme, "wh_1", 1, Some(&mark)).unwrap(), keys[0]);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{secret:?}{:?}", keys[0]).contains(&texts.first().unwrap()[6..]));
        fs::write(&file, "too short").unwrap();
        let broken = ServerSecret::in_file(file);
        assert!(broken.signing_key(&acme, "wh_1", 1, None).is_err());
    }
}
