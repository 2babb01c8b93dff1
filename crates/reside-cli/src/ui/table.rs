//! Tables without lines around them, and the details of one thing.

use comfy_table::{Attribute, Cell, ContentArrangement};

/// Columns and rows.
#[derive(Debug, Default)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    empty: &'static str,
}

/// One thing in detail.
#[derive(Debug, Default)]
pub struct Fields {
    fields: Vec<(&'static str, String)>,
    below: Vec<(&'static str, Below)>,
}

/// What stands below the fields.
#[derive(Debug)]
enum Below {
    Table(Table),
    Text(String),
}

impl Table {
    /// A table with these columns; `empty` is said instead of a table without rows.
    pub fn new<const N: usize>(header: [&'static str; N], empty: &'static str) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            empty,
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.header.len());
        self.rows.push(cells.to_vec());
    }

    pub(super) fn draw(&self, width: Option<usize>, has_colours: bool) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.empty);
        }
        let mut table = grid(width, has_colours);
        table.set_header(
            self.header
                .iter()
                .map(|text| Cell::new(text).add_attribute(Attribute::Bold)),
        );
        table.add_rows(
            self.rows
                .iter()
                .map(|row| row.iter().map(|text| Cell::new(line(text))).collect::<Vec<_>>()),
        );
        finish(&mut table)
    }
}

impl Fields {
    /// Adds a field.
    pub fn field(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.push((name, value.into()));
    }

    /// Adds a field that may be absent.
    pub fn optional(&mut self, name: &'static str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.field(name, value);
        }
    }

    /// Adds a table below.
    pub fn table(&mut self, title: &'static str, table: Table) {
        self.below.push((title, Below::Table(table)));
    }

    /// Adds a text of several lines below.
    pub fn text(&mut self, title: &'static str, text: &str) {
        self.below.push((title, Below::Text(text.to_owned())));
    }

    pub(super) fn draw(&self, width: Option<usize>, has_colours: bool) -> String {
        let mut table = grid(width, has_colours);
        for (name, value) in &self.fields {
            table.add_row([
                Cell::new(format!("{name}:")).add_attribute(Attribute::Bold),
                Cell::new(line(value)),
            ]);
        }
        let mut text = finish(&mut table);
        for (title, below) in &self.below {
            let bold = if has_colours {
                super::STRONG
            } else {
                anstyle::Style::new()
            };
            text.push_str(&format!("\n{bold}{title}{bold:#}\n"));
            match below {
                Below::Table(table) => text.push_str(&table.draw(width, has_colours)),
                Below::Text(lines) => text.extend(lines.trim().lines().map(|text| line(text) + "\n")),
            }
        }
        text
    }
}

fn grid(width: Option<usize>, has_colours: bool) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    match width {
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    if has_colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

/// Columns stand two spaces apart and begin at the left edge.
fn finish(table: &mut comfy_table::Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text: String = table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect();
    if text.trim().is_empty() {
        text.clear();
    }
    text
}

/// Texts of strangers must neither break the table nor command the terminal.
fn line(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}
