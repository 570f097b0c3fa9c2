//! Pages of lists: so many rows at most, and no more bytes than one answer may have.
//!
//! A list has an order. Whoever reads it in pages gives the `next` of one page as the `after` of the next one, and misses
//! nothing that was there all the time.

use fedp2p_protocols::api::{Error, ErrorCode};
use fedp2p_protocols::limits::{MAX_PAGE, MAX_PAGE_BYTES};
use serde::Serialize;

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    /// How many more there are.
    pub(crate) more: u64,
    /// What the next page comes after; absent at the end.
    pub(crate) next: Option<String>,
}

/// Checks how many rows are asked for.
///
/// # Errors
/// If it is none or too many.
pub(crate) fn check_limit(limit: u32) -> Result<u32, Error> {
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::new(ErrorCode::Invalid, format!("a limit is 1 to {MAX_PAGE}, not {limit}"))
        .hint("read a long list in pages"))
}

/// Shows the first of `keys`, which are in the order of the list and begin after the page before. `name` is what the next
/// page comes after.
///
/// # Errors
/// If `limit` is none or too many.
pub(crate) fn page<K, T: Serialize>(
    keys: impl IntoIterator<Item = K>,
    limit: Option<u32>,
    show: impl Fn(K) -> Option<T>,
    name: impl Fn(&T) -> String,
) -> Result<Page<T>, Error> {
    let limit = check_limit(limit.unwrap_or(MAX_PAGE))? as usize;
    let mut room = Room::default();
    let (mut rows, mut more): (Vec<T>, u64) = (Vec::new(), 0);
    let mut keys = keys.into_iter();
    for key in keys.by_ref() {
        let Some(row) = show(key) else { continue };
        if rows.len() == limit || !room.takes(&row) {
            more = 1;
            break;
        }
        rows.push(row);
    }
    more += keys.count() as u64;
    let next = rows.last().filter(|_| more > 0).map(name);
    Ok(Page { rows, more, next })
}

/// The room for rows in one answer.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: usize,
}

impl Room {
    /// Whether there is room for one more row. There is for the first one.
    pub(crate) fn takes<T: Serialize>(&mut self, row: &T) -> bool {
        // What cannot be written now fails when it is sent.
        let bytes = serde_json::to_vec(row).map_or(0, |json| json.len());
        let fits = self.bytes == 0 || self.bytes + bytes <= MAX_PAGE_BYTES;
        self.bytes += if fits { bytes } else { 0 };
        fits
    }
}

/// What does not name a place in a list.
pub(crate) fn no_place(after: &str, what: &str) -> Error {
    Error::new(ErrorCode::Invalid, format!("{after:?} is no place in the list of {what}"))
        .hint("give the \"next\" of the page before, or begin again without")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(of: &[String], limit: Option<u32>) -> Vec<Vec<String>> {
        let (mut pages, mut after) = (Vec::new(), None::<String>);
        loop {
            let rest = of.iter().filter(|row| after.as_ref().is_none_or(|after| *row > after));
            let page = page(rest, limit, |row| Some(row.clone()), Clone::clone).unwrap();
            let shown: usize = pages.iter().map(Vec::len).sum::<usize>() + page.rows.len();
            assert_eq!(page.more as usize, of.len() - shown);
            pages.push(page.rows);
            match page.next {
                Some(next) => after = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn the_pages_of_a_list_are_the_list() {
        let list: Vec<String> = (0..25).map(|number| format!("{number:02}")).collect();
        assert_eq!(pages(&list, Some(10)).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(pages(&list, Some(10)).concat(), list);
        assert_eq!(pages(&list, None).len(), 1);
        assert_eq!(pages(&[], None), [Vec::<String>::new()]);
    }

    #[test]
    fn a_page_has_no_more_bytes_than_an_answer_may() {
        let list: Vec<String> =
            (0..9).map(|number| format!("{number}{}", "x".repeat(MAX_PAGE_BYTES / 2 - 100))).collect();
        assert_eq!(pages(&list, None).iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2, 1]);
        let whole = ["x".repeat(2 * MAX_PAGE_BYTES)];
        assert_eq!(pages(&whole, None), [&whole]);
    }

    #[test]
    fn a_limit_is_within_bounds() {
        for limit in [0, MAX_PAGE + 1] {
            assert!(page(["a"], Some(limit), Some, ToString::to_string).is_err_and(|error| error.hint.is_some()));
        }
    }
}
