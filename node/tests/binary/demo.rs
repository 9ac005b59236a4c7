//! `larder demo`: the first thing a newcomer runs.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use larder_tests::{Ask, Client};
use rustix::process::{Pid, Signal, kill_process};

use crate::LARDER;

struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_demo_serves_hits_and_ends_cleanly() {
    println!("case: larder demo prints what to try, serves its site with hits, and ends cleanly on Ctrl-C");
    let mut command = Command::new(LARDER);
    command.arg("demo").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = Demo(command.spawn().expect("the binary starts"));
    let stdout = demo.0.stdout.take().expect("piped");
    let stderr = demo.0.stderr.take().expect("piped");
    let (told, heard) = std::sync::mpsc::channel();
    for pipe in [Box::new(stdout) as Box<dyn Read + Send>, Box::new(stderr)] {
        let told = told.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = told.send(line);
            }
        });
    }
    let address = loop {
        let line = heard.recv_timeout(Duration::from_secs(20)).expect("the demo says where it listens");
        if let Some(address) = line.split("http://").nth(1).and_then(address) {
            break address;
        }
    };
    let mut client = Client::connect(address).await;
    let ask = || Ask::get("/").host(&address.to_string());
    let first = client.ask(ask()).await;
    assert_eq!(first.status, 200);
    larder_tests::until_within(Duration::from_secs(10), "a hit", async || {
        Client::connect(address).await.ask(ask()).await.hit()
    })
    .await;
    kill_process(Pid::from_child(&demo.0), Signal::INT).expect("our own child");
    let mut code = None;
    larder_tests::until("the demo to end", || {
        code = demo.0.try_wait().ok().flatten();
        code.is_some()
    })
    .await;
    assert!(code.is_some_and(|code| code.success()), "{code:?}");
}

/// `127.0.0.1:8080` or `localhost:8080` at the start of `text`.
fn address(text: &str) -> Option<SocketAddr> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !".:-".contains(c)).unwrap_or(text.len());
    text[..end].replace("localhost", "127.0.0.1").parse().ok()
}
