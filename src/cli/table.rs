//! Tables: columns of text, as kubectl prints them.

use crate::cli::output::{Paint, wrapped};
use crate::view::timeline::visible;

/// A cell: its text, and how it is coloured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// It succeeded.
    Good,
    /// It goes on, or needs attention soon.
    Busy,
    /// It needs a person.
    Bad,
    /// It does not matter now.
    Faint,
}

impl Cell {
    /// A cell with a tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

impl Tone {
    /// `text` in this tone.
    pub fn paint(self, paint: Paint, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Good => paint.green(text),
            Self::Busy => paint.yellow(text),
            Self::Bad => paint.red(text),
            Self::Faint => paint.faint(text),
        }
    }
}

/// Rows under a header.
#[derive(Debug, Default)]
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<Cell>>,
    tight: bool,
}

impl Table {
    /// A table without rows.
    pub fn new(header: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            header: header.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
            tight: false,
        }
    }

    /// The same table with narrower gaps between its columns.
    pub fn tight(mut self) -> Self {
        self.tight = true;
        self
    }

    /// Blanks between columns, as in kubectl.
    fn gap(&self) -> usize {
        if self.tight { 2 } else { 3 }
    }

    /// Adds a row. Cells that are missing at its end are empty.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The columns of the widest line.
    pub fn width(&self) -> usize {
        let widths = self.widths(true);
        let shown = widths.iter().filter(|width| **width > 0).count();
        widths.iter().sum::<usize>() + self.gap() * shown.saturating_sub(1)
    }

    /// The text, each line indented by `indent` columns. A column without any text is left out.
    pub fn text(&self, paint: Paint, headers: bool, indent: usize) -> String {
        let widths = self.widths(headers);
        let mut text = String::new();
        if headers {
            let cells: Vec<Cell> = self
                .header
                .iter()
                .map(|title| Cell::from(title.as_str()))
                .collect();
            self.line(&mut text, &cells, &widths, Paint(false), indent);
        }
        for row in &self.rows {
            self.line(&mut text, row, &widths, paint, indent);
        }
        text
    }

    /// The text within `width` columns, if there is a limit: where the table is wider, the last cell of each row stands below the row.
    pub fn within(&self, width: Option<usize>, paint: Paint, headers: bool, indent: usize) -> String {
        let Some(width) = width.filter(|width| self.width() + indent > *width) else {
            return self.text(paint, headers, indent);
        };
        let last = self.header.len().max(1) - 1;
        let mut narrow = Self::new(self.header.iter().take(last).cloned());
        narrow.rows = self
            .rows
            .iter()
            .map(|row| row.iter().take(last).cloned().collect())
            .collect();
        let lines = narrow.text(paint, headers, indent);
        let mut lines = lines.lines();
        let mut text = String::new();
        let mut line = |text: &mut String| {
            text.push_str(lines.next().unwrap_or_default());
            text.push('\n');
        };
        if headers {
            line(&mut text);
        }
        for row in &self.rows {
            line(&mut text);
            if let Some(cell) = row.get(last).filter(|cell| !cell.text.is_empty()) {
                wrapped(&mut text, indent + 2, width, &cell.text);
            }
        }
        text
    }

    fn widths(&self, headers: bool) -> Vec<usize> {
        let columns = self
            .rows
            .iter()
            .map(Vec::len)
            .max()
            .unwrap_or(0)
            .max(self.header.len());
        let of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| measured(&cell.text)).max().unwrap_or(0);
            match self.header.get(column) {
                // Without a text in it, the column is not shown.
                Some(title) if headers && widest > 0 => widest.max(measured(title)),
                _ => widest,
            }
        };
        (0..columns).map(of).collect()
    }

    fn line(&self, text: &mut String, cells: &[Cell], widths: &[usize], paint: Paint, indent: usize) {
        let mut row = String::new();
        let mut blanks = indent;
        for (column, width) in widths.iter().enumerate().filter(|(_, width)| **width > 0) {
            let empty = Cell::default();
            let cell = cells.get(column).unwrap_or(&empty);
            let shown = visible(&cell.text);
            if !shown.is_empty() {
                row.extend(std::iter::repeat_n(' ', blanks));
                row.push_str(&cell.tone.paint(paint, &shown));
                blanks = 0;
            }
            blanks += width - measured(&cell.text).min(*width) + self.gap();
        }
        text.push_str(&row);
        text.push('\n');
    }
}

fn measured(text: &str) -> usize {
    console::measure_text_width(&visible(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_empty_ones_are_left_out() {
        let mut table = Table::new(["NAME", "EMPTY", "STATE"]);
        table.row(vec!["a".into(), "".into(), "Succeeded".into()]);
        table.row(vec!["longer".into(), "".into(), Cell::toned("Failed", Tone::Bad)]);
        assert_eq!(
            table.text(Paint(false), true, 0),
            "NAME     STATE\na        Succeeded\nlonger   Failed\n"
        );
        assert_eq!(
            table.text(Paint(false), false, 2),
            "  a        Succeeded\n  longer   Failed\n"
        );
        assert_eq!(table.width(), 18);
        assert!(
            table
                .text(Paint(true), true, 0)
                .contains("\x1b[31mFailed\x1b[0m\n")
        );
    }

    #[test]
    fn what_people_wrote_neither_moves_the_cursor_nor_breaks_the_columns() {
        let mut table = Table::new(["A", "B"]);
        table.row(vec!["x\x1b[2J\ny".into(), "b".into()]);
        table.row(vec!["日本".into(), "b".into()]);
        let text = table.text(Paint(true), true, 0);
        assert!(!text.contains('\x1b'), "{text}");
        let at = |line: &str| console::measure_text_width(&line[..line.rfind(['b', 'B']).unwrap_or(0)]);
        let places: Vec<usize> = text.lines().map(at).collect();
        assert_eq!(places.len(), 3, "{text}");
        assert!(places.iter().all(|place| *place == places[0]), "{text}");
    }
}
