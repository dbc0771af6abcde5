//! People of organisations, and what they ask of the admin API.

use serde_json::{Value, json};

use crate::world::{World, send};

/// Somebody with a personal token.
#[derive(Debug, Clone)]
pub struct Person {
    pub user: String,
    pub token: String,
    pub token_id: String,
}

/// Adds a user with a role and issues a token.
pub async fn person(world: &World, org: &str, user: &str, role: &str) -> Person {
    let path = format!("orgs/{org}/users/{user}");
    world.admin_ok("PUT", &path, json!({"role": role})).await;
    let issued = world.admin_ok("POST", &format!("{path}/tokens"), json!({"name": "test"})).await;
    Person {
        user: user.to_owned(),
        token: issued["token"].as_str().unwrap().to_owned(),
        token_id: issued["id"].as_str().unwrap().to_owned(),
    }
}

/// Adds a member of an organisation who has a role in one of its teams.
pub async fn member(world: &World, org: &str, team: &str, user: &str, role: &str) -> Person {
    let person = person(world, org, user, "org_member").await;
    let path = format!("orgs/{org}/teams/{team}");
    if world.admin("GET", &path, Value::Null).await.0 != 200 {
        world.admin_ok("PUT", &path, json!({})).await;
    }
    world.admin_ok("PUT", &format!("{path}/members/{user}"), json!({"role": role})).await;
    person
}

/// A request below `/admin/v1` with a token.
pub async fn ask(
    world: &World,
    token: &str,
    method: &str,
    path: &str,
    body: Value,
) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let path = format!("/admin/v1/{path}");
    let (status, answer) = send(&world.app.admin, method, &path, Some(token), body).await;
    (status.as_u16(), answer)
}

impl Person {
    pub async fn ask(&self, world: &World, method: &str, path: &str, body: Value) -> (u16, Value) {
        ask(world, &self.token, method, path, body).await
    }

    /// A request that must succeed.
    pub async fn ok(&self, world: &World, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(world, method, path, body).await;
        assert!((200..300).contains(&status), "{} {method} {path}: {answer}", self.user);
        answer
    }

    /// A request that must be refused with this status; answers the error's code.
    pub async fn refused(
        &self,
        world: &World,
        method: &str,
        path: &str,
        body: Value,
        expected: u16,
    ) -> String {
        let (status, answer) = self.ask(world, method, path, body).await;
        assert_eq!(status, expected, "{} {method} {path}: {answer}", self.user);
        answer["error"]["code"].as_str().unwrap().to_owned()
    }
}
