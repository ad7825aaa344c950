//! Reads tables out of Markdown. `Given: ...` before a table holds for all its rows, until the next heading.

/// One row of a table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The line as it stands there.
    pub(crate) text: String,
    /// What holds for the table and for the row, in this order.
    pub(crate) given: Vec<String>,
    cells: Vec<(String, String)>,
}

const COLUMNS: [&str; 8] = ["given", "at", "at planning", "then", "at hand-over", "decision", "rule", "because"];

impl Row {
    /// What stands in a column; `None` where the table has none.
    pub(crate) fn cell(&self, column: &str) -> Option<&str> {
        self.cells.iter().find(|(name, _)| name == column).map(|(_, cell)| cell.as_str())
    }

    /// What stands in a column that must be there.
    pub(crate) fn needed(&self, column: &str) -> Result<&str, String> {
        self.cell(column).filter(|cell| !cell.is_empty()).ok_or_else(|| format!("the column `{column}` is missing or empty"))
    }
}

/// All rows of a text.
pub(crate) fn rows(text: &str) -> Result<Vec<Row>, String> {
    let (mut given, mut header, mut rows) = (Vec::new(), None, Vec::new());
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.starts_with('#') {
            given = Vec::new();
        }
        if let Some(rest) = line.strip_prefix("Given: ") {
            given = phrases(rest);
        }
        let Some(inner) = line.strip_prefix('|') else {
            header = None;
            continue;
        };
        let inner = inner.trim_end().strip_suffix('|').ok_or_else(|| format!("line {number} does not end with |"))?;
        let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
        let Some(columns) = &header else {
            if let Some(unknown) = cells.iter().find(|cell| !COLUMNS.contains(&cell.as_str())) {
                return Err(format!("line {number}: `{unknown}` is no column; known are {}", COLUMNS.join(", ")));
            }
            header = Some(cells);
            continue;
        };
        if cells.iter().all(|cell| !cell.is_empty() && cell.bytes().all(|byte| byte == b'-' || byte == b':')) && cells[0] != "-" {
            continue;
        }
        if cells.len() != columns.len() {
            return Err(format!("line {number} has {} cells where the table has {}", cells.len(), columns.len()));
        }
        let cells: Vec<(String, String)> = columns.iter().cloned().zip(cells).collect();
        let own = cells.iter().find(|(name, _)| name == "given").map(|(_, cell)| phrases(cell)).unwrap_or_default();
        let given = given.iter().cloned().chain(own).collect();
        rows.push(Row { line: number, text: line.to_owned(), given, cells });
    }
    Ok(rows)
}

/// Splits at semicolons, but not between backticks.
pub(crate) fn phrases(text: &str) -> Vec<String> {
    let (mut phrases, mut is_quoted) = (vec![String::new()], false);
    for character in text.chars() {
        match character {
            ';' if !is_quoted => phrases.push(String::new()),
            _ => {
                is_quoted ^= character == '`';
                if let Some(last) = phrases.last_mut() {
                    last.push(character);
                }
            }
        }
    }
    phrases.into_iter().map(|phrase| phrase.trim().to_owned()).filter(|phrase| !phrase.is_empty() && phrase != "-").collect()
}
