//! A real web server as origin: Debian's nginx over a folder of files.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::gate::until_within;
use crate::ports::Port;

/// A running nginx.
pub struct Nginx {
    folder: TempDir,
    port: Port,
    process: Child,
}

impl Nginx {
    /// Starts it over `files`; `None` (and a printed reason) when nginx is not installed.
    ///
    /// # Panics
    /// When it is installed but does not start.
    pub async fn start(files: &Path, location: &str) -> Option<Self> {
        let Some(binary) = installed() else {
            println!("skipped: nginx is not installed (apt-get install nginx-light)");
            return None;
        };
        let folder = TempDir::with_prefix("larder-nginx-").expect("a temporary directory");
        let port = Port::take();
        let at = folder.path().display();
        let config = format!(
            "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log; user root;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log {at}/access.log; sendfile on; default_type application/octet-stream;\n\
             types {{ text/html html; text/css css; image/svg+xml svg; application/javascript js; }}\n\
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fcgi;\n\
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen {}; root {}; {location} }} }}\n",
            port.address(),
            files.display(),
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config).expect("a folder of the case");
        let log = std::fs::File::options().create(true).append(true).open(folder.path().join("stderr"));
        let process = Command::new(binary)
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stderr(log.expect("a folder of the case"))
            .spawn()
            .expect("nginx starts");
        let nginx = Self { folder, port, process };
        let address = nginx.port.address();
        until_within(std::time::Duration::from_secs(10), "nginx to listen", async || {
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        Some(nginx)
    }

    /// What a node's `endpoints` says.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// How many requests it logged whose line contains `part`.
    #[must_use]
    pub fn count(&self, part: &str) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains(part)).count()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM first: a killed master would leave its worker behind.
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

fn installed() -> Option<PathBuf> {
    ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.exists())
}
