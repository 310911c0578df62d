//! The mounts of a `RUN` with every variable expanded.

use super::SourceId;
use super::scope::Given;
use super::settings::Settings;
use crate::build::dockerfile::instruction::{MountKind, MountSpec, Remark};
use crate::build::place::{At, Place};
use crate::error::Result;
use crate::spec::text;

/// Something mounted for one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlan {
    /// Where it is asked for.
    pub place: Place,
    /// What.
    pub what: MountedPlan,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountedPlan {
    /// A file or directory of a context or a stage.
    Bind(BindPlan),
    /// A directory that later builds find again.
    Cache(CachePlan),
    /// A directory in memory.
    Memory {
        /// Where, absolute.
        target: String,
        /// The most bytes, where there is a limit.
        size: Option<u64>,
    },
    /// A secret of the call.
    Secret(SecretPlan),
    /// A socket of the call.
    Socket(SocketPlan),
}

impl MountedPlan {
    /// Where it takes files from, if it takes any.
    pub(super) fn source(&self) -> Option<&SourceId> {
        match self {
            MountedPlan::Bind(bind) => Some(&bind.from),
            MountedPlan::Cache(cache) => cache.begin.as_ref().map(|(from, _)| from),
            MountedPlan::Memory { .. } | MountedPlan::Secret(_) | MountedPlan::Socket(_) => None,
        }
    }
}

/// A file or directory of a context or a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindPlan {
    /// Where, absolute.
    pub target: String,
    /// Where it is.
    pub from: SourceId,
    /// Its path there.
    pub source: At<String>,
    /// Whether the step may write to it; what it writes is gone afterwards.
    pub writable: Writable,
}

/// A directory that later builds find again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePlan {
    /// Where, absolute.
    pub target: String,
    /// What it is called.
    pub id: String,
    /// Who may use it at the same time.
    pub shared: SharedBy,
    /// What it begins with.
    pub begin: Option<(SourceId, At<String>)>,
    /// Its permissions, user and group, when it is made.
    pub attributes: (u32, u32, u32),
    /// Whether the step may write to it.
    pub writable: Writable,
}

/// A secret of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretPlan {
    /// What it is called.
    pub id: String,
    /// Where it is a file, absolute.
    pub target: Option<String>,
    /// The variable that it is.
    pub variable: Option<String>,
    /// Whether the step cannot do without.
    pub required: bool,
    /// Permissions, user and group of the file.
    pub attributes: (u32, u32, u32),
}

/// A socket of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPlan {
    /// What it is called.
    pub id: String,
    /// Where, absolute.
    pub target: String,
    /// Whether the step cannot do without.
    pub required: bool,
    /// Permissions, user and group of the socket.
    pub attributes: (u32, u32, u32),
}

/// Whether a step may write to a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// It may not.
    No,
    /// It may.
    Yes,
}

/// Who may use a cache at the same time; the strictest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedBy {
    /// Every step.
    All,
    /// Nobody else: who comes second gets another one.
    Copies,
    /// Nobody else: who comes second waits.
    Turns,
}

/// Where agents listen, unless the mount says otherwise.
const AGENT: &str = "/run/buildkit/ssh_agent.0";

pub(super) fn plan(settings: &Settings, given: &Given, spec: &MountSpec, source: &SourceId, remarks: &mut Vec<Remark>) -> Result<MountPlan> {
    let mut fields = Fields { place: &spec.place, all: Vec::new() };
    for (key, value) in &spec.fields {
        let expanded = value.as_ref().map(|value| Ok(settings.scope.expand(given, &At::new(value.clone(), spec.place.clone()), remarks)?.text));
        fields.all.push((key, expanded.transpose()?));
    }
    let target = || fields.text(&["target", "dst", "destination"]).map(|target| settings.absolute(target));
    let needed = || target().ok_or_else(|| spec.place.usage("the mount has no target").hint("write target=/PATH"));
    let from = fields.text(&["source", "src"]).map(|source| At::new(source.to_owned(), spec.place.clone()));
    let whole = || At::new("/".to_owned(), spec.place.clone());
    let what = match spec.kind {
        MountKind::Bind => {
            let source_path = from.unwrap_or_else(whole);
            MountedPlan::Bind(BindPlan { target: needed()?, from: source.clone(), source: source_path, writable: fields.writable(Writable::No)? })
        }
        MountKind::Cache => {
            let target = needed()?;
            let id = fields.text(&["id"]).unwrap_or(&target).to_owned();
            let begin = fields.text(&["from"]).map(|_| (source.clone(), from.unwrap_or_else(whole)));
            let (shared, attributes, writable) = (fields.shared()?, fields.attributes(0o755)?, fields.writable(Writable::Yes)?);
            MountedPlan::Cache(CachePlan { target, id, shared, begin, attributes, writable })
        }
        MountKind::Tmpfs => MountedPlan::Memory { target: needed()?, size: fields.size()? },
        MountKind::Secret => secret(&fields, target(), from.map(|from| from.value))?,
        MountKind::Ssh => {
            let id = fields.text(&["id"]).unwrap_or("default").to_owned();
            let (target, required) = (target().unwrap_or_else(|| AGENT.to_owned()), fields.flag("required")?.unwrap_or(false));
            MountedPlan::Socket(SocketPlan { id, target, required, attributes: fields.attributes(0o600)? })
        }
    };
    Ok(MountPlan { place: spec.place.clone(), what })
}

fn secret(fields: &Fields<'_>, target: Option<String>, source: Option<String>) -> Result<MountedPlan> {
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let variable = fields.text(&["env"]).map(str::to_owned);
    let id = source.or_else(|| fields.text(&["id"]).map(str::to_owned)).or_else(|| target.as_deref().map(last)).or_else(|| variable.clone());
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Err(fields.place.usage("the mount says of no secret").hint("write id=NAME"));
    };
    let target = target.or_else(|| variable.is_none().then(|| format!("/run/secrets/{}", last(&id))));
    let (required, attributes) = (fields.flag("required")?.unwrap_or(false), fields.attributes(0o400)?);
    Ok(MountedPlan::Secret(SecretPlan { id, target, variable, required, attributes }))
}

/// The fields of a mount, expanded.
struct Fields<'a> {
    place: &'a Place,
    all: Vec<(&'a String, Option<String>)>,
}

impl Fields<'_> {
    fn get(&self, keys: &[&str]) -> Option<&Option<String>> {
        self.all.iter().find(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| value)
    }

    fn text(&self, keys: &[&str]) -> Option<&str> {
        self.get(keys).and_then(Option::as_deref).filter(|value| !value.is_empty())
    }

    fn flag(&self, key: &str) -> Result<Option<bool>> {
        match self.get(&[key]) {
            None => Ok(None),
            Some(None) => Ok(Some(true)),
            Some(Some(value)) => match value.to_lowercase().as_str() {
                "true" | "1" => Ok(Some(true)),
                "false" | "0" => Ok(Some(false)),
                _ => Err(self.place.usage(format!("`{key}` of the mount is true or false"))),
            },
        }
    }

    fn writable(&self, usual: Writable) -> Result<Writable> {
        let turned = |on: bool| if on { Writable::Yes } else { Writable::No };
        let mut writable = usual;
        for (key, means) in [("readonly", false), ("ro", false), ("readwrite", true), ("rw", true)] {
            if let Some(on) = self.flag(key)? {
                writable = turned(on == means);
            }
        }
        Ok(writable)
    }

    fn shared(&self) -> Result<SharedBy> {
        match self.text(&["sharing"]) {
            None | Some("shared") => Ok(SharedBy::All),
            Some("private") => Ok(SharedBy::Copies),
            Some("locked") => Ok(SharedBy::Turns),
            Some(other) => {
                let error = self.place.usage(format!("`{}` is no way to share a cache", text::shown(other)));
                Err(error.hint("the ways are shared, private and locked"))
            }
        }
    }

    fn number(&self, key: &str, radix: u32, most: u32, usual: u32) -> Result<u32> {
        let Some(written) = self.text(&[key]) else { return Ok(usual) };
        let number = u32::from_str_radix(written, radix).ok().filter(|number| *number <= most && !written.starts_with('+'));
        number.ok_or_else(|| self.place.usage(format!("`{}` is no {key} of a mount", text::shown(written))))
    }

    /// Permissions, user and group.
    fn attributes(&self, mode: u32) -> Result<(u32, u32, u32)> {
        Ok((self.number("mode", 8, 0o7777, mode)?, self.number("uid", 10, u32::MAX - 1, 0)?, self.number("gid", 10, u32::MAX - 1, 0)?))
    }

    /// As Docker reads sizes: units are powers of 1024.
    fn size(&self) -> Result<Option<u64>> {
        let Some(written) = self.text(&["size"]) else { return Ok(None) };
        let lower = written.to_lowercase();
        let number = lower.trim_end_matches('b').trim_end_matches('i');
        let (digits, power) = match number.chars().next_back() {
            Some('k') => (&number[..number.len() - 1], 1),
            Some('m') => (&number[..number.len() - 1], 2),
            Some('g') => (&number[..number.len() - 1], 3),
            Some('t') => (&number[..number.len() - 1], 4),
            _ => (number, 0),
        };
        let bytes = digits.trim().parse::<u64>().ok().and_then(|count| count.checked_mul(1024_u64.pow(power)));
        let size = bytes.ok_or_else(|| self.place.usage(format!("`{}` is no size", text::shown(written))).hint("write a number of bytes, or one as in 64m"))?;
        Ok(Some(size))
    }
}
