//! Environment variables with which a client connects, and their form in each shell. Pure.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::args::ShellFormat;
use crate::controller::ClusterView;

/// Variables by name; `None` takes one back.
pub type Variables = BTreeMap<&'static str, Option<String>>;

/// Every variable that this may set. Dask reads `DASK_A__B_C` as its configuration `a.b-c`.
const NAMES: [&str; 6] = [
    "CREWCALL_CLUSTER",
    "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION",
    "DASK_DISTRIBUTED__COMM__TLS__CA_FILE",
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT",
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY",
    "DASK_SCHEDULER_ADDRESS",
];

/// What takes back whatever any cluster has set.
pub fn none() -> Variables {
    NAMES.into_iter().map(|name| (name, None)).collect()
}

/// The variables for a cluster; `None` when it has no endpoint (yet).
///
/// Files are named by their paths. Those that a cluster without TLS does not need are taken back,
/// so that the ones of another cluster do not stay.
pub fn variables(view: &ClusterView) -> Option<Variables> {
    let path = |path: &Path| Some(path.display().to_string());
    let client = view.client.as_ref();
    let mut variables = none();
    variables.extend([
        ("CREWCALL_CLUSTER", Some(view.name.to_string())),
        ("DASK_SCHEDULER_ADDRESS", Some(view.endpoint.clone()?)),
        ("DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION", client.map(|_| "True".to_owned())),
        ("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", client.and_then(|files| path(&files.ca))),
        ("DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT", client.and_then(|files| path(&files.cert))),
        ("DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY", client.and_then(|files| path(&files.key))),
    ]);
    Some(variables)
}

/// The form that a shell reads; ends with a line break.
pub fn render(variables: &Variables, shell: ShellFormat) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for (name, value) in variables {
        let _ = match (shell, value) {
            (ShellFormat::Bash | ShellFormat::Zsh, Some(value)) => {
                writeln!(text, "export {name}={}", posix_quoted(value))
            }
            (ShellFormat::Bash | ShellFormat::Zsh, None) => writeln!(text, "unset {name}"),
            (ShellFormat::Fish, Some(value)) => writeln!(text, "set -gx {name} {};", fish_quoted(value)),
            (ShellFormat::Fish, None) => writeln!(text, "set -e {name};"),
            (ShellFormat::Json, _) => Ok(()),
        };
    }
    if shell == ShellFormat::Json {
        text = serde_json::to_string_pretty(variables)?;
        text.push('\n');
    }
    Ok(text)
}

/// The shell that a path such as `/usr/bin/fish` names; other shells read what bash reads.
pub fn from_path(path: Option<&str>) -> ShellFormat {
    match path.and_then(|path| Path::new(path).file_name()?.to_str()) {
        Some("fish") => ShellFormat::Fish,
        Some("zsh") => ShellFormat::Zsh,
        _ => ShellFormat::Bash,
    }
}

/// Nothing within single quotes means anything but themselves.
fn posix_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Within single quotes fish reads `\'` and `\\`.
fn fish_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::{cli::goal::tests_support::view, controller::ClientFiles};

    fn secured() -> ClusterView {
        let mut view = view(1, 1);
        view.endpoint = Some("tls://127.0.0.1:40123".to_owned());
        let [ca, cert, key] = ["ca.pem", "o'brien $HOME/`id`.pem", "k\\e\"y.pem"].map(Into::into);
        view.client = Some(ClientFiles { ca, cert, key });
        view
    }

    #[test]
    fn a_cluster_without_an_endpoint_has_no_variables() {
        assert_eq!(variables(&view(1, 1)), None);
    }

    #[test]
    fn without_tls_the_files_of_another_cluster_are_taken_back() {
        let mut view = secured();
        view.client = None;
        let text = render(&variables(&view).unwrap(), ShellFormat::Bash).unwrap();
        assert!(text.contains("unset DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY\n"), "{text}");
        assert!(text.contains("unset DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION\n"), "{text}");
        assert!(text.contains("export DASK_SCHEDULER_ADDRESS='tls://127.0.0.1:40123'\n"), "{text}");
    }

    #[test]
    fn a_shell_reads_back_exactly_the_paths() {
        let variables = variables(&secured()).unwrap();
        let script = render(&variables, ShellFormat::Bash).unwrap();
        let printed = Command::new("sh")
            .arg("-c")
            .arg(format!("{script}printf '%s\\n%s' \"$DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT\" \"$DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY\""))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), "o'brien $HOME/`id`.pem\nk\\e\"y.pem");
    }

    #[test]
    fn fish_has_its_own_quotes() {
        assert_eq!(fish_quoted(r"o'b\c"), r"'o\'b\\c'");
        let text = render(&none(), ShellFormat::Fish).unwrap();
        assert!(text.starts_with("set -e CREWCALL_CLUSTER;\n"), "{text}");
    }

    #[test]
    fn json_says_null_for_what_is_taken_back() {
        let text = render(&none(), ShellFormat::Json).unwrap();
        let parsed: BTreeMap<String, Option<String>> = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed.len(), NAMES.len());
        assert!(parsed.values().all(Option::is_none));
    }

    #[test]
    fn the_shell_is_known_by_its_program() {
        assert_eq!(from_path(Some("/usr/bin/fish")), ShellFormat::Fish);
        assert_eq!(from_path(Some("/bin/dash")), ShellFormat::Bash);
        assert_eq!(from_path(None), ShellFormat::Bash);
    }
}
