//! The server over HTTP, on this machine's own address, in the process of the daemon but on a thread of its own.
//!
//! Whoever calls shows the token, which lies in a file that only the user can read. A page in a browser cannot call: its
//! `Origin`, and a `Host` that is not this machine, are refused before anything else. Who calls is told by the session, in
//! the era that has them ([`sessions`]), and by the header `Fedp2p-Agent` in the era that has not: without it nobody could
//! tell two clients of one tool apart.

mod places;
mod sessions;

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fedp2p_node::home::Home;
use fedp2p_protocols::name::AgentName;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand_core::{OsRng, RngCore};
use rmcp::model::Extensions;
use tokio::runtime::Builder;
use tokio::time::timeout;

use self::places::{Place as ConnectionPlace, Places};
use self::sessions::{MAX_SESSIONS, SESSION, Sessions};
use super::Server;
use super::receipt::{Receipt, Taken};
use super::start::Starter;
use super::tools::Profile;
use super::who::{Agents, Client, Naming, SILENCE};

/// Where the server is.
const PATH: &str = "/mcp";
/// The header by which a client says which agent it speaks for.
const AGENT: HeaderName = HeaderName::from_static("fedp2p-agent");
/// The header by which a client says which revision of the protocol it speaks.
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The first revision without sessions. Revisions are dates, so later ones come after it.
const WITHOUT_SESSIONS: &str = "2026-07-28";
/// The longest request.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The longest request that begins a session: what the client says of itself is kept as long as the session.
const MAX_OPENING_BYTES: usize = 64 * 1024;
/// Most connections at one time.
const MAX_CONNECTIONS: usize = 128;
/// How long a client has to say what it wants.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// How long it has to send all of it.
pub(super) const BODY_LIMIT: Duration = Duration::from_secs(10);
/// How long to wait before accepting again after the system refused.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How many random bytes a token has.
const TOKEN_BYTES: usize = 24;

/// Where clients find the server of a home, and what they show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    url: PathBuf,
    token: PathBuf,
}

impl Place {
    /// The place of this home's server.
    pub(crate) fn of(home: &Home) -> Self {
        Self { url: home.root().join("mcp.url"), token: home.root().join("mcp.token") }
    }

    /// The file with the token.
    pub(crate) fn token_file(&self) -> &Path {
        &self.token
    }

    /// The address of the server that runs, or ran last.
    pub(crate) fn url(&self) -> Option<String> {
        Some(std::fs::read_to_string(&self.url).ok()?.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// Returns the token, which is made at the first start.
    fn open_token(&self) -> io::Result<String> {
        match std::fs::read_to_string(&self.token) {
            Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => {
                let token = new_token();
                write(&self.token, &token)?;
                Ok(token)
            }
        }
    }

    /// Says that there is no server.
    fn close(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.url) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Listens where it did the last time if that is free.
    fn listen(&self) -> io::Result<TcpListener> {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let before = self.url().and_then(|url| url.parse::<Uri>().ok()?.port_u16());
        let listener = match before.map(|port| TcpListener::bind(local(port))) {
            Some(Ok(listener)) => listener,
            Some(Err(_)) | None => TcpListener::bind(local(0))?,
        };
        listener.set_nonblocking(true)?;
        write(&self.url, &format!("http://{}{PATH}", listener.local_addr()?))?;
        Ok(listener)
    }
}

/// Returns a token that nobody guesses.
pub(super) fn new_token() -> String {
    let mut bytes = [0; TOKEN_BYTES];
    OsRng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file that only its owner can read, whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // Of mode 0600 from the beginning.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

/// Starts the server of a home, which ends with the process, or makes sure that none is found there.
///
/// # Errors
/// If there is no place to listen, or a file cannot be written.
pub(crate) fn open(home: &Home, profile: Option<Profile>) -> io::Result<()> {
    let place = Place::of(home);
    let Some(profile) = profile else { return place.close() };
    let door = Door { token: blake3::hash(place.open_token()?.as_bytes()) };
    let listener = place.listen()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let naming = Naming { agent: None, tool: None, project: None, share: false };
    let agents = Arc::new(Agents::new(home.clone(), naming, Starter::default()));
    std::thread::Builder::new().name("mcp".to_owned()).spawn(move || {
        runtime.block_on(async {
            let sweeping = Arc::clone(&agents);
            drop(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(SILENCE / 4).await;
                    sweeping.sweep().await;
                }
            }));
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                accept(listener, door, Server::new(profile, agents, client)).await;
            }
        });
    })?;
    Ok(())
}

async fn accept(listener: tokio::net::TcpListener, door: Door, server: Server) {
    let service = Arc::new(Service { door, sessions: Sessions::new(server, MAX_SESSIONS) });
    let answer = move |request, place| {
        let service = Arc::clone(&service);
        async move { service.serve(request, &place).await }
    };
    serve(listener, MAX_CONNECTIONS, answer).await;
}

/// What is answered to a request.
pub(super) type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Answers what comes over a listener, for at most so many connections at one time, as long as this is waited for.
pub(super) async fn serve<F, A>(listener: tokio::net::TcpListener, connections: usize, answer: F)
where
    F: Fn(Request<Incoming>, Arc<ConnectionPlace>) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let places = Places::new(connections);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let (place, left) = places.enter().await;
        let answer = answer.clone();
        drop(tokio::spawn(async move {
            let serve = hyper::service::service_fn(move |request| {
                let answered = answer(request, Arc::clone(&place));
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
            // However a connection ends, it concerns that client alone.
            tokio::select! {
                _ended = http.serve_connection(TokioIo::new(stream), serve) => {}
                _ended = left => {}
            }
        }));
    }
}

/// Returns an answer that is a text.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let body = BoxBody::new(Full::from(text.into()));
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// Whether a request names this machine as the one that it is for, and no other site as the one that it comes from.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(&HOST).and_then(|host| host.parse::<Authority>().ok());
    let origin = |text: &str| text.parse::<Uri>().ok().and_then(|origin| origin.host().map(is_local));
    host.is_some_and(|host| is_local(host.host())) && text(&ORIGIN).is_none_or(|text| origin(text).unwrap_or_default())
}

/// What every connection comes to.
struct Service {
    door: Door,
    sessions: Sessions,
}

impl Service {
    async fn serve(&self, request: Request<Incoming>, place: &Arc<ConnectionPlace>) -> Answer {
        match self.answer(request, place).await {
            Ok(answer) => answer,
            Err(refused) => refused.answer(),
        }
    }

    async fn answer(&self, request: Request<Incoming>, place: &Arc<ConnectionPlace>) -> Result<Answer, Refused> {
        self.door.check(request.uri(), request.headers())?;
        place.knows_token();
        let (parts, body) = request.into_parts();
        let body = read(body, MAX_BODY_BYTES, BODY_LIMIT).await?;
        // Only now: a client that is still writing may not see the answer.
        check_agent(&parts.headers)?;
        let opens = !parts.headers.contains_key(SESSION) && !is_without_session(&parts.headers);
        if opens && body.len() > MAX_OPENING_BYTES {
            return Err(Refused::Large);
        }
        let answering = place.answer();
        let receipt = Receipt::default();
        let mut request = Request::from_parts(parts, Full::new(body));
        request.extensions_mut().insert(receipt.clone());
        let answer = self.sessions.handle(request).await;
        Ok(answer.map(|body| {
            let body = body.map_frame(move |frame| {
                // The connection keeps its place until all is said.
                let _answering = &answering;
                frame
            });
            BoxBody::new(Taken::new(body.boxed(), receipt))
        }))
    }
}

/// Reads all that a client sends, if that is not too much and does not take too long.
async fn read<B>(body: B, most: usize, limit: Duration) -> Result<Bytes, Refused>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match timeout(limit, Limited::new(body, most).collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refused::Large),
        Ok(Err(_)) => Err(Refused::Broken),
        Err(_) => Err(Refused::Slow),
    }
}

/// What is looked at before anything is done.
struct Door {
    token: blake3::Hash,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Place,
    Site,
    Token,
    NoName,
    NoAgent,
    Large,
    Broken,
    Slow,
}

impl Refused {
    fn answer(self) -> Answer {
        let (status, text) = match self {
            Self::Place => (StatusCode::NOT_FOUND, "the server is at /mcp"),
            Self::Site => (StatusCode::FORBIDDEN, "only programs of this machine may call, and no page in a browser"),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "send \"Authorization: Bearer TOKEN\" with the token from the file that \"fedp2p status\" names",
            ),
            Self::NoName => (
                StatusCode::BAD_REQUEST,
                "Fedp2p-Agent names no agent: give it once, as a name of a-z, 0-9, '-' and '_' such as \"coder\"",
            ),
            Self::NoAgent => (
                StatusCode::BAD_REQUEST,
                "without a session each request says which agent it speaks for: send \"Fedp2p-Agent: NAME\", or begin a \
                 session with initialize as in revision 2025-11-25",
            ),
            Self::Large => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "a request has at most 1048576 bytes, and one that begins a session at most 65536",
            ),
            Self::Broken => (StatusCode::BAD_REQUEST, "the request did not come to its end"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "a request has to come within 10 seconds"),
        };
        let mut answer = self::text(status, format!("{text}\n"));
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if self == Self::Token {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl Door {
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        if !is_from_here(headers) {
            return Err(Refused::Site);
        }
        if uri.path() != PATH {
            return Err(Refused::Place);
        }
        let shown = headers.get(&AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
        let shown = shown.and_then(|shown| shown.split_once(' '));
        let shown = shown.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        // Hashes are compared in the same time, whatever they are.
        if !shown.is_some_and(|token| blake3::hash(token.as_bytes()) == self.token) {
            return Err(Refused::Token);
        }
        Ok(())
    }
}

/// Makes sure that it can be told for which agent a client speaks.
fn check_agent(headers: &HeaderMap) -> Result<(), Refused> {
    match agent(headers)? {
        None if is_without_session(headers) => Err(Refused::NoAgent),
        Some(_) | None => Ok(()),
    }
}

/// The agent that a client says it speaks for.
fn agent(headers: &HeaderMap) -> Result<Option<AgentName>, Refused> {
    let mut named = headers.get_all(AGENT).iter();
    let first = named.next().map(|name| name.to_str().ok().and_then(|name| name.parse().ok()).ok_or(Refused::NoName));
    match named.next() {
        Some(_) => Err(Refused::NoName),
        None => first.transpose(),
    }
}

/// Whether a request stands alone. What it says of a session then counts for nothing.
fn is_without_session(headers: &HeaderMap) -> bool {
    headers.get(REVISION).is_some_and(|revision| revision.as_bytes() >= WITHOUT_SESSIONS.as_bytes())
}

fn is_local(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

/// Tells clients apart by what comes with their requests.
fn client(extensions: &Extensions) -> Client {
    let Some(parts) = extensions.get::<Parts>() else {
        return Client { session: "http".to_owned(), ..Client::default() };
    };
    // What is no name was refused at the door.
    let agent = agent(&parts.headers).ok().flatten();
    let session = parts.headers.get(SESSION).and_then(|id| id.to_str().ok());
    let session = session.filter(|_| !is_without_session(&parts.headers));
    Client { session: session.unwrap_or("http").to_owned(), ends: session.is_some(), agent, ..Client::default() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    fn check(path: &str, headers: &[(&str, &str)]) -> Result<(), Refused> {
        let door = Door { token: blake3::hash(b"secret") };
        door.check(&path.parse().unwrap(), &map_of(headers))
    }

    fn map_of(headers: &[(&str, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_programs_of_this_machine_that_know_the_token_may_call() {
        let (host, token) = (("host", "127.0.0.1:4000"), ("authorization", "Bearer secret"));
        assert_eq!(check("/mcp", &[host, token]), Ok(()));
        assert_eq!(check("/mcp", &[("host", "localhost:1"), token, ("origin", "http://localhost:1")]), Ok(()));
        assert_eq!(check("/mcp", &[host]), Err(Refused::Token));
        assert_eq!(check("/mcp", &[host, ("authorization", "Bearer secret2")]), Err(Refused::Token));
        assert_eq!(check("/mcp", &[host, ("authorization", "Basic secret")]), Err(Refused::Token));
        assert_eq!(check("/mcp", &[host, token, ("origin", "https://evil.example")]), Err(Refused::Site));
        assert_eq!(check("/mcp", &[host, token, ("origin", "null")]), Err(Refused::Site));
        assert_eq!(check("/mcp", &[("host", "evil.example"), token]), Err(Refused::Site));
        assert_eq!(check("/mcp", &[token]), Err(Refused::Site));
        assert_eq!(check("/", &[host, token]), Err(Refused::Place));
    }

    #[test]
    fn a_request_without_a_session_names_its_agent_and_no_request_names_what_is_none() {
        let known = |headers: &[(&str, &str)]| check_agent(&map_of(headers));
        let (newer, older) = (("mcp-protocol-version", "2026-07-28"), ("mcp-protocol-version", "2025-11-25"));
        assert_eq!(known(&[older]), Ok(()));
        assert_eq!(known(&[newer]), Err(Refused::NoAgent));
        assert_eq!(known(&[newer, ("mcp-session-id", "x")]), Err(Refused::NoAgent));
        assert_eq!(known(&[newer, ("fedp2p-agent", "coder")]), Ok(()));
        for name in ["Not A Name!", "", "a@b"] {
            assert_eq!(known(&[older, ("fedp2p-agent", name)]), Err(Refused::NoName), "{name}");
            assert_eq!(known(&[newer, ("fedp2p-agent", name)]), Err(Refused::NoName), "{name}");
        }
        assert_eq!(known(&[newer, ("fedp2p-agent", "coder"), ("fedp2p-agent", "tester")]), Err(Refused::NoName));
    }

    /// A body of which nothing ever comes.
    struct Silent;

    impl Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_request_is_read_only_up_to_a_size_and_a_time() {
        let whole = || Full::<Bytes>::from("12345");
        assert_eq!(read(whole(), 5, BODY_LIMIT).await, Ok(Bytes::from("12345")));
        assert_eq!(read(whole(), 4, BODY_LIMIT).await, Err(Refused::Large));
        assert_eq!(read(Silent, 5, Duration::from_millis(1)).await, Err(Refused::Slow));
    }

    #[test]
    fn the_token_stays_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(&Home::locate(Some(folder.path())).unwrap());
        let token = place.open_token().unwrap();
        assert_eq!(place.open_token().unwrap(), token);
        assert_eq!(token.len(), 2 * TOKEN_BYTES);
        let mode = std::fs::metadata(place.token_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let port = place.listen().unwrap().local_addr().unwrap().port();
        assert_eq!(place.url().unwrap(), format!("http://127.0.0.1:{port}/mcp"));
        assert_eq!(place.listen().unwrap().local_addr().unwrap().port(), port);
    }
}
