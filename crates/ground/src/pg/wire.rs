//! A server connection whose bytes we read ourselves, for COPY at the speed of the server.
//!
//! sqlx hands out every row as a reference-counted buffer through an asynchronous stream, which
//! costs more than the server takes to make the row. So sqlx connects and logs in as ever, by way of
//! a relay in this process; once the session is set up the relay steps aside and keeps the socket.
//! That is possible if nothing is encrypted: over a UNIX socket, to this machine, or if the
//! URL says `sslmode=disable`. Elsewhere there is no relay and sqlx's own stream serves.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Bytes asked of the socket at once; some thousand rows.
const BUFFER_BYTES: usize = 256 * 1024;

/// A read that brought less than this is followed by a short rest.
const WORTH_A_READ_BYTES: usize = 128 * 1024;

/// The rest: PostgreSQL sends 8 KiB at a time, and a reader that wakes up for each of them takes a
/// fifth of the machine for going to sleep and waking up. Far shorter than a buffer takes to fill.
const FILL_INTERVAL: Duration = Duration::from_micros(300);

/// A socket to the server, of either kind.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl Socket for TcpStream {}
impl Socket for UnixStream {}

/// A connection that sqlx speaks over while the relay stands between it and the server.
pub(super) struct Relayed {
    /// For the set-up of the session.
    pub(super) connection: PgConnection,
    step_aside: oneshot::Sender<()>,
    relay: JoinHandle<Option<Box<dyn Socket>>>,
}

impl Relayed {
    /// Connects by way of a relay; `None` if the connection is to be encrypted.
    pub(super) async fn connect(options: &PgConnectOptions) -> sqlx::Result<Option<Self>> {
        let Some(server) = dial(options).await? else { return Ok(None) };
        // The folder is open to this user alone, so nobody else can take our place at the relay.
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = UnixListener::bind(path)?;
        let (step_aside, asked) = oneshot::channel();
        let relay = tokio::spawn(async move {
            let (client, _) = listener.accept().await.ok()?;
            relay(client, server, asked).await
        });
        let options = options.clone().socket(folder.path()).ssl_mode(PgSslMode::Disable);
        let connection = PgConnection::connect_with(&options).await?;
        Ok(Some(Self { connection, step_aside, relay }))
    }

    /// Takes the socket. Nothing may be under way on the connection.
    pub(super) async fn take(self) -> Option<WireConnection> {
        self.step_aside.send(()).ok()?;
        let socket = self.relay.await.ok()??;
        Some(WireConnection {
            socket,
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            needed: 0,
            rest: false,
        })
    }
}

async fn relay(
    mut client: UnixStream,
    mut server: Box<dyn Socket>,
    asked: oneshot::Receiver<()>,
) -> Option<Box<dyn Socket>> {
    // Between statements no byte is on its way, so stopping in between loses none.
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => None,
        _ = asked => Some(server),
    }
}

/// Opens a socket to the server where encryption is out of the question.
async fn dial(options: &PgConnectOptions) -> sqlx::Result<Option<Box<dyn Socket>>> {
    let (host, port) = (options.get_host(), options.get_port());
    let folder = options.get_socket().cloned();
    let folder = folder.or_else(|| host.starts_with('/').then(|| host.into()));
    let optional =
        matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
    if let Some(folder) = folder.filter(|_| optional) {
        let socket = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?;
        return Ok(Some(Box::new(socket)));
    }
    let plain = matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow)
        || (is_this_machine(host) && optional);
    if !plain {
        return Ok(None);
    }
    let socket = TcpStream::connect((host, port)).await?;
    socket.set_nodelay(true)?;
    Ok(Some(Box::new(socket)))
}

/// Whether an address is this machine's own.
pub(super) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The server at the other end of a socket, logged in and waiting for a statement.
pub(super) struct WireConnection {
    socket: Box<dyn Socket>,
    buffer: Vec<u8>,
    /// The part of the buffer that has come and was not yet taken.
    unread: Range<usize>,
    /// Bytes that the message at its beginning takes, as far as is known.
    needed: usize,
    /// Whether the last read brought little.
    rest: bool,
}

/// A message of the server: its kind and where its content stands in the buffer.
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) content: Range<usize>,
}

impl WireConnection {
    /// Sends a statement by the simple protocol.
    pub(super) async fn send(&mut self, statement: &str) -> std::io::Result<()> {
        let length = u32::try_from(statement.len() + 5).map_err(std::io::Error::other)?;
        let mut message = Vec::with_capacity(statement.len() + 6);
        message.push(b'Q');
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(statement.as_bytes());
        message.push(0);
        self.socket.write_all(&message).await
    }

    /// Says goodbye, so that the server's log does not call the end unexpected.
    pub(super) async fn close(mut self) -> std::io::Result<()> {
        self.socket.write_all(b"X\0\0\0\x04").await
    }

    /// The next message that has come whole, without waiting; `None` if the rest is to be
    /// awaited by [`Self::fill`]. Its content stays in the buffer until then.
    pub(super) fn message(&mut self) -> Option<Message> {
        let unread = &self.buffer[self.unread.clone()];
        let Some([kind, length @ ..]) = unread.first_chunk::<5>() else {
            self.needed = 5;
            return None;
        };
        let length = u32::from_be_bytes(*length) as usize + 1;
        if length > unread.len() {
            self.needed = length;
            return None;
        }
        let start = self.unread.start;
        self.unread.start += length;
        Some(Message { kind: *kind, content: start + 5..start + length })
    }

    /// A part of the buffer.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Reads on, with room for the message that [`Self::message`] found unfinished.
    pub(super) async fn fill(&mut self) -> std::io::Result<()> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.buffer.len() < self.needed {
            self.buffer.resize(self.needed.next_power_of_two(), 0);
        }
        if self.rest {
            // Not the timer of the runtime, which ticks in milliseconds.
            std::thread::sleep(FILL_INTERVAL);
        }
        let read = self.socket.read(&mut self.buffer[self.unread.end..]).await?;
        self.rest = read < WORTH_A_READ_BYTES;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.end += read;
        Ok(())
    }
}
