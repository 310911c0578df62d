//! Build caches that travel: `--cache-to` and `--cache-from`.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::context::oci;
use crate::support::dockerfile::Kitchen;
use crate::support::forge::sha256;
use crate::support::image::{Ran, blob_path, json as report, ran, read_index, succeeded};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

const COPIES: &str = "FROM scratch AS one\nCOPY a /a\nADD t.tar /t/\nFROM scratch\nWORKDIR /w\nCOPY --from=one /a /t /from/\nCOPY b /b\n";

/// A context of copies. Two of them are the same but for everything that a machine adds.
fn copies() -> Kitchen {
    let kitchen = Kitchen::new(COPIES);
    kitchen.file("a", "a");
    kitchen.file("b", "b");
    kitchen.file("t.tar", crate::support::forge::tar(&[("in", b"inside")]));
    kitchen
}

/// The document that a name of a layout stands on, with its config.
fn documents(layout: &Path, name: &str) -> (Value, Value) {
    let index = read_index(layout);
    let is_it = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == name;
    let entry = index["manifests"].as_array().expect("a list").iter().find(is_it).expect("the name");
    let read = |digest: &Value| serde_json::from_slice(&fs::read(blob_path(layout, digest)).expect("there")).expect("JSON");
    let manifest: Value = read(&entry["digest"]);
    let config = read(&manifest["config"]["digest"]);
    (manifest, config)
}

/// Puts another list of steps into a bundle, as somebody would who wants to be believed.
fn forge(layout: &Path, change: impl Fn(&mut Value)) {
    let (mut manifest, mut keys) = documents(layout, "buildcache");
    change(&mut keys);
    let put = |document: &Value| {
        let bytes = document.to_string().into_bytes();
        let digest = json!(sha256(&bytes));
        fs::write(blob_path(layout, &digest), &bytes).expect("writable");
        (digest, json!(bytes.len()))
    };
    (manifest["config"]["digest"], manifest["config"]["size"]) = put(&keys);
    let mut index = read_index(layout);
    (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = put(&manifest);
    fs::write(layout.join("index.json"), index.to_string()).expect("writable");
}

#[test]
fn a_build_elsewhere_runs_nothing_that_was_built_before() {
    let text = "FROM shell:1 AS tools\nCOPY a /a\nRUN mkdir /made && cat /a > /made/f && date > /dev/null\nRUN --mount=source=a,target=/src/a --mount=source=b,target=/src/b cat /src/a /src/b > /both\nFROM shell:1\nARG A=1\nRUN --mount=from=tools,source=/made,target=/m echo $A > /arg && cat /m/f > /f\nCOPY --from=tools /made /copied\nCOPY b /b\n";
    let Some(first) = Kitchen::with_shell(text) else { return };
    let bundle = first.path("bundle");
    first.file("a", "a");
    first.file("b", "b");
    let (bases, to) = (first.bases(), format!("type=local,dest={}", bundle.display()));
    let there = first.image(&["--base", &bases, "--cache-to", &to]);
    assert_eq!(there.cached_and_made(), (0, 6));
    assert_layout_is_sound(&bundle);
    // It travels like anything else.
    let (moved, archive) = (first.path("moved"), first.path("archive.tar"));
    succeeded(&["copy", "--all-names", &oci(&bundle), &format!("oci-archive:{}", archive.display())]);
    succeeded(&["copy", "--all-names", &format!("oci-archive:{}", archive.display()), &oci(&moved)]);
    succeeded(&["verify", "--deep", &oci(&moved)]);

    let Some(second) = Kitchen::with_shell(text) else { return };
    second.file("b", "b");
    second.file("a", "a");
    let bases = second.bases();
    let from = oci(&moved);
    // Nothing could run.
    let arguments = ["--base", &bases, "--cache-from", &from, "--runtime", "/no/runtime"];
    let here = second.image(&arguments);
    assert_eq!((here.cached_and_made(), &here.report["digest"]), ((6, 0), &there.report["digest"]));
    // What came from there is known here.
    assert_eq!(second.image(&["--base", &bases]).cached_and_made(), (6, 0));
    fs::remove_dir_all(second.path("cache")).expect("own cache");
    second.file("Dockerfile", text.replace("COPY b /b", "COPY a /c"));
    let other = second.image(&[&arguments[..], &["--cache-to", &oci(&second.path("third"))]].concat());
    assert_eq!(other.cached_and_made(), (5, 1));
    // What was used goes on with what was made.
    assert_eq!(documents(&second.path("third"), "buildcache").1["steps"].as_array().expect("a list").len(), 6);
    // What has to run needs something that runs it.
    second.file("a", "changed");
    second.file("Dockerfile", text);
    assert_eq!(second.refused(4, &arguments)["code"], "not_found");
}

#[test]
fn where_nothing_has_to_run_it_takes_no_user_namespace() {
    let text = "FROM shell:1\nRUN echo made > /made\nCOPY a /a\n";
    let Some(kitchen) = Kitchen::with_shell(text) else { return };
    if tool("unshare").is_none() || tool("setpriv").is_none() {
        return;
    }
    kitchen.file("a", "a");
    let (bases, bundle) = (kitchen.bases(), oci(&kitchen.path("bundle")));
    let there = kitchen.image(&["--base", &bases, "--cache-to", &bundle]);
    fs::remove_dir_all(kitchen.path("cache")).expect("own cache");
    // Where nobody may make a user namespace.
    let bounded = "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all -- \"$@\"";
    let build = |arguments: &[&str]| {
        let output = oci(&kitchen.path("elsewhere"));
        let plain = kitchen.command(&[&["--base", &bases, "--platform", "linux/amd64", "-t", "app:1", "-o", &output], arguments].concat());
        let mut command = Command::new("unshare");
        command.args(["-r", "sh", "-c", bounded, "sh"]).arg(plain.get_program()).args(plain.get_args());
        Ran::from(command.output().expect("unshare starts"))
    };
    let ran = build(&["--cache-from", &bundle]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.json()["digest"], there.report["digest"]);
    kitchen.file("Dockerfile", text.replace("made > ", "other > "));
    for arguments in [&["--cache-from", bundle.as_str()][..], &[]] {
        let ran = build(arguments);
        assert_eq!(ran.code, Some(6), "{ran:?}");
        assert!(ran.stderr.contains("user namespace"), "{ran:?}");
    }
}

#[test]
fn a_secret_is_in_no_cache_and_decides_nothing() {
    let text = "FROM shell:1\nRUN --mount=type=secret,id=key --mount=type=secret,id=key,env=KEY,target=/k --mount=type=cache,target=/c test \"$KEY\" = \"$(cat /k)\" && touch /c/used\n";
    let Some(kitchen) = Kitchen::with_shell(text) else { return };
    let key = kitchen.path("key");
    let (bases, to, secret) = (kitchen.bases(), oci(&kitchen.path("bundle")), format!("id=key,src={}", key.display()));
    fs::write(&key, "a word that nobody may know").expect("writable");
    let image = kitchen.image(&["--base", &bases, "--secret", &secret, "--cache-to", &to]);
    assert!(!image.holds("nobody may know"));
    fs::remove_file(&key).expect("own file");
    let found = Command::new("grep").args(["-rl", "nobody may know"]).arg(kitchen.path("")).output().expect("grep starts");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    fs::write(&key, "another word").expect("writable");
    fs::remove_dir_all(kitchen.path("cache")).expect("own cache");
    assert_eq!(kitchen.image(&["--base", &bases, "--secret", &secret, "--cache-from", &to]).cached_and_made(), (1, 0));
}

#[test]
fn files_count_by_content_and_not_by_where_they_are() {
    let first = copies();
    let bundle = first.path("bundle");
    let there = first.image(&["--cache-to", &format!("{}:my", oci(&bundle))]);
    assert_eq!(there.cached_and_made(), (0, 5));
    let second = copies();
    let from = format!("type=local,src={},tag=my", bundle.display());
    let here = second.image(&["--cache-from", &from]);
    assert_eq!((here.cached_and_made(), &here.report["digest"]), ((5, 0), &there.report["digest"]));
    let (manifest, keys) = documents(&bundle, "my");
    let text = keys.to_string() + &manifest.to_string();
    assert!(!text.contains(first.context().to_str().expect("UTF-8")) && !text.contains("/tmp"), "{text}");
    assert_eq!(manifest["artifactType"], "application/vnd.larder.build.cache.v1+json");

    // The same cache from another machine is the same document.
    let again = copies();
    again.image(&["--cache-to", &oci(&again.path("bundle")), "--jobs", "1"]);
    assert_eq!(documents(&again.path("bundle"), "buildcache"), (manifest, keys));
    // Without the stage that is only copied from.
    again.image(&["--cache-to", &format!("type=local,dest={},mode=min,tag=min", again.path("bundle").display())]);
    assert_eq!(documents(&again.path("bundle"), "min").1["steps"].as_array().expect("a list").len(), 3);

    for (name, content) in [("a", "other"), ("b", "other")] {
        let changed = copies();
        changed.file(name, content);
        let image = changed.image(&["--cache-from", &from]);
        assert_eq!(image.cached_and_made(), if name == "a" { (2, 3) } else { (4, 1) }, "{name}");
    }
    let mode = copies();
    Command::new("chmod").arg("600").arg(mode.context().join("b")).status().expect("chmod starts");
    assert_eq!(mode.image(&["--cache-from", &from]).cached_and_made(), (4, 1));
}

#[test]
fn a_damaged_cache_is_never_a_wrong_layer() {
    let first = copies();
    let bundle = first.path("bundle");
    let there = first.image(&["--cache-to", &oci(&bundle)]);
    let whole = first.path("whole");
    let restore = || {
        let _ = fs::remove_dir_all(&bundle);
        succeeded(&["copy", "--all-names", &oci(&whole), &oci(&bundle)]);
    };
    succeeded(&["copy", "--all-names", &oci(&bundle), &oci(&whole), "--share", "none"]);
    let from = oci(&bundle);
    let build = |warned: &str, cached: (usize, usize)| {
        let here = copies();
        let image = here.image(&["--cache-from", &from]);
        assert_eq!((image.cached_and_made(), &image.report["digest"]), (cached, &there.report["digest"]), "{}", image.warnings);
        assert!(image.warnings.contains(warned), "{}", image.warnings);
    };
    let damage = |digest: &Value| {
        let path = blob_path(&bundle, digest);
        let mut bytes = fs::read(&path).expect("there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).expect("own file");
        fs::write(&path, bytes).expect("writable");
    };
    restore();
    let layer = documents(&bundle, "buildcache").0["layers"][0]["digest"].clone();
    damage(&layer);
    build("is of no use for this step", (4, 1));
    fs::remove_file(blob_path(&bundle, &layer)).expect("own file");
    build("is of no use for this step", (4, 1));

    // A tar that is not what it is said to be.
    restore();
    forge(&bundle, |keys| keys["steps"][0]["diffId"] = json!(sha256(b"another")));
    build("is of no use for this step", (4, 1));
    // What is said of layers that are not there, of other versions, and nothing at all.
    for (change, why) in [
        ((|keys| keys["steps"][0]["layer"] = json!(sha256(b"another"))) as fn(&mut Value), "and it has not"),
        (|keys| keys["steps"][0]["key"] = json!("x"), "64 hexadecimal digits"),
        (|keys| keys["more"] = json!(1), "more"),
        (|keys| *keys = json!([]), ""),
    ] {
        restore();
        forge(&bundle, change);
        let error = copies().refused(3, &["--cache-from", &from]);
        assert!(error.to_string().contains(why), "{error}");
    }
    restore();
    damage(&documents(&bundle, "buildcache").0["config"]["digest"]);
    assert_eq!(copies().refused(3, &["--cache-from", &from])["code"], "corrupt");
}

/// The cache is beside the output, and would be linked to it.
#[test]
fn a_damaged_layer_of_the_cache_is_told_with_the_remedy_and_never_taken() {
    let kitchen = copies();
    let bytes = |path: &Path| fs::read(path).expect("there");
    let image = kitchen.image(&[]);
    // The others are not all in the image.
    let digest = image.report["layers"].as_array().and_then(|layers| layers.last()).expect("layers")["digest"].clone();
    let layer = blob_path(&kitchen.path("cache/v1/content"), &digest);
    let mut damaged = bytes(&layer);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    // In a file of its own: the output has the old one.
    fs::remove_file(&layer).expect("own file");
    fs::write(&layer, &damaged).expect("writable");
    fs::remove_dir_all(kitchen.out()).expect("own directory");
    let error = kitchen.refused(3, &[]);
    assert!(error["message"].as_str().is_some_and(|message| message.contains("as the cache has it")), "{error}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("larder cache prune --all")), "{error}");
    assert_eq!(read_index(&kitchen.out())["manifests"], json!([]));
    assert!(!blob_path(&kitchen.out(), &digest).exists());
    succeeded(&["cache", "prune", "--all", "--cache-dir", kitchen.path("cache").to_str().expect("UTF-8")]);
    assert_eq!(kitchen.image(&[]).report["digest"], image.report["digest"]);
}

#[test]
fn what_is_no_cache_is_refused_and_what_is_not_there_yet_is_told() {
    let kitchen = copies();
    let image = kitchen.image(&["--cache-from", &oci(&kitchen.path("not-yet"))]);
    assert!(image.warnings.contains("cannot use this build cache"), "{}", image.warnings);
    let error = kitchen.refused(6, &["--cache-from", &format!("{}:app:1", oci(&kitchen.out()))]);
    assert!(error.to_string().contains("it is no build cache of larder"), "{error}");
    assert_eq!(kitchen.refused(6, &["--cache-to", "type=registry,ref=a/b"])["code"], "unsupported");
    let place = kitchen.path("cache");
    let output = oci(&kitchen.path("x"));
    for arguments in [&["--no-cache", "--cache-from", "oci:x"][..], &["-f", "/dev/null", "--copy", "Cargo.toml=/x", "--cache-to", "oci:x"]] {
        let ran = ran(&[&["build", kitchen.context().to_str().expect("UTF-8"), "-o", &output], arguments].concat());
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert!(report(&["cache", "list", "--cache-dir", place.to_str().expect("UTF-8")])["bytes"].as_u64() > Some(0));
}
