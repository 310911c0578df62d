//! Signals: the first one asks the operation to stop, the second ends the process.
//!
//! * SIGINT, SIGTERM, SIGHUP set the [`Cancel`] of the run, which then fails with kind `interrupted` and leaves nothing half-done.
//!   Which one it was is told to the programs that run for it: see `runtime`. Another one of them ends the process at once with 128 + its number; what it had
//!   staged is swept by a later `gc`.
//!   A signal that was ignored when the program started stays ignored, so that `nohup` works.
//! * SIGXFSZ is caught and forgotten: a file over the limit is then a failed write with its own clear error instead of a core dump.
//! * SIGPIPE is ignored by the Rust runtime; a closed stdout is a failed write, which [`super::output`] takes for an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::error::{Error, Result};
use crate::exec::Cancel;

/// Installs the handlers. Fails with kind `io` when the system refuses them.
pub(crate) fn install() -> Result<Cancel> {
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let ignored = ignored_signals(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        if ignored & (1 << (signal - 1)) != 0 {
            continue;
        }
        // In this order, so that the first signal finds the flag unset.
        flag::register_conditional_shutdown(signal, 128 + signal, stop.clone()).map_err(refused)?;
        flag::register(signal, stop.clone()).map_err(refused)?;
        flag::register_usize(signal, asked.clone(), signal.unsigned_abs() as usize).map_err(refused)?;
    }
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map_err(refused)?;
    Ok(Cancel::from(asked))
}

fn refused(error: std::io::Error) -> Error {
    Error::io("cannot install signal handlers", error)
}

/// The mask of ignored signals as proc(5) tells it; none where it cannot be read.
fn ignored_signals(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status() {
        assert_eq!(ignored_signals("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t00ff\n"), 0x1001);
        assert_eq!(ignored_signals(""), 0);
    }
}
