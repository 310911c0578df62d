//! What larder takes of the machine: a bounded part of its memory, and nothing of the network.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::bomb::{Codec, bomb, compressed};
use crate::support::bundle::oci as oci_name;
use crate::support::context::{self, oci};
use crate::support::forge::{Forge, GZIP_LAYER, sha256};
use crate::support::layers::{image, location};
use crate::support::memory::{peak, peak_unseen};
use crate::support::process::{Runs as _, larder, temp};
use crate::support::readme;
use crate::support::sound::assert_layout_is_sound;
use crate::support::tape::{self, Record, dir, file};
use crate::support::tools::{skip, tool};

#[test]
fn lay_21_a_build_of_a_large_file_takes_little_memory_with_any_number_of_jobs() {
    const MOST: u64 = 256;
    let home = temp();
    let context = home.path().join("context");
    context::write(&context, "large");
    let file = fs::File::create(context.join("own")).expect("writable");
    // Compressed as usual, with few threads and with more than any machine has; and as it is, where nothing becomes smaller.
    for (jobs, compression, size) in [("2", "gzip", 2 << 30), ("256", "gzip", 2 << 30), ("64", "zstd", 1 << 30), ("64", "none", 300 << 20)] {
        file.set_len(size).expect("a sparse file");
        let layout = home.path().join(format!("layout-{jobs}-{compression}"));
        let build = ["build", context.to_str().expect("UTF-8"), "--no-cache", "--quiet", "--jobs", jobs, "--compression", compression, "-o", &oci(&layout)];
        let used = peak(&build);
        assert!(used < MOST, "{used} MiB with --jobs {jobs} and {compression}");
        let used = peak(&["verify", "--deep", "--quiet", "--jobs", jobs, &oci(&layout)]);
        assert!(used < MOST, "{used} MiB to verify it");
        let used = peak_unseen(0, &["cat", "--quiet", "--jobs", jobs, &oci(&layout), "own"]);
        assert!(used < MOST, "{used} MiB to print it");
        if compression == "none" {
            assert_layout_is_sound(&layout);
        }
    }
}

#[test]
fn cmp_04_and_05_a_bomb_is_read_in_little_memory() {
    const MOST: u64 = 256;
    let other = image(&[vec![file("other", "")]]);
    for codec in [Codec::Gzip, Codec::Zstd] {
        let forge = bomb(codec, 512 << 20);
        let (image, other) = (location(&forge), location(&other));
        for (exit, arguments) in [(0, vec!["cat", &*image, "zeros"]), (0, vec!["verify", "--deep", &image]), (1, vec!["diff", &other, &image])] {
            let used = peak_unseen(exit, &[&arguments[..], &["--quiet", "--jobs", "64"]].concat());
            assert!(used < MOST, "{used} MiB for {arguments:?} and {codec:?}");
        }
    }
}

/// What is said of files is far more than what is stored of it, and than the files themselves.
#[test]
fn cmp_04_a_bomb_of_attributes_is_refused_in_little_memory() {
    const MOST: u64 = 256;
    let said = vec![b'x'; 1 << 19];
    let tar = tape::tar(&(0..600).map(|n| dir(&format!("d{n}")).xattr("user.note", &said)).collect::<Vec<_>>());
    let forge = Forge::new();
    let layer = forge.put(GZIP_LAYER, &compressed(Codec::Gzip, &tar));
    forge.enter("image", &forge.image_of(&[layer], &[&sha256(&tar)]).manifest);
    let (home, other) = (temp(), image(&[vec![file("other", "")]]));
    let target = home.path().join("rootfs");
    let (image, other) = (location(&forge), location(&other));
    for arguments in [vec!["unpack", &image, target.to_str().expect("UTF-8")], vec!["cat", &image, "f"], vec!["diff", &other, &image]] {
        let used = peak_unseen(6, &arguments);
        assert!(used < MOST, "{used} MiB for {arguments:?}");
    }
}

/// Beside the text of the entries, which has 280 MB.
#[test]
fn lay_53_a_million_names_take_a_bounded_amount_of_memory() {
    const MOST: u64 = 1024;
    const NAMES: usize = 1_000_000;
    const KEY: &str = "org.opencontainers.image.ref.name";
    let (forge, image) = Forge::with_image();
    let manifest = image.manifest.to_string();
    let entries = (0..NAMES).map(|n| {
        let name = format!("registry.example/team/app-{n}:1.{n}");
        format!(r#"{{"annotations":{{"io.containerd.image.name":"{name}","{KEY}":"1.{n}"}},{}"#, &manifest[1..])
    });
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.collect::<Vec<_>>().join(","));
    std::fs::write(forge.path().join("index.json"), index).expect("writable");
    let used = peak(&["tag", "--quiet", &oci_name(forge.path(), "registry.example/team/app-7:1.7"), "one-more"]);
    assert!(used < MOST, "{used} MiB");
    let index = std::fs::read(forge.path().join("index.json")).expect("readable");
    assert_eq!(index.windows(KEY.len()).filter(|window| *window == KEY.as_bytes()).count(), NAMES + 1);
}

/// All names differ, and all that is said of them.
#[test]
fn a_comparison_of_a_hundred_thousand_files_on_each_side_takes_little_memory() {
    const MOST: u64 = 256;
    const FILES: usize = 100_000;
    let with = |letter: &str| {
        let records: Vec<Record> = (0..FILES).map(|n| file(&format!("usr/share/{letter}{}/{n:06}.txt", n / 500), letter)).collect();
        image(&[records])
    };
    let (a, b) = (with("a"), with("b"));
    let used = peak_unseen(1, &["diff", "--quiet", "--format", "json", &location(&a), &location(&b)]);
    assert!(used < MOST, "{used} MiB");
    let used = peak_unseen(0, &["cat", "--quiet", &location(&a), "usr/share/a7/003500.txt"]);
    assert!(used < MOST, "{used} MiB");
}

#[test]
fn one_layer_of_many_and_large_files_takes_little_memory_and_so_do_other_times() {
    const MOST: u64 = 256;
    let layer =
        |n: usize| (0..30_000).map(move |file| (n, file)).map(|(n, at)| file(&format!("usr/share/{n}/{}/{at:06}.txt", at / 500), "x")).collect::<Vec<Record>>();
    let forge = image(&[layer(0), layer(1), vec![file("usr/share/.wh.0", "")]]);
    let home = temp();
    let large = home.path().join("large");
    fs::File::create(&large).and_then(|file| file.set_len(300 << 20)).expect("a sparse file");
    let copy = format!("{}=/large", large.display());
    for (jobs, more) in [("1", ["--squash", "--compression", "none"]), ("64", ["--squash=2", "--compression", "gzip:1"])] {
        let edit = ["edit", "--quiet", "--jobs", jobs, "--copy", &copy, &location(&forge), "-t", jobs];
        let used = peak(&[&edit[..], &more].concat());
        assert!(used < MOST, "{used} MiB with --jobs {jobs}");
        let used = peak(&["edit", "--quiet", "--jobs", jobs, &oci_name(forge.path(), jobs), "--normalise-timestamps"]);
        assert!(used < MOST, "{used} MiB for other times with --jobs {jobs}");
    }
}

/// Each tag is another image, of which only the layer is one that others have.
#[cfg(feature = "sync")]
#[test]
fn ten_thousand_tags_of_a_registry_are_planned_in_little_memory() {
    use crate::support::forge::{CONFIG, LAYER, MANIFEST};
    use crate::support::http::Answer;
    use crate::support::scripted::{Scripted, Step};
    use serde_json::json;
    const MOST: u64 = 256;
    const TAGS: usize = 10_000;
    let manifest = |number: &str| {
        let config = json!({"mediaType": CONFIG, "digest": sha256(number.as_bytes()), "size": number.len()});
        let layer = json!({"mediaType": LAYER, "digest": sha256(b"layer"), "size": 5, "annotations": {"note": "x".repeat(500)}});
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}).to_string()
    };
    let digests: std::collections::HashMap<String, usize> = (0..TAGS).map(|number| (sha256(manifest(&number.to_string()).as_bytes()), number)).collect();
    let server = Scripted::start();
    server.expect(Step::new("GET", "/v2/").always());
    let tags: Vec<String> = (0..TAGS).map(|number| number.to_string()).collect();
    server.expect(Step::new("GET", "/v2/app/tags/list*").always().answers(Answer::json(200, &json!({"name": "app", "tags": tags}))));
    let answer = move |path: &str| {
        let which = path.rsplit('/').next().expect("a last part").replace("%3A", ":");
        let manifest = manifest(&digests.get(&which).map_or(which, usize::to_string));
        Answer::new(200).header("Content-Type", MANIFEST).header("Docker-Content-Digest", &sha256(manifest.as_bytes())).body(manifest)
    };
    let answer = std::sync::Arc::new(answer);
    for method in ["HEAD", "GET"] {
        let answer = answer.clone();
        server.expect(Step::new(method, "/v2/app/manifests/*").always().answers_by(move |request, _| answer(&request.path)));
    }
    let home = temp();
    let used = peak_unseen(
        0,
        &["sync", "pull", "--quiet", "--dry-run", "--all-tags", "--format", "json", &format!("docker://{}/app", server.host()), &oci(&home.path().join("out"))],
    );
    let asked = server.finish().len();
    assert!(used < MOST && asked >= 2 * TAGS, "{used} MiB, {asked} requests");
}

/// Runs everything that the README shows but `sync`, one command after the other. That is every command there is. `larder` is the directory of the program.
#[track_caller]
fn everything(mut within: Command, program: &Path) {
    let mut commands = readme::commands();
    commands.retain(|command| !command.contains("larder sync "));
    let help = larder().arg("--help").succeeds();
    let list = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list of commands");
    for name in list.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| !matches!(*name, "help" | "sync")) {
        assert!(commands.iter().any(|command| command.contains(&format!("larder {name} "))), "the README shows no `larder {name}`");
    }
    let clone = readme::clone();
    within.args(["bash", "-euo", "pipefail", "-c", &commands.join("\n")]).current_dir(clone.path());
    within.env_clear().env("HOME", clone.path()).env("PATH", readme::path(program)).succeeds();
    assert_layout_is_sound(&clone.path().join("hello.oci"));
}

#[test]
fn reg_45_everything_works_without_a_network() {
    let Some(unshare) = tool("unshare") else { return };
    let offline = || {
        let mut command = Command::new(&unshare);
        command.args(["--user", "--map-root-user", "--net", "--"]);
        command
    };
    if !offline().arg("true").status().expect("unshare starts").success() {
        return skip("this machine does not let us leave its network");
    }
    // Not even the machine itself can be reached.
    let interfaces = offline().args(["cat", "/proc/net/dev"]).succeeds();
    assert!(interfaces.lines().skip(2).all(|line| line.trim_start().starts_with("lo:")), "{interfaces}");
    everything(offline(), binary());
}

#[test]
fn reg_45_nothing_asks_for_a_network() {
    let Some(strace) = tool("strace") else { return };
    let home = temp();
    let traces = home.path().join("traces");
    fs::create_dir(&traces).expect("writable");
    // Only larder is looked at: the shell around it looks for users in its own way.
    let traced = |program: &Path| {
        let trace = format!("{} -f -qq -e trace=%network -e signal=none -o {}/$$", strace.display(), traces.display());
        let script = home.path().join("larder");
        fs::write(&script, format!("#!/bin/sh\nexec {trace} {} \"$@\"\n", program.display())).expect("writable");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("own file");
    };
    let told = || -> Vec<String> {
        let files = fs::read_dir(&traces).expect("there").map(|entry| entry.expect("an entry").path());
        let said = files.map(|file| fs::read_to_string(file).expect("strace wrote it"));
        // A thread that ends with its process before it called anything is told of, too.
        said.map(|said| said.lines().filter(|line| !line.contains("???(")).collect()).collect()
    };
    traced(&binary().join("larder"));
    everything(Command::new("env"), home.path());
    let told_of_larder = told();
    assert!(told_of_larder.len() > 20, "only {} commands were traced", told_of_larder.len());
    assert_eq!(told_of_larder.concat(), "", "these calls are for networks");
    // Would it see one?
    traced(Path::new("python3"));
    Command::new(home.path().join("larder")).args(["-c", "import socket; socket.socket()"]).succeeds();
    assert!(told().concat().contains("socket("));
}

/// The directory of the larder under test.
fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_larder")).parent().expect("a directory")
}
