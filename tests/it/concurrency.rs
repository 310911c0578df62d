//! Many processes at one layout: none loses what another wrote, and nobody ever sees half of anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use serde_json::Value;

use crate::support::context::{self, oci};
use crate::support::process::{Companion, Runs as _, larder, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tools::tool;

/// The names in a layout, which must be there at any moment.
#[track_caller]
fn list(layout: &Path) -> BTreeSet<String> {
    let told = larder().args(["list", "--format", "json", &oci(layout)]).succeeds();
    let report: Value = serde_json::from_str(&told).expect("one JSON document");
    report["names"].as_array().expect("a list").iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
}

fn tag(layout: &Path, name: &str) -> Command {
    let mut command = larder();
    command.args(["tag", &format!("{}:first", oci(layout)), name, "--quiet"]).stdout(Stdio::null());
    command
}

fn untag(layout: &Path, name: &str) -> Command {
    let mut command = larder();
    command.args(["untag", &oci(layout), name, "--quiet"]);
    command
}

/// Runs `look` again and again until `work` is done, and once after it.
fn watched(look: impl Fn() + Sync, work: impl FnOnce()) {
    /// Leaves the machine to those who are watched.
    const PAUSE: Duration = Duration::from_millis(20);
    let (look, (done, wait)) = (&look, mpsc::channel::<()>());
    thread::scope(|scope| {
        scope.spawn(move || {
            // Ends when the other end is dropped, also by a panic.
            while wait.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout) {
                look();
            }
            look();
        });
        work();
        drop(done);
    });
}

#[test]
fn cra_15_and_16_twenty_taggers_lose_no_name_and_readers_never_see_fewer() {
    const WRITERS: usize = 20;
    const TAGS: usize = 50;
    let (_home, layout) = context::layout();
    let name = |writer: usize, number: usize| format!("w{writer}-{number}");
    let seen = Mutex::new(BTreeSet::from(["first".to_owned()]));
    let look = || {
        let mut seen = seen.lock().expect("no panic");
        let now = list(&layout);
        assert!(now.is_superset(&seen), "names were lost: {:?}", seen.difference(&now));
        *seen = now;
    };
    watched(look, || {
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let layout = &layout;
                scope.spawn(move || (0..TAGS).for_each(|number| drop(tag(layout, &name(writer, number)).succeeds())));
            }
        });
    });
    let mut expected: BTreeSet<String> = (0..WRITERS).flat_map(|writer| (0..TAGS).map(move |number| name(writer, number))).collect();
    expected.insert("first".to_owned());
    assert_eq!(list(&layout), expected);
    assert_eq!(assert_layout_is_sound(&layout).names.len(), WRITERS * TAGS + 1);
}

#[test]
fn cra_17_eight_builds_into_one_new_layout_lose_nothing() {
    const BUILDERS: usize = 8;
    let home = temp();
    let layout = home.path().join("layout");
    let contexts: Vec<_> = (0..BUILDERS).map(|number| (format!("v{number}"), home.path().join(format!("context-{number}")))).collect();
    for (tag, context) in &contexts {
        context::write(context, tag);
    }
    // All at once, and the layout does not exist yet: whoever is first makes it.
    let children: Vec<_> = contexts
        .iter()
        .map(|(_, context)| context::build(context, &layout).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts"))
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(list(&layout), contexts.iter().map(|(tag, _)| tag.clone()).collect());
    let sound = assert_layout_is_sound(&layout);
    // Manifest, config and layer of each, and the layer that all of them made.
    assert_eq!((sound.blobs, sound.reachable), (3 * BUILDERS as u64 + 1, 3 * BUILDERS as u64 + 1));
}

#[test]
fn builds_go_on_while_names_come_and_go() {
    const ROUNDS: usize = 6;
    let (home, layout) = context::layout();
    let whole = || drop(larder().args(["verify", "--quiet", &oci(&layout)]).succeeds());
    watched(whole, || {
        thread::scope(|scope| {
            let (home, layout) = (home.path(), &layout);
            for builder in 0..3 {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let name = format!("b{builder}-{round}");
                        context::write(&home.join(&name), &name);
                        context::build(&home.join(&name), layout).succeeds();
                    }
                });
            }
            for tagger in 0..3 {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let (stays, goes) = (format!("t{tagger}-{round}"), format!("gone-{tagger}"));
                        tag(layout, &goes).succeeds();
                        tag(layout, &stays).succeeds();
                        untag(layout, &goes).succeeds();
                    }
                });
            }
        });
    });
    let all = |letter: char| (0..3).flat_map(move |one| (0..ROUNDS).map(move |round| format!("{letter}{one}-{round}")));
    assert_eq!(list(&layout), all('b').chain(all('t')).chain(["first".to_owned()]).collect());
    assert_layout_is_sound(&layout);
}

/// Another program's lock on `index.json.lock`: a handle of its own, which is all that flock looks at.
fn lock_of_another(layout: &Path) -> fs::File {
    let file = fs::File::options().write(true).create(true).truncate(false).open(layout.join("index.json.lock")).expect("writable");
    rustix::fs::flock(&file, FlockOperation::LockExclusive).expect("free");
    file
}

#[test]
fn cra_19_a_lock_of_another_program_past_the_timeout_is_a_conflict() {
    let (home, layout) = context::layout();
    let context = home.path().join("second");
    context::write(&context, "second");
    let index = fs::read(layout.join("index.json")).expect("there");
    let held = lock_of_another(&layout);
    for mut command in [tag(&layout, "x"), untag(&layout, "first"), context::build(&context, &layout)] {
        let begin = Instant::now();
        let told = command.args(["--lock-timeout", "300ms", "--format", "json"]).fails_with(5);
        assert!(begin.elapsed() >= Duration::from_millis(300), "it waited as long as it was told to");
        let error: Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
        assert_eq!((&error["code"], &error["subject"]), (&"conflict".into(), &layout.join("index.json.lock").to_str().into()), "{error}");
        assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("--lock-timeout")), "{error}");
        assert_eq!(fs::read(layout.join("index.json")).expect("there"), index);
    }
    // Reading waits for nobody.
    for reading in [["list", "--lock-timeout=0"], ["verify", "--lock-timeout=0"]] {
        larder().args(reading).arg(oci(&layout)).succeeds();
    }
    // Who waits gets it as soon as it is free.
    let mut waiting = Companion::start(&mut tag(&layout, "x"));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(waiting.try_wait().expect("it is ours"), None, "it waits");
    drop(held);
    assert!(waiting.wait().expect("it ends").success());
    assert_eq!(list(&layout), ["first", "x"].map(str::to_owned).into());
    assert_layout_is_sound(&layout);
}

/// BuildKit locks the file, and removes it when it unlocks. Who waited for the removed file must not take itself for the owner of the new one.
#[test]
fn cra_19_a_lock_file_that_is_removed_and_made_again_excludes_still() {
    let (_home, layout) = context::layout();
    let held = lock_of_another(&layout);
    let mut waiting = Companion::start(tag(&layout, "x").args(["--lock-timeout", "30s"]));
    thread::sleep(Duration::from_millis(200));
    fs::remove_file(layout.join("index.json.lock")).expect("there");
    let new = lock_of_another(&layout);
    drop(held);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(waiting.try_wait().expect("it is ours"), None, "it waits for the file that has the name now");
    drop(new);
    assert!(waiting.wait().expect("it ends").success());
    assert_layout_is_sound(&layout);
}

#[test]
fn cra_19_a_lock_dies_with_its_holder() {
    let Some(flock) = tool("flock") else { return };
    let (_home, layout) = context::layout();
    let lock = layout.join("index.json.lock");
    let holder = Companion::start(Command::new(flock).arg("--no-fork").arg(lock).args(["sleep", "600"]));
    let try_tag = || tag(&layout, "x").args(["--lock-timeout", "0"]).output().expect("the binary starts").status.code();
    let deadline = Instant::now() + Duration::from_secs(30);
    while try_tag() != Some(5) {
        assert!(Instant::now() < deadline, "flock holds the lock");
    }
    drop(holder);
    assert_eq!(try_tag(), Some(0));
    assert_layout_is_sound(&layout);
}
