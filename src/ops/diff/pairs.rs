//! Which image of one side is compared with which of the other.

use std::collections::{HashMap, VecDeque};

use crate::graph::image::Candidate;

/// The images for one platform. At least one of them is there.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) platform: String,
    pub(super) a: Option<Candidate>,
    pub(super) b: Option<Candidate>,
}

/// Pairs by platform, in the order of `a`, and behind them what only `b` has. Of several for one platform the first goes with the first. Where each side has a
/// single image, these are compared whatever they run on.
pub(super) fn pair(a: Vec<Candidate>, b: Vec<Candidate>) -> Vec<Pair> {
    if let ([one], [other]) = (a.as_slice(), b.as_slice()) {
        let (of_a, of_b) = (one.platform.normalized().to_string(), other.platform.normalized().to_string());
        let platform = if of_a == of_b { of_a } else { format!("{of_a}, {of_b}") };
        return vec![Pair { platform, a: Some(one.clone()), b: Some(other.clone()) }];
    }
    let mut waiting: HashMap<String, VecDeque<usize>> = HashMap::new();
    let mut pairs: Vec<Pair> = Vec::new();
    for candidate in a {
        let platform = candidate.platform.normalized().to_string();
        waiting.entry(platform.clone()).or_default().push_back(pairs.len());
        pairs.push(Pair { platform, a: Some(candidate), b: None });
    }
    for candidate in b {
        let platform = candidate.platform.normalized().to_string();
        match waiting.get_mut(&platform).and_then(VecDeque::pop_front) {
            Some(position) => pairs[position].b = Some(candidate),
            None => pairs.push(Pair { platform, a: None, b: Some(candidate) }),
        }
    }
    pairs
}
