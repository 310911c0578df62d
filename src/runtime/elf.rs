//! The beginning of a program file. elf(5).

/// Machines that programs are for, by the name of their architecture in images: the number in the file, the width of addresses, the order of bytes, the interpreter of
/// QEMU.
const MACHINES: [(&str, u16, Class, Order, &str); 13] = [
    ("amd64", 62, Class::Wide, Order::Little, "qemu-x86_64"),
    ("386", 3, Class::Narrow, Order::Little, "qemu-i386"),
    ("arm64", 183, Class::Wide, Order::Little, "qemu-aarch64"),
    ("arm", 40, Class::Narrow, Order::Little, "qemu-arm"),
    ("riscv64", 243, Class::Wide, Order::Little, "qemu-riscv64"),
    ("ppc64le", 21, Class::Wide, Order::Little, "qemu-ppc64le"),
    ("ppc64", 21, Class::Wide, Order::Big, "qemu-ppc64"),
    ("s390x", 22, Class::Wide, Order::Big, "qemu-s390x"),
    ("loong64", 258, Class::Wide, Order::Little, "qemu-loongarch64"),
    ("mips64le", 8, Class::Wide, Order::Little, "qemu-mips64el"),
    ("mips64", 8, Class::Wide, Order::Big, "qemu-mips64"),
    ("mipsle", 8, Class::Narrow, Order::Little, "qemu-mipsel"),
    ("mips", 8, Class::Narrow, Order::Big, "qemu-mips"),
];

/// The length of the longest header, in bytes.
const HEADER: usize = 64;

/// The longest path of a loader.
const MAX_LOADER: usize = 4096;

/// Width of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Narrow,
    Wide,
}

/// Order of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

/// A machine that programs are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    number: u16,
    class: Class,
    order: Order,
}

/// What a program file says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elf {
    pub(super) machine: Machine,
    /// The dynamic loader that it asks for.
    pub(super) loader: Option<String>,
}

impl Machine {
    /// The machine of an architecture, as images name it.
    pub(super) fn of(architecture: &str) -> Option<Machine> {
        let (_, number, class, order, _) = MACHINES.iter().find(|(name, ..)| *name == architecture)?;
        Some(Machine { number: *number, class: *class, order: *order })
    }

    /// Its architecture, as images name it.
    pub(super) fn name(self) -> &'static str {
        self.entry().map_or("another machine", |(name, ..)| *name)
    }

    /// The interpreter of QEMU for its programs.
    pub(super) fn interpreter(self) -> Option<&'static str> {
        self.entry().map(|(.., interpreter)| *interpreter)
    }

    fn entry(self) -> Option<&'static (&'static str, u16, Class, Order, &'static str)> {
        MACHINES.iter().find(|(_, number, class, order, _)| (*number, *class, *order) == (self.number, self.class, self.order))
    }

    /// How a program for it begins.
    pub(super) fn header(self) -> Vec<u8> {
        let number = |number: u16| if self.order == Order::Little { number.to_le_bytes() } else { number.to_be_bytes() };
        let identity = [if self.class == Class::Wide { 2 } else { 1 }, if self.order == Order::Little { 1 } else { 2 }, 1];
        // An executable file.
        let mut header = [b"\x7fELF", &identity[..], &[0; 9], &number(2), &number(self.number)].concat();
        header.resize(HEADER, 0);
        header
    }
}

impl Elf {
    /// Reads the beginning of a file; none where it is no program.
    pub(super) fn parse(head: &[u8]) -> Option<Elf> {
        let rest = head.strip_prefix(b"\x7fELF")?;
        let class = match rest.first()? {
            1 => Class::Narrow,
            2 => Class::Wide,
            _ => return None,
        };
        let order = match rest.get(1)? {
            1 => Order::Little,
            2 => Order::Big,
            _ => return None,
        };
        let read = Fields { head, order };
        let machine = Machine { number: u16::try_from(read.number(18, 2)?).ok()?, class, order };
        Some(Elf { machine, loader: read.loader(class) })
    }
}

/// Numbers of a file.
struct Fields<'a> {
    head: &'a [u8],
    order: Order,
}

impl Fields<'_> {
    fn number(&self, offset: usize, length: usize) -> Option<u64> {
        let bytes = self.head.get(offset..offset.checked_add(length)?)?;
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.order == Order::Big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
    }

    fn offset(&self, offset: usize, length: usize) -> Option<usize> {
        usize::try_from(self.number(offset, length)?).ok()
    }

    /// The text of the program header that names a loader (`PT_INTERP`).
    fn loader(&self, class: Class) -> Option<String> {
        const INTERPRETER: u64 = 3;
        let (table, size, count, word) = match class {
            Class::Narrow => (self.offset(28, 4)?, self.offset(42, 2)?, self.offset(44, 2)?, 4),
            Class::Wide => (self.offset(32, 8)?, self.offset(54, 2)?, self.offset(56, 2)?, 8),
        };
        let entries = (0..count).filter_map(|index| table.checked_add(index.checked_mul(size)?));
        let entry = entries.into_iter().find(|entry| self.number(*entry, 4) == Some(INTERPRETER))?;
        let (begin, length) = match class {
            Class::Narrow => (self.offset(entry.checked_add(4)?, word)?, self.offset(entry.checked_add(16)?, word)?),
            Class::Wide => (self.offset(entry.checked_add(8)?, word)?, self.offset(entry.checked_add(32)?, word)?),
        };
        let text = self.head.get(begin..begin.checked_add(length.min(MAX_LOADER))?)?;
        let text = text.split(|byte| *byte == 0).next()?;
        String::from_utf8(text.to_vec()).ok().filter(|path| !path.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_this_machine_is_read() {
        let own = std::fs::read("/proc/self/exe").expect("readable");
        let elf = Elf::parse(&own[..own.len().min(64 << 10)]).expect("a program");
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        assert_eq!(elf.machine.name(), architecture);
        assert!(elf.loader.is_none_or(|loader| std::path::Path::new(&loader).exists()));
    }

    #[test]
    fn headers_are_those_of_their_machines() {
        for (name, ..) in MACHINES {
            let machine = Machine::of(name).expect(name);
            assert_eq!(Elf::parse(&machine.header()), Some(Elf { machine, loader: None }), "{name}");
            assert_eq!(machine.name(), name);
        }
        assert_eq!(Machine::of("arm64").expect("known").header()[..20], *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0");
    }

    #[test]
    fn nothing_that_a_file_says_leads_out_of_it() {
        let mut program = Machine::of("amd64").expect("known").header();
        for (offset, bytes) in [(32, &[0xff; 8][..]), (54, &[0xff; 2]), (56, &[0xff; 2])] {
            program[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        assert_eq!(Elf::parse(&program).expect("a program").loader, None);
        for head in [&b""[..], b"\x7fELF", b"\x7fELF\x02\x01", b"\x7fELF\x03\x01\x01", b"#!/bin/sh"] {
            assert_eq!(Elf::parse(head), None);
        }
    }
}
