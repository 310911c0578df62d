//! Trees for people.

use std::io::{self, Write};

/// A node: its own lines, and what hangs below it. Lines must be safe to show.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    lines: Vec<String>,
    branches: Vec<Tree>,
}

impl Tree {
    /// A node of one line.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        Tree { lines: vec![line.into()], branches: Vec::new() }
    }

    /// Adds a line that says more of this node.
    pub(crate) fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Hangs a node below this one, behind those that are there.
    pub(crate) fn branch(&mut self, tree: Tree) {
        self.branches.push(tree);
    }

    /// Writes the node and everything below it.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_below(out, "", "")
    }

    /// `first` stands before the first line, `rest` before all others.
    fn write_below(&self, out: &mut dyn Write, first: &str, rest: &str) -> io::Result<()> {
        let further = if self.branches.is_empty() { "   " } else { "│  " };
        for (position, line) in self.lines.iter().enumerate() {
            let text = if position == 0 { format!("{first}{line}") } else { format!("{rest}{further}{line}") };
            writeln!(out, "{}", text.trim_end())?;
        }
        let mut branches = self.branches.iter().peekable();
        while let Some(branch) = branches.next() {
            let (fork, below) = if branches.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
            branch.write_below(out, &format!("{rest}{fork}"), &format!("{rest}{below}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_node_stand_beside_the_trunk_that_leads_past_them() {
        let mut leaf = Tree::new("leaf");
        leaf.line("of one");
        let mut one = Tree::new("one");
        one.line("more");
        one.branch(leaf);
        let mut root = Tree::new("root");
        root.line("note");
        root.branch(one);
        root.branch(Tree::new("two"));
        let mut out = Vec::new();
        root.write(&mut out).expect("memory");
        let expected = "root\n│  note\n├─ one\n│  │  more\n│  └─ leaf\n│        of one\n└─ two\n";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }
}
