//! Encrypted connections, `https://`: the handshake, and a certificate that may change while the server runs.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::super::SinkOptions;
use super::certificate::{self, Validity};
use super::limits::Limits;
use super::log::Log;
use super::self_signed::{SelfSigned, certificate_in};
use super::timed::Timed;
use super::token;
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// First byte of a connection that begins with a handshake.
const HANDSHAKE: u8 = 0x16;
/// So long before a certificate ends it is told of.
const WARNED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The server's certificate.
pub(super) struct Tls {
    source: Source,
    /// Between two looks whether the files have changed.
    every: Duration,
    state: Mutex<State>,
    log: Log,
}

/// Where the certificate comes from.
enum Source {
    SelfSigned(SelfSigned),
    Files(PathBuf, PathBuf),
}

struct State {
    config: Arc<ServerConfig>,
    fingerprint: String,
    /// Of the files when they were read.
    stamps: Stamps,
    looked: Instant,
    /// Why the files could not be renewed, as it was told.
    told: Option<String>,
}

/// Length and time of the last change of certificate and key.
type Stamps = [Option<(u64, SystemTime)>; 2];

/// A connection as its client began it.
pub(super) enum Accepted {
    /// With a handshake, which went well.
    Encrypted(Box<TlsStream<Timed>>),
    /// With anything else: HTTP, as a rule.
    Plain(Timed),
}

impl Tls {
    /// The user's certificate, or one for a server of these `names` that listens at `ip`.
    ///
    /// # Errors
    /// What is wrong with certificate or key; [`ErrorKind::Output`] where none can be written.
    pub(super) fn open(ip: IpAddr, names: &[String], options: &SinkOptions, limits: Limits) -> Result<Arc<Self>> {
        let log = Log::default();
        let source = match &options.certificate {
            Some((certificate, key)) => Source::Files(certificate.clone(), key.clone()),
            None => {
                let own = SelfSigned::new(&folder(options)?, names, ip);
                match own.prepare(SystemTime::now()) {
                    Ok(None) => {}
                    Ok(Some(why)) => log.tell(renewed(&why)),
                    // On a root that is read only, what was put there goes on.
                    Err(error) if error.kind() == ErrorKind::Output && own.is_there() => log.tell(kept(&error)),
                    Err(error) => return Err(error),
                }
                Source::SelfSigned(own)
            }
        };
        let state = source.read()?;
        if let Some(words) = source.warning() {
            log.tell(words);
        }
        Ok(Arc::new(Self { source, every: limits.certificate, state: Mutex::new(state), log }))
    }

    /// Shakes hands with a client, if that is how it begins.
    ///
    /// # Errors
    /// The connection's, and what is wrong with the handshake.
    pub(super) async fn accept(self: &Arc<Self>, stream: Timed) -> io::Result<Accepted> {
        let mut first = [0];
        if stream.get_ref().peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            return Ok(Accepted::Plain(stream));
        }
        if self.is_due() {
            let tls = self.clone();
            // Reading files, and writing them, takes its time. A panic has been told of already.
            let _ = tokio::task::spawn_blocking(move || tls.look()).await;
        }
        let config = self.lock().config.clone();
        Ok(Accepted::Encrypted(Box::new(TlsAcceptor::from(config).accept(stream).await?)))
    }

    /// The SHA-256 of the certificate.
    pub(super) fn fingerprint(&self) -> String {
        self.lock().fingerprint.clone()
    }

    /// What is to be told.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.log.take()
    }

    /// Whether it is time to look at the files again; once each time.
    fn is_due(&self) -> bool {
        let mut state = self.lock();
        let is_due = state.looked.elapsed() >= self.every;
        if is_due {
            state.looked = Instant::now();
        }
        is_due
    }

    /// Renews what has to be renewed, and reads what has changed. What is wrong with a new certificate is told; the old one stays.
    fn look(&self) {
        if let Source::SelfSigned(own) = &self.source {
            match own.keep(SystemTime::now()) {
                Ok(None) => {}
                Ok(Some(why)) => self.log.tell(renewed(&why)),
                Err(error) => {
                    let words = kept(&error);
                    if self.lock().told.replace(words.clone()).is_none_or(|told| told != words) {
                        self.log.tell(words);
                    }
                    return;
                }
            }
        }
        let stamps = self.source.stamps();
        if stamps == self.lock().stamps {
            return;
        }
        match self.source.read() {
            Ok(state) => *self.lock() = state,
            Err(error) => {
                // Until they change once more.
                self.lock().stamps = stamps;
                self.log.tell(kept(&error));
            }
        }
        if let Some(words) = self.source.warning() {
            self.log.tell(words);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; and every state is a valid one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Source {
    fn files(&self) -> (&Path, &Path) {
        match self {
            Self::SelfSigned(own) => own.files(),
            Self::Files(certificate, key) => (certificate, key),
        }
    }

    fn stamps(&self) -> Stamps {
        let stamp = |path: &Path| path.metadata().and_then(|found| Ok((found.len(), found.modified()?))).ok();
        let (certificate, key) = self.files();
        [stamp(certificate), stamp(key)]
    }

    fn read(&self) -> Result<State> {
        // If they change meanwhile, they are read once more.
        let stamps = self.stamps();
        let (certificate, key) = self.files();
        let certified = Arc::new(certificate::read(certificate, key)?);
        let fingerprint = certificate::fingerprint(&certified.cert[0]);
        Ok(State {
            config: Arc::new(certificate::config(certified)?),
            fingerprint,
            stamps,
            looked: Instant::now(),
            told: None,
        })
    }

    /// What is to be said of the user's certificate: clients refuse it, or soon will.
    fn warning(&self) -> Option<String> {
        let Self::Files(path, _) = self else { return None };
        let chain = certificate::read_chain(path).ok()?;
        let now = SystemTime::now();
        let (what, time) = match certificate::validity(&chain[0], now).ok()? {
            Validity::Expired(time) => ("expired on", time),
            Validity::NotYet(time) => ("is not valid before", time),
            Validity::Valid | Validity::SelfSigned => match certificate::validity(&chain[0], now + WARNED).ok()? {
                Validity::Expired(time) => ("expires on", time),
                _ => return None,
            },
        };
        let date = Timestamp::try_from(time).map_or_else(|_| "?".into(), |time| time.strftime("%Y-%m-%d").to_string());
        Some(format!("web page: the certificate in {} {what} {date}: renew it, or set the clock", path.display()))
    }
}

/// The SHA-256 of the certificate that a page is served with.
///
/// # Errors
/// [`ErrorKind::Usage`] where there is none yet; what is wrong with it.
pub(crate) fn fingerprint(options: &SinkOptions) -> Result<String> {
    let path = match &options.certificate {
        Some((certificate, _)) => certificate.clone(),
        None => certificate_in(&folder(options)?),
    };
    if options.certificate.is_none() && !path.exists() {
        let message = format!("there is no {} yet: it is made when a page is first served at https://", path.display());
        return Err(Error::new(ErrorKind::Usage, message));
    }
    Ok(certificate::fingerprint(&certificate::read_chain(&path)?[0]))
}

/// The folder of the token.
fn folder(options: &SinkOptions) -> Result<PathBuf> {
    Ok(files::folder(&token::place(options.token_file.as_deref())?).to_owned())
}

/// Why there is no new certificate.
fn kept(error: &Error) -> String {
    format!("web page: {error}; the certificate from before is used")
}

fn renewed(why: &str) -> String {
    format!("web page: the certificate was renewed, as {why}: clients ask about it again (--show-fingerprint)")
}
