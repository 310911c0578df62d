//! A socket of the machine for one step: one of the keeper's own, with the owner and the permissions that the step asks for, and behind it that of the machine.
//!
//! The socket of the machine belongs to whom it belongs, whose number the user of a step mostly does not have; and agents answer nobody else. So every connection is
//! passed on by the keeper, and ends with it.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{IoContext as _, Result};
use crate::exec::pool;

/// The most connections at the same time. Each takes two threads and four files; who asks for more is hung up on.
const MOST: usize = 64;

/// How long to wait where no connection can be accepted, which is while there are no files left.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes the socket `own`, and passes on what connects to it, to the socket `machine`, until this process ends.
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
                    let _ = connect(step, &machine);
                    drop(held);
                });
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Passes on both directions until both have ended.
fn connect(step: UnixStream, machine: &Path) -> Result<()> {
    let agent = UnixStream::connect(machine).at("connect to", machine)?;
    let (from_agent, to_step) = (agent.try_clone().at("use", machine)?, step.try_clone().at("use", machine)?);
    let answers = pool::detach("larder-relay", move || pass(from_agent, to_step));
    answers.map(|()| pass(step, agent))
}

/// Passes on what comes, and that nothing comes any more.
fn pass(mut from: UnixStream, mut to: UnixStream) {
    // However it ends, the other side sees an end.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    /// An agent that says what it hears, once it has heard all.
    fn agent(path: &Path) {
        let listener = UnixListener::bind(path).expect("bound");
        pool::detach("agent", move || {
            while let Ok((mut asked, _)) = listener.accept() {
                let mut heard = Vec::new();
                if asked.read_to_end(&mut heard).is_ok() {
                    let _ = asked.write_all(&heard);
                }
            }
        })
        .expect("a thread");
    }

    #[test]
    fn what_is_asked_and_answered_is_passed_on() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let [machine, own] = ["machine", "own"].map(|name| temp.path().join(name));
        agent(&machine);
        start(&own, &machine).expect("started");
        for asked in [&b""[..], b"short", &[7; 300_000]] {
            let mut step = UnixStream::connect(&own).expect("connected");
            let mut sending = step.try_clone().expect("a handle");
            let asking = asked.to_vec();
            pool::detach("step", move || {
                let _ = sending.write_all(&asking);
                let _ = sending.shutdown(Shutdown::Write);
            })
            .expect("a thread");
            let mut answer = Vec::new();
            step.read_to_end(&mut answer).expect("an end");
            assert_eq!(answer, asked);
        }
    }

    #[test]
    fn who_asks_too_often_is_hung_up_on_and_so_is_who_asks_an_agent_that_is_gone() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let [machine, own] = ["machine", "own"].map(|name| temp.path().join(name));
        agent(&machine);
        start(&own, &machine).expect("started");
        let connect = || UnixStream::connect(&own).expect("connected");
        let held: Vec<UnixStream> = (0..MOST).map(|_| connect()).collect();
        let mut answer = Vec::new();
        connect().read_to_end(&mut answer).expect("an end, at once");
        drop(held);
        // The agent has to hear of that first.
        let answered = || {
            let mut step = connect();
            let (_, _) = (step.write_all(b"x"), step.shutdown(Shutdown::Write));
            let mut answer = Vec::new();
            step.read_to_end(&mut answer).is_ok() && answer == b"x"
        };
        assert!((0..500).any(|_| answered() || {
            std::thread::sleep(PAUSE);
            false
        }));
        std::fs::remove_file(&machine).expect("removed");
        connect().read_to_end(&mut answer).expect("an end");
        assert!(answer.is_empty());
    }
}
