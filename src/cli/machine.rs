//! What steps of a Dockerfile that run a program get of this machine, on the command line.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::build::dockerfile::spec::{MachineSpec, Network, Secret};
use crate::build::place::Place;
use crate::error::{Error, IoContext as _, Result};
use crate::fsio::regular;
use crate::spec::text;

use super::environment::{Environment, PATH, SSH_AUTH_SOCK};

/// The longest secret: 512 KiB, as for BuildKit.
const SECRET_BYTES: u64 = 512 << 10;

/// The flags.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Options of RUN")]
pub(crate) struct MachineFlags {
    /// Network of steps that say nothing of it; those that ask for that of the machine need it here
    #[arg(long, value_name = "NETWORK")]
    network: Option<NetworkFlag>,
    /// Secret for RUN --mount=type=secret, from a file or a variable; in no layer and no cache; may be repeated
    #[arg(long, value_name = "id=ID,src=FILE|env=VARIABLE")]
    secret: Vec<String>,
    /// Agent for RUN --mount=type=ssh: a socket, for default that of SSH_AUTH_SOCK; may be repeated
    #[arg(long, value_name = "default|ID=SOCKET")]
    ssh: Vec<String>,
    /// OCI runtime that runs the steps, instead of the runc or crun that is found
    #[arg(long, value_name = "PROGRAM")]
    runtime: Option<PathBuf>,
}

/// The network of steps.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkFlag {
    /// None, as without the flag.
    None,
    /// That of the machine.
    Host,
}

impl MachineFlags {
    /// The first of the flags that was given.
    pub(super) fn first(&self) -> Option<&'static str> {
        let given = [
            ("--network", self.network.is_some()),
            ("--secret", !self.secret.is_empty()),
            ("--ssh", !self.ssh.is_empty()),
            ("--runtime", self.runtime.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }

    pub(super) fn spec(&self, environment: &Environment) -> Result<MachineSpec> {
        Ok(MachineSpec {
            network: match self.network {
                None | Some(NetworkFlag::None) => Network::None,
                Some(NetworkFlag::Host) => Network::Host,
            },
            secrets: self.secret.iter().map(|written| secret(written, environment)).collect::<Result<_>>()?,
            sockets: self.ssh.iter().map(|written| socket(written, environment)).collect::<Result<_>>()?,
            runtime: self.runtime.clone(),
            search: environment.get(&PATH).unwrap_or_default().to_owned(),
        })
    }
}

/// `id=ID`, and `src=FILE` or `env=VARIABLE`; a secret without either is a file with its name where there is one, and else a variable.
fn secret(written: &str, environment: &Environment) -> Result<(String, Secret)> {
    let place = Place::flag(format!("--secret {written}"));
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in written.split(',') {
        let Some((key, value)) = field.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(place.usage(format!("`{}` is not KEY=VALUE", text::shown(field))));
        };
        match key {
            "id" => id = Some(value),
            "src" | "source" => file = Some(value),
            "env" => variable = Some(value),
            "type" if matches!(value, "file" | "env") => kind = Some(value),
            "type" => return Err(place.usage(format!("`{}` is no type of secret", text::shown(value))).hint("the types are file and env")),
            _ => return Err(place.usage(format!("a secret has no `{}`", text::shown(key))).hint("write id=ID,src=FILE or id=ID,env=VARIABLE")),
        }
    }
    let id = id.ok_or_else(|| place.usage("the secret has no id").hint("write id=ID,src=FILE or id=ID,env=VARIABLE"))?;
    // As for BuildKit: with `type=env`, the source is a variable.
    if kind == Some("env") {
        (file, variable) = (None, variable.or(file));
    }
    let from_file = |file: &str| read(Path::new(file)).map_err(|error| place.wrap(error, "cannot read the secret"));
    let from_variable = |name: &str| environment.named(name).map(|value| value.map(String::into_bytes));
    let unset = |name: &str| place.usage(format!("the environment variable {} is not set", text::shown(name)));
    let bytes = match (file, variable) {
        (Some(_), Some(_)) => return Err(place.usage("the secret comes from a file and from a variable").hint("give one of the two")),
        (Some(file), None) => from_file(file)?,
        (None, Some(name)) => from_variable(name)?.ok_or_else(|| unset(name))?,
        (None, None) if kind != Some("env") && Path::new(id).exists() => from_file(id)?,
        (None, None) => from_variable(id)?.ok_or_else(|| unset(id).hint("write src=FILE or env=VARIABLE"))?,
    };
    Ok((id.to_owned(), Secret(bytes)))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = regular::open_path(path)?.file;
    file.take(SECRET_BYTES + 1).read_to_end(&mut bytes).at("read", path)?;
    match bytes.len() as u64 > SECRET_BYTES {
        true => Err(Error::usage(format!("{} has more than {SECRET_BYTES} bytes", text::path(path)))),
        false => Ok(bytes),
    }
}

fn socket(written: &str, environment: &Environment) -> Result<(String, PathBuf)> {
    let place = Place::flag(format!("--ssh {written}"));
    let (id, path) = match written.split_once('=') {
        Some((id, path)) => (id, PathBuf::from(path)),
        None => {
            let agent = environment.get(&SSH_AUTH_SOCK).map(PathBuf::from);
            (written, agent.ok_or_else(|| place.usage("SSH_AUTH_SOCK is not set").hint(format!("start an agent, or write {written}=SOCKET")))?)
        }
    };
    let is_socket = std::fs::metadata(&path).at("find", &path).map(|metadata| std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()));
    match is_socket.map_err(|error| place.wrap(error, "cannot use this agent"))? {
        true => Ok((id.to_owned(), path)),
        false => Err(place.usage(format!("{} is no socket", text::path(&path))).hint("larder reads no keys: load the key into an agent with ssh-add")),
    }
}
