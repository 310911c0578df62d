//! Asking a server by hand, request by request, so that a test of a server needs no client that thinks for itself.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// How long a server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request over plain HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    host: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(host: &str, method: &str, target: &str) -> Ask {
        Ask { host: host.into(), method: method.into(), target: target.into(), headers: vec![("Host".into(), host.into())], body: Vec::new() }
    }

    /// Sends this header, in place of one of the same name.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Ask {
        self.body = body.into();
        self
    }

    /// Asks, on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self) -> Reply {
        let mut request = format!("{} {} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", self.method, self.target, self.body.len());
        for (name, value) in &self.headers {
            request += &format!("{name}: {value}\r\n");
        }
        let answer = exchange(&self.host, &[format!("{request}\r\n").as_bytes(), &self.body].concat());
        Reply::read(&answer).unwrap_or_else(|| panic!("no answer to {} {}: {:?}", self.method, self.target, String::from_utf8_lossy(&answer)))
    }
}

impl Reply {
    /// The first header of this name; nothing where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn read(bytes: &[u8]) -> Option<Reply> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Some(Reply { status, headers, body: bytes[end + 4..].to_vec() })
    }
}

/// Sends these bytes, and returns all that comes until the server ends the connection. It has to, and soon.
#[track_caller]
pub(crate) fn exchange(host: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // One that ends the connection early does not have to take everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{host} does not end its answer: {error}"),
        _ => answer,
    }
}
