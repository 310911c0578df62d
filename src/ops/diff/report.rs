//! How two images differ, as data.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::Strictness;
use super::document::FieldDifference;
use super::pairs::Pair;
use crate::layer::difference::{Aspect, Difference, State};
use crate::layer::inventory::{Inode, InodeKind};
use crate::spec::{Descriptor, Digest, Sum, base64, text};
use crate::store::Location;

/// How two images differ.
#[derive(Debug, Serialize)]
pub struct DiffReport {
    /// One side.
    pub a: SideReport,
    /// The other.
    pub b: SideReport,
    /// Whether they are the same, as far as it was asked.
    pub equal: bool,
    /// Whether what no container sees does not count.
    pub semantic: bool,
    /// What differs in the indexes above the images.
    pub index: Vec<FieldDifference>,
    /// The images for each platform, in the order of the first side. None where both sides have the same digest.
    pub images: Vec<ImageReport>,
}

/// One side.
#[derive(Clone, Debug, Serialize)]
pub struct SideReport {
    /// Where it is, as it was written.
    pub location: String,
    /// Digest of the manifest or index that is compared.
    pub digest: Digest,
    /// Its media type. Foreign text.
    pub media_type: String,
}

/// What became of something from the first side to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Nothing.
    Same,
    /// Only the second side has it.
    Added,
    /// Only the first side has it.
    Removed,
    /// Both have it, and not the same.
    Changed,
}

/// How the images for one platform differ.
#[derive(Debug, Serialize)]
pub struct ImageReport {
    /// The platform. Two, where the only images of both sides are for different ones.
    pub platform: String,
    /// What became of it.
    pub change: Change,
    /// Digest of the manifest on the first side.
    pub a: Option<Digest>,
    /// Digest of the manifest on the second side.
    pub b: Option<Digest>,
    /// What differs in the manifest, its layers apart.
    pub manifest: Vec<FieldDifference>,
    /// What differs in the config, the diff IDs apart.
    pub config: Vec<FieldDifference>,
    /// Which layers differ. They are not looked at where only the meaning counts.
    pub layers: Vec<LayerReport>,
    /// Which files differ.
    pub files: FilesReport,
}

/// A layer that differs.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// What became of it.
    pub change: Change,
    /// The layer on the first side.
    pub a: Option<LayerSide>,
    /// The layer on the second side.
    pub b: Option<LayerSide>,
    /// What differs in what is said of it, where both have it.
    pub fields: Vec<FieldDifference>,
}

/// A layer on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerSide {
    /// The lowest is 1.
    pub position: usize,
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Media type. Foreign text.
    pub media_type: String,
}

/// Which files differ.
#[derive(Debug, Default, Serialize)]
pub struct FilesReport {
    /// How many only the second side has.
    pub added: usize,
    /// How many only the first side has.
    pub removed: usize,
    /// How many both have, and not the same.
    pub changed: usize,
    /// All of them, in the order of paths.
    pub differences: Vec<FileReport>,
}

/// A file that differs.
#[derive(Debug, Serialize)]
pub struct FileReport {
    /// Its path, without a slash at the beginning; that of the root is empty. Foreign text.
    pub path: String,
    /// What became of it.
    pub change: Change,
    /// In what it differs, where both have it.
    pub aspects: Vec<Aspect>,
    /// The file on the first side.
    pub a: Option<FileSide>,
    /// The file on the second side.
    pub b: Option<FileSide>,
}

/// A file on one side.
#[derive(Debug)]
pub struct FileSide(State<Sum>);

impl DiffReport {
    /// A report without any differences, which is equal where the digests are.
    pub(super) fn new(a: (&Location, &Descriptor), b: (&Location, &Descriptor), strictness: Strictness) -> Self {
        let side = |(location, root): (&Location, &Descriptor)| SideReport {
            location: location.to_string(),
            digest: root.digest.clone(),
            media_type: root.media_type.to_string(),
        };
        let equal = a.1.digest == b.1.digest;
        DiffReport { a: side(a), b: side(b), equal, semantic: strictness == Strictness::Semantic, index: Vec::new(), images: Vec::new() }
    }

    /// Finds that the sides are equal in what counts, though their digests are not.
    pub(super) fn judge(&mut self) {
        self.equal = self.semantic && self.index.is_empty() && self.images.iter().all(|image| image.change == Change::Same);
    }
}

impl ImageReport {
    /// A report of no differences but what is on one side only.
    pub(super) fn new(pair: &Pair) -> Self {
        let digest = |candidate: &Option<crate::graph::image::Candidate>| candidate.as_ref().map(|candidate| candidate.descriptor.digest.clone());
        let (a, b) = (digest(&pair.a), digest(&pair.b));
        let change = match (&a, &b) {
            (Some(a), Some(b)) if a == b => Change::Same,
            (Some(_), Some(_)) => Change::Changed,
            (Some(_), None) => Change::Removed,
            (None, _) => Change::Added,
        };
        ImageReport {
            platform: pair.platform.clone(),
            change,
            a,
            b,
            manifest: Vec::new(),
            config: Vec::new(),
            layers: Vec::new(),
            files: FilesReport::default(),
        }
    }

    /// Whether no difference is listed. Documents that say the same in other bytes have none.
    pub fn is_empty(&self) -> bool {
        self.manifest.is_empty() && self.config.is_empty() && self.layers.is_empty() && self.files.differences.is_empty()
    }
}

impl From<Vec<Difference<Sum>>> for FilesReport {
    fn from(differences: Vec<Difference<Sum>>) -> Self {
        let differences: Vec<FileReport> = differences.into_iter().map(FileReport::from).collect();
        let count = |wanted| differences.iter().filter(|difference| difference.change == wanted).count();
        FilesReport { added: count(Change::Added), removed: count(Change::Removed), changed: count(Change::Changed), differences }
    }
}

impl From<Difference<Sum>> for FileReport {
    fn from(difference: Difference<Sum>) -> Self {
        let change = match (&difference.a, &difference.b) {
            (Some(_), Some(_)) => Change::Changed,
            (Some(_), None) => Change::Removed,
            (None, _) => Change::Added,
        };
        let path = text::name(&difference.path).into_owned();
        FileReport { path, change, aspects: difference.aspects, a: difference.a.map(FileSide), b: difference.b.map(FileSide) }
    }
}

impl FileSide {
    /// The file.
    pub fn inode(&self) -> &Inode<Sum> {
        &self.0.inode
    }

    /// The word for what it is.
    pub fn kind(&self) -> &'static str {
        match self.inode().kind {
            InodeKind::File { .. } => "file",
            InodeKind::Directory => "directory",
            InodeKind::Symlink => "symlink",
            InodeKind::CharDevice { .. } => "char_device",
            InodeKind::BlockDevice { .. } => "block_device",
            InodeKind::Fifo => "fifo",
        }
    }

    /// Permission bits, octal.
    pub fn mode(&self) -> String {
        format!("{:04o}", self.inode().mode)
    }

    /// Length of the content of a regular file.
    pub fn size(&self) -> Option<u64> {
        match self.inode().kind {
            InodeKind::File { size, .. } => Some(size),
            _ => None,
        }
    }

    /// SHA-256 of the content of a regular file.
    pub fn sha256(&self) -> Option<Digest> {
        match self.inode().kind {
            InodeKind::File { content, .. } => Some(content.into()),
            _ => None,
        }
    }

    /// `MAJOR:MINOR` of a device.
    pub fn device(&self) -> Option<String> {
        match self.inode().kind {
            InodeKind::CharDevice { major, minor } | InodeKind::BlockDevice { major, minor } => Some(format!("{major}:{minor}")),
            _ => None,
        }
    }

    /// The text of a symbolic link. Foreign text.
    pub fn target(&self) -> Option<String> {
        self.0.target.as_deref().map(|target| text::name(target).into_owned())
    }

    /// The first path of the same file, where it has several and this is another. Foreign text.
    pub fn hard_link_to(&self) -> Option<String> {
        self.0.first.as_deref().map(|first| text::name(first).into_owned())
    }

    /// Extended attributes; values as `setfattr` takes them: text, or base64 behind `0s`. Foreign text.
    pub fn xattrs(&self) -> BTreeMap<String, String> {
        self.inode().xattrs.iter().map(|(name, value)| (text::name(name).into_owned(), xattr(value))).collect()
    }
}

fn xattr(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) && !text.starts_with('0') => text.to_owned(),
        _ => format!("0s{}", base64::encode(value)),
    }
}

/// How a [`FileSide`] is written.
#[derive(Serialize)]
struct Written {
    r#type: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    mtime: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_link_to: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
}

impl Serialize for FileSide {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Inode { uid, gid, mtime, .. } = *self.inode();
        let written = Written {
            r#type: self.kind(),
            mode: self.mode(),
            uid,
            gid,
            mtime,
            size: self.size(),
            sha256: self.sha256(),
            target: self.target(),
            device: self.device(),
            hard_link_to: self.hard_link_to(),
            xattrs: self.xattrs(),
        };
        written.serialize(serializer)
    }
}
