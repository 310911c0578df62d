//! larder builds multi-platform container images straight into an on-disk OCI image layout, offline and reproducibly.
//!
//! This page is the map of the code. The README tells what the tool does; here is how it is made and which rules hold it together.
//!
//! # The way of data
//!
//! ```text
//! build   BuildSpec --plan--> BuildPlan --execute--> Layer* --> image per platform --> index --> layout --> names
//!         Dockerfile --plan--> stages --execute--> Layer* --> the base of such a plan
//! move    Source    --plan--> CopyPlan  --execute--> Destination --commit--> names
//! keep    Layout    --verify--> findings         Layout --plan--> GcPlan --execute--> GcReport
//! ```
//!
//! 1. **Only a layout is built into.** Everything else that moves images is copying.
//! 2. **Planning reads, executing writes.** A plan is plain data: it can be printed (`--dry-run`) and compared, and its order is the order of
//!    the result whatever happens in parallel.
//! 3. **A name appears last.** Content is complete and durable first; then `index.json` changes in one step.
//! 4. **What is only moved is never re-serialised.** Documents travel as the bytes they are, so digests survive.
//!
//! # Floors
//!
//! Every module lives on a floor and uses only floors below its own; a test reads the sources and checks it.
//!
//! ```text
//! cli      arguments, output, progress, environment, clock, signals; one file per command
//! ops      one file per use case: Request -> Report; the only place that combines the engines below
//! build    larder.toml, Dockerfiles and flags -> plan -> layers, config, manifest, index
//! copy     images from store to store: plan -> execute
//! sync     jobs in bulk as they are written: which images go where, and which are finished
//! layer    changeset <-> tar <-> compression; layers applied, in memory and to a directory
//! graph    what descriptors lead to: walk, filter by platform, find one image, find what is attached
//! store    layouts on disk and in memory, archives, registries, behind the traits Source and Destination
//! runtime  a command run in a root filesystem: mounts, OCI runtime, user namespaces
//! tar      tar streams, plain and compressed
//! fsio     durable files, locks, verified reading, opening without trust
//! exec     how an operation runs: threads, cancelling, events, times
//! specfile the TOML that people write, and where in it something stands
//! spec     the documents of the specifications as plain data, no I/O
//! ```
//!
//! Some things have one place: threads are started in [`exec::pool`] only, files are renamed in [`fsio::durable`] only, stdout, environment
//! variables and the clock belong to [`cli`] only, sockets to `store::registry` only, which the feature `sync` brings, but for that of an SSH agent, other programs to
//! `runtime` only, which the feature `run` brings, and `unsafe` stands in one file of the gzip encoder with its proof. The library prints nothing and knows no
//! time of its own: what it may tell, ask and write down comes in with [`exec::Run`].
//!
//! # What must stay true
//!
//! * The invariants of a layout stand at the top of [`store::layout`].
//! * The bytes of layers are a contract: see [`layer`].
//! * Reading never trusts: what comes from a layout, an archive or a registry passes a reader that checks size and digest, documents pass a strict parser, and
//!   nothing is allocated because a document says so.
//! * Every failure is an [`Error`] whose [`ErrorKind`] decides the exit code; it names its subject and, where there is one, the remedy.

pub mod build;
pub mod cli;
pub mod copy;
pub mod error;
pub mod exec;
pub mod fsio;
pub mod graph;
pub mod layer;
pub mod ops;
#[cfg(feature = "run")]
pub mod runtime;
pub mod spec;
pub mod specfile;
pub mod store;
#[cfg(feature = "sync")]
pub mod sync;
pub mod tar;

pub use error::{Error, ErrorKind, Result};
