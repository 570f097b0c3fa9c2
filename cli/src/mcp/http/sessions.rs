//! The sessions of the era that has them: how long they last, and how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{SessionId, SessionManager as _};
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use super::{Answer, MAX_BODY_BYTES};
use crate::mcp::Server;

/// The header of sessions.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Most sessions at one time. For one more, the one that was silent for longest ends; its client begins another.
pub(super) const MAX_SESSIONS: usize = 256;
/// How long a session lasts in which nothing is said: a tool that is left open overnight goes on.
const SILENCE: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Clone, Copy, Default)]
struct Use {
    /// Answers that are being given.
    answers: usize,
    /// Counts up with every change of any.
    since: u64,
}

#[derive(Debug, Default)]
struct Uses {
    next: u64,
    rows: BTreeMap<SessionId, Use>,
}

/// The server with its sessions.
pub(super) struct Sessions {
    service: StreamableHttpService<Server, LocalSessionManager>,
    manager: Arc<LocalSessionManager>,
    uses: Arc<Mutex<Uses>>,
    most: usize,
}

impl Sessions {
    /// A server that has so many sessions at one time.
    pub(super) fn new(server: Server, most: usize) -> Self {
        let config = StreamableHttpServerConfig::default().with_max_request_body_bytes(MAX_BODY_BYTES);
        let mut manager = LocalSessionManager::default();
        manager.session_config.keep_alive = Some(SILENCE);
        let manager = Arc::new(manager);
        let service = StreamableHttpService::new(move || Ok(server.session()), Arc::clone(&manager), config);
        Self { service, manager, uses: Arc::default(), most }
    }

    /// Answers a request.
    pub(super) async fn handle(&self, request: Request<Full<Bytes>>) -> Answer {
        let asked = session(request.headers());
        let known = match &asked {
            Some(id) => self.manager.sessions.read().await.contains_key(id),
            None => false,
        };
        let asked = asked.filter(|_| known).map(|id| self.hold(id));
        let answer = self.service.handle(request).await;
        let begun = session(answer.headers()).filter(|_| asked.is_none());
        let begun = begun.map(|id| self.hold(id));
        if let Some(begun) = &begun {
            self.make_room(&begun.session).await;
        }
        answer.map(|body| {
            let held = (asked, begun);
            let body = body.map_frame(move |frame| {
                // For as long as there is something to say.
                let _held = &held;
                frame
            });
            body.boxed()
        })
    }

    /// Ends the sessions that were silent for longest, if there are too many.
    async fn make_room(&self, newest: &SessionId) {
        loop {
            let known: BTreeSet<SessionId> = self.manager.sessions.read().await.keys().cloned().collect();
            let silent = {
                let mut uses = lock(&self.uses);
                uses.rows.retain(|id, _| known.contains(id));
                let others = uses.rows.iter().filter(|(id, _)| *id != newest);
                others.min_by_key(|(_, used)| (used.answers > 0, used.since)).map(|(id, _)| id.clone())
            };
            let Some(silent) = silent.filter(|_| known.len() > self.most) else { return };
            // It fails where the session has ended by itself.
            let _ended = self.manager.close_session(&silent).await;
        }
    }

    fn hold(&self, session: SessionId) -> Held {
        let held = Held { uses: Arc::clone(&self.uses), session };
        held.change(|answers| answers + 1);
        held
    }
}

fn lock(uses: &Mutex<Uses>) -> MutexGuard<'_, Uses> {
    uses.lock().unwrap_or_else(PoisonError::into_inner)
}

fn session(headers: &HeaderMap) -> Option<SessionId> {
    Some(headers.get(SESSION)?.to_str().ok()?.into())
}

/// An answer that is being given in a session.
struct Held {
    uses: Arc<Mutex<Uses>>,
    session: SessionId,
}

impl Held {
    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut uses = lock(&self.uses);
        uses.next += 1;
        let since = uses.next;
        let used = uses.rows.entry(self.session.clone()).or_default();
        *used = Use { answers: change(used.answers), since };
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.change(|answers| answers.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use fedp2p_node::home::Home;
    use hyper::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::mcp::start::Starter;
    use crate::mcp::tools::Profile;
    use crate::mcp::who::{Agents, Naming};

    fn sessions(most: usize) -> Sessions {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path())).unwrap();
        let naming = Naming { agent: None, tool: None, project: None, share: false };
        let agents = Arc::new(Agents::new(home, naming, Starter::default()));
        Sessions::new(Server::new(Profile::Default, agents, super::super::client), most)
    }

    fn request(method: &str, session: Option<&str>, body: &Value) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method).uri("/mcp").header("host", "localhost");
        let request = request.header("accept", "application/json, text/event-stream");
        let request = request.header("content-type", "application/json");
        let request = session.into_iter().fold(request, |request, id| request.header(SESSION, id));
        request.body(Full::from(body.to_string())).unwrap()
    }

    /// Begins a session and returns its id.
    async fn begin(sessions: &Sessions) -> String {
        let info = json!({"name": "test", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let answer = sessions.handle(request("POST", None, &body)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let id = answer.headers()[SESSION].to_str().unwrap().to_owned();
        let body = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(sessions.handle(request("POST", Some(&id), &body)).await.status(), StatusCode::ACCEPTED);
        id
    }

    async fn ping(sessions: &Sessions, id: &str) -> StatusCode {
        let body = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
        sessions.handle(request("POST", Some(id), &body)).await.status()
    }

    #[tokio::test]
    async fn one_session_too_many_ends_the_one_that_was_silent_for_longest_and_listens_to_nothing() {
        let sessions = sessions(3);
        let (listens, silent, speaks) = (begin(&sessions).await, begin(&sessions).await, begin(&sessions).await);
        let stream = sessions.handle(request("GET", Some(&listens), &json!({}))).await;
        assert_eq!(stream.status(), StatusCode::OK);
        assert_eq!(ping(&sessions, &speaks).await, StatusCode::OK);
        let new = begin(&sessions).await;
        assert_eq!(ping(&sessions, &silent).await, StatusCode::NOT_FOUND);
        for id in [&listens, &speaks, &new] {
            assert_eq!(ping(&sessions, id).await, StatusCode::OK);
        }
        assert_eq!(lock(&sessions.uses).rows.len(), 3, "what has ended is forgotten");
        drop(stream);
        for _ in 0..20 {
            begin(&sessions).await;
        }
        assert_eq!(ping(&sessions, &listens).await, StatusCode::NOT_FOUND);
        assert_eq!(sessions.manager.sessions.read().await.len(), 3);
    }

    #[test]
    fn a_session_outlasts_a_night() {
        let limit = sessions(1).manager.session_config.keep_alive;
        assert!(limit.is_some_and(|limit| limit >= Duration::from_secs(12 * 3600)), "{limit:?}");
    }

    #[tokio::test]
    async fn sessions_that_nobody_began_are_not_remembered() {
        let sessions = sessions(3);
        for n in 0..10 {
            assert_eq!(ping(&sessions, &format!("made-up-{n}")).await, StatusCode::NOT_FOUND);
        }
        assert!(lock(&sessions.uses).rows.is_empty());
    }
}
