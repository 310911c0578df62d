//! `larder.toml`.

use std::path::Path;

use super::annotation::Target;
use super::destination::DestinationSpec;
use super::fields::{Fields, File};
use super::place::At;
use super::platforms;
use super::spec::{AnnotationSpec, BaseSpec, BuildSpec, ConfigSpec, CopySpec, Devices, LayerSource, LayerSpec, RootfsSpec, Step, TarSpec, mode, owner};
use super::template::Template;
use crate::error::Result;
use crate::layer::changeset::{Modes, Owner};
use crate::spec::{Platform, text};

/// The name that `larder build` looks for in its context.
pub const FILE_NAME: &str = "larder.toml";

const TOP: &[&str] = &["name", "tags", "platforms", "base", "layer", "config", "annotations", "compression"];
const BASE: &[&str] = &["from"];
const LAYER: &[&str] = &["comment", "platforms", "rootfs", "tar", "exclude", "owner", "devices", "copy", "file", "symlink", "directory", "remove"];
const COPY: &[&str] = &["from", "to", "include", "exclude", "mode", "owner"];
const INLINE: &[&str] = &["to", "content", "mode", "owner"];
const SYMLINK: &[&str] = &["to", "target", "owner"];
const DIRECTORY: &[&str] = &["to", "mode", "owner"];
const REMOVE: &[&str] = &["path"];
const CONFIG: &[&str] = &["entrypoint", "cmd", "env", "labels", "user", "workdir", "ports", "volumes", "stop-signal", "author"];

/// Reads the text of a `larder.toml` whose source paths are relative to `context`. `name` stands in messages.
///
/// Every error is of kind `usage` and names line and column.
pub fn parse(name: &str, text: &str, context: &Path) -> Result<BuildSpec> {
    File::read(name, text, TOP, |top| {
        let base = top
            .table("base", BASE)?
            .map(|base| Ok::<_, crate::Error>(BaseSpec { location: base.required("from", "[base]")?, relative_to: context.to_owned() }));
        Ok(BuildSpec {
            context: context.to_owned(),
            name: top.string("name")?,
            tags: top.strings("tags")?,
            platforms: platforms(&top)?,
            usual_platforms: Vec::new(),
            base: base.transpose()?,
            layers: top.tables("layer", "layer", LAYER)?.iter().map(layer).collect::<Result<_>>()?,
            config: config(&top)?,
            annotations: annotations(&top)?,
            compression: match top.string("compression")? {
                Some(codec) => Some(codec.value.parse().map_err(|error| codec.place.wrap(error, "`compression` is not one"))?),
                None => None,
            },
        })
    })
}

fn platforms(fields: &Fields<'_>) -> Result<Vec<Platform>> {
    let mut platforms: Vec<Platform> = Vec::new();
    let Some(written) = fields.optional_strings("platforms")? else { return Ok(platforms) };
    if written.is_empty() {
        return Err(fields.place_of("platforms").usage("`platforms` is empty").hint("name at least one, such as \"linux/amd64\", or leave the key out"));
    }
    for written in written {
        let platform = platforms::read(&written)?;
        if platforms.contains(&platform) {
            return Err(written.place.usage(format!("platform {platform} stands here twice")));
        }
        platforms.push(platform);
    }
    Ok(platforms)
}

fn layer(fields: &Fields<'_>) -> Result<LayerSpec> {
    let mut steps = Vec::new();
    for copy in fields.tables("copy", "layer.copy", COPY)? {
        steps.push(Step::Copy(copy_step(&copy)?));
    }
    for file in fields.tables("file", "layer.file", INLINE)? {
        steps.push(Step::File {
            place: file.place.clone(),
            to: DestinationSpec::parse_below_root(&file.required("to", "[[layer.file]]")?)?,
            content: file.required("content", "[[layer.file]]")?.value.into_bytes(),
            mode: file.string("mode")?.map_or(Ok(0o644), |text| mode(&text))?,
            owner: step_owner(&file)?,
        });
    }
    for link in fields.tables("symlink", "layer.symlink", SYMLINK)? {
        let target = link.required("target", "[[layer.symlink]]")?;
        if target.value.is_empty() || target.value.contains('\0') {
            return Err(target.place.usage("the target of a symbolic link cannot be empty or have a NUL byte"));
        }
        steps.push(Step::Symlink {
            place: link.place.clone(),
            to: DestinationSpec::parse_below_root(&link.required("to", "[[layer.symlink]]")?)?,
            target: At::new(Template::parse(&target)?, target.place),
            owner: step_owner(&link)?,
        });
    }
    for directory in fields.tables("directory", "layer.directory", DIRECTORY)? {
        steps.push(Step::Directory {
            place: directory.place.clone(),
            to: DestinationSpec::parse_below_root(&directory.required("to", "[[layer.directory]]")?)?,
            mode: directory.string("mode")?.map_or(Ok(0o755), |text| mode(&text))?,
            owner: step_owner(&directory)?,
        });
    }
    for remove in fields.tables("remove", "layer.remove", REMOVE)? {
        let path = DestinationSpec::parse_below_root(&remove.required("path", "[[layer.remove]]")?)?;
        steps.push(Step::Remove { place: remove.place.clone(), path });
    }
    Ok(LayerSpec {
        place: fields.place.clone(),
        comment: fields.string("comment")?.map(|comment| comment.value),
        platforms: platforms(fields)?,
        source: layer_source(fields, steps)?,
    })
}

/// A layer is made of steps, or of one tree, or of one archive.
fn layer_source(fields: &Fields<'_>, steps: Vec<Step>) -> Result<LayerSource> {
    let whole = match (fields.string("rootfs")?, fields.string("tar")?) {
        (Some(_), Some(tar)) => return Err(tar.place.usage("a layer is made of `rootfs` or of `tar`, not of both").hint("write two [[layer]]")),
        (rootfs, tar) => rootfs.map(|from| ("rootfs", from)).or(tar.map(|from| ("tar", from))),
    };
    let Some((kind, from)) = whole else {
        if let Some(key) = ["exclude", "owner", "devices"].into_iter().find(|key| fields.has(key)) {
            return Err(fields.place_of(key).usage(format!("`{key}` of a layer goes with `rootfs` or `tar` only")).hint("put it into [[layer.copy]]"));
        }
        if steps.is_empty() {
            return Err(fields.place.usage("this layer is empty").hint("add rootfs, tar, [[layer.copy]], [[layer.file]], … or remove it"));
        }
        return Ok(LayerSource::Steps(steps));
    };
    if let Some(step) = steps.first() {
        return Err(step.place().usage(format!("a layer with `{kind}` has no other content")).hint("put this into a [[layer]] of its own"));
    }
    let devices = match fields.string("devices")? {
        None => Devices::default(),
        Some(text) => match text.value.as_str() {
            "keep" => Devices::Keep,
            "skip" => Devices::Skip,
            "refuse" => Devices::Refuse,
            _ => return Err(text.place.usage("`devices` is one of \"keep\", \"skip\" and \"refuse\"")),
        },
    };
    let template = At::new(Template::parse(&from)?, from.place);
    if kind == "rootfs" {
        let owner = match fields.string("owner")? {
            None => Owner::Keep,
            Some(text) => layer_owner(&text)?,
        };
        return Ok(LayerSource::Rootfs(RootfsSpec { from: template, exclude: fields.strings("exclude")?, owner, devices }));
    }
    if let Some(key) = ["exclude", "owner"].into_iter().find(|key| fields.has(key)) {
        return Err(fields.place_of(key).usage(format!("`{key}` does not go with `tar`")));
    }
    Ok(LayerSource::Tar(TarSpec { from: template, devices }))
}

fn copy_step(fields: &Fields<'_>) -> Result<CopySpec> {
    let from = fields.required("from", "[[layer.copy]]")?;
    let to = DestinationSpec::parse(&fields.required("to", "[[layer.copy]]")?)?;
    let mut copy = CopySpec::new(At::new(Template::parse(&from)?, from.place), to);
    copy.place = fields.place.clone();
    copy.include = fields.strings("include")?;
    copy.exclude = fields.strings("exclude")?;
    if let Some(text) = fields.string("mode")? {
        copy.rules.modes = match text.value.as_str() {
            "keep" => Modes::Keep,
            _ => Modes::Fixed(mode(&text)?),
        };
    }
    if let Some(text) = fields.string("owner")? {
        copy.rules.owner = layer_owner(&text)?;
    }
    Ok(copy)
}

fn layer_owner(text: &At<String>) -> Result<Owner> {
    if text.value == "keep" {
        return Ok(Owner::Keep);
    }
    owner(text).map(|(uid, gid)| Owner::Fixed(uid, gid))
}

fn step_owner(fields: &Fields<'_>) -> Result<(u32, u32)> {
    fields.string("owner")?.map_or(Ok((0, 0)), |text| owner(&text))
}

fn config(top: &Fields<'_>) -> Result<ConfigSpec> {
    let Some(fields) = top.table("config", CONFIG)? else { return Ok(ConfigSpec::default()) };
    let list = |key: &str| -> Result<Option<Vec<String>>> { Ok(fields.optional_strings(key)?.map(|list| list.into_iter().map(|item| item.value).collect())) };
    let single = |key: &str| -> Result<Option<String>> { Ok(fields.string(key)?.map(|item| item.value)) };
    let env = fields.map("env")?;
    if let Some((key, value)) = env.iter().find(|(key, _)| key.is_empty() || key.contains(['=', '\0'])) {
        return Err(value.place.usage(format!("`{}` is not the name of a variable", text::shown(key))));
    }
    Ok(ConfigSpec {
        entrypoint: list("entrypoint")?,
        cmd: list("cmd")?,
        env: env.into_iter().map(|(key, value)| (key, value.value)).collect(),
        labels: fields.map("labels")?.into_iter().map(|(key, value)| (key, value.value)).collect(),
        user: single("user")?,
        workdir: single("workdir")?,
        ports: list("ports")?.unwrap_or_default(),
        volumes: list("volumes")?.unwrap_or_default(),
        stop_signal: single("stop-signal")?,
        author: single("author")?,
    })
}

fn annotations(top: &Fields<'_>) -> Result<Vec<AnnotationSpec>> {
    let names = top.names("annotations")?;
    let known: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
    let Some(fields) = top.table("annotations", &known)? else { return Ok(Vec::new()) };
    let mut annotations = Vec::new();
    for name in &names {
        let target = Target::parse(&name.place, &name.value)?;
        for (key, value) in fields.map(&name.value)? {
            annotations.push(target.annotation(&value.place, &key, &value.value)?);
        }
    }
    // Of two for one key the last is written: one platform's own, wherever it stands.
    annotations.sort_by_key(|annotation| annotation.platform.is_some());
    Ok(annotations)
}

#[cfg(test)]
mod tests {
    use super::super::spec::Level;
    use super::*;
    use crate::error::ErrorKind;

    fn read(text: &str) -> Result<BuildSpec> {
        parse("larder.toml", text, Path::new("."))
    }

    const FULL: &str = r#"
name = "registry.example/team/hello"
tags = ["1.4.2", "latest"]
platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
compression = "zstd:6"

[base]
from = "oci:bases:debian-12"

[[layer]]
comment = "application"
[[layer.copy]]
from = "dist/{os}-{arch}{variant}/"
to = "/usr/local/bin/"
include = ["**"]
exclude = ["*.map"]
owner = "0:0"
[[layer.file]]
to = "/etc/motd"
content = "hello\n"
[[layer.symlink]]
to = "/usr/bin/hi"
target = "../local/bin/hello"
[[layer.directory]]
to = "/var/lib/hello"
mode = "1777"
[[layer.remove]]
path = "/etc/old"

[[layer]]
rootfs = "rootfs-{arch}/"
platforms = ["linux/amd64"]

[config]
entrypoint = ["/usr/local/bin/hello"]
env = { LANG = "C.UTF-8" }
labels = { "org.opencontainers.image.source" = "x" }

[annotations.index]
"org.opencontainers.image.version" = "1.4.2"
"#;

    #[test]
    fn every_key_is_read() {
        let spec = read(FULL).expect("valid");
        assert_eq!(spec.tags.len(), 2);
        assert_eq!(spec.platforms.len(), 3);
        assert_eq!(spec.compression, Some(crate::layer::Codec::Zstd(6)));
        assert_eq!(spec.layers.len(), 2);
        let LayerSource::Steps(steps) = &spec.layers[0].source else { panic!("steps") };
        assert_eq!(steps.len(), 5);
        assert!(matches!(&steps[3], Step::Directory { mode: 0o1777, .. }));
        assert!(matches!(&spec.layers[1].source, LayerSource::Rootfs(_)));
        assert_eq!(spec.config.env, [("LANG".to_owned(), "C.UTF-8".to_owned())]);
        assert_eq!(spec.annotations[0].level, Level::Index);
    }

    #[test]
    fn the_readme_has_every_key() {
        let readme = include_str!("../../README.md");
        let list = readme.split("<summary>Every key</summary>").nth(1).and_then(|rest| rest.split("</details>").next()).expect("a list of keys");
        let inner = [BASE, LAYER, COPY, INLINE, SYMLINK, DIRECTORY, REMOVE, CONFIG].concat();
        let outer = TOP.iter().filter(|key| !["base", "layer", "config", "annotations"].contains(key));
        for key in outer.chain(&inner) {
            assert!(["`", "layer.", "base."].iter().any(|before| list.contains(&format!("{before}{key}`"))), "{key}");
        }
    }

    #[test]
    fn bad_input_is_one_error_with_line_and_column() {
        for (text, message) in [
            ("[[layer]]\n[[layer.copy]]\nfrom = \"a\"\nto = \"usr/bin\"\n", "larder.toml:4:6: destination `usr/bin` does not begin with `/`"),
            ("[[layer]]\n[[layer.copy]]\nfrom = \"a\"\nto = \"/../x\"\n", "larder.toml:4:6: destination `/../x` has a `..`"),
            ("[[layer]]\n[[layer.copy]]\nform = \"a\"\n", "larder.toml:3:1: unknown key `form` in [[layer.copy]]"),
            ("[[layer]]\n[[layer.copy]]\nto = \"/a\"\n", "larder.toml:2:1: [[layer.copy]] needs `from`"),
            ("[[layer]]\ncomment = \"x\"\n", "larder.toml:1:1: this layer is empty"),
            ("[[layer]]\nrootfs = \"r\"\n[[layer.file]]\nto = \"/a\"\ncontent = \"\"\n", "larder.toml:3:1: a layer with `rootfs` has no other content"),
            ("[[layer]]\nexclude = [\"a\"]\n", "larder.toml:2:11: `exclude` of a layer goes with `rootfs` or `tar` only"),
            ("[[layer]]\n[[layer.file]]\nto = \"/a\"\ncontent = \"\"\nmode = \"755x\"\n", "larder.toml:5:8: `755x` is not a mode"),
            ("[[layer]]\n[[layer.file]]\nto = \"/a\"\ncontent = \"\"\nowner = \"root\"\n", "larder.toml:5:9: `root` is not an owner"),
            ("platforms = [\"linux/amd64\", \"linux/x86_64\"]\n", "larder.toml:1:29: platform linux/amd64 stands here twice"),
        ] {
            let error = read(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert_eq!(error.message(), message);
        }
    }
}
