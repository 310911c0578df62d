//! Records of extended headers: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record.

/// Before the name of an extended attribute.
pub(super) const XATTR: &[u8] = b"SCHILY.xattr.";

/// Appends one record. The key must hold no `=`.
pub(super) fn put(out: &mut Vec<u8>, key: &[&[u8]], value: &[u8]) {
    let rest = b" =\n".len() + key.iter().map(|part| part.len()).sum::<usize>() + value.len();
    // The length counts its own digits.
    let mut length = rest + digits(rest);
    if digits(length) > digits(rest) {
        length = rest + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    key.iter().for_each(|part| out.extend_from_slice(part));
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Takes the first record off `records`: its key, its value and what follows. None when it is malformed.
pub(super) fn take(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().take(8).position(|byte| *byte == b' ')?;
    let length = decimal(&records[..space])?;
    if records.first() == Some(&b'0') {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let body = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    (!key.is_empty() && !key.contains(&0)).then_some((key, value, rest))
}

/// Digits and nothing else, of a number that fits 63 bits.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number <= i64::MAX.cast_unsigned()).then_some(number)
}

/// Seconds with an optional sign and fraction, rounded down.
pub(super) fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let point = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let fraction = text.get(point + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = decimal(&text[..point])?.cast_signed();
    let below = i64::from(negative && fraction.iter().any(|digit| *digit != b'0'));
    if negative { (-whole).checked_sub(below) } else { Some(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, &[key], value);
        out
    }

    #[test]
    fn the_length_counts_itself() {
        for size in 0..2000 {
            let record = record(b"k", &vec![b'v'; size]);
            let text = String::from_utf8(record.clone()).expect("ASCII");
            assert_eq!(text.split(' ').next().and_then(|length| length.parse().ok()), Some(record.len()));
            assert_eq!(take(&record), Some((&b"k"[..], &vec![b'v'; size][..], &b""[..])));
        }
    }

    #[test]
    fn a_value_may_hold_anything() {
        let record = record(b"SCHILY.xattr.user.a", b"x=\n\0\xff\n");
        assert_eq!(take(&record), Some((&b"SCHILY.xattr.user.a"[..], &b"x=\n\0\xff\n"[..], &b""[..])));
    }

    #[test]
    fn tar_27_malformed_records() {
        for bad in [
            "",
            "8 a=bcd",
            "7 a=bcd\n",
            "9 a=bcd\n",
            "10 a=bcd\n",
            "08 a=bcd\n",
            "+8 a=bcd\n",
            " 8 a=bcd\n",
            "0 a=b\n",
            "3 \n",
            "6 abc\n",
            "6 =bc\n",
            "7a=bcd\n",
            "2\n",
            "9999999999 a=b\n",
            "99999999999999999999 a=b\n",
            "8 a\0=bc\n",
        ] {
            assert_eq!(take(bad.as_bytes()), None, "{bad:?}");
        }
        assert!(take(b"8 a=bcd\n9").is_some());
    }

    #[test]
    fn tar_32_and_tar_55_numbers() {
        for bad in ["", "+1", "-1", "0x200", " 12", "12 ", "1e3", "9223372036854775808", "18446744073709551615"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(decimal(b"9223372036854775807"), Some(i64::MAX.cast_unsigned()));
        for bad in ["", "-", ".", ".5", "NaN", "inf", "1e400", "+1", "1.5.5", "1.-5", "--1", "9223372036854775808"] {
            assert_eq!(seconds(bad.as_bytes()), None, "{bad:?}");
        }
        for (text, value) in [("0", 0), ("1.9999", 1), ("1.", 1), ("-1", -1), ("-1.0", -1), ("-1.5", -2), ("-0.5", -1), ("8589934592", 1 << 33)] {
            assert_eq!(seconds(text.as_bytes()), Some(value), "{text}");
        }
    }
}
