//! Progress for programs: one JSON object per line.
//!
//! `{"type":"started","task":1,"label":"…","total":123}`, `{"type":"progress","task":1,"bytes":45}`, `{"type":"finished","task":1,"bytes":123}`,
//! `{"type":"output","label":"…","line":"…"}`, `{"type":"warning","message":"…"}`. Bytes are those since the start of the task; an unknown total is null.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{Change, Painter, Tasks};

/// Programs hear of one task at most this often.
const EVERY: Duration = Duration::from_millis(100);

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    Started { task: u64, label: &'a str, total: Option<u64> },
    Progress { task: u64, bytes: u64 },
    Finished { task: u64, bytes: u64 },
    Output { label: &'a str, line: &'a str },
    Warning { message: &'a str },
}

/// Writes lines of JSON.
#[derive(Default)]
pub(super) struct Json {
    /// When each running task was last told of.
    told: BTreeMap<u64, Duration>,
}

impl Painter for Json {
    fn paint(&mut self, now: Duration, change: &Change<'_>, _: &Tasks) -> String {
        let line = match *change {
            Change::Started(task) => {
                self.told.insert(task.id, now);
                Line::Started { task: task.id, label: &task.label, total: task.total }
            }
            Change::Advanced(task) => {
                let told = self.told.entry(task.id).or_default();
                if now.saturating_sub(*told) < EVERY {
                    return String::new();
                }
                *told = now;
                Line::Progress { task: task.id, bytes: task.done }
            }
            Change::Finished(task) => {
                self.told.remove(&task.id);
                Line::Finished { task: task.id, bytes: task.done }
            }
            Change::Output(label, line) => Line::Output { label, line },
            Change::Warning(message) => Line::Warning { message },
        };
        // Strings and numbers always serialise.
        serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
    }
}
