//! What `RUN` is for: Debian for two machines, a package from apt, and the way of the image through registries to where it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;

use crate::support::artifactory::{Artifactory, PASSWORD, Setup, USER};
use crate::support::bundle::{Bundle, said};
use crate::support::context::{oci, stagings};
use crate::support::dockerfile::{Image, Kitchen};
use crate::support::foreign::{self, ARM64};
use crate::support::http::{Answer, Request, Server, Service};
use crate::support::image::Ran;
use crate::support::process::{Runs as _, larder};
use crate::support::registry::{Access, Registry};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::{packages, root, rootfs, tool};

/// As people write it.
const DOCKERFILE: &str = r#"ARG ARCH=
FROM ${ARCH}debian:bookworm-slim
RUN apt-get update \
&& apt-get install -y curl \
&& rm -rf /var/lib/apt/lists/*
ENTRYPOINT [ "curl" ]
"#;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// Serves the packages of both architectures to apt.
struct Archive([PathBuf; 2]);

impl Service for Archive {
    fn answer(&self, request: &Request) -> Answer {
        let mut words = request.path.trim_start_matches('/').splitn(2, '/');
        let (Some(architecture), Some(name)) = (words.next(), words.next()) else { return Answer::new(404) };
        let directory = self.0.iter().find(|directory| directory.ends_with(format!("apt-{architecture}")));
        // apt writes what may not be in a path in hexadecimal.
        let name = name.trim_start_matches("./").replace("%3a", ":").replace("%2b", "+").replace("%7e", "~");
        let file = directory.filter(|_| !name.contains('/')).and_then(|directory| fs::read(directory.join(name)).ok());
        file.map_or_else(|| Answer::new(404), |file| Answer::new(200).body(file))
    }
}

/// Debian with curl, for both platforms, in a layout. `None` after saying that the test is skipped.
#[track_caller]
fn built() -> Option<(Kitchen, Ran)> {
    let (Some(amd64), Some(arm64), Some(_), true) = (packages("amd64"), packages("arm64"), tool("runc"), root()) else { return None };
    let tree = rootfs("amd64")?.parent().expect("a directory").join("rootfs-{arch}");
    let archive = Server::start(Arc::new(Archive([amd64, arm64])));
    let kitchen = Kitchen::new(DOCKERFILE);
    for architecture in ["amd64", "arm64"] {
        let place = kitchen.path("sources").join(architecture);
        fs::create_dir_all(&place).expect("writable");
        fs::write(place.join("sources.list"), format!("deb [trusted=yes] {}/{architecture}/ ./\n", archive.url())).expect("writable");
    }
    let tree = tree.to_str().expect("UTF-8");
    kitchen.base("debian:bookworm-slim", &["--rootfs", tree, "--copy", "sources/{arch}/=/etc/apt/", "--cmd", "bash", "--compression", "gzip:1"]);
    let mut build = foreign::within(&ARM64, "F")?;
    let (bases, output, platforms) = (kitchen.bases(), oci(&kitchen.out()), PLATFORMS.join(","));
    let command = kitchen.command(&["--network", "host", "--base", &bases, "--platform", &platforms, "-t", "multiarch-image:tag", "-o", &output]);
    build.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        build.env(name, value.unwrap_or_default());
    }
    let output = foreign::ran(build.output().expect("it starts"))?;
    Some((kitchen, Ran::from(output)))
}

/// `curl --version` of an image, each on its own machine. `None` after saying that the test is skipped.
#[track_caller]
fn version(layout: &Path, platform: &str) -> Option<Output> {
    let bundle = Bundle::unpack_for(platform, layout, "tag")?;
    assert_eq!(bundle.process()["args"], serde_json::json!(["curl"]));
    match platform {
        "linux/arm64" => foreign::run(&ARM64, &bundle.tree(), &["curl", "--version"]),
        _ => bundle.run(&["curl", "--version"]),
    }
}

/// larder as somebody who has logged in, as `file` says.
fn logged_in(file: &Path, words: &[&str]) -> Command {
    let mut command = larder();
    command.args(words).args(["--format", "json"]).env("REGISTRY_AUTH_FILE", file);
    command
}

#[test]
fn debian_with_curl_is_built_for_two_machines_and_arrives_where_it_runs() {
    let Some((kitchen, ran)) = built() else { return };
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for told in ["[linux/amd64 1/1] ", "[linux/arm64 1/1] ", "Setting up curl"] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("warning:"), "{}", ran.stderr);
    let digest = ran.json()["digest"].clone();
    assert_eq!(assert_layout_is_sound(&kitchen.out()).blobs, 11, "an index, and manifest, config, two layers of the base and one more of two images");
    for path in [kitchen.path("cache/v1"), kitchen.out()] {
        assert_eq!(stagings(&path), [""; 0].map(PathBuf::from));
    }
    for architecture in ["amd64", "arm64"] {
        let image = Image::of(&kitchen.out(), "tag", architecture);
        let paths = image.layer(2);
        assert!(paths.contains(&"usr/bin/curl".to_owned()) && !paths.iter().any(|path| path.starts_with("etc/resolv.conf") || path.starts_with("dev")));
        assert!(!paths.iter().any(|path| path.starts_with("var/lib/apt/lists/") && !path.ends_with('/') && !path.contains(".wh.")), "{paths:?}");
        assert_eq!(image.config["config"]["Entrypoint"], serde_json::json!(["curl"]));
        let said = "RUN /bin/sh -c apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/* # buildkit";
        assert_eq!(image.history()[2..], [said.to_owned(), "- ENTRYPOINT [\"curl\"]".to_owned()]);
    }

    let (Some(registry), artifactory) = (Registry::start(Access::Everybody), Artifactory::start(Setup::release())) else { return };
    let from = format!("{}:multiarch-image:tag", oci(&kitchen.out()));
    let repository = format!("docker://{}/docker-local/multiarch-image:tag", registry.host());
    larder().args(["sync", "push", "-q", &from, &repository]).succeeds();
    larder().args(["sync", "pull", "-q", &repository, &oci(&kitchen.path("pulled"))]).succeeds();
    let (host, file) = (artifactory.host(), kitchen.path("auth.json"));
    Command::new("skopeo").args(["login", "--tls-verify=false", "-u", USER, "-p", PASSWORD, &host, "--authfile"]).arg(&file).succeeds();
    logged_in(&file, &["sync", "push", "-q", &from, &format!("docker://{host}/docker-local/multiarch-image:tag")]).succeeds();
    let promote = ["sync", "promote", "--url", &artifactory.rest_url(), "--yes", "--copy", "multiarch-image", "docker-local", "docker-target"];
    let report: Value = serde_json::from_str(&logged_in(&file, &promote).succeeds()).expect("one document");
    assert_eq!((&report["by"], &report["tags"][0]["digest"]), (&"artifactory".into(), &digest), "{report}");
    logged_in(&file, &["sync", "pull", "-q", &format!("docker://{host}/docker-target/multiarch-image:tag"), &oci(&kitchen.path("promoted"))]).succeeds();

    for name in ["pulled", "promoted"] {
        assert_layout_is_sound(&kitchen.path(name));
        let listed: Value = serde_json::from_str(&larder().args(["list", "--format", "json", &oci(&kitchen.path(name))]).succeeds()).expect("one document");
        assert!(listed.to_string().contains(digest.as_str().expect("a digest")), "{name}: {listed}");
    }
    for platform in PLATFORMS {
        let Some(output) = version(&kitchen.path("promoted"), platform) else { return };
        let machine = if platform == "linux/arm64" { "(aarch64-unknown-linux-gnu)" } else { "(x86_64-pc-linux-gnu)" };
        assert!(said(&output).starts_with("curl 7.88") && said(&output).contains(machine), "{output:?}");
    }

    // Nothing of it is done twice, nor under another name of the base: then apt would find nobody any more, nor an interpreter.
    larder().args(["tag", &format!("{}:debian:bookworm-slim", kitchen.bases()), "docker.io/arm64v8/debian:bookworm-slim"]).succeeds();
    let bases = kitchen.bases();
    for more in [&["--platform", "linux/amd64"][..], &["--platform", "linux/amd64", "--build-arg", "ARCH=arm64v8/"]] {
        let arguments = [&["--network", "host", "--base", &bases], more].concat();
        assert_eq!(kitchen.image(&arguments).cached_and_made(), (1, 0), "{more:?}");
    }
}
