//! A stage with the three actors on it, as most cases want it.

use std::sync::Arc;
use std::time::Duration;

use larder_tests::{Answer, Ask, Case, Node, Origin, Recipe, until_within};

/// Origin and node of one case; the client comes with every question.
pub(crate) struct Stage {
    pub(crate) case: Arc<Case>,
    pub(crate) origin: Origin,
    pub(crate) node: Node,
}

impl Stage {
    /// A node with defaults in front of one origin.
    pub(crate) async fn new(title: &'static str) -> Self {
        Self::with(title, |recipe| recipe).await
    }

    /// The same with more in its configuration.
    pub(crate) async fn with(title: &'static str, more: impl FnOnce(Recipe) -> Recipe) -> Self {
        let case = Case::new(title);
        let origin = Origin::start(&case).await;
        let node = Node::start(&case, more(Recipe::new(&origin))).await;
        Self { case, origin, node }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.node.get(target).await
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        self.node.ask(ask).await
    }

    /// Asks until it is a hit (a body may be on its way into the store when its last byte is read) and proves that
    /// the origin was asked not more than once for it.
    pub(crate) async fn warm(&self, target: &str) -> Answer {
        self.warm_by(Ask::get(target)).await
    }

    /// The same for any request.
    pub(crate) async fn warm_by(&self, ask: Ask) -> Answer {
        let first = self.ask(ask.clone()).await;
        assert_eq!(first.end, larder_tests::End::Whole);
        let before = self.origin.total();
        let mut last = first;
        until_within(Duration::from_secs(10), "a hit", async || {
            last = self.ask(ask.clone()).await;
            assert_eq!(self.origin.total(), before, "not stored: {:?}", last.get("cache-status"));
            last.hit()
        })
        .await;
        last
    }

    /// Asks twice and proves that both went to the origin.
    pub(crate) async fn never_stored(&self, ask: Ask) -> Answer {
        let before = self.origin.total();
        let first = self.ask(ask.clone()).await;
        let second = self.ask(ask.clone()).await;
        assert!(!first.hit() && !second.hit(), "{} was stored", ask_name(&ask));
        assert_eq!(self.origin.total(), before + 2, "{} was answered without the origin", ask_name(&ask));
        second
    }
}

fn ask_name(ask: &Ask) -> String {
    format!("{ask:?}")
}

/// An HTTP date so many seconds from now.
#[expect(clippy::disallowed_methods, reason = "dates are about the wall clock")]
pub(crate) fn date(seconds: i64) -> String {
    let now = std::time::SystemTime::now();
    let by = Duration::from_secs(seconds.unsigned_abs());
    httpdate::fmt_http_date(if seconds < 0 { now - by } else { now + by })
}
