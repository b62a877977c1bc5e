//! Values as numbers.

/// A value that can be summed up, thinned out for a plot, or compared with the one before it.
///
/// Numbers, `bool` (1 and 0) and options of them are; implement it for values of your own.
/// Integers beyond ±2⁵³ are rounded, as an `f64` rounds them.
///
/// ```
/// use dataservice::Measure;
///
/// #[derive(Clone)]
/// enum Reading {
///     Celsius(f64),
///     Offline,
/// }
///
/// impl Measure for Reading {
///     fn measure(&self) -> Option<f64> {
///         match self {
///             Self::Celsius(degrees) => Some(*degrees),
///             Self::Offline => None,
///         }
///     }
/// }
///
/// assert_eq!(Reading::Celsius(21.5).measure(), Some(21.5));
/// assert!(Reading::Offline.measure().is_none() && 3_u32.is_count());
/// ```
pub trait Measure {
    /// The number that it stands for. `None` is treated like NaN: it is there, and no number.
    fn measure(&self) -> Option<f64>;

    /// Whether it counts something, such as parts made since the last update, so that a sum tells
    /// more than a mean. Unsigned integers do.
    fn is_count(&self) -> bool {
        false
    }
}

macro_rules! measures {
    ($($number:ty, $is_count:literal, $value:ident => $measure:expr;)*) => {$(
        impl Measure for $number {
            fn measure(&self) -> Option<f64> {
                let $value = *self;
                Some($measure)
            }

            fn is_count(&self) -> bool {
                $is_count
            }
        }
    )*};
}

measures! {
    f64, false, value => value;
    f32, false, value => f64::from(value);
    bool, false, value => f64::from(u8::from(value));
    i8, false, value => f64::from(value);
    i16, false, value => f64::from(value);
    i32, false, value => f64::from(value);
    i64, false, value => value as f64;
    isize, false, value => value as f64;
    u8, true, value => f64::from(value);
    u16, true, value => f64::from(value);
    u32, true, value => f64::from(value);
    u64, true, value => value as f64;
    usize, true, value => value as f64;
}

impl<T: Measure> Measure for Option<T> {
    fn measure(&self) -> Option<f64> {
        self.as_ref()?.measure()
    }

    fn is_count(&self) -> bool {
        self.as_ref().is_some_and(T::is_count)
    }
}
