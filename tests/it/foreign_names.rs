//! Names that come with images out of archives: they take nothing from anybody.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::forge::{Forge, LAYER, MANIFEST};
use crate::support::image::{Ran, json as report, ran, read_index, succeeded};
use crate::support::process::{Runs as _, temp};
use crate::support::sound::assert_layout_is_sound;
use crate::support::tape;

const SCHEMES: [&str; 2] = ["oci-archive", "docker-archive"];

/// A directory with stores.
struct Place(TempDir);

impl Place {
    /// `ours` has an image under each of these names; the archives `new.SCHEME` have another under each of those.
    fn new(ours: &[&str], theirs: &[&str]) -> Place {
        let place = Place(temp());
        place.fill("ours", "ours", ours);
        let forge = forge("theirs", theirs);
        for scheme in SCHEMES {
            succeeded(&["copy", "--all-names", &location("oci", forge.path()), &place.at(scheme, &format!("new.{scheme}"))]);
        }
        place
    }

    /// Adds to a layout an image of its own under each name.
    fn fill(&self, layout: &str, content: &str, names: &[&str]) {
        succeeded(&["copy", "--all-names", &location("oci", forge(content, names).path()), &self.at("oci", layout)]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, scheme: &str, rest: &str) -> String {
        format!("{scheme}:{}/{rest}", self.0.path().display())
    }

    /// Names and what they stand on.
    fn names(&self, layout: &str) -> Vec<(String, String)> {
        let report = report(&["list", &self.at("oci", layout)]);
        let mut names: Vec<_> = report["names"].as_array().expect("a list").iter().map(name).collect();
        names.sort();
        names
    }
}

fn name(entry: &Value) -> (String, String) {
    (entry["name"].as_str().unwrap_or("-").to_owned(), entry["digest"].as_str().expect("a digest").to_owned())
}

fn location(scheme: &str, path: &Path) -> String {
    format!("{scheme}:{}", path.display())
}

/// A layout with one image for each name, tags alone or full.
fn forge(content: &str, names: &[&str]) -> Forge {
    let forge = Forge::new();
    for name in names {
        let image = forge.image(LAYER, &tape::tar(&[tape::file("file", format!("{content} {name}").as_str())]));
        if name.contains(':') { forge.enter_as(name, &image.manifest) } else { forge.enter(name, &image.manifest) }
    }
    forge
}

/// That larder refused to move `names`, and said what to do.
#[track_caller]
fn refused(ran: &Ran, names: &[&str]) {
    let error = ran.error();
    assert_eq!((ran.code, error["code"].as_str(), ran.stdout.as_str()), (Some(5), Some("conflict"), ""), "{ran:?}");
    let message = error["message"].as_str().expect("text");
    assert!(names.iter().all(|name| message.contains(&format!("`{name}`"))), "{message}");
    assert_eq!(error["subject"], names[0]);
    let hint = error["hint"].as_str().expect("text");
    assert!(hint.contains("--force") && hint.contains("--prefix"), "{hint}");
}

const APP: &str = "docker.io/library/app:1";
const OTHER: &str = "registry.example/team/app:1";

#[test]
fn arc_17_names_that_an_archive_gives_move_no_others() {
    for scheme in SCHEMES {
        let place = Place::new(&[APP, OTHER, "stable"], &[APP, "registry.example/team/new:1", "stable"]);
        let (archive, ours) = (place.at(scheme, &format!("new.{scheme}")), place.at("oci", "ours"));
        let before = fs::read(place.path("ours/index.json")).expect("there");
        let copy = |more: &[&str]| ran(&[&["copy", "--all-names", &archive, &ours, "--format", "json"], more].concat());
        // In a docker-archive a tag alone is a name as in an oci-archive: it is an image layout too.
        refused(&copy(&[]), &[APP, "stable"]);
        refused(&copy(&["--dry-run"]), &[APP, "stable"]);
        assert_eq!(fs::read(place.path("ours/index.json")).expect("there"), before);
        assert_eq!(assert_layout_is_sound(&place.path("ours")).names.len(), 3);

        let forced = copy(&["--force"]);
        assert_eq!(forced.code, Some(0), "{forced:?}");
        let moved = forced.json()["names"].as_array().expect("a list").iter().filter(|name| name.get("moved_from").is_some()).count();
        assert_eq!((moved, place.names("ours").len()), (2, 4));
        // What a person sees of it is enough to take it back.
        let undone = Place::new(&["stable"], &["stable"]);
        let before = undone.names("ours");
        let told = succeeded(&["copy", "--force", &undone.at(scheme, &format!("new.{scheme}")), &undone.at("oci", "ours")]).stdout;
        assert!(told.contains(&before[0].1), "{told}");
        assert_eq!(copy(&[]).code, Some(0), "names that stand on the same image are no others");
    }
}

#[test]
fn arc_17_the_only_image_of_an_archive_moves_no_name_either() {
    let place = Place::new(&["stable"], &["stable"]);
    for scheme in SCHEMES {
        let archive = place.at(scheme, &format!("new.{scheme}"));
        refused(&ran(&["copy", &archive, &place.at("oci", "ours"), "--format", "json"]), &["stable"]);
        // Nor where the scheme is not written, nor in an archive.
        refused(&ran(&["copy", archive.split_once(':').expect("a scheme").1, &place.at("oci", "ours"), "--format", "json"]), &["stable"]);
        let packed = place.at(scheme, &format!("ours.{scheme}"));
        succeeded(&["copy", "--all-names", &place.at("oci", "ours"), &packed]);
        let before = fs::read(place.path(&format!("ours.{scheme}"))).expect("there");
        refused(&ran(&["copy", &archive, &packed, "--format", "json"]), &["stable"]);
        assert!(fs::read(place.path(&format!("ours.{scheme}"))).expect("there") == before);
    }
}

#[test]
fn names_that_are_written_in_the_call_and_those_of_layouts_move() {
    for scheme in SCHEMES {
        for (chosen, given) in [(":stable", ""), ("", ":stable")] {
            let place = Place::new(&["stable"], &["stable"]);
            let report = report(&["copy", &place.at(scheme, &format!("new.{scheme}{chosen}")), &place.at("oci", &format!("ours{given}"))]);
            assert!(report["names"][0]["moved_from"].is_string(), "{scheme} {report}");
        }
    }
    let place = Place::new(&["stable"], &["stable"]);
    place.fill("layout", "theirs", &["stable"]);
    let report = report(&["copy", "--all-names", &place.at("oci", "layout"), &place.at("oci", "ours")]);
    assert!(report["names"][0]["moved_from"].is_string(), "{report}");
}

#[test]
fn arc_17_a_short_form_writes_no_name_in_full() {
    let place = Place::new(&[OTHER, APP], &[OTHER, APP]);
    for scheme in SCHEMES {
        for (short, name) in [("1", None), ("team/app:1", None), (OTHER, Some(OTHER)), ("app:1", Some(APP))] {
            let place = if name.is_some() { &Place::new(&[OTHER, APP], &[OTHER, APP]) } else { &place };
            let ran = ran(&["copy", &place.at(scheme, &format!("new.{scheme}:{short}")), &place.at("oci", "ours"), "--format", "json"]);
            match name {
                // Two images have the tag, and none the name.
                None => assert!(matches!(ran.code, Some(2 | 4)), "{short}: {ran:?}"),
                Some(name) => assert_eq!((ran.json()["names"][0]["name"].as_str(), ran.code), (Some(name), Some(0)), "{short}"),
            }
        }
        let place = Place::new(&[OTHER], &[OTHER]);
        refused(&ran(&["copy", &place.at(scheme, &format!("new.{scheme}:1")), &place.at("oci", "ours"), "--format", "json"]), &[OTHER]);
        succeeded(&["copy", &place.at(scheme, &format!("new.{scheme}:1")), &place.at("oci", &format!("ours:{OTHER}"))]);
    }
}

/// `stable` is also what people call `docker.io/library/stable:latest`, and a full name is found before a tag alone.
#[test]
fn arc_17_no_full_name_comes_before_a_name_that_is_there() {
    for scheme in SCHEMES {
        for (ours, theirs) in [("stable", "docker.io/library/stable:latest"), ("team/app:1", "docker.io/team/app:1")] {
            let place = Place::new(&[], &[theirs]);
            let forge = Forge::new();
            forge.enter(ours, &forge.image(LAYER, &tape::tar(&[tape::file("file", "ours")])).manifest);
            succeeded(&["copy", "--all-names", &location("oci", forge.path()), &place.at("oci", "ours")]);
            let copy = |more: &[&str]| {
                let (from, to) = (place.at(scheme, &format!("new.{scheme}")), place.at("oci", "ours"));
                ran(&[&["copy", "--all-names", &from, &to, "--format", "json"], more].concat())
            };
            refused(&copy(&[]), &[ours]);
            assert_eq!(copy(&["--force"]).code, Some(0));
            assert_eq!(place.names("ours").len(), 2, "they are two names all the same");
        }
    }
}

#[test]
fn a_name_that_one_source_may_move_is_not_refused_for_another() {
    let place = Place::new(&["stable"], &["stable"]);
    succeeded(&["copy", "--all-names", &place.at("oci-archive", "new.oci-archive"), &place.at("oci", "theirs")]);
    let sources = [place.at("oci", "theirs:stable"), place.at("oci-archive", "new.oci-archive")];
    succeeded(&["copy", &sources[0], &sources[1], &place.at("oci", "ours")]);
}

/// What --force would not help with is told without it.
#[test]
fn one_name_on_two_images_of_an_archive_is_told_as_that() {
    let place = Place::new(&[], &[]);
    let forge = forge("x", &["stable"]);
    place.fill("ours", "x", &["stable"]);
    forge.enter("stable", &forge.image(LAYER, &tape::tar(&[tape::file("other", "")])).manifest);
    Command::new("tar").arg("-cf").arg(place.path("twice.tar")).arg("-C").arg(forge.path()).arg(".").succeeds();
    let before = place.names("ours");
    let ran = ran(&["copy", "--all-names", &place.at("oci-archive", "twice.tar"), &place.at("oci", "ours"), "--format", "json"]);
    assert!(ran.code == Some(5) && ran.error()["message"].as_str().is_some_and(|message| message.contains("would stand on two images")), "{ran:?}");
    assert_eq!(place.names("ours"), before);
}

/// Whoever copies one image with its attachments names that image, and not what is attached.
#[test]
fn arc_17_what_is_attached_moves_no_names() {
    let place = Place::new(&["stable"], &[]);
    let forge = forge("theirs", &["app"]);
    let subject = read_index(forge.path())["manifests"][0].clone();
    let empty = forge.put("application/vnd.oci.empty.v1+json", b"{}");
    let subject = json!({"mediaType": MANIFEST, "digest": subject["digest"], "size": subject["size"]});
    let signature = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [], "subject": subject});
    forge.enter("stable", &forge.document(MANIFEST, &signature));
    let archive = place.at("oci-archive", "signed.tar");
    succeeded(&["copy", "--all-names", &location("oci", forge.path()), &archive]);
    let copy = |more: &[&str]| ran(&[&["copy", "--referrers", &format!("{archive}:app"), &place.at("oci", "ours"), "--format", "json"], more].concat());
    refused(&copy(&[]), &["stable"]);
    assert_eq!(place.names("ours").len(), 1);
    assert_eq!(copy(&["--force"]).code, Some(0));
    assert_eq!(place.names("ours").len(), 2);
}

#[test]
fn arc_17_a_prefix_brings_all_names_under_one_repository() {
    for scheme in SCHEMES {
        let place = Place::new(&[APP, OTHER, "stable"], &[APP, "registry.example/team/new:1", "stable"]);
        let (archive, ours) = (place.at(scheme, &format!("new.{scheme}")), place.at("oci", "ours"));
        let before = place.names("ours");
        let copy = |more: &[&str]| ran(&[&["copy", "--all-names", "--prefix", "mirror.example/in", &archive, &ours, "--format", "json"], more].concat());
        let expected = ["mirror.example/in/library/app:1", "mirror.example/in/team/new:1", "mirror.example/in:stable"];
        let planned = copy(&["--dry-run"]).json();
        assert_eq!(place.names("ours"), before);
        let report = copy(&[]).json();
        assert_eq!(planned["names"], report["names"]);
        let mut told: Vec<_> = report["names"].as_array().expect("a list").iter().map(name).collect();
        told.sort();
        assert_eq!(told.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), expected);
        let mut after = [before, told].concat();
        after.sort();
        assert_eq!(place.names("ours"), after);
        assert_layout_is_sound(&place.path("ours"));
        // One image alone, and a name there that stands on another image.
        place.fill("ours", "ours", &["mirror.example/in/team/new:2"]);
        refused(
            &ran(&["copy", "--all-names", "--prefix", "mirror.example/in", &other(&place, scheme), &ours, "--format", "json"]),
            &["mirror.example/in/team/new:2"],
        );
    }
}

/// An archive with one more image.
fn other(place: &Place, scheme: &str) -> String {
    let archive = place.at(scheme, &format!("other.{scheme}"));
    succeeded(&["copy", &location("oci", forge("theirs", &["registry.example/team/new:2"]).path()), &archive]);
    archive
}

#[test]
fn a_prefix_that_does_not_fit_is_refused_before_anything_is_written() {
    let place = Place::new(&["stable"], &[APP, OTHER, "stable"]);
    let archive = place.at("oci-archive", "new.oci-archive");
    let copy = |prefix: &str, to: &str, more: &[&str]| ran(&[&["copy", "--prefix", prefix, "--format", "json", &archive, &place.at("oci", to)], more].concat());
    let all = &["--all-names"][..];
    for (prefix, to, more, told) in [
        ("mirror.example", "to", all, "`stable` is a tag alone"),
        ("mirror.example/A", "to", all, "invalid prefix `mirror.example/A`"),
        ("mirror", "to", all, "it does not begin with a host"),
        ("mirror.example/in:1", "to", all, "it has a tag or a digest"),
        ("mirror.example/in", "to:1", &[], "the copy is to be called `1`"),
        ("mirror.example/in", "to", &["--tag", "1"], "cannot be used with"),
    ] {
        let ran = copy(prefix, to, more);
        assert!(ran.code == Some(2) && ran.stderr.contains(told), "{told}: {ran:?}");
        assert!(!place.path("to").exists());
    }
    // A name that is chosen is not the one that it becomes.
    place.fill("ours", "ours", &["mirror.example/in/team/app:1"]);
    refused(
        &ran(&["copy", "--prefix", "mirror.example/in", &format!("{archive}:{OTHER}"), &place.at("oci", "ours"), "--format", "json"]),
        &["mirror.example/in/team/app:1"],
    );
    // Both are called app:1, and without their hosts one would hide the other.
    place.fill("hosts", "ours", &["a.example/team/app:1", "b.example/team/app:1"]);
    let ran = ran(&["copy", "--all-names", "--prefix", "mirror.example", &place.at("oci", "hosts"), &place.at("oci", "to"), "--format", "json"]);
    assert_eq!((ran.code, ran.error()["subject"].as_str()), (Some(5), Some("mirror.example/team/app:1")), "{ran:?}");
    assert!(!place.path("to").exists());
}

#[test]
fn names_without_a_place_under_the_prefix_are_told_and_their_images_come_all_the_same() {
    let forge = forge("theirs", &["app"]);
    let image = forge.image(LAYER, &tape::tar(&[tape::file("odd", "")]));
    forge.enter("no tag and no repository", &image.manifest);
    let place = Place(temp());
    let ran = succeeded(&["copy", "--all-names", "--prefix", "mirror.example/in", &location("oci", forge.path()), &place.at("oci", "to"), "--format", "json"]);
    assert!(ran.stderr.contains("comes without its name `no tag and no repository`"), "{ran:?}");
    let names: Vec<_> = place.names("to").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["-", "mirror.example/in:app"]);
}
