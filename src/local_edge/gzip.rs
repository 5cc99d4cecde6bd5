//! Just enough gzip to test how a client reads it: a wrapper that stores, and a body that grows when it is read.

/// The most that one stored block holds.
const STORED: usize = 65_535;
/// What a 32 bit trailer can tell.
pub(super) const MAX_MEGABYTES: usize = 4095;
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// The bytes as a gzip stream that stores them uncompressed.
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / STORED * 5 + 32);
    out.extend_from_slice(&HEADER);
    let mut blocks = bytes.chunks(STORED).peekable();
    if blocks.peek().is_none() {
        write_block(&mut out, &[], true);
    }
    while let Some(block) = blocks.next() {
        write_block(&mut out, block, blocks.peek().is_none());
    }
    let mut crc = Crc::new();
    crc.update(bytes);
    write_trailer(&mut out, &crc, bytes.len());
    out
}

/// A gzip stream of about 6.5 kB per megabyte of the JSON text `{"pad":"aaa…"}` that it grows to.
pub(super) fn bomb(megabytes: usize) -> Vec<u8> {
    const LEAD: &[u8] = b"{\"pad\":\"a";
    const TAIL: &[u8] = b"\"}";
    /// The longest match deflate has.
    const MATCH: usize = 258;
    let matches = (megabytes.min(MAX_MEGABYTES) * 1024 * 1024).div_ceil(MATCH);
    let mut bits = Bits { out: HEADER.to_vec(), group: 0, count: 0 };
    // Last block, fixed Huffman codes.
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    let mut crc = Crc::new();
    crc.update(LEAD);
    LEAD.iter().for_each(|byte| bits.push_literal(*byte));
    for _ in 0..matches {
        // Length 258 is symbol 285, code 11000101; distance 1 is code 00000. Codes go highest bit first.
        bits.push(0b1010_0011, 8);
        bits.push(0, 5);
        crc.update(&[b'a'; MATCH]);
    }
    crc.update(TAIL);
    TAIL.iter().for_each(|byte| bits.push_literal(*byte));
    // End of block is seven zeros.
    bits.push(0, 7);
    let mut out = bits.finish();
    write_trailer(&mut out, &crc, LEAD.len() + matches * MATCH + TAIL.len());
    out
}

fn write_block(out: &mut Vec<u8>, block: &[u8], last: bool) {
    let length = block.len() as u16;
    out.push(u8::from(last));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(block);
}

fn write_trailer(out: &mut Vec<u8>, crc: &Crc, length: usize) {
    out.extend_from_slice(&(!crc.register).to_le_bytes());
    out.extend_from_slice(&(length as u32).to_le_bytes());
}

/// Deflate's bit order: from the lowest bit of each byte up.
struct Bits {
    out: Vec<u8>,
    group: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        self.group |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.out.push(self.group as u8);
            self.group >>= 8;
            self.count -= 8;
        }
    }

    /// The fixed code of a literal below 144: eight bits from 00110000 on, highest bit first.
    fn push_literal(&mut self, byte: u8) {
        self.push(u32::from((byte + 0x30).reverse_bits()), 8);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.out.push(self.group as u8);
        }
        self.out
    }
}

struct Crc {
    table: [u32; 256],
    register: u32,
}

impl Crc {
    fn new() -> Self {
        let mut table = [0; 256];
        for (byte, entry) in (0u32..).zip(&mut table) {
            *entry = (0..8).fold(byte, |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 });
        }
        Self { table, register: !0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let index = (self.register ^ u32::from(*byte)) & 0xff;
            self.register = self.table[index as usize] ^ (self.register >> 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_standard() {
        let mut crc = Crc::new();
        crc.update(b"123456789");
        assert_eq!(!crc.register, 0xcbf4_3926);
    }

    #[test]
    fn long_texts_are_stored_in_several_blocks() {
        let text = vec![b'x'; STORED * 2 + 1];
        let out = stored(&text);
        assert_eq!(out.len(), HEADER.len() + 3 * 5 + text.len() + 8);
        assert_eq!(out[HEADER.len()], 0);
        assert_eq!(out[HEADER.len() + 2 * (5 + STORED)], 1);
        assert_eq!(stored(b"").len(), HEADER.len() + 5 + 8);
    }

    #[test]
    fn a_bomb_is_small_on_the_wire() {
        assert!(bomb(8).len() < 64 * 1024);
    }
}
