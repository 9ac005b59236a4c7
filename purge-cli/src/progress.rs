//! What a person sees while nodes are being called: on standard error, and only if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar with one step for each node, and the names of those still missing.
pub(crate) struct Progress {
    bar: ProgressBar,
    missing: Vec<Option<String>>,
}

impl Progress {
    /// A bar that begins to turn at once. Nothing is drawn when standard error is no terminal.
    pub(crate) fn new(nodes: impl Iterator<Item = String>) -> Self {
        let missing: Vec<_> = nodes.map(Some).collect();
        let bar = ProgressBar::with_draw_target(Some(missing.len() as u64), ProgressDrawTarget::stderr());
        let template = "{spinner} {bar:24} {pos}/{len} nodes  {elapsed}  {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        let progress = Self { bar, missing };
        progress.tell();
        progress
    }

    /// Node number `index` is done.
    pub(crate) fn done(&mut self, index: usize) {
        if let Some(name) = self.missing.get_mut(index) {
            *name = None;
        }
        self.bar.inc(1);
        self.tell();
    }

    /// Takes the bar away.
    pub(crate) fn clear(self) {
        self.bar.finish_and_clear();
    }

    fn tell(&self) {
        let names: Vec<&str> = self.missing.iter().flatten().take(8).map(String::as_str).collect();
        self.bar.set_message(if names.is_empty() {
            String::new()
        } else {
            format!("waiting for {}", names.join(", "))
        });
    }
}
