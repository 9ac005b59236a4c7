//! Lines on their way to a file or a stream: workers append to a bounded queue and never wait for a disk or a pipe, a
//! thread of its own writes them in batches.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How long the writer lets lines gather before it writes them: at most this late, at most 100 writes a second.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes of one piece of the queue; pieces are never moved when the queue grows.
const PIECE_BYTES: usize = 64 * 1024;

/// Where lines end.
pub enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to, created if missing.
    File(PathBuf),
    /// Anything else; nothing happens to it on [`Lines::reopen`].
    Writer(Box<dyn Write + Send>),
}

/// What may wait for the writer, what it is writing included. A line that does not fit is dropped and counted.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Lines.
    pub lines: usize,
    /// Bytes.
    pub bytes: usize,
}

/// A handle on the queue; clones share it. The writer ends, with everything written, when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Lines(Arc<Owner>);

#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.queue.lock().stop = true;
        self.0.wake.notify_one();
    }
}

#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    queue: Mutex<Queue>,
    /// The writer waits here.
    wake: Condvar,
    /// [`Lines::flush`] waits here.
    written: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    pieces: Vec<Vec<u8>>,
    /// Waiting or being written.
    lines: usize,
    bytes: usize,
    /// Since the start.
    accepted: u64,
    finished: u64,
    idle: bool,
    hurry: bool,
    reopen: bool,
    stop: bool,
}

impl Lines {
    /// Opens the sink and starts the writer thread `name`.
    ///
    /// # Errors
    /// The file cannot be opened or the thread not be started.
    pub fn start(name: &str, sink: Sink, bounds: Bounds) -> io::Result<Self> {
        let out = Out::open(sink)?;
        let shared = Arc::new(Shared {
            bounds,
            queue: Mutex::default(),
            wake: Condvar::new(),
            written: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        std::thread::Builder::new().name(name.into()).spawn(move || write_all(&writer, out))?;
        Ok(Self(Arc::new(Owner(shared))))
    }

    /// Queues one line, its line feed included. Never waits for the writer; false when there was no room.
    pub fn push(&self, line: &[u8]) -> bool {
        let shared = &self.0.0;
        let mut queue = shared.queue.lock();
        if queue.lines >= shared.bounds.lines || queue.bytes.saturating_add(line.len()) > shared.bounds.bytes
        {
            drop(queue);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        match queue.pieces.last_mut() {
            Some(piece) if piece.capacity() - piece.len() >= line.len() => piece.extend_from_slice(line),
            _ => {
                let mut piece = Vec::with_capacity(PIECE_BYTES.max(line.len()));
                piece.extend_from_slice(line);
                queue.pieces.push(piece);
            }
        }
        queue.lines += 1;
        queue.bytes += line.len();
        queue.accepted += 1;
        if std::mem::take(&mut queue.idle) {
            drop(queue);
            shared.wake.notify_one();
        }
        true
    }

    /// Lines dropped since the start because the queue was full or the sink failed.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.0.dropped.load(Ordering::Relaxed)
    }

    /// Opens the file anew before the next line is written, as log rotation asks for. If that fails the old one stays.
    pub fn reopen(&self) {
        self.0.0.queue.lock().reopen = true;
        self.0.0.wake.notify_one();
    }

    /// Waits until every line accepted so far is written; false after `timeout`. Blocks: for the end and for tests.
    pub fn flush(&self, timeout: Duration) -> bool {
        let shared = &self.0.0;
        let deadline = Instant::now() + timeout;
        let mut queue = shared.queue.lock();
        let target = queue.accepted;
        queue.hurry = true;
        shared.wake.notify_one();
        while queue.finished < target || queue.reopen {
            if shared.written.wait_until(&mut queue, deadline).timed_out() {
                return queue.finished >= target && !queue.reopen;
            }
        }
        true
    }
}

struct Batch {
    pieces: Vec<Vec<u8>>,
    lines: usize,
    bytes: usize,
    reopen: bool,
    last: bool,
}

impl Shared {
    fn next_batch(&self) -> Batch {
        let mut queue = self.queue.lock();
        while queue.pieces.is_empty() && !queue.reopen && !queue.stop {
            queue.idle = true;
            self.wake.wait(&mut queue);
        }
        queue.idle = false;
        if !queue.hurry && !queue.reopen && !queue.stop {
            self.wake.wait_for(&mut queue, GATHER);
        }
        queue.hurry = false;
        Batch {
            pieces: std::mem::take(&mut queue.pieces),
            lines: queue.lines,
            bytes: queue.bytes,
            reopen: queue.reopen,
            last: queue.stop,
        }
    }

    fn finish(&self, batch: &Batch) {
        let mut queue = self.queue.lock();
        queue.lines -= batch.lines;
        queue.bytes -= batch.bytes;
        queue.finished += batch.lines as u64;
        if batch.reopen {
            queue.reopen = false;
        }
        drop(queue);
        self.written.notify_all();
    }
}

/// The life of the writer thread.
fn write_all(shared: &Shared, mut out: Out) {
    loop {
        let batch = shared.next_batch();
        if batch.reopen {
            out.reopen();
        }
        for piece in &batch.pieces {
            let lost = out.write(piece);
            if lost > 0 {
                shared.dropped.fetch_add(lost, Ordering::Relaxed);
            }
        }
        shared.finish(&batch);
        if batch.last {
            return;
        }
    }
}

enum Stream {
    Stdout,
    Stderr,
    File(File, PathBuf),
    Writer(Box<dyn Write + Send>),
}

struct Out {
    stream: Stream,
    /// The last write broke off inside a line: what follows starts with a line feed, so that only that line is lost.
    torn: bool,
    failing: bool,
}

impl Out {
    fn open(sink: Sink) -> io::Result<Self> {
        let stream = match sink {
            Sink::Stdout => Stream::Stdout,
            Sink::Stderr => Stream::Stderr,
            Sink::File(path) => Stream::File(append_to(&path)?, path),
            Sink::Writer(writer) => Stream::Writer(writer),
        };
        Ok(Self { stream, torn: false, failing: false })
    }

    fn reopen(&mut self) {
        let Stream::File(file, path) = &mut self.stream else { return };
        match append_to(path) {
            Ok(new) => {
                *file = new;
                self.torn = false;
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "log file not reopened, writing to the old one");
            }
        }
    }

    /// Writes whole lines; gives the number of lines lost.
    fn write(&mut self, lines: &[u8]) -> u64 {
        let (mut written, error) = match self.try_write(lines) {
            Ok(()) => {
                self.failing = false;
                return 0;
            }
            Err(failure) => failure,
        };
        written = written.min(lines.len());
        self.torn = self.torn || written > 0 && lines[written - 1] != b'\n';
        // Not for standard error: that is where the message would go.
        if !std::mem::replace(&mut self.failing, true) && !matches!(self.stream, Stream::Stderr) {
            tracing::error!(%error, "log lines cannot be written and are dropped");
        }
        lines[written..].iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    fn try_write(&mut self, lines: &[u8]) -> Result<(), (usize, io::Error)> {
        let out: &mut dyn Write = match &mut self.stream {
            Stream::Stdout => &mut io::stdout().lock(),
            Stream::Stderr => &mut io::stderr().lock(),
            Stream::File(file, _) => file,
            Stream::Writer(writer) => writer,
        };
        if self.torn {
            write_counted(out, b"\n").map_err(|(_, error)| (0, error))?;
            self.torn = false;
        }
        write_counted(out, lines)?;
        out.flush().map_err(|error| (lines.len(), error))
    }
}

/// `write_all` that says how far it came.
fn write_counted(out: &mut dyn Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);
    const BOUNDS: Bounds = Bounds { lines: 100, bytes: 100_000 };

    #[test]
    fn lines_arrive_in_order_and_survive_the_last_handle() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let lines = Lines::start("test", Sink::File(path.clone()), BOUNDS).unwrap();
        let expected: String = (0..50).map(|i| format!("line {i}\n")).collect();
        for line in expected.split_inclusive('\n') {
            assert!(lines.push(line.as_bytes()));
        }
        assert!(lines.flush(LONG));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn rotation_opens_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, rotated) = (directory.path().join("log"), directory.path().join("log.1"));
        let lines = Lines::start("test", Sink::File(path.clone()), BOUNDS).unwrap();
        lines.push(b"one\n");
        assert!(lines.flush(LONG));
        std::fs::rename(&path, &rotated).unwrap();
        lines.push(b"two\n");
        assert!(lines.flush(LONG));
        lines.reopen();
        assert!(lines.flush(LONG));
        lines.push(b"three\n");
        assert!(lines.flush(LONG));
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_failed_reopen_keeps_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let moved = directory.path().join("moved");
        let lines = Lines::start("test", Sink::File(folder.join("log")), BOUNDS).unwrap();
        std::fs::rename(&folder, &moved).unwrap();
        lines.reopen();
        lines.push(b"kept\n");
        assert!(lines.flush(LONG));
        assert_eq!(std::fs::read_to_string(moved.join("log")).unwrap(), "kept\n");
    }

    /// A sink that says when it is called and waits for its cue: how many bytes to take, or a failure.
    struct Cued {
        called: mpsc::Sender<Vec<u8>>,
        cue: mpsc::Receiver<Result<usize, ()>>,
    }

    impl Write for Cued {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.called.send(bytes.to_vec());
            match self.cue.recv() {
                Ok(Ok(count)) => Ok(count.min(bytes.len())),
                _ => Err(io::ErrorKind::StorageFull.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Cues = (Lines, mpsc::Receiver<Vec<u8>>, mpsc::Sender<Result<usize, ()>>);

    fn cued(bounds: Bounds) -> Cues {
        let (called, calls) = mpsc::channel();
        let (give, cue) = mpsc::channel();
        let sink = Sink::Writer(Box::new(Cued { called, cue }));
        (Lines::start("test", sink, bounds).unwrap(), calls, give)
    }

    #[test]
    fn a_stuck_sink_drops_and_counts_but_never_waits() {
        let (lines, calls, give) = cued(Bounds { lines: 3, bytes: 1000 });
        assert!(lines.push(b"first\n"));
        assert_eq!(calls.recv().unwrap(), b"first\n");
        assert!(lines.push(b"a\n") && lines.push(b"b\n"), "the one being written counts as well");
        assert!(!lines.push(b"c\n") && !lines.push(b"d\n"));
        assert_eq!(lines.dropped(), 2);
        give.send(Ok(1000)).unwrap();
        assert_eq!(calls.recv().unwrap(), b"a\nb\n");
        give.send(Ok(1000)).unwrap();
        assert!(lines.flush(LONG));
        assert!(lines.push(b"e\n"), "room again");
        assert_eq!(calls.recv().unwrap(), b"e\n");
    }

    #[test]
    fn bytes_are_bounded_as_well() {
        let (lines, _calls, _give) = cued(Bounds { lines: 100, bytes: 10 });
        assert!(!lines.push(b"0123456789\n"));
        assert!(lines.push(b"012345678\n"));
        assert!(!lines.push(b"\n"));
        assert_eq!(lines.dropped(), 2);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next() {
        let (lines, calls, give) = cued(BOUNDS);
        lines.push(b"one\n");
        give.send(Ok(2)).unwrap();
        give.send(Err(())).unwrap();
        assert_eq!(calls.recv().unwrap(), b"one\n");
        assert_eq!(calls.recv().unwrap(), b"e\n");
        assert!(lines.flush(LONG));
        assert_eq!(lines.dropped(), 1);
        lines.push(b"two\n");
        give.send(Ok(1)).unwrap();
        give.send(Ok(4)).unwrap();
        assert_eq!(calls.recv().unwrap(), b"\n");
        assert_eq!(calls.recv().unwrap(), b"two\n");
        assert!(lines.flush(LONG));
        assert_eq!(lines.dropped(), 1);
    }

    #[test]
    fn dropping_the_last_handle_writes_what_waits() {
        let (lines, calls, give) = cued(BOUNDS);
        let clone = lines.clone();
        drop(lines);
        clone.push(b"last\n");
        drop(clone);
        assert_eq!(calls.recv().unwrap(), b"last\n");
        give.send(Ok(5)).unwrap();
        assert!(calls.recv().is_err(), "the writer is gone");
    }
}
