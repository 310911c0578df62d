//! What is seen of a running operation, on stderr.
//!
//! [`Progress`] keeps the list of running tasks and hands every change to a [`Painter`]: [`bar`], [`plain`] or [`json`]. Times come from
//! the clock it was made with. Guarantees: for people nothing is drawn in the first [`QUIET_START`], so that a command that ends
//! sooner draws nothing; each change is one write; after [`Progress::clear`] the screen shows no bar, and after [`Progress::close`]
//! nothing more is written. The bars are not those of a library, because these draw by clocks and threads of their own: what a test
//! sees would depend on time, and a line that is written between could stand in the middle of one.

mod bar;
mod json;
mod plain;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use crate::error::Result;
use crate::exec::{Event, Observer};
use crate::spec::text::shown;

use super::args::{Globals, ProgressKind, parse_kind};
use super::clock;
use super::environment::{CI, Environment, LARDER_PROGRESS};
use super::style::Style;

/// How long an operation runs before people see anything of it.
const QUIET_START: Duration = Duration::from_millis(250);

/// A task that runs or has just ended.
#[derive(Clone, Debug)]
struct Task {
    id: u64,
    label: String,
    total: Option<u64>,
    done: u64,
    began: Duration,
}

impl Task {
    /// Bytes per second on average, once that means something.
    fn rate(&self, now: Duration) -> Option<u64> {
        rate(self.done, now.saturating_sub(self.began))
    }
}

fn rate(bytes: u64, time: Duration) -> Option<u64> {
    let milliseconds = time.as_millis();
    (milliseconds >= 100 && bytes > 0).then(|| u64::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u64::MAX))
}

/// The tasks of the operation.
#[derive(Debug, Default)]
struct Tasks {
    running: BTreeMap<u64, Task>,
    finished: u64,
    finished_bytes: u64,
}

/// What changed.
#[derive(Debug)]
enum Change<'a> {
    Started(&'a Task),
    Advanced(&'a Task),
    Finished(&'a Task),
    Output(&'a str, &'a str),
    Warning(&'a str),
}

/// Turns changes into text for stderr.
trait Painter: Send {
    /// What to write because of `change`; nothing, where that is empty. Called at `now`, with the tasks as they are after it.
    fn paint(&mut self, now: Duration, change: &Change<'_>, tasks: &Tasks) -> String;

    /// What takes away all that would be in the way of other text.
    fn clear(&mut self) -> String {
        String::new()
    }
}

/// Shows only warnings.
struct WarningsOnly(Style);

impl Painter for WarningsOnly {
    fn paint(&mut self, _: Duration, change: &Change<'_>, _: &Tasks) -> String {
        match change {
            Change::Warning(message) => warning(message, self.0),
            _ => String::new(),
        }
    }
}

/// A line of a program that an operation runs.
fn output(label: &str, line: &str) -> String {
    format!("{} {}\n", shown(label), shown(line))
}

fn warning(message: &str, style: Style) -> String {
    format!("{} {}\n", style.warning("warning:"), shown(message))
}

/// The observer that draws.
pub(crate) struct Progress {
    now: Box<dyn Fn() -> Duration + Send + Sync>,
    screen: Mutex<Screen>,
    closed: AtomicBool,
}

struct Screen {
    tasks: Tasks,
    /// `None` when nothing is to be seen at all.
    painter: Option<Box<dyn Painter>>,
    out: Box<dyn Write + Send>,
}

impl Screen {
    fn clear(&mut self) {
        if let Some(painter) = &mut self.painter {
            let text = painter.clear();
            self.write(&text);
        }
    }

    fn write(&mut self, text: &str) {
        if !text.is_empty() {
            // Progress that cannot be shown is no reason to stop.
            let _ = self.out.write_all(text.as_bytes());
        }
    }
}

impl Progress {
    /// Draws as the options and the environment want it. Fails with kind `usage` on a bad `LARDER_PROGRESS`.
    pub(crate) fn to_stderr(globals: &Globals, environment: &Environment) -> Result<Self> {
        let kind = match globals.progress {
            Some(kind) => kind,
            None => environment.parsed(&LARDER_PROGRESS, parse_kind)?.unwrap_or(ProgressKind::Auto),
        };
        let stderr = rustix::stdio::stderr();
        let style = environment.style(stderr);
        let bars_fit = rustix::termios::isatty(stderr) && !environment.is_dumb() && environment.get(&CI).is_none();
        let painter: Option<Box<dyn Painter>> = match kind {
            _ if globals.quiet => None,
            ProgressKind::Auto if bars_fit => Some(bar(style, environment)),
            ProgressKind::Bar => Some(bar(style, environment)),
            ProgressKind::Auto | ProgressKind::Plain => Some(Box::new(plain::Plain::new(style))),
            ProgressKind::Json => Some(Box::new(json::Json::default())),
            ProgressKind::None => Some(Box::new(WarningsOnly(style))),
        };
        Ok(Self::new(clock::stopwatch(), painter, std::io::stderr()))
    }

    /// Shows nothing at all.
    pub(crate) fn none() -> Self {
        Self::new(clock::stopwatch(), None, std::io::sink())
    }

    fn new(now: impl Fn() -> Duration + Send + Sync + 'static, painter: Option<Box<dyn Painter>>, out: impl Write + Send + 'static) -> Self {
        let screen = Screen { tasks: Tasks::default(), painter, out: Box::new(out) };
        Progress { now: Box::new(now), screen: Mutex::new(screen), closed: AtomicBool::new(false) }
    }

    /// Takes bars away so that other text can be written. They come back with the next event.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Takes bars away for good. It does not wait for a thread that draws: that one may be the one that panicked.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        match self.screen.try_lock() {
            Ok(mut screen) => screen.clear(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().clear(),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Observer for Progress {
    fn observe(&self, event: Event) {
        let mut screen = self.lock();
        if self.closed.load(Ordering::SeqCst) {
            return;
        }
        let Screen { tasks, painter: Some(painter), out: _ } = &mut *screen else { return };
        let now = (self.now)();
        let text = match event {
            Event::Started { task: id, label, total } => {
                let task = Task { id, label, total, done: 0, began: now };
                tasks.running.insert(id, task.clone());
                painter.paint(now, &Change::Started(&task), tasks)
            }
            Event::Advanced { task: id, bytes } => {
                let Some(task) = tasks.running.get_mut(&id) else { return };
                task.done = task.done.saturating_add(bytes);
                let task = &tasks.running[&id];
                painter.paint(now, &Change::Advanced(task), tasks)
            }
            Event::Finished { task: id } => {
                let Some(task) = tasks.running.remove(&id) else { return };
                tasks.finished += 1;
                tasks.finished_bytes = tasks.finished_bytes.saturating_add(task.done);
                painter.paint(now, &Change::Finished(&task), tasks)
            }
            Event::Output { label, line } => painter.paint(now, &Change::Output(&label, &line), tasks),
            Event::Warning { message } => painter.paint(now, &Change::Warning(&message), tasks),
        };
        screen.write(&text);
    }
}

fn bar(style: Style, environment: &Environment) -> Box<dyn Painter> {
    let told = environment.columns();
    Box::new(bar::Bars::new(style, move || {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr()).ok();
        let rows = size.map_or(0, |size| usize::from(size.ws_row));
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        bar::Space { rows: if rows > 0 { rows } else { 24 }, columns: if columns > 0 { columns } else { told.unwrap_or(80) } }
    }))
}

#[cfg(test)]
mod tests;
