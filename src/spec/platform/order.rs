//! Which of several platforms serves a wanted one best: containerd's order (`platforms.Only`).

use std::cmp::Reverse;

use super::Platform;

/// The lowest build number of Windows from which on a host runs the containers of older builds: Windows Server 2022.
const WINDOWS_STABLE_BUILD: u64 = 20348;

/// The position of the candidate that serves `wanted` best; none when none does.
///
/// The wanted architecture and variant come first, then what the processor also runs: lower variants, then the 32-bit architecture. Among
/// equals the one that uses more of the wanted features wins, then the one with the wanted version of Windows or the highest below it,
/// then the earlier one. Attestations are never selected.
pub fn select<'a>(wanted: &Platform, candidates: impl Iterator<Item = &'a Platform>) -> Option<usize> {
    let wanted = wanted.normalized();
    let order = preference(&wanted);
    let rank = |candidate: &Platform| {
        if candidate.is_attestation() {
            return None;
        }
        let candidate = candidate.normalized();
        let serves = candidate.os == wanted.os && candidate.os_features.iter().all(|feature| wanted.os_features.contains(feature));
        if !serves || !windows_serves(&wanted, &candidate) {
            return None;
        }
        let step = order.iter().position(|(architecture, variant)| *architecture == candidate.architecture && *variant == candidate.variant())?;
        // Without a wanted version there is none that is closer: the earlier entry wins.
        let version = wanted.os_version.as_ref().filter(|_| wanted.os == "windows").map(|_| version(&candidate));
        Some((step, Reverse(candidate.os_features.len()), Reverse(version)))
    };
    let ranked = candidates.enumerate().filter_map(|(position, candidate)| Some((rank(candidate)?, position)));
    ranked.min().map(|(_, position)| position)
}

/// Architectures and variants that run what is built for `wanted`, best first. `wanted` is normalised.
fn preference(wanted: &Platform) -> Vec<(&str, String)> {
    let own = |architecture| (architecture, wanted.variant().to_owned());
    let arm = |highest: u8| (5..=highest).rev().map(|version| ("arm", format!("v{version}")));
    match wanted.arch() {
        "amd64" => {
            let lower = (1..number(wanted.variant()).unwrap_or(1)).rev();
            let lower = lower.map(|version| ("amd64", if version == 1 { String::new() } else { format!("v{version}") }));
            std::iter::once(own("amd64")).chain(lower).chain([("386", String::new())]).collect()
        }
        "arm" => match number(wanted.variant()) {
            Some(version @ 5..) => arm(version).collect(),
            _ => vec![own("arm")],
        },
        "arm64" => {
            let variant = if wanted.variant().is_empty() { "v8" } else { wanted.variant() };
            let (major, minor) = variant.split_once('.').unwrap_or((variant, "0"));
            let Some((major @ (8 | 9), minor)) = number(major).zip(plain(minor)) else { return vec![own("arm64")] };
            // 9.0 is a branch of 8.5: a 9.x runs 8.(x+5), and 8.9 is the last of the eights.
            let eights = if major == 9 { minor.saturating_add(5).min(9) } else { minor };
            let nines = (0..=minor).rev().filter(|_| major == 9).map(|minor| ("arm64", dotted(9, minor)));
            nines.chain((0..=eights).rev().map(|minor| ("arm64", dotted(8, minor)))).chain(arm(8)).collect()
        }
        architecture => vec![own(architecture)],
    }
}

/// The normalised variant of 64-bit ARM version `major.minor`.
fn dotted(major: u8, minor: u8) -> String {
    match (major, minor) {
        (8, 0) => String::new(),
        (major, 0) => format!("v{major}"),
        (major, minor) => format!("v{major}.{minor}"),
    }
}

fn number(variant: &str) -> Option<u8> {
    plain(variant.strip_prefix('v')?)
}

/// A number without sign and leading zeros: `v07` is not `v7`.
fn plain(digits: &str) -> Option<u8> {
    digits.parse().ok().filter(|number: &u8| number.to_string() == digits)
}

/// Whether a host with the wanted version of Windows runs the candidate; true for other systems and where a version is unknown.
fn windows_serves(wanted: &Platform, candidate: &Platform) -> bool {
    let (Some(_), Some(_), "windows") = (&wanted.os_version, &candidate.os_version, wanted.os.as_str()) else { return true };
    let ([major, minor, build, _], [candidate_major, candidate_minor, candidate_build, _]) = (version(wanted), version(candidate));
    let same = (major, minor) == (candidate_major, candidate_minor);
    match build < WINDOWS_STABLE_BUILD {
        true => same && build == candidate_build,
        false => same && (WINDOWS_STABLE_BUILD..=build).contains(&candidate_build),
    }
}

/// Major, minor, build and revision; zero for what is missing.
fn version(platform: &Platform) -> [u64; 4] {
    let mut numbers = platform.os_version.iter().flat_map(|version| version.split('.')).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}
