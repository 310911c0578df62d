//! Layers as flags: the same for every command that makes them.

use crate::build::destination::DestinationSpec;
use crate::build::place::{At, Place};
use crate::build::spec::{CopySpec, Devices, LayerSource, LayerSpec, RootfsSpec, Step, TarSpec};
use crate::build::template::Template;
use crate::error::{Error, Result};
use crate::layer::changeset::Owner;

/// The flags that make layers.
#[derive(clap::Args, Debug)]
pub(crate) struct LayerFlags {
    /// Tree that becomes a layer as it is; may be repeated
    #[arg(long, value_name = "DIR")]
    rootfs: Vec<String>,
    /// Archive that becomes a layer, plain or compressed; may be repeated
    #[arg(long, value_name = "FILE")]
    tar: Vec<String>,
    /// Files to copy into the image; {os}, {arch} and {variant} stand for the platform in all three flags; may be repeated
    #[arg(long, value_name = "SRC=DEST")]
    copy: Vec<String>,
}

impl LayerFlags {
    /// Whether none was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.rootfs.is_empty() && self.tar.is_empty() && self.copy.is_empty()
    }

    /// The layers, bottom first: the trees, then the archives, then one layer with all that is copied. Fails with kind `usage`.
    pub(crate) fn specs(&self) -> Result<Vec<LayerSpec>> {
        let layer = |place: Place, source| LayerSpec { place, comment: None, platforms: Vec::new(), source };
        let template = |flag: &str, from: &String| {
            let from = At::new(from.clone(), Place::flag(format!("{flag} {from}")));
            Ok::<_, Error>(At::new(Template::parse(&from)?, from.place))
        };
        let mut layers = Vec::new();
        for from in &self.rootfs {
            let from = template("--rootfs", from)?;
            let place = from.place.clone();
            layers.push(layer(place, LayerSource::Rootfs(RootfsSpec { from, exclude: Vec::new(), owner: Owner::Keep, devices: Devices::Keep })));
        }
        for from in &self.tar {
            let from = template("--tar", from)?;
            layers.push(layer(from.place.clone(), LayerSource::Tar(TarSpec { from, devices: Devices::Keep })));
        }
        let steps = self.copy.iter().map(|written| copy(written)).collect::<Result<Vec<_>>>()?;
        if let Some(first) = steps.first() {
            layers.push(layer(first.place().clone(), LayerSource::Steps(steps)));
        }
        Ok(layers)
    }
}

fn copy(written: &str) -> Result<Step> {
    let place = Place::flag(format!("--copy {written}"));
    // The destination has no `=`, a source path may.
    let Some((from, to)) = written.rsplit_once('=').filter(|(from, to)| !from.is_empty() && !to.is_empty()) else {
        return Err(place.usage("is not SRC=DEST").hint("for example --copy dist/{arch}/=/usr/local/bin/"));
    };
    let from = At::new(from.to_owned(), place.clone());
    let to = DestinationSpec::parse(&At::new(to.to_owned(), place))?;
    Ok(Step::Copy(CopySpec::new(At::new(Template::parse(&from)?, from.place), to)))
}
