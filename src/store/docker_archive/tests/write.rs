//! Writing for Docker and podman.

use super::*;
use crate::spec::{Descriptor, ImageName, annotation};
use crate::store::conformance;
use crate::store::tarfile::FileArchive;
use serde_json::{Value, json};
use std::cell::Cell;

fn put(to: &dyn Destination, media_type: MediaType, content: &[u8]) -> Descriptor {
    let descriptor = Descriptor::new(media_type, Digest::sha256(content), content.len() as u64);
    to.put(&descriptor, &mut &content[..]).unwrap();
    descriptor
}

fn document<T: serde::Serialize>(to: &dyn Destination, media_type: MediaType, value: T) -> Descriptor {
    let document = Document::create(media_type.clone(), value).unwrap();
    put(to, media_type, &document.bytes)
}

fn image(to: &dyn Destination, platform: &str, layer: &[u8]) -> Descriptor {
    let config = put(to, MediaType::ImageConfig, &config(platform, &[layer]));
    let layer = put(to, MediaType::ImageLayer, layer);
    let mut manifest = document(to, MediaType::ImageManifest, ImageManifest::new(config, vec![layer]));
    manifest.platform = Some(Platform::parse(platform).unwrap());
    manifest
}

fn index(to: &dyn Destination, images: Vec<Descriptor>) -> Descriptor {
    document(to, MediaType::ImageIndex, ImageIndex::new(images))
}

fn named(descriptor: &Descriptor, name: &str) -> Descriptor {
    let mut entry = Descriptor { platform: None, ..descriptor.clone() };
    ImageName::parse_within(name, None).unwrap().apply(&mut entry);
    entry
}

/// `manifest.json` as it stands in the archive.
fn manifests(path: &Path) -> Value {
    let archive = Reading::open(path, Links::Refused, &Options::default()).unwrap();
    serde_json::from_slice(&archive.document(MANIFESTS, 1 << 20).unwrap().unwrap()).unwrap()
}

fn item(platform: &str, layer: &[u8], tags: Value) -> Value {
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::sha256(bytes).encoded());
    json!({"Config": path(&config(platform, &[layer])), "Layers": [path(layer)], "RepoTags": tags})
}

#[test]
fn keeps_the_contracts() {
    let temp = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    conformance::check(|| {
        count.set(count.get() + 1);
        FileArchive::ensure(&temp.path().join(count.get().to_string()), &Docker, &Options::default()).unwrap()
    });
}

fn write(to: &dyn Destination) -> Vec<Descriptor> {
    let one = image(to, "linux/arm64", b"one");
    let two = image(to, "linux/amd64", b"two");
    let entries = vec![named(&one, "hello:1"), named(&two, "registry.example/team/hello:2"), named(&one, "team/hello:1"), two.clone()];
    to.commit(&entries).unwrap();
    entries
}

#[test]
fn one_item_for_each_image_with_all_of_its_names() {
    let (_temp, path) = place();
    let (ear, options) = listening();
    let entries = write(&*DockerArchive.destination(&path, &options).unwrap());
    let expected =
        json!([item("linux/arm64", b"one", json!(["hello:1", "team/hello:1"])), item("linux/amd64", b"two", json!(["registry.example/team/hello:2"])),]);
    assert_eq!(manifests(&path), expected);
    assert_eq!(*ear.0.lock().unwrap(), [""; 0], "everything could be said");
    let golden = "sha256:1bcf8f4249494da1613ea866f332df5f1ef35aa6e49a973b77a83a64f8c33146";
    assert_eq!(Digest::sha256(&std::fs::read(&path).unwrap()).as_str(), golden, "changing the bytes of archives breaks a promise");
    let images = Images::open(&path, &Options::default()).unwrap();
    assert_eq!(images.index().unwrap().manifests, entries[..3]);
}

#[test]
fn the_bytes_are_the_same_through_stdout() {
    let (_temp, path) = place();
    write(&*DockerArchive.destination(&path, &Options::default()).unwrap());
    let (temp, other) = place();
    let out = Arc::new(std::fs::File::create(&other).unwrap());
    let options = Options { stdout: Some(out), temporary: temp.path().to_owned(), ..Options::default() };
    write(&*DockerArchive.destination(Path::new("-"), &options).unwrap());
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&other).unwrap());
}

#[test]
fn an_index_is_carried_whole_and_listed_for_one_platform() {
    let (_temp, path) = place();
    let (ear, options) = listening();
    let archive = DockerArchive.destination(&path, &options).unwrap();
    let mut attestation = image(&*archive, "linux/amd64", b"attestation");
    attestation.platform = Some(Platform::new("unknown", "unknown", ""));
    attestation.annotations.insert(annotation::DOCKER_REFERENCE_TYPE.into(), annotation::ATTESTATION_MANIFEST.into());
    let images =
        vec![attestation, image(&*archive, "linux/arm64", b"arm"), image(&*archive, "linux/amd64", b"amd"), image(&*archive, "linux/riscv64", b"riscv")];
    let multi = index(&*archive, images.clone());
    archive.commit(&[named(&multi, "hello:1")]).unwrap();
    assert_eq!(manifests(&path), json!([item("linux/amd64", b"amd", json!(["hello:1"]))]));
    let warnings = ear.0.lock().unwrap().clone();
    assert!(warnings.len() == 1 && warnings[0].contains("linux/amd64") && warnings[0].contains("2 other platforms"), "{warnings:?}");
    let read = Images::open(&path, &Options::default()).unwrap();
    images.iter().for_each(|image| drop(read.read(image, 1 << 20).unwrap()));
}

#[test]
fn without_linux_amd64_it_is_the_first_platform_that_is_there() {
    let (_temp, path) = place();
    let archive = DockerArchive.destination(&path, &Options::default()).unwrap();
    let mut absent = Descriptor::new(MediaType::ImageManifest, Digest::sha256(b"absent"), 6);
    absent.platform = Some(Platform::new("linux", "amd64", ""));
    let nested = index(&*archive, vec![image(&*archive, "linux/arm64", b"arm")]);
    let sparse = index(&*archive, vec![absent.clone(), nested, image(&*archive, "linux/riscv64", b"riscv")]);
    let empty = index(&*archive, vec![absent]);
    archive.commit(&[named(&sparse, "hello:1"), named(&empty, "hello:2")]).unwrap();
    assert_eq!(manifests(&path), json!([item("linux/arm64", b"arm", json!(["hello:1"]))]));
}

#[test]
fn what_manifest_json_cannot_say_is_told() {
    let (_temp, path) = place();
    let (ear, options) = listening();
    let archive = DockerArchive.destination(&path, &options).unwrap();
    let image = image(&*archive, "linux/amd64", b"layer");
    let config = put(&*archive, MediaType::Other("application/vnd.example+json".into()), b"{}");
    let artifact = document(&*archive, MediaType::ImageManifest, ImageManifest::new(config, Vec::new()));
    let unknown = put(&*archive, MediaType::Other("application/vnd.example".into()), b"opaque");
    archive.commit(&[named(&image, "stable"), named(&artifact, "x.y/artifact:1"), named(&unknown, "x.y/unknown:1")]).unwrap();
    let mut expected = item("linux/amd64", b"layer", json!(null));
    expected["RepoTags"] = Value::Null;
    assert_eq!(manifests(&path), json!([expected]));
    let warnings = ear.0.lock().unwrap().clone();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("`stable` has no repository") && warnings[1].contains("artifact:1") && warnings[2].contains("unknown:1"), "{warnings:?}");
    assert_eq!(Images::open(&path, &Options::default()).unwrap().index().unwrap().manifests.len(), 3);
}

#[test]
fn images_are_added_and_both_documents_follow() {
    let (_temp, path) = place();
    let add = |platform: &str, layer: &[u8], name: &str| {
        let archive = DockerArchive.destination(&path, &Options::default()).unwrap();
        let image = image(&*archive, platform, layer);
        archive.commit(&[named(&image, name)]).unwrap();
    };
    add("linux/amd64", b"one", "hello:1");
    add("linux/arm64", b"two", "hello:2");
    add("linux/amd64", b"three", "hello:1");
    let expected = json!([item("linux/amd64", b"three", json!(["hello:1"])), item("linux/arm64", b"two", json!(["hello:2"]))]);
    assert_eq!(manifests(&path), expected);
    assert_eq!(Images::open(&path, &Options::default()).unwrap().index().unwrap().manifests.len(), 2);
    let members = ::tar::Archive::new(std::fs::File::open(&path).unwrap())
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().into_owned())
        .collect::<Vec<_>>();
    for document in [MANIFESTS, "index.json"] {
        assert_eq!(members.iter().filter(|name| *name == Path::new(document)).count(), 1, "{document}");
    }
}

#[test]
fn an_archive_of_a_layout_becomes_one_for_docker() {
    let (_temp, path) = place();
    let archive =
        crate::store::transport::destination(&crate::store::Location::parse(format!("oci-archive:{}", path.display())).unwrap(), &Options::default()).unwrap();
    let one = image(&*archive, "linux/amd64", b"one");
    archive.commit(&[named(&one, "hello:1")]).unwrap();
    drop(archive);
    let archive = DockerArchive.destination(&path, &Options::default()).unwrap();
    let two = image(&*archive, "linux/amd64", b"two");
    archive.commit(&[named(&two, "hello:2")]).unwrap();
    assert_eq!(manifests(&path).as_array().unwrap().len(), 2);
}
