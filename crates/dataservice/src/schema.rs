//! What a value is: told of each value, and declared of a key.
//!
//! A schema says of what kind a value is and which shape it has, so that a key's writer who sends
//! something else is refused at once, and not by a plot an hour later. It is two words and a few
//! numbers: comparing it costs nothing beside a commit. It deliberately knows no unit, no range
//! and no nested structure.

use std::fmt;
use std::sync::Arc;

use buffer_core::Shape;
use thiserror::Error;

use crate::{Element, Frame};

/// The kind and the shape of a value.
///
/// ```
/// use dataservice::{Described, Schema, Shape};
///
/// let image = Schema::frame::<f32>(Shape::new(&[512, 512])?);
/// assert_eq!(image.to_string(), "f32[512, 512]");
///
/// let mismatch = image.mismatch(&0.5_f32.schema()).expect("a number is no image");
/// assert_eq!(mismatch.to_string(), "kind is f32, expected frame of f32");
/// # Ok::<(), dataservice::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Schema {
    kind: Kind,
    shape: Shape,
}

/// What a value consists of, under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A single value, for instance `f64` or `text`.
    Single(&'static str),
    /// A frame of such elements.
    Frame(&'static str),
}

/// How a value differs from what was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// It is of another kind.
    #[error("kind is {got}, expected {expected}")]
    Kind {
        /// What was declared.
        expected: Kind,
        /// What came.
        got: Kind,
    },
    /// It has another shape.
    #[error("shape is {got}, expected {expected}")]
    Shape {
        /// What was declared.
        expected: Extents,
        /// What came.
        got: Extents,
    },
}

/// The extents of a shape, to be named in an error: half as large as a [`Shape`], since every
/// result of a put has room for two of them. An extent beyond `u32::MAX` is told as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extents {
    extents: [u32; Shape::RANK_MAX],
    rank: u8,
}

impl From<Shape> for Extents {
    fn from(shape: Shape) -> Self {
        let mut extents = [1; Shape::RANK_MAX];
        for (told, extent) in extents.iter_mut().zip(shape.extents()) {
            *told = u32::try_from(*extent).unwrap_or(u32::MAX);
        }
        Self {
            extents,
            // At most RANK_MAX, which fits.
            rank: shape.extents().len() as u8,
        }
    }
}

impl fmt::Display for Extents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", &self.extents[..usize::from(self.rank)])
    }
}

/// A value that can tell what it is.
///
/// Implemented for the numbers, truth values and text, for frames, and for what is shared or boxed
/// of these. Not for `Option`: what is absent has no shape, so that the type that may be absent has
/// to say what it would be. An enum tells the schema of the variant that it is:
///
/// ```
/// use dataservice::{Described, Frame, Schema};
///
/// enum Value {
///     Number(f64),
///     Image(Frame<u16>),
/// }
///
/// impl Described for Value {
///     fn schema(&self) -> Schema {
///         match self {
///             Self::Number(number) => number.schema(),
///             Self::Image(image) => image.schema(),
///         }
///     }
/// }
/// assert_eq!(Value::Number(0.5).schema(), Schema::single("f64"));
/// ```
pub trait Described {
    /// What it is. Constant; called for every value of a service that was told to check.
    fn schema(&self) -> Schema;
}

impl Schema {
    /// A single value of a kind of this name.
    #[must_use]
    pub const fn single(kind: &'static str) -> Self {
        Self {
            kind: Kind::Single(kind),
            shape: Shape::SCALAR,
        }
    }

    /// A frame of such elements.
    #[must_use]
    pub const fn frame<E: Element>(shape: Shape) -> Self {
        Self {
            kind: Kind::Frame(E::NAME),
            shape,
        }
    }

    /// What the value consists of.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The shape of a frame; that of a scalar for anything else.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// How a value of the schema `got` differs from this one; `None` if it does not.
    #[must_use]
    pub fn mismatch(&self, got: &Self) -> Option<Mismatch> {
        if self.kind != got.kind {
            return Some(Mismatch::Kind {
                expected: self.kind,
                got: got.kind,
            });
        }
        (self.shape != got.shape).then_some(Mismatch::Shape {
            expected: self.shape.into(),
            got: got.shape.into(),
        })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Single(name) => out.write_str(name),
            Kind::Frame(element) => write!(out, "{element}{:?}", self.shape.extents()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(name) => out.write_str(name),
            Self::Frame(element) => write!(out, "frame of {element}"),
        }
    }
}

macro_rules! single {
    ($($kind:literal: $($value:ty)*;)*) => {$($(
        impl Described for $value {
            #[inline]
            fn schema(&self) -> Schema {
                const { Schema::single($kind) }
            }
        }
    )*)*};
}

single! {
    "f32": f32;
    "f64": f64;
    "i8": i8;
    "i16": i16;
    "i32": i32;
    "i64": i64;
    "u8": u8;
    "u16": u16;
    "u32": u32;
    "u64": u64;
    "bool": bool;
    "text": str String;
}

impl<E: Element> Described for Frame<E> {
    #[inline]
    fn schema(&self) -> Schema {
        Schema::frame::<E>(self.shape())
    }
}

macro_rules! transparent {
    ($($pointer:ty)*) => {$(
        impl<T: Described + ?Sized> Described for $pointer {
            #[inline]
            fn schema(&self) -> Schema {
                (**self).schema()
            }
        }
    )*};
}

transparent!(&T Arc<T> Box<T>);
