//! Where a broker is.

use super::super::usage;
use crate::error::Result;

/// An address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<(String, String)>,
}

impl Address {
    /// Reads `mqtt://[USER[:PASSWORD]@]HOST[:PORT]`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage), without the password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        if url.starts_with("mqtts://") {
            return Err(usage(
                "mqtt: mqtts:// is not supported yet: use mqtt:// within a network that you trust".into(),
            ));
        }
        let read = || {
            let place = url.strip_prefix("mqtt://")?;
            let place = place.strip_suffix('/').unwrap_or(place);
            let (login, place) = place.rsplit_once('@').map_or((None, place), |(login, place)| (Some(login), place));
            let (host, port) = match place.rsplit_once(':') {
                Some((host, port)) if !place.ends_with(']') => (host, port.parse().ok().filter(|&port| port > 0)?),
                _ => (place, 1883),
            };
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let is_host = !host.is_empty() && !host.contains(['/', ' ', '?', '#', '@']);
            let login = login.map(|login| login.split_once(':').unwrap_or((login, "")));
            let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
            is_host.then(|| Self { host: host.to_owned(), port, login })
        };
        read().ok_or_else(|| usage("mqtt: write url = \"mqtt://HOST\", with USER:PASSWORD@ and :PORT if needed".into()))
    }

    /// It without user and password.
    pub(super) fn name(&self) -> String {
        format!("mqtt://{}:{}", self.host, self.port)
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
        assert_eq!(Address::parse("mqtt://[::1]").unwrap(), Address { host: "::1".into(), port: 1883, login: None });
        for wrong in ["", "broker", "http://broker", "mqtt://", "mqtt://h:0", "mqtt://h:x", "mqtt://a/b", "mqtts://h"] {
            let error = Address::parse(wrong).unwrap_err();
            assert!(error.to_string().starts_with("mqtt: "), "{error}");
        }
    }
}
