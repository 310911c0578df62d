//! One command to be run, and what came of it.

use std::net::IpAddr;
use std::path::PathBuf;

/// A command, the root filesystem that it runs in, and what it finds there besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The directories that make the root filesystem, the lowest first. Each is in the form of overlayfs, so a later one can hide what earlier ones have. None of
    /// them is changed.
    pub lowers: Vec<PathBuf>,
    /// The program and its arguments. A program without a slash is looked for in the `PATH` of `environment`.
    pub command: Vec<String>,
    /// Names and values, all there are. Without `HOME`, that of the user is added.
    pub environment: Vec<(String, String)>,
    /// The working directory; made where it is missing. Absolute.
    pub directory: String,
    /// Who runs it: `user`, `uid`, `user:group` or any mixture of names and numbers, looked up in the root filesystem. Empty means root.
    pub user: String,
    /// What network it has.
    pub network: Network,
    /// What is mounted into the root filesystem for this command alone, in this order.
    pub mounts: Vec<Mount>,
    /// Names for `/etc/hosts` besides those that every step has.
    pub hosts: Vec<(String, IpAddr)>,
}

/// What network a step has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// A loopback interface that leads nowhere.
    #[default]
    None,
    /// That of the machine.
    Host,
}

/// Something mounted for one step. It never becomes part of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where, in the root filesystem: absolute. What is missing on the way is made, and is not there afterwards.
    pub target: String,
    /// What.
    pub content: Content,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file or directory of another tree: `path` in what `lowers` make together, followed as a process would whose root that tree is.
    Tree {
        /// As [`Step::lowers`]. A directory that is no root filesystem, such as a build context, is the only one.
        lowers: Vec<PathBuf>,
        /// `/` for everything.
        path: String,
        /// What becomes of what the step writes there.
        access: Access,
    },
    /// A directory of this machine that the step reads and writes and that outlives it: a cache.
    Directory(PathBuf),
    /// A directory in memory.
    Memory {
        /// At most so many bytes, where there is a limit.
        size: Option<u64>,
    },
    /// A file in memory that the step can read and nobody else sees.
    Secret {
        /// Its content.
        bytes: Vec<u8>,
        /// Its permissions.
        mode: u32,
        /// User and group, as the root filesystem counts them.
        owner: (u32, u32),
    },
    /// A socket behind which one of this machine is, such as that of an SSH agent: connections are passed on for as long as the step runs.
    Socket {
        /// The one of this machine.
        path: PathBuf,
        /// The permissions of the other.
        mode: u32,
        /// Its user and group, as the root filesystem counts them.
        owner: (u32, u32),
    },
}

/// What a step may do to a tree that is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Read it.
    Read,
    /// Write to it as well; what it writes is gone with the step.
    Discard,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended with exit status 0.
    Done(Changes),
    /// It ended otherwise, and nothing is left of it.
    Failed(Failure),
}

/// What a step changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// What it made, changed and removed, in the form of overlayfs: the uppermost of the lower directories of a next step, and what the layer is made of. It stays
    /// for as long as its [`Workspace`](super::Workspace).
    pub upper: PathBuf,
    /// Why the root filesystem was copied instead of being put together by overlayfs, where it was.
    pub copied: Option<String>,
}

/// A step that ran and did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its exit status; 128 and the number of a signal where that ended it.
    pub status: u8,
    /// What probably was the reason, where there is one that the step itself may not have told: no memory, a full disk.
    pub hint: Option<String>,
    /// As [`Changes::copied`].
    pub copied: Option<String>,
}

/// Where a step wrote a line to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}
