//! Every member of the configuration, in one table: the checker knows no other names, and
//! `docs/configuration.md` is made of it.
//!
//! Only the names reach the module: they are picked out of the table while the compiler runs, the
//! sentences for people stay behind.
//!
//! Longer than 500 lines because it is one table and nothing else: a member in another file could be
//! forgotten there.

/// One member that an operator may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Where it stands, such as `server.cluster`; `[]` follows a member that is an array of objects, as
    /// in `paths[].method`.
    pub path: &'static str,
    /// What it takes.
    pub kind: &'static str,
    /// What holds where it is absent, or `required`.
    pub default: &'static str,
    /// What it does: Markdown, links relative to `docs/`.
    pub meaning: &'static str,
}

const fn member(
    path: &'static str,
    kind: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Member {
    Member { path, kind, default, meaning }
}

/// All members, each below the one that holds it.
pub const MEMBERS: &[Member] = &[
    member("server", "object", "required without `keys`", "the policy server"),
    member(
        "server.cluster",
        "string",
        "required",
        "where its filter API is: the name of a cluster (Envoy, Istio, Higress), or `host:port` (APISIX, ngx_wasm)",
    ),
    member("server.authority", "string", "`tollgate`", "`:authority` of calls to it"),
    member(
        "server.timeout_ms",
        "integer, 100 to 30000",
        "2000",
        "how long a request waits for one answer of it, in milliseconds",
    ),
    member(
        "keys",
        "array of at most 100000 objects",
        "required without `server`",
        "the keys, where there is no policy server, see [without a server](without-a-server.md)",
    ),
    member("keys[].id", "string of at most 64", "required", "id of the key, public"),
    member("keys[].org", "string of at most 64", "required", "its organisation"),
    member("keys[].team", "string of at most 64", "none", "its team"),
    member("keys[].user", "string of at most 64", "none", "the user whom it belongs to"),
    member(
        "keys[].digests",
        "array of 1 to 8",
        "required",
        "SHA-256 of each secret that is good, as 64 hexadecimal digits, or objects",
    ),
    member("keys[].digests[].sha256", "string", "required", "the digest"),
    member(
        "keys[].digests[].expires_at",
        "instant (RFC 3339)",
        "with the key",
        "when this secret ends",
    ),
    member(
        "keys[].state",
        "`active`, `disabled` or `revoked`",
        "`active`",
        "whether it may be used",
    ),
    member("keys[].expires_at", "instant (RFC 3339)", "never", "when the key ends"),
    member(
        "keys[].models",
        "array of strings",
        "all",
        "models that it may call; `[\"*\"]` is all, `[]` is none",
    ),
    member(
        "keys[].org_has_no_models",
        "boolean",
        "`false`",
        "its organisation may call no model at all (403 `no_models`)",
    ),
    member(
        "keys[].limits",
        "array of at most 64 objects",
        "none",
        "rate limits, each proxy counting by itself",
    ),
    member(
        "keys[].limits[].unit",
        "`requests`, `tokens` or `concurrent`",
        "required",
        "what is counted",
    ),
    member(
        "keys[].limits[].window",
        "`1m`, `1h` or `1d`",
        "required unless `concurrent`",
        "over which trailing time",
    ),
    member("keys[].limits[].max", "integer from 1", "required", "most units"),
    member("keys[].limits[].scope", "`proxy`", "`proxy`", "where it is counted"),
    member(
        "keys[].limits[].level",
        "`key`, `user`, `team` or `org`",
        "`key`",
        "whose calls are counted together",
    ),
    member("keys[].limits[].model", "string", "all", "only calls of this model"),
    member(
        "keys[].allowed_ips",
        "array of 1 to 64 strings",
        "everywhere",
        "addresses and networks from which it may be used",
    ),
    member(
        "keys[].kind",
        "`application` or `user`",
        "`application`",
        "who uses it, for `paths[].keys`",
    ),
    member(
        "keys[].default_max_output_tokens",
        "integer, 1 to 1000000000",
        "the model's",
        "output tokens to reserve where a request names no limit",
    ),
    member(
        "keys[].max_call_usd",
        "string, USD",
        "none",
        "the most that one call may cost; every model needs a price",
    ),
    member("keys[].shadow", "boolean", "`false`", "the key is in [shadow mode](shadow.md)"),
    member(
        "keys[].price_multiplier",
        "string, a decimal number",
        "`1`",
        "what prices are multiplied by in the cost that is shown",
    ),
    member(
        "models",
        "array of at most 2000 objects",
        "required without `server`",
        "the models, where there is no policy server",
    ),
    member("models[].name", "string", "required", "its name at the provider"),
    member(
        "models[].aliases",
        "array of at most 64 strings",
        "none",
        "other names by which clients may ask for it",
    ),
    member(
        "models[].context_length",
        "integer, 1 to 1000000000",
        "required",
        "most tokens of input and output together",
    ),
    member(
        "models[].max_output_tokens",
        "integer, 1 to 1000000000",
        "required",
        "most output tokens of one answer",
    ),
    member(
        "models[].input_overhead_tokens",
        "integer, 0 to 1000000000",
        "64",
        "tokens that no byte of a request accounts for",
    ),
    member(
        "models[].image_tokens",
        "integer, 1 to 1000000000",
        "not known",
        "most tokens of one image",
    ),
    member(
        "models[].audio_tokens",
        "integer, 1 to 1000000000",
        "not known",
        "most tokens of one recording",
    ),
    member(
        "models[].document_tokens",
        "integer, 1 to 1000000000",
        "not known",
        "most tokens of one document",
    ),
    member(
        "models[].max_server_tool_calls",
        "integer, 1 to 1000",
        "not known",
        "uses of the provider's tools in one call",
    ),
    member(
        "models[].supported_parameters",
        "array of at most 256 strings",
        "not checked",
        "optional members of requests that it takes",
    ),
    member(
        "models[].reasoning",
        "boolean",
        "`false`",
        "it writes its reasoning before any visible output",
    ),
    member("models[].retired", "boolean", "`false`", "withdrawn: 404 `model_removed`"),
    member(
        "models[].created_at",
        "instant (RFC 3339)",
        "1970",
        "when it was added, for `GET /v1/models`",
    ),
    member(
        "models[].input_usd_per_mtok",
        "string",
        "required with the next",
        "prices are optional here: USD per million tokens of input",
    ),
    member(
        "models[].output_usd_per_mtok",
        "string",
        "required with the one before",
        "the same of output",
    ),
    member(
        "models[].cached_input_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of input read from the provider's cache",
    ),
    member(
        "models[].cache_write_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of input written to it for minutes",
    ),
    member(
        "models[].cache_write_1h_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of input written to it for an hour",
    ),
    member(
        "models[].audio_input_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of recordings",
    ),
    member(
        "models[].image_input_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of images",
    ),
    member(
        "models[].audio_output_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of sound in answers",
    ),
    member(
        "models[].image_output_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of images in answers",
    ),
    member(
        "models[].tiers",
        "array of at most 2 objects",
        "none",
        "prices that replace those above for calls with more input",
    ),
    member(
        "models[].tiers[].above_input_tokens",
        "integer, 1 to 1000000000",
        "required",
        "from how many input tokens on",
    ),
    member(
        "models[].tiers[].input_usd_per_mtok",
        "string",
        "required",
        "USD per million tokens of input",
    ),
    member("models[].tiers[].output_usd_per_mtok", "string", "required", "the same of output"),
    member(
        "models[].tiers[].cached_input_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of input read from the provider's cache",
    ),
    member(
        "models[].tiers[].cache_write_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of input written to it for minutes",
    ),
    member(
        "models[].tiers[].cache_write_1h_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of input written to it for an hour",
    ),
    member(
        "models[].tiers[].audio_input_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of recordings",
    ),
    member(
        "models[].tiers[].image_input_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of images",
    ),
    member(
        "models[].tiers[].audio_output_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of sound in answers",
    ),
    member(
        "models[].tiers[].image_output_usd_per_mtok",
        "string",
        "as text of its direction",
        "the same of images in answers",
    ),
    member(
        "models[].usd_per_call",
        "string, USD",
        "none",
        "added for each call; the price of `paths`",
    ),
    member(
        "models[].usd_per_server_tool_call",
        "string, USD",
        "none",
        "added for each use of a tool of the provider, which are refused without it",
    ),
    member("models[].free", "boolean", "`false`", "calls cost nothing, which is said"),
    member("limits", "object", "as below", "limits of requests"),
    member(
        "limits.body_bytes",
        "integer, 1 to 67108864",
        "10485760",
        "largest request body in bytes. The proxy's own buffer must be larger",
    ),
    member(
        "limits.concurrent_calls_per_key",
        "integer, 0 to 1000000",
        "1000",
        "most calls of one key that run at the same time in this proxy, where the key has no limit `concurrent` of its \
         own; `0` for any number. See [the security of the gateway](security.md#running-calls-of-one-key)",
    ),
    member(
        "name",
        "string",
        "`tollgate`",
        "name of this plugin instance in the server's list. Instances in one VM (same `vm_id`) that have the same name \
         share one machine, so instances with different configurations need different names",
    ),
    member(
        "profile",
        "`native`, `privatemind`, `mindproxy` or `deltallm`",
        "`native`",
        "whose manners towards clients it has, see [profiles](profiles.md)",
    ),
    member(
        "paths",
        "array of at most 64 objects",
        "none",
        "other paths that are served, at a price per call, see [the APIs](apis.md#other-paths-at-a-price-per-call)",
    ),
    member(
        "paths[].method",
        "`GET`, `POST`, `PUT`, `PATCH` or `DELETE`",
        "required",
        "method of the requests",
    ),
    member("paths[].path", "string", "required", "the path, with at most one `*`, at its end"),
    member("paths[].model", "string", "required", "the model whose price per call each call costs"),
    member("paths[].keys", "`any`, `user` or `application`", "`any`", "whose keys it takes"),
    member(
        "allow",
        "array of strings",
        "none",
        "kinds of features that requests may ask for although no reservation covers them, see \
         [the APIs](apis.md#what-needs-permission)",
    ),
    member(
        "shadow",
        "boolean, or an object",
        "`false`",
        "nothing is refused, only recorded and told: see [shadow mode](shadow.md)",
    ),
    member(
        "shadow.paths",
        "array of 1 to 64 strings",
        "required",
        "only on these paths, with at most one `*` at the end of each",
    ),
    member(
        "idempotency",
        "boolean",
        "`false`; `true` in profile `mindproxy`",
        "whether a call is made once under the same `Idempotency-Key`, see \
         [the APIs](apis.md#calls-that-are-sent-again)",
    ),
    member(
        "host",
        "object",
        "as below",
        "in what kind of proxy the filter runs, and what it does where that cannot do all, see \
         [what each host can do](host-abilities.md)",
    ),
    member(
        "host.kind",
        "`auto`, `envoy`, `apisix` or `ngx_wasm`",
        "`auto`",
        "the kind of proxy; Istio, Envoy Gateway and Higress are `envoy`. `auto` is what the proxy shows itself to be",
    ),
    member(
        "host.holds_headers",
        "boolean",
        "`true`",
        "Envoy: whether `allow_on_headers_stop_iteration` is set for this plugin. Where it cannot be set, say `false`: \
         requests with a body would wait for ever",
    ),
    member(
        "host.workers",
        "integer, 1 to 4096",
        "1",
        "workers of the proxy; required where `host.windows` is `per_worker`",
    ),
    member(
        "host.windows",
        "`shared`, `server` or `per_worker`",
        "`shared` on Envoy, else `server`",
        "where windows of scope `proxy` are counted: in the memory that the workers share, at the policy server call by \
         call, or in each worker, which has its part of every limit",
    ),
    member(
        "host.unwritable_limits",
        "`reserve` or `refuse`",
        "`reserve`",
        "a call whose output limit would have to be written, where nothing can be: reserved at the most that the model \
         gives, or refused",
    ),
    member(
        "host.unforced_usage",
        "`estimate` or `refuse`",
        "`estimate`",
        "a stream that would have to be made to report its usage, where nothing can be written: estimated, or refused",
    ),
];

/// The names of the members that stand directly in the object at a path; `""` is the document.
macro_rules! names_in {
    ($path:literal) => {{
        const NAMES: [&str; $crate::config::reference::count_in($path)] =
            $crate::config::reference::collect_in($path);
        &NAMES
    }};
}
pub(super) use names_in;

/// How many members stand directly in the object at `parent`.
pub(super) const fn count_in(parent: &str) -> usize {
    let mut count = 0;
    let mut at = 0;
    while at < MEMBERS.len() {
        if name_in(parent, MEMBERS[at].path).is_some() {
            count += 1;
        }
        at += 1;
    }
    count
}

/// Their names. `N` is what [`count_in`] says of the same path.
pub(super) const fn collect_in<const N: usize>(parent: &str) -> [&'static str; N] {
    let mut names = [""; N];
    let (mut at, mut next) = (0, 0);
    while at < MEMBERS.len() {
        if let Some(name) = name_in(parent, MEMBERS[at].path) {
            names[next] = name;
            next += 1;
        }
        at += 1;
    }
    names
}

/// The rest of `path` if that is one name behind `parent`.
const fn name_in(parent: &str, path: &'static str) -> Option<&'static str> {
    let (parent, bytes) = (parent.as_bytes(), path.as_bytes());
    let mut at = 0;
    while at < parent.len() {
        if at >= bytes.len() || bytes[at] != parent[at] {
            return None;
        }
        at += 1;
    }
    if !parent.is_empty() {
        if at >= bytes.len() || bytes[at] != b'.' {
            return None;
        }
        at += 1;
    }
    let mut end = at;
    while end < bytes.len() {
        if bytes[end] == b'.' || bytes[end] == b'[' {
            return None;
        }
        end += 1;
    }
    let (_, name) = path.split_at(at);
    Some(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::config::{
        DEFAULT_BODY_BYTES, DEFAULT_TIMEOUT_MS, MOST_BODY_BYTES, MOST_PATHS, Profile, parse,
    };

    #[test]
    fn names_are_those_of_one_object() {
        assert_eq!(names_in!("paths[]"), &["method", "path", "model", "keys"]);
        assert_eq!(names_in!("limits"), &["body_bytes", "concurrent_calls_per_key"]);
        assert!(names_in!("").contains(&"limits"));
        assert!(!names_in!("").contains(&"body_bytes"));
        assert!(count_in("limit") == 0 && count_in("paths") == 0);
    }

    #[test]
    fn every_row_has_a_path_of_its_own_below_its_parent() {
        let mut seen = BTreeSet::new();
        for member in MEMBERS {
            if let Some((parent, _)) = member.path.rsplit_once('.') {
                let parent = parent.trim_end_matches("[]");
                assert!(seen.contains(parent), "{}: its parent has no row above", member.path);
            }
            assert!(seen.insert(member.path), "{} has two rows", member.path);
            assert!(!member.kind.is_empty() && !member.default.is_empty());
            assert!(!member.meaning.is_empty() && !member.meaning.contains('|'));
        }
    }

    /// A value that fits no member, put where a row says that one stands: the checker must look at
    /// it. Otherwise the row would let a member pass that nothing reads.
    #[test]
    fn every_row_is_read() {
        for member in MEMBERS {
            let mut value = json!(7.5);
            for part in member.path.rsplit('.') {
                let (name, array) = match part.strip_suffix("[]") {
                    Some(name) => (name, true),
                    None => (part, false),
                };
                value = if array { json!({name: [value]}) } else { json!({name: value}) };
            }
            let place = member.path.replace("[]", "[0]");
            let problems = parse(value.to_string().as_bytes()).unwrap_err();
            let wrong = problems.iter().find(|problem| problem.path == place);
            let wrong = wrong.unwrap_or_else(|| panic!("{place} is not read: {problems:?}"));
            assert_ne!(wrong.message, "is not known", "{place}");
        }
    }

    #[test]
    fn numbers_and_words_are_those_of_the_code() {
        let row = |path| MEMBERS.iter().find(|member| member.path == path).unwrap();
        let body = row("limits.body_bytes");
        assert_eq!(body.default, DEFAULT_BODY_BYTES.to_string());
        assert!(body.kind.ends_with(&format!(" to {MOST_BODY_BYTES}")));
        assert_eq!(row("server.timeout_ms").default, DEFAULT_TIMEOUT_MS.to_string());
        assert!(row("paths").kind.contains(&MOST_PATHS.to_string()));
        for name in Profile::ALL.map(Profile::name) {
            assert!(row("profile").kind.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn what_has_no_row_is_not_known() {
        let parents = MEMBERS.iter().filter_map(|member| Some(member.path.rsplit_once('.')?.0));
        for parent in parents.chain([""]) {
            let mut value: Value = json!({"undreamt": 1});
            let above = parent.rsplit('.').filter(|part| !part.is_empty());
            for part in above {
                value = match part.strip_suffix("[]") {
                    Some(name) => json!({name: [value]}),
                    None => json!({part: value}),
                };
            }
            let problems = parse(value.to_string().as_bytes()).unwrap_err();
            let unknown = problems.iter().any(|problem| {
                problem.path.ends_with("undreamt") && problem.message == "is not known"
            });
            assert!(unknown, "{parent}: {problems:?}");
        }
    }
}
