//! Running one command in a root filesystem: what a `RUN` of a Dockerfile needs.
//!
//! ```text
//! lower directories, command --> keeper: mounts, OCI runtime --> upper directory, exit status
//! ```
//!
//! # Nothing is left behind
//!
//! Mounts and processes are what a build could leave behind and a person would have to find. Neither is ever in a place where it could stay:
//!
//! * A thread leaves the mount and the process namespace of larder, makes its mounts private, and starts one process there, the [`keeper`]: larder once more, which
//!   is the first process of its namespace. All mounts are made in that namespace, and all processes, the runtime and the container among them, are in it.
//! * The keeper dies when that thread does: the kernel kills it then, and it looks for the end of the pipe that only larder holds. With the first process of a
//!   namespace the kernel kills all others in it, and with the last process of a mount namespace the mounts go.
//!
//! So a signal, an error, a panic and `kill -9` of any of them end in the same way, without anybody who would have to clean up. What can stay after `kill -9` are
//! files: a workspace is a directory that is locked while its owner lives, and the next one in the same place removes those of the dead, and the empty control groups
//! that have their names.
//!
//! A command that is stopped is told before: every process of it gets the signal that larder got (SIGTERM where a step beside it failed), and has a short time to
//! clean up. What it does then, and how it ends, changes nothing in what becomes of the build.
//!
//! # What a step sees
//!
//! What Docker and BuildKit give it: see the keeper's `container`. What has to be in the root filesystem for that alone is in a lower directory of its own, so that the
//! upper directory holds what the step did and nothing else.
//!
//! Relies on `exec` and `fsio`; knows nothing of layers, stores and Dockerfiles. runtime-spec 1.0.2; Linux 5.6 for opening paths in a root filesystem, 5.11 for
//! overlayfs without root.

mod cgroup;
mod elf;
mod grace;
pub mod interpreter;
pub mod keeper;
mod lines;
mod mounts;
mod names;
mod order;
mod place;
pub mod program;
mod session;
pub mod step;
pub mod userns;
pub mod workspace;

pub use grace::GRACE;
pub use program::Program;
pub use step::{Access, Changes, Content, Failure, Mount, Network, Outcome, Step, Stream};
pub use workspace::{Options, Rootfs, Workspace};
