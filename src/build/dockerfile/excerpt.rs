//! The lines of a Dockerfile that an error is about, as compilers show them.

use super::instruction::Dockerfile;
use crate::error::Error;

/// How many lines are shown at most.
const MOST: usize = 12;

/// Adds to an error about a place in the file `name`, whose text is `text`, the lines that stand there. What is known of the file tells how many.
pub fn add(error: Error, name: &str, text: &str, file: Option<&Dockerfile>) -> Error {
    let Some((line, column)) = place(error.message(), name) else { return error };
    let instructions = file.into_iter().flat_map(|file| &file.stages).flat_map(|stage| {
        let from = std::iter::once(&stage.lines);
        from.chain(stage.instructions.iter().map(|instruction| &instruction.lines))
    });
    // The first place of an instruction means all of it.
    let whole = instructions.filter(|lines| lines.start == line && column == 1).max_by_key(|lines| lines.end);
    let shown = whole.cloned().unwrap_or(line..line + 1);
    let lines: Vec<&str> = text.lines().collect();
    let width = shown.end.to_string().len();
    let mut excerpt = Vec::new();
    for number in shown.clone().take(MOST) {
        let Some(written) = lines.get(number.wrapping_sub(1)) else { break };
        excerpt.push(format!("{number:>width$} | {}", written.trim_end().replace('\t', "    ")));
    }
    if shown.len() > MOST {
        excerpt.push(format!("{:>width$} | and {} more lines", "", shown.len() - MOST));
    }
    if whole.is_none()
        && let Some(written) = lines.get(line.wrapping_sub(1))
    {
        let before: usize = written.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { 4 } else { 1 }).sum();
        excerpt.push(format!("{:>width$} | {}^", "", " ".repeat(before)));
    }
    error.excerpt(excerpt)
}

/// The line and column that a message begins with.
fn place(message: &str, name: &str) -> Option<(usize, usize)> {
    let rest = message.strip_prefix(name)?.strip_prefix(':')?;
    let (line, rest) = rest.split_once(':')?;
    let (column, _) = rest.split_once(':')?;
    Some((line.parse().ok()?, column.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::dockerfile::parse::parse;

    const TEXT: &str = "FROM scratch\nRUN one \\\n\ttwo\nCOPY a\tb /\n";

    fn shown(message: &str) -> Vec<String> {
        let file = parse("D", TEXT).expect("valid");
        add(Error::usage(message), "D", TEXT, Some(&file)).excerpt_lines().to_vec()
    }

    #[test]
    fn an_instruction_is_shown_whole_and_a_word_with_a_mark() {
        assert_eq!(shown("D:2:1: it failed"), ["2 | RUN one \\", "3 |     two"]);
        assert_eq!(shown("D:4:8: what"), ["4 | COPY a    b /", "  |           ^"]);
        assert_eq!(add(Error::usage("D:1:2: x"), "D", TEXT, None).excerpt_lines(), ["1 | FROM scratch", "  |  ^"]);
        for message in ["other", "D: x", "D:x:1: y", "E:1:1: x"] {
            assert!(shown(message).is_empty(), "{message}");
        }
        assert_eq!(shown("D:99:1: x"), [""; 0]);
    }

    #[test]
    fn long_instructions_are_cut() {
        let text = format!("FROM scratch\nRUN {}x\n", "a \\\n".repeat(40));
        let file = parse("D", &text).expect("valid");
        let error = add(Error::usage("D:2:1: it failed"), "D", &text, Some(&file));
        assert_eq!((error.excerpt_lines().len(), error.excerpt_lines().last().map(String::as_str)), (13, Some("   | and 29 more lines")));
    }
}
