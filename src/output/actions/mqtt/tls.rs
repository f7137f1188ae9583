//! Encrypted connections: `mqtts://`.

use std::path::Path;
use std::sync::Arc;

use rumqttc::{TlsConfiguration, TlsError, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, Error as Broken, RootCertStore};

use super::super::usage;
use crate::error::{Error, ErrorKind, Result, reason};
use crate::files;
use crate::text;

/// Bytes of a file of certificates at most.
const MOST_BYTES: u64 = 16 << 20;

/// A connection to a broker whose certificate an authority of `ca`, a PEM file, vouches for; or without one, those that browsers know.
///
/// # Errors
/// [`ErrorKind::Io`] for a file that cannot be read, [`ErrorKind::Usage`] for one without certificates.
pub(super) fn transport(ca: Option<&Path>) -> Result<Transport> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let pem = files::read(path, MOST_BYTES).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
            let none = |what: &str| usage(format!("mqtt: ca: {} {what}: give it as PEM", path.display()));
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|_| none("is damaged"))?;
                roots.add(certificate).map_err(|_| none("holds something else than certificates"))?;
            }
            if roots.is_empty() {
                return Err(none("holds no certificate"));
            }
        }
    }
    // Named, as a program may have several providers, and rustls then has no default.
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::new(ErrorKind::Fault, format!("mqtt: no TLS: {e}")).caused_by(e))?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
}

/// An error in words, with what to do.
pub(super) fn said(error: &TlsError) -> String {
    match error {
        TlsError::Io(e) => match e.get_ref().and_then(|inner| inner.downcast_ref::<Broken>()) {
            Some(broken) => said_of(broken),
            None => reason(e),
        },
        TlsError::TLS(broken) => said_of(broken),
        other => text::line(&other.to_string()),
    }
}

fn said_of(broken: &Broken) -> String {
    match broken {
        Broken::InvalidCertificate(why) => said_of_certificate(why),
        Broken::InvalidMessage(_) => "what answers does not speak TLS: check the port, 8883 as a rule".into(),
        other => text::line(&other.to_string()),
    }
}

fn said_of_certificate(why: &CertificateError) -> String {
    use CertificateError as E;
    match why {
        E::UnknownIssuer => {
            "no known authority signed the broker's certificate: give ca = \"FILE.pem\" with the one that did".into()
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "the broker's certificate is for another name: write in url the name that it is for".into()
        }
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            "the broker's certificate is not valid today: renew it, or set this computer's clock".into()
        }
        other => {
            let why = text::line(&other.to_string());
            format!("the broker's certificate is refused ({why}): it must be a server's, signed by an authority")
        }
    }
}
