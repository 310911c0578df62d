//! Small aligned tables for people.

use std::io::{self, Write};

use crate::spec::text::shown;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Rows under a heading. Cells may hold foreign text: it is made safe here.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of columns with these headings.
    pub(crate) fn new<const N: usize>(columns: [(&str, Align); N]) -> Self {
        let (headings, columns) = columns.into_iter().map(|(heading, align)| (heading.to_owned(), align)).unzip();
        Table { columns, rows: vec![headings] }
    }

    /// Adds a row; missing cells stay empty.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.into_iter().map(|cell| shown(cell).into_owned()).collect());
    }

    /// Writes the heading and the rows, two spaces between columns and none at the end of lines.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, align), width) in row.iter().zip(&self.columns).zip(&widths) {
                let padding = " ".repeat(width - cell.chars().count());
                let (before, after) = match align {
                    Align::Left => ("", padding.as_str()),
                    Align::Right => (padding.as_str(), ""),
                };
                line.extend([before, cell, after, "  "]);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &Table) -> String {
        let mut out = Vec::new();
        table.write(&mut out).expect("memory");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let mut table = Table::new([("NAME", Align::Left), ("SIZE", Align::Right), ("TYPE", Align::Left)]);
        table.row(["größe", "12.3 MB", "index"]);
        table.row(["a", "1 B", ""]);
        assert_eq!(written(&table), "NAME      SIZE  TYPE\ngröße  12.3 MB  index\na          1 B\n");
    }

    #[test]
    fn lay_64_a_name_cannot_move_the_cursor_or_break_the_line() {
        let mut table = Table::new([("NAME", Align::Left), ("X", Align::Left)]);
        table.row(["a\x1b[2J\nb\u{202e}", "x"]);
        assert_eq!(written(&table), "NAME                   X\na\\u{1b}[2J\\nb\\u{202e}  x\n");
    }
}
