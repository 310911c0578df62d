//! Finding what a test needs, or saying that it is skipped.

use std::io::Write as _;
use std::path::PathBuf;

/// Says that the running test does not run. With `CI=true` that is a failure.
#[track_caller]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "nothing may be skipped with CI=true: {why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not `eprintln`, which the test runner swallows when the test passes.
    writeln!(std::io::stderr(), "skip: {test}: {why}").expect("stderr");
}

/// Where this program is. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = directories.map(|directory| directory.join(name)).find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{name} is missing; tests/provision names its package"));
    }
    found
}

/// Whether the test runs as root. If not, says that it is skipped.
#[track_caller]
pub(crate) fn root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("it takes root");
    }
    is_root
}

/// The OCI runtime crun, which `tests/provision rootfs` keeps from the tools of the machine: podman would use it. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn crun() -> Option<PathBuf> {
    provisioned("crun").map(|place| place.join("crun"))
}

/// The directory with containerd, Docker and their clients, which `tests/provision rootfs` keeps from the machine: installed they would run. Their libraries
/// are in `lib`. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn daemons() -> Option<PathBuf> {
    provisioned("daemons")
}

/// An archive for apt with the packages that curl needs, for this architecture.
#[track_caller]
pub(crate) fn packages(architecture: &str) -> Option<PathBuf> {
    provisioned(&format!("apt-{architecture}"))
}

/// A real Debian root filesystem of this architecture (`amd64` or `arm64`), made by `tests/provision rootfs`.
/// `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn rootfs(architecture: &str) -> Option<PathBuf> {
    provisioned(&format!("rootfs-{architecture}"))
}

#[track_caller]
fn provisioned(name: &str) -> Option<PathBuf> {
    let quick = std::env::var_os("LARDER_TEST_QUICK").is_some();
    let tree = std::env::var_os("LARDER_TEST_ROOTFS").map(|place| PathBuf::from(place).join(name));
    let found = tree.filter(|tree| tree.is_dir());
    if found.is_none() && !quick {
        skip("no root filesystems; run tests/run, or tests/provision rootfs and set LARDER_TEST_ROOTFS to target/testdata");
    }
    found
}
