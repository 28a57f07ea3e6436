// SPDX-License-Identifier: Apache-2.0
//! A source file as the rules see it: the raw lines, the same lines with comments and literals
//! blanked out, and which of them are test code.

use std::ops::Range;

/// One file of Rust.
pub struct Source {
    /// Relative to the package, separated by `/`.
    pub path: String,
    /// The lines as they are.
    pub raw: Vec<String>,
    /// The lines without comments, strings and characters; columns stay where they were.
    pub code: Vec<String>,
    /// Which lines are test code.
    pub is_test: Vec<bool>,
}

/// A function with a body.
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its lines, from `fn` to the closing brace, counted from 0.
    pub lines: Range<usize>,
}

impl Source {
    /// Reads a file from its text.
    pub fn new(path: &str, text: &str) -> Source {
        let raw: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let is_test = test_lines(path, &code);
        Source {
            path: path.to_owned(),
            raw,
            code,
            is_test,
        }
    }

    /// The folder or file below `src` that the file belongs to (`log`, `limits`, ...).
    pub fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        Some(below.split('/').next()?.trim_end_matches(".rs"))
    }

    /// The path of its module inside the crate: `src/log/segment.rs` is `[log, segment]`.
    pub fn module_path(&self) -> Vec<&str> {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let mut parts: Vec<&str> = below.trim_end_matches(".rs").split('/').collect();
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        parts
    }

    /// True if the whole file is test code.
    pub fn is_test_file(&self) -> bool {
        is_test_path(&self.path)
    }

    /// Lines of code that is not test code, with their numbers counted from 1.
    pub fn production_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.code.iter().zip(&self.is_test).enumerate();
        lines
            .filter(|(_, (_, is_test))| !**is_test)
            .map(|(i, (line, _))| (i + 1, line.as_str()))
    }

    /// Every function that has a body.
    pub fn functions(&self) -> Vec<Function> {
        let text = self.code.join("\n");
        let mut found = Vec::new();
        for at in words(&text, "fn") {
            let rest = &text[at + 2..];
            let name: String = rest
                .trim_start()
                .chars()
                .take_while(|c| is_word(*c))
                .collect();
            let Some(open) = body_start(rest).filter(|_| !name.is_empty()) else {
                continue;
            };
            let end = closing_brace(&text, at + 2 + open);
            found.push(Function {
                name,
                lines: line_of(&text, at)..line_of(&text, end) + 1,
            });
        }
        found
    }
}

/// True for a character of an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The positions at which `needle` stands in `text` as a whole word.
pub fn words<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(needle)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let before = text[..at].chars().next_back();
            let after = text[at + needle.len()..].chars().next();
            let free_before = !needle.starts_with(is_word) || !before.is_some_and(is_word);
            free_before && !(needle.ends_with(is_word) && after.is_some_and(is_word))
        })
}

/// The line, counted from 0, of a position in a text.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count()
}

/// The first names of a path or of a braced group of paths that starts here: `a::b` gives `a`,
/// `{a::b, c}` gives both.
pub fn first_names(rest: &str) -> Vec<String> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else {
        return vec![rest.chars().take_while(|c| is_word(*c)).collect()];
    };
    let (mut depth, mut fresh, mut names) = (1, true, Vec::new());
    let mut chars = group.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && is_word(c) => {
                let name: String = group[at..].chars().take_while(|c| is_word(*c)).collect();
                chars.by_ref().take(name.chars().count() - 1).for_each(drop);
                names.push(name);
                fresh = false;
            }
            _ => {}
        }
    }
    names
}

/// True if everything below this path is test code.
fn is_test_path(path: &str) -> bool {
    ["tests/", "benches/", "perf/"]
        .iter()
        .any(|folder| path.starts_with(folder))
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
}

/// Where the body of a function starts, seen from behind `fn`; `None` for a declaration or a
/// pointer type.
fn body_start(rest: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 0 => return None,
            ')' | ']' => depth -= 1,
            ';' | '}' if depth == 0 => return None,
            '{' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// The position of the brace that closes the one at `open`.
fn closing_brace(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + at;
        }
    }
    text.len()
}

fn test_lines(path: &str, code: &[String]) -> Vec<bool> {
    let mut is_test = vec![is_test_path(path); code.len()];
    let text = code.join("\n");
    for (at, _) in text.match_indices("#[cfg(test)]") {
        let after = at + "#[cfg(test)]".len();
        let Some(stop) = text[after..].find(['{', ';']).map(|stop| after + stop) else {
            continue;
        };
        let end = if text[stop..].starts_with('{') {
            closing_brace(&text, stop)
        } else {
            stop
        };
        for line in &mut is_test[line_of(&text, at)..=line_of(&text, end)] {
            *line = true;
        }
    }
    is_test
}

/// The text with comments, strings and characters replaced by blanks, line by line and column by
/// column.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(
            chars[at..end]
                .iter()
                .map(|c| if *c == '\n' { '\n' } else { ' ' }),
        );
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let starts = |word: &str| {
        word.chars()
            .enumerate()
            .all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    if starts("//") {
        return find(chars, at, '\n');
    }
    if starts("/*") {
        return comment_end(chars, at);
    }
    if starts("\"") {
        return string_end(chars, at + 1);
    }
    let in_word = at > 0 && is_word(chars[at - 1]);
    if !in_word && (starts("r\"") || starts("r#") || starts("br\"") || starts("br#")) {
        return raw_string_end(chars, at);
    }
    if starts("'\\") {
        return (find(chars, at + 3, '\'') + 1).min(chars.len());
    }
    if starts("'") && chars.get(at + 2) == Some(&'\'') {
        return at + 3;
    }
    at
}

fn find(chars: &[char], from: usize, wanted: char) -> usize {
    (from..chars.len())
        .find(|&i| chars[i] == wanted)
        .unwrap_or(chars.len())
}

fn comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let start = find(chars, at, 'r') + 1;
    let hashes = chars[start..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + hashes) != Some(&'"') {
        return at;
    }
    let mut i = start + hashes + 1;
    while i < chars.len() {
        let closes = chars[i] == '"' && chars[i + 1..].iter().take(hashes).all(|c| *c == '#');
        if closes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    chars.len()
}
