//! The configurations of hosts that do not run here, field by field against their documentation.

use std::path::Path;
use std::process::Command;

use serde::Deserialize as _;
use serde_yaml_ng::Value;

use super::field_tree::FieldTree;

/// Fields by `apiVersion kind`. Written from the types and references of the versions named.
const RESOURCES: [(&str, &str); 22] = [
    // Istio 1.28, extensions/v1alpha1/wasm.proto. `pluginConfig` is the filter's own and is checked by
    // its own checker.
    (
        "extensions.istio.io/v1alpha1 WasmPlugin",
        "selector{matchLabels*} targetRefs[group kind name namespace] url sha256 imagePullPolicy \
         imagePullSecret pluginConfig* pluginName phase priority failStrategy \
         vmConfig{env[name valueFrom value]} match[mode ports[number]] type",
    ),
    // Istio 1.28, networking/v1alpha3/envoy_filter.proto. What a patch holds is Envoy's: see
    // `patches_are_what_envoy_takes`.
    (
        "networking.istio.io/v1alpha3 EnvoyFilter",
        "workloadSelector{labels*} targetRefs[group kind name namespace] priority \
         configPatches[applyTo match{context proxy{proxyVersion metadata*} \
           listener{portNumber name portName listenerFilter \
             filterChain{name sni transportProtocol applicationProtocols destinationPort \
               filter{name subFilter{name}}}} \
           routeConfiguration* cluster{portNumber service subset name}} \
           patch{operation filterClass value*}]",
    ),
    (
        "networking.istio.io/v1 Gateway",
        "selector* servers[name bind hosts defaultEndpoint port{number name protocol targetPort} \
           tls{mode credentialName httpsRedirect minProtocolVersion maxProtocolVersion cipherSuites \
             subjectAltNames}]",
    ),
    (
        "networking.istio.io/v1 VirtualService",
        "hosts gateways exportTo \
         http[name match* route[destination{host subset port{number}} weight headers*] redirect* \
           rewrite{uri authority} timeout retries{attempts perTryTimeout retryOn} fault* mirror* \
           corsPolicy* headers*]",
    ),
    (
        "networking.istio.io/v1 ServiceEntry",
        "hosts addresses ports[number protocol name targetPort] location resolution endpoints* \
         workloadSelector* exportTo subjectAltNames",
    ),
    (
        "networking.istio.io/v1 DestinationRule",
        "host workloadSelector* exportTo subsets* \
         trafficPolicy{loadBalancer* connectionPool* outlierDetection* portLevelSettings* \
           tls{mode clientCertificate privateKey caCertificates credentialName subjectAltNames sni \
             insecureSkipVerify}}",
    ),
    // Gateway API 1.4.
    (
        "gateway.networking.k8s.io/v1 GatewayClass",
        "controllerName description parametersRef{group kind name namespace}",
    ),
    (
        "gateway.networking.k8s.io/v1 Gateway",
        "gatewayClassName listeners[name hostname port protocol tls* allowedRoutes*] addresses* \
         infrastructure*",
    ),
    (
        "gateway.networking.k8s.io/v1 HTTPRoute",
        "parentRefs[group kind namespace name sectionName port] hostnames \
         rules[name matches[path{type value} headers* queryParams* method] \
           filters[type requestHeaderModifier* responseHeaderModifier* requestMirror* requestRedirect* \
             urlRewrite{hostname path*} extensionRef{group kind name}] \
           backendRefs[group kind name namespace port weight filters*] \
           timeouts{request backendRequest}]",
    ),
    (
        "gateway.networking.k8s.io/v1 BackendTLSPolicy",
        "targetRefs[group kind name sectionName] options* \
         validation{caCertificateRefs[group kind name] wellKnownCACertificates hostname \
           subjectAltNames*}",
    ),
    // Envoy Gateway 1.10, api/v1alpha1.
    (
        "gateway.envoyproxy.io/v1alpha1 EnvoyExtensionPolicy",
        "targetRef* targetRefs[group kind name sectionName] targetSelectors* extProc* lua* \
         wasm[name rootID config* failOpen env{hostKeys} \
           code{type http{url sha256 tls*} image{url sha256 pullSecretRef* tls*} pullPolicy}]",
    ),
    (
        "gateway.envoyproxy.io/v1alpha1 EnvoyPatchPolicy",
        "type priority targetRef{group kind name} \
         jsonPatches[type name operation{op path jsonPath from value*}]",
    ),
    (
        "gateway.envoyproxy.io/v1alpha1 EnvoyProxy",
        "logging* telemetry* bootstrap* concurrency routingType extraArgs mergeGateways shutdown* \
         filterOrder* backendTLS* ipFamily preserveRouteOrder \
         provider{type kubernetes{envoyDeployment{patch* replicas strategy* pod* initContainers* name \
             container{env[name value valueFrom{secretKeyRef{name key optional}}] resources* \
               securityContext* image volumeMounts*}} \
           envoyDaemonSet* envoyService* envoyHpa* envoyPDB* useListenerPortAsContainerPort}}",
    ),
    (
        "gateway.envoyproxy.io/v1alpha1 ClientTrafficPolicy",
        "targetRef* targetRefs[group kind name sectionName] targetSelectors* tcpKeepalive* \
         enableProxyProtocol proxyProtocol* clientIPDetection* tls* \
         path{escapedSlashesAction disableMergeSlashes} \
         headers{enableEnvoyHeaders disableRateLimitHeaders xForwardedClientCert* \
           withUnderscoresAction preserveXRequestID requestID earlyRequestHeaders* \
           lateResponseHeaders*} \
         timeout{tcp* http{requestReceivedTimeout idleTimeout streamIdleTimeout}} \
         connection{connectionLimit* bufferLimit socketBufferLimit maxAcceptPerSocketEvent} \
         http1* http2* http3* grpc* healthCheck* scheme",
    ),
    (
        "gateway.envoyproxy.io/v1alpha1 HTTPRouteFilter",
        "urlRewrite* directResponse* requestMirror* matches* \
         credentialInjection{header overwrite \
           credential{valueRef{group kind name namespace}}}",
    ),
    (
        "gateway.envoyproxy.io/v1alpha1 Backend",
        "type endpoints[fqdn{hostname port} ip{address port} unix{path} zone hostname] appProtocols \
         fallback tls*",
    ),
    // Higress 2, api/extensions/v1alpha1/wasmplugin.proto.
    (
        "extensions.higress.io/v1alpha1 WasmPlugin",
        "url sha256 imagePullPolicy imagePullSecret verificationKey pluginConfig* pluginName phase \
         priority failStrategy vmConfig{env[name valueFrom value]} defaultConfig* \
         matchRules[ingress domain service config* configDisable routeType] defaultConfigDisable",
    ),
    // Kubernetes 1.34.
    ("v1 Namespace", ""),
    (
        "v1 PersistentVolumeClaim",
        "accessModes storageClassName volumeName volumeMode selector* \
         resources{requests{storage} limits{storage}}",
    ),
    (
        "apps/v1 Deployment",
        "replicas strategy{type} minReadySeconds revisionHistoryLimit selector{matchLabels*} \
         template{metadata{labels* annotations*} spec{automountServiceAccountToken \
           serviceAccountName terminationGracePeriodSeconds imagePullSecrets* nodeSelector* \
           tolerations* affinity* initContainers* \
           securityContext{runAsNonRoot runAsUser runAsGroup fsGroup fsGroupChangePolicy \
             seccompProfile{type}} \
           volumes[name persistentVolumeClaim{claimName} secret{secretName defaultMode} emptyDir* \
             configMap*] \
           containers[name image imagePullPolicy command args \
             env[name value valueFrom{secretKeyRef{name key optional}}] \
             ports[name containerPort protocol] volumeMounts[name mountPath readOnly subPath] \
             resources{requests{cpu memory} limits{cpu memory}} \
             securityContext{allowPrivilegeEscalation readOnlyRootFilesystem runAsNonRoot \
               capabilities{drop add}} \
             startupProbe{httpGet{path port} periodSeconds timeoutSeconds failureThreshold} \
             readinessProbe{httpGet{path port} periodSeconds timeoutSeconds failureThreshold} \
             livenessProbe{httpGet{path port} periodSeconds timeoutSeconds failureThreshold}]}}",
    ),
    ("v1 Service", "type selector* clusterIP ports[name port targetPort protocol appProtocol]"),
    (
        "networking.k8s.io/v1 NetworkPolicy",
        "podSelector{matchLabels*} policyTypes \
         ingress[from[namespaceSelector{matchLabels*} podSelector{matchLabels*}] \
           ports[protocol port endPort]] \
         egress[to* ports[protocol port endPort]]",
    ),
];

/// Documents that are told by their file.
const FILES: [(&str, &str); 6] = [
    // A strategic merge patch of a Deployment.
    (
        "istio/gateway-patch.yaml",
        "spec{template{spec{containers[name \
           env[name value valueFrom{secretKeyRef{name key optional}}] \
           volumeMounts[name mountPath readOnly subPath]] \
           volumes[name secret{secretName defaultMode}]}}}",
    ),
    (
        "higress/gateway-patch.yaml",
        "spec{template{spec{containers[name \
           env[name value valueFrom{secretKeyRef{name key optional}}]]}}}",
    ),
    // APISIX 3.15: apisix/cli/schema.lua and apisix/cli/config.lua.
    (
        "apisix/config.yaml",
        "apisix{node_listen enable_admin} \
         deployment{role role_data_plane{config_provider}} \
         wasm{plugins[name priority file http_request_phase]} \
         nginx_config{envs worker_processes http{client_max_body_size underscores_in_headers} \
           http_configuration_snippet http_server_location_configuration_snippet}",
    ),
    // APISIX 3.15: docs/en/latest/admin-api.md (route, upstream), wasm.md, plugins/proxy-rewrite.md.
    (
        "apisix/apisix.yaml",
        "routes[id name desc uri uris methods host hosts priority status \
           plugins{tollgate{conf} proxy-rewrite{uri method host scheme headers{set* add* remove*}}} \
           upstream{type scheme pass_host upstream_host nodes* retries retry_timeout \
             timeout{connect send read} tls*}]",
    ),
    (
        "apisix/route.json",
        "id name desc uri uris methods host hosts priority status \
         plugins{tollgate{conf} proxy-rewrite{uri method host scheme headers{set* add* remove*}}} \
         upstream{type scheme pass_host upstream_host nodes* retries retry_timeout \
           timeout{connect send read} tls*}",
    ),
    // The Compose specification.
    (
        "compose/compose.yaml",
        "name volumes* \
         services{policy-server{build{context dockerfile} image command environment* volumes ports \
             read_only cap_drop security_opt restart stop_grace_period} \
           envoy{image command environment* volumes ports read_only cap_drop security_opt \
             depends_on restart}}",
    ),
];

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    let read = |document| Value::deserialize(document).map_err(|why| format!("{path:?}: {why}"));
    documents.map(|document| read(document).unwrap()).filter(|value| !value.is_null()).collect()
}

#[test]
fn no_field_is_guessed() {
    let metadata = "name namespace labels* annotations*";
    let mut seen = Vec::new();
    for folder in ["istio", "envoy-gateway", "higress", "kubernetes"] {
        for entry in std::fs::read_dir(super::folder().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
            if FILES.iter().any(|(file, _)| *file == name) {
                continue;
            }
            for document in documents(&path) {
                let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
                let kind = format!("{} {}", text("apiVersion"), text("kind"));
                let fields = RESOURCES.iter().find(|(known, _)| *known == kind);
                let (_, spec) = fields.unwrap_or_else(|| panic!("{name}: {kind}"));
                let all = format!("apiVersion kind metadata{{{metadata}}} spec{{{spec}}}");
                let unknown = FieldTree::read(&all).unknown(&document);
                assert_eq!(unknown, [""; 0], "{name}: {kind}");
                seen.push(kind);
            }
        }
    }
    for (kind, _) in RESOURCES {
        assert!(seen.iter().any(|found| found == kind), "no example has a {kind}");
    }
    for (file, fields) in FILES {
        for document in documents(&super::folder().join(file)) {
            let unknown = FieldTree::read(fields).unknown(&document);
            assert_eq!(unknown, [""; 0], "{file}");
        }
    }
}

/// Every secret that a resource names is one that the pages tell to make, and none stands in a file.
#[test]
fn no_secret_stands_in_a_resource() {
    for folder in ["istio", "envoy-gateway", "higress", "kubernetes", "compose", "apisix"] {
        for entry in std::fs::read_dir(super::folder().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("kind: Secret"), "{path:?}");
            for line in text.lines().filter(|line| line.contains("Bearer ")) {
                let comment = line.trim_start().starts_with('#');
                let is_none = line.contains("REPLACE-WITH") || line.contains("nobody");
                assert!(comment || is_none, "{path:?}: {line}");
            }
        }
    }
}

/// Directives of nginx that the example uses, from the references of nginx 1.27 and of
/// ngx_wasm_module (docs/DIRECTIVES.md), by the block they stand in.
const DIRECTIVES: [(&str, &str); 6] = [
    ("", "env worker_processes events wasm http"),
    ("events", "worker_connections"),
    ("wasm", "module shm_kv resolver socket_read_timeout socket_buffer_size"),
    ("http", "map log_format server"),
    (
        "server",
        "listen access_log client_max_body_size client_body_buffer_size underscores_in_headers \
         merge_slashes include location",
    ),
    (
        "location",
        "proxy_wasm proxy_pass proxy_http_version proxy_set_header proxy_ssl_server_name \
         proxy_ssl_verify proxy_ssl_trusted_certificate proxy_buffering proxy_next_upstream \
         proxy_connect_timeout proxy_read_timeout",
    ),
];

#[test]
fn every_directive_of_nginx_stands_where_it_is_documented() {
    let text = std::fs::read_to_string(super::folder().join("ngx-wasm/nginx.conf")).unwrap();
    let mut blocks: Vec<&str> = Vec::new();
    let mut continues = false;
    let mut checked = 0;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let block = blocks.last().copied().unwrap_or_default();
        if line == "}" {
            blocks.pop();
        } else if block != "map" && !continues {
            let name = line.split([' ', ';']).next().unwrap();
            let known = DIRECTIVES.iter().find(|(known, _)| *known == block).unwrap().1;
            assert!(known.split_whitespace().any(|one| one == name), "{block}: {line}");
            checked += 1;
            if line.ends_with('{') {
                blocks.push(name);
            }
        }
        continues = !line.ends_with([';', '{', '}']);
    }
    assert!(blocks.is_empty() && checked > 25, "{checked} directives");
}

/// The patches of Istio and Envoy Gateway, put into a configuration of Envoy: it takes them.
#[test]
fn patches_are_what_envoy_takes() {
    let module = xtask::plugin_build::build().unwrap().path;
    let mut http_filters = Vec::new();
    let mut manager = Value::Null;
    let mut cluster = Value::Null;
    for file in ["istio/envoy-filter.yaml", "istio/edge.yaml", "istio/buffer.yaml"] {
        for document in documents(&super::folder().join(file)) {
            for patch in document["spec"]["configPatches"].as_sequence().unwrap() {
                let value = &patch["patch"]["value"];
                match patch["applyTo"].as_str().unwrap() {
                    "EXTENSION_CONFIG" => http_filters.push(value.clone()),
                    "HTTP_FILTER" if value.get("config_discovery").is_none() => {
                        http_filters.push(value.clone());
                    }
                    "NETWORK_FILTER" => manager = value["typed_config"].clone(),
                    _ => {}
                }
            }
        }
    }
    for document in documents(&super::folder().join("envoy-gateway/patch-policy.yaml")) {
        for patch in document["spec"]["jsonPatches"].as_sequence().unwrap() {
            let operation = &patch["operation"];
            if operation["path"] == "" {
                cluster = operation["value"].clone();
            } else {
                // The same members of the filter's plugin, set to the same values.
                let plugin = &mut http_filters[0]["typed_config"]["config"];
                let name = operation["path"].as_str().unwrap();
                assert_eq!(plugin[name], operation["value"], "{name}");
                plugin[name] = operation["value"].clone();
            }
        }
    }
    assert_eq!(http_filters.len(), 3, "wasm, credentials, buffer");
    // Istio's agent fetches the module and puts a file in its place.
    let local: Value =
        serde_yaml_ng::from_str(&format!("local: {{filename: {:?}}}", module.display())).unwrap();
    http_filters[0]["typed_config"]["config"]["vm_config"]["code"] = local;
    let router = "{name: envoy.filters.http.router, typed_config: {'@type': \
        type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";
    http_filters.push(serde_yaml_ng::from_str(router).unwrap());
    manager["stat_prefix"] = "x".into();
    manager["http_filters"] = Value::Sequence(http_filters);
    let routes = "{virtual_hosts: [{name: x, domains: ['*'], routes: [{match: {prefix: /}, \
        direct_response: {status: 200}}]}]}";
    manager["route_config"] = serde_yaml_ng::from_str(routes).unwrap();
    let text = "{node: {id: x, cluster: x}, static_resources: {clusters: [], listeners: [{name: x, \
        address: {socket_address: {address: 127.0.0.1, port_value: 0}}, filter_chains: [{filters: \
        [{name: envoy.filters.network.http_connection_manager}]}]}]}}";
    let mut bootstrap: Value = serde_yaml_ng::from_str(text).unwrap();
    let resources = &mut bootstrap["static_resources"];
    resources["clusters"] = Value::Sequence(vec![cluster]);
    resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"] = manager;

    let folder = xtask::run_folder::create().unwrap();
    let secret = std::fs::read_to_string(super::folder().join("compose/upstream-key.yaml"));
    std::fs::write(folder.join("secret.yaml"), secret.unwrap()).unwrap();
    let text = serde_yaml_ng::to_string(&bootstrap).unwrap();
    let text = text.replace("/etc/tollgate/", &format!("{}/", folder.display()));
    std::fs::write(folder.join("patched.yaml"), text).unwrap();
    let run = Command::new(xtask::envoy_binary::find().unwrap())
        .args(["--mode", "validate", "--disable-hot-restart", "--config-path"])
        .arg(folder.join("patched.yaml"))
        .env("TOLLGATE_FILTER_TOKEN", "0123456789abcdef0123456789abcdefgh")
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
