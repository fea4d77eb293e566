//! Addresses as Dask writes them: `tls://10.0.0.7:8786`.

use std::{fmt, str::FromStr};

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Plain TCP; anybody who reaches the port owns the cluster.
    Tcp,
    /// Mutual TLS.
    Tls,
}

/// Text that is not an address of Dask's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Dask address: it must read like tls://10.0.0.7:8786")]
pub struct AddressError(String);

/// Where a Dask process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaskAddress {
    /// What it speaks there.
    pub transport: Transport,
    /// IP address, without brackets, or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for DaskAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.chars().take(200).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(error)?;
        let transport = match scheme {
            "tcp" => Transport::Tcp,
            "tls" => Transport::Tls,
            _ => return Err(error()),
        };
        let (host, port) = rest.rsplit_once(':').ok_or_else(error)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host).to_owned();
        if host.is_empty() || (bare.is_none() && host.contains(':')) {
            return Err(error());
        }
        Ok(Self { transport, host, port: port.parse().map_err(|_| error())? })
    }
}

impl fmt::Display for DaskAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_and_prints_the_same() {
        for text in ["tls://127.0.0.1:8786", "tcp://scheduler.demo.svc:1", "tls://[::1]:65535"] {
            assert_eq!(text.parse::<DaskAddress>().unwrap().to_string(), text);
        }
        assert_eq!("tls://[::1]:1".parse::<DaskAddress>().unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["", "127.0.0.1:8786", "ucx://h:1", "tls://h", "tls://h:70000", "tls://:1", "tls://::1:1"]
        {
            let error = text.parse::<DaskAddress>().unwrap_err().to_string();
            assert!(error.contains("tls://10.0.0.7:8786"), "{text}: {error}");
        }
    }
}
