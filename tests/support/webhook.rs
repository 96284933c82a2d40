//! A webhook that keeps what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// The path of its URL, which is nobody's business.
pub const SECRET: &str = "/services/T00/B00/s3cretTok3n";
/// What a channel answers that took the message.
pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Its URL, and what it was sent: request line and body of each request, which `answer` answers.
pub fn webhook(answer: &'static str) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}{SECRET}", listener.local_addr().expect("bound"));
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if sender.send(take(stream.expect("a client"), answer)).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn take(stream: TcpStream, answer: &str) -> (String, String) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).expect("a request");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').expect("a header");
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    // Who only wanted to tell may be gone by now.
    let _ = reader.get_mut().write_all(answer.as_bytes());
    (first, String::from_utf8(body).expect("text"))
}
