//! Reading what Docker, podman, skopeo and strangers wrote.

use super::*;
use crate::error::{Error, ErrorKind};
use crate::spec::{Descriptor, ImageName};
use std::io::Write as _;

const LAYERS: [&[u8]; 2] = [b"first layer", b"second layer"];

fn manifests(config: &str, tags: &str, layers: &[&str]) -> Vec<u8> {
    let layers: Vec<String> = layers.iter().map(|layer| format!("\"{layer}\"")).collect();
    format!(r#"[{{"Config":"{config}","RepoTags":{tags},"Layers":[{}]}}]"#, layers.join(",")).into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    Digest::sha256(bytes).encoded().to_owned()
}

/// As podman and skopeo write: files named by what they are.
fn modern(tags: &str) -> forge::Archive {
    let config = config("linux/amd64", &LAYERS);
    let names = LAYERS.map(|layer| format!("{}.tar", hex(layer)));
    let config_name = format!("{}.json", hex(&config));
    let archive = forge::archive().file(names[0].as_bytes(), LAYERS[0]).file(names[1].as_bytes(), LAYERS[1]).file(config_name.as_bytes(), &config);
    archive.file(b"manifest.json", &manifests(&config_name, tags, &[&names[0], &names[1]]))
}

/// As old versions of Docker wrote: a directory for each layer, the same layer once and then linked to.
fn legacy() -> forge::Archive {
    let layers: [&[u8]; 3] = [LAYERS[0], LAYERS[1], LAYERS[0]];
    let config = config("linux/amd64", &layers);
    let (a, b, c) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let name = |id: &str, file: &str| format!("{id}/{file}");
    let mut archive = forge::archive();
    for (id, layer) in [(&a, LAYERS[0]), (&b, LAYERS[1])] {
        archive = archive.entry(format!("{id}/").as_bytes(), b'5').file(name(id, "VERSION").as_bytes(), b"1.0").file(name(id, "json").as_bytes(), b"{}");
        archive = archive.file(name(id, "layer.tar").as_bytes(), layer);
    }
    archive = archive.link(name(&c, "layer.tar").as_bytes(), b'2', format!("../{a}/layer.tar").as_bytes());
    let config_name = format!("{}.json", hex(&config));
    let manifests = manifests(&config_name, r#"["hello:1","x.y/hello:2"]"#, &[&name(&a, "layer.tar"), &name(&b, "layer.tar"), &name(&c, "layer.tar")]);
    archive.file(config_name.as_bytes(), &config).file(b"manifest.json", &manifests).file(b"repositories", b"{}")
}

/// The manifest of the only image, after all of its content was proved.
fn proved(images: &Images) -> (Descriptor, ImageManifest) {
    let index = images.index().unwrap();
    let entry = index.manifests[0].clone();
    let bytes = images.read(&entry, 1 << 20).unwrap();
    let manifest = crate::spec::shape::manifest(&entry, &bytes).unwrap();
    for content in std::iter::once(&manifest.config).chain(&manifest.layers) {
        images.read(content, 1 << 20).unwrap();
        let mut unproved = Vec::new();
        images.open_unproved(content).unwrap().read_to_end(&mut unproved).unwrap();
        assert_eq!(Digest::sha256(&unproved), content.digest);
    }
    (entry, manifest)
}

fn names(images: &Images) -> Vec<String> {
    images.index().unwrap().manifests.iter().map(|entry| ImageName::of(entry).map_or("-".into(), |name| name.as_str().to_owned())).collect()
}

#[track_caller]
fn refused(archive: forge::Archive, why: &str) -> Error {
    let error = open(archive).err().unwrap_or_else(|| panic!("must be refused: {why}"));
    let lines = [vec![error.message().to_owned()], error.causes()].concat();
    assert!(error.kind() == ErrorKind::Corrupt && lines.iter().any(|line| line.contains(why)), "{:?}: {lines:?}", error.kind());
    error
}

#[test]
fn a_manifest_is_made_for_files_as_they_are() {
    let images = open(modern(r#"["hello:1","registry.example/hello:2"]"#)).unwrap();
    assert_eq!(names(&images), ["docker.io/library/hello:1", "registry.example/hello:2"]);
    let (entry, manifest) = proved(&images);
    assert_eq!(entry.platform, Some(Platform::new("linux", "amd64", "")));
    assert_eq!(manifest.config.digest, Digest::sha256(&config("linux/amd64", &LAYERS)), "the image ID of Docker");
    assert_eq!(manifest.layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>(), LAYERS.map(Digest::sha256));
    assert!(manifest.layers.iter().all(|layer| layer.media_type == MediaType::ImageLayer));
    let golden = "sha256:66c9d85f3a4840556394a0363335cddfa534f63604f502443c170ee36ddb013a";
    assert_eq!(entry.digest.as_str(), golden, "the digests of what Docker saved are a contract");
}

#[test]
fn layers_in_directories_and_links_to_them() {
    let images = open(legacy()).unwrap();
    assert_eq!(names(&images), ["docker.io/library/hello:1", "x.y/hello:2"]);
    let (_, manifest) = proved(&images);
    assert_eq!(manifest.layers.iter().map(|layer| layer.digest.clone()).collect::<Vec<_>>(), [LAYERS[0], LAYERS[1], LAYERS[0]].map(Digest::sha256));
}

#[test]
fn arc_05_hard_links_to_layers() {
    let config = config("linux/amd64", &LAYERS[..1]);
    let archive = forge::archive().file(b"a.tar", LAYERS[0]).link(b"b.tar", b'1', b"a.tar").file(b"c.json", &config);
    proved(&open(archive.file(b"manifest.json", &manifests("c.json", "null", &["b.tar"]))).unwrap());
}

#[test]
fn arc_13_documents_that_are_missing_or_do_not_fit() {
    let with = |manifests: &[u8]| forge::archive().file(b"c.json", &config("linux/amd64", &LAYERS)).file(b"l.tar", LAYERS[0]).file(b"manifest.json", manifests);
    refused(with(b"null"), "it is null");
    refused(with(b"[]"), "lists no image");
    refused(with(b"{}"), "manifest.json");
    refused(with(b"[{}]"), "missing field");
    refused(forge::archive().file(b"c.json", b"{}"), "has no `manifest.json`");
    let error = refused(forge::archive().file(b"repositories", b"{}"), "has no `manifest.json`");
    assert!(error.hint_text().unwrap().contains("1.10"));
    refused(with(&manifests("absent.json", "null", &[])), "`absent.json` is not in the archive");
    refused(with(&manifests("c.json", "null", &["l.tar"])), "it has 1 layers");
    refused(with(&manifests("c.json", "null", &["l.tar", "l.tar", "l.tar"])), "has 2 diff IDs");
    refused(with(&manifests("c.json", "null", &["l.tar", "absent.tar"])), "`absent.tar` is not in the archive");
    refused(with(&manifests("l.tar", "null", &[])), "cannot read config");
    refused(with(br#"[{"Config":"c.json","config":"d.json","Layers":[]}]"#), "differ only in case");
}

#[test]
fn arc_10_content_that_is_not_what_its_name_or_config_says() {
    let config = config("linux/amd64", &LAYERS[..1]);
    let wrong = format!("{}.json", hex(b"something else"));
    let archive = forge::archive().file(wrong.as_bytes(), &config).file(b"l.tar", LAYERS[0]).file(b"manifest.json", &manifests(&wrong, "null", &["l.tar"]));
    refused(archive, "its digest is");
    let archive = forge::archive().file(b"c.json", &config).file(b"l.tar", b"other layer").file(b"manifest.json", &manifests("c.json", "null", &["l.tar"]));
    let images = open(archive).unwrap();
    let layer = Descriptor::new(MediaType::ImageLayer, Digest::sha256(LAYERS[0]), LAYERS[0].len() as u64);
    assert_eq!(images.read(&layer, 100).unwrap_err().kind(), ErrorKind::Corrupt);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn arc_14_compressed_layers_are_held_against_their_diff_ids() {
    let packed = [gzip(LAYERS[0]), zstd::bulk::compress(LAYERS[1], 3).unwrap()];
    let archive = |config: &[u8]| {
        let archive = forge::archive().file(b"a.tar.gz", &packed[0]).file(b"b", &packed[1]).file(b"c.json", config);
        archive.file(b"manifest.json", &manifests("c.json", "null", &["a.tar.gz", "b"]))
    };
    let images = open(archive(&config("linux/amd64", &LAYERS))).unwrap();
    assert_eq!(names(&images), ["-"]);
    let (_, manifest) = proved(&images);
    assert_eq!(manifest.layers.iter().map(|layer| layer.media_type.clone()).collect::<Vec<_>>(), [MediaType::ImageLayerGzip, MediaType::ImageLayerZstd]);
    assert_eq!(manifest.layers[0].digest, Digest::sha256(&packed[0]));
    refused(archive(&config("linux/amd64", &[LAYERS[0], b"other"])), "its diff ID is");
}

#[test]
fn arc_16_paths_that_lead_elsewhere() {
    let with = |config_name: &str, layer: &str| {
        forge::archive()
            .file(b"c.json", &config("linux/amd64", &LAYERS[..1]))
            .file(b"l.tar", LAYERS[0])
            .file(b"manifest.json", &manifests(config_name, "null", &[layer]))
    };
    for path in ["/etc/passwd", "../c.json", "a/../../l.tar"] {
        refused(with(path, "l.tar"), "escape");
        refused(with("c.json", path), "escape");
    }
    proved(&open(with("./c.json", "x/../l.tar")).unwrap());
    refused(with("c.json", "l.tar").link(b"x", b'2', b"/etc/passwd"), "escape");
    refused(with("c.json", "l.tar").entry(b"x", b'6'), "FIFO");
}

#[test]
fn arc_17_names_outside_the_grammar_are_no_names() {
    let (_temp, path) = place();
    std::fs::write(&path, modern(r#"["hello:1","../../etc/x","A:1"]"#).end().0).unwrap();
    let (ear, options) = listening();
    let images = Images::open(&path, &options).unwrap();
    assert_eq!(names(&images), ["docker.io/library/hello:1"]);
    assert_eq!(ear.0.lock().unwrap().len(), 2);
    assert_eq!(images.remarks().unwrap().len(), 2);
    let images = open(modern(r#"["A:1"]"#)).unwrap();
    assert_eq!(names(&images), ["-"], "without a name it is there all the same");
}

#[test]
fn several_images_share_layers() {
    let (one, two) = (config("linux/amd64", &LAYERS), config("linux/arm64", &LAYERS));
    let archive = forge::archive().file(b"1.json", &one).file(b"2.json", &two).file(b"a", LAYERS[0]).file(b"b", LAYERS[1]);
    let items = [manifests("1.json", r#"["hello:1"]"#, &["a", "b"]), manifests("2.json", r#"["hello:2"]"#, &["a", "b"])];
    let list = [&items[0][..items[0].len() - 1], b",", &items[1][1..]].concat();
    let images = open(archive.file(b"manifest.json", &list)).unwrap();
    assert_eq!(names(&images), ["docker.io/library/hello:1", "docker.io/library/hello:2"]);
    let entries = images.index().unwrap().manifests;
    assert_ne!(entries[0].digest, entries[1].digest);
    entries.iter().for_each(|entry| drop(images.read(entry, 1 << 20).unwrap()));
}

/// As Docker 25 writes: a layout with a `manifest.json`. `item` says what stands there.
fn both(item: impl FnOnce(&str, &str) -> String) -> forge::Archive {
    let config = config("linux/amd64", &LAYERS[..1]);
    let layer = Descriptor::new(MediaType::ImageLayer, Digest::sha256(LAYERS[0]), LAYERS[0].len() as u64);
    let descriptor = Descriptor::new(MediaType::ImageConfig, Digest::sha256(&config), config.len() as u64);
    let manifest = Document::create(MediaType::ImageManifest, ImageManifest::new(descriptor.clone(), vec![layer.clone()])).unwrap();
    let mut entry = manifest.descriptor.clone();
    ImageName::parse_reference("hello:1").unwrap().apply(&mut entry);
    let index = json::canonical(&ImageIndex::new(vec![entry])).unwrap();
    let name = |digest: &Digest| format!("blobs/sha256/{}", digest.encoded());
    let mut archive = forge::archive().file(b"oci-layout", header::BYTES).file(b"index.json", &index);
    for (digest, content) in [(&descriptor.digest, &config[..]), (&layer.digest, LAYERS[0]), (&digest(&manifest), &manifest.bytes)] {
        archive = archive.file(name(digest).as_bytes(), content);
    }
    archive.file(b"manifest.json", item(&name(&descriptor.digest), &name(&layer.digest)).as_bytes())
}

fn item(config: &str, tag: &str, layer: &str) -> String {
    format!(r#"[{{"Config":"{config}","RepoTags":["{tag}"],"Layers":["{layer}"],"LayerSources":{{}}}}]"#)
}

#[test]
fn arc_15_the_layout_is_read_and_both_views_must_agree() {
    let images = open(both(|config, layer| item(config, "hello:1", layer))).unwrap();
    assert_eq!(names(&images), ["docker.io/library/hello:1"]);
    proved(&images);
    let images = open(both(|config, layer| item(config, "hello:2", layer))).unwrap();
    assert_eq!(names(&images), ["docker.io/library/hello:1", "docker.io/library/hello:2"], "a name that only one view has");
    refused(both(|_, layer| item("other.json", "hello:1", layer)), "ambiguous");
    refused(both(|_, layer| item(&format!("blobs/sha256/{}", "0".repeat(64)), "hello:1", layer)), "ambiguous");
    refused(both(|_, layer| item("../../etc/passwd", "hello:1", layer)), "escape");
    proved(&open(both(|_, _| "[]".into())).unwrap());
}

#[test]
fn arc_15_a_name_that_means_two_images_is_ambiguous() {
    // The layout calls one image hello:1, and `manifest.json` the other.
    let other = config("linux/arm64", &LAYERS[..1]);
    let descriptor = Descriptor::new(MediaType::ImageConfig, Digest::sha256(&other), other.len() as u64);
    let manifest = Document::create(MediaType::ImageManifest, ImageManifest::new(descriptor.clone(), Vec::new())).unwrap();
    let (_temp, path) = place();
    std::fs::write(&path, both(|config, layer| item(config, "hello:1", layer)).end().0).unwrap();
    let mut index = Images::open(&path, &Options::default()).unwrap().index().unwrap();
    index.manifests.push(manifest.descriptor.clone());
    let name = |digest: &Digest| format!("blobs/sha256/{}", digest.encoded());
    let archive = |config: &str| {
        let archive = forge::archive().file(b"oci-layout", header::BYTES).file(b"index.json", &json::canonical(&index).unwrap());
        let archive = archive.file(name(&descriptor.digest).as_bytes(), &other).file(name(&digest(&manifest)).as_bytes(), &manifest.bytes);
        archive.file(b"manifest.json", item(config, "hello:1", "x").as_bytes())
    };
    refused(archive(&name(&descriptor.digest)), "is not what its layout calls");
}
