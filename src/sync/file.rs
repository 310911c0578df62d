//! The sync file: a job in TOML. The README has its keys; here is how they are read.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::spec::{Platform, text};
use crate::specfile::fields::{Fields, File};
use crate::specfile::{At, Place, platforms, size};

use super::SyncSpec;
use super::endpoint::Endpoint;
use super::glob::Globs;
use super::registry::{CredentialSpec, RegistrySpec, SecretSource, Security, Upload, UserSource};
use super::rename::{Rename, Renames};
use super::route::{Attached, Existing, Lacking, Prune, Route};
use super::tags::{TagSpec, Tags};

const TOP: &[&str] = &["registry", "defaults", "sync"];
const REGISTRY: &[&str] = &[
    "tls",
    "ca",
    "client-cert",
    "client-key",
    "api-prefix",
    "upload",
    "chunk-size",
    "transfers",
    "requests-per-second",
    "username",
    "username-env",
    "username-file",
    "password-env",
    "password-file",
    "token-env",
    "token-file",
    "identity-token-env",
    "identity-token-file",
];
const DEFAULTS: &[&str] = &["platforms", "skip-missing-platforms", "referrers", "skip-existing", "prune", "exclude-tags"];
const SYNC: &[&str] = &[
    "from",
    "to",
    "repositories",
    "exclude-repositories",
    "rename",
    "tags",
    "tags-regex",
    "semver",
    "exclude-tags",
    "newest",
    "rename-tags",
    "platforms",
    "skip-missing-platforms",
    "referrers",
    "skip-existing",
    "prune",
];

/// Reads the text of a sync file whose paths begin at `directory`. `name` stands in messages.
///
/// Fails with kind `usage`, with line and column.
pub fn parse(name: &str, text: &str, directory: &Path) -> Result<SyncSpec> {
    File::read(name, text, TOP, |top| {
        let defaults = top.table("defaults", DEFAULTS)?;
        let registries = top.named_tables("registry", REGISTRY)?;
        let routes = top.tables("sync", "sync", SYNC)?;
        if routes.is_empty() {
            return Err(top.place.usage("there is nothing to do").hint("write a [[sync]] with `from` and `to`"));
        }
        Ok(SyncSpec {
            registries: registries.iter().map(|(host, fields)| registry(host, fields, directory)).collect::<Result<_>>()?,
            routes: routes.iter().map(|fields| Reader { fields, defaults: defaults.as_ref(), directory }.route()).collect::<Result<_>>()?,
        })
    })
}

/// Reads one `[[sync]]`.
struct Reader<'a> {
    fields: &'a Fields<'a>,
    defaults: Option<&'a Fields<'a>>,
    directory: &'a Path,
}

impl Reader<'_> {
    fn route(&self) -> Result<Route> {
        let fields = self.fields;
        let tags = TagSpec {
            globs: fields.strings("tags")?,
            regexes: fields.strings_or_one("tags-regex")?,
            versions: fields.strings_or_one("semver")?,
            except: self.or_default("exclude-tags").strings("exclude-tags")?,
            newest: fields.count("newest")?,
        };
        let route = Route {
            place: fields.place.clone(),
            from: self.from()?,
            to: self.end(fields.required("to", "[[sync]]")?)?,
            repositories: Globs::compile(fields.strings("repositories")?)?,
            except: Globs::compile(fields.strings("exclude-repositories")?)?,
            tags: Tags::compile(tags)?,
            rename: renames(fields, "rename")?,
            rename_tags: renames(fields, "rename-tags")?,
            platforms: self.platforms()?,
            lacking: match self.or_default("skip-missing-platforms").boolean("skip-missing-platforms")? {
                Some(true) => Lacking::Skipped,
                _ => Lacking::Fails,
            },
            attached: match self.or_default("referrers").boolean("referrers")? {
                Some(true) => Attached::Carried,
                _ => Attached::Left,
            },
            existing: match self.or_default("skip-existing").boolean("skip-existing")? {
                Some(true) => Existing::Kept,
                _ => Existing::Replaced,
            },
            prune: match self.or_default("prune").boolean("prune")? {
                Some(true) => Prune::Tags,
                _ => Prune::Nothing,
            },
        };
        route.check()?;
        Ok(route)
    }

    /// The table that has the key: the own one, else that of the defaults.
    fn or_default(&self, key: &str) -> &Fields<'_> {
        self.defaults.filter(|defaults| !self.fields.has(key) && defaults.has(key)).unwrap_or(self.fields)
    }

    fn from(&self) -> Result<Vec<At<Endpoint>>> {
        let from = self.fields.strings_or_one("from")?;
        if from.is_empty() {
            return Err(self.fields.place_of("from").usage("[[sync]] needs `from`"));
        }
        from.into_iter().map(|written| self.end(written)).collect()
    }

    fn end(&self, written: At<String>) -> Result<At<Endpoint>> {
        let end = Endpoint::parse(&written.value, self.directory)
            .map_err(|error| written.place.wrap(error, format!("cannot use `{}`", text::shown(&written.value))))?;
        if let Endpoint::Local(location) = &end
            && location.is_stream()
        {
            return Err(written.place.usage("a job runs more than once, and stdin and stdout do not").hint("write a file"));
        }
        Ok(At::new(end, written.place))
    }

    fn platforms(&self) -> Result<Vec<Platform>> {
        let mut found: Vec<Platform> = Vec::new();
        for written in self.or_default("platforms").strings("platforms")? {
            let platform = platforms::read(&written)?;
            if found.contains(&platform) {
                return Err(written.place.usage(format!("platform {platform} stands here twice")));
            }
            found.push(platform);
        }
        Ok(found)
    }
}

fn renames(fields: &Fields<'_>, key: &str) -> Result<Renames> {
    let pairs = fields.pairs(key)?;
    Ok(Renames::new(pairs.iter().map(|(from, to)| Rename::compile(from, to)).collect::<Result<_>>()?))
}

fn registry(host: &At<String>, fields: &Fields<'_>, directory: &Path) -> Result<RegistrySpec> {
    let place = &host.place;
    // What a host is, references know.
    let is_host = format!("{}/x/x", host.value).parse::<crate::spec::Reference>().is_ok_and(|reference| reference.host() == host.value);
    if !is_host {
        let message = format!("`{}` is not the host of a registry", text::shown(&host.value));
        return Err(place.usage(message).hint("write it as references do, with a port where it has one: [registry.\"registry.example:5000\"]"));
    }
    let path = |written: At<String>| At::new(directory.join(&written.value), written.place);
    let client = match (fields.string("client-cert")?, fields.string("client-key")?) {
        (Some(certificate), Some(key)) => Some((path(certificate), path(key))),
        (None, None) => None,
        (Some(alone), None) | (None, Some(alone)) => return Err(alone.place.usage("`client-cert` and `client-key` go together")),
    };
    Ok(RegistrySpec {
        place: place.clone(),
        host: host.value.clone(),
        security: security(fields)?,
        authorities: fields.strings_or_one("ca")?.into_iter().map(path).collect(),
        client,
        api_prefix: api_prefix(fields)?,
        upload: upload(fields)?,
        transfers: fields.count("transfers")?,
        requests_per_second: fields.count("requests-per-second")?,
        credential: credential(fields, directory)?,
    })
}

fn security(fields: &Fields<'_>) -> Result<Option<Security>> {
    let known = [("verify", Security::Verified), ("insecure", Security::Insecure), ("plain", Security::Plain)];
    word(fields, "tls", &known)
}

fn upload(fields: &Fields<'_>) -> Result<Option<Upload>> {
    let known = [("auto", Upload::Auto), ("single", Upload::Single), ("stream", Upload::Stream), ("chunked", Upload::Chunked(Upload::CHUNK))];
    let upload = word(fields, "upload", &known)?;
    let Some(written) = fields.string("chunk-size")? else { return Ok(upload) };
    if !matches!(upload, Some(Upload::Chunked(_))) {
        return Err(written.place.usage("`chunk-size` is for `upload = \"chunked\"`"));
    }
    let bytes = size::parse(&written.value).map_err(|clause| written.place.usage(clause))?;
    let bytes = usize::try_from(bytes).ok().and_then(NonZeroUsize::new).ok_or_else(|| written.place.usage("a chunk has at least one byte"))?;
    Ok(Some(Upload::Chunked(bytes)))
}

/// One of some words.
fn word<T: Copy>(fields: &Fields<'_>, key: &str, known: &[(&str, T)]) -> Result<Option<T>> {
    let Some(written) = fields.string(key)? else { return Ok(None) };
    let found = known.iter().find(|(word, _)| *word == written.value).map(|(_, value)| *value);
    let words = || known.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| written.place.usage(format!("`{key}` cannot be `{}`", text::shown(&written.value))).hint(format!("it is one of {}", words())))
}

fn api_prefix(fields: &Fields<'_>) -> Result<Option<String>> {
    let Some(written) = fields.string("api-prefix")? else { return Ok(None) };
    let prefix = written.value.trim_end_matches('/');
    if !prefix.starts_with('/') || prefix.contains(['?', '#', ' ']) {
        return Err(written.place.usage("`api-prefix` is a path of the host").hint("write it such as \"/artifactory/api/docker/docker-local/v2\""));
    }
    Ok(Some(prefix.to_owned()))
}

fn credential(fields: &Fields<'_>, directory: &Path) -> Result<Option<CredentialSpec>> {
    let secret = |what: &str| source(fields, what, directory);
    let user = match (fields.string("username")?, secret("username")?) {
        (Some(_), Some(other)) => return Err(place_of(&other).usage("the user stands here twice")),
        (Some(user), None) => Some(UserSource::Named(user.value)),
        (None, other) => other.map(UserSource::Elsewhere),
    };
    let password = secret("password")?;
    let mut found: Vec<(Place, CredentialSpec)> = Vec::new();
    match (user, password) {
        (Some(user), Some(password)) => found.push((place_of(&password).clone(), CredentialSpec::Password { user, password })),
        (None, None) => {}
        (Some(_), None) => return Err(fields.place.usage("a user needs `password-env` or `password-file`")),
        (None, Some(password)) => return Err(place_of(&password).usage("a password needs `username`, `username-env` or `username-file`")),
    }
    found.extend(secret("token")?.map(|token| (place_of(&token).clone(), CredentialSpec::Token(token))));
    found.extend(secret("identity-token")?.map(|token| (place_of(&token).clone(), CredentialSpec::IdentityToken(token))));
    if let [_, (second, _), ..] = &found[..] {
        return Err(second.usage("there is more than one way to prove who one is").hint("leave out all but one"));
    }
    Ok(found.pop().map(|(_, credential)| credential))
}

/// `WHAT-env` or `WHAT-file`.
fn source(fields: &Fields<'_>, what: &str, directory: &Path) -> Result<Option<SecretSource>> {
    match (fields.string(&format!("{what}-env"))?, fields.string(&format!("{what}-file"))?) {
        (Some(_), Some(file)) => Err(file.place.usage(format!("`{what}-env` and `{what}-file` are two places for one thing"))),
        (Some(variable), None) if variable.value.is_empty() || variable.value.contains(['=', '\0']) => {
            Err(variable.place.usage(format!("`{}` is not the name of an environment variable", text::shown(&variable.value))))
        }
        (Some(variable), None) => Ok(Some(SecretSource::Variable(variable))),
        (None, Some(file)) => Ok(Some(SecretSource::File(At::new(directory.join(PathBuf::from(file.value)), file.place)))),
        (None, None) => Ok(None),
    }
}

fn place_of(source: &SecretSource) -> &Place {
    match source {
        SecretSource::Variable(at) => &at.place,
        SecretSource::File(at) => &at.place,
    }
}

#[cfg(test)]
mod tests;
