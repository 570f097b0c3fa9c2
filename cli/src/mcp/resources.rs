//! What clients can read as resources: the picture, the mesh, an inbox, a conversation, a task, a note.
//!
//! Everything is there as a tool's answer too: many clients know tools alone.

use fedp2p_protocols::api::watch::Event;
use fedp2p_protocols::api::{agents, history, inbox, note_list, peers, pulse, status, task_list, task_show};
use fedp2p_protocols::limits::MAX_PAGE;
use rmcp::model::{ErrorData, ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde::Serialize;
use serde_json::{Value, json};

use super::link::Link;
use super::tools::notes;
use super::tools::talk;
use super::tools::work;
use super::words;
use crate::error::Error;

/// The scheme of all addresses.
const SCHEME: &str = "federation://";
/// Most messages of an inbox or a conversation.
const MAX_MESSAGES: u32 = 50;
/// Most rows of a list of resources.
const MAX_LISTED: usize = 100;
/// What everything is read as.
const JSON: &str = "application/json";

/// A resource that a client names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// The Common Operating Picture.
    Pulse,
    /// This node and the others.
    Mesh,
    /// What waits for the calling agent.
    Inbox(String),
    /// The thread of a message, or the lobby.
    Conversation(String),
    /// A task.
    Task(String),
    /// A note.
    Note(String),
}

impl Name {
    /// Reads an address.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        let path = uri.strip_prefix(SCHEME)?;
        match path.split_once('/') {
            None if path == "pulse" => Some(Self::Pulse),
            None if path == "mesh" => Some(Self::Mesh),
            Some((_, "")) | None => None,
            Some(("inbox", agent)) => Some(Self::Inbox(agent.to_owned())),
            Some(("conversation", id)) => Some(Self::Conversation(id.to_owned())),
            Some(("task", id)) => Some(Self::Task(id.to_owned())),
            Some(("note", name)) => Some(Self::Note(name.to_owned())),
            Some(_) => None,
        }
    }

    /// Whether `event` may have changed it.
    pub(crate) fn is_changed_by(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Pulse, Event::Pulse(_) | Event::Agent(_) | Event::Attention { .. })
            | (Self::Mesh, Event::Peer { .. })
            | (Self::Inbox(_) | Self::Conversation(_), Event::Message(_)) => true,
            (Self::Task(id), Event::Task(task)) => task.id == *id,
            (Self::Note(name), Event::Note { name: edited, .. }) => edited.as_str() == name,
            _ => false,
        }
    }
}

/// The kinds of resources that are named by something.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = |path: &str, name: &str, about: &str| {
        ResourceTemplate::new(format!("{SCHEME}{path}"), name).with_description(about).with_mime_type(JSON)
    };
    vec![
        template("inbox/{agent}", "inbox", "Your unread messages; reading them here does not mark them"),
        template("conversation/{id}", "conversation", "The thread of a message, or lobby for the newest of all"),
        template("task/{task_id}", "task", "A task, who holds it and how far it is"),
        template("note/{name}", "note", "A text that members write together"),
    ]
}

/// What there is to read now.
///
/// # Errors
/// If the daemon does not answer.
pub(crate) async fn list(link: &Link) -> Result<Vec<Resource>, Error> {
    let resource = |path: String, name: String, about: &str| {
        Resource::new(format!("{SCHEME}{path}"), name).with_description(about).with_mime_type(JSON)
    };
    let me = link.address().agent;
    let mut list = vec![
        resource("pulse".to_owned(), "pulse".to_owned(), "What every agent is doing"),
        resource("mesh".to_owned(), "mesh".to_owned(), "This node and the others"),
        resource(format!("inbox/{me}"), "inbox".to_owned(), "Your unread messages"),
        resource("conversation/lobby".to_owned(), "lobby".to_owned(), "The newest messages"),
    ];
    // Names of peers' making: they have only letters, digits, - and _.
    for task in link.call(task_list::Request::default()).await?.tasks.into_iter().take(MAX_LISTED) {
        list.push(resource(format!("task/{}", task.id), task.id, "A task"));
    }
    for note in link.call(note_list::Request { after: None, limit: MAX_PAGE }).await?.notes.into_iter().take(MAX_LISTED)
    {
        list.push(resource(format!("note/{}", note.name), note.name.to_string(), "A note"));
    }
    Ok(list)
}

/// Reads a resource.
///
/// # Errors
/// If there is none of this address, or it is another agent's.
pub(crate) async fn read(uri: &str, link: &Link) -> Result<ReadResourceResult, ErrorData> {
    let Some(name) = Name::parse(uri) else {
        let shown: String = words::visible(uri).chars().take(128).collect();
        let message = format!("no resource {shown}; resources/list names them");
        return Err(ErrorData::resource_not_found(message, Some(json!({ "uri": shown }))));
    };
    let mut value = content(name, link).await.map_err(|error| {
        let text = words::refusal(&error.report("fedp2p"));
        ErrorData::resource_not_found(text, Some(json!({ "uri": uri })))
    })?;
    words::neutralise(&mut value);
    let content = ResourceContents::text(value.to_string(), uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![content]))
}

async fn content(name: Name, link: &Link) -> Result<Value, Error> {
    match name {
        Name::Pulse => {
            let agents = link.call(agents::Request::default()).await?.agents;
            let pulse = link.call(pulse::Request::default()).await?.agents;
            Ok(json!({ "agents": value(&agents), "pulse": value(&pulse) }))
        }
        Name::Mesh => {
            let node = link.call(status::Request::default()).await?;
            let others = link.call(peers::Request::default()).await?.peers;
            Ok(json!({ "node": value(&node.node), "reachable": node.reachable, "nodes": value(&others) }))
        }
        Name::Inbox(agent) => {
            let me = link.address();
            if agent != me.agent.as_str() && agent != me.to_string() {
                let message = format!("the inbox of {agent} is its own");
                return Err(Error::usage(message, format!("yours is {SCHEME}inbox/{}", me.agent)));
            }
            let reply = link.call(inbox::Request { limit: MAX_MESSAGES, ..Default::default() }).await?;
            let messages: Vec<_> = reply.messages.into_iter().map(|message| talk::Shown::of(message, 0)).collect();
            Ok(json!({ "messages": value(&messages), "more": reply.more }))
        }
        Name::Conversation(id) => {
            let thread = Some(id).filter(|id| id != "lobby");
            let request = history::Request { thread, limit: MAX_MESSAGES, ..Default::default() };
            let reply = link.call(request).await?;
            let messages: Vec<_> = reply.messages.into_iter().map(|message| talk::Shown::of(message, 0)).collect();
            Ok(json!({ "messages": value(&messages) }))
        }
        Name::Task(id) => Ok(value(&work::Shown::of(*link.call(task_show::Request { id }).await?, 0))),
        Name::Note(name) => {
            let name =
                name.parse().map_err(|_| Error::usage("there is no such note", "federation_notes lists them"))?;
            Ok(value(&notes::read(name, 0, link).await?.0))
        }
    }
}

fn value(shown: &impl Serialize) -> Value {
    serde_json::to_value(shown).unwrap_or_default()
}

/// The values that the variable of a template may have.
///
/// # Errors
/// If the daemon does not answer.
pub(crate) async fn complete(template: &str, link: &Link) -> Result<Vec<String>, Error> {
    let Some(Name::Inbox(_) | Name::Conversation(_) | Name::Task(_) | Name::Note(_)) = Name::parse(template) else {
        return Ok(Vec::new());
    };
    match template.strip_prefix(SCHEME).and_then(|path| path.split('/').next()) {
        Some("inbox") => Ok(vec![link.address().agent.to_string()]),
        Some("conversation") => conversations(link).await,
        Some("task") => tasks(link).await,
        Some("note") => Ok(link
            .call(note_list::Request { after: None, limit: MAX_PAGE })
            .await?
            .notes
            .iter()
            .map(|row| row.name.to_string())
            .collect()),
        _ => Ok(Vec::new()),
    }
}

/// The conversations that a client may name: the lobby, and the newest messages.
pub(crate) async fn conversations(link: &Link) -> Result<Vec<String>, Error> {
    let newest = link.call(history::Request { limit: MAX_MESSAGES, ..Default::default() }).await?.messages;
    let ids = newest.iter().rev().map(|message| message.id.to_string());
    Ok(std::iter::once("lobby".to_owned()).chain(ids).collect())
}

async fn tasks(link: &Link) -> Result<Vec<String>, Error> {
    Ok(link.call(task_list::Request::default()).await?.tasks.into_iter().map(|task| task.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_what_there_is() {
        assert_eq!(Name::parse("federation://pulse"), Some(Name::Pulse));
        assert_eq!(Name::parse("federation://task/a@b"), Some(Name::Task("a@b".to_owned())));
        for uri in ["federation://", "federation://task/", "federation://x/y", "http://pulse", "pulse", ""] {
            assert_eq!(Name::parse(uri), None, "{uri}");
        }
    }
}
