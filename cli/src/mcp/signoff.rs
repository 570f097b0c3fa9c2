//! Asking the person at the client for a sign-off ("elicitation"), where the client can do that.
//!
//! The question is in the mesh before anybody is asked, and stays there whatever the client does. What the client is
//! given is the question and where to answer it: the [`page`](super::page) of this process if it can open addresses,
//! else the words for a terminal. The answer itself takes the PIN of the node and never passes through the client: the
//! protocol forbids it for secrets, and an agent could read it there.

use std::time::Duration;

use fedp2p_node::home::Home;
use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::vote_show;
use fedp2p_protocols::name::Address;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ErrorData, InputRequest, InputRequiredResult, InputResponses, ProtocolVersion,
};
use rmcp::service::RequestContext;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::link::Link;
use super::page::Pages;
use super::tool::{self, Arguments, MAX_WAIT};
use super::tools::decide;
use super::words;
use crate::context::here;
use crate::error::Error;

/// What the question is called among those to a client.
const KEY: &str = "signoff";
/// The tool of the full profile that asks for a sign-off and does nothing else.
const OPERATION: &str = "federation_approval_ask";

/// How a client can ask its person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It opens a page for them.
    Page,
    /// It shows them words.
    Words,
}

impl Way {
    fn of(context: &RequestContext<RoleServer>) -> Option<Self> {
        let modes = context.client_capabilities()?.elicitation?;
        match (modes.url, modes.form) {
            (Some(_), _) => Some(Self::Page),
            // Who says nothing more means words.
            (None, Some(_) | None) => Some(Self::Words),
        }
    }
}

/// Asks the person of this machine.
#[derive(Debug)]
pub(super) struct SignOffs {
    pages: Pages,
}

impl SignOffs {
    pub(super) fn new(home: Home) -> Self {
        Self { pages: Pages::new(home) }
    }

    /// Asks the person at the client, if a call has put a question that they may answer; `done` is what it came to.
    pub(super) async fn ask(
        &self,
        request: &CallToolRequestParams,
        done: CallToolResult,
        context: &RequestContext<RoleServer>,
        link: &Link,
    ) -> CallToolResponse {
        let Some((way, id)) = Way::of(context).zip(question(request, &done)) else { return done.into() };
        let Ok(proposal) = link.call(vote_show::Request { id }).await else { return done.into() };
        let person = Address::local(here(), link.node().name.clone());
        if !proposal.silent.contains(&person) {
            return done.into();
        }
        let Some(asked) = self.words(way, &proposal).await else { return done.into() };
        if context.protocol_version().is_none_or(|version| version >= ProtocolVersion::V_2026_07_28) {
            let questions = [(KEY.to_owned(), InputRequest::Elicitation(ElicitRequest::new(asked)))];
            // It names what every member may look at, so it needs no seal.
            return InputRequiredResult::new(Some(questions.into()), Some(format!("{KEY}:{}", proposal.id))).into();
        }
        let until = Instant::now() + MAX_WAIT;
        let decided = tokio::select! {
            answer = context.peer.create_elicitation_with_timeout(asked, Some(MAX_WAIT)) => {
                let goes = answer.is_ok_and(|answer| answer.action == ElicitationAction::Accept);
                decide::closed(&proposal.id, if goes { until } else { Instant::now() }, link).await
            }
            // Somebody answered elsewhere.
            decided = decide::closed(&proposal.id, until, link) => decided,
        };
        told(decided, link).await.into()
    }

    /// Goes on with a call for which a client of the newer era asked its person.
    ///
    /// # Errors
    /// If the client did not keep what it was given.
    pub(super) async fn resume(
        state: &str,
        responses: Option<&InputResponses>,
        link: &Link,
    ) -> Result<CallToolResult, ErrorData> {
        let id = state.strip_prefix(KEY).and_then(|rest| rest.strip_prefix(':'));
        let id = id.ok_or_else(|| ErrorData::invalid_params("requestState was changed on its way", None))?;
        let answer = responses.and_then(|responses| responses.get(KEY)).cloned().unwrap_or_default();
        let answer: Option<ElicitResult> = serde_json::from_value(answer).ok();
        let goes = answer.is_some_and(|answer| answer.action == ElicitationAction::Accept);
        let until = Instant::now() + if goes { MAX_WAIT } else { Duration::ZERO };
        Ok(told(decide::closed(id, until, link).await, link).await)
    }

    /// What the client is to show. Nothing if there can be no page.
    async fn words(&self, way: Way, proposal: &Proposal) -> Option<ElicitRequestParams> {
        let (by, question) = (&proposal.by, words::visible(&proposal.question));
        let asked = format!("The agent {by} asks people to approve or deny {:?}:\n{question}\n\n", proposal.id);
        let fields = match way {
            Way::Page => {
                let url = self.pages.open(proposal).await.ok()?;
                let message =
                    format!("{asked}Answer on the page of fedp2p on this machine, with the PIN of this node.");
                json!({"mode": "url", "message": message, "url": url, "elicitationId": url.rsplit('/').next()})
            }
            Way::Words => {
                let commands = format!("fedp2p approve {0}\n  fedp2p deny {0}", proposal.id);
                let message = format!(
                    "{asked}Answer in a terminal, with the PIN of this node, which nobody else may see:\n  {commands}\n\
                     Accept here once you have, or while you do; decline to leave it for later."
                );
                json!({"mode": "form", "message": message, "requestedSchema": {"type": "object", "properties": {}}})
            }
        };
        serde_json::from_value(fields).ok()
    }
}

/// The question that a call has put to people.
fn question(request: &CallToolRequestParams, done: &CallToolResult) -> Option<String> {
    let fields = done.structured_content.as_ref()?;
    let mechanism = request.arguments.as_ref().and_then(|given| given.get("mechanism")).and_then(Value::as_str);
    let id = match request.name.as_ref() {
        OPERATION => &fields["id"],
        decide::Request::NAME if mechanism == Some("signoff") => &fields["consensus_id"],
        _ => return None,
    };
    id.as_str().map(str::to_owned)
}

async fn told(decided: Result<Box<Proposal>, Error>, link: &Link) -> CallToolResult {
    match decided {
        Ok(proposal) => {
            let (answer, said) = decide::signed(*proposal);
            tool::answered(serde_json::to_value(&answer), said, None, link).await
        }
        Err(error) => tool::failed(&error),
    }
}
