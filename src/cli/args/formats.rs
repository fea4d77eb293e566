//! In which forms things are printed.

use clap::ValueEnum;

/// How a verb that changes something reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One JSON object per line, the last with the result.
    Json,
    /// The cluster's name alone.
    Name,
}

/// How a verb that reads prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// JSON, complete.
    Json,
    /// YAML, complete.
    Yaml,
    /// A table with more columns.
    Wide,
    /// Names alone, one a line.
    Name,
}

/// How events are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventFormat {
    /// One JSON object per line.
    Json,
}

/// How data without names is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DataFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// What a list of variables is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellFormat {
    /// bash, and other shells of its kind.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// A JSON object; `null` takes a variable back.
    Json,
}
