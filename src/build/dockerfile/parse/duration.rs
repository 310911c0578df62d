//! Times as Go writes them: `1h2m3.5s`.

use std::time::Duration;

const UNITS: [(&str, u128); 8] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("μs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];

/// Go counts times in nanoseconds, in 64 bits with a sign.
const MOST: u128 = i64::MAX as u128;

/// Reads a time that is not negative.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() || total == 0 && text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, behind) = tail.split_at(end);
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(amount(number, *nanoseconds)?)?;
        rest = behind;
    }
    if text.is_empty() || total > MOST {
        return None;
    }
    Some(Duration::from_nanos(u64::try_from(total).ok()?))
}

/// `number` of units, fractions below a nanosecond cut off.
fn amount(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More digits than this say nothing about nanoseconds of an hour.
    let fraction = &fraction[..fraction.len().min(15)];
    let parts: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(parts * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, nanoseconds) in
            [("0", 0), ("30s", 30_000_000_000), ("1h2m3.5s", 3_723_500_000_000), ("1.5ms", 1_500_000), (".5s", 500_000_000), ("1us", 1_000)]
        {
            assert_eq!(parse(text), Some(Duration::from_nanos(nanoseconds)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "1d", "1..5s", ".s", "1s 2s", "99999999999h", "1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
