//! What a client sent.

use std::io::{self, BufRead, Read, Write};

/// No client that is tested here sends as much in one head.
const HEAD_LIMIT: u64 = 64 * 1024;

/// Nor in one body.
const BODY_LIMIT: u64 = 2 << 30;

/// A request, with its body when that has been read.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it was sent, still encoded, without the query.
    pub(crate) path: String,
    /// As it was sent, without the question mark.
    pub(crate) query: String,
    /// In the order they were sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// `http` or `https`: how it came.
    pub(crate) scheme: &'static str,
}

impl Request {
    /// Reads a request without its body. `None` where the client has gone.
    pub(crate) fn read(reader: &mut impl BufRead, scheme: &'static str) -> io::Result<Option<Request>> {
        // Who begins with TLS waits for an answer before any line ends.
        if reader.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
            return Err(bad("no HTTP"));
        }
        let mut head = reader.take(HEAD_LIMIT);
        let first = line(&mut head)?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(bad(&format!("no request line: {first:?}")));
        };
        let mut headers = Vec::new();
        loop {
            let line = line(&mut head)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&format!("no header: {line:?}")))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let (authority, target) = absolute(target);
        if let Some(authority) = authority {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
            headers.push(("Host".into(), authority.into()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Some(Request { method: method.into(), path: path.into(), query: query.into(), headers, body: Vec::new(), scheme }))
    }

    /// Reads the body, which the client may want to be asked for.
    pub(crate) fn read_body(&mut self, stream: &mut (impl BufRead + Asked)) -> io::Result<()> {
        if self.header("Expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            stream.ask(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if self.header("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(stream);
        }
        let length = match self.header("Content-Length") {
            Some(text) => text.parse().ok().filter(|length| *length <= BODY_LIMIT).ok_or_else(|| bad(&format!("no length: {text:?}")))?,
            None => 0,
        };
        self.read_bytes(stream, length)
    }

    fn read_chunks(&mut self, stream: &mut impl BufRead) -> io::Result<()> {
        loop {
            let text = line(&mut stream.take(HEAD_LIMIT))?;
            let size = text.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).ok().filter(|size| *size <= BODY_LIMIT).ok_or_else(|| bad(&format!("no size of a chunk: {text:?}")))?;
            self.read_bytes(stream, size)?;
            // Behind a chunk an empty line; behind the last one there may be more headers.
            while !line(&mut stream.take(HEAD_LIMIT))?.is_empty() {}
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn read_bytes(&mut self, stream: &mut impl BufRead, length: u64) -> io::Result<()> {
        let read = stream.take(length).read_to_end(&mut self.body)?;
        if (read as u64) < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// The first header of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers of this name, in one.
    pub(crate) fn list(&self, name: &str) -> String {
        let all: Vec<&str> = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect();
        all.join(", ")
    }

    /// The first parameter of this name in the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).into_iter().next()
    }

    /// All parameters of this name in the query.
    pub(crate) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.filter(|(own, _)| decoded(own) == name).map(|(_, value)| decoded(&value.replace('+', " "))).collect()
    }

    /// Path and query as they were sent.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// Whether the connection may serve another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        self.header("Connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"))
    }
}

/// A stream that a client can be spoken to on while it is read.
pub(crate) trait Asked {
    fn ask(&mut self, words: &[u8]) -> io::Result<()>;
}

impl<S: Read + Write> Asked for io::BufReader<S> {
    fn ask(&mut self, words: &[u8]) -> io::Result<()> {
        self.get_mut().write_all(words)?;
        self.get_mut().flush()
    }
}

/// `%2F` and the like as what they stand for.
pub(crate) fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        let (byte, after) = match code {
            Some(byte) if *first == b'%' => (byte, &after[2..]),
            _ => (*first, after),
        };
        out.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The host of a target in the form that is used with proxies, and the rest.
fn absolute(target: &str) -> (Option<&str>, &str) {
    let Some(rest) = target.strip_prefix("http://") else { return (None, target) };
    let end = rest.find('/').unwrap_or(rest.len());
    (Some(&rest[..end]), if end == rest.len() { "/" } else { &rest[end..] })
}

/// A line without its end; empty at the end of the stream.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    let line = String::from_utf8(line).map_err(|_| bad("not UTF-8"))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
