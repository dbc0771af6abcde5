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

    /// What an offline command says that is not carried out.
    fn refused(&self, arguments: &[&str]) -> String {
        let mut command = tollgate();
        command.args(arguments).args(["--database", &self.path("t.sqlite")]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
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
    let said = site.run(&["restore", "--journal-lost"]);
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

/// A part of a copy must not be taken for one, nor be in the way of the next.
#[test]
fn a_backup_for_which_there_is_no_room_leaves_no_file() {
    let site = site();
    // The signal of the limit would end the process, and a full disk sends none.
    let launcher = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let output = std::process::Command::new("bash")
        .args(["-c", launcher, "bash", env!("CARGO_BIN_EXE_tollgate"), "backup"])
        .args(["--database", &site.path("t.sqlite"), "--to", &site.path("full")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let said = text(&output.stderr);
    assert!(said.contains("full"), "{said}");
    assert!(!std::path::Path::new(&site.path("full")).exists(), "a part of it is left");
    // a file that was there before is not the backup's to remove
    let said = site.refused(&["backup", "--to", &site.path("backup")]);
    assert!(said.contains("backup"), "{said}");
    site.put_back();
    site.run(&["restore", "--journal", &site.path("journal")]);
}

/// It would end the journal, which has everything: whoever forgets it must not lose what it holds.
#[test]
fn a_journal_is_given_up_only_by_who_says_that_it_is_lost() {
    let site = site();
    site.put_back();
    let copy = std::fs::read(site.path("backup")).unwrap();
    let said = site.refused(&["restore"]);
    assert!(said.contains("--journal-lost") && said.contains("name it with --journal"), "{said}");
    assert!(std::fs::read(site.path("t.sqlite")).unwrap() == copy, "something was written into it");
    // as the server is told it
    let mut command = tollgate();
    command.args(["restore", "--database", &site.path("t.sqlite")]);
    let output = command.env("TOLLGATE_JOURNAL", site.path("journal")).output().unwrap();
    let (said, why) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(said, "replayed 2 entries of the journal\n", "{why}");
    assert_eq!(site.orgs(&site.server()), 3);
    // and who says so need not unset that
    site.put_back();
    let mut command = tollgate();
    command.args(["restore", "--journal-lost", "--database", &site.path("t.sqlite")]);
    let output = command.env("TOLLGATE_JOURNAL", site.path("journal")).output().unwrap();
    assert!(text(&output.stdout).contains("froze 1 budgets"), "{}", text(&output.stderr));
}

/// The log of the lost database holds pages of that one: read into the copy they make neither of the two.
#[test]
fn the_log_of_a_lost_database_is_not_read_into_its_copy() {
    let site = site();
    std::fs::copy(site.path("backup"), site.path("t.sqlite")).unwrap();
    assert!(std::fs::metadata(site.path("t.sqlite-wal")).unwrap().len() > 0, "it shows nothing");
    let journal = ["--journal", &site.path("journal")];
    let said = [
        site.refused(&["restore"]),
        site.refused(&[&["restore"], &journal[..]].concat()),
        site.refused(&[&["admin-token", "rotate"], &journal[..]].concat()),
        site.refused(&["admin-token", "rotate"]),
        site.refused(&["backup", "--to", &site.path("another")]),
        site.refusal(),
    ];
    for said in said {
        assert!(said.contains("t.sqlite-wal") && said.contains("remove"), "{said}");
    }
    let is_copy = |name: &str| std::fs::read(site.path(name)).unwrap();
    assert!(is_copy("t.sqlite") == is_copy("backup"), "something was written into it");
    site.put_back();
    site.run(&["restore", "--journal", &site.path("journal")]);
    assert_eq!(site.orgs(&site.server()), 3);
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
