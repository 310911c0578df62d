//! `larder build`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::destination::Destination;
use crate::build::place::{At, Place};
use crate::build::spec::{AnnotationSpec, BaseSpec, BuildSpec, CopySpec, Devices, LayerSource, LayerSpec, Level, RootfsSpec, Step, TarSpec};
use crate::build::template::Template;
use crate::build::{Cache, Shape, file};
use crate::cli::bytes;
use crate::cli::context::Context;
use crate::cli::host;
use crate::cli::output::Report;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::error::{Error, IoContext, Result};
use crate::layer::Codec;
use crate::layer::changeset::Owner;
use crate::ops::build::{self, BuildPlanReport, BuildReport, BuildRequest, Output};
use crate::spec::name::ImageName;
use crate::spec::{Platform, text};
use crate::store::location::Location;

/// Builds an image for one or more platforms into an OCI image layout
///
/// What to build comes from CONTEXT/larder.toml, from flags, or from both: flags replace or add to what the file says.
/// Layers from flags stand above those of the file: --rootfs first, then --tar, then one layer with everything from --copy.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder build testdata/hello -o oci:hello.oci
  larder build --copy dist/{arch}/=/usr/local/bin/ --entrypoint /usr/local/bin/hello \\
      --platform linux/amd64,linux/arm64 -t hello:1 -o oci:out")]
pub(crate) struct Args {
    /// Directory with the larder.toml; source paths are relative to it
    #[arg(value_name = "CONTEXT", default_value = ".")]
    context: PathBuf,
    /// The specification, where it is not CONTEXT/larder.toml
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Layout to write, and optionally the name there; may be repeated
    #[arg(long, short, value_name = "oci:DIR[:NAME]")]
    output: Vec<String>,
    /// Name of the image; replaces the file's tags; may be repeated
    #[arg(long, short, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// Platforms to build for, in the order of the index; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…")]
    platform: Vec<String>,
    /// Image in a layout to build upon
    #[arg(long, value_name = "oci:DIR[:NAME]")]
    base: Option<String>,
    /// Tree that becomes a layer as it is; {os}, {arch} and {variant} stand for the platform; may be repeated
    #[arg(long, value_name = "DIR")]
    rootfs: Vec<String>,
    /// Archive that becomes a layer, plain or compressed; may be repeated
    #[arg(long, value_name = "FILE")]
    tar: Vec<String>,
    /// Files to copy into the image; may be repeated
    #[arg(long, value_name = "SRC=DEST")]
    copy: Vec<String>,
    /// Program to run: one word, or a JSON list
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Default arguments: one word, or a JSON list
    #[arg(long, value_name = "ARGUMENT")]
    cmd: Option<String>,
    /// Variable for the program; may be repeated
    #[arg(long, short, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Label of the image; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// User that the program runs as
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Directory that the program starts in
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// Port that the program listens on; may be repeated
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    expose: Vec<String>,
    /// Directory that holds data of its own; may be repeated
    #[arg(long, value_name = "DIR")]
    volume: Vec<String>,
    /// Signal that stops the program
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Annotation of a document: manifest, index, manifest-descriptor or index-descriptor; may be repeated
    #[arg(long, value_name = "[LEVEL[[PLATFORM]],…:]KEY=VALUE")]
    annotation: Vec<String>,
    /// How layers are compressed: gzip, zstd or none, with an optional level as in gzip:9
    #[arg(long, value_name = "CODEC[:LEVEL]")]
    compression: Option<Codec>,
    /// Writes an index for a single platform too
    #[arg(long)]
    index: bool,
    /// Writes digest and names to a file in the form of buildx
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Reads every file, whatever earlier builds knew
    #[arg(long, conflicts_with = "cache_dir")]
    no_cache: bool,
    /// Where to remember what was built; the default is larder in the user's cache directory
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Prints what would be built, and writes nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let dry_run = args.dry_run;
    let request = request(args, context)?;
    if dry_run {
        return context.output.print(&PlanText(build::plan(&context.run, &request)?));
    }
    context.output.print(&Text(build::execute(&context.run, &request)?))
}

fn request(args: Args, context: &Context) -> Result<BuildRequest> {
    let host = host::platform();
    let outputs = args.output.iter().map(|output| self::output(output)).collect::<Result<Vec<_>>>()?;
    if outputs.is_empty() && !args.dry_run {
        return Err(Error::usage("there is nothing to write to").hint("add an output: -o oci:DIR"));
    }
    let cache = match (args.no_cache, &args.cache_dir) {
        (true, _) => None,
        (false, Some(directory)) => Some(Cache::at(directory)),
        (false, None) => context.environment.cache_directory().map(|directory| Cache::at(&directory)),
    };
    let shape = if args.index { Shape::Index } else { Shape::Fitting };
    let metadata_file = args.metadata_file.clone();
    Ok(BuildRequest { spec: spec(args, &host)?, host, outputs, shape, cache, metadata_file, options: context.layout_options() })
}

fn output(written: &str) -> Result<Output> {
    let location = Location::parse(written).map_err(|error| error.context(format!("cannot write to `{}`", text::shown(written))))?;
    Ok(Output { path: location.layout()?.to_owned(), name: location.name().map(ImageName::verbatim).transpose()? })
}

/// The file's specification with the flags on top.
fn spec(args: Args, host: &Platform) -> Result<BuildSpec> {
    let mut spec = read_file(&args)?;
    if let Some(first) = args.platform.first() {
        let list = args.platform.join(",");
        spec.platforms =
            Platform::parse_list_with(&list, host).map_err(|error| Place::flag(format!("--platform {first}")).wrap(error, "cannot build for this"))?;
    }
    if !args.tag.is_empty() {
        spec.tags = args.tag.iter().map(|tag| At::new(full_name(tag, spec.name.is_some()), Place::flag(format!("--tag {tag}")))).collect();
    }
    if let Some(base) = &args.base {
        let location = At::new(base.clone(), Place::flag(format!("--base {base}")));
        spec.base = Some(BaseSpec { location, relative_to: PathBuf::new() });
    }
    spec.compression = args.compression.or(spec.compression);
    spec.layers.extend(layers(&args)?);
    config(&args, &mut spec)?;
    for written in &args.annotation {
        spec.annotations.extend(annotation(written)?);
    }
    if spec.layers.is_empty() && spec.base.is_none() {
        return Err(
            Error::usage("there is nothing to build: no layer and no base").hint("add --copy SRC=DEST, --rootfs DIR or --tar FILE, or write a larder.toml")
        );
    }
    Ok(spec)
}

/// As docker reads `-t`: a bare word is a repository, unless the file has one; then it is a tag of that.
fn full_name(tag: &str, has_name: bool) -> String {
    if has_name || tag.contains([':', '@']) { tag.to_owned() } else { format!("{tag}:latest") }
}

fn read_file(args: &Args) -> Result<BuildSpec> {
    let path = args.file.clone().unwrap_or_else(|| args.context.join(file::FILE_NAME));
    let name = path.file_name().map(OsString::from).unwrap_or_default();
    if name.to_string_lossy().to_lowercase().ends_with("file") {
        return Err(dockerfile(&path));
    }
    let has_layers = !(args.rootfs.is_empty() && args.tar.is_empty() && args.copy.is_empty());
    match std::fs::read(&path) {
        Ok(bytes) => {
            let shown = text::path(&path).into_owned();
            let content = std::str::from_utf8(&bytes).map_err(|_| Error::usage(format!("{shown} is not UTF-8 text")).subject(&shown))?;
            file::parse(&shown, content, &args.context)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && args.file.is_none() => {
            if !args.context.is_dir() {
                return Err(Error::not_found(format!("the context {} is not a directory", text::path(&args.context))).subject(text::path(&args.context)));
            }
            if has_layers || args.base.is_some() {
                return Ok(BuildSpec { context: args.context.clone(), ..BuildSpec::default() });
            }
            if let Some(found) = ["Dockerfile", "Containerfile"].iter().map(|name| args.context.join(name)).find(|path| path.exists()) {
                return Err(dockerfile(&found));
            }
            Err(Error::not_found(format!("{} does not exist", text::path(&path))).hint("write one, or say what to build with --copy, --rootfs or --tar"))
        }
        Err(error) => Err(error).at("read", &path),
    }
}

fn dockerfile(path: &Path) -> Error {
    Error::unsupported(format!("{}: this version builds from larder.toml and from flags, not from Dockerfiles", text::path(path)))
        .subject(text::path(path))
        .hint("describe the image in a larder.toml, or build it elsewhere and use it as a base")
}

fn layers(args: &Args) -> Result<Vec<LayerSpec>> {
    let layer = |place: Place, source| LayerSpec { place, comment: None, platforms: Vec::new(), source };
    let template = |flag: &str, from: &String| {
        let from = At::new(from.clone(), Place::flag(format!("{flag} {from}")));
        Ok::<_, Error>(At::new(Template::parse(&from)?, from.place))
    };
    let mut layers = Vec::new();
    for from in &args.rootfs {
        let from = template("--rootfs", from)?;
        let place = from.place.clone();
        layers.push(layer(place, LayerSource::Rootfs(RootfsSpec { from, exclude: Vec::new(), owner: Owner::Keep, devices: Devices::Keep })));
    }
    for from in &args.tar {
        let from = template("--tar", from)?;
        layers.push(layer(from.place.clone(), LayerSource::Tar(TarSpec { from, devices: Devices::Keep })));
    }
    let mut steps = Vec::new();
    for written in &args.copy {
        let place = Place::flag(format!("--copy {written}"));
        // The destination has no `=`, a source path may.
        let Some((from, to)) = written.rsplit_once('=').filter(|(from, to)| !from.is_empty() && !to.is_empty()) else {
            return Err(place.usage("is not SRC=DEST").hint("for example --copy dist/{arch}/=/usr/local/bin/"));
        };
        let from = At::new(from.to_owned(), place.clone());
        let to = Destination::parse(&At::new(to.to_owned(), place))?;
        steps.push(Step::Copy(CopySpec::new(At::new(Template::parse(&from)?, from.place), to)));
    }
    if let Some(first) = steps.first() {
        layers.push(layer(first.place().clone(), LayerSource::Steps(steps)));
    }
    Ok(layers)
}

fn config(args: &Args, spec: &mut BuildSpec) -> Result<()> {
    let config = &mut spec.config;
    if let Some(entrypoint) = &args.entrypoint {
        config.entrypoint = Some(words("--entrypoint", entrypoint)?);
    }
    if let Some(cmd) = &args.cmd {
        config.cmd = Some(words("--cmd", cmd)?);
    }
    for pair in &args.env {
        config.env.push(key_value("--env", pair)?);
    }
    for pair in &args.label {
        config.labels.push(key_value("--label", pair)?);
    }
    config.ports.extend(args.expose.iter().cloned());
    config.volumes.extend(args.volume.iter().cloned());
    config.user = args.user.clone().or(config.user.take());
    config.workdir = args.workdir.clone().or(config.workdir.take());
    config.stop_signal = args.stop_signal.clone().or(config.stop_signal.take());
    Ok(())
}

/// One word, or a JSON list of words. Shells are not guessed at.
fn words(flag: &str, written: &str) -> Result<Vec<String>> {
    if !written.starts_with('[') {
        return Ok(vec![written.to_owned()]);
    }
    serde_json::from_str(written)
        .map_err(|error| Place::flag(flag).usage("is not a JSON list of strings").because(error).hint(r#"for example '["/bin/sh", "-c"]'"#))
}

fn key_value(flag: &str, written: &str) -> Result<(String, String)> {
    match written.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Place::flag(format!("{flag} {written}")).usage("is not KEY=VALUE")),
    }
}

/// `[LEVEL[[PLATFORM]],…:]KEY=VALUE` as buildx reads it.
fn annotation(written: &str) -> Result<Vec<AnnotationSpec>> {
    let place = Place::flag(format!("--annotation {written}"));
    let (left, value) = written.split_once('=').ok_or_else(|| place.usage("is not KEY=VALUE"))?;
    let prefixed = left.split_once(':').and_then(|(prefix, key)| Some((levels(prefix)?, key)));
    let (levels, key) = prefixed.unwrap_or_else(|| (vec![(Level::Manifest, None)], left));
    if key.is_empty() {
        return Err(place.usage("has no key"));
    }
    let spec = |(level, platform): (Level, Option<String>)| {
        let platform =
            platform.map(|platform| Platform::parse(&platform).map_err(|error| place.wrap(error, "has a platform that cannot be read"))).transpose()?;
        Ok(AnnotationSpec { place: place.clone(), level, platform, key: key.to_owned(), value: value.to_owned() })
    };
    levels.into_iter().map(spec).collect()
}

/// The levels before the colon; none where the text is part of a key.
fn levels(prefix: &str) -> Option<Vec<(Level, Option<String>)>> {
    let level = |item: &str| {
        let (name, platform) = match item.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']')?.to_owned())),
            None => (item, None),
        };
        let (_, level) = Level::NAMES.into_iter().find(|(known, _)| *known == name)?;
        Some((level, platform))
    };
    prefix.split(',').map(level).collect()
}

/// The result, as a person reads it.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(BuildReport);

impl Report for Text {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let report = &self.0;
        let mut table = Table::new([("PLATFORM", Align::Left), ("LAYERS", Align::Right), ("SIZE", Align::Right), ("DIGEST", Align::Left)]);
        for image in &report.images {
            table.row([&image.platform, &image.layers.to_string(), &bytes::size(image.size), image.digest.as_str()]);
        }
        table.write(out)?;
        let made = report.layers.iter().filter(|layer| !layer.cached).count();
        let cached = report.layers.len() - made;
        writeln!(out)?;
        writeln!(out, "{} {}", style.strong("digest "), report.digest)?;
        writeln!(out, "{} {made} built, {cached} unchanged", style.strong("layers "))?;
        for name in &report.names {
            writeln!(out, "{} {}", style.strong("name   "), text::shown(name))?;
        }
        for output in &report.outputs {
            writeln!(out, "{} {}", style.strong("written"), text::shown(output))?;
        }
        Ok(())
    }
}

/// The plan, as a person reads it.
#[derive(Serialize)]
#[serde(transparent)]
struct PlanText(BuildPlanReport);

impl Report for PlanText {
    fn text(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let plan = &self.0;
        let mut layers =
            Table::new([("LAYER", Align::Left), ("ENTRIES", Align::Right), ("READ", Align::Right), ("STATE", Align::Left), ("CONTENT", Align::Left)]);
        for (index, layer) in plan.layers.iter().enumerate() {
            let entries = layer.entries.map_or_else(|| "?".to_owned(), |entries| entries.to_string());
            let state = if layer.cached { "unchanged" } else { "to build" };
            layers.row([&format!("#{}", index + 1), &entries, &bytes::size(layer.bytes), state, &layer.label]);
        }
        layers.write(out)?;
        writeln!(out)?;
        let mut platforms = Table::new([("PLATFORM", Align::Left), ("BASE", Align::Left), ("LAYERS", Align::Left)]);
        for platform in &plan.platforms {
            let base = platform.base.as_ref().map_or_else(|| "-".to_owned(), |base| base.short().to_owned());
            let own = platform.layers.iter().map(|index| format!("#{}", index + 1));
            let base_layers = (platform.base_layers > 0).then(|| format!("{} of the base", platform.base_layers));
            platforms.row([&platform.platform, &base, &base_layers.into_iter().chain(own).collect::<Vec<_>>().join(", ")]);
        }
        platforms.write(out)?;
        writeln!(out)?;
        writeln!(out, "{} {}", style.strong("compression"), plan.compression)?;
        for name in &plan.names {
            writeln!(out, "{} {}", style.strong("name       "), text::shown(name))?;
        }
        for output in &plan.outputs {
            writeln!(out, "{} {}", style.strong("would write"), text::shown(output))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_as_buildx_reads_them() {
        let one = annotation("a=b=c").expect("valid");
        assert_eq!((one[0].level, one[0].key.as_str(), one[0].value.as_str()), (Level::Manifest, "a", "b=c"));
        let two = annotation("index,manifest[linux/arm64]:a=b").expect("valid");
        assert_eq!((two[0].level, two[1].level), (Level::Index, Level::Manifest));
        assert_eq!(two[1].platform, Some(Platform::parse("linux/arm64").expect("valid")));
        let colon = annotation("http://x:key=v").expect("valid");
        assert_eq!(colon[0].key, "http://x:key");
        assert!(annotation("a").is_err() && annotation("index:=b").is_err() && annotation("manifest[no/such/plat/form]:a=b").is_err());
    }

    #[test]
    fn words_are_a_word_or_a_list() {
        assert_eq!(words("--cmd", "a b").expect("valid"), ["a b"]);
        assert_eq!(words("--cmd", r#"["a", "b"]"#).expect("valid"), ["a", "b"]);
        assert!(words("--cmd", "[a]").is_err());
    }
}
