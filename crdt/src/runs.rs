//! Reads the numbers and run lengths that Automerge's columns are made of, with a bound on what they expand to.
//!
//! The scan uses it on bytes that nobody has checked yet. Nothing here allocates more than the given limit.

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunError {
    /// They end early or are not what the format says.
    Malformed,
    /// They expand to more than the limit.
    TooMany,
}

/// A cursor over bytes; every method returns nothing where the bytes end early or break the format.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet.
    pub(crate) fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `count` bytes.
    pub(crate) fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let count = usize::try_from(count).ok()?;
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes an unsigned LEB128 number in its shortest form.
    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let overlong = byte == 0 && shift > 0;
                return (!overlong).then_some(value);
            }
        }
        None
    }

    /// Takes a signed LEB128 number in its shortest form.
    pub(crate) fn signed(&mut self) -> Option<i64> {
        let mut value = 0i64;
        let mut previous = 0u8;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 != 0 {
                previous = byte;
                continue;
            }
            if shift == 63 {
                // Only the sign is left for the tenth byte.
                if byte != 0 && byte != 0x7f {
                    return None;
                }
            } else if byte & 0x40 != 0 {
                value |= -1i64 << (shift + 7);
            }
            let sign_before = previous & 0x40 != 0;
            let overlong = shift > 0 && ((byte == 0 && !sign_before) || (byte == 0x7f && sign_before));
            return (!overlong).then_some(value);
        }
        None
    }

    /// Takes a text that is preceded by its length.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.unsigned()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

/// Expands a run-length encoded column, where `read` takes one value.
///
/// # Errors
/// When the column is malformed, and, before anything is expanded, when it holds more than `limit` entries.
pub(crate) fn expand<'a, V: Clone>(
    column: &'a [u8],
    limit: u64,
    mut read: impl FnMut(&mut Reader<'a>) -> Option<V>,
) -> Result<Vec<Option<V>>, RunError> {
    let mut reader = Reader::new(column);
    let mut entries: Vec<Option<V>> = Vec::new();
    let room = |entries: &[Option<V>], count: u64| match count.checked_add(entries.len() as u64) {
        Some(total) if total <= limit => Ok(()),
        _ => Err(RunError::TooMany),
    };
    while !reader.is_empty() {
        let count = reader.signed().ok_or(RunError::Malformed)?;
        if count > 0 {
            room(&entries, count.unsigned_abs())?;
            let value = read(&mut reader).ok_or(RunError::Malformed)?;
            entries.extend((0..count).map(|_| Some(value.clone())));
        } else if count < 0 {
            room(&entries, count.unsigned_abs())?;
            for _ in 0..count.unsigned_abs() {
                entries.push(Some(read(&mut reader).ok_or(RunError::Malformed)?));
            }
        } else {
            let nulls = reader.unsigned().filter(|&n| n > 0).ok_or(RunError::Malformed)?;
            room(&entries, nulls)?;
            entries.extend((0..nulls).map(|_| None));
        }
    }
    Ok(entries)
}

/// Expands a column of differences into the numbers they lead to.
///
/// # Errors
/// As [`expand`]; also where a number is absent, negative or too large.
pub(crate) fn expand_deltas(column: &[u8], limit: u64) -> Result<Vec<u64>, RunError> {
    let mut absolute = 0i64;
    expand(column, limit, Reader::signed)?
        .into_iter()
        .map(|delta| {
            absolute = absolute.checked_add(delta?)?;
            u64::try_from(absolute).ok()
        })
        .collect::<Option<_>>()
        .ok_or(RunError::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_that_is_too_long_is_refused_before_it_is_expanded() {
        // i64::MAX times the number 1.
        let mut column = vec![0xff; 9];
        column.extend([0x00, 1]);
        assert_eq!(expand(&column, 4096, Reader::unsigned), Err(RunError::TooMany));
        // u64::MAX nulls after one literal: the sum does not wrap.
        let mut column = vec![0x7f, 1, 0];
        column.extend([0xff; 9]);
        column.push(1);
        assert_eq!(expand(&column, 4096, Reader::unsigned), Err(RunError::TooMany));
    }

    #[test]
    fn literals_runs_and_nulls_expand_in_order() {
        let column = [0x7e, 5, 6, 3, 7, 0, 2];
        let expected = [Some(5), Some(6), Some(7), Some(7), Some(7), None, None];
        assert_eq!(expand(&column, 7, Reader::unsigned).unwrap(), expected);
        assert_eq!(expand(&column, 6, Reader::unsigned), Err(RunError::TooMany));
    }

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(Reader::new(&[0x81, 0x00]).unsigned(), None);
        assert_eq!(Reader::new(&[0xff, 0x7f]).signed(), None);
        assert_eq!(Reader::new(&[0xbf, 0x00]).signed(), None);
        assert_eq!(Reader::new(&[0xff, 0x00]).signed(), Some(127));
        assert_eq!(Reader::new(&[0x40]).signed(), Some(-64));
        assert_eq!(Reader::new(&[0x80; 11]).unsigned(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.unsigned().is_some() {}
            let mut reader = Reader::new(&bytes);
            while reader.signed().is_some() {}
            let entries = expand(&bytes, 64, Reader::text);
            prop_assert!(entries.is_err() || entries.unwrap().len() <= 64);
            let values = expand_deltas(&bytes, 64);
            prop_assert!(values.is_err() || values.unwrap().len() <= 64);
        }
    }
}
