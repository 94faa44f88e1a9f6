//! `secret-svc`.

use serde::{Deserialize, Serialize, Serializer};
use strongroom_base::Slug;
use strongroom_dialect_kit::json::{self, Object};
use strongroom_dialect_kit::reply;
use strongroom_engine_static::ops::{
    ListSecrets, Listed, RemoveSecrets, SaveSecret, SaveSecrets, Scope, SecretRead,
};
use strongroom_policy::Lists;
use strongroom_sdk::Error;
use strongroom_secret::{SecretBytes, SecretText};

use super::{app_id, non_empty};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListRequest {
    id: Option<String>,
    ids: Option<Vec<String>>,
    all_apps: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RemoveRequest {
    id: Option<String>,
    ids: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SaveRequest {
    secrets: Option<Vec<Object<SecretInput>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SecretInput {
    id: Option<String>,
    app_host: Option<String>,
    #[serde(deserialize_with = "json::secret_text")]
    value: Option<SecretText>,
    readers: Option<Vec<String>>,
    writers: Option<Vec<String>>,
    deleters: Option<Vec<String>>,
    can_change_readers: Option<Vec<String>>,
    can_change_writers: Option<Vec<String>>,
    can_change_deleters: Option<Vec<String>>,
    encrypted: Option<bool>,
    checksum: Option<String>,
    checksum_algorithm: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct ListReply {
    secrets: Vec<Secret>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    internal_id: String,
    app_id: String,
    id: String,
    #[serde(serialize_with = "reply::secret_utf8")]
    value: SecretBytes,
    #[serde(serialize_with = "slugs")]
    readers: Vec<Slug>,
    #[serde(serialize_with = "slugs")]
    writers: Vec<Slug>,
    #[serde(serialize_with = "slugs")]
    deleters: Vec<Slug>,
    #[serde(serialize_with = "slugs")]
    can_change_readers: Vec<Slug>,
    #[serde(serialize_with = "slugs")]
    can_change_writers: Vec<Slug>,
    #[serde(serialize_with = "slugs")]
    can_change_deleters: Vec<Slug>,
}

fn slugs<S: Serializer>(slugs: &[Slug], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(slugs.iter().map(Slug::as_str))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IsSecureReply {
    pub(crate) is_secure: bool,
}

impl From<ListRequest> for ListSecrets {
    /// `id` and `ids` both select, so together they select what is in both; `"ids": []` selects nothing.
    fn from(request: ListRequest) -> Self {
        let names = match (non_empty(request.id), request.ids) {
            (None, ids) => ids,
            (Some(id), None) => Some(vec![id]),
            (Some(id), Some(ids)) => Some(ids.into_iter().filter(|other| *other == id).take(1).collect()),
        };
        Self {
            scope: if request.all_apps.unwrap_or_default() {
                Scope::All
            } else {
                Scope::Session
            },
            names,
        }
    }
}

impl From<RemoveRequest> for RemoveSecrets {
    /// `id` and `ids` add up.
    fn from(request: RemoveRequest) -> Self {
        Self {
            names: non_empty(request.id)
                .into_iter()
                .chain(request.ids.unwrap_or_default())
                .collect(),
        }
    }
}

impl TryFrom<SaveRequest> for SaveSecrets {
    type Error = Error;

    fn try_from(request: SaveRequest) -> Result<Self, Error> {
        let secrets = request.secrets.unwrap_or_default().into_iter();
        let entries = secrets
            .enumerate()
            .map(|(index, Object(secret))| secret.into_entry(index));
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

impl SecretInput {
    /// The entry at `index` of a save.
    fn into_entry(self, index: usize) -> Result<SaveSecret, Error> {
        let unsupported = [
            ("encrypted", self.encrypted == Some(true)),
            ("checksum", non_empty(self.checksum).is_some()),
            ("checksumAlgorithm", non_empty(self.checksum_algorithm).is_some()),
        ];
        if let Some((field, _)) = unsupported.into_iter().find(|(_, is_sent)| *is_sent) {
            let why = "is not supported in this version: send the value itself, and leave this field out";
            return Err(Error::invalid(format!("secrets[{index}].{field}"), why));
        }
        Ok(SaveSecret {
            host: non_empty(self.app_host),
            name: self.id.unwrap_or_default(),
            value: self.value,
            lists: Lists {
                readers: self.readers,
                writers: self.writers,
                deleters: self.deleters,
                can_change_readers: self.can_change_readers,
                can_change_writers: self.can_change_writers,
                can_change_deleters: self.can_change_deleters,
            },
        })
    }
}

impl From<Listed> for ListReply {
    fn from(listed: Listed) -> Self {
        Self {
            secrets: listed.secrets.into_iter().map(Secret::from).collect(),
        }
    }
}

impl From<SecretRead> for Secret {
    fn from(secret: SecretRead) -> Self {
        let (app_id, id) = (app_id(secret.mount), secret.name.path());
        Self {
            internal_id: [&app_id, ":", &id].concat(),
            app_id,
            id,
            value: secret.value,
            readers: secret.lists.readers,
            writers: secret.lists.writers,
            deleters: secret.lists.deleters,
            can_change_readers: secret.lists.can_change_readers,
            can_change_writers: secret.lists.can_change_writers,
            can_change_deleters: secret.lists.can_change_deleters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Onebackend;
    use proptest::prelude::*;
    use serde_json::json;
    use strongroom_base::{MountUid, Name, SecretId};
    use strongroom_dialect_kit::Wire;

    fn list(body: &str) -> ListSecrets {
        ListSecrets::from(Onebackend::read::<ListRequest>(body.as_bytes()).unwrap())
    }

    fn remove(body: &str) -> Vec<String> {
        RemoveSecrets::from(Onebackend::read::<RemoveRequest>(body.as_bytes()).unwrap()).names
    }

    fn save(body: &str) -> Result<Vec<SaveSecret>, String> {
        let saved = Onebackend::read::<SaveRequest>(body.as_bytes()).and_then(SaveSecrets::try_from);
        saved.map(|op| op.entries).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_reply_has_exactly_these_fields() {
        let slugs = |slugs: &[&str]| slugs.iter().map(|slug| Slug::new(slug).unwrap()).collect();
        let lists = Lists {
            readers: slugs(&["a"]),
            writers: slugs(&["b", "c"]),
            deleters: slugs(&[]),
            can_change_readers: slugs(&["d"]),
            can_change_writers: slugs(&["e"]),
            can_change_deleters: slugs(&["f"]),
        };
        let secret = |name, value: &[u8]| SecretRead {
            id: SecretId::from_bytes([9; 16]),
            mount: MountUid::from_bytes([0; 16]),
            name: Name::from_path(name).unwrap(),
            value: SecretBytes::new(value.to_vec()),
            lists: lists.clone(),
        };
        let reply = ListReply::from(Listed {
            secrets: vec![secret("payment-svc/KEY", "p\"ä\n".as_bytes())],
        });
        let expected = json!({"secrets": [{
            "internalId": "app-0000000000000000000000:payment-svc/KEY",
            "appId": "app-0000000000000000000000",
            "id": "payment-svc/KEY",
            "value": "p\"ä\n",
            "readers": ["a"],
            "writers": ["b", "c"],
            "deleters": [],
            "canChangeReaders": ["d"],
            "canChangeWriters": ["e"],
            "canChangeDeleters": ["f"],
        }]});
        assert_eq!(json!(reply), expected);
        assert_eq!(
            json!(ListReply::from(Listed { secrets: vec![] })),
            json!({"secrets": []})
        );

        let damaged = ListReply::from(Listed {
            secrets: vec![secret("a", b"\xff")],
        });
        assert_eq!(
            serde_json::to_value(damaged).unwrap_err().to_string(),
            "a stored value is not UTF-8"
        );
    }

    #[test]
    fn the_is_secure_reply_has_exactly_this_field() {
        assert_eq!(
            json!(IsSecureReply { is_secure: true }),
            json!({"isSecure": true})
        );
        assert_eq!(json!(crate::wire::Nothing {}), json!({}));
    }

    #[test]
    fn a_list_is_filtered_by_what_is_sent_and_not_by_what_is_empty() {
        for (body, names) in [
            ("", None),
            (r#"{"id":"","ids":null,"allApps":false}"#, None),
            (r#"{"id":"a"}"#, Some(vec!["a"])),
            (r#"{"ids":["a","b"]}"#, Some(vec!["a", "b"])),
            (r#"{"ids":[]}"#, Some(vec![])),
            (r#"{"id":"a","ids":["b","a","a"]}"#, Some(vec!["a"])),
            (r#"{"id":"a","ids":["b"]}"#, Some(vec![])),
            (r#"{"id":"","ids":["b"]}"#, Some(vec!["b"])),
        ] {
            assert_eq!(
                list(body).names,
                names.map(|names| names.into_iter().map(str::to_owned).collect()),
                "{body}"
            );
        }
        assert!(matches!(list("{}").scope, Scope::Session));
        assert!(matches!(list(r#"{"allApps":true}"#).scope, Scope::All));
    }

    #[test]
    fn a_removal_removes_what_either_field_names() {
        assert!(remove("").is_empty());
        assert!(remove(r#"{"id":"","ids":[]}"#).is_empty());
        assert_eq!(remove(r#"{"id":"a","ids":["b","c"]}"#), ["a", "b", "c"]);
    }

    #[test]
    fn a_save_tells_absent_from_empty() {
        let entries = save(
            r#"{"secrets":[
                {"id":"a/b","value":"","appHost":"","readers":[],"writers":null,"encrypted":false,"checksum":""},
                {"id":"a/c","appHost":"shop","canChangeDeleters":["x"],"checksumAlgorithm":null}]}"#,
        )
        .unwrap();
        let [first, second] = entries.as_slice() else {
            panic!("two entries")
        };
        assert_eq!((first.name.as_str(), first.host.as_deref()), ("a/b", None));
        assert_eq!(first.value.as_ref().map(SecretText::expose), Some(""));
        assert_eq!(
            first.lists,
            Lists {
                readers: Some(vec![]),
                ..Lists::default()
            }
        );
        assert_eq!(
            (second.name.as_str(), second.host.as_deref()),
            ("a/c", Some("shop"))
        );
        assert!(second.value.is_none());
        assert_eq!(
            second.lists,
            Lists {
                can_change_deleters: Some(vec!["x".into()]),
                ..Lists::default()
            }
        );
        assert!(save("null").unwrap().is_empty());
    }

    #[test]
    fn what_this_version_cannot_do_is_refused_by_name() {
        let why = "is not supported in this version: send the value itself, and leave this field out";
        for (field, value) in [
            ("encrypted", "true"),
            ("checksum", "\"3610a686\""),
            ("checksumAlgorithm", "\"CRC32\""),
        ] {
            let body = format!(r#"{{"secrets":[{{"id":"a/b"}},{{"id":"a/c","{field}":{value}}}]}}"#);
            assert_eq!(save(&body).unwrap_err(), format!("`secrets[1].{field}` {why}"));
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_the_wire(value in "\\PC*|[\\x00-\\x7f]*") {
            let body = json!({"secrets": [{"id": "a/b", "value": value}]}).to_string();
            let saved = save(&body).unwrap().pop().unwrap().value.unwrap();
            prop_assert_eq!(saved.expose(), value.as_str());

            let read = SecretRead {
                id: SecretId::from_bytes([0; 16]),
                mount: MountUid::from_bytes([0; 16]),
                name: Name::from_path("a/b").unwrap(),
                value: saved.into_bytes(),
                lists: Lists::default(),
            };
            let reply = json!(ListReply::from(Listed { secrets: vec![read] }));
            prop_assert_eq!(reply["secrets"][0]["value"].as_str(), Some(value.as_str()));
        }

        #[test]
        fn outside_bytes_are_a_request_or_a_refusal_that_quotes_no_value(canary in "[G-Z]{12}", at in 0..90_usize, junk in any::<u8>()) {
            let mut body = format!(r#"{{"secrets":[{{"id":"a/b","value":"{canary}","encrypted":false,"readers":["{canary}"]}}]}}"#).into_bytes();
            if let Some(byte) = body.get_mut(at) {
                *byte = junk;
            }
            if let Err(error) = Onebackend::read::<SaveRequest>(&body).and_then(SaveSecrets::try_from) {
                prop_assert!(!error.to_string().contains(&canary));
            }
        }
    }
}
