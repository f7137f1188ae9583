//! What the system asks of the program: to end, or to read its settings again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::cli::INTERRUPTED;

/// Flags that signals raise.
pub(super) struct Signals {
    /// Ctrl-C, or a request to terminate; the second one ends the program at once.
    pub(super) stop: Arc<AtomicBool>,
    /// A request to read the settings again (SIGHUP).
    pub(super) reload: Arc<AtomicBool>,
}

impl Signals {
    fn stop(stop: &AtomicBool) {
        if stop.swap(true, Ordering::Relaxed) {
            super::teach::restore();
            std::process::exit(i32::from(INTERRUPTED));
        }
    }

    /// Watches for signals. Where nothing can be read again (`reloads`), or the terminal that the program was started from is gone,
    /// SIGHUP is a request to terminate, too.
    ///
    /// # Errors
    /// The system's.
    #[cfg(unix)]
    pub(super) fn watch(reloads: bool) -> anyhow::Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let (stop, reload) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let flags = (stop.clone(), reload.clone());
        let has_terminal = || std::fs::File::open("/dev/tty").is_ok();
        let had_terminal = has_terminal();
        let mut signals =
            signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot watch for signals")?;
        let watch = move || {
            for signal in signals.forever() {
                match signal {
                    SIGHUP if reloads && (has_terminal() || !had_terminal) => flags.1.store(true, Ordering::Relaxed),
                    _ => Self::stop(&flags.0),
                }
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(watch).context("cannot watch for signals")?;
        Ok(Self { stop, reload })
    }

    /// Watches for Ctrl-C.
    ///
    /// # Errors
    /// The system's.
    #[cfg(not(unix))]
    pub(super) fn watch(_: bool) -> anyhow::Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let raised = stop.clone();
        ctrlc::set_handler(move || Self::stop(&raised)).context("cannot watch for Ctrl-C")?;
        Ok(Self { stop, reload: Arc::default() })
    }
}
