//! A server that follows a script: what must come, and what it answers, down to the byte at which the connection breaks.
//!
//! Requests may come in any order and from many connections. Each goes to the first step that it fits and that is not used up.
//! [`Scripted::finish`] fails where something else came, or where something did not come.

use std::sync::{Arc, Mutex};

use super::authority::Identity;
use super::http::{Answer, Request, Server, Service};

/// A server and its script, which can be written on while it plays.
pub(crate) struct Scripted {
    server: Server,
    play: Arc<Play>,
}

#[derive(Default)]
struct Play {
    greeting: Option<Answer>,
    steps: Mutex<Vec<Step>>,
    seen: Mutex<Vec<Seen>>,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) request: Request,
    /// Whether the script knew it.
    pub(crate) expected: bool,
}

/// A request that is expected, and the answers to it.
pub(crate) struct Step {
    method: String,
    target: String,
    checks: Vec<Check>,
    times: Times,
    came: usize,
    answers: Answers,
}

/// An answer to a request, given how many of the kind came before it.
type Answers = Box<dyn Fn(&Request, usize) -> Answer + Send + Sync>;

/// How often it comes.
#[derive(Clone, Copy, Debug)]
enum Times {
    Exactly(usize),
    Any,
}

#[derive(Debug)]
enum Check {
    /// The header of this name is like this.
    With(String, String),
    /// There is no header of this name.
    Without(String),
}

impl Step {
    /// Expects one request of this method, whose path is like `target`, where `*` stands for anything.
    /// With a question mark in it `target` is compared with path and query.
    pub(crate) fn new(method: &str, target: &str) -> Step {
        let answers = Box::new(|_: &Request, _| Answer::new(200));
        Step { method: method.into(), target: target.into(), checks: Vec::new(), times: Times::Exactly(1), came: 0, answers }
    }

    /// Only if it has a header like this.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Step {
        self.checks.push(Check::With(name.into(), value.into()));
        self
    }

    /// Only if it has no such header.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Step {
        self.checks.push(Check::Without(name.into()));
        self
    }

    /// Expects it so many times.
    #[must_use]
    pub(crate) fn times(mut self, times: usize) -> Step {
        self.times = Times::Exactly(times);
        self
    }

    /// Expects it any number of times, also never.
    #[must_use]
    pub(crate) fn always(mut self) -> Step {
        self.times = Times::Any;
        self
    }

    /// The answer, every time.
    #[must_use]
    pub(crate) fn answers(self, answer: Answer) -> Step {
        self.answers_by(move |_, _| answer.clone())
    }

    /// These answers one after the other, which are all that is expected.
    #[must_use]
    pub(crate) fn answers_in_turn(self, answers: Vec<Answer>) -> Step {
        self.times(answers.len()).answers_by(move |_, turn| answers[turn].clone())
    }

    /// An answer that depends on the request, and on how many came before it.
    #[must_use]
    pub(crate) fn answers_by(mut self, answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Step {
        self.answers = Box::new(answer);
        self
    }

    fn fits(&self, request: &Request) -> bool {
        let target = if self.target.contains('?') { request.target() } else { request.path.clone() };
        let open = match self.times {
            Times::Exactly(times) => self.came < times,
            Times::Any => true,
        };
        open && self.method == request.method && is_like(&target, &self.target) && self.checks.iter().all(|check| check.holds(request))
    }

    fn describe(&self) -> String {
        format!("{} {} {:?}", self.method, self.target, self.checks)
    }
}

impl Check {
    fn holds(&self, request: &Request) -> bool {
        match self {
            Check::With(name, value) => request.headers.iter().any(|(own, text)| own.eq_ignore_ascii_case(name) && is_like(text, value)),
            Check::Without(name) => request.header(name).is_none(),
        }
    }
}

impl Scripted {
    /// Serves plain HTTP. The script begins empty.
    pub(crate) fn start() -> Scripted {
        let play = Arc::<Play>::default();
        Scripted { server: Server::start(Arc::clone(&play) as _), play }
    }

    /// Serves plain HTTP on another host.
    pub(crate) fn start_elsewhere() -> Scripted {
        let play = Arc::<Play>::default();
        Scripted { server: Server::start_elsewhere(Arc::clone(&play) as _), play }
    }

    /// Serves HTTPS.
    pub(crate) fn start_tls(identity: &Identity) -> Scripted {
        let play = Arc::<Play>::default();
        Scripted { server: Server::start_tls(Arc::clone(&play) as _, identity), play }
    }

    /// Sends this to whoever connects, whatever they say: for peers that do not speak HTTP.
    pub(crate) fn greets(greeting: Answer) -> Scripted {
        let play = Arc::new(Play { greeting: Some(greeting), ..Play::default() });
        Scripted { server: Server::start(Arc::clone(&play) as _), play }
    }

    /// Writes on the script.
    pub(crate) fn expect(&self, step: Step) {
        self.play.steps.lock().expect("no thread died with it").push(step);
    }

    /// Writes on the script, before all that is there.
    pub(crate) fn expect_first(&self, step: Step) {
        self.play.steps.lock().expect("no thread died with it").insert(0, step);
    }

    /// Address and port, as references have them.
    pub(crate) fn host(&self) -> String {
        self.server.host()
    }

    /// `http://127.0.0.1:PORT` or `https://…`.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// What came until now.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.play.seen.lock().expect("no thread died with it").clone()
    }

    /// Ends, and returns what came. That must be what was expected.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<Request> {
        let Scripted { server, play } = self;
        drop(server);
        let seen = play.seen.lock().expect("no thread died with it");
        let unexpected: Vec<String> = seen.iter().filter(|seen| !seen.expected).map(|seen| show(&seen.request)).collect();
        let steps = play.steps.lock().expect("no thread died with it");
        let missing = steps.iter().filter_map(|step| match step.times {
            Times::Exactly(times) if step.came < times => Some(format!("{} came {} times, not {times}", step.describe(), step.came)),
            _ => None,
        });
        let missing: Vec<String> = missing.collect();
        assert!(unexpected.is_empty() && missing.is_empty(), "not expected: {unexpected:#?}\nmissing: {missing:#?}");
        seen.iter().map(|seen| seen.request.clone()).collect()
    }
}

impl Service for Play {
    fn greeting(&self) -> Option<Answer> {
        self.greeting.clone()
    }

    fn answer(&self, request: &Request) -> Answer {
        let mut steps = self.steps.lock().expect("no thread died with it");
        let step = steps.iter_mut().find(|step| step.fits(request));
        self.seen.lock().expect("no thread died with it").push(Seen { request: request.clone(), expected: step.is_some() });
        let Some(step) = step else { return Answer::text(501, "the script does not know this request") };
        step.came += 1;
        (step.answers)(request, step.came - 1)
    }
}

fn show(request: &Request) -> String {
    format!("{} {} {:?}", request.method, request.target(), request.headers)
}

/// Whether a text is like a pattern, in which `*` stands for anything.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}
