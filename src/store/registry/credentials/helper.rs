//! Credential helpers: the programs `docker-credential-NAME` that keep passwords where files do not.
//!
//! The one place where larder starts another program for a registry. It is found in the directories of PATH by its absolute path, gets one word as its
//! argument and everything else on stdin, never through a shell, and is stopped when it takes too long or says too much. What it says is never shown:
//! it may be a password. Protocol: docker-credential-helpers, `client/client.go`.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::exec::Cancel;
use crate::spec::text;

use super::super::credential::{Credential, Secret};

/// What a helper answers, on stdout and with a failure, where it has nothing for a server.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name that says that the secret is an identity token.
const IDENTITY_TOKEN: &str = "<token>";

/// What a helper may say or be told: 64 KiB. The longest tokens have a few.
const MESSAGE_BYTES: usize = 64 << 10;

/// How long a helper may take: a person may have to unlock a key ring meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait before looking whether somebody asked to stop.
const TICK: Duration = Duration::from_millis(20);

/// Where helpers are, and how long they may take.
#[derive(Clone, Debug)]
pub struct Helpers {
    directories: Vec<PathBuf>,
    patience: Duration,
    cancel: Cancel,
}

impl Helpers {
    /// Those in `directories`, which are the entries of PATH. What is not absolute is left out: it would depend on where larder is started.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>, cancel: Cancel) -> Self {
        Helpers { directories: directories.into_iter().filter(|directory| directory.is_absolute()).collect(), patience: PATIENCE, cancel }
    }

    /// What the helper `name` has for `server`.
    pub(super) fn get(&self, name: &str, server: &str) -> Result<Option<Credential>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            #[serde(default)]
            username: Zeroizing<String>,
            #[serde(default)]
            secret: Zeroizing<String>,
        }
        let answer = self.run(name, "get", server.as_bytes())?;
        if !answer.status.success() {
            return match answer.says_not_found() {
                true => Ok(None),
                false => Err(answer.failure(name, "get")),
            };
        }
        let answer: Answer = serde_json::from_slice(&answer.output)
            .map_err(|_| Error::new(ErrorKind::Io, format!("{} answers with something else than credentials", program(name))))?;
        let secret = Secret::new(answer.secret.as_str());
        Ok(match answer.username.as_str() {
            _ if secret.reveal().is_empty() => None,
            IDENTITY_TOKEN => Some(Credential::IdentityToken(secret)),
            user => Some(Credential::Basic { user: user.to_owned(), password: secret }),
        })
    }

    /// Gives credentials for `server` to the helper `name`.
    pub(super) fn store(&self, name: &str, server: &str, user: &str, password: &Secret) -> Result<()> {
        let message = serde_json::json!({ "ServerURL": server, "Username": user, "Secret": password.reveal() });
        let message = Zeroizing::new(message.to_string());
        let answer = self.run(name, "store", message.as_bytes())?;
        if answer.status.success() { Ok(()) } else { Err(answer.failure(name, "store")) }
    }

    /// Makes the helper `name` forget `server`. True where it had something.
    pub(super) fn erase(&self, name: &str, server: &str) -> Result<bool> {
        let answer = self.run(name, "erase", server.as_bytes())?;
        match answer.status.success() {
            true => Ok(true),
            false if answer.says_not_found() => Ok(false),
            false => Err(answer.failure(name, "erase")),
        }
    }

    fn run(&self, name: &str, verb: &str, message: &[u8]) -> Result<Answer> {
        if message.len() > MESSAGE_BYTES {
            return Err(Error::usage(format!("the credentials have more than the limit of {MESSAGE_BYTES} bytes")));
        }
        let path = self.find(name)?;
        let mut command = Command::new(&path);
        // Its complaints could quote what it was told.
        command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| Error::io(format!("cannot run {}", text::path(&path)), error).with_kind(ErrorKind::Io))?;
        let mut dialogue = Dialogue { child, left: self.patience, helpers: self };
        dialogue.hold(message).map_err(|error| error.context(format!("cannot ask {} to {verb}", text::path(&path))))
    }

    /// The file of the helper `name`.
    fn find(&self, name: &str) -> Result<PathBuf> {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(valid) || name.starts_with(['.', '-']) {
            return Err(Error::usage(format!("`{}` cannot be the name of a credential helper", text::shown(name))));
        }
        let candidates = self.directories.iter().map(|directory| directory.join(program(name)));
        candidates.into_iter().find(|path| is_executable(path)).ok_or_else(|| {
            Error::usage(format!("{} is not in PATH", program(name)))
                .subject(program(name))
                .hint("install it, or take it out of the file that asks for it (credsStore, credHelpers)")
        })
    }
}

fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What a helper said, and how it ended.
struct Answer {
    status: ExitStatus,
    output: Zeroizing<Vec<u8>>,
}

impl Answer {
    fn says_not_found(&self) -> bool {
        self.output.trim_ascii() == NOT_FOUND.as_bytes()
    }

    fn failure(&self, name: &str, verb: &str) -> Error {
        let program = program(name);
        let hint = match verb {
            "get" => format!("`echo HOST | {program} get` shows what is wrong"),
            _ => format!("`{program} list` shows whether it works at all"),
        };
        Error::new(ErrorKind::Io, format!("{program} cannot {verb} credentials: {}", self.status)).subject(program).hint(hint)
    }
}

/// A helper at work. It does not outlive this.
struct Dialogue<'a> {
    child: Child,
    left: Duration,
    helpers: &'a Helpers,
}

impl Dialogue<'_> {
    /// Says `message` and listens until the helper has ended.
    fn hold(&mut self, mut message: &[u8]) -> Result<Answer> {
        let (stdin, stdout) = (self.child.stdin.take(), self.child.stdout.take());
        let (mut stdin, Some(mut stdout)) = (stdin, stdout) else { return Err(Error::new(ErrorKind::Io, "it has no pipes")) };
        let mut output = Zeroizing::new(Vec::with_capacity(MESSAGE_BYTES + 1));
        nonblocking(&stdout)?;
        stdin.as_ref().map_or(Ok(()), nonblocking)?;
        loop {
            if let Some(pipe) = &mut stdin {
                match pipe.write(message) {
                    Ok(written) => message = &message[written..],
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    // A helper that does not listen may still have an answer.
                    Err(_) => message = &[],
                }
                if message.is_empty() {
                    stdin = None;
                }
            }
            let mut buffer = Zeroizing::new([0; 4096]);
            match stdout.read(&mut *buffer) {
                Ok(0) => break,
                Ok(read) if output.len() + read > MESSAGE_BYTES => return Err(Error::new(ErrorKind::Io, format!("it says more than {MESSAGE_BYTES} bytes"))),
                Ok(read) => output.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    // A process that it left behind may hold the pipe.
                    if self.wait(&stdout, stdin.as_ref())? == Waited::InVain && self.ended()?.is_some() {
                        break;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("cannot read what it says", error)),
            }
        }
        drop(stdin);
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Answer { status, output });
            }
            self.spend(TICK)?;
            std::thread::sleep(TICK);
        }
    }

    /// Waits a little for one of the pipes.
    fn wait(&mut self, stdout: &impl std::os::fd::AsFd, stdin: Option<&std::process::ChildStdin>) -> Result<Waited> {
        let mut pipes = vec![PollFd::new(stdout, PollFlags::IN)];
        pipes.extend(stdin.map(|stdin| PollFd::new(stdin, PollFlags::OUT)));
        let tick = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
        match rustix::event::poll(&mut pipes, Some(&tick)) {
            Ok(0) => self.spend(TICK).map(|()| Waited::InVain),
            Ok(_) | Err(Errno::INTR) => Ok(Waited::Something),
            Err(error) => Err(Error::io("cannot wait for what it says", error)),
        }
    }

    fn spend(&mut self, time: Duration) -> Result<()> {
        self.helpers.cancel.check()?;
        self.left = self.left.saturating_sub(time);
        if self.left.is_zero() {
            return Err(Error::new(ErrorKind::Io, "it takes too long").hint("it may wait for somebody to unlock a key ring"));
        }
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(|error| Error::io("cannot wait for its end", error))
    }
}

#[derive(PartialEq, Eq)]
enum Waited {
    Something,
    InVain,
}

impl Drop for Dialogue<'_> {
    fn drop(&mut self) {
        // Both do nothing where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nonblocking(pipe: &impl std::os::fd::AsFd) -> Result<()> {
    rustix::fs::fcntl_getfl(pipe)
        .and_then(|flags| rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK))
        .map_err(|error| Error::io("cannot prepare its pipes", error))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A helper named `name` in `directory`: a script for `sh`, written by another process, because a file that this one has open for writing cannot be run.
    pub(in super::super) fn script(directory: &Path, name: &str, body: &str) {
        let file = directory.join(program(name));
        let mut shell = Command::new("sh");
        let mut writer = shell.arg("-c").arg("cat > \"$0\" && chmod 755 \"$0\"").arg(&file).stdin(Stdio::piped()).spawn().expect("sh");
        writer.stdin.take().expect("a pipe").write_all(format!("#!/bin/sh\n{body}\n").as_bytes()).expect("written");
        assert!(writer.wait().expect("ended").success());
    }

    fn helper(body: &str) -> (tempfile::TempDir, Helpers) {
        let temp = tempfile::tempdir().expect("temporary directory");
        script(temp.path(), "test", body);
        let helpers = Helpers::new([PathBuf::from("relative"), PathBuf::new(), temp.path().to_owned()], Cancel::default());
        (temp, Helpers { patience: Duration::from_secs(10), ..helpers })
    }

    #[test]
    fn a_helper_is_told_the_server_and_answers_with_user_and_secret() {
        let (_temp, helpers) =
            helper(r#"[ "$#-$1" = 1-get ] && read -r server; printf '{"ServerURL":"%s","Username":"u","Secret":"p for %s"}' "$server" "$server""#);
        let expected = Credential::Basic { user: "u".into(), password: Secret::new("p for r.example:5000") };
        assert_eq!(helpers.get("test", "r.example:5000").expect("asked"), Some(expected));
        let (_temp, helpers) = helper(r#"echo '{"Username":"<token>","Secret":"t","More":[1]}'"#);
        assert_eq!(helpers.get("test", "r.example").expect("asked"), Some(Credential::IdentityToken(Secret::new("t"))));
    }

    #[test]
    fn a_helper_that_has_nothing_is_no_failure() {
        for body in ["echo credentials not found in native keychain; exit 1", r#"echo '{"Username":"","Secret":""}'"#] {
            assert_eq!(helper(body).1.get("test", "r.example").expect(body), None);
        }
        assert!(!helper("echo credentials not found in native keychain; exit 1").1.erase("test", "r.example").expect("nothing there"));
    }

    #[test]
    fn reg_38_what_a_helper_says_is_never_shown() {
        for body in ["echo hunter2; exit 3", "echo hunter2 >&2; exit 3", "echo hunter2", r#"echo '{"Username":"u","Secret":["hunter2"]}'"#, "cat", ""] {
            let error = helper(body).1.get("test", "hunter2").expect_err(body);
            assert_eq!(error.kind(), ErrorKind::Io, "{body}");
            assert!(!format!("{error:?}{:?}", error.causes()).contains("hunter2"), "{error:?}");
        }
        let error = helper("exit 3").1.get("test", "x").expect_err("it fails");
        assert!(error.message().contains("docker-credential-test") && error.message().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn reg_38_a_helper_that_says_too_much_or_hangs_is_stopped() {
        let error = helper("yes").1.get("test", "x").expect_err("endless");
        assert!(error.causes().concat().contains("more than 65536 bytes"), "{error:?}");
        for body in ["sleep 100", "exec >&-; sleep 100", "echo '{'; exec sleep 100"] {
            let (_temp, mut helpers) = helper(body);
            helpers.patience = Duration::from_millis(200);
            let error = helpers.get("test", "x").expect_err(body);
            assert!(error.causes().concat().contains("too long"), "{body}: {error:?}");
        }
        let (_temp, helpers) = helper("sleep 100");
        helpers.cancel.cancel();
        assert_eq!(helpers.get("test", "x").expect_err("stopped").kind(), ErrorKind::Interrupted);
    }

    #[test]
    fn what_a_helper_leaves_running_is_not_waited_for() {
        let (_temp, helpers) = helper(r#"sleep 100 & echo '{"Username":"u","Secret":"p"}'"#);
        assert!(helpers.get("test", "x").expect("answered").is_some());
    }

    #[test]
    fn reg_38_only_a_plain_name_in_an_absolute_directory_of_path_is_run() {
        let (temp, helpers) = helper("echo '{}'");
        for name in ["", "../test", "a/b", "-test", ".test", "te st", "test;x", "té"] {
            assert_eq!(helpers.get(name, "x").expect_err(name).kind(), ErrorKind::Usage, "{name}");
        }
        let error = helpers.get("absent", "x").expect_err("absent");
        assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "docker-credential-absent is not in PATH"));
        std::fs::write(temp.path().join("docker-credential-data"), "#!/bin/sh").expect("written");
        assert!(helpers.get("data", "x").is_err(), "it is not executable");
        assert_eq!(helpers.directories, [temp.path()]);
    }

    #[test]
    fn a_helper_stores_what_it_is_told_and_not_as_an_argument() {
        let (temp, helpers) = helper(r#"cd "${0%/*}"; echo "$@" >> said; cat >> said; echo >> said"#);
        helpers.store("test", "r.example", "u", &Secret::new("p\"\n")).expect("stored");
        assert!(helpers.erase("test", "r.example").expect("erased"));
        let said = std::fs::read_to_string(temp.path().join("said")).expect("written");
        assert_eq!(said, "store\n{\"Secret\":\"p\\\"\\n\",\"ServerURL\":\"r.example\",\"Username\":\"u\"}\nerase\nr.example\n");
        let long = Secret::new("x".repeat(MESSAGE_BYTES));
        assert_eq!(helpers.store("test", "r", "u", &long).expect_err("too long").kind(), ErrorKind::Usage);
    }
}
