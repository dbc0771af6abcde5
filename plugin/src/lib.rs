//! `tollgate.wasm`: carries proxy-wasm callbacks to the [`gate`] and the gate's outputs to the host.
//! It decides nothing. The host is reached through [`host`] only, whose functions return `Result`:
//! the SDK's own panic on statuses that some hosts do return.

mod clock;
mod drive;
mod host;
mod http_context;
mod logger;
mod root_context;
mod shared_memory;
mod statistics;
#[cfg(feature = "trap")]
mod trap;

use proxy_wasm::traits::RootContext;

proxy_wasm::main! {{
    logger::install();
    proxy_wasm::set_root_context(|id| -> Box<dyn RootContext> {
        Box::new(root_context::Root::new(id))
    });
}}
