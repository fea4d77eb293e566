//! Results in the forms that can be asked for: tables, JSON, YAML, names.

use std::{fmt::Write as _, time::Duration};

use jiff::Timestamp;
use owo_colors::Style;
use serde::Serialize;

use super::{
    CliError,
    args::{DataFormat, OutputFormat},
    printer::{Printer, paint},
};
use crate::{
    controller::{ClusterSummary, GroupView},
    model::{Event, Money, Spending},
    spec::{ColorChoice, Size},
};

/// Rows under headings, in columns as wide as need be.
#[derive(Debug, Clone, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

const GAP: usize = 3;

impl Table {
    /// With these headings, in capitals.
    pub fn new(headings: &[&str]) -> Self {
        Self { headings: headings.iter().map(|heading| heading.to_uppercase()).collect(), rows: Vec::new() }
    }

    /// Adds a row; what has no value is shown as `-`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As text, each line indented by `indent`; ends with a line break.
    pub fn render(&self, indent: usize, color: ColorChoice) -> String {
        let columns = self.headings.len();
        let width = |column: usize| {
            let cells = std::iter::once(&self.headings).chain(&self.rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut text = " ".repeat(indent);
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "{cell:<width$}{}", " ".repeat(GAP));
            }
            text.trim_end().to_owned()
        };
        let mut text = paint(&line(&self.headings), Style::new().bold(), color);
        text.push('\n');
        for row in &self.rows {
            text.push_str(&line(row));
            text.push('\n');
        }
        text
    }
}

/// The table of clusters, with more columns if wanted.
pub fn cluster_table(clusters: &[&ClusterSummary], format: Option<OutputFormat>, now: Timestamp) -> Table {
    let wide = format == Some(OutputFormat::Wide);
    // Only where something has a price.
    let costs = clusters.iter().any(|cluster| cluster.spending.is_some());
    let mut headings = vec!["name", "phase", "provider", "workers", "age"];
    if costs {
        headings.extend(["hourly", "cost"]);
    }
    headings.push("endpoint");
    if wide {
        headings.extend(["dashboard", "namespace", "clients", "uid", "python"]);
    }
    let mut table = Table::new(&headings);
    for cluster in clusters {
        let mut cells = vec![
            cluster.name.to_string(),
            cluster.phase.to_string(),
            cluster.provider.as_str().to_owned(),
            worker_count(&cluster.groups),
            age(cluster.created_at, now),
        ];
        if costs {
            let of = |amount: &dyn Fn(&Spending) -> Money| {
                cluster.spending.as_ref().map(|spending| amount(spending).to_string()).unwrap_or_default()
            };
            cells.extend([of(&|spending| spending.hourly), of(&|spending| spending.until(now))]);
        }
        cells.push(cluster.endpoint.clone().unwrap_or_default());
        if wide {
            let python = cluster.python.as_ref().map(|path| path.display().to_string());
            cells.extend([
                cluster.dashboard.clone().unwrap_or_default(),
                cluster.namespace.as_ref().map(ToString::to_string).unwrap_or_default(),
                cluster.clients.map(|clients| clients.to_string()).unwrap_or_default(),
                cluster.uid.to_string(),
                python.unwrap_or_default(),
            ]);
        }
        table.row(cells);
    }
    table
}

/// `2/4`, and the bounds of adaptive groups: `2/4 (0 to 8)`.
pub fn worker_count(groups: &[GroupView]) -> String {
    let sum = |count: fn(&GroupView) -> u32| groups.iter().map(count).fold(0, u32::saturating_add);
    let mut text = format!("{}/{}", sum(|group| group.ready), sum(|group| group.wanted));
    if let [GroupView { size: Some(size @ Size::Adaptive { .. }), .. }] = groups {
        let _ = write!(text, " ({size})");
    }
    text
}

/// How long ago, in at most two units: `45s`, `3m10s`, `2h5m`, `3d4h`.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    length(Duration::try_from(now.duration_since(since)).unwrap_or_default())
}

/// A length of time for people, in its two largest units.
pub fn length(time: Duration) -> String {
    let passed = time.as_secs();
    let (days, hours, minutes, seconds) =
        (passed / 86_400, passed / 3600 % 24, passed / 60 % 60, passed % 60);
    let two = |major: u64, unit: &str, minor: u64, small: &str| {
        if minor == 0 { format!("{major}{unit}") } else { format!("{major}{unit}{minor}{small}") }
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, 1..=9) => two(minutes, "m", seconds, "s"),
        (0, 0, _) => format!("{minutes}m"),
        (0, _, _) => two(hours, "h", minutes, "m"),
        _ => two(days, "d", hours, "h"),
    }
}

/// A moment for people: the date only when it is another day than `now`, in UTC.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    let same_day = at.strftime("%F").to_string() == now.strftime("%F").to_string();
    at.strftime(if same_day { "%TZ" } else { "%FT%TZ" }).to_string()
}

/// An event as lines: the first with time, kind and node, more of them indented.
pub fn event_lines(event: &Event, now: Timestamp) -> String {
    let node = event.node.as_ref().map(|node| format!("  {node}")).unwrap_or_default();
    let mut lines = event.message.lines();
    let first = lines.next().unwrap_or_default();
    let mut text = format!("{}  {}{node}  {first}\n", moment(event.at, now), word(&event.kind));
    for line in lines {
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// The word that stands for a plain enum's value in JSON.
pub fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// Prints data as JSON or YAML.
pub fn print_data(printer: &Printer, format: DataFormat, value: &impl Serialize) -> Result<(), CliError> {
    printer.result(&match format {
        DataFormat::Json => {
            let mut text = serde_json::to_string_pretty(value).map_err(CliError::encode)?;
            text.push('\n');
            text
        }
        DataFormat::Yaml => serde_saphyr::to_string(value).map_err(CliError::encode)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::goal::tests_support::{at, view};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_tail() {
        let mut table = Table::new(&["name", "phase"]);
        table.row(["a-long-name".to_owned(), "Ready".to_owned()]);
        table.row(["b".to_owned(), String::new()]);
        assert_eq!(
            table.render(2, ColorChoice::Never),
            "  NAME          PHASE\n  a-long-name   Ready\n  b             -\n"
        );
    }

    #[test]
    fn an_age_has_at_most_two_units() {
        let shown = |seconds: i64| age(at(0), at(seconds));
        assert_eq!([shown(0), shown(59), shown(60), shown(190)], ["0s", "59s", "1m", "3m10s"]);
        assert_eq!([shown(700), shown(7500), shown(86_400 * 3 + 3600 * 4)], ["11m", "2h5m", "3d4h"]);
        assert_eq!(shown(-5), "0s", "clocks that differ are no reason for nonsense");
    }

    #[test]
    fn adaptive_bounds_are_shown_with_the_count() {
        let mut view = view(2, 4);
        assert_eq!(worker_count(&view.groups), "2/4");
        view.groups[0].size = Some(Size::Adaptive { min: 0, max: 8 });
        assert_eq!(worker_count(&view.groups), "2/4 (0 to 8)");
    }

    #[test]
    fn what_a_cluster_costs_is_shown_where_it_costs_something() {
        let table = |spending: Option<Spending>| {
            let mut summary = ClusterSummary::from(&view(2, 4));
            summary.spending = spending;
            cluster_table(&[&summary], None, at(3600)).render(0, ColorChoice::Never)
        };
        assert!(!table(None).contains("COST"));
        let (spent, hourly) = (Money(500_000), Money(192_000));
        let shown = table(Some(Spending { spent, since: at(0), hourly }));
        assert!(shown.contains("HOURLY") && shown.contains("$0.19") && shown.contains("$0.69"), "{shown}");
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        assert_eq!(moment(at(0), at(60)).len(), "08:00:00Z".len());
        assert_eq!(moment(at(0), at(86_400)).len(), "2027-01-15T08:00:00Z".len());
    }
}
