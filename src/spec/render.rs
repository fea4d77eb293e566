//! Findings as text for a person: message, place, the lines it is about, the next step.

use std::fmt::Write as _;

use owo_colors::{OwoColorize as _, Style};

use super::{
    Diagnostic, LoadError, Severity,
    diagnostic::{Label, Source},
    text::is_unprintable,
};

/// Whether the text may carry colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorChoice {
    /// Plain text.
    Never,
    /// With ANSI escape sequences.
    Always,
}

const MIN_WIDTH: usize = 40;

impl LoadError {
    /// All findings, one after the other, in lines of about `width` columns.
    pub fn render(&self, color: ColorChoice, width: usize) -> String {
        let mut out = String::new();
        for diagnostic in self.diagnostics() {
            out.push_str(&diagnostic.render(color, width));
            out.push('\n');
        }
        let paint = Paint(color);
        let _ = writeln!(out, "{}", paint.apply(&self.to_string(), Style::new().bold()));
        out
    }
}

impl Diagnostic {
    /// The finding in lines of about `width` columns; ends with a line break.
    pub fn render(&self, color: ColorChoice, width: usize) -> String {
        let paint = Paint(color);
        let width = width.max(MIN_WIDTH);
        let (word, style) = match self.severity {
            Severity::Error => ("error", Style::new().red().bold()),
            Severity::Warning => ("warning", Style::new().yellow().bold()),
        };
        let mut out = format!("{}: {}\n", paint.apply(word, style), self.message);
        match self.position() {
            Some((line, column)) => {
                let _ = writeln!(out, "  at {}:{line}:{column}", self.source().name());
                self.render_lines(&mut out, paint, style, width);
            }
            None => {
                let _ = writeln!(out, "  at {}", self.source().name());
            }
        }
        if let Some(help) = &self.help {
            let hint = paint.apply("hint:", Style::new().cyan().bold());
            let lines = wrap(help, width - 8);
            let _ = writeln!(out, "  {hint} {}", lines.join("\n        "));
        }
        out
    }

    fn render_lines(&self, out: &mut String, paint: Paint, style: Style, width: usize) {
        let source = self.source();
        let mut labels: Vec<(usize, &Label, bool)> = self
            .labels
            .iter()
            .enumerate()
            .map(|(index, label)| (source.line_of(label.span.start), label, index == 0))
            .collect();
        labels.sort_by_key(|(line, label, _)| (*line, label.span.start));
        let gutter = labels.last().map_or(1, |(line, _, _)| (line + 1).to_string().len());
        let bar = |number: &str| paint.apply(&format!("{number:>gutter$} |"), Style::new().blue());
        let mut shown = None;
        for (line, label, is_place) in labels {
            let excerpt = Excerpt::new(source, line, label, width - gutter - 3);
            if shown != Some(line) {
                if shown.is_some_and(|shown: usize| shown + 1 < line) {
                    let _ =
                        writeln!(out, "{}", paint.apply(&format!("{:>gutter$}", "..."), Style::new().blue()));
                }
                let _ = writeln!(out, "{} {}", bar(&(line + 1).to_string()), excerpt.text);
            }
            shown = Some(line);
            let (mark, mark_style) = if is_place { ("^", style) } else { ("-", Style::new().blue().bold()) };
            let pointer = format!("{} {}", mark.repeat(excerpt.length.max(1)), label.text);
            let pointer = paint.apply(pointer.trim_end(), mark_style);
            let _ = writeln!(out, "{} {}{pointer}", bar(""), " ".repeat(excerpt.column));
        }
    }
}

/// What of a line is shown, and where in it the label is; in characters.
struct Excerpt {
    text: String,
    column: usize,
    length: usize,
}

impl Excerpt {
    fn new(source: &Source, line: usize, label: &Label, width: usize) -> Self {
        let range = source.line_range(line);
        let text = source.text();
        let slice = |from: usize, to: usize| text.get(from..to).unwrap_or("");
        let fits = slice(range.start, range.end).chars().nth(width).is_none();
        // A long line is cut to a window in which the label starts at a third.
        let from = if fits {
            range.start
        } else {
            text.floor_char_boundary(label.span.start.saturating_sub(width / 3).max(range.start))
        };
        let clean = |(at, c): (usize, char)| match c {
            _ if source.hides(from + at) => '*',
            c if is_unprintable(c) => ' ',
            c => c,
        };
        let shown: String = slice(from, range.end).char_indices().take(width).map(clean).collect();
        let column = slice(from, label.span.start).chars().count();
        let room = shown.chars().count().saturating_sub(column);
        let length = slice(label.span.start, label.span.end).chars().take(room).count();
        Self { text: shown, column, length }
    }
}

#[derive(Clone, Copy)]
struct Paint(ColorChoice);

impl Paint {
    fn apply(self, text: &str, style: Style) -> String {
        match self.0 {
            ColorChoice::Never => text.to_owned(),
            ColorChoice::Always => text.style(style).to_string(),
        }
    }
}

/// Breaks at blanks; text that brings its own line breaks keeps them.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let text = paragraph.trim_start_matches(' ');
        let mut line = " ".repeat(paragraph.len() - text.len());
        for word in text.split(' ') {
            if !line.trim().is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.trim().is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(text: &str, start: usize, end: usize) -> Diagnostic {
        Diagnostic::error(&Source::new("demo.yaml", text), "something is wrong").at(start..end, "here")
    }

    #[test]
    fn a_finding_shows_the_line_and_points_at_the_place() {
        let shown = finding("a: 1\nbb: 22\n", 9, 11).help("write 3").render(ColorChoice::Never, 80);
        assert_eq!(
            shown,
            "error: something is wrong\n  at demo.yaml:2:5\n2 | bb: 22\n  |     ^^ here\n  hint: write 3\n"
        );
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}", "x".repeat(50_000), "y".repeat(50_000));
        let shown = finding(&text, 50_000, 50_004).render(ColorChoice::Never, 60);
        assert!(shown.contains("xxHEREyy"), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= 60), "{shown}");
    }

    #[test]
    fn a_place_past_the_end_of_the_text_is_cut_to_it() {
        assert!(finding("", 10, 20).render(ColorChoice::Never, 80).contains("at demo.yaml:1:1"));
        assert!(finding("a\u{e9}", 2, 2).render(ColorChoice::Never, 80).contains("at demo.yaml:1:2"));
    }

    #[test]
    fn colour_appears_only_when_asked_for() {
        assert!(!finding("a", 0, 1).render(ColorChoice::Never, 80).contains('\u{1b}'));
        assert!(finding("a", 0, 1).render(ColorChoice::Always, 80).contains('\u{1b}'));
    }

    #[test]
    fn a_long_hint_is_broken_into_lines() {
        let shown = finding("a", 0, 1).help("word ".repeat(40)).render(ColorChoice::Never, 60);
        assert!(shown.lines().all(|line| line.len() <= 60), "{shown}");
    }
}
