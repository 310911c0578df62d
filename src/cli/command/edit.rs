//! `larder edit`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::layers::LayerFlags;
use crate::cli::output::Report;
use crate::cli::settings::SettingFlags;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::cli::{annotation, bytes, host};
use crate::error::{Error, Result};
use crate::layer::{Codec, Times};
use crate::ops::edit::{
    self, AnnotationChange, BroughtReport, Changes, EditPlanReport, EditReport, EditRequest, LayerChanges, LayerId, SettingChanges, SquashFrom, UntouchedReport,
};
use crate::spec::{Family, Platform, text};
use crate::store::Location;

/// Makes a new image from an old one in a layout
///
/// Without --tag the name moves to the new image. All platforms of an index are edited unless --platform says which; the others keep their manifests byte
/// for byte. Changes are made in one order, whatever the order of the flags: the base is exchanged (--rebase), layers are dropped, then added (--rootfs, --tar, --copy), squashed, their
/// times normalised, and compressed; then come settings, annotations, and media types. Numbers of layers are those before the edit. An attestation of an image that changed is left out of the
/// new index, because it tells of other content.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder edit oci:hello.oci:1.4.2 -t 1.4.3 --env LANG=C.UTF-8 --unset-label maintainer
  larder edit oci:hello.oci:1.4.2 --copy motd=/etc/motd --compression zstd
  larder edit oci:hello.oci:1.4.2 --squash -t flat
  larder edit oci:hello.oci:1.4.2 --rebase oci:bases:debian-12
  larder edit oci:out:hello:1 --platform linux/arm64 --user 1000:1000 --dry-run")]
pub(crate) struct Args {
    /// Image to edit; the layout alone means the only image in it
    #[arg(value_name = "LAYOUT[:NAME|@DIGEST]")]
    image: OsString,
    /// Name for the new image instead of the old one; a word alone is a tag in the repository of the old name; may be repeated
    #[arg(long, short, value_name = "NEWNAME")]
    tag: Vec<String>,
    /// Platforms to edit; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…")]
    platform: Vec<String>,
    /// Base to stand on instead: the layers of the old one are exchanged, and settings taken over from it become those of the new one
    #[arg(long, value_name = "LOCATION")]
    rebase: Option<OsString>,
    /// Base that the image stands on; without it annotations of the image say which
    #[arg(long, value_name = "LOCATION")]
    old_base: Option<OsString>,
    /// Layer to leave out: its number, counted from 1 at the bottom, its digest or its diff ID; may be repeated
    #[arg(long, value_name = "LAYER")]
    drop_layer: Vec<String>,
    #[command(flatten)]
    layers: LayerFlags,
    /// Makes one layer of all; of those above the base with `base`; of the layer FROM and those above it with its number, digest or diff ID
    #[arg(long, value_name = "FROM", num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    squash: Option<SquashFrom>,
    /// Lets no time be later than SOURCE_DATE_EPOCH: of files, in the history and of the image; those of a base that is named stay
    #[arg(long, alias = "normalize-timestamps")]
    normalise_timestamps: bool,
    /// How all layers are compressed: gzip, zstd or none, with an optional level as in gzip:9; what is in them stays
    #[arg(long, value_name = "CODEC[:LEVEL]")]
    compression: Option<Codec>,
    #[command(flatten)]
    settings: SettingFlags,
    /// Variable to remove, before others are set; may be repeated
    #[arg(long, value_name = "KEY")]
    unset_env: Vec<String>,
    /// Label to remove, before others are set; may be repeated
    #[arg(long, value_name = "KEY")]
    unset_label: Vec<String>,
    /// When the image was made: RFC 3339, seconds since 1970, or `epoch` for SOURCE_DATE_EPOCH
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    /// Annotation of a document: manifest, index, manifest-descriptor or index-descriptor; may be repeated
    #[arg(long, value_name = "[LEVEL[[PLATFORM]],…:]KEY=VALUE")]
    annotation: Vec<String>,
    /// Annotation to remove, before others are set; may be repeated
    #[arg(long, value_name = "[LEVEL[[PLATFORM]],…:]KEY")]
    unset_annotation: Vec<String>,
    /// Media types of all documents and layers: oci or docker; blobs stay, and what has no counterpart is an error
    #[arg(long, value_name = "FAMILY")]
    media_types: Option<Family>,
    /// Prints what would be done, and writes nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let request = request(&args, context)?;
    if args.dry_run {
        return context.output.print(&PlanText(edit::plan(&context.run, &request)?));
    }
    context.output.print(&Text(edit::execute(&context.run, &request)?))
}

fn request(args: &Args, context: &Context) -> Result<EditRequest> {
    let location = Location::parse(&args.image)?;
    let platforms = match args.platform.is_empty() {
        true => Vec::new(),
        false => Platform::parse_list_with(&args.platform.join(","), &host::platform())?,
    };
    let changes = changes(args, context)?;
    if changes.is_nothing() {
        return Err(Error::usage("there is nothing to change").hint("say what to change, such as --env KEY=VALUE; larder tag gives names without a change"));
    }
    let layout = location.layout()?.to_owned();
    Ok(EditRequest { layout, image: location.selector().clone(), names: args.tag.clone(), platforms, changes, options: context.layout_options() })
}

fn changes(args: &Args, context: &Context) -> Result<Changes> {
    let mut settings = SettingChanges { unset_env: args.unset_env.clone(), unset_labels: args.unset_label.clone(), ..SettingChanges::default() };
    args.settings.apply(&mut settings.set)?;
    settings.created = args.created.as_deref().map(|created| context.run.timestamps.moment(created)).transpose()?;
    let mut annotations = Vec::new();
    for written in &args.unset_annotation {
        annotations.extend(annotation::unset(written)?.into_iter().map(AnnotationChange::Unset));
    }
    for written in &args.annotation {
        annotations.extend(annotation::set(written)?.into_iter().map(AnnotationChange::Set));
    }
    let drop = args.drop_layer.iter().map(|layer| layer.parse::<LayerId>()).collect::<Result<_>>()?;
    let layers = LayerChanges {
        rebase: args.rebase.as_deref().map(Location::parse).transpose()?,
        old_base: args.old_base.as_deref().map(Location::parse).transpose()?,
        drop,
        append: args.layers.specs()?,
        context: PathBuf::from("."),
        squash: args.squash.clone(),
        times: if args.normalise_timestamps { Times::Clamped } else { Times::Kept },
        compression: args.compression,
    };
    Ok(Changes { layers, settings, annotations, media_types: args.media_types })
}

/// The result, as a person reads it.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(EditReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        let mut table =
            Table::new([("PLATFORM", Align::Left), ("LAYERS", Align::Right), ("SIZE", Align::Right), ("DIGEST", Align::Left), ("CHANGES", Align::Left)]);
        for image in &report.images {
            table.row([&image.platform, &image.layers.to_string(), &bytes::size(image.size), image.digest.as_str(), &summary(&image.changes)]);
        }
        table.write(out)?;
        writeln!(out)?;
        brought(&report.brought, "brought", out, style)?;
        around(&report.around, out, style)?;
        for dropped in &report.dropped {
            let of = dropped.attached_to.as_ref().map(|digest| format!(" of {}", digest.short())).unwrap_or_default();
            writeln!(out, "{} {}  ({}{of}, which is another now)", style.strong("dropped"), dropped.digest, dropped.kind)?;
        }
        untouched(&report.untouched, out, style)?;
        for name in &report.left_behind {
            writeln!(out, "{} {}  (belongs to the old image; the new one has none)", style.strong("left   "), text::shown(name))?;
        }
        let note = if report.before == report.digest { "  (unchanged)".to_owned() } else { format!("  (was {})", report.before) };
        writeln!(out, "{} {}{note}", style.strong("digest "), report.digest)?;
        for given in &report.names {
            let note = match &given.moved_from {
                Some(digest) => format!("  (moved from {digest})"),
                None if given.added => String::new(),
                None => "  (unchanged)".to_owned(),
            };
            writeln!(out, "{} {}{note}", style.strong("name   "), text::shown(&given.name))?;
        }
        Ok(())
    }
}

/// The plan, as a person reads it.
#[derive(Serialize)]
#[serde(transparent)]
struct PlanText(EditPlanReport);

impl Report for PlanText {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let plan = &self.0;
        let mut table = Table::new([("PLATFORM", Align::Left), ("NOW", Align::Left), ("CHANGES", Align::Left)]);
        for image in &plan.images {
            table.row([&image.platform, image.digest.short(), &summary(&image.changes)]);
        }
        table.write(out)?;
        writeln!(out)?;
        brought(&plan.brought, "would bring", out, style)?;
        around(&plan.around, out, style)?;
        untouched(&plan.untouched, out, style)?;
        writeln!(out, "{} {}", style.strong("digest     "), plan.digest)?;
        for name in &plan.names {
            writeln!(out, "{} {}", style.strong("would name "), text::shown(name))?;
        }
        writeln!(out, "{} {}", style.strong("would write"), plan.layout)
    }
}

fn summary(changes: &[String]) -> String {
    if changes.is_empty() { "unchanged".to_owned() } else { changes.join("; ") }
}

fn brought(layers: &[BroughtReport], verb: &str, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if layers.is_empty() {
        return Ok(());
    }
    let size = layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
    let plural = format!("{} layer{}", layers.len(), if layers.len() == 1 { "" } else { "s" });
    writeln!(out, "{} {plural} of the new base, {}", style.strong(verb), bytes::size(size))
}

fn around(changes: &[String], out: &mut dyn Write, style: Style) -> io::Result<()> {
    for change in changes {
        writeln!(out, "{} {change}", style.strong("changed"))?;
    }
    Ok(())
}

fn untouched(entries: &[UntouchedReport], out: &mut dyn Write, style: Style) -> io::Result<()> {
    for entry in entries {
        let platform = entry.platform.as_ref().map(|platform| format!(" {platform}")).unwrap_or_default();
        writeln!(out, "{} {}  ({}{platform})", style.strong("kept   "), entry.digest, entry.kind)?;
    }
    Ok(())
}
