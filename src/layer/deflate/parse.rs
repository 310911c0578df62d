//! Parsing: which of the matches found are used.

use super::block::BlockWriter;
use super::finder::{Effort, Finder, Match};
use super::symbol::{MAX_MATCH, MIN_MATCH};
use super::window::Window;

/// How a level parses.
#[derive(Clone, Copy)]
pub(super) struct Parsing {
    /// How hard a match is sought where none is known yet.
    pub(super) first: Effort,
    /// How hard a better one is sought at the positions after a match.
    pub(super) again: Effort,
    /// From this length on, no better match is sought: with 0, never.
    pub(super) good: usize,
    /// Seek at two positions after a match instead of at one.
    pub(super) twice: bool,
    /// Steps get one byte longer for each 2^skip bytes without a match.
    pub(super) skip: u32,
}

/// Longest step over bytes that do not match.
const MAX_STEP: usize = 32;
/// A match at distance 1 of at least that length is a run of one byte. Its
/// positions all look alike, and would fill the tables with just one string.
const RUN: usize = 32;
/// Of a run, only that many positions at its end are inserted.
const RUN_TAIL: usize = 4;
/// Positions between two visits of [`Finder::sweep`], at most; less the longest
/// match, a step and some more.
const SWEEP: usize = super::finder::MAX_SWEEP - 1024;

/// Takes the chunk apart into literals and matches.
#[inline(always)]
pub(super) fn parse<F: Finder>(chunk: &[u8], window: &mut Window, finder: &mut F, parsing: Parsing, blocks: &mut BlockWriter<'_>) {
    let end = chunk.len();
    // Hashes take 4 bytes.
    let search_end = end.saturating_sub(3);
    let mut at = 0;
    let mut matched = 0;
    let mut swept = 0;
    window.start();
    finder.start();
    while at < search_end {
        let fence = window.advance(chunk, at).min(swept + SWEEP).min(search_end);
        while at < fence {
            let mut found = finder.find(window, at, MIN_MATCH - 1, parsing.first);
            if found.length < MIN_MATCH {
                let step = (at - matched) >> parsing.skip;
                if step == 0 {
                    blocks.literal(at, window.load1(at as u16));
                    at += 1;
                } else {
                    // Data that did not match so far will hardly do so soon.
                    let step = (1 + step.min(MAX_STEP)).min(blocks.room(at)).min(end - at);
                    blocks.literals(at, at + step);
                    at += step;
                }
                continue;
            }
            let mut inserted = at + 1;
            while found.length < parsing.good && inserted < search_end {
                let next = finder.find(window, inserted, found.length - 1, parsing.again);
                inserted += 1;
                if is_better(next, found, 1) {
                    blocks.literal(at, window.load1(at as u16));
                    at += 1;
                    found = next;
                    continue;
                }
                if !parsing.twice || inserted >= search_end {
                    break;
                }
                let next = finder.find(window, inserted, found.length - 1, parsing.again);
                inserted += 1;
                if !is_better(next, found, 6) {
                    break;
                }
                blocks.literal(at, window.load1(at as u16));
                blocks.literal(at + 1, window.load1((at + 1) as u16));
                at += 2;
                found = next;
            }
            // The window has zeros behind the end, which may have matched.
            let length = found.length.min(end - at);
            blocks.push(at, length, found.dist);
            at += length;
            matched = at;
            if found.dist == 1 && length >= RUN {
                if length == MAX_MATCH {
                    at = take_run(chunk, at, blocks);
                    matched = at;
                }
                if at >= fence {
                    break;
                }
                inserted = at - RUN_TAIL;
            }
            finder.insert(window, inserted, at);
        }
        if at >= swept + SWEEP {
            finder.sweep(at, at - swept);
            swept = at;
        }
    }
    while at < end {
        let next = end.min(at + blocks.room(at));
        blocks.literals(at, next);
        at = next;
    }
}

/// Whether `next`, one or two bytes later, is worth a literal or two: a byte of
/// length counts like 4 bits of distance.
#[inline(always)]
fn is_better(next: Match, found: Match, margin: i32) -> bool {
    let bits = |m: Match| 32 - m.dist.leading_zeros() as i32;
    next.length >= found.length && 4 * (next.length as i32 - found.length as i32) + bits(found) - bits(next) > margin
}

/// Takes what follows at `at` of a run of one byte, as far as it fills longest
/// matches; returns where that ends. Sparse files are mostly such runs.
#[inline(never)]
fn take_run(chunk: &[u8], mut at: usize, blocks: &mut BlockWriter<'_>) -> usize {
    let byte = chunk[at - 1];
    for part in chunk[at..].chunks_exact(MAX_MATCH) {
        if part.iter().fold(0, |diff, &b| diff | (b ^ byte)) != 0 {
            break;
        }
        blocks.push(at, MAX_MATCH, 1);
        at += MAX_MATCH;
    }
    at
}
