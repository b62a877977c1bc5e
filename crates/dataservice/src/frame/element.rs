//! The numbers that frames consist of.

use std::fmt;

use buffer_core::Number;

/// A number that a frame can be made, described and summed of: the integers up to 64 bits and both
/// floats.
pub trait Element:
    Number + Default + PartialEq + PartialOrd + fmt::Debug + sealed::Element
{
    /// What Rust calls it, for instance `f32`.
    const NAME: &'static str;

    /// The nearest `f64`; the same number but for integers beyond 2⁵³.
    #[must_use]
    fn to_f64(self) -> f64;
}

pub(super) mod sealed {
    pub trait Element: Sized {
        /// Whether adding and taking away such numbers in `f64` is free of rounding, as it is as
        /// long as every sum is a whole number below 2⁵³.
        const SUMS_EXACTLY: bool;

        /// Whether none is NaN or infinite.
        fn all_finite(elements: &[Self]) -> bool;
    }
}

macro_rules! integers {
    ($exactly:literal: $($number:ty)*) => {$(
        impl sealed::Element for $number {
            const SUMS_EXACTLY: bool = $exactly;

            #[inline(always)]
            fn all_finite(_elements: &[Self]) -> bool {
                true
            }
        }

        impl Element for $number {
            const NAME: &'static str = stringify!($number);

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

integers!(true: i8 i16 i32 u8 u16 u32);
integers!(false: i64 u64);

macro_rules! floats {
    ($($number:ty)*) => {$(
        impl sealed::Element for $number {
            const SUMS_EXACTLY: bool = false;

            #[inline(always)]
            fn all_finite(elements: &[Self]) -> bool {
                // The exponent of what is not finite is all ones. No early exit: this way the
                // compiler compares many elements at once.
                const EXPONENT: <$number as Bits>::Bits = <$number>::INFINITY.to_bits();
                let odd = |element: &$number| element.to_bits() & EXPONENT == EXPONENT;
                !elements.iter().fold(false, |any, element| any | odd(element))
            }
        }

        impl Element for $number {
            const NAME: &'static str = stringify!($number);

            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
        }
    )*};
}

/// The integer as wide as a float.
trait Bits {
    type Bits;
}

impl Bits for f32 {
    type Bits = u32;
}

impl Bits for f64 {
    type Bits = u64;
}

floats!(f32 f64);
