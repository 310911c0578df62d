//! The users and groups that a root filesystem names. passwd(5), group(5).
//!
//! Users are written as `USER`, `USER:GROUP`, with names or numbers on both sides, in the configuration of images and in Dockerfiles. They mean here what they mean
//! to Docker: digits are always a number, also where somebody has them for a name; numbers need no entry; lines that make no sense are passed over.

use crate::error::{Error, Result};
use crate::spec::text;

/// The largest number of a user or group: what the kernel and all tools agree on.
const LARGEST: u32 = i32::MAX as u32;

/// What `/etc/passwd` and `/etc/group` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<Entry>,
    groups: Vec<Group>,
}

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// A line of `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Who runs a process, or whom a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// That of its group.
    pub gid: u32,
    /// The other groups that it is in; none where a group was given.
    pub groups: Vec<u32>,
    /// Its home directory; `/` where that is not known.
    pub home: String,
}

impl Accounts {
    /// Reads both files; one that is missing is empty.
    pub fn parse(passwd: &[u8], group: &[u8]) -> Accounts {
        let users = lines(passwd).filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
            Some(Entry { name: name.to_owned(), uid: number(uid)?, gid: number(gid)?, home: home.to_owned() })
        });
        let groups = lines(group).filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, gid, ..] = fields[..] else { return None };
            let members = fields.get(3).map_or_else(Vec::new, |members| members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect());
            Some(Group { name: name.to_owned(), gid: number(gid)?, members })
        });
        Accounts { users: users.collect(), groups: groups.collect() }
    }

    /// Who is meant by `USER` or `USER:GROUP`. An empty user is root.
    ///
    /// Fails with kind `not_found` for a name that has no entry, and with `usage` for a number that cannot be.
    pub fn user(&self, written: &str) -> Result<User> {
        let (user, group) = written.split_once(':').map_or((written, ""), |(user, group)| (user, group));
        let entry = match self.uid(user)? {
            Some(uid) => self.users.iter().find(|entry| entry.uid == uid),
            None => self.users.iter().find(|entry| entry.name == user),
        };
        let mut found = match (entry, self.uid(user)?) {
            (Some(entry), _) => User { uid: entry.uid, gid: entry.gid, groups: Vec::new(), home: entry.home.clone() },
            (None, Some(uid)) => User { uid, gid: 0, groups: Vec::new(), home: String::new() },
            (None, None) => return Err(unknown("user", user, "passwd")),
        };
        if found.home.is_empty() {
            "/".clone_into(&mut found.home);
        }
        if !group.is_empty() {
            found.gid = self.group(group)?;
        } else if let Some(entry) = entry {
            let member = self.groups.iter().filter(|group| group.members.contains(&entry.name));
            found.groups = member.map(|group| group.gid).collect();
        }
        Ok(found)
    }

    /// The name of the user with a number.
    pub fn name(&self, uid: u32) -> Option<&str> {
        self.users.iter().find(|entry| entry.uid == uid).map(|entry| entry.name.as_str())
    }

    /// The number of a group that is written as a name or a number. Fails as [`Accounts::user`].
    pub fn group(&self, written: &str) -> Result<u32> {
        match digits(written, "group")? {
            Some(gid) => Ok(gid),
            None => self.groups.iter().find(|group| group.name == written).map(|group| group.gid).ok_or_else(|| unknown("group", written, "group")),
        }
    }

    /// The number that is meant, where it is one.
    fn uid(&self, written: &str) -> Result<Option<u32>> {
        if written.is_empty() { Ok(Some(0)) } else { digits(written, "user") }
    }
}

/// A number where `written` has the form of one.
fn digits(written: &str, what: &str) -> Result<Option<u32>> {
    let unsigned = written.strip_prefix(['-', '+']).unwrap_or(written);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match number(written) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::usage(format!("`{}` is no {what}: numbers go from 0 to {LARGEST}", text::shown(written)))),
    }
}

fn number(written: &str) -> Option<u32> {
    let digits = !written.is_empty() && written.bytes().all(|byte| byte.is_ascii_digit());
    written.parse().ok().filter(|number| digits && *number <= LARGEST)
}

fn lines(file: &[u8]) -> impl Iterator<Item = &str> {
    file.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    let shown = text::shown(name);
    Error::not_found(format!("there is no {what} `{shown}` in /etc/{file} of the root filesystem")).subject(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# comment\n\nbroken\nalso:x:broken:0::/:\nbin:x:1:7:bin:/bin:/sbin/nologin\n \
        7:x:12:13::/seven:\nlong:x:4294967296:0::/:\nwww:x:33:33:www:/var/www:/bin/sh\nhomeless:x:40:40:::\n\xff:x:50:50::/:\n";
    const GROUP: &[u8] = b"root:x:0:\nbin:x:7:www\nwww:x:33:\nadm:x:4:root,www,\nstaff:x:50\nbroken:x:y:www\n";

    fn user(written: &str) -> Result<User> {
        Accounts::parse(PASSWD, GROUP).user(written)
    }

    fn numbers(written: &str) -> (u32, u32, Vec<u32>) {
        let user = user(written).expect(written);
        (user.uid, user.gid, user.groups)
    }

    #[test]
    fn names_and_numbers_mean_what_they_mean_to_docker() {
        for (written, uid, gid, groups) in [
            ("", 0, 0, &[4][..]),
            ("root", 0, 0, &[4]),
            ("0", 0, 0, &[4]),
            ("www", 33, 33, &[7, 4]),
            ("33", 33, 33, &[7, 4]),
            ("www:", 33, 33, &[7, 4]),
            ("www:staff", 33, 50, &[]),
            ("www:9", 33, 9, &[]),
            (":9", 0, 9, &[]),
            (":bin", 0, 7, &[]),
            ("1000", 1000, 0, &[]),
            ("1000:www", 1000, 33, &[]),
            ("1000:1000", 1000, 1000, &[]),
            ("7", 7, 0, &[]),
            ("2147483647:2147483647", 2_147_483_647, 2_147_483_647, &[]),
        ] {
            assert_eq!(numbers(written), (uid, gid, groups.to_vec()), "{written:?}");
        }
        let homes = [("root", "/root"), ("33", "/var/www"), ("1000", "/"), ("homeless", "/")];
        assert!(homes.iter().all(|(written, home)| user(written).expect(written).home == *home));
        assert_eq!(Accounts::parse(b"", b"").user("").expect("root").home, "/");
        assert_eq!([33, 34].map(|uid| Accounts::parse(PASSWD, GROUP).name(uid).map(str::to_owned)), [Some("www".to_owned()), None]);
    }

    #[test]
    fn ops_05_what_is_no_user_is_none() {
        for (written, kind) in [
            ("4294967296", ErrorKind::Usage),
            ("2147483648", ErrorKind::Usage),
            ("-1", ErrorKind::Usage),
            ("+1", ErrorKind::Usage),
            ("0:-1", ErrorKind::Usage),
            ("0x0", ErrorKind::NotFound),
            (" 0", ErrorKind::NotFound),
            ("nobody", ErrorKind::NotFound),
            ("broken", ErrorKind::NotFound),
            ("also", ErrorKind::NotFound),
            ("long", ErrorKind::NotFound),
            ("root:nobody", ErrorKind::NotFound),
            ("root:0:0", ErrorKind::NotFound),
            ("a\nb", ErrorKind::NotFound),
        ] {
            assert_eq!(user(written).expect_err(written).kind(), kind, "{written:?}");
        }
    }
}
