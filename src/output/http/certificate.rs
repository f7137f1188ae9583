//! A server's certificate and its key, from PEM files.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys, RootCertStore};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::{files, text};

/// Bytes of such a file at most.
const MOST_BYTES: u64 = 1 << 20;

/// What is known of a certificate at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// It is valid, and signed by itself.
    SelfSigned,
    /// It is valid as far as that can be told without the authorities that clients know.
    Valid,
    /// It was valid until then.
    Expired(SystemTime),
    /// It will be from then on.
    NotYet(SystemTime),
}

/// The cryptography: named, as a program may have several providers, and rustls then has no default.
pub(super) fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// The certificate with those of the authorities between, from the file `certificate`, and its key from the file `key`.
///
/// # Errors
/// [`ErrorKind::Io`] for a file that cannot be read. [`ErrorKind::Usage`] for one that holds no certificate or no key, for a key that every
/// user may read, and for two that do not belong together.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain = read_chain(certificate)?;
    let secret = read_key(key)?;
    CertifiedKey::from_der(chain, secret, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let (certificate, key) = (certificate.display(), key.display());
            usage(format!(
                "the key in {key} is not that of the certificate in {certificate}: name the two that belong together"
            ))
        }
        rustls::Error::InvalidCertificate(_) => damaged(certificate),
        other => {
            usage(format!("{}: {}: keys are RSA, ECDSA or Ed25519", key.display(), text::line(&other.to_string())))
        }
    })
}

/// The certificates in a file: at least one, the server's first.
///
/// # Errors
/// As [`read`].
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = bytes(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|_| damaged(path))?;
    match chain.first().map(ParsedCertificate::try_from) {
        Some(Ok(_)) => Ok(chain),
        Some(Err(_)) => Err(damaged(path)),
        None => Err(usage(format!("{} holds no certificate: give it as PEM", path.display()))),
    }
}

/// The key in a file that not every user may read.
///
/// # Errors
/// As [`read`].
pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = bytes(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let found = fs::metadata(path).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))?;
        if found.permissions().mode() & 0o006 != 0 {
            let path = path.display();
            return Err(usage(format!("every user may read or write {path}, a secret key: chmod o-rw {path}")));
        }
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let path = path.display();
        usage(format!("{path} holds no private key: give it as PEM, not encrypted"))
    })
}

/// The SHA-256 of a certificate as browsers and `openssl x509 -fingerprint -sha256` show it.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut shown = String::new();
    for byte in Sha256::digest(certificate) {
        let colon = if shown.is_empty() { "" } else { ":" };
        // A string takes all.
        let _ = write!(shown, "{colon}{byte:02X}");
    }
    shown
}

/// Whether a certificate is valid at that time.
///
/// # Errors
/// The certificate's, in words, where it is damaged.
pub(super) fn validity(certificate: &CertificateDer<'_>, now: SystemTime) -> Result<Validity, String> {
    let in_words = |e: rustls::Error| text::line(&e.to_string());
    let parsed = ParsedCertificate::try_from(certificate).map_err(in_words)?;
    let mut itself = RootCertStore::empty();
    itself.add(certificate.clone().into_owned()).map_err(in_words)?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let algorithms = provider().signature_verification_algorithms;
    let verified = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &itself,
        &[],
        UnixTime::since_unix_epoch(since),
        algorithms.all,
    );
    let time = |time: UnixTime| SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    Ok(match verified {
        Ok(()) => Validity::SelfSigned,
        // The period is looked at before anything else is.
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Validity::Expired(time(not_after))
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            Validity::NotYet(time(not_before))
        }
        Err(_) => Validity::Valid,
    })
}

/// Whether a certificate is for this name or address.
pub(super) fn is_for(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let (Ok(parsed), Ok(name)) = (ParsedCertificate::try_from(certificate), ServerName::try_from(name)) else {
        return false;
    };
    rustls::client::verify_server_name(&parsed, &name).is_ok()
}

/// What connections are encrypted with: TLS 1.2 and 1.3.
///
/// # Errors
/// None with the provider that there is.
pub(super) fn config(certified: Arc<CertifiedKey>) -> Result<rustls::ServerConfig> {
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| Error::new(ErrorKind::Fault, format!("no TLS: {e}")).caused_by(e))?;
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    files::read(path, MOST_BYTES).map_err(|e| Error::io(ErrorKind::Io, "read", path, e))
}

fn damaged(path: &Path) -> Error {
    usage(format!("the certificate in {} is damaged: give it as PEM", path.display()))
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}
