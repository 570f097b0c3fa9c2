//! Lets a model behind an OpenAI-compatible endpoint do the work.

use std::sync::Mutex;
use std::time::Duration;

use fedp2p_protocols::api::message::Message;
use fedp2p_protocols::api::{self, ErrorCode};
use fedp2p_protocols::name::Address;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::document::Document;
use super::http::{self, Endpoint};
use super::outcome::{Answer, Outcome, Text, note};
use super::prompt::{self, Prompt};
use super::tokens::Tokens;
use super::{Cancel, cancelled};
use crate::error::Error;

/// How often a prompt is built anew that turned out too long.
const TRIES: usize = 4;
/// How long the endpoint has to say which models it has.
const LIST: Duration = Duration::from_secs(20);
/// How many bytes of an endpoint's own words are shown.
const SHOWN: usize = 300;

/// How a model is asked.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What the operator tells it.
    pub(crate) instructions: String,
    /// How many tokens a prompt and its answer have together.
    pub(crate) context_tokens: u32,
    /// How many of them are for the answer.
    pub(crate) answer_tokens: u32,
    /// How long it has for an answer.
    pub(crate) timeout: Duration,
}

/// A model.
#[derive(Debug)]
pub(crate) struct Model {
    endpoint: Endpoint,
    name: String,
    settings: Settings,
    tokens: Mutex<Tokens>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// The endpoint cannot be had now.
    Unavailable(String),
    /// The prompt has too many tokens.
    TooLong(String),
    /// Anything else.
    Failed(String),
}

/// What an endpoint answers, as far as it matters.
#[derive(Debug, Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    message: Said,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: u32,
}

#[derive(Debug, Deserialize)]
struct Models {
    data: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

impl Model {
    /// Finds the model: the named one, or the first that the endpoint has.
    ///
    /// # Errors
    /// If the endpoint cannot be reached or has no such model.
    pub(crate) async fn find(endpoint: Endpoint, name: Option<String>, settings: Settings) -> Result<Self, Error> {
        let name = match name {
            Some(name) => name,
            None => first(&endpoint).await?,
        };
        Ok(Self { endpoint, name, settings, tokens: Mutex::default() })
    }

    /// The model's name at its endpoint.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Checks that there is room for work beside the instructions.
    ///
    /// # Errors
    /// If there is not.
    pub(crate) fn check_room(&self, agent: &Address) -> Result<(), Error> {
        let room = self.room();
        prompt::check_room(agent, &self.settings.instructions, room, &self.tokens())
            .map_err(|error| Error::usage(error.to_string(), "shorten the instructions, or give more --context-tokens"))
    }

    /// How many tokens a prompt may have.
    fn room(&self) -> u32 {
        self.settings.context_tokens.saturating_sub(self.settings.answer_tokens)
    }

    fn tokens(&self) -> Tokens {
        *self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn learn(&self, learn: impl FnOnce(&mut Tokens)) {
        learn(&mut self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Does some work.
    pub(crate) async fn work(&self, document: &Document, cancel: &mut Cancel) -> Outcome {
        let build = |tokens: &Tokens| {
            prompt::build(document, &self.settings.instructions, self.room(), tokens).map_err(|error| error.to_string())
        };
        let done = self.ask(build, cancel).await;
        match done {
            None => Outcome::Stopped,
            Some(Ok(text)) => Outcome::Done(Answer { text, data: None }),
            Some(Err(Failure::Unavailable(why))) => Outcome::Unavailable(note(&why)),
            Some(Err(Failure::TooLong(why) | Failure::Failed(why))) => Outcome::Failed(note(&why)),
        }
    }

    /// Sums up the oldest part of a thread, if it has grown long. Returns the summary and what it covers.
    ///
    /// # Errors
    /// With why there is none although there should be.
    pub(crate) async fn summary<'a>(
        &self,
        thread: &'a [Message],
        agent: &Address,
        cancel: &mut Cancel,
    ) -> Result<Option<(String, Vec<&'a Message>)>, String> {
        let covered = prompt::to_summarise(thread, agent, self.room(), &self.tokens());
        if covered.is_empty() {
            return Ok(None);
        }
        let answer = self.ask(|_| Ok(prompt::summarise(&covered, agent)), cancel).await;
        match answer {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some((text.kept, covered))),
            Some(Err(Failure::Unavailable(why) | Failure::TooLong(why) | Failure::Failed(why))) => Err(why),
        }
    }

    /// Asks with a prompt that is built anew if it was too long. Nothing if it was canceled.
    async fn ask(
        &self,
        build: impl Fn(&Tokens) -> Result<Prompt, String>,
        cancel: &mut Cancel,
    ) -> Option<Result<Text, Failure>> {
        let mut last = Failure::Failed("the prompt is too long".to_owned());
        for _ in 0..TRIES {
            let prompt = match build(&self.tokens()) {
                Ok(prompt) => prompt,
                Err(why) => return Some(Err(Failure::Failed(why))),
            };
            let answer = tokio::select! {
                answer = self.complete(&prompt) => answer,
                () = cancelled(cancel) => return None,
            };
            match answer {
                Err(too_long @ Failure::TooLong(_)) => {
                    self.learn(Tokens::too_long);
                    last = too_long;
                }
                answer => return Some(answer),
            }
        }
        Some(Err(last))
    }

    async fn complete(&self, prompt: &Prompt) -> Result<Text, Failure> {
        let body = json!({
            "model": self.name,
            "messages": prompt.turns,
            "max_tokens": self.settings.answer_tokens,
            "stream": false,
        });
        let asking = self.endpoint.ask("/chat/completions", Some(body.to_string().into_bytes()));
        let answer = match timeout(self.settings.timeout, asking).await {
            Err(_) => {
                let seconds = self.settings.timeout.as_secs_f64();
                return Err(Failure::Failed(format!("{} did not answer within {seconds} s", self.endpoint.at())));
            }
            Ok(Err(error @ http::Error::Unreachable { .. })) => return Err(Failure::Unavailable(error.to_string())),
            Ok(Err(error)) => return Err(Failure::Failed(error.to_string())),
            Ok(Ok(answer)) => answer,
        };
        if answer.status != StatusCode::OK {
            return Err(refusal(&self.endpoint.at(), answer.status, &answer.body));
        }
        let completion: Completion = serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::Failed(format!("{} answers otherwise than OpenAI's API: {error}", self.endpoint.at()))
        })?;
        if let Some(usage) = completion.usage.filter(|usage| usage.prompt_tokens > 0) {
            self.learn(|tokens| tokens.learn(prompt.turns.len(), prompt.bytes(), usage.prompt_tokens));
        }
        said(completion)
    }
}

/// The first model that an endpoint has.
async fn first(endpoint: &Endpoint) -> Result<String, Error> {
    let hint = "see that it runs and that --model is its URL, or give --model-name";
    let refused = |message: String| Error::Refused(api::Error::new(ErrorCode::NotFound, message).hint(hint));
    let answer = match timeout(LIST, endpoint.ask("/models", None)).await {
        Err(_) => return Err(refused(format!("{} does not say which models it has", endpoint.at()))),
        Ok(Err(error)) => return Err(refused(error.to_string())),
        Ok(Ok(answer)) => answer,
    };
    if answer.status != StatusCode::OK {
        let (Failure::Unavailable(why) | Failure::TooLong(why) | Failure::Failed(why)) =
            refusal(&endpoint.at(), answer.status, &answer.body);
        return Err(refused(why));
    }
    let models: Option<Models> = serde_json::from_slice(&answer.body).ok();
    let first = models.and_then(|models| models.data.into_iter().next());
    first.map(|model| model.id).ok_or_else(|| refused(format!("{} names no model", endpoint.at())))
}

/// What a model said. What it thinks aloud first is left out.
fn said(completion: Completion) -> Result<Text, Failure> {
    let choice = completion.choices.into_iter().next();
    let Some(Choice { message, finish_reason }) = choice else {
        return Err(Failure::Failed("the endpoint answered without a choice".to_owned()));
    };
    let content = message.content.unwrap_or_default();
    let thought = content.trim_start().strip_prefix("<think>").and_then(|rest| rest.split_once("</think>"));
    let text = thought.map_or(content.as_str(), |(_, text)| text).trim();
    if text.is_empty() {
        return Err(Failure::Failed("the model said nothing".to_owned()));
    }
    if finish_reason.as_deref() == Some("length") {
        return Ok(Text::whole(format!("{text}\n[cut: the model had no more tokens for its answer]")));
    }
    Ok(Text::whole(text))
}

/// What a status other than success means.
fn refusal(at: &str, status: StatusCode, body: &[u8]) -> Failure {
    let words = words(body);
    let text = format!("{at} answers {status}: {words}");
    let lower = words.to_lowercase();
    let about_length = ["context", "token"].iter().any(|word| lower.contains(word))
        && ["exceed", "maximum", "too long", "too large", "longer"].iter().any(|word| lower.contains(word));
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLong(text),
        StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR if about_length => Failure::TooLong(text),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY => {
            Failure::Unavailable(text)
        }
        _ => Failure::Failed(text),
    }
}

/// What an endpoint says about an error: the message in it, or its beginning.
fn words(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let places = ["/error/message", "/error", "/message", "/detail"];
    let found = json.as_ref().and_then(|json| places.iter().find_map(|place| json.pointer(place)?.as_str()));
    let text = found.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    crate::ui::escape::line(&Text::whole(text.trim()).within(SHOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(content: &str, finish: &str) -> Completion {
        let choices = json!([{ "message": { "role": "assistant", "content": content }, "finish_reason": finish }]);
        serde_json::from_value(json!({ "choices": choices, "usage": { "prompt_tokens": 3 }, "id": "x" })).unwrap()
    }

    #[test]
    fn what_a_model_says_is_the_answer_without_its_thoughts() {
        assert_eq!(said(completion(" no leak\n", "stop")), Ok(Text::whole("no leak")));
        assert_eq!(said(completion("<think>\nhm\n</think>\nno leak", "stop")), Ok(Text::whole("no leak")));
        assert!(said(completion("half a", "length")).unwrap().kept.starts_with("half a\n[cut: "));
        assert!(said(completion("", "stop")).is_err());
        assert!(said(serde_json::from_value(json!({ "choices": [] })).unwrap()).is_err());
    }

    #[test]
    fn refusals_of_endpoints_are_understood() {
        let llama = br#"{"error":{"code":400,"message":"request (2075 tokens) exceeds the available context size (2048 tokens), try increasing it","type":"exceed_context_size_error"}}"#;
        let vllm = br#"{"object":"error","message":"This model's maximum context length is 2048 tokens. However, you requested 3000 tokens","code":400}"#;
        for body in [&llama[..], vllm] {
            assert!(matches!(refusal("x:1", StatusCode::BAD_REQUEST, body), Failure::TooLong(_)));
        }
        let loading = br#"{"error":{"message":"Loading model","code":503}}"#;
        assert_eq!(
            refusal("x:1", StatusCode::SERVICE_UNAVAILABLE, loading),
            Failure::Unavailable("x:1 answers 503 Service Unavailable: Loading model".to_owned())
        );
        let Failure::Failed(why) = refusal("x:1", StatusCode::NOT_FOUND, "\u{1b}<html>".repeat(200).as_bytes()) else {
            panic!()
        };
        assert!(why.len() < 1200 && !why.contains('\u{1b}') && why.contains("[cut: "), "{why}");
    }
}
