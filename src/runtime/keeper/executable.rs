//! Why a command cannot be executed, told better than by execve(2), which says the same of a missing program, a missing interpreter and a missing loader.
//!
//! What is found is told only when the command did fail: something mounted for the step may have what the root filesystem lacks.

use std::os::fd::BorrowedFd;

use rustix::fs::FileType;

use super::within;
use crate::error::{Error, ErrorKind};
use crate::runtime::elf::{Elf, Machine};
use crate::runtime::interpreter;
use crate::runtime::order::Order;
use crate::spec::text;

/// Where programs are looked for when the environment does not say it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How much of a program is looked at, in bytes: what the kernel looks at of a script, and enough for the headers of every program.
const HEAD: u64 = 64 << 10;

/// What is wrong with the command, where something is.
pub(super) fn trouble(root: BorrowedFd<'_>, order: &Order) -> Option<Error> {
    let name = order.command.first()?;
    let Some(path) = find(root, order, name) else {
        return Some(missing(&format!("there is no program `{}` in the root filesystem", text::shown(name)), name));
    };
    examine(root, &path, Depth::Program)
}

/// Whether what is looked at is the command itself or what interprets it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Program,
    Interpreter,
}

/// Where the program is.
fn find(root: BorrowedFd<'_>, order: &Order, name: &str) -> Option<String> {
    let in_directory = |directory: &str, name: &str| if name.starts_with('/') { name.to_owned() } else { format!("{directory}/{name}") };
    let is_file = |path: &String| within::kind(root, path) == Ok(FileType::RegularFile);
    if name.contains('/') {
        return Some(in_directory(&order.directory, name)).filter(is_file);
    }
    let path = order.environment.iter().rev().find(|(variable, _)| variable == "PATH").map_or(DEFAULT_PATH, |(_, value)| value);
    path.split(':').map(|directory| in_directory(&in_directory(&order.directory, directory), name)).find(is_file)
}

fn examine(root: BorrowedFd<'_>, path: &str, depth: Depth) -> Option<Error> {
    let shown = text::shown(path).into_owned();
    let head = within::head(root, path, HEAD).ok()?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let interpreter = std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?;
        return match within::kind(root, interpreter) {
            Ok(FileType::RegularFile) if depth == Depth::Program => examine(root, interpreter, Depth::Interpreter),
            Ok(_) => None,
            Err(_) => {
                let what = format!("`{shown}` is a script for `{}`, which is not in the root filesystem", text::shown(interpreter));
                Some(missing(&what, interpreter))
            }
        };
    }
    let Some(elf) = Elf::parse(&head) else {
        return Some(format_error(format!("`{shown}` is neither a program for Linux nor a script that begins with #!"), &shown));
    };
    if let Err(error) = interpreter::for_program(&head, elf.machine) {
        return Some(error.context(format!("`{shown}` is a program for {}", Machine::name(elf.machine))).subject(shown));
    }
    let loader = elf.loader?;
    match within::kind(root, &loader) {
        Err(_) => Some(missing(&format!("`{shown}` needs `{}`, which is not in the root filesystem", text::shown(&loader)), &loader)),
        Ok(_) => None,
    }
}

fn missing(what: &str, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, what).subject(text::shown(name)).context("cannot start the command")
}

fn format_error(what: String, name: &str) -> Error {
    Error::unsupported(what).subject(name).context("cannot start the command")
}
