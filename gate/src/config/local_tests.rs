//! What may stand in a configuration without a server, and what may not.

use super::{Config, MOST_KEYS, Problem, parse};
use metering::api_key::digest;
use wire::KeyDigest;
use wire::v1::{KeyState, Level, ModelSet, Window};

const MODELS: &str =
    r#"[{"name":"m","aliases":["a"],"context_length":100,"max_output_tokens":10}]"#;

fn hex(key: &str) -> String {
    digest(key.as_bytes()).to_string()
}

/// A configuration with these keys and [`MODELS`].
fn of(keys: &str) -> Result<Config, Vec<String>> {
    of_both(keys, MODELS)
}

fn of_both(keys: &str, models: &str) -> Result<Config, Vec<String>> {
    let text = format!(r#"{{"keys":{keys},"models":{models}}}"#);
    parse(text.as_bytes()).map_err(|problems| problems.iter().map(Problem::to_string).collect())
}

/// A key with a digest and this beside it.
fn key_with(rest: &str) -> Result<Config, Vec<String>> {
    of(&format!(r#"[{{"id":"k","org":"o","digests":["{}"]{rest}}}]"#, hex("k")))
}

#[test]
fn a_key_is_read_with_all_that_is_said_of_it() {
    let keys = format!(
        r#"[{{"id":"k","org":"o","team":"t","user":"u","kind":"user","state":"disabled",
             "digests":["{}",{{"sha256":"{}","expires_at":"1970-01-01T00:00:05Z"}}],
             "expires_at":"1970-01-01T00:00:09Z","models":["a"],"allowed_ips":["10.0.0.0/8"],
             "limits":[{{"unit":"tokens","window":"1h","max":5,"level":"team","model":"a"}},
                       {{"unit":"concurrent","max":2,"scope":"proxy"}}],
             "default_max_output_tokens":7,"price_multiplier":"1.5"}}]"#,
        hex("now").to_uppercase(),
        hex("before"),
    );
    let config = of(&keys).unwrap();
    let local = config.local().unwrap();
    assert_eq!((local.digests(), config.server()), (2, None));
    let key = local.key(&digest(b"now")).unwrap();
    assert_eq!(key.state, KeyState::Disabled);
    assert_eq!(key.expires_at_unix_ms, Some(9_000));
    assert_eq!(local.key(&digest(b"before")).unwrap().expires_at_unix_ms, Some(5_000));
    let ModelSet::Only(models) = &key.models else { panic!("a list was given") };
    assert_eq!(models[0].as_str(), "m");
    let limit = &key.limits[0];
    assert_eq!((limit.window, limit.subject.level), (Some(Window::Hour), Level::Team));
    assert_eq!((&*limit.subject.id, limit.max), ("o/t", 5));
    assert_eq!(limit.subject.model.as_ref().unwrap().as_str(), "m");
    assert_eq!(key.price_multiplier.ppm(), 1_500_000);
    assert!(!key.budgeted);
    assert!(local.key(&KeyDigest([0; 32])).is_none());
    let all = of(&format!(r#"[{{"id":"k","org":"o","models":["*"],"digests":["{}"]}}]"#, hex("k")));
    assert_eq!(all.unwrap().local().unwrap().key(&digest(b"k")).unwrap().models, ModelSet::All);
}

#[test]
fn what_needs_a_server_is_refused() {
    for name in ["budget", "budgets", "wallet", "plan"] {
        let problems = key_with(&format!(r#","{name}":{{"usd":"5","period":"month"}}"#));
        assert_eq!(problems.unwrap_err(), [format!("keys[0].{name}: needs a policy server")]);
    }
    let limit = r#","limits":[{"unit":"requests","window":"1m","max":1,"scope":"cluster"}]"#;
    let problems = key_with(limit).unwrap_err();
    assert!(problems[0].starts_with("keys[0].limits[0].scope: cluster needs a policy server"));
    let both = r#"{"server":{"cluster":"c"},"keys":[],"models":[]}"#;
    let problems: Vec<_> = parse(both.as_bytes()).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
    assert_eq!(paths, ["keys", "models"]);
    assert_eq!(parse(br#"{"keys":[]}"#).unwrap_err()[0].path, "models");
}

#[test]
fn a_key_itself_is_a_problem_and_is_not_repeated() {
    let secret = "sk-AbCdEfGhIjKlMnOpQrStUv";
    for keys in [
        format!(r#"[{{"id":"k","org":"o","digests":["{secret}"]}}]"#),
        format!(r#"[{{"id":"k","org":"o","digests":[{{"sha256":"{secret}"}}]}}]"#),
        format!(r#"[{{"id":"{secret}","org":"o","digests":["{}"]}}]"#, hex("k")),
        format!(r#"[{{"id":"k","org":"o","digests":["{}"],"key":"{secret}"}}]"#, hex("k")),
        format!(r#"[{{"id":"k","org":"o","digests":["{}"],"secret":"{secret}"}}]"#, hex("k")),
        format!(r#"[{{"id":"k","org":"o","digests":["{}"],"{secret}":1}}]"#, hex("k")),
        format!(r#"["{secret}"]"#),
    ] {
        let problems = of(&keys).unwrap_err().join("\n");
        assert!(!problems.contains("AbCdEf"), "{problems}");
    }
    let named = key_with(&format!(r#","key":"{secret}""#)).unwrap_err();
    let hint = "keys[0].key: a key may not stand in the configuration";
    assert!(named.iter().any(|problem| problem.starts_with(hint)), "{named:?}");
}

#[test]
fn every_problem_of_a_key_is_named() {
    let begins = |rest: &str, text: &str| {
        let problems = key_with(rest).unwrap_err();
        assert!(problems[0].starts_with(text), "{problems:?}");
    };
    begins(r#","modles":[]"#, "keys[0].modles: is not known");
    begins(r#","state":"gone""#, "keys[0].state: must be one of active, disabled, revoked");
    begins(r#","expires_at":"soon""#, "keys[0].expires_at: must be an instant");
    begins(r#","models":["x"]"#, "keys[0].models: holds a name that is no model");
    begins(r#","models":"m""#, "keys[0].models: must be a list");
    begins(r#","allowed_ips":[]"#, "keys[0].allowed_ips: must be a list of 1 to 64");
    begins(r#","max_call_usd":"1""#, "keys[0].max_call_usd: needs a price for every model");
    begins(r#","max_call_usd":1"#, "keys[0].max_call_usd: must be USD");
    begins(r#","limits":[{"unit":"requests","max":1}]"#, "keys[0].limits[0].window: is required");
    begins(
        r#","limits":[{"unit":"concurrent","window":"1m","max":1}]"#,
        "keys[0].limits[0].window: calls in flight",
    );
    begins(
        r#","limits":[{"unit":"requests","window":"1m","max":1,"level":"team"}]"#,
        "keys[0].limits[0].level: names what the key does not have",
    );
    begins(
        r#","limits":[{"unit":"requests","window":"1m","max":1},{"unit":"requests","window":"1m","max":2}]"#,
        "keys[0].limits[1]: is another limit",
    );
    begins(
        r#","limits":[{"unit":"requests","window":"1m","max":1,"model":"x"}]"#,
        "keys[0].limits[].model: is no model",
    );
    let missing = of("[{}]").unwrap_err();
    assert_eq!(missing.len(), 3, "{missing:?}");
    assert_eq!(of("[1]").unwrap_err(), ["keys[0]: must be an object"]);
    let one = format!(r#"{{"id":"k","org":"o","digests":["{}"]}}"#, hex("k"));
    assert_eq!(
        of(&format!("[{one},{one}]")).unwrap_err(),
        [
            "keys[1].id: is that of another key",
            "keys[1].digests: holds a digest that is there already"
        ]
    );
}

#[test]
fn every_problem_of_a_model_is_named() {
    let begins = |rest: &str, text: &str| {
        let models =
            format!(r#"[{{"name":"m","context_length":100,"max_output_tokens":10{rest}}}]"#);
        let problems = of_both("[]", &models).unwrap_err();
        assert!(problems[0].starts_with(text), "{problems:?}");
    };
    begins(r#","price":1"#, "models[0].price: is not known");
    begins(r#","input_usd_per_mtok":"0.1""#, "models[0].input_usd_per_mtok: is required with");
    begins(
        r#","input_usd_per_mtok":0.1,"output_usd_per_mtok":"1""#,
        "models[0].input_usd_per_mtok: must be",
    );
    begins(r#","free":true,"usd_per_call":"1""#, "models[0].free: contradicts");
    begins(r#","aliases":["m"]"#, "models[0]: has a name that another one has");
    begins(r#","supported_parameters":["tempreature"]"#, "models[0].supported_parameters: holds");
    begins(
        r#","input_usd_per_mtok":"1","output_usd_per_mtok":"1",
            "tiers":[{"above_input_tokens":5,"output_usd_per_mtok":"1"}]"#,
        "models[0].tiers[0]: needs prices",
    );
    assert_eq!(of_both("[]", "[{}]").unwrap_err().len(), 3);
    assert_eq!(of_both("[]", "{}").unwrap_err(), ["models: must be a list of at most 2000"]);
}

#[test]
fn problems_and_keys_are_bounded() {
    let many = vec!["0"; 1_000].join(",");
    assert_eq!(of(&format!("[{many}]")).unwrap_err().len(), 100);
    let key =
        |n: usize| format!(r#"{{"id":"k{n}","org":"o","digests":["{}"]}}"#, hex(&n.to_string()));
    let keys: Vec<String> = (0..=MOST_KEYS).map(key).collect();
    let fits = format!("[{}]", keys[..MOST_KEYS].join(","));
    assert_eq!(of(&fits).unwrap().local().unwrap().digests(), MOST_KEYS);
    let one_more = format!("[{}]", keys.join(","));
    assert_eq!(of(&one_more).unwrap_err(), ["keys: must be at most 100000"]);
}

#[test]
fn the_example_in_the_documentation_is_a_configuration() {
    let page = include_str!("../../../docs/without-a-server.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, rest) = rest.split_once("```").unwrap();
    assert!(!rest.contains("```json"), "another example is not tested");
    let config = parse(example.as_bytes()).unwrap();
    let key = config.local().unwrap().key(&digest(b"sk-AbCdEfGhIjKlMnOpQrStUv")).unwrap();
    assert_eq!((key.key.as_str(), key.limits[0].max), ("key_notebook", 60));
}
