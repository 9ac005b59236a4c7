//! Bytes into the store, and out of it as bodies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use larder_store::{NotKept, ReadError, Reader, Writer};

use super::Entry;
use super::stored::Stored;
use crate::http::{Body, Cut};
use crate::status::NotStored;

/// Pours `body` into `writer` until its end. A body that breaks off was never there (RFC 9111 3.3), and whoever
/// follows it sees it break off.
///
/// # Errors
/// Why the answer is not in the store now.
pub async fn pour(mut body: Body, mut writer: Writer<Stored>) -> Result<Arc<Entry>, NotStored> {
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Ok(chunk) = frame.into_data() else { continue };
                if writer.write(chunk).await.is_err() {
                    return Err(NotStored::StoreBusy);
                }
            }
            Err(cut) => {
                writer.abort(&told(cut));
                return Err(NotStored::Cut);
            }
        }
    }
    commit(writer).await
}

/// What whoever follows hears: it says of itself that the origin's answer broke off.
pub(super) fn told(cut: Cut) -> String {
    match cut {
        Cut::Origin(why) => why,
        other => other.to_string(),
    }
}

/// The body is whole: keeps it.
///
/// # Errors
/// Why it is not in the store.
pub(super) async fn commit(writer: Writer<Stored>) -> Result<Arc<Entry>, NotStored> {
    writer.commit().await.map_err(|why| match why {
        NotKept::TooLarge => NotStored::TooLarge,
        NotKept::Purged => NotStored::Purged,
        NotKept::Busy => NotStored::StoreBusy,
        NotKept::Length => NotStored::Cut,
    })
}

/// A body that is read from the store, or follows one that is being written to it.
pub struct Follow {
    reader: Reader,
    /// Bytes still to come, where it is known.
    left: Option<u64>,
}

impl Follow {
    /// Everything `reader` gives; `length` is how much that is, where it is known.
    #[must_use]
    pub const fn new(reader: Reader, length: Option<u64>) -> Self {
        Self { reader, left: length }
    }
}

impl HttpBody for Follow {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(self.reader.poll_next(cx));
        Poll::Ready(match next {
            Some(Ok(mut piece)) => {
                if let Some(left) = &mut self.left {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                    piece.truncate(take);
                    *left -= take as u64;
                }
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(error)) => Some(Err(cut(&error))),
            None if self.left.is_some_and(|left| left > 0) => {
                Some(Err(Cut::Store("the body is shorter than its length".into())))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn cut(error: &ReadError) -> Cut {
    match error {
        ReadError::Aborted(why) => Cut::Origin(why.to_string()),
        other => Cut::Store(other.to_string()),
    }
}
