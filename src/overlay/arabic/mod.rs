//! Arabic letters joined as they are written: each gets the form that it has beside its neighbours.

mod forms;

use unicode_normalization::char::is_combining_mark;

use forms::{AFTER_LAM, LETTERS};

const TATWEEL: char = '\u{640}';
const LAM: char = '\u{644}';
/// Zero width joiner: what is beside it is written as if a letter were there.
const JOINER: char = '\u{200d}';

/// `text` with letters replaced by their forms, in the order of reading.
pub(super) fn joined(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut written = String::with_capacity(text.len());
    // Marks stand above and below of letters, not between them.
    let mut before = None;
    let mut index = 0;
    while let Some(&letter) = letters.get(index) {
        let after = letters[index + 1..].iter().find(|c| !is_combining_mark(**c)).copied();
        let from_before = before.is_some_and(joins_next) && joins_previous(letter);
        let to_after = joins_next(letter) && after.is_some_and(joins_previous);
        let ligature = letters.get(index + 1).filter(|_| letter == LAM).and_then(|next| find(AFTER_LAM, *next));
        if let Some(ligature) = ligature {
            written.push(ligature[usize::from(from_before)]);
            before = letters.get(index + 1).copied();
            index += 2;
            continue;
        }
        let form = find(LETTERS, letter).map(|forms| forms[usize::from(from_before) + 2 * usize::from(to_after)]);
        written.push(form.filter(|form| *form != '\0').unwrap_or(letter));
        if !is_combining_mark(letter) {
            before = Some(letter);
        }
        index += 1;
    }
    written
}

fn find<T: Copy>(table: &[(char, T)], letter: char) -> Option<T> {
    table.binary_search_by_key(&letter, |entry| entry.0).ok().map(|at| table[at].1)
}

fn joins_next(letter: char) -> bool {
    [TATWEEL, JOINER].contains(&letter) || find(LETTERS, letter).is_some_and(|forms| forms[2] != '\0')
}

fn joins_previous(letter: char) -> bool {
    [TATWEEL, JOINER].contains(&letter) || find(LETTERS, letter).is_some_and(|forms| forms[1] != '\0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_have_the_form_of_their_place() {
        for (text, expected) in [
            // Ain at the start, reh at an end, beh at a start, yeh at the end.
            ("عربي", "\u{fecb}\u{feae}\u{fe91}\u{fef2}"),
            // Heh in all four places.
            ("ه ههه", "\u{fee9} \u{feeb}\u{feec}\u{feea}"),
            // A mark joins nothing and parts nothing.
            ("بَب", "\u{fe91}\u{64e}\u{fe90}"),
            // Lam and alef, alone and behind a letter.
            ("لا بلا", "\u{fefb} \u{fe91}\u{fefc}"),
            // Persian and Urdu.
            ("گربه", "\u{fb94}\u{feae}\u{fe91}\u{feea}"),
            // A non-joiner parts, a joiner and a tatweel join.
            ("ب\u{200c}ب", "\u{fe8f}\u{200c}\u{fe8f}"),
            ("ب\u{200d} ـب", "\u{fe91}\u{200d} \u{640}\u{fe90}"),
            ("猫 cat אב", "猫 cat אב"),
            ("", ""),
        ] {
            assert_eq!(joined(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_no_letter_is_lost(text in "[\u{600}-\u{6ff}a\u{200c}\u{200d}]{0,12}") {
            let ligatures = AFTER_LAM.iter().flat_map(|(_, forms)| forms);
            let merged = joined(&text).chars().filter(|c| ligatures.clone().any(|l| l == c)).count();
            prop_assert_eq!(joined(&text).chars().count() + merged, text.chars().count());
        }
    }
}
