//! The kind on a real module. A module reads its configuration from the environment of its process, so each test runs a
//! second time in a child with that of its own tokens.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

use strongroom_barrier::RootKey;
use strongroom_base::{InstanceId, SystemRng, Timestamp};
use strongroom_seal::{NewSlot, Seal, SealFault, SlotKind, Slots, TokenKey, contract};
use strongroom_seal_pkcs11::{Pkcs11, Pkcs11Config, Pkcs11Error};
use strongroom_testkit::SoftHsm;

/// In the child: what the parent tells it of its tokens.
struct Child {
    pin_file: PathBuf,
}

impl Child {
    fn pkcs11(&self) -> Pkcs11 {
        self.with(SoftHsm::module())
    }

    fn with(&self, module: &str) -> Pkcs11 {
        let config = Pkcs11Config {
            module: module.into(),
            pin_file: Some(self.pin_file.clone()),
        };
        Pkcs11::new(config).unwrap()
    }

    /// Lets the parent do `what`.
    fn ask(&self, what: &str) {
        let folder = self.pin_file.parent().unwrap();
        match what {
            "take out" => {
                std::fs::rename(folder.join("tokens"), folder.join("drawer")).unwrap();
                std::fs::create_dir(folder.join("tokens")).unwrap();
            }
            "put back" => {
                std::fs::remove_dir_all(folder.join("tokens")).unwrap();
                std::fs::rename(folder.join("drawer"), folder.join("tokens")).unwrap();
            }
            _ => panic!("{what}"),
        }
    }

    fn pin(&self, pin: &str) {
        std::fs::write(&self.pin_file, pin).unwrap();
    }
}

/// Runs `test` in a child of this program that sees a token `hsm`.
fn in_child(name: &str, set_up: impl FnOnce(&SoftHsm), test: impl AsyncFnOnce(Child)) {
    if let Some(pin_file) = std::env::var_os("STRONGROOM_TEST_PIN_FILE") {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(test(Child {
            pin_file: pin_file.into(),
        }));
    }
    let hsm = SoftHsm::new().unwrap();
    hsm.token("hsm").unwrap();
    set_up(&hsm);
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", hsm.conf())
        .env("STRONGROOM_TEST_PIN_FILE", hsm.pin_file(SoftHsm::PIN).unwrap())
        .status()
        .unwrap();
    assert!(done.success());
}

fn key(label: &str) -> TokenKey {
    TokenKey::new("hsm", label).unwrap()
}

/// What is wrong with `key` of the token.
async fn refusal(pkcs11: &Pkcs11, key: &TokenKey) -> String {
    pkcs11.prepare(key).await.unwrap_err().to_string()
}

#[test]
fn a_key_in_a_token_passes_the_contract() {
    in_child(
        "a_key_in_a_token_passes_the_contract",
        |_| (),
        async |child| {
            let (pkcs11, again) = (child.pkcs11(), child.pkcs11());
            for label in ["root", "other"] {
                pkcs11.prepare(&key(label)).await.unwrap();
                pkcs11.prepare(&key(label)).await.unwrap();
            }
            contract::check(
                &pkcs11.seal(&key("root")),
                &again.seal(&key("root")),
                &pkcs11.seal(&key("other")),
            )
            .await
            .unwrap();

            let missing = pkcs11.seal(&key("nobody")).unwrap(&[0; 60], b"").await;
            assert!(
                matches!(missing, Err(SealFault::Unreachable(error)) if error.to_string().contains("no AES key `nobody`"))
            );
        },
    );
}

#[test]
fn a_slot_opens_after_the_token_was_out_and_back() {
    in_child(
        "a_slot_opens_after_the_token_was_out_and_back",
        |_| (),
        async |child| {
            let (pkcs11, rng, here) = (
                child.pkcs11(),
                SystemRng::default(),
                InstanceId::from_bytes([1; 16]),
            );
            pkcs11.prepare(&key("root")).await.unwrap();
            let (root, seal) = (RootKey::generate(&rng), pkcs11.seal(&key("root")));
            let new = NewSlot {
                kind: SlotKind::Pkcs11(key("root")),
                label: String::new(),
                created: Timestamp::default(),
            };
            let slots = Slots::create(here, &root, new, &seal, &rng).await.unwrap();
            let slot = slots.slot(1).unwrap();

            child.ask("take out");
            let Err(SealFault::Unreachable(error)) = slot.unwrap(here, &seal).await else {
                panic!()
            };
            assert_eq!(
                error.to_string(),
                "there is no token `hsm`: put it in; tokens that are there: none"
            );
            child.ask("put back");
            assert!(slot.unwrap(here, &seal).await.unwrap().expose() == root.expose());
        },
    );
}

#[test]
fn a_wrong_pin_is_tried_once() {
    in_child(
        "a_wrong_pin_is_tried_once",
        |_| (),
        async |child| {
            let pkcs11 = child.pkcs11();
            child.pin("wrong-pin");
            assert!(refusal(&pkcs11, &key("root")).await.contains("refuses the PIN"));
            assert!(refusal(&pkcs11, &key("root")).await.contains("refuses the PIN"));
            // Another one could be the one too many, and so could the first of the next start.
            for pkcs11 in [pkcs11, child.pkcs11()] {
                child.pin(SoftHsm::PIN);
                assert!(
                    refusal(&pkcs11, &key("root"))
                        .await
                        .contains("log in once with the token's own tool")
                );
            }
        },
    );
}

#[test]
fn after_a_login_elsewhere_the_right_pin_is_tried_again() {
    in_child(
        "after_a_login_elsewhere_the_right_pin_is_tried_again",
        |_| (),
        async |child| {
            let pkcs11 = child.pkcs11();
            child.pin("wrong-pin");
            assert!(refusal(&pkcs11, &key("root")).await.contains("refuses the PIN"));
            child.pin(SoftHsm::PIN);
            assert!(matches!(
                pkcs11.prepare(&key("root")).await,
                Err(Pkcs11Error::Cautious(_))
            ));
            let file = child.pin_file.with_extension("key");
            std::fs::write(&file, [7; 16]).unwrap();
            let tool = Command::new("softhsm2-util")
                .args(["--import", file.to_str().unwrap(), "--aes", "--token", "hsm"])
                .args(["--pin", SoftHsm::PIN, "--label", "nothing", "--id", "ff"])
                .status()
                .unwrap();
            assert!(tool.success());
            pkcs11.prepare(&key("root")).await.unwrap();
        },
    );
}

#[test]
fn keys_that_were_not_made_in_the_token_are_refused() {
    let import = |hsm: &SoftHsm| hsm.import("hsm", "imported").unwrap();
    in_child(
        "keys_that_were_not_made_in_the_token_are_refused",
        import,
        async |child| {
            let error = refusal(&child.pkcs11(), &key("imported")).await;
            assert!(error.contains("was not made there"), "{error}");
        },
    );
}

#[test]
fn what_is_configured_wrong_is_named() {
    in_child(
        "what_is_configured_wrong_is_named",
        |_| (),
        async |child| {
            let other = TokenKey::new("missing", "root").unwrap();
            let says = |error: String, text: &str| assert!(error.contains(text), "{error}");
            says(
                refusal(&child.pkcs11(), &other).await,
                "no token `missing`: put it in; tokens that are there: `hsm`",
            );
            says(
                refusal(&child.with("/nowhere/lib.so"), &key("root")).await,
                "`/nowhere/lib.so` cannot be loaded",
            );
            let no_module = child.pin_file.display().to_string();
            says(
                refusal(&child.with(&no_module), &key("root")).await,
                "cannot be loaded",
            );
            child.pin("");
            says(refusal(&child.pkcs11(), &key("root")).await, "cannot be read");
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&child.pin_file, PermissionsExt::from_mode(0o644)).unwrap();
            says(
                refusal(&child.pkcs11(), &key("root")).await,
                "everybody can read the PIN file",
            );
            let none = Pkcs11::new(Pkcs11Config {
                module: SoftHsm::module().into(),
                pin_file: None,
            })
            .unwrap();
            says(refusal(&none, &key("root")).await, "no PIN was given");
        },
    );
}
