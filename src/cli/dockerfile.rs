//! Dockerfiles on the command line: finding the file and what is beside it, and the flags that only such builds have.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::build::dockerfile::ContextSource;
use crate::build::dockerfile::excerpt;
use crate::build::dockerfile::ignore::Ignore;
use crate::build::dockerfile::parse::parse;
use crate::build::dockerfile::spec::{DockerfileSpec, MachineSpec, NamedContext};
use crate::build::place::{At, Place};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Platform, text};

use super::bundle::{Direction, bundle};
use super::environment::Environment;
#[cfg(feature = "run")]
use super::machine::MachineFlags;

/// The names that `larder build` looks for in its context, after larder.toml.
pub(crate) const FILE_NAMES: [&str; 2] = ["Dockerfile", "Containerfile"];

/// What a Dockerfile that comes on stdin is called.
const STDIN: &str = "stdin";

/// The flags of builds from a Dockerfile.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Dockerfile options")]
pub(crate) struct DockerfileFlags {
    /// Stage to build; without it the last one
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Value of an ARG; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// Another context, for FROM and --from: a directory, or an image of a layout; may be repeated
    #[arg(long, value_name = "NAME=DIR|oci:DIR[:IMAGE]")]
    build_context: Vec<String>,
    /// Takes what a build elsewhere left with --cache-to, proves it, and does no step that is in it; may be repeated
    #[arg(long, value_name = "oci:DIR[:NAME]|type=local,src=DIR", conflicts_with = "no_cache")]
    cache_from: Vec<String>,
    /// Leaves the layers of all steps, and what the steps are known by, in a layout for builds elsewhere; may be repeated
    #[arg(long, value_name = "oci:DIR[:NAME]|type=local,dest=DIR")]
    cache_to: Vec<String>,
    /// Changes nothing: bases come from layouts, and nothing is ever downloaded
    #[arg(long)]
    pull: bool,
    #[cfg(feature = "run")]
    #[command(flatten)]
    machine: MachineFlags,
}

/// Whether a file is read as a Dockerfile: by its name, as `Dockerfile`, `Dockerfile.dev`, `dev.Dockerfile`, `Containerfile`.
pub(crate) fn is_dockerfile(path: &Path) -> bool {
    let name = path.file_name().map(OsString::from).unwrap_or_default().to_string_lossy().to_lowercase();
    FILE_NAMES.iter().any(|known| name.contains(&known.to_lowercase())) && !name.ends_with(".toml")
}

/// The Dockerfile of a context, if it has one.
pub(crate) fn find(context: &Path) -> Option<PathBuf> {
    FILE_NAMES.iter().map(|name| context.join(name)).find(|path| path.exists())
}

impl DockerfileFlags {
    /// The first of the flags that was given.
    pub(crate) fn first(&self) -> Option<&'static str> {
        let given = [
            ("--target", self.target.is_some()),
            ("--build-arg", !self.build_arg.is_empty()),
            ("--build-context", !self.build_context.is_empty()),
            ("--cache-from", !self.cache_from.is_empty()),
            ("--cache-to", !self.cache_to.is_empty()),
            ("--pull", self.pull),
        ];
        let first = given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag);
        #[cfg(feature = "run")]
        let first = first.or_else(|| self.machine.first());
        first
    }

    /// Whether `--pull` was given.
    pub(crate) fn pulls(&self) -> bool {
        self.pull
    }

    /// What steps get of this machine.
    pub(crate) fn machine(&self, environment: &Environment) -> Result<MachineSpec> {
        #[cfg(feature = "run")]
        return self.machine.spec(environment);
        #[cfg(not(feature = "run"))]
        {
            let _ = environment;
            Ok(MachineSpec::default())
        }
    }

    /// What is to be built from the file at `path`, none for stdin, whose text is `content`.
    pub(crate) fn spec(
        &self,
        path: Option<&Path>,
        content: String,
        context: &Path,
        bases: &[String],
        machine: MachineSpec,
        host: &Platform,
    ) -> Result<DockerfileSpec> {
        let shown = path.map_or(STDIN.into(), text::path);
        let flag = |name: &str, value: &str| At::new(value.to_owned(), Place::flag(format!("{name} {value}")));
        Ok(DockerfileSpec {
            file: parse(&shown, &content).map_err(|error| excerpt::add(error, &shown, &content, None))?,
            name: shown.to_string(),
            text: content,
            context: context.to_owned(),
            ignore: ignore(path, context)?,
            target: self.target.as_ref().map(|target| flag("--target", target)),
            build_args: self.build_arg.iter().map(|arg| build_arg(arg)).collect::<Result<_>>()?,
            bases: bases.iter().map(|base| flag("--base", base)).collect(),
            contexts: self.build_context.iter().map(|context| named_context(context)).collect::<Result<_>>()?,
            host: host.clone(),
            machine,
            cache_from: self.cache_from.iter().map(|written| bundle(written, Direction::From)).collect::<Result<_>>()?,
            cache_to: self.cache_to.iter().map(|written| bundle(written, Direction::To)).collect::<Result<_>>()?,
        })
    }
}

fn build_arg(written: &str) -> Result<(At<String>, String)> {
    let place = Place::flag(format!("--build-arg {written}"));
    match written.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((At::new(name.to_owned(), place), value.to_owned())),
        _ => {
            let hint = "larder takes no values from the environment: write --build-arg NAME=VALUE";
            Err(place.usage("is not NAME=VALUE").hint(hint))
        }
    }
}

fn named_context(written: &str) -> Result<NamedContext> {
    let place = Place::flag(format!("--build-context {written}"));
    let Some((name, value)) = written.split_once('=').filter(|(name, value)| !name.is_empty() && !value.is_empty()) else {
        return Err(place.usage("is not NAME=DIR or NAME=oci:DIR"));
    };
    let name = At::new(name.to_lowercase(), place.clone());
    let at = |value: String| At::new(value, place.clone());
    let (source, ignore) = if value.starts_with("oci:") {
        (ContextSource::Layout(at(value.to_owned())), Ignore::default())
    } else if let Some(rest) = value.strip_prefix("oci-layout://") {
        (ContextSource::Layout(at(format!("oci:{rest}"))), Ignore::default())
    } else if let Some(image) = value.strip_prefix("docker-image://") {
        (ContextSource::Base(at(image.to_owned())), Ignore::default())
    } else if ["http://", "https://", "git://", "git@", "ssh://", "target:", "input:"].iter().any(|prefix| value.starts_with(prefix)) {
        let hint = "bring it into a directory or a layout first";
        return Err(place.error(ErrorKind::Unsupported, "is a context that would have to be downloaded or built elsewhere").hint(hint));
    } else {
        let directory = PathBuf::from(value);
        let ignore = ignore_file(&directory.join(".dockerignore"))?.unwrap_or_default();
        (ContextSource::Directory(directory), ignore)
    };
    Ok(NamedContext { name, source, ignore })
}

/// What the file beside the Dockerfile says is to be ignored, or else that of the context.
fn ignore(path: Option<&Path>, context: &Path) -> Result<Ignore> {
    let beside = path.map(|path| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".dockerignore");
        PathBuf::from(beside)
    });
    for path in beside.into_iter().chain([context.join(".containerignore"), context.join(".dockerignore")]) {
        if let Some(ignore) = ignore_file(&path)? {
            return Ok(ignore);
        }
    }
    Ok(Ignore::default())
}

fn ignore_file(path: &Path) -> Result<Option<Ignore>> {
    let bytes = match super::command::read_specification(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown = text::path(path).into_owned();
    let content = String::from_utf8(bytes).map_err(|_| Error::usage(format!("{shown} is not UTF-8 text")).subject(&shown))?;
    Ignore::parse(&shown, &content).map(Some)
}
