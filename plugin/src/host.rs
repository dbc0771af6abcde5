//! Every call to the host, with its status as a `Result`. The only module with `unsafe` code.
//!
//! `dispatch_http_call` is the exception that goes through the SDK: its dispatcher must know the
//! token, or the answer would find nobody. It returns the two statuses that hosts give for it.

use std::time::Duration;

use proxy_wasm::hostcalls;

/// A status other than success (proxy-wasm ABI 0.2.1, `WasmResult`; or a WASI errno).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u32);

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;
/// The host has no such call.
pub const UNIMPLEMENTED: Status = Status(12);
/// A value that no host returns.
/// Bytes of another length or shape than the host has announced.
pub const MALFORMED: Status = Status(u32::MAX);
/// What stands for an id where the host has written none.
const NO_METRIC: u32 = u32::MAX;
/// Longest buffer that is asked for; some hosts refuse lengths above `i32::MAX`.
const LONGEST_BUFFER: usize = i32::MAX as usize;

/// Header maps (`WasmHeaderMapType`).
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub enum Map {
    /// Request headers.
    Request = 0,
    /// Request trailers.
    RequestTrailers = 1,
    /// Response headers.
    Response = 2,
    /// Headers of a call-out's answer.
    CallResponse = 6,
}

/// Buffers (`WasmBufferType`).
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub enum Buffer {
    /// Request body.
    RequestBody = 0,
    /// Response body.
    ResponseBody = 1,
    /// Body of a call-out's answer.
    CallResponseBody = 4,
    /// Configuration of the plugin.
    PluginConfiguration = 7,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, size: usize) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        length: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: u32,
        start: usize,
        length: usize,
        data: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    // Never `proxy_get_metric`: on one host a module that imports it does not load.
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_continue_stream(stream_type: u32) -> u32;
    fn proxy_close_stream(stream_type: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
}

// Declared by hand: with the `wasip1` target the same module would not load on every host.
#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u32;
    fn environ_sizes_get(count: *mut usize, size: *mut usize) -> u32;
    fn environ_get(pointers: *mut *mut u8, data: *mut u8) -> u32;
    fn random_get(data: *mut u8, size: usize) -> u32;
}

fn check(status: u32) -> Result<(), Status> {
    if status == OK { Ok(()) } else { Err(Status(status)) }
}

/// Takes over bytes that the host wrote into memory from our `malloc`.
fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() || size == 0 {
        return Vec::new();
    }
    // SAFETY: the host got the memory from the SDK's allocator, a boxed slice of exactly `size`
    // bytes of which it gives up ownership by returning it.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Writes to the proxy's log. Levels are those of `proxy_log`: 0 trace to 5 critical.
pub fn log(level: u32, text: &str) {
    // SAFETY: pointer and length describe `text`. A log that fails is nobody's business.
    let _ = unsafe { proxy_log(level, text.as_ptr(), text.len()) };
}

/// Asks for a timer.
pub fn set_tick_period(period: Duration) -> Result<(), Status> {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no pointer is passed.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// All pairs of a header map, as bytes, names as the host shows them.
pub fn header_pairs(map: Map) -> Result<gate::Headers, Status> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are to locals that live through the call.
    check(unsafe { proxy_get_header_map_pairs(map as u32, &mut data, &mut size) })?;
    parse_pairs(&take(data, size)).ok_or(MALFORMED)
}

/// One value of a header map.
pub fn header(map: Map, name: &str) -> Result<Option<Vec<u8>>, Status> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: all pointers are to locals and arguments that live through the call.
    let status = unsafe {
        proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), &mut data, &mut size)
    };
    match status {
        OK if data.is_null() => Ok(None),
        OK => Ok(Some(take(data, size))),
        NOT_FOUND => Ok(None),
        other => Err(Status(other)),
    }
}

/// A property of the stream by its path, parts separated by zero bytes; none where the host has no
/// such property.
pub fn property(path: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: all pointers are to locals and arguments that live through the call.
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) };
    (status == OK && !data.is_null()).then(|| take(data, size))
}

/// Sets a property of the stream.
pub fn set_property(path: &str, value: &str) -> Result<(), Status> {
    // SAFETY: pointers and lengths describe the arguments.
    check(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// Defines a metric and answers its id. None also where a host says that it did and gives no id.
pub fn define_metric(kind: u32, name: &str) -> Option<u32> {
    let mut id = NO_METRIC;
    // SAFETY: the pointers are to the argument and to a local that live through the call.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) };
    (status == OK && id != NO_METRIC).then_some(id)
}

/// Changes a counter or a gauge.
pub fn increment_metric(id: u32, by: i64) -> Result<(), Status> {
    // SAFETY: no pointer is passed.
    check(unsafe { proxy_increment_metric(id, by) })
}

/// Adds a sample to a histogram.
pub fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    // SAFETY: no pointer is passed.
    check(unsafe { proxy_record_metric(id, value) })
}

/// Sets a header to one value.
pub fn set_header(map: Map, name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: pointers and lengths describe the arguments.
    check(unsafe {
        proxy_replace_header_map_value(
            map as u32,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    })
}

/// Removes a header.
pub fn remove_header(map: Map, name: &[u8]) -> Result<(), Status> {
    // SAFETY: pointer and length describe the argument.
    check(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// Everything that a buffer holds; nothing where the host has no such buffer now.
pub fn buffer(buffer: Buffer) -> Result<Vec<u8>, Status> {
    buffer_from(buffer, 0)
}

/// What a buffer holds behind its first bytes, of which it must have so many. Only Envoy heeds where
/// to begin.
pub fn buffer_from(buffer: Buffer, start: usize) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are to locals that live through the call.
    let status = unsafe {
        proxy_get_buffer_bytes(buffer as u32, start, LONGEST_BUFFER, &mut data, &mut size)
    };
    match status {
        OK => Ok(take(data, size)),
        NOT_FOUND => Ok(Vec::new()),
        other => Err(Status(other)),
    }
}

/// Puts bytes in place of everything that a buffer holds.
pub fn replace_buffer(buffer: Buffer, bytes: &[u8]) -> Result<(), Status> {
    // SAFETY: pointer and length describe the argument.
    check(unsafe {
        proxy_set_buffer_bytes(buffer as u32, 0, LONGEST_BUFFER, bytes.as_ptr(), bytes.len())
    })
}

/// A shared value with its version.
pub fn shared_data(name: &str) -> Result<Option<(Vec<u8>, u32)>, Status> {
    let (mut data, mut size, mut cas) = (std::ptr::null_mut(), 0, 0);
    // SAFETY: all pointers are to locals and arguments that live through the call.
    let status =
        unsafe { proxy_get_shared_data(name.as_ptr(), name.len(), &mut data, &mut size, &mut cas) };
    match status {
        OK => Ok(Some((take(data, size), cas))),
        NOT_FOUND => Ok(None),
        other => Err(Status(other)),
    }
}

/// Stores a shared value if its version is `cas`; false when it is not.
pub fn swap_shared_data(name: &str, value: &[u8], cas: u32) -> Result<bool, Status> {
    // SAFETY: pointers and lengths describe the arguments.
    let status = unsafe {
        proxy_set_shared_data(name.as_ptr(), name.len(), value.as_ptr(), value.len(), cas)
    };
    match status {
        OK => Ok(true),
        CAS_MISMATCH => Ok(false),
        other => Err(Status(other)),
    }
}

/// Answers the client.
pub fn send_local_response(reply: &gate::Reply, details: &str) -> Result<(), Status> {
    let headers = serialize_pairs(&reply.headers);
    // SAFETY: pointers and lengths describe the arguments; −1 is "no gRPC status".
    check(unsafe {
        proxy_send_local_response(
            u32::from(reply.status),
            details.as_ptr(),
            details.len(),
            reply.body.as_ptr(),
            reply.body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    })
}

/// Lets a paused request go on.
pub fn resume_request() -> Result<(), Status> {
    // SAFETY: no pointer is passed. 0 is the HTTP request.
    check(unsafe { proxy_continue_stream(0) })
}

/// Cuts the stream off towards the client and towards the upstream.
pub fn close_stream() -> Result<(), Status> {
    // SAFETY: no pointer is passed. 1 is the HTTP response.
    check(unsafe { proxy_close_stream(1) })
}

/// Makes the host calls that follow act on another context.
pub fn set_effective_context(context: u32) -> Result<(), Status> {
    // SAFETY: no pointer is passed.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Calls another service.
pub fn dispatch_http_call(call: &gate::Call) -> Result<u32, Status> {
    let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = if call.body.is_empty() { None } else { Some(call.body.as_slice()) };
    let timeout = Duration::from_millis(call.timeout_ms);
    hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), timeout)
        .map_err(|status| Status(status as u32))
}

/// Nanoseconds of a WASI clock: 0 is the wall clock, 1 the monotonic one.
pub fn clock_ns(clock: u32) -> Result<u64, Status> {
    let mut time = 0;
    // SAFETY: the pointer is to a local that lives through the call.
    check(unsafe { clock_time_get(clock, 1_000, &mut time) })?;
    Ok(time)
}

/// 32 random bytes.
pub fn random() -> Result<[u8; 32], Status> {
    let mut bytes = [0; 32];
    // SAFETY: pointer and length describe a local that lives through the call.
    check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })?;
    Ok(bytes)
}

/// One environment variable.
pub fn environment(name: &str) -> Result<Option<String>, Status> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: both pointers are to locals that live through the call.
    check(unsafe { environ_sizes_get(&mut count, &mut size) })?;
    let mut pointers = vec![std::ptr::null_mut(); count];
    let mut data = vec![0; size];
    // SAFETY: the host writes `count` pointers and `size` bytes, as it has just said.
    check(unsafe { environ_get(pointers.as_mut_ptr(), data.as_mut_ptr()) })?;
    let wanted = data
        .split(|byte| *byte == 0)
        .filter_map(|variable| std::str::from_utf8(variable).ok()?.split_once('='))
        .find(|(variable, _)| *variable == name);
    Ok(wanted.map(|(_, value)| value.to_owned()))
}

/// The ABI's form of a header map: a count, then the lengths of each name and value, then each of
/// them with a zero byte behind it; numbers are 32 bits, little-endian.
fn parse_pairs(bytes: &[u8]) -> Option<gate::Headers> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let count = number(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut pairs = Vec::with_capacity(count.min(bytes.len()));
    let mut next = |length: usize| {
        let text = bytes.get(at..at.checked_add(length)?)?.to_vec();
        at = at.checked_add(length)?.checked_add(1)?;
        Some(text)
    };
    for index in 0..count {
        let lengths = 4 + index * 8;
        pairs.push((next(number(lengths)?)?, next(number(lengths + 4)?)?));
    }
    Some(pairs)
}

fn serialize_pairs(pairs: &[(&str, String)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        out.extend(number(name.len()));
        out.extend(number(value.len()));
    }
    for (name, value) in pairs {
        for text in [name.as_bytes(), value.as_bytes()] {
            out.extend_from_slice(text);
            out.push(0);
        }
    }
    out
}
