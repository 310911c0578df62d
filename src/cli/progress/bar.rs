//! Progress on a terminal: a line with a bar for the oldest running tasks and one for all together, redrawn in place.
//!
//! A drawing is one write: up over the last one, erase, the new lines. Automatic wrapping is off meanwhile, so that a line that is wider
//! than the terminal (wide characters, a window made smaller) is cut by the terminal and the count of lines stays right. The cursor
//! is never hidden: a process that is killed leaves the terminal as it should be.

use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::bytes::size;
use crate::cli::style::Style;
use crate::spec::text::shown;

use super::{Change, Painter, QUIET_START, Task, Tasks, output, rate, warning};

/// The screen is drawn at most this often.
const EVERY: Duration = Duration::from_millis(100);
/// More lines than this say less.
const MAX_BARS: usize = 8;
/// Widths in characters.
const BAR: usize = 20;
const NUMBERS: usize = 34;
const MAX_LABEL: usize = 48;

/// Size of the terminal in characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Lines.
    pub(super) rows: usize,
    /// Characters in a line.
    pub(super) columns: usize,
}

/// Draws bars.
pub(super) struct Bars<F> {
    style: Style,
    /// Asked before each drawing, since windows change.
    space: F,
    drawn_at: Option<Duration>,
    /// Lines on the screen that are ours.
    lines: usize,
}

impl<F: Fn() -> Space> Bars<F> {
    /// Draws into the space that `space` tells.
    pub(super) fn new(style: Style, space: F) -> Self {
        Bars { style, space, drawn_at: None, lines: 0 }
    }

    fn draw(&mut self, now: Duration, tasks: &Tasks) -> String {
        let space = (self.space)();
        let lines = picture(now, tasks, space);
        let mut text = self.erased();
        if !lines.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(text, "\x1b[?7l{}\n\x1b[?7h", lines.join("\n"));
        }
        self.lines = lines.len();
        self.drawn_at = Some(now);
        text
    }

    fn erased(&mut self) -> String {
        match std::mem::take(&mut self.lines) {
            0 => String::new(),
            lines => format!("\x1b[{lines}F\x1b[J"),
        }
    }
}

impl<F: Fn() -> Space + Send> Painter for Bars<F> {
    fn paint(&mut self, now: Duration, change: &Change<'_>, tasks: &Tasks) -> String {
        let told = match change {
            Change::Warning(message) => Some(warning(message, self.style)),
            Change::Output(label, line) => Some(output(label, line)),
            Change::Started(_) | Change::Advanced(_) | Change::Finished(_) => None,
        };
        if let Some(told) = told {
            let had_bars = self.lines > 0;
            let text = self.erased() + &told;
            return if had_bars { text + &self.draw(now, tasks) } else { text };
        }
        let due = self.drawn_at.is_none_or(|drawn| now.saturating_sub(drawn) >= EVERY);
        if now >= QUIET_START && due { self.draw(now, tasks) } else { String::new() }
    }

    fn clear(&mut self) -> String {
        self.drawn_at = None;
        self.erased()
    }
}

/// The lines of a drawing.
fn picture(now: Duration, tasks: &Tasks, space: Space) -> Vec<String> {
    // One line for the cursor and one for the total.
    let fit = space.rows.saturating_sub(2).clamp(1, MAX_BARS);
    let shown_tasks: Vec<&Task> = tasks.running.values().take(fit).collect();
    let label_width = shown_tasks.iter().map(|task| shown(&task.label).chars().count()).max().unwrap_or(0).min(MAX_LABEL);
    let label_width = label_width.min(space.columns.saturating_sub(NUMBERS + 1));
    let bar_width = if space.columns > label_width + 1 + BAR + 3 + NUMBERS { BAR } else { 0 };
    let mut lines: Vec<String> = shown_tasks.iter().map(|task| line(task, now, label_width, bar_width)).collect();
    if tasks.running.len() + usize::try_from(tasks.finished).unwrap_or(usize::MAX) > 1 {
        lines.push(total(now, tasks));
    }
    for line in &mut lines {
        *line = line.chars().take(space.columns).collect();
    }
    lines
}

fn line(task: &Task, now: Duration, label_width: usize, bar_width: usize) -> String {
    let label: String = shown(&task.label).chars().take(label_width).collect();
    let mut line = format!("{label:label_width$} ");
    // Writing to a string does not fail.
    if bar_width > 0 {
        let filled = task.total.map_or(0, |total| portion(task.done, total, bar_width));
        let _ = write!(line, "[{}{}] ", "#".repeat(filled), "-".repeat(bar_width - filled));
    }
    let _ = write!(line, "{:>8}", size(task.done));
    if let Some(total) = task.total {
        let _ = write!(line, " / {:>8}", size(total));
    }
    if let Some(rate) = task.rate(now) {
        let _ = write!(line, "  {:>8}/s", size(rate));
    }
    line
}

fn total(now: Duration, tasks: &Tasks) -> String {
    let bytes = tasks.running.values().fold(tasks.finished_bytes, |sum, task| sum.saturating_add(task.done));
    let mut line = format!("{} running, {} done, {}", tasks.running.len(), tasks.finished, size(bytes));
    if let Some(rate) = rate(bytes, now) {
        // Writing to a string does not fail.
        let _ = write!(line, ", {}/s", size(rate));
    }
    line
}

/// `whole` times `done / total`, where a file that grew past its announced size is just full.
fn portion(done: u64, total: u64, whole: usize) -> usize {
    if total == 0 {
        return whole;
    }
    let part = u128::from(done.min(total)) * whole as u128 / u128::from(total);
    usize::try_from(part).unwrap_or(whole)
}
