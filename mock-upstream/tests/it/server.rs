//! A mock upstream on a free port, for one test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mock_upstream::serve::MockServer;
use serde_json::Value;

const CHAT: &str = "/v1/chat/completions";

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
        self.raw(CHAT, body, fault)
    }

    pub fn open_chat(&self, body: &str, fault: &str) -> TcpStream {
        self.open(CHAT, body, fault)
    }

    /// Sends a request and returns every byte until the connection ends.
    pub fn raw(&self, path: &str, body: &str, fault: &str) -> String {
        String::from_utf8(self.whole_bytes(path, body, fault)).unwrap()
    }

    /// As [`TestServer::raw`], without the sizes of HTTP chunks.
    pub fn whole(&self, path: &str, body: &str, fault: &str) -> String {
        let answer = self.raw(path, body, fault);
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
        if !head.contains("transfer-encoding: chunked") {
            return answer;
        }
        let mut whole = format!("{head}\r\n\r\n");
        let mut rest = rest;
        while let Some((size, after)) = rest.split_once("\r\n") {
            match usize::from_str_radix(size, 16).unwrap() {
                0 => return whole,
                size => {
                    whole += &after[..size];
                    rest = &after[size + 2..];
                }
            }
        }
        whole
    }

    pub fn whole_bytes(&self, path: &str, body: &str, fault: &str) -> Vec<u8> {
        let mut answer = Vec::new();
        // A cut connection may end with an error after its last byte.
        let _ = self.open(path, body, fault).read_to_end(&mut answer);
        answer
    }

    fn open(&self, path: &str, body: &str, fault: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let fault =
            if fault.is_empty() { String::new() } else { format!("x-mock-fault: {fault}\r\n") };
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: mock\r\nconnection: close\r\n{fault}\
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
