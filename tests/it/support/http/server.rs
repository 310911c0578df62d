//! Listening, and a thread for every connection.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answer::{After, Answer};
use super::request::Request;
use crate::support::authority::Identity;

/// How long a client may say nothing, so that no thread waits for ever.
const IDLE: Duration = Duration::from_secs(60);

/// Where servers listen.
const HERE: &str = "127.0.0.1";

/// Where those listen that are to be another host: all of 127.0.0.0/8 is this machine.
const ELSEWHERE: &str = "127.0.0.2";

/// What a server does.
pub(crate) trait Service: Send + Sync + 'static {
    /// What is to come of the body of a request whose head is there.
    fn intake(&self, _head: &Request) -> Intake {
        Intake::Whole
    }

    /// What a client that connects is told before it has said anything, in place of everything else.
    fn greeting(&self) -> Option<Answer> {
        None
    }

    fn answer(&self, request: &Request) -> Answer;
}

/// What is to come of the body of a request.
#[derive(Debug)]
pub(crate) enum Intake {
    /// It is read to its end.
    Whole,
    /// The connection ends behind so many bytes of it.
    CutAt(u64),
    /// It is not read; this is the answer.
    Refused(Answer),
}

/// A server, until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    service: Arc<dyn Service>,
    tls: Option<Arc<rustls::ServerConfig>>,
    life: Mutex<Life>,
    ended: Condvar,
}

#[derive(Default)]
struct Life {
    over: bool,
    connections: Vec<(TcpStream, JoinHandle<()>)>,
}

impl Server {
    /// Serves plain HTTP.
    pub(crate) fn start(service: Arc<dyn Service>) -> Server {
        Server::listen(service, HERE, None)
    }

    /// Serves plain HTTP at another address of this machine.
    pub(crate) fn start_elsewhere(service: Arc<dyn Service>) -> Server {
        Server::listen(service, ELSEWHERE, None)
    }

    /// Serves HTTPS with this certificate.
    pub(crate) fn start_tls(service: Arc<dyn Service>, identity: &Identity) -> Server {
        Server::listen(service, HERE, Some(identity.server_config()))
    }

    fn listen(service: Arc<dyn Service>, address: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Server {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared { service, tls, life: Mutex::default(), ended: Condvar::new() });
        let own = Arc::clone(&shared);
        let acceptor = thread::spawn(move || own.accept(&listener));
        Server { address, scheme, shared, acceptor: Some(acceptor) }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT` or `https://…`.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.life.lock().expect("no thread died with it").over = true;
        self.shared.ended.notify_all();
        // Wakes the acceptor.
        drop(TcpStream::connect(self.address));
        let _ = self.acceptor.take().map(JoinHandle::join);
        let connections = std::mem::take(&mut self.shared.life.lock().expect("no thread died with it").connections);
        for (stream, thread) in connections {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

/// What TLS and plain connections have in common.
trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

impl Shared {
    fn accept(self: Arc<Shared>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let mut life = self.life.lock().expect("no thread died with it");
            if life.over {
                return;
            }
            let Ok(stream) = stream else { continue };
            let Ok(handle) = stream.try_clone() else { continue };
            life.connections.retain(|(_, thread)| !thread.is_finished());
            let own = Arc::clone(&self);
            life.connections.push((handle, thread::spawn(move || own.serve_to_the_end(stream))));
        }
    }

    /// Serves a connection, and ends it, which dropping it does not do: there is another handle of it. How it fails is the client's to judge.
    fn serve_to_the_end(&self, tcp: TcpStream) {
        let Ok(socket) = tcp.try_clone() else { return };
        let _ = self.serve(tcp);
        let _ = socket.shutdown(Shutdown::Both);
    }

    fn serve(&self, tcp: TcpStream) -> io::Result<()> {
        tcp.set_read_timeout(Some(IDLE))?;
        tcp.set_write_timeout(Some(IDLE))?;
        tcp.set_nodelay(true)?;
        let socket = tcp.try_clone()?;
        if let Some(greeting) = self.service.greeting() {
            let nobody = Request { method: String::new(), path: String::new(), query: String::new(), headers: Vec::new(), body: Vec::new(), scheme: "" };
            greeting.send(&nobody, &mut &tcp, &|time| self.pause(time))?;
            return finish(&tcp);
        }
        let (stream, scheme): (Box<dyn Stream>, _) = match &self.tls {
            None => (Box::new(tcp), "http"),
            Some(config) => {
                let session = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                (Box::new(rustls::StreamOwned::new(session, tcp)), "https")
            }
        };
        let mut stream = BufReader::new(stream);
        while let Some(mut request) = Request::read(&mut stream, scheme)? {
            let answer = match self.service.intake(&request) {
                Intake::Whole => {
                    request.read_body(&mut stream)?;
                    self.service.answer(&request)
                }
                Intake::CutAt(end) => {
                    io::copy(&mut stream.by_ref().take(end), &mut io::sink())?;
                    return socket.shutdown(Shutdown::Both);
                }
                Intake::Refused(answer) => answer.set_header("Connection", "close"),
            };
            if answer.send(&request, stream.get_mut(), &|time| self.pause(time))? == After::End {
                break;
            }
        }
        finish(&socket)
    }

    /// Waits, unless the server ends.
    fn pause(&self, time: Duration) -> io::Result<()> {
        let deadline = Instant::now() + time;
        let mut life = self.life.lock().expect("no thread died with it");
        while !life.over {
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { return Ok(()) };
            life = self.ended.wait_timeout(life, left).expect("no thread died with it").0;
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

/// Says that nothing more comes, and takes what the client still sends: with data unread the kernel would take back what was answered.
fn finish(socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut rest = BufReader::new(socket.take(64 << 20));
    while !rest.fill_buf()?.is_empty() {
        let length = rest.buffer().len();
        rest.consume(length);
    }
    Ok(())
}
