//! The binary itself: refusals at start, the first start, and the administration commands.

use std::process::Output;

use crate::process::{Process, TOKEN, serve, serve_arguments, start, tollgate};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn guessable_secrets_and_open_ports_are_refused_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let changeme = format!("changeme-{TOKEN}");
    let same = "a".repeat(40);
    for (token, extra, says) in [
        (None, "", "TOLLGATE_FILTER_TOKEN is not set"),
        (Some(""), "", "TOLLGATE_FILTER_TOKEN is not set"),
        (Some("0123456789abcdef"), "", "shorter than 32 characters"),
        (Some(changeme.as_str()), "", "looks like a default value"),
        (Some(same.as_str()), "", "looks like a default value"),
        (Some(TOKEN), "--filter-listen=0.0.0.0:0", "--listen-anywhere"),
        (Some(TOKEN), "--keep-requests-days=29", "30..=36525"),
    ] {
        let mut command = tollgate();
        command.arg("serve").arg("--database").arg(folder.path().join("x.sqlite"));
        command.args([extra].into_iter().filter(|extra| !extra.is_empty()));
        if let Some(token) = token {
            command.env("TOLLGATE_FILTER_TOKEN", token);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{token:?} {extra}");
        let complaint = text(&output.stderr);
        assert!(complaint.contains(says), "{complaint}");
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            assert!(!complaint.contains(token), "the secret is printed: {complaint}");
        }
    }
    assert!(!folder.path().join("x.sqlite").exists(), "nothing is made before the checks");
}

#[test]
fn the_admin_token_is_shown_at_the_first_start_only_and_administers() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    assert!(token.starts_with("tga_") && token.len() >= 36);
    let run = |server: &Process, token: &str, arguments: &[&str]| -> Output {
        tollgate()
            .args(arguments)
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", token)
            .output()
            .unwrap()
    };
    let ok = |arguments: &[&str]| {
        let output = run(&server, &token, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let prices = ["--input-price", "0.15", "--output-price", "0.60"];
    let sizes = ["--context-length", "128000", "--max-output-tokens", "16384"];
    let name = ["models", "put", "openai/gpt-4o-mini", "--aliases", "fast"];
    let bounds =
        ["--image-tokens", "1445", "--audio-tokens", "19200", "--document-tokens", "80000"];
    let takes = ["--max-server-tool-calls", "8", "--supported-parameters", "temperature, tools"];
    let shown = ok(&[&name[..], &prices, &sizes, &bounds, &takes, &["--json"]].concat());
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["supported_parameters"], serde_json::json!(["temperature", "tools"]));
    assert_eq!(
        [&shown["image_tokens"], &shown["audio_tokens"], &shown["document_tokens"]],
        [1_445, 19_200, 80_000]
    );
    assert_eq!(shown["max_server_tool_calls"], 8);
    let plan = ["--price-multiplier", "1.25", "--budget", "500", "--period", "month"];
    let shown = ok(&[&["orgs", "put", "acme", "--name", "Acme"][..], &plan].concat());
    assert!(
        shown.lines().any(|line| line.starts_with("price_multiplier") && line.contains("1.25"))
    );
    let key = ok(&[
        "keys",
        "create",
        "--org",
        "acme",
        "--name",
        "nightly",
        "--models",
        "fast",
        "--budget",
        "1.50",
        "--limit-rate",
        "requests/1m=60",
        "--limit-rate",
        "concurrent=2",
        "--json",
    ]);
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    assert_eq!(key["models"], serde_json::json!(["openai/gpt-4o-mini"]));
    assert_eq!(key["limits"].as_array().unwrap().len(), 2);
    let id = key["id"].as_str().unwrap();
    let list = ok(&["keys", "list", "--status", "active"]);
    assert!(list.starts_with("id ") && list.contains(id) && list.contains("nightly"), "{list}");
    assert!(ok(&["models", "list"]).contains("openai/gpt-4o-mini"));
    ok(&["keys", "patch", id, "--budget", "2", "--name", "daily", "--wait", "0"]);
    let shown = ok(&["keys", "show", id]);
    assert!(shown.contains("daily") && shown.contains("\"cap_usd\":\"2.00\""), "{shown}");
    ok(&["teams", "cap", "acme", "search", "20", "--period", "week", "--wait", "0"]);
    ok(&["users", "cap", "acme", "ada", "5"]);
    ok(&["keys", "patch", id, "--team", "search", "--user", "ada"]);
    let added = ok(&["wallets", "top-up", "acme", "100", "--id", "inv-7", "--note", "June"]);
    assert!(added.contains("inv-7") && added.contains("100.00"), "{added}");
    assert!(ok(&["wallets", "show", "acme"]).contains("100.00"));
    assert!(ok(&["wallets", "top-ups", "acme"]).contains("June"));
    let above = ok(&["budgets", "list", "--key", id]);
    for level in ["key     key_", "user    acme/ada", "team    acme/search", "org ", "wallet "] {
        assert!(above.lines().any(|line| line.starts_with(level)), "{level}: {above}");
    }
    assert!(ok(&["teams", "budget", "acme", "search"]).contains("20.00"));
    ok(&["users", "uncap", "acme", "ada"]);
    ok(&["keys", "rotate", id]);
    ok(&["keys", "disable", id]);
    ok(&["keys", "enable", id]);
    assert!(ok(&["keys", "revoke", id]).contains("revoked"));
    ok(&["keys", "delete", id]);
    assert!(ok(&["records", "list"]).starts_with("started"));
    let filter = ["--org", "acme", "--team", "search", "--status", "200", "--from", "2026-11-20"];
    assert!(ok(&[&["requests", "list"][..], &filter].concat()).starts_with("started"));
    let exported = ok(&["requests", "export", "--to", "2026-11-20"]);
    assert!(exported.starts_with("request,started_at,key,") && exported.lines().count() == 1);
    let file = folder.path().join("requests.jsonl");
    let to_file = ["requests", "export", "--format", "jsonl", "--output", file.to_str().unwrap()];
    assert_eq!(ok(&to_file), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
    assert!(ok(&["usage"]).starts_with("day  requests"));
    let by_team = ok(&["usage", "--by", "team", "--org", "acme", "--from", "2026-11-20"]);
    assert!(by_team.starts_with("org  team  requests"), "{by_team}");
    let absent = run(&server, &token, &["requests", "show", "req_1"]);
    assert!(text(&absent.stderr).contains("not_found"));
    let no_org = run(&server, &token, &["usage", "--team", "search"]);
    assert_eq!(no_org.status.code(), Some(2));
    ok(&["models", "retire", "openai/gpt-4o-mini"]);
    ok(&["orgs", "delete", "acme"]);

    let refused = run(&server, &token, &["keys", "enable", id]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("key_deleted"));
    let refused = run(&server, "tga_wrong", &["keys", "list"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("invalid_admin_token"));

    let url = server.admin_url();
    assert_eq!(server.terminate(), Some(0), "SIGTERM ends it in order");
    let gone = tollgate()
        .args(["keys", "list"])
        .env("TOLLGATE_ADMIN_URL", url)
        .env("TOLLGATE_ADMIN_TOKEN", &token)
        .output()
        .unwrap();
    assert!(text(&gone.stderr).contains("cannot reach the admin API"), "{gone:?}");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    for secret in [token.as_str(), TOKEN, key["key"].as_str().unwrap()] {
        assert!(!log.contains(secret), "a secret stands in the log");
    }

    let server = serve(folder.path());
    assert!(server.line("admin token").is_none(), "later starts keep it to themselves");
    let output = run(&server, &token, &["orgs", "list", "--json"]);
    assert!(output.status.success(), "the token still holds: {}", text(&output.stderr));
}

#[test]
fn two_filter_tokens_are_valid_while_one_replaces_the_other() {
    const OLD: &str = "1b4f0e9851971998e732078544c96b36";
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let admin_token = server.line("admin token: ").expect("shown once").to_owned();
    let knock = |server: &Process, token| server.filter_as(token, "nope", &()).unwrap().0;
    assert_eq!((knock(&server, TOKEN), knock(&server, OLD)), (404, 401));
    assert_eq!(server.terminate(), Some(0));

    let mut command = tollgate();
    command.args(serve_arguments(folder.path())).env("TOLLGATE_FILTER_TOKEN_PREVIOUS", OLD);
    let server = start(command, folder.path());
    let calls = || {
        let (_, status) = server.admin("GET", "status", &admin_token, &serde_json::Value::Null);
        status["previous_token_calls"].as_u64().unwrap()
    };
    assert_eq!((knock(&server, TOKEN), calls()), (404, 0));
    assert_eq!((knock(&server, OLD), calls()), (404, 1));
    assert_eq!((knock(&server, &format!("{OLD}0")), calls()), (401, 1));
    assert_eq!(server.terminate(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains(OLD) && !log.contains(TOKEN), "{log}");

    // What could not have been a token is a slip, and is named without being repeated.
    let mut command = tollgate();
    command.args(serve_arguments(folder.path())).env("TOLLGATE_FILTER_TOKEN", TOKEN);
    let output = command.env("TOLLGATE_FILTER_TOKEN_PREVIOUS", "too-short").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let complaint = text(&output.stderr);
    assert!(complaint.contains("TOLLGATE_FILTER_TOKEN_PREVIOUS"), "{complaint}");
    assert!(!complaint.contains("too-short"), "{complaint}");
}

#[test]
fn a_second_server_on_the_same_files_exits_with_code_1_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let first = serve(folder.path());
    let journal = folder.path().join("journal");
    let run = |journal: Option<&std::path::Path>| {
        let mut command = tollgate();
        command.args(serve_arguments(folder.path())).env("TOLLGATE_FILTER_TOKEN", TOKEN);
        if let Some(journal) = journal {
            command.arg("--journal").arg(journal);
        }
        command.output().unwrap()
    };
    for journal in [None, Some(journal.as_path())] {
        let second = run(journal);
        assert_eq!(second.status.code(), Some(1));
        let complaint = text(&second.stderr);
        assert!(complaint.contains("t.sqlite is in use by another server"), "{complaint}");
        assert!(!text(&second.stdout).contains("API on"), "it never listened for requests");
    }
    let restore = tollgate()
        .args(["restore", "--database"])
        .arg(folder.path().join("t.sqlite"))
        .output()
        .unwrap();
    assert_eq!(restore.status.code(), Some(1));
    assert!(text(&restore.stderr).contains("is in use by another server"));
    assert!(first.holder(1).is_some(), "the first one is not disturbed");
    assert_eq!(first.terminate(), Some(0));
}

#[test]
fn every_price_can_be_set_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    let put = |prices: &str| -> Output {
        tollgate()
            .args(["models", "put", "opus", "--context-length", "9", "--max-output-tokens", "9"])
            .args(["--json"])
            .args(prices.split_whitespace())
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", &token)
            .output()
            .unwrap()
    };
    let output = put("--input-price 3 --output-price 15 --cached-input-price 0.30 \
         --cache-write-price 3.75 --cache-write-1h-price 6 --audio-input-price 10 \
         --image-input-price 5 --audio-output-price 20 --image-output-price 40 \
         --call-price 0.002 --server-tool-call-price 0.01 \
         --tier above=200000,input=6,output=22.50,cached-input=0.60,cache-write=7.50,cache-write-1h=12,\
audio-input=11,image-input=5.50,audio-output=21,image-output=41");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let same = [
        ("input", "3.00", "6.00"),
        ("output", "15.00", "22.50"),
        ("cached_input", "0.30", "0.60"),
        ("cache_write", "3.75", "7.50"),
        ("cache_write_1h", "6.00", "12.00"),
        ("audio_input", "10.00", "11.00"),
        ("image_input", "5.00", "5.50"),
        ("audio_output", "20.00", "21.00"),
        ("image_output", "40.00", "41.00"),
    ];
    for (kind, below, above) in same {
        let field = format!("{kind}_usd_per_mtok");
        assert_eq!(shown[&field], below, "{kind}");
        assert_eq!(shown["tiers"][0][&field], above, "{kind} in the tier");
    }
    assert_eq!(shown["tiers"][0]["above_input_tokens"], 200_000);
    assert_eq!(shown["usd_per_call"], "0.002");
    assert_eq!(shown["usd_per_server_tool_call"], "0.01");

    assert!(put("--free").status.success());
    for (prices, code, says) in [
        ("", 2, "--input-price"),
        ("--free --input-price 1 --output-price 1", 2, "--free"),
        ("--free --cache-write-price 1", 1, "contradicts the prices given"),
        ("--input-price 1 --output-price 1 --tier 200000", 1, "--tier 200000"),
        (
            "--input-price 1 --output-price 1 --tier above=9,input=1",
            1,
            "tiers[0].output_usd_per_mtok",
        ),
    ] {
        let refused = put(prices);
        let complaint = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(code), "{prices}: {complaint}");
        assert!(complaint.contains(says), "{prices}: {complaint}");
    }
}
