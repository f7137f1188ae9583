//! Where a panic becomes an error: around code that reads files of others.
//!
//! Densight's own code does not panic on any file, as far as its fuzz targets could find out, and neither should the libraries it
//! calls. Where one does all the same, the program goes on with an error that says so, and nothing is printed besides.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::thread;

use crate::error::{Error, ErrorKind, Result};

/// Stack of the thread that reads a file: graphs may be deep, and what reads them calls itself.
const STACK: usize = 64 << 20;

thread_local! {
    /// Whether a panic of this thread is caught by [`caught`].
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// Where the last caught panic happened, and what it said.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Does `work` on a thread of its own, with a large stack.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Fault`] if it panics.
pub fn isolated<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("densight loader".into()).stack_size(STACK);
        let thread = builder.spawn_scoped(scope, || caught(work)).map_err(|e| {
            Error::new(ErrorKind::Io, format!("no thread can be started: {}", crate::error::reason(&e))).caused_by(e)
        })?;
        thread.join().unwrap_or_else(|_| Err(fault("a thread ended by itself")))
    })
}

/// Does `work` here.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Fault`] if it panics.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| if CATCHING.get() { SAID.set(Some(described(info))) } else { before(info) }));
    });
    let outer = CATCHING.replace(true);
    // What `work` has changed is dropped with its error.
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(outer);
    result.unwrap_or_else(|payload| Err(fault(&SAID.take().unwrap_or_else(|| text(&*payload)))))
}

fn fault(what: &str) -> Error {
    let message = format!("a fault of Densight, not only of the file; please report it with the file: {what}");
    Error::new(ErrorKind::Fault, message)
}

/// What a panic said and where, the path without folders of the machine that the program was built on.
fn described(info: &PanicHookInfo<'_>) -> String {
    let said = text(info.payload());
    match info.location() {
        Some(at) => {
            let file = at.file();
            // A library's files lie in `…/registry/src/INDEX/NAME-VERSION`.
            let file = match file.split_once("registry/src/").and_then(|(_, rest)| rest.split_once('/')) {
                Some((_, file)) => file,
                None => file,
            };
            format!("{said} ({file}:{})", at.line())
        }
        None => said,
    }
}

fn text(payload: &(dyn Any + Send)) -> String {
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    said.unwrap_or("a panic without words").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_where() {
        for run in [isolated::<()>, caught::<()>] {
            let error = run(|| panic!("index 3 of {}", 2)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fault);
            let text = error.to_string();
            assert!(text.contains("index 3 of 2 (src/isolate.rs:") && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn results_and_errors_pass() {
        assert_eq!(isolated(|| Ok(7)).unwrap(), 7);
        let error = caught::<()>(|| Err(Error::new(ErrorKind::Model, "no"))).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Model, "no"));
    }

    #[test]
    fn one_within_another_ends_where_it_began() {
        let inner = caught(|| {
            let _ = caught::<()>(|| panic!("inner"));
            panic!("outer");
            #[allow(unreachable_code)]
            Ok(())
        });
        assert!(inner.unwrap_err().to_string().contains("outer"));
        assert!(!CATCHING.get());
    }

    #[test]
    fn a_deep_recursion_has_room() {
        #[inline(never)]
        fn deep(left: usize) -> usize {
            let here = std::hint::black_box([left; 64]);
            if left == 0 { 0 } else { 1 + deep(left - 1) + here[0] - left }
        }
        assert_eq!(isolated(|| Ok(deep(20_000))).unwrap(), 20_000);
    }
}
