//! Encoding a body while it streams: in pieces with a pause for the worker between them, flushed whenever the source
//! pauses, and never with a clean end after a cut.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_compression::brotli::EncoderParams;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use async_compression::{Level, zstd::CParameter};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::io::AsyncWrite;

use super::compress::{Coding, Config};
use crate::http::{Body, Cut};
use crate::limits::{COMPRESS_PIECE_BYTES, COMPRESS_STREAMS_MAX, COMPRESS_WINDOW_BITS_MAX};

/// Smallest window that both brotli and zstd are efficient with.
const WINDOW_BITS_MIN: u32 = 16;

/// Encoders that hold memory now, on all workers.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Whether one more body may be encoded now. Ask before [`encode_stream`], and before its head is made; where there is
/// no room send the identity form. Workers that ask at the same moment may go over by one each.
#[must_use]
pub fn has_room() -> bool {
    OPEN.load(Ordering::Relaxed) < COMPRESS_STREAMS_MAX
}

/// The encoded form of `body`; [`Coding::Identity`] gives it back as it is. Trailers are dropped: what they say of the
/// identity bytes would be wrong.
#[must_use]
pub fn encode_stream(config: &Config, coding: Coding, body: Body) -> Body {
    let Some(encoder) = Encoder::new(config, coding, body.size_hint().exact()) else { return body };
    Body::stream(Encoded {
        source: body,
        encoder: Some(encoder),
        pending: Bytes::new(),
        unflushed: false,
        since_pause: 0,
    })
}

struct Encoded {
    source: Body,
    /// `None` after the end or a cut.
    encoder: Option<Encoder>,
    /// What the source gave and the encoder has not taken yet.
    pending: Bytes,
    /// Whether the encoder may hold back bytes that a waiting client could use.
    unflushed: bool,
    /// Bytes encoded since the worker last had a chance to do something else.
    since_pause: usize,
}

impl HttpBody for Encoded {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        loop {
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            if this.since_pause >= COMPRESS_PIECE_BYTES {
                this.since_pause = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let step = if this.pending.is_empty() {
                match Pin::new(&mut this.source).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        this.pending = frame.into_data().unwrap_or_default();
                        continue;
                    }
                    Poll::Ready(Some(Err(cut))) => {
                        this.encoder = None;
                        return Poll::Ready(Some(Err(cut)));
                    }
                    Poll::Ready(None) => {
                        let end = encoder.finish(cx);
                        this.encoder = None;
                        end
                    }
                    Poll::Pending if std::mem::take(&mut this.unflushed) => match encoder.flush(cx) {
                        Ok(None) => return Poll::Pending,
                        flushed => flushed,
                    },
                    Poll::Pending => {
                        this.since_pause = 0;
                        return Poll::Pending;
                    }
                }
            } else {
                let room = COMPRESS_PIECE_BYTES - this.since_pause;
                let piece = this.pending.split_to(this.pending.len().min(room));
                this.since_pause += piece.len();
                this.unflushed = true;
                encoder.write(cx, &piece)
            };
            match step {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(None) => {}
                Err(error) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(Cut::Store(format!("{error} while compressing")))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}

/// One codec, counted while it lives.
struct Encoder(Codec);

impl Drop for Encoder {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the three, over a buffer that takes whatever comes.
enum Codec {
    Gzip(Box<GzipEncoder<Vec<u8>>>),
    Brotli(Box<BrotliEncoder<Vec<u8>>>),
    Zstd(Box<ZstdEncoder<Vec<u8>>>),
}

impl Encoder {
    /// `len`: bytes of the whole input where known; a small body needs no large window.
    fn new(config: &Config, coding: Coding, len: Option<u64>) -> Option<Self> {
        let level = |level: u32| Level::Precise(i32::try_from(level).unwrap_or(i32::MAX));
        let window = window_bits(len);
        let out = Vec::new();
        let codec = match coding {
            Coding::Identity => return None,
            Coding::Gzip => {
                Codec::Gzip(Box::new(GzipEncoder::with_quality(out, level(config.gzip_level.clamp(1, 9)))))
            }
            Coding::Brotli => {
                let params = EncoderParams::default()
                    .quality(level(config.brotli_level))
                    .window_size(i32::try_from(window).unwrap_or_default())
                    .size_hint(len.and_then(|len| usize::try_from(len).ok()).unwrap_or_default());
                Codec::Brotli(Box::new(BrotliEncoder::with_params(out, params)))
            }
            Coding::Zstd => {
                let params = [CParameter::window_log(window)];
                let level = level(config.zstd_level.clamp(1, 19));
                Codec::Zstd(Box::new(ZstdEncoder::with_quality_and_params(out, level, &params)))
            }
        };
        OPEN.fetch_add(1, Ordering::Relaxed);
        Some(Self(codec))
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        Pin::new(match &mut self.0 {
            Codec::Gzip(encoder) => &mut **encoder,
            Codec::Brotli(encoder) => &mut **encoder,
            Codec::Zstd(encoder) => &mut **encoder,
        })
    }

    /// What has come out since the last time.
    fn take(&mut self) -> Option<Bytes> {
        let out = match &mut self.0 {
            Codec::Gzip(encoder) => encoder.get_mut(),
            Codec::Brotli(encoder) => encoder.get_mut(),
            Codec::Zstd(encoder) => encoder.get_mut(),
        };
        (!out.is_empty()).then(|| Bytes::from(std::mem::take(out)))
    }

    fn write(&mut self, cx: &mut Context<'_>, mut piece: &[u8]) -> io::Result<Option<Bytes>> {
        while !piece.is_empty() {
            match at_once(self.writer().poll_write(cx, piece))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                taken => piece = piece.get(taken..).unwrap_or_default(),
            }
        }
        Ok(self.take())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Bytes>> {
        at_once(self.writer().poll_flush(cx))?;
        Ok(self.take())
    }

    fn finish(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Bytes>> {
        at_once(self.writer().poll_shutdown(cx))?;
        Ok(self.take())
    }
}

/// A buffer in memory is always ready; if that ever changes the body is cut instead of left hanging.
fn at_once<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn window_bits(len: Option<u64>) -> u32 {
    let needed = len.map_or(u64::BITS, |len| u64::BITS - len.saturating_sub(1).leading_zeros());
    needed.clamp(WINDOW_BITS_MIN, COMPRESS_WINDOW_BITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
    use futures_util::FutureExt;
    use http_body_util::BodyExt;
    use tokio::io::AsyncReadExt;
    use tokio::sync::mpsc;

    const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    /// A source that a test feeds frame by frame.
    struct Fed(mpsc::Receiver<Result<Frame<Bytes>, Cut>>);

    impl HttpBody for Fed {
        type Data = Bytes;
        type Error = Cut;

        fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
            self.get_mut().0.poll_recv(cx)
        }
    }

    fn fed() -> (mpsc::Sender<Result<Frame<Bytes>, Cut>>, Body) {
        let (feed, source) = mpsc::channel(64);
        (feed, Body::stream(Fed(source)))
    }

    /// What a client makes of bytes that may stop anywhere: the text so far, and whether the end was clean.
    async fn decode(coding: Coding, encoded: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let clean = match coding {
            Coding::Identity => unreachable!("not decoded"),
            Coding::Gzip => GzipDecoder::new(encoded).read_to_end(&mut out).await,
            Coding::Brotli => BrotliDecoder::new(encoded).read_to_end(&mut out).await,
            Coding::Zstd => ZstdDecoder::new(encoded).read_to_end(&mut out).await,
        };
        (out, clean.is_ok())
    }

    /// Text that compresses, but not to nothing, the same in every run.
    fn text(len: usize) -> Bytes {
        let mut state = 7_u64;
        let words = std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{} ", state >> 56)
        });
        let mut text: Vec<u8> = words.take(len).flat_map(String::into_bytes).take(len).collect();
        text.truncate(len);
        Bytes::from(text)
    }

    #[tokio::test]
    async fn round_trips_through_other_decoders() {
        let piece = COMPRESS_PIECE_BYTES;
        for coding in CODINGS {
            for len in [0, 1, 255, 4096, piece - 1, piece, piece + 1, 5 * piece + 3, 40 * piece] {
                let body = encode_stream(&Config::default(), coding, Body::from(text(len)));
                let encoded = body.collect().await.unwrap().to_bytes();
                let (decoded, clean) = decode(coding, &encoded).await;
                assert!(clean && decoded == text(len), "{coding:?} {len}");
                assert!(len < 1000 || encoded.len() * 10 < len * 6, "{coding:?} {len}: {}", encoded.len());
            }
        }
    }

    #[tokio::test]
    async fn every_level_the_config_allows() {
        for level in 0..=19 {
            let config = Config {
                gzip_level: level,
                brotli_level: level.min(11),
                zstd_level: level,
                ..Config::default()
            };
            for coding in CODINGS {
                let body = encode_stream(&config, coding, Body::from(text(3000)));
                let encoded = body.collect().await.unwrap().to_bytes();
                assert!(decode(coding, &encoded).await == (text(3000).to_vec(), true), "{coding:?} {level}");
            }
        }
    }

    #[tokio::test]
    async fn identity_is_left_alone() {
        let body = encode_stream(&Config::default(), Coding::Identity, Body::from(text(10)));
        assert!(matches!(body, Body::Full(_)));
    }

    #[tokio::test]
    async fn a_pause_of_the_source_lets_everything_out() {
        for coding in CODINGS {
            let (feed, source) = fed();
            let mut body = encode_stream(&Config::default(), coding, source);
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            for round in 0..5 {
                let line = format!("line {round} of a page that takes its time\n");
                feed.try_send(Ok(Frame::data(Bytes::from(line.clone())))).unwrap();
                sent.extend_from_slice(line.as_bytes());
                while let Some(frame) = body.frame().now_or_never() {
                    got.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap());
                }
                assert_eq!(decode(coding, &got).await.0, sent, "{coding:?}: a client reads what was sent");
                let before = got.len();
                assert!(body.frame().now_or_never().is_none(), "nothing new, nothing sent");
                assert_eq!(before, got.len());
            }
            drop(feed);
            got.extend_from_slice(&body.collect().await.unwrap().to_bytes());
            assert_eq!(decode(coding, &got).await, (sent, true), "{coding:?}");
        }
    }

    #[tokio::test]
    async fn a_cut_is_never_a_clean_end() {
        for coding in CODINGS {
            for len in [0, 10, 3 * COMPRESS_PIECE_BYTES] {
                let (feed, source) = fed();
                feed.try_send(Ok(Frame::data(text(len)))).unwrap();
                feed.try_send(Err(Cut::Silent(30))).unwrap();
                let mut body = encode_stream(&Config::default(), coding, source);
                let mut got = Vec::new();
                let cut = loop {
                    match body.frame().await.expect("an error comes before the end") {
                        Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
                        Err(cut) => break cut,
                    }
                };
                assert!(matches!(cut, Cut::Silent(30)), "{coding:?} {len}");
                assert!(body.frame().await.is_none());
                assert!(
                    !decode(coding, &got).await.1,
                    "{coding:?} {len}: what came does not decode as whole"
                );
            }
        }
    }

    #[tokio::test]
    async fn trailers_and_empty_frames_are_dropped() {
        let (feed, source) = fed();
        feed.try_send(Ok(Frame::data(Bytes::new()))).unwrap();
        feed.try_send(Ok(Frame::data(text(10)))).unwrap();
        feed.try_send(Ok(Frame::trailers(http::HeaderMap::new()))).unwrap();
        drop(feed);
        let body = encode_stream(&Config::default(), Coding::Gzip, source).collect().await.unwrap();
        assert!(body.trailers().is_none());
        assert_eq!(decode(Coding::Gzip, &body.to_bytes()).await, (text(10).to_vec(), true));
    }

    #[tokio::test]
    async fn the_worker_has_its_turn_between_pieces() {
        for coding in CODINGS {
            let pieces = 20;
            let body =
                encode_stream(&Config::default(), coding, Body::from(text(pieces * COMPRESS_PIECE_BYTES)));
            let mut body = std::pin::pin!(body);
            let mut pauses = 0;
            std::future::poll_fn(|cx| {
                while let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
                    if frame.is_none() {
                        return Poll::Ready(());
                    }
                }
                pauses += 1;
                Poll::Pending
            })
            .await;
            assert_eq!(pauses, pieces, "{coding:?}");
        }
    }

    #[test]
    fn windows_fit_the_body() {
        let rows = [
            (None, 19),
            (Some(0), 16),
            (Some(1), 16),
            (Some(65_536), 16),
            (Some(65_537), 17),
            (Some(u64::MAX), 19),
        ];
        for (len, bits) in rows {
            assert_eq!(window_bits(len), bits, "{len:?}");
        }
    }

    #[tokio::test]
    async fn room_ends_and_comes_back() {
        let open = |_| encode_stream(&Config::default(), Coding::Gzip, fed().1);
        let bodies: Vec<Body> = (0..COMPRESS_STREAMS_MAX).map(open).collect();
        assert!(!has_room());
        drop(bodies);
        assert!(has_room(), "other tests of this process hold a few at the most");
        let finished: Vec<Body> = (0..COMPRESS_STREAMS_MAX).map(open).collect();
        for mut body in finished {
            assert!(body.frame().await.is_some());
            assert!(body.is_end_stream());
            std::mem::forget(body);
        }
        assert!(has_room(), "a finished body holds no encoder");
    }
}
