//! The least that can be called an HTTP server, for `scripts/bench.sh drive`: one thread, one fixed
//! answer. Prints its address.

#![allow(clippy::print_stdout, reason = "a program of a script's")]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!";

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer(stream));
    }
}

/// Answers each head that ends in an empty line.
async fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while let Ok(read @ 1..) = stream.read(&mut buffer[filled..]).await {
        filled += read;
        while let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") {
            buffer.copy_within(end + 4..filled, 0);
            filled -= end + 4;
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
        if filled == buffer.len() {
            return;
        }
    }
}
