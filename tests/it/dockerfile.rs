//! `larder build` from a Dockerfile: what it makes of good ones.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::context::oci;
use crate::support::dockerfile::{Image, Kitchen};
use crate::support::image::{Ran, read_index};
use crate::support::process::{Runs as _, larder};
use crate::support::sound::assert_layout_is_sound;

/// A base with users, a file and a link, and settings of its own.
fn with_debian(kitchen: &Kitchen) {
    let root = kitchen.path("rootfs");
    for directory in ["etc", "usr/lib", "run"] {
        fs::create_dir_all(root.join(directory)).expect("writable");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n").expect("writable");
    fs::write(root.join("etc/group"), "root:x:0:\nteam:x:2000:app\n").expect("writable");
    fs::write(root.join("etc/release"), "12").expect("writable");
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).expect("writable");
    kitchen.base("debian:12", &["--rootfs", "rootfs", "--env", "LANG=C.UTF-8", "--cmd", "sh"]);
}

#[test]
fn every_instruction_ends_in_the_image() {
    let kitchen = Kitchen::new(
        r#"# syntax=docker/dockerfile:1
ARG TAG=12
FROM debian:$TAG AS build
COPY --chown=app:team --chmod=u=rwX,go= src /src
COPY <<one <<"two" /docs/
$LANG
one
$LANG
two

FROM debian:${TAG}
ARG VERSION=1
ENV VERSION=$VERSION NEXT="a b"
LABEL org.example.version=$VERSION
WORKDIR /srv/app
COPY --from=build /src/bin/* bin/
COPY --from=build --chown=app /docs /lib/docs
ADD files.tar.gz ./data/
USER app
EXPOSE 80 53/udp
VOLUME /data
STOPSIGNAL SIGINT
HEALTHCHECK --interval=30s CMD ["/srv/app/bin/run", "check"]
SHELL ["/bin/bash", "-c"]
ONBUILD COPY . /srv/app
ENTRYPOINT ["/srv/app/bin/run"]
CMD ["--all"]
"#,
    );
    with_debian(&kitchen);
    kitchen.file("src/bin/run", "program");
    kitchen.file("src/lib/x", "x");
    kitchen.file("data/a", "from an archive");
    Command::new("tar").current_dir(kitchen.context()).args(["--owner=7", "--group=8", "--mode=640", "-czf", "files.tar.gz", "-C", "data", "a"]).succeeds();
    let image = kitchen.image(&["--base", &kitchen.bases()]);

    assert_eq!(
        image.listing()[1..],
        [
            "etc/ 755 0:0",
            "etc/group 644 0:0",
            "etc/passwd 644 0:0",
            "etc/release 644 0:0",
            "lib 777 0:0",
            "run/ 755 0:0",
            "srv/ 755 0:0",
            "srv/app/ 755 0:0",
            "srv/app/bin/ 755 0:0",
            "srv/app/bin/run 600 1000:2000",
            "srv/app/data/ 755 0:0",
            "srv/app/data/a 640 7:8",
            "usr/ 755 0:0",
            "usr/lib/ 755 0:0",
            "usr/lib/docs/ 755 1000:1001",
            "usr/lib/docs/one 644 1000:1001",
            "usr/lib/docs/two 644 1000:1001",
        ]
    );
    assert_eq!((image.read("usr/lib/docs/one"), image.read("usr/lib/docs/two")), ("C.UTF-8\n".into(), "$LANG\n".into()));
    assert_eq!(image.read("srv/app/data/a"), "from an archive");
    assert_eq!(
        image.config["config"],
        json!({
            "ArgsEscaped": true,
            "Cmd": ["--all"],
            "Entrypoint": ["/srv/app/bin/run"],
            "Env": ["LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "VERSION=1", "NEXT=a b"],
            "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "/srv/app/bin/run", "check"], "Interval": 30_000_000_000_u64},
            "Labels": {"org.example.version": "1"},
            "OnBuild": ["COPY . /srv/app"],
            "Shell": ["/bin/bash", "-c"],
            "StopSignal": "SIGINT",
            "User": "app",
            "Volumes": {"/data": {}},
            "WorkingDir": "/srv/app",
        })
    );
    assert_eq!(
        image.history()[1..],
        [
            "- ARG VERSION=1",
            "- ENV VERSION=1 NEXT=a b",
            "- LABEL org.example.version=1",
            "WORKDIR /srv/app",
            "COPY /src/bin/* bin/ # buildkit",
            "COPY --chown=app /docs /lib/docs # buildkit",
            "ADD files.tar.gz ./data/ # buildkit",
            "- USER app",
            "- EXPOSE [80/tcp 53/udp]",
            "- VOLUME [/data]",
            "- STOPSIGNAL SIGINT",
            "- HEALTHCHECK &{[\"CMD\" \"/srv/app/bin/run\" \"check\"] \"30s\" \"0s\" \"0s\" \"0s\" '\\x00'}",
            "- SHELL [/bin/bash -c]",
            "- ENTRYPOINT [\"/srv/app/bin/run\"]",
            "- CMD [\"--all\"]",
        ]
    );
    let layers = image.layers().len();
    assert_eq!((layers, image.history().iter().filter(|said| !said.starts_with("- ")).count()), (5, 5));
    assert_eq!(image.manifest["annotations"]["org.opencontainers.image.base.name"], "docker.io/library/debian:12");
    assert_eq!(image.report["images"][0]["base_layers"], 1);
}

#[test]
fn platforms_are_built_side_by_side_and_share_what_is_the_same() {
    let kitchen = Kitchen::new(
        "FROM --platform=$BUILDPLATFORM debian:12 AS tools\nARG BUILDARCH\nCOPY big /big\nFROM debian:12\nARG TARGETARCH TARGETPLATFORM\n\
         COPY --from=tools /big /big\nCOPY dist/$TARGETARCH/app /app\nLABEL built-for=$TARGETPLATFORM\n",
    );
    with_debian(&kitchen);
    kitchen.file("big", "x".repeat(100_000));
    kitchen.file("dist/amd64/app", "amd64 program");
    kitchen.file("dist/arm64/app", "arm64 program");
    let amd = kitchen.image(&["--base", &kitchen.bases(), "--platform", "linux/arm64,linux/amd64"]);
    let arm = kitchen.built("arm64");
    assert_eq!((amd.read("app"), arm.read("app")), ("amd64 program".into(), "arm64 program".into()));
    assert_eq!((&amd.config["config"]["Labels"]["built-for"], &arm.config["config"]["Labels"]["built-for"]), (&json!("linux/amd64"), &json!("linux/arm64")));
    assert_eq!(amd.layers()[..2], arm.layers()[..2], "the base and the copy from the tools");
    assert_ne!(amd.layers()[2], arm.layers()[2]);
    let labels: Vec<&str> = amd.report["layers"].as_array().expect("layers").iter().map(|layer| layer["label"].as_str().expect("a label")).collect();
    assert_eq!(labels.iter().filter(|label| label.contains("COPY big /big") || label.contains("COPY --from=tools /big /big")).count(), 1, "{labels:?}");
    assert!(labels.contains(&"[linux/arm64 stage-1 2/2] COPY dist/$TARGETARCH/app /app"), "{labels:?}");
    let index = read_index(&kitchen.out());
    assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1");
    assert_eq!(amd.report["images"][0]["platform"], "linux/arm64");
}

#[test]
fn targets_arguments_and_contexts_come_from_the_call() {
    let kitchen = Kitchen::new(
        "ARG WHAT=a\nFROM scratch AS first\nARG WHAT\nCOPY $WHAT /\nFROM first AS second\nCOPY --from=more /m /m\nCOPY --from=tools:1 /etc/release /r\n",
    );
    with_debian(&kitchen);
    kitchen.file("a", "a");
    kitchen.file("b", "b");
    let more = kitchen.path("more");
    fs::create_dir(&more).expect("writable");
    fs::write(more.join("m"), "from elsewhere").expect("writable");
    fs::write(more.join(".dockerignore"), "hidden").expect("writable");
    assert_eq!(kitchen.image(&["--target", "first"]).layer(0), ["a"]);
    assert_eq!(kitchen.image(&["--target", "first", "--build-arg", "WHAT=b"]).layer(0), ["b"]);
    let more = format!("more={}", more.display());
    let tools = format!("tools:1={}:debian:12", kitchen.bases());
    let image = kitchen.image(&["--build-context", &more, "--build-context", &tools]);
    assert_eq!((image.read("m"), image.read("r")), ("from elsewhere".into(), "12".into()));
    assert_eq!(image.history(), ["- ARG WHAT=a", "COPY a / # buildkit", "COPY /m /m # buildkit", "COPY /etc/release /r # buildkit"]);
}

#[test]
fn the_file_is_found_and_has_its_own_list_of_what_is_left_out() {
    let kitchen = Kitchen::new("FROM scratch\nCOPY . /all/\n");
    kitchen.file("keep", "");
    kitchen.file("drop", "");
    kitchen.file("deep/drop", "");
    kitchen.file(".dockerignore", "# comment\n**/drop\n!deep/drop\nDockerfile*\n.dockerignore\n");
    assert_eq!(kitchen.image(&[]).layer(0), ["all/", "all/deep/", "all/deep/drop", "all/keep"]);
    kitchen.file("other.Dockerfile", "FROM scratch\nCOPY . /other/\n");
    kitchen.file("other.Dockerfile.dockerignore", "**\n!keep\n");
    let other = kitchen.context().join("other.Dockerfile");
    assert_eq!(kitchen.image(&["-f", other.to_str().expect("UTF-8")]).layer(0), ["other/", "other/keep"]);
    // The list of Podman goes before that of Docker, and the one beside the file before both.
    kitchen.file(".containerignore", "**\n!drop\n");
    assert_eq!(kitchen.image(&[]).layer(0), ["all/", "all/drop"]);
    assert_eq!(kitchen.image(&["-f", other.to_str().expect("UTF-8")]).layer(0), ["other/", "other/keep"]);
    fs::remove_file(kitchen.context().join(".containerignore")).expect("own file");
    fs::rename(kitchen.context().join("Dockerfile"), kitchen.context().join("Containerfile")).expect("renamed");
    assert!(kitchen.image(&[]).layer(0).contains(&"all/keep".to_owned()));
    // A larder.toml says more about how to build than a Dockerfile.
    kitchen.file("larder.toml", "[[layer]]\n[[layer.copy]]\nfrom = \"keep\"\nto = \"/toml\"\n");
    assert_eq!(kitchen.image(&[]).layer(0), ["toml"]);
    assert!(kitchen.image(&["-f", kitchen.context().join("Containerfile").to_str().expect("UTF-8")]).layer(0).contains(&"all/keep".to_owned()));
}

#[test]
fn flags_stand_above_the_file() {
    let kitchen = Kitchen::new("FROM scratch\nCOPY a /a\nENV A=1 B=1\nCMD [\"/a\"]\n");
    kitchen.file("a", "a");
    kitchen.file("b", "b");
    let image = kitchen.image(&["--copy", "b=/b", "--env", "B=2", "--label", "l=m", "--annotation", "x=y", "--compression", "gzip:1"]);
    assert_eq!((image.layer(0), image.layer(1)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(
        (&image.config["config"]["Env"][2], &image.config["config"]["Labels"]["l"], &image.manifest["annotations"]["x"]),
        (&json!("B=2"), &json!("m"), &json!("y"))
    );
    assert_eq!(image.config["config"]["Cmd"], json!(["/a"]));
    assert_eq!(image.history().len(), 3 + 1);
}

#[test]
fn archives_are_written_as_from_any_build() {
    let kitchen = Kitchen::new("FROM scratch\nCOPY a /a\n");
    kitchen.file("a", "a");
    let (archive, docker) = (kitchen.path("a.tar"), kitchen.path("d.tar"));
    let (to_archive, to_docker) = (format!("oci-archive:{}", archive.display()), format!("docker-archive:{}", docker.display()));
    let layout = kitchen.image(&[]);
    let ran = Ran::from(kitchen.command(&["--platform", "linux/amd64", "-t", "app:1", "-o", &to_archive, "-o", &to_docker]).output().expect("starts"));
    assert_eq!((ran.code, &ran.json()["digest"]), (Some(0), &layout.report["digest"]), "{ran:?}");
    let copied = kitchen.path("copied");
    larder().args(["copy", &to_archive, &oci(&copied)]).succeeds();
    assert_eq!(Image::of(&copied, "1", "amd64").manifest, layout.manifest);
    assert!(Command::new("tar").arg("-tf").arg(&docker).succeeds().contains("manifest.json"));
    assert_eq!(
        fs::read_dir(kitchen.path(""))
            .expect("listed")
            .filter(|entry| entry.as_ref().expect("an entry").file_name().to_string_lossy().starts_with(".larder"))
            .count(),
        0
    );
}

#[test]
fn archives_of_every_compression_are_extracted() {
    let kitchen = Kitchen::new("");
    kitchen.file("tree/d/a", "content".repeat(1000));
    for (name, flag) in [("a.tar", "--no-auto-compress"), ("a.tgz", "--gzip"), ("a.tar.xz", "--xz"), ("a.tar.bz2", "--bzip2"), ("a.tar.zst", "--zstd")] {
        Command::new("tar").current_dir(kitchen.context()).args([flag, "-cf", name, "-C", "tree", "d"]).succeeds();
        kitchen.file("Dockerfile", format!("FROM scratch\nADD {name} /in/\nCOPY {name} /as-it-is\n"));
        let image = kitchen.image(&[]);
        assert_eq!((image.layer(0), image.read("in/d/a").len()), (["in/", "in/d/", "in/d/a"].map(str::to_owned).to_vec(), 7000), "{name}");
        assert_eq!(image.layer(1), ["as-it-is"]);
    }
    // One that is damaged is a file like others where it is not seen in its first bytes, and else an error.
    let archive = kitchen.context().join("a.tar.xz");
    let bytes = fs::read(&archive).expect("there");
    fs::write(&archive, &bytes[..bytes.len() - 30]).expect("writable");
    kitchen.file("Dockerfile", "FROM scratch\nADD a.tar.xz /in/\n");
    let error = kitchen.refused(3, &[]);
    assert!(error["causes"].to_string().contains("the xz stream ends too early"), "{error}");
}

#[test]
fn one_input_gives_one_digest() {
    let text = "FROM debian:12 AS one\nCOPY src /src\nFROM debian:12\nCOPY --from=one /src/a /src/d /there/\nADD x.tar /x/\nWORKDIR /w\nCOPY *.txt .\n";
    let digest = |names: &[&str], arguments: &[&str], cache: bool| {
        let kitchen = Kitchen::new(text);
        with_debian(&kitchen);
        for name in names {
            kitchen.file(name, name.as_bytes());
        }
        Command::new("tar").current_dir(kitchen.context()).args(["--mtime=@7", "--sort=name", "--owner=0", "--group=0", "-cf", "x.tar", "src"]).succeeds();
        let bases = kitchen.bases();
        let arguments = [arguments, &["--platform", "linux/amd64,linux/arm64", "--base", &bases]].concat();
        let ran = match cache {
            true => kitchen.build(&arguments),
            false => {
                let output = oci(&kitchen.out());
                let mut command = larder();
                command.arg("build").arg(kitchen.context()).args(["-t", "app:1", "--no-cache", "--format", "json", "-o", &output]).args(arguments);
                Ran::from(command.output().expect("starts"))
            }
        };
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.json()["digest"].clone()
    };
    let names = ["src/a", "src/b", "src/d/e", "1.txt", "2.txt"];
    let first = digest(&names, &[], true);
    assert_eq!(first, digest(&["2.txt", "src/d/e", "1.txt", "src/b", "src/a"], &["--jobs", "1"], true));
    assert_eq!(first, digest(&names, &["--jobs", "7"], false));
}

#[test]
fn the_epoch_bounds_every_time() {
    let kitchen = Kitchen::new("FROM scratch\nWORKDIR /w\nCOPY a /a\nADD x.tar /x/\n");
    kitchen.file("a", "a");
    Command::new("tar").current_dir(kitchen.context()).args(["--mtime=@2000000000", "-cf", "x.tar", "a"]).succeeds();
    let output = oci(&kitchen.out());
    kitchen.command(&["--platform", "linux/amd64", "-t", "app:1", "-o", &output]).env("SOURCE_DATE_EPOCH", "1700000000").succeeds();
    let image = kitchen.built("amd64");
    let times: Vec<i64> = image.entries().values().map(|entry| entry.mtime).collect();
    assert!(times.iter().all(|time| *time <= 1_700_000_000), "{times:?}");
    assert_eq!((&image.config["created"], &image.config["history"][0]["created"]), (&json!("2023-11-14T22:13:20Z"), &json!("2023-11-14T22:13:20Z")));
}

#[test]
fn an_argument_decides_the_times_and_the_file_may_come_on_stdin() {
    let kitchen = Kitchen::new("FROM scratch\nLABEL not=read\n");
    kitchen.file("a", "a");
    let output = oci(&kitchen.out());
    let mut command = kitchen.command(&["-f", "-", "--platform", "linux/amd64", "-t", "app:1", "-o", &output, "--build-arg", "SOURCE_DATE_EPOCH=1700000000"]);
    let mut child = command.env("SOURCE_DATE_EPOCH", "5").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("starts");
    let text = b"FROM scratch\nARG SOURCE_DATE_EPOCH\nLABEL at=$SOURCE_DATE_EPOCH\nCOPY a /\n";
    child.stdin.take().expect("a pipe").write_all(text).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    let image = kitchen.built("amd64");
    assert_eq!((&image.config["created"], &image.config["config"]["Labels"]["at"]), (&json!("2023-11-14T22:13:20Z"), &json!("1700000000")));
    assert_eq!(image.layer(0), ["a"]);
    let error = kitchen.refused(2, &["--build-arg", "SOURCE_DATE_EPOCH=now"]);
    assert!(error["message"].as_str().expect("a message").contains("--build-arg SOURCE_DATE_EPOCH=now"), "{error}");
}

#[test]
fn triggers_of_a_base_run_first() {
    let kitchen = Kitchen::new("FROM mother:1\nCOPY b /b\n");
    kitchen.file("a", "a");
    kitchen.file("b", "b");
    kitchen.file("mother.Dockerfile", "FROM scratch\nWORKDIR /app\nONBUILD COPY a .\nONBUILD LABEL triggered=yes\n");
    let mother = kitchen.context().join("mother.Dockerfile");
    let bases = oci(&kitchen.path("bases"));
    kitchen.command(&["--platform", "linux/amd64", "-f", mother.to_str().expect("UTF-8"), "-t", "mother:1", "-o", &bases]).succeeds();
    let image = kitchen.image(&["--base", &bases]);
    assert_eq!(image.history(), ["WORKDIR /app", "COPY a . # buildkit", "- LABEL triggered=yes", "COPY b /b # buildkit"]);
    assert_eq!((image.read("app/a"), &image.config["config"]["OnBuild"]), ("a".into(), &serde_json::Value::Null));
}

#[test]
fn what_did_not_change_is_not_made_again() {
    let kitchen = Kitchen::new("FROM debian:12 AS one\nCOPY big /big\nWORKDIR /w\nFROM one\nCOPY --from=one /big /copied\nADD x.tar /x/\nCOPY a b /last/\n");
    with_debian(&kitchen);
    kitchen.file("big", "x".repeat(50_000));
    kitchen.file("a", "a");
    kitchen.file("b", "b");
    Command::new("tar").current_dir(kitchen.context()).args(["-cf", "x.tar", "a"]).succeeds();
    let bases = kitchen.bases();
    // Files that changed a moment ago may change again without anybody seeing it: the second build learns them.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let first = kitchen.image(&["--base", &bases]);
    assert_eq!(first.cached_and_made(), (0, 5));
    let second = kitchen.image(&["--base", &bases]);
    assert_eq!((second.cached_and_made(), &second.report["digest"]), ((5, 0), &first.report["digest"]));
    fs::remove_dir_all(kitchen.out()).expect("own layout");
    assert_eq!(kitchen.image(&["--base", &bases]).cached_and_made(), (5, 0), "layers are there without the layout that they were built for");
    kitchen.file("b", "changed");
    let changed = kitchen.image(&["--base", &bases]);
    assert_eq!((changed.cached_and_made(), changed.read("last/b")), ((4, 1), "changed".into()));
    kitchen.file("big", "y".repeat(50_000));
    assert_eq!(kitchen.image(&["--base", &bases]).cached_and_made(), (2, 3), "the copy, what copies from it, and the archive above them");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let kitchen = Kitchen::new("FROM debian:12 AS one\nCOPY a /a\nFROM scratch\nCOPY --from=one /a /b\nCOPY a /c\n");
    with_debian(&kitchen);
    let report = kitchen.build(&["--base", &kitchen.bases(), "--dry-run"]).json();
    let labels: Vec<&str> = report["layers"].as_array().expect("layers").iter().map(|layer| layer["label"].as_str().expect("a label")).collect();
    assert_eq!(labels, ["[one 1/1] COPY a /a", "[stage-1 1/2] COPY --from=one /a /b", "[stage-1 2/2] COPY a /c"]);
    assert_eq!(report["platforms"][0]["layers"], json!([1, 2]));
    assert!(!kitchen.out().exists() && !kitchen.path("cache").exists());
}

#[test]
fn remarks_are_told_and_can_be_errors() {
    let text = "FROM scratch\nCOPY a /a\nMAINTAINER me\nENV X=$NOTHING\n";
    let kitchen = Kitchen::new(text);
    kitchen.file("a", "a");
    let image = kitchen.image(&["--pull", "--build-arg", "UNUSED=1"]);
    for told in ["--pull changes nothing", "Dockerfile:3:1: ", "(MaintainerDeprecated)", "Dockerfile:4:7: `$NOTHING` is not set", "no ARG takes `UNUSED`"] {
        assert!(image.warnings.contains(told), "{told}: {}", image.warnings);
    }
    kitchen.file("Dockerfile", format!("# check=error=true;skip=UndefinedVar\n{text}"));
    let error = kitchen.refused(2, &[]);
    assert!(error["message"].as_str().expect("a message").contains("(MaintainerDeprecated)"), "{error}");
    kitchen.file("Dockerfile", format!("# check=skip=all\n{text}"));
    assert_eq!(kitchen.image(&[]).warnings, "");
}

#[test]
fn layers_are_those_of_a_larder_toml() {
    let kitchen = Kitchen::new("FROM scratch\nCOPY d /opt/d/\n");
    for number in 0..50 {
        kitchen.file(&format!("d/{}/{number}", number % 7), "x".repeat(number * 100));
    }
    let image = kitchen.image(&[]);
    let toml = kitchen.path("toml");
    kitchen.file("larder.toml", "tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n[[layer.copy]]\nfrom = \"d/\"\nto = \"/opt/d/\"\n");
    larder().arg("build").arg(kitchen.context()).args(["--no-cache", "-o", &oci(&toml)]).succeeds();
    assert_eq!(Image::of(&toml, "1", "amd64").layers(), image.layers());
}

#[test]
fn nobody_needs_to_be_root() {
    let kitchen = Kitchen::new("FROM debian:12\nWORKDIR /w\nCOPY --chown=app a /a\nADD x.tar /x\n");
    with_debian(&kitchen);
    kitchen.file("a", "a");
    Command::new("tar").current_dir(kitchen.context()).args(["--owner=7", "--group=8", "-cf", "x.tar", "a"]).succeeds();
    let place = crate::support::process::temp();
    let Some(mut command) = crate::support::process::larder_as_nobody(place.path()) else { return };
    let out = place.path().join("home/out");
    command.arg("build").arg(kitchen.context()).args(["--base", &kitchen.bases(), "--platform", "linux/amd64", "-t", "app:1", "-o", &oci(&out)]).succeeds();
    assert_layout_is_sound(&out);
    let image = Image::of(&out, "1", "amd64");
    assert!(image.listing().contains(&"a 644 1000:1001".to_owned()) && image.listing().contains(&"x/a 644 7:8".to_owned()), "{:?}", image.listing());
}
