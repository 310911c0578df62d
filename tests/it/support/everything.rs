//! A tree of everything that a layer can hold.

use std::process::Command;

use tempfile::TempDir;

use super::process::{Runs as _, temp};
use super::tools::{root, tool};
use super::tree::{self, Tree};

/// Makes a tree of everything that a layer can hold; `$1` is an empty directory.
pub(crate) const MAKE: &str = r#"
cd "$1"
umask 022
mkdir -p a/b 'srv/with space' tmp var/empty
printf x >a/b/one; ln a/b/one a/again; ln a/b/one zz
ln -s b/one a/soft; ln -s /nowhere dangling; ln -s tmp directory
mkfifo a/pipe; mknod a/null c 1 3; mknod a/loop b 7 0
chmod 4755 a/b/one; chmod 2750 srv; chmod 1777 tmp
: >none; chmod 0 none
chown 1000:1001 srv; chown -h 5:6 dangling; chown 3000000:70000 none
head -c 300000 /dev/urandom >large
printf p >ping; setcap cap_net_raw+ep ping
setfattr -n user.text -v text srv; setfattr -n user.bytes -v 0s/wAB a/b/one
n=$(printf 'n%.0s' $(seq 200)); mkdir -p "$n/$n"; printf l >"$n/$n/$n"; ln -s "$n/$n/$n" long
: >"$(printf 'bad\377')"; : >umläut; : >.hidden; : >'back\slash'; : >$'line\nfeed'
touch -d @1234567890 ping; touch -d @8589934592 large; touch -h -d @1000000000 dangling
chmod 750 .; chown 3:4 .
"#;

/// What no tool but umoci keeps of it.
pub(crate) const MAKE_MORE: &str = r#"
cd "$1"
setfacl -m u:1000:r large; setfacl -d -m u:1000:rx srv
touch -d @-5 tmp
"#;

/// A tree that these scripts make, and what is in it. `None` after saying that the test is skipped.
#[track_caller]
pub(crate) fn made(scripts: &[&str]) -> Option<(TempDir, Tree)> {
    if !root() || tool("setcap").is_none() || tool("setfattr").is_none() || tool("setfacl").is_none() {
        return None;
    }
    let temp = temp();
    scripts.iter().for_each(|script| drop(Command::new("bash").args(["-euc", script, "bash"]).arg(temp.path()).succeeds()));
    let tree = tree::read(temp.path());
    Some((temp, tree))
}
