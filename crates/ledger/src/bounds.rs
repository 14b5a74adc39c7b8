//! What no honest witness goes beyond. A number past these is a mistake or malice, and sums of it would be of no use to anybody.

use std::ops::RangeInclusive;

use crate::UnixMs;

/// More than anybody's tokens, bytes or milliseconds.
pub const LARGEST_COUNT: u64 = 1_000_000_000_000;
/// A million dollars, in nano-USD.
pub const LARGEST_AMOUNT: u64 = 1_000_000_000_000_000;
/// Times that a calendar has: the years 1 to 9999.
pub const TIMES: RangeInclusive<UnixMs> = -62_135_596_800_000..=253_402_300_799_999;
