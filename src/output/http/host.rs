//! Which names a request may call this server by.

use std::net::IpAddr;

/// Whether `host`, a `Host` header, is a name of this computer's own that no other site can have. A page from elsewhere whose own name was
/// made to resolve to 127.0.0.1 (DNS rebinding) sends that name.
///
/// Ports are not compared: that of a tunnel (`ssh -L 9000:localhost:8080`) is another one, and as safe.
pub(super) fn is_own(host: &str) -> bool {
    let Some(name) = name(host) else { return false };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The name in `host`, in lower case, without brackets, port and final dot.
fn name(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let name = name.strip_suffix('.').unwrap_or(name);
    (is_port && !name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// Looks whether a host is this server.
#[cfg(fuzzing)]
pub fn fuzz(host: &str) -> bool {
    is_own(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_pass() {
        for host in
            ["localhost", "LOCALHOST.:8080", "localhost:9000", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "[::1]"]
        {
            assert!(is_own(host), "{host}");
        }
        for host in [
            "",
            ".",
            ":8080",
            "[]",
            "[::1",
            "::1",
            "localhost:80:80",
            "localhost:x",
            "localhost:1234567",
            "localhostx",
            "127.0.0.1.evil.example:8080",
            "evil.example:8080",
            "192.168.1.1",
            "[::1]x",
            "user@localhost",
        ] {
            assert!(!is_own(host), "{host}");
        }
    }
}
