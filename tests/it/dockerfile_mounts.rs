//! What `RUN --mount` mounts: nothing from outside of contexts and stages, caches as they are to be shared, and files of Docker's that no layer has.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::dockerfile_refused::{OUTSIDE, nothing_came_in, surround};
use crate::support::context::oci;
use crate::support::dockerfile::{Image, Kitchen};
use crate::support::image::Ran;
use crate::support::process::{Runs as _, larder, output_within};

/// Shell that waits until everybody is there who writes to the cache `/meet`, and fails where that is never so.
fn meet(who: &str, all: &[&str]) -> String {
    let there = all.iter().map(|name| format!("[ -e /meet/{name} ]")).collect::<Vec<_>>().join(" && ");
    format!("touch /meet/{who}; n=0; until {there}; do n=$((n+1)); [ $n -lt 300 ] || exit 9; sleep 0.1; done")
}

/// The mount of that cache.
const MEET: &str = "--mount=type=cache,id=meet,target=/meet";

/// A build of `app:1` for amd64 without a build cache.
fn uncached(kitchen: &Kitchen, out: &Path, more: &[&str]) -> Command {
    let mut command = larder();
    command.arg("build").arg(kitchen.context()).args(["--no-cache", "--format", "json", "--base", &kitchen.bases()]);
    command.args(["--platform", "linux/amd64", "-t", "app:1", "-o", &oci(out)]).args(more);
    command
}

#[test]
fn no_byte_from_outside_of_the_context_is_mounted() {
    let Some(kitchen) = Kitchen::with_shell("") else { return };
    surround(&kitchen);
    let (bases, other) = (kitchen.bases(), kitchen.path("other"));
    let named = format!("named={}", kitchen.context().display());
    let build = |mount: &str| {
        let read = "find /in -type f -exec cat {} + >/seen 2>/dev/null; cat /in/file /in/other/file /in/relative/file >>/seen 2>/dev/null; true";
        let seed = format!("FROM shell:1 AS seed\nRUN ln -s {} /absolute && ln -s / /up && mkdir /d && ln -s ../../../../../.. /d/relative\n", other.display());
        kitchen.file("Dockerfile", format!("{seed}FROM shell:1\nRUN --mount={mount},target=/in {read}\n"));
        kitchen.build(&["--base", &bases, "--build-context", &named])
    };
    for mount in ["source=mine", "from=named,source=mine,rw"] {
        assert_eq!(build(mount).code, Some(0));
        assert!(kitchen.built("amd64").holds("mine"), "what is there is seen: {mount}");
    }
    let links = ["absolute/file", "absolute", "deep/relative/file", "proc/file", "self/other"];
    let ways = ["../other", "/../other/file", "deep/../../other", "."];
    for (number, source) in links.iter().chain(&ways).enumerate() {
        for mount in [format!("source={source}"), format!("type=cache,id={number},from=named,source={source}")] {
            nothing_came_in(&kitchen, &build(&mount));
        }
    }
    let real = other.to_str().expect("UTF-8");
    for source in ["absolute/file", "absolute", real, &format!("up/{real}"), &format!("d/relative{real}/file"), &format!("../../../..{real}")] {
        for mount in [format!("from=seed,source={source}"), format!("type=cache,id={source},from=seed,source={source}")] {
            nothing_came_in(&kitchen, &build(&mount));
        }
    }
    assert_eq!(fs::read_to_string(other.join("file")).expect("there"), OUTSIDE);
}

#[test]
fn who_shares_a_cache_shares_it_as_it_says() {
    let step = |who: &str, sharing: &str, script: &str| {
        format!("RUN {MEET} --mount=type=cache,id=own,target=/c,sharing={sharing} {}; {script}\n", meet(who, &["one", "two"]))
    };
    let text = |sharing: &str, script: &dyn Fn(&str) -> String| {
        let (one, two) = (step("one", sharing, &script("one")), step("two", sharing, &script("two")));
        format!("FROM shell:1 AS first\n{one}FROM shell:1 AS second\n{two}FROM shell:1\nCOPY --from=first /out /1\nCOPY --from=second /out /2\n")
    };
    let seen = |image: &Image| (image.read("1"), image.read("2"));
    // They are there at the same time: with a cache for all, each sees what the other did.
    let both =
        |who: &str| format!("touch /c/{who}; n=0; until [ -e /c/one ] && [ -e /c/two ]; do n=$((n+1)); [ $n -lt 300 ] || exit 9; sleep 0.1; done; ls /c >/out");
    let Some(kitchen) = Kitchen::with_shell(&text("shared", &both)) else { return };
    let bases = kitchen.bases();
    let image = kitchen.image(&["--base", &bases, "--jobs", "2"]);
    assert_eq!(seen(&image), ("one\ntwo\n".into(), "one\ntwo\n".into()));
    // Private: who comes second gets one of its own.
    let own = |who: &str| {
        format!(
            "touch /c/private-{who}; touch /meet/done-{who}; n=0; until [ -e /meet/done-one ] && [ -e /meet/done-two ]; do n=$((n+1)); [ $n -lt 300 ] || exit 9; sleep 0.1; done; ls /c | grep private >/out"
        )
    };
    kitchen.file("Dockerfile", text("private", &own));
    for cache in ["kept", "for this build"] {
        let image = match cache {
            "kept" => kitchen.image(&["--base", &bases, "--jobs", "2"]),
            _ => {
                let out = kitchen.path("uncached");
                uncached(&kitchen, &out, &["--jobs", "2"]).succeeds();
                Image::of(&out, "1", "amd64")
            }
        };
        assert_eq!(seen(&image), ("private-one\n".into(), "private-two\n".into()), "{cache}");
    }
}

#[test]
fn who_locks_a_cache_has_it_alone() {
    // The strictest of its mounts counts.
    let mounts = "--mount=type=cache,id=/c,target=/also --mount=type=cache,target=/c,sharing=locked";
    let step = |who: &str| format!("RUN {mounts} echo {who} >>/c/log; sleep 0.5; echo {who} >>/c/log; cp /c/log /out\n");
    let text = format!(
        "FROM shell:1 AS first\n{}FROM shell:1 AS second\n{}FROM shell:1\nCOPY --from=first /out /1\nCOPY --from=second /out /2\n",
        step("one"),
        step("two")
    );
    let Some(kitchen) = Kitchen::with_shell(&text) else { return };
    let bases = kitchen.bases();
    let kept = kitchen.image(&["--base", &bases, "--jobs", "2"]);
    let out = kitchen.path("uncached");
    uncached(&kitchen, &out, &["--jobs", "2"]).succeeds();
    for image in [kept, Image::of(&out, "1", "amd64")] {
        let mut logs = [image.read("1"), image.read("2")];
        logs.sort_by_key(String::len);
        assert!(matches!(logs[0].as_str(), "one\none\n" | "two\ntwo\n"), "{logs:?}");
        assert!(matches!(logs[1].as_str(), "one\none\ntwo\ntwo\n" | "two\ntwo\none\none\n"), "{logs:?}");
    }
}

/// Who locked it first would wait for a stage that waits for the lock.
#[test]
fn a_cache_that_begins_with_a_stage_is_locked_when_the_stage_is_there() {
    let Some(kitchen) = Kitchen::with_shell(
        "FROM shell:1 AS seed\nRUN mkdir /s && echo seed >/s/f && sleep 1\nRUN --mount=type=cache,id=x,target=/c,sharing=locked echo mine >/c/own\n\
        FROM shell:1\nRUN --mount=type=cache,id=x,target=/c,from=seed,source=/s,sharing=locked ls /c >/list\n",
    ) else {
        return;
    };
    let mut build = kitchen.command(&["--base", &kitchen.bases(), "--platform", "linux/amd64", "--jobs", "2", "-t", "app:1", "-o", &oci(&kitchen.out())]);
    let ran = Ran::from(output_within(Duration::from_secs(100), &mut build));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(kitchen.built("amd64").read("list"), "own\n");
}

#[test]
fn platforms_are_built_at_the_same_time() {
    let text = format!(
        "FROM --platform=$BUILDPLATFORM shell:1 AS tools\nARG TARGETARCH\nRUN {MEET} {}; echo $TARGETARCH >/out\nFROM shell:1\nCOPY --from=tools /out /out\n",
        meet("$TARGETARCH", &["amd64", "arm64"])
    );
    let Some(kitchen) = Kitchen::with_shell(&text) else { return };
    kitchen.image(&["--base", &kitchen.bases(), "--platform", "linux/arm64,linux/amd64", "--jobs", "2"]);
    for architecture in ["amd64", "arm64"] {
        assert_eq!(kitchen.built(architecture).read("out"), format!("{architecture}\n"));
    }
}

#[test]
fn without_the_cache_steps_are_done_again_and_begin_with_empty_caches() {
    let Some(kitchen) = Kitchen::with_shell("FROM shell:1\nARG A\nRUN --mount=type=cache,target=/c ls /c >/list; touch /c/$A\n") else { return };
    let bases = kitchen.bases();
    let build = |a: &str| kitchen.image(&["--base", &bases, "--build-arg", &format!("A={a}")]);
    assert_eq!((build("1").read("list"), build("2").read("list")), (String::new(), "1\n".into()));
    assert_eq!(build("2").cached_and_made(), (1, 0));
    let out = kitchen.path("uncached");
    let ran = Ran::from(uncached(&kitchen, &out, &["--build-arg", "A=2"]).output().expect("the binary starts"));
    assert_eq!((ran.code, &ran.json()["layers"][0]["cached"]), (Some(0), &false.into()), "{ran:?}");
    assert_eq!(Image::of(&out, "1", "amd64").read("list"), "");
    // What was kept is as it was.
    assert_eq!(build("3").read("list"), "1\n2\n");
}

/// Docker gives a step these files, and whatever the step does to them, they are those of the base in the image.
#[test]
fn names_of_the_machine_are_in_no_layer() {
    let Some(kitchen) = Kitchen::with_shell(
        "FROM shell:1 AS base\nCOPY hosts resolv.conf /etc/\nFROM base\n\
        RUN cp /etc/hosts /seen && echo 10.0.0.1 mine >>/etc/hosts; echo nameserver 10.0.0.2 >>/etc/resolv.conf; chmod 600 /etc/hosts; echo other >/etc/other\n\
        RUN rm -f /etc/hosts /etc/resolv.conf 2>/dev/null; true\nRUN cp /etc/hosts /again\n",
    ) else {
        return;
    };
    kitchen.file("hosts", "of the base");
    kitchen.file("resolv.conf", "of the base");
    let image = kitchen.image(&["--base", &kitchen.bases()]);
    for name in ["seen", "again"] {
        let seen = image.read(name);
        assert!(seen.contains("localhost") && !seen.contains("of the base") && !seen.contains("mine"), "{seen}");
    }
    let above: Vec<String> = (2..image.layers().len()).flat_map(|layer| image.layer(layer)).collect();
    assert_eq!(above, ["etc/", "etc/other", "seen", "again"]);
    let tree = kitchen.path("tree");
    larder().args(["unpack", "--quiet", &format!("{}:app:1", oci(&kitchen.out()))]).arg(&tree).succeeds();
    for name in ["etc/hosts", "etc/resolv.conf"] {
        assert_eq!(fs::read_to_string(tree.join(name)).expect("there"), "of the base", "{name}");
    }
}
