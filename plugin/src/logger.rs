//! The `log` facade and panics, written to the proxy's log.

use crate::host;

struct ProxyLog;

static LOGGER: ProxyLog = ProxyLog;

/// Connects both. Repeating it is harmless.
pub fn install() {
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    std::panic::set_hook(Box::new(|panic| host::log(5, &format!("tollgate: {panic}"))));
}

impl log::Log for ProxyLog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                log::Level::Trace => 0,
                log::Level::Debug => 1,
                log::Level::Info => 2,
                log::Level::Warn => 3,
                log::Level::Error => 4,
            };
            host::log(level, &format!("tollgate: {}", record.args()));
        }
    }

    fn flush(&self) {}
}
