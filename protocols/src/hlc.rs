//! The hybrid logical clock: wall time in milliseconds with a counter that breaks ties.
//!
//! It orders what people read. Authority never comes from it: who may speak and what counts is decided by
//! certificates, chains and dependencies.
//!
//! Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks" (OPODIS 2014), in the form with a
//! 48-bit physical and a 16-bit logical part.

/// A clock value: 48 bits of milliseconds since 1970, 16 bits of counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(u64);

impl Hlc {
    /// Wraps the wire form.
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }

    /// The wire form.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Returns the first value of this millisecond.
    pub const fn at(milliseconds: u64) -> Self {
        Self(milliseconds << 16)
    }

    /// The physical part, in milliseconds since 1970.
    pub const fn milliseconds(self) -> u64 {
        self.0 >> 16
    }

    /// Returns the value for a new event at `now`: after everything seen so far, and at least the wall clock.
    #[must_use]
    pub fn next(self, now_milliseconds: u64) -> Self {
        Self::at(now_milliseconds).max(Self(self.0.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_on_when_the_wall_clock_steps_back() {
        let before = Hlc::at(1_000).next(1_000);
        let after = before.next(10);
        assert!(after > before);
        assert_eq!(after.milliseconds(), 1_000);
    }

    #[test]
    fn it_follows_the_wall_clock() {
        assert_eq!(Hlc::at(5).next(9), Hlc::at(9));
    }
}
