//! Which paths Tollgate serves. Every other path is refused: none is free by accident.

/// A path and method that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/chat/completions`.
    Chat,
    /// `GET /v1/models`, answered for the key.
    Models,
    /// `GET /v1/models/{model}`, answered for the key.
    Model(String),
}

impl Route {
    /// Finds the route of an exact path; the query does not take part. A name in the path must be
    /// written plainly: percent-encoded slashes and the like are no model names here.
    #[must_use]
    pub fn of(method: &[u8], path: &[u8]) -> Option<Self> {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        match (method, path) {
            (b"POST", b"/v1/chat/completions") => Some(Self::Chat),
            (b"GET", b"/v1/models") => Some(Self::Models),
            (b"GET", path) => {
                let name = path.strip_prefix(b"/v1/models/")?;
                let plain = !name.is_empty()
                    && name
                        .iter()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/".contains(byte));
                let name = std::str::from_utf8(name).ok().filter(|_| plain)?;
                Some(Self::Model(name.to_owned()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_paths_are_served() {
        assert_eq!(Route::of(b"POST", b"/v1/chat/completions"), Some(Route::Chat));
        assert_eq!(Route::of(b"POST", b"/v1/chat/completions?x=1"), Some(Route::Chat));
        assert_eq!(Route::of(b"GET", b"/v1/models"), Some(Route::Models));
        assert_eq!(Route::of(b"GET", b"/v1/models/a/b:c"), Some(Route::Model("a/b:c".to_owned())));
        for (method, path) in [
            (&b"GET"[..], &b"/v1/chat/completions"[..]),
            (b"post", b"/v1/chat/completions"),
            (b"POST", b"/v1/chat/completions/"),
            (b"POST", b"//v1/chat/completions"),
            (b"POST", b"/v1/Chat/completions"),
            (b"POST", b"/v1/chat%2fcompletions"),
            (b"POST", b"/v1/chat/completions;x"),
            (b"POST", b"/v1/chat/completions#x"),
            (b"POST", b"/v1/models"),
            (b"GET", b"/v1/models/"),
            (b"GET", b"/v1/models/a%2fb"),
            (b"POST", b"/v1/files"),
            (b"", b""),
            (b"GET", b"\xff"),
        ] {
            assert_eq!(Route::of(method, path), None, "{}", String::from_utf8_lossy(path));
        }
    }
}
