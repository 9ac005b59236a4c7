//! How a new answer is laid down: under which key, with which head, and what its URL remembers of it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Version, response};
use larder_store::{KeyRef, Seq, Standing, Writer};

use super::blocks::InBlocks;
use super::fill::{commit, pour};
use super::stored::{Answer, Stored};
use super::uses::Uses;
use super::{Cache, Entry, Place};
use crate::clock::Timestamp;
use crate::http::Body;
use crate::policy::freshness::Freshness;
use crate::policy::vary::{self, Vary};
use crate::policy::{Config, deception, freshness, storing, stray, tags, validation};
use crate::status::NotStored;
use crate::transform::compress::Coding;

/// The exchange with the origin whose answer is laid down.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The primary key.
    pub url: &'a str,
    /// What its secondary keys begin with.
    pub base: &'a str,
    /// The fields of the request.
    pub request: &'a HeaderMap,
    /// Whether `Accept-Encoding` is negotiated by this node.
    pub own_encoding: bool,
    /// When the request went out.
    pub asked: Timestamp,
    /// When the head of the answer came.
    pub came: Timestamp,
    /// The purge position before it was asked for.
    pub born: Seq,
}

impl Told<'_> {
    fn jittered(&self, config: &Config, freshness: Freshness) -> Freshness {
        freshness.jittered(config.ttl_jitter_percent, KeyRef::new(self.url, "").hash() as u64 ^ self.came.0)
    }
}

/// Where an answer stands when the disk runs out of room.
#[must_use]
pub fn standing(config: &Config, url: &str, tags: &[String]) -> Standing {
    Standing { share: config.keeping.share, pinned: config.keeping.pins(url, tags) }
}

/// An answer that is being stored.
pub struct Laid {
    /// Its head.
    pub answer: Answer,
    /// Where it lies.
    pub place: Place,
    /// Takes its body.
    pub writer: Writer<Stored>,
    url: Box<str>,
    base: Box<str>,
    born: Seq,
}

impl Cache {
    /// Begins to store an answer that may be stored; `length` is that of its body where it is known.
    ///
    /// # Errors
    /// Why not even so.
    pub fn lay(
        &self,
        config: &Config,
        told: &Told<'_>,
        head: &response::Parts,
        length: Option<u64>,
    ) -> Result<Laid, NotStored> {
        let (answer, place, tags) = self.noted(config, told, head, None)?;
        let writer = self.begin(told.url, &place.variant, answer.clone(), tags, told.born, length);
        let (url, base) = (told.url.into(), told.base.into());
        Ok(Laid { answer, place, writer, url, base, born: told.born })
    }

    /// Stores the head of an answer whose bytes will lie in blocks beside it.
    ///
    /// # Errors
    /// Why not even so.
    pub async fn lay_in_blocks(
        &self,
        config: &Config,
        told: &Told<'_>,
        head: &response::Parts,
        blocks: InBlocks,
    ) -> Result<(Arc<Entry>, Place), NotStored> {
        let (answer, place, tags) = self.noted(config, told, head, Some(blocks))?;
        let writer = self.begin(told.url, &place.variant, answer, tags, told.born, Some(0));
        let entry = commit(writer).await?;
        self.mark(told.url, told.base, &place, told.born).await;
        Ok((entry, place))
    }

    /// The head as it is stored, where it lies, and its tags.
    fn noted(
        &self,
        config: &Config,
        told: &Told<'_>,
        head: &response::Parts,
        blocks: Option<InBlocks>,
    ) -> Result<(Answer, Place, Vec<String>), NotStored> {
        let fields = &head.headers;
        deception::check(config, told.url, head.status, fields)?;
        let mut place = match vary::parse(fields).with(&config.keying.names) {
            Vary::Star => return Err(NotStored::VaryStar),
            Vary::Names(names) if !names.is_empty(told.own_encoding) => Place {
                variant: vary::variant(told.base, &names, told.request, told.own_encoding),
                language: vary::language_of_answer(&names, told.request, fields, told.own_encoding),
                names: Some(names),
            },
            Vary::None | Vary::Names(_) => Place { variant: told.base.to_owned(), ..Place::default() },
        };
        let Told { request, asked, came, .. } = *told;
        if let Some(key) = stray::place(
            config,
            request,
            head.status,
            fields,
            place.names.is_some() || !told.base.is_empty(),
        )? {
            place.variant = key;
        }
        let freshness = freshness::freshness(config, request, head.status, fields, asked, came);
        let freshness = told.jittered(config, freshness);
        let mut headers = storing::stored_fields(config, fields);
        freshness::ensure_date(&mut headers, came);
        config.overrides.tag(&mut headers);
        let tags = tags::of_url(told.url, &headers)?;
        let answer = Answer {
            status: head.status,
            headers: compact(&headers).into(),
            freshness,
            version: self.new_version(),
            old: head.version == Version::HTTP_10,
            blocks,
            coding: Coding::Identity,
            uses: Uses::default(),
            standing: Some(standing(config, told.url, &tags)),
        };
        Ok((answer, place, tags))
    }
}

impl Cache {
    /// Freshens a stored answer with the fields of a 304, or of a HEAD that matches it (RFC 9111 4.3.4, 4.3.5). `None`:
    /// they are not about it, may not be stored, or a purge came.
    pub async fn freshen(
        &self,
        config: &Config,
        told: &Told<'_>,
        entry: &Arc<Entry>,
        update: &HeaderMap,
    ) -> Option<Arc<Entry>> {
        let Stored::Answer(stored) = entry.head() else { return None };
        if !validation::selects(&stored.headers, update) {
            return None;
        }
        let mut headers = validation::merge_304(config, &stored.headers, update);
        let Told { request, asked, came, .. } = *told;
        if vary::parse(&headers) != vary::parse(&stored.headers) {
            // It lies under the wrong secondary key now (RFC 9111 4.1).
            self.store().remove(entry.key().as_ref());
            return None;
        }
        match storing::may_store(config, &Method::GET, request, stored.status, &headers) {
            Ok(()) => {}
            // Confirmed for this one request; nothing of it is kept, and nothing of the stored answer is lost.
            Err(why) if why.is_the_askers() => {
                return self.is_alive(entry).await.then(|| Arc::clone(entry));
            }
            Err(_) => {
                self.store().remove(entry.key().as_ref());
                return None;
            }
        }
        let freshness = freshness::freshness(config, request, stored.status, &headers, asked, came);
        let freshness = told.jittered(config, freshness);
        freshness::ensure_date(&mut headers, came);
        config.overrides.tag(&mut headers);
        let standing = tags::of(&headers).ok().map(|tags| standing(config, told.url, &tags));
        let headers = compact(&headers).into();
        self.renew(entry, Answer { freshness, headers, standing, ..stored.clone() }, told.born).await
    }

    /// Makes a stored answer stale from now on.
    pub async fn age(&self, entry: &Arc<Entry>, now: Timestamp, born: Seq) {
        if let Stored::Answer(stored) = entry.head() {
            let mut freshness = stored.freshness;
            freshness.lifetime = freshness.lifetime.min(freshness.age(now));
            self.renew(entry, Answer { freshness, ..stored.clone() }, born).await;
        }
    }

    async fn renew(&self, entry: &Arc<Entry>, head: Answer, born: Seq) -> Option<Arc<Entry>> {
        let Ok(tags) = tags::of_url(entry.key().url(), &head.headers) else {
            self.store().remove(entry.key().as_ref());
            return None;
        };
        self.store().refresh(entry, Stored::Answer(head), tags, born).await
    }
}

impl Laid {
    /// Pours the body in; whoever reads along sees how it ends.
    ///
    /// # Errors
    /// Why the answer is not in the store now.
    pub async fn fill(self, cache: &Cache, body: Body) -> Result<(), NotStored> {
        pour(body, self.writer).await?;
        if self.base.is_empty() {
            cache.searches.note(&self.url, &self.answer.headers);
        }
        cache.mark(&self.url, &self.base, &self.place, self.born).await;
        Ok(())
    }
}

/// The same fields with their values in one buffer of their own: as they came they are slices of the connection's read
/// buffer, and each would keep all of it, up to hundreds of kilobytes, for as long as the answer is stored.
fn compact(headers: &HeaderMap) -> HeaderMap {
    let all: Vec<u8> = headers.values().flat_map(HeaderValue::as_bytes).copied().collect();
    let mut rest = Bytes::from(all.into_boxed_slice());
    let mut compact = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let bytes = rest.split_to(value.len());
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes) {
            compact.append(name.clone(), value);
        }
    }
    compact
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_fields_are_the_same_fields() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("etag", HeaderValue::from_static("\"v\""));
        headers.append("x-a", HeaderValue::from_bytes(b"\xff").expect("obs-text is a field value"));
        headers.append("x-empty", HeaderValue::from_static(""));
        assert_eq!(compact(&headers), headers);
    }
}
