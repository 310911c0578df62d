//! What jobs did and would do, as a person reads it.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::bytes;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::ops::copy::TallyReport;
use crate::ops::sync::job::{Counts, Failure, ImageReport, Planned, PlannedImage, PruneState, State, SyncPlanReport, SyncReport};
use crate::spec::{Digest, text};

/// How many images are listed in text; JSON has them all.
const LISTED: usize = 100;

/// What a job did.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Text(pub(super) SyncReport);

impl Text {
    /// The failures in one line.
    pub(super) fn failure(&self) -> String {
        let counts = &self.0.counts;
        let names = self.0.pruned.iter().filter(|name| name.state == PruneState::Failed).count();
        let mut parts = Vec::new();
        if counts.failed + counts.not_tried > 0 {
            parts.push(format!("{} of {} did not arrive", counts.failed + counts.not_tried, images(counts.all())));
        }
        if names > 0 {
            parts.push(format!("{names} name{} could not be removed", if names == 1 { "" } else { "s" }));
        }
        parts.join(", ")
    }
}

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        let told: Vec<&ImageReport> = report.images.iter().filter(|image| matches!(image.state, State::Copied | State::Kept)).collect();
        if !told.is_empty() {
            let mut table = Table::new([("STATE", Align::Left), ("TARGET", Align::Left), ("DIGEST", Align::Left), ("BEFORE", Align::Left)]);
            for image in told.iter().take(LISTED) {
                let digest = image.digest.as_ref().map_or("-", Digest::short);
                let before = image.moved_from.as_ref().map_or("-", Digest::short);
                table.row([image.state.as_str(), image.target.as_deref().unwrap_or("-"), digest, before]);
            }
            table.write(out)?;
            more(out, told.len())?;
        }
        for image in report.images.iter().filter(|image| image.failure.is_some()).take(LISTED) {
            write_failure(out, style, image.state.as_str(), image.target.as_deref().unwrap_or(&image.source), image.failure.as_ref())?;
        }
        more(out, report.images.iter().filter(|image| image.failure.is_some()).count())?;
        for name in report.pruned.iter().take(LISTED) {
            match name.state {
                PruneState::Removed => writeln!(out, "{} {}", style.strong("removed"), text::shown(&name.name))?,
                PruneState::Spared => writeln!(out, "{} {}, because images did not arrive there", style.strong("spared "), text::shown(&name.name))?,
                PruneState::Failed => write_failure(out, style, "not removed", &name.name, name.failure.as_ref())?,
            }
        }
        more(out, report.pruned.len())?;
        write_left(out, report.nameless, report.attached_left)?;
        write_lacking(out, report.images.iter().filter(|image| !image.lacking.is_empty()).count())?;
        if let Some(shard) = &report.shard {
            writeln!(out, "{} {shard}", style.strong("share  "))?;
        }
        writeln!(out, "{} {}", style.strong("images "), counts(&report.counts))?;
        let content = &report.content;
        let parts = [("copied", content.copied), ("taken over", content.taken), ("shared", content.shared)];
        let parts: Vec<String> = parts.iter().filter(|(_, tally)| tally.count > 0).map(|(word, tally)| format!("{} {word}", amount(*tally))).collect();
        if !parts.is_empty() {
            writeln!(out, "{} {}", style.strong("content"), parts.join(", "))?;
        }
        let traffic = &report.traffic;
        if traffic.requests > 0 {
            let sent = format!("{} requests, {} sent, {} received", traffic.requests, bytes::size(traffic.sent), bytes::size(traffic.received));
            writeln!(out, "{} {sent}", style.strong("network"))?;
        }
        Ok(())
    }
}

/// What a job would do.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct PlanText(pub(super) SyncPlanReport);

impl PlanText {
    /// The failures in one line.
    pub(super) fn failure(&self) -> String {
        let failed = self.0.images.iter().filter(|image| image.state == Planned::Failed).count();
        format!("{failed} of {} could not be planned", images(self.0.images.len()))
    }
}

impl Report for PlanText {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let plan = &self.0;
        let told: Vec<&PlannedImage> = plan.images.iter().filter(|image| matches!(image.state, Planned::New | Planned::Moved | Planned::Kept)).collect();
        if !told.is_empty() {
            let columns = [("STATE", Align::Left), ("TARGET", Align::Left), ("DIGEST", Align::Left), ("BEFORE", Align::Left), ("MISSING", Align::Right)];
            let mut table = Table::new(columns);
            for image in told.iter().take(LISTED) {
                let digest = image.digest.as_ref().map_or("-", Digest::short);
                let before = image.moved_from.as_ref().map_or("-", Digest::short);
                table.row([image.state.as_str(), image.target.as_deref().unwrap_or("-"), digest, before, &bytes::size(image.missing.bytes)]);
            }
            table.write(out)?;
            more(out, told.len())?;
            writeln!(out)?;
        }
        for image in plan.images.iter().filter(|image| image.failure.is_some()).take(LISTED) {
            write_failure(out, style, image.state.as_str(), image.target.as_deref().unwrap_or(&image.source), image.failure.as_ref())?;
        }
        more(out, plan.images.iter().filter(|image| image.failure.is_some()).count())?;
        for name in plan.prune.iter().take(LISTED) {
            writeln!(out, "{} {}", style.strong("would remove"), text::shown(&name.name))?;
        }
        more(out, plan.prune.len())?;
        write_left(out, plan.nameless, plan.attached_left)?;
        write_lacking(out, plan.images.iter().filter(|image| !image.lacking.is_empty()).count())?;
        if !plan.targets.is_empty() {
            let mut table = Table::new([
                ("TO", Align::Left),
                ("IMAGES", Align::Right),
                ("BLOBS", Align::Right),
                ("SIZE", Align::Right),
                ("TAKEN OVER", Align::Right),
                ("MANIFESTS", Align::Right),
            ]);
            for target in &plan.targets {
                let numbers = [target.images, target.blobs.count, target.taken.count, target.documents.count].map(|number| number.to_string());
                table.row([&target.target, &numbers[0], &numbers[1], &bytes::size(target.blobs.bytes), &numbers[2], &numbers[3]]);
            }
            table.write(out)?;
        }
        for registry in &plan.registries {
            writeln!(out, "{} {}: about {}", style.strong("requests"), registry.host, registry.requests)?;
        }
        let unchanged = plan.images.iter().filter(|image| image.state == Planned::Unchanged).count();
        writeln!(out, "{} {}, {unchanged} of them there already", style.strong("images  "), plan.images.len())
    }
}

fn write_failure(out: &mut dyn Write, style: Style, state: &str, name: &str, failure: Option<&Failure>) -> io::Result<()> {
    writeln!(out, "{} {}", style.strong(state), text::shown(name))?;
    let Some(failure) = failure else { return Ok(()) };
    writeln!(out, "  {}", text::shown(&failure.message))?;
    for cause in &failure.causes {
        writeln!(out, "  caused by: {}", text::shown(cause))?;
    }
    match &failure.hint {
        Some(hint) => writeln!(out, "  {} {}", style.hint("hint:"), text::shown(hint)),
        None => Ok(()),
    }
}

/// That not all were listed.
fn more(out: &mut dyn Write, all: usize) -> io::Result<()> {
    match all {
        0..=LISTED => Ok(()),
        more => writeln!(out, "and {} more; --format json lists all", more - LISTED),
    }
}

fn write_left(out: &mut dyn Write, nameless: usize, attached: usize) -> io::Result<()> {
    if nameless > 0 {
        writeln!(out, "left out: {} without a name", images(nameless))?;
    }
    match attached {
        0 => Ok(()),
        attached => writeln!(out, "left out: {attached} that {} attached to images; --referrers carries them", if attached == 1 { "is" } else { "are" }),
    }
}

fn write_lacking(out: &mut dyn Write, count: usize) -> io::Result<()> {
    match count {
        0 => Ok(()),
        1 => writeln!(out, "left out: platforms that 1 image lacks; --format json says which"),
        count => writeln!(out, "left out: platforms that {count} images lack; --format json says which"),
    }
}

fn counts(counts: &Counts) -> String {
    let parts = [
        (counts.copied, "copied"),
        (counts.unchanged, "there already"),
        (counts.finished, "finished before"),
        (counts.kept, "kept"),
        (counts.absent, "absent"),
        (counts.failed, "failed"),
        (counts.not_tried, "not tried"),
    ];
    let parts: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn images(count: usize) -> String {
    format!("{count} image{}", if count == 1 { "" } else { "s" })
}

fn amount(tally: TallyReport) -> String {
    format!("{} blob{} ({})", tally.count, if tally.count == 1 { "" } else { "s" }, bytes::size(tally.bytes))
}
