//! Users and groups by name or number, as the files of a stage know them.

use crate::build::place::At;
use crate::error::{ErrorKind, Result};
use crate::spec::text;

/// A file that says which number a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    Users,
    Groups,
}

impl Table {
    /// Where it is.
    pub(super) fn path(self) -> &'static [u8] {
        match self {
            Table::Users => b"etc/passwd",
            Table::Groups => b"etc/group",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Table::Users => "user",
            Table::Groups => "group",
        }
    }
}

/// The numbers of `USER[:GROUP]`. `table` gives the content of a file of the stage, if it has it.
///
/// A number stands for itself, and without a group for the group too; a name brings its group. Fails with kind `not_found` for a name that is in no table, and
/// with `usage` for a number that is too large.
pub(super) fn numbers(written: &At<String>, mut table: impl FnMut(Table) -> Result<Option<Vec<u8>>>) -> Result<(u32, u32)> {
    let (user, group) = match written.value.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (written.value.as_str(), None),
    };
    let mut find = |name: &str, which: Table| {
        if let Some(number) = number(written, name)? {
            return Ok((number, number));
        }
        let content = table(which)?;
        let found = content.as_deref().and_then(|content| look_up(content, name));
        found.ok_or_else(|| {
            let (shown, file) = (text::shown(name), String::from_utf8_lossy(which.path()).into_owned());
            let why = if content.is_some() { format!("/{file} of the stage has none") } else { format!("the stage has no /{file}") };
            written
                .place
                .error(ErrorKind::NotFound, format!("there is no {} `{shown}`: {why}", which.name()))
                .hint("add it to the stage first, or write its number")
        })
    };
    let (uid, own_group) = if user.is_empty() { (0, 0) } else { find(user, Table::Users)? };
    let gid = match group {
        Some(group) => find(group, Table::Groups)?.0,
        None => own_group,
    };
    Ok((uid, gid))
}

/// A number, if it is one.
fn number(written: &At<String>, name: &str) -> Result<Option<u32>> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    // The highest one means nobody to the kernel.
    let number = name.parse::<u32>().ok().filter(|number| *number < u32::MAX);
    number.map(Some).ok_or_else(|| written.place.usage(format!("`{}` is too large for an owner", text::shown(name))))
}

/// The number of a name and that of its group: the third and the fourth field of its line. Groups have no group.
fn look_up(table: &[u8], name: &str) -> Option<(u32, u32)> {
    let number = |field: Option<&[u8]>| std::str::from_utf8(field?).ok()?.trim().parse::<u32>().ok();
    table.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        if fields.next()? != name.as_bytes() {
            return None;
        }
        let first = number(fields.nth(1))?;
        Some((first, number(fields.next()).unwrap_or(first)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::place::Place;

    #[test]
    fn names_and_numbers_have_groups() {
        let tables = |which| {
            Ok(Some(match which {
                Table::Users => b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:2000::/:\n".to_vec(),
                Table::Groups => b"root:x:0:\nstaff:x:50:app\n".to_vec(),
            }))
        };
        let read = |text: &str| numbers(&At::new(text.to_owned(), Place::line("Dockerfile", 1, 6)), tables);
        for (text, expected) in [
            ("app", (1000, 2000)),
            ("app:staff", (1000, 50)),
            ("7", (7, 7)),
            ("7:8", (7, 8)),
            ("app:8", (1000, 8)),
            ("7:staff", (7, 50)),
            (":staff", (0, 50)),
            ("app:", (1000, 2000)),
        ] {
            assert_eq!(read(text).expect(text), expected, "{text}");
        }
        let error = read("nobody").expect_err("not there");
        assert_eq!(error.message(), "Dockerfile:1:6: there is no user `nobody`: /etc/passwd of the stage has none");
        assert_eq!(read("app:x").expect_err("not there").kind(), ErrorKind::NotFound);
        for text in ["4294967296", "4294967295", "1:99999999999"] {
            assert_eq!(read(text).expect_err(text).kind(), ErrorKind::Usage, "{text}");
        }
    }
}
