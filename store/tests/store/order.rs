//! Answers that come late: what is newer stays, what a purge has named does not come back under another name.

use std::sync::Arc;

use larder_store::{Entry, Selector, Seq};

use crate::support::*;

async fn renew(store: &Shop, old: &Arc<Entry<Label>>, tag: &str, born: Seq) -> Option<Arc<Entry<Label>>> {
    store.refresh(old, Label("a".into()), vec![tag.to_owned()], born).await
}

#[tokio::test]
async fn a_purge_by_a_tag_that_a_304_takes_away_is_not_forgotten() {
    for size in [1000, 3 * MIB] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 8 * MIB, 64 * MIB);
        let old = put_tagged(&store, "a", &body("a", size), &["a"]).await.unwrap();
        let born = store.seq();
        store.purge(&hard(Selector::Tag("a".into())), "").await.unwrap();
        assert!(renew(&store, &old, "b", born).await.is_none());
        assert!(get(&store, "a").await.is_none());
        // Found alive by the next one, but asked for before the soft purge.
        let old = put_tagged(&store, "a", &body("a", size), &["a"]).await.unwrap();
        let born = store.seq();
        store.purge(&soft(Selector::Tag("a".into())), "").await.unwrap();
        let new = renew(&store, &old, "b", born).await.unwrap();
        assert!(find(&store, "a").await.unwrap().expired, "the origin was asked before the purge");
        assert!(renew(&store, &new, "b", store.seq()).await.is_some());
        assert!(!find(&store, "a").await.unwrap().expired);
        store.close().await;
    }
}
