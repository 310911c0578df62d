//! The shape of the crate, checked against its sources: arrows between floors point downwards, and what must have one place has one.

mod source;

use source::Source;

/// Floors from bottom to top. A module may use those of lower floors and itself; those of its own floor it does not know.
const FLOORS: &[&[&str]] = &[
    // `error` shows foreign text as `spec` does, and `spec` fails with `error`: one floor that may be used from everywhere.
    &["error", "spec"],
    // How work is waited for and stopped, before the files that wait for locks; and what people write.
    &["exec", "specfile"],
    &["fsio"],
    // What layers and archives are made of.
    &["tar"],
    &["store", "runtime"],
    &["graph", "layer"],
    &["build", "copy", "sync"],
    &["ops"],
    &["cli"],
];

/// Stores that do not know each other. What they share lies beside them in `store`.
const STORES: &[&str] = &["archive", "docker_archive", "layout", "memory", "registry"];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// What `source` must not use but does.
fn wrong_arrows(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some(own) = module.first().copied() else { return Vec::new() };
    let mut wrong = Vec::new();
    for path in source.paths() {
        let Some(target) = path.first().map(String::as_str) else { continue };
        let (Some(from), Some(to)) = (floor(own), floor(target)) else { continue };
        let up_or_sideways = target != own && (to > from || (to == from && from > 0));
        let other_store = match (module.get(..2), &path[..]) {
            (Some(["store", own]), [store, other, ..]) => store == "store" && own != other && STORES.contains(own) && STORES.contains(&other.as_str()),
            _ => false,
        };
        if up_or_sideways || other_store {
            wrong.push(format!("src/{} uses {}", source.name, path.join("::")));
        }
    }
    wrong
}

#[test]
fn arrows_point_downwards() {
    let wrong: Vec<String> = Source::all().iter().flat_map(wrong_arrows).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    for source in Source::all() {
        if let Some(module) = source.module().first() {
            assert!(floor(module).is_some(), "src/{} is on no floor: add `{module}` to FLOORS", source.name);
        }
    }
}

#[test]
fn wrong_arrows_are_found() {
    for (file, text) in [
        ("spec/digest.rs", "use crate::exec::Run;"),
        ("exec/pool.rs", "use crate::fsio::Dir;"),
        ("build/plan.rs", "use crate::copy::plan;"),
        ("copy/plan.rs", "fn f(x: crate::build::Plan) {}"),
        ("graph/walk.rs", "use crate::{error::Result, layer::Entry};"),
        ("ops/build.rs", "use super::super::cli::Context;"),
        ("store/mod.rs", "use super::graph;"),
        ("store/layout/mod.rs", "use crate::store::archive::Archive;"),
        ("store/memory.rs", "use super::{location, layout::Layout};"),
    ] {
        assert_eq!(wrong_arrows(&Source::new(file, text)).len(), 1, "{file}: {text}");
    }
    for (file, text) in [
        ("cli/command/list.rs", "use crate::ops::list; use crate::error::Result;"),
        ("store/layout/blobs.rs", "use super::super::location; use crate::store::layout::index;"),
        ("error.rs", "use crate::spec::text;"),
        ("spec/text.rs", "use crate::error::Result; // crate::cli"),
    ] {
        assert_eq!(wrong_arrows(&Source::new(file, text)), [""; 0], "{file}: {text}");
    }
}

/// Something that only some files may name.
struct OnePlace {
    what: &'static str,
    /// Any of these in the code is a use. A word must stand alone, and not behind a dot.
    signs: &'static [&'static str],
    /// Files, or folders when they end in a slash.
    places: &'static [&'static str],
}

const ONE_PLACE: &[OnePlace] = &[
    // Sleeping starts none.
    OnePlace {
        what: "starting threads",
        signs: &["rayon", "thread::spawn", "thread::scope", "thread::Builder", "thread::{", "thread::*"],
        places: &["exec/pool.rs"],
    },
    OnePlace { what: "stdout", signs: &["stdout(", "Stdout", "println!", "print!"], places: &["cli/output.rs"] },
    OnePlace { what: "stderr", signs: &["stderr(", "Stderr", "eprintln!", "eprint!"], places: &["cli/"] },
    OnePlace { what: "stdin", signs: &["stdin(", "Stdin"], places: &["cli/"] },
    OnePlace {
        what: "the environment",
        signs: &[
            "env::var",
            "env::vars",
            "env::vars_os",
            "env::var_os",
            "env::args",
            "env::args_os",
            "env::current_dir",
            "env::temp_dir",
            "env::home_dir",
            "env::{",
        ],
        places: &["cli/environment.rs"],
    },
    OnePlace { what: "the clock", signs: &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now", "clock_gettime"], places: &["cli/clock.rs"] },
    // No step has a socket that leads anywhere but the one of an agent that the call gives it.
    OnePlace {
        what: "sockets",
        signs: &["rustix::net", "ToSocketAddrs", "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener", "ureq", "rustls"],
        places: &["store/registry/", "runtime/keeper/relay.rs"],
    },
    // Steps of a build; and the programs that keep passwords, which there is no other way to ask.
    OnePlace { what: "child processes", signs: &["process::Command", "Command::new(", "fork("], places: &["runtime/", "store/registry/credentials/helper.rs"] },
    OnePlace { what: "ending the process", signs: &["process::exit", "process::abort", "exit("], places: &[] },
    OnePlace { what: "renaming files", signs: &["fs::rename", "rename(", "renameat(", "renameat_with("], places: &["fsio/durable.rs"] },
    // That crate neither brings files to the disk nor opens them below a directory handle.
    OnePlace { what: "making temporary files for tests", signs: &["tempfile::"], places: &[] },
    OnePlace { what: "signals", signs: &["signal_hook"], places: &["cli/signals.rs"] },
    OnePlace { what: "unsafe code", signs: &["unsafe"], places: &["layer/deflate/processor.rs"] },
    OnePlace { what: "leftovers", signs: &["dead_code", "todo!", "unimplemented!", "dbg!"], places: &[] },
];

impl OnePlace {
    fn allows(&self, file: &str) -> bool {
        self.places.iter().any(|place| file == *place || (place.ends_with('/') && file.starts_with(place)))
    }

    /// The uses in a file that may not have any.
    fn breaches(&self, source: &Source) -> Vec<String> {
        if self.allows(&source.name) {
            return Vec::new();
        }
        let found = self.signs.iter().filter(|sign| stands_in(sign, &source.code));
        found.map(|sign| format!("src/{} names `{sign}`: {} belongs to {:?}", source.name, self.what, self.places)).collect()
    }
}

fn stands_in(sign: &str, code: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(sign).any(|(at, _)| {
        let begins = !sign.starts_with(is_word) || !code[..at].ends_with(|c| is_word(c) || c == '.');
        let ends = !sign.ends_with(is_word) || !code[at + sign.len()..].starts_with(is_word);
        begins && ends
    })
}

#[test]
fn what_has_one_place_is_named_nowhere_else() {
    let sources = Source::all();
    let breaches: Vec<String> = ONE_PLACE.iter().flat_map(|rule| sources.iter().flat_map(|source| rule.breaches(source))).collect();
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn places_exist() {
    let sources = Source::all();
    for place in ONE_PLACE.iter().flat_map(|rule| rule.places) {
        assert!(sources.iter().any(|source| source.name == *place || (place.ends_with('/') && source.name.starts_with(place))), "src/{place} is gone");
    }
}

#[test]
fn every_sign_is_found_in_code_and_only_there() {
    for rule in ONE_PLACE {
        for sign in rule.signs {
            let breaches = |text: &str| rule.breaches(&Source::new("layer/builder.rs", text)).len();
            assert!(breaches(&format!("fn f() {{ x; {sign} }}")) > 0, "{sign}");
            assert_eq!(breaches(&format!("// {sign}\nconst X: &str = \"{sign}\";\n#[cfg(test)]\nmod tests {{ {sign} }}")), 0, "{sign}");
            for place in rule.places {
                let file = if place.ends_with('/') { format!("{place}x.rs") } else { (*place).to_owned() };
                assert_eq!(rule.breaches(&Source::new(&file, sign)).len(), 0, "{sign} in {file}");
            }
        }
    }
    assert!(!stands_in("stdout(", "command.stdout(pipe)"));
    assert!(!stands_in("unsafe", "is_unsafe(unsafe_code)"));
}
