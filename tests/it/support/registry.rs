//! The real registry of Debian, on a port of this machine and with a storage of its own. It ends with the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::authority::Identity;
use super::process::{Companion, temp};
use super::token_server::{ISSUER, SERVICE, TokenServer};
use super::tools::tool;

/// Who may do everything in a registry with [`Access::Htpasswd`] or [`Access::Token`].
pub(crate) const USER: &str = "fishmonger";
pub(crate) const PASSWORD: &str = "halibut-of-the-registry";

/// The line of that user, made with the lowest cost that bcrypt has: `htpasswd -nbB -C 4 USER PASSWORD`.
const HTPASSWD: &str = "fishmonger:$2b$04$EMVCGNOIxfemTXtJ5nZqy.EkxYvn8QbU9PewcH8l3EtOoEat.KFim\n";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom a registry serves.
#[derive(Clone, Copy)]
pub(crate) enum Access<'a> {
    Everybody,
    /// Who sends the password with every request.
    Htpasswd,
    /// Who brings a token of this server.
    Token(&'a TokenServer),
}

/// A registry that listens.
pub(crate) struct Registry {
    program: PathBuf,
    process: Companion,
    home: TempDir,
    host: String,
    scheme: &'static str,
}

impl Registry {
    /// Starts an empty one that speaks plain HTTP. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn start(access: Access<'_>) -> Option<Registry> {
        Registry::start_with(access, None)
    }

    /// The same with HTTPS.
    #[track_caller]
    pub(crate) fn start_tls(access: Access<'_>, identity: &Identity) -> Option<Registry> {
        Registry::start_with(access, Some(identity))
    }

    #[track_caller]
    fn start_with(access: Access<'_>, identity: Option<&Identity>) -> Option<Registry> {
        let program = tool("docker-registry")?;
        let home = temp();
        fs::write(home.path().join("config.yml"), config(home.path(), access, identity)).expect("writable");
        let (process, host) = serve(&program, home.path(), "127.0.0.1:0");
        Some(Registry { program, process, home, host, scheme: if identity.is_some() { "https" } else { "http" } })
    }

    /// Ends it at once and starts it again, at the same address and with what is stored.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.stop();
        (self.process, self.host) = serve(&self.program, self.home.path(), &self.host);
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it is ours");
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        self.host.clone()
    }

    /// `http://127.0.0.1:PORT` or `https://…`
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.host)
    }

    /// What it wrote until now: a line for every request, and what it has to say beside.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).expect("UTF-8")
    }

    /// How many requests of this method there were until now, to paths with this in them.
    pub(crate) fn requests(&self, method: &str, path: &str) -> usize {
        let log = self.log();
        let lines = log.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned);
        lines.filter(|line| line.starts_with(&format!("{method} ")) && line.contains(path)).count()
    }

    /// Where it stores what it has.
    pub(crate) fn storage(&self) -> PathBuf {
        self.home.path().join("storage")
    }
}

/// Starts the registry, and waits until it says where it listens.
#[track_caller]
fn serve(program: &Path, home: &Path, address: &str) -> (Companion, String) {
    let log = home.join("log");
    let before = fs::read(&log).map_or(0, |log| log.len());
    let file = File::options().create(true).append(true).open(&log).expect("writable");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program).arg("serve").arg(home.join("config.yml"));
    command.env_clear().env("HOME", home).env("REGISTRY_HTTP_ADDR", address).env("OTEL_TRACES_EXPORTER", "none");
    let mut process = Companion::start_logging(&mut command, &file);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = fs::read(&log).expect("readable").split_off(before);
        let said = String::from_utf8_lossy(&said).into_owned();
        let address = said.split("listening on ").nth(1).and_then(|rest| rest.split([',', '"', ' ', '\n']).next());
        if let Some(address) = address.filter(|_| said.ends_with('\n')) {
            return (process, address.to_owned());
        }
        assert_eq!(process.try_wait().expect("it is ours"), None, "the registry does not start: {said}");
        assert!(Instant::now() < deadline, "the registry does not listen: {said}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The configuration, which is YAML, and so may be JSON.
fn config(home: &Path, access: Access<'_>, identity: Option<&Identity>) -> String {
    let place = |name: &str| home.join(name).to_str().expect("UTF-8").to_owned();
    let mut config = serde_json::json!({
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {
            "filesystem": {"rootdirectory": place("storage")},
            "delete": {"enabled": true},
            "maintenance": {"uploadpurging": {"enabled": false}},
        },
        "http": {"addr": "127.0.0.1:0", "secret": "the same after a restart"},
    });
    match access {
        Access::Everybody => {}
        Access::Htpasswd => {
            fs::write(home.join("htpasswd"), HTPASSWD).expect("writable");
            config["auth"] = serde_json::json!({"htpasswd": {"realm": "registry", "path": place("htpasswd")}});
        }
        Access::Token(server) => {
            let certificate = server.write_certificate(home);
            let token = serde_json::json!({"realm": server.realm(), "service": SERVICE, "issuer": ISSUER, "rootcertbundle": certificate});
            config["auth"] = serde_json::json!({"token": token});
        }
    }
    if let Some(identity) = identity {
        let (certificate, key) = identity.write(home, "registry");
        config["http"]["tls"] = serde_json::json!({"certificate": certificate, "key": key});
    }
    config.to_string()
}
