//! What goes from targets, and what never does.

use std::sync::Mutex;

use super::*;
use crate::error::ErrorKind;
use crate::sync::{Prune, Rename, Renames, Tags};

/// A target with tags that came by the route, one that is not meant any more, and some that somebody else put there.
fn stocked() -> Bench {
    let bench = Bench::new();
    for tag in ["1.0", "1.1"] {
        name(&bench.layout, &index(&bench.layout, tag), &format!("x.example/hello:{tag}"));
    }
    let shelf = bench.hosts.shelf("r.example/hello");
    for tag in ["1.0", "0.9", "0.8", "stable", "sha256-abc"] {
        shelf.stock(tag, &image(shelf.store(), "linux/amd64", &[tag]));
    }
    shelf.stock(&format!("sha256-{}", "a".repeat(64)), &image(shelf.store(), "linux/amd64", &["signature"]));
    bench.hosts.shelf("r.example/other").stock("0.9", &shelf.look_at("0.9"));
    bench
}

fn route(bench: &Bench) -> Route {
    let mut route = bench.route("oci:images", "docker://r.example/");
    route.tags = Tags::compile(TagSpec { globs: vec![at("[0-9]*")], ..TagSpec::default() }).expect("valid");
    route.prune = Prune::Tags;
    route
}

fn tags(bench: &Bench) -> String {
    let tags = bench.hosts.tags();
    tags.keys().filter_map(|name| name.strip_prefix("r.example/hello:")).filter(|tag| tag.len() < 64).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_the_route_could_have_brought_and_is_not_meant_goes_and_nothing_else() {
    let bench = stocked();
    let shown = Mutex::new(Vec::new());
    let mut request = bench.request(vec![route(&bench)]);
    let confirm = |candidates: &[PruneCandidate]| {
        shown.lock().expect("alone").extend(candidates.iter().map(|candidate| candidate.name.clone()));
        Ok(true)
    };
    request.confirm = &confirm;
    let planned = plan(&bench.run, &request).expect("a plan");
    assert!(shown.lock().expect("alone").is_empty(), "a plan asks nobody");
    let report = execute(&bench.run, &request).expect("a report");
    let mut shown = shown.into_inner().expect("alone");
    assert_eq!(shown, planned.prune.iter().map(|candidate| candidate.name.clone()).collect::<Vec<_>>());
    shown.sort();
    assert_eq!(shown, ["r.example/hello:0.8", "r.example/hello:0.9"]);
    assert_eq!(report.pruned.iter().filter(|name| name.state == PruneState::Removed).count(), 2);
    assert_eq!(tags(&bench), "1.0 1.1 sha256-abc stable");
    assert!(bench.hosts.tags().contains_key("r.example/other:0.9"), "no image comes there");
    assert!(bench.hosts.tags().contains_key(&format!("r.example/hello:sha256-{}", "a".repeat(64))));
}

#[test]
fn nobody_agreed_means_that_nothing_happens() {
    let bench = stocked();
    let before = bench.hosts.tags();
    let mut request = bench.request(vec![route(&bench)]);
    request.confirm = &|_| Ok(false);
    let error = execute(&bench.run, &request).expect_err("nobody agreed");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "2 names would be removed, and nobody agreed to it"));
    assert_eq!(bench.hosts.tags(), before);
}

#[test]
fn where_images_did_not_arrive_or_are_not_known_nothing_goes() {
    let bench = stocked();
    bench.hosts.breaks("r.example/hello:1.1");
    let report = bench.execute(route(&bench));
    assert!(report.pruned.len() == 2 && report.pruned.iter().all(|name| name.state == PruneState::Spared));
    assert_eq!(tags(&bench), "0.8 0.9 1.0 sha256-abc stable");
    let mut broken = route(&bench);
    broken.from.push(bench.end("oci:missing"));
    assert!(bench.execute(broken).pruned.is_empty());
    // Patterns that no image of the source fits look like an empty source.
    let mut empty = route(&bench);
    empty.tags = Tags::compile(TagSpec { globs: vec![at("0.*")], ..TagSpec::default() }).expect("valid");
    assert!(bench.execute(empty).pruned.is_empty());
    assert_eq!(tags(&bench), "0.8 0.9 1.0 sha256-abc stable");
}

#[test]
fn what_another_route_brings_stays() {
    let bench = stocked();
    let old = Layout::create(&bench.path("old"), Options::default()).expect("created");
    name(&old, &index(&old, "old"), "x.example/hello:0.9");
    let routes = vec![route(&bench), bench.route("oci:old", "docker://r.example/")];
    execute(&bench.run, &bench.request(routes)).expect("a report");
    assert_eq!(tags(&bench), "0.9 1.0 1.1 sha256-abc stable");
}

#[test]
fn what_another_route_may_bring_and_nobody_knows_stays() {
    for to in ["docker://r.example/hello", "docker://r.example/", "docker://r.example/other", "docker://other.example/"] {
        let bench = stocked();
        let routes = vec![route(&bench), bench.route("oci:missing", to)];
        let report = execute(&bench.run, &bench.request(routes)).expect("a report");
        let leads_there = !to.contains("other");
        assert_eq!((report.counts.failed, report.pruned.is_empty()), (1, leads_there), "{to}");
        assert_eq!(tags(&bench), if leads_there { "0.8 0.9 1.0 1.1 sha256-abc stable" } else { "1.0 1.1 sha256-abc stable" }, "{to}");
    }
    let bench = stocked();
    let target = Layout::create(&bench.path("mirror"), Options::default()).expect("created");
    name(&target, &index(&target, "old"), "x.example/hello:0.9");
    let mut into_layout = route(&bench);
    into_layout.to = bench.end("oci:mirror");
    let report = execute(&bench.run, &bench.request(vec![into_layout, bench.route("oci:missing", "oci:mirror")])).expect("a report");
    assert!(report.pruned.is_empty() && target.index().expect("there").manifests.len() == 3, "{:?}", report.pruned);
}

#[test]
fn shares_prune_each_a_part() {
    let bench = stocked();
    let mut gone = 0;
    for number in 1..=3 {
        let mut request = bench.request(vec![route(&bench)]);
        request.shard = Shard::new(number, 3).expect("a share");
        gone += execute(&bench.run, &request).expect("a report").pruned.len();
    }
    assert_eq!((gone, tags(&bench).as_str()), (2, "1.0 1.1 sha256-abc stable"));
}

#[test]
fn renamed_tags_are_traced_back() {
    let bench = stocked();
    let mut route = route(&bench);
    route.rename_tags = Renames::new(vec![Rename::compile(&at("*"), &at("*-x")).expect("valid")]);
    bench.hosts.shelf("r.example/hello").stock("0.7-x", &bench.hosts.shelf("r.example/hello").look_at("0.9"));
    let report = bench.execute(route);
    assert_eq!(report.pruned.iter().map(|name| name.name.as_str()).collect::<Vec<_>>(), ["r.example/hello:0.7-x"]);
    assert_eq!(tags(&bench), "0.8 0.9 1.0 1.0-x 1.1-x sha256-abc stable");
}

#[test]
fn a_registry_that_removes_images_only_never_takes_a_tag_that_stays() {
    let bench = stocked();
    bench.hosts.behave(|behaviour| behaviour.keeps_tags = true);
    let shelf = bench.hosts.shelf("r.example/hello");
    shelf.stock("stable", &shelf.look_at("0.9"));
    let report = bench.execute(route(&bench));
    assert_eq!(tags(&bench), "0.9 1.0 1.1 sha256-abc stable");
    let failed: Vec<_> = report.pruned.iter().filter(|name| name.state == PruneState::Failed).collect();
    assert_eq!((failed.len(), failed[0].name.as_str(), report.verdict()), (1, "r.example/hello:0.9", Some(ErrorKind::Unsupported)));
    assert!(failed[0].failure.as_ref().expect("a reason").message.contains("its image is also `stable`"));
}

#[test]
fn a_registry_that_removes_images_only_keeps_what_has_just_come_and_what_is_a_part_of_something() {
    let bench = stocked();
    bench.hosts.behave(|behaviour| behaviour.keeps_tags = true);
    let shelf = bench.hosts.shelf("r.example/hello");
    // What this run brings as 1.1 was there as 0.9 before, and 0.8 is the image of one platform in what 1.0 becomes.
    let entry = |tag: &str| {
        bench.layout.index().expect("there").manifests.into_iter().find(|entry| ImageName::of(entry).is_some_and(|name| name.tag().as_deref() == Some(tag)))
    };
    let (old, new) = (index(shelf.store(), "1.1"), entry("1.1").expect("named"));
    assert_eq!(old.digest, new.digest);
    shelf.stock("0.9", &old);
    shelf.stock("0.8", &image(shelf.store(), "linux/arm64", &["base", "1.0 for linux/arm64"]));
    shelf.stock("0.7", &image(shelf.store(), "linux/amd64", &["nobody else"]));
    let report = bench.execute(route(&bench));
    assert_eq!(tags(&bench), "0.8 0.9 1.0 1.1 sha256-abc stable");
    let state = |tag: &str| report.pruned.iter().find(|name| name.name.ends_with(tag)).map(|name| name.state);
    assert_eq!(["0.7", "0.8", "0.9"].map(state), [Some(PruneState::Removed), Some(PruneState::Failed), Some(PruneState::Failed)]);
    // Each tag that stays was asked for once, however many go.
    assert!(bench.asked().iter().filter(|asked| **asked == "HEAD stable r.example/hello").count() <= 1);
}

#[test]
fn names_go_from_layouts_too() {
    let bench = stocked();
    let target = Layout::create(&bench.path("mirror"), Options::default()).expect("created");
    let old = index(&target, "old");
    for old_name in ["x.example/hello:0.9", "x.example/hello:stable", "x.example/other:0.9", "0.9"] {
        name(&target, &old, old_name);
    }
    let mut route = route(&bench);
    route.to = bench.end("oci:mirror");
    let report = bench.execute(route);
    assert_eq!(report.pruned.iter().map(|name| (name.state, name.name.ends_with(":x.example/hello:0.9"))).collect::<Vec<_>>(), [(PruneState::Removed, true)]);
    let names: Vec<String> = target.index().expect("there").manifests.iter().filter_map(ImageName::of).map(|name| name.to_string()).collect();
    assert_eq!(names, ["x.example/hello:stable", "x.example/other:0.9", "0.9", "x.example/hello:1.0", "x.example/hello:1.1"]);
}
