//! Running the runtime, and passing on what comes of it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::stop::Stop;
use crate::error::{Error, ErrorKind, IoContext as _, Result};
use crate::runtime::Stream;
use crate::runtime::order::{Cgroups, Frame, Order, Report};
use crate::runtime::place::OWN;
use crate::spec::text;

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// The most of the runtime's log that is looked at, in bytes.
const MAX_LOG: u64 = 1 << 20;

/// The most of what the container wrote last that is looked at, in bytes.
const LAST_WORDS: usize = 4 << 10;

/// The environment of the runtime itself.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How the runtime ended.
pub(super) enum End {
    /// With the exit status of the command.
    Exit(u8),
    /// With an exit status that is that of the command, or of what was to become the command and says that it could not.
    Unclear(u8),
    /// Because it could not run the command, and why.
    Refused(String),
}

/// Where what happens is told.
pub(super) struct Reports<'a>(BorrowedFd<'a>);

impl<'a> Reports<'a> {
    pub(super) fn to(fd: BorrowedFd<'a>) -> Self {
        Reports(fd)
    }

    /// Tells what became of the order.
    pub(super) fn report(&self, report: &Report) -> Result<()> {
        let document = serde_json::to_vec(report).map_err(|error| Error::io("cannot describe what became of the step", error))?;
        self.send(&Frame::Report(document))
    }

    fn send(&self, frame: &Frame) -> Result<()> {
        let bytes = frame.encode();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(self.0, rest)).map_err(|error| Error::io("cannot tell larder", error))?;
            rest = &rest[written..];
        }
        Ok(())
    }
}

/// Whether larder is still there.
pub(super) fn check(orders: BorrowedFd<'_>) -> Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(orders, PollFlags::empty())];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map_err(cannot_wait)?;
    if fds[0].revents().is_empty() { Ok(()) } else { Err(Error::interrupted()) }
}

/// Runs the container to its end.
pub(super) fn run(order: &Order, orders: BorrowedFd<'_>, reports: &Reports<'_>) -> Result<End> {
    let own = |name: &str| format!("{}/{OWN}/{name}", order.place);
    let mut command = Command::new(order.runtime.path());
    command.args(["--root", &own("state"), "--log", &own("log"), "--log-format", "json"]);
    if order.cgroups == Cgroups::None {
        command.args(order.runtime.without_cgroups());
    }
    command.args(["run", "--bundle", &own("bundle"), &order.id]);
    command.current_dir(own("bundle")).env_clear().env("PATH", PATH);
    let mut runtime = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().at("run", order.runtime.path())?;
    reports.send(&Frame::Began)?;
    let mut last_words = Vec::new();
    let status = watch(&mut runtime, orders, reports, &mut last_words)?;
    reports.send(&Frame::Over)?;
    let told = read_log(Path::new(&own("log")));
    let end = if complains(&last_words) { End::Unclear } else { End::Exit };
    match (status.code(), told) {
        (_, Some(why)) => Ok(End::Refused(why)),
        (Some(0), None) => Ok(End::Exit(0)),
        (Some(code), None) => Ok(end(u8::try_from(code).unwrap_or(u8::MAX))),
        (None, None) => Ok(End::Refused(format!("it was killed by signal {}", status.signal().unwrap_or_default()))),
    }
}

/// The error when the runtime could not run the command.
pub(super) fn refused(order: &Order, why: &str) -> Error {
    let runtime = text::path(order.runtime.path()).into_owned();
    Error::new(ErrorKind::Io, text::shown(why)).context(format!("the OCI runtime {runtime} failed"))
}

/// Whether the last line is that of a runtime whose container could not execute the command: it comes too late for the log.
fn complains(last_words: &[u8]) -> bool {
    let last = last_words.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
    last.starts_with(b"exec ") || last.windows(5).any(|word| word == b" exec")
}

/// Passes on what the container writes, and to its processes the signal that is to end them, until the runtime ends or larder is gone. The end of what it wrote as
/// errors comes to be in `last_words`.
fn watch(runtime: &mut Child, orders: BorrowedFd<'_>, reports: &Reports<'_>, last_words: &mut Vec<u8>) -> Result<ExitStatus> {
    let end = pidfd_open(Pid::from_child(runtime), PidfdFlags::empty()).map_err(cannot_wait)?;
    let mut output = runtime.stdout.take();
    let mut error = runtime.stderr.take();
    let mut stop: Option<Stop> = None;
    loop {
        let ready = {
            let always = [PollFd::from_borrowed_fd(orders, PollFlags::IN), PollFd::new(&end, PollFlags::IN)];
            let streams = [output.as_ref().map(|pipe| pipe.as_fd()), error.as_ref().map(|pipe| pipe.as_fd())];
            let mut fds: Vec<PollFd<'_>> =
                always.into_iter().chain(streams.into_iter().flatten().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN))).collect();
            match poll(&mut fds, stop.as_ref().and_then(Stop::pause).as_ref()) {
                Err(Errno::INTR) => continue,
                outcome => outcome.map_err(cannot_wait)?,
            };
            let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
            let mut pipes = fds[2..].iter().map(ready);
            let streams = streams.map(|stream| stream.is_some() && pipes.next().unwrap_or_default());
            Ready { orders: fds[0].revents(), runtime_ended: ready(&fds[1]), streams }
        };
        if ready.orders.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Err(Error::interrupted());
        }
        if ready.orders.contains(PollFlags::IN) {
            stop = Some(Stop::begin(signal(orders)?)?);
        }
        if let Some(stop) = &mut stop {
            stop.go_on();
        }
        // What was written before the end is in the pipes. Whoever holds them still, after the runtime was killed, is not waited for.
        if ready.streams[0] {
            pass(&mut output, Stream::Output, reports, &mut Vec::new())?;
        }
        if ready.streams[1] {
            pass(&mut error, Stream::Error, reports, last_words)?;
        }
        if ready.runtime_ended && ready.streams == [false; 2] {
            return runtime.wait().map_err(|error| Error::io("cannot wait for the OCI runtime", error));
        }
    }
}

/// The signal that larder sent.
fn signal(orders: BorrowedFd<'_>) -> Result<Signal> {
    let mut number = [0];
    rustix::io::retry_on_intr(|| rustix::io::read(orders, &mut number)).map_err(|error| Error::io("cannot read the order", error))?;
    Ok(Signal::from_named_raw(number[0].into()).unwrap_or(Signal::TERM))
}

struct Ready {
    /// The pipe of the orders: there is one more, or larder is gone.
    orders: PollFlags,
    runtime_ended: bool,
    streams: [bool; 2],
}

/// Passes on one piece; a pipe that ended is closed.
fn pass<P: Read>(pipe: &mut Option<P>, stream: Stream, reports: &Reports<'_>, last_words: &mut Vec<u8>) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let count = match pipe.as_mut().map(|pipe| pipe.read(&mut piece)) {
        Some(Err(error)) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
        Some(outcome) => outcome.map_err(|error| Error::io("cannot read what the step writes", error))?,
        None => 0,
    };
    if count == 0 {
        *pipe = None;
        return Ok(());
    }
    piece.truncate(count);
    last_words.extend_from_slice(&piece[count.saturating_sub(LAST_WORDS)..]);
    last_words.drain(..last_words.len().saturating_sub(LAST_WORDS));
    reports.send(&Frame::Written(stream, piece))
}

/// The last error that the runtime wrote to its log.
fn read_log(path: &Path) -> Option<String> {
    let mut log = Vec::new();
    File::open(path).ok()?.take(MAX_LOG).read_to_end(&mut log).ok()?;
    let entries = log.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let errors = entries.filter(|entry| matches!(entry["level"].as_str(), Some("error" | "fatal")));
    errors.filter_map(|entry| Some(entry["msg"].as_str()?.to_owned())).next_back()
}

/// How many processes the kernel has killed because memory ran out, where it tells.
pub(super) fn killed_for_memory() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

fn cannot_wait(error: Errno) -> Error {
    Error::io("cannot wait for the OCI runtime", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_complaint_of_a_runtime_is_recognised() {
        for complaint in [&b"a\nexec /x: exec format error\n"[..], b"standard_init_linux.go:228: exec user process caused: no such file or directory\n\n"] {
            assert!(complains(complaint));
        }
        for other in [&b""[..], b"\n", b"exec /x: failed\nmake: *** [x] Error 1\n", b"executed\n"] {
            assert!(!complains(other), "{other:?}");
        }
    }

    #[test]
    fn the_last_error_of_a_log_is_what_went_wrong() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("log");
        assert_eq!(read_log(&path), None);
        let lines = "{\"level\":\"warning\",\"msg\":\"w\"}\n{\"level\":\"error\",\"msg\":\"first\"}\nno JSON\n{\"level\":\"error\",\"msg\":\"last\"}\n{\"level\":\"info\",\"msg\":\"i\"}\n";
        std::fs::write(&path, lines).expect("written");
        assert_eq!(read_log(&path).as_deref(), Some("last"));
    }
}
