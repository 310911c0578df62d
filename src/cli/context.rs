//! What a command receives: the global options, resolved against the environment.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::exec::{Cancel, Events, Pool, Run};
use crate::store::layout::Options;

use super::args::{Globals, parse_jobs};
use super::clock;
use super::environment::{Environment, LARDER_JOBS};
use super::input;
use super::output::{self, Output};
use super::progress::Progress;

/// Everything a command needs besides its own arguments.
#[derive(Debug)]
pub(crate) struct Context {
    /// For the library: threads, cancel, events and times.
    pub(crate) run: Run,
    /// Where the result goes.
    pub(crate) output: Output,
    /// Variables, for the commands that look at more than the globals do.
    pub(crate) environment: Environment,
    /// How long to wait for a lock of another process.
    pub(crate) lock_timeout: Duration,
}

impl Context {
    /// Resolves the options. Fails with kind `usage` on a bad environment variable and `io` when threads cannot be started.
    pub(crate) fn new(globals: &Globals, environment: Environment, progress: Arc<Progress>, cancel: Cancel) -> Result<Self> {
        let jobs = match globals.jobs {
            Some(jobs) => jobs,
            None => environment.parsed(&LARDER_JOBS, parse_jobs)?.unwrap_or_else(Pool::available),
        };
        let run = Run {
            pool: Arc::new(Pool::new(jobs)?),
            cancel,
            events: Events::to(progress.clone()),
            timestamps: environment.timestamps()?,
            clock: clock::calendar(),
        };
        let output = Output::new(globals.format, &environment, progress);
        Ok(Context { run, output, environment, lock_timeout: globals.lock_timeout })
    }

    /// How stores are opened.
    pub(crate) fn layout_options(&self) -> Options {
        Options {
            lock_timeout: self.lock_timeout,
            cancel: self.run.cancel.clone(),
            events: self.run.events.clone(),
            temporary: self.environment.temporary_directory(),
            stdin: input::archive(),
            stdout: output::archive(),
        }
    }
}
