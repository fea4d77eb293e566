//! From a request of HTTP to a reply: the Query protocol of EC2, STS and IAM, and the JSON of SSM.

use std::{fmt::Write as _, time::Duration};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::{
    error::ApiError,
    protocol::{Fields, Parameters, escape},
    state::{Caller, Cloud, Service, Verdict},
};

/// A request, as far as it matters.
pub struct Request<'a> {
    /// Looks a header up; names are in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The form, or the JSON.
    pub body: &'a [u8],
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// An answer, after a while.
    Answer {
        /// The status of HTTP.
        status: u16,
        /// Of the body.
        content_type: &'static str,
        /// XML or JSON.
        body: String,
        /// How long it takes.
        after: Duration,
    },
    /// The connection is closed instead.
    Closed,
}

const XML: &str = "text/xml;charset=UTF-8";
const JSON: &str = "application/x-amz-json-1.1";

/// Answers a request. Time comes in twice: as the service's clock has it, and as that by which signatures are
/// judged, which differ when a test lets time pass faster.
pub fn answer(cloud: &mut Cloud, request: &Request<'_>, now: Timestamp, wall: Timestamp) -> Reply {
    let (mut caller, scope) = caller_of(request);
    // Judged against the wall's clock, told in that of the service.
    caller.signed_at = caller.signed_at.and_then(|signed| now.checked_add(signed.duration_since(wall)).ok());
    let target = (request.header)("x-amz-target").unwrap_or_default();
    let json = match target.split_once('.') {
        Some(("AmazonSSM", action)) => Some(cloud.ssm(action, request.body, &caller, now)),
        Some(("ServiceQuotasV20190624", action)) => Some(cloud.quotas(action, request.body, &caller, now)),
        _ => None,
    };
    if let Some(answer) = json {
        let (status, body) = match answer.result {
            Ok(value) => (200, value.to_string()),
            Err(error) => (
                error.status,
                serde_json::json!({"__type": error.code, "message": error.message}).to_string(),
            ),
        };
        return reply(answer.verdict, status, JSON, body);
    }
    let parameters = Parameters::of_form(request.body);
    let service = service_of(&scope, &parameters);
    let action = parameters.text("Action").unwrap_or_default().to_owned();
    let parameters = parameters.without(&["Action", "Version"]);
    let answered = cloud.query(service, &action, &parameters, &caller, now);
    let request_id = format!("{:016x}", cloud.calls().len());
    let (status, body) = match answered.result {
        Ok(fields) => (200, success(service, &action, &fields, &request_id)),
        Err(error) => (error.status, failure(service, &error, &request_id)),
    };
    reply(answered.verdict, status, XML, body)
}

fn reply(verdict: Verdict, status: u16, content_type: &'static str, body: String) -> Reply {
    let after = match verdict {
        Verdict::LoseReply | Verdict::LoseRequest => return Reply::Closed,
        Verdict::Answer => Duration::ZERO,
        Verdict::AnswerAfter(after) => after,
    };
    Reply::Answer { status, content_type, body, after }
}

/// Who signed, and for which service.
fn caller_of(request: &Request<'_>) -> (Caller, String) {
    let authorization = (request.header)("authorization").unwrap_or_default();
    let credential = authorization.split(['=', ',', ' ']).skip_while(|word| *word != "Credential").nth(1);
    let mut scope = credential.unwrap_or_default().split('/');
    let access_key = scope.next().filter(|key| !key.is_empty()).map(str::to_owned);
    let service = scope.nth(2).unwrap_or_default().to_owned();
    let signed_at = (request.header)("x-amz-date").and_then(|text| {
        let time = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
        Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    let session_token = (request.header)("x-amz-security-token");
    (Caller { access_key, session_token, signed_at }, service)
}

fn service_of(scope: &str, parameters: &Parameters) -> Service {
    match (scope, parameters.text("Version")) {
        ("sts", _) | (_, Some("2011-06-15")) => Service::Sts,
        ("iam", _) | (_, Some("2010-05-08")) => Service::Iam,
        _ => Service::Ec2,
    }
}

fn namespace(service: Service) -> &'static str {
    match service {
        Service::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        Service::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
        Service::Ec2 | Service::Ssm | Service::ServiceQuotas => "http://ec2.amazonaws.com/doc/2016-11-15/",
    }
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn success(service: Service, action: &str, fields: &Fields, request_id: &str) -> String {
    let mut text = String::from(DECLARATION);
    let namespace = namespace(service);
    let content = fields.xml();
    // Writing to a string does not fail.
    let _ = match service {
        Service::Ec2 | Service::Ssm | Service::ServiceQuotas => write!(
            text,
            "<{action}Response xmlns=\"{namespace}\"><requestId>{request_id}</requestId>{content}</{action}Response>"
        ),
        Service::Sts | Service::Iam => write!(
            text,
            "<{action}Response xmlns=\"{namespace}\"><{action}Result>{content}</{action}Result>\
             <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
        ),
    };
    text
}

fn failure(service: Service, error: &ApiError, request_id: &str) -> String {
    let (code, message) = (escape(&error.code), escape(&error.message));
    match service {
        Service::Ec2 | Service::Ssm | Service::ServiceQuotas => format!(
            "{DECLARATION}<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>{request_id}</RequestID></Response>"
        ),
        Service::Sts | Service::Iam => format!(
            "{DECLARATION}<ErrorResponse xmlns=\"{}\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
            namespace(service)
        ),
    }
}
