//! `larder unpack`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::{bytes, host};
use crate::error::Result;
use crate::layer::unpack::{Owner, Privileges};
use crate::ops::unpack::{self, Completeness, Durability, UnpackReport, UnpackRequest};
use crate::spec::text;
use crate::store::Location;

/// Unpacks the root filesystem of an image into a new directory
///
/// The directory appears when it is complete and every layer is proved against its digests, or it does not appear at all. As root, files get the owners that the
/// layers say. Otherwise everything is yours, and devices, other people's setuid bits and attributes of the system are left out, counted, and the first of each kind
/// listed.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder unpack oci:hello.oci:1.4.2 rootfs
  larder unpack oci:hello.oci:1.4.2 rootfs-arm64 --platform linux/arm64 --rootless
  larder unpack oci:hello.oci:1.4.2 rootfs-to-look-at --no-suid
  larder unpack oci:hello.oci:1.4.2 rootfs --format json | jq .left_out")]
pub(crate) struct Args {
    /// Image to unpack; the layout alone means the only image in it
    #[arg(value_name = "IMAGE")]
    image: OsString,
    /// Directory to make; it must be absent or empty
    #[arg(value_name = "DIR")]
    target: PathBuf,
    /// Platform to unpack; the default is the only one, or of several that of this machine
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Makes everything yours and leaves out what takes root, also as root; the default for others
    #[arg(long)]
    rootless: bool,
    /// Makes everything belong to these numbers; takes root
    #[arg(long, value_name = "UID:GID", value_parser = parse_owner, conflicts_with = "rootless")]
    owner: Option<(u32, u32)>,
    /// Leaves out what lends rights to who runs a program: setuid and setgid bits of files, and capabilities. Devices stay; --rootless leaves them out
    #[arg(long)]
    no_suid: bool,
    /// Fails instead of leaving something out, also what --no-suid and --owner leave out
    #[arg(long)]
    strict: bool,
    /// Fails when the layers have more content than this: 500M, 10G
    #[arg(long, value_name = "BYTES", value_parser = bytes::parse)]
    max_size: Option<u64>,
    /// Waits until everything is on the disk
    #[arg(long)]
    sync: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let image = Location::parse(&args.image)?;
    let owner = match args.owner {
        Some((uid, gid)) => Owner::Fixed(uid, gid),
        None if args.rootless || !rustix::process::geteuid().is_root() => Owner::Caller,
        None => Owner::Described,
    };
    let request = UnpackRequest {
        choice: host::choice(args.platform.as_deref())?,
        target: args.target,
        owner,
        privileges: if args.no_suid { Privileges::Dropped } else { Privileges::Kept },
        max_size: args.max_size,
        completeness: if args.strict { Completeness::Complete } else { Completeness::AsFarAsPossible },
        durability: if args.sync { Durability::OnDisk } else { Durability::Written },
        options: context.layout_options(),
        image,
    };
    let shown = text::path(&request.target).into_owned();
    let report = unpack::execute(&context.run, &request).map_err(|error| error.context(format!("cannot unpack {} to {shown}", request.image)))?;
    context.output.print(&Text(report))
}

/// Reads `UID:GID`. The error is one clause.
fn parse_owner(text: &str) -> Result<(u32, u32), String> {
    let number = |part: &str| part.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    let parts = text.split_once(':').and_then(|(uid, gid)| Some((number(uid)?, number(gid)?)));
    parts.ok_or_else(|| "two numbers are needed, as in 1000:1000".to_owned())
}

/// The result, as a person reads it.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(UnpackReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        writeln!(out, "{} {} ({})", style.strong("image   "), report.digest, report.platform)?;
        let counted = [
            (report.files, "file", "files"),
            (report.directories, "directory", "directories"),
            (report.symlinks, "link", "links"),
            (report.specials, "device or pipe", "devices and pipes"),
        ];
        let counted: Vec<String> = counted.iter().filter(|(count, ..)| *count > 0).map(|(count, one, many)| amount(*count, one, many)).collect();
        let layers = amount(report.layers as u64, "layer", "layers");
        writeln!(out, "{} {} of {layers}: {}", style.strong("content "), bytes::size(report.bytes), counted.join(", "))?;
        for left_out in &report.left_out {
            writeln!(out, "{} {}: {}", style.strong("left out"), left_out.what, amount(left_out.count, "entry", "entries"))?;
        }
        writeln!(out, "{} {}", style.strong("unpacked"), report.target)
    }
}

fn amount(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_two_numbers() {
        assert_eq!(parse_owner("0:42"), Ok((0, 42)));
        for text in ["", "0", ":", "0:", ":0", "root:root", "-1:0", "4294967295:0", "0:4294967296", "0:0:0"] {
            assert!(parse_owner(text).is_err(), "{text}");
        }
    }
}
