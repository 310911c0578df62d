//! Passing a signal on to a step: to every process of its container, as a terminal does with those in its foreground.
//!
//! The runtime, which would pass it on to the first process of the container alone, gets none, so that no process gets it twice.
//!
//! # The first process
//!
//! Signals that the first process of a process namespace does not handle do not reach it: pid_namespaces(7). A shell would take no notice, and go on with its next
//! command when the one that it waits for has ended. So a first process that the signal would end anywhere else is stopped, which the kernel allows from outside,
//! before the others get the signal, and is killed when those have ended that took it. With it end all that are left.
//!
//! Interpreters of programs for other architectures handle every signal, whatever the program does with it. Where it ends the program they send it to themselves once
//! more, let it take its course, and wait for that with all other signals blocked (`dump_core_and_abort` of QEMU), in vain as the first process.

use std::time::Duration;

use rustix::event::Timespec;
use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};

/// How often it is looked whether processes have ended.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// How often it is looked whether a process blocks the signal for long, and how long after each other.
const LOOKS: usize = 20;
const MOMENT: Duration = Duration::from_millis(1);

/// A step whose processes were told to end.
pub(super) struct Stop {
    signal: Signal,
    first: First,
    /// The others that end by the signal, or do something before they end.
    awaited: Vec<Pid>,
}

/// The first process of the container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum First {
    /// It got the signal.
    Told(Pid),
    /// It was stopped.
    Held(Pid),
    /// It was not seen, or was killed.
    Gone,
}

impl Stop {
    /// Passes the signal on. Fails with kind `interrupted` where there is no process to pass it on to, because the command does not run yet or no longer.
    pub(super) fn begin(signal: Signal) -> Result<Stop> {
        let first = match first(signal) {
            // A runtime would make what it wants of the signal.
            Some(first) if !is_begun(first.number) => return Err(Error::interrupted()),
            Some(first) if first.reaction == Reaction::Ends => First::Held(first.number),
            Some(first) => First::Told(first.number),
            None => First::Gone,
        };
        if let First::Held(number) = first {
            send(number, Signal::STOP);
        }
        // The first one starts no more of them now.
        let told: Vec<_> = all(signal).into_iter().filter(|process| first != First::Held(process.number)).collect();
        if first == First::Gone && told.is_empty() {
            return Err(Error::interrupted());
        }
        // Parents before their children, so that they do not take their end for one of the usual ones.
        told.iter().for_each(|process| send(process.number, signal));
        let awaited = told.iter().filter(|process| process.is_awaited()).map(|process| process.number).collect();
        Ok(Stop { signal, first, awaited })
    }

    /// Ends the first process when it is time for that.
    pub(super) fn go_on(&mut self) {
        while self.awaited.pop_if(|number| look(*number, self.signal).is_none()).is_some() {}
        let at_its_end = match self.first {
            First::Held(first) => Some(first),
            First::Told(first) => look(first, self.signal).filter(Process::is_at_its_end).map(|first| first.number),
            First::Gone => None,
        };
        if let (Some(first), true) = (at_its_end, self.awaited.is_empty()) {
            send(first, Signal::KILL);
            self.first = First::Gone;
        }
    }

    /// How long to wait before going on, where there is something to go on with.
    pub(super) fn pause(&self) -> Option<Timespec> {
        (self.first != First::Gone).then_some(PAUSE)
    }
}

/// One that ended meanwhile needs no signal.
fn send(process: Pid, signal: Signal) {
    let _ = kill_process(process, signal);
}

/// A process of the container.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    number: Pid,
    /// In how many process namespaces it is besides that of the keeper.
    namespaces: usize,
    place: Place,
    reaction: Reaction,
    /// The signals that it blocks.
    blocked: u64,
}

/// Which process of its own namespace one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Later,
}

/// What comes of the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaction {
    /// The end, except for the first process of a namespace.
    Ends,
    Ignores,
    /// What the process wants.
    Handles,
    /// What the process wants, if it asks for signals by itself (sigwait, signalfd); or another one in a moment: a shell blocks all signals now and then.
    Waits,
}

impl Process {
    /// As proc(5) tells of it. `None` where it is none of a container, or has ended.
    fn parse(number: Pid, status: &str, signal: Signal) -> Option<Process> {
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let has = |name: &str| value(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
        let numbers: Vec<_> = value("NSpid")?.split_whitespace().collect();
        if value("State")?.starts_with(['Z', 'X']) {
            return None;
        }
        let blocked = has("SigBlk");
        let reaction = match bit(signal) {
            bit if has("SigCgt") & bit != 0 => Reaction::Handles,
            bit if blocked & bit != 0 => Reaction::Waits,
            bit if has("SigIgn") & bit != 0 => Reaction::Ignores,
            _ => Reaction::Ends,
        };
        let place = if numbers.last() == Some(&"1") { Place::First } else { Place::Later };
        let namespaces = numbers.len().checked_sub(1).filter(|namespaces| *namespaces > 0)?;
        Some(Process { number, namespaces, place, reaction, blocked })
    }

    /// Whether it is the first one of the container.
    fn is_first(&self) -> bool {
        (self.namespaces, self.place) == (1, Place::First)
    }

    /// Whether it does something because of the signal, and is not the first process, which all the others are awaited for.
    fn is_awaited(&self) -> bool {
        match self.reaction {
            Reaction::Ignores => false,
            Reaction::Ends => self.place == Place::Later,
            Reaction::Handles | Reaction::Waits => !self.is_first(),
        }
    }

    /// Whether it waits for the signal, and no other, to end it.
    fn is_at_its_end(&self) -> bool {
        // Nobody can block the first two; what ends it is not blocked.
        let others = STANDARD & !bit(Signal::KILL) & !bit(Signal::STOP);
        self.reaction == Reaction::Ends && (others & !self.blocked).count_ones() == 1
    }
}

/// The signals that are not those of programs themselves.
const STANDARD: u64 = (1 << 31) - 1;

fn bit(signal: Signal) -> u64 {
    1 << (signal.as_raw() - 1)
}

/// The first process of the container, at a moment when it does not block the signal if there is one.
fn first(signal: Signal) -> Option<Process> {
    let mut first = all(signal).into_iter().find(Process::is_first)?;
    for _ in 1..LOOKS {
        if first.reaction != Reaction::Waits || !is_begun(first.number) {
            break;
        }
        std::thread::sleep(MOMENT);
        first = look(first.number, signal)?;
    }
    Some(first)
}

/// Whether a process executed something, and is not still the copy of another one, as that of a runtime that makes a container ready is.
fn is_begun(number: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{number}/stat")).is_ok_and(|stat| flags(&stat) & FORKED == 0)
}

/// PF_FORKNOEXEC of the kernel.
const FORKED: u64 = 0x40;

/// The flags of a process as proc(5) tells them. The name of the process, which may be anything, stands in brackets before.
fn flags(stat: &str) -> u64 {
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(6)?.parse().ok()).unwrap_or_default()
}

/// All processes of the container, older ones first as long as the kernel has numbers for new ones.
fn all(signal: Signal) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(Pid::from_raw);
    numbers.filter_map(|number| look(number, signal)).collect()
}

fn look(number: Pid, signal: Signal) -> Option<Process> {
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).ok()?;
    Process::parse(number, &status, signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBER: Pid = Pid::INIT;

    fn parse(numbers: &str, state: &str, [blocked, ignored, caught]: [u64; 3]) -> Option<Process> {
        let status = format!(
            "Name:\tNSpid: 1\nState:\t{state} (x)\nNSpid:\t{numbers}\nSigPnd:\t0000000000000000\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        );
        Process::parse(NUMBER, &status, Signal::TERM)
    }

    #[test]
    fn what_a_signal_does_to_a_process_is_seen() {
        let term = 1 << 14;
        for (masks, reaction) in [
            ([0, 0, 0], Reaction::Ends),
            ([!term, !term, !term], Reaction::Ends),
            ([0, term, 0], Reaction::Ignores),
            ([0, 0, term], Reaction::Handles),
            ([term, 0, term], Reaction::Handles),
            ([term, term, 0], Reaction::Waits),
        ] {
            assert_eq!(parse("7\t3", "S", masks).expect("a process").reaction, reaction, "{masks:x?}");
        }
        assert_eq!(parse("7", "S", [0; 3]), None, "the runtime");
        assert_eq!(parse("7\t3", "Z", [0; 3]), None, "it ended");
        assert_eq!(Process::parse(NUMBER, "", Signal::TERM), None);
    }

    #[test]
    fn a_process_that_did_not_execute_anything_is_known() {
        assert_eq!(flags("18 (runc:[2:INIT]) 1 2) S 12 18 18 0 -1 4194624 1 0") & FORKED, FORKED);
        assert_eq!(flags("18 (sh) S 12 18 18 0 -1 4194560 1 0") & FORKED, 0);
        assert_eq!(flags(""), 0);
        assert!(is_begun(Pid::from_raw(std::process::id().cast_signed()).expect("a process")));
    }

    #[test]
    fn the_first_process_is_known_and_when_it_would_have_ended() {
        let is_first = |numbers| parse(numbers, "S", [0; 3]).expect("a process").is_first();
        assert!(is_first("7\t1") && !is_first("7\t11") && !is_first("7\t3\t1"));
        let is_awaited = |numbers, masks| parse(numbers, "S", masks).expect("a process").is_awaited();
        let handled = [0, 0, 1 << 14];
        assert!(is_awaited("7\t3", [0; 3]) && is_awaited("7\t3", handled) && is_awaited("7\t3\t1", handled));
        assert!(!is_awaited("7\t3", [0, 1 << 14, 0]) && !is_awaited("7\t1", handled) && !is_awaited("7\t3\t1", [0; 3]));
        let is_at_its_end = |masks| parse("7\t1", "S", masks).expect("a process").is_at_its_end();
        // All but SIGKILL, SIGSTOP and those of the library, as libraries fill their sets.
        let all = 0xffff_fffe_7ffb_feff;
        assert!(is_at_its_end([all & !(1 << 14), 0, 0]));
        assert!(!is_at_its_end([0; 3]) && !is_at_its_end([all, 0, 0]) && !is_at_its_end([all & !(1 << 14) & !2, 0, 0]) && !is_at_its_end([all, 0, 1 << 14]));
    }
}
