//! Teaching by keys, where standard input is a terminal.

#[cfg(unix)]
mod terminal;

use std::fmt::Write as _;

use crate::control::{Progress, Running, TeachRequest, TeachStatus, Teacher, Training};
use crate::error::Result;
use crate::text;

#[cfg(unix)]
pub(in super::super) use terminal::{restore, watch};

/// What a key can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Letter(char),
    Enter,
    Back,
    Escape,
}

/// What is answered to a key.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    /// A line.
    Line(String),
    /// What is shown at once, as it was typed.
    Typed(String),
    Nothing,
}

/// Which keys there are, and what they did last.
#[derive(Debug, Default)]
struct Panel {
    /// The name of a class that is being typed.
    name: Option<String>,
}

const KEYS: &str = "1 to 9 take a picture for a class, n new class, u undo, t train, c cancel, y try, r right, w wrong, k keep, x discard, ? help";

impl Panel {
    /// Does what `key` means.
    fn press(&mut self, key: Key, teacher: &dyn Teacher) -> Reply {
        if let Some(mut name) = self.name.take() {
            return match key {
                Key::Enter => said(make(&name, teacher)),
                Key::Escape => Reply::Line("no class was made".into()),
                Key::Back => {
                    let erased = if name.pop().is_some() { "\u{8} \u{8}" } else { "" };
                    self.name = Some(name);
                    Reply::Typed(erased.into())
                }
                Key::Letter(letter) => {
                    name.push(letter);
                    self.name = Some(name);
                    Reply::Typed(if text::is_harmless(letter) { letter.into() } else { String::new() })
                }
            };
        }
        let ask = |request, words: &str| said(teacher.ask(request).map(|()| words.to_owned()));
        match key {
            Key::Letter(digit @ '1'..='9') => said(capture(digit, teacher)),
            Key::Letter('n') => {
                self.name = Some(String::new());
                Reply::Typed("name of the class, and Enter: ".into())
            }
            Key::Letter('u') => ask(TeachRequest::Undo {}, "the last picture was removed"),
            Key::Letter('t') => ask(TeachRequest::Train {}, "teaching: the camera goes on meanwhile"),
            Key::Letter('c') => ask(TeachRequest::Cancel {}, "teaching is cancelled"),
            Key::Letter('y') => {
                ask(TeachRequest::Try {}, "trying: r where it is right, w where not, k keeps it, x does not")
            }
            Key::Letter('r') => ask(TeachRequest::Right {}, "right"),
            Key::Letter('w') => ask(TeachRequest::Wrong { class: None }, "wrong: 1 to 9 add the picture to its class"),
            Key::Letter('k') => ask(TeachRequest::Keep {}, "it stays"),
            Key::Letter('x') => ask(TeachRequest::Discard {}, "the model before takes its place again"),
            Key::Letter('?' | 'h') => said(teacher.status().map(|status| help(&status))),
            _ => Reply::Nothing,
        }
    }
}

fn said(done: Result<String>) -> Reply {
    Reply::Line(done.unwrap_or_else(|error| error.to_string()))
}

fn make(name: &str, teacher: &dyn Teacher) -> Result<String> {
    teacher.ask(TeachRequest::Make { class: name.trim().into() })?;
    Ok(help(&teacher.status()?))
}

/// A picture for the class of a digit.
fn capture(digit: char, teacher: &dyn Teacher) -> Result<String> {
    let number = digit.to_digit(10).unwrap_or(1) as usize;
    let status = teacher.status()?;
    let Some(class) = status.classes.get(number - 1) else {
        return Ok(format!("there is no class {number}: n makes one"));
    };
    teacher.ask(TeachRequest::Capture { class: class.name.clone(), pictures: 1, interval: 0.0 })?;
    Ok(format!("{}: picture {}", text::name(&class.name), class.pictures + 1))
}

/// How it stands, and the keys.
fn help(status: &TeachStatus) -> String {
    let mut line = String::new();
    for (number, class) in status.classes.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{} {} ({}), ", number + 1, text::name(&class.name), class.pictures);
    }
    match &status.training {
        Training::Features { done, of } => drop(write!(line, "taught on {done} of {of} pictures so far, ")),
        Training::Failed { reason } => drop(write!(line, "teaching failed: {reason}, ")),
        _ => {}
    }
    if let Some(lesson) = &status.lesson {
        let _ = write!(line, "{:.1} % by cross-validation, ", 100.0 * lesson.accuracy);
    }
    if let Some(Progress::Refused(refused)) = status.exchange.as_ref().map(|exchange| &exchange.progress) {
        let _ = write!(line, "refused: {}, ", refused.reason);
    }
    if status.running == Running::Tried {
        let _ = write!(line, "a taught model is tried: {} right, {} wrong, ", status.right, status.wrong);
    }
    format!("teach   {line}keys: {KEYS}")
}

/// The keys in `bytes`; what is left of it are the first bytes of a letter whose others are still to come.
fn keys(bytes: &mut Vec<u8>) -> Vec<Key> {
    let whole = match std::str::from_utf8(bytes) {
        Ok(text) => text.len(),
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => bytes.len(),
    };
    let rest = bytes.split_off(whole);
    let text = without_sequences(&String::from_utf8_lossy(bytes));
    *bytes = rest;
    let key = |letter| match letter {
        '\r' | '\n' => Key::Enter,
        '\u{8}' | '\u{7f}' => Key::Back,
        '\u{1b}' => Key::Escape,
        letter => Key::Letter(letter),
    };
    text.chars().map(key).collect()
}

/// `text` without the sequences that arrows and the like are, each of which arrives as a whole: Escape, a bracket or an O, and what follows up
/// to a letter or a tilde.
fn without_sequences(text: &str) -> String {
    let mut kept = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' && letters.next_if(|next| matches!(next, '[' | 'O')).is_some() {
            letters.find(|letter| matches!(letter, '@'..='~'));
        } else {
            kept.push(letter);
        }
    }
    kept
}

/// Nothing is read.
#[cfg(not(unix))]
pub(in super::super) struct Watching;

/// No keys are read here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub(in super::super) fn watch(_: impl Teacher + 'static) -> Result<Option<Watching>> {
    Ok(None)
}

/// Nothing was changed.
#[cfg(not(unix))]
pub(in super::super) fn restore() {}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::control::ClassStatus;
    use crate::error::{Error, ErrorKind};

    /// Notes what it is asked for.
    #[derive(Debug, Default)]
    struct Fake(Mutex<Vec<TeachRequest>>);

    impl Teacher for Fake {
        fn status(&self) -> Result<TeachStatus> {
            let class = |name: &str, pictures| ClassStatus { name: name.into(), pictures, newest: Vec::new() };
            Ok(TeachStatus {
                region: "frame".into(),
                classes: vec![class("open", 12), class("shut\u{1b}[2J", 9)],
                bytes: 0,
                max_bytes: 1,
                max_pictures: 1,
                capturing: None,
                training: Training::Features { done: 3, of: 21 },
                lesson: None,
                trained: false,
                running: Running::Tried,
                exchange: None,
                right: 4,
                wrong: 1,
                trouble: None,
            })
        }

        fn ask(&self, request: TeachRequest) -> Result<()> {
            let refused = matches!(request, TeachRequest::Keep {});
            self.0.lock().unwrap().push(request);
            if refused { Err(Error::new(ErrorKind::Busy, "not now")) } else { Ok(()) }
        }

        fn picture(&self, _: &str, _: &str) -> Result<Vec<u8>> {
            Ok(Vec::new())
        }
    }

    fn line(reply: Reply) -> String {
        match reply {
            Reply::Line(line) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_digit_takes_a_picture_and_letters_do_the_rest() {
        let (fake, mut panel) = (Fake::default(), Panel::default());
        let mut press = |letter| line(panel.press(Key::Letter(letter), &fake));
        assert_eq!(press('1'), "open: picture 13");
        assert_eq!(press('2'), "shut\u{fffd}[2J: picture 10");
        assert_eq!(press('3'), "there is no class 3: n makes one");
        for letter in ['u', 't', 'c', 'y', 'r', 'w', 'x'] {
            press(letter);
        }
        assert_eq!(press('k'), "not now");
        let help = press('?');
        assert!(help.starts_with("teach   1 open (12), 2 shut\u{fffd}[2J (9), taught on 3 of 21"), "{help}");
        assert!(help.contains("4 right, 1 wrong") && help.ends_with("? help"), "{help}");
        assert_eq!(panel.press(Key::Letter('z'), &fake), Reply::Nothing);
        use TeachRequest as R;
        let capture = |class: &str| R::Capture { class: class.into(), pictures: 1, interval: 0.0 };
        let expected = [
            capture("open"),
            capture("shut\u{1b}[2J"),
            R::Undo {},
            R::Train {},
            R::Cancel {},
            R::Try {},
            R::Right {},
            R::Wrong { class: None },
            R::Discard {},
            R::Keep {},
        ];
        assert_eq!(*fake.0.lock().unwrap(), expected);
    }

    #[test]
    fn a_name_is_typed_and_what_is_typed_is_no_key() {
        let (fake, mut panel) = (Fake::default(), Panel::default());
        assert!(matches!(panel.press(Key::Letter('n'), &fake), Reply::Typed(_)));
        for key in keys(&mut "tüx\u{7f}1".as_bytes().to_vec()) {
            assert!(matches!(panel.press(key, &fake), Reply::Typed(_)));
        }
        assert!(line(panel.press(Key::Enter, &fake)).starts_with("teach   1 open"));
        assert_eq!(*fake.0.lock().unwrap(), [TeachRequest::Make { class: "tü1".into() }]);
        panel.press(Key::Letter('n'), &fake);
        panel.press(Key::Letter('a'), &fake);
        assert_eq!(line(panel.press(Key::Escape, &fake)), "no class was made");
        assert_eq!(fake.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn letters_arrive_in_parts_and_arrows_are_none() {
        let mut bytes = "a\u{1f6aa}".as_bytes()[..3].to_vec();
        assert_eq!(keys(&mut bytes), [Key::Letter('a')]);
        bytes.extend_from_slice(&"\u{1f6aa}".as_bytes()[2..]);
        assert_eq!(keys(&mut bytes), [Key::Letter('\u{1f6aa}')]);
        assert_eq!(keys(&mut b"\x1b[Au\x1b[5~\x1bOPt".to_vec()), [Key::Letter('u'), Key::Letter('t')]);
        assert_eq!(keys(&mut b"\x1b".to_vec()), [Key::Escape]);
        assert_eq!(keys(&mut vec![0xff, b'\r', 8]), [Key::Letter('\u{fffd}'), Key::Enter, Key::Back]);
    }
}
