//! Removing what nothing leads to: `larder gc`.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::context::{self, oci};
use crate::support::image::read_index;
use crate::support::process::{Companion, Runs as _, larder};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// A collection that spares nothing for being young.
fn gc(layout: &Path) -> Command {
    let mut command = larder();
    command.args(["gc", &oci(layout), "--grace", "0"]);
    command
}

#[track_caller]
fn json(command: &mut Command) -> Value {
    serde_json::from_str(&command.args(["--format", "json"]).succeeds()).expect("one JSON document")
}

fn names(layout: &Path) -> BTreeSet<String> {
    let entries = read_index(layout)["manifests"].as_array().expect("a list").clone();
    entries.iter().map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str().expect("a name").to_owned()).collect()
}

/// Content that nothing leads to.
fn garbage(layout: &Path, content: &[u8]) -> std::path::PathBuf {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = layout.join("blobs/sha256").join(hex);
    fs::write(&path, content).expect("writable");
    path
}

fn blobs(layout: &Path) -> u64 {
    fs::read_dir(layout.join("blobs/sha256")).expect("there").count() as u64
}

#[test]
fn content_goes_once_its_last_name_is_gone_and_a_dry_run_tells_what_would_go() {
    let (home, layout) = context::layout();
    context::write(&home.path().join("second"), "second");
    context::build(&home.path().join("second"), &layout).succeeds();
    let whole = blobs(&layout);
    larder().args(["untag", &oci(&layout), "second"]).succeeds();

    let text = gc(&layout).arg("--dry-run").succeeds();
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    // Manifest, config and one layer; the other layer is that of the first image too.
    assert_eq!(words[..2].iter().map(|words| words[0]).collect::<Vec<_>>(), ["TYPE", "manifest"], "{text}");
    assert!(text.contains("\nnamed    4 blobs, ") && text.contains("\ngarbage  3 blobs, "), "{text}");
    assert_eq!(blobs(&layout), whole);
    let plan = json(gc(&layout).arg("--dry-run"));
    assert_eq!((plan["garbage"].as_array().map(Vec::len), plan["garbage"][0]["type"].as_str()), (Some(3), Some("manifest")));
    // They were written a moment ago, perhaps by somebody who is about to name them.
    let spared = json(larder().args(["gc", &oci(&layout)]));
    assert_eq!((&spared["young"]["blobs"], &spared["removed"]["blobs"]), (&3.into(), &0.into()));

    let report = json(&mut gc(&layout));
    assert_eq!((&report["removed"]["blobs"], &report["removed"]["bytes"], &report["garbage"]), (&3.into(), &plan["garbage_bytes"], &plan["garbage"]));
    assert_eq!(gc(&layout).succeeds(), format!("{}\nremoved  0 blobs, 0 B\n", text.lines().find(|line| line.starts_with("named")).expect("a line")));
    let sound = assert_layout_is_sound(&layout);
    assert_eq!((sound.blobs, sound.reachable, sound.names), (4, 4, vec!["first".to_owned()]));
}

#[test]
fn cra_22_a_damaged_image_stops_it_before_anything_is_removed() {
    let (_home, layout) = context::layout();
    let lost = garbage(&layout, b"garbage");
    let manifest = layout.join("blobs/sha256").join(read_index(&layout)["manifests"][0]["digest"].as_str().expect("a digest").trim_start_matches("sha256:"));
    let bytes = fs::read(&manifest).expect("there");
    for damage in [Some(vec![b' '; bytes.len()]), None] {
        match damage {
            Some(damage) => fs::write(&manifest, damage).expect("writable"),
            None => fs::remove_file(&manifest).expect("removed"),
        }
        let told = gc(&layout).args(["--format", "json"]).fails_with(3);
        assert!(told.contains("nothing was removed") && lost.exists(), "{told}");
    }
    fs::write(&manifest, &bytes).expect("writable");
    let image = format!("{}:first", oci(&layout));
    assert!(larder().args(["gc", &image]).fails_with(2).contains("larder untag"));
    gc(&layout).succeeds();
    assert!(!lost.exists());
    assert_layout_is_sound(&layout);
}

#[test]
fn cra_19_a_layout_in_use_is_a_conflict_past_the_timeout() {
    let (_home, layout) = context::layout();
    let held = File::open(layout.join("oci-layout")).expect("there");
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockShared).expect("free");
    let told = gc(&layout).args(["--lock-timeout", "100ms", "--format", "json"]).fails_with(5);
    assert!(told.contains("--lock-timeout"), "{told}");
    gc(&layout).args(["--dry-run", "--lock-timeout", "0"]).succeeds();
    drop(held);
    gc(&layout).succeeds();
}

/// Twelve writers build, tag, copy and untag while garbage is collected without any grace: what has a name stays whole, and what is lost goes in the end.
#[test]
fn cra_20_writers_and_collections_at_once_lose_nothing() {
    const WRITERS: usize = 12;
    const ROUNDS: usize = 3;
    let (home, layout) = context::layout();
    let copies = home.path().join("copies");
    let write = |writer: usize| {
        for round in 0..ROUNDS {
            let (name, before) = (format!("w{writer}-{round}"), format!("w{writer}-{}", round.wrapping_sub(1)));
            let context = home.path().join(&name);
            context::write(&context, &name);
            context::build(&context, &layout).succeeds();
            let (from, to) = (format!("{}:{name}", oci(&layout)), format!("{}:{name}", oci(&copies)));
            larder().args(["copy", &from, &to, "--quiet"]).succeeds();
            larder().args(["tag", &from, &format!("also-{name}"), "--quiet"]).succeeds();
            larder().args(["untag", &oci(&layout), &name, "--quiet"]).succeeds();
            if round > 0 {
                larder().args(["untag", &oci(&layout), &format!("also-{before}")]).succeeds();
            }
        }
    };
    let mut removed = 0;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            for place in [&layout, &copies] {
                // Writers come and go, and there may never be a moment without any.
                let output = gc(place).args(["--lock-timeout", "2s", "--format", "json"]).output().expect("the binary starts");
                match output.status.code() {
                    Some(0) => removed += serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["removed"]["blobs"].as_u64().expect("a number"),
                    // The first copy has not yet made its layout.
                    Some(4) if place == &copies => {}
                    code => assert_eq!(code, Some(5), "{}", String::from_utf8_lossy(&output.stderr)),
                }
            }
        }
    });
    removed += json(&mut gc(&layout))["removed"]["blobs"].as_u64().expect("a number");
    // Of every image but the last of each writer: manifest, config and the layer that no other has.
    assert_eq!(removed, (WRITERS * (ROUNDS - 1) * 3) as u64);
    let all = |prefix: &'static str, rounds: std::ops::Range<usize>| {
        (0..WRITERS).flat_map(move |writer| rounds.clone().map(move |round| format!("{prefix}w{writer}-{round}")))
    };
    assert_eq!(names(&layout), all("also-", ROUNDS - 1..ROUNDS).chain(["first".to_owned()]).collect());
    assert_eq!(names(&copies), all("", 0..ROUNDS).collect());
    for place in [&layout, &copies] {
        larder().args(["verify", "--deep", &oci(place)]).succeeds();
        let sound = assert_layout_is_sound(place);
        assert_eq!(sound.blobs, sound.reachable);
    }
}

/// Twelve writers copy, tag, edit and append to one index while garbage is collected without any grace: no name is lost, and nothing that one leads to.
#[test]
fn cra_20_copies_tags_edits_and_appends_lose_nothing_to_collections() {
    const EACH: usize = 3;
    const ROUNDS: usize = 3;
    const PLATFORMS: [&str; EACH * ROUNDS] =
        ["linux/arm64", "linux/arm/v7", "linux/386", "linux/s390x", "linux/ppc64le", "linux/riscv64", "linux/mips64le", "linux/arm/v6", "linux/loong64"];
    let (home, layout) = context::layout();
    let source = home.path().join("source");
    let at = |layout: &Path, name: &str| format!("{}:{name}", oci(layout));
    let build = |tag: &str, platform: &str| {
        let from = home.path().join(tag);
        fs::write(&from, context::noise(50_000, tag.bytes().map(u64::from).sum())).expect("writable");
        let copy = format!("{}=/own", from.display());
        larder()
            .args(["build", "--no-cache", "--quiet", "--copy", &copy, "--platform", platform, "-t", &format!("x.y/{tag}:{tag}"), "-o", &oci(&source)])
            .succeeds();
    };
    let tag = |letter: char, writer: usize, round: usize| format!("{letter}{writer}-{round}");
    let each = || (0..EACH).flat_map(|writer| (0..ROUNDS).map(move |round| (writer, round)));
    for (number, (writer, round)) in each().enumerate() {
        build(&tag('c', writer, round), "linux/amd64");
        build(&tag('i', writer, round), PLATFORMS[number]);
    }
    larder().args(["tag", &at(&layout, "first"), "multi", "--quiet"]).succeeds();
    let write = |kind: char, writer: usize, round: usize| {
        let (name, old) = (tag(kind, writer, round), format!("old-{kind}{writer}"));
        let place = at(&layout, &name);
        let quietly = |arguments: &[&str]| drop(larder().args(arguments).arg("--quiet").succeeds());
        match kind {
            'c' => quietly(&["copy", &at(&source, &name), &place]),
            't' => quietly(&["tag", &at(&layout, "first"), &name]),
            'e' => {
                let copy = format!("{}=/added", home.path().join(tag('c', writer, round)).display());
                quietly(&["edit", &at(&layout, "first"), "-t", &name, "--copy", &copy, "--squash", "--env", &format!("ROUND={round}")]);
                // The name moves, and what it stood on becomes garbage.
                quietly(&["tag", &place, &old]);
                quietly(&["edit", &at(&layout, &old), "--compression", "zstd", "--label", &format!("round={round}")]);
                quietly(&["untag", &oci(&layout), &old]);
            }
            _ => quietly(&["index", "append", &at(&layout, "multi"), &at(&source, &name)]),
        }
    };
    // Twelve that always write would never leave a moment to a collection, so they begin each round one after the other and wait for each other at its end.
    let mut collections = 0;
    for round in 0..ROUNDS {
        thread::scope(|scope| {
            let begin = |kind: char, writer: usize| {
                let write = &write;
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(30) * u32::try_from(writer).expect("small"));
                    write(kind, writer, round);
                })
            };
            let writers: Vec<_> = ['c', 't', 'e', 'i']
                .into_iter()
                .flat_map(|kind| (0..EACH).map(move |writer| (kind, writer)))
                .map(|(kind, writer)| begin(kind, writer))
                .collect();
            assert_eq!(writers.len(), 12);
            while writers.iter().any(|writer| !writer.is_finished()) {
                let output = gc(&layout).args(["--lock-timeout", "1s"]).output().expect("the binary starts");
                match output.status.code() {
                    Some(0) => collections += 1,
                    code => assert_eq!(code, Some(5), "{}", String::from_utf8_lossy(&output.stderr)),
                }
            }
        });
    }
    assert!(collections > 0, "none found a moment");
    gc(&layout).succeeds();
    larder().args(["verify", "--deep", "--quiet", &oci(&layout)]).succeeds();
    let expected = ['c', 't', 'e'].into_iter().flat_map(|kind| each().map(move |(writer, round)| tag(kind, writer, round)));
    assert_eq!(names(&layout), expected.chain(["first".to_owned(), "multi".to_owned()]).collect());
    let inspected = json(larder().args(["inspect", &at(&layout, "multi")]));
    let platforms = inspected.to_string();
    for platform in PLATFORMS.iter().chain(&["linux/amd64"]) {
        assert!(platforms.contains(platform), "{platform} was appended: {platforms}");
    }
    let sound = assert_layout_is_sound(&layout);
    assert_eq!(sound.blobs, sound.reachable);
}

#[test]
fn cra_21_a_tool_that_takes_no_locks_loses_nothing_within_the_grace_period() {
    let Some(skopeo) = tool("skopeo") else { return };
    let (home, layout) = context::layout();
    let target = home.path().join("target");
    // Content that skopeo finds and does not write again is protected by the manifest above it alone, once that is there; so here everything is new.
    context::build(&home.path().join("first"), &target).succeeds();
    for round in 0..4 {
        let name = format!("new-{round}");
        context::write(&home.path().join(&name), &name);
        context::build(&home.path().join(&name), &layout).succeeds();
        let (from, to) = (format!("{}:{name}", oci(&layout)), format!("{}:{name}", oci(&target)));
        let mut copying = Companion::start(Command::new(&skopeo).args(["--insecure-policy", "copy", &from, &to]));
        loop {
            let ended = copying.try_wait().expect("it is ours");
            // A moment in which skopeo has half of the names written is refused.
            let code = larder().args(["gc", &oci(&target)]).stdout(Stdio::null()).stderr(Stdio::null()).status().expect("the binary starts").code();
            assert!(matches!(code, Some(0 | 3 | 5)), "{code:?}");
            if let Some(status) = ended {
                assert!(status.success());
                break;
            }
        }
    }
    larder().args(["verify", "--deep", &oci(&target)]).succeeds();
    assert_eq!(names(&target).len(), 5);
}

#[test]
fn cra_01_killed_while_it_removes_it_leaves_names_whole_and_goes_on_the_next_time() {
    const TRIES: usize = 20;
    let (_home, layout) = context::layout();
    let mut cut_short = 0;
    for _ in 0..TRIES {
        let mut lost: Vec<_> = (0..3000).map(|number| garbage(&layout, format!("garbage {number}").as_bytes())).collect();
        // It removes them in this order.
        lost.sort();
        let mut collecting = Companion::start(&mut gc(&layout));
        while lost[0].exists() && collecting.try_wait().expect("it is ours").is_none() {}
        drop(collecting);
        cut_short += usize::from(!lost[0].exists() && lost[2999].exists());
        larder().args(["verify", "--quiet", &oci(&layout)]).succeeds();
        if cut_short == 3 {
            break;
        }
    }
    assert!(cut_short > 0, "it was never killed in time");
    assert_eq!(json(&mut gc(&layout))["named"]["blobs"], 4);
    let sound = assert_layout_is_sound(&layout);
    assert_eq!((sound.blobs, sound.reachable), (4, 4));
}

#[test]
fn cra_30_a_clock_that_is_wrong_removes_nothing_young() {
    let (_home, layout) = context::layout();
    let lost = garbage(&layout, b"garbage");
    let ahead = SystemTime::now() + Duration::from_secs(100 * 365 * 24 * 60 * 60);
    File::options().write(true).open(&lost).expect("there").set_modified(ahead).expect("set forward");
    assert_eq!(json(larder().args(["gc", &oci(&layout), "--grace", "1ms"]))["young"]["blobs"], 1);
    assert!(lost.exists());
    assert_eq!(json(&mut gc(&layout))["removed"]["blobs"], 1);
}
