//! Values as Go prints them, which is how Docker writes history.

use std::fmt::Write as _;
use std::time::Duration;

/// `%q` of a list of strings.
pub(super) fn quoted_list(words: &[String]) -> String {
    format!("[{}]", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// `%v` of a list of strings.
pub(super) fn list(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// `%q` of a string.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    text.chars().for_each(|c| push_escaped(&mut out, c, '"'));
    out.push('"');
    out
}

/// `%q` of a small number, which Go takes for a character.
pub(super) fn quoted_number(number: u32) -> String {
    let mut out = String::from('\'');
    push_escaped(&mut out, char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER), '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    let code = u32::from(c);
    // Writing to a string does not fail.
    let _ = match c {
        c if c == quote || c == '\\' => write!(out, "\\{c}"),
        '\u{7}' => out.write_str("\\a"),
        '\u{8}' => out.write_str("\\b"),
        '\u{c}' => out.write_str("\\f"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\u{b}' => out.write_str("\\v"),
        _ if code < 0x20 || code == 0x7f => write!(out, "\\x{code:02x}"),
        c if c.is_control() || matches!(code, 0xa0 | 0xad | 0x200b..=0x200f | 0x2028..=0x202f | 0x2060..=0x206f | 0xfeff | 0xe000..=0xf8ff) => {
            write!(out, "\\u{code:04x}")
        }
        c => out.write_char(c),
    };
}

/// A time as `time.Duration` prints itself.
pub(super) fn duration(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    for (unit, name) in [(1, "ns"), (1_000, "µs"), (1_000_000, "ms")] {
        if nanoseconds > 0 && nanoseconds < unit * 1_000 {
            return format!("{}{name}", fraction(nanoseconds, unit));
        }
    }
    let seconds = fraction(nanoseconds % 60_000_000_000, 1_000_000_000);
    let minutes = nanoseconds / 60_000_000_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `number` in units, with as many digits behind the point as there are.
fn fraction(number: u128, unit: u128) -> String {
    let (whole, rest) = (number / unit, number % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let digits = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{rest:0digits$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_in_go() {
        assert_eq!(quoted_list(&["/bin/sh".into(), "a \"b\"\n\\ä\u{1}".into()]), r#"["/bin/sh" "a \"b\"\n\\ä\x01"]"#);
        assert_eq!(
            (quoted_number(0), quoted_number(3), quoted_number(10), quoted_number(65)),
            ("'\\x00'".into(), "'\\x03'".into(), "'\\n'".into(), "'A'".into())
        );
        for (nanoseconds, shown) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (8_999_999_999_999, "2h29m59.999999999s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), shown);
        }
    }
}
