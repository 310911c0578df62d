//! What the call of a build from a Dockerfile says: bases, platforms, the cache, and what need not be there.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::context::oci;
use crate::support::dockerfile::{Image, Kitchen};
use crate::support::image::{blob_path, read_index};
use crate::support::process::Runs as _;
use crate::support::tools::{root, tool};

#[test]
fn bases_come_from_several_layouts_and_from_one_image_of_a_layout() {
    let kitchen = Kitchen::new("FROM one:1 AS one\nFROM two:1\nCOPY --from=one /f /one\n");
    for name in ["one", "two", "other"] {
        fs::create_dir(kitchen.path(name)).expect("writable");
        fs::write(kitchen.path(name).join("f"), name).expect("writable");
        kitchen.base(&format!("{name}:1"), &["--rootfs", name]);
    }
    let second = kitchen.path("second");
    let (both, first) = (kitchen.bases(), format!("{}:one:1", kitchen.bases()));
    fs::rename(kitchen.path("bases"), &second).expect("renamed");
    kitchen.base("one:1", &["--rootfs", "other"]);
    let (second, other) = (oci(&second), kitchen.bases());
    let seen = |bases: &[&str]| {
        let image = kitchen.image(&bases.iter().flat_map(|base| ["--base", *base]).collect::<Vec<_>>());
        (image.read("one"), image.read("f"))
    };
    // The first that has the name gives the image.
    assert_eq!(seen(&[&other, &second]), ("other".into(), "two".into()));
    assert_eq!(seen(&[&second, &other]), ("one".into(), "two".into()));
    assert_eq!((both == other, seen(&[&format!("{second}:two:1"), &first])), (true, ("other".into(), "two".into())));
    // One image of a layout is that one and no other.
    let error = kitchen.refused(4, &["--base", &first]);
    assert!(error["message"].as_str().is_some_and(|message| message.contains("Dockerfile:2:6: there is no image `two:1`")), "{error}");
    // Contexts as buildx writes them.
    kitchen.file("Dockerfile", "FROM first\nCOPY --from=second /f /second\n");
    let layout = format!("second={}:two:1", second.replace("oci:", "oci-layout://"));
    let image = kitchen.image(&["--base", &second, "--build-context", "first=docker-image://one:1", "--build-context", &layout]);
    assert_eq!((image.read("f"), image.read("second")), ("one".into(), "two".into()));
}

#[test]
fn the_index_has_the_order_of_the_call() {
    let kitchen = Kitchen::new("FROM scratch\nARG TARGETPLATFORM\nLABEL for=$TARGETPLATFORM\nCOPY a /\n");
    kitchen.file("a", "a");
    for order in ["linux/arm64,linux/amd64,linux/arm/v7", "linux/arm/v7,linux/amd64,linux/arm64"] {
        kitchen.image(&["--platform", order]);
        let digest = &read_index(&kitchen.out())["manifests"][0]["digest"];
        let index: Value = serde_json::from_slice(&fs::read(blob_path(&kitchen.out(), digest)).expect("there")).expect("JSON");
        let platforms = index["manifests"].as_array().expect("a list").iter().map(|entry| {
            let platform = &entry["platform"];
            let names = ["os", "architecture", "variant"].into_iter().filter_map(|name| platform[name].as_str());
            names.collect::<Vec<_>>().join("/")
        });
        assert_eq!(platforms.collect::<Vec<_>>().join(","), order);
    }
}

/// Steps without `RUN` take no other program, wherever it may be.
#[test]
fn without_run_no_runtime_is_looked_for() {
    let kitchen = Kitchen::new(
        "FROM scratch AS one\nCOPY a /a\nFROM scratch\nWORKDIR /w\nCOPY --from=one --chmod=600 /a b\nADD t.tar /t/\nFROM scratch AS other\nRUN true\n",
    );
    let (Some(strace), true) = (tool("strace"), root()) else { return };
    kitchen.file("a", "a");
    kitchen.file("t.tar", crate::support::forge::tar(&[("in", b"inside")]));
    let (trace, empty) = (kitchen.path("trace"), kitchen.path("empty"));
    fs::create_dir(&empty).expect("writable");
    let build = kitchen.command(&["--platform", "linux/amd64,linux/arm64", "--target", "1", "-t", "app:1", "-o", &oci(&kitchen.out())]);
    let mut traced = Command::new(strace);
    traced.args(["-f", "-qq", "-e", "trace=execve,execveat,unshare,mount,openat,newfstatat,access,faccessat2,statx", "-e", "signal=none", "-o"]).arg(&trace);
    traced.arg(build.get_program()).args(build.get_args()).env_clear().envs(build.get_envs().filter_map(|(name, value)| Some((name, value?))));
    traced.env("PATH", &empty).succeeds();
    assert_eq!(kitchen.built("arm64").read("t/in"), "inside");
    let trace = fs::read_to_string(trace).expect("strace wrote it");
    let programs = trace.lines().filter(|line| ["execve(", "execveat(", "unshare(", "mount("].iter().any(|call| line.contains(call))).count();
    assert_eq!(programs, 1, "larder alone: {trace}");
    assert!(!["runc", "crun", "binfmt_misc"].iter().any(|name| trace.contains(name)), "{trace}");
}

#[test]
fn a_build_keeps_the_cache_within_its_bound() {
    let kitchen = Kitchen::new("FROM scratch\nCOPY a /a\nCOPY b /b\n");
    kitchen.file("a", "a");
    kitchen.file("b", "b");
    let first = kitchen.image(&[]);
    assert_eq!(first.cached_and_made(), (0, 2));
    // More than builds keep, on a disk that has no room for it.
    let blobs = kitchen.path("cache/v1/content/blobs/sha256");
    let large = blobs.join("5".repeat(64));
    fs::File::create(&large).and_then(|file| file.set_len(21_000_000_000)).expect("a sparse file");
    // A build that adds nothing leaves everything where it is.
    assert_eq!(kitchen.image(&[]).cached_and_made(), (2, 0));
    assert!(large.exists());
    kitchen.file("b", "changed");
    let changed = kitchen.image(&[]);
    assert_eq!((changed.cached_and_made(), large.exists()), ((1, 1), false));
    assert!(!changed.warnings.contains("warning"), "{}", changed.warnings);
    // What was used last is still known.
    assert_eq!(kitchen.image(&[]).cached_and_made(), (2, 0));
    assert_eq!(json!(Image::of(&kitchen.out(), "1", "amd64").read("b")), json!("changed"));
}

#[test]
fn secrets_come_from_files_and_variables_as_for_buildkit() {
    let mounts: Vec<String> =
        ["a", "b", "c", "d", "LARDER_TEST_WORD", "word.txt", "largest"].iter().map(|id| format!("--mount=type=secret,id={id},required")).collect();
    let text = format!(
        "FROM shell:1\nRUN {} cd /run/secrets && for f in a b c d LARDER_TEST_WORD word.txt; do echo $f $(cat $f) >>/seen; done; wc -c <largest >>/seen\n",
        mounts.join(" ")
    );
    let Some(kitchen) = Kitchen::with_shell(&text) else { return };
    let file = |name: &str, content: &[u8]| {
        fs::write(kitchen.path(name), content).expect("writable");
        kitchen.path(name).to_str().expect("UTF-8").to_owned()
    };
    let word = file("word.txt", b"of a file");
    let largest = file("largest", &vec![b'x'; 512 << 10]);
    let secrets = [
        format!("id=a,src={word}"),
        format!("type=file,source={word},id=b"),
        "id=c,env=LARDER_TEST_WORD".to_owned(),
        "type=env,id=d,src=LARDER_TEST_WORD".to_owned(),
        // A name alone is a file that there is, or else a variable.
        "id=LARDER_TEST_WORD".to_owned(),
        "id=word.txt".to_owned(),
        format!("id=largest,src={largest}"),
    ];
    let (bases, out) = (kitchen.bases(), oci(&kitchen.out()));
    let mut build = kitchen.command(&["--base", &bases, "--platform", "linux/amd64", "-t", "app:1", "-o", &out]);
    build.args(secrets.iter().flat_map(|secret| ["--secret", secret])).env("LARDER_TEST_WORD", "of a variable").current_dir(kitchen.path("")).succeeds();
    assert_eq!(
        kitchen.built("amd64").read("seen"),
        "a of a file\nb of a file\nc of a variable\nd of a variable\nLARDER_TEST_WORD of a variable\nword.txt of a file\n524288\n"
    );

    let larger = file("larger", &vec![b'x'; (512 << 10) + 1]);
    for (secret, code, message, hint) in [
        (format!("id=a,src={word},env=PATH"), 2, "the secret comes from a file and from a variable", "give one of the two"),
        ("id=a,env=LARDER_TEST_UNSET".to_owned(), 2, "the environment variable LARDER_TEST_UNSET is not set", ""),
        ("id=LARDER_TEST_UNSET".to_owned(), 2, "the environment variable LARDER_TEST_UNSET is not set", "write src=FILE or env=VARIABLE"),
        ("id=a,type=env,src=LARDER_TEST_UNSET".to_owned(), 2, "the environment variable LARDER_TEST_UNSET is not set", ""),
        (format!("id=a,src={larger}"), 2, "has more than 524288 bytes", ""),
        (format!("id=a,src={larger}-not-there"), 4, "cannot read the secret", ""),
        (format!("src={word}"), 2, "the secret has no id", "write id=ID"),
        ("id=a,type=file,mode=1".to_owned(), 2, "a secret has no `mode`", "write id=ID"),
        ("id=a,type=ssh".to_owned(), 2, "`ssh` is no type of secret", "the types are file and env"),
        ("id=a,src=".to_owned(), 2, "`src=` is not KEY=VALUE", ""),
        ("word".to_owned(), 2, "`word` is not KEY=VALUE", ""),
    ] {
        let error = kitchen.refused(code, &["--base", &bases, "--secret", &secret]);
        let told = format!("{} {}", error["message"], error["causes"]);
        assert!(told.contains(message) && error["hint"].as_str().unwrap_or_default().contains(hint), "{secret}: {error}");
    }
}
