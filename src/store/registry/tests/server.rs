//! A server that answers as a test wants, and remembers what it was asked.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    /// With the query.
    pub(super) target: String,
    headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().expect("a first part")
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/")))
    }

    /// `METHOD /path`, for comparing.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path())
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// How much of it is sent before the connection is cut.
    cut: Option<usize>,
    /// Instead of all that.
    raw: Option<Vec<u8>>,
    /// How long to wait before it.
    after: Duration,
    /// Whether the connection stays open and silent after it.
    stalls: bool,
}

impl Reply {
    pub(super) fn new(status: u16) -> Self {
        Reply { status, headers: Vec::new(), body: Vec::new(), cut: None, raw: None, after: Duration::ZERO, stalls: false }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub(super) fn after(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    pub(super) fn stalling(mut self, bytes: usize) -> Self {
        (self.cut, self.stalls) = (Some(bytes), true);
        self
    }

    pub(super) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Reply { raw: Some(bytes.into()), ..Reply::new(200) }
    }
}

type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

/// A server on a port of this machine, which ends when it is dropped.
pub(super) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    ended: Arc<AtomicBool>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    pub(super) fn start(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server {
            port: listener.local_addr().expect("an address").port(),
            asked: Arc::default(),
            open: Arc::default(),
            ended: Arc::default(),
            connections: Arc::default(),
        };
        let handler: Arc<Handler> = Arc::new(handler);
        let (asked, open, ended, connections) = (server.asked.clone(), server.open.clone(), server.ended.clone(), server.connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                *connections.lock().expect("unpoisoned") += 1;
                open.lock().expect("unpoisoned").push(stream.try_clone().expect("a handle"));
                let (handler, asked) = (handler.clone(), asked.clone());
                std::thread::spawn(move || serve(stream, &*handler, &asked));
            }
        });
        server
    }

    /// `127.0.0.1:PORT`
    pub(super) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("unpoisoned").clone()
    }

    /// Everything that was asked so far, as `METHOD /path`, and forgets it.
    pub(super) fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("unpoisoned")).iter().map(Asked::line).collect()
    }

    /// How many connections there were.
    pub(super) fn connections(&self) -> usize {
        *self.connections.lock().expect("unpoisoned")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        for stream in self.open.lock().expect("unpoisoned").iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: TcpStream, handler: &Handler, log: &Mutex<Vec<Asked>>) {
    let mut writer = stream.try_clone().expect("a handle");
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader, &mut writer) {
        log.lock().expect("unpoisoned").push(asked.clone());
        let reply = handler(&asked);
        std::thread::sleep(reply.after);
        let mut bytes = match &reply.raw {
            Some(raw) => raw.clone(),
            None => head(&reply).into_bytes(),
        };
        let body = if asked.method == "HEAD" || reply.raw.is_some() { &[][..] } else { &reply.body };
        bytes.extend_from_slice(&body[..reply.cut.unwrap_or(body.len()).min(body.len())]);
        if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
            return;
        }
        if reply.stalls {
            std::thread::sleep(Duration::from_secs(20));
        }
        if reply.cut.is_some() || reply.raw.is_some() {
            let _ = writer.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn head(reply: &Reply) -> String {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")) {
        head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    }
    head + "\r\n"
}

fn read(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> Option<Asked> {
    // Who speaks TLS is told, as Go's servers do.
    if reader.fill_buf().ok()?.first() == Some(&22) {
        writer.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent a TLS hello").ok()?;
        let _ = writer.shutdown(Shutdown::Both);
        return None;
    }
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    if headers.contains_key("expect") {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let length: u64 = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    Some(Asked { method, target, headers, body })
}
