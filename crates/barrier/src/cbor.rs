//! Secret material inside stored records: modules for minicbor's `#[cbor(with = "…")]`.

/// [`SecretBytes`](strongroom_secret::SecretBytes) as a CBOR byte string.
pub mod secret_bytes {
    use minicbor::encode::Write;
    use minicbor::{Decoder, Encoder};
    use strongroom_secret::SecretBytes;

    /// Writes the bytes.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn encode<C, W: Write>(
        value: &SecretBytes,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(value.expose())?.ok()
    }

    /// Reads them into memory of their own.
    ///
    /// # Errors
    /// When there is no byte string.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<SecretBytes, minicbor::decode::Error> {
        Ok(SecretBytes::new(d.bytes()?.to_vec()))
    }
}

/// [`Key`](strongroom_secret::Key) as a CBOR byte string.
pub mod key {
    use minicbor::encode::Write;
    use minicbor::{Decoder, Encoder};
    use strongroom_secret::Key;

    /// Writes the key.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn encode<C, W: Write>(
        key: &Key,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(key.expose())?.ok()
    }

    /// Reads a key.
    ///
    /// # Errors
    /// When there is no byte string of a key's length.
    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Key, minicbor::decode::Error> {
        Key::from_slice(d.bytes()?)
            .ok_or_else(|| minicbor::decode::Error::message("a key has another length"))
    }
}
