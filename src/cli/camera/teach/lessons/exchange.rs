//! A taught model in the loop: tried, kept, discarded.

use std::fs;
use std::io::Write;

use super::{Inner, State, busy};
use crate::cli::log::{self, Level};
use crate::control::{Progress, Running, TeachRequest};
use crate::error::{Error, ErrorKind, Result};
use crate::{files, kernels, text};

impl Inner {
    /// Takes notice of what became of the exchange that was asked for.
    pub(super) fn settle_exchange(&self, state: &mut State) {
        let Some((ticket, file)) = &state.asked else { return };
        let status = ticket.status();
        if let Progress::Swapped(_) = status.progress {
            let before = match file {
                Some(file) => {
                    state.trained.take_if(|trained| trained == file);
                    state.tried.replace(file.clone())
                }
                None => state.tried.take(),
            };
            (state.right, state.wrong) = (0, 0);
            if let Some(before) = before {
                let _ = fs::remove_file(before);
            }
        }
        if status.progress.is_settled() {
            state.asked = None;
        }
        state.exchange = Some(status);
    }

    pub(super) fn running(&self, state: &State) -> Running {
        let models = self.control.running();
        let hash = models.iter().find(|running| running.region == self.region).map(|running| &running.hash);
        if self.before.is_there() {
            Running::Tried
        } else if hash.is_some() && hash == state.kept.as_ref() {
            Running::Kept
        } else {
            Running::Other
        }
    }

    /// The model that is being tried stays.
    pub(super) fn keep(&self, state: &mut State) -> Result<()> {
        let tried = state.tried.clone().filter(|_| self.before.is_there());
        let tried = tried.ok_or_else(|| busy("no taught model is being tried: try it first"))?;
        let bytes = fs::read(&tried).map_err(|e| Error::io(ErrorKind::Io, "read", &tried, e))?;
        files::write(&self.kept, |file| file.write_all(&bytes))?;
        let models = self.control.running();
        state.kept = models.iter().find(|running| running.region == self.region).map(|running| running.hash.clone());
        drop(self.before.take());
        kernels::give_back_memory();
        state.tried = None;
        let _ = fs::remove_file(&tried);
        log::tell(Level::Info, None, &format!("kept    {}", text::line(&self.kept.display().to_string())));
        Ok(())
    }

    /// Asks for another model in the loop.
    pub(super) fn exchange(&self, state: &mut State, request: &TeachRequest) -> Result<()> {
        let (ticket, file) = if let TeachRequest::Try {} = request {
            let file = state.trained.clone().ok_or_else(|| busy("there is no taught model to try: train first"))?;
            (self.control.try_taught(file.clone())?, Some(file))
        } else {
            if !self.before.is_there() {
                return Err(busy("no taught model is being tried"));
            }
            (self.control.discard_taught()?, None)
        };
        state.exchange = Some(ticket.status());
        state.asked = Some((ticket, file));
        Ok(())
    }
}
