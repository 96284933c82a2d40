//! Rows of `COPY … TO STDOUT (FORMAT binary)`, as the bytes that came over the wire.
//!
//! The format: a header once, then for each row a field count (16 bits) and for each field its
//! length (32 bits, −1 for NULL) and its bytes, then a count of −1. The server sends every row as a
//! message of its own, the header together with the first.

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sqlx::postgres::PgConnection;

use super::failure;
use crate::error::{Error, Result};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Reads rows one by one.
pub struct CopyReader<'c> {
    what: String,
    stream: BoxStream<'c, sqlx::Result<Bytes>>,
    message: Bytes,
    header_read: bool,
    ended: bool,
}

impl<'c> CopyReader<'c> {
    /// Sends a `COPY … TO STDOUT (FORMAT binary)`; `what` says in errors what is being read.
    ///
    /// # Errors
    /// A run error where the server refuses.
    pub async fn start(
        connection: &'c mut PgConnection,
        statement: &str,
        what: impl Into<String>,
    ) -> Result<Self> {
        let what = what.into();
        let stream =
            connection.copy_out_raw(statement).await.map_err(|error| failure(&what, &error))?;
        Ok(Self { what, stream, message: Bytes::new(), header_read: false, ended: false })
    }

    /// The next row's fields (see [`Fields`]), or `None` at the end.
    ///
    /// # Errors
    /// A run error where the server fails, or ends without saying that this was all.
    pub async fn next_row(&mut self) -> Result<Option<Bytes>> {
        loop {
            while self.message.is_empty() {
                match self.stream.next().await {
                    Some(Ok(message)) => self.message = message,
                    Some(Err(error)) => return Err(failure(&self.what, &error)),
                    // The stream's end means that the server called the statement a success.
                    None if self.ended => return Ok(None),
                    None => return Err(self.damaged("it ended without its trailer")),
                }
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
        if self.message.len() < fixed || !self.message.starts_with(SIGNATURE) {
            return Err(self.damaged("it has no header"));
        }
        self.message.advance(SIGNATURE.len() + 4);
        let extension = self.message.get_u32() as usize;
        if self.message.len() < extension {
            return Err(self.damaged("its header is cut off"));
        }
        self.message.advance(extension);
        self.header_read = true;
        Ok(())
    }

    /// Takes a row off the message; `None` where it was the trailer.
    fn split_row(&mut self) -> Result<Option<Bytes>> {
        if self.ended || self.message.len() < 2 {
            return Err(self.damaged("there is something behind its trailer"));
        }
        let count = self.message.get_i16();
        if count == -1 {
            self.ended = true;
            return Ok(None);
        }
        match row_length(&self.message, count) {
            Some(length) => Ok(Some(self.message.split_to(length))),
            None => Err(self.damaged("a row is cut off")),
        }
    }

    fn damaged(&self, why: &str) -> Error {
        Error::run(
            format!("{}: the server's COPY stream is damaged: {why}", self.what),
            "does a proxy stand between us and PostgreSQL? connect to the server itself",
        )
    }
}

/// How many bytes `count` fields take; `None` where they do not fit.
fn row_length(bytes: &[u8], count: i16) -> Option<usize> {
    let mut at = 0_usize;
    for _ in 0..count {
        let length = i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    (at <= bytes.len()).then_some(at)
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
        assert_eq!(row_length(&row, 3), Some(row.len()));
        let fields: Vec<_> = Fields::of(&row).collect();
        assert_eq!(fields, [Some(&[7][..]), None, Some(&[][..])]);
    }

    #[test]
    fn a_row_that_is_cut_off_has_no_length() {
        assert_eq!(row_length(&[0, 0, 0, 9, 1], 1), None);
        assert_eq!(row_length(&[0, 0], 1), None);
    }
}
