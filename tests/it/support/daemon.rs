//! Daemons of a test's own: all that they have is in a directory that goes with the test, they are spoken to through a socket there, and they have no network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::process::{Companion, output_within, temp};
use super::tools::{daemons, root, skip, tool};

/// More than any of them takes for anything here.
const LIMIT: Duration = Duration::from_secs(120);

/// A daemon that runs, and its client.
pub(crate) struct Daemon {
    process: Companion,
    home: TempDir,
    /// The client with what leads it to the daemon.
    client: Vec<PathBuf>,
}

impl Daemon {
    /// containerd, with `ctr`. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn containerd() -> Option<Daemon> {
        let (programs, home) = (daemons()?, temp());
        let (place, socket, settings) = (home.path().display(), home.path().join("socket"), home.path().join("config.toml"));
        let told = format!(
            "version = 2\nroot = \"{place}/root\"\nstate = \"{place}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{}\"\n[ttrpc]\naddress = \"{place}/ttrpc\"\n",
            socket.display()
        );
        fs::write(&settings, told).expect("writable");
        let client = vec![programs.join("ctr"), "--address".into(), socket];
        Daemon::start(&programs, "containerd", &["--config".as_ref(), &settings], home, client)
    }

    /// Docker's, with `docker`. Its store is its own, not that of containerd. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn docker() -> Option<Daemon> {
        let (programs, home) = (daemons()?, temp());
        let at = |name: &str| home.path().join(name);
        fs::write(at("config.json"), "{}").expect("writable");
        let socket = PathBuf::from(format!("unix://{}", at("socket").display()));
        let places = [("--config-file", "config.json"), ("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")];
        let mut arguments: Vec<PathBuf> = places.iter().flat_map(|(flag, name)| [flag.into(), at(name)]).collect();
        arguments.extend(
            ["--storage-driver=vfs", "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"].map(PathBuf::from),
        );
        arguments.extend(["--host".into(), socket.clone()]);
        let client = vec![programs.join("docker"), "--config".into(), at("client"), "--host".into(), socket];
        Daemon::start(&programs, "dockerd", &arguments.iter().map(PathBuf::as_path).collect::<Vec<_>>(), home, client)
    }

    #[track_caller]
    fn start(programs: &Path, program: &str, arguments: &[&Path], home: TempDir, client: Vec<PathBuf>) -> Option<Daemon> {
        let (Some(unshare), Some(setpriv), true) = (tool("unshare"), tool("setpriv"), root()) else { return None };
        let log = home.path().join("log");
        let mut command = Command::new(setpriv);
        // What it mounts nobody else sees, and it reaches nobody.
        command.args(["--pdeathsig", "KILL"]).arg(unshare).args(["--mount", "--propagation", "private", "--net"]).arg(programs.join(program)).args(arguments);
        command.current_dir(home.path()).env("HOME", home.path()).env("TMPDIR", home.path());
        // They start each other.
        let path = std::env::join_paths([programs.into()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())));
        command.env("PATH", path.expect("paths")).env("LD_LIBRARY_PATH", programs.join("lib"));
        let process = Companion::start_logging(&mut command, &File::create(&log).expect("writable"));
        let mut daemon = Daemon { process, home, client };
        let deadline = Instant::now() + LIMIT;
        while !output_within(LIMIT, &mut daemon.client(&["version"])).status.success() {
            let ended = daemon.process.try_wait().expect("it is ours").is_some();
            if ended || Instant::now() > deadline {
                let log = fs::read_to_string(log).unwrap_or_default();
                skip(&format!("{program} does not work here: {}", log.lines().last().unwrap_or_default()));
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(daemon)
    }

    /// A directory of its own for files of the test.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// The client with these arguments.
    fn client(&self, arguments: &[&str]) -> Command {
        let mut client = Command::new(&self.client[0]);
        client.args(&self.client[1..]).args(arguments).env("HOME", self.home.path());
        client
    }

    /// Runs the client, which must succeed, and returns what it wrote to stdout.
    #[track_caller]
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = output_within(LIMIT, &mut self.client(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

impl Drop for Daemon {
    /// Asks it to end, so that it ends what it started too; if it does not, it is killed.
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = rustix::process::kill_process(Pid::from_child(&self.process), Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
