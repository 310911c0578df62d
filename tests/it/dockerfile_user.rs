//! `larder build` from a Dockerfile with `RUN` as an ordinary user, in a user namespace, with the runtimes that there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use larder::runtime::GRACE;
use rustix::process::Signal;

use crate::support::context::oci;
use crate::support::dockerfile::{Image, Kitchen};
use crate::support::process::{Companion, NOBODY, Runs as _};
use crate::support::tools::{crun, skip, tool};
use crate::support::tree;
use crate::support::user::Home;

const TEXT: &str = "FROM shell:1\nRUN id -u > /user && touch /own /other && chown 1000:1001 /other && rm -r /data && mkdir /data && ls -A /sys/class/net > /net\nUSER app\nRUN id -u > /tmp/app\n";

/// What a build as the ordinary user came to: its exit status and what it told.
#[track_caller]
fn build(home: &Home, kitchen: &Kitchen, out: &Path, more: &[&str]) -> Option<(Option<i32>, String)> {
    let mut command = home.as_nobody()?;
    command.arg(home.at("larder")).arg("build").arg(kitchen.context()).args(["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1"]);
    let output = command.args(["--no-cache", "--progress", "plain", "-o", &oci(out)]).args(more).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if told.contains("cannot make a user namespace") {
        skip(&format!("this machine lets no ordinary user make a user namespace: {told}"));
        return None;
    }
    Some((output.status.code(), told))
}

/// The runtimes, by path, where the user can reach them. `None` after saying that the test is skipped.
#[track_caller]
fn runtimes(home: &Home) -> Option<[PathBuf; 2]> {
    let (runc, crun) = (tool("runc")?, crun()?);
    Command::new("cp").arg("-a").arg(crun.parent().expect("a directory")).arg(home.at("crun")).succeeds();
    Some([runc, home.at("crun/crun")])
}

#[test]
fn root_and_users_and_every_runtime_make_the_same_image() {
    let home = Home::new();
    let (Some(kitchen), Some(runtimes), Some(_)) = (Kitchen::with_shell(TEXT), runtimes(&home), tool("newuidmap")) else { return };
    let mut digests = Vec::new();
    for (index, runtime) in runtimes.iter().enumerate() {
        let runtime = runtime.to_str().expect("UTF-8");
        let out = home.own().join(format!("out-{index}"));
        let Some((status, told)) = build(&home, &kitchen, &out, &["--runtime", runtime]) else { return };
        assert_eq!(status, Some(0), "{runtime}: {told}");
        assert!(!told.contains("warning:"), "{told}");
        let image = Image::of(&out, "1", "amd64");
        assert_eq!((image.read("user"), image.read("tmp/app"), image.read("net")), ("0\n".into(), "1000\n".into(), "lo\n".into()));
        let listing = image.listing();
        assert!(listing.contains(&"other 644 1000:1001".to_owned()) && listing.contains(&"data/.wh..wh..opq 644 0:0".to_owned()), "{listing:?}");
        digests.push(image.manifest.clone());
        let _ = fs::remove_dir_all(kitchen.path("cache"));
        digests.push(kitchen.image(&["--base", &kitchen.bases(), "--runtime", runtime]).manifest);
        let left = fs::read_dir(home.own()).expect("listed").map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        assert!(left.into_iter().all(|name| name.starts_with("out-") || name == ".cache"), "nothing is beside the layouts");
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn a_user_without_numbers_is_root_alone_and_told_what_that_lacks() {
    let home = Home::new();
    let (Some(kitchen), Some(runtimes)) = (Kitchen::with_shell("FROM shell:1\nRUN id -u > /user && touch /own && rm /data/gone\n"), runtimes(&home)) else {
        return;
    };
    for name in ["subuid", "subgid"] {
        fs::write(home.at(name), "").expect("writable");
    }
    for (index, runtime) in runtimes.iter().enumerate() {
        let out = home.own().join(format!("out-{index}"));
        let Some((status, told)) = build(&home, &kitchen, &out, &["--runtime", runtime.to_str().expect("UTF-8")]) else { return };
        assert_eq!(status, Some(0), "{told}");
        let image = Image::of(&out, "1", "amd64");
        assert_eq!((image.read("user"), image.listing().contains(&"data/.wh.gone 644 0:0".to_owned())), ("0\n".into(), true));
    }
    let out = home.own().join("out");
    kitchen.file("Dockerfile", "FROM shell:1\nRUN touch /other && chown 1000:1001 /other\n");
    let (status, told) = build(&home, &kitchen, &out, &[]).expect("as before");
    assert!(status == Some(1) && told.contains("/etc/subuid"), "{told}");
    // What a layer has that nobody can own here.
    kitchen.file("Dockerfile", "FROM shell:1\nCOPY --chown=1000:1001 a /\nRUN true\n");
    kitchen.file("a", "a");
    let (status, told) = build(&home, &kitchen, &out, &[]).expect("as before");
    assert!(status == Some(1) && told.contains("newuidmap") && told.contains("/etc/subuid"), "{told}");
    kitchen.file("Dockerfile", "FROM shell:1\nUSER app\nRUN true\n");
    let (status, told) = build(&home, &kitchen, &out, &[]).expect("as before");
    assert!(status != Some(0) && told.contains("/etc/subuid"), "{told}");
}

/// Outputs of the files of an image, as the directory `name` in a directory and as a tar beside it.
fn of_files(directory: &Path, name: &str) -> [String; 4] {
    let place = directory.join(name);
    ["-o".to_owned(), format!("type=local,dest={}", place.display()), "-o".to_owned(), format!("type=tar,dest={}.tar", place.display())]
}

/// What the files that the test is about belong to, in the directory and in the tar.
fn owners(directory: &Path, name: &str) -> [Vec<String>; 2] {
    let is_own = |path: &str| matches!(path, "own" | "other" | "data");
    let tree =
        tree::read(&directory.join(name)).into_iter().map(|(path, node)| (path.to_string_lossy().into_owned(), format!("{}/{}", node.owner.0, node.owner.1)));
    let listing = Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(directory.join(format!("{name}.tar"))).succeeds();
    let tar = listing.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((words.last()?.trim_end_matches('/').to_owned(), words.get(1)?.to_string()))
    });
    [tree.collect::<Vec<_>>(), tar.collect()].map(|all| {
        let mut own: Vec<String> = all.into_iter().filter(|(path, _)| is_own(path)).map(|(path, owner)| format!("{path} {owner}")).collect();
        own.sort();
        own
    })
}

#[test]
fn files_of_an_image_belong_to_who_asked_for_them_whether_something_runs_or_not() {
    let (Some(kitchen), Some(_)) = (Kitchen::with_shell(""), tool("newuidmap")) else { return };
    kitchen.file("a", "a");
    kitchen.file("d/file", "");
    let home = Home::new();
    let root = kitchen.path("root");
    fs::create_dir(&root).expect("writable");
    let bases = kitchen.bases();
    for (name, text, described) in [
        (
            "run",
            "FROM shell:1\nRUN touch /own /other && chown 1000:1001 /other && chmod 6755 /own && rm -r /data && mkdir /data\n",
            &["data 0/0", "other 1000/1001", "own 0/0"][..],
        ),
        ("copy", "FROM scratch\nCOPY a /own\nCOPY --chown=1000:1001 a /other\nCOPY d /data/\n", &["data 0/0", "other 1000/1001", "own 0/0"]),
        // The others with no numbers besides its own.
        ("run-alone", "FROM shell:1\nRUN touch /own && rm -r /data && mkdir /data\n", &["data 0/0", "own 0/0"]),
    ] {
        if name == "run-alone" {
            ["subuid", "subgid"].into_iter().for_each(|file| fs::write(home.at(file), "").expect("writable"));
        }
        kitchen.file("Dockerfile", text);
        let outputs = of_files(&home.own(), name);
        let Some((status, told)) = build(&home, &kitchen, &home.own().join(format!("out-{name}")), &outputs.each_ref().map(String::as_str)) else { return };
        assert_eq!(status, Some(0), "{text}: {told}");
        let own: Vec<String> = described.iter().filter_map(|owned| owned.split_once(' ')).map(|(path, _)| format!("{path} {NOBODY}/{NOBODY}")).collect();
        assert_eq!(owners(&home.own(), name), [own, described.iter().map(|owned| (*owned).to_owned()).collect()], "{text}");
        assert!(tree::read(&home.own().join(name)).values().all(|node| node.owner == (NOBODY, NOBODY)), "{text}");
        let mode = |directory: &Path| tree::read(&directory.join(name))[Path::new("own")].mode.clone();
        assert_eq!(mode(&home.own()).len(), 3, "with the rights of the user for everybody: {text}");
        let outputs = of_files(&root, name);
        let arguments = [&["--base", &bases, "--platform", "linux/amd64"][..], &outputs.each_ref().map(String::as_str)].concat();
        kitchen.command(&arguments).succeeds();
        assert_eq!(mode(&root) == "6755", name == "run", "{text}");
        assert!(owners(&root, name).iter().all(|owners| owners == described), "{text}: {:?}", owners(&root, name));
    }
}

/// A first process that handles the signal and one that does not, each with a child that does.
const CLEANING: &str = r#"FROM shell:1 AS other
RUN trap 'echo first >&2' TERM; sh -c 'trap "echo second; exit" TERM; echo began; while :; do sleep 0.1; done'
FROM shell:1
RUN sh -c 'trap "echo third; exit" TERM; echo began; while :; do sleep 0.1; done'; echo next
COPY --from=other / /x
"#;

#[test]
fn steps_of_root_and_users_get_signals_in_every_runtime() {
    let home = Home::new();
    let (Some(kitchen), Some(runtimes), Some(_)) = (Kitchen::with_shell(CLEANING), runtimes(&home), tool("newuidmap")) else { return };
    for (index, runtime) in runtimes.iter().enumerate() {
        for who in ["root", "user"] {
            let Some(mut command) = (if who == "root" { Some(Command::new("env")) } else { home.as_nobody() }) else { return };
            command.arg(home.at("larder")).arg("build").arg(kitchen.context()).args(["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1"]);
            let out = home.own().join(format!("out-{who}-{index}"));
            command.args(["--jobs", "2", "--progress", "plain", "-o", &oci(&out), "--runtime"]).arg(runtime);
            if who == "root" {
                command.arg("--cache-dir").arg(kitchen.path("cache"));
            }
            let log = kitchen.path(&format!("log-{who}-{index}"));
            let told = || fs::read_to_string(&log).expect("readable");
            let mut larder = Companion::start_logging(&mut command, &fs::File::create(&log).expect("writable"));
            let has_begun = || told().lines().filter(|line| line.ends_with(" began")).count() == 2;
            larder.wait_until("the steps began, or it ended", |_| has_begun() || told().contains("cannot make a user namespace"));
            if !has_begun() {
                return skip(&format!("this machine lets no ordinary user make a user namespace: {}", told()));
            }
            let begin = Instant::now();
            larder.signal(Signal::TERM);
            let status = larder.wait().expect("it is ours");
            assert!(begin.elapsed() < GRACE, "{who} {runtime:?} {:?}: {}", begin.elapsed(), told());
            assert_eq!(status.code(), Some(130), "{}", told());
            let counts = ["first", "second", "third", "next"].map(|word| told().lines().filter(|line| line.ends_with(&format!(" {word}"))).count());
            assert_eq!(counts, [1, 1, 1, 0], "{who} {runtime:?}: {}", told());
        }
    }
}

/// What a user namespace made belongs to numbers that are not the user's, and goes all the same.
#[test]
fn cra_23_what_a_build_of_a_user_that_was_killed_left_is_swept_by_the_next() {
    let (home, text) =
        (Home::new(), "FROM shell:1\nUSER app\nRUN mkdir /tmp/d && touch /tmp/d/f && chmod 700 /tmp/d; setsid sleep 986 & echo began; sleep 986\n");
    let (Some(kitchen), Some(_), Some(_)) = (Kitchen::with_shell(text), tool("newuidmap"), tool("runc")) else { return };
    let build = || {
        let mut command = home.as_nobody()?;
        command.arg(home.at("larder")).arg("build").arg(kitchen.context()).args(["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1"]);
        command.args(["--progress", "plain", "-o", &oci(&home.own().join("out"))]);
        Some(command)
    };
    let Some(mut command) = build() else { return };
    let log = kitchen.path("log");
    let told = || fs::read_to_string(&log).expect("readable");
    let mut larder = Companion::start_logging(&mut command, &fs::File::create(&log).expect("writable"));
    let has_begun = || told().lines().any(|line| line.ends_with(" began"));
    larder.wait_until("the step began, or it ended", |_| has_begun() || told().contains("cannot make a user namespace"));
    if !has_begun() {
        return skip(&format!("this machine lets no ordinary user make a user namespace: {}", told()));
    }
    larder.signal(Signal::KILL);
    larder.wait().expect("it is ours");
    let sleeping = || {
        let processes = fs::read_dir("/proc").expect("readable").flatten();
        processes.filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.starts_with(b"sleep\x00986"))).count()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while sleeping() > 0 {
        assert!(Instant::now() < deadline, "{} processes go on", sleeping());
        std::thread::sleep(Duration::from_millis(10));
    }
    let left = || {
        let entries = fs::read_dir(home.own().join(".cache/larder/v1")).expect("the cache").map(|entry| entry.expect("an entry").file_name().into_string());
        entries.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with(".larder"))).count()
    };
    assert_eq!(left(), 1, "files are what is left");
    kitchen.file("Dockerfile", "FROM shell:1\nUSER app\nRUN id -u >/tmp/again\n");
    build().expect("as before").succeeds();
    assert_eq!((Image::of(&home.own().join("out"), "1", "amd64").read("tmp/again"), left()), ("1000\n".into(), 0));
}

#[test]
fn where_no_user_namespace_can_be_made_the_way_out_is_told() {
    let (Some(kitchen), Some(unshare)) = (Kitchen::with_shell("FROM shell:1\nRUN true\n"), tool("unshare")) else { return };
    let home = Home::new();
    // A namespace that may have none in it.
    let limit = "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin -- \"$@\"";
    let mut command = Command::new(unshare);
    command.args(["--user", "--map-root-user", "sh", "-c", limit, "sh"]).arg(home.at("larder")).arg("build").arg(kitchen.context());
    command.args(["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "--no-cache", "-o", &oci(&kitchen.path("denied"))]);
    let output = command.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{told}");
    assert!(told.contains("cannot make a user namespace") && told.contains("run it as root, or where the kernel lets ordinary users"), "{told}");
}
