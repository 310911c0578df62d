//! Whose turn it is to go to stdout.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Descriptor, Digest};

use super::extent::Extent;
use super::plan::{Plan, Slot};

/// Content in the order in which it goes out.
#[derive(Debug)]
pub(super) struct Queue {
    plan: Plan,
    items: Vec<Item>,
    positions: HashMap<Digest, usize>,
    /// The first that did not go out.
    turn: usize,
    /// The turn whose content was waited for in vain.
    given_up: Option<usize>,
    /// Where the next that is kept begins.
    spooled: u64,
    standing: Standing,
}

#[derive(Debug)]
struct Item {
    digest: Digest,
    slot: Arc<Slot>,
    state: State,
}

/// What became of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has it in hand.
    Awaited,
    /// Somebody has.
    Active,
    /// It lies there until its turn comes.
    Kept(Extent),
    /// It went out; where it was kept it lies there still.
    Written(Option<Extent>),
}

/// What to do with content that is in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Its turn has come.
    Send,
    /// Whoever has the turn is at work.
    Wait,
    /// The turn is that of content that nobody has in hand.
    Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Failed,
    Closed,
}

impl Queue {
    /// Nothing yet, behind `first` bytes.
    pub(super) fn behind(first: u64) -> Self {
        let plan = Plan::from(first, std::iter::empty());
        Queue { plan, items: Vec::new(), positions: HashMap::new(), turn: 0, given_up: None, spooled: 0, standing: Standing::Open }
    }

    /// Fails where nothing more can go out.
    pub(super) fn check(&self) -> Result<()> {
        match self.standing {
            Standing::Open => Ok(()),
            Standing::Failed => Err(Error::new(ErrorKind::Io, "the archive on stdout could not be written before this")),
            Standing::Closed => Err(Error::new(ErrorKind::Io, "the archive on stdout is complete, and nothing can be added to it")),
        }
    }

    /// The position of content, which is the last where nobody announced it. Fails with kind `corrupt` where it has one for another size.
    pub(super) fn position(&mut self, descriptor: &Descriptor) -> Result<usize> {
        let digest = &descriptor.digest;
        if self.plan.slot(descriptor)?.is_none() {
            let slot = self.plan.propose(descriptor)?;
            let slot = self.plan.take(digest, slot);
            self.positions.insert(digest.clone(), self.items.len());
            self.items.push(Item { digest: digest.clone(), slot, state: State::Awaited });
        }
        Ok(self.positions[digest])
    }

    /// What became of the content at a position.
    pub(super) fn state(&self, at: usize) -> State {
        self.items[at].state
    }

    /// Says what became of the content at a position.
    pub(super) fn set(&mut self, at: usize, state: State) {
        self.items[at].state = state;
    }

    /// What stands before the content at a position.
    pub(super) fn headers(&self, at: usize) -> Result<Vec<u8>> {
        self.items[at].slot.headers(&self.items[at].digest)
    }

    /// What to do with content that is in hand.
    pub(super) fn step(&self, at: usize) -> Step {
        match self.turn {
            turn if turn == at => Step::Send,
            turn if self.items[turn].state == State::Active => Step::Wait,
            _ => Step::Keep,
        }
    }

    /// Waits no more for the content whose turn it is.
    pub(super) fn give_up(&mut self) {
        self.given_up = Some(self.turn);
    }

    /// Whether that content is waited for no more.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up == Some(self.turn)
    }

    /// A place for content that is kept.
    pub(super) fn keep(&mut self, size: u64) -> Extent {
        let extent = Extent { offset: self.spooled, size };
        self.spooled = self.spooled.saturating_add(size);
        extent
    }

    /// The content whose turn it is, where it was kept.
    pub(super) fn kept(&self) -> Option<(usize, Extent)> {
        match self.items.get(self.turn)?.state {
            State::Kept(extent) => Some((self.turn, extent)),
            _ => None,
        }
    }

    /// Ends the turn of content that went out, or everything where that failed.
    pub(super) fn settle(&mut self, at: usize, outcome: Result<State>) -> Result<()> {
        match outcome {
            Ok(state) => {
                self.set(at, state);
                self.turn += 1;
                Ok(())
            }
            Err(error) => {
                self.fail();
                Err(error)
            }
        }
    }

    /// Whether content is there or on its way.
    pub(super) fn is_there(&self, descriptor: &Descriptor) -> bool {
        let at = self.positions.get(&descriptor.digest).map(|at| &self.items[*at]);
        at.is_some_and(|item| item.slot.content.size == descriptor.size && matches!(item.state, State::Kept(_) | State::Written(_)))
    }

    /// Where content lies that went out and was kept.
    pub(super) fn written(&self, digest: &Digest) -> Option<Extent> {
        match self.items[*self.positions.get(digest)?].state {
            State::Written(extent) => extent,
            _ => None,
        }
    }

    /// Nothing goes out any more: something was half written.
    pub(super) fn fail(&mut self) {
        self.standing = Standing::Failed;
    }

    /// Ends the content. Returns how many pieces there are. Fails with kind `not_found` where some was announced and did not come.
    pub(super) fn close(&mut self) -> Result<usize> {
        self.check()?;
        if let Some(item) = self.items.get(self.turn) {
            return Err(Error::not_found(format!("{} was announced for stdout and not put", item.digest)).subject(&item.digest));
        }
        self.standing = Standing::Closed;
        Ok(self.items.len())
    }
}
