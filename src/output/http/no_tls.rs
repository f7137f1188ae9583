//! Stands in for `tls.rs` where the program is built without it: there is no value of [`Tls`].

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::super::SinkOptions;
use super::limits::Limits;
use super::timed::Timed;
use crate::error::{Error, ErrorKind, Result};

/// What cannot be.
#[derive(Debug)]
pub(super) enum Tls {}

/// A connection as its client began it.
pub(super) enum Accepted {
    #[expect(dead_code, reason = "nothing makes one")]
    Encrypted(Timed),
    #[expect(dead_code, reason = "nothing makes one")]
    Plain(Timed),
}

impl Tls {
    /// # Errors
    /// [`ErrorKind::Usage`], always.
    pub(super) fn open(_: IpAddr, _: &[String], _: &SinkOptions, _: Limits) -> Result<Arc<Self>> {
        Err(Error::new(ErrorKind::Usage, "this program was built without https:// : build it with --features tls"))
    }

    pub(super) async fn accept(self: &Arc<Self>, _: Timed) -> io::Result<Accepted> {
        match **self {}
    }

    pub(super) fn fingerprint(&self) -> String {
        match *self {}
    }

    pub(super) fn trouble(&self) -> Option<Error> {
        match *self {}
    }
}

/// # Errors
/// [`ErrorKind::Usage`], always.
pub(crate) fn fingerprint(_: &SinkOptions) -> Result<String> {
    Err(Error::new(ErrorKind::Usage, "this program was built without https:// : build it with --features tls"))
}
