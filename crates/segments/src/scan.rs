//! What is counted of each contact's events: each table is read once and grouped by contact, however many behaviours ask
//! about it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::expression::time;
use crate::span::Span;

/// A number that is wanted of each contact's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// `count(*)` or a sum.
    pub(crate) aggregate: &'static str,
    /// What an event must be to count.
    pub(crate) filters: Vec<String>,
    /// When it must have been.
    pub(crate) span: Span,
}

/// One table, and what is wanted of it, each under the name of its column.
#[derive(Debug)]
struct Scan {
    table: &'static str,
    needs: Vec<(String, Need)>,
}

/// All tables that are asked.
#[derive(Debug, Default)]
pub(crate) struct Scans {
    scans: Vec<Scan>,
}

impl Scans {
    /// The column that holds what is wanted, null for a contact without any event. The same need has the same column.
    pub(crate) fn column(&mut self, table: &'static str, stem: &str, need: Need) -> String {
        let index = self.scans.iter().position(|scan| scan.table == table).unwrap_or_else(|| {
            self.scans.push(Scan { table, needs: Vec::new() });
            self.scans.len() - 1
        });
        let needs = &mut self.scans[index].needs;
        if let Some((name, _)) = needs.iter().find(|(_, known)| *known == need) {
            return name.clone();
        }
        let number = needs.iter().filter(|(name, _)| name.rsplit_once('_').is_some_and(|(known, _)| known == stem)).count() + 1;
        let name = format!("{stem}_{number}");
        needs.push((name.clone(), need));
        name
    }

    /// The joins of all tables to the contacts, each a few lines that end with a line break.
    pub(crate) fn joins(&self) -> String {
        self.scans.iter().map(Scan::join).collect()
    }
}

impl Scan {
    /// Filters of all needs stand behind WHERE, where files and rows are skipped by them; what differs stands with the need.
    fn join(&self) -> String {
        let needs = || self.needs.iter().map(|(_, need)| need);
        let first = &self.needs[0].1;
        let shared: Vec<&String> =
            first.filters.iter().filter(|filter| needs().all(|need| need.filters.contains(filter))).collect();
        let afters: Option<Vec<Timestamp>> = needs().map(|need| need.span.after).collect();
        let after = afters.and_then(|afters| afters.into_iter().min());
        let until = needs().map(|need| need.span.until).fold(first.span.until, Timestamp::max);
        let columns = self.needs.iter().map(|(name, need)| {
            let own = need.filters.iter().filter(|filter| !shared.contains(filter)).cloned();
            let after = need.span.after.filter(|own| after != Some(*own)).map(begins);
            let until = Some(need.span.until).filter(|own| *own != until).map(ends);
            let own: Vec<_> = own.chain(after).chain(until).collect();
            let aggregate = need.aggregate;
            match own.as_slice() {
                [] => format!("        {aggregate} AS {name}"),
                own => format!("        {aggregate} FILTER (WHERE {}) AS {name}", own.join(" AND ")),
            }
        });
        let columns = columns.collect::<Vec<_>>().join(",\n");
        let times = [Some(days(after, until)), after.map(begins), Some(ends(until))];
        let filters = shared.into_iter().cloned().chain(times.into_iter().flatten()).collect::<Vec<_>>().join("\n        AND ");
        let table = self.table;
        format!(
            "LEFT JOIN (\n    SELECT\n        contact_key,\n{columns}\n    FROM {table}\n    WHERE {filters}\n    GROUP BY contact_key\n\
             ) AS {table} ON {table}.contact_key = contacts.contact_key\n"
        )
    }
}

fn begins(after: Timestamp) -> String {
    format!("event_time > {}", time(after))
}

fn ends(until: Timestamp) -> String {
    format!("event_time <= {}", time(until))
}

/// The same times by the column that event tables are partitioned by.
fn days(after: Option<Timestamp>, until: Timestamp) -> String {
    let day = |time: Timestamp| format!("DATE '{}'", TimeZone::UTC.to_datetime(time).date());
    match after {
        Some(after) => format!("event_date BETWEEN {} AND {}", day(after), day(until)),
        None => format!("event_date <= {}", day(until)),
    }
}
