//! What a sync file says of registries, as settings of the network.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::cli::environment::Environment;
use crate::cli::network::{read as certificates, secret_file};
use crate::error::{Error, Result};
use crate::spec::text;
use crate::specfile::{At, Place};
use crate::store::registry::{Certificates, ClientCertificate, Credential, Credentials, HostSettings, Secret, Security, Settings, Upload};
use crate::sync::{CredentialSpec, RegistrySpec, SecretSource, UserSource};

/// Credentials that a sync file names, before those that are known elsewhere.
struct Written {
    by_host: HashMap<String, Credential>,
    others: Arc<dyn Credentials>,
}

impl Credentials for Written {
    fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>> {
        match self.by_host.get(host) {
            Some(credential) => Ok(Some(credential.clone())),
            None => self.others.find(host, repository),
        }
    }
}

/// Adds what a file says of registries, which counts before what flags say of all.
///
/// Kinds: `usage` for variables that are not set; those of reading files.
pub(super) fn apply(specs: &[RegistrySpec], settings: &mut Settings, environment: &Environment) -> Result<()> {
    let mut by_host = HashMap::new();
    for spec in specs {
        let usual = settings.of(&spec.host).clone();
        let host = of(spec, usual)?;
        settings.hosts.insert(spec.host.to_ascii_lowercase(), host);
        if let Some(written) = &spec.credential {
            by_host.insert(spec.host.to_ascii_lowercase(), credential(written, environment)?);
        }
    }
    settings.credentials = Arc::new(Written { by_host, others: settings.credentials.clone() });
    Ok(())
}

/// What holds for one registry.
fn of(spec: &RegistrySpec, usual: HostSettings) -> Result<HostSettings> {
    Ok(HostSettings {
        security: security(spec, usual.security)?,
        api_prefix: spec.api_prefix.clone().or(usual.api_prefix),
        upload: spec.upload.map_or(usual.upload, |upload| match upload {
            crate::sync::Upload::Auto => Upload::Auto,
            crate::sync::Upload::Single => Upload::Single,
            crate::sync::Upload::Stream => Upload::Stream,
            crate::sync::Upload::Chunked(size) => Upload::Chunked(size),
        }),
        transfers: spec.transfers.unwrap_or(usual.transfers),
        requests_per_second: spec.requests_per_second.or(usual.requests_per_second),
        trusted_realms: usual.trusted_realms,
    })
}

fn security(spec: &RegistrySpec, usual: Security) -> Result<Security> {
    let mut known = match &usual {
        Security::Verified(known) | Security::Insecure(known) => known.clone(),
        Security::Plain => Certificates::default(),
    };
    for file in &spec.authorities {
        known.authorities.push(read(file, certificates)?);
    }
    if let Some((chain, key)) = &spec.client {
        known.client = Some(ClientCertificate { chain: read(chain, certificates)?, key: read(key, secret_file)? });
    }
    Ok(match (spec.security, usual) {
        (Some(crate::sync::Security::Plain), _) => Security::Plain,
        (Some(crate::sync::Security::Insecure), _) | (None, Security::Insecure(_)) => Security::Insecure(known),
        (None, Security::Plain) if spec.authorities.is_empty() && spec.client.is_none() => Security::Plain,
        (Some(crate::sync::Security::Verified), _) | (None, Security::Verified(_) | Security::Plain) => Security::Verified(known),
    })
}

fn credential(written: &CredentialSpec, environment: &Environment) -> Result<Credential> {
    Ok(match written {
        CredentialSpec::Password { user, password } => {
            let user = match user {
                UserSource::Named(user) => user.clone(),
                UserSource::Elsewhere(source) => secret(source, environment)?.reveal().to_owned(),
            };
            Credential::Basic { user, password: secret(password, environment)? }
        }
        CredentialSpec::Token(source) => Credential::Bearer(secret(source, environment)?),
        CredentialSpec::IdentityToken(source) => Credential::IdentityToken(secret(source, environment)?),
    })
}

fn secret(source: &SecretSource, environment: &Environment) -> Result<Secret> {
    match source {
        SecretSource::Variable(name) => match environment.named(&name.value)? {
            Some(value) => Ok(Secret::new(value)),
            None => Err(name.place.usage(format!("the environment variable `{}` is not set", text::shown(&name.value)))),
        },
        SecretSource::File(file) => {
            let secret = read(file, secret_file)?;
            let text = secret.reveal();
            let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
            match line.is_empty() {
                true => Err(empty(&file.place, &file.value)),
                false => Ok(Secret::new(line)),
            }
        }
    }
}

fn empty(place: &Place, file: &Path) -> Error {
    place.usage(format!("{} is empty", text::path(file)))
}

fn read<T>(file: &At<std::path::PathBuf>, read: impl Fn(&Path) -> Result<T>) -> Result<T> {
    read(&file.value).map_err(|error| file.place.wrap(error, format!("cannot use {}", text::path(&file.value))))
}
