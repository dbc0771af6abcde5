//! One server in a temporary folder, and what its clients say to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use policy_server::clock::{Clock as _, ManualClock, SeededEntropy};
use policy_server::live::SessionTimes;
use policy_server::settings::{FilterToken, KeepRequests, Settings, UserKeyLifetime};
use policy_server::webhooks::WebhookSettings;
use policy_server::{App, build};
use rusqlite::Connection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::v1::{
    AdmitReply, AdmitRequest, Ask, Basis, CallRecord, Change, ChangesReply, Ending, Grant,
    LeaseAnswer, LeaseReply, LeaseReport, LeaseRequest, Refusal, RegisterReply, RegisterRequest,
    ReportReply, ReportRequest, Usage,
};
use wire::{
    CatalogueVersion, Epoch, HolderId, KeyDigest, KeyId, LeaseId, Metadata, ModelName, NanoUsd,
    Nonce, PriceMultiplier, RequestId, Revision,
};

pub use crate::document::exchange;
pub use crate::tables::{AccountRow, accounts, check_ledger};

/// 2026-11-20T12:00:00Z, a Friday.
pub const NOON: u64 = 1_795_176_000_000;
pub const FILTER_TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015";
pub const TTL_MS: u64 = 60_000;
pub const GRACE_MS: u64 = 5_000;
/// Of holders that hear of changes only when they ask.
pub const PULL_TTL_MS: u64 = 10_000;
/// One micro-USD per input token, two per output token.
pub const MODEL: &str = "gpt-4o-mini";

pub struct World {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub admin_token: String,
    pub folder: tempfile::TempDir,
    /// Where a journal is kept, if one is.
    pub journal: Option<PathBuf>,
    seed: u64,
}

/// A key as the world knows it.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: KeyId,
    pub secret: String,
}

impl Key {
    pub fn of(answer: &Value) -> Self {
        Self {
            id: KeyId::new(answer["id"].as_str().unwrap()).unwrap(),
            secret: answer["key"].as_str().unwrap().to_owned(),
        }
    }

    pub fn digest(&self) -> KeyDigest {
        metering::api_key::digest(self.secret.as_bytes())
    }
}

/// A registered VM.
#[derive(Debug, Clone)]
pub struct Holder {
    pub id: HolderId,
    pub epoch: Epoch,
    pub revision: Revision,
}

impl Holder {
    pub fn lease(&self, n: u64) -> LeaseId {
        LeaseId::new(format!("{}-{n}", self.id)).unwrap()
    }
}

impl World {
    /// A server on a fresh database.
    pub fn new() -> Self {
        Self::fresh(1, false)
    }

    /// A server on a fresh database, with other ids and secrets for every seed.
    pub fn fresh(seed: u64, journaled: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = journaled.then(|| folder.path().join("journal"));
        let clock = Arc::new(ManualClock::at_unix_ms(NOON));
        let mut app = start_with(&folder, &clock, seed, journal.clone()).unwrap();
        let admin_token = app.admin_token.take().unwrap().expose().to_owned();
        Self { app, clock, admin_token, folder, journal, seed }
    }

    /// A server with one model and the organisation `acme` with this cap.
    pub async fn with_org(cap_usd: Option<&str>) -> Self {
        Self::new().and_org(cap_usd).await
    }

    /// Adds one model and the organisation `acme` with this cap.
    pub async fn and_org(self, cap_usd: Option<&str>) -> Self {
        let world = self;
        world.put_model(MODEL, "1.00", "2.00").await;
        let budget = cap_usd.map(|usd| json!({"usd": usd, "period": "month"}));
        let org = json!({"name": "Acme", "models": ["*"], "budget": budget});
        world.admin_ok("PUT", "orgs/acme", org).await;
        world
    }

    /// Stops the server and starts it again on the same file, later on a fresh monotonic clock.
    pub fn restart(self) -> Self {
        self.stop().start()
    }

    /// Stops the server, so that its files can be worked on.
    pub fn stop(self) -> Stopped {
        let Self { app, clock, admin_token, folder, journal, seed } = self;
        assert!(app.close(Duration::from_secs(10)), "the writer did not end");
        Stopped { unix_ms: clock.now().unix_ms, admin_token, folder, journal, seed }
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("tollgate.sqlite")
    }

    pub fn tables(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    pub async fn admin(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let path = format!("/admin/v1/{path}");
        send(&self.app.admin, method, &path, Some(&self.admin_token), body).await
    }

    pub async fn admin_ok(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.admin(method, path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// An admin request that is refused with this status; answers the error.
    pub async fn admin_refused(
        &self,
        method: &str,
        path: &str,
        body: Value,
        expected: u16,
    ) -> Value {
        let (status, answer) = self.admin(method, path, body).await;
        assert_eq!(status.as_u16(), expected, "{method} {path}: {answer}");
        answer["error"].clone()
    }

    pub async fn put_model(&self, name: &str, input: &str, output: &str) -> Value {
        let model = json!({
            "input_usd_per_mtok": input, "output_usd_per_mtok": output,
            "context_length": 128_000, "max_output_tokens": 16_384,
        });
        self.admin_ok("PUT", &format!("models/{name}"), model).await
    }

    pub async fn key(&self, fields: Value) -> Key {
        let mut body = json!({"org": "acme"});
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        Key::of(&self.admin_ok("POST", "keys", body).await)
    }

    pub async fn key_with_cap(&self, usd: &str, period: &str) -> Key {
        self.key(json!({"budget": {"usd": usd, "period": period}})).await
    }

    /// A request to the filter API with the filter's token.
    pub async fn filter<T: Serialize>(
        &self,
        method: &str,
        path: &str,
        body: &T,
    ) -> (StatusCode, Value) {
        let body = serde_json::to_string(body).unwrap();
        let path = format!("/proxy/v1/{path}");
        send(&self.app.filter, method, &path, Some(FILTER_TOKEN), body).await
    }

    pub async fn filter_ok<T: Serialize, R: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &T,
    ) -> R {
        let (status, answer) = self.filter(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{method} {path}: {answer}");
        serde_json::from_value(answer).unwrap()
    }

    pub async fn holder(&self, nonce: u8) -> Holder {
        self.registered(nonce, false, 0).await.0
    }

    /// Registers, and answers how long the holder may act on what it knows.
    pub async fn registered(
        &self,
        nonce: u8,
        without_push: bool,
        count_windows_below: u64,
    ) -> (Holder, u64) {
        let request = RegisterRequest {
            protocol: wire::PROTOCOL_VERSION,
            nonce: Nonce([nonce; 16]),
            plugin: "test".to_owned(),
            without_push,
            count_windows_below,
        };
        let reply: RegisterReply = self.filter_ok("POST", "holders", &request).await;
        let holder = Holder { id: reply.holder, epoch: reply.epoch, revision: reply.revision };
        (holder, reply.session_ttl_ms)
    }

    pub async fn admit(&self, holder: &Holder, key: &Key, n: u64, ask: Option<Ask>) -> AdmitReply {
        let request = admit_request(holder, key, n, ask);
        self.filter_ok("POST", "admit", &request).await
    }

    /// Admits a call that must be granted a lease.
    pub async fn granted(&self, holder: &Holder, key: &Key, n: u64, ask: Ask) -> Grant {
        match self.admit(holder, key, n, Some(ask)).await.lease {
            LeaseAnswer::Granted(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Admits a call that must be refused a lease.
    pub async fn refused(&self, holder: &Holder, key: &Key, n: u64, ask: Ask) -> Refusal {
        match self.admit(holder, key, n, Some(ask)).await.lease {
            LeaseAnswer::Refused(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Asks for a lease with money beyond its call.
    pub async fn ahead(
        &self,
        holder: &Holder,
        key: &Key,
        n: u64,
        ask: Ask,
        want: NanoUsd,
    ) -> LeaseAnswer {
        let request = lease_request(holder, key, n, ask, want);
        let reply: LeaseReply = self.filter_ok("POST", "leases", &request).await;
        reply.answer
    }

    /// The same, where it must be granted.
    pub async fn granted_ahead(
        &self,
        holder: &Holder,
        key: &Key,
        n: u64,
        ask: Ask,
        want: NanoUsd,
    ) -> Grant {
        match self.ahead(holder, key, n, ask, want).await {
            LeaseAnswer::Granted(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    /// Polls for changes after a revision, which acknowledges it.
    pub async fn poll(&self, holder: &Holder, revision: Revision, wait_ms: u64) -> ChangesReply {
        let path = format!(
            "changes?holder={}&epoch={}&revision={}&wait_ms={wait_ms}",
            holder.id, holder.epoch.0, revision.0
        );
        self.filter_ok("GET", &path, &Value::Null).await
    }

    /// Every change since the holder registered.
    pub async fn changes(&self, holder: &Holder) -> Vec<Change> {
        self.poll(holder, holder.revision, 0).await.changes
    }

    pub async fn report(
        &self,
        holder: &Holder,
        leases: Vec<LeaseReport>,
        records: Vec<CallRecord>,
    ) -> ReportReply {
        let request = report_request(holder, leases, records);
        self.filter_ok("POST", "reports", &request).await
    }

    /// Key show's `spend`.
    pub async fn spend(&self, key: &Key) -> Value {
        let shown = self.admin_ok("GET", &format!("keys/{}", key.id), Value::Null).await;
        shown["spend"].clone()
    }

    /// Lets time pass and sweeps as often as there is something to do.
    pub async fn pass(&self, ms: u64) {
        self.clock.advance_ms(ms);
        while self.app.sweep().await.unwrap() {}
    }

    pub fn check_ledger(&self) {
        check_ledger(&self.tables());
    }
}

/// A server that does not run.
pub struct Stopped {
    pub folder: tempfile::TempDir,
    pub journal: Option<PathBuf>,
    pub unix_ms: u64,
    admin_token: String,
    seed: u64,
}

impl Stopped {
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("tollgate.sqlite")
    }

    /// Why it does not start.
    pub fn refusal(&self) -> String {
        let clock = Arc::new(ManualClock::at_unix_ms(self.unix_ms));
        match start_with(&self.folder, &clock, self.seed + 1, self.journal.clone()) {
            Ok(_) => panic!("it starts"),
            Err(error) => error.to_string(),
        }
    }

    pub fn start(self) -> World {
        let Self { folder, journal, unix_ms, admin_token, seed } = self;
        let clock = Arc::new(ManualClock::at_unix_ms(unix_ms));
        let app = start_with(&folder, &clock, seed + 1, journal.clone()).unwrap();
        assert!(app.admin_token.is_none(), "a token is made at the first start only");
        World { app, clock, admin_token, folder, journal, seed: seed + 1 }
    }
}

pub fn start(
    folder: &tempfile::TempDir,
    clock: &Arc<ManualClock>,
    seed: u64,
) -> Result<App, policy_server::StartError> {
    start_with(folder, clock, seed, None)
}

fn start_with(
    folder: &tempfile::TempDir,
    clock: &Arc<ManualClock>,
    seed: u64,
    journal: Option<PathBuf>,
) -> Result<App, policy_server::StartError> {
    let settings = Settings {
        database: folder.path().join("tollgate.sqlite"),
        journal,
        filter_token: FilterToken::new(Some(FILTER_TOKEN)).unwrap(),
        session: SessionTimes { ttl_ms: TTL_MS, pull_ttl_ms: PULL_TTL_MS, grace_ms: GRACE_MS },
        keep_requests: KeepRequests::default(),
        webhooks: WebhookSettings { allow_private: true, ..WebhookSettings::default() },
        user_key_lifetime: UserKeyLifetime::default(),
    };
    build(settings, Arc::clone(clock) as _, Box::new(SeededEntropy::new(seed)))
}

/// The answer's JSON, or its text where it is something else.
pub async fn send(
    router: &Router,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: impl Into<Body>,
) -> (StatusCode, Value) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let (status, headers, bytes) = exchange(router, request.body(body.into()).unwrap()).await;
    let kind = headers.get("content-type").cloned();
    if kind.is_some_and(|kind| kind != "application/json") {
        return (status, Value::String(String::from_utf8(bytes.to_vec()).unwrap()));
    }
    let answer = serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{method} {path}: {status}, no JSON: {error}"));
    (status, answer)
}

pub fn admit_request(holder: &Holder, key: &Key, n: u64, ask: Option<Ask>) -> AdmitRequest {
    AdmitRequest {
        holder: holder.id.clone(),
        epoch: holder.epoch,
        digest: key.digest(),
        n,
        ask,
        void: Vec::new(),
    }
}

pub fn lease_request(holder: &Holder, key: &Key, n: u64, ask: Ask, want: NanoUsd) -> LeaseRequest {
    LeaseRequest {
        holder: holder.id.clone(),
        epoch: holder.epoch,
        key: key.id.clone(),
        n,
        ask,
        want,
        want_permits: 0,
        void: Vec::new(),
    }
}

pub fn report_request(
    holder: &Holder,
    leases: Vec<LeaseReport>,
    records: Vec<CallRecord>,
) -> ReportRequest {
    ReportRequest {
        holder: holder.id.clone(),
        epoch: holder.epoch,
        leases,
        records,
        void: Vec::new(),
    }
}

/// A call of [`MODEL`] with no input whose output the client bounds: it costs 2 micro-USD a token.
pub fn ask(output_tokens: u64) -> Ask {
    Ask {
        model: ModelName::new(MODEL).unwrap(),
        catalogue_version: CatalogueVersion(1),
        input_tokens: 0,
        output_tokens,
        output_is_clients: true,
        choices: 1,
        server_tool_calls: 0,
        price_multiplier: PriceMultiplier::ONE,
    }
}

/// The same, with a bound that the filter chose and the server may lower.
pub fn ask_up_to(output_tokens: u64) -> Ask {
    Ask { output_is_clients: false, ..ask(output_tokens) }
}

pub fn micro(micro_usd: u64) -> NanoUsd {
    NanoUsd(micro_usd * 1_000)
}

/// What an open lease has spent so far and keeps for running calls.
pub fn running_report(lease: &LeaseId, spent: NanoUsd, floor: Option<NanoUsd>) -> LeaseReport {
    LeaseReport { floor, is_final: false, ..final_report(lease, spent) }
}

pub fn final_report(lease: &LeaseId, spent: NanoUsd) -> LeaseReport {
    LeaseReport {
        lease: lease.clone(),
        spent,
        floor: None,
        is_final: true,
        permits_used: 0,
        permit_age_ms: 0,
    }
}

/// A measured call that produced so many tokens, charged rightly.
pub fn record(key: &Key, lease: Option<LeaseId>, sequence: u64, output_tokens: u64) -> CallRecord {
    CallRecord {
        sequence,
        request: RequestId::new(format!("req-{sequence}")).unwrap(),
        key: key.id.clone(),
        lease,
        model: ModelName::new(MODEL).unwrap(),
        catalogue_version: CatalogueVersion(1),
        price_multiplier: PriceMultiplier::ONE,
        usage: Usage { output_tokens, ..Usage::default() },
        cost: micro(2 * output_tokens),
        basis: Basis::Measured,
        reserved: micro(2 * output_tokens),
        status: 200,
        streamed: false,
        ending: Ending::Complete,
        started_unix_ms: NOON,
        duration_ms: 12,
        metadata: Metadata::default(),
        address: None,
        user_key: None,
        would_refuse: None,
    }
}
