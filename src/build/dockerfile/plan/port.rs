//! What `EXPOSE` takes: `80`, `80/udp`, `8000-8010`.

use crate::build::dockerfile::instruction::Remark;
use crate::build::place::At;
use crate::error::Result;
use crate::spec::text;

/// The ports that a word means, each as `80/tcp`. Fails with kind `usage` for what is none.
pub(super) fn ports(written: &At<String>, remarks: &mut Vec<Remark>) -> Result<Vec<String>> {
    let bad = |why: &str| written.place.usage(format!("`{}` {why}", text::shown(&written.value))).hint("write a port such as 8080, 53/udp or 8000-8010");
    let port = match written.value.rsplit_once(':') {
        None => written.value.as_str(),
        Some((_, port)) => {
            let message = format!("`{}` names a port of a host, which is for whoever runs the image to say; {port} is taken", text::shown(&written.value));
            remarks.push(Remark { rule: "ExposeInvalidFormat", place: written.place.clone(), message });
            port
        }
    };
    let (numbers, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(bad("has a protocol that is none of tcp, udp and sctp"));
    }
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0 && !text.starts_with('+'));
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first..=last).map(|number| format!("{number}/{protocol}")).collect()),
        _ => Err(bad("is not a port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::place::Place;

    #[test]
    fn ports_are_numbers_or_ranges_with_a_protocol() {
        let read = |text: &str| ports(&At::new(text.to_owned(), Place::line("Dockerfile", 1, 8)), &mut Vec::new());
        assert_eq!(read("127.0.0.1:8080:80").expect("valid"), ["80/tcp"]);
        assert_eq!(read("80").expect("valid"), ["80/tcp"]);
        assert_eq!(read("53/UDP").expect("valid"), ["53/udp"]);
        assert_eq!(read("8000-8002/sctp").expect("valid"), ["8000/sctp", "8001/sctp", "8002/sctp"]);
        for text in ["", "0", "65536", "-1", "80-79", "80/http", "8080:", "+1", "a"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
