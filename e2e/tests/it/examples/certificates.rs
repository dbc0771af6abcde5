//! Certificates for a test, by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority and certificates of it, in a folder.
pub struct Certificates {
    pub folder: PathBuf,
}

impl Certificates {
    /// A new authority.
    pub fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let made = Self { folder: folder.to_owned() };
        made.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                      -subj /CN=authority -keyout ca.key -out ca.crt",
        );
        made
    }

    /// `NAME.crt` and `NAME.key` for these host names.
    pub fn issue(&self, name: &str, hosts: &[&str]) {
        let names: Vec<_> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let extension = format!("subjectAltName={}\n", names.join(","));
        std::fs::write(self.folder.join(format!("{name}.ext")), extension).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
             -extfile {name}.ext -out {name}.crt"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let run = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}
