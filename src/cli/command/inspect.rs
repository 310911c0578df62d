//! `larder inspect`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::host;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::tree::Tree;
use crate::error::Result;
use crate::ops::inspect::{self, Body, ConfigReport, Content, DocumentReport, Form, ImageReport, InspectReport, InspectRequest, LayerReport, Part};
use crate::ops::inspect::{ReferrerReport, Settings, Via};
use crate::ops::verify::Code;
use crate::spec::annotation::{IMAGE_NAME, REF_NAME};
use crate::spec::{Platform, text};
use crate::store::Location;

/// Shows what an image is made of
///
/// The index, the manifest of each platform, what the configs say, the layers and which of them platforms share, attestations, and what is attached. Without a
/// name, all images are shown. Documents are read and verified; layers are only looked for, and `larder verify` reads them. What is missing or damaged
/// below the image is marked and is no failure.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder inspect oci:hello.oci:1.4.2
  larder inspect oci:hello.oci:1.4.2 --platform linux/arm64 --config | jq .config.Env
  larder inspect oci:hello.oci --format json | jq '.totals'
  larder inspect oci:hello.oci:1.4.2 --raw | sha256sum")]
pub(crate) struct Args {
    /// Image to show, or a store whose images are all shown; the digest may be that of a manifest inside an index
    #[arg(value_name = "LOCATION[:NAME|@DIGEST]")]
    location: OsString,
    /// Only the manifest for this platform
    #[arg(long)]
    platform: Option<String>,
    /// Prints the manifest or index byte for byte
    #[arg(long, conflicts_with = "config")]
    raw: bool,
    /// Prints the config byte for byte; an image for several platforms needs --platform
    #[arg(long)]
    config: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let location = Location::parse(&args.location)?;
    let platform = args.platform.map(|platform| Platform::parse_with(&platform, &host::platform())).transpose()?;
    let request = InspectRequest { location, platform, options: context.layout_options() };
    let part = match (args.raw, args.config) {
        (true, _) => Some(Part::Manifest),
        (_, true) => Some(Part::Config),
        _ => None,
    };
    let outcome = match part {
        Some(part) => inspect::document(&request, part).and_then(|bytes| context.output.raw(&bytes)),
        None => inspect::execute(&context.run, &request).and_then(|report| context.output.print(&Text(report))),
    };
    outcome.map_err(|error| error.context(format!("cannot inspect {}", request.location)))
}

#[derive(Serialize)]
#[serde(transparent)]
struct Text(InspectReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let platforms = self.0.documents().into_iter().filter_map(|document| Some((document.content.digest.as_str(), document.platform.as_deref()?))).collect();
        let painter = Painter { style, platforms };
        for image in &self.0.images {
            painter.image(image, out)?;
            writeln!(out)?;
        }
        let totals = self.0.totals;
        let different = if totals.layers == totals.unique_layers { String::new() } else { format!(", {} of them different", totals.unique_layers) };
        let size = bytes::size(totals.unique_bytes);
        let alone = if totals.bytes == totals.unique_bytes { String::new() } else { format!(", or {} if nothing were shared", bytes::size(totals.bytes)) };
        writeln!(out, "{}, {}{different}; {size}{alone}", count(totals.manifests, "manifest"), count(totals.layers, "layer"))
    }
}

/// What all parts of the text need.
struct Painter<'a> {
    style: Style,
    /// What the documents run on, by their digests.
    platforms: BTreeMap<&'a str, &'a str>,
}

impl Painter<'_> {
    fn image(&self, image: &ImageReport, out: &mut dyn Write) -> io::Result<()> {
        let mut tree = self.document(&image.document);
        for entry in &image.entries {
            if let Some(name) = &entry.name {
                writeln!(out, "{}", self.style.strong(&text::shown(name)))?;
            }
            for (key, value) in entry.annotations.iter().filter(|(key, _)| !matches!(*key, IMAGE_NAME | REF_NAME)) {
                tree.line(pair(key, value));
            }
        }
        tree.write(out)
    }

    fn document(&self, document: &DocumentReport) -> Tree {
        let mut tree = Tree::new(self.heading(document));
        if let Some(artifact_type) = &document.artifact_type {
            tree.line(format!("artifact type {}", text::shown(artifact_type)));
        }
        if let Some(subject) = &document.subject {
            tree.line(format!("attached to {}{}", self.named(subject.digest.as_str()), self.problem(subject)));
        }
        for (key, value) in &document.annotations {
            tree.line(pair(key, value));
        }
        match &document.body {
            Body::Index { manifests } => manifests.iter().for_each(|manifest| tree.branch(self.document(manifest))),
            Body::Manifest { config, layers } => {
                tree.branch(self.config(config, layers.len()));
                self.layers(layers).into_iter().for_each(|layer| tree.branch(layer));
            }
            Body::Leaf {} => {}
        }
        document.referrers.iter().for_each(|referrer| tree.branch(self.referrer(referrer)));
        tree
    }

    fn heading(&self, document: &DocumentReport) -> String {
        let Content { digest, size, media_type, .. } = &document.content;
        let what = match (document.form, document.platform.as_deref(), &document.about) {
            (Form::Index, ..) => "index".to_owned(),
            (Form::Manifest, Some(platform), _) => platform.to_owned(),
            (Form::Manifest, None, _) => "manifest".to_owned(),
            (Form::Artifact, ..) => "artifact".to_owned(),
            (Form::Attestation, _, Some(about)) => format!("attestation of {}", self.named(about.as_str())),
            (Form::Attestation, _, None) => "attestation".to_owned(),
            (Form::Other, ..) => "unknown".to_owned(),
        };
        let repeated = if document.repeated { "  (as above)" } else { "" };
        let problem = self.problem(&document.content);
        format!("{}  {digest}  {}  {}{repeated}{problem}", self.style.strong(&what), bytes::size(*size), media(media_type))
    }

    /// The platform of the document with this digest, where the report has one, else the digest.
    fn named(&self, digest: &str) -> String {
        self.platforms.get(digest).map_or_else(|| digest.to_owned(), |platform| (*platform).to_owned())
    }

    /// The config of a manifest with this many layers, which stand below it.
    fn config(&self, config: &ConfigReport, layers: usize) -> Tree {
        let Content { digest, size, media_type, .. } = &config.content;
        let repeated = if config.repeated { "  (as above)" } else { "" };
        let problem = self.problem(&config.content);
        let width = "layer ".len() + layers.to_string().len();
        let mut tree = Tree::new(format!("{:<width$}  {}  {}  {}{repeated}{problem}", "config", digest.short(), bytes::size(*size), media(media_type)));
        for (key, value) in config.settings.iter().flat_map(told) {
            tree.line(format!("{key:<11} {value}"));
        }
        tree
    }

    fn layers(&self, layers: &[LayerReport]) -> Vec<Tree> {
        let sizes: Vec<String> = layers.iter().map(|layer| bytes::size(layer.content.size)).collect();
        let media: Vec<Cow<'_, str>> = layers.iter().map(|layer| media(&layer.content.media_type)).collect();
        let size_width = sizes.iter().map(String::len).max().unwrap_or_default();
        let media_width = media.iter().map(|media| media.chars().count()).max().unwrap_or_default();
        let number_width = layers.len().to_string().len();
        let line = |(position, layer): (usize, &LayerReport)| {
            let number = position + 1;
            let digest = layer.content.digest.short();
            let (size, media) = (&sizes[position], &media[position]);
            let diff_id = layer.diff_id.as_ref().map(|diff_id| format!("  diff {}", diff_id.0.short())).unwrap_or_default();
            let shared = if layer.used_by > 1 { format!("  shared by {}", layer.used_by) } else { String::new() };
            // What BuildKit and Dockerfile builds of larder write as the comment says nothing of the layer.
            let comment = layer
                .comment
                .as_deref()
                .filter(|comment| !comment.starts_with("buildkit."))
                .or(layer.created_by.as_deref())
                .map(|comment| format!("  {}", cut(comment)))
                .unwrap_or_default();
            let problem = self.problem(&layer.content);
            let line = format!("layer {number:>number_width$}  {digest}  {size:>size_width$}  {media:<media_width$}{diff_id}{shared}{comment}{problem}");
            let mut tree = Tree::new(line);
            for (key, value) in &layer.annotations {
                tree.line(pair(key, value));
            }
            tree
        };
        layers.iter().enumerate().map(line).collect()
    }

    fn referrer(&self, referrer: &ReferrerReport) -> Tree {
        let kind = referrer.artifact_type.as_deref().map_or_else(|| media(&referrer.media_type), media);
        let via = if referrer.via == Via::Tag { "  by tag" } else { "" };
        let mut tree = Tree::new(format!("referrer {}  {}  {kind}{via}", referrer.digest, bytes::size(referrer.size)));
        for name in &referrer.names {
            tree.line(text::shown(name));
        }
        for (key, value) in &referrer.annotations {
            tree.line(pair(key, value));
        }
        tree
    }

    fn problem(&self, content: &Content) -> String {
        let Some(problem) = &content.problem else { return String::new() };
        match problem.code {
            Code::BlobMissing => format!("  {}", self.style.error("missing")),
            code => format!("  {} {}", self.style.error(&format!("{}:", code.as_str())), text::shown(&problem.message)),
        }
    }
}

/// What there is to say of a config, line by line.
fn told(settings: &Settings) -> Vec<(&'static str, String)> {
    let text = |text: &str| Some(cut(text)).filter(|text| !text.is_empty());
    let words = |words: &[String]| (!words.is_empty()).then(|| text::shown(&serde_json::Value::from(words.to_vec()).to_string()).into_owned());
    let list = |items: &[String]| text(&items.join(", "));
    let mut lines = vec![
        ("created", settings.created.as_deref().and_then(text)),
        ("author", settings.author.as_deref().and_then(text)),
        ("entrypoint", words(&settings.entrypoint)),
        ("cmd", words(&settings.cmd)),
        ("env", (!settings.env.is_empty()).then(|| count(settings.env.len(), "variable"))),
        ("user", text(&settings.user)),
        ("working dir", text(&settings.working_dir)),
        ("stop signal", text(&settings.stop_signal)),
        ("ports", list(&settings.exposed_ports)),
        ("volumes", list(&settings.volumes)),
    ];
    lines.extend(settings.labels.iter().map(|(key, value)| ("label", Some(pair(key, value)))));
    lines.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

fn pair(key: &str, value: &str) -> String {
    format!("{}={}", cut(key), cut(value))
}

/// Foreign text made safe and, for a line of a tree, short.
fn cut(foreign: &str) -> String {
    const LONGEST: usize = 80;
    match foreign.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text::shown(&foreign[..end])),
        None => text::shown(foreign).into_owned(),
    }
}

/// A media type without what nearly all begin with.
fn media(media_type: &str) -> Cow<'_, str> {
    text::shown(media_type.strip_prefix("application/vnd.").unwrap_or(media_type))
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::inspect::Totals;
    use crate::spec::{Annotations, Digest};

    fn document(form: Form, content: &str) -> DocumentReport {
        let (digest, media_type) = (Digest::sha256(content.as_bytes()), "application/vnd.oci.image.manifest.v1+json".to_owned());
        let content = Content { digest, media_type, size: 7, urls: Vec::new(), problem: None };
        let (annotations, descriptor_annotations) = (Annotations::new(), Annotations::new());
        let body = Body::Leaf {};
        let (platform, artifact_type, subject, about, repeated, referrers) = (None, None, None, None, false, Vec::new());
        DocumentReport { form, content, platform, artifact_type, annotations, descriptor_annotations, subject, about, repeated, referrers, body }
    }

    #[test]
    fn attestations_artifacts_attachments_and_what_was_told_before_are_marked() {
        let [a, b, c] = ["a", "b", "c"].map(|content| Digest::sha256(content.as_bytes()));
        let platform = Some("linux/amd64".to_owned());
        let first = DocumentReport { platform: platform.clone(), ..document(Form::Manifest, "a") };
        let again = DocumentReport { platform, repeated: true, ..document(Form::Manifest, "a") };
        let attestation = DocumentReport { about: Some(a.clone()), ..document(Form::Attestation, "b") };
        let referrer = ReferrerReport {
            via: Via::Tag,
            digest: a.clone(),
            media_type: String::new(),
            size: 7,
            artifact_type: Some("text/spdx\n".into()),
            names: vec!["sha256-x.sig".into()],
            annotations: Annotations::new(),
        };
        let artifact = DocumentReport { subject: Some(first.content.clone()), referrers: vec![referrer], ..document(Form::Artifact, "c") };
        let image = |document| ImageReport { entries: Vec::new(), document };
        let images = [first, again, attestation, artifact].into_iter();
        let report = InspectReport { location: String::new(), images: images.map(image).collect(), totals: Totals::default() };
        let mut out = Vec::new();
        Text(report).text(&mut out, Style::Plain).expect("memory");
        let media = "oci.image.manifest.v1+json";
        let expected = format!(
            "linux/amd64  {a}  7 B  {media}\n\nlinux/amd64  {a}  7 B  {media}  (as above)\n\nattestation of linux/amd64  {b}  7 B  {media}\n\n\
             artifact  {c}  7 B  {media}\n│  attached to linux/amd64\n└─ referrer {a}  7 B  text/spdx\\n  by tag\n      sha256-x.sig\n\n\
             0 manifests, 0 layers; 0 B\n"
        );
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }
}
