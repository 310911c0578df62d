//! An ordinary user, with numbers of others besides its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::process::{NOBODY, temp};
use super::tools::tool;

/// The numbers that an ordinary user has in these tests.
pub(crate) const SUBORDINATE: u32 = 500_000;

/// Runs its arguments as an ordinary user with such numbers: `$1` and `$2` are the files that say so. Nothing of the machine is changed.
const AS_NOBODY: &str = r#"
mount --bind "$1" /etc/subuid && mount --bind "$2" /etc/subgid && shift 2 || exit 99
exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
"#;

/// A place that the ordinary user owns, with a copy of larder that it can reach.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Home {
        let home = temp();
        fs::copy(env!("CARGO_BIN_EXE_larder"), home.path().join("larder")).expect("a copy of the binary");
        fs::create_dir(home.path().join("own")).expect("created");
        std::os::unix::fs::chown(home.path().join("own"), Some(NOBODY), Some(NOBODY)).expect("root may");
        for name in ["subuid", "subgid"] {
            fs::write(home.path().join(name), format!("{NOBODY}:{SUBORDINATE}:65536\n")).expect("written");
        }
        Home(home)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn own(&self) -> PathBuf {
        self.at("own")
    }

    /// What starts something as that user. `None` after saying that the test is skipped.
    #[track_caller]
    pub(crate) fn as_nobody(&self) -> Option<Command> {
        let unshare = tool("unshare")?;
        tool("setpriv")?;
        let mut command = Command::new(unshare);
        command.args(["--mount", "--propagation", "private", "sh", "-c", AS_NOBODY, "sh"]).arg(self.at("subuid")).arg(self.at("subgid"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.own());
        Some(command)
    }
}
