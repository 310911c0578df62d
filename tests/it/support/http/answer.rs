//! What a server answers, and how that goes wrong on its way.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::Value;

use super::request::Request;

/// An endless answer ends all the same: a client that reads on until here has no bound.
const ENDLESS: u64 = 8 << 30;

/// An answer with everything that a test may want of it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// How long the server thinks before it.
    pub(crate) delay: Duration,
    pub(crate) fault: Fault,
}

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not.
    None,
    /// The connection ends behind so many bytes of the body.
    CutAt(usize),
    /// Its `Content-Length` says this; the connection ends behind the body.
    Declares(u64),
    /// The body comes again and again.
    Endless,
    /// So many bytes at a time, head included, and a pause behind each.
    Dribbles(usize, Duration),
    /// Nothing is said, and the connection stays open.
    Silent,
    /// The body is all that is sent, head and all; then the connection ends.
    Raw,
}

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Next,
    End,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Answer {
        Answer { status, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO, fault: Fault::None }
    }

    /// These bytes and nothing else, whatever they are.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
        Answer::new(0).body(bytes).fault(Fault::Raw)
    }

    pub(crate) fn json(status: u16, document: &Value) -> Answer {
        Answer::new(status).header("Content-Type", "application/json").body(document.to_string())
    }

    pub(crate) fn text(status: u16, text: &str) -> Answer {
        Answer::new(status).header("Content-Type", "text/plain").body(text)
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In place of all headers of this name.
    #[must_use]
    pub(crate) fn set_header(mut self, name: &str, value: &str) -> Answer {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Answer {
        self.body = body.into();
        self
    }

    #[must_use]
    pub(crate) fn after(mut self, delay: Duration) -> Answer {
        self.delay = delay;
        self
    }

    #[must_use]
    pub(crate) fn fault(mut self, fault: Fault) -> Answer {
        self.fault = fault;
        self
    }

    /// Sends it. `pause` waits, and fails when the server ends.
    pub(super) fn send(&self, request: &Request, stream: &mut dyn Write, pause: &dyn Fn(Duration) -> io::Result<()>) -> io::Result<After> {
        if !self.delay.is_zero() {
            pause(self.delay)?;
        }
        let body: &[u8] = if request.method == "HEAD" { b"" } else { &self.body };
        let whole = [self.head(request).as_bytes(), body].concat();
        match self.fault {
            Fault::None => stream.write_all(&whole)?,
            Fault::CutAt(end) => stream.write_all(&whole[..whole.len() - body.len() + end.min(body.len())])?,
            Fault::Declares(_) => stream.write_all(&whole)?,
            Fault::Endless => self.send_without_end(&whole[..whole.len() - body.len()], stream)?,
            Fault::Dribbles(size, time) => {
                for piece in whole.chunks(size.max(1)) {
                    stream.write_all(piece)?;
                    stream.flush()?;
                    pause(time)?;
                }
            }
            Fault::Silent => pause(Duration::from_secs(3600))?,
            Fault::Raw => stream.write_all(&self.body)?,
        }
        stream.flush()?;
        let goes_on = matches!(self.fault, Fault::None | Fault::Dribbles(..)) && request.keeps_alive() && !self.has("Connection");
        Ok(if goes_on { After::Next } else { After::End })
    }

    fn head(&self, request: &Request) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let has_body = self.status != 204 && self.status != 304 && self.status >= 200;
        match self.fault {
            Fault::Declares(length) => head += &format!("Content-Length: {length}\r\n"),
            Fault::Endless => head += "Transfer-Encoding: chunked\r\n",
            _ if self.has("Content-Length") || self.has("Transfer-Encoding") || !has_body => {}
            _ => head += &format!("Content-Length: {}\r\n", self.body.len()),
        }
        if !request.keeps_alive() && !self.has("Connection") {
            head += "Connection: close\r\n";
        }
        head + "\r\n"
    }

    fn send_without_end(&self, head: &[u8], stream: &mut dyn Write) -> io::Result<()> {
        stream.write_all(head)?;
        let unit = if self.body.is_empty() { b" ".as_slice() } else { &self.body };
        let piece = unit.repeat((64 * 1024 / unit.len()).max(1));
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        let mut sent = 0;
        while sent < ENDLESS {
            stream.write_all(&chunk)?;
            sent += piece.len() as u64;
        }
        Ok(())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

/// The words that go with a status. No client may look at them.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        413 => "Request Entity Too Large",
        416 => "Requested Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Something",
    }
}
