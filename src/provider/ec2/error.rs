//! What AWS said, in terms that policy tells apart. Pure.

use super::api::PoolRefusal;
use crate::{
    model::{ErrorKind, Residue},
    provider::ProviderError,
};

/// A call that AWS answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The action, such as `ec2:RunInstances`.
    pub action: &'a str,
    /// AWS' code of the error.
    pub code: &'a str,
    /// AWS' own words.
    pub message: &'a str,
}

const CAPACITY: [&str; 8] = [
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientReservedInstanceCapacity",
    "SpotMaxPriceTooLow",
    "UnfulfillableCapacity",
    // A zone that does not have the type: another choice may.
    "Unsupported",
];
const QUOTA: [&str; 5] = [
    "MaxFleetCountExceeded",
    "MaxSpotInstanceCountExceeded",
    "ParameterLimitExceeded",
    "TooManyTagsError",
    "ResourceCountExceeded",
];
const THROTTLED: [&str; 6] = [
    "EC2ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "Throttling",
    "ThrottlingException",
    "TooManyUpdates",
];
const EXPIRED: [&str; 4] =
    ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"];
const NOT_KNOWN: [&str; 7] = [
    "AuthFailure",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
const NOT_ALLOWED: [&str; 4] =
    ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "PendingVerification"];
const NOT_FOUND: [&str; 12] = [
    "fleetIdDoesNotExist",
    "InvalidFleetId.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateName.NotFoundException",
    "DoesNotExistException",
    "InvalidGroup.NotFound",
    "InvalidGroupId.Malformed",
    "InvalidInstanceID.NotFound",
    "InvalidSecurityGroupID.NotFound",
    "ParameterNotFound",
    "TargetNotConnected",
    "InvalidPermission.NotFound",
];
const CONFLICT: [&str; 7] = [
    "InvalidLaunchTemplateName.AlreadyExistsException",
    "DependencyViolation",
    "IdempotentParameterMismatch",
    "IncorrectInstanceState",
    "InvalidGroup.Duplicate",
    "InvalidPermission.Duplicate",
    "ParameterAlreadyExists",
];
const TRANSIENT: [&str; 8] = [
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Unavailable",
];

/// What kind of failure a code of AWS stands for.
pub fn kind(code: &str) -> ErrorKind {
    let in_any = |lists: &[&[&str]]| lists.iter().any(|list| list.contains(&code));
    if in_any(&[&CAPACITY]) {
        ErrorKind::Capacity
    } else if in_any(&[&QUOTA]) || code.ends_with("LimitExceeded") && !in_any(&[&THROTTLED]) {
        ErrorKind::Quota
    } else if in_any(&[&THROTTLED]) {
        ErrorKind::Throttled
    } else if in_any(&[&EXPIRED, &NOT_KNOWN, &NOT_ALLOWED]) {
        ErrorKind::Auth
    } else if in_any(&[&NOT_FOUND]) {
        ErrorKind::NotFound
    } else if in_any(&[&CONFLICT]) {
        ErrorKind::Conflict
    } else if in_any(&[&TRANSIENT]) {
        ErrorKind::Transient
    } else if ["Invalid", "Malformed", "Missing", "Unknown", "Unsupported", "Validation"]
        .iter()
        .any(|start| code.starts_with(start))
    {
        ErrorKind::Invalid
    } else {
        ErrorKind::Unknown
    }
}

/// What AWS says of a type that a region or a zone does not have, under codes that say no more than invalid.
const NOT_THERE: [&str; 2] = ["for InstanceType", "not supported in your requested"];

/// The failure of a call that AWS refused, in AWS' words and with the next step.
pub fn refused(refusal: &Refusal<'_>) -> ProviderError {
    let Refusal { action, code, message } = refusal;
    let kind = match kind(code) {
        // A region that does not have the type: another choice may.
        ErrorKind::Invalid if NOT_THERE.iter().any(|words| message.contains(words)) => ErrorKind::Capacity,
        kind => kind,
    };
    // What AWS could not finish may have been done all the same.
    let residue = match kind {
        ErrorKind::Transient | ErrorKind::Unknown => Residue::Possible,
        _ => Residue::None,
    };
    let text = format!("{action} was refused: {} ({code})", plain(message));
    let error = ProviderError { residue, ..ProviderError::new(kind, text) };
    match hint(action, code, message) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Why a fleet has less than was asked for. AWS has answered, and answers the same whenever it is asked again under that
/// token: what it has no room for now goes to another launch, and only what will never work is an error of its own.
pub fn unfilled(refusals: &[PoolRefusal]) -> ProviderError {
    let told = |refusal: &PoolRefusal| {
        refused(&Refusal { action: "ec2:RunInstances", code: &refusal.code, message: &refusal.message })
    };
    let rank = |kind: ErrorKind| match kind {
        ErrorKind::Quota => 0,
        ErrorKind::Capacity => 1,
        ErrorKind::Throttled | ErrorKind::Transient | ErrorKind::Unknown => 2,
        ErrorKind::Auth | ErrorKind::Conflict | ErrorKind::Invalid | ErrorKind::NotFound => 3,
    };
    let all = refusals.iter().map(|refusal| (refusal, told(refusal)));
    let Some((refusal, error)) = all.min_by_key(|(_, error)| rank(error.kind)) else {
        return ProviderError::new(ErrorKind::Capacity, "EC2 had no more room, and did not say where");
    };
    let kind = match rank(error.kind) {
        0 => ErrorKind::Quota,
        1 | 2 => ErrorKind::Capacity,
        _ => ErrorKind::Invalid,
    };
    let PoolRefusal { pool, code, message } = refusal;
    let more = match refusals.len() - 1 {
        0 => String::new(),
        1 => ", and one more".to_owned(),
        many => format!(", and {many} more"),
    };
    let text = format!("{pool}: {} ({code}){more}", plain(message));
    ProviderError { hint: error.hint, ..ProviderError::new(kind, text) }
}

/// AWS' message on one line, without what only AWS can read.
fn plain(message: &str) -> String {
    let readable = message.split("Encoded authorization failure message").next().unwrap_or_default();
    readable.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

fn hint(action: &str, code: &str, message: &str) -> Option<String> {
    if EXPIRED.contains(&code) {
        return Some(
            "renew your credentials (`aws sso login`, or as you got them), then run the command again"
                .to_owned(),
        );
    }
    if NOT_KNOWN.contains(&code) {
        return Some("`aws sts get-caller-identity` says who AWS takes you for".to_owned());
    }
    if NOT_ALLOWED.contains(&code) {
        return Some(format!(
            "allow {action} to whoever runs this; the module in `terraform/` has the smallest policy that does"
        ));
    }
    match code {
        "VcpuLimitExceeded" | "MaxSpotInstanceCountExceeded" | "InstanceLimitExceeded" => {
            Some("ask AWS for a higher quota (Service Quotas, EC2), or for fewer or smaller machines".to_owned())
        }
        "InvalidParameterValue" if message.contains("Instance Profile") => Some(
            "the profile in `instanceProfiles` is not there; the module in `terraform/` makes it and prints its name"
                .to_owned(),
        ),
        "TargetNotConnected" => Some(
            "nothing is heard of the machine's agent of Systems Manager: it needs `session_manager = true` in the module in \
             `terraform/`, a way to AWS, and an image that has it"
                .to_owned(),
        ),
        "InvalidKeyPair.NotFound" => Some("`keyName` names no key pair of this region".to_owned()),
        "InvalidSubnetID.NotFound" | "InvalidSubnet" => Some("`subnets` names one that this region does not have".to_owned()),
        "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" => Some("`ami` names no image of this region".to_owned()),
        "VPCIdNotSpecified" | "DefaultVpcDoesNotExist" | "MissingInput" => {
            Some("this region has no default VPC: name `subnets`".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_by_what_is_to_be_done() {
        for (code, expected) in [
            ("InsufficientInstanceCapacity", ErrorKind::Capacity),
            ("Unsupported", ErrorKind::Capacity),
            ("VcpuLimitExceeded", ErrorKind::Quota),
            ("RequestLimitExceeded", ErrorKind::Throttled),
            ("ExpiredToken", ErrorKind::Auth),
            ("UnauthorizedOperation", ErrorKind::Auth),
            ("InvalidInstanceID.NotFound", ErrorKind::NotFound),
            ("InvalidAMIID.NotFound", ErrorKind::Invalid),
            ("InvalidClientTokenId", ErrorKind::Auth),
            ("IdempotentParameterMismatch", ErrorKind::Conflict),
            ("DependencyViolation", ErrorKind::Conflict),
            ("InternalError", ErrorKind::Transient),
            ("UnsupportedOperation", ErrorKind::Invalid),
            ("SomethingNew", ErrorKind::Unknown),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }

    #[test]
    fn a_type_that_a_region_does_not_have_is_a_choice_without_room() {
        let message = "Invalid value 'c6a.large' for InstanceType.";
        let refusal = Refusal { action: "ec2:RunInstances", code: "InvalidParameterValue", message };
        assert_eq!(refused(&refusal).kind, ErrorKind::Capacity);
        let message = "Your requested instance type (c5.large) is not supported in your requested Availability Zone \
                       (us-east-1e).";
        let refusal = Refusal { action: "ec2:CreateFleet", code: "InvalidFleetConfiguration", message };
        assert_eq!(refused(&refusal).kind, ErrorKind::Capacity);
    }

    #[test]
    fn a_fleet_without_machines_is_no_room_unless_nothing_of_it_will_ever_work() {
        let of = |codes: &[&str]| {
            let refusal = |code: &&str| PoolRefusal {
                pool: "m5.large in us-east-1a".to_owned(),
                code: (*code).to_owned(),
                message: "No.".to_owned(),
            };
            unfilled(&codes.iter().map(refusal).collect::<Vec<_>>())
        };
        for (codes, expected) in [
            (&["InvalidParameterValue", "InsufficientInstanceCapacity"][..], ErrorKind::Capacity),
            (&["InsufficientInstanceCapacity", "MaxSpotInstanceCountExceeded"], ErrorKind::Quota),
            (&["InternalError"], ErrorKind::Capacity),
            (&["UnauthorizedOperation", "UnauthorizedOperation"], ErrorKind::Invalid),
            (&[], ErrorKind::Capacity),
        ] {
            let error = of(codes);
            // Who is asked again under the same token says the same again.
            assert_eq!((error.kind, error.residue), (expected, Residue::None), "{codes:?}");
        }
        let denied = of(&["UnauthorizedOperation", "UnauthorizedOperation"]);
        assert_eq!(denied.message, "m5.large in us-east-1a: No (UnauthorizedOperation), and one more");
        assert!(denied.hint.unwrap().contains("allow ec2:RunInstances"));
    }

    #[test]
    fn what_aws_did_not_finish_may_have_been_done() {
        let refusal = |code| refused(&Refusal { action: "ec2:RunInstances", code, message: "No." });
        assert_eq!(refusal("InternalError").residue, Residue::Possible);
        assert_eq!(refusal("InsufficientInstanceCapacity").residue, Residue::None);
    }

    #[test]
    fn a_refusal_says_it_in_the_words_of_aws_and_what_to_do() {
        let error = refused(&Refusal {
            action: "ec2:RunInstances",
            code: "UnauthorizedOperation",
            message: "You are not authorized to perform this operation.\n Encoded authorization failure message: AbC",
        });
        assert_eq!(
            error.message,
            "ec2:RunInstances was refused: You are not authorized to perform this operation (UnauthorizedOperation)"
        );
        assert!(error.hint.unwrap().contains("allow ec2:RunInstances"));
    }
}
