//! `larder build` from a Dockerfile with `RUN`.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::support::context::{oci, stagings};
use crate::support::dockerfile::{Image, Kitchen};
use crate::support::image::blob_path;
use crate::support::process::{Companion, Runs as _, larder_as_nobody, temp};
use crate::support::tools::{skip, tool};

/// A context with this Dockerfile and a base with a shell. `None` after saying that the test is skipped.
#[track_caller]
fn kitchen(dockerfile: &str) -> Option<Kitchen> {
    Kitchen::with_shell(dockerfile)
}

/// What workspaces are left where steps ran.
pub(crate) fn left(kitchen: &Kitchen) -> Vec<PathBuf> {
    let place = kitchen.path("cache/v1");
    let entries = fs::read_dir(place).map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()).unwrap_or_default();
    entries.into_iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".larder"))).collect()
}

/// The network of a step is one of its own; for larder itself there is none to begin with.
#[test]
fn reg_45_steps_run_where_there_is_no_network_and_larder_asks_for_none() {
    let Some(kitchen) = kitchen("FROM shell:1\nRUN echo done > /tmp/done\n") else { return };
    let (Some(strace), Some(unshare)) = (tool("strace"), tool("unshare")) else { return };
    let trace = kitchen.path("trace");
    let mut build = Command::new(unshare);
    build.args(["--net", "--"]).arg(strace).args(["-f", "-qq", "-e", "trace=socket", "-e", "signal=none", "-o"]).arg(&trace);
    let larder = kitchen.command(&["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "-o", &oci(&kitchen.out())]);
    build.arg(larder.get_program()).args(larder.get_args());
    build.envs(larder.get_envs().filter_map(|(name, value)| Some((name, value?)))).succeeds();
    assert_eq!(kitchen.built("amd64").read("tmp/done"), "done\n");
    let trace = fs::read_to_string(trace).expect("strace wrote it");
    assert!(!trace.contains("AF_INET"), "{trace}");
}

#[test]
fn what_commands_change_is_in_the_image() {
    let Some(kitchen) = kitchen(
        r#"FROM shell:1 AS build
ARG WHO=world
ENV GREETING=hello
WORKDIR /w
RUN echo "$GREETING $WHO" > out && mkdir d && chmod 700 d && rm /data/gone
RUN ["sh", "-c", "echo exec > exec"]
RUN <<EOF
echo one > script
pwd >> script
EOF
RUN cat <<EOF > document
$WHO
EOF
RUN <<EOF
#!/bin/cat
EOF
COPY a /a
RUN cat /a > copied && chown app /w/d && ls -ld /dev/pipes 2>/dev/null; true
USER app
WORKDIR /home/app
RUN id -u > /tmp/user; echo "$HOME" >> /tmp/user
SHELL ["/bin/ash", "-euc"]
RUN echo $0 > /tmp/shell

FROM shell:1
COPY --from=build /w /tmp/user /all/
RUN rm -r /data && mkdir /data
"#,
    ) else {
        return;
    };
    kitchen.file("a", "from the context");
    let image = kitchen.image(&["--base", &kitchen.bases(), "--target", "build", "--build-arg", "WHO=larder"]);
    for (path, content) in [
        ("w/out", "hello larder\n"),
        ("w/exec", "exec\n"),
        ("w/script", "one\n/w\n"),
        ("w/document", "larder\n"),
        ("w/copied", "from the context"),
        ("tmp/user", "1000\n/home/app\n"),
        ("tmp/shell", "/bin/ash\n"),
    ] {
        assert_eq!(image.read(path), content, "{path}");
    }
    let listing = image.listing();
    assert!(listing.contains(&"w/d/ 700 1000:0".to_owned()) && listing.contains(&"data/.wh.gone 644 0:0".to_owned()), "{listing:?}");
    for unwanted in ["etc/resolv.conf", "etc/hosts", "proc", "dev/pipes", "sys"] {
        assert!(!image.entries().contains_key(unwanted), "{unwanted}: {listing:?}");
    }
    assert_eq!(
        image.history()[1..6],
        [
            "- ARG WHO=larder",
            "- ENV GREETING=hello",
            "WORKDIR /w",
            "RUN |1 WHO=larder /bin/sh -c echo \"$GREETING $WHO\" > out && mkdir d && chmod 700 d && rm /data/gone # buildkit",
            "RUN |1 WHO=larder sh -c echo exec > exec # buildkit",
        ]
    );
    assert_eq!(image.history().iter().filter(|said| !said.starts_with("- ")).count(), image.layers().len());
    assert!(image.entries().values().all(|entry| entry.mtime == 0));
    assert!(image.warnings.is_empty() || image.warnings.contains("[build"), "{}", image.warnings);

    let image = kitchen.image(&["--base", &kitchen.bases()]);
    assert_eq!((image.read("all/out"), image.read("all/user")), ("hello world\n".into(), "1000\n/home/app\n".into()));
    assert_eq!(image.layer(image.layers().len() - 1), ["data/", "data/.wh..wh..opq"]);
    assert_eq!(left(&kitchen), [""; 0].map(PathBuf::from));
}

#[test]
fn a_step_has_no_network_unless_the_call_says_so() {
    let Some(kitchen) = kitchen("FROM shell:1\nRUN ls /sys/class/net > /net\n") else { return };
    let bases = kitchen.bases();
    assert_eq!(kitchen.image(&["--base", &bases]).read("net"), "lo\n");
    let machine = fs::read_dir("/sys/class/net").expect("listed").count();
    assert_eq!(kitchen.image(&["--base", &bases, "--network", "host"]).read("net").lines().count(), machine);
    kitchen.file("Dockerfile", "FROM shell:1\nRUN --network=none ls /sys/class/net > /net\n");
    assert_eq!(kitchen.image(&["--base", &bases, "--network", "host"]).read("net"), "lo\n");
    kitchen.file("Dockerfile", "FROM shell:1\nRUN --network=host true\n");
    let error = kitchen.refused(2, &["--base", &bases]);
    assert_eq!(error["hint"], "say --network host");
}

#[test]
fn mounts_are_there_for_one_step_and_in_no_layer() {
    let Some(kitchen) = kitchen(
        r#"FROM shell:1 AS tools
RUN mkdir /tools && echo tool > /tools/t
FROM shell:1
WORKDIR /w
RUN --mount=type=bind,target=/src ls -R /src > list; touch /src/x 2> refused; true
RUN --mount=target=rw,rw --mount=type=bind,source=deep/file,target=/one cat /one > one && echo new > rw/new && cat rw/new > read
RUN --mount=from=tools,source=/tools,target=/t cat /t/t > tool
RUN --mount=type=tmpfs,target=/mem,size=1m echo x > /mem/x && df /mem | tail -1 | cut -c1-5 > mem
RUN --mount=type=secret,id=key --mount=type=secret,id=key,env=KEY,target=/k,mode=0440,uid=1000 wc -c < /run/secrets/key > secret && test "$KEY" = "$(cat /k)" && ls -ln /k | cut -c1-20 >> secret
RUN --mount=type=secret,id=other ls /run/secrets 2>/dev/null | wc -l > none
"#,
    ) else {
        return;
    };
    kitchen.file("deep/file", "content");
    kitchen.file("hidden", "hidden");
    kitchen.file(".dockerignore", "hidden\nDockerfile\n.dockerignore\n");
    let key = kitchen.path("key");
    fs::write(&key, "the secret key").expect("writable");
    let (bases, secret) = (kitchen.bases(), format!("id=key,src={}", key.display()));
    let image = kitchen.image(&["--base", &bases, "--secret", &secret]);
    for (path, content) in [
        ("w/list", "/src:\ndeep\n\n/src/deep:\nfile\n"),
        ("w/refused", "touch: /src/x: Read-only file system\n"),
        ("w/one", "content"),
        ("w/read", "new\n"),
        ("w/tool", "tool\n"),
        ("w/mem", "tmpfs\n"),
        ("w/none", "0\n"),
    ] {
        assert_eq!(image.read(path), content, "{path}");
    }
    assert!(image.read("w/secret").starts_with("14\n-r--r-----    1 1000"), "{}", image.read("w/secret"));
    assert!(!image.holds("the secret key") && !image.config.to_string().contains("the secret key"));
    for path in ["src", "rw", "w/rw", "one", "t", "mem", "k", "run"] {
        assert!(!image.entries().contains_key(path), "{path}: {:?}", image.listing());
    }
    assert!(!kitchen.context().join("new").exists());
    // Another secret is no reason to run a step again; another file of the context is.
    fs::write(&key, "another key").expect("writable");
    assert_eq!(kitchen.image(&["--base", &bases, "--secret", &secret]).cached_and_made().1, 0);
    kitchen.file("deep/file", "changed");
    let changed = kitchen.image(&["--base", &bases, "--secret", &secret]);
    assert_eq!(changed.read("w/one"), "changed");
    kitchen.file("Dockerfile", "FROM shell:1\nRUN --mount=type=secret,id=key,required true\n");
    let error = kitchen.refused(4, &["--base", &bases]);
    assert!(error["message"].as_str().expect("a message").contains("the call gives no secret `key`"), "{error}");
    kitchen.file("Dockerfile", "FROM shell:1\nRUN --mount=source=hidden,target=/h cat /h\n");
    assert_eq!(kitchen.refused(4, &["--base", &bases])["code"], "not_found");
}

#[test]
fn caches_outlive_the_build() {
    let text = |word: &str| {
        format!(
            "FROM shell:1\nRUN --mount=type=cache,target=/c,mode=0700,uid=1000,sharing=locked echo {word} >> /c/log && cp /c/log /log && ls -ldn /c | cut -c1-20 > /mode\n"
        )
    };
    let Some(kitchen) = kitchen(&text("one")) else { return };
    let bases = kitchen.bases();
    let image = kitchen.image(&["--base", &bases]);
    assert_eq!(image.read("log"), "one\n");
    assert!(image.read("mode").starts_with("drwx------    2 1000"), "{}", image.read("mode"));
    let mounts = fs::metadata(kitchen.path("cache/v1/mounts")).expect("there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mounts.permissions()) & 0o7777, 0o700);
    kitchen.file("Dockerfile", text("two"));
    assert_eq!(kitchen.image(&["--base", &bases]).read("log"), "one\ntwo\n");
    kitchen.file("Dockerfile", "FROM shell:1 AS seed\nRUN mkdir /s && echo seed > /s/f\nFROM shell:1\nRUN --mount=type=cache,id=new,from=seed,source=/s,target=/c cat /c/f > /f; ls /c > /list\n");
    let image = kitchen.image(&["--base", &bases]);
    assert_eq!((image.read("f"), image.read("list")), ("seed\n".into(), "f\n".into()));
}

#[test]
fn a_step_may_have_a_cache_twice_and_two_steps_may_have_two_in_any_order() {
    let mount = |id: &str, target: &str| format!("--mount=type=cache,id={id},target={target},sharing=locked");
    let (ab, ba) = (format!("{} {}", mount("a", "/a"), mount("b", "/b")), format!("{} {}", mount("b", "/b"), mount("a", "/a")));
    let twice = format!("{} {}", mount("a", "/x"), mount("a", "/y"));
    let Some(kitchen) = kitchen(&format!(
        "FROM shell:1 AS one\nRUN {ab} echo 1 > /a/1 && sleep 1\nFROM shell:1 AS two\nRUN {ba} echo 2 > /b/2 && sleep 1\nFROM shell:1\nCOPY --from=one /etc /1\nCOPY --from=two /etc /2\nRUN {twice} echo new > /x/f && cat /y/f /y/1 > /f\n"
    )) else {
        return;
    };
    assert_eq!(kitchen.image(&["--base", &kitchen.bases(), "--jobs", "2"]).read("f"), "new\n1\n");
}

#[test]
fn a_cache_is_pruned_beside_builds_that_run() {
    let Some(kitchen) = kitchen("FROM shell:1\nRUN --mount=type=cache,target=/c echo ready > /c/ready; sleep 300\n") else { return };
    let place = kitchen.path("cache").to_str().expect("UTF-8").to_owned();
    let output = oci(&kitchen.out());
    let mut command = kitchen.command(&["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "-o", &output]);
    let mut larder = Companion::start(command.stderr(Stdio::piped()));
    let is_ready = || fs::read_dir(kitchen.path("cache/v1/mounts")).into_iter().flatten().flatten().any(|entry| entry.path().join("ready").exists());
    larder.wait_until("the step runs", |_| is_ready());
    let refused = crate::support::image::ran(&["cache", "prune", "--all", "--cache-dir", &place, "--lock-timeout", "0s"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("builds are using the cache"), "{refused:?}");
    assert!(is_ready());
    larder.signal(Signal::TERM);
    larder.ends();
    let pruned = crate::support::image::json(&["cache", "prune", "--all", "--cache-dir", &place]);
    let mounts: Vec<_> = pruned["removed"].as_array().expect("a list").iter().filter(|entry| entry["type"] == "mount").collect();
    assert_eq!((mounts.len(), &mounts[0]["label"]), (1, &json!("/c")));
    assert_eq!(fs::read_dir(kitchen.path("cache/v1/mounts")).expect("listed").count(), 0);
    kitchen.file("Dockerfile", "FROM shell:1\nRUN --mount=type=cache,target=/c ls /c > /list; echo x > /c/x\n");
    assert_eq!(kitchen.image(&["--base", &kitchen.bases()]).read("list"), "");
}

#[test]
fn a_command_that_fails_is_shown_as_a_compiler_would() {
    let Some(kitchen) = kitchen("FROM shell:1\nCOPY a /a\nRUN echo first; \\\n    echo what is wrong >&2; \\\n    exit 3\n") else { return };
    kitchen.file("a", "a");
    let bases = kitchen.bases();
    let error = kitchen.refused(1, &["--base", &bases]);
    assert!(error["message"].as_str().expect("a message").ends_with("Dockerfile:3:1: the command ended with exit status 3"), "{error}");
    assert_eq!(error["causes"], json!(["the last line that it wrote is `what is wrong`"]));
    let output = oci(&kitchen.out());
    let mut command = crate::support::process::larder();
    command.arg("build").arg(kitchen.context()).args(["--base", &bases, "--platform", "linux/amd64", "-t", "app:1", "--no-cache", "-o", &output]);
    let told = command.fails_with(1);
    for line in
        ["[2/2] first\n", "[2/2] what is wrong\n", "error: ", "  3 | RUN echo first; \\\n", "  4 |     echo what is wrong >&2; \\\n", "  5 |     exit 3\n"]
    {
        assert!(told.contains(line), "{line}: {told}");
    }
    for (command, ending) in [("exit 255", "ended with exit status 255"), ("exit 200", "ended with exit status 200"), ("exit 137", "was ended by signal 9")] {
        kitchen.file("Dockerfile", format!("FROM shell:1\nRUN {command}\n"));
        let error = kitchen.refused(1, &["--base", &bases]);
        assert!(error["message"].as_str().expect("a message").ends_with(&format!("Dockerfile:2:1: the command {ending}")), "{error}");
    }
    kitchen.file("Dockerfile", "FROM shell:1\nRUN [\"/no/such/program\"]\n");
    let error = kitchen.refused(4, &["--base", &bases]);
    assert!(error["message"].as_str().expect("a message").contains("Dockerfile:2:1: "), "{error}");
    kitchen.file("Dockerfile", "FROM shell:1\nUSER nobody-knows\nRUN true\n");
    assert!(!kitchen.refused(4, &["--base", &bases]).is_null());
    let index = crate::support::image::read_index(&kitchen.out());
    assert_eq!(index["manifests"], json!([]), "nothing has a name");
    assert_eq!(left(&kitchen), [""; 0].map(PathBuf::from));
    assert_eq!(stagings(&kitchen.out()), [""; 0].map(PathBuf::from));
}

#[test]
fn a_damaged_base_is_refused_by_every_step_that_reads_it() {
    let Some(kitchen) = kitchen("") else { return };
    kitchen.file("a", "a");
    let bases = kitchen.path("bases");
    let layer = blob_path(&bases, &Image::of(&bases, "1", "amd64").layers()[0]["digest"]);
    let mut bytes = fs::read(&layer).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).expect("root may");
    for (text, place) in [
        ("FROM shell:1\nRUN true\n", "Dockerfile:2:1: "),
        ("FROM shell:1\nCOPY a /data/a\n", "Dockerfile:2:1: "),
        ("FROM shell:1 AS base\nFROM scratch\nCOPY --from=base /data /\n", "Dockerfile:3:1: "),
        ("FROM scratch\nCOPY a /\nCOPY --from=shell:1 /data/deep /\n", "Dockerfile:3:1: "),
        ("FROM shell:1\nUSER app\nWORKDIR /new\n", "Dockerfile:3:1: "),
        ("FROM scratch\nCOPY a /\nRUN --mount=type=bind,from=shell:1,target=/x true\n", "Dockerfile:3:1: "),
    ] {
        kitchen.file("Dockerfile", text);
        let error = kitchen.refused(3, &["--base", &kitchen.bases()]);
        assert!(error["message"].as_str().expect("a message").contains(place), "{text}: {error}");
        assert_eq!(crate::support::image::read_index(&kitchen.out())["manifests"], json!([]), "{text}: nothing has a name");
        let blobs = fs::read_dir(kitchen.out().join("blobs/sha256")).map_or(0, Iterator::count);
        assert_eq!(blobs, 0, "{text}: nothing is written");
        assert_eq!(left(&kitchen), [""; 0].map(PathBuf::from));
    }
}

#[test]
fn a_failure_ends_what_runs_beside_it() {
    let Some(kitchen) = kitchen("FROM shell:1 AS slow\nRUN sleep 300\nFROM shell:1\nRUN sleep 1; exit 7\nCOPY --from=slow / /x\n") else { return };
    let began = std::time::Instant::now();
    let error = kitchen.refused(1, &["--base", &kitchen.bases(), "--jobs", "2"]);
    assert!(error["message"].as_str().expect("a message").contains("exit status 7"), "{error}");
    assert!(began.elapsed() < std::time::Duration::from_secs(120));
}

#[test]
fn a_signal_ends_a_step_and_leaves_nothing() {
    let Some(kitchen) = kitchen("FROM shell:1\nRUN echo ready > /ready; sleep 300\n") else { return };
    let output = oci(&kitchen.out());
    let mut command = kitchen.command(&["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "-o", &output]);
    let mut larder = Companion::start(command.stderr(Stdio::piped()));
    let place = kitchen.path("cache/v1");
    let is_ready = || {
        let steps = fs::read_dir(&place).into_iter().flatten().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(".larder-run-"));
        let uppers = steps.flat_map(|workspace| fs::read_dir(workspace.path()).into_iter().flatten().flatten()).map(|step| step.path().join("upper/ready"));
        uppers.into_iter().any(|path| path.exists())
    };
    larder.wait_until("the step runs", |_| is_ready());
    larder.signal(Signal::TERM);
    let (status, _) = larder.ends();
    assert_eq!(status.code(), Some(130));
    assert_eq!(left(&kitchen), [""; 0].map(PathBuf::from));
}

#[test]
fn what_did_not_change_is_not_run_again_and_twice_gives_the_same_bytes() {
    let text =
        "FROM shell:1\nARG A=1\nCOPY a /a\nRUN touch /stamp && mkdir /made && date > /dev/null && echo $A > /arg\nRUN cat /a /arg > /made/both\nCOPY b /b\n";
    let Some(kitchen) = kitchen(text) else { return };
    kitchen.file("a", "a");
    kitchen.file("b", "b");
    let bases = kitchen.bases();
    let first = kitchen.image(&["--base", &bases]);
    assert_eq!(first.cached_and_made(), (0, 4));
    assert_eq!(kitchen.image(&["--base", &bases]).cached_and_made(), (4, 0));
    kitchen.file("b", "changed");
    assert_eq!(kitchen.image(&["--base", &bases]).cached_and_made(), (3, 1));
    assert_eq!(kitchen.image(&["--base", &bases, "--build-arg", "A=2"]).cached_and_made(), (2, 2));
    kitchen.file("b", "b");
    fs::remove_dir_all(kitchen.path("cache")).expect("own cache");
    let again = kitchen.image(&["--base", &bases, "--jobs", "1"]);
    assert_eq!((again.cached_and_made(), &again.report["digest"]), ((0, 4), &first.report["digest"]));
}

#[test]
fn the_same_bytes_come_out_everywhere() {
    let text = "FROM shell:1 AS one\nRUN mkdir -p /made/deep && touch /made/stamp && echo $TZ$LANG$LC_ALL > /made/env && umask > /made/umask && hostname > /made/host\nFROM shell:1\nCOPY d /d\nRUN --mount=target=/c cp -r /c/d /copied && chmod -R go-rwx /copied && ls -A / > /list && env > /env && rm -r /data\nCOPY --from=one /made /made\nRUN ln /list /hard && date > /dev/null\n";
    let (Some(first), Some(second)) = (kitchen(text), kitchen(text)) else { return };
    for (kitchen, names) in [(&first, ["x", "a", "m"]), (&second, ["m", "x", "a"])] {
        names.iter().for_each(|name| kitchen.file(&format!("d/{name}"), name));
    }
    let here = first.image(&["--base", &first.bases(), "--network", "none", "--jobs", "2"]);
    let output = oci(&second.out());
    let elsewhere = second.command(&["--base", &second.bases(), "--platform", "linux/amd64", "--jobs", "1", "--no-cache", "-t", "app:1", "-o", &output]);
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", "umask 077; exec \"$@\"", "bash"]).arg(elsewhere.get_program());
    bash.args(elsewhere.get_args().filter(|argument| *argument != "--cache-dir" && *argument != second.path("cache").as_os_str()));
    bash.env("TZ", "Asia/Kathmandu").env("LANG", "de_DE.UTF-8").env("LC_ALL", "C").env("HOME", "/nowhere").current_dir(second.path("rootfs"));
    let ran = crate::support::image::Ran::from(bash.output().expect("bash starts"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()["digest"], here.report["digest"]);
    assert_eq!(here.read("made/env"), "\n");
    assert_eq!(here.read("made/umask"), "0022\n");
    assert!(here.entries().values().all(|entry| entry.mtime == 0));
    // A later moment bounds the times of what is made now.
    let later = first.image(&["--base", &first.bases(), "--build-arg", "SOURCE_DATE_EPOCH=1000000000"]);
    let entries = later.entries();
    assert_eq!((entries["made/stamp"].mtime, entries["list"].mtime), (1_000_000_000, 1_000_000_000));
}

#[test]
fn links_that_a_command_made_lead_nowhere_but_into_its_root() {
    let Some(kitchen) =
        kitchen("FROM shell:1\nRUN ln -s VICTIM /out && ln -s / /up && rm -r /data && ln -s VICTIM /data\nCOPY a /out/a\nCOPY a /data/\nADD a /up/x\n")
    else {
        return;
    };
    let victim = kitchen.path("victim");
    fs::create_dir(&victim).expect("writable");
    let text = fs::read_to_string(kitchen.context().join("Dockerfile")).expect("there").replace("VICTIM", victim.to_str().expect("UTF-8"));
    kitchen.file("Dockerfile", text);
    kitchen.file("a", "a");
    let image = kitchen.image(&["--base", &kitchen.bases()]);
    let inside = victim.to_str().expect("UTF-8").trim_start_matches('/');
    assert!(image.entries().contains_key(&format!("{inside}/a")) && image.entries().contains_key("x"), "{:?}", image.listing());
    assert_eq!(fs::read_dir(&victim).expect("listed").count(), 0);
}

#[test]
fn what_a_machine_lacks_is_told_before_anything_is_done() {
    let Some(kitchen) = kitchen("FROM shell:1\nCOPY nothing /\nRUN true\n") else { return };
    let bases = kitchen.bases();
    let error = kitchen.refused(4, &["--base", &bases, "--runtime", "/no/runtime"]);
    assert!(error.to_string().contains("/no/runtime") && error.to_string().contains("install runc or crun"), "{error}");
    kitchen.file("Dockerfile", "FROM scratch\nCOPY nothing /\nRUN true\n");
    let error = kitchen.refused(6, &["--platform", "linux/wasm"]);
    assert!(error.to_string().contains("cannot run programs of linux/wasm"), "{error}");
}

#[test]
fn an_ordinary_user_runs_steps() {
    let Some(kitchen) = kitchen("FROM shell:1\nRUN id -u > /user && echo x > /home/app/x\n") else { return };
    let place = temp();
    let Some(mut command) = larder_as_nobody(place.path()) else { return };
    let out = place.path().join("home/out");
    command.arg("build").arg(kitchen.context()).args(["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "-o", &oci(&out)]);
    let output = command.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if told.contains("user namespace") {
        return skip(&format!("this machine lets no ordinary user make a user namespace: {told}"));
    }
    assert!(output.status.success(), "{told}");
    assert_eq!(crate::support::dockerfile::Image::of(&out, "1", "amd64").read("user"), "0\n");
}
