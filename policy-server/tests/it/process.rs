//! The binary itself, as a process that a test starts, asks, kills and looks after.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::Nonce;
use wire::v1::{RegisterReply, RegisterRequest};

use crate::world::Holder;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// How long a process may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// A server process that is ended when the test ends.
pub struct Process {
    child: Child,
    lines: Vec<String>,
}

impl Process {
    pub fn line(&self, start: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(start))
    }

    pub fn admin_url(&self) -> String {
        format!("http://{}", self.line("admin API on ").unwrap())
    }

    /// Whether it got as far as listening.
    pub fn listens(&self) -> bool {
        self.line("admin API on ").is_some()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end and answers its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.ended().expect("the server did not end on SIGTERM").code()
    }

    /// Waits until it has ended by itself; none when it goes on.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < END_WITHIN {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Waits until it has been killed.
    #[cfg(feature = "failpoints")]
    pub fn killed(&mut self) {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.ended().expect("the server was to be killed");
        assert_eq!(status.signal(), Some(9), "{status}");
    }

    /// A request to the filter API; none where no answer came. Otherwise status and body.
    pub fn filter<T: Serialize>(&self, path: &str, body: &T) -> Option<(u16, Value)> {
        self.filter_as(TOKEN, path, body)
    }

    /// The same by a filter that shows this token.
    pub fn filter_as<T: Serialize>(
        &self,
        token: &str,
        path: &str,
        body: &T,
    ) -> Option<(u16, Value)> {
        let url = format!("http://{}/proxy/v1/{path}", self.line("filter API on ").unwrap());
        send("POST", &url, token, serde_json::to_string(body).unwrap())
    }

    pub fn filter_ok<T: Serialize, R: DeserializeOwned>(&self, path: &str, body: &T) -> Option<R> {
        let (status, answer) = self.filter(path, body)?;
        assert_eq!(status, 200, "{path}: {answer}");
        Some(serde_json::from_value(answer).unwrap())
    }

    pub fn admin(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/admin/v1/{path}", self.admin_url());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        send(method, &url, token, body).unwrap()
    }

    pub fn holder(&self, nonce: u8) -> Option<Holder> {
        let request = RegisterRequest {
            protocol: wire::PROTOCOL_VERSION,
            nonce: Nonce([nonce; 16]),
            plugin: "test".to_owned(),
            without_push: false,
            count_windows_below: 0,
        };
        let reply: RegisterReply = self.filter_ok("holders", &request)?;
        Some(Holder { id: reply.holder, epoch: reply.epoch, revision: reply.revision })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn send(method: &str, url: &str, token: &str, body: String) -> Option<(u16, Value)> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(END_WITHIN))
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(url)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    let mut response = agent.run(request).ok()?;
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().ok()?;
    Some((status, serde_json::from_str(&text).unwrap()))
}

pub fn tollgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear();
    command
}

/// The arguments of a server on free ports with its database in this folder.
pub fn serve_arguments(folder: &Path) -> Vec<String> {
    let database = folder.join("t.sqlite").display().to_string();
    let listen = ["--filter-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let all = ["serve"].into_iter().chain(listen).chain(["--database", &database]);
    all.map(str::to_owned).collect()
}

/// Starts a server and waits until it listens or ends.
pub fn serve(folder: &Path) -> Process {
    let mut command = tollgate();
    command.args(serve_arguments(folder));
    let process = start(command, folder);
    assert!(process.listens(), "see {}", folder.join("log").display());
    process
}

/// Starts this command and waits until it listens or ends.
pub fn start(mut command: Command, folder: &Path) -> Process {
    let mut child = command
        .env("TOLLGATE_FILTER_TOKEN", TOKEN)
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        lines.push(line.unwrap());
        if lines.last().unwrap().starts_with("admin API on") {
            break;
        }
    }
    Process { child, lines }
}
