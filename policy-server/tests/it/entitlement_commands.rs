//! `tollgate plans`, `groups`, `aliases`, and what of them stands on other commands.

use serde_json::{Value, json};

use crate::process::{serve, tollgate};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn plans_groups_and_aliases_are_administered_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let token = server.line("admin token: ").expect("shown once").to_owned();
    let run = |arguments: &[&str]| {
        tollgate()
            .args(arguments)
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", &token)
            .output()
            .unwrap()
    };
    let ok = |arguments: &[&str]| {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let json_of = |arguments: &[&str]| -> Value {
        serde_json::from_str(&ok(&[arguments, &["--json"]].concat())).unwrap()
    };
    for model in ["big", "mini", "nano"] {
        let prices = ["--input-price", "0.15", "--output-price", "0.60"];
        let sizes = ["--context-length", "128000", "--max-output-tokens", "16384"];
        ok(&[&["models", "put", model][..], &prices, &sizes].concat());
    }
    ok(&["groups", "put", "small", "--description", "cheap ones", "--models", "mini"]);
    let group = json_of(&["groups", "patch", "small", "--add", "nano,big", "--remove", "mini"]);
    assert_eq!(group["models"], json!(["big", "nano"]));
    assert_eq!(group["description"], "cheap ones");
    let list = ok(&["groups", "list"]);
    assert!(list.starts_with("id ") && list.contains("cheap ones"), "{list}");
    assert!(ok(&["groups", "show", "small"]).contains("big,nano"));

    let plan = json_of(&["plans", "put", "gold", "--groups", "small", "--price-multiplier", "1.5"]);
    let chosen = json!({"mode": "restrict", "models": [], "groups": ["small"]});
    assert_eq!((&plan["models"], &plan["price_multiplier"]), (&chosen, &json!("1.50")));
    let plan = json_of(&["plans", "put", "tin", "--models", "mini, nano", "--name", "Tin"]);
    assert_eq!((&plan["models"], &plan["name"]), (&json!(["mini", "nano"]), &json!("Tin")));
    assert!(ok(&["plans", "list", "--limit", "1"]).trim_end().ends_with("more: --cursor gold"));
    let org = json_of(&["orgs", "put", "acme", "--plan", "gold", "--models", "big,mini,nano"]);
    assert_eq!(org["plan"], "gold");

    let make = ["keys", "create", "--org", "acme", "--team", "search", "--groups", "small"];
    let key = json_of(&make);
    assert_eq!((&key["models"], &key["plan"]), (&chosen, &Value::Null));
    let id = key["id"].as_str().unwrap();
    let team = json_of(&["teams", "models", "acme", "search", "--models", "nano", "--wait", "0"]);
    assert_eq!(team["models"]["models"], json!(["nano"]));
    let shown = json_of(&["teams", "models", "acme", "search"]);
    assert_eq!(shown["models"]["mode"], "restrict");
    let table = ok(&["keys", "models", id]);
    let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines: Vec<_> = words.collect();
    let expected: [Vec<&str>; 4] = [
        vec!["id", "allowed", "reasons", "groups", "aliases"],
        vec!["big", "false", "team", "small", "none"],
        vec!["mini", "false", "not_in_plan,team,key", "none", "none"],
        vec!["nano", "true", "none", "small", "none"],
    ];
    assert_eq!(lines, expected);
    assert_eq!(ok(&["keys", "models", id, "--allowed", "true"]).lines().count(), 2);
    ok(&["teams", "models", "acme", "search", "--models", "none"]);
    ok(&["users", "models", "acme", "ada", "--groups", "small"]);

    assert_eq!(json_of(&["plans", "assign", "tin", "--key", id])["plan"], "tin");
    assert_eq!(json_of(&["keys", "models", id])["plan"], "tin");
    assert_eq!(json_of(&["keys", "patch", id, "--plan", "none"])["plan"], Value::Null);
    let refused = run(&["plans", "delete", "gold"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("plan_in_use"), "{}", text(&refused.stderr));
    assert_eq!(json_of(&["plans", "assign", "none", "--org", "acme"])["plan"], Value::Null);
    ok(&["plans", "delete", "gold"]);
    assert!(!run(&["plans", "assign", "tin"]).status.success(), "to whom?");
    assert!(ok(&["plans", "show", "tin"]).contains("Tin"));

    ok(&["aliases", "put", "fast", "mini"]);
    ok(&["aliases", "put", "fast", "nano", "--wait", "0"]);
    assert!(ok(&["aliases", "show", "fast"]).contains("nano"));
    assert!(ok(&["aliases", "list"]).lines().any(|line| line.starts_with("fast  nano")));
    ok(&["aliases", "delete", "fast"]);
    assert_eq!(ok(&["aliases", "list"]).lines().count(), 1);
    ok(&["groups", "delete", "small"]);
    assert_eq!(ok(&["keys", "models", id, "--allowed", "true"]).lines().count(), 1);
}
