//! Whoever else comes to the database of a server that serves is refused, and the server goes on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use e2e::load::Load;
use e2e::{Fixture, chat};
use serde_json::json;
use xtask::binaries;
use xtask::http_client::Client;
use xtask::stack::StackOptions;

/// How long a program may take to see that it is not alone.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

/// What comes by each name of the database, each time.
const ATTEMPTS: usize = 3;

/// Ended also where it was not refused.
struct Intruder(Child);

impl Drop for Intruder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a command of `tollgate` that must fail, and answers what it complains of.
fn refused(arguments: &[&str]) -> String {
    let mut command = Command::new(binaries::build(false).unwrap().tollgate);
    command
        .args(arguments)
        .env("TOLLGATE_FILTER_TOKEN", "0123456789abcdef0123456789abcdef")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut intruder = Intruder(command.spawn().unwrap());
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = intruder.0.try_wait().unwrap() {
            break status;
        }
        assert!(begun.elapsed() < REFUSED_WITHIN, "{arguments:?} is not refused");
        std::thread::sleep(Duration::from_millis(10));
    };
    let said = std::io::read_to_string(intruder.0.stderr.take().unwrap()).unwrap();
    assert!(!status.success(), "{arguments:?} succeeded: {said}");
    said
}

/// Another name of a file, removed with the value.
struct Link(PathBuf);

impl Link {
    fn to(file: &Path) -> Self {
        let link = file.with_extension("link");
        std::os::unix::fs::symlink(file, &link).unwrap();
        Self(link)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_second_server_on_the_file_is_refused_and_the_first_goes_on() {
    let fixture =
        Fixture::with(&StackOptions { journal: true, ..StackOptions::default() }).unwrap();
    let budget = |usd: &str| json!({"budget": {"usd": usd, "period": "none"}});
    let keys = ["0.005", "5"].map(|usd| fixture.key(budget(usd)).unwrap());
    let clients =
        keys.iter().flat_map(|(_, secret)| [(); 4].map(|()| fixture.stack.gateway(secret)));
    let call = |client: &Client, number: u64| {
        chat(client, json!({"max_tokens": 64, "stream": number.is_multiple_of(2)}))
    };
    let load = Load::start(clients.collect(), Duration::from_secs(120), call);
    std::thread::sleep(Duration::from_millis(500));

    let database = fixture.stack.database();
    let link = Link::to(database);
    let journal = fixture.stack.journal().unwrap().display().to_string();
    let server = fixture.stack.server_id();
    for _ in 0..ATTEMPTS {
        for name in [database, &link.0] {
            let name = name.display().to_string();
            let file = ["--database", &name];
            let ports = ["--filter-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
            for arguments in [
                [&["serve"], &file[..], &ports].concat(),
                [&["serve"], &file[..], &ports, &["--journal", &journal]].concat(),
                [&["restore"], &file[..]].concat(),
                [&["restore"], &file[..], &["--journal", &journal]].concat(),
            ] {
                let said = refused(&arguments);
                assert!(said.contains("in use"), "{arguments:?}: {said}");
            }
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    let tally = load.stop();
    println!("{tally}");
    assert_eq!((fixture.stack.server_id(), fixture.stack.ended_part()), (server, None));
    // Nobody saw anything of it.
    assert_eq!(tally.others(&["200", "402 budget_exceeded", "429 budget_contended"]), [""; 0]);
    fixture.upstream_at_rest().unwrap();
    for (key, _) in &keys {
        let (spend, both) = fixture.settled_books(key, Duration::from_secs(30)).unwrap();
        println!("{spend:?} {both:?}");
        spend.assert_within_cap();
        assert_eq!((both.lost, spend.parked), (0, 0), "{spend:?} {both:?}");
        assert_eq!((spend.settled, both.recorded), (both.upstream, both.upstream), "{both:?}");
    }
    // The database has had one life only.
    let status = fixture.stack.admin().get("/admin/v1/status").unwrap().success().unwrap().json();
    assert_eq!(status["unknown_leases"], 0, "{status}");
    let frozen = fixture.stack.admin().get("/admin/v1/budgets?frozen=true").unwrap().json();
    assert_eq!(frozen["data"], json!([]), "a refused restore froze something");
}
