//! The node: the real `larder` process of a case.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::answer::Answer;
use crate::case::Case;
use crate::client::{Ask, Client};
use crate::gate::until_within;
use crate::metrics::Metrics;
use crate::ports::Port;
use crate::recipe::{Places, Recipe};

/// The admin token of every node of a case.
pub const TOKEN: &str = "secret-of-the-case";

/// A running (or ended) node and the folder it lives in.
pub struct Node {
    case: Arc<Case>,
    recipe: Recipe,
    folder: TempDir,
    http: Port,
    https: Port,
    admin: Port,
    process: Option<Child>,
}

impl Node {
    /// Starts a node and waits until it is ready.
    ///
    /// # Panics
    /// When it ends or is not ready in ten seconds; its standard error is printed.
    pub async fn start(case: &Arc<Case>, recipe: Recipe) -> Self {
        let mut node = Self::prepare(case, recipe);
        node.start_again().await;
        node
    }

    /// Makes the folder and the configuration but starts nothing.
    ///
    /// # Panics
    /// When the temporary directory cannot be written.
    #[must_use]
    pub fn prepare(case: &Arc<Case>, recipe: Recipe) -> Self {
        let folder =
            tempfile::Builder::new().prefix("larder-case-").tempdir().expect("a temporary directory");
        let (http, https, admin) = (Port::take(), Port::take(), Port::take());
        let node = Self { case: Arc::clone(case), recipe, folder, http, https, admin, process: None };
        write_token(&node.path("admin.token"));
        node.write_config();
        node
    }

    fn write_config(&self) {
        let at = Places {
            http: self.http().to_string(),
            https: self.https().to_string(),
            admin: self.admin().to_string(),
            folder: self.folder.path(),
        };
        write(&self.path("larder.toml"), &self.recipe.toml(&at));
        for (number, (cert, key)) in self.recipe.certificates.iter().enumerate() {
            write(&self.path(&format!("cert-{number}.pem")), cert);
            write(&self.path(&format!("key-{number}.pem")), key);
        }
    }

    /// Writes the configuration of another recipe, for a reload.
    pub fn rewrite(&mut self, recipe: Recipe) {
        self.recipe = recipe;
        self.write_config();
    }

    /// Starts the process on the same folder and waits until it is ready; says how long that took.
    ///
    /// # Panics
    /// When it is not ready in ten seconds.
    pub async fn start_again(&mut self) -> Duration {
        self.launch();
        self.ready().await
    }

    /// Starts the process without waiting.
    ///
    /// # Panics
    /// When the binary cannot be started.
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log =
            |name| std::fs::File::options().create(true).append(true).open(self.path(name)).expect("a log");
        let mut command = Command::new(self.binary());
        command.arg("run").arg("--config").arg(self.path("larder.toml"));
        command.envs(self.recipe.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log("stdout")).stderr(log("stderr"));
        self.process = Some(command.spawn().expect("the larder binary starts"));
    }

    /// Waits until `/readyz` says 200; says how long that took.
    ///
    /// # Panics
    /// When the process ends first or ten seconds pass.
    pub async fn ready(&mut self) -> Duration {
        let admin = self.admin();
        let process = self.process.as_mut().expect("it was started");
        until_within(Duration::from_secs(10), "the node to be ready", async || {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("the node ended: {status}");
            }
            let Ok(stream) = tokio::net::TcpStream::connect(admin).await else { return false };
            let mut client = Client::over(stream);
            client.send(&Ask::get("/readyz").with("connection", "close")).await;
            client.try_answer_to("GET").await.is_ok_and(|answer| answer.status == 200)
        })
        .await
    }

    fn binary(&self) -> PathBuf {
        self.recipe.binary.clone().unwrap_or_else(|| binary("larder"))
    }

    /// Runs `larder` with other arguments in the node's folder.
    ///
    /// # Panics
    /// When the binary cannot be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(self.binary());
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.output().expect("the larder binary starts")
    }

    /// The listener without TLS.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http.address()
    }

    /// The listener with TLS, when the recipe has a certificate.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        self.https.address()
    }

    /// The admin listener.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin.address()
    }

    /// A file of the node's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What it wrote to a file of its folder, for example `stderr`.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = std::fs::File::open(self.path(name)) {
            let _ = file.read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The process id.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// A connection of its own.
    pub async fn client(&self) -> Client {
        Client::connect(self.http()).await.counting(&self.case)
    }

    /// Asks over a connection of its own.
    pub async fn ask(&self, ask: Ask) -> Answer {
        self.client().await.ask(ask).await
    }

    /// GET over a connection of its own.
    pub async fn get(&self, target: &str) -> Answer {
        self.ask(Ask::get(target)).await
    }

    /// Asks the admin listener with the token.
    pub async fn ask_admin(&self, ask: Ask) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let ask = ask.host(&self.admin().to_string()).with("authorization", &token);
        Client::connect(self.admin()).await.ask(ask).await
    }

    /// `POST /purge`; the receipt.
    ///
    /// # Panics
    /// When it is not confirmed with 200 and JSON.
    pub async fn purge(&self, kind: &str, selectors: &[&str], soft: bool) -> serde_json::Value {
        let body = serde_json::json!({ "kind": kind, "selectors": selectors, "soft": soft }).to_string();
        let ask = Ask::new("POST", "/purge").with("content-type", "application/json").body(body);
        let answer = self.ask_admin(ask).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("a receipt is JSON")
    }

    /// `GET /metrics`.
    pub async fn metrics(&self) -> Metrics {
        let answer = Client::connect(self.admin()).await.ask(Ask::get("/metrics")).await;
        assert_eq!(answer.status, 200);
        Metrics::new(answer.text())
    }

    /// A `Vm..` line of `/proc/PID/status`, bytes.
    ///
    /// # Panics
    /// When the process does not run.
    #[must_use]
    pub fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let found = status.lines().find_map(|l| l.strip_prefix(line)).expect("a line of the status");
        let digits: String = found.chars().filter(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number of kB") * 1024
    }

    /// Open descriptors of the process.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(self.process.as_ref().expect("it runs"));
        kill_process(pid, signal).expect("our own child");
    }

    /// `kill -9`, and waits for the end.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGTERM without waiting.
    pub fn term(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until the process ends by itself; its exit code.
    ///
    /// # Panics
    /// When it is still there after `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        let mut code = None;
        until_within(limit, "the node to end", async || match process.try_wait() {
            Ok(Some(status)) => {
                code = status.code();
                true
            }
            _ => false,
        })
        .await;
        code
    }

    /// SIGTERM and its end, gracefully.
    pub async fn stop(&mut self) {
        self.term();
        assert_eq!(self.ended(Duration::from_secs(15)).await, Some(0), "a clean end");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill9();
        if std::thread::panicking() {
            println!("--- configuration\n{}", self.read("larder.toml"));
            println!("--- standard error of the node\n{}", self.read("stderr"));
        } else {
            assert!(
                !self.read("stderr").contains("panicked at"),
                "the node panicked:\n{}",
                self.read("stderr")
            );
        }
    }
}

/// A binary of the workspace that was built beside this test (`LARDER_BIN_DIR` overrides the folder).
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let beside = || std::env::current_exe().ok()?.parent()?.parent().map(Path::to_owned);
    let folder = std::env::var_os("LARDER_BIN_DIR").map(PathBuf::from).or_else(beside);
    let path = folder.unwrap_or_default().join(name);
    assert!(path.exists(), "{} is not built: cargo build --workspace --bins", path.display());
    path
}

/// Writes a file of a case.
///
/// # Panics
/// When its folder cannot be written.
pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the folder of the case");
}

/// Writes the admin token as an operator should: readable by its owner only.
pub(crate) fn write_token(path: &Path) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let file = std::fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(TOKEN.as_bytes())).expect("the folder of the case");
}
