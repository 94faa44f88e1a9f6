//! GF(2^8) with the polynomial of AES, x^8 + x^4 + x^3 + x + 1. Addition is XOR. No branch and no table goes by a value,
//! so that neither time nor the cache tells of one.

/// What x^8 is in the field.
const REDUCTION: u8 = 0x1b;

/// The product of `a` and `b`.
pub(crate) fn multiply(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |product, bit| {
        let overflow = mask(product >> 7);
        let doubled = (product << 1) ^ (overflow & REDUCTION);
        doubled ^ (mask((b >> bit) & 1) & a)
    })
}

/// The inverse of `a`, which is `a` to the power 254; that of 0 is 0.
pub(crate) fn invert(a: u8) -> u8 {
    // 254 is 0b1111_1110: seven factors, the squares of `a` but for `a` itself.
    let (_, inverse) = (0..7).fold((a, 1), |(power, product), _| {
        let square = multiply(power, power);
        (square, multiply(product, square))
    });
    inverse
}

/// `0xff` for 1, 0 for 0.
fn mask(bit: u8) -> u8 {
    0u8.wrapping_sub(bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schoolbook: the product of polynomials, then long division.
    fn slowly(a: u8, b: u8) -> u8 {
        let mut product: u16 = 0;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                product ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if product >> bit & 1 == 1 {
                product ^= 0x11b << (bit - 8);
            }
        }
        u8::try_from(product).unwrap()
    }

    #[test]
    fn every_product() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), slowly(a, b), "{a} * {b}");
            }
        }
    }

    #[test]
    fn every_inverse() {
        assert_eq!(invert(0), 0);
        for a in 1..=255 {
            assert_eq!(multiply(a, invert(a)), 1, "{a}");
        }
    }
}
