//! A certificate that this computer signs itself: made at the first start, kept beside the token, and renewed when it has to be.
//!
//! The key stays the same over renewals. No clock is trusted much: boards without one begin in a year long ago, where nothing may be renewed
//! because it is "not valid yet".

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rcgen::{SerialNumber, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;

use super::certificate::{self, Validity};
use super::token;
use crate::error::{Error, ErrorKind, Result, reason};
use crate::{files, text};

/// Apple's systems take no certificate that is valid for longer.
const VALID: Duration = Duration::from_secs(825 * DAY);
/// It is valid from so long before it is made on: the clients' clocks may be behind.
const BEFORE: Duration = Duration::from_secs(DAY);
/// It is renewed so long before it ends.
const EARLY: Duration = Duration::from_secs(30 * DAY);
/// 2026-01-01: a clock before is wrong.
const BEGINNING: Duration = Duration::from_secs(20_454 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// Where it is kept, and whom it is for.
#[derive(Debug)]
pub(super) struct SelfSigned {
    certificate: PathBuf,
    key: PathBuf,
    /// Names and addresses.
    names: Vec<String>,
}

impl SelfSigned {
    /// In `folder`, for a server of these `names` that listens at `ip`.
    pub(super) fn new(folder: &Path, names: &[String], ip: IpAddr) -> Self {
        let mut all = names.to_vec();
        all.extend(addresses(ip).iter().map(IpAddr::to_string));
        // A host's name may be one that no certificate can hold; it is then reached by the others.
        all.retain(|name| ServerName::try_from(name.as_str()).is_ok());
        Self { certificate: certificate_in(folder), key: folder.join("certificate.key"), names: all }
    }

    /// The files of certificate and key.
    pub(super) fn files(&self) -> (&Path, &Path) {
        (&self.certificate, &self.key)
    }

    /// Whether there are a certificate and a key.
    pub(super) fn is_there(&self) -> bool {
        self.certificate.exists() && self.key.exists()
    }

    /// Makes certificate and key where there are none, or anew where they have to be: then says why.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] where they cannot be written; [`ErrorKind::Usage`] for a certificate that is someone else's; what is wrong with
    /// what is there.
    pub(super) fn prepare(&self, now: SystemTime) -> Result<Option<String>> {
        self.renew(now, &self.names)
    }

    /// The same, but for which names it is does not matter: another program that shares the folder may have made it for others meanwhile.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub(super) fn keep(&self, now: SystemTime) -> Result<Option<String>> {
        self.renew(now, &[])
    }

    fn renew(&self, now: SystemTime, names: &[String]) -> Result<Option<String>> {
        let key = match certificate::read_key(&self.key) {
            Err(_) if !self.key.exists() => self.make_key()?,
            other => other?,
        };
        if !self.certificate.exists() {
            self.make(&key, now)?;
            return Ok(None);
        }
        let chain = certificate::read_chain(&self.certificate)?;
        let why = self.must_renew(&chain[0], &key, now, names)?;
        if why.is_some() {
            self.make(&key, now)?;
        }
        Ok(why)
    }

    /// Why a certificate has to be made anew, if it does.
    fn must_renew(
        &self,
        old: &CertificateDer<'static>,
        key: &PrivateKeyDer<'static>,
        now: SystemTime,
        names: &[String],
    ) -> Result<Option<String>> {
        let is_set = now >= SystemTime::UNIX_EPOCH + BEGINNING;
        let judge = |time| certificate::validity(old, time).map_err(|what| self.refuse(&what));
        match judge(now)? {
            Validity::Valid => {
                return Err(self.refuse("is none that this program made: name your own with --certificate"));
            }
            Validity::NotYet(_) if is_set => return Ok(Some("it was made by a clock that was ahead".into())),
            Validity::Expired(_) => return Ok(Some("it had expired".into())),
            Validity::NotYet(_) => {}
            Validity::SelfSigned if matches!(judge(now + EARLY)?, Validity::Expired(_)) => {
                return Ok(Some("it was about to expire".into()));
            }
            Validity::SelfSigned => {}
        }
        if CertifiedKey::from_der(vec![old.clone()], key.clone_key(), &certificate::provider()).is_err() {
            return Ok(Some("it was that of another key".into()));
        }
        let missing = names.iter().find(|name| !certificate::is_for(old, name));
        Ok(missing.map(|name| format!("it was not for {}", text::name(name))))
    }

    fn make_key(&self) -> Result<PrivateKeyDer<'static>> {
        let pair = KeyPair::generate()
            .map_err(|e| Error::new(ErrorKind::Fault, format!("no key was made: {e}")).caused_by(e))?;
        let pem = pem("PRIVATE KEY", pair.serialized_der());
        match token::keep_secret(&self.key, &pem) {
            // Another program made one in the same moment.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(self.failed(&self.key, error)),
            Ok(()) => {}
        }
        certificate::read_key(&self.key)
    }

    fn make(&self, key: &PrivateKeyDer<'_>, now: SystemTime) -> Result<()> {
        let der = sign(&self.names, key, now).map_err(|e| self.refuse_key(&e))?;
        files::write(&self.certificate, |file| std::io::Write::write_all(file, pem("CERTIFICATE", &der).as_bytes()))?;
        // What it says is public.
        #[cfg(unix)]
        let _ = fs::set_permissions(&self.certificate, std::os::unix::fs::PermissionsExt::from_mode(0o644));
        Ok(())
    }

    fn refuse(&self, what: &str) -> Error {
        Error::new(ErrorKind::Usage, format!("the certificate in {} {what}", self.certificate.display()))
    }

    fn refuse_key(&self, what: &rcgen::Error) -> Error {
        let message =
            format!("{}: {}: remove it, and another is made", self.key.display(), text::line(&what.to_string()));
        Error::new(ErrorKind::Usage, message)
    }

    fn failed(&self, path: &Path, error: std::io::Error) -> Error {
        let message = format!(
            "cannot write a certificate's key to {}: {} (--token-file names another folder, --certificate a certificate of your own)",
            path.display(),
            reason(&error)
        );
        Error::new(ErrorKind::Output, message).caused_by(error)
    }
}

/// The file of the certificate in a folder.
pub(super) fn certificate_in(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

/// Signs a certificate for these names with this key, in DER.
fn sign(names: &[String], key: &PrivateKeyDer<'_>, now: SystemTime) -> Result<Vec<u8>, rcgen::Error> {
    let pair = KeyPair::try_from(key)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, names.get(1).or(names.first()).map_or("densight", String::as_str));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().max(BEGINNING);
    params.not_before = date_time_ymd(1970, 1, 1) + (now - BEFORE);
    params.not_after = params.not_before + VALID;
    // Browsers refuse two certificates of one issuer with the same number.
    let mut number = [0; 16];
    getrandom::fill(&mut number).map_err(|_| rcgen::Error::RingUnspecified)?;
    number[0] = number[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from(number.to_vec()));
    Ok(params.self_signed(&pair)?.der().to_vec())
}

/// Addresses at which a server that listens at `ip` is reached: loopback's, and that address or, if it is none, the one from which this
/// computer reaches others. IPv6 has some that change daily, and would have the certificate changed with them: those are to be allowed by name.
fn addresses(ip: IpAddr) -> Vec<IpAddr> {
    let mut all = vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    let own = if ip.is_unspecified() { outgoing() } else { Some(ip.to_canonical()) };
    all.extend(own.filter(|ip| !ip.is_loopback() && !ip.is_unspecified()));
    all
}

/// The address from which packets to elsewhere are sent, if there is a way to elsewhere. None is sent: 192.0.2.1 is nobody's.
fn outgoing() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// A block of PEM.
pub(super) fn pem(kind: &str, der: &[u8]) -> String {
    let base64 = text::base64(der);
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}
