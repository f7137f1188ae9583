//! `--health`: asks a page whether its program is well, as `curl -f` does, for containers that have nothing else.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::usage;
use crate::error::{Error, ErrorKind, Result, reason};
use crate::text;

/// For each step.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read.
const LONGEST: u64 = 4096;

/// What `/healthz` of the page at `url` answers, where it is well.
///
/// # Errors
/// [`ErrorKind::Usage`] for what is no address, [`ErrorKind::Output`] for a page that is not well or not there.
pub(super) fn ask(url: &str) -> Result<String> {
    let place = url.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let place = place.filter(|place| !place.contains('/')).ok_or_else(|| {
        usage(
            "health: write http://127.0.0.1:PORT, the page's address (beside one at https:// there may be another)"
                .into(),
        )
    })?;
    let unwell = |what: String| Error::new(ErrorKind::Output, format!("{url}: {what}"));
    let answer = exchange(place).map_err(|error| unwell(reason(&error)))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(text::line(body.trim_end())),
        Some("503") => Err(unwell(text::line(body.trim_end()))),
        _ => Err(unwell(format!("it answers '{}'", text::line(head.lines().next().unwrap_or_default())))),
    }
}

/// The answer to a request for `/healthz`. Of HTTP/1.0: it names no host, as the page may be asked by any.
fn exchange(place: &str) -> std::io::Result<String> {
    let address = place.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What is said of a server that answers so.
    fn asked(answer: &'static str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            let length = stream.read(&mut request).unwrap();
            assert_eq!(&request[..length], b"GET /healthz HTTP/1.0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let said = ask(&url);
        server.join().unwrap();
        said
    }

    #[test]
    fn a_page_that_is_well_is_told_from_one_that_is_not() {
        assert_eq!(asked("HTTP/1.0 200 OK\r\nX: y\r\n\r\n{\"age_ms\":3}\n").unwrap(), "{\"age_ms\":3}");
        for (answer, end) in [
            ("HTTP/1.0 503 Service Unavailable\r\n\r\nthere is no result yet\n", ": there is no result yet"),
            ("HTTP/1.0 404 Not Found\r\n\r\n", ": it answers 'HTTP/1.0 404 Not Found'"),
            ("", ": it answers ''"),
        ] {
            let error = asked(answer).unwrap_err();
            assert!(error.kind() == ErrorKind::Output && error.to_string().ends_with(end), "{error}");
        }
        for url in ["", "127.0.0.1:8080", "https://127.0.0.1:8080", "http://127.0.0.1:8080/healthz"] {
            assert_eq!(ask(url).unwrap_err().kind(), ErrorKind::Usage, "{url}");
        }
        assert!(ask("http://127.0.0.1:1").unwrap_err().to_string().ends_with(": connection refused"));
    }
}
