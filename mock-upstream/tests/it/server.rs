//! A mock upstream on a free port, for one test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mock_upstream::serve::MockServer;
use serde_json::Value;

/// Serves until it is dropped.
pub struct TestServer {
    pub address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl TestServer {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(MockServer::bind("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = server.address().unwrap();
        runtime.spawn(server.run());
        Self { address, _runtime: runtime }
    }

    /// Sends a chat request and returns every byte until the connection ends.
    pub fn raw_chat(&self, body: &str, fault: &str) -> String {
        let mut stream = self.open_chat(body, fault);
        let mut answer = Vec::new();
        // A cut connection may end with an error after its last byte.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    pub fn open_chat(&self, body: &str, fault: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let fault =
            if fault.is_empty() { String::new() } else { format!("x-mock-fault: {fault}\r\n") };
        write!(
            stream,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n{fault}\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
    }

    pub fn get(&self, path: &str) -> Value {
        let mut answer = ureq::get(format!("http://{}{path}", self.address)).call().unwrap();
        answer.body_mut().read_json().unwrap()
    }

    pub fn post(&self, path: &str, body: &Value) -> u16 {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let answer = agent
            .post(format!("http://{}{path}", self.address))
            .content_type("application/json")
            .send(body.to_string());
        answer.unwrap().status().as_u16()
    }

    /// The counts, once no answer is being written any more.
    pub fn settled_stats(&self) -> Value {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let stats = self.get("/_mock/stats");
            if stats["running"] == 0 {
                return stats;
            }
            assert!(Instant::now() < deadline, "an answer never ended: {stats}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The JSON body of a raw answer that is not streamed.
pub fn json_body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The data of all events of a raw streamed answer, whichever way it was cut into HTTP chunks.
pub fn events(answer: &str) -> Vec<String> {
    let lines = answer.split_once("\r\n\r\n").unwrap().1.lines();
    lines.filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}
