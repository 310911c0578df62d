//! `RUN`.

use super::forms::{command, json};
use super::{Parts, Reader};
use crate::build::dockerfile::instruction::{MountKind, MountSpec, RunSpec};
use crate::build::place::At;
use crate::error::{ErrorKind, Result};
use crate::spec::text;

/// The keys of mounts, and the kinds that have them.
const KEYS: [(&str, &[MountKind]); 19] = {
    use MountKind::{Bind, Cache, Secret, Ssh, Tmpfs};
    const ALL: &[MountKind] = &[Bind, Cache, Tmpfs, Secret, Ssh];
    [
        ("type", ALL),
        ("target", ALL),
        ("dst", ALL),
        ("destination", ALL),
        ("from", &[Bind, Cache]),
        ("source", &[Bind, Cache, Secret]),
        ("src", &[Bind, Cache, Secret]),
        ("readonly", &[Bind, Cache]),
        ("ro", &[Bind, Cache]),
        ("readwrite", &[Bind, Cache]),
        ("rw", &[Bind, Cache]),
        ("id", &[Cache, Secret, Ssh]),
        ("sharing", &[Cache]),
        ("size", &[Tmpfs]),
        ("env", &[Secret]),
        ("required", &[Secret, Ssh]),
        ("mode", &[Cache, Secret, Ssh]),
        ("uid", &[Cache, Secret, Ssh]),
        ("gid", &[Cache, Secret, Ssh]),
    ]
};

pub(super) fn read(reader: &mut Reader, mut parts: Parts<'_>) -> Result<RunSpec> {
    let mounts = parts.flags.texts("mount")?.iter().map(mount).collect::<Result<_>>()?;
    let network = parts.flags.text("network")?;
    for name in ["security", "device"] {
        if let Some(flag) = parts.flags.texts(name)?.first().filter(|flag| name == "device" || flag.value != "sandbox") {
            return Err(flag.place.error(ErrorKind::Unsupported, format!("larder gives no step more rights than others, and has no `--{name}`")));
        }
    }
    parts.flags.finish(&parts.name)?;
    if parts.arguments.is_empty() || json(parts.arguments).is_ok_and(|words| words.is_empty()) {
        return Err(parts.place.usage("`RUN` takes a command"));
    }
    let command = command(reader, &parts)?;
    Ok(RunSpec { command, documents: parts.documents, mounts, network })
}

/// `type=bind,target=/x,…`: fields separated by commas, and those with commas in double quotes.
fn mount(written: &At<String>) -> Result<MountSpec> {
    let mut fields: Vec<(String, Option<String>)> = Vec::new();
    for field in split(&written.value) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value.to_owned())),
            None => (field.to_lowercase(), None),
        };
        if fields.len() > KEYS.len() {
            return Err(written.place.usage("the mount has more fields than there are"));
        }
        if fields.iter().any(|(known, _)| *known == key) {
            return Err(written.place.usage(format!("`{}` stands in the mount twice", text::shown(&key))));
        }
        fields.push((key, value));
    }
    let kind = match fields.iter().find(|(key, _)| key == "type") {
        None => MountKind::Bind,
        Some((_, value)) => kind(written, value.as_deref().unwrap_or_default())?,
    };
    for (key, value) in &fields {
        check(written, kind, key, value.as_deref())?;
    }
    fields.retain(|(key, _)| key != "type");
    Ok(MountSpec { place: written.place.clone(), kind, fields })
}

fn kind(written: &At<String>, name: &str) -> Result<MountKind> {
    const NAMES: [&str; 5] = [MountKind::NAMES[0].0, MountKind::NAMES[1].0, MountKind::NAMES[2].0, MountKind::NAMES[3].0, MountKind::NAMES[4].0];
    let found = MountKind::NAMES.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    found.map(|(_, kind)| kind).ok_or_else(|| {
        let near = text::nearest(name, NAMES).map_or_else(|| format!("the types are {}", NAMES.join(", ")), |near| format!("did you mean `{near}`?"));
        written.place.usage(format!("`{}` is not a type of mount", text::shown(name))).hint(near)
    })
}

fn check(written: &At<String>, kind: MountKind, key: &str, value: Option<&str>) -> Result<()> {
    const NAMES: [&str; 19] = {
        let mut names = [""; 19];
        let mut at = 0;
        while at < names.len() {
            names[at] = KEYS[at].0;
            at += 1;
        }
        names
    };
    let Some((_, kinds)) = KEYS.iter().find(|(known, _)| *known == key) else {
        let error = written.place.usage(format!("a mount has no `{}`", text::shown(key)));
        return Err(match text::nearest(key, NAMES) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        });
    };
    if !kinds.contains(&kind) {
        let name = MountKind::NAMES.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name);
        return Err(written.place.usage(format!("a mount of type `{name}` has no `{key}`")));
    }
    if value.is_none() && !matches!(key, "readonly" | "ro" | "readwrite" | "rw" | "required") {
        return Err(written.place.usage(format!("`{key}` of the mount needs a value")).hint(format!("write {key}=VALUE")));
    }
    if key == "from" && value.is_some_and(|value| value.contains('$')) {
        return Err(written.place.usage("variables are not expanded in `from`").hint("name a stage: FROM ${IMAGE} AS name, and then from=name"));
    }
    Ok(())
}

/// Fields as comma separated values have them.
fn split(written: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut in_quotes = false;
    let mut chars = written.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if in_quotes && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' => in_quotes = !in_quotes,
            ',' if !in_quotes => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}
