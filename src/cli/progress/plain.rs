//! Progress for logs: a line when a task ends, and one now and then while it runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::bytes::size;
use crate::cli::style::Style;
use crate::spec::text::shown;

use super::{Change, Painter, QUIET_START, Task, Tasks, output, warning};

/// A running task is told of at most this often.
const EVERY: Duration = Duration::from_secs(1);

/// Writes lines of text.
pub(super) struct Plain {
    style: Style,
    /// When each running task was last told of.
    told: BTreeMap<u64, Duration>,
    /// Lines of the quiet start; written once the operation turns out to be longer.
    held_back: String,
}

impl Plain {
    /// Marks warnings with `style`.
    pub(super) fn new(style: Style) -> Self {
        Plain { style, told: BTreeMap::new(), held_back: String::new() }
    }

    fn line(&mut self, now: Duration, change: &Change<'_>) -> String {
        match *change {
            Change::Started(task) => {
                self.told.insert(task.id, now);
                String::new()
            }
            Change::Advanced(task) => {
                let told = self.told.entry(task.id).or_default();
                if now.saturating_sub(*told) < EVERY {
                    return String::new();
                }
                *told = now;
                running(task, now)
            }
            Change::Finished(task) => {
                self.told.remove(&task.id);
                finished(task, now)
            }
            Change::Output(label, line) => output(label, line),
            Change::Warning(_) => String::new(),
        }
    }
}

impl Painter for Plain {
    fn paint(&mut self, now: Duration, change: &Change<'_>, _: &Tasks) -> String {
        if let Change::Warning(message) = change {
            return warning(message, self.style);
        }
        let line = self.line(now, change);
        self.held_back.push_str(&line);
        // What a program says is told at once.
        if now < QUIET_START && !matches!(change, Change::Output(..)) { String::new() } else { std::mem::take(&mut self.held_back) }
    }
}

fn running(task: &Task, now: Duration) -> String {
    let mut line = format!("{}: {}", shown(&task.label), size(task.done));
    // Writing to a string does not fail.
    if let Some(total) = task.total {
        let _ = write!(line, " of {}", size(total));
    }
    if let Some(rate) = task.rate(now) {
        let _ = write!(line, ", {}/s", size(rate));
    }
    line + "\n"
}

/// Says nothing of success: a task that fails or is stopped ends too, and its error is told elsewhere. One that ends early shows how much was to come.
fn finished(task: &Task, now: Duration) -> String {
    let bytes = match task.total {
        Some(total) if task.done < total => format!("ended at {} of {} after ", size(task.done), size(total)),
        _ if task.done > 0 => format!("{} in ", size(task.done)),
        _ => String::new(),
    };
    format!("{}: {bytes}{:.1} s\n", shown(&task.label), now.saturating_sub(task.began).as_secs_f64())
}
