//! Layouts and archives as targets.

use super::*;
use crate::error::ErrorKind;
use crate::spec::Selector;
use crate::store::{Source as _, transport};
use crate::sync::{Attached, Tags};

fn stocked() -> Bench {
    let bench = Bench::new();
    let source = bench.hosts.shelf("s.example/team/hello");
    for tag in 1..=100 {
        source.stock(&format!("1.{tag}"), &image(source.store(), "linux/amd64", &["base", &tag.to_string()]));
    }
    bench
}

fn newest(bench: &Bench, count: usize, to: &str) -> Route {
    let mut route = bench.route("docker://s.example/team/hello", to);
    route.tags = Tags::compile(TagSpec { newest: NonZeroUsize::new(count), ..TagSpec::default() }).expect("valid");
    route
}

#[test]
fn tags_come_to_a_layout_under_their_full_names_and_are_known_again() {
    let bench = stocked();
    let report = bench.execute(newest(&bench, 70, "oci:mirror"));
    assert_eq!((report.counts.copied, report.verdict()), (70, None));
    let layout = Layout::open(&bench.path("mirror"), Options::default()).expect("a layout");
    let index = layout.index().expect("there");
    let names: Vec<String> = index.manifests.iter().filter_map(ImageName::of).map(|name| name.to_string()).collect();
    assert_eq!(names, (31..=100).map(|tag| format!("s.example/team/hello:1.{tag}")).collect::<Vec<_>>(), "whichever came first");
    let newest_one = layout.resolve(&Selector::Name("s.example/team/hello:1.100".into())).expect("named");
    assert_eq!(newest_one.digest, bench.hosts.tags()["s.example/team/hello:1.100"]);
    let asked = bench.asked();
    let gets = asked.iter().filter(|asked| asked.starts_with("GET")).count();
    assert_eq!(gets, 70 * 3 + 1, "manifest, config, own layer of each, and the base once");
    drop(layout);
    let report = bench.execute(newest(&bench, 71, "oci:mirror"));
    assert_eq!((report.counts.copied, report.counts.unchanged), (1, 70));
    assert_eq!(bench.asked().len(), 1 + 71 + 3, "the list, each tag, and what is new: the base is there");
}

#[test]
fn a_layout_that_cannot_be_opened_fails_its_images_and_no_others() {
    let bench = stocked();
    std::fs::create_dir(bench.path("full")).expect("created");
    std::fs::write(bench.path("full/file"), "x").expect("written");
    let routes = vec![newest(&bench, 2, "oci:full"), newest(&bench, 2, "oci:mirror")];
    let report = execute(&bench.run, &bench.request(routes)).expect("a report");
    assert_eq!((report.counts.failed, report.counts.copied, report.verdict()), (2, 2, Some(ErrorKind::Conflict)));
}

#[test]
fn a_layout_is_made_for_images_that_are_there() {
    let bench = stocked();
    let report = bench.execute(bench.route("docker://s.example/team/hello:9", "oci:mirror"));
    assert_eq!((report.verdict(), bench.path("mirror").exists()), (Some(ErrorKind::NotFound), false));
}

#[test]
fn what_is_attached_comes_to_a_layout() {
    let bench = Bench::new();
    let source = bench.hosts.shelf("s.example/hello");
    let image = index(source.store(), "a");
    source.stock("1", &image);
    let sbom = attachment(source.store(), &image, "sbom");
    source.attach(&image, &sbom);
    source.stock("sha256-0123", &sbom);
    let mut route = bench.route("docker://s.example/hello:1", "oci:mirror");
    route.attached = Attached::Carried;
    assert_eq!(bench.execute(route).verdict(), None);
    let layout = Layout::open(&bench.path("mirror"), Options::default()).expect("a layout");
    let entries = layout.index().expect("there").manifests;
    assert_eq!(entries.iter().map(|entry| &entry.digest).collect::<Vec<_>>(), [&image.digest, &sbom.digest]);
    assert!(ImageName::of(&entries[1]).is_none());
}

#[test]
fn an_archive_is_written_as_a_whole_and_its_bytes_do_not_depend_on_the_threads() {
    let bench = stocked();
    let report = bench.execute(newest(&bench, 30, "oci-archive:a.tar"));
    assert_eq!((report.counts.copied, report.verdict()), (30, None));
    let one = Run::new(NonZeroUsize::MIN).expect("a pool");
    execute(&one, &bench.request(vec![newest(&bench, 30, "oci-archive:b.tar")])).expect("a report");
    assert_eq!(std::fs::read(bench.path("a.tar")).expect("there"), std::fs::read(bench.path("b.tar")).expect("there"));
    // Archives are a source like all others.
    let report = bench.execute(bench.route("oci-archive:a.tar", "docker://r.example/"));
    assert_eq!((report.counts.copied, bench.hosts.tags()["r.example/team/hello:1.71"].clone()), (30, bench.hosts.tags()["s.example/team/hello:1.71"].clone()));
    let report = bench.execute(newest(&bench, 30, "oci-archive:a.tar"));
    assert_eq!(report.counts.unchanged, 30);
}

#[test]
fn an_archive_lacks_what_cannot_be_read_and_nothing_is_planned_into_being() {
    let bench = stocked();
    let lost = Descriptor::new(MediaType::ImageManifest, Digest::sha256(b"lost"), 4);
    bench.hosts.shelf("s.example/team/hello").stock("2.0", &lost);
    let request = bench.request(vec![newest(&bench, 3, "oci-archive:a.tar"), newest(&bench, 3, "oci:new")]);
    let planned = plan(&bench.run, &request).expect("a plan");
    assert!(!bench.path("a.tar").exists() && !bench.path("new").exists());
    assert_eq!(planned.targets.iter().map(|target| target.images).collect::<Vec<_>>(), [2, 2]);
    let report = execute(&bench.run, &request).expect("a report");
    assert_eq!((report.counts.copied, report.counts.failed), (4, 2));
    let source = transport::source(&Location::parse(format!("oci-archive:{}", bench.path("a.tar").display())).expect("valid"), &Options::default());
    assert_eq!(source.expect("an archive").index().expect("there").manifests.len(), 2);
}

#[test]
fn layouts_may_be_both_ends() {
    let bench = Bench::new();
    name(&bench.layout, &index(&bench.layout, "a"), "x.example/a:1");
    name(&bench.layout, &index(&bench.layout, "b"), "2");
    let report = bench.execute(bench.route("oci:images", "oci:copy"));
    assert_eq!(report.counts.copied, 2);
    let copy = Layout::open(&bench.path("copy"), Options::default()).expect("a layout").index().expect("there");
    assert_eq!(copy.manifests.len(), 2);
    assert!(bench.layout.index().expect("there").manifests.iter().all(|entry| copy.manifests.contains(entry)));
}
