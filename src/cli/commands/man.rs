//! `man`: manual pages.

use crate::cli::{
    CliError,
    args::ManArguments,
    document::similar,
    generate::{self, ManualPage},
    session::Session,
};

/// Runs the verb.
pub fn man(session: &Session, arguments: &ManArguments) -> Result<(), CliError> {
    let pages = generate::manual().map_err(CliError::encode)?;
    let wanted =
        arguments.verb.as_deref().map_or_else(|| "crewcall".to_owned(), |verb| format!("crewcall-{verb}"));
    let page = pages.iter().find(|page| page.name == wanted);
    if let Some(ManualPage { content, .. }) = page {
        return session.printer.result_bytes(content);
    }
    let names = pages.iter().filter_map(|page| page.name.strip_prefix("crewcall-")).map(str::to_owned);
    let verb = arguments.verb.clone().unwrap_or_default();
    let hint = similar(&verb, names).map(|name| format!("did you mean `{name}`?"));
    Err(CliError::Usage { message: format!("there is no manual page about `{verb}`"), hint })
}
