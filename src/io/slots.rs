// SPDX-License-Identifier: Apache-2.0
//! A table of operations under way, addressed by the small number that travels through the kernel.
//!
//! Owns: whatever an operation needs until its completion. Invariants: an index is given out again
//! only after `take`.
//! Runs on: one executor. Bounded by: the askers, each of whom bounds what it has under way.

/// A table of values with stable small indices.
#[derive(Debug)]
pub struct Slots<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    /// An empty table.
    pub fn new() -> Slots<T> {
        Slots {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Stores a value and says where.
    pub fn insert(&mut self, value: T) -> u32 {
        self.insert_with(|_| value)
    }

    /// Stores a value that knows its own index.
    pub fn insert_with(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.entries[place(index)] = Some(make(index));
            return index;
        }
        let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 entries fit memory");
        self.entries.push(Some(make(index)));
        index
    }

    /// The value at an index, if there is one.
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.entries.get_mut(place(index))?.as_mut()
    }

    /// Removes the value at an index.
    pub fn take(&mut self, index: u32) -> Option<T> {
        let value = self.entries.get_mut(place(index))?.take();
        if value.is_some() {
            self.free.push(index);
        }
        value
    }

    /// Every index that may hold a value.
    pub fn indexes(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.entries.len()).expect("checked when it grew")
    }

    /// How many values are stored.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

fn place(index: u32) -> usize {
    usize::try_from(index).expect("usize has at least 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_reused_only_after_it_was_taken() {
        let mut slots = Slots::new();
        let first = slots.insert("a");
        let second = slots.insert("b");
        assert_ne!(first, second);
        assert_eq!(slots.len(), 2);
        assert_eq!(slots.take(first), Some("a"));
        assert_eq!(slots.take(first), None);
        assert_eq!(slots.insert("c"), first);
        assert_eq!(slots.get_mut(second), Some(&mut "b"));
        assert_eq!(slots.get_mut(99), None);
    }
}
