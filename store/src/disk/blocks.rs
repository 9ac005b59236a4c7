//! Who refers to which block, and where it lies: in a file of its own, in a segment, or both.
//!
//! Every entry and every open body counts one for each of its blocks. A block is removed when nobody is left, under the
//! lock of its shard, so that nobody can come to rely on it at that moment.

use std::sync::Arc;

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::content::{BlockInfo, Hash};
use super::frame::At;
use super::space::{Space, cost};

const SHARDS: usize = 64;

/// What refers to the blocks of a body, in four bytes: none, one block, or a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Body(u32);

const NONE: u32 = u32::MAX;
const LIST: u32 = 1 << 31;

impl Body {
    /// A body without bytes.
    pub(crate) const EMPTY: Self = Self(NONE);
}

/// A block that is referred to: valid while the reference is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockId(u32);

/// What is known about a block while somebody refers to it.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) name: Hash,
    pub(crate) len: u32,
    refs: u32,
    /// Where it lies in a segment; [`At::NOWHERE`] if it does not.
    pub(crate) packed: At,
    /// Its file's cost is charged.
    pub(crate) charged: bool,
    /// Its file is complete and not known to be damaged.
    pub(crate) file: bool,
    /// The index has a line for the block itself, because it moved without the entries that share it.
    pub(crate) line: bool,
}

impl State {
    pub(crate) fn present(&self) -> bool {
        self.file || self.packed != At::NOWHERE
    }

    pub(crate) fn shared(&self) -> bool {
        self.refs > 1
    }
}

/// What a new reference found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The file is there.
    Present,
    /// Write it, then say [`Blocks::file_written`].
    Write,
    /// Reserve its cost, then ask again.
    Unknown,
}

#[derive(Debug, Default)]
struct Shard {
    table: HashTable<u32>,
    states: Vec<State>,
    free: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct Blocks {
    shards: Vec<Mutex<Shard>>,
    lists: Mutex<Lists>,
    pub(crate) space: Space,
}

#[derive(Debug, Default)]
struct Lists {
    lists: Vec<Box<[u32]>>,
    free: Vec<u32>,
}

fn digest(name: &Hash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *name;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

impl Shard {
    fn find(&self, name: &Hash) -> Option<usize> {
        let found = self.table.find(digest(name), |at| self.states[*at as usize].name == *name);
        found.map(|at| *at as usize)
    }

    fn add(&mut self, state: State) -> usize {
        let name = state.name;
        let at = match self.free.pop() {
            Some(at) => {
                self.states[at as usize] = state;
                at
            }
            None => {
                // A quarter more each time, not twice as much: there is one for each entry.
                if self.states.len() == self.states.capacity() {
                    self.states.reserve_exact(64.max(self.states.len() / 4));
                }
                self.states.push(state);
                (self.states.len() - 1) as u32
            }
        };
        let Self { table, states, .. } = self;
        table.insert_unique(digest(&name), at, |at| digest(&states[*at as usize].name));
        at as usize
    }

    fn remove(&mut self, at: usize) {
        let name = self.states[at].name;
        if let Ok(entry) = self.table.find_entry(digest(&name), |found| *found as usize == at) {
            entry.remove();
            self.free.push(at as u32);
        }
    }
}

impl Blocks {
    pub(crate) fn new(space: Space) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), lists: Mutex::default(), space }
    }

    fn number(name: &Hash) -> usize {
        usize::from(name[31]) % SHARDS
    }

    fn shard(&self, name: &Hash) -> &Mutex<Shard> {
        &self.shards[Self::number(name)]
    }

    fn id(name: &Hash, at: usize) -> BlockId {
        BlockId((at * SHARDS + Self::number(name)) as u32)
    }

    fn with<R>(&self, id: BlockId, look: impl FnOnce(&mut Shard, usize) -> R) -> R {
        let (number, at) = (id.0 as usize % SHARDS, id.0 as usize / SHARDS);
        look(&mut self.shards[number].lock(), at)
    }

    /// A new reference to a block that may have to be written to a file. With `reserved` its cost was reserved, and is
    /// given back if somebody else had it already.
    pub(crate) fn refer_file(&self, block: &BlockInfo, reserved: bool) -> Found {
        let mut shard = self.shard(&block.hash).lock();
        let Some(at) = shard.find(&block.hash) else {
            if reserved {
                shard.add(State { charged: true, ..fresh(block.hash, block.len) });
                return Found::Write;
            }
            return Found::Unknown;
        };
        let state = &mut shard.states[at];
        if reserved && state.charged {
            self.space.free(cost(block.len));
        }
        if !state.charged && !reserved {
            return Found::Unknown;
        }
        state.charged = true;
        state.refs += 1;
        if state.file { Found::Present } else { Found::Write }
    }

    /// A new reference to a block that may have to be written to a segment, and whether it is there already.
    pub(crate) fn refer_packed(&self, name: Hash, len: u32) -> (BlockId, bool) {
        let mut shard = self.shard(&name).lock();
        match shard.find(&name) {
            Some(at) => {
                let state = &mut shard.states[at];
                state.refs += 1;
                (Self::id(&name, at), state.present())
            }
            None => (Self::id(&name, shard.add(fresh(name, len))), false),
        }
    }

    /// New references to blocks that must all be there; otherwise none.
    pub(crate) fn refer_all(&self, blocks: &[Arc<BlockInfo>], remove: impl Fn(&State)) -> bool {
        for (done, block) in blocks.iter().enumerate() {
            let mut shard = self.shard(&block.hash).lock();
            let found = shard.find(&block.hash).filter(|at| {
                let state = &shard.states[*at];
                state.present() && state.len == block.len
            });
            match found {
                Some(at) => shard.states[at].refs += 1,
                None => {
                    drop(shard);
                    blocks[..done].iter().for_each(|block| self.drop_one(&block.hash, &remove));
                    return false;
                }
            }
        }
        true
    }

    /// References that are held, as four bytes.
    pub(crate) fn body(&self, blocks: &[Arc<BlockInfo>]) -> Body {
        let id = |name: &Hash| {
            let shard = self.shard(name).lock();
            Self::id(name, shard.find(name).expect("the caller holds a reference"))
        };
        match blocks {
            [] => Body::EMPTY,
            [one] => Self::single(id(&one.hash)),
            many => self.list(many.iter().map(|block| id(&block.hash)).collect()),
        }
    }

    /// The body that is one block.
    pub(crate) fn single(id: BlockId) -> Body {
        Body(id.0)
    }

    fn list(&self, ids: Vec<BlockId>) -> Body {
        let list: Box<[u32]> = ids.into_iter().map(|id| id.0).collect();
        let mut lists = self.lists.lock();
        match lists.free.pop() {
            Some(at) => {
                lists.lists[at as usize] = list;
                Body(at | LIST)
            }
            None => {
                lists.lists.push(list);
                Body((lists.lists.len() - 1) as u32 | LIST)
            }
        }
    }

    /// At open: a reference of an entry to blocks. `packed`: the only one lies there in a segment, or nobody knows where;
    /// otherwise all are files. Calls `placed` if that was news.
    pub(crate) fn restore(
        &self,
        blocks: impl ExactSizeIterator<Item = (Hash, u32)>,
        packed: Option<At>,
        placed: impl Fn(At, u32),
    ) -> Body {
        let restore = |(name, len): (Hash, u32)| {
            let mut shard = self.shard(&name).lock();
            let at = shard.find(&name);
            let at = at.unwrap_or_else(|| shard.add(State { refs: 0, ..fresh(name, len) }));
            let state = &mut shard.states[at];
            state.refs += 1;
            match packed {
                Some(at) if state.packed == At::NOWHERE && at != At::NOWHERE => {
                    state.packed = at;
                    placed(at, len);
                }
                Some(_) => {}
                None => self.charge(state),
            }
            Self::id(&name, at)
        };
        let ids: Vec<BlockId> = blocks.map(restore).collect();
        match ids[..] {
            [] => Body::EMPTY,
            [one] => Self::single(one),
            _ => self.list(ids),
        }
    }

    /// The block has a file that nobody has paid for.
    fn charge(&self, state: &mut State) {
        state.file = true;
        if !std::mem::replace(&mut state.charged, true) {
            self.space.charge(cost(state.len));
        }
    }

    /// At open: visits blocks of which nobody knows where they lie. What is said is their place in a segment;
    /// [`At::NOWHERE`]: they have a file.
    pub(crate) fn find_lost(&self, find: impl Fn(&Hash, u32) -> Option<At>, placed: impl Fn(At, u32)) {
        for shard in &self.shards {
            for state in &mut shard.lock().states {
                if state.refs == 0 || state.present() {
                    continue;
                }
                match find(&state.name, state.len) {
                    Some(At::NOWHERE) => self.charge(state),
                    Some(at) => {
                        state.packed = at;
                        placed(at, state.len);
                    }
                    None => {}
                }
            }
        }
    }

    /// The file of the block is complete.
    pub(crate) fn file_written(&self, name: &Hash) {
        self.change(name, |state| state.file = true);
    }

    /// The block lies in a segment now; false if another copy does already.
    pub(crate) fn packed(&self, name: &Hash, at: At) -> bool {
        self.change(name, |state| {
            let free = state.packed == At::NOWHERE;
            if free {
                state.packed = at;
            }
            free
        })
        .unwrap_or(false)
    }

    /// The block was copied; false if it does not lie at `from` any more.
    pub(crate) fn moved(&self, name: &Hash, from: At, to: At) -> bool {
        self.change(name, |state| {
            let here = state.packed == from;
            if here {
                state.packed = to;
            }
            here
        })
        .unwrap_or(false)
    }

    /// The bytes are bad: whoever brings them again shall write them again. Says what lay in a segment.
    pub(crate) fn damaged(&self, name: &Hash) -> Option<(At, u32)> {
        let lay = self.change(name, |state| {
            state.file = false;
            (std::mem::take(&mut state.packed), state.len)
        });
        lay.filter(|(at, _)| *at != At::NOWHERE)
    }

    /// Changes what is known about a block, if anything is.
    pub(crate) fn change<R>(&self, name: &Hash, change: impl FnOnce(&mut State) -> R) -> Option<R> {
        let mut shard = self.shard(name).lock();
        let at = shard.find(name)?;
        Some(change(&mut shard.states[at]))
    }

    /// What is known about the blocks of a body.
    pub(crate) fn of(&self, body: Body) -> Vec<State> {
        self.ids(body).iter().map(|id| self.state(BlockId(*id))).collect()
    }

    /// The only block of a body that has one.
    pub(crate) fn only(&self, body: Body) -> Option<State> {
        (body.0 & LIST == 0).then(|| self.state(BlockId(body.0)))
    }

    fn state(&self, id: BlockId) -> State {
        self.with(id, |shard, at| shard.states[at].clone())
    }

    fn ids(&self, body: Body) -> Box<[u32]> {
        match body.0 {
            NONE => Box::default(),
            list if list & LIST != 0 => self.lists.lock().lists[(list & !LIST) as usize].clone(),
            one => Box::new([one]),
        }
    }

    /// One reference less for each block of a body; with the last one `remove` is called under the lock.
    pub(crate) fn drop_body(&self, body: Body, remove: impl Fn(&State)) {
        for id in self.ids(body) {
            self.with(BlockId(id), |shard, at| self.less(shard, at, &remove));
        }
        if body.0 != NONE && body.0 & LIST != 0 {
            let at = body.0 & !LIST;
            let mut lists = self.lists.lock();
            lists.lists[at as usize] = Box::default();
            lists.free.push(at);
        }
    }

    /// One reference less; with the last one `remove` is called under the lock.
    pub(crate) fn drop_one(&self, name: &Hash, remove: impl Fn(&State)) {
        let mut shard = self.shard(name).lock();
        if let Some(at) = shard.find(name) {
            self.less(&mut shard, at, &remove);
        }
    }

    fn less(&self, shard: &mut Shard, at: usize, remove: impl Fn(&State)) {
        let state = &mut shard.states[at];
        state.refs -= 1;
        if state.refs > 0 {
            return;
        }
        remove(state);
        let freed = if state.charged { cost(state.len) } else { 0 };
        shard.remove(at);
        self.space.free(freed);
    }

    /// Calls `remove` under the lock unless a file of this name is charged.
    pub(crate) fn if_orphan(&self, name: &Hash, remove: impl FnOnce()) {
        let shard = self.shard(name).lock();
        if shard.find(name).is_none_or(|at| !shard.states[at].charged) {
            remove();
        }
    }

    #[cfg(test)]
    fn refs(&self, name: &Hash) -> u32 {
        self.change(name, |state| state.refs).unwrap_or(0)
    }
}

const fn fresh(name: Hash, len: u32) -> State {
    State { name, len, refs: 1, packed: At::NOWHERE, charged: false, file: false, line: false }
}

#[cfg(test)]
mod tests;
