//! Whether this machine runs the programs of a platform: its processor does, or the kernel hands them to an interpreter.
//!
//! Interpreters are looked up by the first bytes of a program, and in the root filesystem that the program is in. Only one that is registered with the flag `F` is
//! open already and found there. <https://docs.kernel.org/admin-guide/binfmt-misc.html>

use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use super::elf::Machine;
use crate::error::{Error, Result};
use crate::exec::pool;
use crate::fsio::overlay::Attributes;
use crate::spec::{Platform, text};

/// Where the kernel shows its interpreters.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// Says whether programs of `platform` run here: by themselves, or through an interpreter that the kernel knows.
///
/// Fails with kind `unsupported`, with the exact remedy.
pub fn check(platform: &Platform) -> Result<()> {
    let cannot = |error: Error| error.context(format!("this machine cannot run programs of {platform}")).subject(platform);
    let machine = Machine::of(&platform.architecture).ok_or_else(|| cannot(Error::unsupported("larder does not know how they begin")))?;
    for_program(&machine.header(), machine).map_err(cannot)
}

/// The same for a program that begins with `head`.
pub(super) fn for_program(head: &[u8], machine: Machine) -> Result<()> {
    if is_native(machine.name(), rustix::system::uname().machine().to_bytes()) {
        return Ok(());
    }
    let name = machine.interpreter().unwrap_or("an interpreter");
    decide(&registered()?, head, name)
}

/// Whether a processor runs the programs of an architecture itself.
fn is_native(architecture: &str, processor: &[u8]) -> bool {
    match architecture {
        "amd64" => processor == b"x86_64",
        "386" => matches!(processor, b"x86_64" | b"i686" | b"i586" | b"i486" | b"i386"),
        "arm64" => processor == b"aarch64",
        // Not all of those with 64 bits do; where not, the kernel says so.
        "arm" => processor == b"aarch64" || processor.starts_with(b"armv"),
        "ppc64le" | "ppc64" | "s390x" | "riscv64" => processor == architecture.as_bytes(),
        "loong64" => processor == b"loongarch64",
        "mips" | "mipsle" | "mips64" | "mips64le" => processor.starts_with(b"mips"),
        _ => false,
    }
}

/// What the kernel says of each interpreter.
enum Registered {
    Known(Vec<(String, String)>),
    /// It does not show them.
    Unknown,
}

/// An interpreter.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    enabled: bool,
    flags: String,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

fn registered() -> Result<Registered> {
    match read() {
        Some(entries) => Ok(Registered::Known(entries)),
        // What the kernel knows does not depend on who looks. In a user namespace it would: to look there is to begin a table of its own.
        None if Attributes::here() == Attributes::Trusted => pool::apart(look).map(|found| found.map_or(Registered::Unknown, Registered::Known)),
        None => Ok(Registered::Unknown),
    }
}

/// Looks where nobody else sees it.
fn look() -> Option<Vec<(String, String)>> {
    #[expect(deprecated, reason = "what replaces it is unsafe for the sake of a flag that is not used")]
    rustix::thread::unshare(UnshareFlags::NEWNS).ok()?;
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).ok()?;
    rustix::mount::mount("binfmt_misc", REGISTERED, "binfmt_misc", MountFlags::empty(), None).ok()?;
    read()
}

/// The files of all entries; none where the kernel shows nothing here.
fn read() -> Option<Vec<(String, String)>> {
    let status = std::fs::read_to_string(Path::new(REGISTERED).join("status")).ok()?;
    if status.trim() != "enabled" {
        return Some(Vec::new());
    }
    let names = std::fs::read_dir(REGISTERED).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let entries = names.filter(|name| name != "status" && name != "register");
    Some(entries.filter_map(|name| Some((std::fs::read_to_string(Path::new(REGISTERED).join(&name)).ok()?, name))).map(|(text, name)| (name, text)).collect())
}

/// Whether one of the interpreters takes a program that begins with `head`. `name` is the one of QEMU that would.
fn decide(registered: &Registered, head: &[u8], name: &str) -> Result<()> {
    let install = format!("install qemu-user-static, which brings {name}, and let it be registered (Debian: apt-get install qemu-user-static binfmt-support)");
    let Registered::Known(entries) = registered else {
        return Err(Error::unsupported("the kernel does not show whether it knows an interpreter for them")
            .hint(format!("{install}; then, as root: mount -t binfmt_misc binfmt_misc {REGISTERED}")));
    };
    let found = entries.iter().filter_map(|(entry, text)| Some((entry, parse(text)?))).filter(|(_, entry)| entry.takes(head));
    let mut found: Vec<_> = found.collect();
    found.sort_by_key(|(_, entry)| !entry.enabled);
    let Some((registered, entry)) = found.first() else {
        return Err(Error::unsupported("the kernel knows no interpreter for them").hint(install));
    };
    let shown = text::shown(registered);
    if !entry.enabled {
        return Err(Error::unsupported(format!("their interpreter {shown} is disabled")).hint(format!("enable it, as root: echo 1 >{REGISTERED}/{shown}")));
    }
    if !entry.flags.contains('F') {
        return Err(Error::unsupported(format!("their interpreter {shown} is registered without the flag F, so that no root filesystem has it"))
            .hint(format!("remove it, as root: echo -1 >{REGISTERED}/{shown}; then {install}")));
    }
    // With the flag it is open, whatever its name means by now.
    Ok(())
}

impl Entry {
    /// Whether the kernel would take it for a program that begins so.
    fn takes(&self, head: &[u8]) -> bool {
        let Some(head) = self.offset.checked_add(self.magic.len()).and_then(|end| head.get(self.offset..end)) else { return false };
        let mask = self.mask.iter().copied().chain(std::iter::repeat(0xff));
        !self.magic.is_empty() && head.iter().zip(&self.magic).zip(mask).all(|((byte, magic), mask)| byte & mask == magic & mask)
    }
}

/// Reads the file of an entry; none for one that goes by the names of files.
fn parse(text: &str) -> Option<Entry> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Entry {
        enabled: text.lines().next()?.trim() == "enabled",
        flags: field("flags:").unwrap_or_default().to_owned(),
        offset: field("offset ")?.parse().ok()?,
        magic: hexadecimal(field("magic ")?)?,
        mask: field("mask ").map_or_else(|| Some(Vec::new()), hexadecimal)?,
    })
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
    const EXTENSION: &str = "enabled\ninterpreter /usr/bin/wine\nflags: \nextension .exe\n";

    fn decided(entries: &[&str]) -> Result<()> {
        let entries = entries.iter().enumerate().map(|(index, text)| (format!("qemu-{index}"), (*text).to_owned())).collect();
        let machine = Machine::of("arm64").expect("known");
        decide(&Registered::Known(entries), &machine.header(), machine.interpreter().expect("known"))
    }

    #[test]
    fn what_is_missing_is_told_with_its_remedy() {
        decided(&[EXTENSION, ARM64]).expect("registered");
        let disabled = ARM64.replace("enabled", "disabled");
        decided(&[&disabled, ARM64]).expect("the other one takes it");
        for (entries, message, hint) in [
            (vec![EXTENSION], "knows no interpreter", "install qemu-user-static, which brings qemu-aarch64"),
            (vec![&ARM64.replace("b700", "2800")], "knows no interpreter", "qemu-aarch64"),
            (vec![disabled.as_str()], "qemu-0 is disabled", "echo 1 >/proc/sys/fs/binfmt_misc/qemu-0"),
            (vec![&ARM64.replace("POCF", "POC")], "without the flag F", "echo -1 >/proc/sys/fs/binfmt_misc/qemu-0"),
        ] {
            let error = decided(&entries).expect_err(message);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(message) && error.hint_text().is_some_and(|text| text.contains(hint)), "{error:?}");
        }
        let machine = Machine::of("arm64").expect("known");
        let error = decide(&Registered::Unknown, &machine.header(), "qemu-aarch64").expect_err("unknown");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("mount -t binfmt_misc")));
    }

    #[test]
    fn this_machine_runs_its_own_programs_and_not_those_of_machines_that_nobody_plays() {
        let own = Platform::new("linux", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "");
        check(&own).expect("its own");
        assert_eq!(check(&Platform::new("linux", "wasm", "")).expect_err("unknown").kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn masks_say_which_bits_count() {
        let entry = parse(ARM64).expect("an entry");
        let mut header = Machine::of("arm64").expect("known").header();
        // A program that can be loaded anywhere, and one of another system.
        header[16] = 3;
        header[7] = 3;
        assert!(entry.takes(&header));
        header[18] = 0;
        assert!(!entry.takes(&header) && !entry.takes(b"\x7fELF") && !entry.takes(b""));
    }
}
