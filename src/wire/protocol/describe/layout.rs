// SPDX-License-Identifier: Apache-2.0
//! The rules of a field, and a whole message as data.
//!
//! Owns: [`Rules`] and the [`Layout`] that tests and tools walk.
//! Invariants: constants only; a tagged field is tagged in all of its versions.
//! Runs on: every core (constants). Bounded by: the descriptions.

/// In which versions a field exists and how it is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    since: i16,
    until: i16,
    nullable_since: Option<i16>,
    tag: Option<u32>,
    ignorable: bool,
    max: usize,
}

/// The rules of a field that exists from `version` on.
#[must_use]
pub const fn since(version: i16) -> Rules {
    Rules {
        since: version,
        until: i16::MAX,
        nullable_since: None,
        tag: None,
        ignorable: false,
        max: 0,
    }
}

impl Rules {
    /// The field exists up to `version`, inclusive.
    #[must_use]
    pub const fn until(mut self, version: i16) -> Rules {
        self.until = version;
        self
    }

    /// The field may be null from `version` on.
    #[must_use]
    pub const fn nullable(mut self, version: i16) -> Rules {
        self.nullable_since = Some(version);
        self
    }

    /// The field is written as a tagged field, and only where it is not its default.
    #[must_use]
    pub const fn tag(mut self, tag: u32) -> Rules {
        self.tag = Some(tag);
        self
    }

    /// A value that a version cannot express is left out; without this it is an error.
    #[must_use]
    pub const fn ignorable(mut self) -> Rules {
        self.ignorable = true;
        self
    }

    /// The largest number of elements that is accepted.
    #[must_use]
    pub const fn max(mut self, elements: usize) -> Rules {
        self.max = elements;
        self
    }

    /// True where the field exists in `version`, tagged or not.
    #[must_use]
    pub const fn covers(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }

    /// True where the field stands in the body of `version`.
    #[must_use]
    pub const fn in_body(&self, version: i16) -> bool {
        self.tag.is_none() && self.covers(version)
    }

    /// True where the field of `version` may be null.
    #[must_use]
    pub const fn is_nullable(&self, version: i16) -> bool {
        match self.nullable_since {
            Some(since) => since <= version,
            None => false,
        }
    }

    /// True where `version` may leave out a value that is not the default.
    #[must_use]
    pub const fn is_ignorable(&self) -> bool {
        self.ignorable
    }

    /// The tag of a tagged field.
    #[must_use]
    pub const fn tag_number(&self) -> Option<u32> {
        self.tag
    }

    /// The largest number of elements of an array field.
    #[must_use]
    pub const fn elements_max(&self) -> usize {
        self.max
    }
}

/// The type of a field on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One byte, 0 or 1.
    Bool,
    /// One byte.
    Int8,
    /// Two bytes.
    Int16,
    /// Two bytes without a sign.
    Uint16,
    /// Four bytes.
    Int32,
    /// Eight bytes.
    Int64,
    /// Eight bytes, a floating-point number.
    Float64,
    /// Sixteen bytes.
    Uuid,
    /// Text behind a length.
    String,
    /// Bytes or records behind a length.
    Bytes,
    /// Elements behind a count.
    Array(&'static Kind),
    /// Fields in order.
    Struct(&'static Layout),
    /// Fields in order behind a mark that says whether they follow.
    NullableStruct(&'static Layout),
}

/// One field of a message as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its rules.
    pub rules: Rules,
}

/// A message or a part of one as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its name.
    pub name: &'static str,
    /// Its fields in the order of the wire; the tagged ones among them by rising tag.
    pub fields: &'static [Field],
}
