//! The storage view: a tree on the disk as people browse it in Artifactory, with what is known about every file.
//!
//! Paths begin with the key of the repository: `docker-local/team/app/1.0/manifest.json`. A file is replaced, never written into, so copies share
//! their content as they do in Artifactory's filestore.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::clock::Moment;

/// Values by the name of the property.
pub(super) type Properties = BTreeMap<String, Vec<String>>;

/// Where content is put that no manifest has asked for yet.
pub(super) const UPLOADS: &str = "_uploads";

pub(super) struct Storage {
    root: tempfile::TempDir,
    files: BTreeMap<String, File>,
    /// How many files were put.
    puts: u64,
}

/// What is known about a file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) size: u64,
    pub(super) sha1: String,
    pub(super) md5: String,
    pub(super) sha256: String,
    pub(super) created: Moment,
    pub(super) created_by: String,
    /// Which of all files it was that were ever put: what is larger is younger.
    pub(super) order: u64,
    pub(super) properties: Properties,
}

impl File {
    /// What it is served as, if it came as a manifest.
    pub(super) fn media_type(&self) -> Option<&String> {
        self.properties.get("artifactory.content-type")?.first()
    }
}

/// What lies in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Child {
    File(String),
    Folder(String),
}

impl Storage {
    pub(super) fn new() -> Storage {
        Storage { root: crate::support::process::temp(), files: BTreeMap::new(), puts: 0 }
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Puts a file, in place of what was there.
    pub(super) fn put(&mut self, path: &str, bytes: &[u8], by: &str, now: Moment) -> &mut File {
        let place = self.make_place(path);
        fs::write(place, bytes).expect("writable");
        self.puts += 1;
        let file = File {
            size: bytes.len() as u64,
            sha1: hex(&Sha1::digest(bytes)),
            md5: hex(&Md5::digest(bytes)),
            sha256: hex(&Sha256::digest(bytes)),
            created: now,
            created_by: by.to_owned(),
            order: self.puts,
            properties: Properties::new(),
        };
        self.files.insert(path.to_owned(), file);
        self.files.get_mut(path).expect("just put")
    }

    /// Copies a file with its properties.
    pub(super) fn copy(&mut self, from: &str, to: &str) {
        if from == to {
            return;
        }
        let file = self.files[from].clone();
        let place = self.make_place(to);
        fs::hard_link(self.place(from), place).expect("one file system");
        self.files.insert(to.to_owned(), file);
    }

    /// Copies what lies in a folder, and in the folders in it. Files of the same names are replaced.
    pub(super) fn copy_folder(&mut self, from: &str, to: &str) {
        for path in self.below(from) {
            let rest = &path[from.len()..];
            self.copy(&path, &format!("{to}{rest}"));
        }
    }

    /// Removes a file or a folder with all that is in it, and the folders that are empty then.
    pub(super) fn remove(&mut self, path: &str) {
        let mut gone = self.below(path);
        gone.extend(self.files.contains_key(path).then(|| path.to_owned()));
        for path in gone {
            self.files.remove(&path);
            let place = self.place(&path);
            fs::remove_file(&place).expect("it is there");
            let above = place.ancestors().skip(1).take_while(|folder| *folder != self.root());
            let _ = above.map(fs::remove_dir).take_while(Result::is_ok).count();
        }
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    pub(super) fn file_mut(&mut self, path: &str) -> Option<&mut File> {
        self.files.get_mut(path)
    }

    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.files.contains_key(path).then(|| fs::read(self.place(path)).expect("readable"))
    }

    /// Every file below a folder.
    pub(super) fn below(&self, folder: &str) -> Vec<String> {
        self.iter_below(folder).map(|(path, _)| path.to_owned()).collect()
    }

    pub(super) fn iter_below(&self, folder: &str) -> impl Iterator<Item = (&str, &File)> {
        let start = format!("{folder}/");
        let end = format!("{folder}0");
        self.files.range(start..end).map(|(path, file)| (path.as_str(), file))
    }

    pub(super) fn is_folder(&self, path: &str) -> bool {
        self.iter_below(path).next().is_some()
    }

    pub(super) fn children(&self, folder: &str) -> BTreeSet<Child> {
        let names = self.iter_below(folder).map(|(path, _)| &path[folder.len() + 1..]);
        names.map(|rest| rest.split_once('/').map_or_else(|| Child::File(rest.to_owned()), |(first, _)| Child::Folder(first.to_owned()))).collect()
    }

    /// A file with this content below a folder.
    pub(super) fn with_content(&self, folder: &str, sha256: &str) -> Option<String> {
        self.iter_below(folder).find(|(_, file)| file.sha256 == sha256).map(|(path, _)| path.to_owned())
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Where a file may be written that is not there any more.
    fn make_place(&self, path: &str) -> PathBuf {
        let place = self.place(path);
        fs::create_dir_all(place.parent().expect("below the root")).expect("writable");
        let _ = fs::remove_file(&place);
        place
    }
}

/// `sha256:<hex>` of a well-formed digest.
pub(super) fn sha256_of(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(hex)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
