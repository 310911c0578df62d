//! What tells one state of a file from another without reading it.

use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::error::{IoContext, Result};
use crate::fsio::Dir;

/// A file at one moment: which it was, and what the file system said of it. Equal stamps mean that nobody replaced or wrote it in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    mode: u32,
    size: u64,
    /// Seconds since 1970 and nanoseconds.
    written: (i64, i64),
    /// The same for everything that happened to the file, also getting or losing a name.
    touched: (i64, i64),
}

impl Stamp {
    /// The stamp of `name` in `dir`, itself and not what it links to; none where it is absent.
    pub fn of(dir: &Dir, name: &Path) -> Result<Option<Stamp>> {
        match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Stamp::from(stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).at("examine", &dir.path().join(name)),
        }
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When something last happened to the file, in time since 1970: it was written, or came to lie where it lies. Copying tools set the one back, never the other.
    pub fn changed(&self) -> Duration {
        let since_1970 = |(seconds, nanoseconds): (i64, i64)| Duration::new(seconds.try_into().unwrap_or_default(), nanoseconds.try_into().unwrap_or_default());
        since_1970(self.written).max(since_1970(self.touched))
    }
}

// The fields have other widths and signs on other processors.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion, clippy::cast_sign_loss, clippy::cast_lossless)]
impl From<rustix::fs::Stat> for Stamp {
    fn from(stat: rustix::fs::Stat) -> Self {
        Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            mode: stat.st_mode,
            size: stat.st_size as u64,
            written: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            touched: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn every_write_replacement_and_link_is_seen_and_reading_is_not() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Dir::open(temp.path()).expect("opened");
        let path = temp.path().join("f");
        let stamp = || Stamp::of(&dir, Path::new("f")).expect("examined");
        assert_eq!(stamp(), None);
        let before = std::cell::Cell::new(None);
        let differs = |what: &str, change: &dyn Fn()| {
            change();
            let now = stamp();
            assert_ne!(before.replace(now), now, "{what}");
        };
        differs("made", &|| std::fs::write(&path, "one").expect("written"));
        differs("written", &|| std::fs::write(&path, "longer").expect("written"));
        differs("replaced", &|| {
            std::fs::write(temp.path().join("g"), "longer").expect("written");
            std::fs::rename(temp.path().join("g"), &path).expect("renamed");
        });
        std::fs::read(&path).expect("read");
        assert_eq!(stamp(), before.get());
        differs("gone", &|| std::fs::remove_file(&path).expect("removed"));
        differs("a link", &|| std::os::unix::fs::symlink("/", &path).expect("linked"));
        assert!(!stamp().expect("there").is_file());
    }

    #[test]
    fn a_file_is_not_older_than_its_place_whatever_its_times_are_set_to() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = Dir::open(temp.path()).expect("opened");
        let file = std::fs::File::create(temp.path().join("f")).expect("created");
        let stamp = || Stamp::of(&dir, Path::new("f")).expect("examined").expect("there");
        let now = stamp().changed();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(7)).expect("set back");
        assert!(stamp().changed() >= now);
        file.set_modified(SystemTime::UNIX_EPOCH + now + Duration::from_secs(1000)).expect("set forward");
        assert_eq!(stamp().changed(), now + Duration::from_secs(1000));
    }
}
