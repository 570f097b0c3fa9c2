//! What a tool is: arguments that say what it does, an answer, and the calls between them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use fedp2p_protocols::api::{Access, Operation};
use rmcp::model::{CallToolResult, ContentBlock, JsonObject, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::link::Link;
use super::parts::{self, Part};
use super::receipt::Handed;
use super::{schema, words};
use crate::error::Error;

/// The longest that a call waits: clients give up after a minute.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(50);

/// What a tool came to: the answer, and the same in a few words of ours.
pub(crate) type Outcome<A> = Result<(A, String), Error>;

/// What a client may assume of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effects {
    /// It changes nothing.
    None,
    /// It changes something, and the same again changes nothing more.
    Once,
    /// It changes something each time.
    Each,
    /// It takes away or replaces what is there.
    TakesAway,
}

/// The arguments of a tool. Their documentation is what a model reads of it.
pub(crate) trait Arguments: DeserializeOwned + JsonSchema + Send + 'static {
    /// The name of the tool.
    const NAME: &'static str;
    /// What a client may assume.
    const EFFECTS: Effects;
    /// What it answers.
    type Answer: Serialize + JsonSchema + Send + Sync;

    /// Does it.
    fn run(self, link: &Link) -> impl Future<Output = Outcome<Self::Answer>> + Send;

    /// The same, if it waits for something, in a form in which nothing is lost when nobody comes back for the answer.
    fn only_waiting(self) -> Option<Self> {
        None
    }

    /// Takes out of an answer what the daemon is to be told once the client has it.
    fn handed(_answer: &mut Self::Answer) -> Option<Handed> {
        None
    }
}

/// Until when a call that is to wait so many seconds does.
pub(crate) fn until(wait_s: u32) -> Instant {
    Instant::now() + Duration::from_secs(wait_s.into()).min(MAX_WAIT)
}

/// Returns what was given, or says that it was not.
pub(crate) fn given<T: Clone>(value: Option<&T>, name: &str, hint: &str) -> Result<T, Error> {
    value.cloned().ok_or_else(|| Error::usage(format!("no {name} was given"), hint))
}

/// The answer, and what it hands to the model.
type Done = (CallToolResult, Option<Handed>);
type Running<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;
type Waiting = Pin<Box<dyn Future<Output = CallToolResult> + Send>>;

/// A tool as clients see it, and what it does.
pub(crate) struct Tool {
    /// What clients see.
    pub(crate) shown: rmcp::model::Tool,
    run: fn(JsonObject, &Link) -> Running<'_>,
    later: fn(JsonObject, Arc<Link>) -> Option<Waiting>,
}

impl Tool {
    /// The tool that takes these arguments.
    pub(crate) fn of<A: Arguments>() -> Self {
        let input = schema::input::<A>();
        let output = schema::output::<A::Answer>();
        Self {
            shown: shown(A::NAME, input, A::EFFECTS).with_raw_output_schema(output),
            run: |arguments, link| Box::pin(run::<A>(arguments, link)),
            later: later::<A>,
        }
    }

    /// The tool that is an operation as it stands. What its answer leaves out can be read on.
    pub(crate) fn operation<O>(name: &'static str, takes_away: bool) -> Self
    where
        O: Operation + Clone + Send + Sync + 'static,
        O::Reply: Send + Sync,
    {
        let effects = match O::ACCESS {
            Access::Read => Effects::None,
            Access::Write | Access::Administer | _ if takes_away => Effects::TakesAway,
            Access::Write | Access::Administer | _ => Effects::Each,
        };
        let (mut input, mut output) = (schema::input::<O>(), schema::output::<O::Reply>());
        parts::describe(&mut input.schema, Arc::make_mut(&mut output), O::ACCESS == Access::Read);
        Self {
            shown: shown(name, input, effects).with_raw_output_schema(output),
            run: |arguments, link| Box::pin(async { (run_operation::<O>(arguments, link).await, None) }),
            later: |_, _| None,
        }
    }

    /// Runs the tool. Whatever goes wrong is an answer for the model.
    pub(crate) async fn call(&self, arguments: JsonObject, link: &Link) -> Done {
        (self.run)(arguments, link).await
    }

    /// Runs the tool for a client that comes back for the answer, if the call waits for something.
    pub(crate) fn later(&self, arguments: JsonObject, link: Arc<Link>) -> Option<Waiting> {
        (self.later)(arguments, link)
    }
}

fn shown(name: &'static str, input: schema::Described, effects: Effects) -> rmcp::model::Tool {
    let hints = ToolAnnotations::new()
        .read_only(effects == Effects::None)
        .destructive(effects == Effects::TakesAway)
        .idempotent(matches!(effects, Effects::None | Effects::Once))
        .open_world(false);
    rmcp::model::Tool::new(name, input.about, Arc::new(input.schema)).with_annotations(hints)
}

async fn run<A: Arguments>(arguments: JsonObject, link: &Link) -> Done {
    match serde_json::from_value::<A>(Value::Object(arguments)) {
        Ok(arguments) => run_with(arguments, link).await,
        Err(error) => (invalid(A::NAME, &error), None),
    }
}

async fn run_with<A: Arguments>(arguments: A, link: &Link) -> Done {
    match arguments.run(link).await {
        Ok((mut answer, said)) => {
            let handed = A::handed(&mut answer);
            (answered(serde_json::to_value(&answer), said, handed.as_ref(), link).await, handed)
        }
        Err(error) => (failed(&error), None),
    }
}

fn later<A: Arguments>(arguments: JsonObject, link: Arc<Link>) -> Option<Waiting> {
    let waiting = serde_json::from_value::<A>(Value::Object(arguments)).ok()?.only_waiting()?;
    Some(Box::pin(async move { run_with(waiting, &link).await.0 }))
}

async fn run_operation<O>(mut arguments: JsonObject, link: &Link) -> CallToolResult
where
    O: Operation + Clone + Send + Sync,
    O::Reply: Send + Sync,
{
    let name = format!("federation_{}", O::NAME);
    // Whatever changes something is not done again to read on.
    let from = Some(O::ACCESS).filter(|access| *access == Access::Read).and_then(|_| arguments.remove(parts::READ_ON));
    let from: Option<Part> = match from.map(serde_json::from_value).transpose() {
        Ok(from) => from,
        Err(error) => return invalid(&name, &error),
    };
    let operation: O = match serde_json::from_value(Value::Object(arguments)) {
        Ok(operation) => operation,
        Err(error) => return invalid(&name, &error),
    };
    let reply = match link.call(operation).await {
        Ok(reply) => serde_json::to_value(&reply),
        Err(error) => return failed(&error),
    };
    let cut = match (reply, from) {
        (Ok(reply), None) => Ok(parts::first(reply)),
        (Ok(reply), Some(from)) => match parts::next(&reply, &from) {
            Some(part) => Ok(part),
            None => {
                let hint = format!("call {name} again without read_on");
                return failed(&Error::usage("there is nothing to read on there", hint));
            }
        },
        (Err(error), _) => Err(error),
    };
    let said = match &cut {
        Ok(fields) if fields.get(parts::READ_ON).is_some() => "Done; there is more: read_on says where",
        _ => "Done",
    };
    answered(cut, said.to_owned(), None, link).await
}

/// Returns an answer: what it says as fields, and in words for clients that hand on nothing else.
pub(super) async fn answered(
    answer: serde_json::Result<Value>,
    said: String,
    handed: Option<&Handed>,
    link: &Link,
) -> CallToolResult {
    let mut fields = match answer {
        Ok(Value::Object(fields)) => Value::Object(fields),
        Ok(other) => json!({ "result": other }),
        Err(error) => {
            return failed(&Error::usage(format!("the answer cannot be written: {error}"), "report this bug"));
        }
    };
    words::neutralise(&mut fields);
    let notice = link.notice(handed).await;
    if let (Some(notice), Value::Object(fields)) = (&notice, &mut fields) {
        fields.insert("notice".to_owned(), notice.clone().into());
    }
    let said = match notice {
        Some(notice) => format!("{said}\n[{notice}]"),
        None => said,
    };
    // The second for clients that do not hand on fields.
    let content = vec![ContentBlock::text(said), ContentBlock::text(fields.to_string())];
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(fields);
    result
}

fn invalid(name: &str, error: &serde_json::Error) -> CallToolResult {
    let hint = format!("call {name} again with arguments as its schema says");
    failed(&Error::usage(format!("the arguments are not valid: {error}"), hint))
}

/// Returns a refusal in words for a model.
pub(crate) fn failed(error: &Error) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(words::refusal(&error.report("fedp2p")))])
}

/// Reads one text or several: models give either.
pub(crate) fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let text = |value: &Value| {
        value.as_str().map(str::to_owned).ok_or_else(|| serde::de::Error::custom(format!("{value} is no text")))
    };
    let value: Value = serde::Deserialize::deserialize(deserializer)?;
    if value.is_null() {
        return Ok(Vec::new());
    }
    match value.as_array() {
        Some(items) => items.iter().map(text).collect(),
        None => Ok(vec![text(&value)?]),
    }
}
