//! What was asked of an instance, so that tests can tell whether a client does too much.

use serde_json::{Value, json};

use crate::support::http::{Answer, Request};

/// The headers that `/__log` shows.
const SHOWN: &[&str] = &["Accept", "Authorization", "Content-Length", "Content-Range", "Content-Type", "Cookie", "Range", "User-Agent", "X-JFrog-Art-Api"];

/// Every request, in the order of their answers.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
}

/// A request and how it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) listener: Listener,
    pub(crate) method: String,
    /// Decoded no further than it was sent.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub(crate) received: u64,
    pub(crate) status: u16,
}

/// Who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Artifactory,
    /// The object store that blobs may be fetched from.
    Store,
}

impl Log {
    pub(super) fn add(&mut self, listener: Listener, request: &Request, answer: &Answer) {
        self.entries.push(Entry {
            listener,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            received: request.body.len() as u64,
            status: answer.status,
        });
    }

    /// As `/__log` has it.
    pub(super) fn document(&self) -> Value {
        let requests: Vec<Value> = self.entries.iter().map(Entry::document).collect();
        let received: u64 = self.entries.iter().map(|entry| entry.received).sum();
        json!({"requests": requests, "count": requests.len(), "received": received})
    }
}

impl Entry {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn document(&self) -> Value {
        let headers = SHOWN.iter().filter_map(|name| Some(((*name).to_owned(), self.header(name)?.into())));
        let headers: serde_json::Map<String, Value> = headers.collect();
        json!({"method": self.method, "path": self.path, "query": self.query, "headers": headers, "received": self.received, "status": self.status})
    }
}
