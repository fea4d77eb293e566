//! What is made from the command line's own definition: its reference, completions, manual pages.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Arg, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Arguments, CliError, Exit};

/// Shells whose completions lie in the repository.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Environment variables that commands obey, beyond those of an option.
const VARIABLES: [(&str, &str); 8] = [
    (
        "CREWCALL_STATE_DIR",
        "Where clusters are on record. Default: `$XDG_STATE_HOME/crewcall`, else `~/.local/state/crewcall`.",
    ),
    (
        "CREWCALL_RUNTIME_DIR",
        "Where sockets are. Default: `$XDG_RUNTIME_DIR/crewcall`, else a private directory below `$TMPDIR` or `/tmp`.",
    ),
    (
        "CREWCALL_CACHE_DIR",
        "Where software environments are kept. Default: `$XDG_CACHE_HOME/crewcall`, else `~/.cache/crewcall`.",
    ),
    ("CREWCALL_LOG", "Which log lines are written, as a filter of `tracing-subscriber`: `crewcall=debug`."),
    ("NO_COLOR", "Not empty: no colour."),
    ("CLICOLOR_FORCE", "Not empty and not 0: colour also where no terminal reads it."),
    ("SHELL", "`env` writes for this shell."),
    ("BROWSER", "`dashboard` opens this browser, by way of `xdg-open`."),
];

/// One manual page.
#[derive(Debug)]
pub struct ManualPage {
    /// Its name without the section: `crewcall-create`.
    pub name: String,
    /// Its text in roff.
    pub content: Vec<u8>,
}

/// The script that completes commands in a shell.
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(), "crewcall", &mut script);
    script
}

/// The definition without what nobody is to see.
///
/// Completions and manual pages do not leave hidden commands out by themselves.
fn visible() -> Command {
    let full = Arguments::command();
    let mut command = Command::new("crewcall");
    command = command.version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(true);
    if let Some(about) = full.get_about() {
        command = command.about(about.clone());
    }
    command = command.args(full.get_arguments().cloned());
    command.subcommands(full.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned())
}

/// All manual pages, that of the program first.
pub fn manual() -> io::Result<Vec<ManualPage>> {
    let mut command = visible().disable_help_flag(false);
    command.build();
    let mut pages = Vec::new();
    collect_pages(&command, "crewcall", &mut pages)?;
    Ok(pages)
}

fn collect_pages(command: &Command, name: &str, pages: &mut Vec<ManualPage>) -> io::Result<()> {
    let mut content = Vec::new();
    let page_name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    clap_mangen::Man::new(command.clone().name(page_name)).render(&mut content)?;
    pages.push(ManualPage { name: name.to_owned(), content });
    for verb in command.get_subcommands() {
        collect_pages(verb, &format!("{name}-{}", verb.get_name()), pages)?;
    }
    Ok(())
}

/// The reference of the command line.
pub fn reference() -> String {
    let mut command = visible();
    command.build();
    let mut text = String::from(
        "# Command line\n\nMade from the program's own definition (`crewcall VERB --help`); a test keeps it current.\n\n",
    );
    let _ = writeln!(text, "{}", paragraph(command.get_about()));
    text.push_str("\n## Options of every verb\n\n");
    arguments(&command, Scope::Global, &mut text);
    for verb in command.get_subcommands() {
        describe(verb, "crewcall", &mut text);
    }
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for exit in Exit::ALL {
        let _ = writeln!(text, "| {} | {} |", exit.code(), exit.meaning());
    }
    text.push_str("\n## Environment variables\n\n| variable | meaning |\n|---|---|\n");
    for (name, meaning) in VARIABLES {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Global,
    Own,
}

fn describe(command: &Command, parent: &str, text: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let _ = writeln!(text, "\n## {name}\n");
    let _ = writeln!(text, "{}", paragraph(command.get_long_about().or_else(|| command.get_about())));
    let usage = command.clone().render_usage().to_string();
    let usage: Vec<&str> = usage.trim_start_matches("Usage: ").lines().map(str::trim).collect();
    let usage = usage.join("\n");
    let _ = writeln!(text, "\n```text\n{usage}\n```\n");
    let aliases: Vec<String> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
    if !aliases.is_empty() {
        let _ = writeln!(text, "Also: {}\n", aliases.join(", "));
    }
    arguments(command, Scope::Own, text);
    for verb in command.get_subcommands() {
        describe(verb, &name, text);
    }
}

/// The parser takes the last full stop away; whole sentences have one.
fn paragraph(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    if text.is_empty() || text.ends_with(['.', ']', ':']) { text } else { format!("{text}.") }
}

fn arguments(command: &Command, scope: Scope, text: &mut String) {
    let wanted = |arg: &&Arg| {
        let built_in = matches!(arg.get_id().as_str(), "help" | "version");
        !arg.is_hide_set() && !built_in && arg.is_global_set() == (scope == Scope::Global)
    };
    let rows: Vec<String> = command.get_arguments().filter(wanted).map(row).collect();
    if !rows.is_empty() {
        text.push_str("| argument | meaning |\n|---|---|\n");
        text.push_str(&rows.concat());
    }
}

fn row(arg: &Arg) -> String {
    let values: Vec<&str> =
        arg.get_value_names().unwrap_or_default().iter().map(clap::builder::Str::as_str).collect();
    let takes_value = arg.get_num_args().is_some_and(|number| number.takes_values());
    let value =
        if takes_value && !values.is_empty() { format!(" {}", values.join(" ")) } else { String::new() };
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let label = if flags.is_empty() { values.join(" ") } else { format!("{}{value}", flags.join(", ")) };
    let mut meaning = paragraph(arg.get_long_help().or_else(|| arg.get_help())).replace('\n', " ");
    let choices: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_value && !choices.is_empty() {
        let _ = write!(meaning, " One of {}.", choices.join(", "));
    }
    let defaults: Vec<String> = arg.get_default_values().iter().map(|v| v.display().to_string()).collect();
    if takes_value && !defaults.is_empty() {
        let _ = write!(meaning, " Default: `{}`.", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(meaning, " Also `{}`.", variable.display());
    }
    format!("| `{label}` | {} |\n", meaning.replace('|', "\\|"))
}

/// Every generated file, by its path below the repository.
pub fn files() -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = vec![(PathBuf::from("docs/reference/cli.md"), reference().into_bytes())];
    for shell in SHELLS {
        let name = match shell {
            Shell::Zsh => "_crewcall".to_owned(),
            shell => format!("crewcall.{shell}"),
        };
        files.push((Path::new("completions").join(name), completions(shell)));
    }
    for page in manual()? {
        files.push((Path::new("man").join(format!("{}.1", page.name)), page.content));
    }
    Ok(files)
}

/// Writes every generated file below a directory.
pub fn write_all(directory: &Path) -> Result<(), CliError> {
    for (path, content) in files().map_err(CliError::encode)? {
        let path = directory.join(path);
        let parent = path.parent().unwrap_or(directory);
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, content));
        written.map_err(|cause| CliError::File { doing: "write", path, cause })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_files_in_the_repository_are_current() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("CREWCALL_UPDATE").is_some() {
            write_all(root).unwrap();
        }
        for (path, content) in files().unwrap() {
            let found = fs::read(root.join(&path)).unwrap_or_default();
            assert!(
                found == content,
                "{} is not current; CREWCALL_UPDATE=1 with the same test writes it",
                path.display()
            );
        }
    }

    #[test]
    fn hidden_commands_appear_nowhere() {
        for (path, content) in files().unwrap() {
            let text = String::from_utf8(content).unwrap();
            for hidden in ["__host", "as-version", "__generate"] {
                assert!(!text.contains(hidden), "{hidden} is in {}", path.display());
            }
        }
    }
}
