//! A larder of its own that runs one step, for tests that do something to it or start it as somebody else.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;

use larder::exec::{Cancel, Run};
use larder::layer::overlay::changes;
use larder::runtime::{Changes, Network, Options, Outcome, Program, Rootfs, Step, Workspace, interpreter};
use larder::spec::Platform;
use serde_json::{Value, json};

use super::sample::{Sample, shell};
use crate::support::tools::tool;

/// Where the order is.
const ORDER: &str = "LARDER_TEST_ACT";

/// Not a test: what [`command`] starts.
#[test]
fn act() {
    let Some(order) = std::env::var_os(ORDER) else { return };
    let order: Value = serde_json::from_str(order.to_str().expect("UTF-8")).expect("JSON");
    let text = |name: &str| order[name].as_str().expect("a text");
    let home = Path::new(text("home"));
    let platform: Platform = text("platform").parse().expect("a platform");
    let options = Options { larder: text("larder").into(), runtime: Program::at(Path::new(text("runtime"))).expect("a runtime"), rootfs: Rootfs::Overlay };
    let network = if text("network") == "host" { Network::Host } else { Network::None };
    let step = Step { network, ..shell(vec![text("rootfs").into()], text("script")) };
    let told = interpreter::check(&platform)
        .and_then(|()| ran(home, options, &step))
        .unwrap_or_else(|error| format!("error {} {:?} {}", error.message(), error.causes(), error.hint_text().unwrap_or_default()));
    fs::write(home.join("told"), told).expect("writable");
}

/// Runs the step. Each line that it writes becomes the name of a file.
fn ran(home: &Path, options: Options, step: &Step) -> larder::Result<String> {
    let workspace = Workspace::open(home, options).expect("a workspace");
    let outcome = workspace.step(step, &Cancel::default(), &mut |_, line| {
        fs::write(home.join(String::from_utf8_lossy(line).replace('/', "_")), "").expect("writable");
    })?;
    Ok(match outcome {
        Outcome::Done(Changes { upper, copied }) => {
            let changes = changes(&Run::new(NonZeroUsize::MIN)?, &upper, &step.lowers)?;
            let paths: Vec<_> = changes.items.iter().map(|item| String::from_utf8_lossy(&item.path).into_owned()).collect();
            format!("done {copied:?} {paths:?}")
        }
        Outcome::Failed(failure) => format!("failed {} {}", failure.status, failure.hint.unwrap_or_default()),
    })
}

/// An actor that `within` starts with the arguments that are added: it runs a script in a root filesystem, with workspaces and what it tells in `home`.
pub(super) struct Actor<'a> {
    pub(super) within: Command,
    pub(super) home: &'a Path,
    pub(super) rootfs: &'a Path,
    pub(super) script: &'a str,
    pub(super) platform: &'a str,
    pub(super) network: &'a str,
}

impl Actor<'_> {
    pub(super) fn command(self) -> Command {
        let runtime = tool("runc").expect("as before");
        let order = json!({
            "home": self.home, "larder": env!("CARGO_BIN_EXE_larder"), "runtime": runtime, "rootfs": self.rootfs, "script": self.script, "platform": self.platform,
            "network": self.network,
        });
        let mut command = self.within;
        command.arg(std::env::current_exe().expect("there")).args(["--exact", "runtime::actor::act", "--nocapture"]).env(ORDER, order.to_string());
        command
    }
}

/// An actor that runs a script in the sample.
pub(super) fn command(within: Command, home: &Path, sample: &Sample, script: &str) -> Command {
    let platform = if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" };
    Actor { within, home, rootfs: &sample.rootfs(), script, platform, network: "none" }.command()
}
