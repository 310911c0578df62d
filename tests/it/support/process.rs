//! Running larder and other programs.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::tools::{root, tool};

/// A home directory for the larder of every test, so that no test sees or fills the caches of the person who runs it.
static HOME: LazyLock<tempfile::TempDir> = LazyLock::new(temp);

/// A new temporary directory, removed when dropped. Every user can read it.
pub(crate) fn temp() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(home.path(), open).expect("own directory");
    home
}

/// The larder under test, in an environment that says nothing about how to work.
pub(crate) fn larder() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.stdin(Stdio::null()).env_clear().env("HOME", HOME.path());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// larder as an ordinary user, whose binary and home are in `place`, which all users can reach. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn larder_as_nobody(place: &Path) -> Option<Command> {
    let (Some(setpriv), true) = (tool("setpriv"), root()) else { return None };
    let (binary, home) = (place.join("larder"), place.join("home"));
    if !home.exists() {
        // Where the checkout lies, other users may see nothing.
        // Not by this process: what another thread starts meanwhile would have the file open for a moment, and nobody can run what can be written to.
        Command::new("cp").arg(env!("CARGO_BIN_EXE_larder")).arg(&binary).succeeds();
        std::fs::create_dir(&home).expect("writable");
        std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    let mut command = Command::new(setpriv);
    command.stdin(Stdio::null()).env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.arg(format!("--reuid={NOBODY}")).arg(format!("--regid={NOBODY}")).args(["--clear-groups", "--"]).arg(binary);
    Some(command)
}

/// A user and a group who own nothing.
pub(crate) const NOBODY: u32 = 65534;

/// What tests want of a program that ran.
pub(crate) trait Runs {
    /// Runs it to the end, expects exit status 0 and returns its standard output.
    fn succeeds(&mut self) -> String;

    /// Runs it to the end, expects this exit status and returns its standard error.
    fn fails_with(&mut self, status: i32) -> String;
}

impl Runs for Command {
    #[track_caller]
    fn succeeds(&mut self) -> String {
        text(&finished(self, 0).stdout)
    }

    #[track_caller]
    fn fails_with(&mut self, status: i32) -> String {
        text(&finished(self, status).stderr)
    }
}

/// Runs a program to its end, which must come within this time.
#[track_caller]
pub(crate) fn output_within(limit: Duration, command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = piped.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let process = Pid::from_child(&child);
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = wait.recv_timeout(limit) else {
        let _ = rustix::process::kill_process(process, Signal::KILL);
        panic!("{command:?} did not end within {limit:?}");
    };
    output.expect("its output can be read")
}

/// A process that does not outlive the test, however the test ends.
pub(crate) struct Companion(Child);

impl Companion {
    /// Starts it, without any input and output but stderr, which [`Companion::ends`] returns.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Companion {
        let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Companion(silent.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")))
    }

    /// Starts it with all that it writes going to this file, which takes more than a pipe that nobody reads.
    #[track_caller]
    pub(crate) fn start_logging(command: &mut Command, log: &File) -> Companion {
        let copy = || log.try_clone().expect("a handle");
        let logging = command.stdin(Stdio::null()).stdout(copy()).stderr(copy());
        Companion(logging.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")))
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.0), signal).expect("it is ours");
    }

    /// Waits until `seen` is true, which must come before its end.
    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, seen: impl Fn(u32) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !seen(self.0.id()) {
            assert_eq!(self.0.try_wait().expect("it is ours"), None, "it ended before {what}");
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits for its end, which must come soon: how it ended, and what it wrote to stderr.
    #[track_caller]
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let status = loop {
            if let Some(status) = self.0.try_wait().expect("it is ours") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(1));
        };
        let mut told = String::new();
        self.0.stderr.take().expect("a pipe").read_to_string(&mut told).expect("UTF-8");
        (status, told)
    }
}

/// Whether a process has this file open.
pub(crate) fn has_open(process: u32, file: &Path) -> bool {
    let Ok(handles) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    handles.filter_map(|handle| std::fs::read_link(handle.ok()?.path()).ok()).any(|open| open == file)
}

impl std::ops::Deref for Companion {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl std::ops::DerefMut for Companion {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn finished(command: &mut Command, status: i32) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{command:?}: {}\nstdout: {out}\nstderr: {err}", output.status);
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of this checkout.
pub(crate) fn checkout(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
