//! Signals by name and number.

/// The signals of Linux.
const NAMES: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT",
    "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "UNUSED", "RTMIN", "RTMAX",
];

/// The highest number of a signal.
const LAST: u8 = 64;

/// The most that can stand behind `RTMIN+` and `RTMAX-`.
const REAL_TIME: u8 = 30;

/// Whether `text` names a signal: `9`, `KILL`, `SIGKILL`, `SIGRTMIN+3`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=LAST).contains(&number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let real_time = name.strip_prefix("RTMIN+").or(name.strip_prefix("RTMAX-"));
    NAMES.contains(&name) || real_time.and_then(|number| number.parse::<u8>().ok()).is_some_and(|number| number <= REAL_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for text in ["9", "KILL", "sigterm", "SIGRTMIN+3", "SIGRTMAX-1", "64"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["", "0", "65", "SIGNAL", "RTMIN+99", "-1"] {
            assert!(!is_signal(text), "{text}");
        }
    }
}
