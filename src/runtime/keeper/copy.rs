//! A root filesystem without overlayfs: lower directories copied on top of each other, and the upper directory found afterwards.
//!
//! A file is as it was while its number and the time of its last change are, which no program can set. What changed gets a second name in the upper directory, so that
//! nothing is copied twice.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, Stat, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use crate::error::{IoContext as _, Result};
use crate::fsio::hidden::Form;
use crate::fsio::overlay::{Attributes, is_whiteout};
use crate::fsio::{Dir, Hidden, remove, replica};

/// What was there before a step, by path.
pub(super) type Seen = BTreeMap<PathBuf, Mark>;

/// What tells a file from what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    is_directory: bool,
    inode: u64,
    /// When it was made, where the file system knows that: the number of what was removed is given again.
    born: (i64, u32),
    changed: (i64, u32),
}

impl Mark {
    fn of(directory: &Dir, name: &Path) -> Result<Mark> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
        let found = rustix::fs::statx(directory, name, flags, wanted).at("examine", &directory.path().join(name))?;
        let is_directory = FileType::from_raw_mode(found.stx_mode.into()) == FileType::Directory;
        let time = |time: StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Ok(Mark { is_directory, inode: found.stx_ino, born: time(found.stx_btime), changed: time(found.stx_ctime) })
    }

    /// Whether both are one directory, whatever became of its content and attributes.
    fn is_same_directory(&self, other: &Mark) -> bool {
        self.is_directory && other.is_directory && (self.inode, self.born) == (other.inode, other.born)
    }
}

/// Puts copies of what `lowers` (the lowest first) have into the empty directory `place`.
pub(super) fn merge(lowers: &[String], place: &str, attributes: Attributes) -> Result<()> {
    let target = Dir::open(Path::new(place))?;
    for lower in lowers {
        let lower = Path::new(lower);
        Copy { source: &Dir::open(lower)?, hidden: &Hidden::of(lower)?, target: &target, attributes, links: HashMap::new() }.all()?;
    }
    Ok(())
}

/// One lower directory on its way.
struct Copy<'a> {
    source: &'a Dir,
    hidden: &'a Hidden,
    target: &'a Dir,
    attributes: Attributes,
    /// Where a file with several names is already.
    links: HashMap<u64, PathBuf>,
}

impl Copy<'_> {
    fn all(&mut self) -> Result<()> {
        let mut directories = vec![PathBuf::new()];
        let mut next = 0;
        while let Some(path) = directories.get(next).cloned() {
            next += 1;
            let (from, to) = (below(self.source, &path)?, below(self.target, &path)?);
            for name in self.hidden.names(path.as_os_str().as_bytes()).map(|name| Path::new(OsStr::from_bytes(name))) {
                make_room(&to, name, to.kind(name)?)?;
            }
            for (name, _) in from.entries()? {
                let child = path.join(&name);
                if self.one(&from, &to, Path::new(&name), &child)? {
                    directories.push(child);
                }
            }
        }
        // The inner ones first, because what is made in a directory changes its time.
        for path in directories.iter().rev() {
            replica::directory(below(self.source, path)?, below(self.target, path)?).at("set the attributes of", path)?;
        }
        Ok(())
    }

    /// Copies what is called `name` in `from`, without what a directory has in it. Tells whether it is a directory.
    fn one(&mut self, from: &Dir, to: &Dir, name: &Path, path: &Path) -> Result<bool> {
        let stat = look_at(from, name)?;
        let there = to.kind(name)?;
        let stays = is_directory(&stat) && there == Some(FileType::Directory) && !self.is_opaque(&from.open_below(name)?, path);
        if !stays {
            make_room(to, name, there)?;
        }
        if is_whiteout(stat.st_mode, stat.st_rdev) || stays {
            return Ok(stays);
        }
        if is_directory(&stat) {
            rustix::fs::mkdirat(to, name, Mode::RWXU).at("create", path)?;
            return Ok(true);
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&stat.st_ino) {
                rustix::fs::linkat(self.target, first, to, name, AtFlags::empty()).at("link", path)?;
                return Ok(false);
            }
            self.links.insert(stat.st_ino, path.to_owned());
        }
        replica::file(from, to, name, &stat).at("copy", path)?;
        Ok(false)
    }

    fn is_opaque(&self, directory: &Dir, path: &Path) -> bool {
        self.hidden.is_opaque(path.as_os_str().as_bytes()) || is_opaque(directory, self.attributes)
    }
}

/// Removes what is called `name` and is of this kind, a directory with all that is in it.
fn make_room(directory: &Dir, name: &Path, kind: Option<FileType>) -> Result<()> {
    match kind {
        Some(FileType::Directory) => remove::tree(directory, name),
        Some(_) => rustix::fs::unlinkat(directory, name, AtFlags::empty()).at("remove", &directory.path().join(name)),
        None => Ok(()),
    }
}

/// What there is in `root`, the root itself under the empty path.
pub(super) fn look(root: &str) -> Result<Seen> {
    let dir = Dir::open(Path::new(root))?;
    let mut seen = Seen::from([(PathBuf::new(), Mark::of(&dir, Path::new(""))?)]);
    let mut directories = vec![PathBuf::new()];
    while let Some(path) = directories.pop() {
        let directory = below(&dir, &path)?;
        for (name, _) in directory.entries()? {
            let mark = Mark::of(&directory, Path::new(&name))?;
            if mark.is_directory {
                directories.push(path.join(&name));
            }
            seen.insert(path.join(name), mark);
        }
    }
    Ok(seen)
}

/// Fills the directory `upper` with what changed in `root` since `seen`, in the form of overlayfs.
pub(super) fn changes(root: &str, seen: &Seen, upper: &str, attributes: Attributes) -> Result<()> {
    let now = look(root)?;
    let mut changes = Changes { root: Dir::open(Path::new(root))?, upper: Dir::open(Path::new(upper))?, attributes, hidden: Hidden::default() };
    // Directories that were not there before: everything in them is new, wherever it came from.
    let mut new = Vec::<&Path>::new();
    let mut made = Vec::<&Path>::new();
    for (path, mark) in &now {
        let before = seen.get(path);
        let in_new = new.last().is_some_and(|directory| path.starts_with(directory));
        if !in_new && before == Some(mark) {
            continue;
        }
        if mark.is_directory {
            changes.make_directories(path, &mut made)?;
            if !in_new && !before.is_some_and(|before| before.is_same_directory(mark)) {
                new.push(path);
                if before.is_some_and(|before| before.is_directory) {
                    changes.hide_below(path)?;
                }
            }
        } else {
            changes.make_directories(path.parent().unwrap_or(Path::new("")), &mut made)?;
            rustix::fs::linkat(&changes.root, path, &changes.upper, path, AtFlags::empty()).at("link", path)?;
        }
    }
    for path in seen.keys().filter(|path| !now.contains_key(*path)) {
        let parent = path.parent().unwrap_or(Path::new(""));
        let stayed = seen.get(parent).zip(now.get(parent)).is_some_and(|(before, now)| before.is_same_directory(now));
        if stayed {
            changes.make_directories(parent, &mut made)?;
            changes.hide(path)?;
        }
    }
    made.sort_unstable();
    for path in made.iter().rev() {
        replica::directory(below(&changes.root, path)?, below(&changes.upper, path)?).at("set the attributes of", path)?;
    }
    changes.hidden.keep(Path::new(upper))
}

struct Changes {
    root: Dir,
    upper: Dir,
    attributes: Attributes,
    hidden: Hidden,
}

impl Changes {
    /// Makes a directory and those above it, where they are not there yet.
    fn make_directories<'a>(&self, path: &'a Path, made: &mut Vec<&'a Path>) -> Result<()> {
        let mut missing: Vec<&Path> = path.ancestors().collect();
        while let Some(directory) = missing.pop() {
            let is_root = directory.as_os_str().is_empty();
            match if is_root { Err(Errno::EXIST) } else { rustix::fs::mkdirat(&self.upper, directory, Mode::RWXU) } {
                Ok(()) => made.push(directory),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error).at("create", directory),
            }
        }
        if !made.contains(&Path::new("")) {
            made.push(Path::new(""));
        }
        Ok(())
    }

    /// Hides what lower directories have at a path, whose directory is there.
    fn hide(&mut self, path: &Path) -> Result<()> {
        let (parent, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
        if Form::whiteout(below(&self.upper, parent)?, name.as_bytes()).at("hide", path)? == Form::Listed {
            self.hidden.list_name(parent.as_os_str().as_bytes(), name.as_bytes());
        }
        Ok(())
    }

    /// Hides what lower directories have in a directory.
    fn hide_below(&mut self, path: &Path) -> Result<()> {
        let directory = self.upper.open_below(path)?;
        self.hidden.hide_below(&directory, path.as_os_str().as_bytes(), self.attributes).at("set an attribute of", path)
    }
}

fn is_opaque(directory: &Dir, attributes: Attributes) -> bool {
    let mut value = [0; 1];
    matches!(rustix::fs::fgetxattr(directory, attributes.opaque(), &mut value[..]), Ok(1)) && value == *b"y"
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn look_at(directory: &Dir, name: &Path) -> Result<Stat> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).at("examine", &directory.path().join(name))
}

/// The directory at `path` below `dir`, or `dir` itself where that is empty.
fn below(dir: &Dir, path: &Path) -> Result<Dir> {
    if path.as_os_str().is_empty() { Dir::open(dir.path()) } else { dir.open_below(path) }
}

#[cfg(test)]
mod tests {
    use rustix::fs::XattrFlags;

    use super::*;
    use std::fs;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

    #[test]
    fn lower_directories_are_copied_and_changes_found() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join(name);
        let name = |name: &str| at(name).to_str().expect("UTF-8").to_owned();
        for directory in ["one/kept", "one/gone", "one/opaque", "one/again", "two/opaque", "root", "upper"] {
            fs::create_dir_all(at(directory)).expect("created");
        }
        for file in ["one/kept/a", "one/kept/b", "one/gone/c", "one/opaque/d", "one/again/e", "one/hidden", "two/opaque/f"] {
            fs::write(at(file), file).expect("written");
        }
        fs::hard_link(at("one/kept/a"), at("one/kept/a2")).expect("linked");
        for hidden in ["two/hidden", "two/absent"] {
            rustix::fs::mknodat(rustix::fs::CWD, at(hidden), FileType::CharacterDevice, Mode::empty(), 0).expect("every user may");
        }
        let attributes = Attributes::User;
        rustix::fs::lsetxattr(at("two/opaque"), attributes.opaque(), b"y", XattrFlags::empty()).expect("the file system has attributes");
        merge(&[name("one"), name("two")], &name("root"), attributes).expect("copied");
        let seen = look(&name("root")).expect("seen");
        let paths: Vec<_> = seen.keys().map(|path| path.to_str().expect("UTF-8")).collect();
        assert_eq!(paths, ["", "again", "again/e", "gone", "gone/c", "kept", "kept/a", "kept/a2", "kept/b", "opaque", "opaque/f"]);
        assert_eq!(fs::metadata(at("root/kept/a")).expect("there").ino(), fs::metadata(at("root/kept/a2")).expect("there").ino());

        fs::remove_dir_all(at("root/gone")).expect("removed");
        fs::remove_dir_all(at("root/again")).expect("removed");
        fs::create_dir(at("root/again")).expect("created");
        fs::write(at("root/kept/b"), "changed").expect("written");
        fs::create_dir_all(at("root/new/er")).expect("created");
        fs::rename(at("root/opaque/f"), at("root/new/f")).expect("renamed");
        changes(&name("root"), &seen, &name("upper"), attributes).expect("found");
        let upper = look(&name("upper")).expect("seen");
        let paths: Vec<_> = upper.keys().map(|path| path.to_str().expect("UTF-8")).collect();
        assert_eq!(paths, ["", "again", "gone", "kept", "kept/b", "new", "new/er", "new/f", "opaque", "opaque/f"]);
        let is_whiteout = |path: &str| fs::symlink_metadata(at(path)).is_ok_and(|there| there.file_type().is_char_device() && there.rdev() == 0);
        assert!(is_whiteout("upper/gone") && is_whiteout("upper/opaque/f") && !is_whiteout("upper/kept/b"));
        let opaque = |path: &str| is_opaque(&Dir::open(&at(path)).expect("opened"), attributes);
        assert!(opaque("upper/again") && !opaque("upper/kept") && !opaque("upper/new"));
        assert_eq!(fs::read(at("upper/kept/b")).expect("there"), b"changed");
    }
}
