//! The head of a browser's first request: whether a page of somebody else's has sent it. Pure.

/// Most bytes of a head.
pub const LONGEST_HEAD: usize = 32 << 10;

/// What is known of a head so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is more to come.
    Incomplete,
    /// It may pass.
    Pass,
    /// A page of another site opened this connection.
    Foreign,
    /// It is no head of HTTP/1.
    Malformed,
}

/// Judges the beginning of a connection.
///
/// Browsers let a page of any site open web sockets to any address, and say by `Origin` whose page it is. A page of
/// the dashboard itself, also behind a proxy that keeps `Host`, comes from where it connects to, or from a local
/// port. Looking at the first request is enough: browsers open web sockets on connections of their own.
pub fn judge(bytes: &[u8]) -> Verdict {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() < LONGEST_HEAD { Verdict::Incomplete } else { Verdict::Malformed };
    };
    let Some(head) = bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok()) else {
        return Verdict::Malformed;
    };
    let mut lines = head.split("\r\n");
    if !lines.next().is_some_and(|line| line.contains(" HTTP/1.")) {
        return Verdict::Malformed;
    }
    let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let values = |name: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    };
    match (values("host").as_slice(), values("origin").as_slice()) {
        ([_] | [], []) => Verdict::Pass,
        ([host], [origin]) if is_own(origin, host) => Verdict::Pass,
        ([_] | [], [_]) => Verdict::Foreign,
        _ => Verdict::Malformed,
    }
}

fn is_own(origin: &str, host: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    authority.eq_ignore_ascii_case(host) || is_loopback(authority)
}

fn is_loopback(authority: &str) -> bool {
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    };
    name.is_some_and(|name| name.eq_ignore_ascii_case("localhost") || matches!(name, "127.0.0.1" | "::1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str) -> Verdict {
        judge(format!("GET /status HTTP/1.1\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn a_page_of_another_site_is_told_from_the_dashboards_own() {
        assert_eq!(of("Host: 127.0.0.1:20000\r\n"), Verdict::Pass);
        assert_eq!(of("Host: 127.0.0.1:20000\r\nOrigin: http://127.0.0.1:20000\r\n"), Verdict::Pass);
        assert_eq!(of("host: [::1]:20000\r\norigin: http://[::1]:20000\r\n"), Verdict::Pass);
        assert_eq!(of("Host: 127.0.0.1:20000\r\nOrigin: http://localhost:8888\r\n"), Verdict::Pass);
        assert_eq!(of("Host: hub.example\r\nOrigin: https://hub.example\r\n"), Verdict::Pass);
        assert_eq!(
            of("Host: 127.0.0.1:20000\r\nOrigin: http://127.0.0.1.evil.example\r\n"),
            Verdict::Foreign
        );
        assert_eq!(of("Host: 127.0.0.1:20000\r\nOrigin: https://evil.example\r\n"), Verdict::Foreign);
        assert_eq!(of("Host: 127.0.0.1:20000\r\nOrigin: null\r\n"), Verdict::Foreign);
        assert_eq!(of("Host: a\r\nOrigin: http://a\r\nOrigin: http://localhost\r\n"), Verdict::Malformed);
    }

    #[test]
    fn a_head_is_waited_for_but_not_for_ever() {
        assert_eq!(judge(b""), Verdict::Incomplete);
        assert_eq!(judge(b"GET / HTTP/1.1\r\nHost: a\r\n"), Verdict::Incomplete);
        assert_eq!(judge(&vec![b'a'; LONGEST_HEAD]), Verdict::Malformed);
        assert_eq!(judge(b"\x16\x03\x01\r\n\r\n"), Verdict::Malformed);
    }
}
