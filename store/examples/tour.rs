//! A tour of the store: fill, hit, restart, hit from disk, purge. Run it with `cargo run -p larder-store --example tour`.

use larder_store::{Config, Head, Key, KeyRef, Load, Purge, Selector, Store};

struct Name(String);

impl Head for Name {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Self)
    }

    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn url(number: usize) -> String {
    format!("http://www.example.com:80/{number}")
}

async fn show(store: &Store<Name>, when: &str) {
    let mut tiers = [0, 0, 0];
    for number in 0..100 {
        match store.load(KeyRef::new(&url(number), "")).await {
            Load::Hit(hit) if hit.tier == larder_store::Tier::Memory => tiers[0] += 1,
            Load::Hit(_) => tiers[1] += 1,
            Load::Busy | Load::Miss => tiers[2] += 1,
        }
    }
    let [memory, disk, miss] = tiers;
    println!("{when:<16} {memory:>3} from memory, {disk:>3} from disk, {miss:>3} missing");
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let config = Config::new(directory.path(), 64 << 20, 1 << 30);
    let store = Store::open(config.clone())?;
    for number in 0..100 {
        let tags = vec![format!("tens-{}", number / 10)];
        let mut writer =
            store.writer(Key::new(&url(number), ""), Name(number.to_string()), tags, store.seq(), None);
        writer.write(vec![b'x'; 50_000].into()).await?;
        writer.commit().await?;
    }
    show(&store, "filled").await;
    store.close().await;

    let store = Store::open(config)?;
    show(&store, "opened again").await;
    show(&store, "promoted").await;
    let purge = Purge { selectors: vec![Selector::Tag("tens-3".into())], soft: false };
    println!("a purge of the tag tens-3 would hit {:?}", store.survey(&purge).await);
    store.purge(&purge, "tour").await?;
    show(&store, "purged").await;
    println!("{:#?}", store.stats());
    store.close().await;
    Ok(())
}
