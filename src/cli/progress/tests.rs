use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::bar::{Bars, Space};
use super::*;

/// A progress whose clock stands until it is told to go on, and the text it wrote.
struct Stage {
    progress: Progress,
    milliseconds: Arc<AtomicU64>,
    written: Written,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stage {
    fn new(painter: impl Painter + 'static) -> Self {
        let milliseconds = Arc::new(AtomicU64::new(0));
        let clock = milliseconds.clone();
        let written = Written::default();
        let now = move || Duration::from_millis(clock.load(Ordering::SeqCst));
        Stage { progress: Progress::new(now, Some(Box::new(painter)), written.clone()), milliseconds, written }
    }

    fn plain() -> Self {
        Self::new(plain::Plain::new(Style::Plain))
    }

    fn bars() -> Self {
        Self::new(Bars::new(Style::Plain, || Space { rows: 24, columns: 80 }))
    }

    fn at(&self, milliseconds: u64) -> &Self {
        self.milliseconds.store(milliseconds, Ordering::SeqCst);
        self
    }

    fn start(&self, task: u64, label: &str, total: Option<u64>) {
        self.progress.observe(Event::Started { task, label: label.to_owned(), total });
    }

    fn advance(&self, task: u64, bytes: u64) {
        self.progress.observe(Event::Advanced { task, bytes });
    }

    fn finish(&self, task: u64) {
        self.progress.observe(Event::Finished { task });
    }

    fn warn(&self, message: &str) {
        self.progress.observe(Event::Warning { message: message.to_owned() });
    }

    /// What was written since the last call.
    fn seen(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.written.0.lock().expect("no panic"))).expect("UTF-8")
    }
}

#[test]
fn an_operation_of_a_quarter_second_draws_nothing_but_warnings() {
    for stage in [Stage::plain(), Stage::bars()] {
        stage.start(1, "layer", Some(100));
        stage.at(200).advance(1, 50);
        assert_eq!(stage.seen(), "");
        stage.warn("odd\nthing");
        assert_eq!(stage.seen(), "warning: odd\\nthing\n");
        stage.at(249).finish(1);
        stage.progress.clear();
        stage.progress.close();
        assert_eq!(stage.seen(), "");
    }
}

#[test]
fn lines_of_programs_are_told_at_once() {
    for stage in [Stage::plain(), Stage::bars()] {
        stage.at(1).start(1, "step", None);
        stage.progress.observe(Event::Output { label: "[1/2]".into(), line: "a\u{7}".into() });
        assert_eq!(stage.seen(), "[1/2] a\\u{7}\n");
    }
    let stage = Stage::new(json::Json::default());
    stage.progress.observe(Event::Output { label: "[1/2]".into(), line: "a".into() });
    assert_eq!(stage.seen(), "{\"type\":\"output\",\"label\":\"[1/2]\",\"line\":\"a\"}\n");
}

#[test]
fn plain_tells_of_the_quiet_start_later_and_of_a_task_once_a_second() {
    let stage = Stage::plain();
    stage.start(1, "config", None);
    stage.start(2, "layer", Some(4_000_000));
    stage.at(100).finish(1);
    assert_eq!(stage.seen(), "");
    stage.at(300).advance(2, 500_000);
    assert_eq!(stage.seen(), "config: 0.1 s\n");
    stage.at(999).advance(2, 500_000);
    assert_eq!(stage.seen(), "");
    stage.at(1000).advance(2, 1_000_000);
    assert_eq!(stage.seen(), "layer: 2.0 MB of 4.0 MB, 2.0 MB/s\n");
    stage.at(1999).advance(2, 1);
    assert_eq!(stage.seen(), "");
    stage.at(2500).finish(2);
    assert_eq!(stage.seen(), "layer: ended at 2.0 MB of 4.0 MB after 2.5 s\n");
}

#[test]
fn json_tells_at_once_and_of_a_task_ten_times_a_second() {
    let stage = Stage::new(json::Json::default());
    stage.start(1, "layer\n", None);
    stage.at(99).advance(1, 5);
    assert_eq!(stage.seen(), "{\"type\":\"started\",\"task\":1,\"label\":\"layer\\n\",\"total\":null}\n");
    stage.at(100).advance(1, 5);
    stage.at(199).advance(1, 5);
    assert_eq!(stage.seen(), "{\"type\":\"progress\",\"task\":1,\"bytes\":10}\n");
    stage.warn("odd");
    stage.finish(1);
    assert_eq!(stage.seen(), "{\"type\":\"warning\",\"message\":\"odd\"}\n{\"type\":\"finished\",\"task\":1,\"bytes\":15}\n");
}

#[test]
fn bars_redraw_in_place_and_go_away() {
    let stage = Stage::bars();
    stage.start(1, "layer 1", Some(4_000_000));
    stage.at(1000).advance(1, 1_000_000);
    assert_eq!(stage.seen(), "\x1b[?7llayer 1 [#####---------------]   1.0 MB /   4.0 MB    1.0 MB/s\n\x1b[?7h");
    stage.at(1099).advance(1, 1);
    assert_eq!(stage.seen(), "", "drawn ten times a second at most");
    stage.at(1100).start(2, "b", None);
    let drawing = stage.seen();
    assert!(drawing.starts_with("\x1b[1F\x1b[J"), "{drawing:?}");
    assert!(drawing.contains("\nb       [--------------------]      0 B\n2 running, 0 done, 1.0 MB, 909.1 kB/s\n"), "{drawing:?}");
    stage.warn("odd");
    let drawing = stage.seen();
    assert!(drawing.starts_with("\x1b[3F\x1b[Jwarning: odd\n\x1b[?7llayer 1"), "{drawing:?}");
    stage.progress.clear();
    assert_eq!(stage.seen(), "\x1b[3F\x1b[J");
    stage.progress.clear();
    assert_eq!(stage.seen(), "", "there is nothing left to clear");
    stage.advance(1, 1);
    assert!(stage.seen().contains("layer 1"), "they come back");
    stage.progress.close();
    assert_eq!(stage.seen(), "\x1b[3F\x1b[J");
    stage.at(9000).advance(1, 1);
    stage.warn("late");
    assert_eq!(stage.seen(), "", "closed is closed");
}

#[test]
fn bars_stay_inside_the_terminal() {
    for (rows, columns) in [(24, 80), (24, 30), (4, 10), (1, 1), (100, 300)] {
        let stage = Stage::new(Bars::new(Style::Plain, move || Space { rows, columns }));
        for task in 0..100 {
            stage.start(task, &"label \x1b[31m".repeat(20), Some(u64::MAX));
        }
        stage.at(1000).advance(1, u64::MAX);
        let drawing = stage.seen();
        let lines: Vec<&str> = drawing.strip_prefix("\x1b[?7l").and_then(|text| text.strip_suffix("\n\x1b[?7h")).expect("one drawing").split('\n').collect();
        assert!(lines.len() <= 9 && lines.len() <= rows.max(2), "{} lines in {rows} rows", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= columns), "{drawing:?}");
        assert!(!drawing.contains("\x1b[31m"));
    }
}

#[test]
fn events_of_unknown_tasks_and_absurd_sizes_are_harmless() {
    for stage in [Stage::plain(), Stage::bars(), Stage::new(json::Json::default())] {
        stage.at(1000).advance(7, 1);
        stage.finish(7);
        stage.start(1, "", Some(0));
        stage.at(3000).advance(1, u64::MAX);
        stage.advance(1, u64::MAX);
        stage.at(2000).finish(1);
    }
}
