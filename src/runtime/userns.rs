//! Running as an ordinary user: in a user namespace, in which larder is root over the numbers that the user has. user_namespaces(7), subuid(5).
//!
//! Only a process of one thread can enter a user namespace, so larder replaces itself by itself ([`enter`]), does that first ([`begin`]) and then what it was called
//! for. Numbers besides the user's own are given by `newuidmap` and `newgidmap`, which may do that for a process whose namespace they are not in: so a third larder
//! calls them ([`map`]), which was started before. Without these programs, or without numbers in `/etc/subuid` and `/etc/subgid`, root has no other users beside it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::thread::CapabilitySet;
use rustix::thread::UnshareFlags;

use crate::error::{Error, ErrorKind, IoContext as _, Result};
use crate::spec::accounts::Accounts;
use crate::spec::text;

/// The name that larder is started by to enter a user namespace before all else.
pub const NAME: &str = "larder-userns";

/// The name that larder is started by to give numbers to another one.
pub const MAP_NAME: &str = "larder-idmap";

/// What to do where this process may not mount.
pub(super) const REMEDY: &str = "run it as root, or where the kernel lets ordinary users make user namespaces; in a container it takes a privileged one";

/// This program, whatever its file is called by now.
const ITSELF: &str = "/proc/self/exe";

/// How long a namespace may take to appear, and how often it is looked for.
const ATTEMPTS: usize = 10_000;
const PAUSE: Duration = Duration::from_millis(1);

/// Where `newuidmap` and `newgidmap` are.
const PROGRAMS: [&str; 4] = ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"];

/// Users or groups.
#[derive(Clone, Copy)]
struct Numbers {
    /// Which numbers a user has.
    file: &'static str,
    /// What gives them to a process.
    program: &'static str,
    /// Where that process has them.
    map: &'static str,
}

const USERS: Numbers = Numbers { file: "/etc/subuid", program: "newuidmap", map: "uid_map" };
const GROUPS: Numbers = Numbers { file: "/etc/subgid", program: "newgidmap", map: "gid_map" };

/// Whether this process has to enter a user namespace before it can run steps.
pub fn is_needed() -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| !sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// What to do where a user namespace has too few users.
pub(crate) const NUMBERS: &str = "give your user numbers in /etc/subuid and /etc/subgid, with newuidmap to use them (Debian: uidmap), or run larder as root";

/// Whether a user and a group have numbers here. user_namespaces(7).
pub(super) fn has_user(user: u32) -> bool {
    has(&std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default(), user)
}

pub(super) fn has_group(group: u32) -> bool {
    has(&std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default(), group)
}

fn has(map: &str, number: u32) -> bool {
    map.lines().any(|line| {
        let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [first, _, count] if (first..first.saturating_add(count)).contains(&number.into()))
    })
}

/// Replaces this process by the same program with the same arguments (without its name) in a new user namespace. Comes back only with what failed.
///
/// What this process holds goes without being asked: locks, temporary files that have a name.
pub fn enter(arguments: &[OsString]) -> Error {
    let error = Command::new(ITSELF).arg0(NAME).args(arguments).exec();
    Error::io("cannot start again in a user namespace", error)
}

/// Enters a new user namespace as the process that [`enter`] made, which has one thread.
///
/// Fails with kind `unsupported` where the kernel does not allow it.
pub fn begin() -> Result<()> {
    let failed = |error| Error::io("cannot start a process", error);
    // It looks at this process from outside, so it has to be there before.
    let mut mapper = Command::new(ITSELF);
    mapper.arg0(MAP_NAME).arg(std::process::id().to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut mapper = mapper.spawn().map_err(failed)?;
    #[expect(deprecated, reason = "what replaces it is unsafe for the sake of a flag that is not used")]
    let entered = rustix::thread::unshare(UnshareFlags::NEWUSER);
    if let Err(error) = entered {
        let _ = mapper.kill();
        let _ = mapper.wait();
        return Err(Error::new(ErrorKind::Unsupported, "cannot make a user namespace").because(std::io::Error::from(error)).hint(REMEDY));
    }
    let output = mapper.wait_with_output().map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::new(ErrorKind::Unsupported, text::shown(&said)).context("cannot give the user namespace its users"))
        }
    }
}

/// Gives the process with the number in `arguments`, once it is in another user namespace, the users and groups that the user has. Says on stderr what failed.
pub fn map(arguments: &[OsString], say: impl FnOnce(&str)) -> ExitCode {
    let process = arguments.first().and_then(|argument| argument.to_str()).filter(|argument| argument.bytes().all(|byte| byte.is_ascii_digit()));
    let outcome = process.ok_or_else(|| Error::usage("a process is needed")).and_then(give);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&[vec![error.message().to_owned()], error.causes()].concat().join(": "));
            ExitCode::FAILURE
        }
    }
}

fn give(process: &str) -> Result<()> {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/user"));
    let own = namespace("self").map_err(|error| Error::io("cannot tell user namespaces apart", error))?;
    let mut left = ATTEMPTS;
    while namespace(process).map_err(|error| Error::io("the process is gone", error))? == own {
        left = left.checked_sub(1).ok_or_else(|| Error::new(ErrorKind::Io, "the process does not enter a user namespace"))?;
        std::thread::sleep(PAUSE);
    }
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let [users, groups] = [USERS, GROUPS].map(|numbers| ranges(numbers, user));
    if let (Some(newuidmap), Some(newgidmap), false, false) = (program(USERS), program(GROUPS), users.is_empty(), groups.is_empty()) {
        run(&newuidmap, process, user, &users)?;
        return run(&newgidmap, process, group, &groups);
    }
    // Who may choose its groups could leave one that keeps it from something.
    let write = |name: &str, content: &str| {
        let path = PathBuf::from(format!("/proc/{process}/{name}"));
        std::fs::write(&path, content).at("write", &path)
    };
    write("setgroups", "deny")?;
    write(USERS.map, &format!("0 {user} 1"))?;
    write(GROUPS.map, &format!("0 {group} 1"))
}

/// The ranges of numbers that a user has.
fn ranges(numbers: Numbers, user: u32) -> Vec<(u32, u32)> {
    let accounts = Accounts::parse(&std::fs::read("/etc/passwd").unwrap_or_default(), b"");
    parse(&std::fs::read_to_string(numbers.file).unwrap_or_default(), accounts.name(user), user)
}

fn parse(file: &str, name: Option<&str>, user: u32) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let [owner, first, count] = line.split(':').collect::<Vec<_>>()[..] else { return None };
        let is_own = Some(owner) == name || owner.parse() == Ok(user);
        Some((first.trim().parse().ok()?, count.trim().parse().ok()?)).filter(|_| is_own)
    };
    file.lines().filter_map(range).filter(|(_, count)| *count > 0).collect()
}

fn program(numbers: Numbers) -> Option<PathBuf> {
    PROGRAMS.iter().map(|directory| Path::new(directory).join(numbers.program)).find(|path| path.is_file())
}

/// Root is the user, and the others are the numbers that the user has.
fn run(program: &Path, process: &str, own: u32, ranges: &[(u32, u32)]) -> Result<()> {
    let mut numbers = vec![0, own, 1];
    let mut next = 1u32;
    for (first, count) in ranges {
        numbers.extend([next, *first, *count]);
        next = next.saturating_add(*count);
    }
    let output = Command::new(program).arg(process).args(numbers.iter().map(u32::to_string)).stdin(Stdio::null()).output().at("run", program)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let name = program.file_name().map_or_else(|| OsStr::new("").to_owned(), OsStr::to_owned);
    Err(Error::new(ErrorKind::Io, text::shown(said.trim())).context(format!("{} refused", text::path(Path::new(&name)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_have_numbers_where_the_map_says_so() {
        assert!(has("         0          0 4294967295\n", 5));
        assert!(has("0 1000 1\n1 100000 65536\n", 5));
        assert!(!has("0 1000 1\n", 5) && !has("6 6 100\n", 5) && !has("", 5));
    }

    #[test]
    fn the_numbers_of_a_user_are_found_by_its_name_and_its_number() {
        let file = "alice:100000:65536\nbob:165536:65536\n1000:300000:10\nalice:broken:1\nalice:5:0\n\nalice:400000:5\n";
        assert_eq!(parse(file, Some("alice"), 1000), [(100_000, 65_536), (300_000, 10), (400_000, 5)]);
        assert_eq!(parse(file, Some("bob"), 1001), [(165_536, 65_536)]);
        assert_eq!(parse(file, None, 1002), []);
    }
}
