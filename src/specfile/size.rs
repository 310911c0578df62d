//! Numbers of bytes as a person writes them.

/// Reads `500`, `500B`, `10k`, `10M`, `10GB` with decimal and `10Ki`, `10MiB` with binary units, in upper and lower case. The error is one clause.
pub fn parse(text: &str) -> Result<u64, String> {
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
