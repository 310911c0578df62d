//! The same inputs give the same bytes, whatever the machine, the user and the moment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::image::{config_of, layer_entries, manifest_of};
use crate::support::mount::Mount;
use crate::support::process::{Runs as _, larder, larder_as_nobody, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// Every file of a layout with its content, lock files apart.
fn bytes(layout: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![layout.to_owned()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                todo.push(path);
            } else if !path.ends_with("index.json.lock") {
                files.insert(path.strip_prefix(layout).expect("below").to_owned(), fs::read(&path).expect("readable"));
            }
        }
    }
    files
}

/// A context whose layers are large enough for many chunks, with names in an order that directories do not have.
fn context(at: &Path, order: impl Fn(usize) -> usize) {
    const FILES: usize = 400;
    fs::create_dir_all(at.join("tree/sub")).expect("writable");
    for index in 0..FILES {
        let number = order(index) % FILES;
        let content: Vec<u8> = (0..5000_usize).map(|n| ((n * (number + 7)) ^ (n >> 3)) as u8).collect();
        let directory = if number.is_multiple_of(3) { "tree/sub" } else { "tree" };
        let path = at.join(directory).join(format!("file-{number:03}"));
        fs::write(&path, content).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(if number.is_multiple_of(5) { 0o755 } else { 0o644 })).expect("own file");
    }
    // A large file has chunks of its own.
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x3f).collect();
    fs::write(at.join("tree/large"), large).expect("writable");
    let toml = "name = \"registry.example/a\"\ntags = [\"1\"]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n[[layer]]\n[[layer.copy]]\nfrom = \"tree\"\nto = \"/data\"\n[[layer]]\n[[layer.file]]\nto = \"/etc/{{x}}\"\ncontent = \"y\"\n[config]\nlabels = { b = \"1\", a = \"2\" }\n[annotations.manifest]\nz = \"1\"\ny = \"2\"\n";
    fs::write(at.join("larder.toml"), toml).expect("writable");
}

fn build(context: &Path, out: &Path, change: impl FnOnce(&mut Command)) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut run = larder();
    run.args(["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "-o", &format!("oci:{}", out.display())]);
    change(&mut run);
    let output = run.output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_layout_is_sound(out);
    bytes(out)
}

#[test]
fn rep_02_to_10_environment_user_jobs_umask_path_and_order_leave_no_trace() {
    let home = tempfile::tempdir().expect("temporary directory");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("own directory");
    let first = home.path().join("context");
    context(&first, |n| n);
    let reference = build(&first, &home.path().join("reference"), |_| {});

    let mut count = 0;
    let mut check = |what: &str, context: &Path, change: &dyn Fn(&mut Command)| {
        count += 1;
        let out = home.path().join(format!("out-{count}"));
        assert!(build(context, &out, change) == reference, "{what} left a trace");
    };
    for jobs in ["1", "2", "16"] {
        check(&format!("--jobs {jobs}"), &first, &|run| {
            run.args(["--jobs", jobs]);
        });
    }
    for zone in ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"] {
        check(&format!("TZ={zone}"), &first, &|run| {
            run.env("TZ", zone);
        });
    }
    for locale in ["C", "tr_TR.UTF-8"] {
        check(&format!("LC_ALL={locale}"), &first, &|run| {
            run.env("LC_ALL", locale).env("LANG", locale);
        });
    }
    check("noise in the environment", &first, &|run| {
        run.env("USER", "somebody").env("HOME", "/nonexistent").env("RUST_LOG", "trace").env("COLUMNS", "20");
    });
    check("SOURCE_DATE_EPOCH=0", &first, &|run| {
        run.env("SOURCE_DATE_EPOCH", "0");
    });
    let second = home.path().join("another/and/longer/path");
    fs::create_dir_all(&second).expect("writable");
    context(&second, |n| (n * 37 + 11) % 400);
    check("another path and another order of creation", &second, &|_| {});
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&second, &link).expect("writable");
    check("a path through a link", &link, &|_| {});
}

#[test]
fn rep_02_jobs_leave_no_trace_in_any_compression() {
    let home = temp();
    context(home.path(), |n| n);
    for codec in ["none", "zstd:1", "zstd:3"] {
        let with = |jobs: &str| {
            let out = home.path().join(format!("{}-{jobs}", codec.replace(':', "-")));
            build(home.path(), &out, |run| {
                run.args(["--compression", codec, "--jobs", jobs]);
            })
        };
        let reference = with("1");
        for jobs in ["2", "16"] {
            assert!(with(jobs) == reference, "--compression {codec} --jobs {jobs} left a trace");
        }
    }
}

#[test]
fn rep_03_07_and_08_file_system_user_and_host_leave_no_trace() {
    let home = temp();
    let first = home.path().join("context");
    context(&first, |n| n);
    let reference = build(&first, &home.path().join("reference"), |_| {});
    let copied = |what: &str, mount: Option<Mount>| {
        let Some(mount) = mount else { return };
        let there = mount.path().join("context");
        Command::new("cp").arg("-r").arg(&first).arg(&there).succeeds();
        assert!(build(&there, &mount.path().join("out"), |_| {}) == reference, "{what} left a trace");
    };
    copied("tmpfs", Mount::memory("size=64m"));
    copied("ext4", Mount::disk("ext4", 64 << 20));
    copied("btrfs", Mount::disk("btrfs", 256 << 20));
    copied("xfs", Mount::disk("xfs", 320 << 20));

    let as_other = |what: &str, command: Option<Command>| {
        let Some(mut command) = command else { return };
        // The one place where that user may write.
        let out = home.path().join(if what == "nobody" { "home" } else { "." }).join(what);
        command.arg("build").arg(&first).args(["--no-cache", "--quiet", "-o", &format!("oci:{}", out.display())]).succeeds();
        assert_layout_is_sound(&out);
        assert!(bytes(&out) == reference, "{what} left a trace");
    };
    as_other("nobody", larder_as_nobody(home.path()));
    as_other(
        "another-host",
        tool("unshare").map(|unshare| {
            let mut command = Command::new(unshare);
            command.args(["--user", "--map-root-user", "--uts", "sh", "-c", "hostname another.example && exec \"$@\"", "sh", env!("CARGO_BIN_EXE_larder")]);
            command
        }),
    );
    as_other(
        "one-processor",
        tool("taskset").map(|taskset| {
            let mut command = Command::new(taskset);
            command.args(["--cpu-list", "0", "nice", env!("CARGO_BIN_EXE_larder")]).envs((0..1000).map(|n| (format!("NOISE_{n}"), n.to_string())));
            command
        }),
    );
}

/// Lets the times of files count.
fn late(run: &mut Command) {
    run.env("SOURCE_DATE_EPOCH", "2000000000");
}

/// A tree with everything in it that can be found in another order, or be stored in another way.
const TREE: &str = r#"
umask 022
mkdir -p "$1/a/deep" "$1/z" && cd "$1"
echo one >z/first && ln z/first a/second && ln z/first a/deep/third && ln z/first m
echo other >a/other && ln a/other z/other
ln -s ../m a/link && ln -s nowhere z/dangling
printf x >sparse && truncate -s 3M sparse && printf y >>sparse
printf '#!/bin/sh\n' >run && chmod 4755 run && mkdir empty && chmod 1777 empty
: >"$(printf 'odd \n\303\244\377')" && : >nothing
find . -exec touch -h -d @1000000000 {} +
"#;

#[test]
fn rep_03_11_and_13_how_a_tree_was_copied_leaves_no_trace() {
    let home = temp();
    let tree = home.path().join("tree");
    Command::new("sh").args(["-euc", TREE, "sh"]).arg(&tree).succeeds();
    let layer = |place: &Path, source: &str| {
        let toml = format!("tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\n{source}\n");
        fs::write(place.join("larder.toml"), toml).expect("writable");
        build(place, &place.join("out"), late)
    };
    let reference = layer(home.path(), "rootfs = \"tree\"");
    // $1 is what is copied, $2 where to.
    let copies = [
        ("cp", "cp -a \"$1\" \"$2\""),
        ("dense files", "cp -a --sparse=never \"$1\" \"$2\""),
        ("sparse files", "cp -a --sparse=always \"$1\" \"$2\""),
        ("the other way round", "mkdir \"$2\" && cd \"$1\" && find . -print0 | sort -rz | tar -c --no-recursion --null -T - | tar -xp -C \"$2\""),
    ];
    for mount in [None, Mount::memory("size=64m"), Mount::disk("btrfs", 256 << 20)] {
        for (what, script) in copies {
            let other = temp();
            let other = mount.as_ref().map_or_else(|| other.path().to_owned(), Mount::path);
            Command::new("sh").args(["-euc", script, "sh"]).arg(&tree).arg(other.join("tree")).succeeds();
            assert!(layer(&other, "rootfs = \"tree\"") == reference, "{what} left a trace, {}", if mount.is_some() { "on another file system" } else { "" });
            for left in ["tree", "out"] {
                fs::remove_dir_all(other.join(left)).expect("ours");
            }
        }
    }
}

/// What an archive says is what counts: not its format, its order, its compression, or which name of a file came first.
#[test]
fn rep_13_the_form_of_an_archive_leaves_no_trace() {
    let home = temp();
    Command::new("sh").args(["-euc", TREE, "sh"]).arg(home.path().join("tree")).succeeds();
    fs::write(home.path().join("larder.toml"), "tags = [\"1\"]\nplatforms = [\"linux/amd64\"]\n[[layer]]\ntar = \"archive\"\n").expect("writable");
    let packed = |script: &str| {
        Command::new("sh").args(["-euc", &format!("cd tree && {script} >../archive")]).current_dir(home.path()).succeeds();
        let out = home.path().join("out");
        let all = build(home.path(), &out, late);
        fs::remove_dir_all(out).expect("ours");
        all
    };
    let reference = packed("tar -c --sort=name .");
    let backwards = "find . -print0 | sort -rz | tar -c --no-recursion --null -T -";
    for script in [
        "tar -c .",
        "tar -c --format=gnu .",
        "tar -c --format=pax .",
        "tar -c --format=pax --pax-option=delete=atime,delete=ctime --blocking-factor=1 .",
        "tar -c --format=ustar --owner=someone:0 --group=somebody:0 --transform='s,^\\./,/,' .",
        "tar -c . | gzip -1",
        "tar -c . | zstd -q -T2",
        backwards,
        &format!("{backwards} | gzip -9"),
        "bsdtar -c --format=pax --no-read-sparse -f - .",
    ] {
        if !script.starts_with("bsdtar") || tool("bsdtar").is_some() {
            assert!(packed(script) == reference, "{script} left a trace");
        }
    }
}

#[test]
fn rep_04_umask_of_checkout_and_of_build_leave_no_trace() {
    let home = tempfile::tempdir().expect("temporary directory");
    let mut all = Vec::new();
    for umask in ["000", "022", "077"] {
        let context_path = home.path().join(format!("context-{umask}"));
        fs::create_dir(&context_path).expect("writable");
        let out = home.path().join(format!("out-{umask}"));
        context(&home.path().join("source"), |n| n);
        let script = format!(
            "umask {umask} && cp -r --no-preserve=all {0}/source/. {1} && find {1} -name '*0' -exec chmod u+x {{}} + && exec {2} build {1} --no-cache --quiet -o oci:{3}",
            home.path().display(),
            context_path.display(),
            env!("CARGO_BIN_EXE_larder"),
            out.display()
        );
        let status = Command::new("sh").args(["-c", &script]).status().expect("sh starts");
        assert!(status.success());
        assert_layout_is_sound(&out);
        all.push(bytes(&out));
    }
    assert!(all[0] == all[1] && all[1] == all[2]);
}

#[test]
fn rep_01_twice_in_a_row_changes_nothing() {
    let home = tempfile::tempdir().expect("temporary directory");
    context(home.path(), |n| n);
    let out = home.path().join("out");
    let first = build(home.path(), &out, |_| {});
    let second = build(home.path(), &out, |_| {});
    assert!(first == second);
}

#[test]
fn rep_12_the_epoch_is_created_and_upper_bound() {
    let home = tempfile::tempdir().expect("temporary directory");
    context(home.path(), |n| n);
    let build = |epoch: &str| {
        let mut run = larder();
        run.args(["build", home.path().to_str().expect("UTF-8"), "--no-cache", "--format", "json", "-o", &format!("oci:{}/{epoch}", home.path().display())]);
        run.env("SOURCE_DATE_EPOCH", epoch).output().expect("starts")
    };
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(home.path().join("tree/large")).and_then(|file| file.set_modified(old)).expect("own file");
    assert!(build("1700000000").status.success());
    let out = home.path().join("1700000000");
    let manifest = manifest_of(&out, "1", "amd64");
    let config = config_of(&out, &manifest);
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["history"][0]["created"], "2023-11-14T22:13:20Z");
    for entry in layer_entries(&out, &manifest["layers"][0]) {
        // All other files were made by this test, so later.
        assert_eq!(entry.mtime, if entry.name == "data/large" { 1_000_000_000 } else { 1_700_000_000 }, "{entry:?}");
    }
    assert_eq!(build("-1").status.code(), Some(2));
    assert_eq!(build("soon").status.code(), Some(2));
}

/// The pinned digests of a fixed image. When this test fails the byte contract has changed, and every user's archives with it: that is a
/// breaking change which the change log must name, never something to adjust in passing.
#[test]
fn rep_17_golden_digests() {
    let home = tempfile::tempdir().expect("temporary directory");
    context(home.path(), |n| n);
    let digest = |codec: &str| {
        let out = format!("oci:{}/{}", home.path().display(), codec.replace(':', "-"));
        let mut output = larder();
        output.args(["build", home.path().to_str().expect("UTF-8"), "--no-cache", "--format", "json", "--compression", codec, "-o", &out]);
        let output = output.output().expect("starts");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        report["digest"].as_str().expect("a digest").to_owned()
    };
    let golden = [
        ("none", "sha256:992e41f48b0de068a2316435aefb9b7dcb34da5e57179397b31e61c09d3f84c6"),
        ("gzip:1", "sha256:5ad0550ab7b107a2d0d53fb74419e8bbf740f4f794487a5558027030708c249e"),
        ("gzip:6", "sha256:f631240571711685ab8301da6d2501b29b388d9b3607fce0b5046e5a5b4f8cbb"),
        ("gzip:9", "sha256:823714cbd1a61b96137632092c8af80adb6d66328a1742a0fb4eaa36113f7d2d"),
        ("zstd:3", "sha256:59cce9d2dab0cb84af4b6eaad9da91be58db79c8ef914fe8a48aa4df90e3f372"),
        ("zstd:19", "sha256:1493e8eb6211f2ad0d412e6a953faa8295a5e27870fce6a6391bcd9119284e3e"),
    ];
    let now: Vec<_> = golden.iter().map(|(codec, _)| (*codec, digest(codec))).collect();
    let now: Vec<_> = now.iter().map(|(codec, digest)| (*codec, digest.as_str())).collect();
    assert_eq!(now, golden);
}
