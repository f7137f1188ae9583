//! Where a broker is.

use super::super::usage;
use crate::error::Result;

/// An address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Whether the connection is encrypted.
    pub(super) secure: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<(String, String)>,
}

impl Address {
    /// Reads `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`, or `mqtts://`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage), without the password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let read = || {
            let (scheme, place) = url.split_once("://")?;
            let (secure, port) = match scheme {
                "mqtt" => (false, 1883),
                "mqtts" => (true, 8883),
                _ => return None,
            };
            let place = place.strip_suffix('/').unwrap_or(place);
            let (login, place) = place.rsplit_once('@').map_or((None, place), |(login, place)| (Some(login), place));
            let (host, port) = match place.rsplit_once(':') {
                Some((host, port)) if !place.ends_with(']') => (host, port.parse().ok().filter(|&port| port > 0)?),
                _ => (place, port),
            };
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let is_host = !host.is_empty() && !host.contains(['/', ' ', '?', '#', '@']);
            let login = login.map(|login| login.split_once(':').unwrap_or((login, "")));
            let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
            is_host.then(|| Self { secure, host: host.to_owned(), port, login })
        };
        read().ok_or_else(|| {
            usage("mqtt: write url = \"mqtt://HOST\" or mqtts://, with USER:PASSWORD@ and :PORT if needed".into())
        })
    }

    /// It without user and password.
    pub(super) fn name(&self) -> String {
        format!("{}://{}:{}", if self.secure { "mqtts" } else { "mqtt" }, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_named_without_the_password() {
        let address = Address::parse("mqtt://ha:p:w@broker:1884/").unwrap();
        assert_eq!(address.login, Some(("ha".into(), "p:w".into())));
        assert_eq!(address.name(), "mqtt://broker:1884");
        let plain = Address { secure: false, host: "::1".into(), port: 1883, login: None };
        assert_eq!(Address::parse("mqtt://[::1]").unwrap(), plain);
        let secure = Address::parse("mqtts://ha:pw@broker").unwrap();
        assert_eq!((secure.secure, secure.name().as_str()), (true, "mqtts://broker:8883"));
        for wrong in ["", "broker", "http://broker", "mqtt://", "mqtt://h:0", "mqtt://h:x", "mqtt://a/b", "mqtts://"] {
            let error = Address::parse(wrong).unwrap_err();
            assert!(error.to_string().starts_with("mqtt: "), "{error}");
        }
    }
}
