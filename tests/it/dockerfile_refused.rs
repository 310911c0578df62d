//! `larder build` from a Dockerfile: what it says to bad ones, and that no context and no image leads it out of where it may be.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::context::oci;
use crate::support::dockerfile::Kitchen;
use crate::support::image::Ran;
use crate::support::process::{Runs as _, larder, output_within};

/// What stands outside of every context, and must never be in an image.
pub(crate) const OUTSIDE: &str = "nobody else's business";

/// The message of an error, and its causes.
fn told(error: &Value) -> String {
    format!("{} {}", error["message"], error["causes"])
}

#[test]
fn what_is_wrong_has_a_place_and_a_remedy() {
    for (text, code, message, hint) in [
        ("FORM scratch\n", 2, "Dockerfile:1:1: unknown instruction `FORM`", "did you mean `FROM`?"),
        ("FROM scratch\nCOPY --form=x a /\n", 2, "Dockerfile:2:6: `COPY` has no flag `--form`", "did you mean `--from`?"),
        ("FROM scratch\nCOPY a \\\n  \"b\n", 2, "Dockerfile:3:3: ", ""),
        ("FROM scratch\nCOPY <<EOF /x\nno end\n", 2, "Dockerfile:2:6: ", ""),
        ("FROM scratch\nRUN --security=insecure true\n", 6, "Dockerfile:2:5: larder gives no step more rights", ""),
        ("FROM scratch\nRUN --device=sandbox true\n", 6, "Dockerfile:2:5: larder gives no step more rights", ""),
        ("FROM scratch\nADD https://example.org/x /\n", 6, "Dockerfile:2:5: `https://example.org/x` would have to be downloaded", "put it into the context"),
        ("FROM debian\n", 4, "Dockerfile:1:6: there is no image `debian`", "--base oci:DIR"),
        ("FROM scratch\nCOPY nothing /\n", 4, "Dockerfile:2:6: there is no `nothing` to copy", ""),
        ("FROM scratch\nCOPY --chown=app Dockerfile /\n", 4, "Dockerfile:2:6: there is no user `app`: the stage has no /etc/passwd", ""),
        ("\n\n", 2, "Dockerfile", ""),
    ] {
        let kitchen = Kitchen::new(text);
        let error = kitchen.refused(code, &[]);
        assert!(told(&error).contains(message), "{text}: {error}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{text}: {error}");
    }
}

#[test]
fn flags_of_dockerfiles_are_refused_elsewhere() {
    let kitchen = Kitchen::new("FROM scratch\n");
    kitchen.file("larder.toml", "[[layer]]\n[[layer.copy]]\nfrom = \"Dockerfile\"\nto = \"/x\"\n");
    for flag in [&["--target", "x"][..], &["--build-arg", "A=b"], &["--build-context", "a=."], &["--pull"]] {
        let error = kitchen.refused(2, flag);
        assert!(told(&error).contains("goes with a Dockerfile, and this build has none"), "{error}");
    }
    assert_eq!(kitchen.refused(2, &["--base", "oci:a", "--base", "oci:b"])["code"], "usage");
}

#[test]
fn what_is_no_text_is_refused_without_waiting() {
    let kitchen = Kitchen::new("");
    let dockerfile = kitchen.context().join("Dockerfile");
    let refused = || {
        let output = oci(&kitchen.out());
        let ran = Ran::from(output_within(Duration::from_secs(20), &mut kitchen.command(&["-t", "a:1", "-o", &output])));
        assert_eq!(ran.code, Some(2), "{ran:?}");
    };
    fs::write(&dockerfile, b"FROM scratch\nLABEL a=\xff\n").expect("writable");
    refused();
    fs::write(&dockerfile, "#".repeat(20 << 20)).expect("writable");
    refused();
    fs::remove_file(&dockerfile).expect("own file");
    Command::new("mkfifo").arg(&dockerfile).succeeds();
    refused();
    fs::remove_file(&dockerfile).expect("own file");
    fs::create_dir(&dockerfile).expect("writable");
    refused();
}

/// A context beside a file and a directory that are none of its business, with links to them of all kinds.
fn beside_others(dockerfile: &str) -> Kitchen {
    let kitchen = Kitchen::new(dockerfile);
    surround(&kitchen);
    kitchen
}

/// Puts them beside a context, and the links into it.
pub(crate) fn surround(kitchen: &Kitchen) {
    fs::create_dir(kitchen.path("other")).expect("writable");
    fs::write(kitchen.path("other/file"), OUTSIDE).expect("writable");
    let other = kitchen.path("other");
    let other = other.to_str().expect("UTF-8");
    kitchen.link("absolute", other);
    kitchen.link("absolute-file", &format!("{other}/file"));
    kitchen.link("relative", "../other");
    kitchen.link("deep/relative", "../../other");
    kitchen.link("proc", "/proc/self/cwd/../other");
    kitchen.link("fd", "/proc/self/fd/3");
    kitchen.link("self", "..");
    kitchen.file("mine", "mine");
}

/// That no byte of [`OUTSIDE`] is in the image, whatever came of the build.
#[track_caller]
pub(crate) fn nothing_came_in(kitchen: &Kitchen, ran: &Ran) {
    match ran.code {
        Some(0) => assert!(!kitchen.built("amd64").holds(OUTSIDE)),
        code => assert!(matches!(code, Some(2..=4)) && !ran.stderr.contains(OUTSIDE) && !ran.stderr.contains("has no flag"), "{ran:?}"),
    }
}

#[test]
fn no_byte_from_outside_of_the_context_comes_in() {
    let kitchen = beside_others("");
    for source in [
        "absolute/file",
        "absolute/",
        "absolute",
        "absolute-file",
        "relative/file",
        "relative",
        "deep/relative/file",
        "deep/../../other/file",
        "../other/file",
        "../other",
        "/../other/file",
        "../../../../../../../etc/hostname",
        "proc/file",
        "proc",
        "fd",
        "self/other/file",
        "self/../other/file",
        "r*/file",
        "abs*",
        "*/file",
        "*/relative/*",
        "**/file",
        "deep/**",
        "self/*",
        ".",
        "..",
        "/",
    ] {
        for instruction in ["COPY", "COPY --parents", "ADD --link"] {
            kitchen.file("Dockerfile", format!("FROM scratch\n{instruction} {source} /in/\n"));
            nothing_came_in(&kitchen, &kitchen.build(&[]));
        }
    }
}

#[test]
fn links_of_contexts_with_names_lead_nowhere_either() {
    for source in ["absolute/file", "relative/file", "../other/file", "."] {
        let kitchen = beside_others(&format!("FROM scratch\nCOPY --from=named {source} /in/\n"));
        let named = format!("named={}", kitchen.context().display());
        nothing_came_in(&kitchen, &kitchen.build(&["--build-context", &named]));
    }
}

#[test]
fn the_context_may_be_behind_a_link_and_the_file_elsewhere() {
    let kitchen = beside_others("FROM scratch\nCOPY mine other* /\n");
    let link = kitchen.path("link");
    symlink(kitchen.context(), &link).expect("writable");
    let dockerfile = kitchen.path("Dockerfile.elsewhere");
    fs::rename(kitchen.context().join("Dockerfile"), &dockerfile).expect("renamed");
    let output = oci(&kitchen.out());
    let arguments = ["-f", dockerfile.to_str().expect("UTF-8"), "--platform", "linux/amd64", "-t", "app:1", "--no-cache", "-o", &output];
    larder().arg("build").arg(&link).args(arguments).succeeds();
    assert_eq!(kitchen.built("amd64").layer(0), ["mine"]);
}

/// A context with this file, which is to be left out, and links to it.
fn with_secret(secret: &str) -> Kitchen {
    let kitchen = Kitchen::new("FROM scratch\nCOPY . /in/\n");
    kitchen.file(secret, OUTSIDE);
    kitchen.file("dir/open", "open");
    kitchen.file("x/open", "open");
    kitchen.link("link", secret);
    kitchen.link("d/link", &format!("../{secret}"));
    kitchen.link("dir-link", "dir");
    assert!(kitchen.image(&[]).holds(OUTSIDE), "without a list it is there");
    kitchen
}

#[test]
fn what_is_left_out_is_reached_by_no_other_way() {
    let of_top = ["secret", "./secret", "/secret", "x/../secret", "s*", "sec[r]et", "link", "d/link", ".", "**/secret"];
    let of_directory = ["dir/secret", "dir/../dir/secret", "dir", "dir-link/secret", "dir-link", "link", "**/secret", "d*/s*", "/"];
    for (secret, sources, lists) in [
        ("secret", &of_top[..], &["secret", "/secret", "./secret", "x/../secret", "\u{feff}  secret  ", "#x\nsecret", "secret\n!secret/x", "*\n!d\n!link"][..]),
        ("secret", &["secret", ".", "s*"], &["s?cret", "*", "**", "**/secret", "*ecret", "[r-t]ecret", "sec\\ret", "*\n!x"]),
        ("dir/secret", &of_directory, &["dir", "dir/", "*/secret", "dir/*"]),
        ("dir/secret", &["dir/secret", ".", "dir*"], &["**\n!dir\ndir/s*", "d*", "*\n!dir/open", "**/secret", "!dir/secret\ndir"]),
    ] {
        let kitchen = with_secret(secret);
        for list in lists {
            kitchen.file(".dockerignore", list);
            for source in sources {
                for instruction in ["COPY", "COPY --parents", "ADD"] {
                    kitchen.file("Dockerfile", format!("FROM scratch\n{instruction} {source} /in/\n"));
                    nothing_came_in(&kitchen, &kitchen.build(&[]));
                }
            }
        }
    }
}

#[test]
fn links_of_a_stage_lead_nowhere_but_into_its_root() {
    let home = crate::support::process::temp();
    let victim = home.path().join("victim");
    fs::create_dir(&victim).expect("writable");
    fs::write(victim.join("file"), OUTSIDE).expect("writable");
    let victim_path = victim.to_str().expect("UTF-8").to_owned();
    let kitchen = Kitchen::new(&format!(
        "FROM scratch AS evil\nCOPY links /\nFROM evil\nCOPY mine /absolute/file\nCOPY mine /up/file\nCOPY mine /dangling\nCOPY mine {victim_path}/x\nWORKDIR /absolute/work\n\
         ADD mine.tar /up/\n"
    ));
    kitchen.file("mine", "mine");
    kitchen.link("links/absolute", &victim_path);
    kitchen.link("links/up", &format!("../../../../../../../..{victim_path}"));
    kitchen.link("links/dangling", &format!("{victim_path}/new"));
    Command::new("tar").current_dir(kitchen.context()).args(["-cf", "mine.tar", "mine"]).succeeds();
    let image = kitchen.image(&[]);
    let inside = victim_path.trim_start_matches('/');
    for name in ["file", "new", "x", "work", "mine"] {
        assert!(image.entries().contains_key(&format!("{inside}/{name}")), "{name}: {:?}", image.listing());
    }
    assert_eq!(fs::read_to_string(victim.join("file")).expect("there"), OUTSIDE);
    assert_eq!(fs::read_dir(&victim).expect("listed").count(), 1);

    // What a stage has there is its own, never what this machine has there.
    kitchen.file("Dockerfile", "FROM scratch AS evil\nCOPY links /\nFROM scratch\nCOPY --from=evil /absolute/file /f\n");
    let error = kitchen.refused(4, &[]);
    assert!(told(&error).contains("there is no `/absolute/file` to copy"), "{error}");
    kitchen.file("Dockerfile", "FROM scratch AS evil\nCOPY links /\nFROM scratch\nCOPY --from=evil / /all/\n");
    assert_eq!(kitchen.image(&[]).layer(0), ["all/", "all/absolute", "all/dangling", "all/up"]);
    kitchen.file("links/loop/x", "");
    kitchen.link("links/a", "b");
    kitchen.link("links/b", "a");
    kitchen.file("Dockerfile", "FROM scratch AS evil\nCOPY links /\nFROM evil\nCOPY mine /a/x\n");
    assert!(told(&kitchen.refused(2, &[])).contains("more than 40 symbolic links"));
}

#[test]
fn tables_of_users_are_those_of_the_stage() {
    let kitchen = Kitchen::new("FROM scratch\nCOPY links /\nCOPY --chown=root mine /m\n");
    kitchen.file("mine", "mine");
    // This machine knows a root, but the stage has no table, only a link to where this machine has one.
    kitchen.link("links/etc", "/proc/1/root/etc");
    let error = kitchen.refused(4, &[]);
    assert!(told(&error).contains("/etc/passwd"), "{error}");
}

#[test]
fn archives_in_the_context_lead_nowhere() {
    let kitchen = Kitchen::new("FROM scratch\nADD evil.tar /in/\n");
    let victim = kitchen.path("victim");
    fs::write(&victim, OUTSIDE).expect("writable");
    let script = "import io, sys, tarfile\n\
        tar = tarfile.open(sys.argv[1], 'w')\n\
        def add(name, **more):\n\
        \x20   info = tarfile.TarInfo(name)\n\
        \x20   content = b'evil' if 'type' not in more else b''\n\
        \x20   info.size = len(content)\n\
        \x20   for key, value in more.items(): setattr(info, key, value)\n\
        \x20   tar.addfile(info, io.BytesIO(content))\n\
        for name, more in eval(sys.argv[2]): add(name, **more)\n\
        tar.close()\n";
    let victim_path = victim.to_str().expect("UTF-8").to_owned();
    for entries in [
        "[('../victim', {})]".to_owned(),
        format!("[('{victim_path}', {{}})]"),
        format!("[('link', dict(type=tarfile.SYMTYPE, linkname='{victim_path}')), ('link', {{}})]"),
        "[('d', dict(type=tarfile.SYMTYPE, linkname='../../..')), ('d/victim', {})]".to_owned(),
        format!("[('hard', dict(type=tarfile.LNKTYPE, linkname='{victim_path}'))]"),
        "[('hard', dict(type=tarfile.LNKTYPE, linkname='../victim'))]".to_owned(),
        "[('.wh..wh..opq', {}), ('.wh.x', {})]".to_owned(),
        "[('device', dict(type=tarfile.CHRTYPE, devmajor=1, devminor=3))]".to_owned(),
    ] {
        let archive = kitchen.context().join("evil.tar");
        Command::new("python3").arg("-c").arg(script).arg(&archive).arg(&entries).succeeds();
        let ran = kitchen.build(&[]);
        nothing_came_in(&kitchen, &ran);
        if ran.code == Some(0) {
            let image = kitchen.built("amd64");
            assert!(image.entries().keys().all(|name| name == "in" || name.starts_with("in/")), "{entries}: {:?}", image.listing());
        }
        assert_eq!(fs::read_to_string(&victim).expect("there"), OUTSIDE, "{entries}");
    }
}
