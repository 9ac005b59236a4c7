//! The floor of `benches/load`: a hyper server that does nothing but answer from one buffer, on one thread. What a cache
//! costs is what it needs beyond this.
//!
//! `floor 127.0.0.1:9506` answers `/1k`, `/64k` and `/1m` over HTTP/1.1 until it is ended.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

fn answer(path: &str, bodies: &[(&'static str, Bytes)]) -> Response<Full<Bytes>> {
    let Some((_, body)) = bodies.iter().find(|(name, _)| *name == path) else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Full::new(body.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

#[expect(clippy::disallowed_methods, reason = "nothing here is ever looked for by its name")]
async fn serve(address: &str) -> std::io::Result<()> {
    let sizes = [("/1k", 1 << 10), ("/64k", 64 << 10), ("/1m", 1 << 20)];
    let bodies: &'static [(&str, Bytes)] =
        Box::leak(sizes.map(|(name, size)| (name, Bytes::from(vec![b'x'; size]))).into());
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service_fn(move |request: Request<Incoming>| async move {
            Ok::<_, Infallible>(answer(request.uri().path(), bodies))
        });
        tokio::task::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9506".to_owned());
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&address))
}
