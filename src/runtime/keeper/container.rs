//! The container that a step runs in: what Docker and BuildKit give build steps. runtime-spec, config.md and config-linux.md.
//!
//! There is no filter of system calls. What root may do is bounded by its capabilities, which lack all that would concern the machine, by the control group for
//! devices, and by what is hidden of `/proc` and `/sys`; a filter would have to know the calls of every architecture, and larder runs what its own user wrote.

use std::path::Path;

use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::bind::Bound;
use crate::fsio::overlay::Attributes;
use crate::runtime::names::HOSTNAME;
use crate::runtime::order::{Cgroups, Order};
use crate::runtime::place::{OWN, ROOT};
use crate::runtime::{Network, userns};
use crate::spec::accounts::User;

/// What root may do in a container, as Docker has it.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    MKNOD,
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

const MKNOD: &str = "CAP_MKNOD";

/// What of the machine is hidden, as Docker has it.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// How many files a process may have open before it asks for more, and at most. Programs that close all they might have take long where there are many.
const FILES: (u64, u64) = (1024, 1 << 20);

/// What the runtime is told.
pub(super) fn config(order: &Order, user: &User, bound: &[Bound]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": { "path": format!("{}/{ROOT}", order.place), "readonly": false },
        "hostname": HOSTNAME,
        "process": process(order, user),
        "mounts": mounts(order, bound),
        "linux": linux(order),
    })
}

fn process(order: &Order, user: &User) -> Value {
    let mut environment: Vec<String> = order.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if !order.environment.iter().any(|(name, _)| name == "HOME") {
        environment.push(format!("HOME={}", user.home));
    }
    // Its first group is among them, as with Docker: a process that gives up its groups must not gain by that (CVE-2022-36109).
    let groups: Vec<u32> = std::iter::once(user.gid).chain(user.groups.iter().copied().filter(|group| *group != user.gid)).collect();
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX).min(FILES.1);
    json!({
        "terminal": false,
        "user": { "uid": user.uid, "gid": user.gid, "additionalGids": groups, "umask": 0o022 },
        "args": order.command,
        "env": environment,
        "cwd": super::within::clean(&order.directory),
        "capabilities": capabilities(order, user),
        "noNewPrivileges": false,
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": FILES.0.min(most), "hard": most }],
    })
}

/// Others than root get what a program that they execute may get, as execve(2) would give it to them.
fn capabilities(order: &Order, user: &User) -> Value {
    // Where no control group keeps it from the devices of the machine, root must not make their files either.
    let names: Vec<&str> = CAPABILITIES.into_iter().filter(|name| order.cgroups == Cgroups::Own || *name != MKNOD).collect();
    match user.uid {
        0 => json!({ "bounding": names, "effective": names, "permitted": names }),
        _ => json!({ "bounding": names }),
    }
}

fn linux(order: &Order) -> Value {
    let network = (order.network == Network::None).then_some("network");
    let namespaces: Vec<Value> = ["mount", "pid", "ipc", "uts"].into_iter().chain(network).map(|kind| json!({ "type": kind })).collect();
    let groups = sees_system_of_machine(order).then_some("/sys/fs/cgroup");
    let masked: Vec<&str> = MASKED.into_iter().chain(groups).collect();
    let mut linux = json!({ "namespaces": namespaces, "maskedPaths": masked, "readonlyPaths": READ_ONLY });
    if order.cgroups == Cgroups::Own {
        linux["cgroupsPath"] = json!(format!("/{}", order.id));
        // The runtime adds those that every container has.
        linux["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    }
    linux
}

fn mounts(order: &Order, bound: &[Bound]) -> Vec<Value> {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let mut terminals = vec!["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    if userns::has_group(5) {
        terminals.push("gid=5");
    }
    let mut mounts = vec![
        mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", &terminals),
        mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        system(order),
    ];
    for name in ["hosts", "resolv.conf"] {
        let source = format!("{}/{OWN}/{name}", order.place);
        mounts.push(json!({ "destination": Path::new("/etc").join(name), "type": "bind", "source": source, "options": ["rbind", "ro"] }));
    }
    mounts.extend(bound.iter().map(|bound| bound.mount.clone()));
    mounts
}

/// `/sys` shows the network that a process has, and only who owns that network may mount it. In that of the machine the control groups of the user are mounted, which
/// a step could write to: the mount is only read, those in it are not.
fn sees_system_of_machine(order: &Order) -> bool {
    (order.network, order.attributes) == (Network::Host, Attributes::User)
}

fn system(order: &Order) -> Value {
    match sees_system_of_machine(order) {
        true => json!({ "destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] }),
        false => json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] }),
    }
}
