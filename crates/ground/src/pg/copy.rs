//! Rows of `COPY … TO STDOUT (FORMAT binary)`, as the bytes that came over the wire.
//!
//! The format: a header once, then for each row a field count (16 bits) and for each field its
//! length (32 bits, −1 for NULL) and its bytes, then a count of −1. The protocol has the server send
//! every row as a message of its own ("always one per row"), the header together with the first; so
//! if a row ends needs no counting.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};

use super::failure::{failure, lost, refused};
use super::wire::WireConnection;
use super::{Session, sql};
use cutover_error::{Error, Result};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// A connection that reads tables by COPY.
pub struct CopyConnection {
    link: Link,
    session: Session,
    stall: Duration,
    /// Whether it is in a transaction, whose locks are to end with each statement.
    parts: bool,
    /// Whether a part of the transaction was begun and not ended.
    begun: bool,
}

/// How its bytes reach us.
pub(super) enum Link {
    /// Read by ourselves.
    Wire(WireConnection),
    /// Read by sqlx, which can decrypt them.
    Sqlx(PgConnection),
}

impl CopyConnection {
    /// A connection whose readers give up if nothing comes for `stall`.
    pub(super) fn new(link: Link, session: Session, stall: Duration, parts: bool) -> Self {
        Self { link, session, stall, parts, begun: false }
    }

    /// The session it is.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Waits `times` as long: for statements that sum up or sort before their first row.
    pub fn more_patient(mut self, times: u32) -> Self {
        self.stall = self.stall.saturating_mul(times);
        self
    }

    /// Sends a `COPY … TO STDOUT (FORMAT binary)`; `what` says in errors what is being read. Its locks are
    /// gone when its rows are read; over an encrypted connection, when the next statement begins.
    ///
    /// # Errors
    /// A run error if the server refuses or is gone.
    pub async fn copy(
        &mut self,
        statement: &str,
        what: impl Into<String>,
    ) -> Result<CopyReader<'_>> {
        let what = what.into();
        let source = match &mut self.link {
            Link::Wire(connection) => {
                let whole = format!("{}; {statement}; {}", sql::BEGIN_PART, sql::END_PART);
                let statement = if self.parts { &whole } else { statement };
                connection.send(statement).await.map_err(|error| lost(&what, error))?;
                Source::Wire(connection)
            }
            Link::Sqlx(connection) => {
                if self.parts {
                    // Before the first statement there is no part to end.
                    let ends = std::mem::replace(&mut self.begun, true).then_some(sql::END_PART);
                    for part in ends.into_iter().chain([sql::BEGIN_PART]) {
                        connection.execute(part).await.map_err(|error| failure(&what, &error))?;
                    }
                }
                let stream = connection.copy_out_raw(statement).await;
                let stream = stream.map_err(|error| failure(&what, &error))?;
                Source::Sqlx { stream, message: Bytes::new(), taken: true }
            }
        };
        Ok(CopyReader {
            what,
            stall: self.stall,
            source,
            progress: Progress::Sending,
            message: 0..0,
            header_read: false,
            ended: false,
        })
    }

    /// Ends the connection; to be called when its rows are read.
    pub async fn close(self) {
        // Everything asked for has come; how the goodbye fares changes nothing.
        match self.link {
            Link::Wire(connection) => drop(connection.close().await),
            Link::Sqlx(connection) => drop(connection.close().await),
        }
    }
}

/// Where messages come from.
enum Source<'c> {
    Wire(&'c mut WireConnection),
    Sqlx { stream: BoxStream<'c, sqlx::Result<Bytes>>, message: Bytes, taken: bool },
}

/// How far a statement has come.
#[derive(Clone, Copy, PartialEq)]
enum Progress {
    Sending,
    /// The server called it a success.
    Complete,
    /// The server awaits the next statement.
    Ready,
}

impl Source<'_> {
    /// The content of the next CopyData message that has come whole, without waiting.
    fn at_hand(&mut self, what: &str, progress: &mut Progress) -> Result<Option<Range<usize>>> {
        match self {
            Self::Wire(connection) => data_at_hand(connection, what, progress),
            Self::Sqlx { message, taken, .. } => {
                Ok((!std::mem::replace(taken, true)).then(|| 0..message.len()))
            }
        }
    }

    /// Waits for more to come.
    async fn fill(&mut self, what: &str, progress: &mut Progress) -> Result<()> {
        match self {
            Self::Wire(connection) => connection.fill().await.map_err(|error| lost(what, error)),
            Self::Sqlx { stream, message, taken } => {
                match stream.next().await {
                    Some(bytes) => {
                        *message = bytes.map_err(|error| failure(what, &error))?;
                        *taken = false;
                    }
                    None => *progress = Progress::Ready,
                }
                Ok(())
            }
        }
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        match self {
            Self::Wire(connection) => connection.bytes(range),
            Self::Sqlx { message, .. } => &message[range],
        }
    }
}

fn data_at_hand(
    connection: &mut WireConnection,
    what: &str,
    progress: &mut Progress,
) -> Result<Option<Range<usize>>> {
    while let Some(message) = connection.message() {
        match message.kind {
            b'd' => return Ok(Some(message.content)),
            b'C' => *progress = Progress::Complete,
            b'Z' if *progress == Progress::Complete => *progress = Progress::Ready,
            b'E' => return Err(server_error(what, connection.bytes(message.content))),
            // CopyOutResponse, CopyDone, notices, parameter changes, notifications.
            b'H' | b'c' | b'N' | b'S' | b'A' => {}
            kind => {
                let text = format!("{what}: unexpected message `{}`", char::from(kind));
                return Err(Error::run(text, ""));
            }
        }
    }
    Ok(None)
}

/// An ErrorResponse: fields of a letter and a text that ends in a zero byte.
fn server_error(what: &str, content: &[u8]) -> Error {
    let field = |letter: u8| {
        let field = content.split(|byte| *byte == 0).find(|field| field.first() == Some(&letter));
        field.map_or_else(String::new, |field| String::from_utf8_lossy(&field[1..]).into_owned())
    };
    refused(what, &field(b'C'), &field(b'M'))
}

/// Reads rows one by one.
pub struct CopyReader<'c> {
    what: String,
    stall: Duration,
    source: Source<'c>,
    progress: Progress,
    /// What was not yet read of the message at hand.
    message: Range<usize>,
    header_read: bool,
    ended: bool,
}

impl CopyReader<'_> {
    /// The next row's fields (see [`Fields`]), or `None` at the end.
    ///
    /// # Errors
    /// A run error if the server fails, or ends without saying that this was all.
    pub async fn next_row(&mut self) -> Result<Option<&[u8]>> {
        loop {
            if let Some(row) = self.take_row()? {
                return Ok(Some(self.source.bytes(row)));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// The next row that has come whole, without waiting; `None` if [`Self::more`] is to be
    /// awaited. Rows read this way cost no trip through the scheduler each.
    ///
    /// # Errors
    /// As [`Self::next_row`].
    pub fn row_at_hand(&mut self) -> Result<Option<&[u8]>> {
        Ok(self.take_row()?.map(|row| self.source.bytes(row)))
    }

    /// Waits until more has come; false at the end.
    ///
    /// # Errors
    /// As [`Self::next_row`].
    pub async fn more(&mut self) -> Result<bool> {
        if self.progress == Progress::Ready {
            return if self.ended { Ok(false) } else { Err(self.damaged("it has no trailer")) };
        }
        let filled = self.source.fill(&self.what, &mut self.progress);
        tokio::time::timeout(self.stall, filled)
            .await
            .map_err(|_| stalled(&self.what, self.stall))??;
        Ok(true)
    }

    fn take_row(&mut self) -> Result<Option<Range<usize>>> {
        loop {
            while self.message.is_empty() {
                let Some(message) = self.source.at_hand(&self.what, &mut self.progress)? else {
                    return Ok(None);
                };
                self.message = message;
                if !self.header_read {
                    self.read_header()?;
                }
            }
            if let Some(row) = self.split_row()? {
                return Ok(Some(row));
            }
        }
    }

    fn read_header(&mut self) -> Result<()> {
        // Signature, flags, length of an extension that no server sends yet.
        let fixed = SIGNATURE.len() + 8;
        let bytes = self.source.bytes(self.message.clone());
        let header = bytes.get(..fixed).filter(|header| header.starts_with(SIGNATURE));
        let extension = header.and_then(|header| header.last_chunk::<4>());
        let Some(extension) = extension.map(|length| u32::from_be_bytes(*length) as usize) else {
            return Err(self.damaged("it has no header"));
        };
        if bytes.len() < fixed + extension {
            return Err(self.damaged("its header is cut off"));
        }
        self.message.start += fixed + extension;
        self.header_read = true;
        Ok(())
    }

    /// Takes the row off the message; `None` if it was the trailer.
    fn split_row(&mut self) -> Result<Option<Range<usize>>> {
        let message = std::mem::replace(&mut self.message, 0..0);
        match self.source.bytes(message.clone()) {
            _ if self.ended => Err(self.damaged("there is something behind its trailer")),
            [] | [_] => Err(self.damaged("a row is cut off")),
            [0xff, 0xff] => {
                self.ended = true;
                Ok(None)
            }
            _ => Ok(Some(message.start + 2..message.end)),
        }
    }

    fn damaged(&self, why: &str) -> Error {
        Error::run(
            format!("{}: the server's COPY stream is damaged: {why}", self.what),
            "does a proxy stand between us and PostgreSQL? connect to the server itself",
        )
    }
}

fn stalled(what: &str, stall: Duration) -> Error {
    Error::run(
        format!("{what}: the server sent nothing for {} s", stall.as_secs_f64()),
        "is it frozen, or its disk? look at the session in pg_stat_activity; \
         --stall-timeout waits longer",
    )
}

/// The fields of one row, in order: bytes, or `None` for NULL.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The fields of a row of [`CopyReader::next_row`].
    pub fn of(row: &'a [u8]) -> Self {
        Self(row)
    }

    /// What has not been read yet: lengths and bytes as they came.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// The value of a field that is a signed integer of 2, 4 or 8 bytes; `None` for any other length.
pub fn integer(field: &[u8]) -> Option<i64> {
    match field.len() {
        8 => Some(i64::from_be_bytes(field.try_into().ok()?)),
        4 => Some(i32::from_be_bytes(field.try_into().ok()?).into()),
        2 => Some(i16::from_be_bytes(field.try_into().ok()?).into()),
        _ => None,
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let (length, rest) = self.0.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.0 = rest;
            return Some(None);
        };
        let (field, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Some(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_tell_null_from_empty() {
        let row = [&[0, 0, 0, 1, 7][..], &[0xff; 4], &[0; 4]].concat();
        let fields: Vec<_> = Fields::of(&row).collect();
        assert_eq!(fields, [Some(&[7][..]), None, Some(&[][..])]);
    }
}
