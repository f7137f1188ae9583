//! Rust source as tokens, and the paths in it.

/// A word or a sign of the source; `::` is one sign.
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The tokens of Rust source without comments, strings, characters and lifetimes.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens: Vec<Token> = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let after_word = &rest[word..];
        let quoted = matches!(&rest[..word], "r" | "br" | "cr")
            .then(|| after_word.trim_start_matches('#'))
            .filter(|quote| quote.starts_with('"'));
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(quote) = quoted {
            let end = format!("\"{}", "#".repeat(after_word.len() - quote.len()));
            let start = rest.len() - quote.len() + 1;
            rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
        } else if first == '"' {
            literal(rest, '"')
        } else if first == '\'' {
            // A character has a closing quote after one character or an escape; a lifetime has none.
            let after: Vec<char> = rest.chars().skip(1).take(2).collect();
            if after.first() == Some(&'\\') || after.get(1) == Some(&'\'') {
                literal(rest, '\'')
            } else {
                1 + word_at(&rest[1..])
            }
        } else if word > 0 {
            tokens.push(Token { line, text: rest[..word].into() });
            word
        } else if rest.starts_with("::") {
            tokens.push(Token { line, text: "::".into() });
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(Token { line, text: first.into() });
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn word_at(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// Length of the literal between two `quote`s that `text` begins with.
fn literal(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Length of the block comment that `text` begins with; they nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (1, 2),
            [b'*', b'/', ..] => (-1, 2),
            _ => (0, 1),
        };
        (depth, at) = (depth + step.0, at + step.1);
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Line and name of everything at the top of the crate that [`paths`] lead to.
pub(super) fn references(tokens: &[Token], home: &[String]) -> Vec<(usize, String)> {
    paths(tokens, home).into_iter().filter_map(|path| Some((path.line, path.to.into_iter().next()?))).collect()
}

/// A path in the source.
pub(super) struct Reference {
    pub(super) line: usize,
    /// The module that it is written in.
    pub(super) from: Vec<String>,
    /// What it leads to, from the top of the crate.
    pub(super) to: Vec<String>,
}

/// The paths in `tokens` that begin with `crate::`, `super::`, `self::` and `densight::`, in `use` and elsewhere. `home` is the file's
/// module.
pub(super) fn paths(tokens: &[Token], home: &[String]) -> Vec<Reference> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    // Modules written within the file: their paths, and the depth of braces they are in.
    let (mut module, mut depth, mut opened) = (home.to_vec(), 0, Vec::new());
    for at in 0..tokens.len() {
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if opened.last() == Some(&depth) {
                    opened.pop();
                    module.pop();
                }
            }
            "mod" if text(at + 2) == "{" => {
                opened.push(depth);
                module.push(text(at + 1).to_owned());
            }
            // Both would lead around this check.
            "crate" if text(at + 1) == "as" => {
                let to = vec!["another name for the crate".into()];
                found.push(Reference { line: tokens[at].line, from: module.clone(), to });
            }
            "path" if text(at + 1) == "=" && text(at.wrapping_sub(1)) == "[" => {
                let to = vec!["a file elsewhere".into()];
                found.push(Reference { line: tokens[at].line, from: module.clone(), to });
            }
            root @ ("crate" | "densight" | "super" | "self")
                if text(at + 1) == "::" && text(at.wrapping_sub(1)) != "::" =>
            {
                let base = match root {
                    "crate" | "densight" => Some(Vec::new()),
                    "self" => Some(module.clone()),
                    _ => up(&module),
                };
                let mut leads = Vec::new();
                tree(tokens, at + 2, base, &mut leads);
                found.extend(leads.into_iter().map(|(line, to)| Reference { line, from: module.clone(), to }));
            }
            _ => {}
        }
    }
    found
}

fn up(module: &[String]) -> Option<Vec<String>> {
    module.split_last().map(|(_, parent)| parent.to_vec())
}

/// Follows a path, or a tree of them in braces, from token `at` and module `base` on (`None`: above the top). Returns
/// the token after it.
fn tree(
    tokens: &[Token],
    mut at: usize,
    mut base: Option<Vec<String>>,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let text = |at: usize| tokens.get(at).map_or("}", |token| token.text.as_str());
    loop {
        match text(at) {
            "{" => {
                while text(at) != "}" {
                    at = tree(tokens, at + 1, base.clone(), found);
                    while !matches!(text(at), "," | "}") {
                        at += 1; // as another name
                    }
                }
                return at + 1;
            }
            "}" => return at,
            "super" => base = base.as_deref().and_then(up),
            "self" => {}
            name => base.iter_mut().for_each(|module| module.push(name.to_owned())),
        }
        if text(at + 1) != "::" {
            break;
        }
        at += 2;
    }
    found.push((tokens[at].line, base.unwrap_or_else(|| vec!["a module above the crate".to_owned()])));
    at + 1
}
