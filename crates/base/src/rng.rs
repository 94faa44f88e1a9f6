//! Randomness as a value. Only [`SystemRng`] asks the system.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Where random bytes come from.
pub trait Rng: Send + Sync + 'static {
    /// Fills `out` with random bytes.
    fn fill(&self, out: &mut [u8]);

    /// `N` random bytes.
    fn array<const N: usize>(&self) -> [u8; N]
    where
        Self: Sized,
    {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }
}

/// The cryptography provider's random generator, seeded by the system.
#[derive(Default)]
pub struct SystemRng(SystemRandom);

impl Rng for SystemRng {
    #[expect(
        clippy::panic,
        reason = "without randomness every nonce and key would be predictable: stop"
    )]
    fn fill(&self, out: &mut [u8]) {
        if self.0.fill(out).is_err() {
            panic!("the system gives no random numbers");
        }
    }
}
