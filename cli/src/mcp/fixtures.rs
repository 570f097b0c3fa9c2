//! What the conformance kit of the protocol wants to find under names of its own: a profile that is not shown, on the same
//! server, for tests alone. It shows that the server can do what our tools do not need.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, CreateMessageRequestParams, ElicitRequestParams,
    ErrorData, GetPromptRequestParams, GetPromptResponse, InputRequiredResult, InputResponses, JsonObject,
    LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, Prompt, ReadResourceResult, Resource,
    SamplingMessage,
};
use rmcp::service::RequestContext;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::time::sleep;

/// A red dot.
const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
/// Silence.
const AUDIO: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
/// The pause between two notifications.
const PAUSE: Duration = Duration::from_millis(50);

/// The tools that take no arguments.
const TOOLS: [&str; 24] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_tool_with_logging",
    "test_error_handling",
    "test_tool_with_progress",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_reconnection",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
];

/// What a list became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
}

/// The state of the fixtures.
#[derive(Debug)]
pub(crate) struct Fixtures {
    changes: broadcast::Sender<Changed>,
    /// Seals what clients keep for the server.
    key: [u8; 32],
}

type Called = Result<CallToolResponse, ErrorData>;

impl Fixtures {
    pub(crate) fn new() -> Self {
        let mut key = [0; 32];
        rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut key);
        Self { changes: broadcast::channel(16).0, key }
    }

    /// Tells which lists change.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    /// Calls a tool of the kit.
    pub(crate) async fn call(&self, request: &CallToolRequestParams, context: &RequestContext<RoleServer>) -> Called {
        let name = request.name.as_ref();
        if let Some(rest) = name.strip_prefix("test_input_required_result_") {
            return self.input(rest, request, context);
        }
        let argument = |name: &str| request.arguments.as_ref().and_then(|given| given.get(name)?.as_str());
        match name {
            "test_tool_with_logging" => {
                for text in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                    log(context, LoggingLevel::Info, text).await;
                    sleep(PAUSE).await;
                }
                said("Logged")
            }
            "test_logging_tool" => {
                if let Some(level) = context.meta.log_level() {
                    log(context, level, "Logging as asked").await;
                }
                said("Logged if asked to")
            }
            "test_tool_with_progress" => {
                for step in [0.0, 50.0, 100.0] {
                    if let Some(token) = context.meta.get_progress_token() {
                        let progress = ProgressNotificationParam::new(token, step).with_total(100.0);
                        drop(context.peer.notify_progress(progress).await);
                    }
                    sleep(PAUSE).await;
                }
                said("Progressed")
            }
            "test_sampling" => {
                let message = SamplingMessage::user_text(argument("prompt").unwrap_or_default());
                match context.peer.create_message(CreateMessageRequestParams::new(vec![message], 100)).await {
                    Ok(answer) => said(&format!("LLM response: {}", json!(answer.message.content))),
                    Err(error) => failed(&error.to_string()),
                }
            }
            "test_elicitation" => {
                let properties = json!({
                    "username": {"type": "string", "description": "User's response"},
                    "email": {"type": "string", "description": "User's email address"},
                });
                let schema = json!({"type": "object", "properties": properties, "required": ["username", "email"]});
                elicit(context, argument("message").unwrap_or_default(), schema).await
            }
            "test_elicitation_sep1034_defaults" => elicit(context, "Values with defaults", defaults()).await,
            "test_elicitation_sep1330_enums" => elicit(context, "Values of enumerations", enumerations()).await,
            "test_missing_capability" => {
                let declared = context.meta.client_capabilities().unwrap_or_default();
                if declared.sampling.is_none() {
                    let needed = ClientCapabilities::builder().enable_sampling().build();
                    return Err(ErrorData::missing_required_client_capability(needed));
                }
                said("Declared")
            }
            "test_streaming_elicitation" => ask(json!({"value": question("A value?", "value", "string")}), None),
            "test_trigger_tool_change" | "test_trigger_prompt_change" => {
                let changed = if name.contains("tool") { Changed::Tools } else { Changed::Prompts };
                // Nobody may be listening.
                drop(self.changes.send(changed));
                said("Changed")
            }
            "test_reconnection" => said("Still here"),
            _ => fixed(name),
        }
    }

    /// The tools that ask the client for something first.
    fn input(&self, name: &str, request: &CallToolRequestParams, context: &RequestContext<RoleServer>) -> Called {
        let responses = request.input_responses.as_ref();
        let given = |key: &str| given(responses, key);
        let state = match request.request_state.as_deref() {
            None => None,
            Some(sealed) => Some(self.open(sealed)?),
        };
        match (name, state.as_deref()) {
            ("elicitation", _) => match given("user_name") {
                Some(answer) => said(&format!("Hello, {}!", answer["content"]["name"].as_str().unwrap_or("friend"))),
                None => ask(json!({"user_name": question("What is your name?", "name", "string")}), None),
            },
            ("sampling", _) => match given("capital_question") {
                Some(answer) => said(&format!("Sampled: {}", answer["content"])),
                None => ask(json!({"capital_question": sample("What is the capital of France?")}), None),
            },
            ("list_roots", _) => match given("client_roots") {
                Some(answer) => said(&format!("Roots: {}", answer["roots"])),
                None => ask(json!({"client_roots": {"method": "roots/list", "params": {}}}), None),
            },
            ("request_state" | "tampered_state", Some(_)) => said("Confirmed: state-ok"),
            ("request_state" | "tampered_state", None) => {
                ask(json!({"confirm": question("Please confirm", "ok", "boolean")}), Some(self.seal("confirm")))
            }
            ("multiple_inputs", Some(_))
                if ["user_name", "greeting", "client_roots"].iter().all(|key| given(key).is_some()) =>
            {
                said("All inputs received")
            }
            ("multiple_inputs", _) => {
                let questions = json!({
                    "user_name": question("What is your name?", "name", "string"),
                    "greeting": sample("Generate a greeting"),
                    "client_roots": {"method": "roots/list", "params": {}},
                });
                ask(questions, Some(self.seal("gather")))
            }
            ("multi_round", None) => {
                ask(json!({"step1": question("Step 1: What is your name?", "name", "string")}), Some(self.seal("1")))
            }
            ("multi_round", Some("1")) => {
                let next = json!({"step2": question("Step 2: What is your favorite color?", "color", "string")});
                ask(next, Some(self.seal("2")))
            }
            ("multi_round", Some(_)) => said("All rounds done"),
            ("capabilities", _) if responses.is_some() => said("Answered"),
            ("capabilities", _) => {
                let declared = context.meta.client_capabilities().unwrap_or_default();
                let mut questions = JsonObject::new();
                if declared.elicitation.is_some() {
                    questions.insert("user_name".to_owned(), question("What is your name?", "name", "string"));
                }
                if declared.sampling.is_some() {
                    questions.insert("greeting".to_owned(), sample("Generate a greeting"));
                }
                if declared.roots.is_some() {
                    questions.insert("client_roots".to_owned(), json!({"method": "roots/list", "params": {}}));
                }
                if questions.is_empty() { said("Nothing can be asked") } else { ask(Value::Object(questions), None) }
            }
            _ => Err(ErrorData::invalid_params("no such fixture", None)),
        }
    }

    fn seal(&self, state: &str) -> String {
        format!("{}.{state}", blake3::keyed_hash(&self.key, state.as_bytes()).to_hex())
    }

    fn open(&self, sealed: &str) -> Result<String, ErrorData> {
        let open = sealed.split_once('.').filter(|(_, state)| self.seal(state) == sealed);
        let refused = || ErrorData::invalid_params("requestState was changed on its way", None);
        open.map(|(_, state)| state.to_owned()).ok_or_else(refused)
    }
}

/// Whether a tool, prompt or resource is one of the kit's.
pub(crate) fn is_named(name: &str) -> bool {
    name.starts_with("test_") || name.starts_with("test://")
}

/// The tools of the kit.
pub(crate) fn tools() -> Vec<rmcp::model::Tool> {
    let tool = |name: &'static str, properties: Value| {
        let required: Vec<String> =
            properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let schema = json!({"type": "object", "properties": properties, "required": required});
        rmcp::model::Tool::new(name, "A fixture of the conformance kit", read::<JsonObject>(schema))
    };
    let mut tools: Vec<_> = TOOLS.into_iter().map(|name| tool(name, json!({}))).collect();
    tools.push(tool("test_sampling", json!({"prompt": {"type": "string"}})));
    tools.push(tool("test_elicitation", json!({"message": {"type": "string"}})));
    tools
}

/// The prompts of the kit.
pub(crate) fn prompts() -> Vec<Prompt> {
    let prompt = |name: &str, arguments: &[&str]| {
        let arguments: Vec<Value> = arguments.iter().map(|name| json!({"name": name, "required": true})).collect();
        read(json!({"name": name, "description": "A fixture of the conformance kit", "arguments": arguments}))
    };
    vec![
        prompt("test_simple_prompt", &[]),
        prompt("test_prompt_with_arguments", &["arg1", "arg2"]),
        prompt("test_prompt_with_embedded_resource", &["resourceUri"]),
        prompt("test_prompt_with_image", &[]),
        prompt("test_input_required_result_prompt", &[]),
    ]
}

/// Returns a prompt of the kit.
///
/// # Errors
/// If there is none of this name.
pub(crate) fn prompt(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let argument =
        |name: &str| request.arguments.as_ref().and_then(|given| given.get(name)?.as_str()).unwrap_or_default();
    let contents = match request.name.as_str() {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => {
            vec![text(&format!("Prompt with arguments: arg1='{}', arg2='{}'", argument("arg1"), argument("arg2")))]
        }
        "test_prompt_with_embedded_resource" => {
            let words = "Embedded resource content for testing.";
            vec![
                resource(argument("resourceUri"), "text/plain", words),
                text("Please process the embedded resource above."),
            ]
        }
        "test_prompt_with_image" => vec![image(), text("Please analyze the image above.")],
        "test_input_required_result_prompt" => match given(request.input_responses.as_ref(), "user_context") {
            None => {
                let asked =
                    json!({"user_context": question("What context should the prompt use?", "context", "string")});
                return Ok(required(asked, None).into());
            }
            Some(answer) => vec![text(&format!("Context: {}", answer["content"]["context"]))],
        },
        _ => return Err(ErrorData::invalid_params("no such prompt", None)),
    };
    let messages: Vec<Value> =
        contents.into_iter().map(|content| json!({"role": "user", "content": content})).collect();
    Ok(read::<rmcp::model::GetPromptResult>(json!({"resultType": "complete", "messages": messages})).into())
}

/// The resources of the kit.
pub(crate) fn resources() -> Vec<Resource> {
    let resource = |uri: &str, kind: &str| {
        Resource::new(uri, uri).with_description("A fixture of the conformance kit").with_mime_type(kind)
    };
    vec![
        resource("test://static-text", "text/plain"),
        resource("test://static-binary", "image/png"),
        resource("test://watched-resource", "text/plain"),
    ]
}

/// Reads a resource of the kit.
pub(crate) fn resource_at(uri: &str) -> Option<ReadResourceResult> {
    let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    let content = match (uri, id) {
        ("test://static-text", _) => {
            json!({"uri": uri, "mimeType": "text/plain", "text": "This is the content of the static text resource."})
        }
        ("test://static-binary", _) => json!({"uri": uri, "mimeType": "image/png", "blob": IMAGE}),
        ("test://watched-resource", _) => json!({"uri": uri, "mimeType": "text/plain", "text": "Watched"}),
        (_, Some(id)) => {
            let text = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")}).to_string();
            json!({"uri": uri, "mimeType": "application/json", "text": text})
        }
        _ => return None,
    };
    Some(ReadResourceResult::new(vec![read(content)]))
}

/// The tools that always answer the same.
fn fixed(name: &str) -> Called {
    let content = match name {
        "test_simple_text" => vec![text("This is a simple text response for testing.")],
        "test_image_content" => vec![image()],
        "test_audio_content" => vec![json!({"type": "audio", "data": AUDIO, "mimeType": "audio/wav"})],
        "test_embedded_resource" => {
            vec![resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
        }
        "test_multiple_content_types" => {
            let embedded = json!({"test": "data", "value": 123}).to_string();
            let last = resource("test://mixed-content-resource", "application/json", &embedded);
            vec![text("Multiple content types test:"), image(), last]
        }
        "test_error_handling" => return failed("This tool intentionally returns an error for testing"),
        _ => return Err(ErrorData::invalid_params("no such fixture", None)),
    };
    answer(&content, false)
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn image() -> Value {
    json!({"type": "image", "data": IMAGE, "mimeType": "image/png"})
}

fn resource(uri: &str, kind: &str, text: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}})
}

fn answer(content: &[Value], is_error: bool) -> Called {
    let result = json!({"resultType": "complete", "content": content, "isError": is_error});
    Ok(read::<rmcp::model::CallToolResult>(result).into())
}

fn said(words: &str) -> Called {
    answer(&[text(words)], false)
}

fn failed(words: &str) -> Called {
    answer(&[text(words)], true)
}

fn question(message: &str, field: &str, kind: &str) -> Value {
    let schema = json!({"type": "object", "properties": {field: {"type": kind}}, "required": [field]});
    json!({"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}})
}

fn sample(words: &str) -> Value {
    let messages = json!([{"role": "user", "content": text(words)}]);
    json!({"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 50}})
}

fn required(questions: Value, state: Option<String>) -> InputRequiredResult {
    InputRequiredResult::new(Some(read(questions)), state)
}

fn ask(questions: Value, state: Option<String>) -> Called {
    Ok(required(questions, state).into())
}

/// An answer of the client, if it has the form of one.
fn given(responses: Option<&InputResponses>, key: &str) -> Option<Value> {
    let answer = serde_json::to_value(responses?.get(key)?).ok()?;
    answer.is_object().then_some(answer)
}

async fn log(context: &RequestContext<RoleServer>, level: LoggingLevel, text: &str) {
    let message = LoggingMessageNotificationParam::new(level, json!(text));
    // A client that has gone reads no log.
    drop(context.peer.notify_logging_message(message).await);
}

async fn elicit(context: &RequestContext<RoleServer>, message: &str, schema: Value) -> Called {
    let asked: ElicitRequestParams = read(json!({"mode": "form", "message": message, "requestedSchema": schema}));
    match context.peer.create_elicitation(asked).await {
        Ok(result) => {
            let (action, content) = (json!(result.action), json!(result.content));
            let action = action.as_str().unwrap_or_default();
            said(&format!("User response: Elicitation completed: action={action}, content={content}"))
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn defaults() -> Value {
    json!({"type": "object", "required": [], "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": true},
    }})
}

fn enumerations() -> Value {
    let titled = |words: [[&str; 2]; 3]| words.map(|[value, title]| json!({"const": value, "title": title}));
    let options = titled([["value1", "First Option"], ["value2", "Second Option"], ["value3", "Third Option"]]);
    let choices = titled([["value1", "First Choice"], ["value2", "Second Choice"], ["value3", "Third Choice"]]);
    let plain = ["option1", "option2", "option3"];
    let legacy = json!({
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    });
    json!({"type": "object", "required": [], "properties": {
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": options},
        "legacyEnum": legacy,
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": choices}},
    }})
}

/// Reads what is written here.
fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a fixture has the form that the protocol says")
}
