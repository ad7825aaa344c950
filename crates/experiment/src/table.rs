//! Tables for a terminal.

/// A table of two spaces' indent and gap: the first column to the left, the others to the right, as wide as their widest cell.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let heading: Vec<String> = headings.iter().map(|&heading| heading.to_owned()).collect();
    let all = || std::iter::once(&heading).chain(rows);
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let cell = |(column, cell): (usize, &String)| {
            let width = width(column);
            if column == 0 { format!("  {cell:<width$}") } else { format!("  {cell:>width$}") }
        };
        let line: String = row.iter().enumerate().map(cell).collect();
        format!("{}\n", line.trim_end())
    };
    all().map(line).collect()
}
