//! A disk that takes no more: nothing is granted, what is there can be read, and when there is room
//! again everything goes on. The limit on the size of files that the process may write stands for
//! the disk.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use wire::v1::{AdmitReply, LeaseAnswer, Problem, ReportReply, ReportRequest};

use crate::process::{Process, serve_arguments, start};
use crate::world::{
    Holder, Key, MODEL, admit_request, ask, check_ledger, final_report, micro, record,
    report_request,
};

/// How large the files of a process may become; none: as large as they like.
fn limit(process: &Process, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(process.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// The signal of the limit would end the process, and a full disk sends none.
const LAUNCHER: &str = "trap '' XFSZ; exec \"$@\"";

/// The same where the disk of the log is full from the beginning.
const WITHOUT_LOG: &str = "trap '' XFSZ; exec \"$@\" 2>/dev/full";

/// A server that lives through the limit.
fn server(folder: &std::path::Path, journal: bool, launcher: &str) -> Process {
    let mut command = Command::new("bash");
    command.env_clear().args(["-c", launcher, "bash"]);
    command.arg(env!("CARGO_BIN_EXE_tollgate")).args(serve_arguments(folder));
    if journal {
        command.arg("--journal").arg(folder.join("journal"));
    }
    let server = start(command, folder);
    assert!(server.listens());
    server
}

/// Whether a call that needs money is granted some; otherwise it was refused because of the store.
pub fn granted(server: &Process, holder: &Holder, key: &Key, n: u64) -> bool {
    let (status, answer) =
        server.filter("admit", &admit_request(holder, key, n, Some(ask(10)))).unwrap();
    if status == 503 {
        assert_eq!(answer["error"]["code"], Problem::STORE_UNAVAILABLE);
        return false;
    }
    assert_eq!(status, 200, "{answer}");
    let reply: AdmitReply = serde_json::from_value(answer).unwrap();
    assert!(matches!(reply.lease, LeaseAnswer::Granted(_)), "{reply:?}");
    true
}

/// The report that ends a lease of which 20 micro-USD were spent.
pub fn report(holder: &Holder, key: &Key, n: u64) -> ReportRequest {
    let lease = holder.lease(n);
    let reports = vec![final_report(&lease, micro(20))];
    report_request(holder, reports, vec![record(key, Some(lease), n, 10)])
}

fn run(journal: bool, launcher: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server_at = |journal| server(folder.path(), journal, launcher);
    let server = server_at(journal);
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
    let mut last = 0;
    for round in 0..3 {
        let log = folder.path().join("t.sqlite-wal").metadata().unwrap().len();
        limit(&server, Some(log + 40_000));
        let full = (last + 1..last + 60).find(|n| !granted(&server, &holder, &key, *n));
        let full = full.unwrap_or_else(|| panic!("round {round}: the limit was not reached"));
        for _ in 0..2 {
            assert!(!granted(&server, &holder, &key, full));
            let (status, answer) =
                server.filter("reports", &report(&holder, &key, last + 1)).unwrap();
            assert_eq!(status, 503);
            assert_eq!(answer["error"]["code"], Problem::STORE_UNAVAILABLE);
            let (status, answer) = server.admin("POST", "keys", &token, &acme);
            assert_eq!(status, 503, "{answer}");
            let (status, shown) = server.admin("GET", "keys", &token, &Value::Null);
            assert_eq!(status, 200, "{shown}");
            assert_eq!(shown["data"].as_array().unwrap().len(), 1, "what was refused is not there");
        }
        limit(&server, None);
        for n in last + 1..=full {
            assert!(granted(&server, &holder, &key, n), "there is room again");
            server.filter_ok::<_, ReportReply>("reports", &report(&holder, &key, n)).unwrap();
        }
        check_ledger(&rusqlite::Connection::open(folder.path().join("t.sqlite")).unwrap());
        last = full;
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
    assert_eq!(server.terminate(), Some(0));
    // Database and journal agree.
    let server = server_at(journal);
    let (_, shown) = server.admin("GET", "orgs/acme", &token, &Value::Null);
    let settled = wire::NanoUsd(last * 20_000).to_usd();
    assert_eq!(shown["spend"]["settled_usd"], settled);
}

#[test]
fn a_full_disk_stops_grants_and_reports_but_not_reads_until_there_is_room() {
    run(false, LAUNCHER);
}

#[test]
fn a_full_disk_leaves_database_and_journal_in_step() {
    run(true, LAUNCHER);
}

#[test]
fn a_full_disk_that_takes_no_log_either_ends_nothing() {
    run(true, WITHOUT_LOG);
}
