//! Every message of the filter API against its frozen JSON, in both directions. A file that has to
//! change is a change of protocol: say so in the changelog. All messages are in one file, since they are
//! made of the same few values.

use std::fmt::Debug;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::v1::{
    AdmitReply, AdmitRequest, Ask, Basis, CallRecord, Catalogue, Change, ChangesReply, CutCalls,
    EVERY_WINDOW, Ending, ExchangeAnswer, ExchangeReply, ExchangeRequest, Grant, KeyAnswer,
    KeyKind, KeyPolicy, KeyState, LeaseAnswer, LeaseReply, LeaseReport, LeaseRequest, Level, Limit,
    Model, ModelSet, Price, Problem, ProblemBody, Refusal, RegisterReply, RegisterRequest,
    ReportReply, ReportRequest, Scope, Subject, Unit, Usage, UsageAnswer, UsagePage,
    UsageParameter, UsageReply, UsageRequest, UsedCall, UserKeyForm, UserKeySecret, Window,
};
use wire::{
    CatalogueVersion, Epoch, HolderId, KeyDigest, KeyId, LeaseId, Metadata, ModelName, NanoUsd,
    Nonce, OrgId, PROTOCOL_VERSION, PicoUsdPerToken, PriceMultiplier, RefusalCode, RequestId,
    Revision, TeamId, UserId,
};

const EPOCH: Epoch = Epoch(1_795_176_000_000);
const REVISION: Revision = Revision(42);
const VERSION: CatalogueVersion = CatalogueVersion(7);

/// The value is written exactly as the file, and the file is read exactly as the value.
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    let frozen = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; would be:\n{}", pretty(value)));
    assert_eq!(pretty(value), frozen, "{name} is written differently");
    let read: T = serde_json::from_str(&frozen)
        .unwrap_or_else(|error| panic!("{name} can no longer be read: {error}"));
    assert_eq!(&read, value, "{name} is read differently");
}

fn pretty<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap();
    text.push('\n');
    text
}

/// Text that an older or terser sender may write, and what it means.
fn also_reads<T: DeserializeOwned + PartialEq + Debug>(json: &str, value: &T) {
    let read: T = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(&read, value, "{json}");
}

fn refuses<T: DeserializeOwned + Debug>(json: &str) {
    let read = serde_json::from_str::<T>(json);
    assert!(read.is_err(), "{json} was read as {read:?}");
}

fn holder() -> HolderId {
    HolderId::new("h0123456789abcdefghjk").unwrap()
}

fn key() -> KeyId {
    KeyId::new("key_0123456789ab").unwrap()
}

fn lease() -> LeaseId {
    LeaseId::new("h0123456789abcdefghjk-17").unwrap()
}

fn model() -> ModelName {
    ModelName::new("gpt-4o-mini").unwrap()
}

fn ask() -> Ask {
    Ask {
        model: model(),
        catalogue_version: VERSION,
        input_tokens: 1_200,
        output_tokens: 16_384,
        output_is_clients: false,
        choices: 1,
        server_tool_calls: 0,
        price_multiplier: PriceMultiplier::ONE,
    }
}

fn policy() -> KeyPolicy {
    KeyPolicy {
        key: key(),
        org: OrgId::new("acme").unwrap(),
        team: Some(TeamId::new("search").unwrap()),
        user: Some(UserId::new("ada").unwrap()),
        state: KeyState::Active,
        expires_at_unix_ms: Some(1_811_808_000_000),
        org_has_no_models: false,
        models: ModelSet::Only(vec![model()]),
        limits: vec![
            Limit {
                unit: Unit::Requests,
                window: Some(Window::Minute),
                max: 60,
                scope: Scope::Proxy,
                subject: Subject { level: Level::Key, id: key().as_str().into(), model: None },
            },
            Limit {
                unit: Unit::Concurrent,
                window: None,
                max: 8,
                scope: Scope::Cluster,
                subject: Subject { level: Level::Org, id: "acme".into(), model: Some(model()) },
            },
        ],
        budgeted: true,
        default_max_output_tokens: Some(1_024),
        cut_calls: CutCalls::Reservation,
        price_multiplier: PriceMultiplier::ONE,
        kind: KeyKind::Application,
        max_call: None,
        allowed_ips: None,
        user_key: None,
        shadow: false,
    }
}

#[test]
fn register() {
    let request = RegisterRequest {
        protocol: PROTOCOL_VERSION,
        nonce: Nonce([0xab; 16]),
        plugin: "llm-gateway".into(),
        without_push: false,
        count_windows_below: 0,
    };
    golden("register_request", &request);
    golden(
        "register_request_without_push",
        &RegisterRequest {
            without_push: true,
            count_windows_below: EVERY_WINDOW,
            ..request.clone()
        },
    );
    golden(
        "register_reply",
        &RegisterReply {
            holder: holder(),
            epoch: EPOCH,
            revision: REVISION,
            session_ttl_ms: 60_000,
            catalogue_version: VERSION,
        },
    );
    refuses::<RegisterRequest>(r#"{"protocol":1,"nonce":"abab","plugin":"p"}"#);
    let with_more = format!(r#"{{"protocol":1,"nonce":"{}","plugin":"p","x":1}}"#, "ab".repeat(16));
    refuses::<RegisterRequest>(&with_more);
}

#[test]
fn admit() {
    let request = AdmitRequest {
        holder: holder(),
        epoch: EPOCH,
        digest: KeyDigest([0x0f; 32]),
        n: 17,
        ask: Some(ask()),
        void: vec![15, 16],
    };
    golden("admit_request", &request);
    golden("admit_request_lookup", &AdmitRequest { ask: None, void: vec![], ..request });
    let reply = AdmitReply {
        epoch: EPOCH,
        revision: REVISION,
        key: KeyAnswer::Known(Box::new(policy())),
        lease: LeaseAnswer::Granted(Grant {
            lease: lease(),
            n: 17,
            amount: NanoUsd(615_000),
            output_tokens: 725,
            scarce: false,
            permits: 0,
        }),
    };
    golden("admit_reply_granted", &reply);
    let unknown =
        AdmitReply { key: KeyAnswer::Unknown, lease: LeaseAnswer::NotNeeded, ..reply.clone() };
    golden("admit_reply_unknown_key", &unknown);
    let smallest = KeyPolicy {
        team: None,
        user: None,
        state: KeyState::Revoked,
        expires_at_unix_ms: None,
        org_has_no_models: true,
        models: ModelSet::All,
        limits: vec![],
        budgeted: false,
        default_max_output_tokens: None,
        cut_calls: CutCalls::Estimate,
        ..policy()
    };
    let key = KeyAnswer::Known(Box::new(smallest));
    golden("admit_reply_revoked_key", &AdmitReply { key, lease: LeaseAnswer::NotNeeded, ..reply });
}

#[test]
fn leases() {
    let request = LeaseRequest {
        holder: holder(),
        epoch: EPOCH,
        key: key(),
        n: 18,
        ask: Ask { output_is_clients: true, choices: 3, ..ask() },
        want: NanoUsd::ZERO,
        want_permits: 0,
        void: vec![],
    };
    golden("lease_request", &request);
    golden("lease_request_void", &LeaseRequest { void: vec![17], ..request.clone() });
    let ahead = LeaseRequest { want: NanoUsd(40_000_000), want_permits: 12, ..request };
    golden("lease_request_ahead", &ahead);
    let grant = Grant {
        lease: lease(),
        n: 18,
        amount: NanoUsd(615_000),
        output_tokens: 725,
        scarce: true,
        permits: 1,
    };
    let granted = LeaseAnswer::Granted(grant);
    golden("lease_reply_scarce", &LeaseReply { epoch: EPOCH, revision: REVISION, answer: granted });
    let refused = |refusal| LeaseReply {
        epoch: EPOCH,
        revision: REVISION,
        answer: LeaseAnswer::Refused(refusal),
    };
    let exceeded = Refusal::BudgetExceeded {
        level: Level::Org,
        need: NanoUsd(9_830_400),
        left: NanoUsd(1_000),
    };
    golden("lease_reply_exceeded", &refused(exceeded));
    golden("lease_reply_contended", &refused(Refusal::Contended { retry_after_ms: 1_000 }));
    let limit = Limit {
        unit: Unit::Requests,
        window: Some(Window::Hour),
        max: 600,
        scope: Scope::Cluster,
        subject: Subject { level: Level::Team, id: "acme/search".into(), model: None },
    };
    let full = Refusal::WindowFull { limit, retry_after_ms: 7_350 };
    golden("lease_reply_window_full", &refused(full));
    golden("lease_reply_key_not_usable", &refused(Refusal::KeyNotUsable));
    golden("lease_reply_unknown_price", &refused(Refusal::UnknownPrice));
}

fn record() -> CallRecord {
    CallRecord {
        sequence: 5,
        request: RequestId::new("req_0123456789abcdef").unwrap(),
        key: key(),
        lease: Some(lease()),
        model: model(),
        catalogue_version: VERSION,
        price_multiplier: PriceMultiplier::ONE,
        usage: Usage {
            input_tokens: 2_006,
            cached_input_tokens: 1_920,
            output_tokens: 300,
            reasoning_tokens: 64,
            ..Usage::default()
        },
        cost: NanoUsd(336_900),
        basis: Basis::Measured,
        reserved: NanoUsd(615_000),
        status: 200,
        streamed: true,
        ending: Ending::Complete,
        started_unix_ms: 1_795_176_000_123,
        duration_ms: 842,
        metadata: Metadata::default(),
        address: None,
        user_key: None,
        would_refuse: None,
    }
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::default();
    metadata.add("project".into(), "nightly \"summary\"".into()).unwrap();
    metadata.add("step".into(), "käse\n".into()).unwrap();
    metadata
}

/// What a caller says of a call is written only where it says something.
#[test]
fn records_with_metadata() {
    golden("record_metadata", &CallRecord { metadata: metadata(), ..record() });
    let plain = serde_json::to_string(&record()).unwrap();
    also_reads(&plain.replacen('{', r#"{"metadata":{},"#, 1), &record());
    refuses::<CallRecord>(&plain.replacen('{', r#"{"metadata":{"a":1},"#, 1));
}

#[test]
fn usage_pages() {
    let request = UsageRequest {
        holder: holder(),
        epoch: EPOCH,
        digest: KeyDigest([0x0f; 32]),
        from: Some("2026-11-01".into()),
        to: Some("2026-11-20T12:00:00Z".into()),
        limit: Some("100".into()),
        cursor: Some("req_0123456789abcdef".into()),
    };
    golden("usage_request", &request);
    let (from, to, limit, cursor) = (None, None, None, None);
    golden("usage_request_first", &UsageRequest { from, to, limit, cursor, ..request });
    let call = UsedCall {
        request: record().request,
        model: model(),
        input_tokens: 2_006,
        cached_input_tokens: 1_920,
        output_tokens: 300,
        cost: NanoUsd(336_900),
        status: 200,
        started_unix_ms: 1_795_176_000_123,
        duration_ms: 842,
        metadata: metadata(),
    };
    let plain = UsedCall { metadata: Metadata::default(), ..call.clone() };
    let reply = |answer| UsageReply { epoch: EPOCH, revision: REVISION, answer };
    let page =
        UsagePage { calls: vec![call, plain], next_cursor: Some("req_0123456789abcdef".into()) };
    golden("usage_reply", &reply(UsageAnswer::Page(page)));
    let end = UsagePage { calls: vec![], next_cursor: None };
    golden("usage_reply_end", &reply(UsageAnswer::Page(end)));
    golden("usage_reply_unknown_key", &reply(UsageAnswer::UnknownKey));
    let bad =
        [UsageParameter::From, UsageParameter::To, UsageParameter::Limit, UsageParameter::Cursor];
    golden("usage_answers_bad_parameter", &bad.map(UsageAnswer::BadParameter));
}

/// However long its texts are, a call alone fits into a reply.
#[test]
fn the_longest_call_fits_into_a_reply_of_usage() {
    let mut metadata = Metadata::default();
    for n in 0..Metadata::MOST_PAIRS {
        // Every byte of a control character takes six in JSON.
        let name = format!("{n:x}{}", "\u{1}".repeat(Metadata::LONGEST_NAME - 1));
        metadata.add(name, "\u{1}".repeat(Metadata::LONGEST_VALUE)).unwrap();
    }
    let longest = UsedCall {
        request: RequestId::new("\\".repeat(RequestId::LONGEST)).unwrap(),
        model: ModelName::new("\\".repeat(ModelName::LONGEST)).unwrap(),
        input_tokens: u64::MAX,
        cached_input_tokens: u64::MAX,
        output_tokens: u64::MAX,
        cost: NanoUsd::MAX,
        status: u16::MAX,
        started_unix_ms: u64::MAX,
        duration_ms: u64::MAX,
        metadata,
    };
    let page = UsagePage { calls: vec![longest], next_cursor: Some("\\".repeat(64)) };
    let reply = UsageReply {
        epoch: Epoch(u64::MAX),
        revision: Revision(u64::MAX),
        answer: UsageAnswer::Page(page),
    };
    let length = serde_json::to_vec(&reply).unwrap().len();
    assert!(length <= UsageReply::LONGEST, "{length}");
}

#[test]
fn reports() {
    let request = ReportRequest {
        holder: holder(),
        epoch: EPOCH,
        leases: vec![
            LeaseReport {
                lease: lease(),
                spent: NanoUsd(336_900),
                floor: Some(NanoUsd(400_000)),
                is_final: false,
                permits_used: 0,
                permit_age_ms: 0,
            },
            LeaseReport {
                lease: lease(),
                spent: NanoUsd(336_900),
                floor: None,
                is_final: true,
                permits_used: 3,
                permit_age_ms: 812,
            },
        ],
        records: vec![
            record(),
            CallRecord {
                sequence: 6,
                lease: None,
                basis: Basis::Estimated,
                ending: Ending::Cut,
                status: 0,
                ..record()
            },
            CallRecord {
                sequence: 7,
                basis: Basis::Refunded,
                ending: Ending::UpstreamError,
                status: 503,
                streamed: false,
                ..record()
            },
            CallRecord { sequence: 8, ending: Ending::NoAnswer, ..record() },
        ],
        void: vec![19],
    };
    golden("report_request", &request);
    let empty = ReportRequest { leases: vec![], records: vec![], void: vec![], ..request };
    golden("report_request_empty", &empty);
    let terse = format!(r#"{{"holder":"{}","epoch":{}}}"#, holder(), EPOCH.0);
    also_reads(&terse, &empty);
    golden("report_reply", &ReportReply { epoch: EPOCH, revision: REVISION, differing: vec![6] });
}

/// What a plan adds to a key's policy, to what is asked and to what is recorded.
#[test]
fn plans() {
    let price_multiplier = PriceMultiplier::from_decimal("1.25").unwrap();
    golden("plan_policy", &KeyPolicy { price_multiplier, ..policy() });
    golden("plan_ask", &Ask { price_multiplier, ..ask() });
    golden("plan_record", &CallRecord { price_multiplier, ..record() });
    for out_of_bounds in ["0", "-1", "1.25", "1000000001"] {
        let ask = serde_json::to_string(&ask()).unwrap();
        let ask = ask.replace('}', &format!(",\"price_multiplier_ppm\":{out_of_bounds}}}"));
        refuses::<Ask>(&ask);
    }
}

/// Keys are exchanged for user keys, which are told from their keys where they are used.
#[test]
fn user_keys() {
    let request = ExchangeRequest {
        holder: holder(),
        epoch: EPOCH,
        digest: KeyDigest([0x0f; 32]),
        form: UserKeyForm::Tollgate,
    };
    golden("exchange_request", &request);
    let form = UserKeyForm::PrivateMind;
    golden("exchange_request_privatemind", &ExchangeRequest { form, ..request });
    let reply = |answer| ExchangeReply { epoch: EPOCH, revision: REVISION, answer };
    let secret = UserKeySecret::new("tgu_0123456789ab_and-so-on".into());
    let made = ExchangeAnswer::UserKey { secret, expires_at_unix_ms: 1_795_179_600_000 };
    assert!(!format!("{made:?}").contains("tgu_"));
    golden("exchange_reply", &reply(made));
    let most = ExchangeAnswer::TooMany { most: 60, retry_after_ms: 59_999 };
    golden("exchange_reply_too_many", &reply(most));
    golden("exchange_reply_key_not_usable", &reply(ExchangeAnswer::KeyNotUsable));
    let user_key = Some(KeyId::new("ukey_0123456789ab").unwrap());
    let of_user = KeyPolicy { kind: KeyKind::User, user_key: user_key.clone(), ..policy() };
    golden("user_key_policy", &of_user);
    golden("user_key_record", &CallRecord { user_key, ..record() });
    let (digests, state) = (vec![KeyDigest([0x0f; 32])], KeyState::Active);
    golden("user_keys_change", &Change::Key { key: key(), digests, state, user_keys: true });
}

/// A key in shadow mode, and a call that it would have been refused without.
#[test]
fn shadow_mode() {
    let shadow = KeyPolicy { shadow: true, ..policy() };
    golden("shadow_policy", &shadow);
    let code = RefusalCode::new("insufficient_quota").unwrap();
    let passed =
        CallRecord { lease: None, reserved: NanoUsd::ZERO, would_refuse: Some(code), ..record() };
    golden("shadow_record", &passed);
    let text = serde_json::to_string(&passed).unwrap();
    for code in ["", "Too many", "a-b"] {
        let text = text.replace(r#""insufficient_quota""#, &format!("{code:?}"));
        refuses::<CallRecord>(&text);
    }
    let usual = serde_json::to_string(&policy()).unwrap();
    also_reads(&usual.replacen('{', r#"{"shadow":false,"#, 1), &policy());
}

/// What a key may be restricted to beyond models, limits and budgets.
#[test]
fn restrictions() {
    let restricted = KeyPolicy {
        kind: KeyKind::User,
        max_call: Some(NanoUsd(250_000_000)),
        allowed_ips: Some(serde_json::from_str(r#"["192.0.2.0/24","2001:db8::7"]"#).unwrap()),
        ..policy()
    };
    golden("restricted_policy", &restricted);
    let address = Some("2001:db8::7".parse().unwrap());
    golden("record_with_address", &CallRecord { address, ..record() });
    golden(
        "lease_reply_call_too_expensive",
        &LeaseReply {
            epoch: EPOCH,
            revision: REVISION,
            answer: LeaseAnswer::Refused(Refusal::CallTooExpensive {
                need: NanoUsd(300_000_000),
                most: NanoUsd(250_000_000),
            }),
        },
    );
    let policy = serde_json::to_string(&policy()).unwrap();
    for wrong in ["[]", r#"["10.0.0.1/8"]"#, r#""10.0.0.0/8""#] {
        refuses::<KeyPolicy>(&policy.replacen('{', &format!("{{\"allowed_ips\":{wrong},"), 1));
    }
}

#[test]
fn changes() {
    let reply = ChangesReply {
        epoch: EPOCH,
        revision: REVISION,
        changes: vec![
            Change::Key {
                key: key(),
                digests: vec![KeyDigest([0x0f; 32]), KeyDigest([0xf0; 32])],
                state: KeyState::Disabled,
                user_keys: false,
            },
            Change::Catalogue { version: VERSION },
            Change::Recall { level: Level::Team, owner: policy().owner(Level::Team).unwrap() },
            Change::Exhausted { level: Level::Wallet, owner: "acme".into() },
            Change::AllKeys,
        ],
    };
    golden("changes_reply", &reply);
    let below = Change::Below { level: Level::Team, owner: "acme/search".into() };
    golden("changes_reply_below", &ChangesReply { changes: vec![below], ..reply.clone() });
    golden("changes_reply_heartbeat", &ChangesReply { changes: vec![], ..reply });
}

#[test]
fn catalogue() {
    let full = Model {
        name: model(),
        aliases: vec![ModelName::new("fast").unwrap()],
        price: Some(Price::text(
            PicoUsdPerToken(150_000),
            PicoUsdPerToken(600_000),
            Some(PicoUsdPerToken(75_000)),
        )),
        context_length: 128_000,
        max_output_tokens: 16_384,
        input_overhead_tokens: 64,
        image_tokens: Some(1_445),
        audio_tokens: Some(19_200),
        document_tokens: Some(80_000),
        max_server_tool_calls: Some(8),
        supported_parameters: Some(vec!["temperature".into(), "tools".into()]),
        reasoning: true,
        retired: true,
        created_unix_s: 1_795_176_000,
    };
    let terse = Model {
        name: ModelName::new("openai/gpt-5").unwrap(),
        aliases: vec![],
        price: None,
        context_length: 400_000,
        max_output_tokens: 128_000,
        input_overhead_tokens: 0,
        image_tokens: None,
        audio_tokens: None,
        document_tokens: None,
        max_server_tool_calls: None,
        supported_parameters: None,
        reasoning: false,
        retired: false,
        created_unix_s: 0,
    };
    also_reads(
        r#"{"name":"openai/gpt-5","context_length":400000,"max_output_tokens":128000}"#,
        &terse,
    );
    let catalogue =
        Catalogue { epoch: EPOCH, revision: REVISION, version: VERSION, models: vec![full, terse] };
    golden("catalogue", &catalogue);
}

#[test]
fn problems() {
    let problem = Problem {
        error: ProblemBody {
            code: Problem::UNKNOWN_HOLDER.into(),
            message: "the holder is not known (any more): register with a new nonce".into(),
        },
    };
    golden("problem", &problem);
    let codes = [
        Problem::UNKNOWN_HOLDER,
        Problem::OTHER_EPOCH,
        Problem::UNSUPPORTED_PROTOCOL,
        Problem::BAD_FILTER_TOKEN,
        Problem::BAD_MESSAGE,
        Problem::STORE_UNAVAILABLE,
    ];
    golden("problem_codes", &codes.map(str::to_owned));
}

/// The words of every enumeration: filters and servers of different releases meet.
#[test]
fn words() {
    golden("words_key_state", &[KeyState::Active, KeyState::Disabled, KeyState::Revoked]);
    golden("words_level", &Level::ALL);
    golden("words_unit", &[Unit::Requests, Unit::Tokens, Unit::Concurrent]);
    golden("words_window", &[Window::Minute, Window::Hour, Window::Day]);
    golden("words_scope", &[Scope::Proxy, Scope::Cluster]);
    golden("words_cut_calls", &[CutCalls::Estimate, CutCalls::Reservation]);
    golden("words_basis", &[Basis::Measured, Basis::Estimated, Basis::Refunded]);
    golden(
        "words_ending",
        &[Ending::Complete, Ending::UpstreamError, Ending::Cut, Ending::NoAnswer],
    );
    for level in Level::ALL {
        let quoted = format!("\"{}\"", level.as_str());
        assert_eq!(serde_json::to_string(&level).unwrap(), quoted);
    }
}

/// A reply may grow: a filter of today reads a server of tomorrow.
#[test]
fn replies_may_carry_more_than_is_known() {
    let json = r#"{"epoch":1,"revision":2,"differing":[],"tomorrow":true}"#;
    let reply = ReportReply { epoch: Epoch(1), revision: Revision(2), differing: vec![] };
    also_reads(json, &reply);
    refuses::<ReportRequest>(r#"{"holder":"h","epoch":1,"tomorrow":true}"#);
    refuses::<ReportRequest>(r#"{"holder":"","epoch":1}"#);
    refuses::<LeaseAnswer>(r#"{"refused":{"reason":"tomorrow"}}"#);
    for refusal in [
        r#"{"reason":"budget_exceeded","level":"org","need":1}"#,
        r#"{"reason":"budget_exceeded","need":1,"left":1}"#,
        r#"{"reason":"contended"}"#,
        r#"{"reason":"window_full","retry_after_ms":1}"#,
        r#"{"reason":"call_too_expensive","need":1}"#,
        r#"{"need":1}"#,
    ] {
        refuses::<Refusal>(refusal);
    }
    for change in [
        r#"{"what":"tomorrow"}"#,
        r#"{"what":"key","key":"k","digests":[]}"#,
        r#"{"what":"key","key":"k","state":"active"}"#,
        r#"{"what":"catalogue"}"#,
        r#"{"what":"below","level":"org"}"#,
        r#"{"what":"recall","owner":"o"}"#,
        r#"{"level":"org","owner":"o"}"#,
    ] {
        refuses::<Change>(change);
    }
}

/// Whoever deletes a test leaves its file behind: that must not go unnoticed.
#[test]
fn every_file_belongs_to_a_test() {
    let source = include_str!("golden.rs");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(source.contains(&format!("\"{name}\"")), "{name}.json is tested by nobody");
        files += 1;
    }
    assert!(files >= 34, "{files} files");
}

#[test]
fn who_is_below_whom_is_said_without_making_the_name() {
    let policy = policy();
    let without = KeyPolicy { team: None, user: None, ..policy.clone() };
    for policy in [policy, without] {
        let owners = Level::ALL.map(|level| policy.owner(level));
        let others = ["", "acme", "acme/", "acme/search", "acme/other", "acmesearch", "/search"];
        let names = owners.iter().flatten().map(String::as_str).chain(others);
        for name in names {
            for level in Level::ALL {
                let same = policy.owner(level).as_deref() == Some(name);
                assert_eq!(policy.is_below(level, name), same, "{level:?} {name}");
            }
        }
    }
}
