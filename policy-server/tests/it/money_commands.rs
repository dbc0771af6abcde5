//! Periods, shared limits, webhooks and the wallet's ledger on the command line, and a courier that
//! works within the server's own process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Process, serve, serve_arguments, start, tollgate};

/// Takes posts, answers each with 204 and passes their bodies on.
fn receiver() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, posts) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(8) {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            lines.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            let _ = sender.send(String::from_utf8(body).unwrap());
        }
    });
    (url, posts)
}

struct Cli<'a> {
    server: &'a Process,
    token: String,
}

impl Cli<'_> {
    fn run(&self, line: &str) -> std::process::Output {
        let words: Vec<_> = line.split_whitespace().map(|word| word.replace("''", "")).collect();
        tollgate()
            .args(words)
            .env("TOLLGATE_ADMIN_URL", self.server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", &self.token)
            .output()
            .unwrap()
    }

    fn text(&self, line: &str) -> String {
        let output = self.run(line);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{line}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.text(&format!("{line} --json"))).unwrap()
    }

    fn complaint(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(!output.status.success(), "{line} succeeds");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn money_is_administered_on_the_command_line_and_the_server_tells_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tollgate();
    command.args(serve_arguments(folder.path())).arg("--webhooks-allow-private");
    let server = start(command, folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    let cli = Cli { server: &server, token: token.clone() };
    cli.text("models put m --input-price 1 --output-price 2 --context-length 1000 --max-output-tokens 100");

    let org = cli.json(
        "orgs put acme --budget 9 --period month --anchor 15 --time-zone europe/berlin \
         --limit-rate requests/1m=600 --limit-rate requests/1m@m=60",
    );
    assert_eq!((&org["budget"]["anchor"], &org["limits"][1]["model"]), (&json!("15"), &json!("m")));
    let org = cli.json("orgs patch acme --budget 10 --anchor none --limit-rate none");
    let budget = json!({"usd": "10.00", "period": "month", "time_zone": "Europe/Berlin"});
    assert_eq!((&org["budget"], &org["limits"]), (&budget, &json!([])));
    assert!(cli.complaint("orgs patch acme --anchor 3").contains("--budget"));
    assert!(cli.complaint("orgs patch acme --budget 1 --anchor monday").contains("budget.anchor"));
    let team = cli.json("teams cap acme search 5 --period week --anchor friday --alerts 50,100");
    assert_eq!((&team["anchor"], &team["alerts"]), (&json!("friday"), &json!([50, 100])));
    assert!(cli.text("budgets list --org acme").contains("resets"));
    cli.text("teams limits acme search --limit-rate requests/1m@m=5");
    let limits = cli.json("teams limits acme search");
    assert_eq!(
        (&limits["limits"][0]["max"], &limits["limits"][0]["model"]),
        (&json!(5), &json!("m"))
    );
    let user = cli.json("users put acme anna --limit-rate tokens/1h=1000");
    assert_eq!(user["limits"][0]["unit"], "tokens");
    cli.text("users limits acme anna --limit-rate none");
    assert_eq!(cli.json("users show acme anna")["limits"], json!([]));

    let (url, posts) = receiver();
    let hook = cli.json(&format!("webhooks create acme {url}"));
    assert!(hook["secret"].as_str().unwrap().starts_with("whsec_"));
    let id = hook["id"].as_str().unwrap();
    assert!(cli.text("webhooks list acme").contains(&url));
    cli.text(&format!("webhooks test acme {id}"));
    let wait = Duration::from_secs(20);
    let event: Value = serde_json::from_str(&posts.recv_timeout(wait).unwrap()).unwrap();
    assert_eq!(event["type"], "webhook.test");
    // A cap of nothing is reached at once.
    cli.text("teams cap acme search 0");
    for percent in [50, 100] {
        let event: Value = serde_json::from_str(&posts.recv_timeout(wait).unwrap()).unwrap();
        assert_eq!(event["data"]["threshold_percent"], percent, "{event}");
    }
    let told = cli.text(&format!("webhooks deliveries acme {id} --limit 5"));
    assert_eq!(told.lines().count(), 4, "{told}");
    let delivery = cli.json(&format!("webhooks deliveries acme {id}"))["data"][2]["id"].clone();
    cli.text(&format!("webhooks resend acme {id} {}", delivery.as_str().unwrap()));
    posts.recv_timeout(wait).unwrap();
    let rotated = cli.json(&format!("webhooks rotate acme {id}"));
    assert_ne!(rotated["secret"], hook["secret"]);
    let patched = cli.json(&format!("webhooks patch acme {id} --disabled"));
    assert_eq!(patched["enabled"], false);
    assert_eq!(cli.json(&format!("webhooks patch acme {id} --enabled"))["enabled"], true);
    assert_eq!(cli.json(&format!("webhooks show acme {id}"))["url"], url);
    cli.text(&format!("webhooks delete acme {id}"));
    assert!(cli.complaint(&format!("webhooks show acme {id}")).contains("not_found"));
    assert!(cli.complaint("webhooks create acme ftp://a/").contains("url"));

    cli.text("wallets top-up acme 100 --id one");
    cli.text("wallets adjust acme -5.50 --note chargeback");
    cli.text("wallets adjust acme 1 --note gift");
    assert_eq!(cli.json("wallets alerts acme 80,95")["alerts"], json!([80, 95]));
    assert_eq!(cli.json("wallets show acme")["cap_usd"], "95.50");
    let ledger = cli.text("wallets ledger acme");
    assert_eq!(ledger.lines().count(), 4, "{ledger}");
    assert!(ledger.contains("adjustments") && ledger.contains("chargeback"), "{ledger}");
    assert_eq!(cli.json("wallets check acme")["agrees"], true);
    assert_eq!(server.terminate(), Some(0));

    let database = rusqlite::Connection::open(folder.path().join("t.sqlite")).unwrap();
    let damage = "UPDATE budgets SET cap = cap + 1 WHERE level = 'wallet'";
    assert_eq!(database.execute(damage, []).unwrap(), 1);
    drop(database);
    let server = serve(folder.path());
    let cli = Cli { server: &server, token };
    assert!(cli.complaint("wallets check acme").contains("do not agree"));
    // Without the option nothing but https by a proxy can be told.
    assert!(cli.complaint("webhooks create acme http://127.0.0.1:1/").contains("https"));
}
