//! The OCI runtime that steps run in. runtime-spec, and the command line that runc gave it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::spec::text;

/// The runtimes that are looked for, the first one first: the reference before the fast one.
const NAMES: [&str; 2] = ["runc", "crun"];

/// Where programs for administrators are, which ordinary users do not have in their `PATH`.
const SYSTEM: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/libexec"];

const INSTALL: &str = "install runc or crun, or name another OCI runtime with --runtime";

/// An OCI runtime: `runc`, `crun`, or what takes the same arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    path: String,
    kind: Kind,
}

/// What is different between runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Runc,
    Crun,
    Other,
}

impl Program {
    /// The runtime at `path`. Kinds: `not_found` where there is none; `unsupported` where it is none or its path is not UTF-8.
    pub fn at(path: &Path) -> Result<Program> {
        let shown = text::path(path);
        let absolute =
            std::fs::canonicalize(path).map_err(|error| Error::io(format!("cannot find the OCI runtime {shown}"), error).subject(&shown).hint(INSTALL))?;
        let utf8 = absolute.to_str().ok_or_else(|| Error::unsupported(format!("the path of the OCI runtime {shown} is not UTF-8")).subject(&shown))?;
        let output = Command::new(&absolute).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|error| Error::io(format!("cannot run the OCI runtime {shown}"), error).subject(&shown))?;
        let told = String::from_utf8_lossy(&output.stdout);
        let (name, Some(_)) = (told.split_whitespace().next().unwrap_or_default(), told.split_whitespace().nth(1).filter(|_| output.status.success())) else {
            return Err(Error::unsupported(format!("{shown} is no OCI runtime: it does not tell its version")).subject(&shown).hint(INSTALL));
        };
        let kind = match name {
            "runc" => Kind::Runc,
            "crun" => Kind::Crun,
            _ => Kind::Other,
        };
        Ok(Program { path: utf8.to_owned(), kind })
    }

    /// The first of `runc` and `crun` in the directories of `path`, which is written as the variable `PATH`, and in those where programs for administrators are.
    /// Fails with kind `not_found`, saying what to install.
    pub fn find(path: &OsStr) -> Result<Program> {
        let directories: Vec<PathBuf> = std::env::split_paths(path).filter(|directory| directory.is_absolute()).chain(SYSTEM.map(PathBuf::from)).collect();
        let candidates = NAMES.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
        match candidates.into_iter().find(|candidate| candidate.is_file()) {
            Some(found) => Program::at(&found),
            None => Err(Error::not_found("there is no OCI runtime on this machine, which RUN needs").hint(INSTALL)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        Path::new(&self.path)
    }

    /// Whether it works where hierarchies of both versions are mounted.
    pub(super) fn takes_both_versions_of_cgroups(&self) -> bool {
        self.kind != Kind::Crun
    }

    /// The options that make it work without control groups.
    pub(super) fn without_cgroups(&self) -> &'static [&'static str] {
        match self.kind {
            // It then takes a refusal for none.
            Kind::Runc => &["--rootless", "true"],
            Kind::Crun => &["--cgroup-manager", "disabled"],
            Kind::Other => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::os::unix::fs::PermissionsExt as _;

    fn script(path: &Path, text: &str) {
        std::fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("own file");
    }

    #[test]
    fn the_first_of_the_path_is_taken_and_runc_before_crun() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join(name);
        std::fs::create_dir_all(at("a/runc")).expect("created");
        std::fs::create_dir(at("b")).expect("created");
        script(&at("a/crun"), "echo crun version 1.8.1");
        script(&at("b/runc"), "echo runc version 1.1.5+ds1");
        let path = std::env::join_paths([at("absent"), at("a"), at("b")]).expect("no colons");
        let found = Program::find(&path).expect("found");
        assert_eq!((found.path(), found.kind), (std::fs::canonicalize(at("b/runc")).expect("there").as_path(), Kind::Runc));
        assert_eq!(Program::at(&at("a/crun")).expect("a runtime").without_cgroups(), ["--cgroup-manager", "disabled"]);
    }

    #[test]
    fn what_is_no_runtime_is_refused() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| temp.path().join(name);
        script(&at("fails"), "exit 1");
        script(&at("silent"), "");
        std::fs::write(at("plain"), "").expect("written");
        for (name, kind) in [("absent", ErrorKind::NotFound), ("plain", ErrorKind::Io), ("fails", ErrorKind::Unsupported), ("silent", ErrorKind::Unsupported)] {
            assert_eq!(Program::at(&at(name)).expect_err(name).kind(), kind, "{name}");
        }
    }
}
