//! Blocks of addresses.

use std::net::IpAddr;

use super::Problem;
use crate::spec::{FieldPath, text::code};

/// A block of addresses: its first, as bits from the left, and how many of them are fixed.
pub(super) struct Block {
    bits: u128,
    prefix: u32,
    is_v4: bool,
}

impl Block {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u32 = prefix.parse().ok().filter(|_| digits)?;
        let (bits, width, is_v4) = match address.parse().ok()? {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32, true),
            IpAddr::V6(address) => (address.to_bits(), 128, false),
        };
        (prefix <= width).then_some(Self { bits, prefix, is_v4 })
    }

    /// The bits that a prefix of this length fixes.
    fn mask(prefix: u32) -> u128 {
        u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
    }

    fn is_first(&self) -> bool {
        self.bits & !Self::mask(self.prefix) == 0
    }

    /// Whether it is every address there is.
    pub(super) fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    /// Whether the other is a part of this one, and not all of it.
    pub(super) fn holds(&self, other: &Self) -> bool {
        self.is_v4 == other.is_v4
            && other.prefix > self.prefix
            && other.bits & Self::mask(self.prefix) == self.bits
    }
}

/// Reports what is no block of addresses, or not written by its first.
pub(super) fn cidr(path: &FieldPath, text: &str, found: &mut Vec<Problem>) -> Option<Block> {
    let block = Block::parse(text);
    let help = match &block {
        Some(block) if block.is_first() => return Some(Block { ..*block }),
        Some(_) => "write the block's first address, as in `10.1.0.0/16`; a single address ends in `/32`",
        None => "write an address and the length of its prefix, such as `10.0.0.0/8` or `fd00::/8`",
    };
    found.push(Problem::error(format!("{} is no block of addresses", code(text))).at(path, "").help(help));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_an_address_and_how_much_of_it_is_fixed() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32", "fd00::/8", "::/0", "::1/128"] {
            assert!(Block::parse(text).is_some_and(|block| block.is_first()), "{text}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/+8", "10.0.0.0/", "/8", ""] {
            assert!(Block::parse(text).is_none(), "{text}");
        }
        assert!(!Block::parse("10.1.2.3/8").unwrap().is_first());
        let within =
            |whole: &str, part: &str| Block::parse(whole).unwrap().holds(&Block::parse(part).unwrap());
        assert!(within("10.0.0.0/8", "10.1.0.0/16") && within("0.0.0.0/0", "10.0.0.0/8"));
        assert!(!within("10.0.0.0/8", "10.0.0.0/8") && !within("10.0.0.0/8", "11.0.0.0/16"));
        assert!(!within("::/0", "10.0.0.0/8"));
    }
}
