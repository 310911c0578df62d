//! A socket of the machine for one step: one of the keeper's own, with the owner and the permissions that the step asks for, and behind it the SSH agent of the machine.
//!
//! The socket of the machine belongs to whom it belongs, whose number the user of a step mostly does not have; and agents answer nobody else. So the keeper asks
//! for the step, one question after the other: which keys there are, and for signatures. Whatever else an agent does would change it for its owner, who lent it to be
//! used: keys stay where they are, and nothing is locked. draft-ietf-sshm-ssh-agent.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{IoContext as _, Result};
use crate::exec::pool;

/// The most connections at the same time. Each takes a thread and two files; who asks for more is hung up on.
const MOST: usize = 64;

/// How long to wait where no connection can be accepted, which is while there are no files left.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest message in bytes, as OpenSSH has it.
const LONGEST: usize = 256 << 10;

/// The questions that are passed on: for the keys, and for a signature.
const IDENTITIES: u8 = 11;
const SIGN: u8 = 13;

/// The answer of an agent that does not do what it is asked for.
const FAILURE: [u8; 1] = [5];

/// Makes the socket `own`, and asks the agent at the socket `machine` what is asked there, until this process ends.
pub(super) fn start(own: &Path, machine: &Path) -> Result<()> {
    let listener = UnixListener::bind(own).at("listen at", own)?;
    let machine = Arc::<Path>::from(machine);
    pool::detach("larder-relay", move || accept(&listener, &machine))
}

fn accept(listener: &UnixListener, machine: &Arc<Path>) {
    // Held by each connection: how many there are.
    let open = Arc::new(());
    loop {
        match listener.accept() {
            Ok((step, _)) if Arc::strong_count(&open) <= MOST => {
                let (machine, held) = (machine.clone(), open.clone());
                // Without a thread the connection is closed, as it is by an agent that is gone.
                let _ = pool::detach("larder-relay", move || {
                    // However it ends, the step sees an end.
                    let _ = UnixStream::connect(&machine).and_then(|agent| ask(&step, &agent));
                    drop(held);
                });
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Asks the agent what the step asks, until there are no more questions.
fn ask(step: &UnixStream, agent: &UnixStream) -> io::Result<()> {
    while let Some(question) = read(step)? {
        let answer = match question.first() {
            Some(&(IDENTITIES | SIGN)) => {
                write(agent, &question)?;
                read(agent)?.ok_or(io::ErrorKind::UnexpectedEof)?
            }
            _ => FAILURE.into(),
        };
        write(step, &answer)?;
    }
    Ok(())
}

/// The next message; `None` at the end.
fn read(mut from: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if from.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message)?;
    Ok(Some(message))
}

fn write(mut to: &UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&[&length.to_be_bytes()[..], message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers every question with that question, and hangs up on one that is empty.
    fn agent(path: &Path) {
        let listener = UnixListener::bind(path).expect("bound");
        pool::detach("agent", move || {
            while let Ok((asked, _)) = listener.accept() {
                while let Ok(Some(question)) = read(&asked) {
                    if write(&asked, &question).is_err() {
                        break;
                    }
                }
            }
        })
        .expect("a thread");
    }

    fn answer(step: &UnixStream, question: &[u8]) -> Option<Vec<u8>> {
        write(step, question).and_then(|()| read(step)).ok().flatten()
    }

    #[test]
    fn keys_and_signatures_are_asked_for_and_nothing_else() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let [machine, own] = ["machine", "own"].map(|name| temp.path().join(name));
        agent(&machine);
        start(&own, &machine).expect("started");
        let step = UnixStream::connect(&own).expect("connected");
        let long = [&[SIGN][..], &vec![7; LONGEST - 1]].concat();
        for question in [&[IDENTITIES][..], &[SIGN, 1, 2, 3], &long] {
            assert_eq!(answer(&step, question).as_deref(), Some(question));
        }
        // To add keys, to remove one or all, to load a library, to lock, extensions, and nothing.
        for question in [&[17_u8, 1][..], &[18], &[19], &[20], &[22, 0], &[25], &[26], &[27], &[255], &[]] {
            assert_eq!(answer(&step, question).as_deref(), Some(&FAILURE[..]), "{question:?}");
        }
        assert_eq!(answer(&step, &[IDENTITIES]).as_deref(), Some(&[IDENTITIES][..]));
        let mut step = &step;
        step.write_all(&[255; 4]).expect("a length");
        assert!(read(step).is_ok_and(|answer| answer.is_none()), "nobody has that much to say");
    }

    #[test]
    fn who_asks_too_often_is_hung_up_on_and_so_is_who_asks_an_agent_that_is_gone() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let [machine, own] = ["machine", "own"].map(|name| temp.path().join(name));
        let listener = UnixListener::bind(&machine).expect("bound");
        start(&own, &machine).expect("started");
        let connect = || UnixStream::connect(&own).expect("connected");
        let held: Vec<UnixStream> = (0..MOST).map(|_| connect()).collect();
        assert!(read(&connect()).is_ok_and(|answer| answer.is_none()), "at once");
        drop(held);
        drop(listener);
        std::fs::remove_file(&machine).expect("removed");
        agent(&machine);
        // That nobody is left has to be heard of first.
        assert!((0..500).any(|_| answer(&connect(), &[IDENTITIES]).is_some() || {
            std::thread::sleep(PAUSE);
            false
        }));
        std::fs::remove_file(&machine).expect("removed");
        assert!(read(&connect()).is_ok_and(|answer| answer.is_none()));
    }
}
