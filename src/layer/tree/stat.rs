//! What the file system says of a path.

use std::path::Path;

use rustix::fs::FileType;

use crate::error::{IoContext, Result};

/// The parts of `struct stat` that layers and change detection need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Length of a file or of a link's text in bytes; of no meaning for other kinds.
    pub size: u64,
    /// Time of the last change of content: seconds since 1970 and nanoseconds.
    pub mtime: (i64, u32),
    /// Time of the last change of content or attributes: seconds since 1970 and nanoseconds.
    pub ctime: (i64, u32),
    /// The file system's device number.
    pub dev: u64,
    /// The inode number, unique on the file system.
    pub ino: u64,
    /// How many names the inode has.
    pub nlink: u64,
    /// The device number that a device file stands for.
    pub rdev: u64,
}

impl Stat {
    /// What the file system says of an open file, which `path` names in errors.
    pub fn of(file: &std::fs::File, path: &Path) -> Result<Stat> {
        Ok(Stat::from(rustix::fs::fstat(file).at("read", path)?))
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    /// A regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// A directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// A symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == FileType::Symlink
    }

    /// A character device.
    pub fn is_char_device(&self) -> bool {
        self.kind() == FileType::CharacterDevice
    }

    /// A block device.
    pub fn is_block_device(&self) -> bool {
        self.kind() == FileType::BlockDevice
    }

    /// A named pipe.
    pub fn is_fifo(&self) -> bool {
        self.kind() == FileType::Fifo
    }

    /// A socket.
    pub fn is_socket(&self) -> bool {
        self.kind() == FileType::Socket
    }

    /// Permission bits with setuid, setgid and sticky.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Length of the content in bytes: zero for everything but regular files.
    pub fn file_size(&self) -> u64 {
        if self.is_file() { self.size } else { 0 }
    }

    /// Major number of a device.
    pub fn major(&self) -> u32 {
        rustix::fs::major(self.rdev)
    }

    /// Minor number of a device.
    pub fn minor(&self) -> u32 {
        rustix::fs::minor(self.rdev)
    }

    /// Whether both describe one inode of one kind.
    pub(super) fn is_same_inode(&self, other: &Stat) -> bool {
        (self.dev, self.ino, self.kind()) == (other.dev, other.ino, other.kind())
    }

    /// Whether the content and the attributes of an inode are as they were.
    pub(super) fn is_unchanged(&self, other: &Stat) -> bool {
        (self.dev, self.ino, self.mode, self.size, self.mtime, self.ctime) == (other.dev, other.ino, other.mode, other.size, other.mtime, other.ctime)
    }
}

// The fields have other widths and signs on other processors.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
impl From<rustix::fs::Stat> for Stat {
    fn from(stat: rustix::fs::Stat) -> Self {
        Stat {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            // The kernel never tells a negative size.
            size: stat.st_size as u64,
            mtime: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            ctime: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            nlink: stat.st_nlink as u64,
            rdev: stat.st_rdev as u64,
        }
    }
}
