//! Many images between layouts and registries.

use std::collections::BTreeSet;

use super::*;
use crate::error::ErrorKind;
use crate::spec::Digest;
use crate::sync::{Attached, Existing, Lacking, Rename, Renames, Tags};

const TO: &str = "docker://r.example/mirror/";

/// Some images in two repositories: `one:1`, `one:2` and `one:latest`, which is the same as `one:2`, and `two:1`.
fn stocked() -> Bench {
    let bench = Bench::new();
    let layout = &bench.layout;
    let (one, two, other) = (index(layout, "one"), index(layout, "two"), index(layout, "other"));
    name(layout, &one, "x.example/one:1");
    name(layout, &two, "x.example/one:2");
    name(layout, &two, "x.example/one:latest");
    name(layout, &other, "x.example/team/two:1");
    bench
}

fn count(asked: &[String], what: &str) -> usize {
    asked.iter().filter(|asked| asked.starts_with(what)).count()
}

#[test]
fn a_whole_layout_comes_to_repositories_and_unchanged_costs_one_request_for_each_tag() {
    let bench = stocked();
    let report = bench.execute(bench.route("oci:images", TO));
    let targets = ["r.example/mirror/one:latest", "r.example/mirror/one:1", "r.example/mirror/one:2", "r.example/mirror/team/two:1"];
    assert_eq!(states(&report), targets.map(|target| (State::Copied, target.to_owned())));
    assert_eq!(report.verdict(), None);
    let asked = bench.asked();
    // Three images of two platforms; the base goes to the registry once, and to the second repository by a mount.
    assert_eq!((count(&asked, "PUT"), count(&asked, "MOUNT"), count(&asked, "TAG ")), (3 * (1 + 2 + 2 + 2) + 1, 1, 4), "{asked:#?}");
    assert!(report.content.taken.count >= 1);
    let index = bench.layout.index().expect("there");
    for entry in &index.manifests {
        let name = ImageName::of(entry).expect("a name").to_string().replace("x.example", "r.example/mirror");
        assert_eq!(bench.hosts.tags()[&name], entry.digest);
    }

    let again = bench.execute(bench.route("oci:images", TO));
    assert_eq!((again.counts.unchanged, again.content.copied.count), (4, 0));
    assert_eq!(
        bench.asked(),
        ["HEAD 1 r.example/mirror/one", "HEAD 1 r.example/mirror/team/two", "HEAD 2 r.example/mirror/one", "HEAD latest r.example/mirror/one"]
    );
}

#[test]
fn tags_on_one_image_are_one_piece_of_work() {
    let bench = stocked();
    bench.execute(bench.route("oci:images:x.example/one:2", "docker://r.example/a"));
    bench.asked();
    let report = bench.execute(bench.route(&format!("oci:images@{}", bench.hosts.tags()["r.example/a:2"]), "docker://r.example/b"));
    assert_eq!(states(&report), [(State::Copied, "r.example/b:2".into()), (State::Copied, "r.example/b:latest".into())]);
    let asked = bench.asked();
    assert_eq!((count(&asked, "HEAD content"), count(&asked, "TAG ")), (3 + 5, 2), "{asked:#?}");
}

#[test]
fn one_manifest_for_many_tags_and_repositories_is_put_by_one_at_a_time() {
    let bench = Bench::new();
    let image = index(&bench.layout, "one");
    for n in 0..12 {
        name(&bench.layout, &image, &format!("x.example/{}:{n}", n % 4));
    }
    // The registry in memory panics where it is not so.
    assert_eq!(bench.execute(bench.route("oci:images", TO)).counts.copied, 12);
    let report = bench.execute(bench.route("docker://r.example/mirror/", "docker://r.example/prod/"));
    assert_eq!((report.counts.copied, report.verdict()), (12, None));
}

#[test]
fn a_tag_that_moved_says_from_where_or_stays() {
    let bench = stocked();
    let old = image(bench.hosts.shelf("r.example/a").store(), "linux/amd64", &["old"]);
    bench.hosts.shelf("r.example/a").stock("1", &old);
    let mut route = bench.route("oci:images:x.example/one:1", "docker://r.example/a");
    route.existing = Existing::Kept;
    let report = bench.execute(route);
    assert_eq!((report.counts.kept, report.verdict(), &report.images[0].digest), (1, None, &Some(old.digest.clone())));
    assert_eq!(bench.hosts.tags()["r.example/a:1"], old.digest);
    let report = bench.execute(bench.route("oci:images:x.example/one:1", "docker://r.example/a"));
    assert_eq!((report.images[0].state, &report.images[0].moved_from), (State::Copied, &Some(old.digest)));
}

#[test]
fn reg_37_an_image_that_fails_stops_no_other_and_decides_the_verdict() {
    let bench = stocked();
    let lost = Descriptor::new(MediaType::ImageManifest, Digest::sha256(b"lost"), 4);
    name(&bench.layout, &lost, "x.example/zero:1");
    bench.hosts.breaks("r.example/mirror/one:1");
    let report = bench.execute(bench.route("oci:images", TO));
    assert_eq!((report.counts.copied, report.counts.failed, report.failures()), (3, 2, 2));
    // What only has to be tried again does not decide where something is missing.
    assert_eq!(report.verdict(), Some(ErrorKind::NotFound));
    let failed = report.images.iter().find(|image| image.target.as_deref() == Some("r.example/mirror/one:1")).expect("there");
    let failure = failed.failure.as_ref().expect("a reason");
    assert_eq!((failure.code, failure.side), ("unavailable", Some("destination")));
    bench.hosts.behave(|behaviour| behaviour.broken.clear());
    bench.asked();
    // The next run does what is left.
    let report = bench.execute(bench.route("oci:images", TO));
    assert_eq!((report.counts.copied, report.counts.unchanged, report.counts.failed), (1, 3, 1));
    assert_eq!(count(&bench.asked(), "PUT"), 1, "only the manifest that gets the tag");
}

#[test]
fn failing_fast_begins_no_other_image() {
    let bench = stocked();
    let lost = Descriptor::new(MediaType::ImageManifest, Digest::sha256(b"lost"), 4);
    name(&bench.layout, &lost, "x.example/a/lost:1");
    let mut request = bench.request(vec![bench.route("oci:images", TO)]);
    request.failing = Failing::StopsAll;
    let run = Run::new(NonZeroUsize::MIN).expect("a pool");
    // With so many lanes all may have begun.
    (0..40).for_each(|n| name(&bench.layout, &image(&bench.layout, "linux/amd64", &[&n.to_string()]), &format!("x.example/many/{n}:1")));
    let report = execute(&run, &request).expect("a report");
    assert!(report.counts.failed == 1 && report.counts.not_tried > 10, "{:?}", report.counts);
    assert_eq!(report.verdict(), Some(ErrorKind::NotFound));
}

#[test]
fn a_registry_that_refused_the_login_is_asked_no_more() {
    let bench = stocked();
    for n in 0..100 {
        name(&bench.layout, &image(&bench.layout, "linux/amd64", &[&n.to_string()]), &format!("x.example/many/{n}:1"));
    }
    bench.hosts.refuses("r.example");
    let routes = vec![bench.route("oci:images", TO), bench.route("oci:images:x.example/one:1", "docker://other.example/a")];
    let report = execute(&bench.run, &bench.request(routes)).expect("a report");
    assert_eq!((report.counts.copied, report.verdict()), (1, Some(ErrorKind::Denied)));
    let asked = bench.asked().iter().filter(|asked| asked.contains(" r.example/")).count();
    assert!(asked <= 8, "each lane once: {asked}");
    let untried = report.images.iter().filter_map(|image| image.failure.as_ref()).find(|failure| failure.message.contains("asked no more")).expect("one");
    assert!(untried.message.starts_with("r.example refused the login"), "{}", untried.message);
}

#[test]
fn what_is_forbidden_in_one_repository_stops_nothing_in_others() {
    let bench = stocked();
    let run = Run::new(NonZeroUsize::MIN).expect("a pool");
    (0..40).for_each(|n| name(&bench.layout, &image(&bench.layout, "linux/amd64", &[&n.to_string()]), &format!("x.example/many/{n}:1")));
    bench.hosts.forbids("r.example/mirror/many/0");
    let report = execute(&run, &bench.request(vec![bench.route("oci:images:x.example/many/0:1", TO), bench.route("oci:images", TO)])).expect("a report");
    assert_eq!((report.counts.failed, report.counts.not_tried, report.verdict()), (1, 0, Some(ErrorKind::Denied)), "{:?}", report.counts);
}

#[test]
fn reg_35_a_run_that_is_stopped_goes_on_where_it_was() {
    let bench = stocked();
    for n in 0..60 {
        name(&bench.layout, &image(&bench.layout, "linux/amd64", &["base", &n.to_string()]), &format!("x.example/many/{n}:1"));
    }
    let path = bench.path("job.journal");
    let mut request = bench.request(vec![bench.route("oci:images", TO)]);
    request.journal = journal(&bench.run, &path);
    bench.hosts.behave(|behaviour| behaviour.stop_after = Some((20, bench.run.cancel.clone())));
    assert_eq!(execute(&bench.run, &request).expect_err("stopped").kind(), ErrorKind::Interrupted);
    let (before, first) = (bench.hosts.tags().len(), bench.asked());
    assert!((20..60).contains(&before) && count(&first, "TAG ") == before, "{before}");
    bench.hosts.behave(|behaviour| behaviour.stop_after = None);
    request.journal = None;
    request.journal = journal(&bench.run, &path);
    let run = Run::new(NonZeroUsize::new(2).expect("two")).expect("a pool");
    let report = execute(&run, &request).expect("a report");
    // At the moment of the stop a few may have arrived without having been noted.
    assert!(report.counts.finished > before - 9 && report.counts.finished + report.counts.unchanged == before, "{:?} {before}", report.counts);
    assert_eq!((report.counts.all(), report.counts.copied), (64, 64 - before));
    let asked = bench.asked();
    assert_eq!(asked.iter().filter(|asked| asked.starts_with("HEAD 1 ")).count() + 2, 64 - report.counts.finished, "finished images are not asked for");
    assert!(!path.exists(), "a job that is through has no journal");
    // So that the next run asks again.
    request.journal = None;
    execute(&run, &request).expect("a report");
    assert_eq!(bench.asked().len(), 64);
}

#[test]
fn a_journal_tells_nothing_of_images_that_changed() {
    let bench = stocked();
    let path = bench.path("job.journal");
    let mut request = bench.request(vec![bench.route("oci:images", TO)]);
    request.journal = journal(&bench.run, &path);
    bench.hosts.breaks("r.example/mirror/team/two:1");
    assert_eq!(execute(&bench.run, &request).expect("a report").counts.failed, 1);
    assert!(path.exists(), "there is something left to do");
    name(&bench.layout, &index(&bench.layout, "new"), "x.example/one:1");
    let report = execute(&bench.run, &request).expect("a report");
    assert_eq!((report.counts.copied, report.counts.finished, report.counts.failed), (1, 2, 1));
    // The same images in another place are others.
    request.routes = vec![bench.route("oci:images", "docker://other.example/")];
    assert_eq!(execute(&bench.run, &request).expect("a report").counts.copied, 4);
}

#[test]
fn shares_together_are_the_whole_job_and_no_image_is_in_two() {
    let bench = stocked();
    for n in 0..30 {
        name(&bench.layout, &image(&bench.layout, "linux/amd64", &[&n.to_string()]), &format!("x.example/many:{n}"));
    }
    let mut seen = BTreeSet::new();
    for number in 1..=4 {
        let mut request = bench.request(vec![bench.route("oci:images", TO)]);
        request.shard = Shard::new(number, 4).expect("a share");
        let report = execute(&bench.run, &request).expect("a report");
        assert_eq!((report.verdict(), report.shard.as_deref()), (None, Some(format!("{number}/4").as_str())));
        for image in report.images {
            assert!(seen.insert(image.target.expect("a target")));
        }
    }
    assert_eq!(seen.len(), 34);
    assert_eq!(bench.hosts.tags().keys().cloned().collect::<BTreeSet<_>>(), seen);
}

#[test]
fn a_mirror_asks_both_ends_once_for_each_tag() {
    let bench = Bench::new();
    let source = bench.hosts.shelf("s.example/team/hello");
    for (tag, what) in [("1.0.0", "a"), ("1.1.0", "b"), ("1.2.0", "c"), ("latest", "c"), ("nightly", "d")] {
        source.stock(tag, &index(source.store(), what));
    }
    bench.hosts.shelf("s.example/team/other").stock("1.1.0", &index(bench.hosts.shelf("s.example/team/other").store(), "e"));
    bench.hosts.shelf("s.example/else").stock("1.1.0", &source.look_at("1.1.0"));
    let route = || {
        let mut route = bench.route("docker://s.example/team/", "docker://r.example/mirror/");
        route.tags = Tags::compile(TagSpec { versions: vec![at(">=1.1")], ..TagSpec::default() }).expect("valid");
        route.rename =
            Renames::new(vec![Rename::compile(&at("hello"), &at("greeter")).expect("valid"), Rename::compile(&at("**"), &at("x/**")).expect("valid")]);
        route
    };
    let report = bench.execute(route());
    let targets = ["r.example/mirror/greeter:1.1.0", "r.example/mirror/greeter:1.2.0", "r.example/mirror/x/other:1.1.0"];
    assert_eq!(states(&report), targets.map(|target| (State::Copied, target.to_owned())));
    let asked = bench.asked();
    // Each document of the source is read once, though it is looked at when it is planned and when it is carried: three indexes, six manifests.
    let gets = count(&asked, "GET");
    assert_eq!(gets, 9 + 3 * 4 + 1, "{asked:#?}");
    bench.execute(route());
    assert_eq!(count(&bench.asked(), ""), 1 + 2 + 2 * 3, "the catalog, two lists, and each tag on both ends");
    // On one host blobs need not be read.
    bench.execute(bench.route("docker://r.example/mirror/greeter:1.1.0", "docker://r.example/prod/greeter"));
    let asked = bench.asked();
    assert_eq!((count(&asked, "GET"), count(&asked, "MOUNT")), (3, 5), "{asked:#?}");
}

#[test]
fn written_out_tags_need_no_list_and_must_exist() {
    let bench = Bench::new();
    let source = bench.hosts.shelf("s.example/hello");
    source.stock("1", &index(source.store(), "a"));
    let mut route = bench.route("docker://s.example/hello", "docker://r.example/");
    route.tags = Tags::compile(TagSpec { globs: vec![at("1"), at("2")], ..TagSpec::default() }).expect("valid");
    let report = bench.execute(route);
    assert_eq!((report.counts.copied, report.counts.failed, report.verdict()), (1, 1, Some(ErrorKind::NotFound)));
    assert_eq!(count(&bench.asked(), "TAGS"), 0);
    // In many repositories a tag need not be everywhere.
    let mut route = bench.route("docker://s.example/", "docker://r.example/");
    route.tags = Tags::compile(TagSpec { globs: vec![at("2")], ..TagSpec::default() }).expect("valid");
    let report = bench.execute(route);
    assert_eq!((report.counts.absent, report.verdict()), (1, None));
}

#[test]
fn platforms_that_are_left_out_give_an_index_that_is_known_again() {
    let bench = stocked();
    let route = || {
        let mut route = bench.route("oci:images", TO);
        route.platforms = vec![Platform::parse("linux/arm64").expect("valid")];
        route
    };
    let report = bench.execute(route());
    assert_eq!(report.counts.copied, 4);
    bench.asked();
    let again = bench.execute(route());
    assert_eq!((again.counts.unchanged, bench.asked().len()), (4, 4));
    assert_ne!(report.images[0].digest, bench.execute(bench.route("oci:images", "docker://other.example/")).images[0].digest);
}

#[test]
fn images_that_lack_a_platform_fail_or_come_with_those_that_they_have() {
    let bench = Bench::new();
    name(&bench.layout, &index(&bench.layout, "both"), "x.example/both:1");
    name(&bench.layout, &put(&bench.layout, MediaType::ImageIndex, ImageIndex::new(vec![image(&bench.layout, "linux/amd64", &["amd64"])])), "x.example/one:1");
    name(&bench.layout, &put(&bench.layout, MediaType::ImageIndex, ImageIndex::new(vec![image(&bench.layout, "linux/s390x", &["s390x"])])), "x.example/none:1");
    let route = |lacking| {
        let mut route = bench.route("oci:images", TO);
        route.platforms = Platform::parse_list("linux/amd64,linux/arm64").expect("valid");
        route.lacking = lacking;
        route
    };
    let report = bench.execute(route(Lacking::Fails));
    assert_eq!((report.counts.copied, report.counts.failed, report.verdict()), (1, 2, Some(ErrorKind::NotFound)));
    let report = bench.execute(route(Lacking::Skipped));
    let lacking: Vec<&[String]> = report.images.iter().map(|image| image.lacking.as_slice()).collect();
    assert_eq!((lacking, report.counts.copied, report.counts.failed), (vec![&[][..], &[], &["linux/arm64".to_owned()]], 1, 1));
    let planned = plan(&bench.run, &bench.request(vec![route(Lacking::Skipped)])).expect("a plan");
    assert_eq!((planned.images[2].state, planned.images[2].lacking.len()), (Planned::Unchanged, 1));
}

#[test]
fn what_is_attached_comes_along_also_later() {
    let bench = stocked();
    let layout = &bench.layout;
    let digest = |report: &SyncReport| report.images[1].digest.clone().expect("a digest");
    let report = bench.execute(bench.route("oci:images", TO));
    let subject = layout.index().expect("there").manifests.iter().find(|entry| entry.digest == digest(&report)).expect("there").clone();
    let sbom = attachment(layout, &subject, "sbom");
    layout.commit(std::slice::from_ref(&sbom)).expect("committed");
    let signature = attachment(layout, &subject, "signature");
    name(layout, &signature, &format!("x.example/one:sha256-{}.sig", subject.digest.encoded()));
    let left = bench.execute(bench.route("oci:images", TO));
    assert_eq!((left.counts.unchanged, left.attached_left, left.nameless), (4, 1, 1));
    let route = || {
        let mut route = bench.route("oci:images", TO);
        route.attached = Attached::Carried;
        route
    };
    bench.asked();
    let report = bench.execute(route());
    assert_eq!((report.counts.unchanged, report.attached_left, report.verdict()), (4, 0, None));
    let shelf = bench.hosts.shelf("r.example/mirror/one");
    assert!(shelf.holds(&sbom) && shelf.holds(&signature));
    assert_eq!(bench.hosts.tags()[&format!("r.example/mirror/one:sha256-{}.sig", subject.digest.encoded())], signature.digest);
    assert!(count(&bench.asked(), "TAG ") == 1, "images that have their tags do not get them again");
    let again = bench.execute(route());
    assert_eq!((again.content.copied.count, count(&bench.asked(), "TAG ")), (0, 0));
}

#[test]
fn two_images_for_one_name_are_refused_and_nothing_else_is() {
    let bench = stocked();
    name(&bench.layout, &index(&bench.layout, "b"), "y.example/one:1");
    // The same image twice is no conflict.
    let two = bench
        .layout
        .index()
        .expect("there")
        .manifests
        .iter()
        .find(|entry| ImageName::of(entry).is_some_and(|name| name.as_str() == "x.example/one:2"))
        .cloned();
    name(&bench.layout, &two.expect("there"), "y.example/one:2");
    let report = bench.execute(bench.route("oci:images", TO));
    assert_eq!((report.counts.copied, report.counts.failed, report.verdict()), (3, 2, Some(ErrorKind::Conflict)));
    assert!(!bench.hosts.tags().contains_key("r.example/mirror/one:1"));
    let failure = report.images.iter().find_map(|image| image.failure.as_ref()).expect("one");
    assert!(failure.message.contains("would both be r.example/mirror/one:1"), "{}", failure.message);
}

#[test]
fn repositories_come_into_one_only_where_each_of_them_is_named() {
    let bench = stocked();
    let report = bench.execute(bench.route("oci:images", "docker://r.example/all"));
    assert_eq!((report.images.len(), report.verdict(), bench.hosts.tags().len()), (1, Some(ErrorKind::Usage), 0));
    let failure = report.images[0].failure.as_ref().expect("a reason");
    assert!(failure.message.contains("images of 2 repositories, such as x.example/one and x.example/team/two, would come into one"), "{}", failure.message);
    assert!(failure.hint.as_ref().is_some_and(|hint| hint.starts_with("write docker://r.example/all/ with a slash")));
    let mut route = bench.route("oci:images:x.example/one:2", "docker://r.example/all");
    route.from.push(bench.end("oci:images:x.example/team/two:1"));
    assert_eq!(bench.execute(route).counts.copied, 2);
}

#[test]
fn a_plan_says_what_a_run_does_and_changes_nothing() {
    let bench = stocked();
    bench.execute(bench.route("oci:images:x.example/one:1", "docker://r.example/mirror/one"));
    name(&bench.layout, &index(&bench.layout, "moved"), "x.example/one:1");
    let before = bench.hosts.tags();
    bench.asked();
    let request = bench.request(vec![bench.route("oci:images", TO), bench.route("oci:images:nothing", TO)]);
    let planned = plan(&bench.run, &request).expect("a plan");
    let asked = bench.asked();
    assert!(asked.iter().all(|asked| asked.starts_with("HEAD ")), "{asked:#?}");
    assert_eq!(bench.hosts.tags(), before);
    let states: Vec<&str> = planned.images.iter().map(|image| image.state.as_str()).collect();
    assert_eq!(states, ["new", "moved", "new", "new", "failed"]);
    let report = execute(&bench.run, &request).expect("a report");
    let [target] = &planned.targets[..] else { panic!("one registry") };
    assert_eq!((target.target.as_str(), target.images), ("r.example", 4));
    assert_eq!((target.taken.count, report.content.taken.count >= 1), (1, true));
    assert_eq!(target.blobs.count + target.documents.count, report.content.copied.count);
    assert_eq!(target.blobs.bytes + target.documents.bytes, report.content.copied.bytes);
    let (asked, expected) = (bench.asked().len() as u64, planned.registries[0].requests);
    assert!(asked <= expected && expected <= asked * 2, "{asked} {expected}");
    let planned = plan(&bench.run, &request).expect("a plan");
    assert!(planned.targets.is_empty() && planned.images[..4].iter().all(|image| image.state == Planned::Unchanged));
}

#[test]
fn metadata_is_in_the_forms_of_buildx() {
    let bench = stocked();
    let file = bench.path("metadata.json");
    let read = |from: &str, to: &str| {
        let mut request = bench.request(vec![bench.route(from, to)]);
        request.metadata_file = Some(file.clone());
        let report = execute(&bench.run, &request).expect("a report");
        (report, serde_json::from_slice::<serde_json::Value>(&std::fs::read(&file).expect("written")).expect("JSON"))
    };
    let (report, metadata) = read("oci:images:x.example/one:1", "docker://r.example/a:9");
    assert_eq!(metadata, serde_json::json!({"containerimage.digest": report.images[0].digest, "image.name": "r.example/a:9"}));
    let (report, metadata) = read("oci:images", TO);
    assert_eq!(metadata["r.example/mirror/team/two:1"]["containerimage.digest"], serde_json::json!(report.images[3].digest));
    assert_eq!(metadata.as_object().map(serde_json::Map::len), Some(4));
    // Of what did not arrive nobody is to take over.
    std::fs::remove_file(&file).expect("removed");
    bench.hosts.breaks("r.example/b:1");
    let mut request = bench.request(vec![bench.route("oci:images:x.example/one:1", "docker://r.example/b")]);
    request.metadata_file = Some(file.clone());
    assert_eq!(execute(&bench.run, &request).expect("a report").counts.failed, 1);
    assert!(!file.exists());
}
