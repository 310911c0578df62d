//! Control groups: whether steps can have some, and taking away those of steps that ended otherwise than they should. cgroups(7).
//!
//! A runtime makes a group of the name of its container in every hierarchy, and removes it when the container ends. Only where the runtime itself was killed it stays,
//! without processes. The name says whose it is, and the kernel removes no group in which a process lives.

use std::time::Duration;

use rustix::fs::Access;
use rustix::io::Errno;

use super::Program;
use super::mounts::{self, Mounted};
use super::order::Cgroups;
use crate::fsio::overlay::Attributes;

/// The file systems of the two versions.
const V1: &str = "cgroup";
const V2: &str = "cgroup2";

/// How often a group is tried whose processes are ending, and how long after each other.
const ATTEMPTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// Where the hierarchies are, with their file systems.
fn hierarchies() -> Vec<Mounted> {
    mounts::all().unwrap_or_default().into_iter().filter(|mount| matches!(mount.kind.as_str(), V1 | V2)).collect()
}

/// Whether steps can have groups of their own: as the superuser of the machine, with hierarchies that can be written to, and that the runtime understands.
pub(super) fn usable(runtime: &Program, attributes: Attributes) -> Cgroups {
    let hierarchies = hierarchies();
    let has = |kind: &str| hierarchies.iter().any(|mount| mount.kind == kind);
    let usable = attributes == Attributes::Trusted
        && rustix::process::geteuid().is_root()
        && !hierarchies.is_empty()
        && (runtime.takes_both_versions_of_cgroups() || !(has(V1) && has(V2)))
        && hierarchies.iter().all(|mount| rustix::fs::access(&mount.point, Access::WRITE_OK).is_ok());
    if usable { Cgroups::Own } else { Cgroups::None }
}

/// Removes the groups with this name, which is one that no other process gives. Groups in which processes live on stay.
pub(super) fn remove(name: &str) {
    for mount in hierarchies() {
        let group = mount.point.join(name);
        for _ in 0..ATTEMPTS {
            match rustix::fs::rmdir(&group) {
                Err(Errno::BUSY) => std::thread::sleep(PAUSE),
                _ => break,
            }
        }
    }
}
