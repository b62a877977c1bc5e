//! How messages lie in frames: JSON text, or `MessagePack`.
//!
//! - Both say the same: maps by name, the same fields, the same numbers. A whole number is exact
//!   over all of `i64` and `u64`, and an `f64` comes back with the same bits.
//! - What is read is bounded: nesting up to [`DEPTH_MAX`], nothing after the message, and no
//!   allocation that a length in the message alone asks for. How long a message may be is decided
//!   by who reads the socket.
//! - The encoding is agreed on by the subprotocol of the WebSocket; none means JSON.
//!
//! `MessagePack` has no binary and no extension types here, since JSON has neither.

use std::io::Cursor;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// How deeply arrays and objects may be nested in a message that is read, about.
///
/// The envelope counts: a value inside a change may be some four levels less deep.
pub const DEPTH_MAX: usize = 128;

/// How messages lie in frames.
///
/// ```
/// use protocol::{ClientMessage, Encoding, Hello};
///
/// let hello = ClientMessage::Hello(Hello::default());
/// let encoding = Encoding::from_subprotocol("forebay.v1.msgpack").unwrap_or_default();
/// assert!(!encoding.is_text());
/// let frame = encoding.encode(&hello)?;
/// assert_eq!(encoding.decode::<ClientMessage>(&frame)?, hello);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// JSON, in text frames.
    #[default]
    Json,
    /// `MessagePack` with maps by name, in binary frames.
    MessagePack,
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is cut short, too deep, of an unknown `type`, or a field has a wrong type.
    #[error("no message in {encoding}: {reason}")]
    Malformed {
        /// In what it was read.
        encoding: &'static str,
        /// What is wrong, and where if that is known.
        reason: String,
    },
    /// Something follows the message.
    #[error("something follows the message in {encoding}")]
    Trailing {
        /// In what it was read.
        encoding: &'static str,
    },
}

/// Why a value cannot be written. No message of this crate causes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no message in {encoding}: {reason}")]
pub struct EncodeError {
    /// In what it was to be written.
    pub encoding: &'static str,
    /// What is wrong.
    pub reason: String,
}

impl Encoding {
    /// Every encoding, the one that is preferred first.
    pub const ALL: [Self; 2] = [Self::MessagePack, Self::Json];

    /// The name of its WebSocket subprotocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "forebay.v1.json",
            Self::MessagePack => "forebay.v1.msgpack",
        }
    }

    /// The one with this subprotocol, by its exact name.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.subprotocol() == name)
    }

    /// Whether its messages are text frames; binary frames if not.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Json)
    }

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::MessagePack => "MessagePack",
        }
    }

    /// The bytes of a message. Of JSON they are UTF-8.
    ///
    /// # Errors
    /// When the value is one that the encoding cannot say, such as a map with keys that are no
    /// text. The messages of this crate are not.
    pub fn encode<T: Serialize + ?Sized>(self, message: &T) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::with_capacity(128);
        self.encode_into(message, &mut bytes)?;
        Ok(bytes)
    }

    /// Appends the bytes of a message.
    ///
    /// # Errors
    /// As [`Encoding::encode`]; then `bytes` is as it was before.
    pub fn encode_into<T: Serialize + ?Sized>(
        self,
        message: &T,
        bytes: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let before = bytes.len();
        let written = match self {
            Self::Json => {
                serde_json::to_writer(&mut *bytes, message).map_err(|error| error.to_string())
            }
            Self::MessagePack => {
                let mut serializer = rmp_serde::Serializer::new(&mut *bytes).with_struct_map();
                message
                    .serialize(&mut serializer)
                    .map_err(|error| error.to_string())
            }
        };
        written.map_err(|reason| {
            bytes.truncate(before);
            EncodeError {
                encoding: self.name(),
                reason,
            }
        })
    }

    /// The message that these bytes are, all of them.
    ///
    /// # Errors
    /// When they are none, or something follows it.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        match self {
            Self::Json => self.decode_json(bytes),
            Self::MessagePack => self.decode_message_pack(bytes),
        }
    }

    fn decode_json<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        // Its own limit on nesting is 128 levels.
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let message = T::deserialize(&mut deserializer).map_err(|error| self.malformed(&error))?;
        deserializer.end().map_err(|_| self.trailing())?;
        Ok(message)
    }

    fn decode_message_pack<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(bytes));
        deserializer.set_max_depth(DEPTH_MAX);
        let message = T::deserialize(&mut deserializer).map_err(|error| self.malformed(&error))?;
        if deserializer.position() != bytes.len() as u64 {
            return Err(self.trailing());
        }
        Ok(message)
    }

    fn malformed(self, reason: &dyn std::error::Error) -> DecodeError {
        DecodeError::Malformed {
            encoding: self.name(),
            reason: reason.to_string(),
        }
    }

    fn trailing(self) -> DecodeError {
        DecodeError::Trailing {
            encoding: self.name(),
        }
    }
}
