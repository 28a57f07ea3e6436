// SPDX-License-Identifier: Apache-2.0
//! Settings: text to validated values. Topic settings, broker settings, and the file and flags of a
//! server.
//!
//! Owns: names, text forms, defaults, bounds and descriptions of every setting.
//! Invariants: whatever leaves this folder as a typed value is inside its bounds; a refusal is a
//! sentence that names the setting and says what is allowed. No file or environment is read here:
//! the shell hands in their text.
//! Runs on: every core (plain functions over static tables). Bounded by: the tables and the text
//! handed in.

pub mod broker;
mod broker_table;
pub mod cleaner;
pub mod connections;
pub mod definition;
pub mod given;
pub mod groups;
pub mod layers;
mod nearest;
pub mod printed;
pub mod properties;
pub mod quotas;
pub mod server;
pub mod single_group;
pub mod size;
mod toml_file;
pub mod topic;
mod topic_table;
pub mod transactions;
