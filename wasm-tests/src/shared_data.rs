//! The proxy-wide key-value store with compare-and-swap, and the shared queues.

use std::collections::{BTreeMap, VecDeque};

use crate::status::Status;

/// Messages that one queue holds before the host refuses more: a test that passes this has a
/// producer without a consumer.
const MAX_QUEUED_MESSAGES: usize = 100_000;

/// Values shared by every VM of one proxy.
///
/// As in Envoy the swap number grows for ever and is global; a number that is not zero is compared
/// only when the key exists, so a number that was never given out creates a key or fails.
#[derive(Debug, Default)]
pub struct SharedData {
    values: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
    writes: u64,
    mismatches: u64,
}

impl SharedData {
    /// The value of `key` and its swap number.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<(&[u8], u32)> {
        self.values.get(key.as_ref()).map(|(value, cas)| (value.as_slice(), *cas))
    }

    /// Writes `key`. `cas` 0 writes always; any other number must be the current one, or the key
    /// must not exist.
    pub fn set(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        cas: u32,
    ) -> Result<(), Status> {
        let present = self.values.get(key.as_ref()).map(|(_, number)| *number);
        if let Some(number) = present
            && cas != 0
            && cas != number
        {
            self.mismatches += 1;
            return Err(Status::CasMismatch);
        }
        self.put(key.as_ref(), value.as_ref());
        Ok(())
    }

    /// Writes `key` as `ngx_wasm_module` does: `cas` must be the current number, which is 0 where
    /// there is no value, and nothing is ever written regardless.
    pub fn set_exact(
        &mut self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        cas: u32,
    ) -> Result<(), Status> {
        if self.values.get(key.as_ref()).map_or(0, |(_, number)| *number) != cas {
            self.mismatches += 1;
            return Err(Status::CasMismatch);
        }
        self.put(key.as_ref(), value.as_ref());
        Ok(())
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.last_cas = self.last_cas.wrapping_add(1).max(1);
        self.writes += 1;
        self.values.insert(key.to_vec(), (value.to_vec(), self.last_cas));
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.values.keys().map(Vec::as_slice)
    }

    /// Sum of the lengths of keys and values, in bytes.
    pub fn byte_size(&self) -> usize {
        self.values.iter().map(|(key, (value, _))| key.len() + value.len()).sum()
    }

    /// Successful writes so far.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Writes refused because the value had changed.
    pub fn mismatches(&self) -> u64 {
        self.mismatches
    }
}

/// Queues by name. The VM and root context that registered last is told of new messages.
#[derive(Debug, Default)]
pub(crate) struct SharedQueues {
    queues: BTreeMap<u32, Queue>,
    ready: VecDeque<(u32, usize, u32)>,
}

#[derive(Debug)]
struct Queue {
    name: Vec<u8>,
    vm: usize,
    root: u32,
    messages: VecDeque<Vec<u8>>,
}

impl SharedQueues {
    pub(crate) fn register(&mut self, name: &[u8], vm: usize, root: u32) -> u32 {
        if let Some(token) = self.resolve(name) {
            if let Some(queue) = self.queues.get_mut(&token) {
                (queue.vm, queue.root) = (vm, root);
            }
            return token;
        }
        let token = self.queues.len() as u32 + 1;
        let queue = Queue { name: name.to_vec(), vm, root, messages: VecDeque::new() };
        self.queues.insert(token, queue);
        token
    }

    pub(crate) fn resolve(&self, name: &[u8]) -> Option<u32> {
        self.queues.iter().find(|(_, queue)| queue.name == name).map(|(token, _)| *token)
    }

    pub(crate) fn enqueue(&mut self, token: u32, message: Vec<u8>) -> Result<(), Status> {
        let queue = self.queues.get_mut(&token).ok_or(Status::NotFound)?;
        if queue.messages.len() >= MAX_QUEUED_MESSAGES {
            return Err(Status::InternalFailure);
        }
        queue.messages.push_back(message);
        self.ready.push_back((token, queue.vm, queue.root));
        Ok(())
    }

    pub(crate) fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        let queue = self.queues.get_mut(&token).ok_or(Status::NotFound)?;
        queue.messages.pop_front().ok_or(Status::Empty)
    }

    /// The next `(queue, vm, root)` to be told of a message.
    pub(crate) fn next_ready(&mut self) -> Option<(u32, usize, u32)> {
        self.ready.pop_front()
    }
}
