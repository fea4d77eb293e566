//! What is asked of a nanny, and in which form it answers. Pure; see [`super::serve_nanny`] for the connection.
//!
//! Whoever starts a worker may pose as its nanny: an RPC server whose address the worker passes on when it registers.
//! What it is asked differs from version to version; see `Nanny.handlers` and `Scheduler.restart` in distributed.

use std::time::Duration;

use rmpv::Value;

use super::codec;

/// Characters of a note that are kept.
const LONGEST_NOTE: usize = 1000;

/// How long a restart may take when whoever asks does not say.
const RESTART_BOUND: Duration = Duration::from_secs(30);

/// What a worker, its scheduler or a client through the scheduler wants of the worker's nanny.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NannyWish {
    /// End the process at once and start another. Answered with [`NannyAnswer::Nothing`] when the old one has ended:
    /// the scheduler counts workers by itself. `Client.restart` of all versions, `Client.restart_workers` since 2024.2.
    Kill,
    /// The same, answered with [`NannyAnswer::Restarted`] only when the scheduler knows the new worker:
    /// `Client.restart_workers` of older versions looks at once.
    Restart {
        /// The longest it may take.
        within: Duration,
    },
    /// The worker is about to end by itself and is not to be started again. It waits for the answer, which must
    /// therefore come at once: [`NannyAnswer::Nothing`].
    LetGo,
    /// End the worker, with the time to hand its data over, for good. Answered at once.
    Terminate,
    /// Remember this of the worker's end, for a person: it could not hand everything over. Said by our own preload.
    Note(String),
    /// The newest lines of the nanny's log.
    Logs {
        /// How many; `None`: all that there are.
        count: Option<usize>,
    },
}

/// What a nanny answers to a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NannyAnswer {
    /// It is done.
    Nothing,
    /// The new worker is there.
    Restarted,
    /// The new worker was not there in time.
    TimedOut,
    /// Lines of a log, oldest first.
    Logs(Vec<String>),
    /// It cannot be done; raised where it was asked for, with this text.
    Failed(String),
}

/// A request, understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NannyRequest {
    pub(super) ask: Ask,
    /// Whether an answer is waited for.
    pub(super) reply: bool,
    /// Whether the connection ends with it.
    pub(super) close: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ask {
    /// Something that somebody has to do.
    Wish(NannyWish),
    /// Something that is the same for all.
    Known(Value),
}

/// Understands a request.
pub(super) fn understand(message: &Value) -> NannyRequest {
    let flag = |key, default| codec::field(message, key).and_then(Value::as_bool).unwrap_or(default);
    let op = codec::field(message, "op").and_then(Value::as_str).unwrap_or_default();
    let ask = match op {
        "kill" => Ask::Wish(NannyWish::Kill),
        "restart" => Ask::Wish(NannyWish::Restart { within: bound(message) }),
        "close_gracefully" => Ask::Wish(NannyWish::LetGo),
        "terminate" => Ask::Wish(NannyWish::Terminate),
        "crewcall_drained" => {
            let lost = codec::field(message, "lost").and_then(Value::as_str).unwrap_or_default();
            Ask::Wish(NannyWish::Note(lost.chars().take(LONGEST_NOTE).collect()))
        }
        "get_logs" => {
            let count = codec::field(message, "n").and_then(Value::as_u64);
            Ask::Wish(NannyWish::Logs { count: count.and_then(|count| usize::try_from(count).ok()) })
        }
        "close" => Ask::Known("OK".into()),
        "echo" => Ask::Known(codec::field(message, "data").cloned().unwrap_or(Value::Nil)),
        "identity" => Ask::Known(map([("type", "Nanny".into()), ("id", "crewcall".into())])),
        // "error": the scheduler hands it on, and the client raises it.
        "plugin_add" | "plugin_remove" => Ask::Known(failure("error", NO_PLUGINS)),
        "run" => Ask::Known(failure("uncaught-error", NO_PROCESS)),
        other => Ask::Known(failure("uncaught-error", &unknown(other))),
    };
    NannyRequest { ask, reply: flag("reply", true), close: flag("close", false) || op == "close" }
}

const NO_PLUGINS: &str = "this worker has no Nanny process that could run a NannyPlugin; give its group \
                          `nanny: true` in the cluster's document, or use a WorkerPlugin";
const NO_PROCESS: &str = "this worker has no Nanny process in which a function could run; give its group \
                          `nanny: true` in the cluster's document";

fn unknown(op: &str) -> String {
    let op: String = op.chars().take(80).collect();
    format!(
        "this worker's nanny knows no operation {op:?}; a real Nanny may: give its group `nanny: true` in the \
         cluster's document"
    )
}

/// A timeout is seconds as a number, or nothing.
fn bound(message: &Value) -> Duration {
    let seconds = codec::field(message, "timeout").and_then(Value::as_f64);
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(RESTART_BOUND)
}

impl NannyAnswer {
    /// In the form in which Dask expects it.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Nothing => Value::Nil,
            Self::Restarted => "OK".into(),
            Self::TimedOut => "timed out".into(),
            Self::Logs(lines) => {
                let line = |line: String| Value::Array(vec!["INFO".into(), line.into()]);
                Value::Array(lines.into_iter().rev().map(line).collect())
            }
            Self::Failed(text) => failure("uncaught-error", &text),
        }
    }
}

/// As `error_message` of distributed's core.py makes it, with a text where Python has pickles: it then makes an
/// `Exception` of it.
fn failure(status: &str, text: &str) -> Value {
    map([
        ("status", status.into()),
        ("exception", text.into()),
        ("traceback", Value::Nil),
        ("exception_text", text.into()),
        ("traceback_text", "".into()),
    ])
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<const N: usize>(pairs: [(&str, Value); N]) -> NannyRequest {
        understand(&map(pairs))
    }

    fn raised(request: &NannyRequest) -> (&str, &str) {
        let Ask::Known(value) = &request.ask else { panic!("{request:?}") };
        let text = |key| codec::field(value, key).and_then(Value::as_str).unwrap();
        assert_eq!(text("exception"), text("exception_text"));
        (text("status"), text("exception"))
    }

    #[test]
    fn each_version_of_dask_asks_for_a_restart_in_its_own_way() {
        let newest =
            asked([("op", "kill".into()), ("reason", "client-restart-1".into()), ("reply", true.into())]);
        assert_eq!(newest, NannyRequest { ask: Ask::Wish(NannyWish::Kill), reply: true, close: false });
        let older = asked([("op", "restart".into()), ("timeout", 2.5.into()), ("close", true.into())]);
        let within = Duration::from_millis(2500);
        assert_eq!(
            older,
            NannyRequest { ask: Ask::Wish(NannyWish::Restart { within }), reply: true, close: true }
        );
    }

    #[test]
    fn a_restart_without_a_sensible_bound_has_one_all_the_same() {
        for timeout in [Value::Nil, (-1.0).into(), f64::NAN.into(), "soon".into()] {
            let request = asked([("op", "restart".into()), ("timeout", timeout)]);
            assert_eq!(request.ask, Ask::Wish(NannyWish::Restart { within: RESTART_BOUND }));
        }
    }

    #[test]
    fn a_worker_that_ends_asks_without_arguments_that_matter() {
        let request = asked([("op", "close_gracefully".into()), ("reason", "scheduler-close".into())]);
        assert_eq!(request.ask, Ask::Wish(NannyWish::LetGo));
        assert_eq!(asked([("op", "terminate".into())]).ask, Ask::Wish(NannyWish::Terminate));
    }

    #[test]
    fn what_a_worker_says_of_its_losses_is_kept_within_bounds() {
        let said = |lost: &str| asked([("op", "crewcall_drained".into()), ("lost", lost.into())]).ask;
        assert_eq!(said("2 results"), Ask::Wish(NannyWish::Note("2 results".to_owned())));
        assert_eq!(said(&"ä".repeat(5000)), Ask::Wish(NannyWish::Note("ä".repeat(LONGEST_NOTE))));
    }

    #[test]
    fn what_only_a_real_nanny_can_do_is_refused_with_the_way_to_get_one() {
        let plugin = asked([("op", "plugin_add".into()), ("plugin", Value::Binary(vec![1, 2]))]);
        assert_eq!(raised(&plugin).0, "error");
        let run = asked([("op", "run".into()), ("function", Value::Binary(vec![]))]);
        assert_eq!(raised(&run).0, "uncaught-error");
        let odd = asked([("op", "instantiate".into())]);
        assert!(raised(&odd).1.contains("\"instantiate\""), "{odd:?}");
        for request in [&plugin, &run, &odd] {
            assert!(raised(request).1.contains("`nanny: true`"), "{request:?}");
        }
    }

    #[test]
    fn a_message_that_is_no_request_is_answered_with_an_error() {
        for message in [Value::Nil, Value::Array(vec![]), map([("op", 5.into())])] {
            assert_eq!(raised(&understand(&message)).0, "uncaught-error");
        }
    }

    #[test]
    fn the_end_of_a_connection_is_an_operation() {
        let request = asked([("op", "close".into()), ("reply", false.into())]);
        assert_eq!((request.reply, request.close), (false, true));
    }

    #[test]
    fn a_log_is_given_newest_line_first_with_its_level() {
        let Ask::Wish(NannyWish::Logs { count }) = asked([("op", "get_logs".into()), ("n", 3.into())]).ask
        else {
            panic!("not understood")
        };
        assert_eq!(count, Some(3));
        let answer = NannyAnswer::Logs(vec!["old".to_owned(), "new".to_owned()]).into_value();
        let line = |text: &str| Value::Array(vec!["INFO".into(), text.into()]);
        assert_eq!(answer, Value::Array(vec![line("new"), line("old")]));
    }

    #[test]
    fn a_kill_is_answered_by_nothing_and_a_restart_by_a_word() {
        assert_eq!(NannyAnswer::Nothing.into_value(), Value::Nil);
        assert_eq!(NannyAnswer::Restarted.into_value(), "OK".into());
        assert_eq!(NannyAnswer::TimedOut.into_value(), "timed out".into());
        let failed = NannyAnswer::Failed("why".to_owned()).into_value();
        assert_eq!(codec::field(&failed, "status").and_then(Value::as_str), Some("uncaught-error"));
    }
}
