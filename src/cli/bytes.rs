//! Sizes for people: decimal units as in `docker images`. Programs get exact numbers in JSON.

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

/// Reads `500`, `500B`, `10k`, `10M`, `10GB` with decimal and `10Ki`, `10MiB` with binary units, in upper and lower case. The error is one clause.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (unit, base) = unit.strip_suffix('i').filter(|unit| !unit.is_empty()).map_or((unit, 1000_u64), |unit| (unit, 1024));
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == unit).and_then(|power| u32::try_from(power).ok());
    let bytes = number.parse::<u64>().ok().zip(power).and_then(|(number, power)| number.checked_mul(base.pow(power)));
    bytes.ok_or_else(|| "a number of bytes is needed, such as 500M or 10GiB".to_owned())
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

    #[test]
    fn sizes_are_read_with_decimal_and_binary_units() {
        for (text, bytes) in
            [("0", 0), ("500", 500), ("7B", 7), ("10k", 10_000), ("10KB", 10_000), ("3Mi", 3 << 20), ("2GiB", 2 << 30), ("1t", 1_000_000_000_000)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "1X", "1i", "1Bi", "10 M", "99999999999999999999", "99999999P"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
