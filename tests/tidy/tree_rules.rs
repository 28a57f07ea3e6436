// SPDX-License-Identifier: Apache-2.0
//! Rules that take the whole tree to check: the map, reachable files, names of tests, words of one
//! machine.

use std::collections::{BTreeMap, BTreeSet};

use crate::file_rules::Violation;
use crate::source::{Source, is_word};

/// A text file that is not Rust.
pub struct Text {
    /// Relative to the package, separated by `/`.
    pub path: String,
    /// Its contents.
    pub text: String,
}

/// Everything that is wrong with the tree as a whole.
pub fn check(sources: &[Source], texts: &[Text]) -> Vec<Violation> {
    let mut found = code_map(sources);
    found.extend(unreachable_files(sources, texts));
    found.extend(test_names(sources));
    for source in sources {
        found.extend(machine_words(
            &source.path,
            source.raw.iter().map(String::as_str),
        ));
    }
    for text in texts {
        found.extend(machine_words(&text.path, text.text.lines()));
    }
    found
}

fn violation(path: &str, line: usize, rule: &'static str, message: String) -> Violation {
    Violation {
        path: path.to_owned(),
        line,
        rule,
        message,
    }
}

/// The head of `src/lib.rs` names every folder and file directly below `src`, and nothing that is
/// not there.
fn code_map(sources: &[Source]) -> Vec<Violation> {
    let path = "src/lib.rs";
    let Some(lib) = sources.iter().find(|source| source.path == path) else {
        return Vec::new();
    };
    let docs: Vec<&String> = lib
        .raw
        .iter()
        .filter(|line| line.starts_with("//!"))
        .collect();
    let named: BTreeSet<&str> = docs
        .iter()
        .filter_map(|line| line.split('`').nth(1))
        .filter(|n| is_map_name(n))
        .collect();
    let there: BTreeSet<String> = sources.iter().filter_map(map_name).collect();
    let missing = there.iter().filter(|name| !named.contains(name.as_str()));
    let gone = named.iter().filter(|name| !there.contains(**name));
    missing
        .map(|name| violation(path, 1, "map", format!("the code map must name `{name}`")))
        .chain(
            gone.map(|name| violation(path, 1, "map", format!("`{name}` is named but not there"))),
        )
        .collect()
}

fn is_map_name(name: &str) -> bool {
    name.strip_suffix('/')
        .or(name.strip_suffix(".rs"))
        .is_some_and(|stem| stem.chars().all(is_word))
}

fn map_name(source: &Source) -> Option<String> {
    let below = source
        .path
        .strip_prefix("src/")
        .filter(|below| *below != "lib.rs")?;
    Some(
        below
            .split_once('/')
            .map_or(below.to_owned(), |(folder, _)| format!("{folder}/")),
    )
}

/// A file that no other file declares is dead: the compiler never sees it.
fn unreachable_files(sources: &[Source], texts: &[Text]) -> Vec<Violation> {
    let declared: BTreeSet<String> = sources.iter().flat_map(declared_files).collect();
    let manifests: Vec<&Text> = texts
        .iter()
        .filter(|text| text.path.ends_with("Cargo.toml"))
        .collect();
    let is_target = |path: &str| {
        manifests.iter().any(|manifest| {
            let folder = manifest.path.trim_end_matches("Cargo.toml");
            path.strip_prefix(folder).is_some_and(|below| {
                ["src/lib.rs", "src/main.rs"].contains(&below)
                    || manifest.text.contains(&format!("\"{below}\""))
            })
        })
    };
    sources
        .iter()
        .filter(|source| !declared.contains(&source.path) && !is_target(&source.path))
        .map(|source| {
            violation(
                &source.path,
                1,
                "dead-file",
                "no file declares this one".into(),
            )
        })
        .collect()
}

/// Every path at which a `mod name;` of this file may be found.
fn declared_files(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let mut found = Vec::new();
    for (code, raw) in source.code.iter().zip(&source.raw) {
        let code = code.trim();
        let name = code
            .strip_suffix(';')
            .and_then(|code| code.rsplit_once("mod "));
        if let Some((_, name)) = name.filter(|(_, name)| name.chars().all(is_word)) {
            let own = file.trim_end_matches(".rs");
            for base in [folder.to_owned(), format!("{folder}/{own}")] {
                found.push(format!("{base}/{name}.rs"));
                found.push(format!("{base}/{name}/mod.rs"));
            }
        }
        if code.starts_with("#[path") {
            found.extend(raw.split('"').nth(1).map(|path| format!("{folder}/{path}")));
        }
    }
    found
}

/// A failing test is named by its last word in many places, so no two tests of the tree share a
/// name.
fn test_names(sources: &[Source]) -> Vec<Violation> {
    let mut first: BTreeMap<String, String> = BTreeMap::new();
    let mut found = Vec::new();
    for source in sources {
        for (line, name) in tests_of(source) {
            if !name.contains('_') {
                let message = format!("the test `{name}` must say what it holds");
                found.push(violation(&source.path, line, "test-name", message));
            }
            let name = format!("{}::{name}", stem(&source.path));
            if let Some(other) = first.get(&name) {
                let message = format!("a test `{name}` is in {other} too");
                found.push(violation(&source.path, line, "test-name", message));
            }
            first.insert(name, source.path.clone());
        }
    }
    found
}

/// The name of the file that says something: that of its folder for `mod.rs`, `tests.rs` and
/// `main.rs`.
fn stem(path: &str) -> &str {
    let mut parts = path.trim_end_matches(".rs").rsplit('/');
    parts
        .find(|part| !["mod", "tests", "main"].contains(part))
        .unwrap_or(path)
}

fn tests_of(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut marked = false;
    for (i, line) in source.code.iter().enumerate() {
        let line = line.trim();
        marked |= line == "#[test]";
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            found.push((i + 1, rest.chars().take_while(|c| is_word(*c)).collect()));
            marked = false;
        }
    }
    found
}

/// Paths that exist on one machine only.
fn machine_words<'a>(path: &str, lines: impl Iterator<Item = &'a str>) -> Vec<Violation> {
    let places = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tmp", "/"),
    ];
    let mut found = Vec::new();
    for (i, line) in lines.enumerate() {
        for place in places.iter().filter(|place| line.contains(**place)) {
            let message = format!("`{place}` is a place on one machine");
            found.push(violation(path, i + 1, "machine", message));
        }
    }
    found
}
