//! The real server, killed at each step of a grant and of a report, again and again on the same
//! files: what was answered stands, what was not is done once when it is asked for again.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};
use wire::v1::{AdmitReply, Grant, LeaseAnswer, ReportReply};

use crate::process::{Process, serve_arguments, start, tollgate};
use crate::world::{
    Holder, Key, MODEL, accounts, admit_request, ask, check_ledger, final_report, micro, record,
    report_request,
};

const PLACES: [&str; 5] =
    ["before_batch", "after_journal", "before_commit", "after_commit", "after_effects"];

/// Rounds at each place.
const ROUNDS: u64 = 10;

/// The cap of the organisation in micro-USD: reached before the last round.
const CAP: u64 = 60_000;

/// Output tokens of each call, at 2 micro-USD.
const TOKENS: u64 = 500;

/// A server that dies at a place; `None`: one that does not.
fn server(folder: &Path, dies: Option<(&str, u64)>) -> Process {
    let mut command = tollgate();
    command.args(serve_arguments(folder)).arg("--journal").arg(folder.join("journal"));
    if let Some((place, count)) = dies {
        command.env("TOLLGATE_FAILPOINT", format!("{place}:{count}"));
    }
    start(command, folder)
}

/// The server that runs now, started anew whenever it has died.
struct Mortal<'f> {
    folder: &'f Path,
    process: Process,
    deaths: u64,
}

impl Mortal<'_> {
    /// Asks until there is an answer. A server that does not answer has been killed, and the next
    /// one is not to be.
    fn ask<T>(&mut self, request: impl Fn(&Process) -> Option<T>) -> T {
        if self.process.listens()
            && let Some(answer) = request(&self.process)
        {
            return answer;
        }
        self.process.killed();
        self.deaths += 1;
        self.process = server(self.folder, None);
        request(&self.process).expect("an answer")
    }
}

/// What the test knows to be true because it was answered.
#[derive(Default)]
struct Answered {
    grants: BTreeMap<u64, Grant>,
    spent: BTreeMap<u64, u64>,
}

impl Answered {
    fn check(&self, database: &Path) {
        let tables = Connection::open(database).unwrap();
        check_ledger(&tables);
        let settled: u64 = self.spent.values().sum();
        let open = self.grants.iter().filter(|(n, _)| !self.spent.contains_key(n));
        let outstanding: u64 = open.map(|(_, grant)| grant.amount.0).sum();
        for account in accounts(&tables) {
            let sums = (account.settled as u64, account.outstanding as u64, account.overdraft);
            assert_eq!(sums, (settled * 1_000, outstanding, 0), "{account:?}");
        }
        assert!(settled * 1_000 + outstanding <= CAP * 1_000);
    }
}

fn grant(server: &mut Mortal<'_>, holder: &Holder, key: &Key, n: u64) -> LeaseAnswer {
    let request = admit_request(holder, key, n, Some(ask(TOKENS)));
    server.ask(|process| process.filter_ok::<_, AdmitReply>("admit", &request)).lease
}

#[test]
fn killed_at_every_step_the_ledger_adds_up_and_repeating_answers_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("t.sqlite");
    let first = server(folder.path(), None);
    let token = first.line("admin token: ").unwrap().to_owned();
    let model = json!({
        "input_usd_per_mtok": "1", "output_usd_per_mtok": "2", "context_length": 128_000,
        "max_output_tokens": 16_384,
    });
    let cap = format!("0.{CAP:06}");
    let org = json!({"models": ["*"], "budget": {"usd": cap, "period": "none"}});
    for (method, path, body) in
        [("PUT", format!("models/{MODEL}"), model), ("PUT", "orgs/acme".to_owned(), org)]
    {
        let (status, answer) = first.admin(method, &path, &token, &body);
        assert!(status < 300, "{answer}");
    }
    let (_, key) = first.admin("POST", "keys", &token, &json!({"org": "acme"}));
    let key = Key::of(&key);
    let holder = first.holder(1).unwrap();
    drop(first);

    let mut answered = Answered::default();
    let (mut n, mut deaths, mut refused) = (0, BTreeMap::new(), 0);
    for round in 0..ROUNDS {
        for place in PLACES {
            // The first pass is the start itself; the report after the first grant is the third.
            let process = server(folder.path(), Some((place, 1 + round % 5)));
            let mut server = Mortal { folder: folder.path(), process, deaths: 0 };
            for _ in 0..2 {
                n += 1;
                let answer = grant(&mut server, &holder, &key, n);
                let LeaseAnswer::Granted(granted) = answer else {
                    refused += 1;
                    continue;
                };
                assert_eq!((granted.n, granted.amount), (n, micro(2 * TOKENS)));
                answered.grants.insert(n, granted.clone());
                // Every third call stays open.
                if n % 3 != 0 {
                    let reports = vec![final_report(&granted.lease, micro(TOKENS + n))];
                    let records = vec![record(&key, Some(granted.lease.clone()), n, TOKENS / 2)];
                    let request = report_request(&holder, reports, records);
                    server.ask(|process| process.filter_ok::<_, ReportReply>("reports", &request));
                    answered.spent.insert(n, TOKENS + n);
                } else {
                    let again = grant(&mut server, &holder, &key, n);
                    assert_eq!(again, LeaseAnswer::Granted(granted), "the same lease");
                }
                answered.check(&database);
            }
            *deaths.entry(place).or_insert(0) += server.deaths;
        }
    }
    // Few enough passes that nearly every round dies; each place must have killed often.
    for (place, deaths) in &deaths {
        assert!(*deaths >= ROUNDS / 2, "{place}: {deaths} deaths");
    }
    assert!(refused > 0, "the cap was reached");
    let records: i64 = Connection::open(&database)
        .unwrap()
        .query_row("SELECT count(*) FROM records", [], |row| row.get(0))
        .unwrap();
    assert_eq!(records, i64::try_from(answered.spent.len()).unwrap());
    let last = server(folder.path(), None);
    let (status, shown) = last.admin("GET", &format!("keys/{}", key.id), &token, &Value::Null);
    assert_eq!((status, &shown["spend"]["overdraft_usd"]), (200, &json!("0.00")));
}
