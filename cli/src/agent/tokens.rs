//! How many tokens a text has, as far as that can be known without the model's own vocabulary.
//!
//! At first three bytes are taken for a token, which is on the safe side for most languages and models. Each answer of
//! an endpoint says how many tokens the prompt really had; from then on that ratio counts, more at once if there were
//! more than thought, and less only by and by.

/// Bytes of a token before anything is known.
const FIRST: f64 = 3.0;
/// What a model can plausibly have: a token for each byte and its marks, or one for a long word.
const PLAUSIBLE: (f64, f64) = (0.5, 6.0);
/// What a message of a prompt costs beside its text.
const PER_MESSAGE: u32 = 8;

/// An estimate that learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tokens {
    bytes: f64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { bytes: FIRST }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "estimates of texts that are far below the limits of these types"
)]
impl Tokens {
    /// About how many tokens a message with this text has.
    pub(crate) fn of(&self, text: &str) -> u32 {
        (text.len() as f64 / self.bytes).ceil() as u32 + PER_MESSAGE
    }

    /// About how many bytes so many tokens have, but for what a message costs beside its text.
    pub(crate) fn bytes(&self, tokens: u32) -> usize {
        (f64::from(tokens.saturating_sub(PER_MESSAGE)) * self.bytes) as usize
    }

    /// A prompt of so many messages and bytes had so many tokens.
    pub(crate) fn learn(&mut self, messages: usize, bytes: usize, tokens: u32) {
        let marks = PER_MESSAGE.saturating_mul(u32::try_from(messages).unwrap_or(u32::MAX));
        let text = tokens.saturating_sub(marks).max(1);
        let seen = (bytes as f64 / f64::from(text)).clamp(PLAUSIBLE.0, PLAUSIBLE.1);
        self.bytes = seen.min((self.bytes + seen) / 2.0);
    }

    /// A prompt had more tokens than there was room for, although it should not have had.
    pub(crate) fn too_long(&mut self) {
        self.bytes = (self.bytes / 2.0).max(PLAUSIBLE.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tokens_than_thought_count_at_once_and_fewer_by_and_by() {
        let mut tokens = Tokens::default();
        assert_eq!(tokens.of(&"x".repeat(300)), 108);
        tokens.learn(2, 1000, 1016);
        assert_eq!(tokens.of(&"x".repeat(300)), 308);
        tokens.learn(2, 1000, 216);
        assert_eq!(tokens.of(&"x".repeat(300)), 108);
        tokens.too_long();
        assert_eq!(tokens.of(&"x".repeat(300)), 208);
    }

    #[test]
    fn bytes_and_tokens_fit_together() {
        let tokens = Tokens::default();
        for count in [8, 9, 100, 1000] {
            assert!(tokens.of(&"x".repeat(tokens.bytes(count))) <= count, "{count}");
        }
        assert_eq!(tokens.bytes(3), 0);
    }

    #[test]
    fn nonsense_from_an_endpoint_stays_plausible() {
        let mut tokens = Tokens::default();
        tokens.learn(1, 0, 0);
        tokens.learn(9, 10, u32::MAX);
        tokens.learn(usize::MAX, usize::MAX, 1);
        for _ in 0..9 {
            tokens.too_long();
        }
        assert_eq!(tokens.of(&"x".repeat(100)), 208);
    }
}
