//! The instructions of a Dockerfile as typed data: what is written, before variables are expanded.

use std::ops::Range;
use std::time::Duration;

use super::parse::Directives;
use crate::build::place::{At, Place};

/// A whole file.
#[derive(Clone, Debug)]
pub struct Dockerfile {
    /// What the lines at the top say.
    pub directives: Directives,
    /// Arguments before the first stage.
    pub args: Vec<ArgSpec>,
    /// The stages, at least one.
    pub stages: Vec<Stage>,
    /// What a person should know of the file although it can be built.
    pub remarks: Vec<Remark>,
}

/// Something that a person should know of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The name that BuildKit has for such remarks.
    pub rule: &'static str,
    /// Where.
    pub place: Place,
    /// What, in one line.
    pub message: String,
}

/// A stage: from one `FROM` to the next.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The `FROM`.
    pub place: Place,
    /// The lines of the `FROM`.
    pub lines: Range<usize>,
    /// What it begins with: an image, another stage, or `scratch`.
    pub base: At<String>,
    /// Its name, in lower case.
    pub name: Option<At<String>>,
    /// Of which platform its base is.
    pub platform: Option<At<String>>,
    /// What it does.
    pub instructions: Vec<Instruction>,
}

/// One instruction of a stage.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Where it stands.
    pub place: Place,
    /// The lines it takes, here-documents not among them.
    pub lines: Range<usize>,
    /// As it is written, on one line.
    pub written: String,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `ARG`.
    Arg(Vec<ArgSpec>),
    /// `ENV`.
    Env(Vec<Pair>),
    /// `LABEL`.
    Label(Vec<Pair>),
    /// `COPY` and `ADD`.
    Copy(Box<CopySpec>),
    /// `RUN`.
    Run(Box<RunSpec>),
    /// `WORKDIR`.
    Workdir(At<String>),
    /// `USER`.
    User(At<String>),
    /// `EXPOSE`.
    Expose(Vec<At<String>>),
    /// `VOLUME`.
    Volume(Vec<At<String>>),
    /// `ENTRYPOINT`.
    Entrypoint(Command),
    /// `CMD`.
    Cmd(Command),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(At<String>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `ONBUILD`: the instruction for whoever builds upon the image.
    Onbuild(String),
    /// `MAINTAINER`.
    Maintainer(String),
}

/// A variable of the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgSpec {
    /// Its name.
    pub name: At<String>,
    /// What it is where nobody says otherwise.
    pub default: Option<At<String>>,
}

/// A key with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: At<String>,
    /// The value.
    pub value: At<String>,
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Text for a shell.
    Shell(String),
    /// Words for the kernel.
    Exec(Vec<String>),
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The line that ends it; also the name of the file that it becomes.
    pub name: String,
    /// Whether variables in it are expanded.
    pub text: Text,
    /// Its lines.
    pub content: At<String>,
}

/// Whether variables in a text are expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// They are.
    Expanded,
    /// It is taken as it is.
    Verbatim,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug)]
pub struct CopySpec {
    /// Which of the two.
    pub verb: Verb,
    /// The stage, image or context that the sources are in, where it is not the context of the build.
    pub from: Option<At<String>>,
    /// Paths and patterns.
    pub sources: Vec<At<String>>,
    /// Files that are given in the instruction itself.
    pub documents: Vec<Document>,
    /// Where it goes.
    pub to: At<String>,
    /// Whom it belongs to.
    pub chown: Option<At<String>>,
    /// Permission bits, octal or as `chmod` has them.
    pub chmod: Option<At<String>>,
    /// How it stands to what is there.
    pub mode: Mode,
    /// How much of the path of a source is kept.
    pub paths: Paths,
    /// Patterns of what is left out.
    pub exclude: Vec<At<String>>,
    /// Where a flag is that only means something for what is downloaded.
    pub of_downloads: Option<Place>,
}

/// `COPY` or `ADD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Copies.
    Copy,
    /// Copies, and extracts archives.
    Add,
    /// `ADD --unpack=false`: copies archives as files.
    AddAsIs,
}

/// How what is copied stands to what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It goes where the paths of the stage lead.
    Onto,
    /// `--link`: it is a layer of its own, whatever is below it.
    Link,
}

/// How much of the path of a source is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// The last name.
    Name,
    /// `--parents`: all of it, or what stands behind `/./`.
    Parents,
}

/// `RUN`.
#[derive(Clone, Debug)]
pub struct RunSpec {
    /// What runs.
    pub command: Command,
    /// Here-documents of the command.
    pub documents: Vec<Document>,
    /// What is mounted for it, as written.
    pub mounts: Vec<MountSpec>,
    /// `--network`.
    pub network: Option<At<String>>,
}

/// `--mount`, before variables are expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// Where it stands.
    pub place: Place,
    /// What kind of mount it is.
    pub kind: MountKind,
    /// Keys and values in their order; a key alone has an empty value.
    pub fields: Vec<(String, Option<String>)>,
}

/// The kinds of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Something of the context, a stage or an image.
    Bind,
    /// A directory that later builds find again.
    Cache,
    /// A directory in memory.
    Tmpfs,
    /// A file that is in no layer.
    Secret,
    /// The socket of an agent.
    Ssh,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// There is none, whatever the base says.
    None,
    /// A command that tells.
    Test {
        /// The command.
        command: Command,
        /// Time between two.
        interval: Duration,
        /// Time that one may take.
        timeout: Duration,
        /// Time at the start in which failures do not count.
        start_period: Duration,
        /// Time between two in that time.
        start_interval: Duration,
        /// Failures in a row that count as one.
        retries: u32,
    },
}

impl Verb {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Verb::Copy => "COPY",
            Verb::Add | Verb::AddAsIs => "ADD",
        }
    }
}

impl MountKind {
    /// All of them, by name.
    pub const NAMES: [(&'static str, MountKind); 5] =
        [("bind", MountKind::Bind), ("cache", MountKind::Cache), ("tmpfs", MountKind::Tmpfs), ("secret", MountKind::Secret), ("ssh", MountKind::Ssh)];
}
