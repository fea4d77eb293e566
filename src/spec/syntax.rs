//! Errors of YAML itself, in words that help.

use std::{ops::Range, sync::Arc};

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::{Diagnostic, diagnostic::Source, text::code, tree::MAX_DEPTH};

/// A scan error as a finding at its place.
pub(super) fn diagnostic(source: &Arc<Source>, error: &ScanError) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or(0);
    if *error.kind() == ErrorKind::RecursionLimitExceeded {
        return too_deep(source, at..at + 1);
    }
    let (message, help) = explain(error.kind());
    Diagnostic::error(source, message).at(at..at + 1, "").help(help)
}

/// The document is nested too deep.
pub(super) fn too_deep(source: &Arc<Source>, at: Range<usize>) -> Diagnostic {
    let message = format!("lists and maps are nested more than {MAX_DEPTH} deep");
    Diagnostic::error(source, message).at(at.start..at.start + 1, "").help("is this the right file?")
}

fn explain(kind: &ErrorKind) -> (String, &'static str) {
    use ErrorKind as E;
    const INDENT: &str =
        "indent keys of one map by the same number of spaces, one level deeper than their parent";
    const QUOTE: &str = "if it is part of a text, put the text in double quotes";
    let (message, help) = match kind {
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabAtBlockScalarStart
        | E::TabInPlainScalar => ("a tab stands where YAML wants spaces", "indent with spaces only"),
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => {
            ("a quote is opened and never closed", "close the quote on the same line")
        }
        E::UnclosedFlowCollection { open } => {
            return (format!("{} is opened and never closed", code(&open.to_string())), "close the bracket");
        }
        E::MismatchedFlowCollectionEnd { open, close } => {
            let (open, close) = (code(&open.to_string()), code(&close.to_string()));
            return (format!("{open} is closed by {close}"), "close each bracket by its own kind");
        }
        E::MisplacedFlowCollectionEnd => ("a bracket is closed that was never opened", QUOTE),
        E::UnexpectedEofFlowSequence
        | E::UnexpectedEofFlowMapping
        | E::UnexpectedEofImplicitFlowMapping
        | E::UnexpectedEofBlockSequence
        | E::UnexpectedEofBlockMapping
        | E::UnexpectedEof => ("the text ends in the middle of a value", "is the file complete?"),
        E::ExpectedFlowMappingSeparator => {
            ("a comma or `}` is missing here", "separate the entries of {...} by commas")
        }
        E::ExpectedFlowSequenceSeparator => {
            ("a comma or `]` is missing here", "separate the items of [...] by commas")
        }
        E::InvalidIndentation
        | E::ExpectedBlockMappingKey
        | E::ExpectedBlockSequenceEntry
        | E::ExpectedDocumentStart => ("this line does not fit the indentation of the lines above", INDENT),
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::InvalidMappingValueWhitespace => (
            "a `:` stands where no key can be",
            "indent the key like its neighbours; if the colon is part of a text, quote the text; or a colon is missing on the line above",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey => {
            ("a key without `:`", "write `key: value`, with a blank after the colon")
        }
        E::MappingKeyNotAllowed | E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => {
            ("a key or a `-` stands where only a value can be", INDENT)
        }
        E::InvalidBlockEntryWhitespace | E::PlainScalarStartsWithDashFlowIndicator => {
            ("a `-` needs a blank after it", QUOTE)
        }
        E::UnexpectedCharacter { character } => {
            return (format!("the character {} cannot start a value", code(&character.to_string())), QUOTE);
        }
        E::ExpectedNodeContent => ("a value is missing here", "write the value, or remove the key"),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            ("something follows the closing quote", "quote the whole value, or nothing of it")
        }
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidUnicodeEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate => {
            ("an unknown escape in double quotes", "write a backslash as \\\\, or use single quotes")
        }
        E::CommentNotSeparated | E::CommentInterceptedScalar => (
            "a `#` that starts no comment",
            "put a blank before a comment; if the # is part of a text, quote it",
        ),
        E::DirectiveDisallowed | E::MissingDirectiveName | E::InvalidDirectiveName => {
            ("YAML directives are not supported", "remove the line that starts with `%`")
        }
        E::BomInsideDocument => ("a byte-order mark stands in the middle of the text", "remove it"),
        E::UndeclaredTagHandle | E::InvalidTagTerminator | E::MissingTagUri | E::ExpectedTagBang => {
            ("tags are not supported", "quote a value that starts with `!`")
        }
        _ => ("this is not valid YAML", QUOTE),
    };
    (message.to_owned(), help)
}
