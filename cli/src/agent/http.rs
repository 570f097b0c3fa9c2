//! Asks one HTTP endpoint, and nobody else.
//!
//! There are no proxies, whatever the environment says, no redirects, no cookies and no connections that are kept: each
//! question opens a connection to the host of the URL, and closes it. Dropping the question closes it too, so that a
//! model stops working on what nobody waits for.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, LOCATION, USER_AGENT};
use hyper::http::uri::{Authority, Scheme};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// How long the endpoint has to take a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What is said of a URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadUrl(String);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody answers there.
    #[error("{at} cannot be reached: {source}")]
    Unreachable {
        /// The host and the port.
        at: String,
        /// What the system says.
        source: io::Error,
    },
    /// What answers does not speak HTTP as it should, or stopped in the middle.
    #[error("{at} gave no proper answer: {reason}")]
    Broken {
        /// The host and the port.
        at: String,
        /// What was wrong.
        reason: String,
    },
    /// It wants to send us elsewhere.
    #[error("{at} redirects to {to}, and redirects are not followed")]
    Redirected {
        /// The host and the port.
        at: String,
        /// Where to.
        to: String,
    },
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// How it went.
    pub(crate) status: StatusCode,
    /// What was said.
    pub(crate) body: Bytes,
}

/// An OpenAI-compatible endpoint.
pub(crate) struct Endpoint {
    tls: Option<TlsConnector>,
    authority: Authority,
    port: u16,
    /// The path below which everything is, without a slash at the end.
    base: String,
    key: Option<HeaderValue>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of it.
        f.debug_struct("Endpoint").field("authority", &self.authority).field("base", &self.base).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Reads a URL such as `http://127.0.0.1:8080`, `…/v1` or `…/v1/chat/completions`, and takes the key that the endpoint
    /// wants, if it wants one.
    ///
    /// # Errors
    /// If it is no URL that can be asked.
    pub(crate) fn new(url: &str, key: Option<&str>) -> Result<Self, BadUrl> {
        let bad = |reason: &str| BadUrl(format!("{url:?} {reason}"));
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        let scheme = uri.scheme().ok_or_else(|| bad("does not begin with http:// or https://"))?;
        let secure = *scheme == Scheme::HTTPS;
        if !secure && *scheme != Scheme::HTTP {
            return Err(bad("does not begin with http:// or https://"));
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| bad("names no host"))?.clone();
        if authority.as_str().contains('@') {
            return Err(bad("holds a user or a password; give a key with --key-file"));
        }
        if uri.query().is_some() {
            return Err(bad("has a query, for which there is no place"));
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/chat/completions").unwrap_or(path);
        let base = if path.is_empty() { "/v1".to_owned() } else { path.to_owned() };
        let key = key.map(|key| HeaderValue::from_str(&format!("Bearer {key}"))).transpose();
        let key = key.map_err(|_| BadUrl("the key holds characters that no header can".to_owned()))?;
        let key = key.map(|mut key| {
            key.set_sensitive(true);
            key
        });
        let tls = if secure { Some(tls().map_err(|reason| bad(&reason))?) } else { None };
        Ok(Self { tls, authority, port, base, key })
    }

    /// The host and the port, as people read them.
    pub(crate) fn at(&self) -> String {
        format!("{}:{}", self.authority.host(), self.port)
    }

    /// Asks for what is at a path below the endpoint's; with a body it is posted.
    ///
    /// # Errors
    /// If there is no proper answer. Any status but a redirect is one.
    pub(crate) async fn ask(&self, path: &str, body: Option<Vec<u8>>) -> Result<Answer, Error> {
        let broken = |reason: &dyn fmt::Display| Error::Broken { at: self.at(), reason: reason.to_string() };
        let stream = self.connect().await.map_err(|source| Error::Unreachable { at: self.at(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // Ends with this call, whether it comes to its end or is dropped.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = self.request(path, body).map_err(|error| broken(&error))?;
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("another place");
            return Err(Error::Redirected { at: self.at(), to: to.to_owned() });
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        Ok(Answer { status, body: body.map_err(|error| broken(&error))?.to_bytes() })
    }

    fn request(&self, path: &str, body: Option<Vec<u8>>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(HOST, self.authority.as_str())
            .header(ACCEPT, "application/json")
            .header(CONNECTION, "close")
            .header(USER_AGENT, concat!("fedp2p/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key);
        }
        request.body(Full::new(Bytes::from(body.unwrap_or_default())))
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", CONNECT.as_secs()));
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let connecting = async {
            let stream = TcpStream::connect((host, self.port)).await?;
            stream.set_nodelay(true)?;
            let Some(tls) = &self.tls else { return Ok::<Box<dyn Stream>, io::Error>(Box::new(stream)) };
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let stream: Box<dyn Stream> = Box::new(tls.connect(name, stream).await?);
            Ok(stream)
        };
        timeout(CONNECT, connecting).await.unwrap_or_else(|_| Err(late()))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// TLS with the certificates that this system trusts.
fn tls() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("needs certificates to trust, and this system has none".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error: rustls::Error| error.to_string())?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_endpoint_is_named_by_its_host_its_version_or_its_whole_url() {
        for (url, at, base) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/v1"),
            ("http://localhost/", "localhost:80", "/v1"),
            ("http://[::1]:9/v1/", "[::1]:9", "/v1"),
            ("https://models.lan/api/v1/chat/completions", "models.lan:443", "/api/v1"),
        ] {
            let endpoint = Endpoint::new(url, None).unwrap();
            assert_eq!((endpoint.at().as_str(), endpoint.base.as_str()), (at, base), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_a_reason() {
        for (url, reason) in [
            ("127.0.0.1:8080", "does not begin"),
            ("ftp://host/", "does not begin"),
            ("http://", "is no URL"),
            ("http://me:secret@host/", "--key-file"),
            ("http://host/v1?key=1", "query"),
        ] {
            let error = Endpoint::new(url, None).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
        let endpoint = Endpoint::new("http://host", Some("secret")).unwrap();
        assert!(!format!("{endpoint:?}").contains("secret"));
        assert!(Endpoint::new("http://host", Some("two\nlines")).is_err());
    }

    /// Answers one question with this, and returns the URL to ask and what was asked.
    async fn answering(answer: String) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).await.unwrap();
            drop(stream.write_all(answer.as_bytes()).await);
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        (url, asked)
    }

    #[tokio::test]
    async fn the_question_goes_to_the_url_with_the_key_and_the_answer_comes_back() {
        let (url, asked) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()).await;
        let answer = Endpoint::new(&url, Some("k")).unwrap().ask("/models", None).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ok"[..]));
        let asked = asked.await.unwrap();
        assert!(
            asked.starts_with("GET /v1/models HTTP/1.1\r\n") && asked.contains("authorization: Bearer k\r\n"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn redirects_are_not_followed_and_answers_have_a_limit() {
        let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://elsewhere.example/\r\n\r\n";
        let (url, _asked) = answering(elsewhere.to_owned()).await;
        let error = Endpoint::new(&url, None).unwrap().ask("/x", Some(b"{}".to_vec())).await.unwrap_err();
        assert!(error.to_string().contains("redirects to http://elsewhere.example/"), "{error}");
        let long = "x".repeat(MAX_ANSWER_BYTES + 1);
        let (url, _asked) = answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}", long.len())).await;
        let error = Endpoint::new(&url, None).unwrap().ask("/x", None).await.unwrap_err();
        assert!(error.to_string().contains("limit"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_http_and_nobody_at_all_are_told_apart() {
        let (url, _asked) = answering("SSH-2.0-OpenSSH\r\n".to_owned()).await;
        let endpoint = Endpoint::new(&url, None).unwrap();
        assert!(matches!(endpoint.ask("/x", None).await, Err(Error::Broken { .. })));
        assert!(matches!(endpoint.ask("/x", None).await, Err(Error::Unreachable { .. })));
    }
}
