//! A disk that becomes read-only, takes no writes, or does not sync: nothing is granted that is not
//! on disk, what is there can be read, and when the disk works again everything goes on.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use wire::v1::{Problem, ReportReply};

use crate::full_disk::{granted, report};
use crate::process::{Process, serve_arguments, start, tollgate};
use crate::world::{Key, MODEL, check_ledger};

/// What is broken, as `broken_disk.c` reads it.
#[derive(Debug, Clone, Copy)]
enum Broken {
    Nothing,
    /// Writes fail with `EROFS`, and nothing can be opened for writing, as after an error on which
    /// the system remounts a disk.
    ReadOnly,
    /// Writes fail with `EIO`.
    NoWrite,
    /// Writes seem to succeed, but syncs fail with `EIO`.
    NoSync,
}

/// The library that breaks a disk, compiled once.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/broken_disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken-disk.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&library, &source])
            .status();
        assert!(compiled.unwrap().success(), "a C compiler is needed, as for linking");
        library
    })
}

/// A disk that can be broken, in a folder; log and control are beside it.
struct Disk {
    folder: tempfile::TempDir,
    control: tempfile::NamedTempFile,
}

impl Disk {
    fn new() -> Self {
        let disk = Self {
            folder: tempfile::tempdir().unwrap(),
            control: tempfile::NamedTempFile::new().unwrap(),
        };
        std::fs::create_dir(disk.root()).unwrap();
        disk.becomes(Broken::Nothing);
        disk
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn becomes(&self, broken: Broken) {
        // In place and in one write: the file is mapped.
        self.control.as_file().write_all_at(&[b'0' + broken as u8], 0).unwrap();
    }

    fn start(&self, journal: bool) -> Process {
        let mut command = tollgate();
        command
            .env("LD_PRELOAD", library())
            .env("BROKEN_DISK", self.control.path())
            .env("BROKEN_DISK_UNDER", self.root())
            .args(serve_arguments(&self.root()));
        if journal {
            command.arg("--journal").arg(self.root().join("journal"));
        }
        start(command, self.folder.path())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

fn refused(answer: Option<(u16, Value)>, what: &str) {
    let (status, answer) = answer.unwrap();
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &json!(Problem::STORE_UNAVAILABLE)),
        "{what}"
    );
}

fn run(journal: bool) {
    let disk = Disk::new();
    let server = disk.start(journal);
    let token = server.line("admin token: ").unwrap().to_owned();
    let model = json!({
        "input_usd_per_mtok": "1", "output_usd_per_mtok": "2", "context_length": 128_000,
        "max_output_tokens": 16_384,
    });
    let org = json!({"models": ["*"], "budget": {"usd": "1", "period": "none"}});
    server.admin("PUT", &format!("models/{MODEL}"), &token, &model);
    server.admin("PUT", "orgs/acme", &token, &org);
    let acme = json!({"org": "acme"});
    let key = Key::of(&server.admin("POST", "keys", &token, &acme).1);
    let holder = server.holder(1).unwrap();
    let mut n = 0;
    let mut pid = server.pid();
    let mut server = server;
    for broken in [Broken::ReadOnly, Broken::NoWrite, Broken::NoSync] {
        for killed in [false, true] {
            n += 1;
            assert!(granted(&server, &holder, &key, n), "{broken:?}");
            disk.becomes(broken);
            for _ in 0..3 {
                assert!(!granted(&server, &holder, &key, n + 1), "{broken:?}: granted");
                refused(server.filter("reports", &report(&holder, &key, n)), "report");
                let (status, answer) = server.admin("POST", "keys", &token, &acme);
                assert_eq!(status, 503, "{broken:?}: {answer}");
                let (status, shown) = server.admin("GET", "keys", &token, &Value::Null);
                assert_eq!(status, 200, "{broken:?}: {shown}");
                assert_eq!(shown["data"].as_array().unwrap().len(), 1, "{broken:?}");
            }
            if killed {
                drop(server);
                disk.becomes(Broken::Nothing);
                server = disk.start(journal);
                assert!(server.listens(), "{broken:?}: {}", disk.log());
                pid = server.pid();
            }
            disk.becomes(Broken::Nothing);
            server.filter_ok::<_, ReportReply>("reports", &report(&holder, &key, n)).unwrap();
            n += 1;
            assert!(granted(&server, &holder, &key, n), "{broken:?}: the disk works again");
            server.filter_ok::<_, ReportReply>("reports", &report(&holder, &key, n)).unwrap();
            check_ledger(&rusqlite::Connection::open(disk.root().join("t.sqlite")).unwrap());
            assert_eq!(server.pid(), pid, "it has lived through it");
        }
    }
    assert!(!disk.log().contains("panicked"), "{}", disk.log());
    assert_eq!(server.terminate(), Some(0));
    let server = disk.start(journal);
    let (_, shown) = server.admin("GET", "orgs/acme", &token, &Value::Null);
    assert_eq!(shown["spend"]["settled_usd"], wire::NanoUsd(n * 20_000).to_usd());
    assert_eq!(shown["spend"]["outstanding_usd"], "0.00");
}

#[test]
fn a_disk_that_breaks_stops_grants_and_reports_but_not_reads_until_it_works_again() {
    run(false);
}

#[test]
fn a_disk_that_breaks_leaves_database_and_journal_in_step() {
    run(true);
}

#[test]
fn on_a_disk_that_is_broken_already_the_server_does_not_start_and_says_why() {
    for journal in [false, true] {
        let (read_only, io_error) =
            (["Read-only file system"; 2], ["disk I/O", "Input/output error"]);
        for (broken, why) in
            [(Broken::ReadOnly, read_only), (Broken::NoWrite, io_error), (Broken::NoSync, io_error)]
        {
            let disk = Disk::new();
            assert_eq!(disk.start(journal).terminate(), Some(0));
            disk.becomes(broken);
            let mut server = disk.start(journal);
            assert!(!server.listens(), "{broken:?}: it serves");
            assert_eq!(server.ended().unwrap().code(), Some(1), "{broken:?}");
            let log = disk.log();
            let which = ["database", "t.sqlite", "journal"].iter().any(|name| log.contains(name));
            assert!(which && why.iter().any(|why| log.contains(why)), "{broken:?}: {log}");
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}
