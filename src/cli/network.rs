//! How registries are spoken to: flags and environment become [`Settings`].
//!
//! What flags say holds for the registries that the command names, and for no other host that these may point to.

use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, IoContext as _, Result};
use crate::fsio::regular;
use crate::spec::text;
use crate::store::registry::credentials::Sources;
use crate::store::registry::{Certificates, ClientCertificate, HostSettings, Patience, Proxies, Secret, Security, Settings, Upload};

use super::args::parse_duration;
use super::bytes;
use super::context::Context;
use super::environment::{
    ALL_PROXY, ALL_PROXY_LOWER, Environment, HOME, HTTP_PROXY, HTTP_PROXY_LOWER, HTTPS_PROXY, HTTPS_PROXY_LOWER, NO_PROXY, NO_PROXY_LOWER, SSL_CERT_FILE,
    Variable,
};

/// Where systems keep the authorities that they trust.
const SYSTEM_CERTIFICATES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The longest certificates that are read: those of a whole system have 200 KiB.
const CERTIFICATE_BYTES: u64 = 16 << 20;

/// The options of every command that speaks to registries.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Registry options")]
pub(crate) struct NetworkFlags {
    /// Takes any certificate, and goes on without TLS where the registry speaks none
    #[arg(long, conflicts_with_all = ["plain_http", "ca_file"])]
    insecure: bool,
    /// Uses no TLS; registries on this machine are reached without it anyway, unless --ca-file is given
    #[arg(long, conflicts_with_all = ["ca_file", "client_cert"])]
    plain_http: bool,
    /// Trusts these authorities too, in PEM; may be repeated
    #[arg(long, value_name = "FILE")]
    ca_file: Vec<PathBuf>,
    /// Proves with this certificate who one is, in PEM
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Private key of --client-cert, in PEM
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// Host that issues the tokens of the registry and may receive the password; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    trust_realm: Vec<String>,
    /// Path in place of /v2, such as /artifactory/api/docker/docker-local/v2
    #[arg(long, value_name = "PATH")]
    api_prefix: Option<String>,
    /// How blobs are sent: auto, single, stream, or chunked with an optional size, such as chunked=32MiB
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = parse_upload)]
    upload: Upload,
    /// Requests and downloads that run at once, each
    #[arg(long, value_name = "N", default_value = "8", value_parser = parse_number)]
    per_host: NonZeroUsize,
    /// Requests that may begin in a second
    #[arg(long, value_name = "N", value_parser = parse_number)]
    request_rate: Option<NonZeroUsize>,
    /// Bytes per second that all transfers together may take in each direction, such as 10M
    #[arg(long, value_name = "BYTES", value_parser = parse_rate)]
    limit_rate: Option<NonZeroUsize>,
    /// How often a request is sent before it has failed
    #[arg(long, value_name = "N", default_value = "5", value_parser = parse_number)]
    attempts: NonZeroUsize,
    /// How long to wait for an answer, and for a connection that carries nothing
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_timeout)]
    timeout: Duration,
}

impl NetworkFlags {
    /// The settings for a command that names these registries. Fails with kind `usage` or `io` where a file cannot be read.
    pub(crate) fn settings(&self, context: &Context, hosts: &[&str], credentials: Sources) -> Result<Settings> {
        let authorities = self.ca_file.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
        let named = |name: &&str| Ok((name.to_ascii_lowercase(), self.host(&context.environment, name, &authorities)?));
        let named = hosts.iter().map(named).collect::<Result<_>>()?;
        let defaults = HostSettings {
            // Who trusts an authority trusts it also for what the registry points to.
            security: Security::Verified(Certificates { authorities, client: None }),
            transfers: self.per_host,
            requests_per_second: self.request_rate,
            upload: self.upload,
            ..HostSettings::default()
        };
        Ok(Settings {
            defaults,
            hosts: named,
            proxies: proxies(&context.environment)?,
            system_certificates: system_certificates(&context.environment)?,
            patience: self.patience(),
            bandwidth: self.limit_rate,
            // Any number will do that another run does not have.
            seed: u64::try_from(context.run.clock.now().as_nanos() & u128::from(u64::MAX)).unwrap_or_default() ^ u64::from(std::process::id()),
            credentials: Arc::new(credentials),
            ..Settings::default()
        })
    }

    /// What holds for a registry that is named: what flags say, and the certificates that Docker and podman keep for it.
    fn host(&self, environment: &Environment, name: &str, authorities: &[Vec<u8>]) -> Result<HostSettings> {
        let mut certificates = kept_certificates(environment, name)?;
        certificates.authorities.extend_from_slice(authorities);
        if let (Some(chain), Some(key)) = (&self.client_cert, &self.client_key) {
            certificates.client = Some(ClientCertificate { chain: read(chain)?, key: secret_file(key)? });
        }
        let security = match (self.insecure, self.plain_http) {
            (true, _) => Security::Insecure(certificates),
            (false, true) => Security::Plain,
            (false, false) => Security::Verified(certificates),
        };
        Ok(HostSettings {
            security,
            api_prefix: self.api_prefix.clone(),
            upload: self.upload,
            transfers: self.per_host,
            requests_per_second: self.request_rate,
            trusted_realms: self.trust_realm.clone(),
        })
    }

    fn patience(&self) -> Patience {
        let usual = Patience::default();
        Patience { attempts: self.attempts, connect: self.timeout.min(usual.connect), answer: self.timeout, idle: self.timeout, ..usual }
    }
}

/// The certificates that are kept for a host in the first of the directories of containers-certs.d(5) that there is: `*.crt` are authorities, a `*.cert` and the `*.key`
/// of the same name prove who one is.
fn kept_certificates(environment: &Environment, host: &str) -> Result<Certificates> {
    let home = environment.get(&HOME).map(|home| Path::new(home).join(".config/containers/certs.d"));
    let places = home.into_iter().chain(["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from));
    let Some(place) = places.map(|place| place.join(host)).find(|place| place.is_dir()) else { return Ok(Certificates::default()) };
    let entries = std::fs::read_dir(&place).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    let mut files = entries.at("read", &place)?;
    files.sort();
    let mut certificates = Certificates::default();
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => certificates.authorities.push(read(&file)?),
            Some("cert") if certificates.client.is_none() => {
                let key = file.with_extension("key");
                certificates.client = Some(ClientCertificate { chain: read(&file)?, key: secret_file(&key)? });
            }
            _ => {}
        }
    }
    Ok(certificates)
}

/// The proxies that the environment names, as curl and Go read it. Lower case comes first.
fn proxies(environment: &Environment) -> Result<Proxies> {
    let first = |variables: &[&Variable]| -> Result<Option<String>> {
        for variable in variables {
            if let Some(text) = environment.text(variable)? {
                return Ok(Some(text.to_owned()));
            }
        }
        Ok(None)
    };
    let none = first(&[&NO_PROXY_LOWER, &NO_PROXY])?.unwrap_or_default();
    Ok(Proxies {
        https: first(&[&HTTPS_PROXY_LOWER, &HTTPS_PROXY, &ALL_PROXY_LOWER, &ALL_PROXY])?.map(Secret::new),
        http: first(&[&HTTP_PROXY_LOWER, &HTTP_PROXY, &ALL_PROXY_LOWER, &ALL_PROXY])?.map(Secret::new),
        none: none.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect(),
    })
}

/// The authorities of the system. None at all is no failure before somebody needs one.
fn system_certificates(environment: &Environment) -> Result<Vec<Vec<u8>>> {
    if let Some(file) = environment.get(&SSL_CERT_FILE) {
        return read(Path::new(file)).map(|certificates| vec![certificates]);
    }
    let file = SYSTEM_CERTIFICATES.iter().map(Path::new).find(|file| file.exists());
    file.map(read).into_iter().collect()
}

/// Reads certificates, in PEM. Kinds: those of opening; `usage` for what is too long for any.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let regular = regular::open_path(file)?;
    let mut bytes = Vec::new();
    regular.file.take(CERTIFICATE_BYTES + 1).read_to_end(&mut bytes).at("read", file)?;
    match bytes.len() as u64 > CERTIFICATE_BYTES {
        true => Err(Error::usage(format!("{} is too long for certificates", text::path(file))).subject(text::path(file))),
        false => Ok(bytes),
    }
}

/// Reads a secret, such as a private key in PEM. Kinds as for certificates.
pub(crate) fn secret_file(file: &Path) -> Result<Secret> {
    let text = String::from_utf8(read(file)?).map_err(|_| Error::usage(format!("{} is not in PEM", text::path(file))))?;
    Ok(Secret::new(text))
}

/// Reads a way to send blobs. The error is one clause.
fn parse_upload(text: &str) -> Result<Upload, String> {
    match text.split_once('=').map_or((text, None), |(way, size)| (way, Some(size))) {
        ("auto", None) => Ok(Upload::Auto),
        ("single", None) => Ok(Upload::Single),
        ("stream", None) => Ok(Upload::Stream),
        ("chunked", None) => Ok(Upload::Chunked(Upload::CHUNK)),
        ("chunked", Some(size)) => {
            let size = bytes::parse(size)?;
            let size = usize::try_from(size).ok().and_then(NonZeroUsize::new).filter(|size| size.get() >= SMALLEST_CHUNK);
            size.map(Upload::Chunked).ok_or_else(|| "chunks have at least 64KiB".to_owned())
        }
        _ => Err("auto, single, stream, chunked or chunked=BYTES is needed".to_owned()),
    }
}

/// Smaller chunks make nothing but requests.
const SMALLEST_CHUNK: usize = 64 << 10;

fn parse_number(text: &str) -> Result<NonZeroUsize, String> {
    text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= MOST).ok_or_else(|| format!("a number from 1 to {MOST} is needed"))
}

/// More of anything than this is a typing error.
const MOST: usize = 10_000;

fn parse_rate(text: &str) -> Result<NonZeroUsize, String> {
    let rate = usize::try_from(bytes::parse(text)?).ok().and_then(NonZeroUsize::new);
    rate.ok_or_else(|| "more than nothing is needed".to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    if timeout.is_zero() { Err("more than nothing is needed".to_owned()) } else { Ok(timeout) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_send_blobs() {
        let chunked = |size| Ok(Upload::Chunked(NonZeroUsize::new(size).expect("not zero")));
        assert_eq!(parse_upload("auto"), Ok(Upload::Auto));
        assert_eq!(parse_upload("chunked"), chunked(16 << 20));
        assert_eq!(parse_upload("chunked=32MiB"), chunked(32 << 20));
        for text in ["", "chunk", "single=1", "chunked=", "chunked=1", "chunked=x"] {
            assert!(parse_upload(text).is_err(), "{text}");
        }
    }
}
