//! The life of keys, as those who call with them notice it.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use xtask::http_client::Client;

use super::stage::limit;
use super::{Profile, walk};

const REVOKED: (&str, &str, &str) = ("key_revoked", "unauthorized", "Invalid API key");

#[test]
fn expiry() {
    walk(|product| {
        if product.profile == Profile::PrivateMind {
            for lifetime in ["30d", "90d", "6mo", "1y", "2y", "10y"] {
                let (_, key) = product.key(json!({"expires_in": lifetime}));
                product.served(&key, json!({}));
            }
        }
        // Long enough for a call before it, also on a busy machine.
        let lives = Duration::from_secs(5);
        let begun = Instant::now();
        let end = OffsetDateTime::from(SystemTime::now() + lives).format(&Rfc3339).unwrap();
        let (id, key) = product.key(json!({"expires_at": end}));
        product.served(&key, json!({}));
        // There is no grace.
        std::thread::sleep(lives.saturating_sub(begun.elapsed()) + Duration::from_millis(50));
        let code = product.pick("key_expired", "unauthorized", "API key expired");
        assert_eq!(product.chat_refused(&key, json!({})), (401, code.to_owned()));
        let shown = product.admin("GET", &format!("keys/{id}"), Value::Null);
        assert_eq!(shown["status"], "expired");
    });
}

#[test]
fn states() {
    walk(|product| {
        let (id, key) = product.key(json!({}));
        let answer = product.chat(&key, json!({})).success().unwrap();
        let request = answer.header("x-tollgate-request-id").unwrap().to_owned();
        product.records(&id, 1);
        let status =
            |id: &str| product.admin("GET", &format!("keys/{id}"), Value::Null)["status"].clone();
        assert_eq!(status(&id), "active");
        let is_listed = |status: &str| {
            let list = product.admin("GET", &format!("keys?search={id}{status}"), Value::Null);
            !list["data"].as_array().unwrap().is_empty()
        };
        match product.profile {
            Profile::PrivateMind => {
                product.admin("POST", &format!("keys/{id}/revoke"), Value::Null);
                assert_eq!((status(&id), is_listed("")), (json!("revoked"), true));
                let again = product.admin.post(&format!("/admin/v1/keys/{id}/enable"), &json!({}));
                assert_eq!(again.unwrap().status, 409, "it is permanent");
            }
            Profile::MindProxy => {
                product.admin("POST", &format!("keys/{id}/disable"), Value::Null);
                assert_eq!((status(&id), is_listed("")), (json!("disabled"), true));
                product.admin("DELETE", &format!("keys/{id}"), Value::Null);
                assert_eq!((status(&id), is_listed("")), (json!("deleted"), false));
            }
            // There, revoking is deleting.
            Profile::DeltaLlm => {
                product.admin("DELETE", &format!("keys/{id}"), Value::Null);
                assert!(!is_listed(""));
            }
        }
        let code = product.pick("key_revoked", "unauthorized", "Invalid API key");
        assert_eq!(product.chat_refused(&key, json!({})), (401, code.to_owned()));
        // What it did is found by the id of the request, whatever became of it.
        let record = product.admin("GET", &format!("requests/{request}"), Value::Null);
        assert_eq!(record["key"], id.as_str());
    });
}

#[test]
fn rotate() {
    walk(|product| {
        let (id, old) = product.key(json!({"budget": {"usd": "5"}}));
        product.served(&old, json!({}));
        if product.profile == Profile::PrivateMind {
            // A second key beside the first, for as long as one likes.
            let (_, new) = product.key(json!({}));
            product.served(&new, json!({}));
            product.served(&old, json!({}));
            return;
        }
        let rotated = product.admin("POST", &format!("keys/{id}/rotate"), Value::Null);
        let new = rotated["key"].as_str().unwrap();
        let code = product.pick("", "unauthorized", "Invalid API key");
        assert_eq!(product.chat_refused(&old, json!({})), (401, code.to_owned()));
        product.served(new, json!({}));
        // Limits and what was spent go on.
        assert_eq!(product.records(&id, 2).len(), 2);
        assert_eq!(rotated["spend"]["cap_usd"], "5.00");
    });
}

#[test]
fn disable_enable() {
    walk(|product| {
        let (id, key) = product.key(json!({}));
        product.served(&key, json!({}));
        product.admin("POST", &format!("keys/{id}/disable"), Value::Null);
        let code = product.pick("key_disabled", "unauthorized", "Invalid API key");
        assert_eq!(product.chat_refused(&key, json!({})), (401, code.to_owned()));
        product.admin("POST", &format!("keys/{id}/enable"), Value::Null);
        product.served(&key, json!({}));
        assert_eq!(product.records(&id, 2).len(), 2, "its history stays");
    });
}

#[test]
fn self_service_keys() {
    walk(|product| {
        product.admin("PUT", "orgs/acme/users/dev", json!({}));
        let token = product.admin("POST", "orgs/acme/users/dev/tokens", json!({}));
        let token = token["token"].as_str().unwrap().to_owned();
        let person = Client::new(&product.admin_url, Some(&token));
        let team = |id: &str, policy: Value| {
            let path = format!("orgs/acme/teams/{id}");
            product.admin("PUT", &path, json!({"self_service": policy}));
            let member = json!({"role": "team_developer"});
            product.admin("PUT", &format!("{path}/members/dev"), member);
        };
        let make = |team: &str, more: Value| {
            let mut body = json!({"team": team, "name": "mine"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            person.post("/admin/v1/me/keys", &body).unwrap()
        };
        team("open", json!({"max_keys_per_user": 1}));
        let made = make("open", json!({})).success().unwrap().json();
        assert_eq!(made["user"], "dev", "always one's own");
        product.served(made["key"].as_str().unwrap(), json!({}));
        let own = person.get("/admin/v1/me/keys").unwrap().success().unwrap().json();
        assert_eq!(own["data"].as_array().unwrap().len(), 1);
        let (foreign, _) = product.key(json!({}));
        assert_eq!(person.get(&format!("/admin/v1/me/keys/{foreign}")).unwrap().status, 404);
        if product.profile != Profile::DeltaLlm {
            return;
        }
        let refused = |answer: xtask::http_client::Answer| (answer.status, answer.error_code());
        let no = |status: u16, code: &str| (status, code.to_owned());
        assert_eq!(refused(make("open", json!({}))), no(403, "self_service_key_limit"));
        team("closed", json!({"enabled": false}));
        assert_eq!(refused(make("closed", json!({}))), no(403, "self_service_disabled"));
        let strict = json!({"budget_ceiling": {"usd": "10"}, "require_expiry": true,
            "max_expiry_days": 30});
        team("strict", strict);
        let expiry = json!({"expires_in": "30d"});
        assert_eq!(refused(make("strict", expiry)), no(400, "budget_required"));
        let dear = json!({"budget": {"usd": "11"}, "expires_in": "30d"});
        assert_eq!(refused(make("strict", dear)), no(400, "budget_above_ceiling"));
        let endless = json!({"budget": {"usd": "5"}});
        assert_eq!(refused(make("strict", endless)), no(400, "expiry_required"));
        let long = json!({"budget": {"usd": "5"}, "expires_in": "1y"});
        assert_eq!(refused(make("strict", long)), no(400, "expiry_too_far"));
        // Who leaves loses what is his there.
        person.delete("/admin/v1/me/teams/open").unwrap().success().unwrap();
        let dead = product.chat_refused(made["key"].as_str().unwrap(), json!({}));
        assert_eq!(dead, no(401, "Invalid API key"));
    });
}

#[test]
fn audit_of_key_changes() {
    walk(|product| {
        let (id, key) = product.key(json!({}));
        for action in ["rotate", "disable", "enable", "revoke"] {
            product.admin("POST", &format!("keys/{id}/{action}"), Value::Null);
        }
        product.admin("DELETE", &format!("keys/{id}"), Value::Null);
        let log = product.admin("GET", &format!("audit?target={id}"), Value::Null);
        let lines = log["data"].as_array().unwrap();
        let done: Vec<_> = lines.iter().map(|line| line["action"].as_str().unwrap()).collect();
        let all = ["delete", "revoke", "enable", "disable", "rotate", "create"];
        assert_eq!(done, all.map(|action| format!("key.{action}")));
        assert!(!log.to_string().contains(&key));
    });
}

#[test]
fn effect_of_change() {
    walk(|product| {
        let user = json!({"user": "impatient", "limits": [limit("requests", "1m", 1)]});
        let (id, key) = product.key(user);
        product.served(&key, json!({}));
        assert_eq!(product.chat(&key, json!({})).status, 429);
        let more = json!({"limits": [limit("requests", "1m", 100)]});
        product.admin("PATCH", &format!("keys/{id}?wait=5000"), more);
        product.served(&key, json!({}));
        let budget = "orgs/acme/users/impatient/budget?wait=5000";
        product.admin("PUT", budget, json!({"usd": "0"}));
        let spent = product.pick(402, 402, 429);
        assert_eq!(product.chat(&key, json!({})).status, spent);
        product.admin("PUT", budget, json!({"usd": "5"}));
        product.served(&key, json!({}));
        let revoked = product.admin("POST", &format!("keys/{id}/revoke"), Value::Null);
        assert_eq!(revoked["applied"], true);
        let (privatemind, mindproxy, deltallm) = REVOKED;
        let code = product.pick(privatemind, mindproxy, deltallm);
        assert_eq!(product.chat_refused(&key, json!({})), (401, code.to_owned()));
    });
}

#[test]
fn user_scoped_keys() {
    walk(|product| {
        let (id, key) = product.key(json!({"user": "ada"}));
        let gateway = Client::new(&product.gateway_url, None);
        let exchange =
            |key: &str| gateway.post("/v1/auth/exchange", &json!({"api_key": key})).unwrap();
        let shown = exchange(&key).success().unwrap().json();
        let user = shown["user_key"].as_str().unwrap().to_owned();
        let begins = product.pick("pminduser_", "tgu_", "tgu_");
        assert!(user.starts_with(begins) && shown["success"] == true, "the product's form");
        let ends = OffsetDateTime::parse(shown["expires_at"].as_str().unwrap(), &Rfc3339).unwrap();
        let minutes = (ends - OffsetDateTime::now_utc()).whole_minutes();
        assert!((55..=60).contains(&minutes), "about an hour: {minutes}");

        let conversations = |key: &str| {
            Client::new(&product.gateway_url, Some(key)).get("/v1/conversations").unwrap()
        };
        let code = product.pick("user_key_required", "user_key_required", "permission_denied");
        assert_eq!(product.refused(&conversations(&key)), (403, code.to_owned()));
        assert_eq!(conversations(&user).status, 200);
        assert_eq!(exchange(&user).status, 403, "one user key gives no other");
        product.served(&user, json!({}));
        assert_eq!(product.records(&id, 2).len(), 2, "it spends from its key");
        product.admin("POST", &format!("keys/{id}/revoke"), Value::Null);
        let (privatemind, mindproxy, deltallm) = REVOKED;
        let code = product.pick(privatemind, mindproxy, deltallm);
        assert_eq!(product.chat_refused(&user, json!({})), (401, code.to_owned()));
    });
}
