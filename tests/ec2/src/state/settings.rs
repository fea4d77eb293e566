//! What the account has, and how the service behaves.

use std::collections::BTreeMap;

use jiff::SignedDuration;

/// A subnet, one for each zone.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// As in `subnet-0a`.
    pub id: String,
    /// As in `us-east-1a`.
    pub zone: String,
    /// The first two numbers of its addresses and the third of the first of them: `10.251.16` for a /20.
    pub base: (u8, u8, u8),
}

impl Subnet {
    /// Its addresses.
    pub fn cidr(&self) -> String {
        format!("{}.{}.{}.0/20", self.base.0, self.base.1, self.base.2)
    }
}

/// A machine image.
#[derive(Debug, Clone)]
pub struct Image {
    /// As in `ami-0123`.
    pub id: String,
    /// The owner's account.
    pub owner: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// `x86_64` or `arm64`.
    pub architecture: &'static str,
    /// Public parameters of SSM that name it.
    pub parameters: &'static [&'static str],
}

/// How instances come to run and to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// After a while, without anything that runs.
    Imagined,
    /// When who boots them says so.
    Real,
}

/// The world and its habits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Twelve digits.
    pub account: String,
    /// As in `us-east-1`.
    pub region: String,
    /// The only network.
    pub vpc: String,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// The images that there are.
    pub images: Vec<Image>,
    /// Instance profiles by name, each with the role of the same name, and what the role may do.
    pub profiles: BTreeMap<String, Policy>,
    /// How instances come to run.
    pub hosts: Hosts,
    /// From the call to `running`, for imagined hosts.
    pub boot: SignedDuration,
    /// From the call to `terminated` or `stopped`, for imagined hosts.
    pub stop: SignedDuration,
    /// How long what was made is not yet described.
    pub visibility: SignedDuration,
    /// How long a terminated instance is still described. About an hour on EC2.
    pub vanish: SignedDuration,
    /// From an interruption notice to the interruption.
    pub notice: SignedDuration,
    /// The longest page of a describing call, whatever it asked for.
    pub page: Option<usize>,
    /// Processors that on-demand instances may have together.
    pub on_demand_vcpus: Option<u32>,
    /// Processors that spot instances may have together.
    pub spot_vcpus: Option<u32>,
    /// Credentials that are no role's: any pair will do, or only those that were made known.
    pub strict_credentials: bool,
    /// How long a session may be idle. 20 minutes on AWS unless preferences say otherwise.
    pub session_idle: SignedDuration,
    /// Where channels of sessions are opened, as in `ws://127.0.0.1:5055`.
    pub channels: String,
    /// How much the time in a request may differ from the service's clock.
    pub signature_window: Option<SignedDuration>,
}

/// What a principal may do: actions as `ec2:RunInstances`, with `*` for any text; for SSM also the names of
/// parameters, as in `ssm:GetParameter /crewcall/*`. What is denied is not allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Patterns of what is allowed.
    pub allow: Vec<String>,
    /// Patterns of what is not.
    pub deny: Vec<String>,
}

impl Policy {
    /// Everything.
    pub fn administrator() -> Self {
        Self { allow: vec!["*".into()], deny: Vec::new() }
    }

    /// Whether an action on a resource is allowed; the resource is empty where there is none.
    pub fn allows(&self, action: &str, resource: &str) -> bool {
        let fits = |pattern: &String| {
            let (actions, resources) = pattern
                .split_once(' ')
                .map_or((pattern.as_str(), "*"), |(actions, resources)| (actions, resources));
            matches(actions, action) && matches(resources, resource)
        };
        self.allow.iter().any(fits) && !self.deny.iter().any(fits)
    }
}

/// Whether a text fits a pattern, in which `*` stands for any text and `?` for one character.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // fits[n]: whether the pattern so far fits the first n characters.
    let mut fits = vec![false; text.len() + 1];
    fits[0] = true;
    for part in pattern {
        let mut next = vec![false; text.len() + 1];
        for index in 0..=text.len() {
            next[index] = if part == '*' {
                fits[index] || (index > 0 && next[index - 1])
            } else {
                index > 0 && fits[index - 1] && (part == '?' || part == text[index - 1])
            };
        }
        fits = next;
    }
    fits[text.len()]
}

impl Default for Settings {
    fn default() -> Self {
        let role = Policy {
            allow: vec![
                "ssm:GetParameter /crewcall/*".into(),
                "ssm:GetParameters /crewcall/*".into(),
                "sts:GetCallerIdentity".into(),
            ],
            deny: Vec::new(),
        };
        Self {
            account: "123456789012".into(),
            region: "us-east-1".into(),
            vpc: "vpc-0c0ffee0c0ffee001".into(),
            subnets: subnets(),
            images: images(),
            profiles: ["crewcall-scheduler", "crewcall-worker"]
                .map(|name| (name.to_owned(), role.clone()))
                .into(),
            hosts: Hosts::Imagined,
            boot: SignedDuration::from_secs(3),
            stop: SignedDuration::from_secs(2),
            visibility: SignedDuration::ZERO,
            vanish: SignedDuration::from_hours(1),
            notice: SignedDuration::from_secs(120),
            page: None,
            on_demand_vcpus: None,
            spot_vcpus: None,
            strict_credentials: false,
            session_idle: SignedDuration::from_mins(20),
            channels: "ws://127.0.0.1:5055".into(),
            signature_window: None,
        }
    }
}

fn subnets() -> Vec<Subnet> {
    [("a", 0), ("b", 16), ("c", 32)]
        .map(|(zone, third)| Subnet {
            id: format!("subnet-0c0ffee0c0ffee00{zone}"),
            zone: format!("us-east-1{zone}"),
            base: (10, 251, third),
        })
        .into()
}

fn images() -> Vec<Image> {
    let image = |id: &str, owner, name, architecture, parameters| Image {
        id: id.into(),
        owner,
        name,
        architecture,
        parameters,
    };
    vec![
        image(
            "ami-0c0ffee00000ec586",
            "591542846629",
            "al2023-ami-ecs-hvm-2023.0.20261110-kernel-6.1-x86_64",
            "x86_64",
            &["/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"],
        ),
        image(
            "ami-0c0ffee00000ec5a4",
            "591542846629",
            "al2023-ami-ecs-hvm-2023.0.20261110-kernel-6.1-arm64",
            "arm64",
            &["/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"],
        ),
        image(
            "ami-0c0ffee0000ec5009",
            "591542846629",
            "al2023-ami-ecs-gpu-hvm-2023.0.20261110-kernel-6.1-x86_64-ebs",
            "x86_64",
            &[
                "/aws/service/ecs/optimized-ami/amazon-linux-2023/gpu/recommended/image_id",
                "/aws/service/ecs/optimized-ami/amazon-linux-2/gpu/recommended/image_id",
            ],
        ),
        image(
            "ami-0c0ffee0000a12023",
            "137112412989",
            "al2023-ami-2023.9.20261110.0-kernel-6.1-x86_64",
            "x86_64",
            &[
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64",
            ],
        ),
        image(
            "ami-0c0ffee000a12023a",
            "137112412989",
            "al2023-ami-2023.9.20261110.0-kernel-6.1-arm64",
            "arm64",
            &[
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64",
            ],
        ),
        image(
            "ami-0c0ffee0000b0b024",
            "099720109477",
            "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20261110",
            "x86_64",
            &["/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_policy() {
        assert!(matches("ec2:*", "ec2:RunInstances") && matches("*", "") && matches("a?c*", "abcd"));
        assert!(!matches("ec2:Run*", "ec2:Describe") && !matches("a?c", "ac"));
        let policy = Policy {
            allow: vec!["ssm:Get* /crewcall/*".into()],
            deny: vec!["ssm:GetParametersByPath".into()],
        };
        assert!(policy.allows("ssm:GetParameter", "/crewcall/a"));
        assert!(!policy.allows("ssm:GetParameter", "/other/a"));
        assert!(!policy.allows("ssm:GetParametersByPath", "/crewcall/a"));
    }
}
