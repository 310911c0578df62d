//! `larder build` from a Dockerfile with `RUN --mount=type=ssh`, with an agent that is a listener of the test's.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use crate::dockerfile_run::left;
use crate::support::context::oci;
use crate::support::dockerfile::Kitchen;
use crate::support::image::Ran;
use crate::support::process::Runs as _;
use crate::support::tools::tool;

/// Asks the agent for a signature of something, or what the second argument says, and prints the answer without what the protocol puts around it. The family of Unix
/// sockets has the number 1.
const ASK: &str = r#"
    socket(S, 1, 1, 0) or die; connect(S, pack("Sa*", 1, $ENV{SSH_AUTH_SOCK}."\0")) or die "connect: $!\n";
    syswrite S, pack("N/a*", pack("Ca*", $ARGV[1] // 13, $ARGV[0]));
    read(S, $l, 4) == 4 or die "no answer\n"; read(S, $a, unpack("N", $l)); ($t, $a) = unpack("Ca*", $a);
    print $t == 14 ? "$a\n" : "refused with $t\n";
"#;

/// What tells of the agent in a step, and asks it.
const STEP: &str = "stat -c '%n %a %u:%g' $SSH_AUTH_SOCK > /tmp/seen && perl /ask hello >> /tmp/seen";

/// A base with Perl, which is on every Debian, besides the shell. `None` after saying that the test is skipped.
#[track_caller]
fn kitchen() -> Option<Kitchen> {
    let perl = tool("perl")?;
    let kitchen = Kitchen::with_shell("")?;
    let libraries = Command::new("ldd").arg(&perl).succeeds();
    let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    for file in libraries.chain([perl.as_path()]) {
        let to = kitchen.context().join("tools").join(file.strip_prefix("/").expect("absolute"));
        fs::create_dir_all(to.parent().expect("a directory")).expect("writable");
        fs::copy(file, to).expect("a copy");
    }
    kitchen.file("tools/ask", ASK);
    Some(kitchen)
}

/// An agent that tells its name and what it was asked. It goes with the test.
fn agent(kitchen: &Kitchen, name: &str) -> String {
    let path = kitchen.path(name);
    let listener = UnixListener::bind(&path).expect("bound");
    let name = name.to_owned();
    std::thread::spawn(move || {
        while let Ok((mut asked, _)) = listener.accept() {
            let (mut length, mut question) = ([0; 4], Vec::new());
            let mut read = |asked: &mut UnixStream| {
                asked.read_exact(&mut length)?;
                question.resize(u32::from_be_bytes(length) as usize, 0);
                asked.read_exact(&mut question)
            };
            if read(&mut asked).is_ok() {
                let answer = [&[14][..], format!("{name} heard ").as_bytes(), &question[1..]].concat();
                let _ = asked.write_all(&[&(answer.len() as u32).to_be_bytes()[..], &answer].concat());
            }
        }
    });
    path.to_str().expect("UTF-8").to_owned()
}

/// What the last step saw.
#[track_caller]
fn seen(kitchen: &Kitchen, ran: &Ran) -> String {
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(left(kitchen).is_empty());
    kitchen.built("amd64").read("tmp/seen")
}

#[test]
fn a_step_asks_the_agent_that_the_call_gives_it() {
    let Some(kitchen) = kitchen() else { return };
    let (one, other) = (agent(&kitchen, "one"), agent(&kitchen, "other"));
    let (bases, output) = (kitchen.bases(), oci(&kitchen.out()));
    let build = |step: &str, variable: Option<&str>, arguments: &[&str]| {
        kitchen.file("Dockerfile", format!("FROM shell:1\nENV PATH=/bin:/usr/bin\nCOPY tools /\n{step}\n"));
        let mut command = kitchen.command(&["--base", &bases, "--platform", "linux/amd64", "-t", "app:1", "-o", &output]);
        command.args(arguments);
        if let Some(path) = variable {
            command.env("SSH_AUTH_SOCK", path);
        }
        Ran::from(command.output().expect("the binary starts"))
    };
    let usual = "/run/buildkit/ssh_agent.0";
    let (given_one, given_other) = (format!("mine={one}"), format!("default={other}"));
    for (mount, variable, arguments, expected) in [
        ("type=ssh", Some(&*one), &["--ssh", "default"][..], format!("{usual} 600 0:0\none heard hello\n")),
        ("type=ssh,required=true", Some(&*one), &["--ssh", &given_other], format!("{usual} 600 0:0\nother heard hello\n")),
        ("type=ssh,id=mine,required", None, &["--ssh", &given_one, "--ssh", &given_other], format!("{usual} 600 0:0\none heard hello\n")),
        ("type=ssh,target=/run/a,mode=0666,uid=5,gid=6", Some(&*other), &["--ssh", "default"], "/run/a 666 5:6\nother heard hello\n".to_owned()),
    ] {
        assert_eq!(seen(&kitchen, &build(&format!("RUN --mount={mount} {STEP}"), variable, arguments)), expected, "{mount}");
    }
    // Somebody else than root needs a socket of its own.
    let by_user = |mount: &str| build(&format!("USER app\nRUN --mount={mount} {STEP}"), Some(&one), &["--ssh", "default"]);
    assert_eq!(seen(&kitchen, &by_user("type=ssh,uid=1000")), format!("{usual} 600 1000:0\none heard hello\n"));
    assert_eq!(seen(&kitchen, &by_user("type=ssh,gid=1001,mode=660")), format!("{usual} 660 0:1001\none heard hello\n"));
    let ran = by_user("type=ssh");
    assert!(ran.code == Some(1) && ran.error().to_string().contains("connect: Permission denied"), "{ran:?}");
    // Many questions, one after the other, and one of which nobody waits for the answer.
    let many = "RUN --mount=type=ssh for n in $(seq 100); do perl /ask $n; done > /tmp/seen; (sleep 987 | perl /ask never &) ; true";
    let answers: String = (1..=100).map(|number| format!("one heard {number}\n")).collect();
    assert_eq!(seen(&kitchen, &build(many, Some(&one), &["--ssh", "default"])), answers);
    // Whose agent it is decides which keys it has: 19 takes all away.
    let clear = "RUN --mount=type=ssh perl /ask all 19 > /tmp/seen && perl /ask then >> /tmp/seen";
    assert_eq!(seen(&kitchen, &build(clear, Some(&one), &["--ssh", "default"])), "refused with 5\none heard then\n");
    // Nothing of it is in a layer.
    assert!(!kitchen.built("amd64").listing().iter().any(|path| path.contains("buildkit") || path.contains("ssh")));
}

#[test]
fn a_step_without_an_agent_runs_unless_it_needs_one() {
    let Some(kitchen) = Kitchen::with_shell("FROM shell:1\nRUN --mount=type=ssh echo \"agent: $SSH_AUTH_SOCK\" > /tmp/seen\n") else { return };
    let bases = kitchen.bases();
    assert_eq!(kitchen.image(&["--base", &bases]).read("tmp/seen"), "agent: \n");
    kitchen.file("Dockerfile", "FROM shell:1\nRUN --mount=type=ssh,required true\n");
    let error = kitchen.refused(4, &["--base", &bases]);
    assert!(error["message"].to_string().contains("Dockerfile:2:5: the call gives no agent `default`"), "{error}");
    let file = kitchen.context().join("Dockerfile");
    for (given, message, hint) in [
        ("default".to_owned(), "SSH_AUTH_SOCK is not set", "start an agent"),
        (format!("default={}", file.display()), "is no socket", "larder reads no keys"),
        ("default=/no/such/socket".to_owned(), "cannot use this agent", ""),
    ] {
        let ran = kitchen.build(&["--base", &bases, "--ssh", &given]);
        let error = ran.error();
        assert!(ran.code != Some(0) && error["message"].to_string().contains(message), "{error}");
        assert!(error["hint"].as_str().unwrap_or_default().contains(hint), "{error}");
    }
}
