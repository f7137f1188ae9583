//! Encrypted connections, with a client that checks certificates.

use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::super::certificate::{self, Validity};
use super::super::self_signed::{SelfSigned, pem};
use super::*;

/// A page at `https://` that keeps its certificate in `folder`.
fn secure(folder: &Path, certificate: Option<[&str; 2]>, limits: Limits) -> Result<Http> {
    let certificate = certificate.map(|[certificate, key]| (folder.join(certificate), folder.join(key)));
    let options = SinkOptions { certificate, ..with_token(folder) };
    Http::start("https", "127.0.0.1:0", &options, limits)
}

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// A connection to the server by the name `host`, whose certificate has to be the one in the file `trusted`.
fn connect(sink: &Http, trusted: &Path, host: &'static str) -> io::Result<Encrypted> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(certificate::provider()));
    let config =
        config.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(host).unwrap()).unwrap();
    let socket = TcpStream::connect(("127.0.0.1", sink.server.address().port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// The head of the answer to a request.
fn head(stream: io::Result<Encrypted>, request: &str) -> String {
    let mut stream = stream.unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).split("\r\n\r\n").next().unwrap().to_owned()
}

/// Certificates `good` and `other` of an authority `ca`; false where there is no openssl.
fn certificates(folder: &Path) -> bool {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -batch";
    let name = "-subj /CN=localhost -addext subjectAltName=DNS:localhost";
    let script = format!(
        "openssl req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca -days 2
         for c in good other; do
             openssl req {key} -keyout $c.key -out $c.csr {name}
             openssl x509 -req -in $c.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -out $c.pem -days 10
         done"
    );
    let made = Command::new("sh").args(["-ec", &script]).current_dir(folder).output().unwrap();
    if !made.status.success() {
        let _ = writeln!(io::stderr(), "SKIPPED: openssl makes no certificates: {made:?}");
    }
    made.status.success()
}

#[test]
fn a_certificate_is_made_for_this_computer_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = secure(folder.path(), None, Limits::default()).unwrap();
    deliver(&mut first);
    let file = folder.path().join("certificate.pem");
    let answer = head(connect(&first, &file, "localhost"), "GET /status.json");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(connect(&first, &file, "127.0.0.1").is_ok());
    assert!(connect(&first, &file, "evil.example").is_err());
    let fingerprint = super::super::tls::fingerprint(&with_token(folder.path())).unwrap();
    assert_eq!(fingerprint.len(), 32 * 3 - 1);
    assert!(first.describe().starts_with("https://127.0.0.1:"), "{}", first.describe());
    assert!(first.describe().ends_with(&format!("; certificate SHA-256 {fingerprint})")), "{}", first.describe());
    let mut second = secure(folder.path(), None, Limits::default()).unwrap();
    assert_eq!(second.tls.as_ref().unwrap().fingerprint(), fingerprint);
    assert!(second.trouble().is_none());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("certificate.key"), mode("certificate.pem")), (0o600, 0o644));
    }
}

#[test]
fn it_is_renewed_when_names_change_or_time_is_over_and_not_by_a_clock_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        SelfSigned::new(folder.path(), &names, "127.0.0.1".parse().unwrap())
    };
    let own = names(&["localhost", "pi"]);
    let at = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 24 * 60 * 60);
    let now = 21_000;
    assert_eq!(own.prepare(at(now)).unwrap(), None, "there was none");
    let key = std::fs::read(folder.path().join("certificate.key")).unwrap();
    let shown =
        || certificate::fingerprint(&certificate::read_chain(&folder.path().join("certificate.pem")).unwrap()[0]);
    let first = shown();
    // Boards without a clock begin long ago.
    for days in [now, now + 700, now - 1, 0, 1] {
        assert_eq!(own.prepare(at(days)).unwrap(), None, "{days}");
    }
    assert_eq!(shown(), first);
    assert_eq!(own.prepare(at(now - 30)).unwrap().unwrap(), "it was made by a clock that was ahead");
    assert_eq!(own.prepare(at(now - 30 + 800)).unwrap().unwrap(), "it was about to expire");
    assert_eq!(own.prepare(at(now + 5000)).unwrap().unwrap(), "it had expired");
    let more = names(&["localhost", "pi", "camera.example"]);
    assert_eq!(more.keep(at(now + 5000)).unwrap(), None, "another program's names");
    assert_eq!(more.prepare(at(now + 5000)).unwrap().unwrap(), "it was not for camera.example");
    assert_eq!(own.prepare(at(now + 5000)).unwrap(), None, "one name more does not matter");
    assert_ne!(shown(), first);
    assert_eq!(std::fs::read(folder.path().join("certificate.key")).unwrap(), key, "the key stays");
    std::fs::remove_file(folder.path().join("certificate.key")).unwrap();
    assert_eq!(own.prepare(at(now + 5000)).unwrap().unwrap(), "it was that of another key");
    // Made by a clock that is wrong, it is valid when the clock is right.
    std::fs::remove_file(folder.path().join("certificate.pem")).unwrap();
    assert_eq!(own.prepare(at(3)).unwrap(), None);
    let certificate = certificate::read_chain(&folder.path().join("certificate.pem")).unwrap().remove(0);
    assert_eq!(certificate::validity(&certificate, at(20_454)).unwrap(), Validity::SelfSigned);
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let options = SinkOptions { token_file: Some("/proc/no/token".into()), ..SinkOptions::default() };
    let error = Http::open_secure("127.0.0.1:0", &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Output);
    assert!(error.to_string().starts_with("cannot write a certificate's key to /proc/no/certificate.key: "), "{error}");
    // What is not this program's is not replaced.
    if certificates(folder.path()) {
        secure(folder.path(), None, Limits::default()).unwrap();
        std::fs::copy(folder.path().join("good.pem"), folder.path().join("certificate.pem")).unwrap();
        let error = secure(folder.path(), None, Limits::default()).unwrap_err();
        assert!(
            error.to_string().ends_with("is none that this program made: name your own with --certificate"),
            "{error}"
        );
    }
}

#[test]
fn ones_own_certificate_is_used_and_taken_anew_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let limits = Limits { certificate: Duration::from_millis(50), ..Limits::default() };
    let mut sink = secure(folder.path(), Some(["good.pem", "good.key"]), limits).unwrap();
    deliver(&mut sink);
    let authority = folder.path().join("ca.pem");
    assert!(sink.trouble().unwrap().to_string().contains("good.pem expires on "), "it is valid for 10 days");
    let first = sink.tls.as_ref().unwrap().fingerprint();
    assert!(head(connect(&sink, &authority, "localhost"), "GET /healthz").starts_with("HTTP/1.1 200 "));
    // First one of the two, then the other: what does not belong together is not used.
    std::fs::copy(folder.path().join("other.pem"), folder.path().join("good.pem")).unwrap();
    thread::sleep(limits.certificate);
    assert!(connect(&sink, &authority, "localhost").is_ok());
    let told = sink.trouble().unwrap().to_string();
    assert!(told.contains(" is not that of the certificate in ") && told.ends_with("from before is used"), "{told}");
    assert_eq!(sink.tls.as_ref().unwrap().fingerprint(), first);
    std::fs::copy(folder.path().join("other.key"), folder.path().join("good.key")).unwrap();
    thread::sleep(limits.certificate);
    let stream = connect(&sink, &authority, "localhost").unwrap();
    let served = certificate::fingerprint(&stream.conn.peer_certificates().unwrap()[0]);
    assert_ne!(served, first);
    assert_eq!(sink.tls.as_ref().unwrap().fingerprint(), served);
}

#[test]
fn a_certificate_that_is_none_is_refused_and_one_that_expired_is_told() {
    let folder = tempfile::tempdir().unwrap();
    if !certificates(folder.path()) {
        return;
    }
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("empty.pem"), "").unwrap();
    let block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(path("broken.pem"), block).unwrap();
    std::fs::copy(path("good.key"), path("open.key")).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(path("open.key"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    for (certificate, key, kind, what) in [
        ("good.pem", "other.key", ErrorKind::Usage, "/other.key is not that of the certificate in "),
        ("empty.pem", "good.key", ErrorKind::Usage, "/empty.pem holds no certificate: give it as PEM"),
        ("broken.pem", "good.key", ErrorKind::Usage, "/broken.pem is damaged: give it as PEM"),
        ("good.pem", "ca.pem", ErrorKind::Usage, "every user may read or write "),
        ("good.pem", "open.key", ErrorKind::Usage, ", a secret key: chmod o-rw "),
        ("no.pem", "good.key", ErrorKind::Io, "/no.pem: no such file or directory"),
        ("good.pem", "no.key", ErrorKind::Io, "/no.key: no such file or directory"),
        (".", "good.key", ErrorKind::Io, "is a directory"),
    ] {
        let error = secure(folder.path(), Some([certificate, key]), Limits::default()).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(what), "{certificate} {key}: {error}");
    }
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 12, 31));
    std::fs::write(path("expired.pem"), pem("CERTIFICATE", params.self_signed(&pair).unwrap().der())).unwrap();
    std::fs::copy(path("good.key"), path("expired.key")).unwrap();
    std::fs::write(path("expired.key"), pem("PRIVATE KEY", pair.serialized_der())).unwrap();
    let mut sink = secure(folder.path(), Some(["expired.pem", "expired.key"]), Limits::default()).unwrap();
    let told = sink.trouble().unwrap().to_string();
    assert!(
        told.contains("/expired.pem expired on 2021-12-31") && told.ends_with(": renew it, or set the clock"),
        "{told}"
    );
}

#[test]
fn who_is_slow_or_speaks_something_else_is_sent_away() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { request: Duration::from_millis(300), ..Limits::default() };
    let mut sink = secure(folder.path(), None, limits).unwrap();
    deliver(&mut sink);
    let certificate = folder.path().join("certificate.pem");
    let begin = Instant::now();
    // Nothing at all, the begin of a handshake, and a handshake without a request.
    let mut slow: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(sink.server.address()).unwrap()).collect();
    for stream in &mut slow[10..] {
        stream.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    }
    let silent = connect(&sink, &certificate, "localhost").unwrap();
    let answer = head(connect(&sink, &certificate, "localhost"), "GET /healthz");
    assert!(answer.starts_with("HTTP/1.1 200 ") && begin.elapsed() < limits.request, "nobody waits for them: {answer}");
    slow.push(silent.sock);
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "they are hung up on");
    let mut plain = TcpStream::connect(sink.server.address()).unwrap();
    plain.write_all(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (head, body) = split(plain);
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert_eq!(body, b"this port is for https: write https:// in front of the address\n");
    let mut old = TcpStream::connect(sink.server.address()).unwrap();
    // A hello of TLS 1.1, with one suite and no extensions.
    let hello = [&[0x16, 3, 2, 0, 45, 1, 0, 0, 41, 3, 2][..], &[7; 32], &[0, 0, 2, 0xc0, 0x13, 1, 0]].concat();
    old.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    old.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[..1], [0x15], "an alert: {answer:?}");
}

#[test]
fn the_token_is_kept_in_a_cookie_that_goes_encrypted_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Http::open_secure("0.0.0.0:0", &with_token(folder.path())).unwrap();
    deliver(&mut sink);
    let certificate = folder.path().join("certificate.pem");
    let ask = |request: &str, more: &str, body: &str| {
        let (length, port) = (body.len(), sink.server.address().port());
        let mut stream = connect(&sink, &certificate, "localhost").unwrap();
        let head =
            format!("{request} HTTP/1.1\r\nHost: localhost:{port}\r\n{more}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert!(ask("GET /status.json", "", "").starts_with("HTTP/1.1 401 "));
    let answer = ask("POST /login", "", &format!("token={TOKEN}"));
    let cookie = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: ")).unwrap();
    assert_eq!(cookie, format!("__Host-densight={TOKEN}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax; Secure"));
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert!(ask("GET /status.json", &cookie, "").starts_with("HTTP/1.1 200 "));
}
