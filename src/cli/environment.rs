//! The environment: the only file that reads variables. [`VARIABLES`] is the complete list of those that larder looks at, besides those that a sync file names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::exec::Timestamps;

use super::style::Style;

/// A variable that larder looks at. An empty value counts as unset.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it decides.
    pub(crate) purpose: &'static str,
}

macro_rules! variables {
    ($($name:ident $(as $text:literal)?: $purpose:literal,)*) => {
        $(
            #[doc = $purpose]
            pub(crate) const $name: Variable = Variable { name: variables!(@ $name $($text)?), purpose: $purpose };
        )*
        /// Every variable that larder looks at.
        pub(crate) const VARIABLES: &[Variable] = &[$($name),*];
    };
    (@ $name:ident) => { stringify!($name) };
    (@ $name:ident $text:literal) => { $text };
}

variables! {
    SOURCE_DATE_EPOCH: "seconds since 1970 that a build writes down as its time; 0 without it",
    LARDER_JOBS: "worker threads where --jobs is not given",
    LARDER_PROGRESS: "the kind of progress where --progress is not given",
    NO_COLOR: "set to anything, no colours are used",
    TERM: "`dumb` means a terminal without colours and cursor movement",
    CI: "set to anything, automatic progress writes lines even on a terminal",
    COLUMNS: "width of the terminal where it does not tell itself",
    TMPDIR: "directory for temporary files that fit no memory; /var/tmp without it",
    XDG_CACHE_HOME: "directory of caches; $HOME/.cache without it",
    HOME: "home directory",
    SSH_AUTH_SOCK: "socket of the agent that --ssh default passes on",
    HTTPS_PROXY: "proxy for registries with TLS; `https_proxy` comes before it, `ALL_PROXY` after it",
    HTTPS_PROXY_LOWER as "https_proxy": "as HTTPS_PROXY",
    HTTP_PROXY: "proxy for registries without TLS; `http_proxy` comes before it, `ALL_PROXY` after it",
    HTTP_PROXY_LOWER as "http_proxy": "as HTTP_PROXY",
    ALL_PROXY: "proxy for registries for which there is no other",
    ALL_PROXY_LOWER as "all_proxy": "as ALL_PROXY",
    NO_PROXY: "hosts, addresses and networks that are reached without a proxy, separated by commas",
    NO_PROXY_LOWER as "no_proxy": "as NO_PROXY",
    SSL_CERT_FILE: "authorities that are trusted, in PEM; those of the system without it",
    JOB_COMPLETION_INDEX: "the number, from 0, of the share of a job that --shard auto/N does; Kubernetes sets it",
    LARDER_USER: "user of an Artifactory where --user is not given",
    LARDER_PASSWORD: "password for that user",
    LARDER_ACCESS_TOKEN: "access token of an Artifactory where --access-token is not given",
    DOCKER_AUTH_CONFIG: "credentials for registries, as the text of a config.json of Docker",
    REGISTRY_AUTH_FILE: "file of credentials where --authfile is not given",
    XDG_RUNTIME_DIR: "has containers/auth.json, where podman keeps credentials",
    XDG_CONFIG_HOME: "has containers/auth.json too; $HOME/.config without it",
    DOCKER_CONFIG: "has config.json, where Docker keeps credentials; $HOME/.docker without it",
    PATH: "has the credential helpers that these files name, and the OCI runtime for RUN",
    JFROG_CLI_HOME_DIR: "has the servers of JFrog's CLI; $HOME/.jfrog without it",
    JFROG_CLI_SERVER_ID: "server of JFrog's CLI where --server-id is not given",
}

/// The values of [`VARIABLES`] as they were when the program started.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    values: BTreeMap<&'static str, OsString>,
}

impl fmt::Debug for Environment {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Environment {
    /// Reads the variables of the process.
    pub(crate) fn read() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// The arguments of the process, the program itself first.
    pub(crate) fn arguments() -> Vec<OsString> {
        std::env::args_os().collect()
    }

    /// These variables and no others.
    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self::from_lookup(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let values = VARIABLES.iter().filter_map(|variable| Some((variable.name, lookup(variable.name)?)));
        Environment { values: values.filter(|(_, value)| !value.is_empty()).collect() }
    }

    /// The value of `variable`, where it is set.
    pub(crate) fn get(&self, variable: &Variable) -> Option<&OsStr> {
        self.values.get(variable.name).map(OsString::as_os_str)
    }

    /// The value as text. Fails with kind `usage` when it is not UTF-8.
    pub(crate) fn text(&self, variable: &Variable) -> Result<Option<&str>> {
        let Some(value) = self.get(variable) else { return Ok(None) };
        let text = value.to_str().ok_or_else(|| Error::usage(format!("the environment variable {} is not UTF-8", variable.name)).subject(variable.name))?;
        Ok(Some(text))
    }

    /// The value read by `parse`, whose error is one clause. Fails with kind `usage`, naming the variable.
    pub(crate) fn parsed<T>(&self, variable: &Variable, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>> {
        let Some(text) = self.text(variable)? else { return Ok(None) };
        let value = parse(text).map_err(|wanted| {
            let shown = crate::spec::text::shown(text);
            Error::usage(format!("the environment variable {} is `{shown}`: {wanted}", variable.name)).subject(variable.name).hint(variable.purpose)
        })?;
        Ok(Some(value))
    }

    /// The value of a variable that somebody else named, as it is now. An empty one counts as unset. Fails with kind `usage` when it is not UTF-8.
    #[cfg(any(feature = "sync", feature = "run"))]
    pub(crate) fn named(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        let not_text = |_| Error::usage(format!("the environment variable {} is not UTF-8", crate::spec::text::shown(name)));
        value.into_string().map(Some).map_err(not_text)
    }

    /// The times that may be written: `SOURCE_DATE_EPOCH`. Fails with kind `usage` when it is not a number of seconds.
    pub(crate) fn timestamps(&self) -> Result<Timestamps> {
        self.text(&SOURCE_DATE_EPOCH)?.map_or_else(|| Ok(Timestamps::default()), Timestamps::parse)
    }

    /// Where caches go, where there is a home for them. A relative path is ignored, as the XDG specification wants.
    pub(crate) fn cache_directory(&self) -> Option<PathBuf> {
        let absolute = |variable| self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute(&XDG_CACHE_HOME).or_else(|| absolute(&HOME).map(|home| home.join(".cache"))).map(|caches| caches.join("larder"))
    }

    /// The directories in which programs are found.
    #[cfg(feature = "sync")]
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        self.get(&PATH).map(|path| std::env::split_paths(path).collect()).unwrap_or_default()
    }

    /// Where temporary files go that fit no memory. Not /tmp, which is memory on many machines.
    pub(crate) fn temporary_directory(&self) -> PathBuf {
        self.get(&TMPDIR).map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
    }

    /// Whether the terminal understands cursor movement.
    pub(crate) fn is_dumb(&self) -> bool {
        self.get(&TERM).is_none_or(|term| term == "dumb")
    }

    /// Whether text that goes to `stream` is coloured.
    pub(crate) fn style(&self, stream: BorrowedFd<'_>) -> Style {
        let coloured = rustix::termios::isatty(stream) && !self.is_dumb() && self.get(&NO_COLOR).is_none();
        if coloured { Style::Coloured } else { Style::Plain }
    }

    /// Width of the terminal in characters, where it is told.
    pub(crate) fn columns(&self) -> Option<usize> {
        self.get(&COLUMNS)?.to_str()?.parse().ok().filter(|columns| *columns > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(pairs)
    }

    #[test]
    fn an_empty_variable_is_unset() {
        assert_eq!(environment(&[("SOURCE_DATE_EPOCH", "")]).timestamps().expect("unset").epoch(), 0);
        assert!(environment(&[("NO_COLOR", "")]).get(&NO_COLOR).is_none());
    }

    #[test]
    fn a_bad_value_names_its_variable() {
        let parse = |_: &str| Err::<u8, _>("a number is needed".to_owned());
        let error = environment(&[("LARDER_JOBS", "many")]).parsed(&LARDER_JOBS, parse).expect_err("not a number");
        assert_eq!(error.message(), "the environment variable LARDER_JOBS is `many`: a number is needed");
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
    }

    #[test]
    fn caches_go_where_xdg_says() {
        let directory = |pairs| environment(pairs).cache_directory();
        assert_eq!(directory(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/larder".into()));
        assert_eq!(directory(&[("XDG_CACHE_HOME", "c"), ("HOME", "/h")]), Some("/h/.cache/larder".into()));
        assert_eq!(directory(&[]), None);
    }
}
