//! Which names a request may call this server by.

use std::net::IpAddr;

use crate::error::{Error, ErrorKind, Result};
use crate::text;

/// This computer's names, and others that were allowed.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// Loopback's name, those of the `computer` called so, and `others`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for another that is neither a name nor an address.
    pub(crate) fn new(computer: &str, others: &[String]) -> Result<Self> {
        let mut names = vec!["localhost".to_owned()];
        if let Some(computer) = name(computer).filter(|name| name != "localhost") {
            let short = computer.split('.').next().unwrap_or_default();
            names.extend([format!("{short}.local"), short.to_owned()]);
            if short != computer {
                names.push(computer);
            }
        }
        for other in others {
            let name = other.parse::<IpAddr>().ok().map(|ip| ip.to_canonical().to_string());
            let name = name.or_else(|| name_alone(other)).ok_or_else(|| {
                let message = format!(
                    "allow-host is '{}': write a name or an address, such as camera.example",
                    text::name(other)
                );
                Error::new(ErrorKind::Usage, message)
            })?;
            names.push(name);
        }
        Ok(Self(names))
    }

    /// Whether `host`, a `Host` header, means the server that a client reached at its address `local`.
    ///
    /// A page from elsewhere whose own name was made to resolve to this computer (DNS rebinding) sends that name, and could otherwise
    /// read everything. Ports are not compared: that of a tunnel (`ssh -L 9000:localhost:8080`) is another one, and as safe.
    pub(crate) fn allow(&self, host: &str, local: IpAddr) -> bool {
        let Some(name) = name(host) else { return false };
        let is_own = |ip: IpAddr| ip.is_loopback() || ip == local.to_canonical();
        self.0.contains(&name) || name.parse().is_ok_and(is_own)
    }

    /// The names, and other computers' addresses.
    pub(super) fn names(&self) -> &[String] {
        &self.0
    }

    /// What is said where `host` is refused.
    pub(super) fn refusal(&self, host: &str, local: IpAddr) -> String {
        let (host, names) = (text::name(host), self.0.join(", "));
        format!(
            "'{host}' is none of this server's names, which are {names}, {local} (any port): allow it with --allow-host"
        )
    }
}

/// The name or address in `host`, in lower case, without brackets, port and final dot.
fn name(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            (ip.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6)?.to_canonical().to_string(), port)
        }
        None => {
            let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
            (name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(), port)
        }
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    (is_port && !name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// The same of text that is to have no port.
fn name_alone(text: &str) -> Option<String> {
    let has_port = !text.ends_with(']') && text.contains(':');
    name(text).filter(|_| !has_port)
}

/// Looks whether a host is this server.
#[cfg(fuzzing)]
pub fn fuzz(host: &str) -> bool {
    let hosts = Hosts::new(host, &[]);
    hosts.is_ok_and(|hosts| hosts.allow(host, IpAddr::from([192, 168, 1, 5])))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 5));

    #[test]
    fn own_names_and_addresses_pass_with_any_port() {
        let hosts = Hosts::new("Pi.fritz.box", &[]).unwrap();
        for host in [
            "localhost",
            "LOCALHOST.:8080",
            "localhost:9000",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "pi",
            "PI:80",
            "pi.local:8092",
            "pi.local.",
            "pi.fritz.box",
            "192.168.1.5",
            "192.168.1.5:9000",
        ] {
            assert!(hosts.allow(host, LOCAL), "{host}");
        }
        assert!(hosts.allow("[fd00::5]:80", "fd00::5".parse().unwrap()));
        assert!(hosts.allow("192.168.1.5", "::ffff:192.168.1.5".parse().unwrap()));
    }

    #[test]
    fn others_do_not() {
        let hosts = Hosts::new("pi", &[]).unwrap();
        for host in [
            "",
            ".",
            ":8080",
            "[]",
            "[::1",
            "[127.0.0.1]",
            "::1",
            "localhost:80:80",
            "localhost:x",
            "localhost:123456",
            "localhostx",
            "localhost.evil.example",
            "127.0.0.1.evil.example:8080",
            "evil.example:8080",
            "pi.evil.example",
            "192.168.1.6",
            "[::1]x",
            "user@localhost",
            "pi\u{202e}",
        ] {
            assert!(!hosts.allow(host, LOCAL), "{host}");
        }
        let refusal = hosts.refusal("evil\u{202e}.example", LOCAL);
        let names = "localhost, pi.local, pi, 192.168.1.5 (any port): allow it with --allow-host";
        assert!(refusal.ends_with(names) && !refusal.contains('\u{202e}'), "{refusal}");
    }

    #[test]
    fn others_are_allowed_by_name() {
        let others = ["Camera.example", "10.0.0.9", "fd00::9", "[fd00::10]"].map(str::to_owned);
        let hosts = Hosts::new("", &others).unwrap();
        for host in ["camera.example:443", "10.0.0.9:1", "[fd00::9]", "[fd00::10]:80"] {
            assert!(hosts.allow(host, LOCAL), "{host}");
        }
        assert!(!hosts.allow("sub.camera.example", LOCAL));
        for wrong in ["", "http://camera.example", "camera.example:80", "a b", "*", "[fd00::9]:80"] {
            let error = Hosts::new("pi", &[wrong.to_owned()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{wrong}");
        }
    }
}
