//! The commands `backup` and `restore`, as an operator gives them.

use serde_json::{Value, json};

use crate::process::{Process, serve_arguments, start, tollgate};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a database, its journal and a backup.
struct Site {
    folder: tempfile::TempDir,
    token: String,
}

impl Site {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn server(&self) -> Process {
        let mut command = tollgate();
        command
            .args(serve_arguments(self.folder.path()))
            .args(["--journal", &self.path("journal")]);
        start(command, self.folder.path())
    }

    /// What a server that does not start says.
    fn refusal(&self) -> String {
        let mut refused = self.server();
        assert!(!refused.listens());
        assert_eq!(refused.ended().unwrap().code(), Some(1));
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// An offline command on the database.
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = tollgate();
        command.args(arguments).args(["--database", &self.path("t.sqlite")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn administer(&self, server: &Process, arguments: &[&str]) -> String {
        let output = tollgate()
            .args(arguments)
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", &self.token)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn put(&self, server: &Process, org: &str) {
        let body = json!({"models": ["*"], "budget": {"usd": "5"}});
        let (status, answer) = server.admin("PUT", &format!("orgs/{org}"), &self.token, &body);
        assert_eq!(status, 200, "{answer}");
    }

    fn orgs(&self, server: &Process) -> usize {
        let (_, answer) = server.admin("GET", "orgs", &self.token, &Value::Null);
        answer["data"].as_array().unwrap().len()
    }

    /// Copies the backup to the place of the database, as after the loss of its disk.
    fn put_back(&self) {
        for name in ["t.sqlite-wal", "t.sqlite-shm"] {
            let _ = std::fs::remove_file(self.path(name));
        }
        std::fs::copy(self.path("backup"), self.path("t.sqlite")).unwrap();
    }
}

/// A server that was killed after a backup and two more changes.
fn site() -> Site {
    let mut site = Site { folder: tempfile::tempdir().unwrap(), token: String::new() };
    let server = site.server();
    site.token = server.line("admin token: ").unwrap().to_owned();
    site.put(&server, "before");
    site.run(&["backup", "--to", &site.path("backup")]);
    site.put(&server, "after");
    site.put(&server, "later");
    site
}

#[test]
fn a_backup_and_the_journal_bring_everything_back() {
    let site = site();
    site.put_back();
    let refusal = site.refusal();
    assert!(refusal.contains("run `tollgate restore --database"), "{refusal}");
    let said = site.run(&["restore", "--journal", &site.path("journal")]);
    assert_eq!(said, "replayed 2 entries of the journal\n");
    assert_eq!(site.orgs(&site.server()), 3);
}

#[test]
fn a_backup_alone_freezes_what_has_a_cap() {
    let site = site();
    site.put_back();
    let said = site.run(&["restore"]);
    assert!(said.contains("froze 1 budgets"), "{said}");
    let refusal = site.refusal();
    assert!(refusal.contains("used without the journal"), "{refusal}");
    std::fs::rename(site.path("journal"), site.path("journal.old")).unwrap();
    let server = site.server();
    assert_eq!(site.orgs(&server), 1);
    assert!(site.administer(&server, &["budgets", "frozen"]).contains("before"));
    site.administer(&server, &["budgets", "release", "org", "before"]);
    assert!(!site.administer(&server, &["budgets", "frozen"]).contains("before"));
}

#[test]
fn the_admin_token_is_replaced_beside_the_server_and_its_journal_goes_on() {
    let mut site = Site { folder: tempfile::tempdir().unwrap(), token: String::new() };
    let server = site.server();
    site.token = server.line("admin token: ").unwrap().to_owned();
    site.put(&server, "before");
    let (database, journal) = (site.path("t.sqlite"), site.path("journal"));
    let rotate = |more: &[&str]| {
        let output = tollgate()
            .args(["admin-token", "rotate", "--database", &database])
            .args(more)
            .output()
            .unwrap();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let with_journal = ["--journal", journal.as_str()];
    let (done, said, why) = rotate(&with_journal);
    assert!(!done && said.is_empty() && why.contains("in use"), "{why}");
    server.terminate();
    let (done, said, why) = rotate(&[]);
    assert!(!done && said.is_empty() && why.contains("name it with --journal"), "{why}");
    let (done, said, why) = rotate(&["--journal", &site.path("nope")]);
    assert!(!done && said.is_empty() && why.contains("there is no"), "{why}");
    let (done, said, why) = rotate(&with_journal);
    assert!(done, "{why}");
    let token = said.trim_end().strip_prefix("admin token: ").unwrap().to_owned();
    assert!(token.starts_with("tga_") && token != site.token);
    let server = site.server();
    let old = std::mem::replace(&mut site.token, token);
    assert_eq!(server.admin("GET", "orgs", &old, &Value::Null).0, 401);
    assert_eq!(site.orgs(&server), 1);
    let lines = site.administer(&server, &["audit", "list", "--action", "admin_token.rotate"]);
    assert!(lines.contains("system") && !lines.contains(&site.token), "{lines}");
}
