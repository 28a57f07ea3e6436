// SPDX-License-Identifier: Apache-2.0
//! Holds the shape of the tree: who may import whom, what the pure half does without, sizes, heads,
//! names. The rules are in `tidy/file_rules.rs` and `tidy/tree_rules.rs`, what is excused in
//! `tidy/exceptions.rs`.

#[path = "tidy/exceptions.rs"]
mod exceptions;
#[path = "tidy/file_rules.rs"]
mod file_rules;
#[path = "tidy/self_test.rs"]
mod self_test;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree_rules.rs"]
mod tree_rules;

use std::fs;
use std::path::Path;

use file_rules::FILE_LINES_SOFT_MAX;
use source::Source;
use tree_rules::Text;

/// Kinds of text that the rules read.
const TEXT_ENDINGS: &[&str] = &[
    "md",
    "toml",
    "sh",
    "py",
    "txt",
    "fbs",
    "yml",
    "jsonl",
    "properties",
    "run",
];

/// Folders that hold no text of the project.
const SKIPPED: &[&str] = &[
    "target",
    ".git",
    "furlong-data",
    "corpus",
    "artifacts",
    "__pycache__",
];

#[test]
fn the_tree_is_tidy() {
    let (mut sources, mut texts) = (Vec::new(), Vec::new());
    read_tree(
        Path::new(env!("CARGO_MANIFEST_DIR")),
        "",
        &mut sources,
        &mut texts,
    );
    assert!(
        sources.len() > 10 && texts.len() > 1,
        "the tree was not found"
    );
    for source in sources.iter().filter(|s| s.raw.len() > FILE_LINES_SOFT_MAX) {
        println!(
            "{}: {} lines, better under {FILE_LINES_SOFT_MAX}",
            source.path,
            source.raw.len()
        );
    }
    let mut found: Vec<_> = sources.iter().flat_map(file_rules::check).collect();
    found.extend(tree_rules::check(&sources, &texts));
    let complaints = exceptions::judge(found, exceptions::EXCEPTIONS);
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

/// Reads every text file below a folder, in the order of their names.
fn read_tree(root: &Path, below: &str, sources: &mut Vec<Source>, texts: &mut Vec<Text>) {
    let entries = fs::read_dir(root.join(below)).expect("the folder is there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read"))
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path().is_dir(),
            )
        })
        .filter(|(name, _)| !SKIPPED.contains(&name.as_str()))
        .collect();
    names.sort();
    for (name, is_folder) in names {
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let ending = name.rsplit('.').next().unwrap_or("");
        if is_folder {
            read_tree(root, &path, sources, texts);
        } else if ending == "rs" {
            let text = fs::read_to_string(root.join(&path)).expect("source is UTF-8");
            sources.push(Source::new(&path, &text));
        } else if TEXT_ENDINGS.contains(&ending) {
            let text = fs::read_to_string(root.join(&path)).expect("text is UTF-8");
            texts.push(Text { path, text });
        }
    }
}
