//! `larder build`.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::build::dockerfile::excerpt;
use crate::build::dockerfile::spec::{DockerfileSpec, MachineSpec};
use crate::build::place::{At, Place};
use crate::build::spec::{BaseSpec, BuildSpec};
use crate::build::{Cache, Shape, file, platforms};
use crate::cli::context::Context;
use crate::cli::dockerfile::{self, DockerfileFlags, is_dockerfile};
#[cfg(feature = "run")]
use crate::cli::environment::Environment;
use crate::cli::layers::LayerFlags;
use crate::cli::output::Report;
use crate::cli::outputs::{self, Tags, Written};
use crate::cli::settings::SettingFlags;
use crate::cli::style::Style;
use crate::cli::table::{Align, Table};
use crate::cli::{annotation, bytes, host, input};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::fsio::regular;
use crate::layer::Codec;
use crate::ops::build::{self, BuildPlanReport, BuildReport, BuildRequest, TreeOutput};
#[cfg(feature = "run")]
use crate::runtime::userns;
use crate::spec::{Platform, limits, text};

/// Builds an image for one or more platforms into an OCI image layout or an archive
///
/// What to build comes from CONTEXT/larder.toml, else from CONTEXT/Dockerfile or CONTEXT/Containerfile, from flags, or from both: flags replace or add
/// to what the file says. Layers from flags stand above those of the file: --rootfs first, then --tar, then one layer with everything from --copy.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  larder build testdata/hello -o oci:hello.oci
  larder build --copy dist/{arch}/=/usr/local/bin/ --entrypoint /usr/local/bin/hello \\
      --platform linux/amd64,linux/arm64 -t hello:1 -o oci:out
  larder build -f Dockerfile --base oci:bases --platform linux/amd64,linux/arm64 -t app:1 -o oci:out .
  larder build testdata/hello -o oci-archive:hello.tar
  larder build testdata/hello -o docker-archive:- | podman load")]
pub(crate) struct Args {
    /// Directory with the larder.toml or the Dockerfile; source paths are relative to it. A Dockerfile does not see what FILE.dockerignore leaves out, or else
    /// .containerignore, or else .dockerignore
    #[arg(value_name = "CONTEXT", default_value = ".")]
    context: PathBuf,
    /// The file, where it is not CONTEXT/larder.toml or CONTEXT/Dockerfile; one with Dockerfile or Containerfile in its name, or - for stdin, is a Dockerfile
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Layout or archive to write; a NAME is given there, instead of the file's tags or besides those of --tag; or type=oci, docker, local or tar with
    /// dest=PATH, as buildx has it, the last two for the files of the image; may be repeated
    #[arg(long, short, value_name = "LOCATION[:NAME]|type=TYPE,dest=PATH")]
    output: Vec<String>,
    /// Name of the image; replaces the file's tags; may be repeated
    #[arg(long, short, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// Platforms to build for, in the order of the index, instead of the file's; without any it is that of this machine; may be repeated
    #[arg(long, value_name = "OS/ARCH[/VARIANT],…")]
    platform: Vec<String>,
    /// Image in a layout to build upon; for a Dockerfile a layout, or one image of it, in which FROM finds images, and may be repeated
    #[arg(long, value_name = "oci:DIR[:NAME]")]
    base: Vec<String>,
    #[command(flatten)]
    layers: LayerFlags,
    #[command(flatten)]
    settings: SettingFlags,
    /// Annotation of a document: manifest, index, manifest-descriptor or index-descriptor, as in 'manifest[linux/amd64]:KEY=VALUE'; may be repeated
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
    #[command(flatten)]
    dockerfile: DockerfileFlags,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<()> {
    let dry_run = args.dry_run;
    #[cfg(feature = "run")]
    let from_stdin = args.file.as_deref() == Some(Path::new(STDIN));
    let request = request(args, context)?;
    let timestamps = request.dockerfile.as_ref().map(DockerfileSpec::timestamps).transpose()?.flatten();
    let run = context.run.at(timestamps.unwrap_or(context.run.timestamps));
    let shown = |error| match &request.dockerfile {
        Some(spec) => excerpt::add(error, &spec.name, &spec.text, Some(&spec.file)),
        None => error,
    };
    #[cfg(feature = "run")]
    if !dry_run && userns::is_needed() && build::runs_programs(&run, &request).map_err(shown)? {
        // With the cache of another machine it may be that nothing has to run, and then it takes no namespace, which not every machine has.
        let is_first = request.dockerfile.as_ref().is_some_and(|spec| !spec.cache_from.is_empty());
        match is_first.then(|| build::execute(&run, &request)) {
            Some(Err(error)) if error.kind() == ErrorKind::Unsupported => {}
            Some(built) => return print(context, &request, built.map_err(shown)?),
            None => {}
        }
        if from_stdin {
            return Err(Error::usage("RUN takes a user namespace, which larder enters by starting again, and stdin is read by then")
                .hint("write the Dockerfile to a file"));
        }
        // Who starts again knows of no signal that came before.
        run.cancel.check()?;
        return Err(userns::enter(&Environment::arguments()[1..]));
    }
    if dry_run {
        return context.output.print(&PlanText(build::plan(&run, &request).map_err(shown)?));
    }
    let report = build::execute(&run, &request).map_err(shown)?;
    print(context, &request, report)
}

fn print(context: &Context, request: &BuildRequest, report: BuildReport) -> Result<()> {
    let report = Text(report);
    let trees = request.trees.iter().any(TreeOutput::is_stdout);
    match trees || request.outputs.iter().any(|output| output.location.is_stream()) {
        true => context.output.beside().print(&report),
        false => context.output.print(&report),
    }
}

fn request(args: Args, context: &Context) -> Result<BuildRequest> {
    let host = host::platform();
    let tags = if args.tag.is_empty() { Tags::NotGiven } else { Tags::Given };
    let (mut outputs, mut trees) = (Vec::new(), Vec::new());
    for written in &args.output {
        match outputs::output(written, tags)? {
            Written::Image(output) => outputs.push(output),
            Written::Tree(tree) => trees.push(tree),
        }
    }
    if args.output.is_empty() && !args.dry_run {
        return Err(Error::usage("there is nothing to write to").hint("add an output: -o oci:DIR"));
    }
    let cache = match (args.no_cache, &args.cache_dir) {
        (true, _) => None,
        (false, Some(directory)) => Some(Cache::at(directory)),
        (false, None) => context.environment.cache_directory().map(|directory| Cache::at(&directory)),
    };
    let shape = if args.index { Shape::Index } else { Shape::Fitting };
    let metadata_file = args.metadata_file.clone();
    if args.dockerfile.pulls() {
        context.run.events.warn("--pull changes nothing: bases come from layouts, and nothing is ever downloaded");
    }
    let machine = args.dockerfile.machine(&context.environment)?;
    let (spec, dockerfile) = spec(args, machine, &host)?;
    Ok(BuildRequest { spec, dockerfile, host, outputs, trees, shape, cache, metadata_file, options: context.layout_options() })
}

/// The file's specification with the flags on top.
fn spec(args: Args, machine: MachineSpec, host: &Platform) -> Result<(BuildSpec, Option<DockerfileSpec>)> {
    let (mut spec, dockerfile) = match read_file(&args)? {
        Read::Spec(spec) => (*spec, None),
        Read::Dockerfile(path, content) => {
            let dockerfile = args.dockerfile.spec(path.as_deref(), content, &args.context, &args.base, machine, host)?;
            (BuildSpec { context: args.context.clone(), ..BuildSpec::default() }, Some(dockerfile))
        }
    };
    if let Some(first) = args.platform.first() {
        let place = Place::flag(format!("--platform {first}"));
        let wanted = Platform::parse_list_with(&args.platform.join(","), host).map_err(|error| place.wrap(error, "cannot build for this"))?;
        wanted.iter().try_for_each(|platform| platforms::check(platform, &place))?;
        spec.usual_platforms = std::mem::replace(&mut spec.platforms, wanted);
    }
    if !args.tag.is_empty() {
        spec.tags = args.tag.iter().map(|tag| At::new(full_name(tag, spec.name.is_some()), Place::flag(format!("--tag {tag}")))).collect();
    }
    if dockerfile.is_none() {
        base(&args, &mut spec)?;
    }
    spec.compression = args.compression.or(spec.compression);
    spec.layers.extend(args.layers.specs()?);
    args.settings.apply(&mut spec.config)?;
    for written in &args.annotation {
        spec.annotations.extend(annotation::set(written)?);
    }
    if spec.layers.is_empty() && spec.base.is_none() && dockerfile.is_none() {
        return Err(
            Error::usage("there is nothing to build: no layer and no base").hint("add --copy SRC=DEST, --rootfs DIR or --tar FILE, or write a larder.toml")
        );
    }
    Ok((spec, dockerfile))
}

/// The base of a build that no Dockerfile describes: one, and no flags that only a Dockerfile has a use for.
fn base(args: &Args, spec: &mut BuildSpec) -> Result<()> {
    let at = |base: &String| At::new(base.clone(), Place::flag(format!("--base {base}")));
    if let Some(flag) = args.dockerfile.first() {
        return Err(Place::flag(flag).usage("goes with a Dockerfile, and this build has none"));
    }
    match args.base.as_slice() {
        [] => {}
        [base] => spec.base = Some(BaseSpec { location: at(base), relative_to: PathBuf::new() }),
        [_, second, ..] => return Err(at(second).place.usage("an image stands upon one base; only a Dockerfile looks for images in several")),
    }
    Ok(())
}

/// What a build is described by.
enum Read {
    Spec(Box<BuildSpec>),
    /// A Dockerfile, none for stdin, and its text.
    Dockerfile(Option<PathBuf>, String),
}

/// As docker reads `-t`: a bare word is a repository, unless the file has one; then it is a tag of that.
fn full_name(tag: &str, has_name: bool) -> String {
    if has_name || tag.contains([':', '@']) { tag.to_owned() } else { format!("{tag}:latest") }
}

fn read_file(args: &Args) -> Result<Read> {
    let path = args.file.clone().unwrap_or_else(|| args.context.join(file::FILE_NAME));
    if path == Path::new(STDIN) {
        let bytes = input::content(limits::SPECIFICATION_BYTES)?;
        let content = String::from_utf8(bytes).map_err(|_| Error::usage("what comes on stdin is not UTF-8 text"))?;
        return Ok(Read::Dockerfile(None, content));
    }
    if is_dockerfile(&path) {
        return read_dockerfile(path);
    }
    match read_specification(&path) {
        Ok(bytes) => file::parse(&text::path(&path), &utf8(&path, bytes)?, &args.context).map(|spec| Read::Spec(Box::new(spec))),
        Err(error) if error.kind() == ErrorKind::NotFound && args.file.is_none() => {
            if !args.context.is_dir() {
                return Err(Error::not_found(format!("the context {} is not a directory", text::path(&args.context))).subject(text::path(&args.context)));
            }
            if let Some(found) = dockerfile::find(&args.context) {
                return read_dockerfile(found);
            }
            if !args.layers.is_empty() || !args.base.is_empty() {
                return Ok(Read::Spec(Box::new(BuildSpec { context: args.context.clone(), ..BuildSpec::default() })));
            }
            let hint = "write one, or a Dockerfile, or say what to build with --copy, --rootfs or --tar";
            Err(Error::not_found(format!("{} does not exist", text::path(&path))).hint(hint))
        }
        Err(error) => Err(error),
    }
}

fn read_dockerfile(path: PathBuf) -> Result<Read> {
    let content = utf8(&path, read_specification(&path)?)?;
    Ok(Read::Dockerfile(Some(path), content))
}

fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String> {
    let shown = text::path(path).into_owned();
    String::from_utf8(bytes).map_err(|_| Error::usage(format!("{shown} is not UTF-8 text")).subject(&shown))
}

/// What people write for a Dockerfile that comes on stdin.
const STDIN: &str = "-";

/// What people write to say that there is no specification, also where a larder.toml lies.
const NOTHING: &str = "/dev/null";

/// The bytes of a regular file; whatever else has the name is refused without waiting for it.
pub(crate) fn read_specification(path: &Path) -> Result<Vec<u8>> {
    if path == Path::new(NOTHING) {
        return Ok(Vec::new());
    }
    let regular = regular::open_path(path).map_err(|error| match error.kind() {
        ErrorKind::Corrupt => error.with_kind(ErrorKind::Usage).hint("write the specification to a file"),
        _ => error,
    })?;
    let mut bytes = Vec::new();
    (&regular.file).take(limits::SPECIFICATION_BYTES as u64 + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() > limits::SPECIFICATION_BYTES {
        let message = format!("{} is larger than {} bytes, the limit for a specification", text::path(path), limits::SPECIFICATION_BYTES);
        return Err(Error::usage(message).subject(text::path(path)).hint("put large files beside it and copy them"));
    }
    Ok(bytes)
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
            let state = layer.cached.map_or("?", |cached| if cached { "unchanged" } else { "to build" });
            let read = layer.bytes.map_or_else(|| "?".to_owned(), bytes::size);
            layers.row([&format!("#{}", index + 1), &entries, &read, state, &layer.label]);
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
