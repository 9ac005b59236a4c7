//! One node, called once: a request in, an answer or the reason why there is none out.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::nodes::Node;
use crate::wire::{Answer, Refusal};

/// Bytes of an answer: a receipt has a few hundred, a history up to 4 MiB of selectors.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a node did not confirm.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// No connection.
    Unreachable(String),
    /// The node's certificate is not one we trust.
    Untrusted(String),
    /// No answer in this time.
    Silent(Duration),
    /// The connection broke before the answer was complete.
    Cut(String),
    /// The token is not the node's, or not allowed to do this.
    Token(StatusCode),
    /// The node says no and would say so again.
    Refused(StatusCode, Refusal),
    /// The node says it cannot just now.
    Trouble(StatusCode, Refusal),
    /// An answer that is not one of a Larder node.
    Strange(String),
    /// We stopped waiting: enough others confirmed, or the operator pressed Ctrl-C.
    Left,
}

impl Failure {
    /// Whether trying again may help.
    pub(crate) const fn passes(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Silent(_) | Self::Cut(_) | Self::Trouble(..))
    }

    /// One word for the table and for machines.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Untrusted(_) => "untrusted",
            Self::Silent(_) => "silent",
            Self::Cut(_) => "cut",
            Self::Token(_) => "wrong-token",
            Self::Refused(..) => "refused",
            Self::Trouble(..) => "trouble",
            Self::Strange(_) => "strange",
            Self::Left => "unconfirmed",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "no connection: {why}"),
            Self::Untrusted(why) => write!(f, "its certificate is not trusted: {why}"),
            Self::Silent(time) => write!(f, "no answer within {} ms", time.as_millis()),
            Self::Cut(why) => write!(f, "the answer broke off: {why}"),
            Self::Token(status) => write!(f, "the token was not accepted ({})", status.as_u16()),
            Self::Refused(status, refusal) | Self::Trouble(status, refusal) => {
                write!(f, "{} ({})", refusal.error, status.as_u16())
            }
            Self::Strange(why) => write!(f, "not the answer of a Larder node: {why}"),
            Self::Left => f.write_str("had not answered when we stopped waiting"),
        }
    }
}

/// The admin listener of one node.
pub(crate) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    node: Node,
}

/// One request, the same for every node.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `GET` or `POST`.
    pub(crate) method: Method,
    /// Path below the node's admin URL.
    pub(crate) path: String,
    /// JSON, or nothing.
    pub(crate) body: Bytes,
    /// The id its receipt must carry.
    pub(crate) id: String,
    /// Whether its receipt must be one of a dry run.
    pub(crate) dry_run: bool,
}

impl Client {
    /// A client for `node`.
    ///
    /// # Errors
    /// A text when the authorities to trust cannot be read.
    pub(crate) fn new(node: Node) -> Result<Self, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = tls(&node).map_err(|why| format!("{}: {why}", node.name))?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { pool, node })
    }

    /// Sends `call` once and reads the whole answer. The time limit is the caller's.
    pub(crate) async fn send<T: Answer>(&self, call: &Call) -> Result<T, Failure> {
        let request = Request::builder()
            .method(&call.method)
            .uri(format!("{}{}", self.node.admin, call.path))
            .header(AUTHORIZATION, &self.node.authorization)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(call.body.clone()))
            .map_err(|e| Failure::Strange(e.to_string()))?;
        let answer = self.pool.request(request).await.map_err(|e| sending(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|e| Failure::Cut(root(e.as_ref())))?.to_bytes();
        judge(status, &body, call)
    }
}

fn judge<T: Answer>(status: StatusCode, body: &[u8], call: &Call) -> Result<T, Failure> {
    if status == StatusCode::OK {
        let answer: T = serde_json::from_slice(body).map_err(|e| Failure::Strange(e.to_string()))?;
        return match answer.check(&call.id, call.dry_run) {
            Ok(()) => Ok(answer),
            Err(why) => Err(Failure::Strange(why)),
        };
    }
    let refusal: Option<Refusal> = serde_json::from_slice(body).ok();
    match (status, refusal) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Err(Failure::Token(status)),
        (_, refusal) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            let unsaid = || Refusal { error: "the node is in trouble".to_owned(), hint: None };
            Err(Failure::Trouble(status, refusal.unwrap_or_else(unsaid)))
        }
        (_, Some(refusal)) => Err(Failure::Refused(status, refusal)),
        (_, None) => Err(Failure::Strange(format!("status {}", status.as_u16()))),
    }
}

fn sending(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(rustls::Error::InvalidCertificate(why)) = current.downcast_ref() {
            return Failure::Untrusted(why.to_string());
        }
        cause = below(current);
    }
    if error.is_connect() { Failure::Unreachable(root(error)) } else { Failure::Cut(root(error)) }
}

/// The cause of an error. What travels inside an `io::Error` is not its `source()` but the error itself.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The innermost reason, which is the one that says something.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut current = error;
    while let Some(inner) = below(current) {
        current = inner;
    }
    current.to_string()
}

fn tls(node: &Node) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let mut roots = rustls::RootCertStore::empty();
    if !node.admin.starts_with("https:") {
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    let Some(pem) = &node.authorities else {
        let builder =
            builder.with_native_roots().map_err(|e| format!("{e}; name a ca_file in the nodes file"))?;
        return Ok(builder.with_no_client_auth());
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|e| format!("ca_file: {e}"))?;
        roots.add(certificate).map_err(|e| format!("ca_file: {e}"))?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// An id nobody guesses and nobody else draws, in the shape of a UUID v4.
///
/// # Errors
/// A text when the system has no randomness to give.
pub(crate) fn draw_id() -> Result<String, String> {
    let mut bytes = [0_u8; 16];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| "the system gives no random numbers".to_owned())?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Receipt;

    fn verdict(status: u16, body: &str) -> Result<Receipt, Failure> {
        let call = Call {
            method: Method::POST,
            path: "/purge".to_owned(),
            body: Bytes::new(),
            id: "i".to_owned(),
            dry_run: false,
        };
        judge(StatusCode::from_u16(status).unwrap(), body.as_bytes(), &call)
    }

    #[test]
    fn answers_and_whether_they_pass() {
        let cases: [(u16, &str, &str, bool); 13] = [
            (200, "not json", "strange", false),
            (200, "{}", "strange", false),
            (200, r#"{"id":"other","sequence":1}"#, "strange", false),
            (200, r#"{"id":"i","sequence":1,"dry_run":true}"#, "strange", false),
            (200, r#"{"id":"i"}"#, "strange", false),
            (302, "", "strange", false),
            (404, "<html>", "strange", false),
            (401, r#"{"error":"no"}"#, "wrong-token", false),
            (403, "", "wrong-token", false),
            (400, r#"{"error":"selectors[0]: empty","hint":"x"}"#, "refused", false),
            (429, "", "trouble", true),
            (503, r#"{"error":"journal"}"#, "trouble", true),
            (502, "<html>", "trouble", true),
        ];
        for (status, body, word, passes) in cases {
            let failure = verdict(status, body).unwrap_err();
            assert_eq!((failure.as_str(), failure.passes()), (word, passes), "{status} {body}");
        }
        assert_eq!(verdict(200, r#"{"id":"i","sequence":4,"new":"field"}"#).unwrap().sequence, Some(4));
    }

    #[test]
    fn ids_differ_and_look_like_uuids() {
        let (one, two) = (draw_id().unwrap(), draw_id().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
    }
}
