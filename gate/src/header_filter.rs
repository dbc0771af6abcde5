//! Header fields that must not pass: clients' on their way to the upstream, the provider's on its
//! way back.

use crate::credential::KEY_HEADERS;
use crate::io::Headers;

/// Other fields by which clients identify themselves; no provider needs them from a client.
const OTHER_SECRETS: [&[u8]; 2] = [b"cookie", b"proxy-authorization"];
/// Fields that make some servers read another method or path than the one that was checked (the last
/// three: IIS and several frameworks).
const OVERRIDES: [&[u8]; 6] = [
    b"x-http-method-override",
    b"x-http-method",
    b"x-method-override",
    b"x-original-url",
    b"x-original-uri",
    b"x-rewrite-url",
];
/// Fields that choose which account or project at the provider pays, or (Azure) which deployment
/// answers: neither is the client's to choose.
const CHOOSE_ACCOUNT: [&[u8]; 7] = [
    b"openai-organization",
    b"openai-project",
    b"anthropic-workspace-id",
    b"anthropic-user-profile-id",
    b"chatgpt-account-id",
    b"azureml-model-deployment",
    b"x-ms-oai-image-generation-deployment",
];
/// By this a provider may know a call again, and to a provider all clients are one: two that chose the
/// same name would get one answer.
const CALL_NAME: &[u8] = b"idempotency-key";
/// By this family Google's clients choose who pays and which members an answer has, so that it could
/// come without usage.
const GOOGLE_PREFIX: &[u8] = b"x-goog-";
/// The only one of them that says nothing but which client it is.
const GOOGLE_CLIENT: &[u8] = b"x-goog-api-client";
/// Families by which the clients of two clouds choose a tier of another price, or what else is run on a
/// call and paid for.
const CLOUD_PREFIXES: [&[u8]; 2] = [b"x-amzn-bedrock-", b"x-vertex-ai-llm-"];
/// Orders to gateways behind this one: how often they try again, which other models they try, whose
/// credential they use.
const GATEWAY_PREFIXES: [&[u8]; 4] = [b"cf-aig-", b"helicone-", b"x-litellm-", b"x-portkey-"];
/// Orders to the proxy itself: retries, which make cost that nobody reserved, time limits, names of
/// counters.
const PROXY_PREFIX: &[u8] = b"x-envoy-";
/// What MindProxy's clients say to Tollgate and to nobody else.
const DRY_RUN: &[u8] = b"x-tt-dry-run";
/// Our own names: what a client sends under them is a lie.
const RESERVED_PREFIX: &[u8] = b"x-tollgate-";

/// The fields that switch on what Anthropic is trying out, which may lift bounds or change prices;
/// the second is OpenRouter's name for the first.
pub(crate) const BETA_HEADERS: [&[u8]; 2] = [b"anthropic-beta", b"x-anthropic-beta"];

/// What becomes of [`BETA_HEADERS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Betas {
    /// They go on: they were checked, or cannot make the call cost more.
    Pass,
    /// Nobody has looked at them.
    Removed,
}

/// What an answer says of the account that all keys share at the provider: clients would take its
/// limits for their own, and who it is, is not theirs to know.
const OF_ACCOUNT: [&[u8]; 6] = [
    b"openai-organization",
    b"openai-project",
    b"anthropic-organization-id",
    b"anthropic-workspace-id",
    // Of the network before the provider, which tells clients apart by it.
    b"set-cookie",
    b"set-cookie2",
];
/// Families of the same.
const OF_ACCOUNT_PREFIXES: [&[u8]; 4] =
    [b"x-ratelimit-", b"anthropic-ratelimit-", b"anthropic-priority-", GOOGLE_PREFIX];

/// Names of a request's header fields (or trailers) that must not reach the upstream, each once.
#[must_use]
pub fn not_for_upstream(headers: &Headers, betas: Betas) -> Vec<Vec<u8>> {
    names(headers, |name| is_not_for_upstream(name, betas))
}

/// Names of the upstream's header fields that must not reach the client, each once; those that are
/// set anyway left out.
pub(crate) fn not_for_client(headers: &Headers, set: &[(String, String)]) -> Vec<Vec<u8>> {
    names(headers, |name| {
        let is_private = OF_ACCOUNT.contains(&name)
            || OF_ACCOUNT_PREFIXES.iter().any(|family| name.starts_with(family));
        is_private && set.iter().all(|(other, _)| other.as_bytes() != name)
    })
}

fn is_not_for_upstream(name: &[u8], betas: Betas) -> bool {
    KEY_HEADERS.contains(&name)
        || OTHER_SECRETS.contains(&name)
        || OVERRIDES.contains(&name)
        || CHOOSE_ACCOUNT.contains(&name)
        || (name.starts_with(GOOGLE_PREFIX) && name != GOOGLE_CLIENT)
        || CLOUD_PREFIXES.iter().any(|family| name.starts_with(family))
        || GATEWAY_PREFIXES.iter().any(|family| name.starts_with(family))
        || name.starts_with(PROXY_PREFIX)
        || name == DRY_RUN
        || name == CALL_NAME
        || name.starts_with(RESERVED_PREFIX)
        || (betas == Betas::Removed && BETA_HEADERS.contains(&name))
}

fn names(headers: &Headers, is_one: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    for (name, _) in headers.iter().filter(|(name, _)| is_one(name)) {
        if let Err(place) = names.binary_search(name) {
            names.insert(place, name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(names: &[&str]) -> Headers {
        names.iter().map(|name| (name.as_bytes().to_vec(), b"1".to_vec())).collect()
    }

    fn text(names: Vec<Vec<u8>>) -> Vec<String> {
        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn what_chooses_accounts_answers_or_retries_does_not_pass() {
        for name in [
            "authorization",
            "x-original-url",
            "x-original-uri",
            "x-rewrite-url",
            "x-api-key",
            "x-goog-api-key",
            "x-goog-user-project",
            "x-goog-fieldmask",
            "x-goog-request-params",
            "x-goog-",
            "x-vertex-ai-llm-shared-request-type",
            "x-amzn-bedrock-service-tier",
            "x-amzn-bedrock-performanceconfig-latency",
            "cf-aig-max-attempts",
            "helicone-fallbacks",
            "x-litellm-num-retries",
            "x-portkey-config",
            "openai-organization",
            "azureml-model-deployment",
            "cookie",
            "x-http-method-override",
            "x-envoy-retry-on",
            "x-envoy-max-retries",
            "x-envoy-upstream-rq-timeout-ms",
            "x-envoy-upstream-alt-stat-name",
            "x-tollgate-org",
            "x-tollgate-",
        ] {
            assert!(is_not_for_upstream(name.as_bytes(), Betas::Pass), "{name}");
        }
        for name in [
            "x-request-id",
            "content-type",
            "x-goog-api-client",
            "x-goog",
            "x-envoy",
            "x-amzn-trace-id",
        ] {
            assert!(!is_not_for_upstream(name.as_bytes(), Betas::Removed), "{name}");
        }
    }

    #[test]
    fn betas_pass_only_where_they_are_checked() {
        let sent = headers(&["anthropic-beta", "anthropic-version", "x-anthropic-beta"]);
        assert_eq!(text(not_for_upstream(&sent, Betas::Pass)), [""; 0]);
        let removed = text(not_for_upstream(&sent, Betas::Removed));
        assert_eq!(removed, ["anthropic-beta", "x-anthropic-beta"]);
    }

    #[test]
    fn each_name_is_removed_once() {
        let sent = headers(&["cookie", "x-tollgate-org", "cookie", "accept"]);
        assert_eq!(text(not_for_upstream(&sent, Betas::Pass)), ["cookie", "x-tollgate-org"]);
    }

    #[test]
    fn what_the_provider_says_of_the_account_does_not_pass() {
        let sent = headers(&[
            "content-type",
            "x-ratelimit-limit-requests",
            "x-ratelimit-limit-project-tokens",
            "x-ratelimit-limit-project-tokens",
            "anthropic-ratelimit-unified-status",
            "anthropic-priority-input-tokens-limit",
            "anthropic-organization-id",
            "openai-organization",
            "openai-project",
            "openai-processing-ms",
            "openai-version",
            "set-cookie",
            "set-cookie",
            "x-goog-quota-user",
            "x-ratelimit",
            "retry-after",
        ]);
        let set = [("x-ratelimit-limit-requests".to_owned(), "60".to_owned())];
        assert_eq!(
            text(not_for_client(&sent, &set)),
            [
                "anthropic-organization-id",
                "anthropic-priority-input-tokens-limit",
                "anthropic-ratelimit-unified-status",
                "openai-organization",
                "openai-project",
                "set-cookie",
                "x-goog-quota-user",
                "x-ratelimit-limit-project-tokens",
            ]
        );
        assert_eq!(not_for_client(&sent, &[]).len(), 9);
    }
}
