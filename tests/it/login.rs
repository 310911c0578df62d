//! Logging in and out: what registries take, what is written, and that other tools read it.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::artifactory::{ACCESS_TOKEN, Anonymous, Artifactory, Setup};
use crate::support::process::{Runs as _, larder, output_within, temp};
use crate::support::registry::{Access, PASSWORD, Registry, USER};
use crate::support::token_server::TokenServer;
use crate::support::tools::tool;

/// Somebody's home.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(temp())
    }

    fn larder(&self, arguments: &[&str]) -> Command {
        let mut command = larder();
        command.args(["sync"]).args(arguments).env("HOME", self.0.path());
        command
    }

    /// Logs in with a password through stdin.
    fn login(&self, arguments: &[&str], password: &str) -> Output {
        let mut command = self.larder(&["login", "--password-stdin"]);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("larder runs");
        // It may have ended for another reason.
        let _ = writeln!(child.stdin.take().expect("a pipe"), "{password}");
        let output = child.wait_with_output().expect("ended");
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!told.contains(password), "{told}");
        output
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.0.path().join(".docker/config.json")).unwrap_or_default()
    }

    /// Another tool, which finds what is in this home.
    fn other(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", self.0.path()).env_remove("XDG_RUNTIME_DIR").env_remove("XDG_CONFIG_HOME").env_remove("DOCKER_CONFIG");
        command.env_remove("REGISTRY_AUTH_FILE");
        command
    }

    /// A credential helper that keeps what it is told in files.
    fn helper(&self) {
        let script = r#"#!/bin/sh
cd "${0%/*}"
case "$1" in
    store) message=$(cat); server=${message#*'"ServerURL":"'}; printf '%s' "$message" > "kept-${server%%'"'*}" ;;
    get) server=$(cat); if [ -e "kept-$server" ]; then cat "kept-$server"; else echo credentials not found in native keychain; exit 1; fi ;;
    erase) rm "kept-$(cat)" ;;
esac
"#;
        // Another process writes it, because a file that this one has open for writing cannot be run.
        let file = self.0.path().join("docker-credential-shelf");
        let mut shell = Command::new("sh");
        let mut writer = shell.arg("-c").arg("cat > \"$0\" && chmod 755 \"$0\"").arg(file).stdin(Stdio::piped()).spawn().expect("sh");
        writer.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("written");
        assert!(writer.wait().expect("ended").success());
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }
}

#[track_caller]
fn status(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[test]
fn a_registry_takes_the_password_and_other_tools_find_it() {
    let tokens = TokenServer::start(USER, PASSWORD);
    for access in [Access::Htpasswd, Access::Token(&tokens)] {
        let Some(registry) = Registry::start(access) else { return };
        let (home, host) = (Home::new(), registry.host());
        assert_eq!(status(&home.login(&[&host, "-u", USER], "wrong-and-secret")).0, Some(7));
        assert_eq!(home.config(), "", "nothing is kept that the registry did not take");
        let output = home.login(&[&host, "-u", USER], PASSWORD);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let file = home.0.path().join(".docker/config.json");
        assert_eq!((mode(&file), mode(file.parent().expect("a folder"))), (0o600, 0o700));
        for program in ["podman", "skopeo", "buildah"] {
            if tool(program).is_some() {
                assert_eq!(home.other(program, &["login", "--get-login", &host]).succeeds().trim(), USER, "{program}");
            }
        }
        if tool("skopeo").is_some() {
            let told = home.other("skopeo", &["list-tags", "--tls-verify=false", &format!("docker://{host}/team/app")]).output().expect("it runs");
            let told = String::from_utf8_lossy(&told.stderr).into_owned();
            assert!(told.contains("404"), "it was let in: {told}");
        }
        home.larder(&["logout", &host]).succeeds();
        assert!(!home.config().contains(&host));
        let told = home.larder(&["logout", &host]).fails_with(4);
        assert!(told.contains("no credentials"), "{told}");
    }
}

#[test]
fn what_other_tools_wrote_is_found_and_removed() {
    let Some(registry) = Registry::start(Access::Htpasswd) else { return };
    if tool("skopeo").is_none() {
        return;
    }
    let (home, host) = (Home::new(), registry.host());
    let file = home.0.path().join("auth.json");
    let file = file.to_str().expect("UTF-8");
    home.other("skopeo", &["login", "--tls-verify=false", "--authfile", file, "-u", USER, "-p", PASSWORD, &host]).succeeds();
    let told = home.larder(&["logout", "--authfile", file, &host, "--format", "json"]).succeeds();
    let report: serde_json::Value = serde_json::from_str(&told).expect("one document");
    assert_eq!(report["removed"], serde_json::json!([{"registry": host, "helper": null}]));
    home.other("skopeo", &["login", "--get-login", "--authfile", file, &host]).fails_with(1);
}

#[test]
fn a_path_of_a_registry_has_credentials_of_its_own() {
    let artifactory = Artifactory::start(Setup::release());
    let (home, host) = (Home::new(), artifactory.host());
    let auth = home.0.path().join("auth.json");
    let auth = auth.to_str().expect("UTF-8");
    let scope = format!("{host}/docker-local");
    let output = home.login(&[&scope, "-u", crate::support::artifactory::USER, "--authfile", auth], ACCESS_TOKEN);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let written = std::fs::read_to_string(auth).expect("there");
    assert!(written.contains(&format!("\"{scope}\": {{")) && !written.contains(ACCESS_TOKEN), "{written}");
    if tool("skopeo").is_some() {
        let told = home.other("skopeo", &["login", "--get-login", "--authfile", auth, &format!("{scope}/app")]).succeeds();
        assert_eq!(told.trim(), crate::support::artifactory::USER);
    }
    home.larder(&["logout", "--authfile", auth, &host]).fails_with(4);
    home.larder(&["logout", "--authfile", auth, &scope]).succeeds();
}

#[test]
fn a_server_that_lets_everybody_read_still_has_to_take_the_password() {
    let artifactory = Artifactory::start(Setup::release().anonymous(Anonymous::Read));
    let (home, host) = (Home::new(), artifactory.host());
    assert_eq!(status(&home.login(&[&host, "-u", crate::support::artifactory::USER], "wrong-and-secret")).0, Some(7));
    assert!(artifactory.failed_logins(crate::support::artifactory::USER) <= 2);
    assert_eq!(status(&home.login(&[&host, "-u", crate::support::artifactory::USER], crate::support::artifactory::PASSWORD)).0, Some(0));
}

#[test]
fn a_helper_keeps_the_password_instead_of_the_file() {
    let Some(registry) = Registry::start(Access::Htpasswd) else { return };
    let (home, host) = (Home::new(), registry.host());
    home.helper();
    home.write(".docker/config.json", r#"{"credsStore":"shelf","psFormat":"{{.ID}}"}"#);
    let output = home.login(&[&host, "-u", USER], PASSWORD);
    assert_eq!(status(&output).0, Some(2), "the helper is not in PATH: {output:?}");
    let path =
        std::env::join_paths([home.0.path().into()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()))).expect("a path");
    let with_helper = |arguments: &[&str]| {
        let mut command = home.larder(arguments);
        command.env("PATH", &path).stdin(Stdio::piped());
        command
    };
    let mut command = with_helper(&["login", &host, "-u", USER, "--password-stdin"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("larder runs");
    child.stdin.take().expect("a pipe").write_all(PASSWORD.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    assert!(String::from_utf8_lossy(&output.stdout).contains("docker-credential-shelf"), "{output:?}");
    let config = home.config();
    assert!(config.contains(&format!("\"{host}\": {{}}")) && config.contains("psFormat") && !config.contains("auth\":"), "{config}");
    assert!(home.0.path().join(format!("kept-{host}")).exists());
    with_helper(&["logout", "--all"]).succeeds();
    assert!(!home.0.path().join(format!("kept-{host}")).exists() && !home.config().contains(&host));
}

#[test]
fn a_person_is_asked_and_what_is_typed_is_not_shown() {
    let Some(registry) = Registry::start(Access::Htpasswd) else { return };
    let Some(python) = tool("python3") else { return };
    let home = Home::new();
    let script = r"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[1], sys.argv[1:5])
seen = b''
def until(words):
    global seen
    while words not in seen:
        try: got = os.read(terminal, 1024)
        except OSError: got = b''
        if not got: sys.exit('it ended: ' + repr(seen))
        seen += got
until(b'User: '); os.write(terminal, sys.argv[5].encode() + b'\n')
until(b'Password: '); os.write(terminal, sys.argv[6].encode() + b'\n')
until(b'logged in')
_, status = os.waitpid(child, 0)
print(seen.decode())
sys.exit(os.waitstatus_to_exitcode(status))
";
    let mut command = Command::new(python);
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_larder")).args(["sync", "login", &registry.host()]).args([USER, PASSWORD]);
    command.env_clear().env("HOME", home.0.path()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = output_within(Duration::from_secs(120), &mut command);
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{seen}{}", String::from_utf8_lossy(&output.stderr));
    assert!(seen.contains(USER) && !seen.contains(PASSWORD), "{seen}");
    assert!(home.config().contains(&registry.host()));
    let told = home.larder(&["login", &registry.host()]).fails_with(2);
    assert!(told.contains("--password-stdin"), "{told}");
}

#[test]
fn credentials_that_come_first_elsewhere_are_told() {
    let Some(registry) = Registry::start(Access::Htpasswd) else { return };
    let (home, host) = (Home::new(), registry.host());
    home.write(".config/containers/auth.json", &serde_json::json!({"auths": {&host: {"username": "other", "password": "x"}}}).to_string());
    let output = home.login(&[&host, "-u", USER], PASSWORD);
    let (code, told) = status(&output);
    assert!(code == Some(0) && told.contains("come first") && told.contains("containers/auth.json"), "{told}");
    let told = home.larder(&["logout", &host]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&told.stderr).contains("still credentials"), "{told:?}");
}

#[test]
fn a_registry_that_is_not_there_changes_nothing() {
    let home = Home::new();
    // Nobody listens on the port of a listener that is gone.
    let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one").to_string();
    let (code, told) = status(&home.login(&[&host, "-u", USER], PASSWORD));
    assert_eq!((code, home.config().as_str()), (Some(8), ""), "{told}");
}
