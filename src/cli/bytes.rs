//! Sizes for people: decimal units as in `docker images`. Programs get exact numbers in JSON.

pub(crate) use crate::specfile::size::parse;

/// `999 B`, `1.0 kB`, `12.3 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // In tenths of a unit, rounded to nearest; wide enough for the largest number.
    let mut divisor = 100_u128;
    let mut unit = UNITS[0];
    for next in UNITS {
        unit = next;
        if (u128::from(bytes) + divisor / 2) / divisor < 10_000 {
            break;
        }
        divisor *= 1000;
    }
    let tenths = (u128::from(bytes) + divisor / 2) / divisor;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_with_one_digit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345, "12.3 kB"),
            (12_350, "12.4 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (1_000_000_000, "1.0 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }
}
