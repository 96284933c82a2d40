//! Sessions of our own: a server that does not do what was asked of it at the beginning is not compared.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use crate::support;

/// What comparisons rest on; the time zone, too, but the driver asks for that in its first message already.
const RESTED_ON: [&str; 6] = [
    "row_security",
    "datestyle",
    "intervalstyle",
    "extra_float_digits",
    "bytea_output",
    "default_transaction_read_only",
];

/// Between a client and the server: hands everything on, but that one setting is asked for under a name that
/// means nothing.
struct Between {
    url: String,
    work: tokio::task::JoinHandle<()>,
}

impl Between {
    async fn start(server: &str, setting: &'static str) -> Self {
        let mut url = Url::parse(server).expect("a URL");
        let server = format!("{}:{}", url.host_str().expect("TCP"), url.port().expect("a port"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        let work = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server answers");
                tokio::spawn(relay(client, server, setting));
            }
        });
        Self { url: url.into(), work }
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.work.abort();
    }
}

async fn relay(client: TcpStream, server: TcpStream, setting: &'static str) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let (asked, swallowed) = (format!("('{setting}', "), format!("('x.{}', ", &setting[2..]));
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
        let bytes = &mut buffer[..read];
        let at = bytes.windows(asked.len()).position(|part| part == asked.as_bytes());
        if let Some(at) = at {
            bytes[at..at + asked.len()].copy_from_slice(swallowed.as_bytes());
        }
        if to_server.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_what_was_asked_for_is_refused() {
    let database = support::database();
    let name = database.url.rsplit('/').next().expect("a name");
    let other = format!(
        "ALTER DATABASE {name} SET timezone = 'Asia/Tashkent'; ALTER DATABASE {name} SET datestyle = 'SQL, DMY';
         ALTER DATABASE {name} SET intervalstyle = iso_8601; ALTER DATABASE {name} SET extra_float_digits = 0;
         ALTER DATABASE {name} SET bytea_output = escape"
    );
    support::execute(&database.url, &other).await;
    // A database with settings of its own is none of our business as long as ours hold.
    cutover::pg::connect_reading(&database.url).await.expect("it is what was asked for");
    for setting in RESTED_ON {
        let between = Between::start(&database.url, setting).await;
        let refused = cutover::pg::connect_reading(&between.url).await;
        let Err(error) = refused else { panic!("{setting} does not hold, and nobody says so") };
        let said = error.to_string();
        assert!(said.contains(setting) && !said.contains('\n'), "{said}");
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("ignore_startup_parameters"), "{said}: {hint}");
    }
    let between = Between::start(&database.url, "no_such_setting").await;
    cutover::pg::connect_reading(&between.url).await.expect("nothing is swallowed there");
}
