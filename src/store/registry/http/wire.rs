//! One request and its answer, as they go over a connection: no retry, no redirect, no authentication.

use std::io::{self, Read};
use std::time::Duration;

use ureq::http;
use ureq::{BodyReader, SendBody, Timeout};

use crate::error::{Error, ErrorKind, Result};
use crate::spec::text;
use crate::store::registry::credential::Secret;
use crate::store::registry::rest::Method;

use super::tls::{Verdict, verdict};
use super::told::Told;
use super::url::Url;

/// What is sent.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a Url,
    pub(crate) headers: &'a [(&'static str, String)],
    /// The name of the header that proves who one is, and its value.
    pub(crate) authorization: Option<(&'a str, &'a Secret)>,
    pub(crate) body: Body<'a>,
    /// How long the answer may take to begin, once all is sent.
    pub(crate) patience: Duration,
    /// For the body to be sent.
    pub(crate) sending: Duration,
    /// For the body of the answer to come, with nothing said of how fast.
    pub(crate) receiving: Duration,
}

/// What is sent behind the headers.
pub(crate) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    Stream { length: u64, content: &'a mut dyn Read },
}

impl Body<'_> {
    fn length(&self) -> u64 {
        match self {
            Body::None => 0,
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Stream { length, .. } => *length,
        }
    }
}

/// What came back: the status and the headers. The body is still to be read.
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: http::HeaderMap,
    body: BodyReader<'static>,
    told: Told,
}

/// How long a body must be so that the host is asked whether it wants it: answering costs it a moment, and taking it for nothing costs much more.
const ASK_FIRST: u64 = 16 << 20;

/// Sends a request and waits for the headers of its answer.
pub(crate) fn send(agent: &ureq::Agent, request: Request<'_>) -> Result<Response, Trouble> {
    let length = request.body.length();
    let mut builder = http::Request::builder().method(name(request.method)).uri(request.url.in_full());
    for (name, value) in request.headers {
        builder = builder.header(*name, value);
    }
    let mut told = Told::default();
    if let Some((name, secret)) = request.authorization {
        told = Told::in_header(secret);
        let mut value =
            http::HeaderValue::from_str(secret.reveal()).map_err(|_| Trouble::ours(Error::usage("a credential has characters that cannot be sent")))?;
        value.set_sensitive(true);
        builder = builder.header(name, value);
    }
    let has_body = !matches!(request.method, Method::Get | Method::Head | Method::Delete);
    if has_body {
        builder = builder.header("Content-Length", length);
    }
    if length >= ASK_FIRST {
        builder = builder.header("Expect", "100-continue");
    }
    let (patience, sending) = (request.patience, request.sending);
    let receiving = Some(request.receiving).filter(|receiving| *receiving < Duration::MAX);
    let built = builder.body(()).map_err(|error| Trouble::ours(Error::usage("a request cannot be made").because(error)))?;
    let configured = agent.configure_request(built).timeout_recv_response(Some(patience)).timeout_send_body(Some(sending)).timeout_recv_body(receiving).build();
    let response = if has_body {
        let mut content: Box<dyn Read + '_> = match request.body {
            Body::None => Box::new(io::empty()),
            Body::Bytes(bytes) => Box::new(bytes),
            Body::Stream { content, .. } => Box::new(Whole { content, left: length }),
        };
        agent.run(configured.map(|()| SendBody::from_reader(&mut *content)))
    } else {
        agent.run(configured)
    };
    let (parts, body) = response.map_err(Trouble::from)?.into_parts();
    Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body: body.into_reader(), told })
}

fn name(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Head => http::Method::HEAD,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    }
}

/// Content that must have as many bytes as were announced: the client would wait for missing ones for ever.
struct Whole<'a> {
    content: &'a mut dyn Read,
    left: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        loop {
            match self.content.read(&mut buffer[..most]) {
                Ok(0) => return Err(Error::corrupt(format!("content ends {} bytes before its end", self.left)).into()),
                Ok(count) => {
                    self.left -= count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Response {
    /// A header, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The secrets that the host was told, and may repeat.
    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    /// The same, where one more secret was told in the body of the request.
    #[must_use]
    pub(crate) fn knowing(mut self, secret: &Secret) -> Response {
        self.told.add(secret);
        self
    }

    /// All values of a header.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// All headers that are text.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// `Content-Length`, where it is a number.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// The whole body, which may have this many bytes. Fails with kind `corrupt` where it goes on.
    pub(crate) fn bytes(self, limit: usize) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        let read = self.body.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| Trouble::from(ureq::Error::from(error)))?;
        match bytes.len() > limit {
            true => Err(Trouble::ours(Error::corrupt(format!("the answer goes on after {limit} bytes, which is the limit")))),
            false => Ok(bytes),
        }
    }

    /// The beginning of the body, whatever happens.
    pub(crate) fn beginning(self, limit: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What came before a failure may tell enough.
        let _ = self.body.take(limit as u64).read_to_end(&mut bytes);
        bytes
    }

    /// The body as it comes.
    pub(crate) fn into_body(self) -> BodyReader<'static> {
        self.body
    }
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    pub(crate) error: Error,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// The host was not reached, so it did nothing; it may be reached later.
    Unreached,
    /// The connection broke or nothing came in time; the host may have done what was asked.
    Broken,
    /// The host does not speak TLS.
    NoTls,
    /// Trying again changes nothing.
    Final,
}

impl Trouble {
    /// A failure that is no matter of connections.
    pub(crate) fn ours(error: Error) -> Trouble {
        Trouble { kind: TroubleKind::Final, error }
    }

    /// The same, and final where it is that TLS is not spoken.
    pub(crate) fn finally_without_tls(self) -> Trouble {
        match self.kind {
            TroubleKind::NoTls => Trouble { kind: TroubleKind::Final, ..self },
            _ => self,
        }
    }

    fn unavailable(kind: TroubleKind, why: impl Into<String>) -> Trouble {
        Trouble { kind, error: Error::new(ErrorKind::Unavailable, why) }
    }
}

impl From<ureq::Error> for Trouble {
    fn from(error: ureq::Error) -> Trouble {
        match error {
            ureq::Error::Io(error) => of_io(error),
            ureq::Error::Timeout(Timeout::Resolve) => Trouble::unavailable(TroubleKind::Unreached, "its name was not found in time"),
            ureq::Error::Timeout(Timeout::Connect) => Trouble::unavailable(TroubleKind::Unreached, "it did not take a connection in time"),
            ureq::Error::Timeout(_) => Trouble::unavailable(TroubleKind::Broken, "it did not answer in time"),
            ureq::Error::HostNotFound => Trouble::unavailable(TroubleKind::Unreached, "its name is not known"),
            ureq::Error::ConnectProxyFailed(answer) => Trouble {
                kind: TroubleKind::Final,
                error: Error::new(ErrorKind::Unavailable, format!("the proxy let nothing through: {}", text::shown(&answer)))
                    .hint("look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and at the password in them"),
            },
            ureq::Error::LargeResponseHeader(..) | ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::BodyStalled => Trouble {
                kind: TroubleKind::Final,
                error: Error::new(ErrorKind::Unavailable, format!("it answers with what is no HTTP: {}", text::shown(&error.to_string())))
                    .hint("look at what listens there, and at what stands before it"),
            },
            error => Trouble::unavailable(TroubleKind::Broken, text::shown(&error.to_string())),
        }
    }
}

fn of_io(error: io::Error) -> Trouble {
    let error = match error.downcast::<Error>() {
        Ok(own) => return Trouble::ours(own),
        Err(error) => error,
    };
    match verdict(&error) {
        Some(Verdict::Unspoken) => return Trouble { kind: TroubleKind::NoTls, error: not_tls() },
        Some(Verdict::Refused(why, hint)) => {
            return Trouble { kind: TroubleKind::Final, error: Error::new(ErrorKind::Unavailable, format!("TLS failed: {}", text::shown(&why))).hint(hint) };
        }
        None => {}
    }
    use io::ErrorKind as Kind;
    let kind = match error.kind() {
        Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable | Kind::NetworkDown => TroubleKind::Unreached,
        _ if error.get_ref().is_some_and(|inner| inner.to_string().contains("failed to lookup address")) => TroubleKind::Unreached,
        _ => TroubleKind::Broken,
    };
    Trouble { kind, error: Error::new(ErrorKind::Unavailable, "the connection failed").because(error) }
}

fn not_tls() -> Error {
    Error::new(ErrorKind::Unavailable, "it does not speak TLS").hint("if it is meant to be reached without, give --plain-http")
}
