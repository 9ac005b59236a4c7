//! QUERY (RFC 10008): a safe request whose content is part of what it asks for, so it is read before the cache is asked.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::content::{Content, Room};
use crate::context::Exchange;
use crate::http::{Body, Cut};
use crate::limits::QUERY_CONTENT_BYTES_MAX;
use crate::policy::query;
use crate::status::Forward;

/// Reads the content of a QUERY into `exchange`, whose secondary keys begin with it from here on; what is left of the body
/// is nothing. Every other method, a content above [`QUERY_CONTENT_BYTES_MAX`] or above what the site takes, and one that
/// comes while too many are held keep their body: such a QUERY goes past the cache.
pub async fn take_in(exchange: &mut Exchange, mut body: Body, site_max: u64) -> Body {
    if exchange.request.method != Method::QUERY || exchange.passes.is_some() {
        return body;
    }
    // Until it is part of the key.
    exchange.passes = Some(Forward::Bypass);
    let most = usize::try_from(site_max).unwrap_or(usize::MAX).min(QUERY_CONTENT_BYTES_MAX);
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > most) {
        return body;
    }
    let Some(room) = Room::take() else { return body };
    let (content, cut) = read(&mut body, most).await;
    if cut.is_some() || content.len() > most {
        return Body::stream(Begun { begin: content, cut, rest: body });
    }
    exchange.base = query::base(&exchange.request.headers, &content);
    exchange.content = Content::held(content, room);
    exchange.passes = None;
    Body::Empty
}

/// The content up to its end, or up to a frame more than `most` bytes of it; and why it broke off.
async fn read(body: &mut Body, most: usize) -> (Bytes, Option<Cut>) {
    let mut content = BytesMut::new();
    while content.len() <= most {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    content.extend_from_slice(&data);
                }
            }
            Some(Err(cut)) => return (content.freeze(), Some(cut)),
            None => break,
        }
    }
    (content.freeze(), None)
}

/// A body whose first bytes were read already.
struct Begun {
    begin: Bytes,
    cut: Option<Cut>,
    rest: Body,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if !self.begin.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.begin)))));
        }
        if let Some(cut) = self.cut.take() {
            return Poll::Ready(Some(Err(cut)));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.begin.is_empty() && self.cut.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
