//! What a job has finished already: a file beside the job, so that a run which was killed goes on where it was.
//!
//! The file is appended to, one line per finished image and some per upload that was begun, and may be lost or torn at any moment. What it does not tell is found
//! out again, at the price of a request; so it is not brought to the disk, and a line counts only where its check sum is right. What a line tells holds for a
//! limited time, because others may change what was finished. A line is bound to everything that made the image what it was: where another digest, another target
//! or another choice is asked for, it tells nothing.
//!
//! No secret comes into it: names are hashed, and of uploads it has the place that the registry gave, which is good for nothing without a login. Only its owner
//! can read it, all the same. Two runs of one job would do everything twice, so the file is locked while it is open. A job that is through takes its journal with
//! it.
//!
//! ```text
//! larder sync journal 1
//! done KEY TIME SUM               an image is finished
//! upload KEY TIME PLACE SUM       a blob is on its way
//! ended KEY TIME SUM              it is no more
//! ```
//!
//! KEY has 64 hexadecimal digits, TIME is in seconds since 1970, SUM is the CRC-32 of what stands before it in the line.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::Mode;

use crate::error::{Error, IoContext, Result};
use crate::exec::Clock;
use crate::fsio::{Dir, Lock, Patience, regular};
use crate::spec::{Digest, text};
use crate::store::registry::Sessions;

const HEADER: &str = "larder sync journal 1\n";

/// What the names of journals end with.
pub const EXTENSION: &str = "journal";

/// The largest journal: 64 MiB, with room for more than half a million images. What comes after that is not noted.
const MAX_BYTES: u64 = 64 << 20;

/// The longest place of an upload that is noted; longer ones are begun anew.
const PLACE_BYTES: usize = 2048;

/// A journal with fewer lines than that is not worth tidying.
const TIDY_LINES: usize = 4096;

/// Nobody else needs to read a journal.
const OWN: Mode = Mode::RUSR.union(Mode::WUSR);

/// What something noted is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key as a word for the name of a file.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key for all that decides what has to be done. Two lists of parts have one key only where they are the same.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Key {
        let mut joined = String::new();
        for part in parts {
            // With the length before each part, no part can pass for two.
            let _ = write!(joined, "{}:{part}", part.len());
        }
        Key(Digest::sha256(joined.as_bytes()).encoded().to_owned())
    }
}

/// An open journal, locked. It remembers uploads for the [network](crate::store::registry::Network).
#[derive(Debug)]
pub struct Journal {
    lock: Lock,
    dir: Dir,
    name: PathBuf,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is finished, and when it was.
    finished: HashMap<Key, u64>,
    /// Where uploads go on, and since when.
    uploads: HashMap<Key, (u64, String)>,
    /// Where the next line goes.
    end: u64,
    lines: usize,
}

/// What one line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Done(Key, u64),
    Upload(Key, u64, String),
    Ended(Key, u64),
}

impl Journal {
    /// Opens or creates the journal at `path`. What was noted longer ago than `validity`, or later than now, counts no more.
    ///
    /// Kinds: `conflict` where another run of the job has it past the patience; `usage` where the file is something else, which is left as it is.
    pub fn open(path: &Path, validity: Duration, clock: Clock, patience: &mut Patience) -> Result<Journal> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::usage(format!("{} does not name a file", text::path(path))));
        };
        let cannot = |error: Error| error.context(format!("cannot keep the journal {}", text::path(path)));
        let dir = Dir::open(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).map_err(cannot)?;
        let name = PathBuf::from(name);
        let lock = Lock::of_file(&dir, &name, patience).map_err(cannot)?;
        let content = read(&lock, path)?;
        // From here on the file is ours, and may go.
        let Some(body) = body(&content) else {
            return Err(Error::usage(format!("{} is not a journal of larder", text::path(path))).subject(text::path(path)).hint("name another file"));
        };
        let journal = Journal { lock, dir, name, clock, state: Mutex::default() };
        journal.load(body, validity)?;
        Ok(journal)
    }

    fn load(&self, body: &[u8], validity: Duration) -> Result<()> {
        let path = self.path();
        rustix::fs::fchmod(self.lock.file(), OWN).at("set the permissions of", &path)?;
        let now = self.clock.now().as_secs();
        let counts = |time: u64| now.checked_sub(time).is_some_and(|age| age <= validity.as_secs());
        let mut state = self.state();
        for line in body.split_inclusive(|byte| *byte == b'\n').filter_map(Line::parse) {
            if counts(line.time()) {
                state.learn(line);
            }
        }
        let whole = body.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        state.lines = body.iter().filter(|byte| **byte == b'\n').count();
        state.end = if body.is_empty() { 0 } else { (HEADER.len() + whole) as u64 };
        if state.lines > 2 * state.live() {
            return self.rewrite(&mut state);
        }
        // The next line must not continue a torn one.
        self.lock.file().set_len(state.end).at("write", &path)
    }

    /// Leaves only the lines that count. Where this is interrupted, some of them are lost.
    fn rewrite(&self, state: &mut State) -> Result<()> {
        let mut content = String::from(HEADER);
        for (key, time) in &state.finished {
            content.push_str(&Line::Done(key.clone(), *time).text());
        }
        for (key, (time, place)) in &state.uploads {
            content.push_str(&Line::Upload(key.clone(), *time, place.clone()).text());
        }
        let path = self.path();
        self.lock.file().set_len(0).at("write", &path)?;
        self.lock.file().write_all_at(content.as_bytes(), 0).at("write", &path)?;
        (state.end, state.lines) = (content.len() as u64, state.live());
        Ok(())
    }

    fn append(&self, state: &mut State, line: Line) -> Result<()> {
        let text = if state.end == 0 { format!("{HEADER}{}", line.text()) } else { line.text() };
        state.learn(line);
        if state.lines > TIDY_LINES && state.lines > 4 * state.live() {
            return self.rewrite(state);
        }
        if state.end + text.len() as u64 > MAX_BYTES {
            return Ok(());
        }
        self.lock.file().write_all_at(text.as_bytes(), state.end).at("write", &self.path())?;
        state.end += text.len() as u64;
        state.lines += 1;
        Ok(())
    }

    /// Removes the journals in a directory of them that have not been written to for longer than `validity`, unless somebody holds them. What cannot be removed
    /// stays.
    pub fn sweep(directory: &Path, validity: Duration, clock: Clock) {
        let Ok(dir) = Dir::open(directory) else { return };
        for (name, _) in dir.entries().unwrap_or_default() {
            let name = PathBuf::from(name);
            let Ok(file) = regular::open(&dir, &name) else { continue };
            let written = file.file.metadata().and_then(|metadata| metadata.modified()).ok();
            let age = written.and_then(|written| clock.now().checked_sub(written.duration_since(UNIX_EPOCH).unwrap_or_default()));
            let is_old = age.is_some_and(|age| age > validity) && name.extension().is_some_and(|extension| extension == EXTENSION);
            if is_old && matches!(Lock::try_exclusive(file.file, &directory.join(&name)), Ok(Some(_))) {
                let _ = std::fs::remove_file(directory.join(&name));
            }
        }
    }

    /// Whether the image of this key is finished.
    pub fn has(&self, key: &Key) -> bool {
        self.state().finished.contains_key(key)
    }

    /// Notes that the image of this key is finished. A journal that is full notes nothing.
    pub fn note(&self, key: &Key) -> Result<()> {
        let mut state = self.state();
        match state.finished.contains_key(key) {
            true => Ok(()),
            false => self.append(&mut state, Line::Done(key.clone(), self.clock.now().as_secs())),
        }
    }

    /// Removes the journal: the job is through, and the next run is to ask again.
    pub fn complete(&self) -> Result<()> {
        // Whoever waits for the lock finds that its file has no name any more, and opens another one, which is not to be removed.
        let path = self.path();
        if self.lock.is_of(&self.dir, &self.name)? {
            std::fs::remove_file(&path).at("remove", &path)?;
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Journal {
    /// The journal stays where it has something to tell.
    fn drop(&mut self) {
        if self.state().end == 0 {
            // An empty file in the way of nobody.
            let _ = self.complete();
        }
    }
}

impl Sessions for Journal {
    fn find(&self, host: &str, repository: &str, digest: &str) -> Option<String> {
        self.state().uploads.get(&upload_key(host, repository, digest)).map(|(_, place)| place.clone())
    }

    fn begun(&self, host: &str, repository: &str, digest: &str, location: &str) {
        let is_plain = location.len() <= PLACE_BYTES && location.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain {
            return self.ended(host, repository, digest);
        }
        let line = Line::Upload(upload_key(host, repository, digest), self.clock.now().as_secs(), location.to_owned());
        // What cannot be noted is sent again by the next run.
        let _ = self.append(&mut self.state(), line);
    }

    fn ended(&self, host: &str, repository: &str, digest: &str) {
        let key = upload_key(host, repository, digest);
        let mut state = self.state();
        if state.uploads.contains_key(&key) {
            let _ = self.append(&mut state, Line::Ended(key, self.clock.now().as_secs()));
        }
    }
}

fn upload_key(host: &str, repository: &str, digest: &str) -> Key {
    Key::of(["upload", host, repository, digest])
}

impl State {
    fn learn(&mut self, line: Line) {
        match line {
            Line::Done(key, time) => drop(self.finished.insert(key, time)),
            Line::Upload(key, time, place) => drop(self.uploads.insert(key, (time, place))),
            Line::Ended(key, _) => drop(self.uploads.remove(&key)),
        }
    }

    /// How many lines say all that is known.
    fn live(&self) -> usize {
        self.finished.len() + self.uploads.len()
    }
}

impl Line {
    fn time(&self) -> u64 {
        match self {
            Line::Done(_, time) | Line::Upload(_, time, _) | Line::Ended(_, time) => *time,
        }
    }

    fn text(&self) -> String {
        let said = match self {
            Line::Done(key, time) => format!("done {} {time}", key.0),
            Line::Upload(key, time, place) => format!("upload {} {time} {place}", key.0),
            Line::Ended(key, time) => format!("ended {} {time}", key.0),
        };
        format!("{said} {:08x}\n", crc32fast::hash(said.as_bytes()))
    }

    /// What a line tells; none for one that is torn or damaged.
    fn parse(line: &[u8]) -> Option<Line> {
        let (said, sum) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.rsplit_once(' ')?;
        if sum != format!("{:08x}", crc32fast::hash(said.as_bytes())) {
            return None;
        }
        let words: Vec<&str> = said.split(' ').collect();
        let key = |key: &str| Key(key.to_owned());
        match words[..] {
            ["done", of, time] => Some(Line::Done(key(of), time.parse().ok()?)),
            ["upload", of, time, place] => Some(Line::Upload(key(of), time.parse().ok()?, place.to_owned())),
            ["ended", of, time] => Some(Line::Ended(key(of), time.parse().ok()?)),
            _ => None,
        }
    }
}

/// The content as far as a journal can be long.
fn read(lock: &Lock, path: &Path) -> Result<Vec<u8>> {
    let length = lock.file().metadata().at("examine", path)?.len().min(MAX_BYTES);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match regular::read_at(lock.file(), &mut bytes[filled..], filled as u64).at("read", path)? {
            0 => break,
            count => filled += count,
        }
    }
    // What a power cut leaves of a file may be zeros.
    let end = bytes[..filled].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    Ok(bytes)
}

/// The lines; none where this is not a journal. A header that is cut off is the beginning of a journal that has none.
fn body(content: &[u8]) -> Option<&[u8]> {
    match content.strip_prefix(HEADER.as_bytes()) {
        Some(body) => Some(body),
        None => HEADER.as_bytes().starts_with(content).then_some(&[]),
    }
}

#[cfg(test)]
mod tests;
