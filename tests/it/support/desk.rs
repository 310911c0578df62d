//! The desk of somebody who works with registries: a home of its own, with what is needed to log in.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::image::Ran;
use super::process::{larder, output_within, temp};

/// No run of a test takes as long.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Desk {
    home: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk { home: temp() }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// `oci:` and a place here.
    pub(crate) fn oci(&self, name: &str) -> String {
        format!("oci:{}", self.home.path().join(name).display())
    }

    /// Keeps a password where docker keeps it.
    pub(crate) fn log_in(&self, host: &str, user: &str, password: &str) {
        let file = self.home.path().join(".docker/config.json");
        std::fs::create_dir_all(file.parent().expect("below")).expect("writable");
        let mut config: Value = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_else(|| json!({"auths": {}}));
        config["auths"][host] = json!({"auth": base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))});
        std::fs::write(&file, config.to_string()).expect("writable");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("own file");
    }

    /// larder, at this desk.
    pub(crate) fn larder(&self, arguments: &[&str]) -> Command {
        let mut command = larder();
        command.env("HOME", self.home.path()).current_dir(self.home.path()).args(arguments);
        command
    }

    /// What came of larder, which ends in time.
    #[track_caller]
    pub(crate) fn ran(&self, arguments: &[&str]) -> Ran {
        Ran::from(output_within(PATIENCE, &mut self.larder(arguments)))
    }

    /// What larder, which must succeed, reports.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.ran(&[arguments, &["--format", "json"]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.json()
    }

    /// All that larder says, which must fail with this code.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], code: &str) -> String {
        let ran = self.ran(&[arguments, &["--format", "json"]].concat());
        assert_ne!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        assert_eq!(ran.error()["code"], code, "{arguments:?}: {ran:?}");
        format!("{}{}", ran.stdout, ran.stderr)
    }
}
