//! larder's side of a step: it starts the keeper, passes on what the step writes, and ends it.
//!
//! A command that is to end is told so with the signal that larder was told with, and has the time of a [`Grace`] to put its things in order. Whatever it does with
//! that, its keeper is killed then. Before and after the command there is nobody to tell, and the keeper is killed at once.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::thread::UnshareFlags;

use super::grace::Grace;
use super::lines::Lines;
use super::order::{Frame, Order, Report};
use super::{Stream, keeper, userns};
use crate::error::{Error, ErrorKind, IoContext as _, Result};
use crate::exec::{Cancel, pool};
use crate::spec::text;

/// How often somebody is asked whether to stop.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// How much is read at once.
const PIECE: usize = 64 << 10;

/// The most that is kept of what a keeper says when it fails otherwise than it should.
const LAST_WORDS: usize = 16 << 10;

type Output<'a> = &'a mut dyn FnMut(Stream, &[u8]);

/// Runs one step to its end.
pub(super) fn run(larder: &Path, order: &Order, secrets: &[&[u8]], cancel: &Cancel, output: Output<'_>) -> Result<Report> {
    // The keeper ends with the thread that started it. What is told is told on this one, which sees what everybody sees.
    let start = || leave().and_then(|()| Session::start(larder, order));
    pool::beside(start, |mut session| {
        session.send(order, secrets)?;
        session.listen(cancel, output)
    })
}

/// Gives this thread, and so the keeper that it starts, mounts and processes that nobody else sees, and that end with them.
fn leave() -> Result<()> {
    // The call is only unsound where the table of open files is left as well.
    #[expect(deprecated, reason = "what replaces it is unsafe for the sake of a flag that is not used")]
    let left = rustix::thread::unshare(UnshareFlags::NEWNS | UnshareFlags::NEWPID);
    left.map_err(|error| Error::io("cannot make a mount and a process namespace", error).hint(userns::REMEDY))
}

/// A keeper. Dropped, it is killed, and with it everything that it started.
struct Session {
    keeper: Child,
    /// What the keeper sent and was not yet looked at.
    arrived: Vec<u8>,
    /// What it wrote to its standard error.
    said: Vec<u8>,
    stage: Stage,
}

/// How far a step is.
enum Stage {
    /// The command does not run yet, or no longer.
    Around,
    Running,
    /// It runs and was told to end.
    Ending(Grace),
}

impl Session {
    fn start(larder: &Path, order: &Order) -> Result<Session> {
        let mut command = Command::new(larder);
        // The name of the step is for people who look at processes. A process group of its own, because what a terminal sends to larder is for larder to pass on.
        command.arg0(keeper::NAME).arg(&order.id).env_clear().current_dir(&order.place).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Session { keeper: command.spawn().at("start", larder)?, arrived: Vec::new(), said: Vec::new(), stage: Stage::Around })
    }

    /// Tells the keeper what to do. The pipe stays open: its end means that larder is gone.
    fn send(&mut self, order: &Order, secrets: &[&[u8]]) -> Result<()> {
        let document = serde_json::to_vec(order).map_err(|error| Error::io("cannot describe the step", error))?;
        let length = u32::try_from(document.len()).map_err(|_| Error::unsupported("the step takes more than 4 GiB to describe"))?;
        let all = [&[&length.to_le_bytes()[..], &document], secrets].concat().concat();
        let Some(pipe) = &mut self.keeper.stdin else { return Ok(()) };
        match pipe.write_all(&all) {
            // Why it is gone is told where the report is missing.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome.map_err(|error| Error::io("cannot send the step to its keeper", error)),
        }
    }

    /// Passes on what the step writes until the report comes.
    fn listen(&mut self, cancel: &Cancel, output: Output<'_>) -> Result<Report> {
        let mut lines = Lines::default();
        let mut line = |stream, text: &[u8]| output(stream, text);
        let heard = self.hear_all(cancel, |stream, bytes| lines.take(stream, bytes, &mut line));
        lines.finish(&mut line);
        let report = heard?;
        cancel.check()?;
        let status = self.keeper.wait().map_err(|error| Error::io("cannot wait for the keeper of the step", error))?;
        match report {
            Some(document) => serde_json::from_slice(&document).map_err(|error| Error::io("cannot understand the keeper of the step", error)),
            None => Err(self.lost(status)),
        }
    }

    /// Hears the keeper until its report, which is missing where the keeper ended without one.
    fn hear_all(&mut self, cancel: &Cancel, mut written: impl FnMut(Stream, &[u8])) -> Result<Option<Vec<u8>>> {
        let mut report = None;
        while report.is_none() && self.hear()? {
            while let Some(frame) = Frame::take(&mut self.arrived)? {
                match frame {
                    Frame::Written(stream, bytes) => written(stream, &bytes),
                    Frame::Began => self.stage = Stage::Running,
                    Frame::Over => self.stage = Stage::Around,
                    Frame::Report(document) => report = Some(document),
                }
            }
            self.heed(cancel)?;
        }
        Ok(report)
    }

    /// Looks whether the step is to end. Fails with kind `interrupted` when it is, and there is nothing more to wait for.
    fn heed(&mut self, cancel: &Cancel) -> Result<()> {
        let Some(signal) = cancel.signal() else { return Ok(()) };
        match &self.stage {
            Stage::Running => {
                let grace = Grace::begin()?;
                // Where the keeper is gone, its end is heard of.
                let _ = self.keeper.stdin.as_mut().map(|pipe| pipe.write_all(&[u8::try_from(signal).unwrap_or_default()]));
                self.stage = Stage::Ending(grace);
                Ok(())
            }
            Stage::Ending(grace) if !grace.is_over()? => Ok(()),
            Stage::Ending(_) | Stage::Around => cancel.check(),
        }
    }

    /// Reads what there is, or waits a moment for it. False at the end of what the keeper sends.
    fn hear(&mut self) -> Result<bool> {
        let failed = |error: std::io::Error| Error::io("cannot listen to the keeper of the step", error);
        let (Some(stdout), Some(stderr)) = (&self.keeper.stdout, &self.keeper.stderr) else { return Ok(false) };
        let ready = {
            let mut fds = [PollFd::new(stdout, PollFlags::IN), PollFd::new(stderr, PollFlags::IN)];
            match poll(&mut fds, Some(&PAUSE)) {
                Err(Errno::INTR) => return Ok(true),
                outcome => outcome.map_err(|error| failed(error.into()))?,
            };
            fds.map(|fd| !fd.revents().is_empty())
        };
        let mut piece = vec![0; PIECE];
        let mut more = true;
        if ready[0] {
            let count = rustix::io::retry_on_intr(|| rustix::io::read(stdout, &mut piece[..])).map_err(|error| failed(error.into()))?;
            self.arrived.extend_from_slice(&piece[..count]);
            more = count > 0;
        }
        if ready[1] {
            let count = rustix::io::retry_on_intr(|| rustix::io::read(stderr, &mut piece[..])).map_err(|error| failed(error.into()))?;
            self.said.extend_from_slice(&piece[..count]);
            self.said.drain(..self.said.len().saturating_sub(LAST_WORDS));
        }
        Ok(more)
    }

    /// Why a keeper ended without a report.
    fn lost(&self, status: ExitStatus) -> Error {
        let said = String::from_utf8_lossy(&self.said);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).map(|line| text::shown(line.trim()).into_owned());
        let error = Error::new(ErrorKind::Io, format!("the process that kept the step was ended from outside ({status})"));
        match last {
            Some(last) => Error::new(ErrorKind::Io, last).context(error.message()),
            None => error.hint("somebody killed it, or the kernel did because memory ran out"),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // With the first process of its name space the kernel ends all others in it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
