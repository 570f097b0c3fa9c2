//! The page on which the person of this machine approves or denies what an agent asked for.
//!
//! The PIN of the node must not pass through the program that the agent runs in, which may write it down where the agent
//! reads it. So that program gets an address alone, and a browser takes what the person types to this process, which
//! goes through the same door as "fedp2p approve". An address names one question and is guessed by nobody; whoever
//! learns it can read that question, and answers it only with the PIN.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fedp2p_node::client::Client;
use fedp2p_node::home::Home;
use fedp2p_protocols::api::proposal::Proposal;
use fedp2p_protocols::api::{Caller, approval_answer, vote_show};
use fedp2p_protocols::id::ProposalHash;
use fedp2p_protocols::pulse::AgentKind;
use fedp2p_protocols::vote::{APPROVE, DENY};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use hyper::{Method, Request, StatusCode};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use super::http::{self, Answer};
use super::words;
use crate::context::here;
use crate::error::Error;

/// How long a page is there for its question.
const LIFETIME: Duration = Duration::from_secs(3600);
/// Most questions that have a page; those that are there for longest give way.
const MAX_PAGES: usize = 64;
/// Most connections at one time; others wait.
const MAX_CONNECTIONS: usize = 16;
/// The longest answer of a form: a reason and a PIN, each byte as three.
const MAX_FORM_BYTES: usize = 8 * 1024;
/// Where the pages are.
const PATH: &str = "/approve/";
/// What a browser may do with a page: show it, and send its form back.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
/// How it looks.
const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:42em;margin:3em auto;padding:0 1em}\
    pre{white-space:pre-wrap;overflow-wrap:anywhere;border-left:4px solid #888;padding-left:1em}\
    input,textarea{display:block;width:100%;box-sizing:border-box;font:inherit;margin:.2em 0 1em}\
    button{font:inherit;padding:.4em 2em;margin-right:1em}.refused{border:1px solid #a00;padding:.5em 1em}";

/// The pages of this process.
#[derive(Debug)]
pub(super) struct Pages {
    home: Home,
    asked: Arc<Mutex<BTreeMap<String, Asked>>>,
    place: OnceCell<SocketAddr>,
}

/// What a page asks, as it was when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    id: String,
    revision: u32,
    hash: ProposalHash,
    until: Instant,
}

impl Pages {
    pub(super) fn new(home: Home) -> Self {
        Self { home, asked: Arc::default(), place: OnceCell::new() }
    }

    /// Makes a page for a question and returns its address.
    ///
    /// # Errors
    /// If there is no place to listen.
    pub(super) async fn open(&self, proposal: &Proposal) -> io::Result<String> {
        let place = self.place.get_or_try_init(|| self.listen()).await?;
        let token = http::new_token();
        let until = Instant::now() + LIFETIME;
        let asked = Asked { id: proposal.id.clone(), revision: proposal.revision, hash: proposal.asked, until };
        let mut pages = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|_, page| page.until > Instant::now());
        while pages.len() >= MAX_PAGES {
            let oldest = pages.iter().min_by_key(|(_, page)| page.until).map(|(token, _)| token.clone());
            pages.remove(&oldest.unwrap_or_default());
        }
        pages.insert(token.clone(), asked);
        Ok(format!("http://{place}{PATH}{token}"))
    }

    async fn listen(&self) -> io::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let place = listener.local_addr()?;
        let (home, pages) = (self.home.clone(), Arc::clone(&self.asked));
        let answer = move |request, _place| answer(request, home.clone(), Arc::clone(&pages));
        drop(tokio::spawn(http::serve(listener, MAX_CONNECTIONS, answer)));
        Ok(place)
    }
}

async fn answer(request: Request<Incoming>, home: Home, pages: Arc<Mutex<BTreeMap<String, Asked>>>) -> Answer {
    if !http::is_from_here(request.headers()) {
        return shown(StatusCode::FORBIDDEN, "Only a browser on this machine can answer.", "");
    }
    let token = request.uri().path().strip_prefix(PATH).unwrap_or_default().to_owned();
    let page = pages.lock().unwrap_or_else(PoisonError::into_inner).get(&token).cloned();
    let Some(asked) = page.filter(|page| page.until > Instant::now()) else {
        return shown(StatusCode::NOT_FOUND, "This question is not asked here any more.", "");
    };
    let form = match *request.method() {
        Method::GET => None,
        Method::POST => {
            match timeout(http::BODY_LIMIT, Limited::new(request.into_body(), MAX_FORM_BYTES).collect()).await {
                Ok(Ok(body)) => Some(Form::read(&body.to_bytes())),
                Err(_) => return shown(StatusCode::REQUEST_TIMEOUT, "The answer did not come to its end.", ""),
                Ok(Err(_)) => return shown(StatusCode::PAYLOAD_TOO_LARGE, "A reason has at most 1 KiB.", ""),
            }
        }
        _ => return shown(StatusCode::METHOD_NOT_ALLOWED, "Look at the page, or answer with its form.", ""),
    };
    let refused = match form {
        None => None,
        Some(form) => match form.send(&asked, &home).await {
            Ok(word) => {
                pages.lock().unwrap_or_else(PoisonError::into_inner).remove(&token);
                return shown(StatusCode::OK, &format!("You {word} it. You can close this page."), "");
            }
            Err(error) => Some(error),
        },
    };
    match look(&asked, &home).await {
        Ok(proposal) => question(&proposal, refused.as_ref()),
        Err(error) => shown(StatusCode::CONFLICT, &refusal(&error), ""),
    }
}

/// What a person typed.
#[derive(Default)]
struct Form {
    answer: String,
    reason: String,
    pin: String,
}

impl Form {
    fn read(body: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "answer" => form.answer = value.into_owned(),
                "reason" => form.reason = value.trim().to_owned(),
                "pin" => form.pin = value.into_owned(),
                _ => {}
            }
        }
        form
    }

    /// Answers as the person of this machine, and returns what that is called.
    async fn send(self, asked: &Asked, home: &Home) -> Result<&'static str, Error> {
        let (approve, word) = match self.answer.as_str() {
            APPROVE => (true, "approved"),
            DENY => (false, "denied"),
            _ => return Err(Error::usage("nothing was answered", "approve or deny")),
        };
        let request = approval_answer::Request {
            id: asked.id.clone(),
            approve,
            reason: Some(self.reason).filter(|reason| !reason.is_empty()),
            pin: Some(self.pin),
            revision: Some(asked.revision),
            asked: Some(asked.hash),
        };
        connect(home).await?.call(request).await?;
        Ok(word)
    }
}

async fn connect(home: &Home) -> Result<Client, Error> {
    Ok(Client::connect(home, Caller { name: here(), kind: AgentKind::Person }).await?)
}

/// Returns the question, if it still is the one that the page was made for.
async fn look(asked: &Asked, home: &Home) -> Result<Box<Proposal>, Error> {
    let proposal = connect(home).await?.call(vote_show::Request { id: asked.id.clone() }).await?;
    if !proposal.open {
        return Err(Error::usage("the question is closed", "\"fedp2p approve list\" shows what waits"));
    }
    if proposal.asked != asked.hash {
        return Err(Error::usage("something else is asked by now", "\"fedp2p approve list\" shows what waits"));
    }
    Ok(proposal)
}

fn refusal(error: &Error) -> String {
    let report = error.report("fedp2p");
    format!("{}: {}", report.message, report.hint)
}

fn question(proposal: &Proposal, refused: Option<&Error>) -> Answer {
    let status = if refused.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    let refused = refused.map(|error| format!("<p class=refused>{}</p>", escaped(&refusal(error)))).unwrap_or_default();
    let form = format!(
        "<p>The agent <b>{by}</b> wrote this, and nobody else checked it:</p><pre>{question}</pre>{refused}\
         <form method=post><label>Why, if you like<textarea name=reason rows=2></textarea></label>\
         <label>PIN of this node<input name=pin type=password autocomplete=off required></label>\
         <button name=answer value={APPROVE}>Approve</button><button name=answer value={DENY}>Deny</button></form>",
        by = escaped(&proposal.by.to_string()),
        question = escaped(&proposal.question),
    );
    shown(status, &format!("Approve or deny {}", proposal.id), &form)
}

fn shown(status: StatusCode, title: &str, rest: &str) -> Answer {
    let title = escaped(title);
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>fedp2p</title><style>{STYLE}</style>\
         <h1>{title}</h1>{rest}</html>\n"
    );
    let mut answer = http::text(status, html);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // With "no-referrer" a browser would send the form without saying from where.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// Returns `text` with what nobody sees made visible, as the text of a page.
fn escaped(text: &str) -> String {
    let mut html = String::new();
    for c in words::visible(text).chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_stays_text() {
        assert_eq!(escaped("<b a='\"'>&\u{202e}"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\\u{202e}");
    }

    #[test]
    fn a_form_is_read_as_a_browser_sends_it() {
        let form = Form::read(b"reason=+backups+are%20checked&pin=1%2B2&answer=approve&colour=red");
        assert_eq!(
            (form.answer.as_str(), form.reason.as_str(), form.pin.as_str()),
            (APPROVE, "backups are checked", "1+2")
        );
    }
}
