//! Errors as text for operators.

use std::error::Error;
use std::fmt::Write as _;
use std::iter::successors;

/// The text of `error` and of all that caused it, joined by `: `.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for cause in successors(error.source(), |&cause| cause.source()) {
        let _ = write!(text, ": {cause}"); // a string takes all that is written
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Fault(&'static str, Option<Box<Fault>>);

    impl fmt::Display for Fault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Fault {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_follow_what_they_caused() {
        let disk = Fault("disk on fire", None);
        assert_eq!(with_causes(&disk), "disk on fire");
        let read = Fault("cannot read", Some(Box::new(disk)));
        let open = Fault("cannot open", Some(Box::new(read)));
        assert_eq!(with_causes(&open), "cannot open: cannot read: disk on fire");
    }
}
