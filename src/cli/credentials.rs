//! Where credentials are looked for: what flags and the environment say of the places that [`crate::store::registry::credentials`] looks at.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::store::registry::credentials::{Files, Helpers, Places, Sources, Store};
use crate::store::registry::{Credential, Secret};

use super::context::Context;
use super::environment::{DOCKER_AUTH_CONFIG, DOCKER_CONFIG, Environment, HOME, JFROG_CLI_HOME_DIR, JFROG_CLI_SERVER_ID, REGISTRY_AUTH_FILE};
use super::environment::{XDG_CONFIG_HOME, XDG_RUNTIME_DIR};
use super::prompt;

/// The flag of every command that looks for credentials.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Credentials")]
pub(crate) struct AuthfileFlag {
    /// File of credentials, in the form of Docker and podman, instead of those that they use [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

/// The flags of commands that need credentials, and are not about them.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Credentials")]
pub(crate) struct CredentialFlags {
    #[command(flatten)]
    file: AuthfileFlag,
    /// User of the registry; give the password, or a token in its place, with --password-stdin
    #[arg(long, visible_alias = "user", value_name = "USER", requires = "password_stdin")]
    username: Option<String>,
    /// Takes the password from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
}

impl CredentialFlags {
    /// Everything that knows credentials, for a command that names these registries. What was given is for these alone, and only where they are one.
    pub(crate) fn sources(&self, context: &Context, hosts: &[&str]) -> Result<Sources> {
        let given = match (&self.username, hosts) {
            (None, _) => Vec::new(),
            (Some(user), [host, others @ ..]) if others.iter().all(|other| other == host) => {
                let password = prompt::secret_from_stdin(&context.run.cancel)?;
                vec![((*host).to_owned(), Credential::Basic { user: user.clone(), password })]
            }
            (Some(_), _) => {
                return Err(Error::usage("credentials are given, and not one registry is meant").hint("log in to each registry: larder sync login HOST"));
            }
        };
        self.file.sources(context, given)
    }
}

impl AuthfileFlag {
    /// Everything that knows credentials. What is `given` for a host counts before all else.
    pub(crate) fn sources(&self, context: &Context, given: Vec<(String, Credential)>) -> Result<Sources> {
        let environment = &context.environment;
        let places = Places {
            given,
            inline: environment.text(&DOCKER_AUTH_CONFIG)?.map(Secret::new),
            files: match self.named(environment) {
                Some(file) => Files::Named(file),
                None => Files::Usual(usual_files(environment)),
            },
            jfrog: match self.named(environment) {
                Some(_) => None,
                None => jfrog_file(environment).map(|file| Ok((file, environment.text(&JFROG_CLI_SERVER_ID)?.map(str::to_owned)))).transpose()?,
            },
        };
        Ok(Sources::new(places, helpers(context), context.run.events.clone()))
    }

    /// The file that a login is written to: the one that is named, else Docker's. Fails with kind `usage` where there is no home directory for it.
    pub(crate) fn store(&self, context: &Context) -> Result<Store> {
        let environment = &context.environment;
        let path = self.named(environment).or_else(|| docker_file(environment)).ok_or_else(|| {
            Error::usage("there is no home directory to keep credentials in").hint("give a file with --authfile, or set HOME or DOCKER_CONFIG")
        })?;
        let patience = crate::fsio::Patience::new(context.lock_timeout, context.run.cancel.clone());
        Ok(Store::new(path, helpers(context), patience, context.run.cancel.clone()))
    }

    fn named(&self, environment: &Environment) -> Option<PathBuf> {
        self.authfile.clone().or_else(|| environment.get(&REGISTRY_AUTH_FILE).map(PathBuf::from))
    }
}

fn helpers(context: &Context) -> Helpers {
    Helpers::new(context.environment.search_path(), context.run.cancel.clone())
}

/// In the order of containers-auth.json(5), and then Docker's.
fn usual_files(environment: &Environment) -> Vec<PathBuf> {
    let absolute = |variable| environment.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let runtime = absolute(&XDG_RUNTIME_DIR);
    let config = absolute(&XDG_CONFIG_HOME).or_else(|| Some(absolute(&HOME)?.join(".config")));
    let containers = [runtime, config].into_iter().flatten().map(|directory| directory.join("containers/auth.json"));
    containers.chain(docker_file(environment)).collect()
}

fn docker_file(environment: &Environment) -> Option<PathBuf> {
    let directory = environment.get(&DOCKER_CONFIG).map(PathBuf::from).or_else(|| Some(PathBuf::from(environment.get(&HOME)?).join(".docker")))?;
    Some(directory.join("config.json"))
}

/// The file of JFrog's CLI.
pub(crate) fn jfrog_file(environment: &Environment) -> Option<PathBuf> {
    let directory = environment.get(&JFROG_CLI_HOME_DIR).map(PathBuf::from).or_else(|| Some(PathBuf::from(environment.get(&HOME)?).join(".jfrog")))?;
    Some(directory.join("jfrog-cli.conf.v6"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_podman_docker_and_jfrog_have_them() {
        let usual = |pairs: &'static [(&str, &str)]| usual_files(&Environment::of(pairs));
        let files = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(usual(&[("HOME", "/h")]), files(&["/h/.config/containers/auth.json", "/h/.docker/config.json"]));
        let all = &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r"), ("XDG_CONFIG_HOME", "/c"), ("DOCKER_CONFIG", "/d")];
        assert_eq!(usual(all), files(&["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json"]));
        assert_eq!(usual(&[("XDG_RUNTIME_DIR", "r")]), files(&[]));
        assert_eq!(jfrog_file(&Environment::of(&[("HOME", "/h")])), Some("/h/.jfrog/jfrog-cli.conf.v6".into()));
        assert_eq!(jfrog_file(&Environment::of(&[("HOME", "/h"), ("JFROG_CLI_HOME_DIR", "/j")])), Some("/j/jfrog-cli.conf.v6".into()));
    }

    #[test]
    fn a_named_file_comes_from_the_flag_or_the_environment() {
        let flags = |file: Option<&str>| AuthfileFlag { authfile: file.map(PathBuf::from) };
        let environment = Environment::of(&[("REGISTRY_AUTH_FILE", "/env.json")]);
        assert_eq!(flags(Some("/flag.json")).named(&environment), Some("/flag.json".into()));
        assert_eq!(flags(None).named(&environment), Some("/env.json".into()));
        assert_eq!(flags(None).named(&Environment::of(&[])), None);
    }
}
