//! Text from files and devices (labels, names of models, nodes, files, cameras) made fit to be shown.
//!
//! A terminal obeys some characters and a service manager reads lines: a label must neither clear the screen nor end its line, nor turn
//! around what stands beside it. So all that people are shown goes through here. What programs are given ([`json`]) stays exact.

use serde::Serialize;

/// Longest name that is shown whole, in characters.
const NAME: usize = 160;
/// Longest line that is shown whole, in characters: paths may have 4096 bytes.
const LINE: usize = 6000;

/// A label or another name, on one line, of 160 characters at most.
pub fn name(text: &str) -> String {
    shown(text, NAME)
}

/// A message or a path, on one line, of 6000 characters at most.
pub fn line(text: &str) -> String {
    shown(text, LINE)
}

/// `text` as it may stand in an element of HTML or SVG, or in a quoted attribute.
pub fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push('\n'),
            c if is_harmless(c) => escaped.push(c),
            _ => escaped.push('\u{fffd}'),
        }
    }
    escaped
}

/// `value` as one line of JSON without a line end. All texts are in it as they are, but what a terminal would obey is
/// escaped, where JSON itself asks for that of characters below U+0020 only.
///
/// # Errors
/// Values that JSON has no form for.
pub fn json(value: &(impl Serialize + ?Sized)) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    if text.chars().all(is_harmless) {
        return Ok(text);
    }
    // Such characters stand in strings only: all else of JSON is printable ASCII.
    let mut escaped = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if is_harmless(c) {
            escaped.push(c);
        } else {
            escaped.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    Ok(escaped)
}

/// Whether `c` is seen where it is put, and does nothing else.
///
/// Not so are control characters (C0, DEL, C1), line and paragraph separators, marks that turn the direction of text around, and other
/// invisible ones. The two joiners U+200C and U+200D are: Persian, Indic scripts and emoji are not written without them.
pub fn is_harmless(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    !matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// `text` with U+FFFD for what is not harmless; the last of `most` characters is `…` where there are more.
fn shown(text: &str, most: usize) -> String {
    let harmless = |c| if is_harmless(c) { c } else { '\u{fffd}' };
    match text.char_indices().nth(most) {
        None => text.chars().map(harmless).collect(),
        Some(_) => text.chars().take(most - 1).map(harmless).chain(['…']).collect(),
    }
}

/// `bytes` in base64 (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let value = three.iter().fold(0_u32, |value, &byte| value << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        let digit = move |place: usize| DIGITS[(value >> (18 - 6 * place) & 63) as usize] as char;
        let known = three.len() + 1;
        (0..4).map(move |place| if place < known { digit(place) } else { '=' })
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_of_any_script_stays() {
        for text in ["", "tench, Tinca tinca", "Ägyptische Katze", "犬", "می‌خواهم", "👩‍🌾", "क्‍ष", "❤\u{fe0f}", "a\u{301}"]
        {
            assert_eq!((name(text), line(text)), (text.to_owned(), text.to_owned()));
        }
    }

    #[test]
    fn what_steers_or_hides_is_shown_as_replaced() {
        for c in "\0\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{61c}\u{200b}\u{200e}\u{2028}\u{2029}\u{202e}\u{2066}\u{feff}\u{e0041}".chars()
        {
            assert_eq!(name(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
        assert_eq!(name("cat\nMAINPID=1\x1b[2J"), "cat\u{fffd}MAINPID=1\u{fffd}[2J");
    }

    #[test]
    fn long_text_is_cut() {
        let long = "é".repeat(100_000);
        assert_eq!(name(&long).chars().count(), NAME);
        assert!(line(&long).ends_with("é…"));
        assert_eq!(name(&long[..2 * NAME]), long[..2 * NAME]);
    }

    #[test]
    fn json_is_exact_and_printable() {
        let text = "a\u{7f}\u{9b}\u{202e}\n\u{e0041}é\"";
        let written = json(text).unwrap();
        assert_eq!(written, r#""a\u007f\u009b\u202e\n\udb40\udc41é\"""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    proptest! {
        #[test]
        fn whatever_comes_in_nothing_but_harmless_text_goes_out(text in any::<String>()) {
            prop_assert!(line(&text).chars().all(is_harmless));
            let written = json(&text).unwrap();
            prop_assert!(written.chars().all(is_harmless));
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
