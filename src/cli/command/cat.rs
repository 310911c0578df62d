//! `larder cat`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::cli::args::Format;
use crate::cli::context::Context;
use crate::cli::host;
use crate::error::Result;
use crate::ops::cat::{self, CatRequest};
use crate::store::Location;

/// Prints files of an image without unpacking it
///
/// A path means what it means in a container: what upper layers hide is not there, and links on the way are followed inside the image. Layers are read from the top
/// until they tell what the paths are, and proved against their digests before anything is printed; nothing is if one of the paths is no file. With --format json
/// the content is in base64, beside owner, mode, time, SHA-256 and the layer that has the file.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder cat oci:hello.oci:1.4.2 /etc/motd
  larder cat oci-archive:hello.tar usr/local/bin/hello --platform linux/arm64 > hello
  larder cat oci:hello.oci:1.4.2 /etc/motd --format json | jq -r .files[].layer")]
pub(crate) struct Args {
    /// Image with the files; the layout or archive alone means the only image in it
    #[arg(value_name = "IMAGE")]
    image: OsString,
    /// Files to print, one after the other; paths begin at the root of the image
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
    /// Platform of the image; the default is the only one, or of several that of this machine
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let request = CatRequest {
        image: Location::parse(&args.image)?,
        choice: host::choice(args.platform.as_deref())?,
        paths: args.paths.into_iter().map(OsString::into_vec).collect(),
        options: context.layout_options(),
    };
    let print = || {
        let files = cat::find(&context.run, &request)?;
        match context.output.format() {
            Format::Text => files.write(&context.run, &mut |bytes| context.output.raw(bytes)),
            Format::Json => context.output.json(&files.report(&context.run)?),
        }
    };
    print().map_err(|error| error.context(format!("cannot read from {}", request.image)))
}
