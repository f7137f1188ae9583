//! The token that clients from the network have to know.
//!
//! It is sent as `Authorization: Bearer TOKEN`, as the password of the user `token` where a program knows only those, or as the cookie
//! that the log-in page sets.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use subtle::ConstantTimeEq;
use tempfile::NamedTempFile;

use crate::error::{Error, ErrorKind, Result, reason};
use crate::{files, text};

/// Name of the cookie, and of that by encrypted connections: with this prefix browsers take it from such ones only.
pub(super) const COOKIE_NAME: &str = "densight";
pub(super) const SECURE_COOKIE_NAME: &str = "__Host-densight";
/// Least and most characters of a token.
const LENGTHS: std::ops::RangeInclusive<usize> = 16..=256;

/// A token: 16 to 256 letters, digits, `-`, `_` and `.`, which every header and form holds as they are.
pub(crate) struct Token(String);

impl Token {
    /// The token in the file `path`, or in the state folder's if none is named. It is made where there is none yet.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a file that holds no token, and where no file is named and there is no state folder; [`ErrorKind::Io`] for
    /// one that cannot be read, [`ErrorKind::Output`] for one that cannot be made.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let path = place(path)?;
        match files::read_text(&path) {
            Ok(text) => Self::parse(text.trim()).ok_or_else(|| {
                let message = format!(
                    "{} holds no token: it has {} to {} letters, digits, '-', '_' and '.'",
                    path.display(),
                    LENGTHS.start(),
                    LENGTHS.end()
                );
                Error::new(ErrorKind::Usage, message)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::make(&path).map_err(|error| {
                let message = format!(
                    "cannot write a token to {}: {} (--token-file names another)",
                    path.display(),
                    reason(&error)
                );
                Error::new(ErrorKind::Output, message).caused_by(error)
            }),
            Err(error) => Err(Error::io(ErrorKind::Io, "read", &path, error)),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (LENGTHS.contains(&text.len()) && text.bytes().all(is_good)).then(|| Self(text.to_owned()))
    }

    /// Writes a new token to `path`.
    fn make(path: &Path) -> io::Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        keep_secret(path, &format!("{token}\n"))?;
        Ok(Self(token))
    }

    /// Its text.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether `given` is it; the time that takes does not tell where they differ.
    pub(super) fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// Whether a request with these headers gives it as `Authorization: Bearer`: no browser can be made to do so by a page from elsewhere.
    pub(super) fn is_bearer_in(&self, headers: &HeaderMap) -> bool {
        let values = headers.get_all(AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
        let mut given = values.filter_map(|value| value.split_once(' '));
        given.any(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && self.is(token.trim()))
    }

    /// Whether a request with these headers knows it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let values = |name| headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let mut cookies =
            values(COOKIE).flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let has_password = |value: &str| match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("basic") => {
                let expected = text::base64(format!("token:{}", self.0).as_bytes());
                expected.as_bytes().ct_eq(token.trim().as_bytes()).into()
            }
            _ => false,
        };
        self.is_bearer_in(headers)
            || values(AUTHORIZATION).any(has_password)
            || cookies.any(|(name, value)| [COOKIE_NAME, SECURE_COOKIE_NAME].contains(&name) && self.is(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The file of the token: the one that is named, or that in the state folder.
///
/// # Errors
/// [`ErrorKind::Usage`] where there is no such folder.
pub(super) fn place(named: Option<&Path>) -> Result<PathBuf> {
    let path = named.map(Path::to_owned).or_else(|| in_state_folder(|name| std::env::var_os(name)));
    path.ok_or_else(|| {
        let message =
            "there is no folder for the token and the certificate that clients need: name a file, --token-file FILE";
        Error::new(ErrorKind::Usage, message)
    })
}

/// Writes `text` to a new file for its owner's eyes only, and makes its folder if need be. Of two programs that do so at once, one finds a
/// file ([`io::ErrorKind::AlreadyExists`]).
pub(super) fn keep_secret(path: &Path, text: &str) -> io::Result<()> {
    let folder = files::folder(path);
    std::fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(())
}

/// Where the token is kept: in systemd's folder for this service, or the user's for states.
fn in_state_folder(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user =
        || Some(folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?.join("densight"));
    Some(folder("STATE_DIRECTORY").or_else(user)?.join("token"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    #[test]
    fn a_token_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/token");
        let made = Token::open(Some(&path)).unwrap();
        assert_eq!(made.text().len(), 32);
        assert_eq!(Token::open(Some(&path)).unwrap().text(), made.text());
        let other = Token::open(Some(&folder.path().join("other"))).unwrap();
        assert_ne!(other.text(), made.text());
        assert!(!format!("{made:?}").contains(made.text()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_holds_no_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for text in [
            "",
            "short",
            "0123456789abcde ",
            "0123456789abcdef 0",
            "0123456789abcdef;",
            "0123456789\n0123456789",
            &"x".repeat(257),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Token::open(Some(&path)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text:?}");
        }
        std::fs::write(&path, format!("  {TOKEN}\n\n")).unwrap();
        assert_eq!(Token::open(Some(&path)).unwrap().text(), TOKEN);
        assert_eq!(Token::open(Some(folder.path())).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(Token::open(Some(&path.join("below"))).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn it_is_known_in_three_ways() {
        let token = Token::parse(TOKEN).unwrap();
        let knows = |name: &'static str, value: &str| {
            let header = (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            token.is_in(&HeaderMap::from_iter([header]))
        };
        for (name, value) in [
            ("authorization", "Bearer 0123456789abcdef"),
            ("authorization", "bearer  0123456789abcdef "),
            // token:0123456789abcdef
            ("authorization", "Basic dG9rZW46MDEyMzQ1Njc4OWFiY2RlZg=="),
            ("cookie", "densight=0123456789abcdef"),
            ("cookie", "a=b; densight=0123456789abcdef; c"),
            ("cookie", "densight=x; __Host-densight=0123456789abcdef"),
        ] {
            assert!(knows(name, value), "{name}: {value}");
        }
        for (name, value) in [
            ("authorization", ""),
            ("authorization", "0123456789abcdef"),
            ("authorization", "Bearer"),
            ("authorization", "Bearer 0123456789abcde"),
            ("authorization", "Bearer 0123456789abcdeg"),
            ("authorization", "Bearer 0123456789abcdef0"),
            ("authorization", "Basic 0123456789abcdef"),
            // admin:0123456789abcdef
            ("authorization", "Basic YWRtaW46MDEyMzQ1Njc4OWFiY2RlZg=="),
            ("cookie", "densight="),
            ("cookie", "densight2=0123456789abcdef"),
            ("cookie", "xdensight=0123456789abcdef"),
            ("x-token", "0123456789abcdef"),
        ] {
            assert!(!knows(name, value), "{name}: {value}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
    }

    #[test]
    fn it_is_kept_where_states_are() {
        let path = |variables: &[(&str, &str)]| {
            let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            in_state_folder(value).map(|path| path.to_str().unwrap().to_owned())
        };
        let home = ("HOME", "/home/pi");
        assert_eq!(path(&[home]).unwrap(), "/home/pi/.local/state/densight/token");
        assert_eq!(path(&[home, ("XDG_STATE_HOME", "/s")]).unwrap(), "/s/densight/token");
        assert_eq!(path(&[home, ("STATE_DIRECTORY", "/var/lib/densight")]).unwrap(), "/var/lib/densight/token");
        assert_eq!(path(&[("HOME", "")]), None);
    }
}
