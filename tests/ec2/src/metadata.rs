//! What an instance may ask about itself: the instance metadata service, version 2 (and 1 where it may).

use std::{collections::BTreeMap, net::Ipv4Addr};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::state::{Cloud, Instance, Market, State};

/// A token is good for at most six hours.
const LONGEST: u32 = 21_600;

/// A question, as far as it matters.
#[derive(Debug, Clone, Default)]
pub struct Question<'a> {
    /// `GET` or `PUT`.
    pub method: &'a str,
    /// With the leading slash.
    pub path: &'a str,
    /// `X-aws-ec2-metadata-token`.
    pub token: Option<&'a str>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`.
    pub seconds: Option<&'a str>,
    /// Whether it passed a proxy, which is refused a token.
    pub forwarded: bool,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// For a token, how many seconds it is good.
    pub seconds: Option<u32>,
}

impl Answer {
    fn status(status: u16) -> Self {
        Self { status, body: Vec::new(), seconds: None }
    }
}

/// The tokens that were given, each with whom it was given to and until when.
#[derive(Debug, Default)]
pub struct Metadata {
    tokens: BTreeMap<String, (Ipv4Addr, Timestamp)>,
    given: u64,
}

enum Node {
    Leaf(Vec<u8>),
    Directory(BTreeMap<String, Node>),
}

impl Metadata {
    /// Answers a question that came from this address.
    pub fn answer(
        &mut self,
        cloud: &mut Cloud,
        source: Ipv4Addr,
        question: &Question<'_>,
        now: Timestamp,
    ) -> Answer {
        let Some(instance) =
            cloud.instances().find(|found| found.lives() && found.private_ip == source).cloned()
        else {
            return Answer::status(401);
        };
        if !instance.metadata.enabled {
            return Answer::status(403);
        }
        if question.path == "/latest/api/token" {
            return self.token(source, question, now);
        }
        match question.token.map(|token| self.tokens.get(token)) {
            Some(Some((owner, until))) if *owner == source && now < *until => {}
            None if !instance.metadata.tokens_required => {}
            _ => return Answer::status(401),
        }
        let mut parts = question.path.trim_matches('/').split('/').filter(|part| !part.is_empty());
        // `latest`, or a date.
        parts.next();
        let rest: Vec<_> = parts.collect();
        match find(tree(cloud, &instance, now), &rest) {
            Some(Node::Leaf(body)) => Answer { status: 200, body, seconds: None },
            Some(Node::Directory(entries)) => Answer { status: 200, body: listing(&entries), seconds: None },
            None => Answer::status(404),
        }
    }

    fn token(&mut self, source: Ipv4Addr, question: &Question<'_>, now: Timestamp) -> Answer {
        if question.method != "PUT" {
            return Answer::status(405);
        }
        if question.forwarded {
            return Answer::status(403);
        }
        let seconds = question.seconds.and_then(|text| text.parse::<u32>().ok());
        let Some(seconds) = seconds.filter(|seconds| (1..=LONGEST).contains(seconds)) else {
            return Answer::status(400);
        };
        self.given += 1;
        let token = format!("AQAE{:08x}{:010}==", u32::from(source), self.given);
        let until = now.checked_add(SignedDuration::from_secs(i64::from(seconds))).unwrap_or(now);
        self.tokens.insert(token.clone(), (source, until));
        Answer { status: 200, body: token.into_bytes(), seconds: Some(seconds) }
    }
}

fn find(node: Node, path: &[&str]) -> Option<Node> {
    path.iter().try_fold(node, |node, part| match node {
        Node::Directory(mut entries) => entries.remove(*part),
        Node::Leaf(_) => None,
    })
}

fn listing(entries: &BTreeMap<String, Node>) -> Vec<u8> {
    let lines = entries.iter().map(|(name, node)| match node {
        Node::Leaf(_) => name.clone(),
        Node::Directory(_) => format!("{name}/"),
    });
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

#[expect(clippy::needless_pass_by_value, reason = "what is written is made where it is given")]
fn leaf(text: impl ToString) -> Node {
    Node::Leaf(text.to_string().into_bytes())
}

fn directory<const N: usize>(entries: [(&str, Node); N]) -> Node {
    Node::Directory(entries.into_iter().map(|(name, node)| (name.to_owned(), node)).collect())
}

fn tree(cloud: &mut Cloud, instance: &Instance, now: Timestamp) -> Node {
    let identity = json!({
        "instanceId": instance.id, "imageId": instance.image, "instanceType": instance.kind.name,
        "region": cloud.settings.region, "availabilityZone": instance.zone, "accountId": cloud.settings.account,
        "privateIp": instance.private_ip, "architecture": instance.kind.architecture, "version": "2017-09-30",
        "pendingTime": instance.launched.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let mut root = BTreeMap::from([
        ("dynamic".to_owned(), directory([("instance-identity", directory([("document", leaf(identity))]))])),
        ("meta-data".to_owned(), Node::Directory(about(cloud, instance, now))),
    ]);
    if !instance.user_data.is_empty() {
        root.insert("user-data".into(), Node::Leaf(instance.user_data.clone()));
    }
    Node::Directory(root)
}

fn about(cloud: &mut Cloud, instance: &Instance, now: Timestamp) -> BTreeMap<String, Node> {
    let name = instance.private_name();
    let placement =
        directory([("availability-zone", leaf(&instance.zone)), ("region", leaf(&cloud.settings.region))]);
    let interface = directory([
        ("device-number", leaf(0)),
        ("interface-id", leaf(&instance.interface)),
        ("local-ipv4s", leaf(instance.private_ip)),
        ("mac", leaf(instance.mac())),
        ("security-group-ids", leaf(instance.groups.join("\n"))),
        ("subnet-id", leaf(&instance.subnet)),
        ("vpc-id", leaf(&cloud.settings.vpc)),
    ]);
    let macs = Node::Directory(BTreeMap::from([(instance.mac(), interface)]));
    let Node::Directory(mut entries) = directory([
        ("ami-id", leaf(&instance.image)),
        ("ami-launch-index", leaf(instance.index)),
        ("hostname", leaf(&name)),
        ("instance-action", leaf("none")),
        ("instance-id", leaf(&instance.id)),
        ("instance-life-cycle", leaf(instance.market.name())),
        ("instance-type", leaf(&instance.kind.name)),
        ("local-hostname", leaf(&name)),
        ("local-ipv4", leaf(instance.private_ip)),
        ("mac", leaf(instance.mac())),
        ("network", directory([("interfaces", directory([("macs", macs)]))])),
        ("placement", placement),
        ("reservation-id", leaf(&instance.reservation)),
        ("services", directory([("domain", leaf("amazonaws.com")), ("partition", leaf("aws"))])),
    ]) else {
        return BTreeMap::new();
    };
    if let Some(address) = instance.public_ip.filter(|_| instance.state != State::Terminated) {
        entries.insert("public-ipv4".into(), leaf(address));
    }
    if let Some(role) = role(cloud, instance, now) {
        entries.insert("iam".into(), role);
    }
    if let Some(notice) = instance.notice.filter(|_| instance.market == Market::Spot) {
        let at = notice.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let action = leaf(json!({"action": "terminate", "time": at}));
        entries
            .insert("spot".into(), directory([("instance-action", action), ("termination-time", leaf(&at))]));
        let rebalance = leaf(json!({"noticeTime": at}));
        entries
            .insert("events".into(), directory([("recommendations", directory([("rebalance", rebalance)]))]));
    }
    if instance.metadata.tags {
        let tags = instance.tags.iter().map(|(key, value)| (key.clone(), leaf(value))).collect();
        entries.insert("tags".into(), directory([("instance", Node::Directory(tags))]));
    }
    entries
}

fn role(cloud: &mut Cloud, instance: &Instance, now: Timestamp) -> Option<Node> {
    let profile = instance.profile.clone()?;
    let credentials = cloud.role_credentials(&instance.id, now)?;
    let time = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let info = json!({
        "Code": "Success", "LastUpdated": time(now), "InstanceProfileId": "AIPA0C0FFEE0C0FFEE000",
        "InstanceProfileArn": cloud.profile_arn(&profile),
    });
    let secret = json!({
        "Code": "Success", "LastUpdated": time(now), "Type": "AWS-HMAC", "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret, "Token": credentials.session_token,
        "Expiration": credentials.expires.map(time),
    });
    let credentials = Node::Directory(BTreeMap::from([(profile, leaf(secret))]));
    Some(directory([("info", leaf(info)), ("security-credentials", credentials)]))
}
