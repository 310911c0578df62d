//! What a person asks to be built: the content of a `larder.toml`, or of the flags that say the same.
//!
//! Everything is checked for its own sense here and nothing is looked up: files, bases and platforms meet in the [plan](mod@super::plan).

use std::path::PathBuf;

use super::destination::DestinationSpec;
use super::place::{At, Place};
use super::template::Template;
use crate::error::Result;
use crate::layer::Codec;
use crate::layer::changeset::{Modes, Owner, Rules, XattrRule};
use crate::spec::Platform;

/// One image, for one or more platforms.
#[derive(Clone, Debug, Default)]
pub struct BuildSpec {
    /// The directory that source paths are relative to.
    pub context: PathBuf,
    /// The repository, for full names in the layout.
    pub name: Option<At<String>>,
    /// Tags; full references are allowed too.
    pub tags: Vec<At<String>>,
    /// The platforms, in the order of the index; empty means the platform of the machine.
    pub platforms: Vec<Platform>,
    /// The platforms that a file is for, where this build is for others or for some of them: what is for these alone is left out without a word.
    pub usual_platforms: Vec<Platform>,
    /// The image to build upon.
    pub base: Option<BaseSpec>,
    /// The layers above the base, bottom first.
    pub layers: Vec<LayerSpec>,
    /// What the config says beyond its base.
    pub config: ConfigSpec,
    /// Annotations of the documents.
    pub annotations: Vec<AnnotationSpec>,
    /// How layers are compressed.
    pub compression: Option<Codec>,
}

/// An image in a layout to build upon.
#[derive(Clone, Debug)]
pub struct BaseSpec {
    /// The location as written.
    pub location: At<String>,
    /// The directory that a relative location is relative to.
    pub relative_to: PathBuf,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct LayerSpec {
    /// Where it is asked for.
    pub place: Place,
    /// The comment of its history entry.
    pub comment: Option<String>,
    /// The platforms that have it; empty means all.
    pub platforms: Vec<Platform>,
    /// What it is made of.
    pub source: LayerSource,
}

/// What a layer is made of.
#[derive(Clone, Debug)]
pub enum LayerSource {
    /// Single steps, whose order does not matter: no two may make the same path.
    Steps(Vec<Step>),
    /// A tree as it is.
    Rootfs(RootfsSpec),
    /// An archive as it is, sorted.
    Tar(TarSpec),
}

/// One step of a layer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Files and directories from the context.
    Copy(CopySpec),
    /// A file given in the specification.
    File {
        /// Where it is asked for.
        place: Place,
        /// The file.
        to: DestinationSpec,
        /// Its bytes.
        content: Vec<u8>,
        /// Permission bits.
        mode: u32,
        /// Owner and group.
        owner: (u32, u32),
    },
    /// A symbolic link.
    Symlink {
        /// Where it is asked for.
        place: Place,
        /// The link.
        to: DestinationSpec,
        /// Its text.
        target: At<Template>,
        /// Owner and group.
        owner: (u32, u32),
    },
    /// A directory.
    Directory {
        /// Where it is asked for.
        place: Place,
        /// The directory.
        to: DestinationSpec,
        /// Permission bits.
        mode: u32,
        /// Owner and group.
        owner: (u32, u32),
    },
    /// Hides a path of the layers below.
    Remove {
        /// Where it is asked for.
        place: Place,
        /// The path.
        path: DestinationSpec,
    },
}

/// Files and directories from the context.
#[derive(Clone, Debug)]
pub struct CopySpec {
    /// Where it is asked for.
    pub place: Place,
    /// A file, or a directory whose content is meant.
    pub from: At<Template>,
    /// Where it goes.
    pub to: DestinationSpec,
    /// Globs relative to `from`; empty means everything.
    pub include: Vec<At<String>>,
    /// Globs relative to `from` that are left out.
    pub exclude: Vec<At<String>>,
    /// What is kept of modes and owners.
    pub rules: Rules,
}

/// A tree as it is: modes, owners, links, extended attributes.
#[derive(Clone, Debug)]
pub struct RootfsSpec {
    /// The directory that becomes `/`.
    pub from: At<Template>,
    /// Globs relative to it that are left out.
    pub exclude: Vec<At<String>>,
    /// Owners: as found unless said otherwise.
    pub owner: Owner,
    /// What happens to device nodes.
    pub devices: Devices,
}

/// An archive as it is.
#[derive(Clone, Debug)]
pub struct TarSpec {
    /// The archive, plain or compressed with gzip or zstd.
    pub from: At<Template>,
    /// What happens to device nodes.
    pub devices: Devices,
}

/// What happens to device nodes and named pipes of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Devices {
    /// They go into the layer.
    #[default]
    Keep,
    /// They are left out.
    Skip,
    /// They are an error.
    Refuse,
}

/// What the config of the image says beyond its base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSpec {
    /// Replaces the entry point; without a `cmd` of its own it also clears the base's.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the default arguments.
    pub cmd: Option<Vec<String>>,
    /// Variables that are added or replaced.
    pub env: Vec<(String, String)>,
    /// Labels that are added or replaced.
    pub labels: Vec<(String, String)>,
    /// Replaces the user.
    pub user: Option<String>,
    /// Replaces the working directory.
    pub workdir: Option<String>,
    /// Ports that are added: `80/tcp`.
    pub ports: Vec<String>,
    /// Volumes that are added.
    pub volumes: Vec<String>,
    /// Replaces the stop signal.
    pub stop_signal: Option<String>,
    /// The author.
    pub author: Option<String>,
}

/// An annotation, on one kind of document, for all platforms or one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationSpec {
    /// Where it is asked for.
    pub place: Place,
    /// The kind of document.
    pub level: Level,
    /// The platform it is meant for; none means all.
    pub platform: Option<Platform>,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// The documents that can be annotated, by the names that buildx gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The image index.
    Index,
    /// The index's descriptor in `index.json`.
    IndexDescriptor,
    /// The manifest of a platform.
    Manifest,
    /// The manifest's descriptor in the index.
    ManifestDescriptor,
}

impl Level {
    /// Every level with the name it has in flags and files.
    pub const NAMES: [(&'static str, Level); 4] = [
        ("index", Level::Index),
        ("index-descriptor", Level::IndexDescriptor),
        ("manifest", Level::Manifest),
        ("manifest-descriptor", Level::ManifestDescriptor),
    ];
}

impl CopySpec {
    /// A copy of everything below `from`, with normal modes, owned by root.
    pub fn new(from: At<Template>, to: DestinationSpec) -> Self {
        CopySpec {
            place: from.place.clone(),
            from,
            to,
            include: Vec::new(),
            exclude: Vec::new(),
            rules: Rules { modes: Modes::Normal, owner: Owner::Fixed(0, 0), xattrs: XattrRule::Drop },
        }
    }
}

impl Step {
    /// Where the step is asked for.
    pub fn place(&self) -> &Place {
        match self {
            Step::Copy(copy) => &copy.place,
            Step::File { place, .. } | Step::Symlink { place, .. } | Step::Directory { place, .. } | Step::Remove { place, .. } => place,
        }
    }
}

/// Reads `uid:gid`, both decimal.
pub fn owner(text: &At<String>) -> Result<(u32, u32)> {
    let parsed = text.value.split_once(':').and_then(|(uid, gid)| Some((number(uid)?, number(gid)?)));
    parsed.ok_or_else(|| {
        text.place
            .usage(format!("`{}` is not an owner", crate::spec::text::shown(&text.value)))
            .hint("write numeric user and group as \"0:0\": names mean different numbers on different machines")
    })
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Reads permission bits in octal, `0755`.
pub fn mode(text: &At<String>) -> Result<u32> {
    let valid = (3..=5).contains(&text.value.len()) && text.value.bytes().all(|b| (b'0'..=b'7').contains(&b));
    let bits = if valid { u32::from_str_radix(&text.value, 8).ok() } else { None };
    bits.filter(|bits| *bits <= 0o7777).ok_or_else(|| {
        text.place.usage(format!("`{}` is not a mode", crate::spec::text::shown(&text.value))).hint("write permission bits in octal as a string: \"0755\"")
    })
}
