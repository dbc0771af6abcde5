//! Root callbacks.

use std::rc::Rc;
use std::time::Duration;

use gate::{HostKind, Input, Token, config};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use crate::drive::Vm;
use crate::host::{self, Buffer};
use crate::http_context::Http;

/// How often the VM looks after its reports and polls: short, since money that a call did not use
/// comes back with its report.
const TICK: Duration = Duration::from_millis(50);
/// No context has this id (proxy-wasm ABI: 0 stands for "no parent").
const NO_ROOT: u32 = 0;
/// A name under which nothing is stored.
const NO_SHARED_DATA: &str = "tollgate.none";
const TOKEN_VARIABLE: &str = "TOLLGATE_FILTER_TOKEN";

/// One configuration of the plugin in this VM.
pub struct Root {
    id: u32,
    vm: Option<Rc<Vm>>,
    /// Its configuration, which a host shows only while it configures.
    text: Vec<u8>,
    /// What asking for a timer told of the host; some hosts trap where one is asked for twice.
    found: Option<Option<HostKind>>,
}

impl Root {
    /// A root context that is not configured yet.
    pub fn new(id: u32) -> Self {
        Self { id, vm: None, text: Vec::new(), found: None }
    }

    fn configure(&mut self) -> Result<(), Vec<String>> {
        let token = host::environment(TOKEN_VARIABLE).ok().flatten();
        let token = token.as_deref().and_then(Token::new);
        let config = config::parse(&self.text);
        let mut problems: Vec<String> = match &config {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        let needs_token = config.as_ref().is_ok_and(|config| config.server().is_some());
        if token.is_none() && needs_token {
            problems.push(format!(
                "environment.{TOKEN_VARIABLE}: must be set, to at least {} visible ASCII characters",
                Token::SHORTEST
            ));
        }
        let Some(config) = config.ok().filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        let seed = host::random().map_err(|status| {
            vec![format!("the host gives no random bytes: status {}", status.0)]
        })?;
        let found = *self.found.get_or_insert_with(|| found(config.host.kind));
        let kind = found.unwrap_or_default();
        config.check_on(kind).map_err(|problems| {
            problems.iter().map(ToString::to_string).collect::<Vec<String>>()
        })?;
        let vm = Vm::configured(config, token, seed, found);
        vm.newest_root.set(self.id);
        self.vm = Some(vm);
        Ok(())
    }
}

/// Asks for a timer, and tells the host by what it says. One that is found only at the first request,
/// when it shows nginx's variables, is not told yet.
fn found(said: Option<HostKind>) -> Option<HostKind> {
    match host::set_tick_period(TICK) {
        // One call that is missing may be an Envoy's whim, where requests go on by APISIX's rules. On
        // ngx_wasm, where the second question could end the VM, the first is answered otherwise.
        Err(host::UNIMPLEMENTED)
            if host::shared_data(NO_SHARED_DATA) == Err(host::UNIMPLEMENTED) =>
        {
            Some(HostKind::Apisix)
        }
        Err(status) => {
            log::warn!("the host has no timer: status {}", status.0);
            said
        }
        Ok(()) => said,
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, _: usize, _: usize) {
        if let Some(vm) = &self.vm {
            vm.call_answered(self.id, token, num_headers);
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(vm) = &self.vm {
            vm.forget_calls_of(self.id);
            if vm.newest_root.get() == self.id {
                // Another listener's root may live on: the next to tick takes over.
                vm.newest_root.set(NO_ROOT);
            }
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.text = host::buffer(Buffer::PluginConfiguration).unwrap_or_default();
        match self.configure() {
            Ok(()) => true,
            Err(problems) => {
                for problem in problems {
                    log::error!("configuration: {problem}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let is_nobodys = self.vm.as_ref().is_some_and(|vm| vm.newest_root.get() == NO_ROOT);
        if is_nobodys {
            // The newest is gone, and what it was told with it: a proxy that goes back to an earlier
            // configuration takes the root up again that it still has, and tells it nothing.
            if let Err(problems) = self.configure() {
                log::error!("configuration: {}", problems.join("; "));
            }
        }
        let Some(vm) = &self.vm else { return };
        if vm.newest_root.get() == self.id {
            vm.drive(self.id, Input::Tick);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(id, self.vm.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
