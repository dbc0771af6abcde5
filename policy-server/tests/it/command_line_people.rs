//! Teams, people, their tokens and keys, and the audit on the command line.

use serde_json::Value;

use crate::process::{serve, tollgate};

#[test]
fn people_teams_tokens_own_keys_and_the_audit_are_administered_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path());
    let admin = server.line("admin token: ").expect("shown once").to_owned();
    let run = |token: &str, command: &str| {
        let output = tollgate()
            .args(command.split_whitespace())
            .env("TOLLGATE_ADMIN_URL", server.admin_url())
            .env("TOLLGATE_ADMIN_TOKEN", token)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let ok = |token: &str, command: &str| {
        let (code, out, err) = run(token, command);
        assert_eq!(code, Some(0), "{command}: {err}");
        out
    };
    let json = |token: &str, command: &str| -> Value {
        serde_json::from_str(&ok(token, &format!("{command} --json"))).unwrap()
    };
    let refused = |token: &str, command: &str, says: &str| {
        let (code, _, err) = run(token, command);
        assert_eq!(code, Some(1), "{command}");
        assert!(err.contains(says), "{command}: {err}");
    };
    ok(&admin, "orgs put acme");
    let policy =
        "--max-keys-per-user 2 --budget-ceiling 10 --ceiling-period month --max-expiry-days 90";
    let limit = "--limit-rate requests/1m=600";
    let team = json(&admin, &format!("teams put acme search --name Search {policy} {limit}"));
    assert_eq!(team["self_service"]["budget_ceiling"]["usd"], "10.00");
    assert_eq!(team["limits"][0]["max"], 600);
    ok(&admin, "users put acme ada --name Ada --role org_admin");
    ok(&admin, "users put acme dev");
    ok(&admin, "teams add-member acme search dev");
    assert!(ok(&admin, "teams members acme search").contains("team_developer"));
    assert!(ok(&admin, "teams list acme").contains("Search"));
    assert!(ok(&admin, "users list acme").contains("org_admin"));
    let ada = json(&admin, "tokens create acme ada --name laptop");
    let ada = ada["token"].as_str().unwrap();
    let dev = json(ada, "tokens create acme dev");
    let (dev, dev_id) = (dev["token"].as_str().unwrap(), dev["id"].as_str().unwrap());
    assert!(ok(ada, "tokens list acme dev").contains(dev_id));

    assert!(ok(dev, "me show").contains("org_member"));
    refused(dev, "orgs put other", "there is no organisation 'other'");
    refused(dev, "me create-key --team search --name a", "budget_required");
    let key = json(dev, "me create-key --team search --name a --budget 10 --period month");
    let id = key["id"].as_str().unwrap();
    assert!(ok(dev, "me keys").contains(id));
    assert_ne!(json(dev, &format!("me rotate-key {id}"))["key"], key["key"]);
    assert_eq!(json(dev, &format!("me disable-key {id}"))["status"], "disabled");
    refused(dev, &format!("keys enable {id}"), "permission_denied");
    assert_eq!(json(dev, &format!("me revoke-key {id}"))["status"], "revoked");
    ok(dev, &format!("me delete-key {id}"));
    let second = json(dev, "me create-token --name second");
    let second_id = second["id"].as_str().unwrap();
    assert!(ok(dev, "me tokens").contains(second_id));
    ok(dev, &format!("me rotate-token {second_id} --overlap 60"));
    ok(dev, &format!("me revoke-token {second_id}"));
    let rotated = json(ada, &format!("tokens rotate acme dev {dev_id}"));
    refused(dev, "me show", "token_revoked");
    let dev = rotated["token"].as_str().unwrap();

    let account = json(ada, "service-accounts create acme search --name nightly");
    let account = account["id"].as_str().unwrap();
    ok(ada, &format!("keys create --org acme --team search --user {account}"));
    assert!(ok(ada, "service-accounts list acme").contains("nightly"));
    ok(ada, &format!("service-accounts suspend acme {account}"));
    ok(ada, &format!("service-accounts resume acme {account} --wait 0"));
    ok(ada, &format!("service-accounts show acme {account}"));
    ok(ada, &format!("service-accounts delete acme {account}"));
    ok(ada, "teams suspend acme search");
    refused(dev, "me create-key --team search --name b --budget 1", "team_suspended");
    ok(ada, "teams resume acme search");
    ok(ada, "users suspend acme dev");
    refused(dev, "me show", "user_suspended");
    ok(ada, "users resume acme dev");
    assert_eq!(json(dev, "me leave search")["revoked_keys"], 0);
    ok(ada, "teams add-member acme search dev --role team_viewer");
    ok(ada, "teams remove-member acme search dev");
    assert!(ok(ada, "users show acme dev").contains("org_member"));
    refused(ada, "orgs suspend acme", "permission_denied");
    ok(&admin, "orgs suspend acme");
    refused(ada, "me show", "org_suspended");
    ok(&admin, "orgs resume acme");
    let token = rotated["id"].as_str().unwrap();
    assert_eq!(json(ada, &format!("tokens revoke acme dev {token}"))["status"], "revoked");
    ok(ada, "users delete acme dev");
    ok(ada, "teams show acme search");
    ok(ada, "teams delete acme search");

    let audit = ok(ada, "audit list --actor acme/ada --action team.suspend");
    assert!(audit.contains("acme/search") && audit.contains("127.0.0.1"), "{audit}");
    let refusals = json(&admin, "audit list --outcome refused --since 2020-01-01T00:00:00Z");
    assert!(refusals["data"].as_array().unwrap().len() >= 2);
    assert!(ok(&admin, "settings audit-retention 365").contains("365"));
    ok(&admin, "settings audit-retention 0");
    assert!(ok(&admin, "settings show").contains('-'));
    refused(ada, "settings show", "permission_denied");

    assert_eq!(server.terminate(), Some(0));
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    for secret in [ada, dev, key["key"].as_str().unwrap()] {
        assert!(!log.contains(secret), "a secret stands in the log");
    }
}
