//! Permission bits as `--chmod` has them: octal, or in the words of `chmod`.

use super::bounds::CHMOD_STEPS;
use crate::build::place::At;
use crate::error::Result;
use crate::spec::text;

/// A change of permission bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chmod(Vec<Change>);

/// One step of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Change {
    /// These bits and no others.
    Exactly(u32),
    /// Bits that are set, taken away, or all that these users have.
    Symbolic { users: u32, operator: Operator, bits: u32, search: Search, copied: Option<u32> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Add,
    Remove,
    Set,
}

/// Whether `X` is among the bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Search {
    No,
    /// Execution, for directories and for what somebody may execute.
    IfUseful,
}

const ALL: u32 = 0o777;

impl Chmod {
    /// Reads `0755`, `u=rwX,go=rX` and their like. Fails with kind `usage`.
    pub fn parse(written: &At<String>) -> Result<Self> {
        let bad = || {
            written
                .place
                .usage(format!("`{}` is not a mode", text::shown(&written.value)))
                .hint("write octal bits up to 7777, or words of chmod such as u=rwX,go=rX")
        };
        let value = written.value.as_str();
        if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
            let bits = u32::from_str_radix(value, 8).ok().filter(|bits| *bits <= 0o7777);
            return bits.map(|bits| Chmod(vec![Change::Exactly(bits)])).ok_or_else(bad);
        }
        let mut changes = Vec::new();
        for clause in value.split(',') {
            symbolic(clause, &mut changes).filter(|()| changes.len() <= CHMOD_STEPS).ok_or_else(bad)?;
        }
        Ok(Chmod(changes))
    }

    /// The bits of something that had `mode`.
    pub fn apply(&self, mode: u32, kind: Kind) -> u32 {
        self.0.iter().fold(mode & 0o7777, |mode, change| change.apply(mode, kind))
    }
}

/// What the bits are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// Anything else.
    Other,
}

impl Change {
    fn apply(self, mode: u32, kind: Kind) -> u32 {
        let Change::Symbolic { users, operator, bits, search, copied } = self else {
            let Change::Exactly(bits) = self else { return mode };
            return bits;
        };
        let useful = search == Search::IfUseful && (kind == Kind::Directory || mode & 0o111 != 0);
        let mut wanted = bits | if useful { 0o111 } else { 0 };
        if let Some(shift) = copied {
            let of = mode >> shift & 0o7;
            wanted |= of | of << 3 | of << 6;
        }
        // Set-ID bits belong to users and groups, the sticky bit to everybody.
        let special = (if users & 0o700 != 0 { 0o4000 } else { 0 }) | (if users & 0o070 != 0 { 0o2000 } else { 0 }) | (if users == ALL { 0o1000 } else { 0 });
        let reach = users | special;
        match operator {
            Operator::Add => mode | wanted & reach,
            Operator::Remove => mode & !(wanted & reach),
            Operator::Set => mode & !reach | wanted & reach,
        }
    }
}

/// `[ugoa…][+-=][rwxXst…|u|g|o]…`
fn symbolic(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let end = clause.find(['+', '-', '='])?;
    let mut users = 0;
    for who in clause[..end].chars() {
        users |= match who {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => ALL,
            _ => return None,
        };
    }
    if users == 0 {
        users = ALL;
    }
    let mut chars = clause[end..].chars().peekable();
    while let Some(operator) = chars.next() {
        let operator = match operator {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        let (mut bits, mut search, mut copied) = (0, Search::No, None);
        while let Some(what) = chars.next_if(|c| !matches!(c, '+' | '-' | '=')) {
            match what {
                'r' => bits |= 0o444,
                'w' => bits |= 0o222,
                'x' => bits |= 0o111,
                'X' => search = Search::IfUseful,
                's' => bits |= 0o6000,
                't' => bits |= 0o1000,
                'u' => copied = Some(6),
                'g' => copied = Some(3),
                'o' => copied = Some(0),
                _ => return None,
            }
        }
        changes.push(Change::Symbolic { users, operator, bits, search, copied });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::place::Place;

    fn chmod(text: &str) -> Result<Chmod> {
        Chmod::parse(&At::new(text.to_owned(), Place::line("Dockerfile", 1, 6)))
    }

    #[test]
    fn bits_change_as_with_chmod() {
        for (written, before, kind, after) in [
            ("755", 0o600, Kind::Other, 0o755),
            ("0", 0o777, Kind::Directory, 0),
            ("4755", 0o600, Kind::Other, 0o4755),
            ("u+x", 0o644, Kind::Other, 0o744),
            ("+x", 0o644, Kind::Other, 0o755),
            ("a-w", 0o666, Kind::Other, 0o444),
            ("go=", 0o777, Kind::Other, 0o700),
            ("u=rwX,go=rX", 0o600, Kind::Other, 0o644),
            ("u=rwX,go=rX", 0o700, Kind::Other, 0o755),
            ("u=rwX,go=rX", 0o600, Kind::Directory, 0o755),
            ("g=u", 0o640, Kind::Other, 0o660),
            ("o+u-w", 0o750, Kind::Other, 0o755),
            ("u+s,g+s,+t", 0o755, Kind::Other, 0o7755),
            ("u=rw", 0o4755, Kind::Other, 0o655),
            ("a=rx", 0o7777, Kind::Other, 0o555),
        ] {
            assert_eq!(chmod(written).expect(written).apply(before, kind), after, "{written} {before:o}");
        }
        for written in ["", "8", "10000", "x", "u", "u+q", "z+x", "u+x,"] {
            assert!(chmod(written).is_err(), "{written}");
        }
    }
}
