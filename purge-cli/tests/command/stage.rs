//! The actors: scripted admin listeners, and the real command.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// One request as a node saw it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) body: Value,
}

/// What a node does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Do {
    /// Answers 200 with a receipt that fits, these fields laid over it.
    Receipt(Value),
    /// Answers this.
    Say(u16, String),
    /// Takes the request and closes without an answer.
    Close,
    /// Takes the request and never answers.
    Hold,
}

/// A node that does the next thing of its script with each request, the last one for ever.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub(crate) const TOKEN: &str = "s3cret";

/// What a connection is, with or without TLS.
pub(crate) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

impl Node {
    pub(crate) fn new(script: &[Do]) -> Self {
        Self::wrapped(script, |socket| Box::new(socket))
    }

    pub(crate) fn wrapped(
        script: &[Do],
        wrap: impl Fn(std::net::TcpStream) -> Box<dyn Wire> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (script, seen) = (script.to_vec(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (wire, script, seen) = (wrap(socket), script.clone(), Arc::clone(&seen));
                std::thread::spawn(move || serve(wire, &script, &seen));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Waits until it has seen `count` requests.
    pub(crate) fn until_asked(&self, count: usize) {
        let begun = Instant::now();
        while self.asked().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody asked");
            std::thread::yield_now();
        }
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.asked().iter().map(|a| a.body["id"].as_str().unwrap_or("-").to_owned()).collect()
    }
}

fn serve(wire: Box<dyn Wire>, script: &[Do], seen: &Mutex<Vec<Asked>>) {
    let mut wire = BufReader::new(wire);
    while let Some((line, authorised, body)) = read(&mut wire) {
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(Asked { line, body: body.clone() });
            seen.len() - 1
        };
        let (status, text) = match &script[number.min(script.len() - 1)] {
            _ if !authorised => (401, json!({ "error": "token missing or wrong", "hint": "x" }).to_string()),
            Do::Receipt(over) => (200, receipt(number, &body, over)),
            Do::Say(status, text) => (*status, text.clone()),
            Do::Close => return,
            Do::Hold => loop {
                std::thread::park();
            },
        };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", text.len());
        if wire.get_mut().write_all((head + &text).as_bytes()).and_then(|()| wire.get_mut().flush()).is_err()
        {
            return;
        }
    }
}

fn read(wire: &mut impl BufRead) -> Option<(String, bool, Vec<u8>)> {
    let (mut first, mut length, mut authorised) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if first.is_empty() {
            line.clone_into(&mut first);
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        } else if let Some(value) = line.strip_prefix("authorization: ") {
            authorised = value == format!("Bearer {TOKEN}");
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    wire.read_exact(&mut body).ok()?;
    Some((first, authorised, body))
}

fn receipt(number: usize, order: &Value, over: &Value) -> String {
    let mut receipt = json!({
        "id": order["id"], "sequence": number + 1, "kind": order["kind"], "selectors": 1, "soft": order["soft"],
        "dry_run": order["dry_run"], "objects": null, "bytes": null, "applied_at": "2026-11-23T08:00:00Z",
        "repeated": false, "from_a_newer_version": 1,
    });
    for (key, value) in over.as_object().into_iter().flatten() {
        receipt[key] = value.clone();
    }
    receipt.to_string()
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// What the command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) time: Duration,
}

impl Said {
    /// Standard output as JSON lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Words of the table's row for a node.
    pub(crate) fn row(&self, node: &str) -> Vec<String> {
        let row = self.out.lines().find(|l| l.trim_start().starts_with(node));
        let row = row.unwrap_or_else(|| panic!("no row for {node} in\n{}", self.out));
        row.split_whitespace().map(str::to_owned).collect()
    }
}

/// A folder with a nodes file.
pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) file: PathBuf,
}

impl Fleet {
    /// Nodes edge-1, edge-2, ... at these addresses.
    pub(crate) fn new(addresses: &[SocketAddr]) -> Self {
        let entry = |(i, address): (usize, &SocketAddr)| {
            format!(
                "[[node]]\nname = \"edge-{}\"\nadmin = \"http://{address}\"\ntoken_file = \"admin.token\"\n",
                i + 1
            )
        };
        Self::written(&addresses.iter().enumerate().map(entry).collect::<String>())
    }

    /// The nodes file as it is given.
    pub(crate) fn written(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fleet = Self { file: folder.path().join("nodes.toml"), folder };
        fleet.write("admin.token", &format!("{TOKEN}\n"));
        fleet.write("nodes.toml", text);
        fleet
    }

    #[expect(clippy::disallowed_methods, reason = "a test prepares its files")]
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `larder-purge --nodes FILE ARGUMENTS`
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        self.fed("", arguments)
    }

    /// The same, with a text on standard input.
    pub(crate) fn fed(&self, input: &str, arguments: &[&str]) -> Said {
        let mut all = vec!["--nodes", self.file.to_str().unwrap()];
        all.extend(arguments);
        command(input, &all)
    }
}

/// `larder-purge ARGUMENTS`
pub(crate) fn command(input: &str, arguments: &[&str]) -> Said {
    Running::start(input, arguments, None).end()
}

/// A command that has not ended.
pub(crate) struct Running {
    child: Child,
    begun: Instant,
}

impl Running {
    /// Starts it, with LARDER_NODES set or not.
    pub(crate) fn start(input: &str, arguments: &[&str], nodes: Option<&Path>) -> Self {
        let begun = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder-purge"));
        command.args(arguments).env("USER", "olga").env_remove("LARDER_NODES");
        if let Some(nodes) = nodes {
            command.env("LARDER_NODES", nodes);
        }
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // A command that refuses its arguments does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Self { child, begun }
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let kill = format!("kill -INT {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn end(self) -> Said {
        let output = self.child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            time: self.begun.elapsed(),
        }
    }
}
