//! For tests of what becomes of a VM that dies; never part of the filter that ships (feature
//! `trap`).

/// The header that asks for it.
const HEADER: &[u8] = b"x-tollgate-trap";

/// Kills the VM if the request asks for it.
pub fn if_asked(headers: &[(Vec<u8>, Vec<u8>)]) {
    if headers.iter().any(|(name, _)| name == HEADER) {
        log::error!("trap asked for by a test");
        #[cfg(target_arch = "wasm32")]
        core::arch::wasm32::unreachable();
    }
}
