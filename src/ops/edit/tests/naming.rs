//! What becomes of names.

use super::sample::{Sample, env};
use crate::error::ErrorKind;
use crate::ops::tag::GivenName;
use crate::spec::{Descriptor, ImageName};
use crate::store::Destination as _;

fn names(sample: &Sample) -> Vec<(String, Descriptor)> {
    let index = sample.layout.index().expect("readable");
    index.manifests.into_iter().map(|entry| (ImageName::of(&entry).map(|name| name.as_str().to_owned()).unwrap_or_default(), entry.bare())).collect()
}

fn two_names() -> (Sample, Descriptor) {
    let sample = Sample::new();
    let image = sample.image("linux/amd64", &[sample.layer("a", "1")], |_, _| {});
    sample.name(&image, "x.y/a:1");
    sample.name(&image, "x.y/a:latest");
    (sample, image)
}

#[test]
fn the_name_that_was_meant_moves_and_others_stay() {
    let (sample, image) = two_names();
    let report = sample.edited(&sample.request("latest", env("A", "1")));
    let moved = GivenName { name: "x.y/a:latest".into(), moved_from: Some(image.digest.clone()), added: false };
    assert_eq!(report.names, [moved]);
    let names = names(&sample);
    assert_eq!((&names[0].1.digest, &names[1].1.digest), (&image.digest, &report.digest));
}

#[test]
fn an_image_that_is_meant_by_its_digest_takes_all_its_names_along() {
    let (sample, image) = two_names();
    let report = sample.edited(&sample.request(&format!("@{}", image.digest), env("A", "1")));
    assert_eq!(report.names.len(), 2);
    assert!(names(&sample).iter().all(|(_, entry)| entry.digest == report.digest));
}

#[test]
fn a_new_name_leaves_the_old_one_and_is_a_tag_in_its_repository() {
    let (sample, image) = two_names();
    let mut request = sample.request("1", env("A", "1"));
    request.names = vec!["2".into(), "latest".into()];
    let report = sample.edited(&request);
    let found: Vec<(String, bool)> = names(&sample).into_iter().map(|(name, entry)| (name, entry.digest == report.digest)).collect();
    assert_eq!(found, [("x.y/a:1".into(), false), ("x.y/a:latest".into(), true), ("x.y/a:2".into(), true)]);
    assert_eq!((report.names[0].added, &report.names[1].moved_from), (true, &Some(image.digest)));
    request.names = vec!["-bad".into()];
    assert_eq!(sample.edit(&request).expect_err("no name").kind(), ErrorKind::Usage);
}

#[test]
fn an_entry_without_a_name_is_replaced_and_keeps_what_else_it_says() {
    let sample = Sample::new();
    let mut image = sample.image("linux/arm/v7", &[sample.layer("a", "1")], |_, _| {});
    image.annotations.insert("k".into(), "v".into());
    sample.layout.commit(std::slice::from_ref(&image)).expect("committed");
    let report = sample.edited(&sample.request("", env("A", "1")));
    let entries = sample.layout.index().expect("readable").manifests;
    assert_eq!((entries.len(), &entries[0].digest, entries[0].annotation("k")), (1, &report.digest, Some("v")));
    assert_eq!((entries[0].platform.clone(), report.names.len()), (image.platform, 0));
}

#[test]
fn a_name_that_another_process_moved_meanwhile_is_a_conflict() {
    let (sample, _) = two_names();
    let request = sample.request("1", env("A", "1"));
    let naming = crate::ops::edit::names::Naming::of(&sample.layout, &request).expect("found");
    let other = sample.image("linux/amd64", &[sample.layer("b", "2")], |_, _| {});
    sample.name(&other, "x.y/a:1");
    let error = naming.commit(&sample.layout, &other, &Default::default(), &request.changes).expect_err("moved");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(names(&sample)[0].1.digest, other.digest);
}

#[test]
fn what_is_not_there_or_not_one_is_not_edited() {
    let (sample, _) = two_names();
    let other = sample.image("linux/amd64", &[sample.layer("b", "2")], |_, _| {});
    sample.name(&other, "x.y/b:1");
    for (image, kind) in [("absent", ErrorKind::NotFound), ("1", ErrorKind::Usage), ("", ErrorKind::Usage)] {
        assert_eq!(sample.edit(&sample.request(image, env("A", "1"))).expect_err(image).kind(), kind, "{image}");
    }
}
