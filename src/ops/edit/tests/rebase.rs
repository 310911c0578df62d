//! Another base under an image.

use serde_json::json;

use super::sample::{Layer, Sample, env, run, spec};
use crate::build::spec::Level;
use crate::error::ErrorKind;
use crate::ops::edit::{self, AnnotationChange, Changes};
use crate::spec::{Annotations, ChainId, Descriptor, History, ImageConfig, annotation, media_type};

/// A layout with two bases and one for images, each base with an index of two platforms.
struct Bases {
    bases: Sample,
    images: Sample,
    old: [Layer; 2],
    new: Layer,
}

fn step(text: &str, empty_layer: bool) -> History {
    History { created_by: Some(text.into()), empty_layer, ..History::default() }
}

/// Gives a config these steps: those with a name that begins in upper case made no layer.
fn steps(config: &mut ImageConfig, texts: &[&str]) {
    let diff_ids = config.diff_ids().expect("there");
    let steps: Vec<History> = texts.iter().map(|text| step(text, text.starts_with(char::is_uppercase))).collect();
    config.set_layers(&diff_ids, &steps);
}

impl Bases {
    fn new() -> Bases {
        let (bases, images) = (Sample::new(), Sample::new());
        let old = [bases.layer("base", "old"), bases.layer("more", "old")];
        let new = bases.layer("base", "new");
        let image = |platform: &str, layers: &[Layer], version: &str, history: &[&str]| {
            bases.image(platform, layers, |config, _| {
                config.set_env("PATH", &format!("/{version}")).expect("a variable");
                config.set_cmd(&[version]);
                config.set_working_dir(&format!("/{version}"));
                steps(config, history);
            })
        };
        let platforms = ["linux/amd64", "linux/arm64"];
        bases.name(&bases.index(platforms.map(|platform| image(platform, &old, "old", &["base", "more", "CMD old"])).to_vec()), "x.y/base:old");
        bases.name(
            &bases.index(platforms.map(|platform| image(platform, std::slice::from_ref(&new), "new", &["base new", "CMD new"])).to_vec()),
            "x.y/base:new",
        );
        Bases { bases, images, old, new }
    }

    /// The manifest of a base for a platform.
    fn base(&self, version: &str, platform: usize) -> Descriptor {
        self.bases.read_index(&self.bases.entry(&format!("x.y/base:{version}"))).manifests[platform].clone()
    }

    /// An image on the old base, with a layer of its own.
    fn image(&self, platform: &str, annotations: &[(&str, &str)], change: impl FnOnce(&mut ImageConfig)) -> Descriptor {
        for (layer, _) in &self.old {
            let bytes = self.bases.layout.read(layer, 10_000).expect("there");
            let mut writer = self.images.layout.blob_writer(crate::spec::Algorithm::Sha256).expect("writable");
            std::io::Write::write_all(&mut writer, &bytes).expect("written");
            writer.finish().expect("stored");
        }
        let layers = [self.old[0].clone(), self.old[1].clone(), self.images.layer("own", platform)];
        self.images.image(platform, &layers, |config, manifest| {
            config.set_env("PATH", "/old").expect("a variable");
            config.set_env("OWN", "1").expect("a variable");
            config.set_cmd(&["old"]);
            config.set_working_dir("/own");
            steps(config, &["base", "more", "CMD old", "own", "ENV OWN"]);
            change(config);
            manifest.annotations.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        })
    }

    fn rebase(&self, old: Option<&str>) -> Changes {
        let mut changes = Changes::default();
        changes.layers.rebase = Some(self.bases.location("x.y/base:new"));
        changes.layers.old_base = old.map(|name| self.bases.location(name));
        changes
    }
}

fn history(config: &ImageConfig) -> Vec<(String, bool)> {
    config.history().into_iter().map(|step| (step.created_by.unwrap_or_default(), step.empty_layer)).collect()
}

#[test]
fn every_platform_stands_on_the_new_base_with_what_was_its_own() {
    let bases = Bases::new();
    let digests = [bases.base("old", 0).digest, bases.base("old", 1).digest];
    let images = [("linux/amd64", &digests[0]), ("linux/arm64", &digests[1])]
        .map(|(platform, digest)| bases.image(platform, &[(annotation::BASE_DIGEST, digest.as_str()), ("own", "kept")], |_| {}));
    let sample = &bases.images;
    let owns = images.each_ref().map(|image| sample.read_manifest(image).layers[2].clone());
    sample.name(&sample.index(images.to_vec()), "1");
    let report = sample.edited(&sample.request("1", bases.rebase(None)));
    assert_eq!(report.brought.iter().map(|layer| &layer.digest).collect::<Vec<_>>(), [&bases.new.0.digest], "once for both");
    assert_eq!(
        report.images[0].changes,
        [
            format!("base {} (2 layers) replaced by {} (1 layer)", digests[0].short(), bases.base("new", 0).digest.short()),
            "from the new base: cmd, env PATH".to_owned(),
            format!("annotations of the base: x.y/base:new ({})", bases.base("new", 0).digest.short()),
        ]
    );
    let manifests = sample.read_index(&sample.entry("1")).manifests;
    for (position, own) in owns.into_iter().enumerate() {
        let manifest = sample.read_manifest(&manifests[position]);
        assert_eq!(manifest.layers, [bases.new.0.clone(), own]);
        let new = bases.base("new", position);
        let expected = Annotations::from(
            [(annotation::BASE_DIGEST, new.digest.as_str()), (annotation::BASE_NAME, "x.y/base:new"), ("own", "kept")]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        assert_eq!(manifest.annotations, expected);
        let config = sample.read_config(&manifest);
        assert_eq!((config.env(), config.cmd(), config.working_dir()), (vec!["PATH=/new".to_owned(), "OWN=1".to_owned()], vec!["new".to_owned()], "/own"));
        let note = format!("larder edit: rebase from {} to {}", digests[position], new.digest);
        let expected = [("base new", false), ("CMD new", true), ("own", false), ("ENV OWN", true), (note.as_str(), true)];
        assert_eq!(history(&config), expected.map(|(text, empty)| (text.to_owned(), empty)));
        // Whoever asks for the chain finds the new base at the bottom.
        assert_eq!(ChainId::of(&config.diff_ids().expect("there")[..1]), ChainId::of(std::slice::from_ref(&bases.new.1)));
    }
    let inode = |sample: &Sample| {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(sample.layout.path().join("blobs/sha256").join(bases.new.0.digest.encoded())).expect("there").ino()
    };
    assert_eq!(inode(sample), inode(&bases.bases), "the layer is linked and not copied");

    let again = sample.edited(&sample.request("1", bases.rebase(None)));
    assert_eq!((again.digest, again.images[0].changes.len()), (report.digest, 0), "it stands there already");
}

#[test]
fn the_old_base_is_the_one_that_is_named_or_annotated_wherever_that_stands() {
    let bases = Bases::new();
    let sample = &bases.images;
    let (manifest, root) = (bases.base("old", 0).digest, bases.bases.entry("x.y/base:old").digest);
    let rebased = |image: Descriptor, old: Option<&str>| {
        sample.name(&image, "1");
        sample.edited(&sample.request("1", bases.rebase(old))).images[0].layers
    };
    let image = |annotations: &[(&str, &str)]| bases.image("linux/amd64", annotations, |_| {});
    assert_eq!(rebased(image(&[]), Some("x.y/base:old")), 2);
    assert_eq!(rebased(image(&[(annotation::BASE_DIGEST, root.as_str())]), None), 2, "an index, of which the platform is meant");
    assert_eq!(rebased(image(&[(annotation::BASE_NAME, "x.y/base:old")]), None), 2);
    // On what points to the manifest, and on the index: there it is noted anew too.
    let note = |digest: &str| Annotations::from([(annotation::BASE_DIGEST.to_owned(), digest.to_owned())]);
    sample.name(&sample.index(vec![Descriptor { annotations: note(manifest.as_str()), ..image(&[]) }]), "1");
    sample.edited(&sample.request("1", bases.rebase(None)));
    let entry = sample.read_index(&sample.entry("1")).manifests[0].clone();
    assert_eq!(
        (entry.annotation(annotation::BASE_DIGEST), entry.annotation(annotation::BASE_NAME)),
        (Some(bases.base("new", 0).digest.as_str()), Some("x.y/base:new"))
    );
    let index = sample.put(
        crate::spec::MediaType::ImageIndex.as_ref(),
        &json!({"schemaVersion": 2, "manifests": [image(&[])], "annotations": {annotation::BASE_DIGEST: root, "own": "kept"}}),
    );
    sample.name(&index, "1");
    sample.edited(&sample.request("1", bases.rebase(None)));
    let annotations = sample.read_index(&sample.entry("1")).annotations;
    assert_eq!((annotations.get(annotation::BASE_DIGEST), annotations.len()), (Some(bases.bases.entry("x.y/base:new").digest.as_str()), 3));
    // The name of the old base stands on the new one by now, and nothing leads to the old one.
    let moved = bases.bases.entry("x.y/base:new");
    bases.bases.name(&moved, "x.y/base:old");
    assert_eq!(rebased(image(&[(annotation::BASE_DIGEST, manifest.as_str()), (annotation::BASE_NAME, "x.y/base:old")]), None), 2);
    let by_digest = format!("oci:{}@{manifest}", bases.bases.layout.path().display());
    let mut changes = bases.rebase(None);
    changes.layers.old_base = Some(crate::store::Location::parse(by_digest).expect("a location"));
    sample.name(&image(&[]), "1");
    sample.edited(&sample.request("1", changes));
}

#[test]
fn an_image_that_does_not_stand_on_the_old_base_is_refused() {
    let bases = Bases::new();
    let sample = &bases.images;
    let image = bases.image("linux/amd64", &[], |_| {});
    sample.name(&image, "1");
    for (changes, kind, words) in [
        (bases.rebase(Some("x.y/base:new")), ErrorKind::Usage, "does not stand on the base"),
        (bases.rebase(None), ErrorKind::Usage, "no annotation says what the image is based on"),
        (bases.rebase(Some("x.y/base:none")), ErrorKind::NotFound, "cannot use the base oci:"),
    ] {
        let error = sample.edit(&sample.request("1", changes)).expect_err(words);
        let all = format!("{error} {:?}", error.causes());
        assert!(error.kind() == kind && all.contains(words), "{all}");
    }
    let mut changes = bases.rebase(Some("x.y/base:old"));
    changes.layers.drop.push("2".parse().expect("a layer"));
    let error = sample.edit(&sample.request("1", changes.clone())).expect_err("of the base");
    assert!(
        error.causes().iter().any(|cause| cause.contains("layer 2 is of the old base")) && error.hint_text() == Some("the first layer above it is 3"),
        "{error:?}"
    );
    // A base with fewer platforms than the image.
    sample.name(&bases.image("linux/s390x", &[], |_| {}), "1");
    assert_eq!(sample.edit(&sample.request("1", bases.rebase(Some("x.y/base:old")))).expect_err("no such platform").kind(), ErrorKind::NotFound);
}

#[test]
fn other_changes_are_made_above_the_new_base() {
    let bases = Bases::new();
    let sample = &bases.images;
    let old = bases.base("old", 0).digest;
    let image = |sample: &Sample| sample.name(&bases.image("linux/amd64", &[(annotation::BASE_DIGEST, old.as_str())], |_| {}), "1");
    // All of it becomes one layer, for which that of the base need not come here.
    image(sample);
    let mut changes = bases.rebase(None);
    changes.layers.squash = Some("all".parse().expect("layers"));
    let report = sample.edited(&sample.request("1", changes.clone()));
    let manifest = sample.read_manifest(&sample.entry("1"));
    assert_eq!((report.brought.len(), sample.paths(&manifest.layers[0])), (0, vec!["base".to_owned(), "own".to_owned()]));
    assert!(manifest.annotations.is_empty() && !sample.layout.has(&bases.new.0).expect("looked"));
    // Above the base there is one layer only, and settings of this call win.
    image(sample);
    changes.layers.squash = Some("base".parse().expect("layers"));
    changes.settings = env("PATH", "/mine").settings;
    changes.annotations.push(AnnotationChange::Set(spec(Level::Manifest, None, annotation::BASE_NAME, "mine")));
    let plan = edit::plan(&run(), &sample.request("1", changes.clone())).expect("planned");
    assert_eq!(plan.brought.iter().map(|layer| layer.size).collect::<Vec<_>>(), [bases.new.0.size]);
    sample.edited(&sample.request("1", changes));
    let manifest = sample.read_manifest(&sample.entry("1"));
    let config = sample.read_config(&manifest);
    assert_eq!((manifest.layers.len(), config.env()[0].as_str(), manifest.annotations.get(annotation::BASE_NAME)), (2, "PATH=/mine", Some("mine")));
    let steps = history(&config);
    assert_eq!(steps.last().map(|step| step.0.as_str()), Some("larder edit: env PATH"));
}

#[test]
fn a_history_that_does_not_begin_with_that_of_the_base_ends_its_part_with_its_last_layer() {
    let bases = Bases::new();
    let sample = &bases.images;
    let image = bases.image("linux/amd64", &[], |config| steps(config, &["LABEL x", "base", "more", "own", "ENV OWN"]));
    sample.name(&image, "1");
    sample.edited(&sample.request("1", bases.rebase(Some("x.y/base:old"))));
    let steps = history(&sample.read_config(&sample.read_manifest(&sample.entry("1"))));
    assert_eq!(steps[..4].iter().map(|step| step.0.as_str()).collect::<Vec<_>>(), ["base new", "CMD new", "own", "ENV OWN"]);
}

#[test]
fn lay_46_layers_of_a_base_get_the_media_types_of_the_image() {
    let bases = Bases::new();
    let sample = &bases.images;
    let image = bases.image("linux/amd64", &[], |_| {});
    let mut changes = Changes { media_types: Some(crate::spec::Family::Docker), ..Changes::default() };
    sample.name(&image, "1");
    sample.edited(&sample.request("1", changes.clone()));
    changes = bases.rebase(Some("x.y/base:old"));
    sample.edited(&sample.request("1", changes));
    let entry = sample.entry("1");
    let manifest = sample.read_manifest(&entry);
    assert!(media_type::is_docker(&entry.media_type) && manifest.layers.iter().all(|layer| media_type::is_docker(&layer.media_type)));
    assert_eq!((manifest.layers[0].digest.clone(), manifest.annotations.len()), (bases.new.0.digest.clone(), 0), "Docker's manifests have no annotations");
}
