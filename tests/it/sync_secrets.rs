//! What proves who one is stays between larder and the registry: it is in no output, no error, no file but the one it was kept in, and in no list of processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use serde_json::json;

use crate::support::artifactory::{Artifactory, READER, Setup, USER};
use crate::support::desk::Desk;
use crate::support::http::{Answer, Fault};
use crate::support::image_set::ImageSet;
use crate::support::process::larder;
use crate::support::scripted::{Scripted, Step};
use crate::support::snapshot::snapshot;
use crate::support::tools::tool;

/// A password that no other test has, and all forms in which it could show.
struct Secret {
    word: String,
    forms: Vec<String>,
}

impl Secret {
    fn new(user: &str, word: &str) -> Secret {
        // Another one in each process: the list of processes is that of the machine.
        let word = format!("{word}-{}", std::process::id());
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let forms = vec![word.clone(), encode(&format!("{user}:{word}")), encode(&word), word.replace('-', "%2D")];
        Secret { word, forms }
    }

    /// The forms that a text has in it.
    fn shown_in(&self, text: &[u8]) -> Vec<&String> {
        self.forms.iter().filter(|form| text.windows(form.len()).any(|window| window == form.as_bytes())).collect()
    }

    #[track_caller]
    fn assert_hidden_in(&self, what: &str, text: &[u8]) {
        assert_eq!(self.shown_in(text), [""; 0], "in {what}: {}", String::from_utf8_lossy(text));
    }

    /// In all files below `place` but these.
    #[track_caller]
    fn assert_hidden_below(&self, place: &Path, but: &[&str]) {
        for (path, (_, content)) in snapshot(place) {
            if !but.iter().any(|kept| path == Path::new(kept)) {
                self.assert_hidden_in(&path.display().to_string(), &content);
            }
        }
    }
}

/// Runs a command of larder at a desk, with all that is told of it looked through: its output, the files at the desk, the programs that it starts, and what
/// others see of them meanwhile.
#[track_caller]
fn watched(secret: &Secret, desk: &Desk, arguments: &[&str], prepare: impl Fn(&mut Command)) -> Option<Output> {
    let strace = tool("strace")?;
    let trace = crate::support::process::temp();
    let programs = trace.path().join("programs");
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-s", "100000", "-e", "trace=execve", "-e", "signal=none", "-o"]).arg(&programs);
    command.arg(env!("CARGO_BIN_EXE_larder")).args(arguments).current_dir(desk.home()).env_clear();
    for (name, value) in larder().get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.env(name, value);
    }
    command.env("HOME", desk.home()).env("TMPDIR", desk.home()).stdin(std::process::Stdio::null());
    prepare(&mut command);
    let over = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                seen_in_processes(secret);
            }
        });
        let output = command.output().expect("strace starts");
        over.store(true, Ordering::Relaxed);
        watcher.join().expect("no process shows it");
        output
    });
    secret.assert_hidden_in("stdout", &output.stdout);
    secret.assert_hidden_in("stderr", &output.stderr);
    secret.assert_hidden_in("arguments of programs", &fs::read(&programs).expect("strace wrote it"));
    Some(output)
}

/// Looks at the arguments of all processes.
#[track_caller]
fn seen_in_processes(secret: &Secret) {
    for entry in fs::read_dir("/proc").expect("there").flatten() {
        if let Ok(arguments) = fs::read(entry.path().join("cmdline")) {
            secret.assert_hidden_in("arguments of a process", &arguments);
        }
    }
}

/// Every way to give a password to a command, as what has to be prepared for it.
fn ways(desk: &Desk, host: &str, secret: &Secret) -> Vec<(&'static str, Vec<String>)> {
    let write = |name: &str, text: &str| {
        let place = desk.home().join(name);
        fs::create_dir_all(place.parent().expect("below")).expect("writable");
        fs::write(&place, text).expect("writable");
        fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("own file");
        place
    };
    write("password", &secret.word);
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{}", secret.word));
    let authfile = write("auth.json", &json!({"auths": {host: {"auth": auth}}}).to_string());
    write("bin/docker-credential-shelf", &format!("#!/bin/sh\necho '{{\"Username\": \"{USER}\", \"Secret\": \"{}\"}}'\n", secret.word));
    write("helper/config.json", &json!({"credHelpers": {host: "shelf"}}).to_string());
    vec![
        ("stdin", vec!["--username".into(), USER.into(), "--password-stdin".into()]),
        ("authfile", vec!["--authfile".into(), authfile.display().to_string()]),
        ("helper", Vec::new()),
    ]
}

/// What was written down by [`ways`] itself.
const KEPT: &[&str] = &["password", "auth.json", "bin/docker-credential-shelf", "trap.toml"];

#[test]
fn passwords_are_told_to_the_registry_and_to_nobody_else() {
    let secret = Secret::new(USER, "lobster-of-the-shelf");
    let artifactory = Artifactory::start(Setup::release().password(USER, &secret.word));
    let (set, host) = (ImageSet::new(2, 1_000), artifactory.host());
    let from = format!("oci:{}", set.layout().display());
    for (way, flags) in {
        let desk = Desk::new();
        ways(&desk, &host, &secret)
    } {
        let desk = Desk::new();
        ways(&desk, &host, &secret);
        let flags: Vec<String> =
            flags.iter().map(|flag| if flag.ends_with("auth.json") { desk.home().join("auth.json").display().to_string() } else { flag.clone() }).collect();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let prepare = |command: &mut Command| match way {
            "stdin" => {
                command.stdin(fs::File::open(desk.home().join("password")).expect("readable"));
            }
            "helper" => {
                let path = std::env::join_paths([desk.home().join("bin"), PathBuf::from("/usr/bin"), PathBuf::from("/bin")]).expect("a path");
                command.env("PATH", path).env("DOCKER_CONFIG", desk.home().join("helper"));
            }
            _ => {}
        };
        let (good, bad, out) = (format!("docker://{host}/docker-local/{way}/"), format!("docker://{host}/docker-remote/{way}/"), desk.oci("out"));
        for (words, code) in [
            (vec!["sync", "push", &from, &good, "--format", "json", "--progress", "json"], Some(0)),
            (vec!["sync", "push", &from, &good, "--progress", "plain", "--metadata-file", "metadata.json"], Some(0)),
            (vec!["sync", "list", &good[..good.len() - way.len() - 2]], None),
            (vec!["sync", "pull", &good, &out], None),
            (vec!["sync", "push", &from, &bad, "--journal", "journal"], None),
        ] {
            let Some(output) = watched(&secret, &desk, &[words.as_slice(), &flags].concat(), prepare) else { return };
            assert!(code.is_none() || output.status.code() == code, "{way}: {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        secret.assert_hidden_below(desk.home(), KEPT);
        assert!(artifactory.log().iter().any(|entry| entry.path.contains(way)));
    }
}

#[test]
fn a_login_keeps_the_password_in_one_file_that_only_its_owner_reads() {
    let secret = Secret::new(USER, "cod-of-the-shelf");
    let artifactory = Artifactory::start(Setup::release().password(USER, &secret.word));
    let desk = Desk::new();
    fs::write(desk.home().join("password"), format!("{}\n", secret.word)).expect("writable");
    let stdin = |command: &mut Command| {
        command.stdin(fs::File::open(desk.home().join("password")).expect("readable"));
    };
    let Some(output) = watched(&secret, &desk, &["sync", "login", &artifactory.host(), "-u", USER, "--password-stdin"], stdin) else { return };
    assert!(output.status.success(), "{output:?}");
    secret.assert_hidden_below(desk.home(), &["password", ".docker/config.json"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(desk.home().join(".docker/config.json")).expect("there").permissions());
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    desk.json(&["sync", "logout", &artifactory.host()]);
    secret.assert_hidden_below(desk.home(), &["password"]);
}

#[test]
fn a_promotion_shows_neither_password_nor_token() {
    let secret = Secret::new(READER, "crab-of-the-shelf");
    let artifactory = Artifactory::start(Setup::release().password(READER, &secret.word));
    let (desk, url) = (Desk::new(), artifactory.rest_url());
    let words = ["sync", "promote", "--copy", "app", "docker-local", "docker-target", "--source-tag", "1", "--url", &url];
    let named = |command: &mut Command| {
        command.env("LARDER_USER", READER).env("LARDER_PASSWORD", &secret.word);
    };
    let Some(output) = watched(&secret, &desk, &words, named) else { return };
    assert!(!output.status.success());
    let token = |command: &mut Command| {
        command.env("LARDER_ACCESS_TOKEN", &secret.word);
    };
    let Some(output) = watched(&secret, &desk, &[&words[..], &["--format", "json"]].concat(), token) else { return };
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    secret.assert_hidden_below(desk.home(), &[]);
}

/// A registry that says in every way what it was told, in the hope that somebody writes it down.
#[test]
fn a_registry_that_repeats_what_it_was_told_is_not_quoted() {
    let secret = Secret::new(USER, "squid-of-the-shelf");
    let set = ImageSet::new(1, 1_000);
    let from = format!("oci:{}:registry.example/team/app-000:1.0", set.layout().display());
    for status in [400, 403, 404, 418, 500] {
        let server = Scripted::start();
        server.expect(Step::new("GET", "/v2/").without("Authorization").always().answers(Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")));
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH"] {
            let challenge = Answer::new(401).header("WWW-Authenticate", "Basic realm=\"x\"");
            server.expect(Step::new(method, "/*").without("Authorization").always().answers(challenge));
            server.expect(Step::new(method, "/*").always().answers_by(move |request, _| {
                let told = request.header("Authorization").unwrap_or_default().to_owned();
                let message = format!("you said {told}");
                Answer::json(status, &json!({"errors": [{"code": "DENIED", "message": message, "detail": told}]}))
                    .header("Warning", &format!("299 - \"{message}\""))
            }));
        }
        let desk = Desk::new();
        desk.log_in(&server.host(), USER, &secret.word);
        let to = format!("docker://{}/team/app:1", server.host());
        for words in [&["sync", "push", "--attempts", "1", &from, &to][..], &["sync", "pull", "--attempts", "1", &to, "oci:out"]] {
            let Some(output) = watched(&secret, &desk, words, |_| {}) else { return };
            assert!(!output.status.success());
        }
        secret.assert_hidden_below(desk.home(), &[".docker/config.json"]);
    }
}

#[test]
fn urls_with_secrets_in_them_are_not_shown() {
    let secret = Secret::new(USER, "prawn-of-the-shelf");
    let desk = Desk::new();
    let store = Scripted::start();
    store.expect(Step::new("GET", "/*").always().answers(Answer::new(200).body("short").fault(Fault::Declares(1 << 20))));
    let registry = Scripted::start();
    let elsewhere = format!("{}/blob?X-Amz-Signature={}", store.url(), secret.word);
    let config = crate::support::forge::sha256(b"{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}, "layers": [],
    });
    let manifest = manifest.to_string();
    let answer = Answer::new(200).header("Content-Type", "application/vnd.oci.image.manifest.v1+json").body(manifest);
    for method in ["GET", "HEAD"] {
        registry.expect(Step::new(method, "/v2/app/manifests/*").always().answers(answer.clone()));
        registry.expect(Step::new(method, "/v2/app/blobs/*").always().answers(Answer::new(307).header("Location", &elsewhere)));
        registry.expect(Step::new(method, "/v2/").always().answers(Answer::new(200)));
    }
    let place = format!("docker://{}/app:1", registry.host());
    let Some(output) = watched(&secret, &desk, &["sync", "pull", "--attempts", "1", &place, "oci:out"], |_| {}) else { return };
    assert!(!output.status.success(), "{output:?}");
    assert!(!store.seen().is_empty(), "{output:?}");
    // A proxy that cannot be reached, with a password in its URL.
    let proxy = |command: &mut Command| {
        command.env("http_proxy", format!("http://me:{}@127.0.0.1:1", secret.word));
    };
    let Some(output) = watched(&secret, &desk, &["sync", "list", "--plain-http", "--attempts", "1", "docker://registry.example/app"], proxy) else { return };
    assert!(!output.status.success(), "{output:?}");
    secret.assert_hidden_below(desk.home(), &[]);
}
