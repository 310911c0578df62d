//! Base64 as the `data` of descriptors has it: the standard alphabet with padding, and only its one canonical form.
//! RFC 4648, section 4; image-spec, descriptor.md "Embedded Content".

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The canonical encoding of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |position: usize| u32::from(group.get(position).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * position)) as usize & 63];
            out.push(if position <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// The bytes that `text` encodes; none when it is not the canonical encoding of any.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(groups.len() * 3);
    for (position, group) in groups.iter().enumerate() {
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if padding > 2 || (padding > 0 && position + 1 < groups.len()) {
            return None;
        }
        let (digits, _) = group.split_at(4 - padding);
        let bits = digits.iter().try_fold(0u32, |bits, byte| Some(bits << 6 | digit(*byte)?))? << (6 * padding);
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (kept, dropped) = bytes.split_at(3 - padding);
        if dropped.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(kept);
    }
    Some(out)
}

/// As [`decode`], for text that people and other programs write: with white space in it, without padding, or in the alphabet for URLs.
pub fn decode_leniently(text: &str) -> Option<Vec<u8>> {
    let digits = text.chars().filter(|c| !c.is_ascii_whitespace()).map(|c| match c {
        '-' => '+',
        '_' => '/',
        c => c,
    });
    let mut text: String = digits.collect();
    text.truncate(text.trim_end_matches('=').len());
    text.extend(std::iter::repeat_n('=', text.len().wrapping_neg() % 4));
    decode(&text)
}

fn digit(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::{decode, decode_leniently, encode};

    #[test]
    fn people_write_it_in_many_ways() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(decode_leniently(text).as_deref(), Some(bytes.as_bytes()));
            assert_eq!(decode_leniently(text.trim_end_matches('=')).as_deref(), Some(bytes.as_bytes()));
        }
        for text in ["+/+/", "-_-_", " +/\n+/\n"] {
            assert_eq!(decode_leniently(text).as_deref(), Some(&[0xfb, 0xff, 0xbf][..]), "{text:?}");
        }
        for text in ["Z", "Zh", "Z=g=", "Zg==Zg==", "Zm9vé"] {
            assert_eq!(decode_leniently(text), None, "{text}");
        }
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()), "{text}");
            assert_eq!(encode(bytes.as_bytes()), text);
        }
        assert_eq!(encode(&[0xfb, 0xff, 0xbf]), "+/+/");
        assert_eq!(decode("+/+/").as_deref(), Some(&[0xfb, 0xff, 0xbf][..]));
    }

    #[test]
    fn lay_56_only_the_canonical_form() {
        for text in ["Zg", "Zg=", "Zg==\n", " Zg==", "-_-_", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm=v", "Zm9v=", "Zé=="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
