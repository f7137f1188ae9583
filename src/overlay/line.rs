//! A text in the parts that it is drawn in: letters with their marks, joined, from the left to the right.

use unicode_bidi::{BidiInfo, Level};
use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::arabic;
use crate::text::is_harmless;

/// Characters that are looked at: more fit nowhere.
const MOST: usize = 1024;

/// A text, in grapheme clusters.
#[derive(Debug)]
pub(super) struct Line {
    /// Letters joined, marks composed, control characters as pictures.
    text: String,
    /// Where each cluster ends, and its direction.
    clusters: Vec<(usize, Level)>,
    /// The direction of the whole.
    direction: Level,
}

impl Line {
    pub(super) fn new(text: &str) -> Self {
        let shown = text.chars().take(MOST).map(picture);
        // Nothing below is written to the left, composed or joined: labels are mostly such, and are drawn in every frame.
        if text.chars().all(|c| c < '\u{300}' && is_harmless(c)) {
            let text: String = shown.collect();
            let clusters = text.char_indices().map(|(start, c)| (start + c.len_utf8(), Level::ltr())).collect();
            return Self { text, clusters, direction: Level::ltr() };
        }
        let text = arabic::joined(&shown.nfc().collect::<String>());
        // Marks that steer directions are shown and do not act.
        let acting: String = text.chars().map(|c| if is_harmless(c) { c } else { replacement(c) }).collect();
        let bidi = BidiInfo::new(&acting, None);
        let direction = bidi.paragraphs.first().map_or(Level::ltr(), |paragraph| paragraph.level);
        let level = |start: usize| bidi.levels.get(start).copied().unwrap_or(direction);
        let clusters =
            text.grapheme_indices(true).map(|(start, cluster)| (start + cluster.len(), level(start))).collect();
        Self { text, clusters, direction }
    }

    /// How many clusters there are.
    pub(super) fn len(&self) -> usize {
        self.clusters.len()
    }

    /// The characters of cluster `index`, in the order of reading, as they are drawn. Characters that only choose how others are drawn are
    /// left out.
    pub(super) fn cluster(&self, index: usize) -> impl Iterator<Item = char> {
        let start = index.checked_sub(1).map_or(0, |before| self.clusters[before].0);
        let (end, level) = self.clusters[index];
        let turned = move |c| if level.is_rtl() { mirrored(c) } else { c };
        self.text[start..end].chars().filter(|c| !is_selector(*c)).map(turned)
    }

    /// The numbers of the first `count` clusters from the left to the right. `count` itself stands for what follows the last of them, where
    /// `cut` says that there is such a thing.
    pub(super) fn left_to_right(&self, count: usize, cut: bool) -> Vec<usize> {
        let levels = self.clusters[..count].iter().map(|(_, level)| *level);
        let levels: Vec<Level> = levels.chain(cut.then_some(self.direction)).collect();
        BidiInfo::reorder_visual(&levels)
    }
}

/// Control characters as pictures of their names.
fn picture(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(c),
        '\u{7f}' => '\u{2421}',
        _ => c,
    }
}

/// A character without direction that takes as many bytes as `c`, so that both have the same indices.
fn replacement(c: char) -> char {
    match c.len_utf8() {
        1 => '!',
        2 => '\u{a6}',
        3 => '\u{fffd}',
        _ => '\u{1f431}',
    }
}

/// Joiners, and variation selectors.
fn is_selector(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// What opens to the right opens to the left in a line that is written to the left.
fn mirrored(c: char) -> char {
    const PAIRS: [(char, char); 6] = [('(', ')'), ('[', ']'), ('{', '}'), ('<', '>'), ('«', '»'), ('‹', '›')];
    let other = |(open, close)| match c {
        _ if c == open => Some(close),
        _ if c == close => Some(open),
        _ => None,
    };
    PAIRS.into_iter().find_map(other).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first `count` clusters from the left, with `…` for what follows.
    fn shown(text: &str, count: usize) -> Vec<String> {
        let line = Line::new(text);
        let count = count.min(line.len());
        let cluster = |index| if index < count { line.cluster(index).collect() } else { "…".to_owned() };
        line.left_to_right(count, count < line.len()).into_iter().map(cluster).collect()
    }

    fn all(text: &str) -> String {
        shown(text, usize::MAX).concat()
    }

    #[test]
    fn what_is_written_to_the_left_is_turned_around() {
        for (text, expected) in [
            ("cat: dog", "cat: dog"),
            ("猫 (cat)", "猫 (cat)"),
            ("שלום", "םולש"),
            ("עברית (v2)", "(v2) תירבע"),
            ("cat שלום (dog)", "cat םולש (dog)"),
            ("שלום 123", "123 םולש"),
            ("عربي", "\u{fef2}\u{fe91}\u{feae}\u{fecb}"),
        ] {
            assert_eq!(all(text), expected, "{text}");
        }
    }

    #[test]
    fn marks_stay_with_their_letters() {
        assert_eq!(shown("a\u{301}x\u{302}b", 2), ["á", "x\u{302}", "…"]);
        assert_eq!(shown("👩\u{200d}🌾!", 1), ["👩🌾", "…"]);
        assert_eq!(shown("\u{1112}\u{1161}\u{11ab}글", 1), ["한", "…"]);
        assert_eq!(shown("אבג", 2), ["…", "ב", "א"]);
    }

    #[test]
    fn what_steers_is_shown() {
        assert_eq!(all("a\tb\u{7f}"), "a␉b␡");
        assert_eq!(all("a\u{202e}bc\u{2029}d"), "a\u{202e}bc\u{2029}d");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_everything_has_its_place(text in any::<String>(), most in 0_usize..20) {
            let line = Line::new(&text);
            let count = most.min(line.len());
            let mut order = line.left_to_right(count, count < line.len());
            order.sort_unstable();
            prop_assert!(order.into_iter().eq(0..count + usize::from(count < line.len())));
            // Composing takes some characters apart for good, into three at most.
            prop_assert!((0..line.len()).map(|index| line.cluster(index).count()).sum::<usize>() <= 3 * text.chars().count());
        }
    }
}
