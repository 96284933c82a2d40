//! Servers that may be lost: a Redis of our own, and a wire to somebody else's that can be cut.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// A Redis of our own, killed when dropped.
pub struct Redis {
    process: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Redis {
    /// `None` if there is no redis-server on the path.
    pub fn start() -> Option<Self> {
        Self::start_on(free_port())
    }

    pub fn start_on(port: u16) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spawned = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn();
        match spawned {
            Ok(process) => Some(Self { process, port, _dir: dir }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no redis-server on PATH");
                None
            }
            Err(error) => panic!("redis-server: {error}"),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("it is ours");
        self.process.wait().expect("it ends");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may be dead already, by a test's wish.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// A wire to a server that can be cut (connections break and are refused) or frozen (nothing comes
/// through any more).
pub struct Wire {
    pub port: u16,
    cut: Arc<AtomicBool>,
    frozen: Arc<AtomicBool>,
}

impl Wire {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (cut, frozen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (is_cut, is_frozen) = (cut.clone(), frozen.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if !is_cut.load(Ordering::SeqCst) {
                    tokio::spawn(forward(near, target, is_cut.clone(), is_frozen.clone()));
                }
            }
        });
        Self { port, cut, frozen }
    }

    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    pub fn freeze(&self, frozen: bool) {
        self.frozen.store(frozen, Ordering::SeqCst);
    }
}

async fn forward(
    near: TcpStream,
    target: SocketAddr,
    cut: Arc<AtomicBool>,
    frozen: Arc<AtomicBool>,
) {
    let far = TcpStream::connect(target).await.expect("the server listens");
    let mut buffer = vec![0; 64 << 10];
    while !cut.load(Ordering::SeqCst) {
        if !frozen.load(Ordering::SeqCst) {
            for (from, to) in [(&near, &far), (&far, &near)] {
                match from.try_read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => write_all(to, &buffer[..read]).await,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        to.writable().await.expect("a live socket");
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
